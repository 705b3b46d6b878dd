"""Orders: taking, matching, amending and cancelling them, and the market's flow against those that rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from fundingarb.localnet.truth import checks
from fundingarb.localnet.truth.core import Account, Core
from fundingarb.localnet.truth.events import PublicTrade
from fundingarb.localnet.truth.fills import fill, reducible, trim_reduce_only
from fundingarb.localnet.truth.market import Market
from fundingarb.localnet.truth.money import floor_to
from fundingarb.localnet.truth.types import (
    Cause,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Reason,
    Refused,
    Side,
    TimeInForce,
)
from fundingarb.localnet.truth.views import Trade

__all__ = ["amend", "build", "cancel", "expire_due", "flow_step", "place", "preview", "take_market"]


@dataclass(frozen=True, slots=True)
class _Offer:
    """Something a taker can trade with: a level of the market, or a resting order."""

    ticks: int
    lots: int
    order: Order | None = None


def place(core: Core, account: Account, request: OrderRequest) -> Order:
    """Take and match an order; its state after that."""
    order = preview(core, account, request)
    market = core.markets[order.instrument]
    would_take = _would_take(core, market, order)
    if would_take and core.rules.post_only_crossing == "refuse":
        raise Refused(Reason.POST_ONLY_WOULD_TAKE)
    _register(core, account, order)
    cap = account.fill_limit
    if cap is not None:
        account.fill_limit = None
        core.fill_caps[order.id] = floor_to(order.quantity * cap, market.instrument.lot)
    core.order_changed(order, "NEW")
    if would_take:
        core.end_order(account, order, OrderStatus.CANCELED, Reason.POST_ONLY_WOULD_TAKE)
        return order
    if order.time_in_force is TimeInForce.FOK and not _covers(core, market, order):
        core.end_order(account, order, OrderStatus.EXPIRED, Reason.NOT_FILLABLE)
        return order
    _execute(core, account, market, order)
    _settle_rest(core, account, market, order)
    return order


def preview(core: Core, account: Account, request: OrderRequest) -> Order:
    """The order a request would become; everything that would be refused at once is."""
    request = checks.normalise(core, account, request)
    order = build(core, account, request)
    checks.check_margin(core, account, order, _worst_price(core, core.markets[order.instrument], order))
    return order


def build(core: Core, account: Account, request: OrderRequest) -> Order:
    """An order without an id, not yet known to anyone."""
    market_order = request.type is OrderType.MARKET
    return Order(
        id=request.order_id or "",
        account=account.name,
        instrument=request.instrument,
        side=request.side,
        type=request.type,
        time_in_force=request.time_in_force,
        quantity=request.quantity,
        price=None if market_order else request.price,
        client_id=request.client_id,
        reduce_only=request.reduce_only,
        position_side=request.position_side,
        created_ms=core.now_ms,
        updated_ms=core.now_ms,
        expires_ms=request.expires_ms,
        margin_mode=account.mode_of(request.instrument),
        close_position=request.close_position,
        extra=dict(request.extra),
    )


def _register(core: Core, account: Account, order: Order) -> None:
    order.sequence, generated = core.next_order_id()
    order.id = order.id or generated
    account.orders[order.id] = order
    account.open[order.id] = order
    if order.client_id:
        account.by_client[order.client_id] = order


def _worst_price(core: Core, market: Market, order: Order) -> Decimal:
    """What margin is reserved at: the limit, or the worst price a market order meets in the book."""
    if order.price is not None:
        return order.price
    wanted = market.lots(order.remaining)
    price = market.mark(core.now)
    for offer in _offers(core, market, order):
        price = market.price_of(offer.ticks)
        wanted -= offer.lots
        if wanted <= 0:
            break
    return price


def _offers(core: Core, market: Market, order: Order) -> Iterator[_Offer]:
    """What the order can trade with, best price first; at a price the market before resting orders."""
    side = order.side.opposite
    offers = [_Offer(level.ticks, level.lots) for level in market.levels(side, core.now)]
    offers.extend(
        _Offer(market.ticks(resting.price), market.lots(_executable(core, resting)), resting)
        for resting in market.resting.values()
        if resting.side is side and resting.price is not None and resting is not order
    )
    descending = side is Side.BUY
    # a stable sort: the market was listed first, and resting orders in the order in which they came to rest
    offers.sort(key=lambda offer: -offer.ticks if descending else offer.ticks)
    limit = market.ticks(order.price) if order.price is not None else None
    for offer in offers:
        if limit is not None and (offer.ticks < limit if descending else offer.ticks > limit):
            return
        if offer.lots > 0:
            yield offer


def _would_take(core: Core, market: Market, order: Order) -> bool:
    """Whether a post-only order would trade at once."""
    if order.time_in_force is not TimeInForce.POST_ONLY:
        return False
    return next(_offers(core, market, order), None) is not None


def _covers(core: Core, market: Market, order: Order) -> bool:
    """Whether the book can fill the whole order at once."""
    if order.id in core.fill_caps:
        return False
    wanted = market.lots(order.remaining)
    for offer in _offers(core, market, order):
        wanted -= offer.lots
        if wanted <= 0:
            return True
    return False


def _executable(core: Core, order: Order) -> Decimal:
    """How much of an open order may still fill: what remains, what a fault allows, what there is to reduce."""
    quantity = order.remaining
    cap = core.fill_caps.get(order.id)
    if cap is not None:
        quantity = min(quantity, cap - order.filled)
    if order.reduce_only:
        account = core.accounts[order.account]
        quantity = min(quantity, reducible(account, order.instrument, order.side, order.position_side))
    return quantity


def _execute(core: Core, account: Account, market: Market, order: Order) -> None:
    """Trade with what the book offers until the order is done or nothing is left within its limit."""
    for offer in list(_offers(core, market, order)):
        wanted = market.lots(_executable(core, order))
        if wanted <= 0:
            return
        resting = offer.order
        lots = min(wanted, offer.lots)
        if resting is not None:
            if not resting.status.open:
                continue
            lots = min(wanted, market.lots(_executable(core, resting)))
            if lots <= 0:
                continue
        else:
            market.take(order.side.opposite, offer.ticks, lots, core.now)
        price, quantity = market.price_of(offer.ticks), market.quantity_of(lots)
        _public(core, market, order.side, price, quantity)
        fill(core, account, order, price, quantity, maker=False)
        if resting is not None:
            _fill_resting(core, resting, price, quantity)
        trim_reduce_only(core, account, order.instrument)


def _fill_resting(core: Core, order: Order, price: Decimal, quantity: Decimal) -> None:
    owner = core.accounts[order.account]
    fill(core, owner, order, price, quantity, maker=True)
    trim_reduce_only(core, owner, order.instrument)


def _public(core: Core, market: Market, side: Side, price: Decimal, quantity: Decimal) -> None:
    sequence = core.next_sequence()
    trade = Trade(f"9{sequence:012d}", core.now_ms, side, price, quantity)
    market.recent.append(trade)
    core.emit(PublicTrade(sequence, core.now_ms, market.instrument.id, side, price, quantity, trade.id))


def _settle_rest(core: Core, account: Account, market: Market, order: Order) -> None:
    """Rest what may rest; end what may not."""
    if not order.status.open:
        return
    if order.reduce_only and not reducible(account, order.instrument, order.side, order.position_side):
        core.end_order(account, order, OrderStatus.EXPIRED, Reason.REDUCE_ONLY)
    elif order.type is OrderType.MARKET or order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        core.end_order(account, order, OrderStatus.EXPIRED, Reason.NO_LIQUIDITY)
    else:
        market.add(order, core.now)


def find(account: Account, instrument: str, order_id: str | None, client_id: str | None) -> Order:
    """An order of the account in any state; ``Refused(UNKNOWN_ORDER)`` when there is none."""
    order = None
    if order_id:
        order = account.orders.get(order_id)
    elif client_id:
        order = account.by_client.get(client_id)
    if order is None or order.instrument != instrument:
        raise Refused(Reason.UNKNOWN_ORDER)
    return order


def cancel(core: Core, account: Account, order: Order, reason: Reason = Reason.CANCELLED_BY_USER) -> None:
    if not order.status.open:
        raise Refused(Reason.ORDER_NOT_OPEN)
    core.end_order(account, order, OrderStatus.CANCELED, reason)


def amend(
    core: Core, account: Account, order: Order, price: Decimal | None, quantity: Decimal | None
) -> None:
    """Change an open order in place; it goes to the back of the queue and may match at once."""
    if not order.status.open:
        raise Refused(Reason.ORDER_NOT_OPEN)
    market = core.markets[order.instrument]
    new_price = price if price is not None else order.price
    new_quantity = quantity if quantity is not None else order.quantity
    if new_price == order.price and new_quantity == order.quantity:
        raise Refused(Reason.NOT_MODIFIED)
    checks.check_amounts(
        core,
        market,
        OrderRequest(
            order.instrument,
            order.side,
            new_quantity,
            order.type,
            new_price,
            reduce_only=order.reduce_only,
        ),
    )
    changed = replace(order, price=new_price, quantity=new_quantity)
    del account.open[order.id]
    try:
        if new_quantity > order.filled:
            checks.check_margin(core, account, changed, new_price or market.mark(core.now))
            if _would_take(core, market, changed):
                raise Refused(Reason.POST_ONLY_WOULD_TAKE)
    finally:
        account.open[order.id] = order
    if new_quantity <= order.filled:
        core.end_order(account, order, OrderStatus.CANCELED, Reason.CANCELLED_BY_USER)
        return
    market.remove(order)
    order.price, order.quantity, order.updated_ms = new_price, new_quantity, core.now_ms
    core.order_changed(order, "AMENDED")
    _execute(core, account, market, order)
    _settle_rest(core, account, market, order)


def expire_due(core: Core) -> None:
    """End the orders whose time is up, and fire the dead-man timers."""
    for account in core.accounts.values():
        due = [o for o in account.open.values() if o.expires_ms is not None and o.expires_ms <= core.now_ms]
        for order in due:
            core.end_order(account, order, OrderStatus.EXPIRED, Reason.EXPIRED)
        for (instrument, tag), deadline in list(account.dead_man.items()):
            if deadline > core.now:
                continue
            del account.dead_man[instrument, tag]
            for order in list(account.open.values()):
                if instrument in (None, order.instrument) and tag in (None, order.extra.get("tag")):
                    core.end_order(account, order, OrderStatus.CANCELED, Reason.DEAD_MAN)


def flow_step(core: Core, market: Market, step: int) -> None:
    """One grid step of a market in which orders rest: first the moved book trades with them, then the flow."""
    for side in Side:
        _swept(core, market, side)
    if not market.resting:
        return
    for order in market.flow(step, core.now):
        _flow_against(core, market, order.side, order.lots)


def _resting(market: Market, side: Side) -> list[Order]:
    """Resting orders of a side in price-time priority."""
    orders = [order for order in market.resting.values() if order.side is side]
    orders.sort(key=lambda order: -side.sign * (order.price or 0))
    return orders


def _swept(core: Core, market: Market, side: Side) -> None:
    """The market's book has moved through a resting order: it trades as maker at its own price."""
    other = side.opposite
    for order in _resting(market, side):
        if order.price is None or not order.status.open:
            continue
        limit = market.ticks(order.price)
        best = market.best(other, core.now)
        if best is None or (best - limit) * side.sign > 0:
            return
        crossing = [
            level for level in market.levels(other, core.now) if (level.ticks - limit) * side.sign <= 0
        ]
        for level in crossing:
            lots = min(level.lots, market.lots(_executable(core, order)))
            if lots <= 0 or not order.status.open:
                break
            market.take(other, level.ticks, lots, core.now)
            quantity = market.quantity_of(lots)
            _public(core, market, other, order.price, quantity)
            _fill_resting(core, order, order.price, quantity)


def _flow_against(core: Core, market: Market, taker: Side, lots: int) -> None:
    """A taker of the market meets resting orders at or inside the touch, behind what was there before them."""
    side = taker.opposite
    best = market.best(side, core.now)
    for order in _resting(market, side):
        if lots <= 0:
            return
        if order.price is None or not order.status.open:
            continue
        ticks = market.ticks(order.price)
        if best is not None and (best - ticks) * side.sign > 0:
            return
        if best is not None and ticks == best:
            ahead = market.queue.get(order.id, 0)
            passed = min(ahead, lots)
            market.queue[order.id] = ahead - passed
            lots -= passed
        else:
            market.queue[order.id] = 0
        size = min(lots, market.lots(_executable(core, order)))
        if size <= 0:
            continue
        lots -= size
        quantity = market.quantity_of(size)
        _public(core, market, taker, order.price, quantity)
        _fill_resting(core, order, order.price, quantity)


def take_market(
    core: Core, account: Account, order: Order, price: Decimal, cause: Cause, fee_rate: Decimal | None
) -> None:
    """A forced close: the whole order at one price, announced like any other order."""
    _register(core, account, order)
    core.order_changed(order, "NEW")
    market = core.markets[order.instrument]
    _public(core, market, order.side, price, order.quantity)
    fill(core, account, order, price, order.quantity, maker=False, cause=cause, fee_rate=fee_rate)
    trim_reduce_only(core, account, order.instrument)
