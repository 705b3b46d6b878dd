"""What counts as a difference between our books and an exchange's."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from uuid import UUID, uuid4

from tests.domain.make import D, filled, hedge, instrument

from fundingarb.domain.control import Accepted, Subject
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ExchangePosition, OrderReport, OrderSide, OrderState, Purpose
from fundingarb.domain.reconcile import Books, Modes, accept, compare, compare_modes, expected_positions

NOW = datetime(2026, 1, 5, tzinfo=timezone.utc)
LONG, SHORT = Side.LONG, Side.SHORT


def held(**changes: object) -> Hedge:
    return hedge(
        filled(LONG, Purpose.ENTRY, "10"), filled(SHORT, Purpose.HEDGE, "10"), mode=Mode.HOLDING, **changes
    )


def position(account: str, quantity: str, symbol: str = "BTC-USDT") -> ExchangePosition:
    return ExchangePosition(account, account, symbol, D(quantity), D(100))


def open_order(account: str, client_id: str | None, symbol: str = "BTC-USDT") -> OrderReport:
    return OrderReport(account, symbol, client_id, "x9", OrderState.OPEN, OrderSide.BUY, D(1), D(0))


def test_expected_positions_are_signed_and_add_up() -> None:
    one, other = held(), held()
    assert expected_positions("alpha", [one]) == {"BTC-USDT": D(10)}
    assert expected_positions("beta", [one, other]) == {"BTC-USDT": D(-20)}
    assert expected_positions("gamma", [one]) == {}
    assert expected_positions("alpha", [hedge()]) == {}


def test_a_match_is_empty() -> None:
    resting = hedge((LONG, Purpose.ENTRY, "10", {"state": OrderState.OPEN}))
    ours = open_order("alpha", resting.orders[0].client_id)
    assert compare("alpha", [held()], [position("alpha", "10")], []) == []
    assert compare("beta", [held()], [position("beta", "-10")], []) == []
    assert compare("alpha", [resting], [], [ours]) == []
    assert compare("gamma", [held()], [], []) == []


def test_a_missing_a_wrong_and_a_foreign_position() -> None:
    (missing,) = compare("alpha", [held()], [], [])
    assert str(missing) == "alpha BTC-USDT: position is 10 here, 0 on the exchange"
    (wrong,) = compare("alpha", [held()], [position("alpha", "-10")], [])
    assert (wrong.subject, wrong.local, wrong.exchange) == ("position", "10", "-10")
    (foreign,) = compare("alpha", [], [position("alpha", "0.001", "ETH-USDT")], [])
    assert (foreign.subject, foreign.symbol) == ("foreign position", "ETH-USDT")


def test_one_lot_is_a_difference_and_less_is_not() -> None:
    finer = held(
        long_instrument=instrument("alpha", lot=D("0.001")), short_instrument=instrument("beta", lot=D(1))
    )
    assert compare("alpha", [finer], [position("alpha", "10.0009")], []) == []
    assert len(compare("alpha", [finer], [position("alpha", "10.001")], [])) == 1
    assert compare("beta", [finer], [position("beta", "-10.9")], []) == []
    assert len(compare("beta", [finer], [position("beta", "-11")], [])) == 1


def test_a_hedge_on_other_accounts_does_not_set_the_lot() -> None:
    elsewhere = held(
        long_instrument=instrument("gamma", lot=D(5)), short_instrument=instrument("delta", lot=D(5))
    )
    elsewhere = elsewhere.with_intent(
        replace(
            elsewhere.intent,
            id=uuid4(),
            long=replace(elsewhere.intent.long, account="gamma"),
            short=replace(elsewhere.intent.short, account="delta"),
        )
    )
    assert len(compare("alpha", [held(), elsewhere], [position("alpha", "12")], [])) == 1


def test_open_orders_nobody_asked_for_and_those_that_should_be_over() -> None:
    over = held().orders[0]
    differences = compare(
        "alpha",
        [held()],
        [position("alpha", "10")],
        [open_order("alpha", "web_17"), open_order("alpha", None), open_order("alpha", over.client_id)],
    )
    assert [(d.subject, d.local, d.exchange) for d in differences] == [
        ("open order", "unknown", "web_17"),
        ("open order", "unknown", "x9"),
        ("open order", "FILLED", "open"),
    ]


def test_an_order_of_ours_on_another_account_is_unknown_here() -> None:
    resting = hedge((LONG, Purpose.ENTRY, "10", {"state": OrderState.OPEN}))
    assert len(compare("beta", [resting], [], [open_order("beta", resting.orders[0].client_id)])) == 1


# what a person accepts


def accepted(subject: Subject, name: str, quantity: str = "0", account: str = "alpha") -> Accepted:
    return Accepted(account, subject, name, D(quantity), "somebody", NOW)


def rows(hedges: list[Hedge], quantity: str, books: Books | None = None) -> dict[Subject, str]:
    """What is written down when the exchange's figure for alpha is accepted."""
    found = compare("alpha", hedges, [position("alpha", quantity)] if D(quantity) else [], [], books)
    return {
        row.subject: str(row.quantity)
        for difference in found
        for row in accept(difference, hedges, books or Books(), "somebody", NOW)
    }


def test_an_accepted_foreign_position_matches_until_it_changes() -> None:
    books = Books([accepted(Subject.POSITION, "BTC-USDT", "3")])
    assert compare("alpha", [held()], [position("alpha", "13")], [], books) == []
    assert compare("alpha", [], [position("alpha", "3")], [], books) == []
    (gone,) = compare("alpha", [held()], [position("alpha", "10")], [], books)
    assert (gone.local, gone.exchange, gone.quantity) == ("13", "10", D(-3))
    (more,) = compare("alpha", [], [position("alpha", "4")], [], books)
    assert more.quantity == 1


def test_accepting_takes_the_exchange_s_figure() -> None:
    assert rows([], "5") == {Subject.POSITION: "5"}
    assert rows([held()], "13") == {Subject.POSITION: "3"}
    assert rows([held()], "7") == {Subject.LEG: "3"}
    assert rows([held()], "0") == {Subject.LEG: "10"}
    assert rows([held()], "-2") == {Subject.LEG: "10", Subject.POSITION: "-2"}
    books = Books([accepted(Subject.POSITION, "BTC-USDT", "3")])
    assert rows([held()], "10", books) == {Subject.POSITION: "0"}
    assert rows([held()], "8", books) == {Subject.LEG: "2", Subject.POSITION: "0"}
    assert rows([held()], "15", books) == {Subject.POSITION: "5"}


def test_what_is_gone_adds_up() -> None:
    hedge = held()
    less = replace(hedge, taken={LONG: D(3)})
    books = Books([accepted(Subject.LEG, str(hedge.id), "3")])
    assert rows([less], "5", books) == {Subject.LEG: "5"}


def test_a_foreign_order_may_be_accepted_and_our_own_may_not() -> None:
    foreign = open_order("alpha", "web_1")
    (difference,) = compare("alpha", [], [], [foreign])
    (row,) = accept(difference, [], Books(), "somebody", NOW)
    assert (row.subject, row.name) == (Subject.ORDER, "x9")
    assert compare("alpha", [], [], [foreign], Books([row])) == []
    over = hedge((LONG, Purpose.ENTRY, "10", {"state": OrderState.CANCELLED}))
    (ours,) = compare("alpha", [over], [], [open_order("alpha", over.orders[0].client_id)])
    assert accept(ours, [over], Books(), "somebody", NOW) == []
    assert compare("alpha", [], [], [foreign], Books(own_orders={"web_1"})) == []


def test_another_bot_is_told_by_its_order_ids() -> None:
    books = Books(instance="t3st", own_orders={"faabcdxbi3ib62e4f0001"})
    assert books.stranger("faabcdbi3ib62e4flc001") == "abcd"
    for ours in ("fat3stbi3ib62e4flc001", "web_1", None, "faabcdxbi3ib62e4f0001", "fabulous", ""):
        assert books.stranger(ours) is None
    assert Books([accepted(Subject.INSTANCE, "abcd")]).stranger("faabcdbi3ib62e4flc001") is None


def test_modes_that_are_not_as_recorded() -> None:
    recorded = Modes("one-way", "cross", D(5))
    assert compare_modes("alpha", "BTC-USDT", recorded, Modes("one-way", "cross", D("5.0"))) == []
    assert compare_modes("alpha", "BTC-USDT", recorded, Modes(None, None, None)) == []
    found = compare_modes("alpha", "BTC-USDT", recorded, Modes("hedge", "isolated", D(3)))
    assert [str(difference) for difference in found] == [
        "alpha BTC-USDT: position mode is one-way here, hedge on the exchange",
        "alpha BTC-USDT: margin mode is cross here, isolated on the exchange",
        "alpha BTC-USDT: leverage is 5 here, 3 on the exchange",
    ]
    assert accept(found[0], [], Books(), "somebody", NOW) == []


def test_a_leg_below_nothing_is_a_difference_even_where_somebody_elses_position_makes_up_for_it() -> None:
    """Five too many were taken of our leg; five more are accepted there as somebody else's, and the account is flat."""
    ours = held(id=UUID(int=1))
    ours = replace(ours, taken={LONG: D(15)})
    books = Books([Accepted("alpha", Subject.POSITION, "BTC-USDT", D(5), "me", NOW)])
    theirs, leg = compare("alpha", [ours], [], [], books)
    assert str(theirs) == "alpha BTC-USDT: position is 5 here, 0 on the exchange"
    assert str(leg) == "alpha BTC-USDT: LONG leg is -5 here, never below 0 on the exchange"
    (gone,) = accept(theirs, [ours], books, "me", NOW)
    assert (gone.subject, gone.quantity) == (Subject.POSITION, D(0))
    (back,) = accept(leg, [ours], books, "me", NOW)
    assert (back.subject, back.name, back.quantity) == (Subject.LEG, str(ours.id), D(-5))


def test_what_a_late_close_of_a_hedge_that_is_over_took_of_the_next_ones_leg_is_no_difference() -> None:
    over = replace(hedge(mode=Mode.DONE, id=UUID(int=1)), taken={LONG: D(3)})
    assert compare("alpha", [over, held(id=UUID(int=2))], [position("alpha", "7")], []) == []


def test_what_is_left_counts_as_the_live_hedges_before_it_counts_as_what_is_over() -> None:
    over = hedge(filled(LONG, Purpose.ENTRY, "4"), mode=Mode.DONE, id=UUID(int=1))
    live = held(id=UUID(int=2))
    for left, gone in (("10", (4, 0)), ("12", (2, 0)), ("7", (4, 3)), ("0", (4, 10))):
        (difference,) = compare("alpha", [over, live], [position("alpha", left)], [])
        rows = accept(difference, [over, live], Books(), "me", NOW)
        assert {row.name: row.quantity for row in rows} == {
            str(of.id): D(much) for of, much in zip((over, live), gone, strict=True) if much
        }
        assert {row.subject for row in rows} == {Subject.LEG}


def test_a_stray_that_opposes_the_live_leg_is_taken_for_what_is_left_of_both() -> None:
    over = hedge(filled(SHORT, Purpose.ENTRY, "4"), mode=Mode.DONE, id=UUID(int=1))
    turned = replace(
        over.intent, long=replace(over.intent.short, side=LONG), short=replace(over.intent.long, side=SHORT)
    )
    over, live = replace(over, intent=turned), held(id=UUID(int=2))
    (difference,) = compare("alpha", [over, live], [position("alpha", "5")], [])
    (row,) = accept(difference, [over, live], Books(), "me", NOW)
    assert (row.subject, row.name, row.quantity) == (Subject.LEG, str(live.id), D(1))


def test_a_leg_of_less_than_a_lot_that_is_gone_is_a_difference() -> None:
    made = hedge(
        filled(LONG, Purpose.ENTRY, "0.003"),
        mode=Mode.DONE,
        long_instrument=instrument("alpha", lot=D("0.01")),
    )
    (found,) = compare("alpha", [made], [], [])
    assert (found.local, found.exchange) == ("0.003", "0")
