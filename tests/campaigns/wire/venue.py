"""The exchanges of a campaign: localnets in a process of their own, with a witness beside them.

The witness watches the truth from inside. Whenever an exchange takes an order it looks, through a connection of its
own, whether the bot's database already holds that order's row; it counts connections and cuts them when asked to.
``python -m tests.campaigns.wire.venue --ready FILE ...`` serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from aiohttp import web

from fundingarb.app import Surroundings, surroundings
from fundingarb.localnet.installed import installed_dialects
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.models.seeded import DEFAULT_START, SeededModel
from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb.localnet.serve import write_ready
from fundingarb.localnet.server import listen, serve_app
from fundingarb.localnet.streams import Session
from fundingarb.localnet.truth.events import Event, OrderChanged

STARTUP = 60.0
BALANCE = Decimal(1_000_000)

_MAJORS = {"BTC": 94_000.0, "ETH": 3_250.0, "SOL": 186.0, "XRP": 2.15}
_OTHERS = {
    "DOGE": 0.318, "LINK": 21.4, "AVAX": 37.2, "WIF": 1.92, "ORDI": 24.6, "ADA": 0.87, "LTC": 103.0, "DOT": 7.1,
    "UNI": 13.4, "ATOM": 6.6, "APT": 9.3, "ARB": 0.76, "OP": 1.84, "INJ": 22.7, "SUI": 4.1, "TIA": 5.2, "SEI": 0.41,
    "NEAR": 5.3, "FIL": 5.6, "AAVE": 310.0,
}  # fmt: skip
SYMBOLS = (
    *(ModelSymbol(f"{base}-USDT", base, "USDT", price, major=True) for base, price in _MAJORS.items()),
    *(ModelSymbol(f"{base}-USDT", base, "USDT", price) for base, price in _OTHERS.items()),
    ModelSymbol("PEPE-USDT", "PEPE", "USDT", 0.0000184, multiplier=1000),
    ModelSymbol("BONK-USDT", "BONK", "USDT", 0.0000291, multiplier=1000),
)
"""What is listed on every exchange: majors, smaller ones, and two that are listed by the thousand."""


def kind_of(session: Session) -> str:
    """What a connection is for: ``rates``, ``books`` or ``account``."""
    if session.account is not None:
        return "account"
    return "books" if any("depth" in topic or "book" in topic for topic in session.topics) else "rates"


@dataclass
class Witness:
    """What was seen inside: orders the database did not know, connections that were opened and cut."""

    net: Localnet
    database: Path
    unknown: list[str] = field(default_factory=list)
    opened: dict[str, list[float]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    _connection: sqlite3.Connection | None = None

    def watch(self) -> None:
        """Subscribe to every truth and to every connection that is opened."""
        for name, venue in self.net.venues.items():
            venue.truth.subscribe(lambda event, name=name: self._see(name, event))  # type: ignore[misc]
            add = venue.hub.add

            def note(session: Session, name: str = name, add: Any = add) -> None:
                self.opened.setdefault(f"{name}{session.request.path}", []).append(round(time.monotonic(), 3))
                add(session)

            venue.hub.add = note  # type: ignore[method-assign]

    def _see(self, exchange: str, event: Event) -> None:
        if not isinstance(event, OrderChanged) or event.execution != "NEW":
            return
        order = event.order
        if not (order.liquidation or order.adl) and not self._known(order.client_id):
            self.unknown.append(f"{exchange} {order.account} {order.instrument} {order.client_id}")

    def _known(self, client_id: str) -> bool:
        """Whether the bot's database has the row of this order now."""
        if self._connection is None:
            if not self.database.exists():
                return False
            self._connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        row = self._connection.execute("SELECT 1 FROM orders WHERE client_id = ?", (client_id,)).fetchone()
        return row is not None

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
            "unknown_orders": self.unknown,
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
        """``GET /witness`` and ``POST /drop``."""
        app = web.Application()

        async def witness(request: web.Request) -> web.Response:
            return web.json_response(self.report())

        async def drop(request: web.Request) -> web.Response:
            return web.json_response({"dropped": self.drop((await request.json())["stream"])})

        app.router.add_get("/witness", witness)
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
        async with serve_app(witness.app(), listen(0, "the witness")) as address:
            write_ready(arguments.ready, {**net.ready, "witness": f"http://{address}"})
            await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


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
