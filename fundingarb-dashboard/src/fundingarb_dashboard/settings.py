"""The dashboard section of the configuration."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from fundingarb.settings import PluginSettings

__all__ = ["DEFAULT_PASSWORD_FILE", "DashboardSettings"]

DEFAULT_PASSWORD_FILE = Path("~/.config/fundingarb/dashboard.password")


class DashboardSettings(PluginSettings):
    """Where the dashboard listens, and who gets in. Anything but loopback needs TLS and a password."""

    host: str = Field(
        default="127.0.0.1",
        description="IP address to listen on; other than loopback needs TLS and a password",
    )
    port: int = Field(default=8642, ge=0, le=65535, description="TCP port; 0 takes any free one")
    names: tuple[str, ...] = Field(
        default=(),
        description="host names browsers reach it by, beside the address itself; others are refused",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of the certificate and its chain"
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key")
    password_file: Path = Field(
        default=DEFAULT_PASSWORD_FILE,
        description="what `fundingarb dashboard password` wrote; without the file a one-time link is printed",
    )
    metrics_token_file: Path | None = Field(
        default=None,
        description="file with the bearer token of /metrics, 16 characters or more; without it none",
    )
