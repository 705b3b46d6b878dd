"""/ws/v5/public: funding rates, prices, tickers, books, contracts, trades.

Each channel is built once and fanned out. A channel is named by its first argument and contract:
``funding-rate:BTC-USDT-SWAP``, ``instruments:SWAP``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from fundingarb.localnet.streams import encode
from fundingarb.localnet.truth.events import Liquidated
from fundingarb.localnet.truth.types import Side
from fundingarb.localnet.truth.views import BookView
from fundingarb_okx.localnet import market, tape
from fundingarb_okx.localnet.contracts import family
from fundingarb_okx.localnet.desk import KINDS, SWAP, Desk
from fundingarb_okx.localnet.stream import OkxSession, Stream, unknown_channel
from fundingarb_okx.localnet.wire import ApiError, plain

__all__ = ["PublicStream", "checksum"]

MARK_AT_LEAST = 10_000
"""Simulated milliseconds after which an unchanged mark price is sent again."""
BOOK_AT_LEAST = 60_000
"""Simulated milliseconds after which an unchanged book says so."""
CHECKED = 25
"""Levels of each side that a book's checksum covers."""
BOOKS = {"bbo-tbt": (1, 0.01), "books5": (5, 0.1), "books": (400, 0.1)}
"""Depth of a book channel and seconds between two frames."""
VIP = ("books50-l2-tbt", "books-l2-tbt")
"""Book channels for higher fee tiers than anyone has here."""
BY_CONTRACT = (
    "funding-rate",
    "mark-price",
    "tickers",
    "trades",
    "open-interest",
    "price-limit",
    *BOOKS,
)
BY_KIND = ("instruments", "liquidation-orders", "adl-warning")

Levels = Sequence[tuple[Decimal, Decimal]]


def checksum(book: BookView) -> int:
    """CRC32 (signed) over price:size of the first 25 levels, bids and asks in turn."""
    parts: list[str] = []
    for number in range(CHECKED):
        for side in (book.bids, book.asks):
            if number < len(side):
                price, size = side[number]
                parts += [plain(price), plain(size)]
    value = zlib.crc32(":".join(parts).encode())
    return value - (1 << 32) if value >= 1 << 31 else value


def _changes(before: Levels, now: Levels) -> list[list[str]]:
    """Levels that appeared or changed, and with size 0 those that went."""
    old, new = dict(before), dict(now)
    changed = tape.levels([(price, size) for price, size in now if old.get(price) != size])
    return changed + [[plain(price), "0", "0", "0"] for price, _ in before if price not in new]


@dataclass(slots=True)
class _Book:
    """What the listeners of one book channel hold."""

    view: BookView
    """Its version is the sequence number; REST shows the same one."""
    sent_ms: int


@dataclass(slots=True)
class _State:
    """What was last sent on the running channels: frames, and when (simulated milliseconds)."""

    books: dict[str, _Book] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    trades: dict[str, str] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)


def _still(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its stamp, to tell whether anything changed."""
    return {key: value for key, value in row.items() if key != "ts"}


class PublicStream(Stream):
    """The public websocket of one venue."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._state = _State()
        self._rows: dict[str, Callable[[str], dict[str, Any]]] = {
            "funding-rate": lambda name: market.funding_row(desk, desk.truth.funding(name)),
            "mark-price": lambda name: market.mark_row(desk, desk.find(name)),
            "tickers": lambda name: market.ticker_row(desk, desk.find(name)),
            "index-tickers": lambda name: market.index_row(desk, desk.find(desk.by_family[name])),
            "open-interest": lambda name: market.open_interest_row(desk, desk.find(name)),
            "price-limit": lambda name: market.price_limit_row(desk, desk.find(name)),
        }
        self._prices: dict[str, Callable[[str], Decimal]] = {
            "mark-price": desk.truth.mark,
            "index-tickers": lambda name: desk.truth.index(desk.by_family[name]),
        }
        every = desk.venue.every
        every(1.0, self._publish_funding)
        every(0.2, partial(self._publish_rows, "mark-price", MARK_AT_LEAST))
        every(0.1, partial(self._publish_rows, "tickers", None))
        every(0.1, partial(self._publish_rows, "index-tickers", None))
        every(3.0, partial(self._publish_rows, "open-interest", None))
        every(0.2, partial(self._publish_rows, "price-limit", None))
        every(0.1, self._publish_trades)
        for channel, (_, seconds) in BOOKS.items():
            every(seconds, partial(self._publish_books, channel))

    # -- subscriptions -------------------------------------------------------------------------------------------

    def topic(self, session: OkxSession, arg: Mapping[str, Any]) -> str:
        channel, name = str(arg["channel"]), str(arg.get("instId") or "")
        if channel in VIP:
            raise ApiError(64003, "Your trading fee tier doesn't meet the requirement to access this channel")
        if channel in BY_CONTRACT and name in self.desk.truth.instruments:
            return f"{channel}:{name}"
        if channel == "index-tickers" and name in self.desk.by_family:
            return f"{channel}:{name}"
        if channel in BY_KIND and arg.get("instType") in KINDS:
            return f"{channel}:{arg['instType']}"
        if channel == "status":
            return "status:"
        raise unknown_channel(arg)

    def first(self, session: OkxSession, topic: str, arg: Mapping[str, Any]) -> list[bytes]:
        channel, _, name = topic.partition(":")
        if channel in BOOKS:
            return self._first_book(topic, channel, name)
        if channel == "trades":
            if not self.hub.wanted(topic):
                newest = self.desk.truth.trades(name, 1)
                self._state.trades[topic] = newest[-1].id if newest else ""
            return []
        if channel == "instruments":
            rows = market.instruments(self.desk, {"instType": name})
            return [encode({"arg": arg, "data": rows})] if rows else []
        if channel in self._rows:
            if not self.hub.wanted(topic):
                self._remember(topic, self._rows[channel](name))
            return [self._frame(topic, self._state.rows[topic])]
        return []

    def _remember(self, topic: str, row: Mapping[str, Any]) -> None:
        self._state.rows[topic] = row
        self._state.sent[topic] = self.desk.truth.now_ms

    def _frame(self, topic: str, row: Any, **more: Any) -> bytes:
        channel, _, name = topic.partition(":")
        return encode({"arg": {"channel": channel, "instId": name}, **more, "data": [row]})

    # -- rows ----------------------------------------------------------------------------------------------------

    def _publish_rows(self, channel: str, at_least: int | None) -> None:
        """Send what changed, and after ``at_least`` what did not."""
        for topic in self.hub.topics(f"{channel}:"):
            name, sent = topic.partition(":")[2], self._state.sent.get(topic, 0)
            late = at_least is not None and self.desk.truth.now_ms - sent >= at_least
            if not late and not self._moved(channel, name, topic):
                continue
            before, row = self._state.rows.get(topic), self._rows[channel](name)
            if before is None or late or _still(before) != _still(row):
                self._remember(topic, row)
                self.hub.publish(topic, self._frame(topic, row))

    def _moved(self, channel: str, name: str, topic: str) -> bool:
        """Whether the price that a channel is about is another one; true where that would have to be looked up."""
        price = self._prices.get(channel)
        if price is None:
            return True
        before, now = self._state.prices.get(topic), price(name)
        self._state.prices[topic] = now
        return before != now

    def _publish_funding(self) -> None:
        """Every so often, and at once when the next settlement is another one."""
        pause = self.desk.settings.funding_seconds * 1000
        for topic in self.hub.topics("funding-rate:"):
            name = topic.partition(":")[2]
            before, sent = self._state.rows.get(topic), self._state.sent.get(topic, 0)
            if before is not None and self.desk.truth.now_ms - sent < pause:
                view = self.desk.truth.funding(name)
                following = str(view.next_ms + view.interval_hours * 3_600_000)
                if (before["fundingTime"], before["nextFundingTime"]) == (str(view.next_ms), following):
                    continue
            row = self._rows["funding-rate"](name)
            self._remember(topic, row)
            self.hub.publish(topic, self._frame(topic, row))

    # -- books ---------------------------------------------------------------------------------------------------

    def _whole(self, channel: str, name: str, view: BookView, previous: int) -> dict[str, Any]:
        row: dict[str, Any] = {
            "asks": tape.levels(view.asks),
            "bids": tape.levels(view.bids),
            "ts": self.desk.stamp(),
            "seqId": view.version,
        }
        if channel == "books":
            row |= {"checksum": checksum(view), "prevSeqId": previous}
        elif channel == "books5":
            row["instId"] = name
        return row

    def _first_book(self, topic: str, channel: str, name: str) -> list[bytes]:
        """A snapshot; of ``books`` only while OKX pushes one."""
        book = self._state.books.get(topic)
        if book is None or not self.hub.wanted(topic):
            view = self.desk.truth.book(name, BOOKS[channel][0])
            book = self._state.books[topic] = _Book(view, self.desk.truth.now_ms)
        if channel == "books" and not self.desk.settings.book_snapshots:
            return []
        more = {"action": "snapshot"} if channel == "books" else {}
        return [self._frame(topic, self._whole(channel, name, book.view, -1), **more)]

    def _publish_books(self, channel: str) -> None:
        for topic in self.hub.topics(f"{channel}:"):
            self._publish_book(topic, channel, topic.partition(":")[2])

    def _publish_book(self, topic: str, channel: str, name: str) -> None:
        view, now = self.desk.truth.book(name, BOOKS[channel][0]), self.desk.truth.now_ms
        book = self._state.books[topic]
        quiet = (view.bids, view.asks) == (book.view.bids, book.view.asks)
        if quiet and (channel != "books" or now - book.sent_ms < BOOK_AT_LEAST):
            return
        before = book.view
        if quiet:
            view = before
        book.view, book.sent_ms = view, now
        if channel != "books":
            self.hub.publish(topic, self._frame(topic, self._whole(channel, name, view, before.version)))
            return
        row = {
            "asks": _changes(before.asks, view.asks),
            "bids": _changes(before.bids, view.bids),
            "ts": self.desk.stamp(),
            "prevSeqId": before.version,
            "seqId": view.version,
        }
        if self.desk.settings.book_snapshots:
            row["checksum"] = checksum(view)
        self.hub.publish(topic, self._frame(topic, row, action="update"))

    # -- trades and liquidations -----------------------------------------------------------------------------------

    def _publish_trades(self) -> None:
        for topic in self.hub.topics("trades:"):
            name = topic.partition(":")[2]
            instrument = self.desk.find(name)
            trades = self.desk.truth.trades(name, 100)
            known = [trade.id for trade in trades]
            last = self._state.trades.get(topic, "")
            fresh = trades[known.index(last) + 1 :] if last in known else trades
            for trade in fresh:
                self._state.trades[topic] = trade.id
                row = tape.trade_row(instrument, trade) | {"count": "1", "seqId": trade.time_ms}
                self.hub.publish(topic, self._frame(topic, row))

    def liquidated(self, event: Liquidated) -> None:
        """Tell the liquidation channel. ``side`` is that of the closing order."""
        topic = f"liquidation-orders:{SWAP}"
        if event.kind != "liquidation" or not self.hub.wanted(topic):
            return
        sells = event.side is Side.SELL
        detail = {
            "bkLoss": "0",
            "bkPx": plain(event.price),
            "ccy": "",
            "posSide": "long" if sells else "short",
            "side": "sell" if sells else "buy",
            "sz": plain(event.quantity),
            "ts": str(event.time_ms),
        }
        underlying = family(self.desk.find(event.instrument))
        row = {
            "details": [detail],
            "instFamily": underlying,
            "instId": event.instrument,
            "instType": SWAP,
            "uly": underlying,
        }
        arg = {"channel": "liquidation-orders", "instType": SWAP}
        self.hub.publish(topic, encode({"arg": arg, "data": [row]}))
