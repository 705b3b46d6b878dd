"""Bybit's streams: public linear (tickers, books) and private (orders, executions, positions, wallet)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from fundingarb.errors import AuthenticationFailed
from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.stream import Connection, Subscription, fixed, parts, rate_rows, run_stream
from fundingarb.ports import AccountSink, BookSink, RateSink
from fundingarb_bybit import messages
from fundingarb_bybit.account_stream import AccountDecoder
from fundingarb_bybit.stream import BookDecoder, TickerDecoder

if TYPE_CHECKING:
    from fundingarb_bybit.adapter import BybitAdapter

TOPICS_PER_COMMAND = 100
TOPICS_PER_CONNECTION = 300
PING = '{"op":"ping"}'
PING_SECONDS = 4.0
SNAPSHOT_SECONDS = 2.0
"""How long a snapshot may take before its subscription is taken anew."""
PROTECTION_TOPIC = "dcp.future"
"""Connections that listen to it keep the disconnect protection from cancelling what rests."""
PRIVATE_TOPICS = ("order", "execution", "position", "wallet")


async def _subscribe(connection: Connection, topics: Sequence[str], operation: str = "subscribe") -> None:
    for start in range(0, len(topics), TOPICS_PER_COMMAND):
        await connection.send(
            json.dumps({"op": operation, "args": topics[start : start + TOPICS_PER_COMMAND]})
        )


async def rates(adapter: BybitAdapter, symbols: Sequence[str], sink: RateSink) -> None:
    """Tickers: rate, next settlement, interval, mark and index price."""
    rows = rate_rows(await adapter.instruments(), symbols, sink)

    def changed(row: int, hours: float) -> None:
        instrument = sink.book.instrument(row)
        adapter.note_interval(instrument, timedelta(hours=hours))
        sink.interval_changed(messages.EXCHANGE, instrument.symbol, hours)

    async with anyio.create_task_group() as tasks:
        for suffix, ids in parts(list(rows), TOPICS_PER_CONNECTION):
            part = {name: rows[name] for name in ids}
            decoder = TickerDecoder(sink.book, part, now=adapter.clock.time, changed=changed)
            subscription = _tickers(adapter, sink, decoder, f"{messages.EXCHANGE}.rates{suffix}", ids)
            tasks.start_soon(run_stream, adapter.session, subscription, sink)
        await anyio.sleep_forever()


def _tickers(
    adapter: BybitAdapter, sink: RateSink, decoder: TickerDecoder, name: str, ids: Sequence[str]
) -> Subscription:
    def take(frame: bytes) -> None:
        if decoder.decode(frame):
            sink.flush(messages.EXCHANGE)

    mender = Mender("tickers", decoder.missing)

    async def opened(connection: Connection) -> None:
        decoder.reset()
        await _subscribe(connection, [f"tickers.{each}" for each in ids])

    return Subscription(
        name=name,
        url=fixed(adapter.public_stream),
        opened=opened,
        frame=take,
        beside=mender.run,
        ping=(PING, PING_SECONDS),
        stale_after=adapter.settings.stream_stale_seconds,
    )


async def books(adapter: BybitAdapter, symbols: Sequence[str], sink: BookSink) -> None:
    """The top fifty levels of each symbol, as snapshot and changes."""
    ids = await adapter.ids_of(symbols)
    async with anyio.create_task_group() as tasks:
        for suffix, part in parts(ids, TOPICS_PER_CONNECTION):
            subscription = _books(adapter, sink, f"{messages.EXCHANGE}.books{suffix}", part)
            tasks.start_soon(run_stream, adapter.session, subscription, sink)
        await anyio.sleep_forever()


def _books(adapter: BybitAdapter, sink: BookSink, name: str, ids: Sequence[str]) -> Subscription:
    mender = Mender("orderbook.50", lambda: [each for each in ids if not decoder.has(each)])
    decoder = BookDecoder(adapter.known, sink.update, adapter.clock.now, lambda exchange_id: mender.wake())

    async def opened(connection: Connection) -> None:
        decoder.reset()
        await _subscribe(connection, [f"orderbook.50.{each}" for each in ids])

    return Subscription(
        name=name,
        url=fixed(adapter.public_stream),
        opened=opened,
        frame=decoder.decode,
        beside=mender.run,
        ping=(PING, PING_SECONDS),
        stale_after=adapter.settings.stream_stale_seconds,
    )


class Mender:
    """Subscribes anew to what lacks a snapshot: at once when woken, and whenever one does not come.

    A subscription starts with a snapshot, so taking it anew is how a gap is mended. ``missing`` names the symbols.
    """

    def __init__(self, prefix: str, missing: Callable[[], Sequence[str]]) -> None:
        self._prefix = prefix
        self._missing = missing
        self._woken = anyio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self, connection: Connection) -> None:
        """Runs beside the reader of ``connection``."""
        while True:
            with anyio.move_on_after(SNAPSHOT_SECONDS):
                await self._woken.wait()
            self._woken = anyio.Event()
            topics = [f"{self._prefix}.{each}" for each in self._missing()]
            if topics:
                await _subscribe(connection, topics, "unsubscribe")
                await _subscribe(connection, topics)


async def account(adapter: BybitAdapter, sink: AccountSink) -> None:
    """The private stream of the adapter's account."""
    known = await adapter.instruments()
    decoder = AccountDecoder(adapter.account, known, sink)

    async def opened(connection: Connection) -> None:
        await connection.send(login(adapter))
        await _confirmed(connection, "auth")
        await _subscribe(connection, PRIVATE_TOPICS)
        await _confirmed(connection, "subscribe")

    async def protect(connection: Connection) -> None:
        await adapter.protected.wait()
        await _subscribe(connection, (PROTECTION_TOPIC,))

    subscription = Subscription(
        name=f"{messages.EXCHANGE}.account.{adapter.account}",
        url=fixed(adapter.private_stream),
        opened=opened,
        frame=decoder.decode,
        beside=protect,
        ping=(PING, PING_SECONDS),
        stale_after=adapter.settings.stream_stale_seconds,
    )
    await run_stream(adapter.session, subscription, sink)


def login(adapter: BybitAdapter) -> str:
    """The command that logs a connection in: HMAC-SHA256 of ``GET/realtime`` and an expiry a few real seconds ahead."""
    context = adapter.context
    if context.account is None:
        raise AuthenticationFailed("bybit: the account stream needs credentials")
    key = context.account.values["api_key"].reveal()
    secret = context.account.values["api_secret"].reveal()
    window = adapter.settings.recv_window_ms * max(1.0, adapter.clock.speed)
    expires = round(adapter.clock.time() * 1000 + adapter.skew.milliseconds + window)
    signature = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), "sha256").hexdigest()
    return json.dumps({"op": "auth", "args": [key, expires, signature]})


async def _confirmed(connection: Connection, operation: str) -> None:
    """Wait for the answer to a command of the handshake; ``AuthenticationFailed`` when it says no.

    Only then does the stream count as connected: what happens from there on is pushed.
    """
    while True:
        frame = await connection.receive()
        answer = json.loads(frame)
        if answer.get("op") == operation:
            if answer.get("success") is not True:
                raise AuthenticationFailed(f"bybit: the account stream refused {operation}: {excerpt(frame)}")
            return
