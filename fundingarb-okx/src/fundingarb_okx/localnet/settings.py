"""Settings of the offline OKX."""

from __future__ import annotations

from pydantic import Field

from fundingarb.settings import PluginSettings

__all__ = ["OkxLocalnetSettings"]


class OkxLocalnetSettings(PluginSettings):
    """What differs between OKX environments; the market, the accounts and the faults belong to the localnet itself."""

    simulated: bool = Field(
        False,
        description="play OKX's demo environment: requests need the header x-simulated-trading: 1",
    )
    rate_limits: bool = Field(True, description="answer 50011 to what asks too often")
    book_snapshots: bool = Field(
        True,
        description="begin the channel `books` with a snapshot and add check sums, as OKX did and ccxt expects",
    )
    funding_seconds: float = Field(
        30.0, gt=0, description="seconds between two pushes of a funding rate (30 to 90 on OKX)"
    )
