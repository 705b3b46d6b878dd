"""Starting: instruments, market feeds, then fee tiers and modes of the accounts, exchange by exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.markets import MarketFeed, Markets, load_feeds
from fundingarb.engine.state import Account, BotState
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

    async def run(self, tasks: TaskGroup) -> None:
        """Start every exchange. Raises ``ExchangeUnavailable`` when one does not answer and nothing is open."""
        feeds = [
            MarketFeed(
                adapter, self.gates[exchange], self.markets, self.settings.symbols, self.clock, self.failed
            )
            for exchange, adapter in self.market_data.items()
        ]
        if self.state.live() or self.state.killed:
            # nothing waits for an exchange that does not answer but what needs that exchange
            for feed in feeds:
                tasks.start_soon(self._start_when_it_answers, feed, tasks)
            return
        listed = await load_feeds(feeds, self.settings.symbols)
        for feed in feeds:
            await self._start_exchange(feed, listed[feed.exchange], tasks)

    async def _start_when_it_answers(self, feed: MarketFeed, tasks: TaskGroup) -> None:
        while True:
            try:
                symbols = await feed.load()
            except ExchangeError as error:
                self.failed(f"{feed.exchange}.start", error)
                await anyio.sleep(START_AGAIN)
            else:
                await self._start_exchange(feed, symbols, tasks)
                return

    async def _start_exchange(self, feed: MarketFeed, symbols: Sequence[str], tasks: TaskGroup) -> None:
        await feed.run(tasks)
        for account in self.state.accounts.values():
            if account.exchange == feed.exchange:
                tasks.start_soon(self._start_account, account, symbols, tasks)

    async def _start_account(self, account: Account, symbols: Sequence[str], tasks: TaskGroup) -> None:
        reader, name = self.readers[account.name], account.name

        async def fees() -> None:
            while True:
                missing = 0
                for symbol in symbols:
                    try:
                        await reader.read_fees(symbol)
                    except ExchangeError as error:
                        missing += 1
                        self.failed(f"{name}.fees of {symbol}", error)
                if missing:
                    await anyio.sleep(FEES_AGAIN)
                else:
                    await self.clock.sleep(24 * 3600)

        async def modes() -> None:
            busy = {hedge.symbol for hedge in self.state.live()}
            for symbol in symbols:
                if symbol not in busy:
                    self.loop.prepare_soon(name, symbol, self.settings.leverage(name, symbol))
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(keep_running, f"{name}.fees", fees, self.clock, self.failed)
        await modes()
