"""Websocket market and user data streams: connections, subscriptions, raw and combined frames.

A routed path carries only its own streams (public: books and trades; market: the rest; private: user data); a
subscription elsewhere is accepted and stays silent, as on the exchange. The unrouted paths carry everything, as
they did before the exchange split them in April 2026.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from fundingarb.localnet.dialect import Route
from fundingarb.localnet.streams import Session
from fundingarb_binance.localnet.answers import encode
from fundingarb_binance.localnet.context import Context
from fundingarb_binance.localnet.user_data import EVENTS, UserData, user_topics

__all__ = ["COMBINED", "Streams", "category"]

COMBINED = "|stream"
"""Suffix of the topics whose frames name their stream."""
_PUBLIC = re.compile(r"^(.*@(bookTicker|trade|depth.*|rpiDepth.*)|!bookTicker)$")
_MESSAGES_PER_SECOND = 10
_MOST_STREAMS = 1024
_PING_SECONDS = 180.0
_PONG_SECONDS = 600.0

OnSubscribe = Callable[[str], None]


def category(stream: str) -> str:
    """The routed path a market stream belongs to."""
    return "public" if _PUBLIC.match(stream) else "market"


class Streams:
    """Connections to /ws and /stream, with or without a routed path before them."""

    def __init__(self, context: Context, user_data: UserData, on_subscribe: OnSubscribe) -> None:
        self.context = context
        self.user_data = user_data
        self._on_subscribe = on_subscribe

    def routes(self) -> list[Route]:
        routes = []
        for routed in ("", "public", "market", "private"):
            prefix = f"/{routed}" if routed else ""
            for path, combined in (("/ws", False), ("/stream", True)):
                handler = self._handler(routed, combined)
                routes.append(Route("GET", prefix + path, handler, "stream.open"))
                if not combined:
                    routes.append(Route("GET", f"{prefix}{path}/{{streams:.+}}", handler, "stream.open"))
        return routes

    def _handler(self, routed: str, combined: bool) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            session = Session(
                self.context.venue, request, ping_every=_PING_SECONDS, pong_within=_PONG_SECONDS
            )
            session.data = {
                "routed": routed,
                "combined": combined,
                "streams": {},
                "listen_keys": set(),
                "received": deque(),
            }
            return await session.run(self._on_message, self._on_open)

        return handle

    # -- opening ---------------------------------------------------------------------------------------------

    def _on_open(self, session: Session) -> None:
        request = session.request
        named = request.match_info.get("streams", "")
        streams = [name for name in named.split("/") if name and not name.isdigit()]
        listen_key = ""
        for name, value in parse_qsl(request.raw_path.partition("?")[2]):
            if name == "streams":
                streams.extend(value.split("/"))
            elif name == "listenKey":
                listen_key = value
                self._listen(session, value, EVENTS)
            elif name == "events" and listen_key:
                self._stop_listening(session, listen_key)
                self._listen(session, listen_key, tuple(value.split("/")))
        self._add(session, streams)

    def _add(self, session: Session, streams: Iterable[str]) -> None:
        for stream in streams:
            key, _, event = stream.partition("@")
            if self.user_data.account_of(key) is not None:
                self._listen(session, key, (event,) if event else EVENTS)
                continue
            session.data["streams"][stream] = None
            if session.data["routed"] in ("", category(stream)):
                self._on_subscribe(stream)
                session.subscribe(_topic(session, stream))

    def _listen(self, session: Session, listen_key: str, events: tuple[str, ...]) -> None:
        """Join the user data of a listen key; an unknown key hears nothing, and so do public paths."""
        session.data["streams"][listen_key] = None
        account = self.user_data.account_of(listen_key)
        if account is None or session.data["routed"] not in ("", "private"):
            return
        session.account = account
        session.data["listen_keys"].add(listen_key)
        wanted = (*events, "listenKeyExpired")
        session.subscribe(*user_topics(account, session.data["combined"], wanted))

    def _stop_listening(self, session: Session, listen_key: str) -> None:
        account = self.user_data.account_of(listen_key)
        if account is not None:
            session.unsubscribe(*user_topics(account, session.data["combined"]))

    # -- commands --------------------------------------------------------------------------------------------

    def _on_message(self, session: Session, text: str) -> None:
        if self._too_fast(session):
            session.close(1008, "Too many requests")
            return
        try:
            message = json.loads(text)
        except ValueError:
            session.send(_error(3, "Invalid JSON: expected value at line 1 column 1"))
            return
        if not isinstance(message, dict):
            session.send(_error(2, "Invalid request: request must be an object"))
            return
        self._command(session, message.get("method"), message.get("params"), message.get("id"))

    def _too_fast(self, session: Session) -> bool:
        received: deque[float] = session.data["received"]
        now = self.context.venue.real()
        received.append(now)
        while received[0] < now - 1:
            received.popleft()
        return len(received) > _MESSAGES_PER_SECOND

    def _command(self, session: Session, method: Any, params: Any, request_id: Any) -> None:
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            if not isinstance(params, list) or not all(isinstance(stream, str) for stream in params):
                session.send(_error(2, "Invalid request: params must be a list of stream names", request_id))
                return
            if method == "SUBSCRIBE":
                if len(session.data["streams"]) + len(params) > _MOST_STREAMS:
                    session.close(1008, "Too many streams")
                    return
                self._add(session, params)
            else:
                self._remove(session, params)
            result: Any = None
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(session.data["streams"])
        elif method == "GET_PROPERTY":
            result = session.data["combined"]
        elif method == "SET_PROPERTY":
            if not (isinstance(params, list) and len(params) == 2 and params[0] == "combined"):
                session.send(_error(0, "Unknown property", request_id))
                return
            if not isinstance(params[1], bool):
                session.send(_error(1, "Invalid value type: expected Boolean", request_id))
                return
            self._set_combined(session, params[1])
            result = None
        else:
            session.send(_error(2, f"Invalid request: unknown variant `{method}`", request_id))
            return
        session.send(encode({"result": result, "id": request_id}))

    def _remove(self, session: Session, streams: Iterable[str]) -> None:
        for stream in streams:
            session.data["streams"].pop(stream, None)
            key = stream.partition("@")[0]
            if key in session.data["listen_keys"]:
                self._stop_listening(session, key)
                session.data["listen_keys"].discard(key)
            session.unsubscribe(_topic(session, stream))

    def _set_combined(self, session: Session, combined: bool) -> None:
        held = list(session.topics)
        session.unsubscribe(*held)
        session.data["combined"] = combined
        session.subscribe(*(topic.removesuffix(COMBINED) + (COMBINED if combined else "") for topic in held))


def _topic(session: Session, stream: str) -> str:
    return stream + COMBINED if session.data["combined"] else stream


def _error(code: int, message: str, request_id: Any = None) -> bytes:
    return encode({"error": {"code": code, "msg": message}, "id": request_id})
