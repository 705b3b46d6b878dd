"""Opens and closes hedges as a seeded script says, through the commands a person has."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations
from uuid import UUID

import anyio

from fundingarb.domain.hedge import Hedge
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError, ExchangeError

Pair = tuple[str, str]
#: Real seconds between an entry that was refused and the next one in that symbol.
AGAIN = 0.25


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
    started: Counter[Pair] = field(default_factory=Counter)
    """Hedges that are being opened or open now."""
    over: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Real seconds that all symbols together were refused entries, opening, holding, closing."""
    stopped: bool = False
    """Set from outside: enough, whatever was wanted."""

    @property
    def done(self) -> bool:
        return self.stopped or all(self.hedged[pair] >= self.wanted for pair in self.pairs)

    def seconds(self) -> dict[str, int]:
        """``spent``, rounded."""
        return {what: round(seconds) for what, seconds in self.spent.items()}

    async def run(self) -> None:
        """Until everything wanted has been hedged; what is open then is closed."""
        async with anyio.create_task_group() as tasks:
            for symbol in self.symbols:
                tasks.start_soon(self._work, symbol)

    async def _work(self, symbol: str) -> None:
        rng = random.Random(f"script/{self.seed}/{symbol}")
        refused: set[Pair] = set()
        while not self.done:
            pair = self._choose(rng, refused)
            long, short = pair if rng.random() < 0.5 else pair[::-1]
            low, high = self.sizes
            size = Decimal(f"{low * (high / low) ** rng.random():.2f}")
            hold = rng.uniform(*self.hold)
            try:
                hedge_id = await self.bot.open_hedge(symbol, long, short, size)
            except (ConfigError, ExchangeError) as error:
                self.refused[" ".join(str(error).split()[:8])] += 1
                refused.add(pair)
                await self._spend("refused", anyio.sleep(AGAIN))
                continue
            refused.clear()
            self.started[pair] += 1
            await self._follow(hedge_id, pair, hold)
            self.started[pair] -= 1

    def _choose(self, rng: random.Random, refused: set[Pair]) -> Pair:
        """The pair that lacks most, those under way counted; one that was just refused only after all the others."""
        wanting = [pair for pair in self.pairs if self.hedged[pair] < self.wanted] or list(self.pairs)
        if refused.issuperset(wanting):
            refused.clear()
        open_to = [pair for pair in wanting if pair not in refused]
        return min(open_to, key=lambda each: (self.hedged[each] + self.started[each], rng.random()))

    async def _follow(self, hedge_id: UUID, pair: Pair, hold: float) -> None:
        """Keep a hedge for a while once it is open, then see it closed."""
        await self._spend("opening", self._until(hedge_id, opened=True))
        if self._hedge(hedge_id).live:
            await self._spend("holding", anyio.sleep(hold))
            try:
                await self.bot.close_hedge(hedge_id)
            except ConfigError:
                self.over["closed by itself"] += 1
        await self._spend("closing", self._until(hedge_id, opened=False))
        hedge = self._hedge(hedge_id)
        if hedge.intent.opened_at is not None:
            self.hedged[pair] += 1
        self.over[hedge.status.value] += 1

    async def _until(self, hedge_id: UUID, *, opened: bool) -> None:
        """Until a hedge is over, or open on both legs when that is enough."""
        hedge = self._hedge(hedge_id)
        while hedge.live and not (opened and hedge.intent.opened_at is not None):
            await anyio.sleep(0.05)
            hedge = self._hedge(hedge_id)

    async def _spend(self, what: str, work: Awaitable[None]) -> None:
        begun = time.monotonic()
        await work
        self.spent[what] += time.monotonic() - begun

    def _hedge(self, hedge_id: UUID) -> Hedge:
        return self.bot.state.hedges[hedge_id]
