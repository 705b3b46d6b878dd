"""OKX's error codes: what the truth refuses, and what injected faults look like on the wire.

Codes are those of the documentation's error table; texts say what OKX's say.
"""

from __future__ import annotations

from dataclasses import dataclass

from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.truth.types import Reason, Refused
from fundingarb_okx.localnet.wire import ApiError

__all__ = ["Asked", "Outcome", "cancel_refusal", "failure_outcome", "is_order_code", "refusal"]

_CODES: dict[Reason, tuple[int, str]] = {
    Reason.UNKNOWN_INSTRUMENT: (51001, "Instrument ID, Instrument ID code or Spread ID doesn't exist."),
    Reason.UNKNOWN_ORDER: (51603, "Order does not exist."),
    Reason.ORDER_NOT_OPEN: (51503, "Your order has already been filled or canceled."),
    Reason.DUPLICATE_CLIENT_ID: (51016, "Client order ID already exists."),
    Reason.BAD_TICK: (51000, "Parameter px error"),
    Reason.BAD_QUANTITY: (51000, "Parameter sz error"),
    Reason.BAD_LOT: (51121, "Order quantity must be a multiple of the lot size."),
    Reason.MIN_QUANTITY: (51020, "Your order should meet or exceed the minimum order amount."),
    Reason.MAX_QUANTITY: (
        51101,
        "Entered amount exceeds the max pending order amount (Cont) per transaction.",
    ),
    Reason.MIN_NOTIONAL: (51020, "Your order should meet or exceed the minimum order amount."),
    Reason.INSUFFICIENT_MARGIN: (51008, "Order failed. Insufficient USDT margin in account"),
    Reason.POSITION_SIDE: (51000, "Parameter posSide error"),
    Reason.POSITION_MODE_LOCKED: (
        59000,
        "Setting failed. Cancel any open orders, close positions, and stop trading bots first.",
    ),
    Reason.MARGIN_MODE_LOCKED: (51010, "Request unsupported under current account mode"),
    Reason.LEVERAGE_OUT_OF_RANGE: (59102, "Leverage exceeds the maximum limit. Please lower the leverage."),
    Reason.LEVERAGE_TOO_LOW_FOR_POSITION: (
        59108,
        "Low leverage and insufficient margin, please adjust the leverage.",
    ),
    Reason.MAX_POSITION: (
        51004,
        "Order failed. The sum of order size, position and pending orders exceeds the limit at this leverage.",
    ),
    Reason.NOT_TRADING: (51022, "Contract suspended."),
    Reason.TOO_MANY_ORDERS: (
        51102,
        "Order failed, the number of pending orders for this instId can't be more than the limit (orders)",
    ),
    Reason.NOT_MODIFIED: (51516, "The order remains unchanged."),
    Reason.LIQUIDATION: (51009, "Order blocked. Please contact customer support for more details."),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of an order that was refused, for codes that depend on it."""

    held: bool = False
    """There is a position in the contract."""
    buys: bool = True
    closes: bool = False
    market: bool = False
    limits: tuple[str, str] = ("", "")
    """Highest buying and lowest selling price."""


def refusal(refused: Refused, asked: Asked | None = None) -> ApiError:
    """What OKX answers instead."""
    if refused.code is not None:
        return ApiError(refused.code, refused.detail)
    asked = asked or Asked()
    reason = refused.reason
    if reason in (Reason.REDUCE_ONLY, Reason.REDUCE_ONLY_TOO_LARGE):
        if asked.held:
            text = "A reduce-only order can't be the same trading direction as your existing positions."
            return ApiError(51170, f"Failed to place order. {text}")
        text = "you don't have any positions in this direction for this contract to reduce or close."
        return ApiError(51169, f"Order failed because {text}")
    if reason is Reason.BAD_PRICE:
        return _beyond_limit(asked)
    if reason is Reason.MAX_QUANTITY and asked.market:
        return ApiError(51202, "Market order amount exceeds the maximum amount.")
    code, message = _CODES.get(reason, (51000, f"Parameter error: {refused.detail}"))
    return ApiError(code, message)


def _beyond_limit(asked: Asked) -> ApiError:
    """A price on the wrong side of the limit, in an order that opens or one that closes."""
    high, low = asked.limits
    if asked.closes:
        bound = f"max buy price is {high}" if asked.buys else f"min sell price is {low}"
        code = 51135 if asked.buys else 51136
        return ApiError(code, f"Your closing price has triggered the limit price, and the {bound}.")
    if asked.buys:
        return ApiError(51137, f"The highest price limit for buy orders is {high}.")
    return ApiError(51138, f"The lowest price limit for sell orders is {low}.")


def cancel_refusal(refused: Refused) -> ApiError:
    """What OKX answers to a cancellation that comes too late, whatever the reason.

    (51401 and 51402, which tell cancelled from completed, are of spread trading.)
    """
    if refused.code is None and refused.reason in (Reason.ORDER_NOT_OPEN, Reason.UNKNOWN_ORDER):
        return ApiError(
            51400, "Order cancellation failed as the order has been filled, canceled or does not exist."
        )
    return refusal(refused)


@dataclass(frozen=True, slots=True)
class Outcome:
    """An injected failure in OKX's words. ``page`` is a proxy's answer that is not JSON."""

    status: int
    code: str
    message: str
    page: str | None = None


def is_order_code(code: str) -> bool:
    """Whether a code is about an order (it stands in ``sCode``) rather than about the request."""
    return code.startswith("51")


_KINDS = {
    FailureKind.SERVER_ERROR: ("50026", "System error. Try again later", "Service Unavailable"),
    FailureKind.UNKNOWN: (
        "50004",
        "API endpoint request timeout. (does not mean that the request was successful or failed, please check "
        "the request result).",
        "Gateway Time-out",
    ),
    FailureKind.RATE_LIMITED: (
        "50011",
        "Rate limit reached. Please refer to API documentation and throttle requests accordingly.",
        "Too Many Requests",
    ),
    FailureKind.BANNED: ("50011", "Too Many Requests", "Access denied: you are being rate limited"),
    FailureKind.MAINTENANCE: (
        "50001",
        "Service temporarily unavailable. Please try again later.",
        "Service Unavailable",
    ),
    FailureKind.REJECTED: ("51000", "Parameter error", "Bad Request"),
}
_ORDER_KINDS = {
    FailureKind.UNKNOWN: (
        "51149",
        "Order timed out. Please try again. (does not mean that the request was successful or failed, please "
        "check the request result)",
    ),
    FailureKind.REJECTED: ("51000", "Parameter sz error"),
}


def failure_outcome(failure: Failure, *, order: bool) -> Outcome:
    """Status, code and text of an injected failure. ``order``: the request places, changes or cancels one.

    A failure with an HTTP status and no code is the page of a proxy in front of OKX; so is a ban. Without either,
    OKX's own servers answer, and say of orders what their matching engine would.
    """
    kind = failure.kind
    code, message, page = _KINDS[kind]
    if order and kind in _ORDER_KINDS:
        code, message = _ORDER_KINDS[kind]
    if failure.code is not None:
        return Outcome(
            failure.status or _status(failure.code, order), failure.code, failure.message or message
        )
    if kind is FailureKind.BANNED or (failure.status is not None and failure.status != 200):
        status = failure.status or 403
        shown = f"<html><head><title>{status} {page}</title></head><body>{page}</body></html>"
        return Outcome(status, code, failure.message or message, shown)
    return Outcome(failure.status or _status(code, order), code, failure.message or message)


def _status(code: str, order: bool) -> int:
    """A reply about orders is 200 whatever becomes of them, unless the server itself failed."""
    status = ApiError(code, "").status
    return 200 if order and is_order_code(code) and status < 500 else status
