"""Which leverage applies: a pure function of the configuration's tables."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT = "default"
"""The key of a table that stands for every symbol not named."""

FALLBACK = 1
"""When no table says anything."""


def leverage_for(
    account: str,
    exchange: str,
    symbol: str,
    by_name: Mapping[str, Mapping[str, int]],
    trading: Mapping[str, int],
) -> int:
    """The first of account.symbol, account, exchange.symbol, exchange, trading.symbol, trading.default.

    ``by_name`` has one table per account or exchange, ``trading`` is the table for all; each maps symbols and
    ``default`` to leverage. An account named like its exchange is both.
    """
    for table in (by_name.get(account, {}), by_name.get(exchange, {}), trading):
        for key in (symbol, DEFAULT):
            if key in table:
                return table[key]
    return FALLBACK
