"""Decoders of Bybit's market streams. Whole frames in, columns and values out; nothing is awaited.

``TickerDecoder`` is the hot path: typed structs of the few fields that matter, with strings compared before they are
parsed. (Searching the bytes for those fields first was measured and costs more than decoding them.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.errors import BadMessage
from fundingarb.exchanges.books import BookKeeper
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_bybit.messages import EXCHANGE

_LARGEST_PRICE = 1e12
_FIRST_SECOND = 1_500_000_000.0
_LAST_SECOND = 4_102_444_800.0  # the year 2100


class Ticker(msgspec.Struct, gc=False):
    """Those fields of a ticker that matter here; a delta has only those that changed."""

    symbol: str
    fundingRate: str = ""  # noqa: N815
    nextFundingTime: str = ""  # noqa: N815
    fundingIntervalHour: str = ""  # noqa: N815
    markPrice: str = ""  # noqa: N815
    indexPrice: str = ""  # noqa: N815


class TickerFrame(msgspec.Struct, gc=False):
    """A frame of ``tickers.X``; without ``data`` it is an answer to a command."""

    data: Ticker | None = None


class _Reply(msgspec.Struct):
    """An answer to a command: ``success`` is absent from data frames and from pongs of the private stream."""

    success: bool | None = None
    ret_msg: str = ""
    op: str = ""
    topic: str = ""


_REPLY = msgspec.json.Decoder(_Reply)


def check_reply(frame: bytes) -> None:
    """Pass over an answer that says yes; a refusal is a ``BadMessage``."""
    reply = _REPLY.decode(frame)
    if reply.success is False:
        raise BadMessage(f"bybit refused {reply.op or 'a command'}: {reply.ret_msg}")


class TickerDecoder:
    """Takes frames of ``tickers.X`` into a rate book.

    A snapshot carries all fields, a delta those that changed; what a delta leaves out is kept. ``rows`` maps Bybit's
    symbols to rows of ``book``. ``now`` gives unix seconds of the shared clock. ``changed`` hears of a new funding
    interval (row, hours).
    """

    __slots__ = ("_book", "_changed", "_decode", "_now", "_rates", "_rows", "_scale", "_times")

    def __init__(
        self,
        book: RateBook,
        rows: Mapping[str, int],
        *,
        now: Callable[[], float],
        changed: Callable[[int, float], None] | None = None,
    ) -> None:
        self._book = book
        self._rows = dict(rows)
        self._now = now
        self._changed = changed
        self._decode = msgspec.json.Decoder(TickerFrame).decode
        self._rates: dict[int, tuple[str, float]] = {}
        self._times: dict[int, tuple[str, float]] = {}
        self._scale = {row: 1.0 / float(book.instrument(row).multiplier) for row in rows.values()}

    def reset(self) -> None:
        """Forget what was seen: a fresh snapshot comes first."""
        self._rates.clear()
        self._times.clear()

    def missing(self) -> list[str]:
        """The symbols without a rate: their snapshot has not come."""
        return [name for name, row in self._rows.items() if row not in self._rates or row not in self._times]

    def decode(self, frame: bytes) -> bool:
        """Take one frame; True when it touched the book."""
        ticker = self._decode(frame).data
        if ticker is None:
            check_reply(frame)
            return False
        if not (
            ticker.markPrice
            or ticker.fundingRate
            or ticker.indexPrice
            or ticker.nextFundingTime
            or ticker.fundingIntervalHour
        ):
            return False
        row = self._rows.get(ticker.symbol)
        if row is None:
            return False
        book = self._book
        at = self._now()
        for text, column in ((ticker.markPrice, book.mark), (ticker.indexPrice, book.index)):
            if text:
                price = float(text)
                if 0.0 < price < _LARGEST_PRICE:
                    column[row] = price * self._scale[row]
        interval = self._take_interval(row, ticker.fundingIntervalHour) if ticker.fundingIntervalHour else 0.0
        self._take_rate(row, ticker, at, interval)
        book.frame(EXCHANGE, at)
        return True

    def _take_interval(self, row: int, text: str) -> float:
        """The interval in seconds when it is another than before, else 0."""
        hours = float(text)
        if not 0.0 < hours <= 24.0:
            raise BadMessage(f"bybit: a funding interval of {text} hours")
        if self._book.interval[row] == hours * 3600.0:
            return 0.0
        if self._changed is not None:
            self._changed(row, hours)
        return hours * 3600.0

    def _take_rate(self, row: int, ticker: Ticker, at: float, interval: float) -> None:
        book = self._book
        fresh = interval > 0.0
        rate = self._rates.get(row)
        time = self._times.get(row)
        if ticker.fundingRate and (rate is None or rate[0] != ticker.fundingRate):
            value = float(ticker.fundingRate)
            if not -1.0 < value < 1.0:
                raise BadMessage(f"bybit {ticker.symbol}: a funding rate of {ticker.fundingRate}")
            rate = self._rates[row] = (ticker.fundingRate, value)
            fresh = True
        if ticker.nextFundingTime and (time is None or time[0] != ticker.nextFundingTime):
            settlement = int(ticker.nextFundingTime) / 1000.0
            if not _FIRST_SECOND < settlement < _LAST_SECOND:
                raise BadMessage(f"bybit {ticker.symbol}: next funding at {ticker.nextFundingTime}")
            time = self._times[row] = (ticker.nextFundingTime, settlement)
            fresh = True
        if rate is None or time is None:
            if interval:
                book.interval[row] = interval
        elif fresh or book.rate[row] != book.rate[row]:
            book.update(row, rate[1], time[1], at, interval)
        else:
            book.at[row] = at


class _Changes(msgspec.Struct):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: int


class _BookFrame(msgspec.Struct):
    topic: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    success: bool | None = None
    ret_msg: str = ""
    op: str = ""


class BookDecoder:
    """Frames of ``orderbook.50.X``: snapshots, and deltas pieced together.

    Deltas are numbered (``u``). One that does not follow its predecessor, or that cannot be understood, or that crosses
    the book, makes it unusable: it is dropped and ``gap`` is called with Bybit's symbol, to subscribe anew; until the
    snapshot comes, deltas are passed over. A snapshot may come at any time (``u`` 1 after a restart) and starts over.
    A pong proves that the connection delivers and that whatever was not pushed is as it was: it brings every book up
    to date (``at``).
    """

    def __init__(
        self,
        known: InstrumentMap,
        update: Callable[[OrderBook], None],
        now: Callable[[], datetime],
        gap: Callable[[str], None],
    ) -> None:
        self._keeper = BookKeeper(known, update, now, gap)
        self._frame = msgspec.json.Decoder(_BookFrame)
        self._changes = msgspec.json.Decoder(_Changes)
        self.reset, self.has = self._keeper.reset, self._keeper.has

    def decode(self, frame: bytes) -> None:
        message = self._frame.decode(frame)
        if message.success is False:
            raise BadMessage(f"bybit refused {message.op or 'a command'}: {message.ret_msg}")
        if not message.topic.startswith("orderbook."):
            if "pong" in (message.op, message.ret_msg):
                self._keeper.refresh()
            return
        data, keeper = self._changes.decode(message.data), self._keeper
        if message.type == "snapshot":
            keeper.snapshot(data.s, data.u, data.b, data.a)
            return
        last = keeper.number(data.s)
        if last is None:
            return
        if data.u == last + 1:
            keeper.change(data.s, data.u, data.b, data.a)
        else:
            keeper.drop(data.s)
