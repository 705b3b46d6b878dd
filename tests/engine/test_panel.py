"""Commanding from outside: an exchange that wants fewer requests is waited for where nothing is pressing."""

from __future__ import annotations

import anyio
import pytest

from fundingarb.errors import RateLimited
from fundingarb.panel.panel import LONGEST_WAIT, patiently

pytestmark = pytest.mark.anyio


async def test_an_exchange_that_wants_fewer_requests_is_asked_again_for_a_minute() -> None:
    asked: list[float] = []

    async def busy_until(end: float) -> str:
        asked.append(anyio.current_time())
        if anyio.current_time() < end:
            raise RateLimited("too many requests", retry_after=1.0)
        return "flat"

    begin = anyio.current_time()
    assert await patiently(lambda: busy_until(begin + 30)) == "flat"
    assert len(asked) == 7  # every five seconds, whatever it says
    with pytest.raises(RateLimited):
        await patiently(lambda: busy_until(begin + 1000))
    assert anyio.current_time() - begin <= 30 + LONGEST_WAIT
