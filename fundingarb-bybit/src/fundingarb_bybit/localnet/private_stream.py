"""/v5/private: orders, executions, positions and the wallet of the account that logged in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
from aiohttp import web

from fundingarb.localnet.streams import Session, encode
from fundingarb.localnet.truth.events import (
    AccountChanged,
    FundingPaid,
    OrderChanged,
    SettingsChanged,
)
from fundingarb.localnet.truth.types import Order, OrderStatus, OrderType, Position, TimeInForce
from fundingarb_bybit.localnet.auth import check_stream_login
from fundingarb_bybit.localnet.desk import ACKNOWLEDGE, Desk
from fundingarb_bybit.localnet.render import (
    CATEGORY,
    execution,
    funding_execution,
    order_row,
    position_row,
    side_name,
    user_id,
    wallet_row,
)
from fundingarb_bybit.localnet.wire import ApiError, money, plain

__all__ = ["PrivateStream"]

_TOPICS = ("order", "execution", "position", "wallet", "greeks")
_BY_CATEGORY = ("order", "execution", "execution.fast", "position")
_TOPIC_NAMES = frozenset(
    (
        *_TOPICS,
        "execution.fast",
        *(
            f"{topic}.{category}"
            for topic in _BY_CATEGORY
            for category in ("linear", "inverse", "spot", "option")
        ),
        "dcp.future",
        "dcp.spot",
        "dcp.option",
        "dcp",
    )
)
_NEVER_REST = (TimeInForce.IOC, TimeInForce.FOK)


def _listen(topic: str, account: str) -> str:
    """The hub's name of an account's topic."""
    return f"{topic}@{account}"


class PrivateStream:
    """The private websocket of one venue."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._hub = desk.venue.hub
        self._frames = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        session = Session(self._desk.venue, request)
        session.data["conn_id"] = f"{uuid.uuid4().hex[:20]}-2m"
        try:
            return await session.run(self._on_message)
        finally:
            self._left(session)

    # -- commands ------------------------------------------------------------------------------------------------

    async def _on_message(self, session: Session, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._answer(session, {}, "Params Error", op="", success=False)
            return
        op = str(message.get("op", ""))
        if op == "ping":
            reply = {"op": "pong", "args": [str(self._desk.now_ms())], "conn_id": session.data["conn_id"]}
            if message.get("req_id") is not None:
                reply["req_id"] = str(message["req_id"])
            session.send(encode(reply))
        elif op == "auth":
            self._auth(session, message)
        elif op in ("subscribe", "unsubscribe"):
            await anyio.sleep(ACKNOWLEDGE)
            self._subscribe(session, message, op)
        else:
            self._answer(session, message, "Params Error", op=op, success=False)

    def _answer(
        self, session: Session, message: Mapping[str, Any], text: str, *, op: str, success: bool = True
    ) -> None:
        reply = {"success": success, "ret_msg": text, "op": op, "conn_id": session.data["conn_id"]}
        if message.get("req_id") is not None:
            reply["req_id"] = str(message["req_id"])
        session.send(encode(reply))

    def _auth(self, session: Session, message: Mapping[str, Any]) -> None:
        """Log in; a failed attempt is answered, then the connection is closed."""
        try:
            caller = check_stream_login(self._desk.venue, message.get("args"))
        except ApiError as error:
            self._answer(session, message, error.message, op="auth", success=False)
            session.close(1000, "auth failed")
            return
        session.account = caller.account
        self._answer(session, message, "", op="auth")

    def _subscribe(self, session: Session, message: Mapping[str, Any], op: str) -> None:
        if session.account is None:
            self._answer(session, message, "Request not authorized", op=op, success=False)
            return
        args = message.get("args")
        if not isinstance(args, list) or not args or not all(isinstance(topic, str) for topic in args):
            self._answer(session, message, "Params Error", op=op, success=False)
            return
        unknown = [topic for topic in args if topic not in _TOPIC_NAMES]
        if unknown:
            self._answer(
                session, message, f"error:handler not found,topic:{unknown[0]}", op=op, success=False
            )
            return
        for topic in args:
            if op == "subscribe":
                session.subscribe(_listen(topic, session.account))
            else:
                session.unsubscribe(_listen(topic, session.account))
        self._answer(session, message, "", op=op)
        self._protect(session)

    # -- disconnect protection -----------------------------------------------------------------------------------

    def _protect(self, session: Session) -> None:
        """Count the connection in or out of the account's protection, by its topics."""
        account = session.account
        if account is None:
            return
        guarded = any(topic.partition("@")[0] in ("dcp", "dcp.future") for topic in session.topics)
        if guarded == bool(session.data.get("guarded")):
            return
        session.data["guarded"] = guarded
        protection = self._desk.protection(account)
        protection.connections += 1 if guarded else -1
        if guarded:
            self._desk.truth.cancel_after(account, None, None)

    def _left(self, session: Session) -> None:
        """The connection is gone: the timer starts when it was the last one that was guarded."""
        account = session.account
        if account is None or not session.data.get("guarded"):
            return
        protection = self._desk.protection(account)
        protection.connections -= 1
        if protection.enabled and protection.connections == 0:
            seconds = protection.window * self._desk.venue.clock.speed
            self._desk.venue.sync()
            self._desk.truth.cancel_after(account, None, seconds)

    # -- events --------------------------------------------------------------------------------------------------

    def _push(
        self, account: str, topic: str, rows: Sequence[Mapping[str, Any]], *, bare: bool = False
    ) -> None:
        """Send rows on a topic and on its form for the category."""
        for name in (topic, f"{topic}.{CATEGORY}"):
            listened = _listen(name, account)
            if not self._hub.wanted(listened):
                continue
            frame: dict[str, Any] = {"topic": name, "creationTime": self._desk.now_ms(), "data": rows}
            if not bare:
                self._frames += 1
                frame = {"id": f"{user_id(account)}_{self._frames}"} | frame
            self._hub.publish(listened, encode(frame))

    def order_changed(self, event: OrderChanged) -> None:
        """The execution, if there was one, then the order."""
        order = event.order
        instrument = self._desk.truth.instruments[order.instrument]
        if event.fill is not None:
            record = self._desk.journal.record(order.account, event.fill.id)
            self._push(order.account, "execution", [execution(instrument, record, stream=True)])
            fast = {
                "category": CATEGORY,
                "symbol": order.instrument,
                "execId": event.fill.id,
                "execPrice": plain(event.fill.price),
                "execQty": plain(event.fill.quantity),
                "orderId": order.id,
                "isMaker": event.fill.maker,
                "orderLinkId": order.client_id,
                "side": side_name(event.fill.side),
                "execTime": str(event.fill.time_ms),
                "seq": event.fill.sequence,
            }
            self._push(order.account, "execution.fast", [fast], bare=True)
        if _silent(order):
            return
        row = order_row(instrument, order, padded=False)
        row["category"] = CATEGORY
        row["feeCurrency"] = instrument.settle
        row["closedPnl"] = (
            money(self._desk.journal.closed_by(order.account, order.id)) if order.filled else "0"
        )
        self._push(order.account, "order", [row])

    def account_changed(self, event: AccountChanged) -> None:
        """The positions, then the wallet."""
        self._positions(event.account, event.positions)
        if event.balances and self._wanted(event.account, "wallet"):
            self._push(event.account, "wallet", [wallet_row(self._desk.truth, event.account)])

    def funding_paid(self, event: FundingPaid) -> None:
        payment = event.payment
        instrument = self._desk.truth.instruments[payment.instrument]
        row = funding_execution(instrument, payment, stream=True)
        self._push(payment.account, "execution", [row])

    def settings_changed(self, event: SettingsChanged) -> None:
        """A new leverage or margin mode shows on the positions."""
        if self._wanted(event.account, "position") and event.instrument:
            self._positions(
                event.account, self._desk.truth.positions(event.account, event.instrument, flat=True)
            )

    def _positions(self, account: str, positions: Sequence[Position]) -> None:
        if not positions or not self._wanted(account, "position"):
            return
        rows = [
            position_row(
                self._desk.truth.instruments[position.instrument],
                position,
                self._desk.journal.sequence(account, position.instrument, position.side),
                stream=True,
            )
            for position in positions
        ]
        self._push(account, "position", rows)

    def _wanted(self, account: str, topic: str) -> bool:
        return any(self._hub.wanted(_listen(name, account)) for name in (topic, f"{topic}.{CATEGORY}"))


def _silent(order: Order) -> bool:
    """Orders that never rest are told of when they trade or end, not when they arrive."""
    return (
        order.status is OrderStatus.NEW
        and not order.filled
        and (order.type is OrderType.MARKET or order.time_in_force in _NEVER_REST)
    )
