"""Decoder of OKX's private stream: orders with their executions, and what happens to the account by itself."""

from __future__ import annotations

import msgspec

from fundingarb.domain.order import FillKind
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import hand_over, number
from fundingarb.ports import AccountSink
from fundingarb_okx.contracts import Contracts
from fundingarb_okx.messages import SETTLE, order_report, side_of
from fundingarb_okx.schema import Order
from fundingarb_okx.stream import PONG, BookFrame, check_event


class _StreamOrder(Order):
    """An order as it is pushed: with its last execution, if there was one."""

    category: str = "normal"
    tradeId: str = ""  # noqa: N815
    fillSz: str = ""  # noqa: N815
    fillPx: str = ""  # noqa: N815
    fillFee: str = ""  # noqa: N815
    fillFeeCcy: str = ""  # noqa: N815
    fillPnl: str = ""  # noqa: N815
    fillTime: str = ""  # noqa: N815
    execType: str = ""  # noqa: N815


class _ChangedPosition(msgspec.Struct):
    instId: str  # noqa: N815


class _Change(msgspec.Struct):
    eventType: str  # noqa: N815
    posData: list[_ChangedPosition] = []  # noqa: N815


_KINDS = {
    "full_liquidation": FillKind.LIQUIDATION,
    "partial_liquidation": FillKind.LIQUIDATION,
    "delivery": FillKind.LIQUIDATION,
    "adl": FillKind.ADL,
}
_BY_ITSELF = ("liquidation", "claw_back", "adl", "delivered", "exercised", "settlement")


class AccountDecoder:
    """Frames of the channels ``orders`` and ``balance_and_position``.

    One bad entry spoils no other of its frame: the others are taken, then ``BadMessage`` is raised for it.
    """

    def __init__(self, account: str, known: Contracts, sink: AccountSink) -> None:
        self._account = account
        self._known = known
        self._sink = sink
        self._frame = msgspec.json.Decoder(BookFrame)
        self._rows = msgspec.json.Decoder(list[msgspec.Raw])
        self._order = msgspec.json.Decoder(_StreamOrder)
        self._change = msgspec.json.Decoder(_Change)

    def decode(self, frame: bytes) -> None:
        if frame == PONG:
            return
        message = self._frame.decode(frame)
        if not message.data:
            check_event(frame)
            return
        channel = message.arg.channel
        if channel == "orders":
            hand_over(self._rows.decode(message.data), self._take_order, "okx orders")
        elif channel == "balance_and_position":
            hand_over(self._rows.decode(message.data), self._take_change, "okx balance_and_position")

    def _symbol(self, exchange_id: str) -> str:
        instrument = self._known.by_id(exchange_id)
        return exchange_id if instrument is None else instrument.symbol

    def _take_change(self, raw: msgspec.Raw) -> None:
        change = self._change.decode(raw)
        if change.eventType == "funding_fee":
            self._sink.funding(self._account)
        elif change.eventType in _BY_ITSELF:
            for position in change.posData:
                self._sink.position(self._account, self._symbol(position.instId))

    def _take_order(self, raw: msgspec.Raw) -> None:
        order = self._order.decode(raw)
        instrument = self._known.by_id(order.instId)
        report = order_report(order, self._account, self._known)
        kind = _KINDS.get(order.category, FillKind.TRADE)
        fill = None
        if order.tradeId and order.fillFeeCcy == SETTLE and order.fillPnl and instrument is not None:
            fill = values.fill(
                self._account,
                instrument,
                trade_id=order.tradeId,
                exchange_order_id=order.ordId,
                client_id=order.clOrdId,
                side=side_of(order.side),
                quantity=order.fillSz,
                price=order.fillPx,
                fee=-number(order.fillFee, "fillFee"),
                realized_pnl=order.fillPnl,
                at=order.fillTime,
                maker=order.execType == "M",
                kind=kind,
                units=self._known.units(instrument),
            )
        self._sink.order(report)
        if fill is not None:
            self._sink.fill(fill)
        if kind is not FillKind.TRADE:
            self._sink.position(self._account, self._symbol(order.instId))
