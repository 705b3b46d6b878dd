"""A hedge in numbers before there is one, and the candidates of the last scan with what refuses them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fundingarb.domain.instrument import Side, common_lot, floor_to
from fundingarb.domain.opportunity import (
    DepthSlippage,
    EntryRules,
    HedgePlan,
    Quote,
    Refusal,
    Valuation,
    gates,
    plan_of,
    value,
)
from fundingarb.domain.order import ZERO
from fundingarb.domain.risk import refuse
from fundingarb.engine.account import Account
from fundingarb.engine.asked import accounts_named, check_listed, lacking, unpriced
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError
from fundingarb.ports.rows import Calculation, FeeLine, Opportunities, OpportunityRow


@dataclass(frozen=True)
class Calculator:
    """Reads state and markets when asked; decides nothing."""

    state: BotState
    markets: Markets
    loop: TradingLoop
    settings: TradingSettings

    def calculate(self, symbol: str, long: str, short: str, size_usd: Decimal, now: datetime) -> Calculation:
        """A hedge of ``size_usd`` between two accounts (or the only accounts of two exchanges) in numbers.

        Raises ``ConfigError`` with what is not known yet or cannot be, or which accounts a name may mean.
        """
        accounts = accounts_named(self.state, long, short)
        names = [account.name for account in accounts]
        check_listed(self.state, self.markets, self.settings, symbol, *names)
        quotes = self._quote(symbol, accounts[0]), self._quote(symbol, accounts[1])
        mids = [quote.book.mid for quote in quotes]
        if mids[0] is None or mids[1] is None:
            raise ConfigError(f"an order book of {symbol} is empty or crossed; try again")
        mid = (mids[0] + mids[1]) / 2
        rules = self.settings.rules
        quantity = floor_to(size_usd / mid, common_lot(quotes[0].instrument, quotes[1].instrument))
        valuation = value(*quotes, quantity, rules, DepthSlippage(), self.settings.forecast, now)
        if valuation is None:
            raise ConfigError(unpriced(*quotes, size_usd, quantity, mid))
        return Calculation(valuation, fee_lines(valuation, rules), tuple(self._refusals(valuation, now)))

    def _refusals(self, valuation: Valuation, now: datetime) -> list[Refusal]:
        plan = plan_of(valuation, self.settings.tolerance(valuation.symbol), origin="manual")
        found = [gates(valuation, self.settings.rules, now), self._judge(plan, now)]
        return [refusal for refusal in found if refusal is not None]

    def _judge(self, plan: HedgePlan, now: datetime) -> Refusal | None:
        """What keeps the bot from opening ``plan`` now, besides the strategy's gates."""
        if self.loop.entries.off_reason:
            return refuse(plan, "paused", "entries on", self.loop.entries.off_reason, now)
        judged = self.loop.entries.judge(plan, now)
        return judged if isinstance(judged, Refusal) else None

    def _quote(self, symbol: str, account: Account) -> Quote:
        exchange = account.exchange
        rate, book = self.markets.fresh_rate(exchange, symbol), self.markets.fresh_book(exchange, symbol)
        fee = account.fees.get(symbol)
        if rate is None or book is None or fee is None:
            raise ConfigError(lacking(self.state, self.markets, account, symbol, to_open=False))
        return Quote(
            account=account.name,
            rate=rate,
            book=book,
            fee=fee,
            free_margin=ZERO if account.balance is None else account.balance.available,
            leverage=self.settings.leverage(account.name, symbol),
            median_hourly=self.markets.median_hourly(exchange, symbol),
        )

    def opportunities(self, now: datetime) -> Opportunities:
        """The candidates of the last full scan, those that may be taken first, then by what they would bring."""
        proposals = self.loop.entries.proposals
        rows = [self._planned(plan, now) for plan in proposals.plans]
        rows += [
            OpportunityRow(
                symbol=refusal.symbol,
                long_exchange=refusal.long_exchange,
                short_exchange=refusal.short_exchange,
                spread_8h=refusal.spread_8h,
                net=refusal.net_usd,
                size_usd=None,
                gate=refusal.gate,
                needed=refusal.needed,
                actual=refusal.actual,
            )
            for refusal in proposals.refusals
        ]
        return Opportunities(self.loop.entries.proposed_at, tuple(sorted(rows, key=_rank, reverse=True)))

    def _planned(self, plan: HedgePlan, now: datetime) -> OpportunityRow:
        refusal = self._judge(plan, now)
        return OpportunityRow(
            symbol=plan.symbol,
            long_exchange=plan.long.instrument.exchange,
            short_exchange=plan.short.instrument.exchange,
            spread_8h=plan.entry_spread,
            net=None if plan.valuation is None else plan.valuation.net,
            size_usd=plan.notional,
            gate=None if refusal is None else refusal.gate,
            needed=None if refusal is None else refusal.needed,
            actual=None if refusal is None else refusal.actual,
        )


def _rank(row: OpportunityRow) -> tuple[bool, bool, Decimal, Decimal]:
    return row.gate is None, row.net is not None, row.net or ZERO, row.spread_8h or ZERO


def fee_lines(valuation: Valuation, rules: EntryRules) -> tuple[FeeLine, ...]:
    """The four fees that ``valuation.fees`` is the sum of: as taker, but for a first leg that may only make."""
    lines = []
    for side, quote in ((Side.LONG, valuation.long), (Side.SHORT, valuation.short)):
        for entry in (True, False):
            makes = entry and rules.post_only and side is valuation.first
            fraction = quote.fee.maker if makes else quote.fee.taker
            lines.append(FeeLine(side, entry, fraction, fraction * valuation.notional))
    return tuple(lines)
