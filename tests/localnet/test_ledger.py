"""Money: fees, realised profit, and a ledger that is exactly the balance."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.localnet.still import Desk, StillModel
from tests.localnet.toy import RULES

from fundingarb.localnet.truth.events import AccountChanged
from fundingarb.localnet.truth.rules import FeeTier, VenueRules
from fundingarb.localnet.truth.types import Cause, LedgerKind, Refused

PLACES = Decimal("0.00000001")


def rules(**changes: Any) -> VenueRules:
    from dataclasses import replace

    return replace(RULES, **changes)


def test_taker_and_maker_fees() -> None:
    desk = Desk()
    desk.book([("999.9", "5")], [("1000.1", "5")])
    desk.order("SELL", "0.3", "1000", account="b")
    desk.order("BUY", "0.3")
    (taker,), (maker,) = desk.exchange.fills("a"), desk.exchange.fills("b")
    assert (taker.fee, taker.fee_rate) == (Decimal("0.15"), Decimal("0.0005"))
    assert (maker.fee, maker.fee_rate) == (Decimal("0.06"), Decimal("0.0002"))
    assert desk.wallet("a") == 100_000 - Decimal("0.15")
    assert desk.wallet("b") == 100_000 - Decimal("0.06")


def test_a_maker_rebate_is_received() -> None:
    desk = Desk(rules=rules(fees=FeeTier(Decimal("-0.0001"), Decimal("0.0005"))))
    desk.order("SELL", "1", "1000", account="b")
    desk.order("BUY", "1", "1000")
    (row,) = desk.exchange.ledger("b")
    assert (row.kind, row.amount) == (LedgerKind.COMMISSION, Decimal("0.1"))


def test_account_fee_tier() -> None:
    desk = Desk()
    desk.exchange.set_fees("a", FeeTier(Decimal(0), Decimal(0)))
    desk.order("BUY", "1")
    assert desk.exchange.ledger("a") == []


def test_realized_profit_of_a_partial_close_and_a_flip() -> None:
    desk = Desk(rules=rules(fees=FeeTier(Decimal(0), Decimal(0))))
    desk.book([("1100", "9")], [("1000", "1"), ("1010", "1"), ("1111", "9")])
    desk.order("BUY", "2")
    assert desk.exchange.positions("a")[0].entry_price == Decimal(1005)
    desk.order("SELL", "0.5")
    (row,) = desk.exchange.ledger("a")
    assert (row.kind, row.amount) == (LedgerKind.REALIZED_PNL, Decimal("47.5"))
    desk.order("SELL", "2")
    assert [r.amount for r in desk.exchange.ledger("a")] == [Decimal("47.5"), Decimal("142.5")]
    (position,) = desk.exchange.positions("a")
    assert (position.quantity, position.entry_price) == (Decimal("-0.5"), Decimal(1100))
    fill = desk.exchange.fills("a")[-1]
    assert (fill.closed_quantity, fill.quantity, fill.realized) == (
        Decimal("1.5"),
        Decimal(2),
        Decimal("142.5"),
    )


def test_profits_of_many_partial_closes_add_up_to_the_cash_flow() -> None:
    desk = Desk(rules=rules(fees=FeeTier(Decimal(0), Decimal(0))))
    desk.book([("1003.3", "9")], [("1000.1", "0.004"), ("1000.2", "9")])
    desk.order("BUY", "0.077")
    for _ in range(7):
        desk.order("SELL", "0.011", reduce_only=True)
    flow = sum((-f.side.sign * f.value for f in desk.exchange.fills("a")), Decimal(0))
    assert desk.rows() == flow
    assert len({r.amount for r in desk.exchange.ledger("a")}) > 1, "the shares of the cost must not be exact"


def test_short_profit_has_the_other_sign() -> None:
    desk = Desk(rules=rules(fees=FeeTier(Decimal(0), Decimal(0))))
    desk.book([("1000", "9")], [("1020", "9")])
    desk.order("SELL", "1")
    desk.order("BUY", "1")
    assert [r.amount for r in desk.exchange.ledger("a")] == [Decimal(-20)]


def test_contract_size_scales_value_fee_and_profit() -> None:
    desk = Desk(contract_size=Decimal("0.01"), lot=Decimal(1), min_quantity=Decimal(1))
    desk.book([("1010", "900")], [("1000", "900")])
    desk.order("BUY", "50")
    (fill,) = desk.exchange.fills("a")
    assert (fill.value, fill.fee) == (Decimal(500), Decimal("0.25"))
    desk.order("SELL", "50")
    assert desk.exchange.fills("a")[-1].realized == Decimal(5)


@pytest.mark.parametrize(("rounding", "expected"), [(ROUND_HALF_UP, "0.01"), (ROUND_DOWN, "0")])
def test_fees_are_rounded_as_the_venue_rounds(rounding: str, expected: str) -> None:
    desk = Desk(rules=rules(ledger_decimals=2, rounding=rounding))
    desk.book([("999.9", "9")], [("1000.1", "9")])
    desk.order("BUY", "0.015")  # 15.0015 x 0.0005 = 0.00750075
    (fill,) = desk.exchange.fills("a")
    assert fill.fee == Decimal(expected)


def test_transfers_are_rows_and_limited_by_what_is_free() -> None:
    desk = Desk()
    row = desk.exchange.transfer("a", Decimal("-40000"))
    assert (row.kind, row.balance, desk.wallet()) == (
        LedgerKind.TRANSFER,
        Decimal(60_000),
        Decimal(60_000),
    )
    with pytest.raises(Refused):
        desk.exchange.transfer("a", Decimal("-60000.01"))
    assert [e.cause for e in desk.of(AccountChanged)] == [Cause.TRANSFER]


def test_money_does_not_depend_on_the_callers_decimal_context() -> None:
    def story() -> list[Decimal]:
        desk = Desk(StillModel(rate=0.00012345))
        desk.order("BUY", "12.345")
        desk.wait(3600)
        desk.order("SELL", "7.001")
        return [row.amount for row in desk.exchange.ledger("a")]

    normal = story()
    with localcontext() as context:
        context.prec = 3
        assert story() == normal


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("order"),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["BUY", "SELL"]),
            st.integers(6, 3000),
            st.one_of(st.none(), st.integers(9900, 10100)),
            st.sampled_from(["GTC", "IOC", "FOK"]),
            st.booleans(),
        ),
        st.tuples(st.just("wait"), st.integers(1, 20_000)),
        st.tuples(st.just("price"), st.integers(9800, 10_200)),
        st.tuples(st.just("cancel"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("transfer"), st.sampled_from(["a", "b"]), st.integers(-100_000, 100_000)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(story=steps, fee=st.integers(-3, 8), places=st.sampled_from([2, 4, 8]))
def test_the_ledger_is_the_balance(story: list[tuple[Any, ...]], fee: int, places: int) -> None:
    """Whatever happens: rows add up to the balance exactly, fills to the position, profits to the cash flow."""
    model = StillModel(flow=0.05, rate=0.00037)
    tier = FeeTier(Decimal(fee) / 10_000, Decimal("0.00055"))
    desk = Desk(model, rules=rules(fees=tier, ledger_decimals=places))
    for step in story:
        act(desk, model, step)
    for account in ("a", "b"):
        rows = desk.exchange.ledger(account)
        assert sum((r.amount for r in rows), Decimal(0)) == desk.wallet(account) - 100_000
        balances = [Decimal(100_000), *(r.balance for r in rows)]
        assert [b - a for a, b in pairwise(balances)] == [r.amount for r in rows]
        assert all(r.amount == r.amount.quantize(Decimal(1).scaleb(-places)) for r in rows)
        fills = desk.exchange.fills(account)
        assert sum((f.quantity * f.side.sign for f in fills), Decimal(0)) == desk.quantity(account)
        fees = sum((f.fee for f in fills), Decimal(0))
        assert total(desk, account, LedgerKind.COMMISSION) == -fees
        paid = sum((p.amount for p in desk.exchange.funding_payments(account)), Decimal(0))
        assert total(desk, account, LedgerKind.FUNDING_FEE) == paid
        assert total(desk, account, LedgerKind.REALIZED_PNL) == sum((f.realized for f in fills), Decimal(0))
        if places == 8 and not desk.quantity(account):
            flow = sum((-f.side.sign * f.value for f in fills), Decimal(0))
            assert total(desk, account, LedgerKind.REALIZED_PNL) == flow
    ids = [row.id for account in ("a", "b") for row in desk.exchange.ledger(account)]
    assert len(set(ids)) == len(ids)


def act(desk: Desk, model: StillModel, step: tuple[Any, ...]) -> None:
    """Carry out one step of a random story; a refusal is fine."""
    what = step[0]
    try:
        if what == "order":
            _, account, side, lots, ticks, tif, reduce_only = step
            price = str(Decimal(ticks) / 10) if ticks is not None else None
            quantity = str(Decimal(lots) / 1000)
            desk.order(side, quantity, price, account=account, tif=tif, reduce_only=reduce_only)
        elif what == "wait":
            desk.wait(step[1])
        elif what == "price":
            model.price = step[1] / 10
        elif what == "cancel":
            desk.exchange.cancel_all(step[1])
        else:
            desk.exchange.transfer(step[1], Decimal(step[2]) / 7)
    except Refused:
        pass


def total(desk: Desk, account: str, kind: LedgerKind) -> Decimal:
    return sum((r.amount for r in desk.exchange.ledger(account, kinds=[kind])), Decimal(0))
