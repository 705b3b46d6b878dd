"""The dYdX v4 section of the configuration."""

from __future__ import annotations

from fundingarb.settings import PluginSettings


class DydxSettings(PluginSettings):
    """Nothing can be set yet: the adapter is not part of this release."""
