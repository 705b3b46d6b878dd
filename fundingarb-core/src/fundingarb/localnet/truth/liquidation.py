"""Forced closes: liquidation when equity falls to the maintenance margin, auto-deleveraging on request."""

from __future__ import annotations

import math
from decimal import Decimal

from fundingarb.localnet.truth import margin
from fundingarb.localnet.truth.core import Account, Core, Holding
from fundingarb.localnet.truth.events import Liquidated
from fundingarb.localnet.truth.fills import account_changed
from fundingarb.localnet.truth.matching import build, take_market
from fundingarb.localnet.truth.types import (
    ZERO,
    Cause,
    LedgerKind,
    MarginMode,
    OrderRequest,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)

__all__ = ["check", "deleverage", "liquidate"]


def check(core: Core) -> float:
    """Liquidate whatever has fallen below its maintenance margin at the current marks.

    Returns by what fraction all marks at once may move against every position before any account gets near.
    """
    core.margin_stale = False
    closest = math.inf
    for account in core.accounts.values():
        held = account.held()
        if not held:
            continue
        room = _room(core, account, held)
        closest = min(closest, room)
        if room > 0:
            continue
        cross = [h for h in held if account.mode_of(h.instrument) is MarginMode.CROSS]
        for holding in held:
            if account.mode_of(holding.instrument) is MarginMode.ISOLATED and _isolated_broke(core, holding):
                liquidate(core, account, holding)
        while cross and _cross_broke(core, account, cross):
            _cancel_orders(core, account, None)
            worst = max(cross, key=lambda h: _maintenance(core, h))
            liquidate(core, account, worst)
            cross = [h for h in cross if h.quantity]
    return closest


def _room(core: Core, account: Account, held: list[Holding]) -> float:
    """What ``check`` returns, for one account, in floats and with a fifth of the maintenance margin to spare.

    Not above 0: look exactly.
    """
    equity, needed, value_all, room = float(account.wallet), 0.0, 0.0, math.inf
    for holding in held:
        market = core.markets[holding.instrument]
        instrument = market.instrument
        quantity = float(holding.quantity)
        value = abs(quantity) * float(instrument.contract_size) * market.prices(core.now).mark
        cost = float(holding.cost)
        profit = value - cost if quantity > 0 else cost - value
        rate = next((t.maintenance_rate for t in instrument.tiers if value <= t.max_value), None)
        if rate is None:
            return 0.0
        if account.mode_of(holding.instrument) is MarginMode.ISOLATED:
            own = float(holding.isolated)
            room = min(room, (own + profit) / value - 1.2 * float(rate))
            equity -= own
        else:
            equity += profit
            needed += value * float(rate)
            value_all += value
    return min(room, (equity - 1.2 * needed) / value_all) if value_all else room


def _maintenance(core: Core, holding: Holding) -> Decimal:
    market = core.markets[holding.instrument]
    value = margin.value_of(market.instrument, holding.quantity, market.mark(core.now))
    return margin.maintenance(market.instrument, value)


def _profit(core: Core, holding: Holding) -> Decimal:
    market = core.markets[holding.instrument]
    return margin.unrealized(market.instrument, holding, market.mark(core.now))


def _isolated_broke(core: Core, holding: Holding) -> bool:
    return holding.isolated + _profit(core, holding) <= _maintenance(core, holding)


def _cross_broke(core: Core, account: Account, cross: list[Holding]) -> bool:
    locked = sum((h.isolated for h in account.held()), ZERO)
    equity = account.wallet - locked + sum((_profit(core, h) for h in cross), ZERO)
    return equity <= sum((_maintenance(core, h) for h in cross), ZERO)


def _cancel_orders(core: Core, account: Account, instrument: str | None) -> None:
    for order in list(account.open.values()):
        if instrument is None or order.instrument == instrument:
            core.end_order(account, order, OrderStatus.CANCELED, Reason.LIQUIDATION)


def liquidate(core: Core, account: Account, holding: Holding) -> None:
    """Close the position at the mark, charge the liquidation fee, and make good what would be below zero."""
    _cancel_orders(core, account, holding.instrument)
    isolated = holding.isolated if account.mode_of(holding.instrument) is MarginMode.ISOLATED else None
    left = account.wallet - (isolated or ZERO)
    _close(core, account, holding, abs(holding.quantity), Cause.LIQUIDATION)
    # An isolated position cannot lose more than its margin, an account not more than it has.
    floor = left if isolated is not None else ZERO
    rows = []
    value = account.fills[-1].value
    fee = min(core.round_money(value * core.rules.liquidation_fee), account.wallet - floor)
    if fee > 0:
        rows.append(core.post(account, LedgerKind.LIQUIDATION_FEE, -fee, instrument=holding.instrument))
    elif account.wallet < floor:
        missing = floor - account.wallet
        rows.append(core.post(account, LedgerKind.INSURANCE, missing, instrument=holding.instrument))
    if rows:
        account_changed(core, account, Cause.LIQUIDATION, rows, [])


def deleverage(core: Core, account: Account, holding: Holding, quantity: Decimal) -> None:
    """Close part of the position at the mark, without a fee."""
    _close(core, account, holding, quantity, Cause.ADL)


def _close(core: Core, account: Account, holding: Holding, quantity: Decimal, cause: Cause) -> None:
    market = core.markets[holding.instrument]
    side = Side.SELL if holding.quantity > 0 else Side.BUY
    price = market.price_of(max(1, market.ticks(market.mark(core.now))))
    request = OrderRequest(
        holding.instrument,
        side,
        quantity,
        OrderType.LIMIT,
        price,
        TimeInForce.IOC,
        reduce_only=True,
        position_side=holding.side,
    )
    order = build(core, account, request)
    order.liquidation = cause is Cause.LIQUIDATION
    order.adl = cause is Cause.ADL
    take_market(core, account, order, price, cause, ZERO if cause is Cause.ADL else None)
    core.emit(
        Liquidated(
            core.next_sequence(),
            core.now_ms,
            account.name,
            holding.instrument,
            side,
            quantity,
            price,
            "adl" if order.adl else "liquidation",
        )
    )
