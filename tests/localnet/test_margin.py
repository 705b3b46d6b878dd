"""Margin, leverage, modes, liquidation and deleveraging."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.localnet.still import BOUNDARY, Desk, StillModel
from tests.localnet.toy import RULES, TIERS

from fundingarb.localnet.truth.events import AccountChanged, Liquidated, OrderChanged, SettingsChanged
from fundingarb.localnet.truth.types import (
    Cause,
    LedgerKind,
    MarginMode,
    OrderStatus,
    PositionSide,
    Reason,
    Refused,
)


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.reason is reason


def test_margin_follows_leverage() -> None:
    desk = Desk()
    desk.exchange.set_leverage("a", desk.id, Decimal(10))
    desk.order("BUY", "2", "990")
    state = desk.exchange.state("a")
    assert (state.order_margin, state.position_margin) == (Decimal(198), Decimal(0))
    assert state.available == 100_000 - 198
    desk.order("BUY", "1", "1001", tif="IOC")
    state = desk.exchange.state("a")
    assert state.position_margin == Decimal(100)
    assert state.equity == state.wallet + state.unrealized


def test_an_order_beyond_the_margin_is_refused_and_one_within_is_not() -> None:
    desk = Desk(balance=Decimal(100))
    desk.exchange.set_leverage("a", desk.id, Decimal(10))
    with refused(Reason.INSUFFICIENT_MARGIN):
        desk.order("BUY", "1", "1000")
    assert desk.order("BUY", "0.98", "1000").status is OrderStatus.NEW
    with refused(Reason.INSUFFICIENT_MARGIN):
        desk.order("BUY", "0.1", "1000")


def test_reducing_needs_no_margin() -> None:
    desk = Desk(balance=Decimal(100))
    desk.exchange.set_leverage("a", desk.id, Decimal(10))
    desk.order("BUY", "0.98")
    assert desk.order("SELL", "0.98", "1010").status is OrderStatus.NEW


def test_leverage_limits() -> None:
    desk = Desk()
    for bad in ("0", "51", "NaN"):
        with refused(Reason.LEVERAGE_OUT_OF_RANGE):
            desk.exchange.set_leverage("a", desk.id, Decimal(bad))
    desk.exchange.set_leverage("a", desk.id, Decimal(50))
    assert [(e.setting, e.value) for e in desk.of(SettingsChanged)] == [("leverage", "50")]
    with refused(Reason.NOT_MODIFIED):
        desk.exchange.set_leverage("a", desk.id, Decimal(50))
    # at 50x the first tier ends at 200,000
    with refused(Reason.MAX_POSITION):
        desk.order("BUY", "201", "1000")
    desk.order("BUY", "150", "1000")
    with refused(Reason.LEVERAGE_TOO_LOW_FOR_POSITION):
        desk.exchange.set_leverage("a", desk.id, Decimal(1))
    assert desk.exchange.leverage("a", desk.id) == 50


def test_modes_change_only_when_nothing_is_open() -> None:
    desk = Desk()
    desk.exchange.set_margin_mode("a", MarginMode.ISOLATED, desk.id)
    assert desk.exchange.margin_mode("a", desk.id) is MarginMode.ISOLATED
    with refused(Reason.NOT_MODIFIED):
        desk.exchange.set_margin_mode("a", MarginMode.ISOLATED, desk.id)
    desk.order("BUY", "1", "990")
    with refused(Reason.MARGIN_MODE_LOCKED):
        desk.exchange.set_margin_mode("a", MarginMode.CROSS, desk.id)
    with refused(Reason.POSITION_MODE_LOCKED):
        desk.exchange.set_hedge_mode("a", True)
    desk.exchange.cancel_all("a")
    desk.exchange.set_hedge_mode("a", True)
    with refused(Reason.POSITION_SIDE):
        desk.order("BUY", "1", "990")
    with refused(Reason.NOT_MODIFIED):
        desk.exchange.set_hedge_mode("a", True)


def test_hedge_mode_keeps_two_positions() -> None:
    desk = Desk(rules=replace(RULES, hedge_mode=True))
    desk.order("BUY", "2", position_side=PositionSide.LONG)
    desk.order("SELL", "1", position_side=PositionSide.SHORT)
    assert [(p.side, p.quantity) for p in desk.exchange.positions("a")] == [
        (PositionSide.LONG, Decimal(2)),
        (PositionSide.SHORT, Decimal(-1)),
    ]
    desk.order("SELL", "0.5", position_side=PositionSide.LONG)
    with refused(Reason.REDUCE_ONLY):
        desk.order("SELL", "1", position_side=PositionSide.LONG, account="b")
    trimmed = desk.order("BUY", "5", position_side=PositionSide.SHORT)
    assert trimmed.filled == Decimal(1)
    assert [(p.side, p.quantity) for p in desk.exchange.positions("a")] == [
        (PositionSide.LONG, Decimal("1.5")),
    ]
    flat = desk.exchange.positions("a", flat=True)
    assert [p.side for p in flat] == [PositionSide.LONG, PositionSide.SHORT]


def test_a_position_is_liquidated_at_its_liquidation_price_and_not_before() -> None:
    model = StillModel(touch=10_000_000)
    desk = Desk(model, balance=Decimal(1000))
    desk.exchange.set_leverage("a", desk.id, Decimal(20))
    desk.order("BUY", "10")
    (position,) = desk.exchange.positions("a")
    price = position.liquidation_price
    assert price is not None
    # wallet + unrealised = value x 1 %
    wallet, size = desk.wallet(), position.quantity
    assert wallet + size * (price - position.entry_price) == pytest.approx(
        size * price * Decimal("0.01"), rel=Decimal("1e-9")
    )
    model.price = float(price) + 0.01
    desk.wait(30)
    assert desk.of(Liquidated) == []
    resting = desk.order("SELL", "1", "1200")
    model.price = float(price) - 0.01
    desk.wait(30)
    (event,) = desk.of(Liquidated)
    assert (event.kind, event.quantity, event.side.value) == ("liquidation", Decimal(10), "SELL")
    assert desk.quantity() == 0
    cancelled = desk.exchange.order("a", order_id=resting.id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.reason) == (OrderStatus.CANCELED, Reason.LIQUIDATION)
    closing = desk.exchange.orders("a")[-1]
    assert (closing.liquidation, closing.status) == (True, OrderStatus.FILLED)
    kinds = [row.kind for row in desk.exchange.ledger("a")][-3:]
    assert kinds == [LedgerKind.REALIZED_PNL, LedgerKind.COMMISSION, LedgerKind.LIQUIDATION_FEE]
    assert desk.wallet() >= 0
    assert desk.rows() == desk.wallet() - 1000


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize(
    ("quantity", "balance"), [("100", "8000"), ("450", "40000")], ids=["tier 1", "tier 2"]
)
@pytest.mark.parametrize("mode", list(MarginMode))
def test_liquidation_price_is_where_equity_meets_maintenance(
    side: str, quantity: str, balance: str, mode: MarginMode
) -> None:
    model = StillModel(touch=1e9)
    desk = Desk(model, balance=Decimal(balance))
    if mode is MarginMode.ISOLATED:
        desk.exchange.set_margin_mode("a", mode)
    desk.order(side, quantity)
    (position,) = desk.exchange.positions("a")
    price = position.liquidation_price
    assert price is not None
    collateral = desk.wallet() if mode is MarginMode.CROSS else position.isolated_margin
    at = abs(position.quantity) * price
    tier = TIERS[0] if at <= TIERS[0].max_value else TIERS[1]
    equity = collateral + position.quantity * (price - position.entry_price)
    assert float(equity) == pytest.approx(float(at * tier.maintenance_rate - tier.deduction), rel=1e-6)
    towards = 1 if side == "SELL" else -1
    model.price = float(price) * (1 - 1e-6 * towards)
    desk.wait(10)
    assert desk.quantity() != 0
    model.price = float(price) * (1 + 1e-6 * towards)
    desk.wait(10)
    assert desk.quantity() == 0


def test_a_gap_beyond_bankruptcy_is_made_good() -> None:
    model = StillModel(touch=10_000_000)
    desk = Desk(model, balance=Decimal(1000))
    desk.exchange.set_leverage("a", desk.id, Decimal(20))
    desk.order("SELL", "10")
    model.price = 1300.0
    desk.wait(10)
    assert desk.wallet() == 0
    assert desk.exchange.ledger("a")[-1].kind is LedgerKind.INSURANCE
    assert desk.rows() == -1000


def test_cross_margin_counts_the_whole_account_and_isolated_only_its_own() -> None:
    model = StillModel(touch=10_000_000)
    cross, isolated = Desk(model), Desk(model)
    for desk in (cross, isolated):
        desk.exchange.set_leverage("a", desk.id, Decimal(20))
    isolated.exchange.set_margin_mode("a", MarginMode.ISOLATED, isolated.id)
    for desk in (cross, isolated):
        desk.order("BUY", "10")
    (position,) = isolated.exchange.positions("a")
    assert position.isolated_margin == pytest.approx(position.entry_price * 10 / 20)
    before = isolated.wallet()
    model.price = 940.0
    for desk in (cross, isolated):
        desk.wait(10)
    assert cross.quantity() == 10
    assert isolated.quantity() == 0
    # an isolated position loses its own margin, not more
    assert before - isolated.wallet() == position.isolated_margin


def test_a_partial_close_releases_its_share_of_the_isolated_margin() -> None:
    desk = Desk(StillModel(rate=0.001))
    desk.exchange.set_leverage("a", desk.id, Decimal(10))
    desk.exchange.set_margin_mode("a", MarginMode.ISOLATED, desk.id)
    desk.book([("1000", "99")], [("1000.1", "99")])
    desk.order("SELL", "4")
    assert desk.exchange.positions("a")[0].isolated_margin == Decimal(400)
    available = desk.exchange.state("a").available
    assert available == desk.wallet() - 400
    desk.order("BUY", "1")
    assert desk.exchange.positions("a")[0].isolated_margin == Decimal(300)
    desk.to(BOUNDARY + 5)
    # funding goes to and from the position's own margin: 3 x 1000 x 0.001 received
    assert desk.exchange.positions("a")[0].isolated_margin == Decimal(303)
    desk.order("BUY", "3")
    assert desk.exchange.state("a").available == desk.wallet()


def test_forced_liquidation_and_deleveraging() -> None:
    desk = Desk()
    desk.order("BUY", "4")
    with pytest.raises(ValueError, match="positive"):
        desk.exchange.deleverage("a", desk.id, Decimal(0))
    desk.exchange.deleverage("a", desk.id, Decimal(1))
    assert desk.quantity() == 3
    (event,) = desk.of(Liquidated)
    assert (event.kind, event.quantity) == ("adl", Decimal(1))
    fill = desk.exchange.fills("a")[-1]
    assert (fill.adl, fill.fee, fill.price) == (True, Decimal(0), Decimal(1000))
    assert desk.of(AccountChanged)[-1].cause is Cause.ADL
    resting = desk.order("BUY", "1", "990")
    desk.exchange.liquidate("a", "BTC-USDT")
    assert desk.quantity() == 0
    ended = desk.exchange.order("a", order_id=resting.id)
    assert ended is not None
    assert (ended.status, ended.reason) == (OrderStatus.CANCELED, Reason.LIQUIDATION)
    with pytest.raises(Refused):
        desk.exchange.liquidate("a", desk.id)


def test_liquidation_cannot_be_missed_by_going_fast() -> None:
    def path(time: float) -> float:
        # a dip of twenty minutes
        return 900.0 if BOUNDARY + 600 <= time < BOUNDARY + 1800 else 1000.0

    desk = Desk(StillModel(touch=10_000_000, path=path), balance=Decimal(1000))
    desk.order("BUY", "10")
    desk.to(BOUNDARY + 86_400)
    (event,) = desk.of(Liquidated)
    assert event.time_ms == round((BOUNDARY + 600) * 1000)
    assert [e.order.liquidation for e in desk.of(OrderChanged)][-1] is True
