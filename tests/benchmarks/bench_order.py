"""From a raw frame to both legs acknowledged, against two raw signed POSTs to the same server in the same run.

One order decided on and sent through the production adapter (floor: a raw aiohttp POST with an HMAC signature), and
the whole path - a raw mark-price frame decoded, the best pair found, the hedge and its two orders made durable in one
commit, both orders sent at once and acknowledged. The whole path has two lines with the same time of ours. The floor
of the first is two raw POSTs at once, without a commit, so that its ratio grows with the time the disk takes; that of
the second also commits three rows with raw sqlite3 (WAL, synchronous FULL) before the POSTs, in a file beside ours.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import multiprocessing
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

import aiohttp
from aiohttp import web

from fundingarb.domain.hedge import Hedge, Intent, LegPlan, Mode, OrderRecord, next_order
from fundingarb.domain.instrument import Instrument, Side
from fundingarb.domain.market import RateBook
from fundingarb.domain.order import NewOrder, OrderState, Purpose, TimeInForce
from fundingarb.engine.clock import SystemClock
from fundingarb.plugins import load_plugins
from fundingarb.ports import AccountCredentials, Batch, OpenContext, Secret
from fundingarb.store import open_store
from fundingarb_binance.stream import MarkPriceDecoder

ROUNDS = 60
BATCH = 5
KEY, SECRET = "k" * 64, "s" * 64
CLOCK = SystemClock()

FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "1000000", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
    {"filterType": "MIN_NOTIONAL", "notional": "5"},
]
LISTED = {
    "timezone": "UTC", "serverTime": 0, "rateLimits": [], "assets": [], "exchangeFilters": [],
    "symbols": [{
        "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
        "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3, "underlyingType": "COIN",
        "maintMarginPercent": "2.5", "requiredMarginPercent": "5.0", "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"], "filters": FILTERS,
    }],
}  # fmt: skip


def serve(port: Any) -> None:
    """A server that takes any order: the exchange's share of the time, the same for floor and candidate."""

    async def order(request: web.Request) -> web.Response:
        fields = {**parse_qs(await request.text()), **parse_qs(request.query_string)}
        answer = {
            "orderId": 1, "symbol": fields["symbol"][0], "status": "NEW",
            "clientOrderId": fields["newClientOrderId"][0],
            "price": fields["price"][0],
            "avgPrice": "0.00", "origQty": fields["quantity"][0], "executedQty": "0.000",
            "cumQty": "0.000", "cumQuote": "0.00000", "timeInForce": "GTC", "type": "LIMIT", "reduceOnly": False,
            "closePosition": False, "side": fields["side"][0], "positionSide": "BOTH", "stopPrice": "0.00",
            "workingType": "CONTRACT_PRICE", "priceProtect": False, "origType": "LIMIT", "updateTime": 1700000000000,
        }  # fmt: skip
        return web.json_response(answer)

    async def info(request: web.Request) -> web.Response:
        return web.json_response(LISTED)

    async def nothing(request: web.Request) -> web.Response:
        return web.json_response([])

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/fapi/v1/order", order)
        app.router.add_get("/fapi/v1/exchangeInfo", info)
        app.router.add_get("/fapi/v1/fundingInfo", nothing)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port.put(site._server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    asyncio.run(main())


def plan(side: Side, instrument: Instrument) -> LegPlan:
    return LegPlan(side, f"binance-{side.value.lower()}", instrument, 5)


def fresh_hedge(instrument: Instrument) -> Hedge:
    """A hedge about to send both legs."""
    now = CLOCK.now()
    return Hedge(
        Intent(
            uuid4(), "benc", f"S{uuid4().hex[:8]}-USDT", Mode.OPENING, Decimal("0.01"), plan(Side.LONG, instrument),
            plan(Side.SHORT, instrument), Side.LONG, now + timedelta(minutes=1), Decimal(0), Decimal("0.001"), now,
        )
    )  # fmt: skip


def order_of(hedge: Hedge, side: Side) -> OrderRecord:
    """The first order of one leg."""
    price = Decimal("50000.1")
    return next_order(hedge, side, Purpose.HEDGE, Decimal("0.01"), price, TimeInForce.IOC, price, CLOCK.now())


def wire(record: OrderRecord) -> NewOrder:
    return NewOrder(
        record.client_id,
        "BTC-USDT",
        record.side,
        record.quantity,
        record.price,
        record.time_in_force,
        record.reduce_only,
    )


async def measure(**paths: Callable[[], Awaitable[None]]) -> dict[str, float]:
    """Median seconds of each path, rounds interleaved."""
    times: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(ROUNDS + 5):
        for name, path in paths.items():
            started = time.perf_counter()
            for _ in range(BATCH):
                await path()
            if number >= 5:
                times[name].append((time.perf_counter() - started) / BATCH)
    return {name: statistics.median(values) for name, values in times.items()}


async def run(port: int, folder: Path) -> list[dict[str, Any]]:
    base = f"http://127.0.0.1:{port}"
    adapters = load_plugins().exchanges["binance"].component
    endpoints = {
        "fapi": base,
        "sapi": base,
        "spot": base,
        "stream": "ws://x",
        "ws": "ws://x",
        "ws_api": "ws://x",
    }
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        store = await stack.enter_async_context(open_store(f"sqlite:///{folder}/bench.db", CLOCK))
        legs = []
        for name in ("binance-long", "binance-short"):
            credentials = AccountCredentials(name, {"api_key": Secret(KEY), "api_secret": Secret(SECRET)})
            context = OpenContext("binance", CLOCK, "localnet", credentials, ("BTC-USDT",), endpoints)
            legs.append(await stack.enter_async_context(adapters.open(adapters.settings(), context)))
        (instrument,) = await legs[0].get_instruments()
        await legs[1].get_instruments()
        numbers = iter(range(10**9))

        async def raw_post() -> None:
            query = urlencode({
                "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "50000.1",
                "timeInForce": "IOC", "newClientOrderId": f"raw{next(numbers)}", "timestamp": int(time.time() * 1000),
            })  # fmt: skip
            signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
            url = f"{base}/fapi/v1/order?{query}&signature={signature}"
            async with session.post(url, headers={"X-MBX-APIKEY": KEY}) as response:
                json.loads(await response.read())

        async def two_raw_posts() -> None:
            await asyncio.gather(raw_post(), raw_post())

        commit = raw_commit(folder)

        async def commit_and_two_raw_posts() -> None:
            commit()
            await two_raw_posts()

        async def one_order() -> None:
            report = await legs[0].place_order(wire(order_of(fresh_hedge(instrument), Side.LONG)))
            assert report.state is OrderState.OPEN

        book = RateBook([instrument])
        other = book.add(Instrument("other", "BTC-USDT", "BTC", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"),
                                    Decimal("0.001"), Decimal(5), timedelta(hours=8)))  # fmt: skip
        book.update(other, -0.001, time.time() + 3600, time.time())
        decoder = MarkPriceDecoder(book, {"BTCUSDT": 0}, now=CLOCK.time)

        async def whole_path() -> None:
            rate = f"0.000{next(numbers) % 9000 + 1000}"
            decoder.decode(frame(rate))
            best = book.best("BTC-USDT")
            assert best == (other, 0)
            hedge = fresh_hedge(instrument)
            long, short = order_of(hedge, Side.LONG), order_of(hedge, Side.SHORT)
            await store.commit(Batch(intents=(hedge.intent,), orders=(long, short)))
            await asyncio.gather(legs[0].place_order(wire(long)), legs[1].place_order(wire(short)))
            over = hedge.intent.edit(mode=Mode.DONE, closed_at=CLOCK.now())
            done.append(over)

        done: list[Intent] = []
        single = await measure(floor=raw_post, ours=one_order)
        double = await measure(posts=two_raw_posts, durable=commit_and_two_raw_posts, ours=whole_path)
        ours = double["ours"]
        return [
            line("order-acknowledged", single["floor"], single["ours"], 1.3),
            line("frame-to-both-legs-acknowledged", double["posts"], ours, 1.9),
            line("frame-to-both-legs-acknowledged, raw commit in the floor", double["durable"], ours, None),
        ]


def raw_commit(folder: Path) -> Callable[[], None]:
    """Three rows, one transaction, one sync to disk: as durable as the store's commit, and nothing else."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE intents (client_id TEXT PRIMARY KEY, body TEXT NOT NULL)")
    numbers = iter(range(10**9))

    def commit() -> None:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            connection.execute(
                "INSERT INTO intents VALUES (?, ?)", (f"fabenc{next(numbers):020d}", "x" * 300)
            )
        connection.execute("COMMIT")

    return commit


def frame(rate: str) -> bytes:
    """One mark-price frame with one symbol."""
    now = int(time.time() * 1000)
    mark = {"e": "markPriceUpdate", "E": now, "s": "BTCUSDT", "p": "50000.10000000", "P": "50001.00000000",
            "i": "50000.00000000", "r": rate, "T": now + 3_600_000}  # fmt: skip
    return json.dumps([mark]).encode()


def line(path: str, floor: float, ours: float, goal: float | None) -> dict[str, Any]:
    return {
        "path": path,
        "floor_ms": round(floor * 1000, 3),
        "ms": round(ours * 1000, 3),
        "ratio": round(ours / floor, 2),
        "goal": goal,
    }


def main() -> None:
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    server = context.Process(target=serve, args=(ports,), daemon=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for result in asyncio.run(run(ports.get(timeout=30), Path(folder))):
                print(json.dumps(result), flush=True)
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
