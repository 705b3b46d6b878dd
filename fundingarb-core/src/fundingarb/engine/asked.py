"""What a person asks for, looked at before it is reckoned: is it a pair that is traded here, can it have that size."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import isinf

from fundingarb.domain.figures import money, price
from fundingarb.domain.instrument import common_lot
from fundingarb.domain.opportunity import Quote
from fundingarb.engine.account import Account
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError

#: Symbols that a refusal names; the rest are counted.
NAMED = 10


class NotReady(ConfigError):
    """Something that a plan is made from is not there at the moment; it may be shortly."""


def account_named(state: BotState, name: str) -> Account:
    """The account of that name, or the only one on the exchange of that name.

    Raises ``ConfigError`` with the names there are, or those that an exchange's name may mean.
    """
    if name in state.accounts:
        return state.accounts[name]
    found = [each for each in state.accounts.values() if each.exchange == name]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(sorted(each.name for each in found))
        raise ConfigError(f"{name} has several accounts; name one of {several}")
    raise ConfigError(f"account {name} is not configured; there are {', '.join(sorted(state.accounts))}")


def accounts_named(state: BotState, long: str, short: str) -> tuple[Account, Account]:
    """The two accounts of a hedge by their names (``account_named``). Raises ``ConfigError`` also when it is one."""
    one, other = account_named(state, long), account_named(state, short)
    if one is other:
        raise ConfigError(f"long and short must be different accounts; both are {one.name}")
    return one, other


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


def lacking(state: BotState, markets: Markets, account: Account, symbol: str, *, to_open: bool) -> str | None:
    """What is not known at the moment of ``symbol`` on ``account``, one by one, and what to do; None when all is.

    ``to_open``: with what a hedge needs to be opened, beyond being reckoned.
    """
    exchange = account.exchange
    wants = list(_of_market(markets, exchange, symbol))
    if symbol not in account.fees:
        wants.append(f"the fee tier of {symbol} (not read yet)")
    if to_open and account.free_balance is None:
        wants.append(f"its balance ({'not read yet' if account.balance is None else 'being read anew'})")
    if to_open and exchange in state.down:
        wants.append(f"an answer of {exchange} (its requests fail and are held back)")
    if wants:
        where = account.name if account.name == exchange else f"{account.name} ({exchange})"
        return (
            f"{where} lacks {', '.join(wants)}; wait a moment and try again, and if it stays so look whether "
            f"{exchange} can be reached (fundingarb doctor)"
        )
    if to_open and account.halted is not None:
        return f"{account.name} takes no new hedge: {account.halted}; try again when that is over (fundingarb status)"
    return None


def _of_market(markets: Markets, exchange: str, symbol: str) -> Iterator[str]:
    if markets.fresh_rate(exchange, symbol) is None:
        age = markets.age(exchange)
        if age > markets.stale_after:
            since = "never heard yet" if isinf(age) else f"{exchange} not heard for {age:.0f} s"
        elif markets.book.get(exchange, symbol) is None:
            since = "none told yet"
        else:
            since = "the settlement it was for is over"
        yield f"a fresh funding rate of {symbol} ({since})"
    if markets.fresh_book(exchange, symbol) is None:
        age = markets.book_age(exchange, symbol)
        yield f"a fresh order book of {symbol} ({'none told yet' if isinf(age) else f'the last is {age:.0f} s old'})"


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
