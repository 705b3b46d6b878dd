"""What one dollar is worth in another. Hedges may pay in USDT on one exchange and in USDC on the other."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from statistics import median

DOLLAR = "USDT"
"""The dollar that others are measured in."""
PAR = Decimal(1)


def peg_symbol(currency: str) -> str:
    """The symbol of the contract on ``currency`` itself, which some exchanges list."""
    return f"{currency}-{DOLLAR}"


def implied_peg(prices: Iterable[tuple[str, str, Decimal]], currency: str) -> Decimal | None:
    """What ``currency`` is worth in USDT when the same things cost as much everywhere; None while nothing is priced in
    both. ``prices`` are (symbol, settle currency, price) over all exchanges; the median over symbols counts."""
    by_symbol: dict[str, dict[str, list[Decimal]]] = {}
    for symbol, settle, price in prices:
        by_symbol.setdefault(symbol, {}).setdefault(settle, []).append(price)
    ratios = [
        median(priced[DOLLAR]) / median(priced[currency])
        for priced in by_symbol.values()
        if DOLLAR in priced and currency in priced
    ]
    return median(ratios) if ratios else None


def farthest(pegs: Iterable[Decimal]) -> Decimal | None:
    """The one that is farthest from par."""
    return max(pegs, key=lambda peg: abs(peg - PAR), default=None)


def deviation(one: Decimal, other: Decimal = PAR) -> Decimal:
    """How far two dollars are apart, whichever is worth more: by which fraction the dearer one is above the other."""
    return max(one, other) / min(one, other) - PAR
