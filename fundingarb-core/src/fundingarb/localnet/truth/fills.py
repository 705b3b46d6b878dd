"""What one trade does to an account: position, realised profit, fee, ledger rows, events."""

from __future__ import annotations

from decimal import Decimal

from fundingarb.localnet.truth import margin
from fundingarb.localnet.truth.core import Account, Core, Holding
from fundingarb.localnet.truth.events import AccountChanged, BalanceChange
from fundingarb.localnet.truth.types import (
    ZERO,
    Cause,
    Fill,
    LedgerKind,
    LedgerRow,
    MarginMode,
    Order,
    OrderStatus,
    PositionSide,
    Reason,
    Side,
)

__all__ = ["account_changed", "fill", "reducible", "trim_reduce_only"]


def reducible(account: Account, instrument: str, side: Side, position_side: PositionSide) -> Decimal:
    """How much an order on this side can reduce; 0 when it could only open."""
    holding = account.holdings.get((instrument, position_side))
    if holding is None or not holding.quantity or (holding.quantity > 0) == (side is Side.BUY):
        return ZERO
    return abs(holding.quantity)


def account_changed(
    core: Core, account: Account, cause: Cause, rows: list[LedgerRow], holdings: list[Holding]
) -> None:
    """Tell the subscribers what changed."""
    change = sum((row.amount for row in rows), ZERO)
    balances = (BalanceChange(account.asset, account.wallet, change),) if rows else ()
    positions = tuple(margin.position(core, account, h.instrument, h.side) for h in holdings)
    core.emit(
        AccountChanged(
            core.next_sequence(), core.now_ms, account.name, cause, balances, positions, tuple(rows)
        )
    )


def fill(
    core: Core,
    account: Account,
    order: Order,
    price: Decimal,
    quantity: Decimal,
    *,
    maker: bool,
    cause: Cause = Cause.ORDER,
    fee_rate: Decimal | None = None,
) -> Fill:
    """Book one trade of an order. The caller has made sure that the quantity is allowed."""
    market = core.markets[order.instrument]
    size = market.instrument.contract_size
    holding = account.holding(order.instrument, order.position_side)
    value = price * quantity * size
    rate = fee_rate if fee_rate is not None else (account.fees.maker if maker else account.fees.taker)
    fee = core.round_money(value * rate)
    closing = min(quantity, reducible(account, order.instrument, order.side, order.position_side))
    realized = _reduce(core, holding, closing, price * closing * size) if closing else ZERO
    if quantity > closing:
        _open(core, account, holding, order.side, quantity - closing, price * (quantity - closing) * size)
    holding.updated_ms = core.now_ms
    core.margin_stale = True
    number, fill_id = core.next_fill_id()
    rows = []
    names = {"instrument": order.instrument, "order_id": order.id, "fill_id": fill_id}
    if realized:
        rows.append(core.post(account, LedgerKind.REALIZED_PNL, realized, **names))
    if fee:
        rows.append(core.post(account, LedgerKind.COMMISSION, -fee, **names))
    holding.realized += realized
    holding.cumulative += realized - fee
    holding.costs += fee
    if not holding.quantity:
        holding.costs = ZERO
    order.filled += quantity
    order.filled_value += price * quantity
    order.fee += fee
    order.realized += realized
    order.updated_ms = core.now_ms
    order.status = OrderStatus.FILLED if order.filled == order.quantity else OrderStatus.PARTIALLY_FILLED
    result = Fill(
        id=fill_id,
        sequence=number,
        account=account.name,
        instrument=order.instrument,
        order_id=order.id,
        client_id=order.client_id,
        side=order.side,
        position_side=order.position_side,
        price=price,
        quantity=quantity,
        value=value,
        fee=fee,
        fee_rate=rate,
        fee_asset=account.asset,
        realized=realized,
        closed_quantity=closing,
        maker=maker,
        time_ms=core.now_ms,
        reduce_only=order.reduce_only,
        liquidation=order.liquidation,
        adl=order.adl,
    )
    account.fills.append(result)
    if order.status is OrderStatus.FILLED:
        account.open.pop(order.id, None)
        core.fill_caps.pop(order.id, None)
        market.remove(order)
    else:
        market.touched()
    core.order_changed(order, "TRADE", result)
    account_changed(core, account, cause, rows, [holding])
    return result


def _reduce(core: Core, holding: Holding, quantity: Decimal, value: Decimal) -> Decimal:
    """Close part of a position for ``value``; the realised profit, rounded.

    The cost that leaves is rounded too, so that the profits of a round trip add up to its cash flow.
    """
    held = abs(holding.quantity)
    long = holding.quantity > 0
    if quantity == held:
        cost, released = holding.cost, holding.isolated
    else:
        cost = core.round_money(holding.cost * quantity / held)
        released = core.round_money(holding.isolated * quantity / held)
    holding.cost -= cost
    holding.isolated -= released
    holding.quantity += -quantity if long else quantity
    return core.round_money(value - cost if long else cost - value)


def _open(
    core: Core, account: Account, holding: Holding, side: Side, quantity: Decimal, value: Decimal
) -> None:
    if not holding.quantity:
        holding.created_ms = core.now_ms
        holding.realized = ZERO
        holding.costs = ZERO
        holding.cost = ZERO
    holding.quantity += quantity if side is Side.BUY else -quantity
    holding.cost += value
    if account.mode_of(holding.instrument) is MarginMode.ISOLATED:
        holding.isolated += core.round_money(value / core.leverage(account, holding.instrument))


def trim_reduce_only(core: Core, account: Account, instrument: str) -> None:
    """Expire resting reduce-only orders that have nothing left to reduce."""
    for order in [o for o in account.open.values() if o.instrument == instrument and o.reduce_only]:
        if not reducible(account, instrument, order.side, order.position_side):
            core.end_order(account, order, OrderStatus.EXPIRED, Reason.REDUCE_ONLY)
