"""Order books pieced together from snapshots and numbered changes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook
from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import number, positive
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb.exchanges.values import Units, units_of

__all__ = ["BookKeeper", "CrossedBook"]

Level = tuple[Decimal, Decimal]
Rows = Iterable[Sequence[str]]
"""Levels as exchanges send them: price, quantity, and whatever else they add."""


class CrossedBook(BadMessage):
    """A change left a bid at or above an ask: something in the book is not there any more."""


class _Side:
    """One side of a book, kept sorted best first by a sign that makes the best price the smallest key."""

    __slots__ = ("_keys", "_levels", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[Decimal] = []
        self._levels: list[Level] = []

    def replace(self, price: Decimal, quantity: Decimal, units: Units) -> None:
        """Set the quantity at a price; zero takes the level away."""
        key = self._sign * price
        place = bisect_left(self._keys, key)
        known = place < len(self._keys) and self._keys[place] == key
        if quantity > 0:
            level = (price / units.price, quantity * units.quantity)
            if known:
                self._levels[place] = level
            else:
                self._keys.insert(place, key)
                self._levels.insert(place, level)
        elif known:
            del self._keys[place]
            del self._levels[place]

    @property
    def levels(self) -> tuple[Level, ...]:
        return tuple(self._levels)


class _Book:
    __slots__ = ("asks", "bids", "number")

    def __init__(self) -> None:
        self.bids, self.asks, self.number = _Side(-1), _Side(1), 0


class BookKeeper:
    """The books of one connection, by the exchange's ids, each passed on to ``update`` whenever it changes.

    What cannot be right (a level that is no number, a crossed book) drops the book: ``gap`` is called with the
    exchange's id, so that a snapshot is fetched, and ``BadMessage`` is raised. Whether a change follows its predecessor
    is the caller's to tell, by the ``number`` of the last one that was taken.
    """

    def __init__(
        self,
        known: InstrumentMap,
        update: Callable[[OrderBook], None],
        now: Callable[[], datetime],
        gap: Callable[[str], None],
        units: Callable[[Instrument], Units] = units_of,
    ) -> None:
        self._known = known
        self._update = update
        self._now = now
        self._gap = gap
        self._units = units
        self._books: dict[str, _Book] = {}

    def reset(self) -> None:
        """Drop all books: snapshots come first on a new connection."""
        self._books.clear()

    def has(self, exchange_id: str) -> bool:
        """Whether there is a usable book of this instrument."""
        return exchange_id in self._books

    def number(self, exchange_id: str) -> int | None:
        """The number of the last change of this book; None where there is no usable book."""
        book = self._books.get(exchange_id)
        return None if book is None else book.number

    def snapshot(self, exchange_id: str, number: int, bids: Rows, asks: Rows) -> None:
        """A whole book, in place of whatever was known."""
        instrument = self._instrument(exchange_id)
        book = self._books[exchange_id] = _Book()
        self._take(instrument, book, number, bids, asks)

    def change(self, exchange_id: str, number: int, bids: Rows, asks: Rows) -> None:
        """Changed levels of a book that there is; a quantity of zero takes a level away."""
        self._take(self._instrument(exchange_id), self._books[exchange_id], number, bids, asks)

    def drop(self, exchange_id: str) -> None:
        """Forget a book that cannot be trusted, and ask for another."""
        self._books.pop(exchange_id, None)
        self._gap(exchange_id)

    def refresh(self) -> None:
        """Pass on every book with the time of now: the connection delivers, so what was not pushed is as it was."""
        for exchange_id, book in self._books.items():
            instrument = self._known.by_id(exchange_id)
            if instrument is not None:
                self._pass_on(instrument, book.bids.levels, book.asks.levels)

    def _instrument(self, exchange_id: str) -> Instrument:
        instrument = self._known.by_id(exchange_id)
        if instrument is None:
            raise BadMessage(f"a book of {exchange_id}, which is not a known instrument")
        return instrument

    def _take(self, instrument: Instrument, book: _Book, count: int, bids: Rows, asks: Rows) -> None:
        units = self._units(instrument)
        try:
            for rows, side in ((bids, book.bids), (asks, book.asks)):
                for price, quantity, *_ in rows:
                    side.replace(positive(price, "book price"), number(quantity, "book quantity"), units)
        except BadMessage:
            self.drop(instrument.exchange_id)
            raise
        book.number = count
        bid, ask = book.bids.levels, book.asks.levels
        if bid and ask and bid[0][0] >= ask[0][0]:
            self.drop(instrument.exchange_id)
            raise CrossedBook(f"{instrument.exchange_id}: a crossed book, {bid[0][0]} over {ask[0][0]}")
        self._pass_on(instrument, bid, ask)

    def _pass_on(self, instrument: Instrument, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
        self._update(OrderBook(instrument.exchange, instrument.symbol, bids, asks, self._now()))
