"""Starting: instruments, market feeds, then fee tiers and modes of the accounts, exchange by exchange."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from fundingarb.engine.account import Account
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.markets import MarketFeed, Markets, load_feeds
from fundingarb.engine.state import BotState
from fundingarb.engine.supervisor import keep_running
from fundingarb.engine.trading import TradingLoop
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ExchangeError
from fundingarb.ports import Clock, ExchangeAdapter

#: Real seconds before fee tiers that could not be read are read again.
FEES_AGAIN = 5.0
#: Real seconds between two attempts to start with an exchange that does not answer.
START_AGAIN = 5.0


@dataclass
class Startup:
    """Starts the exchanges of a bot; ``failed`` is told what went wrong in which task."""

    state: BotState
    market_data: Mapping[str, ExchangeAdapter]
    gates: Mapping[str, RequestGate]
    markets: Markets
    readers: Mapping[str, AccountReader]
    loop: TradingLoop
    settings: TradingSettings
    clock: Clock
    failed: Callable[[str, Exception], None]
    feeds: list[MarketFeed] = field(init=False)

    def __post_init__(self) -> None:
        held = sorted({hedge.symbol for hedge in self.state.unfinished()} - self.settings.wanted)
        self.feeds = [
            MarketFeed(
                adapter,
                self.gates[exchange],
                self.markets,
                [*self.settings.symbols, *held],
                self.clock,
                self.failed,
                partial(self._held, exchange),
            )
            for exchange, adapter in self.market_data.items()
        ]

    def _held(self, exchange: str) -> set[str]:
        """The symbols of the hedges that are not over and have a leg on ``exchange``."""
        return {
            hedge.symbol
            for hedge in self.state.unfinished()
            for leg in (hedge.intent.long, hedge.intent.short)
            if leg.instrument.exchange == exchange
        }

    def adopt(self, settings: TradingSettings) -> None:
        """Symbols that are new are looked for, streamed and set up from now on."""
        self.settings = settings
        for feed in self.feeds:
            feed.want(settings.symbols)

    async def unlisted(self, symbols: Collection[str]) -> set[str]:
        """Those of ``symbols`` that no exchange lists. Raises ``ExchangeError`` when one does not answer."""
        unknown = set(symbols)
        for feed in self.feeds:
            unknown -= await feed.names()
        return unknown

    async def run(self, tasks: TaskGroup) -> None:
        """Start every exchange. Raises ``ExchangeUnavailable`` when one does not answer and nothing is open."""
        if self.state.unfinished() or self.state.killed:
            # nothing waits for an exchange that does not answer but what needs that exchange
            for feed in self.feeds:
                tasks.start_soon(self._start_when_it_answers, feed, tasks)
            return
        await load_feeds(self.feeds, self.settings.symbols)
        for feed in self.feeds:
            await self._start_exchange(feed, tasks)

    async def _start_when_it_answers(self, feed: MarketFeed, tasks: TaskGroup) -> None:
        while True:
            try:
                await feed.load()
            except Exception as error:  # noqa: BLE001 - told, whatever it is, and what is open is looked after
                self.failed(f"{feed.exchange}.start", error)
                await anyio.sleep(START_AGAIN)
            else:
                await self._start_exchange(feed, tasks)
                return

    async def _start_exchange(self, feed: MarketFeed, tasks: TaskGroup) -> None:
        await feed.run(tasks)
        for account in self.state.accounts.values():
            if account.exchange == feed.exchange:
                self._start_account(account, feed, tasks)

    def _start_account(self, account: Account, feed: MarketFeed, tasks: TaskGroup) -> None:
        reader, name, seen = self.readers[account.name], account.name, feed.version
        read: set[str] = set()
        set_up: set[str] = set()

        async def fees(symbols: Sequence[str]) -> None:
            while True:
                for symbol in [each for each in symbols if each not in read]:
                    try:
                        await reader.read_fees(symbol)
                        read.add(symbol)
                    except ExchangeError as error:
                        self.failed(f"{name}.fees of {symbol}", error)
                if read.issuperset(symbols):
                    await self.clock.sleep(24 * 3600)
                    read.clear()
                else:
                    await anyio.sleep(FEES_AGAIN)

        async def modes(symbols: Sequence[str]) -> None:
            busy = {hedge.symbol for hedge in self.state.live()}
            for symbol in [each for each in symbols if each not in set_up | busy]:
                set_up.add(symbol)
                self.loop.entries.preflight.soon(name, symbol, self.settings.leverage(name, symbol))
                await anyio.lowlevel.checkpoint()
            await anyio.sleep_forever()

        async def instruments() -> None:
            nonlocal seen
            while True:
                while seen == feed.version:
                    await feed.news.wait()
                reading = feed.version
                await reader.read_instruments()
                seen = reading

        task = f"{name}.instruments"
        tasks.start_soon(keep_running, task, instruments, self.clock, self.failed)
        for label, job in (("fees", fees), ("modes", modes)):
            listed = partial(feed.with_listed, job)
            tasks.start_soon(keep_running, f"{name}.{label}", listed, self.clock, self.failed)
