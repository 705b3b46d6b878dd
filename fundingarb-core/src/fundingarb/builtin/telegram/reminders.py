"""CRITICAL alerts that nobody has acknowledged yet: kept in a file, and said again until somebody does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fundingarb.builtin.telegram.files import read_document, write_document
from fundingarb.builtin.telegram.text import written
from fundingarb.errors import ConfigError

log = logging.getLogger("fundingarb.telegram")

MOST = 200
"""Alerts that are kept; the oldest go first."""
LISTED = 20
WHAT = "the Telegram reminders"


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """A CRITICAL alert that was delivered. ``at`` is when it happened, as text; ``times`` how often it was sent."""

    number: int
    headline: str
    text: str
    at: str
    times: int = 1


class Reminders:
    """What has to be acknowledged; ``every`` are real seconds between two times it is said."""

    def __init__(self, path: Path, every: float, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._every = every
        self._monotonic = monotonic
        self._alerts: list[Unacknowledged] = []
        self._next_at = monotonic()
        self._last = 0
        self._load()

    def __len__(self) -> int:
        return len(self._alerts)

    @property
    def alerts(self) -> Sequence[Unacknowledged]:
        """The oldest first."""
        return tuple(self._alerts)

    def next_number(self) -> int:
        """The number of the alert that is about to be sent."""
        self._last += 1
        return self._last

    def sent(self, alert: Unacknowledged) -> None:
        """It was delivered for the first time."""
        if not self._alerts:
            self._next_at = self._monotonic() + self._every
        self._alerts.append(alert)
        del self._alerts[:-MOST]
        self._save()

    def due(self) -> str | None:
        """What is to be said now, None when nothing is."""
        if not self._alerts or self._monotonic() < self._next_at:
            return None
        if len(self._alerts) == 1:
            return f"🔁 Not acknowledged yet ({self._alerts[0].at})\n{self._alerts[0].text}"
        listed = self._alerts[-LISTED:]
        lines = [f"🔁 🔴 CRITICAL | {len(self._alerts)} alerts are not acknowledged"]
        lines += [f"{alert.at} {alert.headline}" for alert in listed]
        if len(self._alerts) > LISTED:
            lines.append(f"and {len(self._alerts) - LISTED} older ones")
        return written(lines)

    def said_again(self) -> None:
        """They were delivered again."""
        self._next_at = self._monotonic() + self._every
        self._alerts = [replace(alert, times=alert.times + 1) for alert in self._alerts]

    def acknowledge(self, number: int, *, and_older: bool) -> int:
        """Somebody has read that alert, or all up to it; how many are done with."""
        left = [
            alert
            for alert in self._alerts
            if alert.number != number and not (and_older and alert.number < number)
        ]
        done = len(self._alerts) - len(left)
        self._alerts = left
        if done:
            self._save()
        return done

    @property
    def newest(self) -> int:
        """The number of the newest one."""
        return self._alerts[-1].number if self._alerts else 0

    def _load(self) -> None:
        try:
            document = read_document(self._path, WHAT)
            self._alerts = [Unacknowledged(**each) for each in document.get("alerts", [])]
            self._last = int(document.get("last", 0))
        except (ConfigError, TypeError, ValueError) as error:
            log.warning("what was not acknowledged before is not known: %s", error)

    def _save(self) -> None:
        document = {"alerts": [asdict(alert) for alert in self._alerts], "last": self._last}
        try:
            write_document(self._path, document, WHAT)
        except ConfigError as error:  # they are repeated all the same, but not after a restart
            log.warning("what is not acknowledged yet is in memory only: %s", error)
