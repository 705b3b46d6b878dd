"""The exchanges of a campaign: localnets in a process of their own, with a witness beside them.

The witness watches the truth from inside: the simulation's monitor judges every order as an exchange takes it, against
what the bot's database holds at that moment (read on a connection of its own), and how long anything stays unhedged.
The bot is the process that started this one. The witness also counts connections and cuts them when asked to.
``python -m tests.campaigns.wire.venue --ready FILE ...`` serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import anyio
from aiohttp import web
from tests.campaigns.wire.names import Names
from tests.campaigns.wire.registry import SqlRegistry

from fundingarb.app import Surroundings, surroundings
from fundingarb.domain.control import FlattenOrder
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import OrderRecord
from fundingarb.localnet.faults import FaultKind
from fundingarb.localnet.installed import installed_dialects
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.models.seeded import DEFAULT_START, SeededModel
from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb.localnet.serve import write_ready
from fundingarb.localnet.server import listen, serve_app
from fundingarb.localnet.streams import Session
from fundingarb.simulation.exposure import Excuse
from fundingarb.simulation.monitor import Limits, Monitor

STARTUP = 60.0
BALANCE = Decimal(1_000_000)
#: Real seconds that a bot may take to notice that an exchange answers again: its circuit breaker probes so often.
AFTER_OUTAGE = 5.0

_MAJORS = {"BTC": 94_000.0, "ETH": 3_250.0, "SOL": 186.0, "XRP": 2.15}
_OTHERS = {
    "DOGE": 0.318, "LINK": 21.4, "AVAX": 37.2, "WIF": 1.92, "ORDI": 24.6, "ADA": 0.87, "LTC": 103.0, "DOT": 7.1,
    "UNI": 13.4, "ATOM": 6.6, "APT": 9.3, "ARB": 0.76, "OP": 1.84, "INJ": 22.7, "SUI": 4.1, "TIA": 5.2, "SEI": 0.41,
    "NEAR": 5.3, "FIL": 5.6, "AAVE": 310.0,
}  # fmt: skip
SYMBOLS = (
    ModelSymbol("PEPE-USDT", "PEPE", "USDT", 0.0000184, multiplier=1000),
    *(ModelSymbol(f"{base}-USDT", base, "USDT", price, major=True) for base, price in _MAJORS.items()),
    ModelSymbol("BONK-USDT", "BONK", "USDT", 0.0000291, multiplier=1000),
    *(ModelSymbol(f"{base}-USDT", base, "USDT", price) for base, price in _OTHERS.items()),
)
"""What is listed on every exchange: majors, smaller ones, and two that are listed by the thousand."""


def kind_of(session: Session) -> str:
    """What a connection is for: ``rates``, ``books`` or ``account``; empty while it has asked for nothing."""
    if session.account is not None:
        return "account"
    if not session.topics:
        return ""
    return "books" if any("depth" in topic or "book" in topic for topic in session.topics) else "rates"


class Starved:
    """Seconds for which processes were ready to run and no processor was given to them, by the kernel's account.

    On a busy machine that is most of the time; it says nothing of the bot. Linux only, elsewhere always 0.
    """

    def __init__(self, *processes: int) -> None:
        self._files = [Path(f"/proc/{process}/schedstat") for process in processes]
        self._before = [self._waited(file) for file in self._files]

    def __call__(self) -> float:
        """Since the last call, of the process that waited longest."""
        now = [self._waited(file) for file in self._files]
        found = max(after - before for after, before in zip(now, self._before, strict=True))
        self._before = now
        return found

    @staticmethod
    def _waited(file: Path) -> float:
        try:
            return int(file.read_text().split()[1]) / 1e9
        except OSError:
            return 0.0


class LateRegistry:
    """The bot's order registry, read from its database once there is one."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._rows: SqlRegistry | None = None

    def _opened(self) -> SqlRegistry | None:
        if self._rows is None and self._database.exists():
            self._rows = SqlRegistry(f"sqlite:///{self._database}")
        return self._rows

    def order(self, client_id: str) -> OrderRecord | None:
        rows = self._opened()
        return None if rows is None else rows.order(client_id)

    def flatten(self, client_id: str) -> FlattenOrder | None:
        rows = self._opened()
        return None if rows is None else rows.flatten(client_id)

    def under_way(self, symbol: str) -> Collection[str]:
        rows = self._opened()
        return () if rows is None else rows.under_way(symbol)

    def names(self) -> Collection[str]:
        rows = self._opened()
        return () if rows is None else rows.names()


@dataclass
class Witness:
    """What was seen inside: broken invariants, connections that were opened and cut."""

    net: Localnet
    database: Path
    opened: dict[str, list[float]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    outages: dict[str, float] = field(default_factory=dict)
    """Until when (real, monotonic) an exchange that was banned or in maintenance counts as unreachable."""

    def watch(self) -> None:
        """Subscribe to every truth and to every connection that is opened."""
        truths = {name: venue.truth for name, venue in self.net.venues.items()}
        registry = LateRegistry(self.database)
        names = Names(registry.names)
        self.monitor = Monitor(
            truths,
            registry,
            speed=self.net.clock.speed,
            reachable=self.reachable,
            starved=Starved(os.getpid(), os.getppid()),
            named=lambda order: names.of(order.client_id, order.extra),
            market_orders=lambda exchange: exchange != "dydx",
            limits=Limits(proof=60.0),  # questions wait for budgets and connections here
        )
        for name, venue in self.net.venues.items():
            add = venue.hub.add

            def note(session: Session, name: str = name, add: Any = add) -> None:
                self.opened.setdefault(f"{name}{session.request.path}", []).append(round(time.monotonic(), 3))
                add(session)

            venue.hub.add = note  # type: ignore[method-assign]

    async def look(self) -> None:
        """Let the monitor see time pass; runs until cancelled."""
        while True:
            self.monitor.look(datetime.fromtimestamp(self.net.clock.now(), timezone.utc))
            await anyio.sleep(0.1)

    def reachable(self, exchange: str) -> bool:
        """Whether the exchange answers; not while it bans us, is in maintenance or makes no blocks, nor right after."""
        for fault in self.net.venues[exchange].faults.faults:
            if fault.kind in (FaultKind.MAINTENANCE, FaultKind.BANNED, FaultKind.CHAIN_STALL):
                self.outages[exchange] = time.monotonic() + AFTER_OUTAGE
        return time.monotonic() > self.outages.get(exchange, 0.0)

    def alert(self, body: dict[str, Any]) -> None:
        """The bot delivered an alert."""
        hedge = body["hedge"]
        self.monitor.alert(
            Alert(
                Severity(body["severity"]),
                body["title"],
                tuple(body["lines"]),
                datetime.fromisoformat(body["at"]),
                UUID(hedge) if hedge else None,
            )
        )

    def drop(self, stream: str) -> int:
        """Cut every connection of ``binance.books`` and the like; how many there were."""
        exchange, _, kind = stream.partition(".")
        cut = [one for one in self.net.venues[exchange].hub.sessions if kind_of(one) == kind]
        for session in cut:
            session.drop()
        self.dropped[stream] += len(cut)
        return len(cut)

    def report(self) -> dict[str, Any]:
        return {
            "invariants": [str(breach) for breach in self.monitor.breaches],
            "naked": self._naked(),
            "problems": [f"{type(one).__name__}: {one}" for one in self.net.problems],
            "opened": self.opened,
            "dropped": dict(self.dropped),
            "streams": [
                f"{name}.{kind_of(one)}"
                for name, venue in self.net.venues.items()
                for one in venue.hub.sessions
            ],
            "units": {
                name: {
                    key: str(one.contract_size * one.multiplier)
                    for key, one in venue.truth.instruments.items()
                }
                for name, venue in self.net.venues.items()
            },
            "tolerance": self._tolerances(),
        }

    def _naked(self) -> dict[str, Any]:
        """Times (real seconds, excused ones left out) for which something was unhedged, as the monitor counts them."""
        episodes = self.monitor.episodes
        return {
            "oldest": [round(one.oldest, 3) for one in episodes],
            "excused": {
                excuse.value: round(sum(one.excused.get(excuse, 0.0) for one in episodes), 1)
                for excuse in Excuse
            },
            "worst_usd": str(round(max((one.worst_usd for one in episodes), default=Decimal(0)), 2)),
        }

    def _tolerances(self) -> dict[str, str]:
        """Symbol -> base quantity that cannot be hedged: the largest lot, or what is below a minimum order value."""
        found: dict[str, Decimal] = {}
        for venue in self.net.venues.values():
            for key, one in venue.truth.instruments.items():
                unit = one.contract_size * one.multiplier
                least = one.min_notional * one.multiplier / venue.truth.mark(key)
                lot = max(one.lot, one.min_quantity) * unit
                found[one.symbol] = max(found.get(one.symbol, Decimal(0)), lot, least + lot)
        return {symbol: str(quantity) for symbol, quantity in found.items()}

    def app(self) -> web.Application:
        """``GET /witness``, ``POST /alert`` and ``POST /drop``."""
        app = web.Application()

        async def witness(request: web.Request) -> web.Response:
            return web.json_response(self.report())

        async def drop(request: web.Request) -> web.Response:
            return web.json_response({"dropped": self.drop((await request.json())["stream"])})

        async def alert(request: web.Request) -> web.Response:
            self.alert(await request.json())
            return web.json_response({})

        app.router.add_get("/witness", witness)
        app.router.add_post("/alert", alert)
        app.router.add_post("/drop", drop)
        return app


async def serve(arguments: argparse.Namespace) -> None:
    exchanges = arguments.exchanges.split(",")
    symbols = SYMBOLS[: arguments.symbols] if arguments.symbols else SYMBOLS
    start = DEFAULT_START
    model = SeededModel(arguments.seed, exchanges=exchanges, symbols=symbols, start=start)
    options = Options(seed=arguments.seed, speed=arguments.speed, start=start, balance=BALANCE)
    async with (
        installed_dialects(exchanges) as dialects,
        run_localnets(dialects, options, model=model) as net,
    ):
        witness = Witness(net, arguments.database)
        witness.watch()
        async with (
            serve_app(witness.app(), listen(0, "the witness")) as address,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(witness.look)
            write_ready(arguments.ready, {**net.ready, "witness": f"http://{address}"})
            await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
            tasks.cancel_scope.cancel()


class Venues:
    """The process from outside: where the bot finds the exchanges, the control API, the witness."""

    def __init__(self, document: dict[str, Any], session: aiohttp.ClientSession) -> None:
        self.document = document
        self.around: Surroundings = surroundings(document)
        self._session = session

    @property
    def exchanges(self) -> list[str]:
        return list(self.document["exchanges"])

    @property
    def speed(self) -> float:
        return float(self.document["clock"]["speed"])

    async def get(self, path: str) -> Any:
        """The control API's answer."""
        async with self._session.get(f"{self.document['control']}{path}") as response:
            return await response.json()

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The control API's answer; ``{"error": ...}`` when it says no."""
        async with self._session.post(f"{self.document['control']}{path}", json=body) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def witness(self) -> dict[str, Any]:
        async with self._session.get(f"{self.document['witness']}/witness") as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def alert(self, alert: Alert) -> None:
        """Tell the monitor what the bot told its user."""
        body = {
            "severity": alert.severity.value,
            "title": alert.title,
            "lines": alert.lines,
            "at": alert.at.isoformat(),
            "hedge": str(alert.hedge_id) if alert.hedge_id else None,
        }
        async with self._session.post(f"{self.document['witness']}/alert", json=body) as response:
            await response.read()

    async def drop(self, stream: str) -> int:
        async with self._session.post(
            f"{self.document['witness']}/drop", json={"stream": stream}
        ) as response:
            return int((await response.json())["dropped"])


@asynccontextmanager
async def run_venues(
    folder: Path, exchanges: Sequence[str], *, seed: int, speed: float, symbols: int = 0
) -> AsyncIterator[Venues]:
    """The exchanges in a process of their own, ended on the way out. The bot's database is ``folder/bot.db``."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "tests.campaigns.wire.venue", "--ready", str(ready)]
    command += ["--database", str(folder / "bot.db"), "--exchanges", ",".join(exchanges)]
    command += ["--seed", str(seed), "--speed", str(speed), "--symbols", str(symbols)]
    log = folder / "venues.log"
    with log.open("wb") as output:
        process = await anyio.open_process(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
    try:
        with anyio.fail_after(STARTUP):
            while not ready.exists():
                if process.returncode is not None:
                    raise RuntimeError(f"the exchanges did not start: {log.read_text(errors='replace')}")
                await anyio.sleep(0.05)
        async with aiohttp.ClientSession() as session:
            yield Venues(json.loads(ready.read_text()), session)
    finally:
        with anyio.CancelScope(shield=True):
            if process.stdin is not None:
                await process.stdin.aclose()
            with anyio.move_on_after(10.0):
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ready", type=Path, required=True)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--exchanges", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--symbols", type=int, default=0)
    anyio.run(serve, parser.parse_args())


if __name__ == "__main__":
    main()
