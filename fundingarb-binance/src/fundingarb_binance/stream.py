"""Decoders of Binance's market streams. Whole frames in, columns and values out; nothing is awaited.

``MarkPriceDecoder`` is the hot path (about 500 instruments every second): typed structs, strings compared before they
are parsed, prices written straight into the columns of the rate book.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.errors import BadMessage
from fundingarb.exchanges import values
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_binance.messages import EXCHANGE

_LARGEST_PRICE = 1e12
_LAST_SECOND = 4_102_444_800.0  # the year 2100
_FIRST_SECOND = 1_500_000_000.0

Moved = Callable[[int, float, float], None]
"""(row, settlement before, settlement now) in unix seconds: called when an instrument's next settlement changes."""


class MarkPrice(msgspec.Struct, gc=False):
    """``markPriceUpdate``: s symbol, r rate (empty for dated futures), T next settlement in ms."""

    s: str
    r: str
    T: int


class PricedMarkPrice(msgspec.Struct, gc=False):
    """The same with p, the mark, and i, the index price."""

    s: str
    r: str
    T: int
    p: float
    i: float


class _LooseMark(msgspec.Struct, gc=False):
    s: str
    r: str = ""
    T: int = 0
    p: str = ""
    i: str = ""


class _Reply(msgspec.Struct):
    error: Any = None


class MarkPriceDecoder:
    """Takes frames of ``!markPrice@arr`` into a rate book.

    ``rows`` maps Binance's symbols to rows of ``book``. ``now`` gives unix seconds of the shared clock. Rates are taken
    from every frame, prices from one in ``price_seconds``. An instrument whose entry cannot be used keeps what it had;
    ``bad`` hears of it. ``moved`` hears of every change of an instrument's next settlement.
    """

    __slots__ = (
        "_anchor",
        "_bad",
        "_book",
        "_decode",
        "_decode_priced",
        "_index",
        "_loose",
        "_moved",
        "_now",
        "_one",
        "_price_seconds",
        "_priced_at",
        "_rates",
        "_rows",
        "_scale",
        "_times",
    )

    def __init__(
        self,
        book: RateBook,
        rows: Mapping[str, int],
        *,
        now: Callable[[], float],
        moved: Moved | None = None,
        bad: Callable[[bytes, str], None] | None = None,
        price_seconds: float = 3.0,
    ) -> None:
        self._book = book
        self._now = now
        self._moved = moved
        self._bad = bad
        self._price_seconds = price_seconds
        self._priced_at = -math.inf
        self._decode = msgspec.json.Decoder(list[MarkPrice]).decode
        self._decode_priced = msgspec.json.Decoder(list[PricedMarkPrice], strict=False).decode
        self._loose = msgspec.json.Decoder(list[msgspec.Raw])
        self._one = msgspec.json.Decoder(_LooseMark)
        self._index = {symbol: number for number, symbol in enumerate(rows)}
        self._rows = list(rows.values())
        self._rates = [""] * len(rows)
        self._times = [0] * len(rows)
        self._scale = [1.0 / float(book.instrument(row).multiplier) for row in self._rows]
        self._anchor = -1

    def reset(self) -> None:
        """Forget what was seen, so that the next frame is taken whole."""
        self._rates = [""] * len(self._rows)
        self._times = [0] * len(self._rows)
        self._priced_at = -math.inf
        self._anchor = -1

    def _forgotten(self) -> bool:
        """Whether the book has dropped our rates (it drops an exchange's all at once) since they were written."""
        if self._anchor < 0:
            return False
        rate = self._book.rate[self._anchor]
        return rate != rate

    def decode(self, frame: bytes) -> None:
        """Take one frame: an array of updates, or a reply to a command (a refusal is a ``BadMessage``)."""
        if frame[:1] != b"[":
            _check_reply(frame)
            return
        if self._forgotten():
            self.reset()
        at = self._now()
        updates: Sequence[MarkPrice | PricedMarkPrice]
        try:
            if at - self._priced_at >= self._price_seconds:
                updates = self._decode_priced(frame)
                self._priced_at = at
                self._take_prices(updates)
            else:
                updates = self._decode(frame)
        except msgspec.ValidationError:
            updates = self._decode_loosely(frame)
        self._take_rates(updates, at)
        self._book.frame(EXCHANGE, at)

    def _take_prices(self, updates: Iterable[PricedMarkPrice]) -> None:
        find, rows, scale = self._index.get, self._rows, self._scale
        marks, indexes = self._book.mark, self._book.index
        for update in updates:
            number = find(update.s)
            if number is not None:
                row, factor = rows[number], scale[number]
                mark, index = update.p, update.i
                if 0.0 < mark < _LARGEST_PRICE:
                    marks[row] = mark * factor
                if 0.0 < index < _LARGEST_PRICE:
                    indexes[row] = index * factor

    def _take_rates(self, updates: Iterable[MarkPrice | PricedMarkPrice], at: float) -> None:
        """Rates that changed, compared as text, go to the book in one call."""
        find, rows, rates, times = self._index.get, self._rows, self._rates, self._times
        changed: list[int] = []
        values: list[float] = []
        for update in updates:
            number = find(update.s)
            if number is None:
                continue
            text, time = update.r, update.T
            if text == rates[number] and time == times[number]:
                continue
            try:
                rate = float(text)
            except ValueError:
                rate = math.nan
            if not -1.0 < rate < 1.0 or (time != times[number] and not self._settlement(number, time)):
                self._refuse(number, text, time)
                continue
            rates[number] = text
            changed.append(rows[number])
            values.append(rate)
        if changed:
            self._anchor = changed[-1]
            self._book.update_many(changed, values, at)

    def _settlement(self, number: int, time: int) -> bool:
        """Note another next settlement; False when it is not a plausible time."""
        settlement, before = time / 1000.0, self._times[number] / 1000.0
        if not _FIRST_SECOND < settlement < _LAST_SECOND:
            return False
        row = self._rows[number]
        if before and self._moved is not None:
            self._moved(row, before, settlement)
        self._times[number] = time
        self._book.next_settlement[row] = settlement
        return True

    def _refuse(self, number: int, text: str, time: int) -> None:
        if self._bad is not None:
            name = self._book.instrument(self._rows[number]).exchange_id
            self._bad(text.encode(), f"{name}: rate {text!r} for {time} is not usable")

    def _decode_loosely(self, frame: bytes) -> list[MarkPrice]:
        """A frame with an entry of another form: entry by entry, so that one spoils no other."""
        found: list[MarkPrice] = []
        prices: list[PricedMarkPrice] = []
        for raw in self._loose.decode(frame):
            body = bytes(raw)
            try:
                update = self._one.decode(body)
            except ValueError as error:
                if self._bad is not None:
                    self._bad(body, str(error))
                continue
            found.append(MarkPrice(update.s, update.r, update.T))
            prices.append(PricedMarkPrice(update.s, update.r, update.T, _price(update.p), _price(update.i)))
        self._take_prices(prices)
        return found


def _price(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_reply(frame: bytes) -> None:
    reply = msgspec.json.decode(frame, type=_Reply)
    if reply.error is not None:
        raise BadMessage(f"binance refused a command: {reply.error}")


class _Depth(msgspec.Struct):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Combined(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None


class PartialBookDecoder:
    """Frames of ``<symbol>@depth20``: the top of the book, whole in every frame, so nothing to piece together.

    A book is pushed when it changes. The reply to a command proves that the connection delivers and that whatever was
    not pushed is as it was: it brings every book up to date (``at``).
    """

    def __init__(
        self, known: InstrumentMap, update: Callable[[OrderBook], None], now: Callable[[], datetime]
    ) -> None:
        self._known = known
        self._update = update
        self._now = now
        self._frame = msgspec.json.Decoder(_Combined)
        self._depth = msgspec.json.Decoder(_Depth)
        self._books: dict[str, OrderBook] = {}

    def reset(self) -> None:
        """Forget all books: on a new connection nothing is known of them."""
        self._books.clear()

    def decode(self, frame: bytes) -> None:
        message = self._frame.decode(frame)
        if message.error is not None:
            raise BadMessage(f"binance refused a command: {message.error}")
        if not message.stream:
            self._refresh()
            return
        depth = self._depth.decode(message.data)
        instrument = self._known.by_id(depth.s)
        if instrument is None:
            raise BadMessage(f"binance: a book of {depth.s}, which is not a known instrument")
        book = self._books[depth.s] = values.order_book(instrument, depth.b, depth.a, self._now())
        self._update(book)

    def _refresh(self) -> None:
        now = self._now()
        for book in self._books.values():
            self._update(replace(book, at=now))
