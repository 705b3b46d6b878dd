"""When the market streams speak: prices each second, books and trades as they change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.events import Event, IntervalChanged, Liquidated
from fundingarb.localnet.truth.views import BookView, Candle, Level, Trade
from fundingarb_binance.localnet.answers import encode
from fundingarb_binance.localnet.context import Context
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.market import INTERVALS, Market
from fundingarb_binance.localnet.messages import Messages
from fundingarb_binance.localnet.streams import COMBINED

__all__ = ["Feeds"]

_WHOLE_BOOK = 1000
_DEPTH = re.compile(r"^(?P<symbol>[^@]+)@depth(?P<levels>5|10|20)?(@(?P<speed>100|250|500)ms)?$")
_KLINE = re.compile(r"^(?P<symbol>[^@]+)@kline_(?P<interval>\w+)$")


class Feeds:
    """Publishers of the market streams."""

    def __init__(self, context: Context, market: Market) -> None:
        self.context = context
        self.market = market
        self.messages = Messages(context, market)
        self._by_stream_name = {name.lower(): listing for name, listing in context.listings.items()}
        self._quotes: dict[str, tuple[Level | None, Level | None]] = {}
        self._chains: dict[str, BookView] = {}
        self._partials: dict[str, int] = {}
        self._trades: dict[str, int] = {}
        self._candles: dict[str, Candle] = {}

    def schedule(self) -> None:
        """Register everything that is sent at an interval."""
        every = self.context.venue.every
        every(1.0, lambda: self.mark_prices("@1s"))
        every(3.0, lambda: self.mark_prices(""))
        every(0.1, lambda: self.books(100))
        every(0.25, lambda: self.books(250))
        every(0.5, lambda: self.books(500))
        every(0.05, self.quotes)
        every(0.1, self.trades)
        every(0.5, self.tickers)
        every(0.25, self.candles)

    # -- sending ---------------------------------------------------------------------------------------------

    def _wanted(self, stream: str) -> bool:
        hub = self.context.venue.hub
        return hub.wanted(stream) or hub.wanted(stream + COMBINED)

    def _send(self, stream: str, data: Any) -> None:
        hub = self.context.venue.hub
        if hub.wanted(stream):
            hub.publish(stream, encode(data))
        if hub.wanted(stream + COMBINED):
            hub.publish(stream + COMBINED, encode({"stream": stream, "data": data}))

    def _listened(self, suffix: str) -> Iterable[tuple[str, Listing]]:
        """Streams of single contracts that somebody listens to and that end so."""
        for name, listing in self._by_stream_name.items():
            if self._wanted(name + suffix):
                yield name + suffix, listing

    def _streams(self, pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
        names = {topic.removesuffix(COMBINED) for topic in self.context.venue.hub.topics()}
        found = [(name, match) for name in sorted(names) if (match := pattern.match(name))]
        return [(name, match) for name, match in found if match["symbol"] in self._by_stream_name]

    # -- mark prices -----------------------------------------------------------------------------------------

    def mark_prices(self, speed: str) -> None:
        everything = f"!markPrice@arr{speed}"
        if self._wanted(everything):
            self._send(everything, [self.messages.mark_price(one) for one in self.context.listings.values()])
        for stream, listing in self._listened(f"@markPrice{speed}"):
            self._send(stream, self.messages.mark_price(listing))

    # -- books -----------------------------------------------------------------------------------------------

    def quotes(self) -> None:
        """``bookTicker``: sent when the best bid or ask changed."""
        everything = self._wanted("!bookTicker")
        for name, listing in self._by_stream_name.items():
            if not (everything or self._wanted(f"{name}@bookTicker")):
                self._quotes.pop(name, None)
                continue
            book = self.context.truth.book(listing.id, 1)
            best = (book.bids[0] if book.bids else None, book.asks[0] if book.asks else None)
            if self._quotes.get(name) != best:
                self._quotes[name] = best
                message = self.messages.quote(listing, book)
                self._send(f"{name}@bookTicker", message)
                self._send("!bookTicker", message)

    def subscribed(self, stream: str) -> None:
        """Somebody begins to listen: a chain of book changes starts from the book as it is now."""
        match = _DEPTH.match(stream)
        if match and match["levels"] is None and match["symbol"] in self._by_stream_name:
            if not self._wanted(stream):
                self._chains.pop(stream, None)
            self._chain(stream, self._by_stream_name[match["symbol"]])
        self._partials.pop(stream, None)
        self._quotes.pop(stream.partition("@")[0], None)

    def _chain(self, stream: str, listing: Listing) -> BookView:
        known = self._chains.get(stream)
        if known is None:
            self.context.venue.sync()
            known = self._chains[stream] = self.context.truth.book(listing.id, _WHOLE_BOOK)
        return known

    def books(self, speed: int) -> None:
        """Changes (``@depth``) and tops (``@depth20``) of the streams of one speed; 250 ms has no name of its own."""
        for stream, match in self._streams(_DEPTH):
            if int(match["speed"] or 250) != speed:
                continue
            listing = self._by_stream_name[match["symbol"]]
            if match["levels"] is None:
                self._changes(stream, listing)
            else:
                self._top(stream, listing, int(match["levels"]))

    def _changes(self, stream: str, listing: Listing) -> None:
        before = self._chain(stream, listing)
        book = self.context.truth.book(listing.id, _WHOLE_BOOK)
        if book.version == before.version:
            return
        self._chains[stream] = book
        bids, asks = _difference(before.bids, book.bids), _difference(before.asks, book.asks)
        self._send(stream, self.messages.book_change(listing, before.version, book, bids, asks))

    def _top(self, stream: str, listing: Listing, levels: int) -> None:
        book = self.context.truth.book(listing.id, levels)
        before = self._partials.get(stream)
        if before == book.version:
            return
        self._partials[stream] = book.version
        previous = before if before is not None else book.version - 1
        self._send(stream, self.messages.book_change(listing, previous, book, book.bids, book.asks))

    # -- trades ----------------------------------------------------------------------------------------------

    def trades(self) -> None:
        for suffix, render in (("@aggTrade", self.messages.agg_trade), ("@trade", self.messages.trade)):
            for stream, listing in self._listened(suffix):
                for number, trade in self._new_trades(stream, listing):
                    self._send(stream, render(listing, number, trade))
        for stream in [stream for stream in self._trades if not self._wanted(stream)]:
            del self._trades[stream]

    def _new_trades(self, stream: str, listing: Listing) -> list[tuple[int, Trade]]:
        found = self.market.numbered_trades(listing, 100)
        last = self._trades.get(stream)
        if found:
            self._trades[stream] = found[-1][0]
        if last is None:
            return found[-1:]
        return [(number, trade) for number, trade in found if number > last]

    # -- tickers and candles ---------------------------------------------------------------------------------

    def tickers(self) -> None:
        for suffix, everything, render in (
            ("@miniTicker", "!miniTicker@arr", self.messages.mini_ticker),
            ("@ticker", "!ticker@arr", self.messages.ticker),
        ):
            if self._wanted(everything):
                self._send(everything, [render(listing) for listing in self.context.listings.values()])
            for stream, listing in self._listened(suffix):
                self._send(stream, render(listing))

    def candles(self) -> None:
        now = self.context.truth.now_ms
        for stream, match in self._streams(_KLINE):
            seconds = INTERVALS.get(match["interval"])
            if seconds is None:
                continue
            listing = self._by_stream_name[match["symbol"]]
            step = seconds * 1000
            known = self._candles.get(stream)
            start = known.open_ms if known is not None else now // step * step
            for candle in self.context.truth.candles(listing.id, seconds, start, now + 1):
                if candle != known:
                    closed = candle.open_ms + step <= now
                    self._send(stream, self.messages.candle(listing, candle, match["interval"], closed))
                    self._candles[stream] = candle
        for stream in [stream for stream in self._candles if not self._wanted(stream)]:
            del self._candles[stream]

    # -- events ----------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Public messages that one event of the truth makes."""
        if isinstance(event, Liquidated) and event.kind == "liquidation":
            message = self.messages.force_order(event)
            self._send(f"{event.instrument.lower()}@forceOrder", message)
            self._send("!forceOrder@arr", message)
        elif isinstance(event, IntervalChanged):
            self.market.adjusted.add(event.instrument)
            self._send("!contractInfo", self.messages.contract_info(self.context.listings[event.instrument]))


def _difference(before: tuple[Level, ...], after: tuple[Level, ...]) -> list[Level]:
    """New quantities of the prices that changed; 0 where a price is gone."""
    old, new = dict(before), dict(after)
    gone = [(price, Decimal(0)) for price in old if price not in new]
    changed = [(price, quantity) for price, quantity in new.items() if old.get(price) != quantity]
    return sorted(gone + changed)
