"""Decoder of one subaccount's stream: orders, fills, positions, and the chain's height beside them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from fundingarb.domain.order import FillKind
from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import one_of
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb.ports import AccountSink
from fundingarb_dydx import schema
from fundingarb_dydx.ids import OrderNames
from fundingarb_dydx.messages import FILL_KINDS, block, name_of, order_report, time_of
from fundingarb_dydx.stream import Envelope, Frame, pieces


class _Moved(msgspec.Struct):
    market: str


class _Contents(msgspec.Struct):
    orders: list[msgspec.Raw] | None = None
    fills: list[msgspec.Raw] | None = None
    perpetualPositions: list[msgspec.Raw] | None = None  # noqa: N815
    blockHeight: str | None = None  # noqa: N815
    time: str | None = None


class AccountDecoder:
    """Frames of ``v4_subaccounts`` and ``v4_block_height``.

    One bad entry spoils no other of its frame: the others are taken, then ``BadMessage`` is raised for it. Fills are
    only hints: what they booked is read from the ledger, which has the fees.
    """

    def __init__(
        self,
        account: str,
        known: InstrumentMap,
        names: OrderNames,
        sink: AccountSink,
        height: Callable[[int], None],
        gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._account = account
        self._known = known
        self._names = names
        self._sink = sink
        self._height = height
        self._wake = gap
        self._envelope = Envelope(self._lost)
        self._complete = False
        self._hour: datetime | None = None
        self._contents = msgspec.json.Decoder(_Contents)
        self._order = msgspec.json.Decoder(schema.Order)
        self._fill = msgspec.json.Decoder(schema.Fill)
        self._moved = msgspec.json.Decoder(_Moved)

    def reset(self) -> None:
        """A new connection: a frame with everything comes first."""
        self._envelope.reset()
        self._complete = False

    def missing(self) -> list[str]:
        """The channel, while what it said may not be all there was."""
        return [] if self._complete else ["v4_subaccounts"]

    def _lost(self) -> None:
        self._complete = False
        self._wake()

    def decode(self, frame: bytes) -> None:
        message = self._envelope.open(frame)
        if message is None:
            return
        if message.channel == "v4_block_height":
            self._take_height(message)
        elif message.channel == "v4_subaccounts":
            self._complete = self._complete or message.type == "subscribed"
            problem: ValueError | BadMessage | None = None
            for raw in pieces(message):
                contents = self._contents.decode(raw)
                for rows, take in (
                    (contents.orders, self._take_order),
                    (contents.fills, self._take_fill),
                    (contents.perpetualPositions, self._take_position),
                ):
                    for row in rows or ():
                        try:
                            take(row)
                        except (ValueError, BadMessage) as error:
                            problem = error
            if problem is not None:
                raise BadMessage(f"dydx v4_subaccounts: {problem}") from problem

    def _take_height(self, message: Frame) -> None:
        for raw in pieces(message):
            contents = self._contents.decode(raw)
            if contents.blockHeight:
                self._height(block(contents.blockHeight, "blockHeight"))
            if contents.time:
                hour = time_of(contents.time, "block time").replace(minute=0, second=0, microsecond=0)
                if self._hour is not None and hour > self._hour:
                    self._sink.funding(self._account)
                self._hour = hour

    def _take_order(self, raw: msgspec.Raw) -> None:
        """What the message itself says: its fills may still be on their way, whatever the chain's height."""
        order = self._order.decode(raw)
        name = name_of(order, self._names)
        report = order_report(order, self._account, name, self._known, None)
        if name is not None and report.state.terminal:
            self._names.finish(name)
        self._sink.order(report)

    def _take_fill(self, raw: msgspec.Raw) -> None:
        row = self._fill.decode(raw)
        kind = one_of(FILL_KINDS, row.type, "dydx: fill type")
        ours = self._names.name_of_id(row.orderId or "") is not None
        if kind is not FillKind.TRADE or not ours:
            self._sink.position(self._account, self._symbol(row.name))

    def _take_position(self, raw: msgspec.Raw) -> None:
        self._sink.position(self._account, self._symbol(self._moved.decode(raw).market))

    def _symbol(self, ticker: str) -> str:
        instrument = self._known.by_id(ticker)
        return ticker if instrument is None else instrument.symbol
