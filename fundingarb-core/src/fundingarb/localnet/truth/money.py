"""Exact decimal arithmetic, whatever context the calling thread happens to have."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

__all__ = ["MONEY", "exact", "from_float", "is_multiple", "place_value", "rounded"]

P = ParamSpec("P")
T = TypeVar("T")

MONEY = Context(prec=60, traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow])
"""Sums and products of anything a venue quotes are exact here; only divisions round, at the 60th digit."""


def exact(function: Callable[P, T]) -> Callable[P, T]:
    """Run ``function`` in the ``MONEY`` context."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        with localcontext(MONEY):
            return function(*args, **kwargs)

    return inner


@lru_cache(maxsize=64)
def place_value(decimals: int) -> Decimal:
    """1 in the last of so many decimal places: 0.01 for 2."""
    return Decimal(1).scaleb(-decimals)


def rounded(value: Decimal, decimals: int, rounding: str) -> Decimal:
    """``value`` to so many places; a zero comes back without sign."""
    result = value.quantize(place_value(decimals), rounding=rounding, context=MONEY)
    return result if result else abs(result)


def from_float(value: float, decimals: int) -> Decimal:
    """A model's float as a decimal with so many places."""
    return Decimal(f"{value:.{decimals}f}") + 0


def is_multiple(value: Decimal, step: Decimal) -> bool:
    return not MONEY.remainder(value, step)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of ``step`` not above ``value``."""
    return MONEY.multiply((value / step).to_integral_value(ROUND_FLOOR), step)


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of ``step`` not below ``value``."""
    return MONEY.multiply((value / step).to_integral_value(ROUND_CEILING), step)
