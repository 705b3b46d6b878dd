"""Bybit's return codes: what the truth refuses, and what injected faults look like on the wire.

Codes are those of the documentation's error table; texts are the ones Bybit sends with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.truth.types import Reason, Refused
from fundingarb_bybit.localnet.wire import ApiError

__all__ = ["Outcome", "failure_outcome", "number_of", "refusal"]

LEVERAGE = "/v5/position/set-leverage"
POSITION_MODE = "/v5/position/switch-mode"
MARGIN_MODE = "/v5/account/set-margin-mode"

_CODES: dict[Reason, tuple[int, str]] = {
    Reason.UNKNOWN_INSTRUMENT: (10001, "Not supported symbols"),
    Reason.UNKNOWN_ORDER: (110001, "order not exists or too late to cancel"),
    Reason.ORDER_NOT_OPEN: (110001, "order not exists or too late to cancel"),
    Reason.DUPLICATE_CLIENT_ID: (110072, "OrderLinkedID is duplicate"),
    Reason.BAD_PRICE: (110003, "price is invalid"),
    Reason.BAD_TICK: (10001, "Price invalid"),
    Reason.BAD_QUANTITY: (10001, "Qty invalid"),
    Reason.BAD_LOT: (10001, "Qty invalid"),
    Reason.MIN_QUANTITY: (10001, "The number of contracts exceeds minimum limit allowed"),
    Reason.MAX_QUANTITY: (10001, "The number of contracts exceeds maximum limit allowed: too large"),
    Reason.MIN_NOTIONAL: (110094, "Order does not meet minimum order value 5USDT"),
    Reason.INSUFFICIENT_MARGIN: (110007, "ab not enough for new order"),
    Reason.REDUCE_ONLY: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Reason.REDUCE_ONLY_TOO_LARGE: (110017, "Reduce-only rule not satisfied"),
    Reason.POSITION_SIDE: (10001, "position idx not match position mode"),
    Reason.POSITION_MODE_LOCKED: (
        110024,
        "You have an existing position, so the position mode cannot be switched",
    ),
    Reason.MARGIN_MODE_LOCKED: (3400045, "Set margin mode failed"),
    Reason.LEVERAGE_OUT_OF_RANGE: (110013, "cannot set leverage due to risk limit level"),
    Reason.LEVERAGE_TOO_LOW_FOR_POSITION: (110012, "ab not enough"),
    Reason.MAX_POSITION: (
        110090,
        "Order placement failed as your position may exceed the max limit. Please adjust your leverage",
    ),
    Reason.NOT_TRADING: (110074, "This contract is not live"),
    Reason.TOO_MANY_ORDERS: (110020, "Not allowed to have more than 500 active orders"),
    Reason.NO_LIQUIDITY: (110118, "Unable to retrieve a price of the market order due to low liquidity"),
    Reason.LIQUIDATION: (110035, "Cancellation of orders was not completed before liquidation"),
}

_NOT_MODIFIED = {
    LEVERAGE: (110043, "leverage not modified"),
    POSITION_MODE: (110025, "Position mode is not modified"),
    MARGIN_MODE: (110026, "Cross/isolated margin mode is not modified"),
}


def number_of(code: str) -> int:
    """A code that a fault asked for literally; 10001 when it is not a number."""
    try:
        return int(code)
    except ValueError:
        return 10001


def refusal(refused: Refused, path: str, *, has_orders: bool = False, empty: bool = False) -> ApiError:
    """What Bybit answers instead. ``path`` tells which setting was not modified, ``has_orders`` that open orders
    (not a position) keep a mode locked, ``empty`` that there is no balance at all."""
    if refused.code is not None:
        return ApiError(number_of(refused.code), refused.detail)
    reason = refused.reason
    if reason is Reason.NOT_MODIFIED:
        code, message = _NOT_MODIFIED.get(
            path,
            (10001, "The order remains unchanged as the parameters entered match the existing ones."),
        )
    elif reason is Reason.POSITION_MODE_LOCKED and has_orders:
        code, message = 110028, "You have existing open orders, so the position mode cannot be switched"
    elif reason is Reason.INSUFFICIENT_MARGIN and empty:
        code, message = 110004, "Wallet balance is insufficient"
    else:
        code, message = _CODES.get(reason, (10001, f"Request parameter error: {refused.detail}"))
    if code == 3400045:
        return ApiError(
            code, message, result={"reasons": [{"reasonCode": "3400000", "reasonMsg": refused.detail}]}
        )
    return ApiError(code, message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """An injected failure in Bybit's words. ``page`` is a proxy's answer that is not JSON."""

    status: int
    code: int
    message: str
    page: str | None = None


def failure_outcome(failure: Failure) -> Outcome:
    """Status, code and text of an injected failure.

    A failure with an HTTP status and no code is the page of a proxy in front of Bybit. Without either, Bybit's own
    servers answer with HTTP 200 and the code of the error table.
    """
    kind = failure.kind
    if kind is FailureKind.BANNED:
        return Outcome(
            failure.status or 403,
            10006 if failure.code is None else number_of(failure.code),
            failure.message or "access too frequent",
            None if failure.code else "403, access too frequent",
        )
    code, message, page = {
        FailureKind.SERVER_ERROR: (10016, "Internal System Error.", "Service Temporarily Unavailable"),
        FailureKind.UNKNOWN: (10000, "Server Timeout", "Gateway Time-out"),
        FailureKind.RATE_LIMITED: (
            10006,
            "Too many visits. Exceeded the API Rate Limit.",
            "Too Many Requests",
        ),
        FailureKind.MAINTENANCE: (10016, "Service is restarting.", "Service Temporarily Unavailable"),
        FailureKind.REJECTED: (10001, "Request parameter error.", "Bad Request"),
    }[kind]
    if failure.code is not None:
        return Outcome(failure.status or 200, number_of(failure.code), failure.message or message)
    if failure.status is not None and failure.status != 200:
        shown = f"<html><head><title>{failure.status} {page}</title></head><body>{page}</body></html>"
        return Outcome(failure.status, code, failure.message or message, shown)
    if kind is FailureKind.SERVER_ERROR and failure.status is None:
        shown = f"<html><head><title>503 {page}</title></head><body>{page}</body></html>"
        return Outcome(503, code, failure.message or message, shown)
    return Outcome(200, code, failure.message or message)
