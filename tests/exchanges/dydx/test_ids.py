"""Client order ids as the chain's numbers: deterministic, told apart, and found again after a restart."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundingarb.domain.control import flatten_order_id, instance_of
from fundingarb.domain.hedge import client_order_id
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Purpose
from fundingarb_dydx import ids
from fundingarb_dydx.ids import LONG_TERM, SHORT_TERM, OrderNames, number_of

SUBACCOUNT = ids.subaccount_id("dydx199tqg4wdlnu4qjlxchpd7seg454937hjrknju4", 0)
NAME = client_order_id("ab2z", UUID(int=7), Side.SHORT, Purpose.HEDGE, 3)


def names(*known: str) -> OrderNames:
    found = OrderNames(SUBACCOUNT)
    found.trade_on({"BTC-USDT": 0, "ETH-USDT": 1})
    found.remember(dict.fromkeys(known, "BTC-USDT"))
    return found


def test_ids_of_the_indexer() -> None:
    """The indexer's own example: UUIDs (version 5) of address and subaccount, then of number, market and flags."""
    assert str(UUID(SUBACCOUNT)) == SUBACCOUNT
    one = ids.order_id(SUBACCOUNT, 716238006, 0, LONG_TERM)
    assert UUID(one).version == 5
    assert one != ids.order_id(SUBACCOUNT, 716238006, 0, SHORT_TERM)
    assert one != ids.order_id(SUBACCOUNT, 716238006, 1, LONG_TERM)


def test_ids_are_ccxts() -> None:
    import ccxt  # type: ignore[import-untyped]

    exchange = ccxt.dydx()
    address = "dydx199tqg4wdlnu4qjlxchpd7seg454937hjrknju4"
    theirs = exchange.create_order_id_from_parts(address, 0, 716238006, LONG_TERM, 1)
    assert theirs == ids.order_id(SUBACCOUNT, 716238006, 1, LONG_TERM)


def test_a_number_is_a_function_of_the_name() -> None:
    number = number_of(NAME)
    assert number == number_of(NAME)
    assert 0 <= number.client_id < 2**32
    assert number != number_of(NAME.replace("003", "004"))
    assert ids.instance_in(number.metadata) == "ab2z"


@given(st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=4, max_size=4), st.uuids(), st.integers(1, 999))
def test_every_bot_is_told_by_its_mark(instance: str, hedge: UUID, attempt: int) -> None:
    for name in (
        client_order_id(instance, hedge, Side.LONG, Purpose.ENTRY, attempt),
        flatten_order_id(instance, "account", "BTC-USDT", attempt),
    ):
        number = number_of(name)
        assert number.metadata < 2**32
        assert ids.instance_in(number.metadata) == instance
        assert names(name).name_of(number.client_id, number.metadata) == name


@pytest.mark.parametrize("metadata", [0, 1, 2, 4, 2**32 - 1, 0xFA0 << 20])
def test_people_and_other_programs_have_no_name(metadata: int) -> None:
    assert ids.instance_in(metadata) is None
    assert names(NAME).name_of(number_of(NAME).client_id, metadata) is None, (
        "although the number is one of ours"
    )
    assert names(NAME).name_of(5, metadata) is None


def test_an_order_of_a_bot_that_nobody_here_knows_says_which_bot_it_was() -> None:
    stranger = number_of(client_order_id("zz77", UUID(int=1), Side.LONG, Purpose.ENTRY, 1))
    shown = names(NAME).name_of(stranger.client_id, stranger.metadata)
    assert instance_of(shown) == "zz77"
    fill = names(NAME).name_of_fill("0f0981cb-152e-57d3-bea9-4d8e0dd5ed35", stranger.metadata)
    assert instance_of(fill) == "zz77"
    assert shown != fill


def test_what_was_sent_before_the_restart_is_found_by_number_and_by_uuid() -> None:
    number = number_of(NAME)
    before, after = names(), names(NAME)
    assert before.claim(NAME, "BTC-USDT") == number
    for flags in (SHORT_TERM, LONG_TERM):
        order = before.order_id(NAME, 0, flags)
        for known in (before, after):
            assert known.name_of_id(order) == NAME
            assert known.name_of_fill(order, number.metadata) == NAME
            assert known.name_of_fill(order, 0) is None, "somebody else's under our number"
    assert after.name_of_id("0f0981cb-152e-57d3-bea9-4d8e0dd5ed35") is None


def test_names_learned_later_are_found_too() -> None:
    known = names(NAME)
    order = known.order_id("another", 1, LONG_TERM)
    assert known.name_of_id(order) is None
    known.remember({"another": "ETH-USDT"})
    assert known.name_of_id(order) == "another"
    known.remember({"third": "SOL-USDT"})
    listed_later = known.order_id("third", 2, SHORT_TERM)
    assert known.name_of_id(listed_later) is None
    known.trade_on({"SOL-USDT": 2})
    assert known.name_of_id(listed_later) == "third"


def test_a_name_is_hashed_once_whatever_the_markets_and_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = list[str](), ids.order_id

    def counted(subaccount: str, client_id: int, clob_pair_id: int, flags: int) -> str:
        made.append(real(subaccount, client_id, clob_pair_id, flags))
        return made[-1]

    monkeypatch.setattr(ids, "order_id", counted)
    markets = {f"S{number}-USDT": number for number in range(300)}
    known = OrderNames(SUBACCOUNT)
    known.remember({f"name{number}": f"S{number % 300}-USDT" for number in range(1000)})
    known.trade_on(markets)
    known.trade_on(markets)
    assert len(made) == 2 * 1000, "one for either kind of order"
    assert [known.name_of_id(each) for each in made[:2]] == [known.name_of_id(made[0])] * 2
    for number in range(1000):
        known.name_of_id(f"somebody else's {number}")
        known.remember({f"name{number}": f"S{number % 300}-USDT"})
    assert len(made) == 2 * 1000, "neither reading nor asking again hashes anything"


def test_only_names_of_orders_long_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "KEPT", 3)
    known = names("open", "sent again", "asked again")
    known.finish("sent again")
    assert known.claim("sent again", "BTC-USDT") is not None
    known.finish("asked again")
    for each in range(100):
        assert known.claim(f"done{each}", "BTC-USDT") is not None
        known.note_flags(f"done{each}", SHORT_TERM)
        known.finish(f"done{each}")
        known.remember({"asked again": "BTC-USDT"})
    known.finish("never known")
    kept = {"open", "sent again", "asked again", "done98", "done99"}
    assert len(known) == len(kept)
    for name in sorted(kept | {"done0", "done97"}):
        expected = name if name in kept else None
        number = number_of(name)
        assert known.name_of(number.client_id, number.metadata) == expected
        assert known.name_of_id(known.order_id(name, 0, LONG_TERM)) == expected
    assert set(known.flags("done0")) == {SHORT_TERM, LONG_TERM}


def test_a_number_that_is_taken_is_not_used_for_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "number_of", lambda name: ids.OrderNumber(7, 0))
    known = names()
    assert known.claim("one", "BTC-USDT") is not None
    assert known.claim("one", "BTC-USDT") is not None, "the same order may be sent again"
    assert known.claim("other", "BTC-USDT") is None
    known.remember({"third": "BTC-USDT"})
    assert known.name_of(7, 0) == "one"


def test_the_kind_of_an_order_is_remembered() -> None:
    known = names(NAME)
    assert set(known.flags(NAME)) == {SHORT_TERM, LONG_TERM}
    known.note_flags(NAME, SHORT_TERM)
    assert known.flags(NAME) == (SHORT_TERM,)
