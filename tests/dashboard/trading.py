"""A dashboard beside a real bot on two fake exchanges, in real time, and a browser that is logged in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from tests.config.test_configuring import Desk as Configured
from tests.dashboard.serving import Browser, browsing
from tests.engine.rig import Floor, Proposing

from fundingarb.engine.bot import Bot
from fundingarb.engine.view import View

SYMBOLS = ("BTC-USDT", "ETH-USDT")
OPEN = {"pair": "BTC-USDT", "long": "alpha", "short": "beta", "size_usd": "1000"}


@dataclass
class Desk:
    """The bot with its exchanges, and the browser beside it."""

    floor: Floor
    browser: Browser
    keys: int = 0

    async def command(
        self, path: str, body: Any = None, key: str | None = None, **headers: Any
    ) -> tuple[int, Any]:
        """POST with an idempotency key of its own."""
        self.keys += 1
        headers = {"Idempotency-Key": key or f"test-key-{self.keys:04d}", **headers}
        status, document, _ = await self.browser.ask("POST", path, body, headers=headers)
        return status, document

    async def until(self, condition: Callable[[], object], within: float = 30) -> None:
        await self.floor.until(condition, within)

    async def open(self) -> str:
        """Open a hedge by hand and have both legs filled; returns its id."""
        status, document = await self.command("/api/positions/open", OPEN)
        assert status == 201, document
        await self.until(lambda: self.floor.sent(self.floor.alpha) or self.floor.sent(self.floor.beta))
        await self.until(self._filled)
        opened: str = document["position_id"]
        return opened

    def _filled(self) -> bool:
        for made in (self.floor.alpha, self.floor.beta):
            for order in self.floor.sent(made):
                known = made.ledger.orders.get(order.client_id)
                if known is not None and not known.state.terminal:
                    made.fill_order(order.client_id)
        hedges = self.floor.bot.live_hedges()
        return bool(hedges) and all(hedge.status.value == "OPEN" and hedge.complete_fills for hedge in hedges)

    async def check_splits(self) -> dict[str, Any]:
        """The summary, whose parts add up to what they are the parts of."""
        summary: dict[str, Any] = await self.browser.get("/api/summary")
        for result, parts in summary["splits"].items():
            amount = {name: Decimal(value) for name, value in parts.items()}
            assert amount["funding"] + amount["price"] - amount["fees"] == Decimal(summary[result]), result
            assert amount["basis"] + amount["slippage"] == amount["price"], result
        return summary

    @asynccontextmanager
    async def watching(self, **headers: str) -> AsyncIterator[Stream]:
        """The websocket, as our own page opens it."""
        given = {"Origin": self.browser.url, **headers}
        async with self.browser.http.ws_connect(f"{self.browser.url}/api/ws", headers=given) as socket:
            yield Stream(socket)


@dataclass
class Stream:
    """Frames of a websocket, as events."""

    socket: aiohttp.ClientWebSocketResponse[Any]
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def frame(self) -> list[dict[str, Any]]:
        """The next frame; fails when the connection ends instead."""
        message = await asyncio.wait_for(self.socket.receive(), 30)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found: list[dict[str, Any]] = json.loads(message.data)
        return found

    async def until(self, kind: str, where: Callable[[Any], object] = bool) -> Any:
        """The data of the first event of ``kind`` for which ``where`` holds, of all that came with ``until``."""
        with anyio.fail_after(30):
            while True:
                for event in self.seen:
                    if event["type"] == kind and where(event["data"]):
                        return event["data"]
                self.seen.extend(await self.frame())

    async def ended(self) -> int | None:
        """The close code, once the connection has ended."""
        over = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
        with anyio.fail_after(30):
            while (await self.socket.receive()).type not in over:
                pass
        return self.socket.close_code


def market(symbols: tuple[str, ...] = SYMBOLS) -> Floor:
    """Two exchanges with books and rates that make every symbol worth a hedge; nobody proposes one."""
    made = Floor(Proposing([]), symbols=symbols)
    for symbol in symbols:
        made.prices(symbol=symbol)
        made.rates("-0.001", "0.004", made.clock.now() + timedelta(minutes=40), symbol=symbol)
    return made


@asynccontextmanager
async def trading(**settings: Any) -> AsyncIterator[Desk]:
    """A running bot, its dashboard, and a browser that is logged in."""
    made = market()
    async with made.running() as bot, browsing(bot, **settings) as browser:
        await browser.login()
        desk = Desk(made, browser)
        await desk.until(lambda: all(_known(bot, each) for each in ("alpha", "beta")))
        yield desk


@asynccontextmanager
async def configured(tmp_path: Path) -> AsyncIterator[tuple[Desk, Configured]]:
    """A running bot with a configuration file, and a browser that is logged in."""
    made = Configured(tmp_path / "fundingarb.yaml")
    async with made.running() as bot:
        bot.config = made.keeper
        async with browsing(bot) as browser:
            await browser.login()
            yield Desk(made.floor, browser), made


def _known(bot: Bot, exchange: str) -> bool:
    """Whether everything that a hedge on ``exchange`` needs was read."""
    view = View(bot.state, bot.markets, bot.settings)
    return all(view.quotes(exchange, symbol) for symbol in SYMBOLS)
