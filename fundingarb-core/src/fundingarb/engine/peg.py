"""Watches what the dollars are worth in which open hedges and candidates settle."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median

import anyio

from fundingarb.domain.peg import DOLLAR, farthest, implied_peg, peg_symbol
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeError
from fundingarb.ports import Clock, ExchangeAdapter

log = logging.getLogger("fundingarb.peg")

#: Real seconds between two looks at prices, and between two readings of the contract on the currency itself.
LOOK, READ = 2.0, 10.0
#: So many looks are taken together: prices of different exchanges are never of the same moment.
LOOKS = 9
#: Real seconds after which an exchange that lists no such contract is asked again.
ASK_AGAIN = 3600.0


@dataclass
class PegWatch:
    """Keeps ``state.pegs``: settle currency -> what one unit is worth in USDT; absent while it is unknown.

    Two measures are taken and the one farther from par counts: the index price of a contract on the currency itself
    (USDC-USDT), where an exchange lists one, and what prices of the same symbols in both currencies imply. An oracle
    that quotes in US dollars shows only what has become of USDT; the contract shows what has become of USDC.
    """

    state: BotState
    markets: Markets
    adapters: Mapping[str, ExchangeAdapter]
    gates: Mapping[str, RequestGate]
    clock: Clock
    _looks: dict[str, deque[Decimal]] = field(default_factory=dict)
    _listed: dict[str, Decimal] = field(default_factory=dict)
    _not_before: dict[tuple[str, str], float] = field(default_factory=dict)

    async def run(self) -> None:
        """Look every few seconds, for as long as the bot runs. Costs nothing while everything settles in USDT."""
        due = float("-inf")
        while True:
            currencies = {each.settle for each in self.markets.instruments.values()} - {DOLLAR}
            if currencies and self.clock.monotonic() >= due:
                due = self.clock.monotonic() + READ
                for currency in sorted(currencies):
                    await self._read(currency)
            for currency in currencies:
                self._look(currency)
            await anyio.sleep(LOOK)

    def _look(self, currency: str) -> None:
        implied = implied_peg(self._prices(), currency)
        found = farthest(peg for peg in (implied, self._listed.get(currency)) if peg is not None)
        looks = self._looks.setdefault(currency, deque(maxlen=LOOKS))
        if found is None:
            looks.clear()
            self.state.pegs.pop(currency, None)
        else:
            looks.append(found)
            self.state.pegs[currency] = Decimal(median(looks))

    def _prices(self) -> Iterator[tuple[str, str, Decimal]]:
        """(symbol, settle currency, index price) of every exchange that is being heard."""
        for (exchange, symbol), instrument in self.markets.instruments.items():
            price = self.markets.fresh_index(exchange, symbol)
            if price is not None:
                yield symbol, instrument.settle, price

    async def _read(self, currency: str) -> None:
        """The index price of the contract on ``currency``, the one farthest from par of all that list it."""
        found = []
        for exchange, adapter in self.adapters.items():
            if self.clock.monotonic() < self._not_before.get((exchange, currency), float("-inf")):
                continue
            price = await self._index(exchange, adapter, currency)
            if price is not None:
                found.append(price)
        peg = farthest(found)
        if peg is None:
            self._listed.pop(currency, None)
        else:
            self._listed[currency] = peg

    async def _index(self, exchange: str, adapter: ExchangeAdapter, currency: str) -> Decimal | None:
        symbol = peg_symbol(currency)
        try:
            rate = await self.gates[exchange].call(
                Priority.READ, adapter.cost("get_funding_rate"), lambda: adapter.get_funding_rate(symbol)
            )
        except ExchangeError as error:
            if error.code == "unknown-symbol":
                self._not_before[exchange, currency] = self.clock.monotonic() + ASK_AGAIN
            else:
                log.info("%s: %s was not read: %s", exchange, symbol, error)
            return None
        return rate.index or rate.mark
