"""What making an order durable costs, against a raw sqlite3 insert (WAL, synchronous FULL) in the same run.

Through the store as the engine uses it: an event loop hands a batch to the writer thread and waits until it is on disk.
The figures: one order, a new hedge with both of its orders, and eight orders that are committed at the same time.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fundingarb.domain.hedge import Hedge, Intent, LegPlan, Mode, OrderRecord, next_order
from fundingarb.domain.instrument import Instrument, Side
from fundingarb.domain.order import Purpose, TimeInForce
from fundingarb.engine.clock import SystemClock
from fundingarb.ports import Batch
from fundingarb.store import SqlStore, open_store

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.postgres import running_server

ROUNDS = 300
WARM_UP = 20
CLOCK = SystemClock()
BODY = "x" * 300


def instrument(exchange: str, symbol: str) -> Instrument:
    step = Decimal("0.001")
    return Instrument(
        exchange, symbol, symbol, "BTC", "USDT", Decimal("0.1"), step, step, Decimal(5), timedelta(hours=8)
    )


def new_hedge() -> tuple[Intent, OrderRecord, OrderRecord]:
    """A hedge that was just decided on, with the first order of each leg."""
    now, symbol = CLOCK.now(), f"S{uuid4().hex[:8]}-USDT"
    long = LegPlan(Side.LONG, "binance", instrument("binance", symbol), 5)
    short = LegPlan(Side.SHORT, "bybit", instrument("bybit", symbol), 5)
    intent = Intent(
        uuid4(), "benc", symbol, Mode.OPENING, Decimal("0.25"), long, short, Side.LONG,
        now + timedelta(seconds=30), Decimal("-0.0001"), Decimal("0.00031"), now,
    )  # fmt: skip
    price = Decimal("60000.1")
    first, second = (
        next_order(
            Hedge(intent), side, Purpose.HEDGE, intent.quantity, price, TimeInForce.IOC, price - 1, now
        )
        for side in Side
    )
    return intent, first, second


def orders_of(record: OrderRecord) -> Iterator[OrderRecord]:
    """More and more orders like ``record``."""
    number = 0
    while True:
        number += 1
        yield replace(record, client_id=f"{record.client_id[:20]}{number:08d}", attempt=number)


async def measure(paths: dict[str, Callable[[], Awaitable[None]]]) -> dict[str, float]:
    """Median seconds of each path, one of each per round, so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(ROUNDS + WARM_UP):
        for name, path in paths.items():
            started = time.perf_counter()
            await path()
            if number >= WARM_UP:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def raw_insert(folder: Path) -> Callable[[], Awaitable[None]]:
    """The floor: one row, one transaction, one sync to disk, nothing else."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE intents (client_id TEXT PRIMARY KEY, body TEXT NOT NULL)")
    numbers = iter(range(10**9))

    async def insert() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO intents VALUES (?, ?)", (f"fabenc{next(numbers):020d}", BODY))
        connection.execute("COMMIT")

    return insert


async def paths_of(store: SqlStore, name: str) -> dict[str, Callable[[], Awaitable[None]]]:
    intent, first, _ = new_hedge()
    await store.commit(Batch(intents=(intent,)))
    orders = orders_of(first)

    async def one() -> None:
        await store.commit(Batch(orders=(next(orders),)))

    async def hedge() -> None:
        new, long, short = new_hedge()
        await store.commit(Batch(intents=(new,), orders=(long, short)))

    async def eight() -> None:
        await asyncio.gather(*[store.commit(Batch(orders=(next(orders),))) for _ in range(8)])

    return {f"{name}-order": one, f"{name}-hedge": hedge, f"{name}-eight-orders": eight}


GOALS = {
    "sqlite-order": 1.5,
    "sqlite-eight-orders": 2.5,
    "postgresql-order": 2.0,
}


async def run(folder: Path, postgres: str | None) -> list[dict[str, Any]]:
    async with AsyncExitStack() as stack:
        sqlite = await stack.enter_async_context(open_store(f"sqlite:///{folder}/bench.db", CLOCK))
        paths = {"floor": raw_insert(folder), **await paths_of(sqlite, "sqlite")}
        if postgres is not None:
            server = await stack.enter_async_context(open_store(postgres, CLOCK))
            paths |= await paths_of(server, "postgresql")
        medians = await measure(paths)
    floor = medians.pop("floor")
    return [
        {
            "path": f"commit-{name}",
            "floor_ms": round(floor * 1000, 3),
            "ms": round(seconds * 1000, 3),
            "ratio": round(seconds / floor, 2),
            "goal": GOALS.get(name),
        }
        for name, seconds in medians.items()
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with running_server(durable=True) as server:
                results = asyncio.run(run(folder, server.new_database()))
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            print(json.dumps({"path": "commit-postgresql", "skipped": str(missing)}), flush=True)
            results = asyncio.run(run(folder, None))
        for result in results:
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
