"""Virtual time: an asyncio loop that never sleeps, and a clock that reads it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio

START = datetime(2026, 1, 5, 7, 38, tzinfo=timezone.utc)
"""22 minutes before an 8-hour settlement."""


PATIENCE = 50_000
"""Rounds of the loop at one moment after which time is taken to stand still for good."""


class TimeStandsStill(RuntimeError):
    """The program is busy without end: at one moment, or with one thing again and again."""


class _Instant(selectors.BaseSelector):
    """Polls what is ready; where a real one would sleep, the loop's time moves on instead."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.now = 0.0
        self.given_up: str | None = None
        self._rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if self.given_up is not None:
            reason, self.given_up = self.given_up, None
            raise TimeStandsStill(reason)
        self._rounds = 0 if timeout else self._rounds + 1
        if self._rounds > PATIENCE:
            self._rounds = 0
            raise TimeStandsStill(f"{PATIENCE} rounds of the event loop at one moment")
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: every task waits for something that nobody will do")
            self.now += max(timeout, 0.0)
        return ready

    def register(self, fileobj: object, events: int, data: object = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)  # type: ignore[arg-type]

    def unregister(self, fileobj: object) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)  # type: ignore[arg-type]

    def modify(self, fileobj: object, events: int, data: object = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)  # type: ignore[arg-type]

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()


class VirtualLoop(asyncio.SelectorEventLoop):
    """``loop.time()`` is virtual; it starts at zero."""

    def __init__(self) -> None:
        self.virtual = _Instant()
        super().__init__(self.virtual)

    def time(self) -> float:
        return self.virtual.now

    def give_up(self, reason: str) -> None:
        """Have whoever runs this loop get ``TimeStandsStill``: what goes on is not going to end."""
        self.virtual.given_up = reason


class LoopClock:
    """``fundingarb.ports.Clock`` over the running loop: ``speed`` virtual seconds pass per loop second."""

    def __init__(self, start: datetime = START, speed: float = 1.0) -> None:
        self.start = start
        self._speed = speed

    @property
    def speed(self) -> float:
        return self._speed

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.monotonic() * self._speed)

    def time(self) -> float:
        return self.now().timestamp()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(seconds / self._speed, 0.0))
