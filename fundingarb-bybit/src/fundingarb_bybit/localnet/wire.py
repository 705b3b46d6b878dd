"""How Bybit writes things: decimals as strings, reply envelopes, ids and cursors."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from aiohttp import web

from fundingarb.localnet.numbers import EXACT, decimals_of, plain, rounded

__all__ = [
    "ApiError",
    "decimals_of",
    "dumps",
    "envelope",
    "fixed",
    "flag",
    "identifier",
    "money",
    "number",
    "page",
    "plain",
    "respond",
    "text",
    "whole",
]

_NAMESPACE = uuid.UUID("3f0f3f52-7c1e-5a0e-9d3e-6b7962697400")

LONGEST_NUMBER = 32
"""Characters of a number in a request, and the largest power of ten either way."""

Row = TypeVar("Row")


class ApiError(Exception):
    """A request Bybit does not carry out: ``retCode`` and ``retMsg`` of the reply."""

    def __init__(
        self, code: int, message: str, *, status: int = 200, result: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.result: Mapping[str, Any] = {} if result is None else result


# -- numbers ---------------------------------------------------------------------------------------------------


def fixed(value: Decimal, decimals: int) -> str:
    """With exactly so many decimals: ``16493.50``."""
    shown = format(value.quantize(Decimal(1).scaleb(-decimals), context=EXACT), "f")
    return shown[1:] if shown.startswith("-") and not shown.strip("-0.") else shown


def money(value: Decimal, decimals: int = 8) -> str:
    """Rounded to Bybit's 8 decimals, without zeros at the end."""
    return rounded(value, decimals)


# -- ids -------------------------------------------------------------------------------------------------------


def identifier(kind: str, number: int | str) -> str:
    """The UUID of something counted: the same kind and number always give the same id."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{number}"))


# -- parameters ------------------------------------------------------------------------------------------------


def text(params: Mapping[str, Any], name: str) -> str:
    """A string parameter; absent and null are ''. Anything but a string is refused, as Bybit's parser does."""
    value = params.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ApiError(10001, f"Request parameter error: {name} must be a string.")
    return value.strip()


def number(params: Mapping[str, Any], name: str) -> Decimal | None:
    """A decimal sent as a string; None when absent or empty."""
    shown = text(params, name)
    if not shown:
        return None
    try:
        value = Decimal(shown)
    except ArithmeticError:
        raise ApiError(10001, f"Request parameter error: {name} invalid.") from None
    if not value.is_finite() or len(shown) > LONGEST_NUMBER or abs(value.adjusted()) > LONGEST_NUMBER:
        raise ApiError(10001, f"Request parameter error: {name} invalid.")
    return value


def whole(params: Mapping[str, Any], name: str) -> int | None:
    """An integer, sent as a number or in digits; None when absent."""
    value = params.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ApiError(10001, f"Request parameter error: {name} must be an integer.")
    try:
        return int(value)
    except ValueError:
        raise ApiError(10001, f"Request parameter error: {name} must be an integer.") from None


def flag(params: Mapping[str, Any], name: str) -> bool:
    """A JSON boolean; absent and null are false."""
    value = params.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ApiError(10001, f"Request parameter error: {name} must be a boolean.")
    return value


# -- replies ---------------------------------------------------------------------------------------------------


def dumps(message: Any) -> str:
    """Compact JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def envelope(
    now_ms: int,
    result: Any = None,
    *,
    code: int = 0,
    message: str = "OK",
    ext: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What every REST reply is wrapped in."""
    return {
        "retCode": code,
        "retMsg": message,
        "result": {} if result is None else result,
        "retExtInfo": {} if ext is None else ext,
        "time": now_ms,
    }


def respond(
    body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON response."""
    return web.Response(
        status=status, text=dumps(body), content_type="application/json", charset="utf-8", headers=headers
    )


# -- paging ----------------------------------------------------------------------------------------------------


def page(
    rows: Sequence[Row],
    key: Callable[[Row], str],
    params: Mapping[str, Any],
    *,
    limit: int,
    highest: int,
) -> tuple[list[Row], str]:
    """One page of rows that are already in the order of the answer, and the cursor of the next page ('' at the end).

    The cursor names the last row of a page, so rows that arrive in between shift nothing. Like Bybit's it comes
    percent-encoded; clients send it back as it is or encoded once more.
    """
    asked = whole(params, "limit")
    size = limit if asked is None else asked
    if not 1 <= size <= highest:
        # Bybit answers with the closest size it allows rather than refusing.
        size = min(max(size, 1), highest)
    start = 0
    cursor = text(params, "cursor")
    if cursor:
        wanted = cursor
        for _ in range(3):
            wanted = unquote(wanted)
        token = wanted.split(",")[0]
        position = next((index for index, row in enumerate(rows) if key(row) == token), None)
        if position is None:
            raise ApiError(10001, "Request parameter error: cursor invalid.")
        start = position + 1
    taken = list(rows[start : start + size])
    if not taken or start + size >= len(rows):
        return taken, ""
    return taken, quote(f"{key(taken[-1])},{key(taken[0])}", safe="")
