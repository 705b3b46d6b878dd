"""dYdX's streams, all from the indexer: ``v4_markets``, ``v4_orderbook``, ``v4_subaccounts``, ``v4_block_height``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.stream import (
    Connection,
    Mender,
    StreamEnded,
    Subscription,
    fixed,
    parts,
    rate_rows,
    run_stream,
    run_streams,
)
from fundingarb.ports import AccountSink, BookSink, RateSink
from fundingarb_dydx import messages
from fundingarb_dydx.account_stream import AccountDecoder
from fundingarb_dydx.stream import BookDecoder, MarketsDecoder

if TYPE_CHECKING:
    from fundingarb_dydx.adapter import DydxAdapter

BOOKS_PER_CONNECTION = 30
"""The indexer takes 32 subscriptions to a channel on one connection."""
MARKETS, BOOKS, SUBACCOUNTS, HEIGHT = "v4_markets", "v4_orderbook", "v4_subaccounts", "v4_block_height"


async def _greeted(connection: Connection) -> None:
    """The indexer speaks first, and numbers what it says from there on."""
    frame = await connection.receive()
    if json.loads(frame).get("type") != "connected":
        raise StreamEnded(f"dydx: no greeting but {excerpt(frame)}")


async def _command(connection: Connection, kind: str, channel: str, name: str = "") -> None:
    command = {"type": kind, "channel": channel, **({"id": name} if name else {})}
    await connection.send(json.dumps(command if kind == "unsubscribe" else {**command, "batched": False}))


async def _anew(connection: Connection, channel: str, names: Sequence[str]) -> None:
    """Take subscriptions anew: each starts with a snapshot, so that is how a hole is mended."""
    for name in names:
        await _command(connection, "unsubscribe", channel, name)
        await _command(connection, "subscribe", channel, name)


def _subscription(
    adapter: DydxAdapter,
    name: str,
    decoder: MarketsDecoder | BookDecoder | AccountDecoder,
    take: Callable[[bytes], None],
    mender: Mender,
    subscribe: Callable[[Connection], Awaitable[None]],
) -> Subscription:
    async def opened(connection: Connection) -> None:
        decoder.reset()
        await _greeted(connection)
        await subscribe(connection)

    return Subscription(
        name=f"{messages.EXCHANGE}.{name}",
        url=fixed(adapter.network.stream),
        opened=opened,
        frame=take,
        beside=mender.run,
        stale_after=adapter.settings.stream_stale_seconds,
    )


async def rates(adapter: DydxAdapter, symbols: Sequence[str], sink: RateSink) -> None:
    """Rates and oracle prices of all markets on one connection."""
    rows = rate_rows(await adapter.instruments(), symbols, sink)
    mender = Mender(lambda: decoder.missing(), lambda connection, _: _anew(connection, MARKETS, [""]))
    decoder = MarketsDecoder(sink.book, rows, now=adapter.clock.time, gap=mender.wake)

    def take(frame: bytes) -> None:
        if decoder.decode(frame):
            sink.flush(messages.EXCHANGE)

    async def subscribe(connection: Connection) -> None:
        await _command(connection, "subscribe", MARKETS)

    await run_stream(adapter.session, _subscription(adapter, "rates", decoder, take, mender, subscribe), sink)


async def books(adapter: DydxAdapter, symbols: Sequence[str], sink: BookSink) -> None:
    """The whole book of each symbol, as snapshot and changes."""
    ids = await adapter.ids_of(symbols)
    subscriptions = [
        _books(adapter, sink, f"books{suffix}", part) for suffix, part in parts(ids, BOOKS_PER_CONNECTION)
    ]
    await run_streams(adapter.session, subscriptions, sink)


def _books(adapter: DydxAdapter, sink: BookSink, name: str, ids: Sequence[str]) -> Subscription:
    mender = Mender(
        lambda: [each for each in ids if not decoder.has(each)],
        lambda connection, lacking: _anew(connection, BOOKS, lacking),
    )
    decoder = BookDecoder(adapter.known, sink.update, adapter.clock.now, mender.wake)

    async def subscribe(connection: Connection) -> None:
        await _command(connection, "subscribe", HEIGHT)
        for each in ids:
            await _command(connection, "subscribe", BOOKS, each)

    return _subscription(adapter, name, decoder, decoder.decode, mender, subscribe)


async def account(adapter: DydxAdapter, sink: AccountSink) -> None:
    """Everything that happens on the subaccount, and the height of the chain. It is public: nothing logs in."""
    known, subaccount = await adapter.instruments(), f"{adapter.address}/{adapter.subaccount}"
    mender = Mender(
        lambda: decoder.missing(), lambda connection, _: _anew(connection, SUBACCOUNTS, [subaccount])
    )
    decoder = AccountDecoder(
        adapter.account,
        known,
        adapter.orders.names,
        sink,
        adapter.note_height,
        mender.wake,
    )

    async def subscribe(connection: Connection) -> None:
        await _command(connection, "subscribe", HEIGHT)
        await _command(connection, "subscribe", SUBACCOUNTS, subaccount)

    name = f"account.{adapter.account}"
    await run_stream(
        adapter.session, _subscription(adapter, name, decoder, decoder.decode, mender, subscribe), sink
    )
