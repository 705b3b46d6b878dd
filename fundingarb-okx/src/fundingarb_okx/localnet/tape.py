"""Public REST: books, trades, candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.views import BookView, Candle, Trade
from fundingarb_okx.localnet.desk import Desk
from fundingarb_okx.localnet.render import side_name
from fundingarb_okx.localnet.wire import ApiError, money, parameter_error, plain, text, whole

__all__ = [
    "BARS",
    "Kind",
    "books",
    "books_full",
    "candle_row",
    "candles",
    "index_candles",
    "levels",
    "mark_candles",
    "trade_row",
    "trades",
]

Rows = list[Any]
DEEPEST, DEEPEST_FULL = 400, 5000
BARS = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1H": 3600,
    "2H": 7200,
    "4H": 14400,
    "6Hutc": 21600,
    "12Hutc": 43200,
    "1Dutc": 86400,
}
"""Seconds of a candle, by OKX's name for it."""
Kind = Literal["last", "mark", "index"]


def levels(side: Sequence[tuple[Decimal, Decimal]]) -> list[list[str]]:
    """Price, contracts, a field that is always 0, number of orders."""
    return [[plain(price), plain(size), "0", str(1 + int(size) % 7)] for price, size in side]


def _book(book: BookView, stamp: str) -> Rows:
    return [{"asks": levels(book.asks), "bids": levels(book.bids), "ts": stamp, "seqId": book.version}]


def books(desk: Desk, params: Mapping[str, Any]) -> Rows:
    """A depth of up to 400 levels, one unless asked for more."""
    asked = whole(params, "sz")
    depth = min(max(1 if asked is None else asked, 1), DEEPEST)
    return _book(desk.truth.book(desk.instrument(params).id, depth), desk.stamp())


def books_full(desk: Desk, params: Mapping[str, Any]) -> Rows:
    """Up to 5000 levels; a level has price, contracts and number of orders."""
    asked = whole(params, "sz")
    depth = min(max(1 if asked is None else asked, 1), DEEPEST_FULL)
    (row,) = _book(desk.truth.book(desk.instrument(params).id, depth), desk.stamp())
    for side in ("asks", "bids"):
        row[side] = [[price, size, orders] for price, size, _, orders in row[side]]
    del row["seqId"]
    return [row]


def trade_row(instrument: Instrument, trade: Trade) -> dict[str, Any]:
    return {
        "instId": instrument.id,
        "side": side_name(trade.side),
        "source": "0",
        "sz": plain(trade.quantity),
        "px": plain(trade.price),
        "tradeId": trade.id,
        "ts": str(trade.time_ms),
    }


def trades(desk: Desk, params: Mapping[str, Any]) -> Rows:
    """The newest trades, newest first."""
    instrument = desk.instrument(params)
    asked = whole(params, "limit")
    size = min(max(100 if asked is None else asked, 1), 500)
    return [trade_row(instrument, trade) for trade in reversed(desk.truth.trades(instrument.id, size))]


def candle_row(instrument: Instrument, candle: Candle, kind: Kind, *, over: bool) -> list[str]:
    """Time, open, high, low, close, volumes of traded candles (contracts, base, quote), whether it is over."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    row = [str(candle.open_ms), *(plain(price) for price in prices)]
    if kind == "last":
        base = candle.volume * instrument.contract_size
        row += [plain(candle.volume), plain(base), money(base * sum(prices) / 4, 4)]
    return [*row, "1" if over else "0"]


def _candles(desk: Desk, instrument: Instrument, params: Mapping[str, Any], kind: Kind) -> Rows:
    """Newest first."""
    seconds = BARS.get(text(params, "bar") or "1m")
    if seconds is None:
        raise parameter_error("bar")
    asked = whole(params, "limit")
    size = min(max(100 if asked is None else asked, 1), 300)
    now, length = desk.truth.now_ms, seconds * 1000
    end = min(whole(params, "after") or now + 1, now + 1)
    start = max(end - size * length, (whole(params, "before") or 0) + 1)
    found = desk.truth.candles(instrument.id, seconds, start, end, kind)
    return [
        candle_row(instrument, candle, kind, over=candle.open_ms + length <= now)
        for candle in reversed(found)
    ][:size]


def candles(desk: Desk, params: Mapping[str, Any]) -> Rows:
    return _candles(desk, desk.instrument(params), params, "last")


def mark_candles(desk: Desk, params: Mapping[str, Any]) -> Rows:
    return _candles(desk, desk.instrument(params), params, "mark")


def index_candles(desk: Desk, params: Mapping[str, Any]) -> Rows:
    listed = desk.by_family.get(text(params, "instId"))
    if listed is None:
        raise ApiError(51014, "Index doesn't exist.")
    return _candles(desk, desk.truth.instruments[listed], params, "index")
