"""OKX's streams: public (funding rates, mark and index prices, books) and private (orders, the account)."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from fundingarb.errors import AuthenticationFailed, ExchangeError
from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.stream import (
    Connection,
    Mender,
    Subscription,
    parts,
    rate_rows,
    run_stream,
    run_streams,
)
from fundingarb.ports import AccountSink, BookSink, RateSink
from fundingarb_okx import messages
from fundingarb_okx.account_stream import AccountDecoder
from fundingarb_okx.stream import PONG, BookDecoder, RateDecoder

if TYPE_CHECKING:
    from fundingarb_okx.adapter import OkxAdapter

CHANNELS_PER_COMMAND = 100
INSTRUMENTS_PER_CONNECTION = 100
PING = "ping"
PING_SECONDS = 4.0
SNAPSHOT_DEPTH = 400
SNAPSHOT_PAUSE = 0.05
"""Real seconds between two snapshots: forty may be fetched in two seconds."""

Channel = dict[str, str]


class Turns:
    """At most ``many`` turns within any ``seconds``; who comes too early waits."""

    def __init__(self, many: int, seconds: float) -> None:
        self._last: deque[float] = deque(maxlen=many)
        self._seconds = seconds

    async def take(self) -> None:
        """Wait for a turn (real seconds). A turn is when it is taken, however late that was."""
        while len(self._last) == self._last.maxlen:
            early = self._last[0] + self._seconds - time.monotonic()
            if early <= 0:
                break
            await anyio.sleep(early)
        self._last.append(time.monotonic())


CONNECTING = Turns(3, 1.2)
"""OKX takes three new connections a second from an address, so all accounts of this process share them; they do not
reach it as evenly as they leave."""


def in_turn(url: str) -> Callable[[], Awaitable[str]]:
    """The address of a stream, once it may be connected to."""

    async def answer() -> str:
        await CONNECTING.take()
        return url

    return answer


async def subscribe(connection: Connection, channels: Sequence[Channel]) -> None:
    for start in range(0, len(channels), CHANNELS_PER_COMMAND):
        args = channels[start : start + CHANNELS_PER_COMMAND]
        await connection.send(json.dumps({"op": "subscribe", "args": args}))


async def rates(adapter: OkxAdapter, symbols: Sequence[str], sink: RateSink) -> None:
    """Funding rates, mark prices and the prices of the indices."""
    rows = rate_rows(await adapter.instruments(), symbols, sink)

    def changed(row: int, hours: float) -> None:
        instrument = sink.book.instrument(row)
        adapter.note_interval(instrument, timedelta(hours=hours))
        sink.interval_changed(messages.EXCHANGE, instrument.symbol, hours)

    subscriptions = []
    for suffix, ids in parts(list(rows), INSTRUMENTS_PER_CONNECTION):
        part = {name: rows[name] for name in ids}
        indexes = {adapter.contracts.listed(sink.book.instrument(row)).index: row for row in part.values()}
        decoder = RateDecoder(sink.book, part, indexes, now=adapter.clock.time, changed=changed)
        channels = [
            {"channel": name, "instId": each} for name in ("funding-rate", "mark-price") for each in ids
        ]
        channels += [{"channel": "index-tickers", "instId": each} for each in indexes]
        subscriptions.append(_rates(adapter, sink, decoder, f"{messages.EXCHANGE}.rates{suffix}", channels))
    await run_streams(adapter.session, subscriptions, sink)


def _rates(
    adapter: OkxAdapter, sink: RateSink, decoder: RateDecoder, name: str, channels: Sequence[Channel]
) -> Subscription:
    def take(frame: bytes) -> None:
        if decoder.decode(frame):
            sink.flush(messages.EXCHANGE)

    async def opened(connection: Connection) -> None:
        decoder.reset()
        await subscribe(connection, channels)

    return Subscription(
        name=name,
        url=in_turn(adapter.public_stream),
        opened=opened,
        frame=take,
        ping=(PING, PING_SECONDS),
        stale_after=adapter.settings.stream_stale_seconds,
    )


async def books(adapter: OkxAdapter, symbols: Sequence[str], sink: BookSink) -> None:
    """Up to four hundred levels of each symbol: a snapshot by REST, and changes."""
    ids = await adapter.ids_of(symbols)
    subscriptions = [
        _books(adapter, sink, f"{messages.EXCHANGE}.books{suffix}", part)
        for suffix, part in parts(ids, INSTRUMENTS_PER_CONNECTION)
    ]
    await run_streams(adapter.session, subscriptions, sink)


def _books(adapter: OkxAdapter, sink: BookSink, name: str, ids: Sequence[str]) -> Subscription:
    async def mend(connection: Connection, lacking: Sequence[str]) -> None:
        for each in lacking:
            try:
                decoder.snapshot(each, await adapter.depth(each, SNAPSHOT_DEPTH))
            except ExchangeError as error:
                sink.quarantined(name, each.encode(), f"no snapshot: {error}")
            await anyio.sleep(SNAPSHOT_PAUSE)

    mender = Mender(lambda: [each for each in ids if not decoder.has(each)], mend)
    decoder = BookDecoder(
        adapter.contracts, sink.update, adapter.clock.now, lambda exchange_id: mender.wake()
    )

    async def opened(connection: Connection) -> None:
        decoder.reset()
        await subscribe(connection, [{"channel": "books", "instId": each} for each in ids])
        mender.wake()

    return Subscription(
        name=name,
        url=in_turn(adapter.public_stream),
        opened=opened,
        frame=decoder.decode,
        beside=mender.run,
        ping=(PING, PING_SECONDS),
        stale_after=adapter.settings.stream_stale_seconds,
    )


PRIVATE: Sequence[Channel] = (
    {"channel": "orders", "instType": "SWAP"},
    {"channel": "balance_and_position"},
)


async def account(adapter: OkxAdapter, sink: AccountSink) -> None:
    """The private stream of the adapter's account."""
    await adapter.instruments()
    decoder = AccountDecoder(adapter.account, adapter.contracts, sink)

    async def opened(connection: Connection) -> None:
        await connection.send(login(adapter))
        await _confirmed(connection, "login", 1)
        await subscribe(connection, PRIVATE)
        await _confirmed(connection, "subscribe", len(PRIVATE))

    subscription = Subscription(
        name=f"{messages.EXCHANGE}.account.{adapter.account}",
        url=in_turn(adapter.private_stream),
        opened=opened,
        frame=decoder.decode,
        ping=(PING, PING_SECONDS),
        stale_after=adapter.settings.stream_stale_seconds,
    )
    await run_stream(adapter.session, subscription, sink)


def login(adapter: OkxAdapter) -> str:
    """The command that logs a connection in: HMAC-SHA256, in base64, of the time in seconds and a fixed path."""
    key, secret, passphrase = (adapter.credential(name) for name in ("api_key", "api_secret", "passphrase"))
    seconds = str(round(adapter.clock.time() + adapter.skew.milliseconds / 1000))
    digest = hmac.new(secret.encode(), f"{seconds}GET/users/self/verify".encode(), "sha256").digest()
    sign = base64.b64encode(digest).decode()
    args = {"apiKey": key, "passphrase": passphrase, "timestamp": seconds, "sign": sign}
    return json.dumps({"op": "login", "args": [args]})


async def _confirmed(connection: Connection, event: str, times: int) -> None:
    """Wait for the answers to a command of the handshake; ``AuthenticationFailed`` when one says no.

    Only then does the stream count as connected: what happens from there on is pushed.
    """
    while times:
        frame = await connection.receive()
        answer = {} if frame == PONG else json.loads(frame)
        if answer.get("event") == "error":
            raise AuthenticationFailed(f"okx: the account stream refused {event}: {excerpt(frame)}")
        times -= answer.get("event") == event
