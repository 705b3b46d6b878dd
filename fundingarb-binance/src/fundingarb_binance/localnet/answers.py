"""Binance's errors: codes, texts and HTTP statuses, and how JSON goes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.truth.types import Reason, Refused

__all__ = ["BinanceError", "answer", "encode", "failed", "missing", "problem", "refusal"]

encode = msgspec.json.encode


class BinanceError(Exception):
    """An answer ``{"code": code, "msg": message}`` with an HTTP status."""

    def __init__(
        self, code: int, message: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        return {"code": self.code, "msg": self.message}

    def response(self, headers: Mapping[str, str] | None = None) -> web.Response:
        return answer(self.body(), self.status, {**(headers or {}), **self.headers})


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    response = web.Response(
        body=encode(data), status=status, content_type="application/json", charset="utf-8"
    )
    response.headers.update(headers or {})
    return response


def missing(name: str) -> BinanceError:
    return BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


_REFUSALS: dict[Reason, tuple[int, str]] = {
    Reason.UNKNOWN_INSTRUMENT: (-1121, "Invalid symbol."),
    Reason.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    Reason.ORDER_NOT_OPEN: (-2011, "Unknown order sent."),
    Reason.DUPLICATE_CLIENT_ID: (-4116, "ClientOrderId is duplicated."),
    Reason.BAD_PRICE: (-4001, "Price less than 0."),
    Reason.BAD_TICK: (-4014, "Price not increased by tick size."),
    Reason.BAD_QUANTITY: (-4003, "Quantity less than or equal to zero."),
    Reason.BAD_LOT: (-4023, "Quantity not increased by step size."),
    Reason.MIN_QUANTITY: (-4004, "Quantity less than min quantity."),
    Reason.MAX_QUANTITY: (-4005, "Quantity greater than max quantity."),
    Reason.MIN_NOTIONAL: (
        -4164,
        "Order's notional must be no smaller than 5 (unless you choose reduce only).",
    ),
    Reason.INSUFFICIENT_MARGIN: (-2019, "Margin is insufficient."),
    Reason.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    Reason.REDUCE_ONLY_TOO_LARGE: (-2022, "ReduceOnly Order is rejected."),
    Reason.POST_ONLY_WOULD_TAKE: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    ),
    Reason.NOT_FILLABLE: (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. "
        "The order will not be recorded in the order history",
    ),
    Reason.NO_LIQUIDITY: (-2020, "Unable to fill."),
    Reason.POSITION_SIDE: (-4061, "Order's position side does not match user's setting."),
    Reason.POSITION_MODE_LOCKED: (-4068, "Position side cannot be changed if there exists position."),
    Reason.MARGIN_MODE_LOCKED: (-4048, "Margin type cannot be changed if there exists position."),
    Reason.LEVERAGE_OUT_OF_RANGE: (-4028, "Leverage is not valid"),
    Reason.LEVERAGE_TOO_LOW_FOR_POSITION: (
        -2028,
        "Leverage is smaller than permitted: insufficient margin balance.",
    ),
    Reason.NOT_MODIFIED: (-5027, "No need to modify the order."),
    Reason.MAX_POSITION: (-2027, "Exceeded the maximum allowable position at current leverage."),
    Reason.NOT_TRADING: (-4140, "Invalid symbol status for opening position."),
    Reason.TOO_MANY_ORDERS: (-2025, "Reach max open order limit."),
    Reason.LIQUIDATION: (-2023, "User in liquidation mode now."),
}


def refusal(refused: Refused) -> BinanceError:
    """The code and text for what the truth refused; a literal code of an injected fault wins."""
    code, text = _REFUSALS.get(
        refused.reason, (-1000, "An unknown error occurred while processing the request.")
    )
    if refused.code is not None:
        said = refused.detail if refused.detail != refused.reason.value else None
        return problem(refused.code, said)
    return BinanceError(code, text)


_OTHERS: dict[int, tuple[str, int]] = {
    -1001: ("Internal error; unable to process your request. Please try again.", 503),
    -1007: (
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        408,
    ),
    -1008: (
        "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
        "Please try again.",
        503,
    ),
    -1015: ("Too many new orders; current limit is 300 orders per 10 SECOND.", 429),
    -1021: ("Timestamp for this request is outside of the recvWindow.", 400),
    -2013: ("Order does not exist.", 400),
    -2014: ("API-key format invalid.", 401),
    -2015: ("Invalid API-key, IP, or permissions for action.", 401),
    -2018: ("Balance is insufficient.", 400),
    -4131: ("The counterparty's best price does not meet the PERCENT_PRICE filter limit.", 400),
}
"""Codes that the truth never causes; a fault may ask for them."""


def problem(code: str, message: str | None) -> BinanceError:
    """An error with a code that somebody asked for by name."""
    try:
        number = int(code)
    except ValueError:
        return BinanceError(-1000, message or code)
    texts = {known: (text, 400) for known, text in _REFUSALS.values()}
    texts |= {known: (text, status) for known, text, status in _FAILURES.values()}
    texts |= _OTHERS
    text, status = texts.get(number, ("Rejected.", 400))
    return BinanceError(number, message or text, status)


_FAILURES: dict[FailureKind, tuple[int, str, int]] = {
    FailureKind.SERVER_ERROR: (
        -1001,
        "Internal error; unable to process your request. Please try again.",
        503,
    ),
    # documented: the request was sent on, and whether it was executed is not known
    FailureKind.UNKNOWN: (-1000, "Unknown error, please check your request or try again later.", 503),
    FailureKind.RATE_LIMITED: (
        -1003,
        "Too many requests; current limit of IP(127.0.0.1) is 2400 requests per minute. "
        "Please use the websocket for live updates to avoid polling the API.",
        429,
    ),
    FailureKind.BANNED: (
        -1003,
        "Way too many requests; IP(127.0.0.1) banned until {until}. "
        "Please use the websocket for live updates to avoid bans.",
        418,
    ),
    FailureKind.MAINTENANCE: (-1016, "This service is no longer available.", 503),
    FailureKind.REJECTED: (-2010, "NEW_ORDER_REJECTED", 400),
}


def failed(failure: Failure, now_ms: int) -> BinanceError:
    """An injected failure in Binance's words. ``now_ms`` dates the end of a ban (real time)."""
    code, text, status = _FAILURES[failure.kind]
    headers = {}
    if failure.kind in (FailureKind.RATE_LIMITED, FailureKind.BANNED):
        headers["Retry-After"] = str(max(1, math.ceil(failure.retry_after)))
        text = text.format(until=now_ms + round(failure.retry_after * 1000))
    if failure.code is not None:
        named = problem(failure.code, failure.message)
        code, text = named.code, named.message
        if failure.kind is FailureKind.REJECTED:
            status = named.status
    return BinanceError(code, failure.message or text, failure.status or status, headers)
