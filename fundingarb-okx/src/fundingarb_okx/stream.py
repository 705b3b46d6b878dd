"""Decoders of OKX's market streams. Whole frames in, columns and values out; nothing is awaited.

``RateDecoder`` is the hot path: one struct with the few fields that matter of three channels, and strings compared
before they are parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.errors import BadMessage
from fundingarb.exchanges.books import BookKeeper, CrossedBook
from fundingarb.exchanges.stream import StreamEnded
from fundingarb_okx.contracts import Contracts
from fundingarb_okx.messages import EXCHANGE
from fundingarb_okx.schema import Depth, Level

PONG = b"pong"
GOING_DOWN = "64008"
"""The code of the notice that a connection is about to be closed for an upgrade."""
BUFFERED = 2000
"""Changes that are kept per book while its snapshot is fetched."""
OLDER = 100
"""Changes that may be older than a snapshot; with more, numbering has begun anew and the snapshot is of no use."""
_LARGEST_PRICE = 1e12
_FIRST_SECOND = 1_500_000_000.0
_LAST_SECOND = 4_102_444_800.0  # the year 2100


class Priced(msgspec.Struct, gc=False):
    """A row of ``funding-rate``, ``mark-price`` or ``index-tickers``: those fields that matter here."""

    instId: str  # noqa: N815
    fundingRate: str = ""  # noqa: N815
    fundingTime: str = ""  # noqa: N815
    nextFundingTime: str = ""  # noqa: N815
    markPx: str = ""  # noqa: N815
    idxPx: str = ""  # noqa: N815


class RateFrame(msgspec.Struct, gc=False):
    """Without ``data`` it is an answer to a command, or a notice."""

    data: list[Priced] | None = None


class _Event(msgspec.Struct):
    event: str = ""
    code: str = ""
    msg: str = ""


_EVENT = msgspec.json.Decoder(_Event)


def check_event(frame: bytes) -> None:
    """Pass over an answer that says yes; a refusal is a ``BadMessage``, a notice of the end ends the connection."""
    event = _EVENT.decode(frame)
    if event.event in ("error", "channel-conn-count-error"):
        raise BadMessage(f"okx refused a command: {event.code} {event.msg}")
    if event.event == "notice" and event.code == GOING_DOWN:
        raise StreamEnded(f"closed for an upgrade: {event.msg}")


class RateDecoder:
    """Takes frames of ``funding-rate``, ``mark-price`` and ``index-tickers`` into a rate book.

    ``rows`` maps OKX's instruments to rows of ``book``, ``indexes`` its indices. ``now`` gives unix seconds of the
    shared clock. ``changed`` hears of a new funding interval (row, hours): OKX shortens it one level at a time (8, 4,
    2, 1 hours) after a settlement at the cap, and sends only the two next settlements, between which it lies.
    """

    __slots__ = ("_book", "_changed", "_decode", "_indexes", "_now", "_rows", "_scale", "_seen")

    def __init__(
        self,
        book: RateBook,
        rows: Mapping[str, int],
        indexes: Mapping[str, int],
        *,
        now: Callable[[], float],
        changed: Callable[[int, float], None] | None = None,
    ) -> None:
        self._book = book
        self._rows = dict(rows)
        self._indexes = dict(indexes)
        self._now = now
        self._changed = changed
        self._decode = msgspec.json.Decoder(RateFrame).decode
        self._seen: dict[int, tuple[str, str, str]] = {}
        self._scale = {row: 1.0 / float(book.instrument(row).multiplier) for row in rows.values()}

    def reset(self) -> None:
        """Forget what was seen, so that the next frames are taken whole."""
        self._seen.clear()

    def decode(self, frame: bytes) -> bool:
        """Take one frame; True when it touched the book."""
        if frame == PONG:
            return False
        updates = self._decode(frame).data
        if updates is None:
            check_event(frame)
            return False
        at, touched = self._now(), False
        for update in updates:
            if update.markPx:
                touched |= self._take_price(self._book.mark, self._rows.get(update.instId), update.markPx)
            elif update.idxPx:
                touched |= self._take_price(self._book.index, self._indexes.get(update.instId), update.idxPx)
            elif update.fundingRate:
                touched |= self._take_rate(update, at)
        if touched:
            self._book.frame(EXCHANGE, at)
        return touched

    def _take_price(self, column: list[float], row: int | None, text: str) -> bool:
        if row is None:
            return False
        price = float(text)
        if 0.0 < price < _LARGEST_PRICE:
            column[row] = price * self._scale[row]
        return True

    def _take_rate(self, update: Priced, at: float) -> bool:
        row = self._rows.get(update.instId)
        if row is None:
            return False
        book = self._book
        text = (update.fundingRate, update.fundingTime, update.nextFundingTime)
        if self._seen.get(row) == text and book.rate[row] == book.rate[row]:
            book.at[row] = at
            return True
        rate, settlement = float(update.fundingRate), int(update.fundingTime) / 1000.0
        if not -1.0 < rate < 1.0:
            raise BadMessage(f"okx {update.instId}: a funding rate of {update.fundingRate}")
        if not _FIRST_SECOND < settlement < _LAST_SECOND:
            raise BadMessage(f"okx {update.instId}: next funding at {update.fundingTime}")
        seconds = book.interval[row]
        if update.nextFundingTime:
            seconds = int(update.nextFundingTime) / 1000.0 - settlement
            if not 0.0 < seconds <= 86400.0:
                raise BadMessage(f"okx {update.instId}: a funding interval of {seconds} seconds")
        if seconds != book.interval[row] and self._changed is not None:
            self._changed(row, seconds / 3600.0)
        self._seen[row] = text
        book.update(row, rate, settlement, at, seconds)
        return True


class _Changes(msgspec.Struct):
    bids: list[Level]
    asks: list[Level]
    seqId: int  # noqa: N815
    prevSeqId: int = -1  # noqa: N815


class _Arg(msgspec.Struct):
    channel: str = ""
    instId: str = ""  # noqa: N815


class BookFrame(msgspec.Struct):
    arg: _Arg = msgspec.field(default_factory=_Arg)
    action: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class BookDecoder:
    """Frames of ``books``: changes (``prevSeqId`` names the one before) on top of a snapshot that is fetched by REST.

    Since 2026 the channel starts without a snapshot of its own; one that comes all the same is taken. Until there is
    a snapshot, changes are kept and ``gap`` is called with OKX's instrument; ``snapshot`` puts them on top of it. A
    change that does not follow its predecessor makes the book unusable, as does one that cannot be understood. A pong
    proves that the connection delivers and that whatever was not pushed is as it was: it brings every book up to date
    (``at``).
    """

    def __init__(
        self,
        known: Contracts,
        update: Callable[[OrderBook], None],
        now: Callable[[], datetime],
        gap: Callable[[str], None],
    ) -> None:
        self._keeper = BookKeeper(known, update, now, gap, known.units)
        self._gap = gap
        self._frame = msgspec.json.Decoder(BookFrame)
        self._changes = msgspec.json.Decoder(list[_Changes])
        self._waiting: dict[str, list[_Changes]] = {}
        self._ahead: dict[str, int] = {}
        """Instruments whose snapshot may be ahead of the stream -> how many changes were older than it."""
        self.has = self._keeper.has

    def reset(self) -> None:
        """Drop all books and whatever waits for one."""
        self._keeper.reset()
        self._waiting.clear()
        self._ahead.clear()

    def decode(self, frame: bytes) -> None:
        if frame == PONG:
            self._keeper.refresh()
            return
        message = self._frame.decode(frame)
        if not message.data:
            check_event(frame)
            return
        name = message.arg.instId
        for change in self._changes.decode(message.data):
            if message.action == "snapshot":
                self._waiting.pop(name, None)
                self._ahead.pop(name, None)
                self._keeper.snapshot(name, change.seqId, change.bids, change.asks)
            else:
                self._take(name, change)

    def snapshot(self, name: str, depth: Depth) -> None:
        """A book as REST has it, and the changes that came after it; one that is too old is left out."""
        number, waiting = depth.number, self._waiting.get(name, [])
        if number is None:
            raise BadMessage(f"okx {name}: a book without its number")
        if any(change.seqId > number for change in waiting) and waiting[0].prevSeqId > number:
            return
        self._waiting.pop(name, None)
        self._ahead[name] = 0
        self._keeper.snapshot(name, number, depth.bids, depth.asks)
        for change in waiting:
            self._take(name, change)

    def _take(self, name: str, change: _Changes) -> None:
        last, ahead = self._keeper.number(name), self._ahead.get(name)
        if last is None:
            waiting = self._waiting.setdefault(name, [])
            if len(waiting) < BUFFERED:
                waiting.append(change)
            if len(waiting) == 1:
                self._gap(name)
        elif change.prevSeqId == last:
            self._ahead.pop(name, None)
            self._keeper.change(name, change.seqId, change.bids, change.asks)
        elif ahead is not None and change.prevSeqId < last < change.seqId:
            self._overlapping(name, change)
        elif ahead is not None and change.seqId <= last and ahead < OLDER:
            self._ahead[name] = ahead + 1
        else:
            self._waiting[name] = [change]
            self._ahead.pop(name, None)
            self._keeper.drop(name)

    def _overlapping(self, name: str, change: _Changes) -> None:
        """A change that began before the snapshot and ends after it. What came and went in between may be in the
        snapshot and is in no change: when that shows, the book is crossed, and another snapshot is fetched."""
        self._ahead.pop(name, None)
        try:
            self._keeper.change(name, change.seqId, change.bids, change.asks)
        except CrossedBook:
            self._waiting[name] = [change]
