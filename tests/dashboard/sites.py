"""The application without a server, for tests that only look at it."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from fundingarb.engine.clock import SystemClock
from fundingarb.ports import BotHandle
from fundingarb_dashboard.hub import Hub
from fundingarb_dashboard.line import BotLine
from fundingarb_dashboard.login import Gatekeeper
from fundingarb_dashboard.pages import policy
from fundingarb_dashboard.replies import Replies
from fundingarb_dashboard.sessions import Sessions
from fundingarb_dashboard.site import Site


def bare_site() -> Site:
    """A site whose bot is nobody."""

    async def alive() -> bool:
        return True

    sessions = Sessions(time.monotonic, SystemClock().now)
    return Site(
        line=BotLine(cast(BotHandle, None), cast(asyncio.AbstractEventLoop, None)),
        alive=alive,
        gatekeeper=Gatekeeper(None, time.monotonic, lambda token: None),
        sessions=sessions,
        hub=Hub(sessions.alive, SystemClock().now),
        replies=Replies(),
        cookie="fundingarb_test",
        origins=frozenset(),
        policy=policy(),
        tls=False,
        metrics_token=None,
    )
