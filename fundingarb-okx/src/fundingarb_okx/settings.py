"""The OKX section of the configuration."""

from __future__ import annotations

from fundingarb.settings import PluginSettings


class OkxSettings(PluginSettings):
    """Nothing can be set yet: the adapter is not part of this release."""
