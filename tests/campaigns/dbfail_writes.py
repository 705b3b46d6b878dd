"""Every write to the database fails in turn: the real engine and store on virtual time, the driver made to fail.

One run per N, until a run is over before its Nth write: then the failure was never met. What fails is counted at the
driver: each statement that writes, and each COMMIT.
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Clock, Committed
from fundingarb.simulation.runner import default_setup, simulate
from fundingarb.simulation.schedule import Opening, Schedule, Strike
from fundingarb.simulation.store import MEMORY, SimStore
from fundingarb.simulation.virtual import LoopClock
from fundingarb.simulation.world import Setup
from fundingarb.store.statements import Statement

#: Real (virtual) seconds for which a failure that lasts does.
LASTS = 15.0
SYMBOL = "BTC-USDT"
PLAIN = Schedule(
    7,
    70.0,
    (
        Opening(3.0, SYMBOL, "alpha", "beta", 2_000.0, 12.0),
        Opening(35.0, SYMBOL, "beta", "alpha", 2_000.0, 8.0),
    ),
    restart_at_end=True,
)
REFUSED = Strike("reject", stage="B_INTENT", leg="second", operation="order.place", count=3)
IN_PART = Strike("partial_fill", exchange="alpha", operation="order.place", count=3, fraction=0.3)
SCHEDULES: Mapping[str, Schedule] = {
    "plain": PLAIN,
    "unwind": replace(PLAIN, strikes=(REFUSED,)),
    "partial": replace(PLAIN, strikes=(IN_PART,)),
}
"""Two hedges held one after the other; the same with a second leg that is refused, and with orders filled in part."""
WAYS = ("write", "writes", "commit", "commits", "disk")
"""One statement fails, or all for a while; one COMMIT, or all for a while; or the database may not grow for a while."""


@dataclass
class Plan:
    """Which operation fails. ``met`` says whether it was reached; ``errors`` what the store then said; ``trading``
    whether it could not store what trading needs, not just a line of the journal (that is logged and written later).
    """

    way: str
    number: int
    met: bool = False
    errors: list[str] = field(default_factory=list)
    trading: bool = False
    _until: float | None = None
    _seen: int = 0

    def fails(self, what: str, now: float) -> bool:
        if not self.way.startswith(what):
            return False
        self._seen += 1
        if self._seen == self.number:
            self.met, self._until = True, now + LASTS
            return True
        return self.way.endswith("s") and self._until is not None and now < self._until

    def full(self, now: float) -> bool:
        """Called before every commit: whether the database may not grow now."""
        if self.way != "disk":
            return False
        self._seen += 1
        if self._seen == self.number:
            self.met, self._until = True, now + LASTS
        return self._until is not None and now < self._until


class FailingDriver:
    """The store's driver, of which some operations fail."""

    def __init__(self, inner: Any, plan: Plan, clock: Clock) -> None:
        self._inner = inner
        self._plan = plan
        self._clock = clock

    def execute(self, statement: Statement, row: Mapping[str, Any]) -> Any:
        if self._plan.fails("write", self._clock.monotonic()):
            raise sqlite3.OperationalError("disk I/O error")
        return self._inner.execute(statement, row)

    def commit(self) -> None:
        if self._plan.fails("commit", self._clock.monotonic()):
            raise sqlite3.OperationalError("database or disk is full")
        self._inner.commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class FailingStore(SimStore):
    """A store on a driver that fails as planned."""

    def __init__(self, clock: Clock, instance: str | None, plan: Plan, url: str = MEMORY) -> None:
        super().__init__(clock, instance, url)
        self._plan = plan
        link = self._session._connect()
        self._session._link = link._replace(driver=FailingDriver(link.driver, plan, clock))

    async def commit(self, batch: Batch) -> Committed:
        if self._plan.way == "disk":
            self._limit(self._plan.full(self.clock.monotonic()))
        try:
            return await super().commit(batch)
        except StoreError as error:
            self._plan.errors.append(str(error))
            self._plan.trading |= bool(batch.intents or batch.orders or batch.fills or batch.payments)
            raise self._fail(str(error)) from error

    def _limit(self, full: bool) -> None:
        """Let the database grow, or not by one page more: what is then said is what SQLite says of a full disk."""
        raw = self._session._connect().connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
        raw.execute(f"PRAGMA max_page_count = {pages if full else 2**30}")


@dataclass(frozen=True)
class Verdict:
    """One run. ``met`` False: the run was over before its failure; N has gone through all of them."""

    schedule: str
    way: str
    number: int
    met: bool
    errors: int
    failures: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.schedule} {self.way} {self.number}"


def run_one(schedule: str, way: str, number: int) -> Verdict:
    """Play ``schedule`` with the ``number``-th operation failing in this ``way``."""
    logging.disable(logging.CRITICAL)
    plan = Plan(way, number)
    with tempfile.TemporaryDirectory(prefix="fundingarb-dbfail-") as folder:
        url = f"sqlite:///{Path(folder) / 'bot.db'}" if way == "disk" else MEMORY
        result = simulate(SCHEDULES[schedule], _setup(plan, url), lines=True)
    failures = [str(breach) for breach in result.breaches]
    if any(hedge.status not in ("CLOSED", "ABANDONED") for hedge in result.hedges):
        failures.append(f"not recovered: {[hedge.status for hedge in result.hedges]}")
    if not result.hedges:
        failures.append("nothing was ever opened")
    unclear = [error for error in dict.fromkeys(plan.errors) if "\n" in error or "; " not in error]
    failures += [f"not one line that says what to do: {error!r}" for error in unclear]
    told = any("|Database Unavailable|" in line for line in result.lines or ())
    if plan.met and plan.trading and way in ("writes", "commits") and not told:
        failures.append("no alert said that the database failed")
    return Verdict(schedule, way, number, plan.met, len(plan.errors), tuple(failures))


def _setup(plan: Plan, url: str) -> Callable[[Schedule, LoopClock], Setup]:
    def made(schedule: Schedule, clock: LoopClock) -> Setup:
        return replace(
            default_setup(schedule, clock),
            store=lambda clock, instance: FailingStore(clock, instance, plan, url),
        )

    return made
