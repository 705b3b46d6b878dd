"""Watching a bot from another process: whoever is silent for a minute is told of, and so is its return."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import aiohttp
import anyio

from fundingarb.domain.events import Alert, Severity
from fundingarb.engine.outbox import Courier
from fundingarb.ports import AlertSink, Clock

log = logging.getLogger("fundingarb.watch")

SILENT = 60.0
"""Real seconds without a good answer after which a bot is silent."""
LOOK = 5.0
"""Real seconds between two questions, and the longest that an answer may take."""
AGAIN = timedelta(hours=1)
"""How often a bot that stays silent is told of again."""

Probe = Callable[[], Awaitable[str | None]]
"""Asks once: None when the bot is well, else what is wrong."""


def asking(session: aiohttp.ClientSession, url: str) -> Probe:
    """Asks ``url`` (``/api/health``) for its status. What comes back is no secret, so any certificate will do."""

    async def probe() -> str | None:
        try:
            timeout = aiohttp.ClientTimeout(total=LOOK)
            async with session.get(url, timeout=timeout, ssl=False, allow_redirects=False) as answer:
                return None if answer.status == 200 else f"it answers {answer.status}: its loop does not move"
        except (TimeoutError, asyncio.TimeoutError):  # two classes on Python 3.10
            return f"it does not answer within {LOOK:.0f} s"
        except (OSError, ValueError, aiohttp.ClientError) as error:
            return f"it cannot be reached: {str(error) or type(error).__name__}"

    return probe


class Watch:
    """Counts silence and tells of it. ``tell`` takes alerts at once and delivers them by itself."""

    def __init__(self, name: str, clock: Clock, tell: Callable[[Alert], None]) -> None:
        self._name = name
        self._clock = clock
        self._tell = tell
        self._well_at, self._well_since = clock.monotonic(), clock.now()
        self._told_at: datetime | None = None

    @property
    def silent(self) -> bool:
        """Whether its silence has been told of."""
        return self._told_at is not None

    def heard(self, problem: str | None) -> None:
        """What the bot answered now: None when it is well."""
        now = self._clock.now()
        if problem is None:
            if self._told_at is not None:
                gap = timedelta(seconds=round((now - self._well_since).total_seconds()))
                told = (
                    f"It was silent for {gap}, since {self._well_since:%Y-%m-%d %H:%M:%S} UTC",
                    self._name,
                )
                self._tell(Alert(Severity.WARNING, "Bot Answers Again", told, now))
            self._well_at, self._well_since, self._told_at = self._clock.monotonic(), now, None
            return
        silence = self._clock.monotonic() - self._well_at
        if silence < SILENT or (self._told_at is not None and now - self._told_at < AGAIN):
            return
        self._told_at = now
        lines = (
            f"No answer for {timedelta(seconds=round(silence))}: {problem}",
            self._name,
            "Open hedges stay open and nobody looks after them",
            "Action: look at the service (systemctl status fundingarb); fundingarb kill closes everything",
        )
        self._tell(Alert(Severity.CRITICAL, "Bot Is Silent", lines, now))


async def watch(
    probe: Probe,
    name: str,
    sinks: Mapping[str, AlertSink],
    clock: Clock,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Ask every few seconds until cancelled; each sink is tried until it has taken what there is to tell."""
    couriers = [
        Courier(
            sink_name, sink, clock, lambda _name, _alert: None,
            lambda silent, why: log.error("alert sink %s cannot deliver: %s", silent, why),
        )
        for sink_name, sink in sinks.items()
    ]  # fmt: skip

    def tell(alert: Alert) -> None:
        log.warning("%s: %s", alert.title, " | ".join(alert.lines))
        for courier in couriers:
            courier.put(alert)

    watching = Watch(name, clock, tell)
    async with anyio.create_task_group() as tasks:
        for courier in couriers:
            tasks.start_soon(courier.run)
        while True:
            watching.heard(await probe())
            alive()
            await anyio.sleep(LOOK)
