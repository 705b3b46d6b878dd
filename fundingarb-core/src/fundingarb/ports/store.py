"""The durable truth: what is committed together, what is found again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from fundingarb.domain.control import Accepted, AuditEntry, Command, ControlState, FlattenOrder
from fundingarb.domain.events import Alert, Delivery
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, Intent, OrderRecord
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.order import Fill
from fundingarb.domain.settlement import Settlement
from fundingarb.ports.configuring import ConfigRevision


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are committed together, all or nothing, before anything they allow is done."""

    intents: tuple[Intent, ...] = ()
    orders: tuple[OrderRecord, ...] = ()
    fills: tuple[tuple[Fill, UUID | None], ...] = ()
    payments: tuple[tuple[FundingPayment, UUID | None], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    alerts: tuple[Alert, ...] = ()
    flatten_orders: tuple[FlattenOrder, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    settlements: tuple[Settlement, ...] = ()
    deliveries: tuple[Delivery, ...] = ()

    def __bool__(self) -> bool:
        return any(
            (
                self.intents, self.orders, self.fills, self.payments, self.refusals, self.alerts,
                self.flatten_orders, self.accepted, self.settlements, self.deliveries,
            )
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Committed:
    """What of a batch was new: fills and payments are booked once, however often they are read."""

    fills: tuple[tuple[Fill, UUID | None], ...] = ()
    payments: tuple[tuple[FundingPayment, UUID | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything the loop needs to go on after a restart.

    ``released_at`` is when the kill switch was last released, ``thrown`` who threw it lately and when last,
    ``liquidated`` when the last liquidated hedge of a
    symbol was closed, however long ago. ``last_number`` is the highest that a hedge has ever had.
    """

    hedges: tuple[Hedge, ...]
    killed: bool
    config_revision: int
    paused: bool = False
    released_at: datetime | None = None
    thrown: Mapping[str, datetime] = field(default_factory=dict)
    fills_since: Mapping[str, datetime] = field(default_factory=dict)
    payments_since: Mapping[str, datetime] = field(default_factory=dict)
    liquidated: Mapping[str, datetime] = field(default_factory=dict)
    accepted: tuple[Accepted, ...] = ()
    flatten_orders: tuple[FlattenOrder, ...] = ()
    last_number: int = 0


@dataclass(frozen=True, slots=True)
class HedgeBooks:
    """A hedge with everything that is booked to it, each oldest first."""

    hedge: Hedge
    fills: tuple[Fill, ...] = ()
    payments: tuple[FundingPayment, ...] = ()
    settlements: tuple[Settlement, ...] = ()


class Lease(Protocol):
    """The right to trade: of one database, and of every account in it, one process has it at a time."""

    @property
    def fresh(self) -> bool:
        """Whether it was confirmed recently enough for an order that adds exposure."""
        ...

    async def keep(self) -> str:
        """Confirm it every few (real) seconds; returns only when somebody else has it, saying who."""
        ...


class Store(Protocol):
    """The durable truth. One writer; a returned ``commit`` is on disk (fsync)."""

    async def commit(self, batch: Batch) -> Committed: ...

    async def load(self) -> Checkpoint:
        """Live hedges with their orders, and hedges closed within the last day (their orders are tombstones)."""
        ...

    async def hedges(self, *, limit: int = 1000) -> Sequence[Hedge]:
        """Newest first, live and over."""
        ...

    async def fills(self, hedge_id: UUID | None = None) -> Sequence[Fill]: ...

    async def payments(self, hedge_id: UUID | None = None) -> Sequence[FundingPayment]: ...

    async def result_since(self, accounts: Collection[str], since: datetime) -> Decimal:
        """What was booked to hedges on ``accounts`` from ``since`` on: price results and funding less fees."""
        ...

    async def settlements(
        self, hedge_id: UUID | None = None, *, since: datetime | None = None
    ) -> Sequence[Settlement]:
        """Oldest first, of one hedge or all; with ``since`` those from then on and every older one still unpaid."""
        ...

    async def hedges_at(self, account: str, symbol: str, at: datetime) -> Sequence[Hedge]:
        """The hedges with a leg on ``account`` in ``symbol`` that were live at ``at``, give or take two minutes."""
        ...

    async def refusals(self, *, limit: int = 1000) -> Sequence[Refusal]: ...

    async def refusal_counts(self) -> Mapping[str, int]:
        """Gate -> how many candidates it refused."""
        ...

    async def undelivered(self, since: datetime) -> Sequence[Delivery]:
        """Alerts from ``since`` on that a sink they were meant for has not taken, oldest first."""
        ...

    async def alerts(self, *, limit: int = 100) -> Sequence[Alert]:
        """Newest first."""
        ...

    async def closed(self, *, after: UUID | None = None, limit: int = 100) -> Sequence[HedgeBooks]:
        """Hedges that are over and have held something, the last closed first; ``after`` goes on behind that one."""
        ...

    async def books(self, ids: Collection[UUID]) -> Sequence[HedgeBooks]:
        """Those of these hedges that exist, in no order."""
        ...

    async def blotter(self, *, limit: int = 100) -> Sequence[tuple[OrderRecord, str, str]]:
        """Orders of hedges with their symbol and exchange, the newest first. ``booked`` is not filled in."""
        ...

    async def set_killed(self, killed: bool, actor: str, at: datetime) -> None: ...

    async def set_paused(self, paused: bool, actor: str, at: datetime) -> None:
        """Entries off, or on again, for this process and every later one."""
        ...

    async def control(self) -> ControlState:
        """The kill latch and what is commanded. Polled: cheap."""
        ...

    async def submit_command(self, command: Command) -> Command:
        """Store a command; returns the first one that was stored under its key. A kill latches in the same commit.

        Any process may do this while another one runs the bot.
        """
        ...

    async def take_command(self, command_id: UUID, at: datetime) -> bool:
        """Take a command to execute it; False when it was taken before."""
        ...

    async def report_command(self, command: Command) -> None:
        """Store how far ``command`` is, or its result, together with its audit entry, once it is done."""
        ...

    async def command(self, key: str) -> Command:
        """The command that was stored under ``key``. There has to be one."""
        ...

    async def audit(self, entry: AuditEntry) -> None:
        """Note who did what. A command is noted together with its result; this is for everything else."""
        ...

    async def audited(self, *, limit: int = 100) -> Sequence[AuditEntry]:
        """Newest first."""
        ...

    async def save_config(self, document: Mapping[str, Any], at: datetime, actor: str | None = None) -> int:
        """Store this configuration as a revision that ``actor`` made (the last one when it is the same); returns its
        number."""
        ...

    async def config_revisions(self, *, limit: int | None = 100) -> Sequence[ConfigRevision]:
        """Newest first; every one with None."""
        ...

    async def close(self) -> None: ...
