"""Orders and fills in OKX's words: sizes in contracts, money and times as strings.

Fees are negative when paid. REST and the private channels share the rows; what only a channel has is added there.
"""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import (
    Fill,
    MarginMode,
    Order,
    OrderStatus,
    OrderType,
    PositionSide,
    Reason,
    Side,
    TimeInForce,
)
from fundingarb_okx.localnet.desk import SWAP, Desk
from fundingarb_okx.localnet.journal import Record
from fundingarb_okx.localnet.wire import money, plain

__all__ = [
    "bill_number",
    "fill_bill",
    "fill_row",
    "margin_mode",
    "order_event",
    "order_row",
    "position_side",
    "side_name",
    "side_number",
    "user_id",
]

ZERO = Decimal(0)

_STATES = {
    OrderStatus.NEW: "live",
    OrderStatus.PARTIALLY_FILLED: "partially_filled",
    OrderStatus.FILLED: "filled",
    OrderStatus.CANCELED: "canceled",
    OrderStatus.EXPIRED: "canceled",
    OrderStatus.REJECTED: "canceled",
}
_TYPES = {
    TimeInForce.GTC: "limit",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.POST_ONLY: "post_only",
}
_CANCEL_SOURCES = {
    Reason.CANCELLED_BY_USER: ("1", "Order canceled by user"),
    Reason.REDUCE_ONLY: (
        "22",
        "Order canceled: Reduce-only orders only allow reducing your current position. System has already "
        "canceled this order.",
    ),
    Reason.LIQUIDATION: (
        "3",
        "Order canceled: risk cancellation was triggered, pending order was canceled due to insufficient "
        "maintenance margin ratio and forced-liquidation risk",
    ),
    Reason.NOT_FILLABLE: ("13", "Order canceled: FOK order was canceled due to incompletely filled"),
    Reason.NO_LIQUIDITY: (
        "14",
        "Order canceled: IOC order was partially canceled due to incompletely filled",
    ),
    Reason.DEAD_MAN: ("20", "Cancel all after triggered"),
    Reason.POST_ONLY_WOULD_TAKE: ("31", "The post-only order will take liquidity in taker orders"),
}
_SYSTEM = ("0", "Order canceled by system")


def side_name(side: Side) -> str:
    return "buy" if side is Side.BUY else "sell"


def margin_mode(mode: MarginMode) -> str:
    return "cross" if mode is MarginMode.CROSS else "isolated"


def user_id(account: str) -> str:
    """The UID of an account."""
    return str(44_000_000_000_000_000 + zlib.crc32(account.encode()))


def position_side(side: PositionSide) -> str:
    return side.value.lower()


def _time(value: int) -> str:
    return str(value) if value else ""


# -- orders ----------------------------------------------------------------------------------------------------


def _order_type(order: Order) -> str:
    shown = order.extra.get("ordType", "")
    if shown:
        return shown
    return "market" if order.type is OrderType.MARKET else _TYPES[order.time_in_force]


def _category(order: Order) -> str:
    if order.liquidation:
        return "full_liquidation"
    return "adl" if order.adl else "normal"


def order_row(desk: Desk, order: Order) -> dict[str, Any]:
    """An order as REST shows it."""
    instrument = desk.truth.instruments[order.instrument]
    last = desk.journal.last(order.account, order.id)
    fill = last.fill if last is not None else None
    ended = order.status in (OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED)
    source, reason = "", ""
    if ended:
        source, reason = _CANCEL_SOURCES.get(order.reason, _SYSTEM) if order.reason else _SYSTEM
    return {
        "accFillSz": plain(order.filled),
        "algoClOrdId": "",
        "algoId": "",
        "attachAlgoClOrdId": "",
        "attachAlgoOrds": [],
        "avgPx": money(order.average_price) if order.filled else "",
        "cTime": str(order.created_ms),
        "cancelSource": source,
        "cancelSourceReason": reason,
        "category": _category(order),
        "ccy": "",
        "clOrdId": order.client_id,
        "fee": money(-order.fee),
        "feeCcy": instrument.settle,
        "fillPx": plain(fill.price) if fill is not None else "",
        "fillSz": plain(fill.quantity) if fill is not None else "0",
        "fillTime": str(fill.time_ms) if fill is not None else "",
        "instId": order.instrument,
        "instType": SWAP,
        "isTpLimit": "false",
        "lever": plain(desk.truth.leverage(order.account, order.instrument)),
        "linkedAlgoOrd": {"algoId": ""},
        "ordId": order.id,
        "ordType": _order_type(order),
        "pnl": money(order.realized),
        "posSide": position_side(order.position_side),
        "px": "" if order.price is None else plain(order.price),
        "pxType": "",
        "pxUsd": "",
        "pxVol": "",
        "quickMgnType": "",
        "rebate": "0",
        "rebateCcy": instrument.settle,
        "reduceOnly": "true" if order.reduce_only and order.position_side is PositionSide.NET else "false",
        "side": side_name(order.side),
        "slOrdPx": "",
        "slTriggerPx": "",
        "slTriggerPxType": "",
        "source": "",
        "state": _STATES[order.status],
        "stpId": "",
        "stpMode": "cancel_maker",
        "sz": plain(order.quantity),
        "tag": order.extra.get("tag", ""),
        "tdMode": margin_mode(order.margin_mode),
        "tgtCcy": "",
        "tpOrdPx": "",
        "tpTriggerPx": "",
        "tpTriggerPxType": "",
        "tradeId": fill.id if fill is not None else "",
        "tradeQuoteCcy": instrument.quote,
        "uTime": str(order.updated_ms),
    }


def order_event(desk: Desk, order: Order, record: Record | None, *, amended: bool = False) -> dict[str, Any]:
    """An order as the orders channel pushes it: its state and, with ``record``, the fill that made it so.

    The last fill is told once: a push without one carries none.
    """
    instrument = desk.truth.instruments[order.instrument]
    row = order_row(desk, order)
    mark = desk.truth.mark(order.instrument)
    fill = record.fill if record is not None else None
    value = order.quantity * instrument.contract_size * (order.price or mark)
    row |= {
        "amendResult": "0" if amended else "",
        "amendSource": "1" if amended else "",
        "code": "0",
        "execType": "" if fill is None else "M" if fill.maker else "T",
        "fillFee": "0" if fill is None else money(-fill.fee),
        "fillFeeCcy": "" if fill is None else fill.fee_asset,
        "fillFwdPx": "",
        "fillIdxPx": "" if record is None else plain(record.index),
        "fillMarkPx": "" if record is None else plain(record.mark),
        "fillMarkVol": "",
        "fillNotionalUsd": "" if fill is None else money(fill.value),
        "fillPnl": "0" if fill is None else money(fill.realized),
        "fillPx": "" if fill is None else plain(fill.price),
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillSz": "0" if fill is None else plain(fill.quantity),
        "fillTime": "" if fill is None else str(fill.time_ms),
        "instIdCode": desk.codes[order.instrument],
        "lastPx": plain(desk.truth.ticker(order.instrument).last),
        "msg": "",
        "notionalUsd": money(value),
        "reqId": "",
        "tradeId": "" if fill is None else fill.id,
    }
    return row


# -- fills -----------------------------------------------------------------------------------------------------


def bill_number(time_ms: int, number: int) -> int:
    """A bill's id, ascending with time and, within a millisecond, with the number of its ledger row."""
    return (time_ms << 20) + number % (1 << 20)


def fill_bill(record: Record) -> int:
    """The bill of a fill, the same in the fills and in the bills; a fill that moved no money has none."""
    fill = record.fill
    return bill_number(fill.time_ms, fill.sequence if record.ledger_id is None else record.ledger_id)


def side_number(fill: Fill) -> str:
    """``subType`` of a trade: what the fill did, by position mode and by force."""
    buys = fill.side is Side.BUY
    if fill.position_side is PositionSide.NET:
        normal = "1" if buys else "2"
        liquidated, deleveraged = ("106", "127") if buys else ("107", "128")
    else:
        long = fill.position_side is PositionSide.LONG
        normal = ("3" if buys else "5") if long else ("6" if buys else "4")
        liquidated, deleveraged = ("104", "125") if long else ("105", "126")
    return liquidated if fill.liquidation else deleveraged if fill.adl else normal


def fill_row(record: Record) -> dict[str, Any]:
    """A fill as REST lists it."""
    fill = record.fill
    return {
        "billId": str(fill_bill(record)),
        "clOrdId": fill.client_id,
        "execType": "M" if fill.maker else "T",
        "fee": money(-fill.fee),
        "feeCcy": fill.fee_asset,
        "feeRate": plain(-fill.fee_rate),
        "fillFwdPx": "",
        "fillIdxPx": plain(record.index),
        "fillMarkPx": plain(record.mark),
        "fillMarkVol": "",
        "fillPnl": money(fill.realized),
        "fillPx": plain(fill.price),
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillSz": plain(fill.quantity),
        "fillTime": str(fill.time_ms),
        "instId": fill.instrument,
        "instType": SWAP,
        "ordId": fill.order_id,
        "posSide": position_side(fill.position_side),
        "side": side_name(fill.side),
        "subType": side_number(fill),
        "tag": record.order.extra.get("tag", ""),
        "tradeId": fill.id,
        "tradeQuoteCcy": "USDT",
        "ts": str(fill.time_ms),
    }
