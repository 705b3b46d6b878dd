"""Letting people in: by a password, or by a link that works once and is only ever printed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Callable

from fundingarb_dashboard.passwords import verify_password
from fundingarb_dashboard.throttle import Throttle

__all__ = ["Gatekeeper", "TooManyAttempts"]


BROWSERS = 100


class TooManyAttempts(Exception):
    """Another attempt is not looked at before ``wait`` seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


class Gatekeeper:
    """Checks passwords and one-time tokens. Lives in the server's loop.

    Nobody can lock the owner out by guessing: the right token is always taken, a browser that was let in before waits
    for its own failures only, and loopback (a tunnel to the machine) has no part in what all together may try.

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
        self._browsers: OrderedDict[bytes, None] = OrderedDict()
        self._one_at_a_time: asyncio.Lock | None = None

    def invite(self) -> None:
        """Announce a token, unless there is a password or a token that nobody has used yet."""
        if self._hash is None and self._token is None:
            self._token = secrets.token_urlsafe(32)
            self._announce(self._token)

    @property
    def has_password(self) -> bool:
        return self._hash is not None

    async def admit(
        self, address: str, password: str | None, token: str | None, browser: str | None = None
    ) -> str | None:
        """Who it is (the actor's name in the audit), None for a wrong secret. Raises `TooManyAttempts`.

        ``browser`` is what `remember` gave out to it before, if anything."""
        actor = f"dashboard@{address}"
        if token is not None and self._use(token):  # 256 bits are not guessed
            return actor
        known = browser is not None and _digest(browser) in self._browsers
        who = f"browser {_digest(browser).hex()}" if known and browser is not None else address
        wait = self._throttle.admit(who, apart=known or _loopback(address))
        if wait > 0:
            raise TooManyAttempts(wait)
        if password is None or self._hash is None or not await self._verify(password, self._hash):
            self._throttle.failed(who)
            return None
        self._throttle.succeeded(who)
        return actor

    def remember(self, browser: str | None) -> str:
        """What a browser that was just let in gets to be known by next time, in place of ``browser``."""
        if browser is not None:
            self._browsers.pop(_digest(browser), None)
        given = secrets.token_urlsafe(32)
        self._browsers[_digest(given)] = None
        while len(self._browsers) > BROWSERS:
            self._browsers.popitem(last=False)
        return given

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


def _digest(browser: str) -> bytes:
    return hashlib.sha256(browser.encode("utf-8", "surrogatepass")).digest()


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
