"""What the loop needs of the configuration, and what a strategy sees of the bot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import cached_property

from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.funding import FundingRate
from fundingarb.domain.health import MarginRules
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.market import RateBook
from fundingarb.domain.opportunity import DecayToMedian, EntryRules, Quote, RateForecast
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState


@dataclass(frozen=True)
class TradingSettings:
    """What the loop needs of the configuration; per symbol figures are callables so that a reload is seen at once."""

    symbols: Sequence[str]
    rules: EntryRules
    policy: ExecutionPolicy
    fill_timeout: timedelta
    settlement_guard: timedelta
    tolerances: dict[str, Decimal]
    default_tolerance: Decimal
    leverages: dict[tuple[str, str], int]
    default_leverage: int = 5
    forecast: RateForecast = field(default_factory=DecayToMedian)
    margin_mode: str = "cross"
    margin: MarginRules = field(default_factory=MarginRules)
    cooldown: timedelta = timedelta(hours=1)
    failed_entry_cooldown: timedelta = timedelta(minutes=5)
    retry_pause: timedelta = timedelta(seconds=20)
    delisting_close: timedelta = timedelta(hours=24)
    funding_patience: timedelta = timedelta(minutes=15)
    funding_tolerance: Decimal = Decimal("0.05")
    config_revision: int = 0
    instance: str = "0000"
    max_new_hedges: int | None = None

    @cached_property
    def wanted(self) -> frozenset[str]:
        """The symbols that may be opened; some may have been taken out of the configuration since the start."""
        return frozenset(self.symbols)

    def tolerance(self, symbol: str) -> Decimal:
        return self.tolerances.get(symbol, self.default_tolerance)

    def leverage(self, account: str, symbol: str) -> int:
        return self.leverages.get((account, symbol), self.default_leverage)

    def pause_after(self, hedge: Hedge) -> timedelta:
        """How long entries on the symbol of a hedge that is over wait: after a liquidation, an entry that had to be
        unwound, an entry that was not filled."""
        if hedge.intent.liquidated:
            return self.cooldown
        if hedge.intent.opened_at is not None:
            return timedelta(0)
        return self.failed_entry_cooldown if any(order.filled for order in hedge.orders) else self.retry_pause

    def for_speed(self, speed: float) -> TradingSettings:
        """Patience in this clock's time, never shorter than what a network needs in real time."""

        def at_least(value: timedelta, real: float) -> timedelta:
            return max(value, timedelta(seconds=real * speed))

        policy = replace(
            self.policy,
            reprice_after=at_least(self.policy.reprice_after, 0.05),
            naked_budget=at_least(self.policy.naked_budget, 5.0),
            stale_after=at_least(self.policy.stale_after, 60.0),
            retry_after=at_least(self.policy.retry_after, 0.25),
        )
        return replace(
            self,
            policy=policy,
            fill_timeout=at_least(self.fill_timeout, 0.25),
            retry_pause=at_least(self.retry_pause, 0.1),
        )


@dataclass
class View:
    """The strategy's window on the bot (``ports.MarketView``)."""

    state: BotState
    markets: Markets
    settings: TradingSettings

    @property
    def rates(self) -> RateBook:
        return self.markets.book

    @property
    def hedges(self) -> Sequence[Hedge]:
        return self.state.live()

    def rate(self, exchange: str, symbol: str) -> FundingRate | None:
        return None if exchange in self.state.down else self.markets.fresh_rate(exchange, symbol)

    def quotes(self, exchange: str, symbol: str) -> Sequence[Quote]:
        rate, book = self.markets.fresh_rate(exchange, symbol), self.markets.fresh_book(exchange, symbol)
        if rate is None or book is None or exchange in self.state.down:
            return ()
        median = self.markets.median_hourly(exchange, symbol)
        quotes = []
        for account in self.state.accounts.values():
            fee, balance = account.fees.get(symbol), account.free_balance
            if account.exchange != exchange or fee is None or balance is None or account.halted is not None:
                continue
            leverage = self.settings.leverage(account.name, symbol)
            quotes.append(Quote(account.name, rate, book, fee, balance.available, leverage, median))
        return quotes

    def tolerance(self, symbol: str) -> Decimal:
        return self.settings.tolerance(symbol)
