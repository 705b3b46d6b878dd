"""How the bot is, in figures: computed when asked for, except the lag of its loop, which has to be watched."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import anyio

from fundingarb.domain.order import ZERO
from fundingarb.domain.settlement import SettlementStatus
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.hedge_view import margin_ratio
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop
from fundingarb.engine.view import TradingSettings
from fundingarb.ports import Clock
from fundingarb.ports.rows import AccountVital, ExchangeVital, StreamVital, Vitals

#: Real seconds between two measurements of the lag, and how many of them are remembered.
LAG_EVERY, LAG_KEPT = 0.25, 40

PAID = (SettlementStatus.BOOKED, SettlementStatus.LATE)
DUE = (*PAID, SettlementStatus.EXPECTED, SettlementStatus.MISSING)


@dataclass
class LagMeter:
    """Measures how late the event loop wakes a task that asked for it."""

    clock: Clock
    _lags: deque[float] = field(default_factory=lambda: deque(maxlen=LAG_KEPT))

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self.clock.monotonic() + LAG_EVERY
            await anyio.sleep(LAG_EVERY)
            self._lags.append(max(self.clock.monotonic() - due, 0.0))

    @property
    def worst(self) -> float | None:
        """The worst of the last ten seconds, in real seconds; None before the first measurement."""
        return max(self._lags, default=None)


@dataclass(frozen=True)
class Physician:
    """Takes the vitals."""

    state: BotState
    markets: Markets
    gates: Mapping[str, RequestGate]
    lag: LagMeter
    settings: TradingSettings

    def vitals(self, loop: TradingLoop | None, ready: bool, unreadable: str | None = None) -> Vitals:
        """How the bot is now; ``loop`` is None while it starts. ``unreadable``: why the database cannot be read."""
        database = unreadable if loop is None else loop.store_health.error or unreadable
        error = None
        if database is not None:
            error = f"database: {database}"
        elif loop is not None and loop.entries.strategy_error is not None:
            error = f"the strategy failed: {loop.entries.strategy_error}"
        latencies = self._latencies()
        unhedged, seconds = self._unhedged(loop)
        booked, expected = self._coverage()
        return Vitals(
            state=state_of(self.state, ready, error),
            error=error,
            ready=ready,
            entries_off=(loop.entries.off_reason or None) if loop else None,
            loop_lag=self.lag.worst,
            streams=tuple(self._streams()),
            exchanges=tuple(self._exchange(name) for name in sorted(self.gates)),
            accounts=tuple(self._accounts()),
            order_latency_p50_ms=quantile(latencies, 0.5),
            order_latency_p99_ms=quantile(latencies, 0.99),
            orders_timed=len(latencies),
            unhedged_usd=unhedged,
            unhedged_seconds=seconds,
            settlements_booked=booked,
            settlements_expected=expected,
            liquidation_distance=min(self.state.distances.values(), default=None),
            database=database,
            lease_fresh=self.state.lease.fresh,
            config_revision=self.settings.config_revision,
            margin=self.settings.margin,
        )

    def _age(self, exchange: str) -> float | None:
        age = self.markets.age(exchange)
        return None if age == float("inf") else age

    def _streams(self) -> list[StreamVital]:
        found = []
        for stream, connected in sorted(self.markets.streams.items()):
            exchange = stream.split(".", 1)[0]
            found.append(StreamVital(exchange, stream, connected, self._age(exchange)))
        return found

    def _exchange(self, exchange: str) -> ExchangeVital:
        breaker = self.gates[exchange].breaker
        streams = [up for name, up in self.markets.streams.items() if name.split(".", 1)[0] == exchange]
        age = self._age(exchange)
        return ExchangeVital(
            exchange=exchange,
            connected=bool(streams) and all(streams) and not breaker.open,
            rate_age=age,
            stale=age is None or age > self.markets.stale_after,
            breaker_open=breaker.open,
            failures=breaker.failures,
        )

    def _accounts(self) -> list[AccountVital]:
        return [
            AccountVital(
                account=account.name,
                exchange=account.exchange,
                halted=account.halted,
                equity=None if account.balance is None else account.balance.equity,
                free=None if account.balance is None else account.balance.available,
                currency="" if account.balance is None else account.balance.currency,
                margin_ratio=margin_ratio(account.balance),
                clock_offset_ms=None if account.clock_offset is None else account.clock_offset * 1000,
            )
            for account in self.state.accounts.values()
        ]

    def _latencies(self) -> list[float]:
        """Of every order that was answered, of the hedges that are remembered; sorted."""
        return sorted(
            order.latency_ms
            for hedge in self.state.hedges.values()
            for order in hedge.orders
            if order.latency_ms is not None
        )

    def _unhedged(self, loop: TradingLoop | None) -> tuple[Decimal, float]:
        notional, longest = ZERO, 0.0
        prices = self.markets.prices()
        for hedge in self.state.unfinished():
            if hedge.unhedged:
                notional += abs(hedge.unhedged) * prices.get(hedge.symbol, ZERO)
                longest = max(longest, 0.0 if loop is None else loop.naked.seconds(hedge.id))
        return notional, longest

    def _coverage(self) -> tuple[int, int]:
        """(settlements that were paid, settlements that were due) of the last days."""
        rows = [row.status for known in self.state.settlements.values() for row in known.values()]
        return sum(status in PAID for status in rows), sum(status in DUE for status in rows)


def state_of(state: BotState, ready: bool, error: str | None) -> str:
    """The bot's state in one word."""
    if state.killed:
        return "KILLED"
    if not ready:
        return "STARTING"
    if error is not None:
        return "ERROR"
    return "PAUSED" if state.paused else "RUNNING"


def quantile(values: list[float], part: float) -> float | None:
    """The value of sorted ``values`` that ``part`` of them do not exceed; None of none."""
    return values[min(int(len(values) * part), len(values) - 1)] if values else None
