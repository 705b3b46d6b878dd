"""What a bot finds around it: the clock, where the exchanges are and with what keys, what opens the vault."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fundingarb.engine.clock import ScaledClock, SystemClock
from fundingarb.errors import ConfigError
from fundingarb.ports import AccountCredentials, Clock, Secret
from fundingarb.vault import Vault


@dataclass(frozen=True)
class Venue:
    """Where one exchange is: endpoint overrides (empty: its own hosts) and the credentials of its accounts."""

    endpoints: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, AccountCredentials] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What the configuration does not say: the clock, where the exchanges are, whom to trust.

    On a localnet it is read from the ready file that ``fundingarb localnet`` writes; ``run`` names that localnet.
    ``unlock`` opens the credentials vault: the keys of testnet and mainnet come from nowhere else. On a localnet it
    is only asked for other secrets, where it is given.
    """

    clock: Clock = field(default_factory=SystemClock)
    venues: Mapping[str, Venue] = field(default_factory=dict)
    ca_file: str | None = None
    run: str | None = None
    unlock: Callable[[], Vault] | None = None

    @property
    def ssl(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None


def read_ready_file(path: Path) -> Surroundings:
    """The localnet that wrote ``path``. Raises ``ConfigError`` when there is none to be found there."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"ready file {path}: {error.strerror}; start `fundingarb localnet --ready-file {path}` first"
        ) from error
    except ValueError as error:
        raise ConfigError(f"ready file {path} is not JSON; start `fundingarb localnet` again") from error
    try:
        return surroundings(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"ready file {path} lacks {error}; start `fundingarb localnet` again") from error


def surroundings(document: Mapping[str, Any]) -> Surroundings:
    """A ready document, read."""
    clock = document["clock"]
    venues = {
        name: Venue(
            endpoints={"rest": venue["rest"], "ws": venue["ws"], **venue["endpoints"]},
            accounts={account["name"]: _credentials(account) for account in venue["accounts"]},
        )
        for name, venue in document["exchanges"].items()
    }
    return Surroundings(
        ScaledClock(clock["epoch"], clock["monotonic"], clock["speed"]),
        venues,
        document.get("ca"),
        document.get("run"),
    )


def _credentials(account: Mapping[str, Any]) -> AccountCredentials:
    values = {
        "api_key": account["api_key"],
        "api_secret": account["api_secret"],
        **account.get("credentials", {}),
    }
    return AccountCredentials(account["name"], {key: Secret(str(value)) for key, value in values.items()})
