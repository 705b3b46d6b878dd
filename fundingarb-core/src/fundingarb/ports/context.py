"""What every component is opened with: a clock, credentials, where the exchanges are."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from fundingarb.domain.opportunity import EntryRules
from fundingarb.errors import ConfigError
from fundingarb.redaction import hide


class Secret:
    """A string that does not show itself: ``reveal()`` is the only way to it, and logs and alerts hide it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        hide(value)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


class Clock(Protocol):
    """Where time comes from. ``now`` may run ``speed`` times faster than the wall; ``monotonic`` is real seconds."""

    @property
    def speed(self) -> float: ...

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def time(self) -> float:
        """``now`` as unix seconds."""
        ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None:
        """Sleep ``seconds`` of this clock's time."""
        ...


@dataclass(frozen=True, slots=True)
class AccountCredentials:
    """One named set of credentials. ``values`` keys are the exchange's own (``api_key``, ``api_secret``, ...)."""

    name: str
    values: Mapping[str, Secret]


@dataclass(frozen=True)
class OpenContext:
    """What a component is opened with.

    ``account`` is None for an adapter that only reads public data. ``endpoints`` (name -> URL) replace the exchange's
    own hosts on a localnet; ``ssl`` trusts the localnet's certificate authority when it serves TLS. ``secrets`` are
    the vault's named secrets (those that are no account's), for alert sinks and services. The rest are the ``trading``
    section's entry rules, no-trade guard around settlements and forecast, for strategies.
    """

    name: str
    clock: Clock
    network: str
    account: AccountCredentials | None = None
    symbols: Sequence[str] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    ssl: ssl.SSLContext | None = None
    ca_file: str | None = None
    rules: EntryRules = field(default_factory=EntryRules)
    settlement_guard: timedelta = timedelta(seconds=60)
    forecast_half_life: timedelta = timedelta(hours=8)
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    def secret(self, name: str) -> Secret:
        """The vault's secret of that name. Raises ``ConfigError`` when there is none, or no vault was opened."""
        if name not in self.secrets:
            raise ConfigError(
                f"{self.name}: the vault has no secret {name}; add it with: fundingarb vault add secret {name}"
            )
        return self.secrets[name]
