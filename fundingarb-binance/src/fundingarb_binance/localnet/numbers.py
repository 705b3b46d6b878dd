"""Decimal numbers with as many digits as Binance prints."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

__all__ = ["decimals_of", "fixed", "money", "plain"]


def fixed(value: Decimal, places: int, rounding: str = ROUND_HALF_UP) -> str:
    """Exactly ``places`` decimals; never a negative zero."""
    number = value.quantize(Decimal(1).scaleb(-places), rounding)
    return f"{number if number else abs(number):f}"


def money(value: Decimal) -> str:
    """An amount of the margin asset: eight decimals."""
    return fixed(value, 8)


def plain(value: Decimal, places: int = 8, least: int = 1) -> str:
    """At most ``places`` decimals (cut off), trailing zeros dropped down to ``least``: 22185.2, 0.0."""
    text = fixed(value, places, ROUND_DOWN)
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(least, "0")
    return f"{whole}.{fraction}" if fraction else whole


def decimals_of(step: Decimal) -> int:
    """Decimal places of a tick or lot: 2 for 0.10, 0 for 10."""
    exponent = step.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
