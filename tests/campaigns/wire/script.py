"""Opens and closes hedges as a seeded script says, through the commands a person has."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations
from uuid import UUID

import anyio

from fundingarb.domain.hedge import Hedge
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError, ExchangeError

Pair = tuple[str, str]


def pairs_of(accounts: Sequence[str]) -> list[Pair]:
    """Every two accounts on different exchanges (there is one account per exchange)."""
    return list(combinations(sorted(accounts), 2))


@dataclass
class Script:
    """Keeps a hedge under way in every symbol until each pair has had ``wanted`` that were open on both legs.

    ``hold`` bounds how long one is kept, in real seconds.
    """

    bot: Bot
    symbols: Sequence[str]
    pairs: Sequence[Pair]
    seed: int
    wanted: int
    hold: tuple[float, float] = (0.0, 5.0)
    sizes: tuple[float, float] = (30.0, 20_000.0)
    hedged: Counter[Pair] = field(default_factory=Counter)
    over: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    stopped: bool = False
    """Set from outside: enough, whatever was wanted."""

    @property
    def done(self) -> bool:
        return self.stopped or all(self.hedged[pair] >= self.wanted for pair in self.pairs)

    async def run(self) -> None:
        """Until everything wanted has been hedged; what is open then is closed."""
        async with anyio.create_task_group() as tasks:
            for symbol in self.symbols:
                tasks.start_soon(self._work, symbol)

    async def _work(self, symbol: str) -> None:
        rng = random.Random(f"script/{self.seed}/{symbol}")
        while not self.done:
            pair = min(self.pairs, key=lambda each: (self.hedged[each], rng.random()))
            long, short = pair if rng.random() < 0.5 else pair[::-1]
            low, high = self.sizes
            size = Decimal(f"{low * (high / low) ** rng.random():.2f}")
            hold = rng.uniform(*self.hold)
            try:
                hedge_id = await self.bot.open_hedge(symbol, long, short, size)
            except (ConfigError, ExchangeError) as error:
                self.refused[" ".join(str(error).split()[:8])] += 1
                await anyio.sleep(0.5)
                continue
            await self._follow(hedge_id, pair, hold)

    async def _follow(self, hedge_id: UUID, pair: Pair, hold: float) -> None:
        """Keep a hedge for a while once it is open, then see it closed."""
        hedge = self._hedge(hedge_id)
        while hedge.live and hedge.intent.opened_at is None:
            await anyio.sleep(0.05)
            hedge = self._hedge(hedge_id)
        if hedge.live:
            await anyio.sleep(hold)
            try:
                await self.bot.close_hedge(hedge_id)
            except ConfigError:
                self.over["closed by itself"] += 1
        while hedge.live:
            await anyio.sleep(0.05)
            hedge = self._hedge(hedge_id)
        if hedge.intent.opened_at is not None:
            self.hedged[pair] += 1
        self.over[hedge.status.value] += 1

    def _hedge(self, hedge_id: UUID) -> Hedge:
        return self.bot.state.hedges[hedge_id]
