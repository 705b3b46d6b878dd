"""Alerts on their way: into the journal, and to every sink until it has them, over restarts too.

Nothing waits for a sink but what is meant for that sink. While the database is down alerts are taken to the sinks from
memory and journalled later.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from fundingarb.domain.events import Alert, Delivery, Severity
from fundingarb.engine.bus import Bus
from fundingarb.engine.durable import START_SECONDS, in_time
from fundingarb.errors import FundingArbError, StoreError
from fundingarb.ports import AlertSink, Batch, Clock, Store
from fundingarb.redaction import redacted

log = logging.getLogger("fundingarb.outbox")

MOST_URGENT_FIRST = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
KEEP = timedelta(hours=24)
"""An alert that is older is not delivered any more; it is in the journal."""
MOST = 1000
"""Alerts of one severity that wait for one sink at most, and alerts that wait for the database."""

# real seconds
SEND_SECONDS = 10.0
"""How long one delivery may take."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Until a sink that failed is tried again."""
SILENT = 20.0
"""A CRITICAL alert that a sink has not taken for so long is told of to the others (with one attempt within 30 s)."""
LATE = 60.0
"""What arrives later than this says when it happened."""
JOURNAL_AGAIN = 1.0
"""Until what could not be stored is tried again."""

MANY = 5
"""When more alerts of a severity than these failed or are of an earlier life, they come together."""
LISTED = 20
"""Different alerts in one such message; the rest is in the next one."""
LONGEST_LINE = 180


@dataclass(eq=False)
class _Letter:
    """One alert for one sink. ``since``: monotonic; ``waited``: the sink failed meanwhile, or the bot was restarted."""

    alert: Alert
    since: float
    failures: int = 0
    waited: bool = False


class Courier:
    """Takes alerts to one sink: the most severe first, those that failed again and again after the others.

    ``delivered`` is called with everything the sink took, ``silent`` once when it does not take a CRITICAL alert.
    """

    def __init__(
        self,
        name: str,
        sink: AlertSink,
        clock: Clock,
        delivered: Callable[[str, Alert], None],
        silent: Callable[[str, str], None],
    ) -> None:
        self._name = name
        self._sink = sink
        self._clock = clock
        self._delivered = delivered
        self._silent = silent
        self._waiting: dict[Severity, list[_Letter]] = {severity: [] for severity in MOST_URGENT_FIRST}
        self._wake = anyio.Event()
        self._reason: str | None = None
        self._told = False
        self._singly = False  # a digest failed: perhaps because of one alert in it

    def put(self, alert: Alert, *, waited: bool = False) -> None:
        """Have ``alert`` delivered."""
        letters = self._waiting[alert.severity]
        waited = waited or self._reason is not None
        letters.append(_Letter(alert, self._clock.monotonic(), waited=waited))
        del letters[:-MOST]
        if self._reason is None or alert.severity is Severity.CRITICAL:
            self._wake.set()

    @property
    def untried(self) -> bool:
        """Whether something has not been tried yet (a CRITICAL alert: three times)."""
        return any(
            letter.failures < (3 if severity is Severity.CRITICAL else 1)
            for severity, letters in self._waiting.items()
            for letter in letters
        )

    async def run(self) -> None:
        """Deliver until cancelled."""
        pause = FIRST_PAUSE
        while True:
            self._wake = anyio.Event()
            self._drop_old()
            if not any(self._waiting.values()):
                self._reason, pause = None, FIRST_PAUSE
                await self._wake.wait()
            elif await self._round():
                pause = FIRST_PAUSE
            else:
                with anyio.move_on_after(self._until_told(pause)):
                    await self._wake.wait()
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _round(self) -> bool:
        """Try something of each severity; whether the sink took one. What it never takes holds up nothing else."""
        for severity in MOST_URGENT_FIRST:
            letters = self._next(severity)
            if letters and await self._take(letters):
                return True
        return False

    def _next(self, severity: Severity) -> list[_Letter]:
        """What goes together: one alert, or a digest of those that waited."""
        letters = self._waiting[severity]
        waited = [letter for letter in letters if letter.waited]
        if len(waited) > MANY and not self._singly:
            listed = list(dict.fromkeys((each.alert.title, each.alert.lines) for each in waited))[:LISTED]
            return [each for each in waited if (each.alert.title, each.alert.lines) in listed]
        return [min(letters, key=lambda letter: letter.failures)] if letters else []

    async def _take(self, letters: Sequence[_Letter]) -> bool:
        try:
            with anyio.fail_after(SEND_SECONDS):
                await self._sink.send(self._text(letters))
        except Exception as error:  # noqa: BLE001 - a sink that fails must not stop the others
            self._failed(letters, error)
            return False
        taken = {id(letter) for letter in letters}
        severity = letters[0].alert.severity
        self._waiting[severity] = [each for each in self._waiting[severity] if id(each) not in taken]
        self._reason, self._singly = None, False
        self._told = self._told and self._overdue()
        for letter in letters:
            self._delivered(self._name, letter.alert)
        return True

    def _text(self, letters: Sequence[_Letter]) -> Alert:
        if len(letters) > 1:
            return digest([letter.alert for letter in letters], self._clock.now())
        letter, alert = letters[0], letters[0].alert
        age = (self._clock.now() - alert.at).total_seconds() / self._clock.speed
        if letter.waited and age > LATE:
            return replace(alert, lines=(*alert.lines, f"Happened at {_when(alert)}, not delivered before"))
        return alert

    def _failed(self, letters: Sequence[_Letter], error: Exception) -> None:
        for letter in letters:
            letter.failures += 1
        for letter in (each for waiting in self._waiting.values() for each in waiting):
            letter.waited = True
        self._singly = len(letters) > 1
        reason = f"{type(error).__name__}: {error}"
        if reason != self._reason:
            log.warning("alert sink %s: %s", self._name, reason)
        self._reason = reason
        if not self._told and self._overdue():
            self._told = True
            self._silent(self._name, _public(error))

    def _overdue(self) -> bool:
        return self._waits_since() + SILENT <= self._clock.monotonic()

    def _waits_since(self) -> float:
        return min((letter.since for letter in self._waiting[Severity.CRITICAL]), default=float("inf"))

    def _until_told(self, pause: float) -> float:
        """``pause``, but not beyond the moment at which the others are to be told."""
        if self._told:
            return pause
        return max(min(pause, self._waits_since() + SILENT - self._clock.monotonic()), 0.1)

    def _drop_old(self) -> None:
        oldest = self._clock.now() - KEEP
        for severity, letters in self._waiting.items():
            self._waiting[severity] = [letter for letter in letters if letter.alert.at >= oldest]


def _public(error: Exception) -> str:
    """Why a sink failed, for other sinks: what a foreign library says may hold a secret of the sink."""
    if isinstance(error, TimeoutError):
        return f"It does not answer within {SEND_SECONDS:.0f} s"
    return str(error) if isinstance(error, FundingArbError) else type(error).__name__


def digest(alerts: Sequence[Alert], now: datetime) -> Alert:
    """Alerts of one severity that waited, in one: a line for each, of those that say the same the last and how many."""
    same: dict[tuple[str, tuple[str, ...]], list[Alert]] = {}
    for alert in alerts:
        same.setdefault((alert.title, alert.lines), []).append(alert)
    lines = []
    for (title, details), found in same.items():
        times = f" ({len(found)} times)" if len(found) > 1 else ""
        line = f"{_when(found[-1])} {title}{times}: {' | '.join(details)}"
        lines.append(line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}...")
    return Alert(alerts[0].severity, f"{len(alerts)} Alerts Not Delivered Before", tuple(lines), now)


def without_secrets(alert: Alert) -> Alert:
    """``alert`` as it may be stored and sent: what a plugin or a library said may hold a secret."""
    title, lines = redacted(alert.title), tuple(redacted(line) for line in alert.lines)
    return alert if (title, lines) == (alert.title, alert.lines) else replace(alert, title=title, lines=lines)


def _when(alert: Alert) -> str:
    return f"{alert.at:%Y-%m-%d %H:%M:%S} UTC"


class Outbox:
    """Journals every alert of the bus and has it taken to every sink; ``stored`` is called after every commit."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        sinks: Mapping[str, AlertSink],
        stored: Callable[[], None],
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._stored = stored
        self._couriers = {
            name: Courier(name, sink, clock, self._mark, self._tell_others) for name, sink in sinks.items()
        }
        self._batches: deque[Batch] = deque(maxlen=MOST)
        self._marks: deque[Delivery] = deque(maxlen=MOST * max(len(sinks), 1))
        self._besides: dict[Alert, str] = {}
        self._work = anyio.Event()
        self._writing = False

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Listens once it has started, until cancelled."""
        with self._bus.subscribe(MOST, Alert) as events:
            async with anyio.create_task_group() as tasks:
                for courier in self._couriers.values():
                    tasks.start_soon(courier.run)
                tasks.start_soon(self._journal)
                task_status.started()
                while True:
                    event = await events.get()
                    if isinstance(event, Alert):
                        self._take(event)

    async def flush(self) -> None:
        """Wait until what was said is stored, and every sink has it or has failed to take it."""
        while True:
            await anyio.sleep(0.05)
            if not (self._writing or any(courier.untried for courier in self._couriers.values())):
                return

    def _take(self, alert: Alert) -> None:
        besides = self._besides.pop(alert, None)
        alert = without_secrets(alert)
        wanted = [name for name in self._couriers if name != besides]
        kept = () if alert.severity is Severity.INFO else wanted
        self._batches.append(
            Batch(alerts=(alert,), deliveries=tuple(Delivery(alert, name, None) for name in kept))
        )
        self._writing = True
        self._work.set()
        for name in wanted:
            self._couriers[name].put(alert)

    def _mark(self, sink: str, alert: Alert) -> None:
        if alert.severity is not Severity.INFO:
            self._marks.append(Delivery(alert, sink, self._clock.now()))
            self._writing = True
            self._work.set()

    def _tell_others(self, sink: str, reason: str) -> None:
        alert = Alert(
            Severity.WARNING,
            f"Alert Sink {sink} Cannot Deliver",
            (reason, "Action: it is tried again; what it has missed is delivered when it works"),
            self._clock.now(),
        )
        self._besides[alert] = sink
        self._bus.publish(alert)

    # the journal

    async def _journal(self) -> None:
        taken_up = False
        while True:
            self._work = anyio.Event()
            try:
                if not taken_up:
                    await self._take_up()
                    taken_up = True
                await self._write()
            except StoreError as error:
                log.warning("alert not journalled yet: %s", error)
                await anyio.sleep(JOURNAL_AGAIN)
                continue
            self._writing = False
            await self._work.wait()

    async def _take_up(self) -> None:
        """What an earlier life did not deliver."""
        for waiting in await in_time(self._store.undelivered(self._clock.now() - KEEP), START_SECONDS):
            if waiting.sink in self._couriers:
                self._couriers[waiting.sink].put(waiting.alert, waited=True)

    async def _write(self) -> None:
        while self._batches or self._marks:
            if self._batches:
                batch = self._batches.popleft()
                try:
                    await self._store.commit(batch)
                except StoreError:
                    self._batches.append(
                        batch
                    )  # behind the others: perhaps it is this one that cannot be stored
                    raise
            else:
                marks = tuple(self._marks)
                await self._store.commit(Batch(deliveries=marks))
                for _ in marks:
                    self._marks.popleft()
            self._stored()
