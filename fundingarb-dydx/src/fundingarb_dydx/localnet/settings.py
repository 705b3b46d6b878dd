"""Settings of the offline dYdX."""

from __future__ import annotations

from pydantic import Field

from fundingarb.settings import PluginSettings

__all__ = ["DydxLocalnetSettings"]


class DydxLocalnetSettings(PluginSettings):
    """What differs between dYdX chains; the market, the accounts and the faults belong to the localnet itself."""

    block_time: float = Field(
        1.0, gt=0, le=60, description="simulated seconds from block to block (never less than 0.05 real ones)"
    )
    rate_limits: bool = Field(
        True, description="answer 429 to an address that asks the indexer more than 100 times in 10 seconds"
    )
