"""Where a dashboard listens and what it is called there. Refuses what would let strangers in."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from fundingarb.errors import ConfigError
from fundingarb.privatefiles import read_private_text
from fundingarb_dashboard.passwords import check_hash
from fundingarb_dashboard.settings import DashboardSettings

__all__ = ["Place", "listen", "place_of"]

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Place:
    """The settings, checked: address, TLS files (None: plain HTTP), and the secrets that the named files hold."""

    host: str
    port: int
    names: tuple[str, ...]
    certificate: Path | None
    key: Path | None
    password_hash: str | None
    metrics_token: str | None

    @property
    def tls(self) -> bool:
        return self.certificate is not None

    def hosts(self, port: int) -> tuple[str, ...]:
        """Every Host header that is answered when it listens on ``port``, in small letters, as browsers send it."""
        usual = 443 if self.tls else 80
        names = [name.lower() for name in self.names]
        return tuple(
            name for each in names for name in ((f"{each}:{port}",) + ((each,) if port == usual else ()))
        )

    def origins(self, port: int) -> frozenset[str]:
        """The origins of its own pages."""
        scheme = "https" if self.tls else "http"
        return frozenset(f"{scheme}://{host}" for host in self.hosts(port))

    def url(self, port: int) -> str:
        """Where to point a browser."""
        return f"{'https' if self.tls else 'http'}://{self.names[0]}:{port}"


def place_of(settings: DashboardSettings) -> Place:
    """The place that ``settings`` describe. Raises `ConfigError` with what is wrong and what to do."""
    try:
        address = ipaddress.ip_address(settings.host)
    except ValueError as error:
        raise ConfigError(
            f"dashboard.host: {settings.host!r} is no IP address; write 127.0.0.1, or the address to listen on"
        ) from error
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise ConfigError("dashboard: TLS needs both tls_certificate and tls_key; set both or neither")
    password = read_private_text(settings.password_file, "dashboard.password_file")
    if password is not None:
        check_hash(password, f"dashboard.password_file {settings.password_file}")
    if not address.is_loopback:
        if settings.tls_certificate is None:
            raise ConfigError(
                f"dashboard.host: {address} can be reached by others; set tls_certificate and tls_key, or 127.0.0.1"
            )
        if password is None:
            raise ConfigError(
                f"dashboard.host: {address} can be reached by others; run `fundingarb dashboard password` first"
            )
        if address.is_unspecified and not settings.names:
            raise ConfigError(
                f"dashboard.names: with host {address} name what browsers will call it, such as [bot.example.org]"
            )
    for name in settings.names:
        if not NAME.fullmatch(name):
            raise ConfigError(f"dashboard.names: {name!r} is no host name; write it without port and scheme")
    for file in (settings.tls_certificate, settings.tls_key):
        if file is not None and not file.expanduser().is_file():
            raise ConfigError(f"dashboard: {file} is not there; correct tls_certificate and tls_key")
    return Place(
        host=str(address),
        port=settings.port,
        names=(*settings.names, *_own_names(address)),
        certificate=settings.tls_certificate and settings.tls_certificate.expanduser(),
        key=settings.tls_key and settings.tls_key.expanduser(),
        password_hash=password,
        metrics_token=_metrics_token(settings.metrics_token_file),
    )


def _own_names(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[str, ...]:
    if address.is_unspecified:
        return ()
    own = f"[{address}]" if address.version == 6 else str(address)
    return (own, "localhost") if address.is_loopback else (own,)


def _metrics_token(path: Path | None) -> str | None:
    if path is None:
        return None
    token = read_private_text(path, "dashboard.metrics_token_file")
    if token is None or len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"dashboard.metrics_token_file: {path} has to hold {SHORTEST_TOKEN} plain characters or more; "
            "write a random token into it"
        )
    return token


def listen(place: Place) -> socket.socket:
    """A listening socket. Raises `ConfigError` when it cannot be had."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        return socket.create_server((place.host, place.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"fundingarb-dashboard: port {place.port} on {place.host} cannot be used "
            f"({os.strerror(error.errno or 0)}); "
            "choose another with the dashboard's setting port, 0 for any free one"
        ) from error
