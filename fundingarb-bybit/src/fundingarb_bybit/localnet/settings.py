"""Settings of the offline Bybit."""

from __future__ import annotations

from pydantic import Field

from fundingarb.settings import PluginSettings

__all__ = ["BybitLocalnetSettings"]


class BybitLocalnetSettings(PluginSettings):
    """What differs between Bybit accounts; the market, the accounts and the faults belong to the localnet itself."""

    disconnect_protection: bool = Field(
        False, description="accounts have DCP for derivatives, which Bybit grants on application only"
    )
