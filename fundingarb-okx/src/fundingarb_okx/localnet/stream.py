"""What all websockets of OKX have in common: text pings, login, subscriptions, and 30 seconds of patience."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import anyio
from aiohttp import web

from fundingarb.localnet.streams import Session, encode
from fundingarb_okx.localnet.auth import login, simulated
from fundingarb_okx.localnet.desk import Desk
from fundingarb_okx.localnet.wire import ApiError, dumps

__all__ = ["IDLE", "OkxSession", "Stream", "unknown_channel"]

IDLE = 30.0
"""Real seconds without a frame from the server after which it closes the connection."""
ACKNOWLEDGE = 0.005
"""Real seconds until a subscription is acknowledged: some clients note what they asked for only after sending it."""
LONGEST = 64 * 1024
"""Characters of a subscription, all channels together."""
DEMO_BROKER = "9999"
GOING_AWAY = (1001, 1012)
"""Codes with which the localnet closes connections when it ends or goes into maintenance."""


class OkxSession(Session):
    """A connection that knows when it last said something."""

    def __init__(self, desk: Desk, request: web.Request) -> None:
        super().__init__(desk.venue, request)
        self.connection = uuid.uuid4().hex[:8]
        self.demo = simulated(request.headers) or request.query.get("brokerId") == DEMO_BROKER
        self.spoke = desk.venue.real()

    def send(self, frame: bytes | str, topic: str = "") -> None:
        self.spoke = self.venue.real()
        super().send(frame, topic)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; OKX announces it when the server goes away for an upgrade."""
        if code in GOING_AWAY:
            text = "The connection will soon be closed for a service upgrade. Please reconnect."
            self.event("notice", code="64008", msg=text)
        super().close(code, reason)

    def event(self, name: str, **more: Any) -> None:
        """Send ``{"event": name, ..., "connId": ...}``."""
        self.send(encode({"event": name, **more, "connId": self.connection}))

    def error(self, error: ApiError) -> None:
        self.event("error", code=error.code, msg=error.message)


def unknown_channel(arg: Mapping[str, Any]) -> ApiError:
    """A channel that is not there, or not here."""
    shown = ",".join(f"{key}:{value}" for key, value in arg.items())
    text = f"Wrong URL or {shown} doesn't exist. Please use the correct URL, channel and parameters"
    return ApiError(60018, f"{text} referring to API document.")


class Stream(ABC):
    """One websocket path of a venue."""

    needs_login = False

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.hub = desk.venue.hub

    @abstractmethod
    def topic(self, session: OkxSession, arg: Mapping[str, Any]) -> str:
        """The hub's name of a channel; raises ``ApiError`` when it does not exist."""

    @abstractmethod
    def first(self, session: OkxSession, topic: str, arg: Mapping[str, Any]) -> list[bytes]:
        """What a new listener gets at once."""

    async def operation(self, session: OkxSession, op: str, message: Mapping[str, Any]) -> bool:
        """Anything besides login and subscriptions; whether it was known."""
        return False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await self.serve(OkxSession(self.desk, request))

    async def serve(self, session: OkxSession) -> web.StreamResponse:
        """Run a connection to its end."""

        async def on_message(_: Session, text: str) -> None:
            await self._on_message(session, text)

        def on_open(_: Session) -> None:
            self.desk.venue.spawn(lambda: _watch(session))

        return await session.run(on_message, on_open)

    # -- commands ------------------------------------------------------------------------------------------------

    async def _on_message(self, session: OkxSession, text: str) -> None:
        if text == "ping":
            session.send("pong")
            return
        try:
            message = json.loads(text, parse_float=str)
        except (ValueError, RecursionError):
            message = None
        op = message.get("op") if isinstance(message, dict) else None
        if not isinstance(message, dict) or not isinstance(op, str):
            session.error(ApiError(60012, f"Illegal request: {text[:500]}"))
        elif op == "login":
            self._login(session, message)
        elif op in ("subscribe", "unsubscribe"):
            await anyio.sleep(ACKNOWLEDGE)
            self._subscribe(session, message, op)
        elif not await self.operation(session, op, message):
            session.error(ApiError(60012, f"Illegal request: {dumps(message)[:500]}"))

    def _login(self, session: OkxSession, message: Mapping[str, Any]) -> None:
        """A failed attempt is answered, then the connection is closed."""
        try:
            session.account = login(
                self.desk.venue,
                message.get("args"),
                demo=self.desk.settings.simulated,
                environment=session.demo,
            )
        except ApiError as error:
            session.error(error)
            session.close(4001, "Login failed")
            return
        session.event("login", msg="", code="0")

    def _subscribe(self, session: OkxSession, message: Mapping[str, Any], op: str) -> None:
        args = message.get("args")
        whole = args if isinstance(args, list) else []
        if not whole or not all(isinstance(arg, dict) and arg.get("channel") for arg in whole):
            session.error(ApiError(60012, f"Illegal request: {dumps(message)[:500]}"))
            return
        if len(dumps(whole)) > LONGEST:
            session.error(ApiError(60013, "Invalid args"))
            return
        if self.needs_login and session.account is None:
            session.error(ApiError(60011, "Please log in"))
            return
        self.desk.venue.sync()
        for arg in whole:
            self._one(session, op, arg, message.get("id"))

    def _one(self, session: OkxSession, op: str, arg: Mapping[str, Any], request_id: Any) -> None:
        """Each channel is acknowledged, or refused, on its own."""
        try:
            topic = self.topic(session, arg)
        except ApiError as error:
            session.error(error)
            return
        more = {} if request_id is None else {"id": str(request_id)}
        if op == "unsubscribe":
            session.unsubscribe(topic)
            session.event(op, **more, arg=arg)
            return
        frames = self.first(session, topic, arg)
        session.subscribe(topic)
        session.event(op, **more, arg=arg)
        if self.needs_login:
            self._count(session, arg)
        for frame in frames:
            session.send(frame, topic)

    def _count(self, session: OkxSession, arg: Mapping[str, Any]) -> None:
        """Private channels tell how many connections of the account listen to them."""
        channel = str(arg["channel"])
        listening = {
            other
            for other in self.hub.sessions
            if other.account == session.account and any(t.split(":")[0] == channel for t in other.topics)
        }
        session.event("channel-conn-count", channel=channel, connCount=str(len(listening)))


async def _watch(session: OkxSession) -> None:
    """Close the connection when nothing was said on it for too long."""
    while not session.closed:
        quiet = session.venue.real() - session.spoke
        if quiet >= IDLE:
            session.close(4004, "No data received in 30s.")
            return
        await anyio.sleep(min(1.0, IDLE - quiet))
