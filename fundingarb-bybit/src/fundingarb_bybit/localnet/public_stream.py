"""/v5/public/linear: tickers, order books, trades, candles, liquidations.

A snapshot on subscribing, then what changed. Each topic is built once and fanned out; a client that joins a running
topic starts from the frame the others saw last, so that the next change applies to it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import anyio
from aiohttp import web

from fundingarb.localnet.streams import Session, encode
from fundingarb.localnet.truth.events import Liquidated
from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.types import Side
from fundingarb.localnet.truth.views import BookView, Candle, Trade
from fundingarb_bybit.localnet.contracts import price_decimals, quantity_decimals
from fundingarb_bybit.localnet.desk import ACKNOWLEDGE, Desk
from fundingarb_bybit.localnet.market import INTERVALS, hour_ago_price, level, ticker_fields
from fundingarb_bybit.localnet.render import side_name
from fundingarb_bybit.localnet.wire import fixed, money

__all__ = ["PublicStream"]

DEPTHS = {"1": 0.01, "50": 0.02, "200": 0.1, "1000": 0.2}
"""Depth of a book topic and seconds between two frames."""
BEST_REPEAT = 3.0
"""Real seconds after which a quiet level 1 book is sent again."""
MAX_ARGS = 21_000
"""Characters of a subscription, all topics together."""
LIQUIDATIONS = ("allLiquidation", "liquidation")


@dataclass(slots=True)
class _Book:
    """What the listeners of one book topic hold."""

    view: BookView
    update: int
    sent: float


@dataclass(slots=True)
class _State:
    """What was last sent on the running topics."""

    books: dict[str, _Book] = field(default_factory=dict)
    tickers: dict[str, dict[str, str]] = field(default_factory=dict)
    lasts: dict[str, tuple[Decimal, str]] = field(default_factory=dict)
    trades: dict[str, str] = field(default_factory=dict)
    candles: dict[str, Candle] = field(default_factory=dict)


def _changes(
    instrument: Instrument,
    before: tuple[tuple[Decimal, Decimal], ...],
    now: tuple[tuple[Decimal, Decimal], ...],
) -> list[list[str]]:
    """Levels that appeared, changed or (quantity 0) went."""
    old, new = dict(before), dict(now)
    changed = [level(instrument, price, size) for price, size in now if old.get(price) != size]
    return changed + [level(instrument, price, Decimal(0)) for price, _ in before if price not in new]


def _candle_row(
    instrument: Instrument, candle: Candle, interval: str, length: int, running: int, now: int
) -> dict[str, Any]:
    """``length`` is the candle's in milliseconds; what opened before ``running`` has closed."""
    scale = price_decimals(instrument)
    return {
        "start": candle.open_ms,
        "end": candle.open_ms + length - 1,
        "interval": interval,
        "open": fixed(candle.open, scale),
        "close": fixed(candle.close, scale),
        "high": fixed(candle.high, scale),
        "low": fixed(candle.low, scale),
        "volume": fixed(candle.volume, quantity_decimals(instrument)),
        "turnover": money(candle.volume * candle.close, 4),
        "confirm": candle.open_ms < running,
        "timestamp": now,
    }


class PublicStream:
    """The public websocket of one venue."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._hub = desk.venue.hub
        self._state = _State()
        for depth, seconds in DEPTHS.items():
            desk.venue.every(seconds, partial(self._publish_books, depth))
        desk.venue.every(0.1, self._publish_tickers)
        desk.venue.every(0.1, self._publish_trades)
        desk.venue.every(1.0, self._publish_candles)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        session = Session(self._desk.venue, request)
        session.data["conn_id"] = str(uuid.uuid4())
        return await session.run(self._on_message)

    # -- commands ------------------------------------------------------------------------------------------------

    async def _on_message(self, session: Session, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._answer(session, {}, "error:invalid json", op="", success=False)
            return
        op = str(message.get("op", ""))
        if op == "ping":
            self._answer(session, message, "pong", op="ping")
        elif op == "subscribe":
            await anyio.sleep(ACKNOWLEDGE)
            self._subscribe(session, message)
        elif op == "unsubscribe":
            args = message.get("args")
            session.unsubscribe(*(str(topic) for topic in (args if isinstance(args, list) else ())))
            self._answer(session, message, "", op=op)
        else:
            self._answer(session, message, "error:invalid op", op=op, success=False)

    def _answer(
        self, session: Session, message: Mapping[str, Any], text: str, *, op: str, success: bool = True
    ) -> None:
        reply = {"success": success, "ret_msg": text, "conn_id": session.data["conn_id"]}
        if message.get("req_id") is not None:
            reply["req_id"] = str(message["req_id"])
        session.send(encode(reply | {"op": op}))

    def _subscribe(self, session: Session, message: Mapping[str, Any]) -> None:
        args = message.get("args")
        if not isinstance(args, list) or not args or not all(isinstance(topic, str) for topic in args):
            self._answer(session, message, "error:invalid args", op="subscribe", success=False)
            return
        if sum(len(topic) for topic in args) > MAX_ARGS:
            self._answer(session, message, "error:args size exceeds limit", op="subscribe", success=False)
            return
        for topic in args:
            if not self._known(topic):
                problem = f"error:handler not found,topic:{topic}"
                self._answer(session, message, problem, op="subscribe", success=False)
                return
            if topic in session.topics:
                problem = f"error:already subscribed,topic:{topic}"
                self._answer(session, message, problem, op="subscribe", success=False)
                return
        self._answer(session, message, "subscribe", op="subscribe")
        self._desk.venue.sync()
        for topic in args:
            frame = self._first(topic)
            session.subscribe(topic)
            if frame is not None:
                session.send(frame, topic)

    def _known(self, topic: str) -> bool:
        name, *rest = topic.split(".")
        listed = self._desk.truth.instruments
        if name in ("tickers", "publicTrade", *LIQUIDATIONS):
            return len(rest) == 1 and rest[0] in listed
        if name == "orderbook":
            return len(rest) == 2 and rest[0] in DEPTHS and rest[1] in listed
        if name == "kline":
            return len(rest) == 2 and rest[0] in INTERVALS and rest[1] in listed
        return False

    def _first(self, topic: str) -> bytes | None:
        """The frame a new listener starts from; None where a topic has none."""
        name, *rest = topic.split(".")
        if name == "tickers":
            return self._first_ticker(topic, rest[0])
        if name == "orderbook":
            return self._first_book(topic, int(rest[0]), rest[1])
        if name == "publicTrade":
            if not self._hub.wanted(topic):
                newest = self._desk.truth.trades(rest[0], 1)
                self._state.trades[topic] = newest[-1].id if newest else ""
        elif name == "kline":
            return self._candle_frame(topic, rest[0], rest[1])
        return None

    # -- tickers -------------------------------------------------------------------------------------------------

    def _ticker(self, topic: str, name: str) -> dict[str, str]:
        truth = self._desk.truth
        instrument = truth.instruments[name]
        ticker = truth.ticker(name)
        fields = ticker_fields(instrument, ticker, truth.funding(name), hour_ago_price(self._desk, name))
        fields["tickDirection"] = self._direction(topic, ticker.last)
        return fields

    def _direction(self, topic: str, last: Decimal) -> str:
        """Which way the last price went since the frame before."""
        price, direction = self._state.lasts.get(topic, (last, "ZeroPlusTick"))
        if last != price:
            direction = "PlusTick" if last > price else "MinusTick"
        self._state.lasts[topic] = (last, direction)
        return direction

    def _ticker_frame(self, topic: str, kind: str, data: Mapping[str, str]) -> bytes:
        now = self._desk.now_ms()
        return encode({"topic": topic, "type": kind, "data": data, "cs": now, "ts": now})

    def _first_ticker(self, topic: str, name: str) -> bytes:
        if not self._hub.wanted(topic) or topic not in self._state.tickers:
            self._state.tickers[topic] = self._ticker(topic, name)
        return self._ticker_frame(topic, "snapshot", self._state.tickers[topic])

    def _publish_tickers(self) -> None:
        for topic in self._hub.topics("tickers."):
            name = topic.removeprefix("tickers.")
            before, now = self._state.tickers.get(topic), self._ticker(topic, name)
            self._state.tickers[topic] = now
            if before is None:
                self._hub.publish(topic, self._ticker_frame(topic, "snapshot", now))
                continue
            changed = {key: value for key, value in now.items() if before.get(key) != value}
            if changed:
                self._hub.publish(topic, self._ticker_frame(topic, "delta", {"symbol": name} | changed))

    # -- books ---------------------------------------------------------------------------------------------------

    def _book_frame(
        self, topic: str, kind: str, book: _Book, bids: list[list[str]], asks: list[list[str]]
    ) -> bytes:
        data = {
            "s": book.view.instrument,
            "b": bids,
            "a": asks,
            "u": book.update,
            "seq": book.view.version,
        }
        return encode(
            {"topic": topic, "type": kind, "ts": self._desk.now_ms(), "data": data, "cts": book.view.time_ms}
        )

    def _snapshot(self, topic: str, book: _Book) -> bytes:
        instrument = self._desk.truth.instruments[book.view.instrument]
        bids = [level(instrument, *entry) for entry in book.view.bids]
        asks = [level(instrument, *entry) for entry in book.view.asks]
        return self._book_frame(topic, "snapshot", book, bids, asks)

    def _first_book(self, topic: str, depth: int, name: str) -> bytes:
        if not self._hub.wanted(topic) or topic not in self._state.books:
            view = self._desk.truth.book(name, depth)
            self._state.books[topic] = _Book(view, view.version, self._desk.venue.real())
        return self._snapshot(topic, self._state.books[topic])

    def _publish_books(self, depth: str) -> None:
        for topic in self._hub.topics(f"orderbook.{depth}."):
            self._publish_book(topic, int(depth))

    def _publish_book(self, topic: str, depth: int) -> None:
        name = topic.split(".")[2]
        real = self._desk.venue.real()
        view = self._desk.truth.book(name, depth)
        book = self._state.books.get(topic)
        if book is None:
            book = self._state.books[topic] = _Book(view, view.version, real)
            self._hub.publish(topic, self._snapshot(topic, book))
            return
        instrument = self._desk.truth.instruments[name]
        bids = _changes(instrument, book.view.bids, view.bids)
        asks = _changes(instrument, book.view.asks, view.asks)
        if bids or asks:
            book.view, book.update, book.sent = view, book.update + 1, real
            self._hub.publish(topic, self._book_frame(topic, "delta", book, bids, asks))
        elif depth == 1 and real - book.sent >= BEST_REPEAT:
            book.sent = real
            self._hub.publish(topic, self._snapshot(topic, book))

    # -- trades and candles ----------------------------------------------------------------------------------------

    def _trade(self, instrument: Instrument, trade: Trade, before: Trade | None) -> dict[str, Any]:
        direction = "PlusTick" if before is None or trade.price >= before.price else "MinusTick"
        if before is not None and trade.price == before.price:
            direction = "Zero" + direction
        return {
            "T": trade.time_ms,
            "s": instrument.id,
            "S": side_name(trade.side),
            "v": fixed(trade.quantity, quantity_decimals(instrument)),
            "p": fixed(trade.price, price_decimals(instrument)),
            "L": direction,
            "i": trade.id,
            "BT": False,
            "RPI": False,
            "seq": trade.time_ms,
        }

    def _fresh(self, topic: str, name: str) -> tuple[Trade | None, list[Trade]]:
        """The trade that was sent last, if it is still known, and those after it."""
        last = self._state.trades.get(topic, "")
        trades: list[Trade] = []
        for count in (10, 300):
            trades = self._desk.truth.trades(name, count)
            for index in reversed(range(len(trades))):
                if trades[index].id == last:
                    return trades[index], trades[index + 1 :]
        return None, trades

    def _publish_trades(self) -> None:
        for topic in self._hub.topics("publicTrade."):
            name = topic.removeprefix("publicTrade.")
            instrument = self._desk.truth.instruments[name]
            before, fresh = self._fresh(topic, name)
            if not fresh:
                continue
            self._state.trades[topic] = fresh[-1].id
            rows = []
            for trade in fresh:
                rows.append(self._trade(instrument, trade, before))
                before = trade
            frame = {"topic": topic, "type": "snapshot", "ts": self._desk.now_ms(), "data": rows}
            self._hub.publish(topic, encode(frame))

    def _candle_frame(self, topic: str, interval: str, name: str) -> bytes | None:
        """The running candle, with the one before it when that has just closed; None when nothing changed."""
        truth = self._desk.truth
        length = INTERVALS[interval] * 1000
        opened = truth.now_ms // length * length
        sent = self._state.candles.get(topic) if self._hub.wanted(topic) else None
        closed = sent is not None and sent.open_ms < opened
        first = sent.open_ms if sent is not None and closed else opened
        candles = truth.candles(name, length // 1000, first, truth.now_ms + 1)
        if not candles or candles[-1] == sent:
            return None
        self._state.candles[topic] = candles[-1]
        now = self._desk.now_ms()
        instrument = truth.instruments[name]
        rows = [_candle_row(instrument, candle, interval, length, opened, now) for candle in candles]
        return encode({"topic": topic, "data": rows, "ts": now, "type": "snapshot"})

    def _publish_candles(self) -> None:
        for topic in self._hub.topics("kline."):
            _, interval, name = topic.split(".")
            frame = self._candle_frame(topic, interval, name)
            if frame is not None:
                self._hub.publish(topic, frame)

    # -- liquidations ----------------------------------------------------------------------------------------------

    def liquidated(self, event: Liquidated) -> None:
        """Tell the liquidation topics. ``S`` is the side of the position that was closed."""
        if event.kind != "liquidation":
            return
        instrument = self._desk.truth.instruments[event.instrument]
        side = "Buy" if event.side is Side.SELL else "Sell"
        size = fixed(event.quantity, quantity_decimals(instrument))
        price = fixed(event.price, price_decimals(instrument))
        new = {"T": event.time_ms, "s": event.instrument, "S": side, "v": size, "p": price}
        old = {
            "price": price,
            "side": side,
            "size": size,
            "symbol": event.instrument,
            "updatedTime": event.time_ms,
        }
        for name, data in (("allLiquidation", [new]), ("liquidation", old)):
            topic = f"{name}.{event.instrument}"
            if self._hub.wanted(topic):
                frame = {"topic": topic, "type": "snapshot", "ts": self._desk.now_ms(), "data": data}
                self._hub.publish(topic, encode(frame))
