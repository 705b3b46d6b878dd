"""Services in tasks of their own: whatever becomes of one, the bot trades on without it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
from anyio.abc import TaskStatus

from fundingarb.errors import FundingArbError
from fundingarb.ports import BotHandle, Service

__all__ = ["ServiceHost", "service_host"]

log = logging.getLogger("fundingarb.hosting")

#: Real seconds that a service may take to be up; the bot waits for it no longer.
START = 30.0


@dataclass
class _Hosted:
    """A ``ports.Service`` around another one, which may fail without anybody here failing with it."""

    name: str
    host: ServiceHost
    service: Service | None = None
    failure: str | None = None
    told: bool = False
    started: bool = False
    over: anyio.Event = field(default_factory=anyio.Event)

    async def live(
        self, opening: AbstractAsyncContextManager[Service], *, task_status: TaskStatus[Exception | None]
    ) -> None:
        """Open it, and stay until the bot ends or it fails. What prevents its opening is handed to whoever waits."""
        try:
            async with opening as self.service:
                task_status.started(None)
                await self.over.wait()
        except Exception as error:  # noqa: BLE001 - a service of any kind, and the bot goes on
            if self.service is None:
                task_status.started(error)
            elif self.over.is_set():
                log.warning("service %s did not end as it should: %s", self.name, _said(error))
            else:
                self._failed(error)

    async def start(self, bot: BotHandle) -> None:
        """Start it. Raises what it cannot be configured with; anything else that fails is only told."""
        self.started = True
        if self.service is None or self.failure is not None:
            self._tell()
            return
        try:
            with anyio.move_on_after(START) as scope:
                await self.service.start(bot)
            if scope.cancelled_caught:
                self._failed(FundingArbError(f"it was not up within {START:g} s"))
        except FundingArbError:
            raise
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    @property
    def url(self) -> str | None:
        return None if self.service is None or self.failure is not None else self.service.url

    def _failed(self, error: Exception) -> None:
        self.failure = self.failure or _said(error)
        log.error("service %s has ended: %s", self.name, self.failure, exc_info=error)
        if self.started:
            self._tell()

    def _tell(self) -> None:
        """Once, and not before the bot runs: nobody would hear it."""
        if self.failure is not None and not self.told:
            self.told = True
            self.host.report(self.name, self.failure)


class ServiceHost:
    """Opens services; ``report(name, why)`` is called once for each that has ended by itself while the bot runs."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks
        self._hosted: list[_Hosted] = []
        self.report: Callable[[str, str], None] = lambda _name, _why: None

    async def open(self, name: str, opening: AbstractAsyncContextManager[Service]) -> Service:
        """The service, once it is open. Raises what its component raises."""
        hosted = _Hosted(name, self)
        refused: Exception | None = await self._tasks.start(hosted.live, opening)
        if refused is not None:
            raise refused
        self._hosted.append(hosted)
        return hosted

    def end(self) -> None:
        """Have every service closed."""
        for hosted in self._hosted:
            hosted.over.set()


@asynccontextmanager
async def service_host() -> AsyncIterator[ServiceHost]:
    """A host, whose services are closed when the block is left."""
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        host = ServiceHost(tasks)
        try:
            yield host
        except Exception as error:  # noqa: BLE001 - raised below, as itself and not in a group
            failed = error
        finally:
            host.end()
    if failed is not None:
        raise failed


def _said(error: BaseException) -> str:
    """The cause in one line: task groups wrap what failed in them."""
    inner = getattr(error, "exceptions", None)
    if inner:
        return _said(inner[0])
    text = " ".join(str(error).split())
    return text if isinstance(error, FundingArbError) and text else f"{type(error).__name__}: {text}"
