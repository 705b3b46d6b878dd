"""Public market data over REST, and the renderings the streams share with it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from fundingarb.localnet.truth.views import Candle, Level, Trade
from fundingarb_binance.localnet.answers import BinanceError
from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.contracts import FUNDING_HOURS, Listing
from fundingarb_binance.localnet.exchange_info import exchange_info
from fundingarb_binance.localnet.gateway import Endpoint
from fundingarb_binance.localnet.numbers import fixed, money
from fundingarb_binance.localnet.params import Params

__all__ = ["INTERVALS", "Market", "snapshot_id", "trade_id", "update_id"]

INTERVALS = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14400,
    "6h": 21600,
    "8h": 28800,
    "12h": 43200,
    "1d": 86400,
    "3d": 259200,
    "1w": 604800,
}
"""Seconds by name; months are left out."""
_FIRST_OF_ACCOUNTS = 9_000_000_000_000
"""From here on the truth numbers trades in which an account took part."""
_DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
"""Weight by allowed depth."""


def update_id(version: int) -> int:
    """Id of the newest change in a version of a book, as streams number it."""
    return version * 10


def snapshot_id(version: int) -> int:
    """``lastUpdateId`` of a REST snapshot of that version.

    Ids count for the whole exchange, so a snapshot's lies past the last change of its own book and before the next.
    """
    return version * 10 + 5


def trade_id(trade: Trade) -> int:
    """A public trade's id: by time, and apart within a millisecond. The truth's own ids do not rise with time."""
    own = int(trade.id)
    return trade.time_ms * 1000 + (own % 2 if own < _FIRST_OF_ACCOUNTS else 2 + own % 998)


class Market:
    """Handlers of public endpoints."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.adjusted: set[str] = {
            name for name in context.listings if context.truth.funding(name).interval_hours != FUNDING_HOURS
        }
        """Contracts whose funding interval is, or was, not the usual one."""

    def endpoints(self) -> list[Endpoint]:
        def get(path: str, work: Any, operation: str, weight: Any = 1) -> Endpoint:
            return Endpoint("GET", path, work, operation, weight)

        return [
            get("/fapi/v1/ping", lambda call: {}, "time.read"),
            get("/fapi/v1/time", self.time, "time.read"),
            get("/fapi/v1/exchangeInfo", self.exchange_info, "instruments.read"),
            get("/fapi/v1/premiumIndex", self.premium_index, "rates.read", _one_or(10)),
            get("/fapi/v1/fundingInfo", self.funding_info, "rates.read", 0),
            get("/fapi/v1/fundingRate", self.funding_rate, "funding.history", 0),
            get("/fapi/v1/depth", self.depth, "book.read", _depth_weight),
            get("/fapi/v1/rpiDepth", self.depth, "book.read", 20),
            get("/fapi/v1/ticker/bookTicker", self.book_ticker, "ticker.read", _one_or(5, 2)),
            get("/fapi/v1/ticker/price", self.price_ticker, "ticker.read", _one_or(2)),
            get("/fapi/v2/ticker/price", self.price_ticker, "ticker.read", _one_or(2)),
            get("/fapi/v1/ticker/24hr", self.day_ticker, "ticker.read", _one_or(40)),
            get("/fapi/v1/trades", self.trades, "trades.read", 5),
            get("/fapi/v1/aggTrades", self.agg_trades, "trades.read", 20),
            get("/fapi/v1/klines", self.klines("last"), "candles.read", _kline_weight),
            get("/fapi/v1/continuousKlines", self.klines("last"), "candles.read", _kline_weight),
            get("/fapi/v1/markPriceKlines", self.klines("mark"), "candles.read", _kline_weight),
            get("/fapi/v1/indexPriceKlines", self.klines("index"), "candles.read", _kline_weight),
            get("/fapi/v1/openInterest", self.open_interest, "ticker.read"),
            get("/fapi/v1/symbolAdlRisk", self.adl_risk, "positions.read", _one_or(5)),
            get("/fapi/v1/constituents", self.constituents, "instruments.read", 2),
        ]

    # -- instruments -----------------------------------------------------------------------------------------

    def time(self, call: Call) -> dict[str, Any]:
        return {"serverTime": self.context.venue.server_ms()}

    def exchange_info(self, call: Call) -> dict[str, Any]:
        context = self.context
        return exchange_info(list(context.listings.values()), context.truth, context.venue.server_ms())

    def adl_risk(self, call: Call) -> Any:
        """How likely the exchange is to deleverage somebody: never, but on demand."""
        now = self.context.venue.server_ms()
        return self._one_or_all(
            call.params, lambda listing: {"symbol": listing.id, "adlRisk": "low", "updateTime": now}
        )

    def constituents(self, call: Call) -> dict[str, Any]:
        listing = self.context.required(call.params)
        row = {
            "exchange": "binance",
            "symbol": listing.id,
            "price": self.index(listing),
            "weight": "1.00000000",
        }
        return {"symbol": listing.id, "time": self.context.venue.server_ms(), "constituents": [row]}

    # -- funding ---------------------------------------------------------------------------------------------

    def mark(self, listing: Listing) -> str:
        return money(self.context.truth.mark(listing.id))

    def index(self, listing: Listing) -> str:
        return money(self.context.truth.index(listing.id))

    def premium_index(self, call: Call) -> Any:
        return self._one_or_all(call.params, self._premium)

    def _premium(self, listing: Listing) -> dict[str, Any]:
        funding = self.context.truth.funding(listing.id)
        index = self.index(listing)
        return {
            "symbol": listing.id,
            "markPrice": self.mark(listing),
            "indexPrice": index,
            "estimatedSettlePrice": index,
            "lastFundingRate": money(funding.rate),
            "interestRate": "0.00010000",
            "nextFundingTime": funding.next_ms,
            "time": self.context.venue.server_ms(),
        }

    def funding_info(self, call: Call) -> list[dict[str, Any]]:
        rows = []
        for name in self.context.listings:
            if name in self.adjusted:
                funding = self.context.truth.funding(name)
                rows.append(
                    {
                        "symbol": name,
                        "adjustedFundingRateCap": money(funding.cap),
                        "adjustedFundingRateFloor": money(funding.floor),
                        "fundingIntervalHours": funding.interval_hours,
                        "disclaimer": False,
                    }
                )
        return rows

    def funding_rate(self, call: Call) -> list[dict[str, Any]]:
        params = call.params
        start, end = _span(params)
        limit = params.limit(100, 1000)
        rows = [
            settled
            for listing in self.context.asked(params)
            for settled in self.context.truth.funding_history(listing.id, start, end, limit)
        ]
        rows.sort(key=lambda settled: settled.time_ms)
        rows = rows[:limit] if start is not None else rows[-limit:]
        return [
            {
                "symbol": settled.instrument,
                "fundingTime": settled.time_ms,
                "fundingRate": money(settled.rate),
                "markPrice": money(settled.price),
                "rateType": "Regular",
            }
            for settled in rows
        ]

    # -- book and tickers ------------------------------------------------------------------------------------

    def levels(self, listing: Listing, levels: tuple[Level, ...]) -> list[list[str]]:
        context = self.context
        return [[context.price(listing, price), context.quantity(listing, size)] for price, size in levels]

    def depth(self, call: Call) -> dict[str, Any]:
        listing = self.context.required(call.params)
        limit = call.params.integer("limit", 500)
        if limit not in _DEPTHS:
            raise BinanceError(-4021, f"'{limit}' is not valid depth limit.")
        book = self.context.truth.book(listing.id, limit)
        return {
            "lastUpdateId": snapshot_id(book.version),
            "E": self.context.venue.server_ms(),
            "T": book.time_ms,
            "bids": self.levels(listing, book.bids),
            "asks": self.levels(listing, book.asks),
        }

    def book_ticker(self, call: Call) -> Any:
        return self._one_or_all(call.params, self._book_ticker)

    def _book_ticker(self, listing: Listing) -> dict[str, Any]:
        book = self.context.truth.book(listing.id, 1)
        nothing = (Decimal(0), Decimal(0))
        bid = book.bids[0] if book.bids else nothing
        ask = book.asks[0] if book.asks else nothing
        return {
            "symbol": listing.id,
            "bidPrice": self.context.price(listing, bid[0]),
            "bidQty": self.context.quantity(listing, bid[1]),
            "askPrice": self.context.price(listing, ask[0]),
            "askQty": self.context.quantity(listing, ask[1]),
            "time": book.time_ms,
            "lastUpdateId": snapshot_id(book.version),
        }

    def price_ticker(self, call: Call) -> Any:
        return self._one_or_all(call.params, self._price_ticker)

    def _price_ticker(self, listing: Listing) -> dict[str, Any]:
        ticker = self.context.truth.ticker(listing.id)
        return {
            "symbol": listing.id,
            "price": self.context.price(listing, ticker.last),
            "time": ticker.time_ms,
        }

    def day_ticker(self, call: Call) -> Any:
        return self._one_or_all(call.params, self._day_ticker)

    def _day_ticker(self, listing: Listing) -> dict[str, Any]:
        ticker = self.context.truth.ticker(listing.id)
        change = ticker.last - ticker.open_24h
        percent = change / ticker.open_24h * 100 if ticker.open_24h else Decimal(0)
        average = ticker.turnover_24h / ticker.volume_24h if ticker.volume_24h else ticker.last
        price, quantity = self.context.price, self.context.quantity
        first, last, count = self.trade_ids(listing)
        return {
            "symbol": listing.id,
            "priceChange": price(listing, change),
            "priceChangePercent": fixed(percent, 3),
            "weightedAvgPrice": price(listing, average),
            "lastPrice": price(listing, ticker.last),
            "lastQty": quantity(listing, ticker.last_quantity),
            "openPrice": price(listing, ticker.open_24h),
            "highPrice": price(listing, ticker.high_24h),
            "lowPrice": price(listing, ticker.low_24h),
            "volume": quantity(listing, ticker.volume_24h),
            "quoteVolume": fixed(ticker.turnover_24h, 2),
            "openTime": ticker.time_ms - 86_400_000,
            "closeTime": ticker.time_ms,
            "firstId": first,
            "lastId": last,
            "count": count,
        }

    def trade_ids(self, listing: Listing) -> tuple[int, int, int]:
        """Ids of the first and last public trade at hand, and how many they are."""
        ids = [number for number, _ in self.numbered_trades(listing, 100)]
        return (ids[0], ids[-1], len(ids)) if ids else (0, 0, 0)

    def numbered_trades(self, listing: Listing, limit: int) -> list[tuple[int, Trade]]:
        """The newest public trades with ids that rise with time."""
        return sorted((trade_id(trade), trade) for trade in self.context.truth.trades(listing.id, limit))

    def open_interest(self, call: Call) -> dict[str, Any]:
        listing = self.context.required(call.params)
        ticker = self.context.truth.ticker(listing.id)
        return {
            "symbol": listing.id,
            "openInterest": self.context.quantity(listing, ticker.open_interest),
            "time": ticker.time_ms,
        }

    # -- trades and candles ----------------------------------------------------------------------------------

    def trades(self, call: Call) -> list[dict[str, Any]]:
        listing = self.context.required(call.params)
        places = listing.price_precision + listing.quantity_precision
        return [
            {
                "id": number,
                "price": self.context.price(listing, trade.price),
                "qty": self.context.quantity(listing, trade.quantity),
                "quoteQty": fixed(trade.price * trade.quantity, places),
                "time": trade.time_ms,
                "isBuyerMaker": trade.side.value == "SELL",
                "isRPITrade": False,
            }
            for number, trade in self.numbered_trades(listing, call.params.limit(500, 1000))
        ]

    def agg_trades(self, call: Call) -> list[dict[str, Any]]:
        listing = self.context.required(call.params)
        start, end = _span(call.params)
        first = call.params.integer("fromId")
        rows = [
            {
                "a": number,
                "p": self.context.price(listing, trade.price),
                "q": self.context.quantity(listing, trade.quantity),
                "nq": self.context.quantity(listing, trade.quantity),
                "f": number,
                "l": number,
                "T": trade.time_ms,
                "m": trade.side.value == "SELL",
            }
            for number, trade in self.numbered_trades(listing, 1000)
            if (start is None or trade.time_ms >= start)
            and (end is None or trade.time_ms <= end)
            and (first is None or number >= first)
        ]
        limit = call.params.limit(500, 1000)
        return rows[:limit] if start is not None or first is not None else rows[-limit:]

    def klines(self, kind: Literal["last", "mark", "index"]) -> Any:
        def work(call: Call) -> list[list[Any]]:
            params = call.params
            listing = self.context.listing(params.optional("symbol") or params.required("pair"))
            name = params.required("interval")
            if name not in INTERVALS:
                raise BinanceError(-1120, "Invalid interval.")
            step = INTERVALS[name] * 1000
            limit = params.limit(500, 1500)
            start, end = _span(params)
            last = end if end is not None else self.context.truth.now_ms
            if start is None:
                start = last // step * step - (limit - 1) * step
            found = self.context.truth.candles(listing.id, INTERVALS[name], start, last + 1, kind)
            return [self.kline(listing, candle, step, kind) for candle in found[:limit]]

        return work

    def kline(self, listing: Listing, candle: Candle, step_ms: int, kind: str) -> list[Any]:
        """One candle as REST gives it: strings, with the taker's half of the volume."""
        if kind == "last":
            rows = [
                self.context.price(listing, v) for v in (candle.open, candle.high, candle.low, candle.close)
            ]
        else:
            rows = [money(value) for value in (candle.open, candle.high, candle.low, candle.close)]
        close = candle.open_ms + step_ms - 1
        if kind != "last":
            return [candle.open_ms, *rows, "0", close, "0", 60, "0", "0", "0"]
        half = candle.volume / 2
        turnover = candle.volume * (candle.open + candle.close) / 2
        return [
            candle.open_ms,
            *rows,
            self.context.quantity(listing, candle.volume),
            close,
            fixed(turnover, 5),
            int(candle.volume > 0),
            self.context.quantity(listing, half),
            fixed(turnover / 2, 5),
            "0",
        ]

    def _one_or_all(self, params: Params, render: Any) -> Any:
        rows = [render(listing) for listing in self.context.asked(params)]
        return rows[0] if params.optional("symbol") else rows


def _span(params: Params) -> tuple[int | None, int | None]:
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None and start > end:
        raise BinanceError(-1023, "Start time is greater than end time.")
    return start, end


def _one_or(everything: int, one: int = 1) -> Any:
    return lambda params: one if params.optional("symbol") else everything


def _depth_weight(params: Params) -> int:
    return _DEPTHS.get(params.integer("limit", 500) or 0, 1)


def _kline_weight(params: Params) -> int:
    limit = params.integer("limit", 500) or 0
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
