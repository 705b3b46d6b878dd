"""Placing, changing and cancelling orders. REST and the private websocket use the same functions.

What happens to each order stands in its row: ``sCode`` 0, or why not. A reply is then as good as its rows: code 0 when
all went well, 1 when none did, 2 when some did.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.types import (
    MarginMode,
    Order,
    OrderRequest,
    OrderType,
    PositionSide,
    Reason,
    Refused,
    Side,
    TimeInForce,
)
from fundingarb_okx.localnet.codes import Asked, cancel_refusal, refusal
from fundingarb_okx.localnet.desk import Desk, price_limits
from fundingarb_okx.localnet.wire import ApiError, flag, number, parameter_error, text, whole

__all__ = [
    "AMEND",
    "CANCEL",
    "LARGEST_BATCH",
    "PLACE",
    "Operation",
    "cancel_all_after",
    "carry_out",
    "close_position",
    "failed_row",
    "outcome_of",
]

LARGEST_BATCH = 20
_CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_TAG = re.compile(r"[A-Za-z0-9]{1,16}")
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_MODES = {"cross": MarginMode.CROSS, "isolated": MarginMode.ISOLATED}
_TYPES = {
    "market": (OrderType.MARKET, TimeInForce.IOC),
    # "Market order with immediate-or-cancel order (applicable only to Expiry Futures and Perpetual Futures)"
    "optimal_limit_ioc": (OrderType.MARKET, TimeInForce.IOC),
    "limit": (OrderType.LIMIT, TimeInForce.GTC),
    "post_only": (OrderType.LIMIT, TimeInForce.POST_ONLY),
    "fok": (OrderType.LIMIT, TimeInForce.FOK),
    "ioc": (OrderType.LIMIT, TimeInForce.IOC),
}
_POSITIONS = {
    "": PositionSide.NET,
    "net": PositionSide.NET,
    "long": PositionSide.LONG,
    "short": PositionSide.SHORT,
}
_SPOT_MODE = "1"


class Operation(NamedTuple):
    """What is done to one order of a request."""

    run: Callable[[Desk, str, Mapping[str, Any]], Order]
    refuse: Callable[[Desk, str, Mapping[str, Any], Refused], ApiError]
    extra: str
    """The field that is given back besides the ids: ``tag``, ``reqId`` or none."""
    placed: str
    """``sMsg`` of success."""
    too_many: tuple[int, str]
    """Code and text for a batch that is too large."""


# -- placing ---------------------------------------------------------------------------------------------------


def _position_side(desk: Desk, account: str, params: Mapping[str, Any]) -> PositionSide:
    side = _POSITIONS.get(text(params, "posSide"))
    hedged = desk.truth.hedge_mode(account)
    if side is None or (side is not PositionSide.NET) != hedged:
        raise parameter_error("posSide")
    return side


def _client_id(params: Mapping[str, Any]) -> str:
    client_id = text(params, "clOrdId")
    if client_id and not _CLIENT_ID.fullmatch(client_id):
        raise parameter_error("clOrdId")
    return client_id


def _tag(params: Mapping[str, Any]) -> dict[str, str]:
    tag = text(params, "tag")
    if tag and not _TAG.fullmatch(tag):
        raise parameter_error("tag")
    return {"tag": tag} if tag else {}


def _check_account(desk: Desk, account: str) -> None:
    level = desk.truth.credentials(account).extra.get("account_level", "2")
    if level == _SPOT_MODE:
        raise ApiError(51010, "Request unsupported under current account mode")


def _request(desk: Desk, account: str, params: Mapping[str, Any]) -> OrderRequest:
    """The order that the parameters ask for."""
    instrument = desk.instrument(params)
    mode = _MODES.get(text(params, "tdMode"))
    if mode is None:
        raise parameter_error("tdMode")
    side = _SIDES.get(text(params, "side"))
    if side is None:
        raise parameter_error("side")
    kind = text(params, "ordType")
    if kind not in _TYPES:
        raise parameter_error("ordType")
    order_type, time_in_force = _TYPES[kind]
    quantity = number(params, "sz")
    if quantity is None or quantity <= 0:
        raise parameter_error("sz")
    price = number(params, "px") if order_type is OrderType.LIMIT else None
    if order_type is OrderType.LIMIT and (price is None or price <= 0):
        raise parameter_error("px")
    if params.get("attachAlgoOrds"):
        raise parameter_error("attachAlgoOrds")
    position_side = _position_side(desk, account, params)
    request = OrderRequest(
        instrument=instrument.id,
        side=side,
        quantity=quantity,
        type=order_type,
        price=price,
        time_in_force=time_in_force,
        # "Only applicable to MARGIN orders, and FUTURES/SWAP orders in net mode"
        reduce_only=flag(params, "reduceOnly") and position_side is PositionSide.NET,
        position_side=position_side,
        client_id=_client_id(params),
        margin_mode=mode,
        extra={"ordType": kind, **_tag(params)},
    )
    _check_closing(desk, account, request)
    return request


def _check_closing(desk: Desk, account: str, request: OrderRequest) -> None:
    """In long/short mode an order cannot close more than there is."""
    long = request.position_side is PositionSide.LONG
    if request.position_side is PositionSide.NET or long == (request.side is Side.BUY):
        return
    held = sum(
        (
            abs(position.quantity)
            for position in desk.truth.positions(account, request.instrument)
            if position.side is request.position_side
        ),
        Decimal(0),
    )
    if held and request.quantity > held:
        raise ApiError(51112, "Close order size exceeds available size for this position.")


def _in_mode(desk: Desk, account: str, instrument: str, mode: MarginMode | None) -> MarginMode | None:
    """Give the contract the margin mode an order asks for; the one it had before, where that changed."""
    before = desk.truth.margin_mode(account, instrument)
    if mode is None or before is mode:
        return None
    desk.truth.set_margin_mode(account, mode, instrument)
    return before


def _place(desk: Desk, account: str, params: Mapping[str, Any]) -> Order:
    _check_account(desk, account)
    request = _request(desk, account, params)
    before = _in_mode(desk, account, request.instrument, request.margin_mode)
    try:
        return desk.truth.place(account, request)
    except Refused:
        if before is not None:
            desk.truth.set_margin_mode(account, before, request.instrument)
        raise


def _place_refusal(desk: Desk, account: str, params: Mapping[str, Any], refused: Refused) -> ApiError:
    instrument = desk.instrument(params)
    asked = Asked(
        held=bool(desk.truth.positions(account, instrument.id)),
        buys=text(params, "side") == "buy",
        closes=text(params, "reduceOnly") == "true",
        market=text(params, "ordType") in ("market", "optimal_limit_ioc"),
        limits=price_limits(desk, instrument),
    )
    return refusal(refused, asked)


# -- cancelling and changing -----------------------------------------------------------------------------------


def _ids(params: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Order id and client id; the order id wins when both are there."""
    order_id, client_id = text(params, "ordId"), text(params, "clOrdId")
    if not order_id and not client_id:
        raise ApiError(51407, "Either order ID or client order ID is required.")
    return (order_id, None) if order_id else (None, client_id)


def _named(desk: Desk, account: str, params: Mapping[str, Any]) -> tuple[Instrument, str | None, str | None]:
    return (desk.instrument(params), *_ids(params))


def _cancel(desk: Desk, account: str, params: Mapping[str, Any]) -> Order:
    instrument, order_id, client_id = _named(desk, account, params)
    return desk.truth.cancel(account, instrument.id, order_id=order_id, client_id=client_id)


def _cancel_refusal(desk: Desk, account: str, params: Mapping[str, Any], refused: Refused) -> ApiError:
    return cancel_refusal(refused)


def _amend(desk: Desk, account: str, params: Mapping[str, Any]) -> Order:
    instrument, order_id, client_id = _named(desk, account, params)
    price, quantity = number(params, "newPx"), number(params, "newSz")
    if price is None and quantity is None:
        raise ApiError(51500, "You must enter a price, quantity, or TP/SL")
    return desk.truth.amend(
        account, instrument.id, order_id=order_id, client_id=client_id, price=price, quantity=quantity
    )


def _amend_refusal(desk: Desk, account: str, params: Mapping[str, Any], refused: Refused) -> ApiError:
    if refused.code is None and refused.reason in (Reason.UNKNOWN_ORDER, Reason.ORDER_NOT_OPEN):
        return ApiError(51503, "Your order has already been filled or canceled.")
    return _place_refusal(desk, account, params, refused)


PLACE = Operation(
    _place,
    _place_refusal,
    "tag",
    "Order placed",
    (51111, f"Maximum {LARGEST_BATCH} orders can be placed in bulk."),
)
CANCEL = Operation(
    _cancel,
    _cancel_refusal,
    "",
    "",
    (51406, f"Canceled - order count exceeds the limit {LARGEST_BATCH}."),
)
AMEND = Operation(
    _amend,
    _amend_refusal,
    "reqId",
    "",
    (51501, f"Maximum {LARGEST_BATCH} orders can be modified."),
)


# -- rows and outcomes -----------------------------------------------------------------------------------------


def _row(desk: Desk, operation: Operation, params: Mapping[str, Any]) -> dict[str, Any]:
    """What is given back of a request, whatever became of it."""
    row = {"clOrdId": str(params.get("clOrdId") or ""), "ordId": str(params.get("ordId") or "")}
    if operation.extra:
        row[operation.extra] = str(params.get(operation.extra) or "")
    return row | {"ts": desk.stamp(), "sCode": "0", "sMsg": operation.placed, "subCode": ""}


def failed_row(
    desk: Desk, operation: Operation, params: Mapping[str, Any], code: str, message: str
) -> dict[str, Any]:
    """The row of an order that was not carried out."""
    return _row(desk, operation, params) | {"sCode": code, "sMsg": message}


def _expired(desk: Desk, operation: Operation, deadline: str) -> bool:
    """Whether a request arrives after its ``expTime`` (unix milliseconds); cancellations have none."""
    if not deadline or operation is CANCEL:
        return False
    try:
        return desk.venue.age_ms(int(deadline)) > 0
    except ValueError:
        raise parameter_error("expTime") from None


def carry_out(
    desk: Desk, account: str, operation: Operation, entries: Sequence[Mapping[str, Any]], deadline: str = ""
) -> list[dict[str, Any]]:
    """Do it to each order on its own; a row for each."""
    if _expired(desk, operation, deadline):
        text = "The expTime can't be earlier than the current system time. Please adjust the expTime and try again."
        return [failed_row(desk, operation, params, "50036", text) for params in entries]
    rows = []
    for params in entries:
        row = _row(desk, operation, params)
        try:
            order = operation.run(desk, account, params)
            row |= {"clOrdId": order.client_id, "ordId": order.id}
        except ApiError as error:
            row |= {"sCode": error.code, "sMsg": error.message}
        except Refused as refused:
            answer = operation.refuse(desk, account, params, refused)
            row |= {"sCode": answer.code, "sMsg": answer.message}
        rows.append(row)
    return rows


def outcome_of(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Code and text of a reply with these rows."""
    failed = sum(1 for row in rows if row["sCode"] != "0")
    if not failed:
        return "0", ""
    if failed == len(rows):
        return "1", "All operations failed"
    return "2", "Bulk operation partially succeeded"


# -- the rest --------------------------------------------------------------------------------------------------


def cancel_all_after(desk: Desk, account: str, params: Mapping[str, Any]) -> list[Any]:
    """Arm the timer that cancels everything, or everything with a tag, in 10 to 120 (real) seconds; 0 disarms it.

    There is one for the account and one for each tag.
    """
    seconds = whole(params, "timeOut")
    if seconds is None or not (seconds == 0 or 10 <= seconds <= 120):
        raise parameter_error("timeOut")
    simulated = seconds * desk.venue.clock.speed
    tag = _tag(params).get("tag")
    desk.truth.cancel_after(account, None, simulated if seconds else None, tag)
    now = desk.now_ms()
    trigger = str(now + round(simulated * 1000)) if seconds else "0"
    return [{"triggerTime": trigger, "tag": tag or "", "ts": str(now)}]


def close_position(desk: Desk, account: str, params: Mapping[str, Any]) -> list[Any]:
    """Close a position at market."""
    instrument = desk.instrument(params)
    if text(params, "mgnMode") not in _MODES:
        raise parameter_error("mgnMode")
    side = _position_side(desk, account, params)
    held = [one for one in desk.truth.positions(account, instrument.id) if one.side is side]
    if not held:
        raise ApiError(51023, "Position doesn't exist.")
    if flag(params, "autoCxl"):
        desk.truth.cancel_all(account, instrument.id)
    desk.truth.place(
        account,
        OrderRequest(
            instrument=instrument.id,
            side=Side.SELL if held[0].quantity > 0 else Side.BUY,
            quantity=abs(held[0].quantity),
            type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
            position_side=side,
            client_id=_client_id(params),
            close_position=True,
            extra={"ordType": "market", **_tag(params)},
        ),
    )
    return [
        {
            "clOrdId": text(params, "clOrdId"),
            "instId": instrument.id,
            "posSide": side.value.lower(),
            "tag": text(params, "tag"),
        }
    ]
