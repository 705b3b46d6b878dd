"""The two stores: ``SqlStore`` with a writer thread for the program, ``InlineStore`` for the simulation."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import anyio

from fundingarb.domain.control import AuditEntry, Command, ControlState, Latch
from fundingarb.domain.events import Alert, Delivery
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, OrderRecord
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.order import Fill
from fundingarb.domain.settlement import Settlement
from fundingarb.ports import Batch, Checkpoint, Clock, Committed, ConfigRevision, HedgeBooks
from fundingarb.store import reading, reports
from fundingarb.store.database import parse_url
from fundingarb.store.lease import LeaseRow, read_leases
from fundingarb.store.session import Failed, Session
from fundingarb.store.writer import SessionThread

CLOSE_SECONDS = 10


class SqlStore:
    """The durable truth in a database. One thread writes; what the bot needs is read on another connection, and what
    only people look at on a third: however much they ask for, a command or a ledger's row never waits behind it.

    ``commit`` returns when the batch is on disk. Batches that wait at the same time share one transaction and one
    sync to disk; each is still stored whole or not at all, and one that cannot be stored fails alone.

    A commit that raised StoreError may be repeated as it is: rows are found again by client order id, hedge id and
    version, trade id, settlement. That is harmless also when the connection died while the first attempt was being
    committed and nobody knows whether it was; what that attempt stored for the first time is reported as new by
    the repetition. (Only the counts of the why-not ledger may then count a refusal twice.)
    """

    def __init__(
        self, writer: SessionThread, reader: SessionThread, reporter: SessionThread, instance: str | None
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._reporter = reporter
        self.instance = instance

    async def commit(self, batch: Batch) -> Committed:
        if not batch:
            return Committed()
        return await self._writer.commit(batch)

    async def load(self) -> Checkpoint:
        return await self._writer.run(Session.load)

    async def set_killed(self, killed: bool, actor: str, at: datetime) -> None:
        await self._writer.run(lambda session: session.set_killed(killed, actor, at))

    async def set_paused(self, paused: bool, actor: str, at: datetime) -> None:
        await self._writer.run(lambda session: session.set_paused(paused, actor, at))

    async def control(self) -> ControlState:
        return await self._reader.read(partial(reading.control_state, instance=self.instance))

    async def submit_command(self, command: Command) -> Command:
        return await self._writer.run(lambda session: session.submit_command(command))

    async def take_command(self, command_id: UUID, at: datetime) -> bool:
        return await self._writer.run(lambda session: session.take_command(command_id, at))

    async def report_command(self, command: Command) -> None:
        await self._writer.run(lambda session: session.report_command(command))

    async def command(self, key: str) -> Command:
        return await self._reader.read(partial(reading.command_of_key, instance=self.instance, key=key))

    async def leases(self) -> Sequence[LeaseRow]:
        """Who trades which account, as the rows say."""
        return await self._reader.read(read_leases)

    async def latch(self) -> Latch | None:
        """The kill switch as it was last set or released; None when it was never touched."""
        return await self._reader.read(partial(reading.latch, instance=self.instance))

    async def pause(self) -> Latch | None:
        """As ``latch``: whether, and by whom, entries were switched off."""
        return await self._reader.read(partial(reading.latch, instance=self.instance, name=reading.PAUSED))

    async def glance(self) -> Checkpoint:
        """What ``load`` gives, as of one moment, while another process may be writing."""
        return await self._reader.run(Session.load)

    async def save_config(self, document: Mapping[str, Any], at: datetime, actor: str | None = None) -> int:
        return await self._writer.run(lambda session: session.save_config(document, at, actor))

    async def localnet_run(self, run: str, at: datetime) -> str:
        """The localnet run that this database belongs to: ``run`` from now on, unless it has hedges of another."""
        return await self._writer.run(lambda session: session.localnet_run(run, at))

    async def live_mark(self) -> str | None:
        """The mark of the approval for live trading that this database is used with; None when there is none."""
        return await self._writer.run(lambda session: session.live_mark())

    async def set_live_mark(self, mark: str, at: datetime) -> None:
        await self._writer.run(lambda session: session.set_live_mark(mark, at))

    async def hedges(self, *, limit: int = 1000) -> Sequence[Hedge]:
        return await self._reporter.read(partial(reading.hedges, instance=self.instance, limit=limit))

    async def fills(self, hedge_id: UUID | None = None) -> Sequence[Fill]:
        return await self._reader.read(partial(reading.fills, hedge_id=hedge_id))

    async def payments(self, hedge_id: UUID | None = None) -> Sequence[FundingPayment]:
        return await self._reader.read(partial(reading.payments, hedge_id=hedge_id))

    async def result_since(self, accounts: Collection[str], since: datetime) -> Decimal:
        return await self._reader.read(partial(reading.result_since, accounts=accounts, since=since))

    async def settlements(
        self, hedge_id: UUID | None = None, *, since: datetime | None = None
    ) -> Sequence[Settlement]:
        return await self._reader.read(partial(reading.settlements, hedge_id=hedge_id, since=since))

    async def hedges_at(self, account: str, symbol: str, at: datetime) -> Sequence[Hedge]:
        return await self._reader.read(partial(reading.hedges_at, account=account, symbol=symbol, at=at))

    async def refusals(self, *, limit: int = 1000) -> Sequence[Refusal]:
        return await self._reporter.read(partial(reading.refusals, limit=limit))

    async def refusal_counts(self) -> Mapping[str, int]:
        return await self._reporter.read(reading.refusal_counts)

    async def undelivered(self, since: datetime) -> Sequence[Delivery]:
        return await self._reader.read(partial(reading.undelivered, instance=self.instance, since=since))

    async def alerts(self, *, limit: int = 100) -> Sequence[Alert]:
        return await self._reporter.read(partial(reading.alerts, limit=limit))

    async def audit(self, entry: AuditEntry) -> None:
        await self._writer.run(lambda session: session.audit(entry))

    async def audited(self, *, limit: int = 100) -> Sequence[AuditEntry]:
        return await self._reporter.read(partial(reports.audited, instance=self.instance, limit=limit))

    async def config_revisions(self, *, limit: int | None = 100) -> Sequence[ConfigRevision]:
        return await self._reporter.read(
            partial(reports.config_revisions, instance=self.instance, limit=limit)
        )

    async def closed(self, *, after: UUID | None = None, limit: int = 100) -> Sequence[HedgeBooks]:
        return await self._reporter.read(
            partial(reports.closed, instance=self.instance, after=after, limit=limit)
        )

    async def books(self, ids: Collection[UUID]) -> Sequence[HedgeBooks]:
        return await self._reporter.read(partial(reports.books_of, instance=self.instance, wanted=ids))

    async def blotter(self, *, limit: int = 100) -> Sequence[tuple[OrderRecord, str, str]]:
        return await self._reporter.read(partial(reports.newest_orders, instance=self.instance, limit=limit))

    async def close(self) -> None:
        for thread in dict.fromkeys((self._reporter, self._reader, self._writer)):
            await thread.close()


@asynccontextmanager
async def open_store(
    url: str, clock: Clock, instance: str | None = None, *, migrate: bool = False
) -> AsyncIterator[SqlStore]:
    """The store at ``url`` (``sqlite:///FILE`` or ``postgresql://...``), closed when the context is left.

    An empty database gets its tables. One with an older schema is refused unless ``migrate`` is true. ``instance``
    is the four-character name of this bot where several share the database; None means it belongs to one bot.

    Raises StoreError when the database cannot be used and SchemaError when its schema does not fit.
    """
    database = parse_url(url)
    session = Session(database, clock, instance, migrate=migrate)
    writer = SessionThread(session, "fundingarb-store")
    reader = reporter = writer
    try:
        await writer.run(Session.open)
        if not database.memory:
            reader, reporter = (
                SessionThread(Session(database, clock, instance, read_only=True), f"fundingarb-store-{what}")
                for what in ("reader", "reports")
            )
        yield SqlStore(writer, reader, reporter, instance)
    finally:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            async with AsyncExitStack() as closing:
                for thread in dict.fromkeys((writer, reader, reporter)):
                    closing.push_async_callback(thread.close)


class InlineStore:
    """The same store without a thread: every call does its work before it returns. For the deterministic simulation."""

    def __init__(self, url: str, clock: Clock, instance: str | None = None) -> None:
        self._session = Session(parse_url(url), clock, instance, migrate=True)
        self._session.open()
        weakref.finalize(
            self, self._session.close
        )  # a run that is dropped in the middle leaves no connection open
        self.instance = instance

    async def commit(self, batch: Batch) -> Committed:
        if not batch:
            return Committed()
        (result,) = self._session.commit((batch,))
        if isinstance(result, Failed):
            raise result.error
        return result

    async def load(self) -> Checkpoint:
        return self._session.load()

    async def set_killed(self, killed: bool, actor: str, at: datetime) -> None:
        self._session.set_killed(killed, actor, at)

    async def set_paused(self, paused: bool, actor: str, at: datetime) -> None:
        self._session.set_paused(paused, actor, at)

    async def control(self) -> ControlState:
        return self._session.read(partial(reading.control_state, instance=self.instance))

    async def submit_command(self, command: Command) -> Command:
        return self._session.submit_command(command)

    async def take_command(self, command_id: UUID, at: datetime) -> bool:
        return self._session.take_command(command_id, at)

    async def report_command(self, command: Command) -> None:
        self._session.report_command(command)

    async def command(self, key: str) -> Command:
        return self._session.read(partial(reading.command_of_key, instance=self.instance, key=key))

    async def save_config(self, document: Mapping[str, Any], at: datetime, actor: str | None = None) -> int:
        return self._session.save_config(document, at, actor)

    async def hedges(self, *, limit: int = 1000) -> Sequence[Hedge]:
        return self._session.read(partial(reading.hedges, instance=self.instance, limit=limit))

    async def fills(self, hedge_id: UUID | None = None) -> Sequence[Fill]:
        return self._session.read(partial(reading.fills, hedge_id=hedge_id))

    async def payments(self, hedge_id: UUID | None = None) -> Sequence[FundingPayment]:
        return self._session.read(partial(reading.payments, hedge_id=hedge_id))

    async def result_since(self, accounts: Collection[str], since: datetime) -> Decimal:
        return self._session.read(partial(reading.result_since, accounts=accounts, since=since))

    async def settlements(
        self, hedge_id: UUID | None = None, *, since: datetime | None = None
    ) -> Sequence[Settlement]:
        return self._session.read(partial(reading.settlements, hedge_id=hedge_id, since=since))

    async def hedges_at(self, account: str, symbol: str, at: datetime) -> Sequence[Hedge]:
        return self._session.read(partial(reading.hedges_at, account=account, symbol=symbol, at=at))

    async def refusals(self, *, limit: int = 1000) -> Sequence[Refusal]:
        return self._session.read(partial(reading.refusals, limit=limit))

    async def refusal_counts(self) -> Mapping[str, int]:
        return self._session.read(reading.refusal_counts)

    async def undelivered(self, since: datetime) -> Sequence[Delivery]:
        return self._session.read(partial(reading.undelivered, instance=self.instance, since=since))

    async def alerts(self, *, limit: int = 100) -> Sequence[Alert]:
        return self._session.read(partial(reading.alerts, limit=limit))

    async def audit(self, entry: AuditEntry) -> None:
        self._session.audit(entry)

    async def audited(self, *, limit: int = 100) -> Sequence[AuditEntry]:
        return self._session.read(partial(reports.audited, instance=self.instance, limit=limit))

    async def config_revisions(self, *, limit: int | None = 100) -> Sequence[ConfigRevision]:
        return self._session.read(partial(reports.config_revisions, instance=self.instance, limit=limit))

    async def closed(self, *, after: UUID | None = None, limit: int = 100) -> Sequence[HedgeBooks]:
        return self._session.read(partial(reports.closed, instance=self.instance, after=after, limit=limit))

    async def books(self, ids: Collection[UUID]) -> Sequence[HedgeBooks]:
        return self._session.read(partial(reports.books_of, instance=self.instance, wanted=ids))

    async def blotter(self, *, limit: int = 100) -> Sequence[tuple[OrderRecord, str, str]]:
        return self._session.read(partial(reports.newest_orders, instance=self.instance, limit=limit))

    async def close(self) -> None:
        self._session.close()
