"""Who is logged in. A session is a row in this process; the cookie is a random name of it and nothing else."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

__all__ = ["Session", "Sessions"]

IDLE = 15 * 60.0
LONGEST = 8 * 3600.0
MOST = 100
"""Sessions at a time; the one that was idle longest gives way."""


@dataclass(eq=False)
class Session:
    """One login. ``started`` and ``seen`` are monotonic seconds; ``opened_at`` is when it began (UTC), in real
    time, as the two are, and not in the bot's."""

    key: bytes
    csrf: str
    actor: str
    opened_at: datetime
    started: float
    seen: float
    ended: bool = False
    when_over: list[Callable[[], None]] = field(default_factory=list)

    @property
    def expires_at(self) -> datetime:
        """When it ends however busy it is; without requests it ends 15 minutes after the last one."""
        return self.opened_at + timedelta(seconds=LONGEST)


class Sessions:
    """Sessions by cookie. They end 15 minutes after their last request, 8 hours after login, or at logout."""

    def __init__(self, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._clock = clock
        self._now = now
        self._sessions: dict[bytes, Session] = {}

    def start(self, actor: str) -> tuple[str, Session]:
        """A new session and its cookie (256 random bits)."""
        self.sweep()
        while len(self._sessions) >= MOST:
            self.end(min(self._sessions.values(), key=lambda session: session.seen))
        cookie = secrets.token_urlsafe(32)
        moment = self._clock()
        session = Session(_key(cookie), secrets.token_urlsafe(32), actor, self._now(), moment, moment)
        self._sessions[session.key] = session
        return cookie, session

    def find(self, cookie: str | None) -> Session | None:
        """The session of a request, which keeps it from going idle; None when there is none any more."""
        session = self._sessions.get(_key(cookie)) if cookie else None
        if session is None or not self.alive(session):
            return None
        session.seen = self._clock()
        return session

    def alive(self, session: Session) -> bool:
        """Whether it has not ended; ends it when its time is over. Asking does not keep it from going idle."""
        moment = self._clock()
        if not session.ended and (moment - session.seen > IDLE or moment - session.started > LONGEST):
            self.end(session)
        return not session.ended

    def end(self, session: Session) -> None:
        """Log out: the cookie is worth nothing from now on, and what hangs on the session is told."""
        session.ended = True
        self._sessions.pop(session.key, None)
        while session.when_over:
            session.when_over.pop()()

    def sweep(self) -> int:
        """End those whose time is over; returns how many are left."""
        for session in list(self._sessions.values()):
            self.alive(session)
        return len(self._sessions)


def _key(cookie: str) -> bytes:
    """What a cookie is found by: its digest, so that comparing takes the same time however much of it is right."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
