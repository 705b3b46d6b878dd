"""How OKX writes things: decimals and times as strings, reply envelopes, pages by id."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from aiohttp import web

from fundingarb.localnet.numbers import decimals_of, plain, rounded

__all__ = [
    "ApiError",
    "decimals_of",
    "dumps",
    "envelope",
    "flag",
    "identifiers",
    "money",
    "number",
    "page",
    "parameter_error",
    "plain",
    "respond",
    "rounded",
    "text",
    "whole",
]

LONGEST_NUMBER = 32
"""Characters of a number in a request, and the largest power of ten either way."""
LARGEST_PAGE = 100

Row = TypeVar("Row")

_STATUS = {
    "50000": 400,
    "50001": 503,
    "50002": 400,
    "50004": 400,
    "50005": 410,
    "50006": 400,
    "50011": 429,
    "50013": 429,
    "50014": 400,
    "50015": 400,
    "50016": 400,
    "50026": 500,
    "50035": 403,
    "50100": 400,
    "50115": 405,
    "51000": 400,
    "51054": 500,
    "51149": 500,
    "51406": 400,
    "51501": 400,
}
"""HTTP status of codes that are not answered with 200; 50101 to 50114 are 401."""


class ApiError(Exception):
    """A request OKX does not carry out: ``code`` and ``msg`` of the reply, ``sCode`` and ``sMsg`` of an order."""

    def __init__(self, code: int | str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.code = str(code)
        self.message = message
        known = 401 if "50101" <= self.code <= "50114" else 200
        self.status = _STATUS.get(self.code, known) if status is None else status


def parameter_error(name: str) -> ApiError:
    """OKX's answer to a parameter it does not understand."""
    return ApiError(51000, f"Parameter {name} error")


# -- numbers ---------------------------------------------------------------------------------------------------


def money(value: Decimal, decimals: int = 16) -> str:
    """Rounded to the 16 decimals OKX carries, without zeros at the end."""
    return rounded(value, decimals)


# -- parameters ------------------------------------------------------------------------------------------------


def text(params: Mapping[str, Any], name: str) -> str:
    """A parameter as string; absent and null are ''. Numbers and booleans are taken for what they say."""
    value = params.get(name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise parameter_error(name)
    return value.strip()


def number(params: Mapping[str, Any], name: str) -> Decimal | None:
    """A decimal; None when absent or empty."""
    shown = text(params, name)
    if not shown:
        return None
    try:
        value = Decimal(shown)
    except ArithmeticError:
        raise parameter_error(name) from None
    if not value.is_finite() or len(shown) > LONGEST_NUMBER or abs(value.adjusted()) > LONGEST_NUMBER:
        raise parameter_error(name)
    return value


def whole(params: Mapping[str, Any], name: str) -> int | None:
    """An integer; None when absent or empty."""
    shown = text(params, name)
    if not shown:
        return None
    if len(shown) > LONGEST_NUMBER:
        raise parameter_error(name)
    try:
        return int(shown)
    except ValueError:
        raise parameter_error(name) from None


def flag(params: Mapping[str, Any], name: str) -> bool:
    """A boolean, as JSON's or in letters; absent is false."""
    shown = text(params, name)
    if shown not in ("", "true", "false"):
        raise parameter_error(name)
    return shown == "true"


def identifiers(params: Mapping[str, Any], name: str, most: int) -> list[str]:
    """Ids separated by commas; empty when absent."""
    found = [one.strip() for one in text(params, name).split(",") if one.strip()]
    if len(found) > most:
        raise parameter_error(name)
    return found


# -- replies ---------------------------------------------------------------------------------------------------


def dumps(message: Any) -> str:
    """Compact JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def envelope(data: Sequence[Any] = (), *, code: str = "0", message: str = "") -> dict[str, Any]:
    """What every REST reply is wrapped in."""
    return {"code": code, "msg": message, "data": list(data)}


def respond(
    body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON response."""
    return web.Response(status=status, text=dumps(body), content_type="application/json", headers=headers)


# -- paging ----------------------------------------------------------------------------------------------------


def page(
    rows: Sequence[Row],
    key: Callable[[Row], int],
    params: Mapping[str, Any],
    *,
    default: int = 100,
    highest: int = LARGEST_PAGE,
) -> list[Row]:
    """One page of rows that come newest first.

    ``after`` asks for what is older than an id (or time), ``before`` for what is newer.
    """
    after, before, limit = whole(params, "after"), whole(params, "before"), whole(params, "limit")
    size = min(max(default if limit is None else limit, 1), highest)
    found = [
        row for row in rows if (after is None or key(row) < after) and (before is None or key(row) > before)
    ]
    return found[:size]
