"""The streams of a simulated exchange: pushed while it is reachable, hit by frame faults, reconnecting."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import anyio

from fundingarb.localnet.faults import FaultKind
from fundingarb.localnet.truth.events import Event, FundingPaid, IntervalChanged, Liquidated, OrderChanged
from fundingarb.ports import AccountSink, BookSink, RateSink
from fundingarb.simulation import convert
from fundingarb.simulation.network import SimExchange

BEAT = 2.0
"""Real seconds between two frames of rates or of books."""
DEPTH = 15
STALLED = 10.0
"""Real seconds after which a client takes a silent connection for dead."""


async def rates(venue: SimExchange, symbols: Sequence[str], sink: RateSink) -> None:
    """Every symbol's rate, once a beat."""
    name, book, clock = f"{venue.name}.rates", sink.book, venue.clock
    undo = venue.truth.subscribe(_intervals(venue, sink))
    connected = False
    natives = [venue.truth.instrument(symbol) for symbol in symbols]
    try:
        while True:
            if venue.reachable != connected:
                connected = venue.reachable
                if connected:
                    sink.connected(name)
                else:
                    sink.disconnected(name, "the connection broke")
            if connected:
                venue.sync()
                at = clock.time()
                for native in natives:
                    row = book.row(venue.name, native.symbol)
                    view = venue.truth.funding(native.id)
                    if row is None:
                        continue
                    book.update(row, float(view.rate), view.next_ms / 1000, at, view.interval_hours * 3600.0)
                    scale = float(native.multiplier)
                    book.update_price(
                        row,
                        float(venue.truth.mark(native.id)) / scale,
                        float(venue.truth.index(native.id)) / scale,
                    )
                book.frame(venue.name, at)
                sink.flush(venue.name)
            await anyio.sleep(BEAT)
    finally:
        undo()


def _intervals(venue: SimExchange, sink: RateSink) -> Callable[[Event], None]:
    def heard(event: Event) -> None:
        if isinstance(event, IntervalChanged):
            symbol = venue.truth.instruments[event.instrument].symbol
            sink.interval_changed(venue.name, symbol, float(event.interval_hours))

    return heard


async def books(venue: SimExchange, symbols: Sequence[str], sink: BookSink) -> None:
    """Every symbol's book, once a beat."""
    natives = [venue.truth.instrument(symbol) for symbol in symbols]
    await anyio.sleep(BEAT / 2)
    while True:
        if venue.reachable:
            venue.sync()
            for native in natives:
                view = venue.truth.book(native.id, DEPTH)
                sink.update(convert.book(venue.name, native, view, venue.clock.now()))
        await anyio.sleep(BEAT)


async def account(venue: SimExchange, name: str, sink: AccountSink) -> None:
    """The account's events, until cancelled."""
    stream = f"{venue.name}.account.{name}"
    rng = random.Random(f"{stream}/{venue.clock.monotonic()}")
    while True:
        await anyio.sleep(0.05 + 0.2 * rng.random())
        if not venue.reachable:
            await anyio.sleep(1.0)
            continue
        link = _Link(venue, name, sink)
        venue.links.append(link)
        undo = venue.truth.subscribe(link.heard)
        sink.connected(stream)
        try:
            await link.dropped.wait()
        finally:
            link.closed = True
            venue.links.remove(link)
            undo()
        sink.disconnected(stream, link.reason)
        await anyio.sleep(0.2 + 2 * rng.random())


class _Link:
    """One connection of one account's stream."""

    def __init__(self, venue: SimExchange, account: str, sink: AccountSink) -> None:
        self.venue = venue
        self.account = account
        self.sink = sink
        self.dropped = anyio.Event()
        self.reason = "the connection broke"
        self.closed = False
        self._stalled = False
        self._held: list[Callable[[], None]] = []

    def drop(self) -> None:
        self.dropped.set()

    def stall(self) -> None:
        """Say nothing any more; the client takes the connection for dead after a while."""
        if not self._stalled:
            self._stalled = True
            asyncio.get_running_loop().call_later(STALLED, self.drop)

    def heard(self, event: Event) -> None:
        """An event of the truth: a frame leaves, unless something happens to it."""
        over = self.closed or self.dropped.is_set()
        if over or getattr(event, "account", None) != self.account:
            return
        deliver = self._frame(event)
        if deliver is None:
            return
        kinds = [fault.kind for fault in self.venue.frame_faults(self.account)]
        if FaultKind.STREAM_DISCONNECT in kinds:
            self.drop()
            return
        if FaultKind.STREAM_STALL in kinds:
            self.stall()
        if self._stalled or FaultKind.FRAME_LOST in kinds:
            return
        if FaultKind.FRAME_MALFORMED in kinds:
            deliver = self._malformed
        if FaultKind.FRAME_REORDER in kinds:
            self._held.append(deliver)
            return
        self._send(deliver)
        if FaultKind.FRAME_DUPLICATE in kinds:
            self._send(deliver)
        while self._held:
            self._send(self._held.pop(0))

    def _malformed(self) -> None:
        self.sink.quarantined(f"{self.venue.name}.account.{self.account}", b'{"e":', "not a whole message")

    def _send(self, deliver: Callable[[], None]) -> None:
        def arrive() -> None:
            if not self.closed:
                deliver()

        asyncio.get_running_loop().call_later(0.03, arrive)

    def _frame(self, event: Event) -> Callable[[], None] | None:
        instruments, sink = self.venue.truth.instruments, self.sink
        if isinstance(event, OrderChanged):
            native = instruments[event.order.instrument]
            report = convert.report(native, event.order)
            fill = None if event.fill is None else convert.fill(self.venue.name, native, event.fill)

            def order() -> None:
                sink.order(report)
                if fill is not None:
                    sink.fill(fill)

            return order
        if isinstance(event, FundingPaid):
            return lambda: sink.funding(self.account)
        if isinstance(event, Liquidated):
            symbol = instruments[event.instrument].symbol
            return lambda: sink.position(self.account, symbol)
        return None
