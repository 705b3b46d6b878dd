"""Tasks that must not die: restarted with backoff, and heard of when they fail."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio

from fundingarb.errors import FundingArbError
from fundingarb.ports import Clock

log = logging.getLogger("fundingarb.supervisor")


async def keep_running(
    name: str,
    job: Callable[[], Awaitable[None]],
    clock: Clock,
    on_failure: Callable[[str, Exception], None],
    first_pause: float = 0.2,
    longest_pause: float = 15.0,
) -> None:
    """Run ``job`` again whenever it ends, after a pause (real seconds) that doubles while it keeps failing at once."""
    pause = first_pause
    while True:
        started = clock.monotonic()
        try:
            await job()
        except FundingArbError as error:
            on_failure(name, error)
        except Exception as error:
            log.exception("%s failed", name)
            on_failure(name, error)
        if clock.monotonic() - started > longest_pause:
            pause = first_pause
        await anyio.sleep(pause)
        pause = min(pause * 2, longest_pause)
