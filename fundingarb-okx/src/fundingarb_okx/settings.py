"""The OKX section of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from fundingarb.settings import PluginSettings


class OkxSettings(PluginSettings):
    """How to talk to OKX; the defaults suit everybody but accounts of its regional sites. Times are real seconds."""

    credentials: ClassVar[Sequence[str]] = ("api_key", "api_secret", "passphrase")

    order_window_ms: int = Field(
        3000, ge=500, le=3000, description="how long OKX may take an order after it was sent (`expTime`)"
    )
    request_timeout_seconds: float = Field(10.0, gt=0, le=60)
    stream_stale_seconds: float = Field(
        15.0, gt=0, description="reconnect a stream that is silent for so long"
    )
    rest_url: str = Field(
        "https://www.okx.com",
        description="REST host, of demo trading too; the site the account belongs to",
    )
    stream_url: str = Field("wss://ws.okx.com:8443", description="stream host of `network: mainnet`")
    testnet_stream_url: str = Field(
        "wss://wspap.okx.com:8443", description="stream host of `network: testnet` (demo trading)"
    )
