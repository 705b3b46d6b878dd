"""What the parts of the web application share. Everything here belongs to the server's thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fundingarb_dashboard.hub import Hub
from fundingarb_dashboard.line import BotLine
from fundingarb_dashboard.login import Gatekeeper
from fundingarb_dashboard.master import MasterPassword
from fundingarb_dashboard.replies import Replies
from fundingarb_dashboard.sessions import Sessions
from fundingarb_dashboard.shared import Shared

__all__ = ["Site"]


@dataclass(frozen=True)
class Site:
    """One dashboard: who gets in, where from, and the way to the bot.

    ``alive`` tells whether the bot's loop moves, ``cookie`` is the session cookie's name, ``origins`` are the pages
    that may ask for something, ``policy`` is the Content-Security-Policy.
    """

    line: BotLine
    alive: Callable[[], Awaitable[bool]]
    gatekeeper: Gatekeeper
    sessions: Sessions
    hub: Hub
    replies: Replies
    cookie: str
    origins: frozenset[str]
    policy: str
    tls: bool
    metrics_token: str | None
    shared: Shared = field(default_factory=Shared)
    master: MasterPassword = field(default_factory=MasterPassword)

    @property
    def browser_cookie(self) -> str:
        """The cookie by which a browser that was let in is known at its next login. It lets nobody in."""
        return f"{self.cookie}_browser"
