"""Decimal numbers as most exchanges print them: no exponent, no zeros at the end."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

__all__ = ["EXACT", "decimals_of", "plain", "rounded"]

EXACT = Context(prec=60, rounding=ROUND_HALF_UP)


def plain(value: Decimal) -> str:
    """Without exponent and without zeros at the end: ``0.5``, ``28184.5``, ``0``."""
    shown = format(value, "f")
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return "0" if shown in ("-0", "") else shown


def rounded(value: Decimal, decimals: int = 20) -> str:
    """To so many decimals, half up, without zeros at the end."""
    return plain(value.quantize(Decimal(1).scaleb(-decimals), context=EXACT))


def decimals_of(step: Decimal) -> int:
    """Decimal places of a tick or lot: 2 for 0.01, 0 for 10."""
    exponent = step.normalize(EXACT).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
