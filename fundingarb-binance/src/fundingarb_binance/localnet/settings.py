"""Settings of the Binance dialect."""

from __future__ import annotations

from pydantic import Field

from fundingarb.settings import PluginSettings

__all__ = ["LISTEN_KEY_SECONDS", "BinanceLocalnetSettings"]

LISTEN_KEY_SECONDS = 3600.0
"""Real seconds for which a listen key is good without a keep-alive."""


class BinanceLocalnetSettings(PluginSettings):
    """What may differ from the real exchange."""

    listen_key_seconds: float = Field(
        default=LISTEN_KEY_SECONDS,
        gt=0,
        description="Real seconds a listen key is good without a keep-alive.",
    )
