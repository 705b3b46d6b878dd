"""Decoder of Bybit's private stream: orders, executions, positions, and what the exchange closes by itself."""

from __future__ import annotations

from typing import Any

import msgspec

from fundingarb.domain.order import FillKind
from fundingarb.errors import BadMessage
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import hand_over
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb.ports import AccountSink
from fundingarb_bybit.messages import order_report, side_of
from fundingarb_bybit.schema import Order, Position


class _Execution(msgspec.Struct):
    symbol: str
    category: str
    execId: str  # noqa: N815
    execType: str  # noqa: N815
    side: str
    orderId: str  # noqa: N815
    execTime: str  # noqa: N815
    execPrice: str  # noqa: N815
    execQty: str  # noqa: N815
    execFee: str  # noqa: N815
    execPnl: str = ""  # noqa: N815
    orderLinkId: str = ""  # noqa: N815
    isMaker: bool = False  # noqa: N815
    extraFees: Any = None  # noqa: N815


class _Linear(msgspec.Struct):
    category: str = "linear"


class _PrivateFrame(msgspec.Struct):
    topic: str = ""
    data: list[msgspec.Raw] = []
    success: bool | None = None
    ret_msg: str = ""
    op: str = ""


_EXECUTIONS = {"Trade": FillKind.TRADE, "AdlTrade": FillKind.ADL, "BustTrade": FillKind.LIQUIDATION}
_CLOSED_BY_EXCHANGE = {"AdlTrade", "BustTrade", "Delivery", "Settle", "MovePosition"}


class AccountDecoder:
    """Frames of the private stream: orders, executions, positions, wallet.

    One bad entry spoils no other of its frame: the others are taken, then ``BadMessage`` is raised for it.
    """

    def __init__(self, account: str, known: InstrumentMap, sink: AccountSink) -> None:
        self._account = account
        self._known = known
        self._sink = sink
        self._frame = msgspec.json.Decoder(_PrivateFrame)
        self._category = msgspec.json.Decoder(_Linear)
        self._order = msgspec.json.Decoder(Order)
        self._execution = msgspec.json.Decoder(_Execution)
        self._position = msgspec.json.Decoder(Position)

    def decode(self, frame: bytes) -> None:
        message = self._frame.decode(frame)
        if message.success is False:
            raise BadMessage(f"bybit refused {message.op or 'a command'}: {message.ret_msg}")
        topic = message.topic.partition(".")[0]
        take = {
            "order": self._take_order,
            "execution": self._take_execution,
            "position": self._take_position,
        }.get(topic)
        if take is None:
            return

        def linear(raw: msgspec.Raw) -> None:
            if self._category.decode(raw).category == "linear":
                take(raw)

        hand_over(message.data, linear, f"bybit {topic}")

    def _symbol(self, exchange_id: str) -> str:
        instrument = self._known.by_id(exchange_id)
        return exchange_id if instrument is None else instrument.symbol

    def _take_order(self, raw: msgspec.Raw) -> None:
        self._sink.order(order_report(self._order.decode(raw), self._account, self._known))

    def _take_position(self, raw: msgspec.Raw) -> None:
        position = self._position.decode(raw)
        self._sink.position(self._account, self._symbol(position.symbol))

    def _take_execution(self, raw: msgspec.Raw) -> None:
        row = self._execution.decode(raw)
        if row.execType == "Funding":
            self._sink.funding(self._account)
            return
        instrument = self._known.by_id(row.symbol)
        kind = _EXECUTIONS.get(row.execType)
        if kind is not None and instrument is not None and row.execPnl and not row.extraFees:
            self._sink.fill(
                values.fill(
                    self._account,
                    instrument,
                    trade_id=row.execId,
                    exchange_order_id=row.orderId,
                    client_id=row.orderLinkId,
                    side=side_of(row.side),
                    quantity=row.execQty,
                    price=row.execPrice,
                    fee=row.execFee,
                    realized_pnl=row.execPnl,
                    at=row.execTime,
                    maker=row.isMaker,
                    kind=kind,
                )
            )
        if row.execType in _CLOSED_BY_EXCHANGE:
            self._sink.position(self._account, self._symbol(row.symbol))
