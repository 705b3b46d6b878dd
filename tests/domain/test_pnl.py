"""Profit and loss: price + funding - fees, and what partitions the price part."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from tests.domain.make import D, T, fill, filled, hedge

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderSide, Purpose
from fundingarb.domain.pnl import average_price, hedge_pnl, open_slippage, unrealized

LONG, SHORT = Side.LONG, Side.SHORT
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def payment(account: str, amount: str) -> FundingPayment:
    return FundingPayment(account, account, "BTC-USDT", T, D(amount), "USDT", T)


def round_trip(long_in: str, short_in: str, long_out: str, short_out: str, reference: str = "100"):  # type: ignore[no-untyped-def]
    """Ten units in and out, both legs, each order decided at a mid of ``reference``."""
    made = hedge(
        filled(LONG, Purpose.ENTRY, "10"),
        filled(SHORT, Purpose.HEDGE, "10"),
        filled(LONG, Purpose.CLOSE, "10"),
        filled(SHORT, Purpose.CLOSE, "10"),
        mode=Mode.DONE,
    )
    names = [record.client_id for record in made.orders]
    long_result = str((D(long_out) - D(long_in)) * 10)
    short_result = str((D(short_in) - D(short_out)) * 10)
    fills = [
        fill("alpha", BUY, "10", long_in, trade_id="1", client_id=names[0], fee="0.5"),
        fill("beta", SELL, "10", short_in, trade_id="1", client_id=names[1], fee="0.6"),
        fill(
            "alpha", SELL, "10", long_out, trade_id="2", client_id=names[2], fee="0.5", realized=long_result
        ),
        fill(
            "beta", BUY, "10", short_out, trade_id="2", client_id=names[3], fee="-0.1", realized=short_result
        ),
    ]
    assert all(record.reference == D(reference) for record in made.orders)
    return made, fills


def test_realised_is_price_plus_funding_minus_fees() -> None:
    made, fills = round_trip("100", "101", "110", "110.5")
    pnl = hedge_pnl(made, fills, [payment("alpha", "-1"), payment("beta", "4")])
    assert pnl.price == D(100) - 95  # the long won 100, the short lost 95
    assert pnl.funding == D(3)
    assert pnl.fees == D("1.5")  # a rebate is a negative fee
    assert pnl.realized == D("6.5")
    assert (pnl.long.entry_price, pnl.long.exit_price, pnl.long.quantity) == (D(100), D(110), D(10))
    assert (pnl.short.entry_price, pnl.short.exit_price) == (D(101), D("110.5"))
    assert (pnl.long.funding, pnl.short.funding, pnl.long.fees) == (D(-1), D(4), D(1))


prices = st.integers(9_000, 11_000).map(lambda cents: str(Decimal(cents) / 100))


@given(long_in=prices, short_in=prices, long_out=prices, short_out=prices)
def test_basis_and_slippage_partition_the_price_part(
    long_in: str, short_in: str, long_out: str, short_out: str
) -> None:
    made, fills = round_trip(long_in, short_in, long_out, short_out)
    pnl = hedge_pnl(made, fills, [])
    assert pnl.basis + pnl.slippage == pnl.price
    # every decision saw the same mid, so all that was won or lost is slippage
    assert pnl.slippage == pnl.price
    assert pnl.realized == pnl.price - D("1.5")


def test_paying_more_than_the_mid_is_a_cost() -> None:
    made, fills = round_trip("100.2", "99.7", "100", "100")
    pnl = hedge_pnl(made, fills, [])
    assert pnl.slippage == D("-2") - 3


def test_fills_and_payments_of_other_accounts_stay_out() -> None:
    made, fills = round_trip("100", "100", "100", "100")
    stranger = fill("gamma", SELL, "10", "500", realized="4000", fee="9")
    pnl = hedge_pnl(made, [*fills, stranger], [payment("gamma", "77")])
    assert (pnl.price, pnl.funding, pnl.fees) == (D(0), D(0), D("1.5"))


def test_nothing_filled_is_nothing_won() -> None:
    pnl = hedge_pnl(hedge(), [], [])
    assert {pnl.price, pnl.funding, pnl.fees, pnl.realized, pnl.basis} == {D(0)}
    assert pnl.long.entry_price is None
    assert average_price([]) is None


def test_average_price_is_weighted() -> None:
    assert average_price([fill("a", BUY, "1", "100"), fill("a", BUY, "3", "104")]) == D(103)


def test_unrealised_at_the_marks() -> None:
    made = hedge(filled(LONG, Purpose.ENTRY, "10"), filled(SHORT, Purpose.HEDGE, "10"), mode=Mode.HOLDING)
    fills = [fill("alpha", BUY, "10", "100"), fill("beta", SELL, "10", "101")]
    pnl = hedge_pnl(made, fills, [])
    assert unrealized(made, pnl, D(103), D("103.5")) == D(30) - 25
    assert unrealized(made, pnl, None, D(103)) is None
    assert unrealized(made, hedge_pnl(made, [], []), D(103), D(103)) is None
    assert unrealized(hedge(), hedge_pnl(hedge(), [], []), None, None) == 0


def test_what_entering_took_stays_with_the_quantity_that_is_open() -> None:
    entries = (filled(LONG, Purpose.ENTRY, "10"), filled(SHORT, Purpose.HEDGE, "10"))
    made = hedge(*entries)
    names = [record.client_id for record in made.orders]
    fills = [
        fill("alpha", BUY, "10", "100.2", trade_id="1", client_id=names[0]),
        fill("beta", SELL, "10", "99.7", trade_id="1", client_id=names[1]),
    ]
    pnl = hedge_pnl(made, fills, [])
    assert open_slippage(made, pnl) == pnl.slippage == D("-5")

    half = hedge(*entries, filled(LONG, Purpose.CLOSE, "5"), filled(SHORT, Purpose.CLOSE, "5"))
    exits = [
        fill("alpha", SELL, "5", "99.8", trade_id="2", client_id=half.orders[2].client_id),
        fill("beta", BUY, "5", "100", trade_id="2", client_id=half.orders[3].client_id),
    ]
    pnl = hedge_pnl(half, [*fills, *exits], [])
    assert pnl.slippage == D("-5") - 1
    assert open_slippage(half, pnl) == D("-2.5")
