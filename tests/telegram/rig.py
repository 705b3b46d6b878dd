"""A bot on two fake exchanges with Telegram beside it, in real time, and the person it is paired with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from tests.dashboard.trading import market
from tests.engine.rig import Floor
from tests.telegram.botapi import TOKEN, BotApi, Sent, bot_api

from fundingarb.builtin.settings import TelegramSettings
from fundingarb.builtin.telegram.pairing import Claim, Pairing, utc_now
from fundingarb.builtin.telegram.sink import TelegramSink, open_telegram
from fundingarb.domain.control import AuditEntry
from fundingarb.errors import ConfigError
from fundingarb.ports import OpenContext
from fundingarb.simulation.virtual import LoopClock

OWNER, STRANGER = 42, 666
CONTEXT = OpenContext("telegram", LoopClock(), "localnet")


def token_file(folder: Path, content: bytes = TOKEN.encode(), mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def settings(api: BotApi, folder: Path, **changes: Any) -> TelegramSettings:
    values = {"token_file": token_file(folder), "base_url": api.url, "state_folder": folder, **changes}
    return TelegramSettings(**values)


def pairing(folder: Path) -> Pairing:
    return Pairing(folder / f"telegram-{TOKEN.partition(':')[0]}.json")


def paired(folder: Path, user: int = OWNER) -> Pairing:
    """The file of somebody who has been paired."""
    made = pairing(folder)
    assert made.claim(made.offer(utc_now()), user, f"user{user}", utc_now()) is Claim.PAIRED
    return made


@dataclass
class Chat:
    """The bot, the Bot API it talks to, and what the paired person sees."""

    floor: Floor
    api: BotApi
    sink: TelegramSink
    folder: Path

    def write(self, text: str, user: int = OWNER, **changes: Any) -> None:
        self.api.write(user, text, **changes)

    async def until(self, condition: Callable[[], object], within: float = 30) -> None:
        with anyio.fail_after(within):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in other threads
                await anyio.sleep(0.01)

    async def message(self, begins: str, chat: int = OWNER, within: float = 30) -> Sent:
        """The newest message to ``chat`` that begins so, once there is one."""

        def found() -> list[Sent]:
            return [each for each in self.api.sent if each.chat == chat and each.text.startswith(begins)]

        await self.until(found, within)
        return found()[-1]

    async def ask(self, text: str, begins: str) -> str:
        """The answer to a command."""
        self.write(text)
        return (await self.message(begins)).text

    async def quiet(self, seconds: float = 0.4) -> None:
        """Waits until everything that was sent was taken, and a while more."""
        await self.until(lambda: not self.api.pending)
        await anyio.sleep(seconds)

    @property
    def ignored(self) -> dict[str, int]:
        return dict(self.sink._ignored)

    @property
    def noted(self) -> list[tuple[str, str, bool, str]]:
        """Who did what, whether it was done and what came of it."""
        entries: list[AuditEntry] = self.floor.store.noted
        return [(each.actor, each.command, each.ok, each.result) for each in entries]

    async def open_hedge(self) -> None:
        """A hedge of 1000 USD, filled on both legs."""
        floor = self.floor
        with anyio.fail_after(30):
            while True:
                try:
                    await floor.bot.open_hedge("BTC-USDT", "alpha", "beta", Decimal(1000))
                    break
                except ConfigError:  # fees and balances are being read
                    await anyio.sleep(0.1)

        def filled() -> bool:
            for made in (floor.alpha, floor.beta):
                for order in floor.sent(made):
                    known = made.ledger.orders.get(order.client_id)
                    if known is not None and not known.state.terminal:
                        made.fill_order(order.client_id)
            hedges = floor.bot.live_hedges()
            return bool(hedges) and all(h.status.value == "OPEN" and h.complete_fills for h in hedges)

        await self.until(filled)


@asynccontextmanager
async def chatting(
    folder: Path, *, pair: bool = True, first: Callable[[BotApi], object] = bool, **changes: Any
) -> AsyncIterator[Chat]:
    """A running bot and its Telegram; the person is paired unless ``pair`` is false. ``first`` is done before."""
    if pair:
        paired(folder)
    with bot_api() as api:
        first(api)
        async with open_telegram(settings(api, folder, **changes), CONTEXT) as sink:
            floor = market()
            floor.sinks = {"telegram": sink}
            async with floor.running():
                chat = Chat(floor, api, sink, folder)
                await chat.until(lambda: api.count("getupdates") or not sink._settings.commands)
                yield chat
