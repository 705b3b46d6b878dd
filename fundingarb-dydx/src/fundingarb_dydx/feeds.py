"""dYdX's streams, all from the indexer: ``v4_markets``, ``v4_orderbook``, ``v4_subaccounts``, ``v4_block_height``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.stream import (
    Connection,
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
HEIGHT = "v4_block_height"


async def _greeted(connection: Connection) -> None:
    """The indexer speaks first, and numbers what it says from there on."""
    frame = await connection.receive()
    if json.loads(frame).get("type") != "connected":
        raise StreamEnded(f"dydx: no greeting but {excerpt(frame)}")


async def _subscribe(connection: Connection, channel: str, name: str = "") -> None:
    command = {"type": "subscribe", "channel": channel, "batched": False, **({"id": name} if name else {})}
    await connection.send(json.dumps(command))


async def rates(adapter: DydxAdapter, symbols: Sequence[str], sink: RateSink) -> None:
    """Rates and oracle prices of all markets on one connection."""
    rows = rate_rows(await adapter.instruments(), symbols, sink)
    decoder = MarketsDecoder(sink.book, rows, now=adapter.clock.time)

    def take(frame: bytes) -> None:
        if decoder.decode(frame):
            sink.flush(messages.EXCHANGE)

    async def opened(connection: Connection) -> None:
        decoder.reset()
        await _greeted(connection)
        await _subscribe(connection, "v4_markets")

    subscription = Subscription(
        name=f"{messages.EXCHANGE}.rates",
        url=fixed(adapter.network.stream),
        opened=opened,
        frame=take,
        stale_after=adapter.settings.stream_stale_seconds,
    )
    await run_stream(adapter.session, subscription, sink)


async def books(adapter: DydxAdapter, symbols: Sequence[str], sink: BookSink) -> None:
    """The whole book of each symbol, as snapshot and changes."""
    ids = await adapter.ids_of(symbols)
    await run_streams(
        adapter.session,
        [
            _books(adapter, sink, f"{messages.EXCHANGE}.books{suffix}", part)
            for suffix, part in parts(ids, BOOKS_PER_CONNECTION)
        ],
        sink,
    )


def _books(adapter: DydxAdapter, sink: BookSink, name: str, ids: Sequence[str]) -> Subscription:
    decoder = BookDecoder(adapter.known, sink.update, adapter.clock.now)

    async def opened(connection: Connection) -> None:
        decoder.reset()
        await _greeted(connection)
        await _subscribe(connection, HEIGHT)
        for each in ids:
            await _subscribe(connection, "v4_orderbook", each)

    return Subscription(
        name=name,
        url=fixed(adapter.network.stream),
        opened=opened,
        frame=decoder.decode,
        stale_after=adapter.settings.stream_stale_seconds,
    )


async def account(adapter: DydxAdapter, sink: AccountSink) -> None:
    """Everything that happens on the subaccount, and the height of the chain. It is public: nothing logs in."""
    known = await adapter.instruments()
    decoder = AccountDecoder(
        adapter.account,
        known,
        adapter.orders.names,
        sink,
        adapter.note_height,
        lambda: adapter.heights.latest,
    )

    async def opened(connection: Connection) -> None:
        decoder.reset()
        await _greeted(connection)
        await _subscribe(connection, HEIGHT)
        await _subscribe(connection, "v4_subaccounts", f"{adapter.address}/{adapter.subaccount}")

    subscription = Subscription(
        name=f"{messages.EXCHANGE}.account.{adapter.account}",
        url=fixed(adapter.network.stream),
        opened=opened,
        frame=decoder.decode,
        stale_after=adapter.settings.stream_stale_seconds,
    )
    await run_stream(adapter.session, subscription, sink)
