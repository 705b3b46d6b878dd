"""Figures as people read them."""

from __future__ import annotations

from decimal import Decimal


def money(amount: Decimal) -> str:
    """``$1,234.56``; a loss as ``-$1,234.56``."""
    text = f"{abs(amount):,.2f}"
    return f"{'-' if amount < 0 and text.strip('0.') else ''}${text}"


def price(value: Decimal | None) -> str:
    """``$42,150.00``, with as many digits as a price has."""
    if value is None:
        return "unknown"
    whole, _, fraction = f"{value:,.12f}".rstrip("0").partition(".")
    return f"${whole}.{fraction:0<2}"
