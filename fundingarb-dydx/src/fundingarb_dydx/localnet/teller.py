"""What the truth tells, in messages about subaccounts."""

from __future__ import annotations

from typing import Any

from fundingarb.localnet.truth.events import AccountChanged, OrderChanged
from fundingarb.localnet.truth.types import Cause, LedgerKind
from fundingarb_dydx.localnet.desk import Desk
from fundingarb_dydx.localnet.orders import Record
from fundingarb_dydx.localnet.render import asset_position, fill_row, order_row, position_row, transfer_row
from fundingarb_dydx.localnet.stream import Stream

__all__ = ["Teller"]


class Teller:
    """Turns events into messages: a fill, its order and the position after it are one.

    Funding is not told; the next message of a position has it in ``netFunding``.
    """

    def __init__(self, desk: Desk, stream: Stream) -> None:
        self._desk = desk
        self._stream = stream
        self._waiting: dict[str, dict[str, Any]] = {}
        """By account: fills and orders whose positions come with the next event."""

    def order(self, record: Record) -> None:
        """An order changed without a fill."""
        self._stream.tell(record.account, {"orders": [order_row(self._desk, record, stream=True)]})

    def order_changed(self, event: OrderChanged, record: Record | None) -> None:
        """``record`` is the order if something about it is new."""
        if event.fill is None:
            if record is not None:
                self.order(record)
            return
        known = self._desk.orders.get(event.order.id)
        message = {"fills": [fill_row(self._desk, event.fill, known, stream=True)]}
        if record is not None:
            message["orders"] = [order_row(self._desk, record, stream=True)]
        self._waiting[event.account] = message

    def account_changed(self, event: AccountChanged) -> None:
        """Positions and USDC after what happened."""
        message = self._waiting.pop(event.account, {})
        if event.cause is Cause.FUNDING:
            return
        rows = [self._desk.positions.last(event.account, p.instrument) for p in event.positions]
        shown = [position_row(self._desk, row, stream=True) for row in rows if row is not None]
        if shown:
            message["perpetualPositions"] = shown
        if event.balances or shown:
            address = self._desk.address(event.account)
            message["assetPositions"] = [
                {"address": address, "positionId": self._desk.subaccount_id(event.account)}
                | asset_position(self._desk, event.account)
            ]
        moved = [row for row in event.rows if row.kind is LedgerKind.TRANSFER]
        if moved:
            message["transfers"] = transfer_row(self._desk, moved[-1])
        if message:
            self._stream.tell(event.account, message)
