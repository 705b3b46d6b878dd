"""Fifty browsers on the websocket while four exchanges with 500 symbols each change every rate once a second.

The bot's side is a bot with rates only; the browsers are in a process of their own, as browsers are. What is measured:
how late the bot's loop is with and without them, how old what they get is, and what the server needs.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import aiohttp
from tests.dashboard.serving import browsing

from fundingarb.domain.hedge import Hedge
from fundingarb.engine.clock import SystemClock
from fundingarb.ports import BotStatus, Events, ExchangeVital, MarketRow, MarketRows, Summary, Vitals

__all__ = ["crowd"]

EXCHANGES = ("binance", "bybit", "okx", "dydx")
SYMBOLS = 500
BROWSERS = 50
SLICES = 10
ZERO = Decimal(0)
HOUR = timedelta(hours=1)


class Silence:
    """Events of a bot to which nothing happens."""

    missed = 0

    async def get(self) -> Any:
        await asyncio.sleep(3600)

    def take(self) -> None:
        return None


class RatesOnly:
    """What the dashboard asks of a bot, with 2,000 rates of which a tenth changes ten times a second."""

    clock = SystemClock()
    killed = flattened = False
    foreign = ()
    owner = None
    not_flat: Sequence[Any] = ()

    def __init__(self) -> None:
        self._started = self.clock.now()
        self._next = self._started + HOUR
        self._slice = 0

    @contextmanager
    def events(self, size: int = 1000, *kinds: type) -> Iterator[Events]:
        yield Silence()

    def live_hedges(self) -> Sequence[Hedge]:
        return ()

    def market_rows(self, cursor: int = 0) -> MarketRows:
        now = self.clock.now().timestamp()
        self._slice = (self._slice + 1) % SLICES
        symbols = range(SYMBOLS) if cursor == 0 else range(self._slice, SYMBOLS, SLICES)
        rows = tuple(
            # The mark carries the moment it was made, so that whoever gets it knows how old it is.
            MarketRow(name, f"S{each}-USDT", 1e-4, 1e-4, 0.1, 8.0, self._next, 1e-4, now, 0.1, False)
            for name in EXCHANGES
            for each in symbols
        )
        return MarketRows(cursor + 1, rows, ())

    def status(self) -> BotStatus:
        return BotStatus("RUNNING", "localnet", self._started, None, (), {}, 0, "nothing")

    def vitals(self) -> Vitals:
        exchanges = tuple(ExchangeVital(name, True, 0.1, False, False, 0) for name in EXCHANGES)
        return Vitals(
            state="RUNNING", error=None, ready=True, entries_off=None, loop_lag=None, streams=(),
            exchanges=exchanges, accounts=(), order_latency_p50_ms=None, order_latency_p99_ms=None, orders_timed=0,
            unhedged_usd=ZERO, unhedged_seconds=0.0, settlements_booked=0, settlements_expected=0,
            liquidation_distance=None, database=None, lease_fresh=True, config_revision=1,
        )  # fmt: skip

    async def summary(self) -> Summary:
        return Summary(ZERO, ZERO, ZERO, ZERO, ZERO, 0, 0, 0, None)


async def crowd(seconds: float, browsers: int = BROWSERS) -> dict[str, Any]:
    """Measure for ``seconds`` without and for ``seconds`` with the browsers, one of which does not read."""
    async with browsing(RatesOnly()) as browser:
        await browser.login()
        alone = await _lag(seconds)
        before = _resident()
        context = multiprocessing.get_context("spawn")
        results: Any = context.Queue()
        process = context.Process(
            target=_browsers, args=(browser.url, browser.cookie, browsers, seconds + 4, results), daemon=True
        )
        process.start()
        await asyncio.sleep(4)
        cpu, began = time.process_time(), time.monotonic()
        crowded = await _lag(seconds)
        used = (time.process_time() - cpu) / (time.monotonic() - began)
        resident = _resident()
        ages, frames = await asyncio.to_thread(results.get, True, 60)
        await asyncio.to_thread(process.join, 20)
    ages.sort()
    return {
        "browsers": browsers,
        "rows_a_second": len(EXCHANGES) * SYMBOLS,
        "frames": frames,
        "delivery_p50_ms": _ms(ages, 0.5),
        "delivery_p99_ms": _ms(ages, 0.99),
        "lag_p99_ms_alone": _ms(alone, 0.99),
        "lag_p99_ms_crowded": _ms(crowded, 0.99),
        "added_lag_p99_ms": round(_ms(crowded, 0.99) - _ms(alone, 0.99), 2),
        "cpu_cores": round(used, 2),
        "resident_mib_added": round((resident - before) / 1024, 1),
    }


def _ms(sorted_seconds: Sequence[float], part: float) -> float:
    if not sorted_seconds:
        return float("nan")
    return round(sorted_seconds[min(len(sorted_seconds) - 1, int(len(sorted_seconds) * part))] * 1000, 2)


async def _lag(seconds: float) -> list[float]:
    """How late this loop, which is the bot's, wakes up; sorted."""
    found = []
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (now := loop.time()) < until:
        await asyncio.sleep(0.005)
        found.append(max(0.0, loop.time() - now - 0.005))
    return sorted(found)


def _resident() -> int:
    with open(f"/proc/{os.getpid()}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def _browsers(url: str, cookie: str, browsers: int, seconds: float, results: Any) -> None:
    """The other process."""
    results.put(asyncio.run(_watch(url, cookie, browsers, seconds)))


async def _watch(url: str, cookie: str, browsers: int, seconds: float) -> tuple[list[float], int]:
    headers = {"Origin": url, "Cookie": f"fundingarb_{url.rpartition(':')[2]}={cookie}"}
    ages: list[float] = []
    frames = 0

    async def one(number: int, http: aiohttp.ClientSession) -> None:
        nonlocal frames
        async with http.ws_connect(f"{url}/api/ws", headers=headers, max_msg_size=0) as socket:
            if number == 0:  # the slow one
                await asyncio.sleep(seconds)
                return
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                frames += 1
                arrived = datetime.now(timezone.utc).timestamp()
                if number == 1:  # decoding fifty times would measure this process
                    events = json.loads(message.data)
                    ages.extend(
                        arrived - event["data"]["mark"]
                        for event in events
                        if event["type"] == "FUNDING_RATE_UPDATE"
                    )

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(one(number, http) for number in range(browsers)), return_exceptions=True)
    return ages, frames
