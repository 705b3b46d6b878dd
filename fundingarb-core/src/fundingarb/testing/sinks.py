"""Sinks that remember what they were told."""

from __future__ import annotations

from dataclasses import dataclass, field

from fundingarb.domain.events import Alert
from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.order import Fill, OrderReport


@dataclass
class StreamLog:
    """What a stream told about itself."""

    ups: list[str] = field(default_factory=list)
    downs: list[tuple[str, str]] = field(default_factory=list)
    bad: list[tuple[str, bytes, str]] = field(default_factory=list)

    def connected(self, stream: str) -> None:
        self.ups.append(stream)

    def disconnected(self, stream: str, reason: str) -> None:
        self.downs.append((stream, reason))

    def quarantined(self, stream: str, raw: bytes, reason: str) -> None:
        self.bad.append((stream, raw, reason))


@dataclass
class RecordingRateSink(StreamLog):
    """A ``RateSink`` over a rate book of its own (or the one given)."""

    book: RateBook = field(default_factory=RateBook)
    flushes: list[str] = field(default_factory=list)
    intervals: list[tuple[str, str, float]] = field(default_factory=list)

    def flush(self, exchange: str) -> None:
        self.flushes.append(exchange)

    def interval_changed(self, exchange: str, symbol: str, hours: float) -> None:
        self.intervals.append((exchange, symbol, hours))


@dataclass
class RecordingBookSink(StreamLog):
    """A ``BookSink``; ``latest`` has the newest book of each symbol."""

    books: list[OrderBook] = field(default_factory=list)

    def update(self, book: OrderBook) -> None:
        self.books.append(book)

    @property
    def latest(self) -> dict[str, OrderBook]:
        return {book.symbol: book for book in self.books}


@dataclass
class RecordingAccountSink(StreamLog):
    """An ``AccountSink``."""

    orders: list[OrderReport] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    payments: list[str] = field(default_factory=list)
    positions: list[tuple[str, str]] = field(default_factory=list)

    def order(self, report: OrderReport) -> None:
        self.orders.append(report)

    def fill(self, fill: Fill) -> None:
        self.fills.append(fill)

    def funding(self, account: str) -> None:
        self.payments.append(account)

    def position(self, account: str, symbol: str) -> None:
        self.positions.append((account, symbol))


@dataclass
class RecordingAlertSink:
    """An ``AlertSink``; ``error``, once set, is what delivery fails with."""

    alerts: list[Alert] = field(default_factory=list)
    error: Exception | None = None

    async def send(self, alert: Alert) -> None:
        if self.error is not None:
            raise self.error
        self.alerts.append(alert)
