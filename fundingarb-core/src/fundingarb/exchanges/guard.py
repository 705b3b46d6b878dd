"""No request of one network ever reaches a host of another: checked when an adapter opens, and again at the transport.

An adapter says with ``Hosts`` which of its exchange's hosts are live and which its test environment. Every request and
every stream of a session goes through the check below the HTTP client's own door, whoever made it and however its
address came about: what is refused there was not sent. A redirect is never followed. The keys are kept apart besides
(the vault has them by network).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp

from fundingarb.errors import ConfigError

__all__ = ["NO_HOSTS", "Hosts", "NetworkGuard", "WrongNetwork"]


class WrongNetwork(aiohttp.ClientError):
    """A request that would have gone to a host of another network, or to one that it was redirected to. It was not
    sent."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Host names of an exchange, as patterns (``*.example.com``).

    ``simulated`` is its own test environment and wins over ``live``. ``marker`` is the header (name, value) that makes
    a request to a live host one of the simulation, where the exchange works like that. ``others``: hosts that are
    neither may be used too, because a signature there says itself which network it is for (a chain's nodes).
    """

    live: Sequence[str] = ()
    simulated: Sequence[str] = ()
    marker: tuple[str, str] | None = None
    others: bool = False


NO_HOSTS = Hosts()
"""Of an adapter that says nothing: it can be used on a localnet only."""


@dataclass(frozen=True, slots=True)
class NetworkGuard:
    """What an adapter of ``exchange`` may reach on ``network``."""

    exchange: str
    network: str
    hosts: Hosts

    def flaw(self, url: str, headers: Mapping[str, str]) -> str | None:
        """Why this request must not be sent; None when it may."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower().rstrip(".")
        if self.network == "localnet":
            return None if loopback(host) else f"network localnet does not reach {host}"
        if parts.scheme not in ("https", "wss"):
            return f"network {self.network} is reached with TLS only, not {parts.scheme}"
        simulated, live = _matches(host, self.hosts.simulated), _matches(host, self.hosts.live)
        marked = self._marked(headers)
        if self.network == "testnet":
            if simulated or (live and marked):
                return None
            if live:
                return f"network testnet does not reach the live host {host}" + self._unmarked()
        elif self.network == "mainnet":
            if simulated:
                return f"network mainnet does not reach {host}, a host of the exchange's test environment"
            if marked:
                return "network mainnet sends nothing marked as simulated"
            if live:
                return None
        return None if self.hosts.others and host else f"network {self.network} does not know the host {host}"

    def assert_url(self, url: str, headers: Mapping[str, str]) -> None:
        """For the start: ``ConfigError`` when nothing must be sent to ``url``."""
        flaw = self.flaw(url, headers)
        if flaw is not None:
            raise ConfigError(f"{self.exchange}: {flaw}; correct the addresses in exchanges.{self.exchange}")

    def assert_urls(self, urls: Iterable[object], headers: Mapping[str, str]) -> None:
        """``assert_url`` of everything in ``urls`` that is an address."""
        for url in urls:
            if isinstance(url, str) and "://" in url:
                self.assert_url(url, headers)

    def trace(self) -> aiohttp.TraceConfig:
        """For an HTTP session: raises ``WrongNetwork`` instead of sending, for streams too; no redirect is followed."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._on_request_start)
        config.on_request_redirect.append(self._on_request_redirect)
        return config

    async def _on_request_start(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        flaw = self.flaw(str(params.url), params.headers)
        if flaw is not None:
            raise WrongNetwork(f"{self.exchange}: {flaw}; nothing was sent")

    async def _on_request_redirect(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestRedirectParams,
    ) -> None:
        # Where it leads is not asked: whoever is sent a login or a key is said in the settings, not in an answer.
        answer = params.response
        answer.close()
        host = _host(answer.headers.get("Location", "")) or "another address"
        raise WrongNetwork(
            f"{self.exchange}: {params.url.host} redirects to {host}; nothing was sent there, "
            f"look at the addresses in exchanges.{self.exchange}"
        )

    def _marked(self, headers: Mapping[str, str]) -> bool:
        if self.hosts.marker is None:
            return False
        name, value = self.hosts.marker
        found = [given for key, given in headers.items() if key.lower() == name.lower()]
        return bool(found) and (self.network == "mainnet" or set(found) == {value})

    def _unmarked(self) -> str:
        return "" if self.hosts.marker is None else f" without the header {self.hosts.marker[0]}"


def _host(url: str) -> str:
    """The host of an address that somebody else wrote; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def loopback(host: str) -> bool:
    """Whether a host name is this machine and no other."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matches(host: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(host, pattern) for pattern in patterns)
