"""What a person asks for, looked at before it is reckoned: is it a pair that is traded here, can it have that size."""

from __future__ import annotations

from decimal import Decimal

from fundingarb.domain.figures import money, price
from fundingarb.domain.instrument import common_lot
from fundingarb.domain.opportunity import Quote
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError

#: Symbols that a refusal names; the rest are counted.
NAMED = 10


class NotReady(ConfigError):
    """Something that a plan is made from is not there at the moment; it may be shortly."""


def check_accounts(state: BotState, long: str, short: str) -> None:
    """Raises ``ConfigError`` unless these are two different accounts of this bot."""
    for account in (long, short):
        if account not in state.accounts:
            raise ConfigError(
                f"account {account} is not configured; there are {', '.join(sorted(state.accounts))}"
            )
    if long == short:
        raise ConfigError(f"long and short must be different accounts; both are {long}")


def check_listed(
    state: BotState, markets: Markets, settings: TradingSettings, symbol: str, long: str, short: str
) -> None:
    """Raises ``ConfigError`` unless ``symbol`` is traded here and listed by the exchanges of both accounts.

    ``NotReady`` where it is configured and was not found there yet: it may have been added just now.
    """
    listing = {exchange for exchange, listed in markets.instruments if listed == symbol}
    if symbol not in settings.wanted and not listing:
        raise ConfigError(
            f"{symbol} is not traded here; write one of {_names(settings)}, or add it to trading.symbols"
        )
    for exchange in dict.fromkeys(state.accounts[account].exchange for account in (long, short)):
        if (exchange, symbol) in markets.gone:
            raise ConfigError(f"{exchange} does not list {symbol} any more; {_elsewhere(listing)}")
        if exchange not in listing:
            raise NotReady(f"{exchange} does not list {symbol}; {_elsewhere(listing)}")


def unpriced(long: Quote, short: Quote, size_usd: Decimal, quantity: Decimal, mid: Decimal) -> str:
    """Why there is no valuation for ``size_usd``, which is ``quantity`` base units at ``mid``, and what to ask for."""
    symbol = long.instrument.symbol
    if quantity <= 0:
        lot = common_lot(long.instrument, short.instrument)
        worth = price((lot * mid).quantize(Decimal("0.01") if lot * mid >= 1 else Decimal("1e-8")))
        return f"{symbol} at {size_usd:f} USD is less than one lot of {lot:f}, which is about {worth}; write more"
    held, exchange = min(
        (sum((size for _, size in levels), Decimal(0)), quote.exchange)
        for quote in (long, short)
        for levels in (quote.book.bids, quote.book.asks)
    )
    return (
        f"{symbol} at {size_usd:f} USD is more than the order book of {exchange} holds, about {money(held * mid)}; "
        "write less"
    )


def _names(settings: TradingSettings) -> str:
    names = sorted(settings.symbols)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _elsewhere(listing: set[str]) -> str:
    return f"choose among {', '.join(sorted(listing))}" if listing else "choose another symbol"
