"""How the indexer writes things: decimals as strings, times with milliseconds, errors and pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar

from aiohttp import web

from fundingarb.localnet.numbers import plain, rounded

__all__ = [
    "ApiError",
    "dumps",
    "iso",
    "limit_of",
    "milliseconds_of",
    "page",
    "plain",
    "respond",
    "rounded",
    "whole",
]

LARGEST_PAGE = 1000
"""Highest ``limit`` and the one that holds when none is asked for."""

Row = TypeVar("Row")


class ApiError(Exception):
    """A request the indexer does not answer: HTTP status and text."""

    def __init__(self, status: int, message: str, param: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param


def iso(time_ms: int) -> str:
    """``2025-12-08T16:11:56.125Z``."""
    moment = datetime.fromtimestamp(time_ms // 1000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def dumps(message: Any) -> str:
    """Compact JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def respond(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON response."""
    return web.Response(
        status=status, text=dumps(body), content_type="application/json", charset="utf-8", headers=headers
    )


# -- parameters ------------------------------------------------------------------------------------------------


def whole(params: Mapping[str, str], name: str) -> int | None:
    """A whole number that is not negative; None when it is not given."""
    shown = params.get(name)
    if shown is None or shown == "":
        return None
    if not shown.isdecimal() or len(shown) > 18:
        raise ApiError(400, f"{name} must be a non-negative integer", name)
    return int(shown)


def limit_of(params: Mapping[str, str]) -> int:
    """How many rows are wanted."""
    limit = whole(params, "limit")
    if limit is None:
        return LARGEST_PAGE
    if not 1 <= limit <= LARGEST_PAGE:
        raise ApiError(
            400, f"limit must be a positive integer that is not greater than max: {LARGEST_PAGE}", "limit"
        )
    return limit


def milliseconds_of(params: Mapping[str, str], name: str) -> int | None:
    """An ISO time as unix milliseconds; None when it is not given."""
    shown = params.get(name)
    if not shown:
        return None
    try:
        moment = datetime.fromisoformat(shown.replace("Z", "+00:00").replace(" ", "+"))
    except ValueError:
        raise ApiError(400, f"{name} must be in ISO format", name) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1000)


def page(
    rows: Sequence[Row], params: Mapping[str, str], render: Callable[[Row], dict[str, Any]], name: str
) -> dict[str, Any]:
    """The rows that ``limit`` and ``page`` ask for, under ``name``; with ``page`` also where in the whole they are."""
    limit, number = limit_of(params), whole(params, "page")
    if number is None:
        return {name: [render(row) for row in rows[:limit]]}
    start = limit * (max(number, 1) - 1)
    return {
        "pageSize": limit,
        "totalResults": len(rows),
        "offset": start,
        name: [render(row) for row in rows[start : start + limit]],
    }
