"""The program that is killed: the real bot, production adapters and SQL store, with failpoints around them.

``first`` plays a scenario (opens by hand, waits, closes); a later one only looks after what it finds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import anyio
from tests.campaigns.failpoints import Failpoints, KillingAdapter, wrap_store

import fundingarb.app
from fundingarb.config import load_config
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.order import NewOrder, OrderSide, TimeInForce
from fundingarb.engine.account import Account
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError, ExchangeError, StoreError
from fundingarb.exchanges.rest import usual_authorities
from fundingarb.ports import MarketView, Proposals
from fundingarb.store import open_store

SYMBOL = "DOGE-USDT"
SIZE = Decimal(900)
BY_HAND, FOREIGN = "byhand0001", "LINK-USDT"
#: Real seconds a bot that is asked for nothing runs on, after its accounts were found to match, before it says so.
CALM = 1.2
#: Read once, for every process that is forked from one with this module in it.
usual_authorities()


class Patient:
    """A strategy that proposes nothing: what happens is what the scenario asked for."""

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        return Proposals()


@dataclass(frozen=True)
class BotRun:
    """One life of the bot. ``scenario`` None: no commands. ``calm`` is written once nothing is left to be done."""

    folder: Path
    number: int
    ready_file: Path
    control: str
    speed: float
    database: str
    scenario: str | None = None
    kill: str | None = None
    pair: tuple[str, str] = ("binance", "bybit")

    @property
    def steps(self) -> Path:
        return self.folder / f"steps-{self.number}.txt"

    @property
    def calm(self) -> Path:
        return self.folder / f"calm-{self.number}"

    @property
    def log(self) -> Path:
        return self.folder / f"bot-{self.number}.log"


Script: TypeAlias = Callable[[Bot, BotRun], Awaitable[None]]


def bot_process(run: BotRun) -> None:
    """What the process does, from its first line to its (violent) end."""
    output = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(_main(run))


async def _main(run: BotRun) -> None:
    points = Failpoints(run.steps, run.control, run.speed, run.kill, reads=run.scenario is None)
    setattr(fundingarb.app, "open_store", wrap_store(points, open_store))  # noqa: B010 - the one it opens
    overrides = {
        "database.url": run.database,
        "trading.symbols": [SYMBOL],
        "trading.settlement_guard_seconds": 0,
        "risk.round_trips.per_hour": 10_000,
    }
    config = load_config(overrides=overrides, env={})
    extras = fundingarb.app.Extras(strategy=Patient(), services=False)
    around = fundingarb.app.read_ready_file(run.ready_file)
    async with fundingarb.app.open_bot(config, around, extras=extras) as bot:
        accounts = bot.parts.accounts
        assert isinstance(accounts, dict)
        for name, adapter in accounts.items():
            accounts[name] = KillingAdapter(adapter, name, points)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, bot, run)
            if run.scenario is not None:
                tasks.start_soon(_play, bot, run, SCENARIOS[run.scenario])
            await bot.run()
            tasks.cancel_scope.cancel()
    points.note("ended")


async def _play(bot: Bot, run: BotRun, script: Script) -> None:
    await bot.ready.wait()
    await script(bot, run)
    await _until(lambda: not _busy(bot))
    bot.stop()


async def _watch(bot: Bot, run: BotRun) -> None:
    """Say so when everything matches and nothing has been under way for a while."""
    await bot.ready.wait()
    since: float | None = None
    while True:
        await anyio.sleep(0.05)
        killing = bot.state.killed and not bot.kill_switch.flat
        if killing or _busy(bot) or any(_mismatch(account) for account in bot.state.accounts.values()):
            since = None
        elif since is None:
            since = bot.clock.monotonic()
        elif bot.clock.monotonic() - since > CALM:
            run.calm.write_text("calm")
            return


def _mismatch(account: Account) -> bool:
    """Whether an account does not match; a position by hand is not ours to touch before somebody throws the switch."""
    return account.halted is not None and FOREIGN not in account.halted


def _busy(bot: Bot) -> bool:
    return any(_unsettled(hedge) for hedge in bot.state.hedges.values())


def _unsettled(hedge: Hedge) -> bool:
    return (
        hedge.intent.mode not in (Mode.HOLDING, Mode.DONE)
        or bool(hedge.unhedged)
        or not hedge.complete_fills
        or any(not order.state.terminal for order in hedge.orders)
    )


async def _until(check: Callable[[], object]) -> None:
    while not check():  # noqa: ASYNC110 - the state has no event for it
        await anyio.sleep(0.02)


async def _kill(bot: Bot, run: BotRun) -> None:
    await _enter(bot, run)
    await bot.kill("the campaign")
    await _until(lambda: bot.kill_switch.flat)


async def _kill_foreign(bot: Bot, run: BotRun) -> None:
    """There is a position that somebody opened by hand."""
    await _enter(bot, run)
    by_hand = NewOrder(BY_HAND, FOREIGN, OrderSide.BUY, Decimal(20), None, TimeInForce.IOC, reduce_only=False)
    await bot.parts.accounts[run.pair[1]].place_order(by_hand)
    await bot.kill("the campaign")
    await _until(lambda: bot.kill_switch.flat)


async def _churn(bot: Bot, run: BotRun) -> None:
    """Hedge after hedge until the file ``enough`` is there, whatever the database does."""
    while not (run.folder / "enough").exists():
        try:
            await _one_more(bot, run)
        except (ConfigError, ExchangeError, StoreError):
            await anyio.sleep(0.05)


async def _one_more(bot: Bot, run: BotRun) -> None:
    hedge_id = await bot.open_hedge(SYMBOL, *run.pair, SIZE)

    def mode() -> Mode:
        return bot.state.hedges[hedge_id].intent.mode

    await _until(lambda: mode() in (Mode.HOLDING, Mode.DONE))
    await anyio.sleep(0.3)
    if mode() is Mode.HOLDING:
        await bot.close_hedge(hedge_id)
        await _until(lambda: mode() is Mode.DONE)


def _modes(bot: Bot) -> set[Mode]:
    return {hedge.intent.mode for hedge in bot.state.hedges.values()}


async def _enter(bot: Bot, run: BotRun) -> None:
    """Open a hedge; another one where the entry was given up."""
    while not _modes(bot) & {Mode.HOLDING}:
        await _try(bot, run)


async def _try(bot: Bot, run: BotRun) -> None:
    """Open a hedge, which is open or given up at the end."""
    while True:
        try:
            hedge_id = await bot.open_hedge(SYMBOL, *run.pair, SIZE)
        except ConfigError:
            await anyio.sleep(0.05)
        else:
            break
    await _until(lambda: bot.state.hedges[hedge_id].intent.mode in (Mode.HOLDING, Mode.DONE))


async def _close(bot: Bot, run: BotRun) -> None:
    await _enter(bot, run)
    for hedge in bot.live_hedges():
        await bot.close_hedge(hedge.id)
    await _until(lambda: _modes(bot) == {Mode.DONE})


async def _settle(bot: Bot, run: BotRun) -> None:
    """Held over a settlement: both payments are booked."""
    await _enter(bot, run)
    while len(await bot.store.payments()) < 2:  # noqa: ASYNC110 - the database has no event for it
        await anyio.sleep(0.1)


SCENARIOS: dict[str, Script] = {
    "close": _close,
    "settle": _settle,
    "partial": _close,
    "unwind": _try,
    "kill": _kill,
    "kill-foreign": _kill_foreign,
    "churn": _churn,
}
"""``close``: entry, holding, exit. ``settle``: holding over a settlement. ``partial``: every first order on an exchange
is filled in part. ``unwind``: the second leg is refused. ``kill``: the kill switch while holding; ``kill-foreign``: and
with a position that somebody opened by hand. ``churn``: one hedge after the other."""
