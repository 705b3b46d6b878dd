"""Decoders of dYdX's market streams. Whole frames in, columns and values out; nothing is awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import number, positive
from fundingarb.exchanges.stream import StreamEnded
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_dydx.messages import EXCHANGE, uncrossed

_LARGEST_PRICE = 1e12
_HOUR = 3600.0


class Frame(msgspec.Struct):
    """The envelope of everything the indexer sends. ``contents`` is a list where updates are batched."""

    type: str
    message_id: int = -1
    channel: str = ""
    id: str = ""
    message: str = ""
    contents: msgspec.Raw = msgspec.Raw(b"")


_FRAME = msgspec.json.Decoder(Frame)
_PIECES = msgspec.json.Decoder(list[msgspec.Raw])


class Envelope:
    """Opens frames of one connection and counts them: the indexer numbers everything it sends on it.

    A frame that was sent twice is passed over. When one is missing nobody knows what was in it: ``gap`` is called
    before the frame behind the hole is returned, to have fresh snapshots.
    """

    def __init__(self, gap: Callable[[], None]) -> None:
        self._gap = gap
        self._last = -1

    def reset(self) -> None:
        """A new connection begins to count anew."""
        self._last = -1

    def open(self, frame: bytes) -> Frame | None:
        """The frame; None when it was there before, or says nothing. A refused command ends the connection."""
        message = _FRAME.decode(frame)
        if message.message_id >= 0:
            if message.message_id <= self._last:
                return None
            missing = self._last >= 0 and message.message_id != self._last + 1
            self._last = message.message_id
            if missing:
                self._gap()
        if message.type == "error":
            raise StreamEnded(f"dydx refused: {message.message[:200]}")
        return message if message.contents else None


def pieces(message: Frame) -> Iterable[msgspec.Raw]:
    """The updates in a frame, one or many."""
    return (
        _PIECES.decode(message.contents)
        if bytes(memoryview(message.contents)[:1]) == b"["
        else (message.contents,)
    )


class _Price(msgspec.Struct, gc=False):
    oraclePrice: str  # noqa: N815


class _Trading(msgspec.Struct, gc=False):
    nextFundingRate: str | None = None  # noqa: N815
    oraclePrice: str | None = None  # noqa: N815


class _Markets(msgspec.Struct):
    markets: dict[str, _Trading] | None = None
    trading: dict[str, _Trading] | None = None
    oraclePrices: dict[str, _Price] | None = None  # noqa: N815


class MarketsDecoder:
    """Takes frames of ``v4_markets`` into a rate book.

    The first frame has every market, later ones what changed. ``rows`` maps tickers to rows of ``book``, ``now`` gives
    unix seconds of the shared clock. Whatever is heard brings the next settlement up to date: the coming full hour.
    """

    def __init__(
        self,
        book: RateBook,
        rows: Mapping[str, int],
        *,
        now: Callable[[], float],
        gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._book = book
        self._rows = dict(rows)
        self._now = now
        self._wake = gap
        self._envelope = Envelope(self._lost)
        self._complete = False
        self._decode = msgspec.json.Decoder(_Markets).decode
        self._settlement = 0.0

    def reset(self) -> None:
        """A new connection: a frame with every market comes first."""
        self._envelope.reset()
        self._complete = False

    def missing(self) -> list[str]:
        """The channel, while what it said may not be all there was."""
        return [] if self._complete else ["v4_markets"]

    def _lost(self) -> None:
        self._complete = False
        self._wake()

    def decode(self, frame: bytes) -> bool:
        """Take one frame; True when it touched the book."""
        message = self._envelope.open(frame)
        if message is None or message.channel != "v4_markets":
            return False
        if message.type == "subscribed":
            self._complete = True
        at = self._now()
        settlement = (at // _HOUR + 1) * _HOUR
        problem: BadMessage | None = None
        for raw in pieces(message):
            update = self._decode(raw)
            for listed in (update.markets, update.trading):
                for ticker, market in (listed or {}).items():
                    row = self._rows.get(ticker)
                    if row is not None:
                        problem = self._take(ticker, row, market, settlement, at) or problem
            for ticker, price in (update.oraclePrices or {}).items():
                row = self._rows.get(ticker)
                if row is not None:
                    problem = self._price(ticker, row, price.oraclePrice) or problem
        self._settle(settlement, at)
        self._book.frame(EXCHANGE, at)
        if problem is not None:
            raise problem
        return True

    def _take(
        self, ticker: str, row: int, market: _Trading, settlement: float, at: float
    ) -> BadMessage | None:
        problem = self._price(ticker, row, market.oraclePrice) if market.oraclePrice else None
        if market.nextFundingRate:
            rate = _number(market.nextFundingRate)
            if not -1.0 < rate < 1.0:
                return BadMessage(f"dydx {ticker}: a funding rate of {market.nextFundingRate[:40]}")
            self._book.update(row, rate, settlement, at)
        return problem

    def _price(self, ticker: str, row: int, text: str) -> BadMessage | None:
        price = _number(text)
        if not 0.0 < price < _LARGEST_PRICE:
            return BadMessage(f"dydx {ticker}: an oracle price of {text[:40]}")
        self._book.update_price(row, price, price)
        return None

    def _settle(self, settlement: float, at: float) -> None:
        """Rates are announced when they change; a new hour makes the old ones those of the next settlement."""
        if settlement != self._settlement:
            self._settlement = settlement
            for row in self._rows.values():
                if self._book.rate[row] == self._book.rate[row]:
                    self._book.update(row, self._book.rate[row], settlement, at)


def _number(text: str) -> float:
    """``text`` as a float, NaN when it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


Price = Decimal


class _Side:
    """One side of a book: price -> (quantity, number of the frame that set it)."""

    __slots__ = ("levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[Decimal, tuple[Decimal, int]] = {}

    def set(self, price: Decimal, quantity: Decimal, frame: int) -> None:
        if quantity > 0:
            self.levels[price] = (quantity, frame)
        else:
            self.levels.pop(price, None)

    def sorted(self) -> list[tuple[Decimal, Decimal, int]]:
        found = [(price, *level) for price, level in self.levels.items()]
        return sorted(found, key=lambda level: -self.sign * level[0])


class _Row(msgspec.Struct):
    price: str
    size: str


class _Snapshot(msgspec.Struct):
    bids: list[_Row]
    asks: list[_Row]


class _Changes(msgspec.Struct):
    bids: list[list[Any]] = []
    asks: list[list[Any]] = []


class _Book:
    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids, self.asks = _Side(1), _Side(-1)

    def view(self) -> tuple[tuple[tuple[Decimal, Decimal], ...], tuple[tuple[Decimal, Decimal], ...]]:
        """Both sides, best first and not crossed.

        Validators each have a book of their own and the indexer merges what they say, so that sides may cross for a
        moment. Then the level that was set earlier is the stale one; of two set at once the sizes cancel.
        """
        bids, asks = self.bids.sorted(), self.asks.sorted()
        while bids and asks and bids[0][0] >= asks[0][0] and bids[0][2] != asks[0][2]:
            (bids if bids[0][2] < asks[0][2] else asks).pop(0)
        return uncrossed(
            tuple((price, quantity) for price, quantity, _ in bids),
            tuple((price, quantity) for price, quantity, _ in asks),
        )


class BookDecoder:
    """Frames of ``v4_orderbook``: a snapshot per market, then changes; and ``v4_block_height`` beside them.

    A level that cannot be understood makes its book unusable, a frame that is missing all of them: they are dropped and
    ``gap`` is called, to subscribe anew; until the snapshot comes, changes are passed over. A block height proves that
    the connection delivers and that whatever was not sent is as it was: it brings every book up to date (``at``).
    """

    def __init__(
        self,
        known: InstrumentMap,
        update: Callable[[OrderBook], None],
        now: Callable[[], datetime],
        gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._known = known
        self._update = update
        self._now = now
        self._gap = gap
        self._envelope = Envelope(self._lost)
        self._snapshot = msgspec.json.Decoder(_Snapshot)
        self._changes = msgspec.json.Decoder(_Changes)
        self._books: dict[str, _Book] = {}

    def reset(self) -> None:
        """Drop all books: snapshots come first on a new connection."""
        self._envelope.reset()
        self._books.clear()

    def has(self, ticker: str) -> bool:
        """Whether there is a usable book of this market."""
        return ticker in self._books

    def _lost(self) -> None:
        self._books.clear()
        self._gap()

    def decode(self, frame: bytes) -> None:
        message = self._envelope.open(frame)
        if message is None:
            return
        if message.channel == "v4_block_height":
            for ticker in self._books:
                self._publish(ticker)
        elif message.channel == "v4_orderbook":
            if self._known.by_id(message.id) is None:
                raise BadMessage(f"dydx: a book of {message.id[:40]!r}, which is not a known instrument")
            try:
                taken = self._take(message)
            except (BadMessage, ValueError) as error:
                self._books.pop(message.id, None)
                self._gap()
                raise BadMessage(f"dydx {message.id}: {error}") from error
            if taken:
                self._publish(message.id)

    def _take(self, message: Frame) -> bool:
        """Take a snapshot or changes of a book that there is; whether it did."""
        if message.type == "subscribed":
            book = self._books[message.id] = _Book()
            snapshot = self._snapshot.decode(message.contents)
            for rows, side in ((snapshot.bids, book.bids), (snapshot.asks, book.asks)):
                for row in rows:
                    side.set(positive(row.price, "price"), number(row.size, "size"), message.message_id)
            return True
        known = self._books.get(message.id)
        if known is None:
            return False
        for raw in pieces(message):
            changes = self._changes.decode(raw)
            for changed, side in ((changes.bids, known.bids), (changes.asks, known.asks)):
                for price, size in map(_level, changed):
                    side.set(price, size, message.message_id)
        return True

    def _publish(self, ticker: str) -> None:
        instrument = self._known.by_id(ticker)
        if instrument is not None:
            bids, asks = self._books[ticker].view()
            self._update(OrderBook(EXCHANGE, instrument.symbol, bids, asks, self._now()))


def _level(row: list[Any]) -> tuple[Decimal, Decimal]:
    """[price, size] of a change; a third entry is the indexer's own offset."""
    if len(row) not in (2, 3) or not isinstance(row[0], str) or not isinstance(row[1], str):
        raise BadMessage(f"a level of {str(row)[:80]}")
    return positive(row[0], "price"), number(row[1], "size")
