"""What a venue refuses before an order exists."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from fundingarb.localnet.truth import margin
from fundingarb.localnet.truth.core import Account, Core
from fundingarb.localnet.truth.fills import reducible
from fundingarb.localnet.truth.market import Market
from fundingarb.localnet.truth.money import is_multiple
from fundingarb.localnet.truth.types import (
    ZERO,
    Order,
    OrderRequest,
    OrderType,
    PositionSide,
    Reason,
    Refused,
    Side,
)

__all__ = ["check_amounts", "check_margin", "client_id_free", "normalise"]


def normalise(core: Core, account: Account, request: OrderRequest) -> OrderRequest:
    """Check the request and settle what it leaves open: position side, reduce-only, quantity of a closing order."""
    market = core.market(request.instrument)
    if not market.trading:
        raise Refused(Reason.NOT_TRADING)
    _check_side(account, request)
    client_id_free(core, account, request.client_id)
    closes_side = request.position_side is not PositionSide.NET and (request.side is Side.BUY) == (
        request.position_side is PositionSide.SHORT
    )
    reduce_only = request.reduce_only or request.close_position or closes_side
    room = reducible(account, request.instrument, request.side, request.position_side)
    if reduce_only and not room:
        raise Refused(Reason.REDUCE_ONLY)
    quantity = room if request.close_position else request.quantity
    request = replace(request, reduce_only=reduce_only, quantity=quantity)
    if not request.close_position:
        check_amounts(core, market, request)
    if reduce_only and quantity > room:
        if core.rules.reduce_only_excess == "refuse":
            raise Refused(Reason.REDUCE_ONLY_TOO_LARGE)
        request = replace(request, quantity=room)
    resting = sum(1 for order in account.open.values() if order.instrument == request.instrument)
    if resting >= market.instrument.max_open_orders:
        raise Refused(Reason.TOO_MANY_ORDERS)
    return request


def _check_side(account: Account, request: OrderRequest) -> None:
    hedged = request.position_side is not PositionSide.NET
    if hedged != account.hedge_mode:
        raise Refused(Reason.POSITION_SIDE)


def client_id_free(core: Core, account: Account, client_id: str) -> None:
    """Refuse a client id that is taken."""
    known = account.by_client.get(client_id) if client_id else None
    if known is not None and (core.rules.client_ids == "always" or known.status.open):
        raise Refused(Reason.DUPLICATE_CLIENT_ID)


def check_amounts(core: Core, market: Market, request: OrderRequest) -> None:
    """Tick, lot, limits and order value."""
    instrument = market.instrument
    quantity, price = request.quantity, request.price
    if not quantity.is_finite() or quantity <= 0:
        raise Refused(Reason.BAD_QUANTITY)
    if not is_multiple(quantity, instrument.lot):
        raise Refused(Reason.BAD_LOT)
    if quantity < instrument.min_quantity:
        raise Refused(Reason.MIN_QUANTITY)
    limit = instrument.max_market_quantity if request.type is OrderType.MARKET else instrument.max_quantity
    if quantity > limit:
        raise Refused(Reason.MAX_QUANTITY)
    mark = market.mark(core.now)
    if request.type is OrderType.LIMIT:
        if price is None or not price.is_finite() or price <= 0:
            raise Refused(Reason.BAD_PRICE)
        if not is_multiple(price, instrument.tick):
            raise Refused(Reason.BAD_TICK)
        band = instrument.price_band
        if (request.side is Side.BUY and price > mark * (1 + band)) or (
            request.side is Side.SELL and price < mark * (1 - band)
        ):
            raise Refused(Reason.BAD_PRICE)
    value = quantity * instrument.contract_size * (price or mark)
    if not request.reduce_only and value < instrument.min_notional:
        raise Refused(Reason.MIN_NOTIONAL)


def check_margin(core: Core, account: Account, order: Order, worst_price: Decimal) -> None:
    """Refuse what the margin or the position limit at this leverage does not allow.

    An order that only reduces the one-way position needs no margin. Fees are reserved at the taker rate.
    """
    if order.reduce_only:
        return
    instrument = core.markets[order.instrument].instrument
    priced = replace(order, price=order.price or worst_price)
    before = margin.need(core, account, order.instrument).total
    after = margin.need(core, account, order.instrument, (priced,)).total
    if after <= before:
        return
    fee = max(ZERO, account.fees.taker) * margin.value_of(instrument, order.remaining, worst_price)
    if after - before + fee > margin.available(core, account):
        raise Refused(Reason.INSUFFICIENT_MARGIN)
    leverage = core.leverage(account, order.instrument)
    if after * leverage > margin.max_value(instrument, leverage):
        raise Refused(Reason.MAX_POSITION)
