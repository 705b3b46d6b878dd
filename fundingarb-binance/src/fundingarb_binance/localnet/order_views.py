"""Orders and fills in Binance's words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import Fill, Order, OrderStatus, PositionSide, TimeInForce
from fundingarb_binance.localnet.context import Context
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.numbers import fixed, money

__all__ = [
    "acknowledged",
    "average",
    "client_order_id",
    "order_answer",
    "order_row",
    "side_of",
    "tif_of",
    "trade_row",
]

_TIME_IN_FORCE = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "GTX",
}


def side_of(side: PositionSide) -> str:
    """``positionSide``: the one-way position is BOTH."""
    return "BOTH" if side is PositionSide.NET else side.value


def tif_of(order: Order) -> str:
    return order.extra.get("timeInForce") or _TIME_IN_FORCE[order.time_in_force]


def client_order_id(order: Order) -> str:
    """The client's id; orders of the liquidation engine and of ADL have names of their own."""
    if order.adl:
        return "adl_autoclose"
    if order.liquidation:
        return f"autoclose-{order.created_ms}{order.sequence:06d}"
    return order.client_id


def average(listing: Listing, order: Order) -> str:
    """``avgPrice``, with the digits of price and quantity together."""
    return fixed(order.average_price, listing.price_precision + listing.quantity_precision)


def _common(context: Context, order: Order) -> dict[str, Any]:
    listing = context.listings[order.instrument]
    price = order.price or Decimal(0)
    return {
        "orderId": int(order.id),
        "symbol": order.instrument,
        "status": order.status.value,
        "clientOrderId": client_order_id(order),
        "price": context.price(listing, price),
        "avgPrice": average(listing, order),
        "origQty": context.quantity(listing, order.quantity),
        "executedQty": context.quantity(listing, order.filled),
        "cumQuote": fixed(order.filled_value, listing.price_precision + listing.quantity_precision),
        "timeInForce": tif_of(order),
        "type": order.type.value,
        "reduceOnly": order.reduce_only and order.position_side is PositionSide.NET,
        "closePosition": order.close_position,
        "side": order.side.value,
        "positionSide": side_of(order.position_side),
        "stopPrice": context.price(listing, Decimal(0)),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.type.value,
        "priceMatch": "NONE",
        "selfTradePreventionMode": order.extra.get("selfTradePreventionMode", "EXPIRE_MAKER"),
        "goodTillDate": int(order.extra.get("goodTillDate", "0")),
    }


def order_answer(context: Context, order: Order) -> dict[str, Any]:
    """The answer to placing, amending or cancelling."""
    common = _common(context, order)
    common["cumQty"] = common["executedQty"]
    common["updateTime"] = order.updated_ms
    if not order.filled:
        common["avgPrice"] = context.price(context.listings[order.instrument], Decimal(0))
    return common


def acknowledged(context: Context, order: Order) -> dict[str, Any]:
    """The answer of type ACK: the order as it was taken, whatever became of it at once."""
    listing = context.listings[order.instrument]
    nothing = context.quantity(listing, Decimal(0))
    return {
        **order_answer(context, order),
        "status": OrderStatus.NEW.value,
        "avgPrice": context.price(listing, Decimal(0)),
        "executedQty": nothing,
        "cumQty": nothing,
        "cumQuote": fixed(Decimal(0), listing.price_precision + listing.quantity_precision),
        "updateTime": order.created_ms,
    }


def order_row(context: Context, order: Order) -> dict[str, Any]:
    """An order as queries show it."""
    return {**_common(context, order), "time": order.created_ms, "updateTime": order.updated_ms}


def trade_row(context: Context, fill: Fill) -> dict[str, Any]:
    """A fill as ``userTrades`` shows it."""
    listing = context.listings[fill.instrument]
    return {
        "symbol": fill.instrument,
        "id": int(fill.id),
        "orderId": int(fill.order_id),
        "side": fill.side.value,
        "price": context.price(listing, fill.price),
        "qty": context.quantity(listing, fill.quantity),
        "realizedPnl": money(fill.realized),
        "marginAsset": fill.fee_asset,
        "quoteQty": fixed(fill.value, listing.price_precision + listing.quantity_precision),
        "commission": money(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time_ms,
        "positionSide": side_of(fill.position_side),
        "buyer": fill.side.value == "BUY",
        "maker": fill.maker,
    }
