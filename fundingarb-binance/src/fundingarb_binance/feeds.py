"""Binance's streams: which connections there are, what they subscribe to and what runs beside them.

Market streams carry their subscription in the address; the user stream is opened by a listen key that has to be kept
alive. Hosts are split by kind since 2026: ``/market`` (mark prices), ``/public`` (books), ``/private`` (user data).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from fundingarb.errors import ExchangeError
from fundingarb.exchanges.parse import decode
from fundingarb.exchanges.rest import CallFailed, read_error
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
from fundingarb_binance import messages, schema
from fundingarb_binance.account_stream import AccountDecoder
from fundingarb_binance.stream import MarkPriceDecoder, PartialBookDecoder

if TYPE_CHECKING:
    from fundingarb_binance.adapter import BinanceAdapter

BOOKS_PER_CONNECTION = 100
PING = '{"method":"LIST_SUBSCRIPTIONS","id":1}'
"""A command that changes nothing; its reply shows that a connection without pushes still delivers."""
PING_SECONDS = 4.0
KEEP_ALIVE_SECONDS = 30 * 60.0
"""Real seconds; a listen key lives for an hour."""
INTERVAL_POLL_SECONDS = 300.0
SETTLE_SECONDS = 1.0
"""How long other settlements of the same moment may take to move before the list is read."""
_HOUR = 3600.0
_USUAL = {1.0, 2.0, 4.0, 8.0}


class Intervals:
    """Keeps the funding intervals of the streamed instruments true.

    Two sources: the list of adjusted symbols, polled, and the gap that an instrument's next settlement jumps by when
    one has passed, which shows a change at once and without a request.
    """

    def __init__(self, adapter: BinanceAdapter, sink: RateSink) -> None:
        self._adapter = adapter
        self._sink = sink
        self._listed: dict[str, timedelta] | None = None
        self._poll_now = anyio.Event()

    def moved(self, row: int, before: float, now: float) -> None:
        """The next settlement of ``row`` changed. A jump by a usual interval right after a settlement is a fact; any
        other movement is looked up."""
        clock = self._adapter.clock.time()
        hours = (now - before) / _HOUR
        if hours in _USUAL and 0 <= clock - before < min(
            now - before, 600.0 * max(1.0, self._adapter.clock.speed)
        ):
            self._set(row, hours)
        elif hours:
            self._poll_now.set()

    def _set(self, row: int, hours: float) -> None:
        book = self._sink.book
        if book.interval[row] == hours * _HOUR:
            return
        instrument = book.instrument(row)
        if book.rate[row] == book.rate[row]:
            book.update(row, book.rate[row], book.next_settlement[row], book.at[row], hours * _HOUR)
        else:
            book.interval[row] = hours * _HOUR
        self._adapter.note_interval(instrument, timedelta(hours=hours))
        self._sink.interval_changed(messages.EXCHANGE, instrument.symbol, hours)

    async def poll(self) -> None:
        """Read the list every few minutes, and at once when a settlement moved oddly; runs until cancelled."""
        while True:
            with anyio.move_on_after(INTERVAL_POLL_SECONDS):
                await self._poll_now.wait()
                await anyio.sleep(SETTLE_SECONDS)
            self._poll_now = anyio.Event()
            try:
                listed = await self._adapter.get_intervals()
            except ExchangeError:
                continue
            self._compare(listed)

    def _compare(self, listed: dict[str, timedelta]) -> None:
        book = self._sink.book
        before, self._listed = self._listed, listed
        for instrument in self._adapter.known:
            row = book.row(messages.EXCHANGE, instrument.symbol)
            interval = listed.get(instrument.exchange_id, messages.DEFAULT_INTERVAL)
            known = (before or {}).get(instrument.exchange_id, messages.DEFAULT_INTERVAL)
            if row is not None and (before is None or interval != known):
                self._set(row, interval / timedelta(hours=1))


async def rates(adapter: BinanceAdapter, symbols: Sequence[str], sink: RateSink) -> None:
    """Mark prices and rates of all instruments in one connection, for the rows of ``symbols``."""
    rows = rate_rows(await adapter.instruments(), symbols, sink)
    intervals = Intervals(adapter, sink)
    decoder = MarkPriceDecoder(
        sink.book,
        rows,
        now=adapter.clock.time,
        moved=intervals.moved,
        bad=lambda raw, reason: sink.quarantined(f"{messages.EXCHANGE}.rates", raw, reason),
    )

    def take(frame: bytes) -> None:
        decoder.decode(frame)
        sink.flush(messages.EXCHANGE)

    async def opened(connection: Connection) -> None:
        decoder.reset()

    subscription = Subscription(
        name=f"{messages.EXCHANGE}.rates",
        url=fixed(f"{adapter.stream_root}/market/ws/!markPrice@arr@1s"),
        opened=opened,
        frame=take,
        stale_after=adapter.settings.stream_stale_seconds,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(intervals.poll)
        await run_stream(adapter.session, subscription, sink)


async def books(adapter: BinanceAdapter, symbols: Sequence[str], sink: BookSink) -> None:
    """The top twenty levels of each symbol every 100 ms, a hundred symbols per connection."""
    ids = await adapter.ids_of(symbols)
    subscriptions = [
        _books(adapter, sink, f"{messages.EXCHANGE}.books{suffix}", part)
        for suffix, part in parts(ids, BOOKS_PER_CONNECTION)
    ]
    await run_streams(adapter.session, subscriptions, sink)


def _books(adapter: BinanceAdapter, sink: BookSink, name: str, ids: Sequence[str]) -> Subscription:
    decoder = PartialBookDecoder(adapter.known, sink.update, adapter.clock.now)
    streams = "/".join(f"{each.lower()}@depth20@100ms" for each in ids)

    async def opened(connection: Connection) -> None:
        decoder.reset()

    return Subscription(
        name=name,
        url=fixed(f"{adapter.stream_root}/public/stream?streams={streams}"),
        opened=opened,
        frame=decoder.decode,
        ping=(PING, PING_SECONDS),
        stale_after=adapter.settings.stream_stale_seconds,
    )


async def account(adapter: BinanceAdapter, sink: AccountSink) -> None:
    """User data of the adapter's account. Silence is normal, so only protocol pings tell a dead connection."""
    known = await adapter.instruments()
    decoder = AccountDecoder(adapter.account, known, sink, adapter.note_order)

    async def url() -> str:
        return f"{adapter.stream_root}/private/ws?listenKey={await listen_key(adapter)}"

    async def keep_alive(connection: Connection) -> None:
        while True:
            await anyio.sleep(KEEP_ALIVE_SECONDS)
            try:
                await adapter.polling.write("fapiPrivatePutListenKey")
            except CallFailed as failure:
                raise StreamEnded(f"the listen key could not be kept alive: {failure}") from failure

    subscription = Subscription(
        name=f"{messages.EXCHANGE}.account.{adapter.account}",
        url=url,
        frame=decoder.decode,
        beside=keep_alive,
        heartbeat=15.0,
        stale_after=None,
    )
    await run_stream(adapter.session, subscription, sink)


async def listen_key(adapter: BinanceAdapter) -> str:
    """A valid listen key (Binance hands out the same one for an hour, and prolongs it)."""
    try:
        body = await adapter.polling.write("fapiPrivatePostListenKey")
    except CallFailed as failure:
        raise read_error(adapter.name, failure) from failure
    return decode(schema.ListenKey, body, "binance listenKey").listenKey
