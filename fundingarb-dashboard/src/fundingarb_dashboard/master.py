"""The master password in a request: how often it may be tried, and what is said when it is missing or wrong."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fundingarb.errors import WrongPassword
from fundingarb_dashboard.answers import Problem
from fundingarb_dashboard.throttle import Throttle

__all__ = ["MasterPassword"]

T = TypeVar("T")
WHO = "master password"


class MasterPassword:
    """One throttle for everything that takes the master password, whoever tries. Lives in the bot's loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives monotonic seconds of real time."""
        self._throttle = Throttle(clock)

    async def tried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What ``attempt`` returns, which raises `WrongPassword` for a wrong one.

        Raises `Problem` 403 then, 429 after too many attempts without making another, and whatever else it raised."""
        wait = self._throttle.admit(WHO)
        if wait > 0:
            again = {"Retry-After": str(int(wait) + 1)}
            raise Problem(429, f"too many attempts; try again in {int(wait) + 1} s", headers=again)
        try:
            outcome = await attempt()
        except WrongPassword as error:
            self._throttle.failed(WHO)
            raise not_owner(str(error), "is wrong") from error
        self._throttle.succeeded(WHO)
        return outcome


def not_owner(message: str, what: str) -> Problem:
    return Problem(403, message, code="master_password", fields={"master_password": what})
