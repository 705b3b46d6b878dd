"""Orders: placing, changing, cancelling and reading them. REST and the /v5/trade stream use the same functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any

from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.types import (
    Order,
    OrderRequest,
    OrderType,
    PositionSide,
    Refused,
    Side,
    TimeInForce,
)
from fundingarb_bybit.localnet.desk import DAY, Desk, Reply, translate
from fundingarb_bybit.localnet.render import CATEGORY, order_row
from fundingarb_bybit.localnet.wire import ApiError, flag, number, page, plain, text, whole

__all__ = [
    "amend",
    "amend_batch",
    "cancel",
    "cancel_all",
    "cancel_batch",
    "create",
    "create_batch",
    "disconnected_cancel_all",
    "history",
    "realtime",
]

ZERO = Decimal(0)
_LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_TYPES = {"Market": OrderType.MARKET, "Limit": OrderType.LIMIT}
_TIME_IN_FORCE = {
    "": TimeInForce.GTC,
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.POST_ONLY,
}
_POSITIONS = {0: PositionSide.NET, 1: PositionSide.LONG, 2: PositionSide.SHORT}
_KEPT = ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice", "tpTriggerBy", "slTriggerBy")
_BATCH = 20
_RECENT = 500


def _worst_price(desk: Desk, instrument: Instrument, side: Side) -> Decimal:
    """The limit that Bybit gives a market order: as far from the mark as an order may be."""
    price = desk.truth.mark(instrument.id) * (1 + side.sign * instrument.price_band)
    return (price / instrument.tick).quantize(Decimal(1), rounding=ROUND_DOWN) * instrument.tick


def _link_id(params: Mapping[str, Any]) -> str:
    link_id = text(params, "orderLinkId")
    if link_id and not _LINK_ID.fullmatch(link_id):
        raise ApiError(10001, "params error: OrderLinkId invalid")
    return link_id


def _request(desk: Desk, params: Mapping[str, Any]) -> OrderRequest:
    """The order that the parameters ask for."""
    instrument = desk.instrument(params)
    side = _SIDES.get(text(params, "side"))
    kind = _TYPES.get(text(params, "orderType"))
    if side is None:
        raise ApiError(10001, "Side invalid")
    if kind is None:
        raise ApiError(10001, "OrderType invalid")
    shown = text(params, "timeInForce")
    if shown == "RPI":
        raise ApiError(110119, "RPI orders are restricted to approved market makers only")
    time_in_force = _TIME_IN_FORCE.get(shown)
    if time_in_force is None:
        raise ApiError(10001, "TimeInForce invalid")
    if text(params, "triggerPrice"):
        raise ApiError(10001, "params error: conditional orders are not offered by this localnet")
    quantity = number(params, "qty")
    if quantity is None or quantity < 0:
        raise ApiError(10001, "Qty invalid")
    reduce_only, close = flag(params, "reduceOnly"), flag(params, "closeOnTrigger")
    whole_position = quantity == 0 and reduce_only and close
    price = number(params, "price") if kind is OrderType.LIMIT else None
    if kind is OrderType.LIMIT and price is None:
        raise ApiError(10001, "Price invalid")
    index = whole(params, "positionIdx")
    position = _POSITIONS.get(0 if index is None else index)
    if position is None:
        raise ApiError(10001, "position idx not match position mode")
    extra = {name: value for name in _KEPT if (value := text(params, name))}
    if reduce_only and (extra.get("takeProfit") or extra.get("stopLoss")):
        raise ApiError(110057, "Conditional order or limit order contains TP/SL related params")
    if extra:
        extra["tpslMode"] = text(params, "tpslMode") or "Full"
    if close:
        extra["closeOnTrigger"] = "true"
    extra["lastPrice"] = plain(desk.truth.ticker(instrument.id).last)
    if kind is OrderType.MARKET:
        extra["worstPrice"] = str(_worst_price(desk, instrument, side))
    return OrderRequest(
        instrument=instrument.id,
        side=side,
        quantity=quantity,
        type=kind,
        price=price,
        time_in_force=TimeInForce.IOC if kind is OrderType.MARKET else time_in_force,
        reduce_only=reduce_only or close,
        position_side=position,
        client_id=_link_id(params),
        close_position=whole_position,
        extra=extra,
    )


def create(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Take an order. The answer only says that it was taken; the order stream tells the rest."""
    desk.linear(params)
    order = desk.truth.place(account, _request(desk, params))
    return {"orderId": order.id, "orderLinkId": order.client_id}


def _ids(params: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Order id and link id; the order id wins when both are there."""
    order_id, link_id = text(params, "orderId"), text(params, "orderLinkId")
    if not order_id and not link_id:
        raise ApiError(10001, "params error: orderId or orderLinkId is required")
    return (order_id, None) if order_id else (None, link_id)


def amend(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Change price or total quantity of an open order."""
    desk.linear(params)
    instrument = desk.instrument(params)
    order_id, link_id = _ids(params)
    order = desk.truth.amend(
        account,
        instrument.id,
        order_id=order_id,
        client_id=link_id,
        price=number(params, "price"),
        quantity=number(params, "qty"),
    )
    return {"orderId": order.id, "orderLinkId": order.client_id}


def cancel(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    desk.linear(params)
    instrument = desk.instrument(params)
    order_id, link_id = _ids(params)
    order = desk.truth.cancel(account, instrument.id, order_id=order_id, client_id=link_id)
    return {"orderId": order.id, "orderLinkId": order.client_id}


def _chosen(desk: Desk, params: Mapping[str, Any]) -> set[str]:
    """The contracts that symbol, baseCoin or settleCoin select; linear requires one of them."""
    if text(params, "symbol"):
        return {desk.instrument(params).id}
    base, settle = text(params, "baseCoin"), text(params, "settleCoin")
    if not base and not settle:
        raise ApiError(
            10001, "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin"
        )
    return {
        instrument.id
        for instrument in desk.truth.instruments.values()
        if (instrument.base == base if base else instrument.settle == settle)
    }


def cancel_all(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    desk.linear(params)
    cancelled: list[Order] = []
    chosen = _chosen(desk, params)
    if chosen == set(desk.truth.instruments):
        cancelled = desk.truth.cancel_all(account)
    else:
        for name in sorted(chosen):
            cancelled += desk.truth.cancel_all(account, name)
    return {
        "list": [{"orderId": order.id, "orderLinkId": order.client_id} for order in cancelled],
        "success": "1",
    }


def _batch(
    desk: Desk,
    account: str,
    params: Mapping[str, Any],
    path: str,
    one: Callable[[Desk, str, Mapping[str, Any]], dict[str, Any]],
) -> Reply:
    """Each request of a batch on its own; what happened to it is in ``retExtInfo``."""
    desk.linear(params)
    requests = params.get("request")
    if not isinstance(requests, list) or not requests:
        raise ApiError(10001, "params error: request is required")
    if len(requests) > _BATCH:
        raise ApiError(10001, f"params error: at most {_BATCH} orders in a batch")
    rows, outcomes = [], []
    for entry in requests:
        if not isinstance(entry, dict):
            raise ApiError(10001, "params error: request invalid")
        row = {
            "category": CATEGORY,
            "symbol": str(entry.get("symbol") or ""),
            "orderId": str(entry.get("orderId") or ""),
            "orderLinkId": str(entry.get("orderLinkId") or ""),
        }
        outcome = {"code": 0, "msg": "OK"}
        created = ""
        try:
            row |= one(desk, account, entry | {"category": CATEGORY})
            created = str(desk.now_ms())
        except ApiError as error:
            outcome = {"code": error.code, "msg": error.message}
        except Refused as refused:
            answer = translate(desk, refused, path, account)
            outcome = {"code": answer.code, "msg": answer.message}
        if one is create:
            row["createAt"] = created
        rows.append(row)
        outcomes.append(outcome)
    return Reply({"list": rows}, ext={"list": outcomes})


def create_batch(desk: Desk, account: str, params: Mapping[str, Any]) -> Reply:
    return _batch(desk, account, params, "/v5/order/create", create)


def amend_batch(desk: Desk, account: str, params: Mapping[str, Any]) -> Reply:
    return _batch(desk, account, params, "/v5/order/amend", amend)


def cancel_batch(desk: Desk, account: str, params: Mapping[str, Any]) -> Reply:
    return _batch(desk, account, params, "/v5/order/cancel", cancel)


# -- reading ---------------------------------------------------------------------------------------------------


def _named(desk: Desk, account: str, params: Mapping[str, Any]) -> list[Order] | None:
    """The order that orderId or orderLinkId name, in any state; None when neither is there."""
    order_id, link_id = text(params, "orderId"), text(params, "orderLinkId")
    if order_id:
        order = desk.truth.order(account, order_id=order_id)
    elif link_id:
        order = desk.truth.order(account, client_id=link_id)
    else:
        return None
    return [] if order is None else [order]


def _order_page(desk: Desk, orders: list[Order], params: Mapping[str, Any]) -> dict[str, Any]:
    """Newest first."""
    orders.sort(key=lambda order: (order.created_ms, order.sequence), reverse=True)
    taken, cursor = page(orders, lambda order: order.id, params, limit=20, highest=50)
    instruments = desk.truth.instruments
    rows = [order_row(instruments[order.instrument], order, padded=True) for order in taken]
    return {"list": rows, "nextPageCursor": cursor, "category": CATEGORY}


def realtime(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Open orders; with ``openOnly`` 1 the newest closed ones; by id an order in any state."""
    category = desk.category(params)
    if category != CATEGORY:
        return desk.nothing(category)
    chosen = _chosen(desk, params)
    orders = _named(desk, account, params)
    if orders is None:
        if whole(params, "openOnly") in (None, 0):
            orders = [o for o in desk.truth.open_orders(account) if o.instrument in chosen]
        else:
            closed = [o for o in desk.truth.orders(account) if not o.status.open and o.instrument in chosen]
            orders = closed[-_RECENT:]
    return _order_page(desk, [o for o in orders if o.instrument in chosen], params)


def history(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Closed orders of up to seven days."""
    category = desk.category(params)
    if category != CATEGORY:
        return desk.nothing(category)
    orders = _named(desk, account, params)
    if orders is None:
        start, end = desk.window(params, default=7 * DAY, longest=7 * DAY)
        orders = desk.truth.orders(account, start_ms=start, end_ms=end)
        symbol, base = text(params, "symbol"), text(params, "baseCoin")
        if symbol:
            name = desk.instrument(params).id
            orders = [order for order in orders if order.instrument == name]
        elif base:
            orders = [o for o in orders if desk.truth.instruments[o.instrument].base == base]
    status = text(params, "orderStatus")
    closed = [order for order in orders if not order.status.open]
    if status:
        instruments = desk.truth.instruments
        closed = [
            order
            for order in closed
            if order_row(instruments[order.instrument], order, padded=True)["orderStatus"] == status
        ]
    return _order_page(desk, closed, params)


def disconnected_cancel_all(desk: Desk, account: str, params: Mapping[str, Any]) -> Reply:
    """Set the window of the disconnect protection, of options unless another product is named.

    What Bybit answers to an account that was not granted it is not documented; here it is a missing permission.
    """
    window = whole(params, "timeWindow")
    if window is None or not 3 <= window <= 300:
        raise ApiError(10001, "params error: timeWindow must be between 3 and 300")
    product = text(params, "product") or "OPTIONS"
    if product not in ("OPTIONS", "DERIVATIVES", "SPOT"):
        raise ApiError(10001, "params error: product invalid")
    protection = desk.protection(account)
    if not protection.enabled:
        raise ApiError(10005, "Permission denied, please check your API key permissions.")
    if product == "DERIVATIVES":
        protection.window = float(window)
    return Reply({}, message="success")
