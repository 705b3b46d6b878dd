"""The dashboard section of the configuration."""

from __future__ import annotations

from pydantic import Field

from fundingarb.settings import PluginSettings


class DashboardSettings(PluginSettings):
    """Where the dashboard listens. It always listens on loopback only."""

    port: int = Field(default=8642, ge=0, le=65535, description="TCP port on 127.0.0.1; 0 takes any free one")
