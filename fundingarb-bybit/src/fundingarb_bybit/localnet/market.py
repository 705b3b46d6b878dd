"""Public REST: instruments, tickers, books, funding history, candles, trades, risk limits."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote

from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.views import FundingView, TickerView, Trade
from fundingarb_bybit.localnet.contracts import price_decimals, quantity_decimals, symbol_number
from fundingarb_bybit.localnet.desk import Desk
from fundingarb_bybit.localnet.render import CATEGORY, side_name
from fundingarb_bybit.localnet.wire import ApiError, fixed, money, plain, text, whole

__all__ = [
    "INTERVALS",
    "funding_history",
    "hour_ago_price",
    "index_kline",
    "instruments_info",
    "kline",
    "level",
    "mark_kline",
    "open_interest",
    "orderbook",
    "price_limit",
    "recent_trade",
    "risk_limit",
    "server_time",
    "ticker_fields",
    "tickers",
]

INTERVALS = {
    "1": 60,
    "3": 180,
    "5": 300,
    "15": 900,
    "30": 1800,
    "60": 3600,
    "120": 7200,
    "240": 14400,
    "360": 21600,
    "720": 43200,
    "D": 86400,
    "W": 604800,
}
"""Seconds of a candle. (Bybit's month has no fixed length and is not offered.)"""

_OPEN_INTEREST_STEPS = {"5min": 300, "15min": 900, "30min": 1800, "1h": 3600, "4h": 14400, "1d": 86400}
_RISK_LIMIT_PAGE = 15


def server_time(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    now = desk.now_ms()
    return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}


def _instrument_row(desk: Desk, instrument: Instrument) -> dict[str, Any]:
    scale, places = price_decimals(instrument), quantity_decimals(instrument)
    funding = desk.truth.funding(instrument.id)
    return {
        "symbol": instrument.id,
        "symbolId": symbol_number(instrument),
        "contractType": "LinearPerpetual",
        "status": "Trading" if desk.truth.trading(instrument.id) else "Closed",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "launchTime": str(instrument.listed_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(scale),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{instrument.max_leverage}.00",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": fixed(instrument.tick, scale),
            "maxPrice": fixed(instrument.tick * 19_999_998, scale),
            "tickSize": fixed(instrument.tick, scale),
        },
        "lotSizeFilter": {
            "maxOrderQty": fixed(instrument.max_quantity, places),
            "minOrderQty": fixed(instrument.min_quantity, places),
            "qtyStep": fixed(instrument.lot, places),
            "postOnlyMaxOrderQty": fixed(instrument.max_quantity, places),
            "maxMktOrderQty": fixed(instrument.max_market_quantity, places),
            "minNotionalValue": plain(instrument.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": funding.interval_hours * 60,
        "settleCoin": instrument.settle,
        "copyTrading": "both",
        "upperFundingRate": plain(funding.cap),
        "lowerFundingRate": plain(funding.floor),
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {
            "priceLimitRatioX": plain(instrument.price_band / 2),
            "priceLimitRatioY": plain(instrument.price_band),
        },
        "displayName": "",
        "symbolType": "",
        "isPublicRpi": False,
    }


def instruments_info(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    """All contracts, or one; pages of up to 1000 by a cursor ``first=A&last=B``."""
    category = desk.category(params)
    status = text(params, "status") or "Trading"
    if category != CATEGORY or status != "Trading":
        return desk.nothing(category)
    base, symbol = text(params, "baseCoin"), text(params, "symbol")
    found = [
        instrument
        for instrument in desk.truth.instruments.values()
        if desk.truth.trading(instrument.id)
        and (not symbol or instrument.id == symbol)
        and (not base or instrument.base == base)
    ]
    asked = whole(params, "limit")
    size = min(max(500 if asked is None else asked, 1), 1000)
    cursor = text(params, "cursor")
    if cursor:
        last = parse_qs(unquote(unquote(cursor))).get("last", [""])[0]
        names = [instrument.id for instrument in found]
        if last not in names:
            raise ApiError(10001, "Request parameter error: cursor invalid.")
        found = found[names.index(last) + 1 :]
    taken = found[:size]
    following = ""
    if len(found) > size:
        following = quote(f"first={taken[0].id}&last={taken[-1].id}", safe="")
    return {
        "category": category,
        "list": [_instrument_row(desk, instrument) for instrument in taken],
        "nextPageCursor": following,
    }


def ticker_fields(
    instrument: Instrument, ticker: TickerView, funding: FundingView, hour_ago: Decimal
) -> dict[str, str]:
    """The fields that REST tickers and the ticker stream share."""
    scale, places = price_decimals(instrument), quantity_decimals(instrument)
    change = (ticker.last - ticker.open_24h) / ticker.open_24h if ticker.open_24h else Decimal(0)
    return {
        "symbol": instrument.id,
        "lastPrice": fixed(ticker.last, scale),
        "indexPrice": fixed(ticker.index, scale),
        "markPrice": fixed(ticker.mark, scale),
        "prevPrice24h": fixed(ticker.open_24h, scale),
        "price24hPcnt": money(change, 6),
        "highPrice24h": fixed(ticker.high_24h, scale),
        "lowPrice24h": fixed(ticker.low_24h, scale),
        "prevPrice1h": fixed(hour_ago, scale),
        "openInterest": fixed(ticker.open_interest, places),
        "openInterestValue": fixed(ticker.open_interest * ticker.mark, 2),
        "turnover24h": fixed(ticker.turnover_24h, 4),
        "volume24h": fixed(ticker.volume_24h, 4),
        "fundingRate": plain(funding.rate),
        "nextFundingTime": str(funding.next_ms),
        "fundingIntervalHour": str(funding.interval_hours),
        "fundingCap": plain(funding.cap),
        "bid1Price": fixed(ticker.bid[0], scale),
        "bid1Size": fixed(ticker.bid[1], places),
        "ask1Price": fixed(ticker.ask[0], scale),
        "ask1Size": fixed(ticker.ask[1], places),
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


def hour_ago_price(desk: Desk, instrument: str) -> Decimal:
    """The last price an hour ago, to the minute."""
    minute = (desk.truth.now_ms - 3_600_000) // 60_000
    kept = desk.hour_ago.get(instrument)
    if kept is None or kept[0] != minute:
        candles = desk.truth.candles(instrument, 60, (minute - 1) * 60_000, minute * 60_000)
        price = candles[-1].close if candles else desk.truth.ticker(instrument).last
        kept = desk.hour_ago[instrument] = (minute, price)
    return kept[1]


def tickers(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    category = desk.category(params)
    if category != CATEGORY:
        return {"category": category, "list": []}
    symbol, base = text(params, "symbol"), text(params, "baseCoin")
    if symbol and symbol not in desk.truth.instruments:
        raise ApiError(10001, "Not supported symbols")
    rows = []
    for instrument in desk.truth.instruments.values():
        if (symbol and instrument.id != symbol) or (base and instrument.base != base):
            continue
        truth = desk.truth
        fields = ticker_fields(
            instrument,
            truth.ticker(instrument.id),
            truth.funding(instrument.id),
            hour_ago_price(desk, instrument.id),
        )
        rows.append(
            fields
            | {
                "predictedDeliveryPrice": "",
                "basisRate": "",
                "basisRateYear": "",
                "basis": "",
                "deliveryFeeRate": "",
                "deliveryTime": "0",
            }
        )
    return {"category": category, "list": rows}


def level(instrument: Instrument, price: Decimal, quantity: Decimal) -> list[str]:
    """One level of a book; a quantity of 0 is written ``0``."""
    shown = fixed(quantity, quantity_decimals(instrument)) if quantity else "0"
    return [fixed(price, price_decimals(instrument)), shown]


def orderbook(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    desk.linear(params)
    instrument = desk.instrument(params)
    asked = whole(params, "limit")
    depth = min(max(25 if asked is None else asked, 1), 1000)
    book = desk.truth.book(instrument.id, depth)
    return {
        "s": instrument.id,
        "b": [level(instrument, *entry) for entry in book.bids],
        "a": [level(instrument, *entry) for entry in book.asks],
        "ts": desk.now_ms(),
        "u": book.version,
        "seq": book.version,
        "cts": book.time_ms,
    }


def funding_history(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    """Settled rates, newest first. A start without an end is refused, as the documentation warns."""
    desk.linear(params)
    instrument = desk.instrument(params)
    start, end = whole(params, "startTime"), whole(params, "endTime")
    if start is not None and end is None:
        raise ApiError(10001, "params error: endTime is required when startTime is passed")
    asked = whole(params, "limit")
    size = min(max(200 if asked is None else asked, 1), 200)
    if start is None:
        settled = desk.truth.funding_history(instrument.id, None, end, size)
    else:
        settled = desk.truth.funding_history(instrument.id, start, end, 1_000_000)
    return {
        "category": CATEGORY,
        "list": [
            {
                "symbol": instrument.id,
                "fundingRate": plain(rate.rate),
                "fundingRateTimestamp": str(rate.time_ms),
            }
            for rate in reversed(settled[-size:])
        ],
    }


def _candles(desk: Desk, params: Mapping[str, Any], kind: Literal["last", "mark", "index"]) -> dict[str, Any]:
    """Newest first; candles that open in [start, end], at most ``limit`` of them, counted from the newest."""
    category = desk.category(params, default=CATEGORY)
    if category != CATEGORY:
        raise ApiError(10001, "Not supported symbols")
    instrument = desk.instrument(params)
    seconds = INTERVALS.get(text(params, "interval"))
    if seconds is None:
        raise ApiError(10001, "Invalid period!")
    asked = whole(params, "limit")
    size = min(max(200 if asked is None else asked, 1), 1000)
    end = min(whole(params, "end") or desk.truth.now_ms, desk.truth.now_ms)
    earliest = end - size * seconds * 1000
    start = max(whole(params, "start") or earliest, earliest)
    scale = price_decimals(instrument)
    rows = []
    for candle in reversed(desk.truth.candles(instrument.id, seconds, start, end + 1, kind)):
        row = [
            str(candle.open_ms),
            *(fixed(price, scale) for price in (candle.open, candle.high, candle.low, candle.close)),
        ]
        if kind == "last":
            middle = (candle.open + candle.high + candle.low + candle.close) / 4
            row += [fixed(candle.volume, quantity_decimals(instrument)), money(candle.volume * middle, 4)]
        rows.append(row)
    return {"symbol": instrument.id, "category": category, "list": rows[:size]}


def kline(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    return _candles(desk, params, "last")


def mark_kline(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    return _candles(desk, params, "mark")


def index_kline(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    return _candles(desk, params, "index")


def trade_row(instrument: Instrument, trade: Trade) -> dict[str, Any]:
    return {
        "execId": trade.id,
        "symbol": instrument.id,
        "price": fixed(trade.price, price_decimals(instrument)),
        "size": fixed(trade.quantity, quantity_decimals(instrument)),
        "side": side_name(trade.side),
        "time": str(trade.time_ms),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": str(trade.time_ms),
    }


def recent_trade(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    desk.linear(params)
    instrument = desk.instrument(params)
    asked = whole(params, "limit")
    size = min(max(500 if asked is None else asked, 1), 1000)
    trades = desk.truth.trades(instrument.id, size)
    return {"category": CATEGORY, "list": [trade_row(instrument, trade) for trade in reversed(trades)]}


def open_interest(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    """The present figure only: the offline market keeps no history of it."""
    desk.linear(params)
    instrument = desk.instrument(params)
    step = _OPEN_INTEREST_STEPS.get(text(params, "intervalTime"))
    if step is None:
        raise ApiError(10001, "params error: intervalTime invalid")
    value = desk.truth.ticker(instrument.id).open_interest
    at = desk.truth.now_ms // (step * 1000) * step * 1000
    row = {
        "openInterest": fixed(value, 8),
        "singleOpenInterest": plain(value / 2),
        "timestamp": str(at),
    }
    return {"symbol": instrument.id, "category": CATEGORY, "list": [row], "nextPageCursor": ""}


def risk_limit(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    """Margin tiers, of one contract or of pages of fifteen."""
    category = desk.category(params)
    if category != CATEGORY:
        return desk.nothing(category)
    if text(params, "symbol"):
        chosen, following = [desk.instrument(params)], ""
    else:
        listed = list(desk.truth.instruments.values())
        cursor = text(params, "cursor")
        first = int(cursor) if cursor.isdigit() else 0
        chosen = listed[first : first + _RISK_LIMIT_PAGE]
        following = str(first + _RISK_LIMIT_PAGE) if first + _RISK_LIMIT_PAGE < len(listed) else ""
    rows = [
        {
            "id": number,
            "symbol": instrument.id,
            "riskLimitValue": plain(tier.max_value),
            "maintenanceMargin": plain(tier.maintenance_rate),
            "initialMargin": money(Decimal(1) / tier.max_leverage, 6),
            "isLowestRisk": 1 if number == 1 else 0,
            "maxLeverage": f"{tier.max_leverage}.00",
            "mmDeduction": "" if number == 1 else plain(tier.deduction),
        }
        for instrument in chosen
        for number, tier in enumerate(instrument.tiers, 1)
    ]
    return {"category": category, "list": rows, "nextPageCursor": following}


def price_limit(desk: Desk, params: Mapping[str, Any]) -> dict[str, Any]:
    """How far from the mark an order may be."""
    instrument = desk.instrument(params)
    mark, scale = desk.truth.mark(instrument.id), price_decimals(instrument)
    return {
        "symbol": instrument.id,
        "buyLmt": fixed(mark * (1 + instrument.price_band), scale),
        "sellLmt": fixed(mark * (1 - instrument.price_band), scale),
        "ts": str(desk.now_ms()),
    }
