"""Decoder of Binance's user-data stream: orders, fills, funding, and what the exchange closes by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from fundingarb.domain.order import FillKind, OrderState
from fundingarb.errors import BadMessage
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import number
from fundingarb.exchanges.stream import StreamEnded
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb.ports import AccountSink
from fundingarb_binance.messages import SETTLE, kind_of, order_state, side_of


class _StreamOrder(msgspec.Struct):
    """``o`` of ORDER_TRADE_UPDATE; see the documentation of that event for the letters."""

    s: str
    c: str
    S: str
    q: str
    x: str
    X: str
    i: int
    l: str  # noqa: E741
    z: str
    L: str
    T: int
    t: int
    p: str = "0"
    ap: str = "0"
    n: str = "0"
    N: str = SETTLE
    m: bool = False
    R: bool = False
    rp: str = "0"


class _OrderEvent(msgspec.Struct):
    o: _StreamOrder


class _ChangedPosition(msgspec.Struct):
    s: str


class _Change(msgspec.Struct):
    m: str
    P: list[_ChangedPosition] = []


class _AccountEvent(msgspec.Struct):
    a: _Change


class _MarginCall(msgspec.Struct):
    p: list[_ChangedPosition]


class _Event(msgspec.Struct):
    e: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None


class AccountDecoder:
    """Frames of a user-data stream: orders, fills, funding, and positions that the exchange changed by itself."""

    def __init__(
        self,
        account: str,
        known: InstrumentMap,
        sink: AccountSink,
        note_order: Callable[[str, str], None] = lambda number, name: None,
    ) -> None:
        self._account = account
        self._known = known
        self._sink = sink
        self._note_order = note_order
        self._event = msgspec.json.Decoder(_Event)
        self._order = msgspec.json.Decoder(_OrderEvent)
        self._change = msgspec.json.Decoder(_AccountEvent)
        self._call = msgspec.json.Decoder(_MarginCall)

    def decode(self, frame: bytes) -> None:
        """Take one event; events that say nothing about orders, money or positions are passed over."""
        event = self._event.decode(frame)
        if event.error is not None:
            raise BadMessage(f"binance refused a command: {event.error}")
        if not event.e and (inner := bytes(event.data)):
            frame = inner
            event = self._event.decode(frame)
        if event.e == "ORDER_TRADE_UPDATE":
            self._take_order(self._order.decode(frame).o)
        elif event.e == "ACCOUNT_UPDATE":
            self._take_change(self._change.decode(frame).a)
        elif event.e == "MARGIN_CALL":
            for position in self._call.decode(frame).p:
                self._sink.position(self._account, self._symbol(position.s))
        elif event.e == "listenKeyExpired":
            raise StreamEnded("the listen key expired")

    def _symbol(self, exchange_id: str) -> str:
        instrument = self._known.by_id(exchange_id)
        return exchange_id if instrument is None else instrument.symbol

    def _take_change(self, change: _Change) -> None:
        if change.m == "FUNDING_FEE":
            self._sink.funding(self._account)
        elif change.m not in ("ORDER", "DEPOSIT", "WITHDRAW"):
            for position in change.P:
                self._sink.position(self._account, self._symbol(position.s))

    def _take_order(self, order: _StreamOrder) -> None:
        instrument = self._known.by_id(order.s)
        symbol = self._symbol(order.s)
        state, side = order_state(order.X), side_of(order.S)
        report = values.order_report(
            self._account,
            order.s,
            instrument,
            client_id=order.c,
            exchange_order_id=str(order.i),
            state=state,
            side=side,
            quantity=order.q,
            filled=order.z,
            price=order.p,
            average=order.ap,
            reduce_only=order.R,
            at=order.T,
            reason=order.X if state is OrderState.CANCELLED else "",
        )
        fill = None
        executed = order.x in ("TRADE", "CALCULATED") and number(order.l, "l") > 0
        if executed and order.N == SETTLE and instrument is not None:
            fill = values.fill(
                self._account,
                instrument,
                trade_id=str(order.t),
                exchange_order_id=str(order.i),
                client_id=order.c,
                side=side,
                quantity=order.l,
                price=order.L,
                fee=order.n,
                realized_pnl=order.rp,
                at=order.T,
                maker=order.m,
                kind=kind_of(order.c),
            )
        self._note_order(str(order.i), order.c)
        self._sink.order(report)
        if fill is not None:
            self._sink.fill(fill)
        if kind_of(order.c) is not FillKind.TRADE:
            self._sink.position(self._account, symbol)
