"""The indexer's public answers: time, markets, books, funding, trades and candles."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.views import Candle, Trade
from fundingarb_dydx.localnet.contracts import NAMESPACE
from fundingarb_dydx.localnet.desk import Desk
from fundingarb_dydx.localnet.render import event_id, market_row
from fundingarb_dydx.localnet.wire import (
    ApiError,
    iso,
    limit_of,
    milliseconds_of,
    page,
    plain,
    rounded,
    whole,
)

__all__ = [
    "RESOLUTIONS",
    "candle_row",
    "candles",
    "height",
    "historical_funding",
    "orderbook",
    "perpetual_markets",
    "sparklines",
    "time",
    "trade_row",
    "trades",
]

RESOLUTIONS = {
    "1MIN": 60,
    "5MINS": 300,
    "15MINS": 900,
    "30MINS": 1800,
    "1HOUR": 3600,
    "4HOURS": 14_400,
    "1DAY": 86_400,
}
"""Seconds of a candle."""
DEPTH = 100
"""Levels per side of a book."""
TRADES = 100
SPARKLINES = {"ONE_DAY": (3600, 24), "SEVEN_DAYS": (14_400, 42)}

Params = Mapping[str, str]


def time(desk: Desk, params: Params) -> dict[str, Any]:
    """Seconds, with a fraction, and ISO."""
    now = desk.now_ms()
    return {"iso": iso(now), "epoch": now / 1000}


def height(desk: Desk, params: Params) -> dict[str, Any]:
    return {"height": str(desk.height), "time": iso(desk.chain.time_of(desk.height))}


def perpetual_markets(desk: Desk, params: Params) -> dict[str, Any]:
    """Every market, or the one that ``ticker`` (``market``) names."""
    ticker = params.get("ticker") or params.get("market")
    chosen = [desk.perpetual(ticker)] if ticker else list(desk.perpetuals.values())
    limit = limit_of(params)
    return {"markets": {one.ticker: market_row(desk, one) for one in chosen[:limit]}}


def orderbook(desk: Desk, params: Params) -> dict[str, Any]:
    """Bids descend, asks ascend."""
    book = desk.truth.book(desk.perpetual(params["ticker"]).ticker, DEPTH)
    return {
        "bids": [{"price": plain(price), "size": plain(size)} for price, size in book.bids],
        "asks": [{"price": plain(price), "size": plain(size)} for price, size in book.asks],
    }


def historical_funding(desk: Desk, params: Params) -> dict[str, Any]:
    """Settlements before or at a time, newest first. ``rate`` is for the hour."""
    ticker = desk.perpetual(params["ticker"]).ticker
    limit, end = limit_of(params), milliseconds_of(params, "effectiveBeforeOrAt")
    block = whole(params, "effectiveBeforeOrAtHeight")
    if block is not None:
        end = min(desk.chain.time_of(block), end) if end is not None else desk.chain.time_of(block)
    rows = desk.truth.funding_history(ticker, end_ms=end, limit=limit)
    return {
        "historicalFunding": [
            {
                "ticker": ticker,
                "rate": plain(row.rate),
                "price": plain(row.price),
                "effectiveAt": iso(row.time_ms),
                "effectiveAtHeight": str(desk.chain.height_at(row.time_ms)),
            }
            for row in reversed(rows)
        ]
    }


def trade_row(desk: Desk, trade: Trade) -> dict[str, Any]:
    """``side`` is the taker's."""
    block = desk.chain.height_at(trade.time_ms)
    return {
        "id": event_id(block, int(trade.id)),
        "side": trade.side.value,
        "size": plain(trade.quantity),
        "price": plain(trade.price),
        "type": "LIMIT",
        "createdAt": iso(trade.time_ms),
        "createdAtHeight": str(block),
    }


def trades(desk: Desk, params: Params) -> dict[str, Any]:
    """Newest first."""
    ticker = desk.perpetual(params["ticker"]).ticker
    wanted = limit_of(params) if params.get("limit") else TRADES
    before = milliseconds_of(params, "createdBeforeOrAt")
    block = whole(params, "createdBeforeOrAtHeight")
    if block is not None:
        before = desk.chain.time_of(block)
    rows = [t for t in reversed(desk.truth.trades(ticker, wanted)) if before is None or t.time_ms <= before]
    return page(rows, params, lambda trade: trade_row(desk, trade), "trades")


def candle_row(instrument: Instrument, candle: Candle, resolution: str) -> dict[str, Any]:
    value = candle.volume * (candle.high + candle.low) / 2
    return {
        "startedAt": iso(candle.open_ms),
        "ticker": instrument.id,
        "resolution": resolution,
        "low": plain(candle.low),
        "high": plain(candle.high),
        "open": plain(candle.open),
        "close": plain(candle.close),
        "baseTokenVolume": plain(candle.volume),
        "usdVolume": rounded(value, 4),
        "trades": int(candle.volume / instrument.lot / 100),
        "startingOpenInterest": "0",
        "orderbookMidPriceOpen": plain(candle.open),
        "orderbookMidPriceClose": plain(candle.close),
        "id": str(uuid.uuid5(NAMESPACE, f"{iso(candle.open_ms)}-{instrument.id}-{resolution}")),
    }


def candles(desk: Desk, params: Params) -> dict[str, Any]:
    """Candles that start in [fromISO, toISO), newest first."""
    instrument = desk.perpetual(params["ticker"]).instrument
    resolution = params.get("resolution", "")
    seconds = RESOLUTIONS.get(resolution)
    if seconds is None:
        raise ApiError(
            400, f"resolution must be a valid Candle Resolution, one of {','.join(RESOLUTIONS)}", "resolution"
        )
    limit = limit_of(params) if params.get("limit") else 100
    end = milliseconds_of(params, "toISO")
    end = end if end is not None else desk.truth.now_ms + 1
    start = milliseconds_of(params, "fromISO")
    earliest = end - limit * seconds * 1000
    found = desk.truth.candles(
        instrument.id, seconds, max(start, earliest) if start is not None else earliest, end
    )
    return {"candles": [candle_row(instrument, candle, resolution) for candle in reversed(found)][:limit]}


def sparklines(desk: Desk, params: Params) -> dict[str, Any]:
    """Closing prices by market, newest first."""
    period = SPARKLINES.get(params.get("timePeriod", ""))
    if period is None:
        raise ApiError(
            400, f"timePeriod must be a valid Time Period, one of {','.join(SPARKLINES)}", "timePeriod"
        )
    seconds, count = period
    now = desk.truth.now_ms
    found: dict[str, list[str]] = {}
    for ticker in desk.perpetuals:
        rows = desk.truth.candles(ticker, seconds, now - count * seconds * 1000, now + 1)
        found[ticker] = [plain(_price(candle)) for candle in reversed(rows)]
    return found


def _price(candle: Candle) -> Decimal:
    return candle.close
