"""What the truth tells, in messages about subaccounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fundingarb.localnet.truth.events import AccountChanged, OrderChanged
from fundingarb.localnet.truth.types import Cause, LedgerKind
from fundingarb_dydx.localnet.desk import Desk
from fundingarb_dydx.localnet.orders import Record
from fundingarb_dydx.localnet.render import asset_position, fill_row, order_row, position_row, transfer_row
from fundingarb_dydx.localnet.stream import Stream

__all__ = ["Teller"]


@dataclass(slots=True)
class _Message:
    """One message in the making."""

    account: str
    order_id: str = ""
    """Of the fills; empty in other messages."""
    fills: list[dict[str, Any]] = field(default_factory=list)
    order: dict[str, Any] | None = None
    positions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By market, as they are in the end."""
    more: dict[str, Any] = field(default_factory=dict)

    def contents(self) -> dict[str, Any]:
        found: dict[str, Any] = {"fills": self.fills} if self.fills else {}
        if self.order is not None:
            found["orders"] = [self.order]
        if self.positions:
            found["perpetualPositions"] = list(self.positions.values())
        return found | self.more


class Teller:
    """Turns events into messages.

    What nodes believe is told at once. What is on the chain is told with its block: all fills of an order in one
    message, with the order and the position after the last of them. Funding is not told; the next message of a
    position has it in ``netFunding``.
    """

    def __init__(self, desk: Desk, stream: Stream) -> None:
        self._desk = desk
        self._stream = stream
        self._waiting: list[_Message] = []

    def at_once(self, record: Record) -> None:
        """An order, as a node believes it to be."""
        self._stream.tell(record.account, {"orders": [order_row(self._desk, record, stream=True)]})

    def with_block(self, record: Record) -> None:
        """An order, as the block has it."""
        self._waiting.append(_Message(record.account, order=order_row(self._desk, record, stream=True)))

    def block(self) -> None:
        """Tell what has happened up to a block, then of the block."""
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._stream.tell(message.account, message.contents())
        self._stream.block()

    def order_changed(self, event: OrderChanged, record: Record | None) -> None:
        """``record`` is the order if something about it is new."""
        if event.fill is None:
            if record is not None:
                self.with_block(record)
            return
        message = self._of_order(event.account, event.order.id)
        known = self._desk.orders.get(event.order.id)
        message.fills.append(fill_row(self._desk, event.fill, known, stream=True))
        if record is not None:
            message.order = order_row(self._desk, record, stream=True)

    def _of_order(self, account: str, order_id: str) -> _Message:
        """The message with an order's fills, behind everything that happened before this one."""
        found = next((one for one in self._waiting if one.order_id == order_id), None)
        if found is None:
            found = _Message(account, order_id)
        else:
            self._waiting.remove(found)
        self._waiting.append(found)
        return found

    def account_changed(self, event: AccountChanged) -> None:
        """Positions and USDC after what happened."""
        if event.cause is Cause.FUNDING or not (event.balances or event.positions):
            return
        last = self._waiting[-1] if self._waiting else None
        if last is None or last.account != event.account or not last.fills:
            last = _Message(event.account)
            self._waiting.append(last)
        for position in event.positions:
            row = self._desk.positions.last(event.account, position.instrument)
            if row is not None:
                last.positions[row.instrument] = position_row(self._desk, row, stream=True)
        owner = {"address": self._desk.address(event.account)}
        named = owner | {"positionId": self._desk.subaccount_id(event.account)}
        last.more["assetPositions"] = [named | asset_position(self._desk, event.account)]
        moved = [row for row in event.rows if row.kind is LedgerKind.TRANSFER]
        if moved:
            last.more["transfers"] = transfer_row(self._desk, moved[-1])
