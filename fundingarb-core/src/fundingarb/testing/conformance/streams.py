"""Cases about rates and books that arrive by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal

import anyio

from fundingarb.localnet.faults import FaultKind
from fundingarb.ports import ExchangeAdapter
from fundingarb.testing.conformance.desk import BTC, PEPE, PRICES, Desk
from fundingarb.testing.conformance.market_data import expected_book, same_book
from fundingarb.testing.conformance.registry import case
from fundingarb.testing.conformance.subject import Capability
from fundingarb.testing.conformance.words import NotConformant, check, eventually, same
from fundingarb.testing.sinks import RecordingBookSink, RecordingRateSink

STREAMS = Capability.PUBLIC_STREAMS
BOTH = tuple(PRICES)


@asynccontextmanager
async def rates(
    desk: Desk, symbols: tuple[str, ...] = BOTH, adapter: ExchangeAdapter | None = None
) -> AsyncIterator[RecordingRateSink]:
    """A running stream of rates that has delivered all of ``symbols``, each with its mark price."""
    sink = RecordingRateSink()

    def marked(symbol: str) -> bool:
        found = sink.book.get(desk.exchange, symbol)
        return found is not None and found.mark is not None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon((adapter or desk.adapter).stream_rates, symbols, sink)
        await eventually(
            "rates and marks of every symbol are streamed",
            lambda: all(marked(symbol) for symbol in symbols),
        )
        yield sink
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def books(
    desk: Desk, symbols: tuple[str, ...] = BOTH, adapter: ExchangeAdapter | None = None
) -> AsyncIterator[RecordingBookSink]:
    """A running stream of books that has delivered all of ``symbols``."""
    sink = RecordingBookSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon((adapter or desk.adapter).stream_books, symbols, sink)
        await eventually(
            "books of every symbol are streamed", lambda: set(sink.latest) >= set(symbols), seconds=15
        )
        yield sink
        tasks.cancel_scope.cancel()


def newest(sink: RecordingRateSink, desk: Desk, symbol: str) -> Decimal | None:
    found = sink.book.get(desk.exchange, symbol)
    return None if found is None else found.rate


@case("C12", "Rates arrive by themselves")
async def rates_arrive(desk: Desk) -> None:
    async with rates(desk) as sink:
        for symbol, price in PRICES.items():
            found = sink.book.get(desk.exchange, symbol)
            truth = desk.truth.funding(desk.contract(symbol).listed.id)
            check(found is not None, f"no rate of {symbol}")
            if found is not None:
                same(f"rate of {symbol}", found.rate, desk.usual_rate(symbol))
                same(f"mark of {symbol}", found.mark, price)
                same(f"interval of {symbol}", found.interval, timedelta(hours=truth.interval_hours))
                same(
                    f"next settlement of {symbol}",
                    found.next_settlement.timestamp(),
                    truth.next_ms / 1000,
                )
        desk.funding(rate="-0.0011")
        await eventually("a changed rate arrives", lambda: newest(sink, desk, BTC) == Decimal("-0.0011"))
        same("rate of the other symbol", newest(sink, desk, PEPE), desk.usual_rate(PEPE))
    check(sink.ups, "the stream never said that it is connected")
    same("messages that could not be used", sink.bad, [])
    same("exchanges that flushed", set(sink.flushes), {desk.exchange})


@case("C13", "A changed interval is noticed", Capability.INTERVALS)
async def interval_changes(desk: Desk) -> None:
    async with rates(desk) as sink:
        desk.fault(FaultKind.FUNDING_INTERVAL, symbol=PEPE, hours=1, everyone=True)
        await eventually(
            "interval_changed is called", lambda: (desk.exchange, PEPE, 1.0) in sink.intervals, seconds=15
        )
        found = sink.book.get(desk.exchange, PEPE)
        same("interval in the rate book", found and found.interval, timedelta(hours=1))
        both = {each.instrument.symbol: each for each in await desk.adapter.get_funding_rates(BOTH)}
        same("interval of get_funding_rates", both[PEPE].interval, timedelta(hours=1))
        check(both[BTC].interval != timedelta(hours=1), "the other symbol's interval changed too")


@case("C14", "Books arrive by themselves")
async def books_arrive(desk: Desk) -> None:
    async with books(desk) as sink:
        for symbol, price in PRICES.items():
            await eventually(
                f"the book of {symbol} is right",
                lambda s=symbol, p=price: sink.latest[s].mid == p,  # type: ignore[misc]
            )
        lot = desk.contract().listed.lot
        native = desk.contract().native
        bids = [[str(native(Decimal("999.5"))), str(3 * lot)]]
        asks = [
            [str(native(Decimal(price), ROUND_CEILING)), str(size * lot)]
            for price, size in (("1000.5", 4), ("1001", 5))
        ]
        desk.move(bids=bids, asks=asks)
        wanted = expected_book(desk, BTC, 20)
        await eventually("a changed book arrives", lambda: sink.latest[BTC].asks == wanted[1])
        await eventually("both sides of it", lambda: sink.latest[BTC].bids == wanted[0])
        same_book("the streamed book", sink.latest[BTC], wanted)
    same("messages that could not be used", sink.bad, [])


@case("C15", "A quiet book stays fresh", real_time=True)
async def quiet_books(desk: Desk) -> None:
    async with books(desk, (PEPE,)) as sink:
        first = sink.latest[PEPE]
        await eventually(
            "a book that does not change is passed on again with a new time",
            lambda: sink.latest[PEPE].at > first.at + timedelta(seconds=0.5),
        )
        same("the book", sink.latest[PEPE].mid, PRICES[PEPE])


async def show(desk: Desk, sink: RecordingBookSink, best: Decimal) -> None:
    """Keep moving the book until the stream shows this best ask."""
    contract = desk.contract()
    ask = contract.native(best, ROUND_CEILING)
    wanted = contract.price(ask)
    with anyio.move_on_after(15):
        for number in range(1, 10_000):
            size = str(number * contract.listed.lot)
            desk.move(bids=[[str(contract.native(Decimal(999))), size]], asks=[[str(ask), size]])
            await anyio.sleep(0.05)
            if sink.latest[BTC].ask == wanted:
                return
    raise NotConformant(f"the stream never shows the best ask {wanted}; it shows {sink.latest[BTC].ask}")


@case("C16", "Malformed, repeated, lost and reordered frames", STREAMS)
async def bad_frames(desk: Desk) -> None:
    async with rates(desk, (BTC,)) as rate_sink, books(desk, (BTC,)) as book_sink:
        kinds = (
            FaultKind.FRAME_MALFORMED,
            FaultKind.FRAME_DUPLICATE,
            FaultKind.FRAME_LOST,
            FaultKind.FRAME_REORDER,
        )
        for number, kind in enumerate(kinds):
            desk.fault(kind, everyone=True, count=6)
            await show(desk, book_sink, Decimal(1001 + number))
        check(rate_sink.bad or book_sink.bad, "malformed frames were not quarantined")
        for _, raw, reason in (*rate_sink.bad, *book_sink.bad):
            check(raw and reason, "a quarantined message without its text or its reason")
        desk.heal()
        desk.funding(rate="0.0007")
        await eventually(
            "rates go on arriving", lambda: newest(rate_sink, desk, BTC) == Decimal("0.0007"), seconds=15
        )


@case("C17", "Reconnect and resnapshot", STREAMS)
async def reconnects(desk: Desk) -> None:
    async with rates(desk, (BTC,)) as rate_sink, books(desk, (BTC,)) as book_sink:
        connections = len(rate_sink.ups) + len(book_sink.ups)
        await show(desk, book_sink, Decimal(1003))
        desk.fault(FaultKind.STREAM_DISCONNECT, everyone=True, count=2)
        await eventually("a dropped connection is told", lambda: rate_sink.downs or book_sink.downs)
        await eventually(
            "the stream connects again", lambda: len(rate_sink.ups) + len(book_sink.ups) > connections, 15
        )
        desk.heal()
        await show(desk, book_sink, Decimal(1009))
        stale = {level[0] for level in book_sink.latest[BTC].asks}
        check(
            desk.contract().price(desk.contract().native(Decimal(1003))) not in stale,
            "levels from before remain",
        )
        desk.funding(rate="-0.0003")
        await eventually(
            "rates go on arriving", lambda: newest(rate_sink, desk, BTC) == Decimal("-0.0003"), seconds=15
        )


@case("C18", "A stream that falls silent is replaced", STREAMS, quick=True, real_time=True)
async def staleness(desk: Desk) -> None:
    async with books(desk, (BTC,)) as sink:
        desk.fault(FaultKind.STREAM_STALL, everyone=True, count=1)
        await eventually("a silent connection is given up", lambda: sink.downs, seconds=15)
        await eventually("and replaced", lambda: len(sink.ups) > 1, seconds=15)
        desk.heal()
        await show(desk, sink, Decimal(1006))
