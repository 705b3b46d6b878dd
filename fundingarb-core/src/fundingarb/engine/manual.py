"""Hedges a person asks for: the same plan, valued the same way, without threshold and window."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from fundingarb.domain.figures import money
from fundingarb.domain.instrument import common_lot, floor_to
from fundingarb.domain.opportunity import (
    DepthSlippage,
    EntryRules,
    HedgePlan,
    Quote,
    RateForecast,
    index_deviation,
    plan_of,
    value,
)
from fundingarb.engine.account import Account
from fundingarb.engine.asked import NotReady, lacking, unpriced
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.errors import ConfigError
from fundingarb.ports import MarketView


def manual_plan(
    view: MarketView,
    state: BotState,
    markets: Markets,
    symbol: str,
    accounts: tuple[Account, Account],
    size_usd: Decimal,
    rules: EntryRules,
    forecast: RateForecast,
    now: datetime,
) -> HedgePlan:
    """The plan for ``size_usd`` of ``symbol`` between two accounts of this bot.

    Raises ``ConfigError`` with what is in the way; what is in the way for now only is ``NotReady``: a book that was
    just lost, a balance that is read anew.
    """
    long, short = (account.name for account in accounts)
    long_quote, short_quote = (_quote(view, state, markets, symbol, account) for account in accounts)
    mid, other = long_quote.book.mid, short_quote.book.mid
    if mid is None or other is None:
        thin = long if mid is None else short
        raise NotReady(f"the order book of {symbol} on {thin} is empty or crossed; try again")
    deviation = index_deviation(long_quote.rate, short_quote.rate)
    if deviation is None or deviation > rules.max_index_deviation:
        apart = "unknown" if deviation is None else f"{deviation:.2%} apart".replace("%", " %")
        raise ConfigError(
            f"{symbol}: the index prices of {long} and {short} are {apart}, which is more than "
            f"{rules.max_index_deviation:.2%}; they may not be the same asset"
        )
    quantity = floor_to(size_usd / mid, common_lot(long_quote.instrument, short_quote.instrument))
    valuation = value(long_quote, short_quote, quantity, rules, DepthSlippage(), forecast, now)
    if valuation is None:
        raise ConfigError(unpriced(long_quote, short_quote, size_usd, quantity, mid))
    plan = plan_of(valuation, view.tolerance(symbol), origin="manual")
    for leg in (plan.long, plan.short):
        if not leg.instrument.tradable(plan.quantity, mid):
            least = max(leg.instrument.min_notional, leg.instrument.min_quantity * mid)
            raise ConfigError(
                f"{size_usd} USD is below the minimum of {leg.instrument.exchange} for {symbol}, "
                f"about {money(least)}; write more"
            )
    return plan


def _quote(view: MarketView, state: BotState, markets: Markets, symbol: str, account: Account) -> Quote:
    for quote in view.quotes(account.exchange, symbol):
        if quote.account == account.name:
            return quote
    raise NotReady(lacking(state, markets, account, symbol, to_open=True))
