"""Bybit's streams: public linear (tickers, books) and private (orders, executions, positions, wallet)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from fundingarb.errors import AuthenticationFailed
from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.stream import (
    Connection,
    Mender,
    Subscription,
    fixed,
    parts,
    rate_rows,
    run_stream,
    run_streams,
)
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
PROTECTION_TOPIC = "dcp.future"
"""Connections that listen to it keep the disconnect protection from cancelling what rests."""
PRIVATE_TOPICS = ("order", "execution", "position", "wallet")


async def _subscribe(connection: Connection, topics: Sequence[str], operation: str = "subscribe") -> None:
    for start in range(0, len(topics), TOPICS_PER_COMMAND):
        await connection.send(
            json.dumps({"op": operation, "args": topics[start : start + TOPICS_PER_COMMAND]})
        )


def again(prefix: str) -> Callable[[Connection, Sequence[str]], Awaitable[None]]:
    """What gets a snapshot: a subscription starts with one, so it is taken anew."""

    async def mend(connection: Connection, ids: Sequence[str]) -> None:
        topics = [f"{prefix}.{each}" for each in ids]
        await _subscribe(connection, topics, "unsubscribe")
        await _subscribe(connection, topics)

    return mend


async def rates(adapter: BybitAdapter, symbols: Sequence[str], sink: RateSink) -> None:
    """Tickers: rate, next settlement, interval, mark and index price."""
    rows = rate_rows(await adapter.instruments(), symbols, sink)

    def changed(row: int, hours: float) -> None:
        instrument = sink.book.instrument(row)
        adapter.note_interval(instrument, timedelta(hours=hours))
        sink.interval_changed(messages.EXCHANGE, instrument.symbol, hours)

    subscriptions = []
    for suffix, ids in parts(list(rows), TOPICS_PER_CONNECTION):
        part = {name: rows[name] for name in ids}
        decoder = TickerDecoder(sink.book, part, now=adapter.clock.time, changed=changed)
        subscriptions.append(_tickers(adapter, sink, decoder, f"{messages.EXCHANGE}.rates{suffix}", ids))
    await run_streams(adapter.session, subscriptions, sink)


def _tickers(
    adapter: BybitAdapter, sink: RateSink, decoder: TickerDecoder, name: str, ids: Sequence[str]
) -> Subscription:
    def take(frame: bytes) -> None:
        if decoder.decode(frame):
            sink.flush(messages.EXCHANGE)

    mender = Mender(decoder.missing, again("tickers"))

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
    subscriptions = [
        _books(adapter, sink, f"{messages.EXCHANGE}.books{suffix}", part)
        for suffix, part in parts(ids, TOPICS_PER_CONNECTION)
    ]
    await run_streams(adapter.session, subscriptions, sink)


def _books(adapter: BybitAdapter, sink: BookSink, name: str, ids: Sequence[str]) -> Subscription:
    mender = Mender(lambda: [each for each in ids if not decoder.has(each)], again("orderbook.50"))
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
    key, secret = adapter.credential("api_key"), adapter.credential("api_secret")
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
