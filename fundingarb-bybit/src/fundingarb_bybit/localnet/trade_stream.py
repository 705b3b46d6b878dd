"""/v5/trade: order entry over a websocket. The same functions as REST, with the headers inside the message."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from fundingarb.localnet.faults import Failure
from fundingarb.localnet.streams import Session, encode
from fundingarb.localnet.truth.types import Refused
from fundingarb.localnet.venue import ReplyLost
from fundingarb_bybit.localnet import trade
from fundingarb_bybit.localnet.auth import DEFAULT_WINDOW, check_stream_login, check_window
from fundingarb_bybit.localnet.codes import failure_outcome
from fundingarb_bybit.localnet.desk import CATEGORIES, Desk, Reply, translate
from fundingarb_bybit.localnet.wire import ApiError

__all__ = ["TradeStream"]


@dataclass(frozen=True, slots=True)
class _Operation:
    run: Callable[[Desk, str, Mapping[str, Any]], dict[str, Any] | Reply]
    path: str
    name: str
    """For faults."""
    limit: str


_OPERATIONS = {
    "order.create": _Operation(trade.create, "/v5/order/create", "order.place", "create"),
    "order.amend": _Operation(trade.amend, "/v5/order/amend", "order.amend", "amend"),
    "order.cancel": _Operation(trade.cancel, "/v5/order/cancel", "order.cancel", "cancel"),
    "order.create-batch": _Operation(trade.create_batch, "/v5/order/create-batch", "order.place", "create"),
    "order.amend-batch": _Operation(trade.amend_batch, "/v5/order/amend-batch", "order.amend", "amend"),
    "order.cancel-batch": _Operation(trade.cancel_batch, "/v5/order/cancel-batch", "order.cancel", "cancel"),
}


class TradeStream:
    """The order-entry websocket of one venue."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def handle(self, request: web.Request) -> web.StreamResponse:
        session = Session(self._desk.venue, request)
        session.data["conn_id"] = f"{uuid.uuid4().hex[:20]}-2t"
        session.data["seen"] = set()
        return await session.run(self._on_message)

    async def _on_message(self, session: Session, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._answer(session, {}, "", 10001, "Request parameter error.")
            return
        op = str(message.get("op", ""))
        if op == "ping":
            reply = {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(self._desk.now_ms())]}
            session.send(encode(_with_id(message) | reply | {"connId": session.data["conn_id"]}))
        elif op == "auth":
            self._auth(session, message)
        elif op in _OPERATIONS:
            await self._order(session, message, op, _OPERATIONS[op])
        else:
            self._answer(session, message, op, 10404, "op type is not found")

    def _auth(self, session: Session, message: Mapping[str, Any]) -> None:
        if session.account is not None:
            self._answer(session, message, "auth", 20001, "Repeat auth")
            return
        try:
            caller = check_stream_login(self._desk.venue, message.get("args"))
        except ApiError as error:
            self._answer(session, message, "auth", error.code, error.message)
            session.close(1000, "auth failed")
            return
        session.account = caller.account
        self._answer(session, message, "auth", 0, "OK")

    def _answer(
        self,
        session: Session,
        message: Mapping[str, Any],
        op: str,
        code: int,
        text: str,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        reply = _with_id(message) | {"retCode": code, "retMsg": text, "op": op}
        session.send(encode(reply | dict(more or {}) | {"connId": session.data["conn_id"]}))

    async def _order(
        self, session: Session, message: Mapping[str, Any], op: str, operation: _Operation
    ) -> None:
        account = session.account
        if account is None:
            self._answer(session, message, op, 10003, "Request not authorized")
            return
        request_id = message.get("reqId")
        if request_id is not None:
            if not isinstance(request_id, str):
                self._answer(session, message, op, 10001, "Request parameter error.")
                return
            if request_id in session.data["seen"]:
                self._answer(session, message, op, 20006, "reqId is duplicated")
                return
            session.data["seen"].add(request_id)
        args = message.get("args")
        entry = args[0] if isinstance(args, list) and args and isinstance(args[0], dict) else None
        if entry is None:
            self._answer(session, message, op, 10001, "Request parameter error.")
            return
        if entry.get("category") not in CATEGORIES:
            self._answer(session, message, op, 10404, "category is not correct/supported")
            return
        headers = self._headers(account, operation.limit)
        if headers is None:
            self._answer(session, message, op, 10429, "System level frequency protection")
            return

        async def execute() -> dict[str, Any]:
            return self._run(account, message, entry, operation)

        def failed(failure: Failure) -> dict[str, Any]:
            outcome = failure_outcome(failure)
            return {"code": outcome.code, "text": outcome.message, "data": {}, "ext": {}}

        symbol = entry.get("symbol")
        try:
            reply = await self._desk.venue.perform(
                operation.name,
                execute,
                failed,
                account=account,
                symbol=symbol if isinstance(symbol, str) else None,
            )
        except ReplyLost:
            session.drop()
            return
        more = {"data": reply["data"], "retExtInfo": reply["ext"], "header": headers}
        self._answer(session, message, op, reply["code"], reply["text"], more)

    def _run(
        self, account: str, message: Mapping[str, Any], entry: Mapping[str, Any], operation: _Operation
    ) -> dict[str, Any]:
        """Check the window and do it; refusals become codes."""
        try:
            self._check_header(message.get("header"))
            result = operation.run(self._desk, account, entry)
        except ApiError as error:
            return {"code": error.code, "text": error.message, "data": dict(error.result), "ext": {}}
        except Refused as refused:
            answer = translate(self._desk, refused, operation.path, account)
            return {"code": answer.code, "text": answer.message, "data": dict(answer.result), "ext": {}}
        if isinstance(result, Reply):
            return {"code": 0, "text": result.message, "data": result.result, "ext": dict(result.ext or {})}
        return {"code": 0, "text": "OK", "data": result, "ext": {}}

    def _check_header(self, header: object) -> None:
        if not isinstance(header, dict) or header.get("X-BAPI-TIMESTAMP") in (None, ""):
            raise ApiError(10001, "Request parameter error: header X-BAPI-TIMESTAMP is required.")
        try:
            timestamp = int(header["X-BAPI-TIMESTAMP"])
            window = int(header.get("X-BAPI-RECV-WINDOW") or DEFAULT_WINDOW)
        except (TypeError, ValueError):
            raise ApiError(10001, "Request parameter error: header invalid.") from None
        check_window(self._desk.venue, timestamp, window)

    def _headers(self, account: str, limit: str) -> dict[str, str] | None:
        """The header object of a reply; None when the account has used up its requests."""
        state = self._desk.charge(limit, f"{account}/{limit}")
        if state.exceeded:
            return None
        now = str(self._desk.now_ms())
        return {
            "X-Bapi-Limit": str(state.rule.limit),
            "X-Bapi-Limit-Status": str(state.remaining),
            "X-Bapi-Limit-Reset-Timestamp": now,
            "Traceid": uuid.uuid4().hex,
            "Timenow": now,
        }


def _with_id(message: Mapping[str, Any]) -> dict[str, Any]:
    """``reqId`` comes back only when it was sent."""
    request_id = message.get("reqId")
    return {} if request_id is None else {"reqId": request_id}
