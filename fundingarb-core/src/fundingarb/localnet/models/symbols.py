"""The markets of the localnet when nobody says otherwise."""

from __future__ import annotations

from fundingarb.localnet.models.base import ModelSymbol

__all__ = ["DEFAULT_SYMBOLS", "by_name"]

DEFAULT_SYMBOLS = (
    ModelSymbol("BTC-USDT", "BTC", "USDT", 94_000.0, major=True),
    ModelSymbol("ETH-USDT", "ETH", "USDT", 3_250.0, major=True),
    ModelSymbol("SOL-USDT", "SOL", "USDT", 186.0, major=True),
    ModelSymbol("XRP-USDT", "XRP", "USDT", 2.15, major=True),
    ModelSymbol("DOGE-USDT", "DOGE", "USDT", 0.318),
    ModelSymbol("LINK-USDT", "LINK", "USDT", 21.4),
    ModelSymbol("AVAX-USDT", "AVAX", "USDT", 37.2),
    ModelSymbol("PEPE-USDT", "PEPE", "USDT", 0.0000184, multiplier=1000),
    ModelSymbol("WIF-USDT", "WIF", "USDT", 1.92),
    ModelSymbol("ORDI-USDT", "ORDI", "USDT", 24.6),
)
"""Prices are only where the model starts from. PEPE is listed as 1000PEPE where contracts are small."""


def by_name(symbol: str) -> ModelSymbol | None:
    """The default symbol of that name."""
    return next((one for one in DEFAULT_SYMBOLS if one.symbol == symbol), None)
