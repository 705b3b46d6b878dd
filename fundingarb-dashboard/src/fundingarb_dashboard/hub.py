"""Everybody who watches over a websocket. An event is encoded once; whoever is slow gets the last of everything.

Ten times a second what has changed goes out as one frame, the same text for every client that keeps up. A client whose
last frame is still on its way collects what it misses, by key; one that misses too many events that each count gets a
snapshot instead; one that takes longer than `PATIENCE` for a frame is cut off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Hashable, Iterable
from datetime import datetime

from fundingarb_dashboard.board import Board, Change, heartbeat
from fundingarb_dashboard.feed import News
from fundingarb_dashboard.sessions import Session

__all__ = ["Client", "Hub"]

EVERY = 0.1
HEARTBEAT = 1.0
PATIENCE = 10.0
"""Seconds a client may take for one frame."""
MOST_UNKEYED = 1000
"""Trades and alerts that wait for a slow client before it gets a snapshot instead."""
MOST_CLIENTS = 200

logger = logging.getLogger("fundingarb_dashboard")


class Client:
    """One websocket. ``outgoing`` is the frame to be sent next; None while there is none."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.pairs: frozenset[str] | None = None
        self.over: asyncio.Event = asyncio.Event()
        self.code = 1000
        self.why = ""
        self._outgoing: str | None = None
        self._ready = asyncio.Event()
        self._busy = False
        self._keyed: dict[Hashable, Change] = {}
        self._each: list[Change] = []
        self._wants_snapshot = True

    def close(self, code: int, why: str) -> None:
        """Ask for the end of this connection."""
        if not self.over.is_set():
            self.code, self.why = code, why
            self.over.set()

    def log_out(self) -> None:
        """Ask for the end because the session is over."""
        self.close(1008, "the session has ended; log in again")

    def subscribe(self, pairs: Collection[str] | None) -> None:
        """Rates of these pairs only; None: of all. Starts again from a snapshot."""
        self.pairs = None if pairs is None else frozenset(pairs)
        self._wants_snapshot = True

    def resync(self) -> None:
        """Start again from a snapshot: something was lost on the way here."""
        self._wants_snapshot = True

    def offer(self, frame: str | None, changes: Iterable[Change], board: Board) -> None:
        """The changes of this tenth of a second, and the frame that carries them all."""
        behind = bool(self._keyed or self._each)
        if self._busy or behind or self._wants_snapshot or self.pairs is not None:
            if not self._wants_snapshot:
                self._collect(changes)
            if self._busy:
                return
            frame = self._own_frame(board)
        if frame is not None:
            self._outgoing = frame
            self._busy = True
            self._ready.set()

    def _collect(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if self.pairs is not None and change.pair is not None and change.pair not in self.pairs:
                continue
            if change.key is None:
                self._each.append(change)
            else:
                self._keyed[change.key] = change
        if len(self._each) > MOST_UNKEYED:
            self._wants_snapshot = True

    def _own_frame(self, board: Board) -> str | None:
        if self._wants_snapshot:
            self._wants_snapshot = False
            bodies = [board.snapshot()]
        else:
            bodies = [change.body for change in (*self._keyed.values(), *self._each)]
        self._keyed.clear()
        self._each.clear()
        return framed(bodies)

    async def next_frame(self) -> str:
        """The next frame, when there is one."""
        await self._ready.wait()
        self._ready.clear()
        frame, self._outgoing = self._outgoing or "[]", None
        return frame

    def sent(self) -> None:
        """The frame has left."""
        self._busy = False


class Hub:
    """The board, and everybody who watches it."""

    def __init__(self, alive: Callable[[Session], bool], now: Callable[[], datetime]) -> None:
        """``alive`` tells whether a session is; it is asked before every frame. ``now`` is the bot's time."""
        self.board = Board()
        self.clients: set[Client] = set()
        self._alive = alive
        self._now = now
        self._due: list[Change] = []
        self._heard = time.monotonic()

    @property
    def watched(self) -> bool:
        return bool(self.clients)

    def join(self, session: Session) -> Client | None:
        """A new client; None when there are too many."""
        if len(self.clients) >= MOST_CLIENTS:
            return None
        client = Client(session)
        session.when_over.append(client.log_out)
        self.clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        if client.log_out in client.session.when_over:
            client.session.when_over.remove(client.log_out)

    def close(self) -> None:
        """Send everybody away: the server ends."""
        for client in list(self.clients):
            client.close(1001, "the dashboard ends")

    def take(self, news: News) -> None:
        """What the feed hands over."""
        self._heard = time.monotonic()
        self._due.extend(self.board.take(news))
        if news.missed:
            for client in self.clients:
                client.resync()

    async def run(self) -> None:
        """Send what has changed, ten times a second, until it is cancelled."""
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        beat_at = due_at
        while True:
            if loop.time() >= beat_at:
                beat_at = max(beat_at + HEARTBEAT, loop.time())
                self._due.append(heartbeat(self._now(), time.monotonic() - self._heard))
            self.flush()
            due_at = max(due_at + EVERY, loop.time())
            await asyncio.sleep(due_at - loop.time())

    def flush(self) -> None:
        """Offer what is due to everybody."""
        due, self._due = self._due, []
        if not self.clients:
            return
        changes = latest(due)
        frame = framed([change.body for change in changes])
        for client in list(self.clients):
            if self._alive(client.session):
                client.offer(frame, changes, self.board)
            else:
                client.log_out()


def latest(changes: Iterable[Change]) -> list[Change]:
    """The last change of every key, and every one without a key, in the order they came last."""
    found: dict[Hashable, Change] = {}
    for number, change in enumerate(changes):
        key = number if change.key is None else change.key
        found.pop(key, None)
        found[key] = change
    return list(found.values())


def framed(bodies: Collection[bytes]) -> str | None:
    """Events as one frame; None when there are none."""
    return f"[{b','.join(bodies).decode()}]" if bodies else None
