"""Letting people in: by a password, or by a link that works once and is only ever printed."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable

from fundingarb_dashboard.passwords import verify_password
from fundingarb_dashboard.throttle import Throttle

__all__ = ["Gatekeeper", "TooManyAttempts"]


class TooManyAttempts(Exception):
    """Another attempt is not looked at before ``wait`` seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


class Gatekeeper:
    """Checks passwords and one-time tokens. Lives in the server's loop.

    ``password_hash`` None means that people come in by token; ``announce`` is given each new token, to show to
    whoever sits at the terminal.
    """

    def __init__(
        self, password_hash: str | None, clock: Callable[[], float], announce: Callable[[str], None]
    ) -> None:
        self._hash = password_hash
        self._throttle = Throttle(clock)
        self._announce = announce
        self._token: str | None = None
        self._one_at_a_time: asyncio.Lock | None = None

    def invite(self) -> None:
        """Announce a token, unless there is a password or a token that nobody has used yet."""
        if self._hash is None and self._token is None:
            self._token = secrets.token_urlsafe(32)
            self._announce(self._token)

    @property
    def has_password(self) -> bool:
        return self._hash is not None

    async def admit(self, address: str, password: str | None, token: str | None) -> str | None:
        """Who it is (the actor's name in the audit), None for a wrong secret. Raises `TooManyAttempts`."""
        wait = self._throttle.admit(address)
        if wait > 0:
            raise TooManyAttempts(wait)
        if token is not None:
            right = self._use(token)
        elif password is not None and self._hash is not None:
            right = await self._verify(password, self._hash)
        else:
            right = False
        if not right:
            self._throttle.failed(address)
            return None
        self._throttle.succeeded(address)
        return f"dashboard@{address}"

    def _use(self, token: str) -> bool:
        given = token.encode("utf-8", "surrogatepass")
        if self._token is None or not hmac.compare_digest(given, self._token.encode()):
            return False
        self._token = None
        return True

    async def _verify(self, password: str, phc: str) -> bool:
        """One at a time: each takes 64 MiB."""
        if self._one_at_a_time is None:
            self._one_at_a_time = asyncio.Lock()
        async with self._one_at_a_time:
            return await asyncio.to_thread(verify_password, password, phc)
