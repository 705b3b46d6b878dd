"""What the bot knows of the markets, and the feeds that keep it so: one set of tasks per exchange."""

from __future__ import annotations

import logging
import statistics
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import anyio
import anyio.abc

from fundingarb.domain.events import Event, IntervalChanged, StreamChanged
from fundingarb.domain.funding import FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.order import ZERO
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.engine.supervisor import keep_running
from fundingarb.errors import ConfigError, ExchangeError, ExchangeUnavailable
from fundingarb.ports import Clock, ExchangeAdapter

log = logging.getLogger("fundingarb.markets")

HISTORY = timedelta(days=7)
#: Real seconds at least between two readings of settled rates, however fast the clock runs.
HISTORY_REST = 60.0
#: Seconds of the bot's time between two readings of the instruments, and real seconds at least.
RELIST, RELIST_REST = 3600.0, 60.0
#: An instrument that was missing in so many readings in a row is gone.
MISSES = 2
#: Messages in quarantine that are kept, and real seconds for which another one of the same reason is not logged.
QUARANTINE, HUSH = 200, 60.0


@dataclass
class Markets:
    """Rates, order books, instruments and settled-rate medians of every exchange; the sink of every public stream.

    ``gone`` are instruments that were listed, or are held, and are not traded any more: halted, or delisted.
    ``missing`` counts the readings in a row that lacked one which is not gone yet, ``listed_at`` is when the last one
    was asked for (monotonic).
    ``stale_after`` is real seconds: what is older is not traded on and is polled by REST instead.
    """

    clock: Clock
    publish: Callable[[Event], None]
    wake: Callable[[], None]
    stale_after: float = 10.0
    book: RateBook = field(default_factory=RateBook)
    instruments: dict[tuple[str, str], Instrument] = field(default_factory=dict)
    gone: set[tuple[str, str]] = field(default_factory=set)
    missing: dict[tuple[str, str], int] = field(default_factory=dict)
    listed_at: dict[str, float] = field(default_factory=dict)
    streams: dict[str, bool] = field(default_factory=dict)
    quarantine: deque[tuple[str, bytes, str]] = field(default_factory=lambda: deque(maxlen=QUARANTINE))
    _books: dict[tuple[str, str], tuple[OrderBook, float]] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _settled: dict[tuple[str, str], dict[datetime, Decimal]] = field(default_factory=dict)
    _new_settled: set[tuple[str, str]] = field(default_factory=set)
    _medians: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    _doubted: dict[str, anyio.Event] = field(default_factory=dict)
    _hushed: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    # the sink of public streams

    def flush(self, exchange: str) -> None:
        self._heard[exchange] = self.clock.monotonic()
        self.wake()

    def update(self, book: OrderBook) -> None:
        self._books[(book.exchange, book.symbol)] = (book, self.clock.monotonic())

    def interval_changed(self, exchange: str, symbol: str, hours: float) -> None:
        instrument = self.instruments.get((exchange, symbol))
        if instrument is None:
            return
        before = Decimal(int(instrument.funding_interval.total_seconds())) / 3600
        self.publish(IntervalChanged(exchange, symbol, before, Decimal(repr(hours)), self.clock.now()))

    def connected(self, stream: str) -> None:
        self.streams[stream] = True
        self.publish(StreamChanged(stream.split(".", 1)[0], stream, True, "", self.clock.now()))

    def disconnected(self, stream: str, reason: str) -> None:
        self.streams[stream] = False
        self.publish(StreamChanged(stream.split(".", 1)[0], stream, False, reason, self.clock.now()))

    def quarantined(self, stream: str, raw: bytes, reason: str) -> None:
        """Kept with its reason; one line of log a minute for what repeats itself."""
        self.quarantine.append((stream, raw, reason))
        now, (until, more) = self.clock.monotonic(), self._hushed.get((stream, reason), (float("-inf"), 0))
        if now < until:
            self._hushed[stream, reason] = until, more + 1
            return
        if len(self._hushed) >= QUARANTINE:
            self._hushed.clear()
        self._hushed[stream, reason] = now + HUSH, 0
        log.warning(
            "%s: message quarantined: %s%s", stream, reason, f" ({more} more of these before)" * bool(more)
        )

    def list_instrument(self, instrument: Instrument) -> bool:
        """The exchange lists it like this now; whether that is news."""
        key = (instrument.exchange, instrument.symbol)
        self.gone.discard(key)
        if self.instruments.get(key) == instrument:
            return False
        self.instruments[key] = instrument
        self.book.add(instrument)
        return True

    def unlist(self, exchange: str, symbol: str) -> None:
        """The exchange does not trade it any more: it has no rate that could be acted on."""
        self.instruments.pop((exchange, symbol), None)
        self.gone.add((exchange, symbol))
        self.book.forget(exchange, symbol)

    def note_missing(self, exchange: str, symbols: Collection[str], asked: float) -> None:
        """The list of ``exchange``, asked for then, lacks these: gone is what ``MISSES`` readings in a row lacked."""
        before = self.missing
        self.missing = {key: count for key, count in before.items() if key[0] != exchange}
        self.listed_at[exchange] = asked
        for symbol in symbols:
            count = before.get((exchange, symbol), 0) + 1
            if count < MISSES:
                self.missing[exchange, symbol] = count
            else:
                self.unlist(exchange, symbol)

    def doubt(self, exchange: str) -> None:
        """It refused a reduction: its steps may have changed, so its instruments are read again soon."""
        self.doubted(exchange).set()

    def doubted(self, exchange: str) -> anyio.Event:
        """Set once the instruments of ``exchange`` are to be read again."""
        return self._doubted.setdefault(exchange, anyio.Event())

    def believe(self, exchange: str) -> None:
        """The instruments of ``exchange`` are being read: only what is refused from now on is a doubt."""
        self._doubted.pop(exchange, None)

    # what the loop reads

    def age(self, exchange: str) -> float:
        """Real seconds since rates of ``exchange`` were heard, by stream or REST."""
        return self.clock.monotonic() - self._heard.get(exchange, float("-inf"))

    async def heard_all(self, exchanges: Sequence[str], within: float) -> None:
        """Wait (real seconds) until every exchange was heard; ``ExchangeUnavailable`` names those that were not."""
        until = self.clock.monotonic() + within
        while silent := [exchange for exchange in exchanges if exchange not in self._heard]:
            if self.clock.monotonic() > until:
                raise ExchangeUnavailable(
                    f"{', '.join(silent)} sent no rates in {within:.0f} s; is it reachable?"
                )
            await anyio.sleep(0.05)

    def fresh_rate(self, exchange: str, symbol: str) -> FundingRate | None:
        """The rate while the exchange is being heard and its settlement lies ahead."""
        if self.age(exchange) > self.stale_after:
            return None
        rate = None if (exchange, symbol) in self.gone else self.book.get(exchange, symbol)
        if rate is None or rate.next_settlement <= self.clock.now():
            return None
        return rate

    def fresh_book(self, exchange: str, symbol: str) -> OrderBook | None:
        entry = self._books.get((exchange, symbol))
        if entry is None or self.clock.monotonic() - entry[1] > self.stale_after:
            return None
        return entry[0]

    def book_age(self, exchange: str, symbol: str) -> float:
        """Real seconds since an order book of ``symbol`` was last told; infinite before."""
        entry = self._books.get((exchange, symbol))
        return float("inf") if entry is None else self.clock.monotonic() - entry[1]

    def silent(self, exchange: str, symbol: str) -> bool:
        """Whether its order book was heard once and is not fresh, while the exchange itself is heard."""
        return self.age(exchange) <= self.stale_after < self.book_age(exchange, symbol) < float("inf")

    def perhaps_halted(self, exchange: str, symbol: str) -> bool:
        """Whether its order book is silent and the exchange's list has not said since then that it is traded."""
        if not self.silent(exchange, symbol):
            return False
        silent_at = self.clock.monotonic() - self.book_age(exchange, symbol) + self.stale_after
        return (exchange, symbol) in self.missing or self.listed_at.get(exchange, float("-inf")) < silent_at

    def mark(self, exchange: str, symbol: str) -> Decimal | None:
        row = self.book.row(exchange, symbol)
        if row is None or self.book.mark[row] != self.book.mark[row]:
            return None
        return Decimal(repr(self.book.mark[row]))

    def fresh_index(self, exchange: str, symbol: str) -> Decimal | None:
        """The index price while the exchange is being heard; its mark price where it tells none."""
        row = self.book.row(exchange, symbol)
        if row is None or self.age(exchange) > self.stale_after:
            return None
        price = self.book.index[row]
        return Decimal(repr(price)) if price == price and price > 0 else self.mark(exchange, symbol)

    def fresh_mark(self, exchange: str, symbol: str) -> Decimal | None:
        """The mark price while the exchange is being heard."""
        return self.mark(exchange, symbol) if self.age(exchange) <= self.stale_after else None

    def about(self, exchange: str, symbol: str) -> Decimal | None:
        """About what one unit costs, however long ago that was heard: the mark price, else the middle of the book;
        None while neither is known."""
        entry = self._books.get((exchange, symbol))
        for price in (self.mark(exchange, symbol), None if entry is None else entry[0].mid):
            if price is not None and price.is_finite() and price > 0:
                return price
        return None

    def prices(self) -> Mapping[str, Decimal]:
        """Symbol -> the highest of its mark prices, where one is known."""
        known: dict[str, Decimal] = {}
        for exchange, symbol in self.instruments:
            mark = self.mark(exchange, symbol)
            if mark is not None:
                known[symbol] = max(mark, known.get(symbol, mark))
        return known

    def median_hourly(self, exchange: str, symbol: str) -> Decimal:
        """Median settled rate per hour of the last week; 0 while unknown."""
        return self._medians.get((exchange, symbol), ZERO)

    def settled(self, exchange: str, symbol: str) -> Mapping[datetime, Decimal]:
        """Settled rates per interval of the last week by settlement time."""
        return self._settled.get((exchange, symbol), {})

    def take_settled(self) -> set[tuple[str, str]]:
        """The (exchange, symbol) of which settlements were listed since this was last called."""
        found, self._new_settled = self._new_settled, set()
        return found

    def add_settled(self, rates: Sequence[SettledRate]) -> None:
        """Take settled rates into the medians."""
        touched = set()
        for rate in rates:
            key = (rate.exchange, rate.symbol)
            times = self._settled.setdefault(key, {})
            if rate.settled_at not in times:
                self._new_settled.add(key)
            times[rate.settled_at] = rate.rate
            touched.add(key)
        for key in touched:
            self._recompute(key)

    def _recompute(self, key: tuple[str, str]) -> None:
        instrument = self.instruments.get(key)
        rows = self._settled[key]
        oldest = self.clock.now() - HISTORY
        for at in [at for at in rows if at < oldest]:
            del rows[at]
        if instrument is None or not rows:
            return
        times = sorted(rows)
        default = instrument.funding_interval
        hourly = []
        for number, at in enumerate(times):
            gap = at - times[number - 1] if number else default
            hours = (gap if gap <= timedelta(hours=8) else default) / timedelta(hours=1)
            hourly.append(rows[at] / Decimal(repr(hours)))
        self._medians[key] = Decimal(statistics.median(hourly))


async def load_feeds(feeds: Sequence[MarketFeed], symbols: Sequence[str]) -> None:
    """Read every exchange's instruments.

    Raises ``ConfigError`` for a symbol that no exchange lists, ``ExchangeError`` when one does not answer.
    """
    listed: set[str] = set()
    failed: list[ExchangeError] = []

    async def load(feed: MarketFeed) -> None:
        try:
            listed.update(await feed.load())
        except ExchangeError as error:
            failed.append(error)

    async with anyio.create_task_group() as loading:
        for feed in feeds:
            loading.start_soon(load, feed)
    if failed:
        raise failed[0]
    for symbol in symbols:
        if symbol not in listed:
            raise ConfigError(
                f"trading.symbols: {symbol} is listed on none of {', '.join(sorted(each.exchange for each in feeds))}; "
                "symbols are written like BTC-USDT"
            )


@dataclass
class MarketFeed:
    """The tasks of one exchange: rate stream, book stream, REST fallback, settled-rate history.

    They run for those of ``symbols`` that the exchange lists, and begin anew when those change: one was added
    (``want``), has been listed since, or is gone. ``held`` are the symbols of what is open there.
    ``version`` counts the changes of what is listed of them, and ``news`` is set with each.
    """

    adapter: ExchangeAdapter
    gate: RequestGate
    markets: Markets
    symbols: Sequence[str]
    clock: Clock
    on_failure: Callable[[str, Exception], None]
    held: Callable[[], Collection[str]] = tuple
    history_pause: float = 600.0
    version: int = 0
    news: anyio.Event = field(default_factory=anyio.Event)
    _asked: anyio.Event = field(default_factory=anyio.Event)
    _begun: set[str] = field(default_factory=set)
    _running: list[anyio.CancelScope] = field(default_factory=list)
    _settled_until: dict[str, datetime] = field(default_factory=dict)

    @property
    def exchange(self) -> str:
        return self.adapter.name

    async def load(self) -> Sequence[str]:
        """Read the instruments; returns our symbols that this exchange lists."""
        asked = self.clock.monotonic()
        listed = await self._read("get_instruments", self.adapter.get_instruments)
        held = self.held()
        wanted = {*self.symbols, *held}
        found = {instrument.symbol for instrument in listed if instrument.symbol in wanted}
        changed = [self.markets.list_instrument(each) for each in listed if each.symbol in wanted]
        known = {symbol for exchange, symbol in self.markets.instruments if exchange == self.exchange}
        self.markets.note_missing(self.exchange, known.union(held) - found, asked)
        if any(changed):
            self.version += 1
            self.news.set()
            self.news = anyio.Event()
        ours = self.listed()
        if self._begun != set(ours):
            for scope in list(self._running):
                scope.cancel()
        return ours

    async def names(self) -> set[str]:
        """Every symbol that the exchange lists now, ours or not."""
        return {one.symbol for one in await self._read("get_instruments", self.adapter.get_instruments)}

    def listed(self) -> list[str]:
        """Those of our symbols that this exchange lists, as far as is known."""
        return [s for s in self.symbols if (self.exchange, s) in self.markets.instruments]

    def want(self, symbols: Sequence[str]) -> None:
        """From now on these as well; those that came before stay."""
        more = [symbol for symbol in symbols if symbol not in self.symbols]
        if more:
            self.symbols = [*self.symbols, *more]
            self._asked.set()

    async def with_listed(self, job: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Run ``job`` for ``listed``; it is cancelled and run again when those change."""
        while True:
            symbols = self.listed()
            self._begun = set(symbols)
            with anyio.CancelScope() as scope:
                self._running.append(scope)
                try:
                    await (job(symbols) if symbols else anyio.sleep_forever())
                finally:
                    self._running.remove(scope)
            if not scope.cancelled_caught:
                return

    async def run(self, tasks: anyio.abc.TaskGroup) -> None:
        """Start the tasks in ``tasks``."""
        jobs: dict[str, Callable[[Sequence[str]], Awaitable[None]]] = {
            "rates": lambda symbols: self.adapter.stream_rates(symbols, self.markets),
            "books": lambda symbols: self.adapter.stream_books(symbols, self.markets),
            "fallback": self._fallback,
            "history": self._history,
        }
        for name, job in jobs.items():
            listed = partial(self.with_listed, job)
            tasks.start_soon(keep_running, f"{self.exchange}.{name}", listed, self.clock, self.on_failure)
        for name, always in {"instruments": self._relist, "more": self._look_for_more}.items():
            tasks.start_soon(keep_running, f"{self.exchange}.{name}", always, self.clock, self.on_failure)

    async def _look_for_more(self) -> None:
        """Read the instruments when there are more symbols to look for."""
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            try:
                await self.load()
            except ExchangeError:
                self._asked.set()
                raise

    async def _relist(self) -> None:
        """Read the instruments again every hour; sooner while one of ours is missing or what is held is not traded, or
        when one is in doubt."""
        while True:
            await anyio.sleep(RELIST_REST)
            gone = any((self.exchange, symbol) in self.markets.gone for symbol in self.held())
            if not gone and all(exchange != self.exchange for exchange, _ in self.markets.missing):
                with anyio.move_on_after(max(RELIST / self.clock.speed - RELIST_REST, 0.0)):
                    await self.markets.doubted(self.exchange).wait()
            self.markets.believe(self.exchange)
            try:
                await self.load()
            except ExchangeError:
                self.markets.doubt(self.exchange)
                raise

    async def _fallback(self, symbols: Sequence[str]) -> None:
        """Poll rates by REST while the stream is silent."""
        pause = self.markets.stale_after / 3
        while True:
            await anyio.sleep(pause)
            if self.markets.age(self.exchange) < pause:
                continue
            for rate in await self._read(
                "get_funding_rates", lambda: self.adapter.get_funding_rates(symbols)
            ):
                self.take(rate)
            self.markets.flush(self.exchange)

    def take(self, rate: FundingRate) -> None:
        """A rate read by REST, into the columns."""
        book = self.markets.book
        row = book.row(self.exchange, rate.instrument.symbol)
        if row is None:
            return
        book.update(
            row,
            float(rate.rate),
            rate.next_settlement.timestamp(),
            rate.at.timestamp(),
            rate.interval.total_seconds(),
        )
        nan = float("nan")
        book.update_price(
            row,
            nan if rate.mark is None else float(rate.mark),
            nan if rate.index is None else float(rate.index),
        )
        book.frame(self.exchange, rate.at.timestamp())

    async def _history(self, symbols: Sequence[str]) -> None:
        """Load a week of settled rates, then the new ones as they are settled."""
        while True:
            now = self.clock.now()
            for symbol in symbols:
                since = self._settled_until.get(symbol, now - HISTORY)
                try:
                    rows = await self._read_history(symbol, since)
                except ExchangeError as error:
                    log.info("%s %s: settled rates not read: %s", self.exchange, symbol, error)
                    continue
                self.markets.add_settled(rows)
                self._settled_until[symbol] = max((row.settled_at for row in rows), default=since)
            await self.clock.sleep(max(self.history_pause, HISTORY_REST * self.clock.speed))

    async def _read_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        return await self._read(
            "get_funding_history", lambda: self.adapter.get_funding_history(symbol, since)
        )

    async def _read(self, operation: str, request: Callable[[], object]) -> Sequence:  # type: ignore[type-arg]
        return await self.gate.call(Priority.READ, self.adapter.cost(operation), request)  # type: ignore[arg-type]
