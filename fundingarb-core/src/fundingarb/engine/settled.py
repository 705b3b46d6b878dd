"""Rates that were charged: from memory where it reaches back far enough, else asked of the exchange, seldom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil

import anyio

from fundingarb.domain.funding import SettledRate
from fundingarb.domain.hedge import LegPlan
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.order import ZERO
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.engine.markets import HISTORY, Markets
from fundingarb.errors import ConfigError
from fundingarb.ports import Clock, ExchangeAdapter

#: Real seconds for which an exchange's answer is used again.
KEPT = 600.0
#: Answers that are kept at once: one may have thousands of rates.
ANSWERS = 50
#: How long a hedge may have been over for an exchange to be asked what came after it: what is longer ago takes many
#: pages, and every page takes of the budget that trading needs.
ASKED = timedelta(days=30)
#: Settled rates on one page of the exchange that gives the fewest. Adapters read page after page within one request of
#: the gate, which is charged for all of them beforehand.
PAGE = 100


@dataclass
class SettledRates:
    """Settled rates for people who look at them, never for the trading loop."""

    markets: Markets
    market_data: Mapping[str, ExchangeAdapter]
    gates: Mapping[str, RequestGate]
    clock: Clock
    _read: dict[tuple[str, str], tuple[float, datetime, Sequence[SettledRate]]] = field(default_factory=dict)
    _turns: dict[str, anyio.Lock] = field(default_factory=dict)

    async def since(self, exchange: str, symbol: str, since: datetime) -> Sequence[SettledRate]:
        """Oldest first, from ``since`` on. Raises ``ConfigError`` for what is not listed, ``ExchangeError``."""
        if exchange not in self.market_data or (exchange, symbol) not in self.markets.instruments:
            raise ConfigError(f"{symbol} is not traded on {exchange}; look at the rate table")
        remembered = self.remembered(exchange, symbol)
        if remembered and since >= self.clock.now() - HISTORY:
            rates: Sequence[SettledRate] = remembered
        else:
            rates = await self._ask(exchange, symbol, since)
        return sorted((rate for rate in rates if rate.settled_at >= since), key=lambda rate: rate.settled_at)

    def remembered(self, exchange: str, symbol: str) -> list[SettledRate]:
        """Those of the last week, as far as they were read."""
        known = self.markets.settled(exchange, symbol)
        return [SettledRate(exchange, symbol, rate, at) for at, rate in known.items()]

    async def _ask(self, exchange: str, symbol: str, since: datetime) -> Sequence[SettledRate]:
        """One question at a time of each exchange, however many people look."""
        async with self._turns.setdefault(exchange, anyio.Lock()):
            return await self._answer(exchange, symbol, since)

    def _cost(self, exchange: str, symbol: str, since: datetime) -> Mapping[str, float]:
        """What all the pages cost that so many settlements take, where an exchange's pages are the shortest known."""
        listed = self.markets.instruments[exchange, symbol]
        settlements = (self.clock.now() - since) / listed.funding_interval
        pages = max(1, ceil(settlements / PAGE))
        one = self.market_data[exchange].cost("get_funding_history")
        return {scope: units * pages for scope, units in one.items()}

    async def _answer(self, exchange: str, symbol: str, since: datetime) -> Sequence[SettledRate]:
        key, moment = (exchange, symbol), self.clock.monotonic()
        found = self._read.get(key)
        if found is not None and moment - found[0] < KEPT and found[1] <= since:
            return found[2]
        adapter = self.market_data[exchange]
        rates = await self.gates[exchange].call(
            Priority.READ,
            self._cost(exchange, symbol, since),
            lambda: adapter.get_funding_history(symbol, since),
        )
        for old in [old for old, answer in self._read.items() if moment - answer[0] >= KEPT]:
            del self._read[old]
        self._read.pop(key, None)
        while len(self._read) >= ANSWERS:
            del self._read[next(iter(self._read))]
        self._read[key] = (moment, since, rates)
        return rates


def missed(
    leg: LegPlan, quantity: Decimal, price: Decimal, charged: Mapping[datetime, Decimal], start: datetime,
    end: datetime,
) -> Decimal | None:  # fmt: skip
    """What ``leg`` would have been paid (negative: have paid) after ``start`` and up to ``end`` for ``quantity`` at
    ``price``, at the rates that were ``charged``; None while those are not known of all of the time."""
    times = sorted(charged)
    if not times or times[0] > start or times[-1] + interval_of(leg.instrument, times) <= end:
        return None
    rates = sum((charged[at] for at in times if start < at <= end), ZERO)
    return -leg.side.sign * quantity * price * rates


def interval_of(instrument: Instrument, times: Sequence[datetime]) -> timedelta:
    """Time between settlements: the last one seen, or what is listed."""
    return times[-1] - times[-2] if len(times) > 1 else instrument.funding_interval
