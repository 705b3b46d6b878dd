"""What a tick costs: decoding frames, from a tick to the best pair, receiving over a websocket.

Floors timed in the same run, rounds interleaved, medians: ``orjson.loads`` of the same frames for decoding and for the
way from tick to opportunity, a bare aiohttp loop with a typed msgspec decode for receiving.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import anyio
import msgspec
import orjson
from aiohttp import web

from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import RateBook
from fundingarb.exchanges.stream import Connection, Subscription, run_stream
from fundingarb.testing import StreamLog
from fundingarb_binance.stream import MarkPrice, MarkPriceDecoder, PricedMarkPrice
from fundingarb_bybit.stream import TickerDecoder, TickerFrame

SYMBOLS = 500
ROUNDS = 41
SETTLEMENT = 1_800_000_000_000
EIGHT_HOURS = timedelta(hours=8)


def instrument(exchange: str, symbol: str) -> Instrument:
    base = symbol.removesuffix("-USDT")
    tick, lot = Decimal("0.1"), Decimal("0.001")
    return Instrument(exchange, symbol, f"{base}USDT", base, "USDT", tick, lot, lot, Decimal(5), EIGHT_HOURS)


def names() -> list[str]:
    return [f"C{number:03d}-USDT" for number in range(SYMBOLS)]


def rate_book(exchange: str) -> RateBook:
    """A book of 500 symbols on ``exchange`` and on another one that has rates already."""
    book = RateBook([instrument(exchange, name) for name in names()])
    for name in names():
        row = book.add(instrument("other", name))
        book.update(row, 0.0001, SETTLEMENT / 1000, 0.0)
    return book


def mark_price_frame(rng: random.Random) -> bytes:
    """One frame of ``!markPrice@arr`` in the documented format; every rate and price drawn anew."""
    updates = []
    for number in range(SYMBOLS):
        price = rng.uniform(0.01, 60000.0)
        updates.append(
            {
                "e": "markPriceUpdate",
                "E": SETTLEMENT - 3_600_000 + rng.randrange(1000),
                "s": f"C{number:03d}USDT",
                "p": f"{price:.8f}",
                "P": f"{price * 1.0001:.8f}",
                "i": f"{price * 0.9999:.8f}",
                "r": f"{rng.uniform(-0.0005, 0.0005):.8f}",
                "T": SETTLEMENT,
            }
        )
    return json.dumps(updates, separators=(",", ":")).encode()


def with_rates_of(frame: bytes, other: bytes) -> bytes:
    """``frame`` with the rates of ``other``: prices moved, rates did not."""
    updates, kept = json.loads(frame), json.loads(other)
    for update, old in zip(updates, kept, strict=True):
        update["r"] = old["r"]
    return json.dumps(updates, separators=(",", ":")).encode()


def ticker_delta(rng: random.Random, number: int, *, priced: bool) -> bytes:
    """One delta of ``tickers.X`` in the documented format; ``priced`` ones carry mark, index and rate."""
    price = rng.uniform(100.0, 60000.0)
    data: dict[str, str] = {
        "symbol": f"C{number:03d}USDT",
        "tickDirection": "PlusTick",
        "lastPrice": f"{price:.2f}",
    }
    if priced:
        data |= {
            "markPrice": f"{price:.2f}",
            "indexPrice": f"{price * 0.9999:.2f}",
            "openInterestValue": f"{price * 50000:.2f}",
            "fundingRate": f"{rng.uniform(-0.0005, 0.0005):.8f}",
            "nextFundingTime": str(SETTLEMENT),
        }
    data |= {
        "volume24h": "49337318",
        "bid1Price": f"{price:.2f}",
        "bid1Size": "2.1",
        "ask1Price": f"{price:.2f}",
        "ask1Size": "1.3",
    }
    frame = {
        "topic": f"tickers.{data['symbol']}",
        "type": "delta",
        "data": data,
        "cs": 24987956059,
        "ts": 1673272861686,
    }
    return json.dumps(frame, separators=(",", ":")).encode()


def medians(rounds: int, **paths: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each path, rounds interleaved, the first ones thrown away."""
    times: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(rounds + 5):
        for name, path in paths.items():
            started = time.perf_counter()
            path()
            if number >= 5:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def line(path: str, seconds: float, floor: float, updates: int, goal: float | None) -> dict[str, Any]:
    """One result, per update."""
    return {
        "path": path,
        "floor_ms": round(floor / updates * 1e3, 6),
        "ms": round(seconds / updates * 1e3, 6),
        "ratio": round(seconds / floor, 2),
        "goal": goal,
    }


def opportunities(book: RateBook) -> int:
    """What follows a frame: the symbols that changed, their best pair and its spread."""
    found = 0
    for symbol in book.take_changed():
        pair = book.best(symbol)
        if pair is not None and book.spread(*pair) > 0.0:
            found += 1
    return found


def binance() -> Iterator[dict[str, Any]]:
    rng = random.Random(1)
    frames = [mark_price_frame(rng) for _ in range(8)]
    still = [with_rates_of(frame, frames[0]) for frame in frames]
    typed = msgspec.json.Decoder(list[MarkPrice]).decode
    priced = msgspec.json.Decoder(list[PricedMarkPrice], strict=False).decode
    turn = iter(range(10**9))

    def tick(source: list[bytes], price_seconds: float) -> Callable[[], object]:
        book = rate_book("binance")
        rows = {name.replace("-", ""): row for row, name in enumerate(names())}
        decoder = MarkPriceDecoder(book, rows, now=time.time, price_seconds=price_seconds)

        def run() -> int:
            decoder.decode(source[next(turn) % 8])
            return opportunities(book)

        return run

    result = medians(
        ROUNDS,
        floor=lambda: orjson.loads(frames[next(turn) % 8]),
        rates=lambda: typed(frames[next(turn) % 8]),
        prices=lambda: priced(frames[next(turn) % 8]),
        changed=tick(frames, math.inf),
        unchanged=tick(still, math.inf),
        kept=tick(frames, 0.0),
    )
    floor = result["floor"]
    yield line("binance-mark-price-decode", result["rates"], floor, SYMBOLS, 0.6)
    yield line("binance-mark-price-decode-with-prices", result["prices"], floor, SYMBOLS, None)
    yield line("binance-tick-to-opportunity-changed", result["changed"], floor, SYMBOLS, 2.0)
    yield line("binance-tick-to-opportunity-unchanged", result["unchanged"], floor, SYMBOLS, 0.7)
    yield line("binance-tick-to-opportunity-with-prices", result["kept"], floor, SYMBOLS, 2.5)


def bybit() -> Iterator[dict[str, Any]]:
    rng = random.Random(2)
    priced = [ticker_delta(rng, number, priced=True) for number in range(SYMBOLS)]
    plain = [ticker_delta(rng, number, priced=False) for number in range(SYMBOLS)]
    book = rate_book("bybit")
    decoder = TickerDecoder(
        book, {name.replace("-", ""): row for row, name in enumerate(names())}, now=time.time
    )

    def each(frames: list[bytes], work: Callable[[bytes], object]) -> Callable[[], object]:
        def run() -> None:
            for frame in frames:
                work(frame)

        return run

    typed = msgspec.json.Decoder(TickerFrame).decode
    result = medians(
        ROUNDS,
        priced_floor=each(priced, orjson.loads),
        typed=each(priced, typed),
        priced=each(priced, decoder.decode),
        plain_floor=each(plain, orjson.loads),
        plain=each(plain, decoder.decode),
    )
    yield line("bybit-ticker-delta-decode", result["typed"], result["priced_floor"], SYMBOLS, 0.6)
    yield line("bybit-ticker-delta-without-rate", result["plain"], result["plain_floor"], SYMBOLS, 0.6)
    yield line("bybit-ticker-delta-into-book", result["priced"], result["priced_floor"], SYMBOLS, None)


class _Bare(msgspec.Struct):
    topic: str


@asynccontextmanager
async def _server(frames: list[bytes]) -> AsyncIterator[str]:
    """Sends ``frames`` as fast as it can to whoever connects, then waits to be left."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await socket.receive()
        for frame in frames:
            await socket.send_frame(frame, aiohttp.WSMsgType.TEXT)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        yield f"ws://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


async def receiving() -> dict[str, Any]:
    """Small frames over loopback; server and client share the loop, so the server's share is in both figures."""
    rng = random.Random(4)
    frames = [ticker_delta(rng, number % SYMBOLS, priced=True) for number in range(4000)]
    bare: msgspec.json.Decoder[_Bare] = msgspec.json.Decoder(_Bare)
    async with _server(frames) as url, aiohttp.ClientSession() as session:

        async def floor() -> float:
            async with session.ws_connect(url) as socket:
                await socket.send_str("go")
                started = time.perf_counter()
                for _ in frames:
                    bare.decode((await socket.receive()).data)
                return time.perf_counter() - started

        async def ours() -> float:
            count, started, over = 0, 0.0, asyncio.Event()

            def take(frame: bytes) -> None:
                nonlocal count
                bare.decode(frame)
                count += 1
                if count == len(frames):
                    over.set()

            async def address() -> str:
                return url

            async def opened(connection: Connection) -> None:
                nonlocal started
                await connection.send("go")
                started = time.perf_counter()

            subscription = Subscription("bench", address, take, opened)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_stream, session, subscription, StreamLog())
                await over.wait()
                seconds = time.perf_counter() - started
                tasks.cancel_scope.cancel()
            return seconds

        seconds = await _interleaved(floor=floor, ours=ours)
    return line("websocket-receive-and-decode", seconds["ours"], seconds["floor"], len(frames), 1.2)


async def _interleaved(**paths: Callable[[], Awaitable[float]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(11):
        for name, path in paths.items():
            seconds = await path()
            if number:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    for part in (binance, bybit):
        for result in part():
            print(json.dumps(result), flush=True)
    print(json.dumps(asyncio.run(receiving())), flush=True)


if __name__ == "__main__":
    main()
