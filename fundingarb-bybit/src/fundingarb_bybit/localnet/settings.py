"""Settings of the offline Bybit."""

from __future__ import annotations

from fundingarb.settings import PluginSettings

__all__ = ["BybitLocalnetSettings"]


class BybitLocalnetSettings(PluginSettings):
    """Nothing to set: the market, the accounts and the faults belong to the localnet itself."""
