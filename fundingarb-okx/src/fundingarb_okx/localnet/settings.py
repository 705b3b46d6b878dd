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
    book_snapshots: bool = Field(
        True,
        description="the books channel begins with a snapshot and carries check sums; without, clients start from REST",
    )
