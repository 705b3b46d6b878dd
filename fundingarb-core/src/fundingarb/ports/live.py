"""From simulation to live: what there is to review, and the switch that only the master password turns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from fundingarb.ports.context import Secret


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was simulated with the configuration in force: ``hours`` of the ``needed`` ones, and in USD what all closed
    hedges brought."""

    at: datetime
    hours: Decimal
    needed: Decimal
    hedges: int
    result: Decimal
    funding: Decimal
    fees: Decimal
    critical_alerts: int


@dataclass(frozen=True, slots=True)
class LiveReview(Simulated):
    """What a simulation has shown, and what is in the way of going live with its configuration.

    ``obstacles`` are sentences that say what to do; while there is one, nobody goes live. ``ticket`` goes with the
    decision: it is good once, for a few minutes and for this configuration; empty while there are obstacles. ``sent``
    says what came of going live since this bot was started; empty before.
    """

    network: str
    obstacles: tuple[str, ...]
    ticket: str
    sent: str


class LiveDesk(Protocol):
    """The way from simulation to live. There is no other, and none without the master password."""

    async def review(self) -> LiveReview:
        """Raises ``StoreError``."""
        ...

    async def go_live(self, password: Secret, ticket: str, actor: str) -> str:
        """Have the next start trade with real money; what to do now, in one sentence. Audited, refused or not.

        A ticket is used up by an attempt, so that no request does anything twice. Raises ``ConfigError`` with what is
        in the way, ``WrongPassword`` (a ``ConfigError``), ``StoreError``.
        """
        ...


class Owner(Protocol):
    """Whoever has the master password: releasing the kill switch takes it where keys come from a vault."""

    async def confirm(self, password: Secret) -> None:
        """Return for the master password; raises ``WrongPassword`` (a ``ConfigError``) for anything else."""
        ...
