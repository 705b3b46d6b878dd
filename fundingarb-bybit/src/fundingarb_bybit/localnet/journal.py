"""What Bybit derives from an account's fills: sizes after each trade, remaining quantities, closed profit.

The truth keeps the fills; this replays them once, in order, into the figures of Bybit's trade history, transaction
log and closed-P&L list. It never decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Fill, Order, PositionSide, Side

__all__ = ["ClosedProfit", "Journal", "Record"]

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Record:
    """A fill and what followed from it."""

    fill: Fill
    order: Order
    leaves: Decimal
    """Quantity of the order not executed after this fill."""
    size: Decimal
    """Signed position after this fill: negative when short."""
    mark: Decimal
    """Mark price when it happened."""
    leverage: Decimal


@dataclass(slots=True)
class ClosedProfit:
    """What one order closed. Entry and exit values exclude fees; ``profit`` includes those of both sides."""

    order: Order
    leverage: Decimal
    quantity: Decimal = ZERO
    entry_value: Decimal = ZERO
    exit_value: Decimal = ZERO
    fees: Decimal = ZERO
    realized: Decimal = ZERO
    fills: int = 0
    kind: str = "Trade"
    created_ms: int = 0
    updated_ms: int = 0

    @property
    def profit(self) -> Decimal:
        return self.realized - self.fees


@dataclass(slots=True)
class _Open:
    """A position being replayed."""

    size: Decimal = ZERO
    value: Decimal = ZERO
    fees: Decimal = ZERO


@dataclass(slots=True)
class _Account:
    records: list[Record] = field(default_factory=list)
    by_fill: dict[str, Record] = field(default_factory=dict)
    executed: dict[str, Decimal] = field(default_factory=dict)
    open: dict[tuple[str, PositionSide], _Open] = field(default_factory=dict)
    closed: dict[str, ClosedProfit] = field(default_factory=dict)


class Journal:
    """Replays fills as they are asked for."""

    def __init__(self, truth: Exchange) -> None:
        self._truth = truth
        self._accounts: dict[str, _Account] = {}
        self._marks: dict[str, Decimal] = {}

    def saw(self, fill: Fill) -> None:
        """Keep the mark price of the moment in which the fill happened."""
        self._marks[fill.id] = self._truth.mark(fill.instrument)

    def records(self, account: str) -> Sequence[Record]:
        """All fills of the account, ascending."""
        return self._replayed(account).records

    def record(self, account: str, fill_id: str) -> Record:
        """One fill; KeyError when the account has none of that id."""
        return self._replayed(account).by_fill[fill_id]

    def closed(self, account: str) -> Sequence[ClosedProfit]:
        """What each order closed, in the order in which they began to close."""
        return list(self._replayed(account).closed.values())

    def closed_by(self, account: str, order_id: str) -> Decimal:
        """Closed profit of one order; 0 when it closed nothing."""
        found = self._replayed(account).closed.get(order_id)
        return found.profit if found is not None else ZERO

    def _replayed(self, account: str) -> _Account:
        kept = self._accounts.setdefault(account, _Account())
        fills = self._truth.fills(account)
        for fill in fills[len(kept.records) :]:
            self._replay(kept, account, fill)
        return kept

    def _replay(self, kept: _Account, account: str, fill: Fill) -> None:
        order = self._truth.order(account, order_id=fill.order_id)
        if order is None:
            raise KeyError(fill.order_id)
        executed = kept.executed.get(fill.order_id, ZERO) + fill.quantity
        kept.executed[fill.order_id] = executed
        leverage = self._truth.leverage(account, fill.instrument)
        position = kept.open.setdefault((fill.instrument, fill.position_side), _Open())
        if fill.closed_quantity:
            self._close(kept, position, fill, order, leverage)
        opened = fill.quantity - fill.closed_quantity
        if opened:
            position.value += fill.price * opened
            position.fees += fill.fee * opened / fill.quantity
        position.size += fill.quantity if fill.side is Side.BUY else -fill.quantity
        record = Record(
            fill=fill,
            order=order,
            leaves=max(ZERO, order.quantity - executed),
            size=position.size,
            mark=self._marks.get(fill.id, fill.price),
            leverage=leverage,
        )
        kept.records.append(record)
        kept.by_fill[fill.id] = record

    @staticmethod
    def _close(kept: _Account, position: _Open, fill: Fill, order: Order, leverage: Decimal) -> None:
        """Book the part of a fill that reduced the position."""
        share = fill.closed_quantity / abs(position.size) if position.size else ZERO
        entry, fees = position.value * share, position.fees * share
        position.value -= entry
        position.fees -= fees
        closed = kept.closed.get(order.id)
        if closed is None:
            closed = kept.closed[order.id] = ClosedProfit(order, leverage, created_ms=fill.time_ms)
        closed.quantity += fill.closed_quantity
        closed.entry_value += entry
        closed.exit_value += fill.price * fill.closed_quantity
        closed.fees += fees + fill.fee * fill.closed_quantity / fill.quantity
        closed.realized += fill.realized
        closed.fills += 1
        closed.updated_ms = fill.time_ms
        closed.kind = "BustTrade" if fill.liquidation else "AdlTrade" if fill.adl else "Trade"
