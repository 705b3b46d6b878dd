"""The Binance section of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from fundingarb.settings import PluginSettings


class BinanceSettings(PluginSettings):
    """How to talk to Binance; the defaults suit everybody. Times are real seconds."""

    optional_credentials: ClassVar[Sequence[str]] = ("ed25519_api_key", "ed25519_private_key")

    recv_window_ms: int = Field(
        3000, ge=500, le=3000, description="how long Binance may take a request after its time"
    )
    request_timeout_seconds: float = Field(10.0, gt=0, le=60)
    stream_stale_seconds: float = Field(
        15.0, gt=0, description="reconnect a market stream that is silent for so long"
    )
    testnet_rest_url: str = Field(
        "https://demo-fapi.binance.com", description="REST host of `network: testnet`"
    )
    testnet_stream_url: str = Field(
        "wss://fstream.binancefuture.com", description="stream host of `network: testnet`"
    )
