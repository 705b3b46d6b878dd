"""The journal of simulated hours: stretches of time, each authenticated with the vault's key.

A stretch is an audit row that only a bot with the open vault can write. Rows that were made up or changed in the
database do not count, and a stretch that is there twice counts once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fundingarb.domain.control import AuditEntry
from fundingarb.ports import Secret

COMMAND = "SIMULATED"
LONGEST = timedelta(hours=2)
"""Of a stretch: a bot writes one at least so often."""
ACTOR = "program"


@dataclass(frozen=True, slots=True)
class Stretch:
    """From ``since`` until ``until`` a bot simulated the configuration of this digest on ``network``."""

    network: str
    configuration: str
    since: datetime
    until: datetime

    def entry(self, key: Secret) -> AuditEntry:
        """The audit row of it."""
        arguments = {**self._told(), "mac": self._mac(key)}
        return AuditEntry(self.until, ACTOR, COMMAND, arguments, True, "simulated")

    def _told(self) -> dict[str, str]:
        return {
            "network": self.network,
            "configuration": self.configuration,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
        }

    def _mac(self, key: Secret) -> str:
        text = json.dumps(["fundingarb simulated", self._told()], sort_keys=True).encode()
        return hmac.new(bytes.fromhex(key.reveal()), text, hashlib.sha256).hexdigest()

    @classmethod
    def read(cls, arguments: Mapping[str, Any], key: Secret) -> Stretch | None:
        """The stretch of an audit row; None for one that was not written by a bot with the vault's key."""
        try:
            since, until = (datetime.fromisoformat(arguments[name]) for name in ("since", "until"))
            found = cls(str(arguments["network"]), str(arguments["configuration"]), since, until)
            sound = timedelta(0) < until - since <= LONGEST
            mac = str(arguments["mac"])
        except (KeyError, TypeError, ValueError):
            return None
        return found if sound and hmac.compare_digest(mac.encode(), found._mac(key).encode()) else None


def simulated(entries: Iterable[AuditEntry], key: Secret, configuration: str) -> timedelta:
    """How long ``configuration`` was simulated on testnet, by the journal in the audit."""
    stretches = sorted(
        (stretch.since, stretch.until)
        for entry in entries
        if entry.command == COMMAND
        and (stretch := Stretch.read(entry.arguments, key)) is not None
        and (stretch.network, stretch.configuration) == ("testnet", configuration)
    )
    total, counted_to = timedelta(0), None
    for since, until in stretches:
        start = since if counted_to is None else max(since, counted_to)
        if until > start:
            total += until - start
            counted_to = until
    return total
