"""What Bybit derives from an account's fills: sizes after each trade, remaining quantities, closed profit.

It is fed with every fill as it happens and never decides anything. The truth stays the only source of balances.
"""

from __future__ import annotations

from bisect import bisect_left
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
    """As it was right after the fill."""
    size: Decimal
    """Signed position after this fill: negative when short."""
    mark: Decimal
    """Mark price when it happened."""


@dataclass(slots=True)
class ClosedProfit:
    """What one order closed. Entry and exit values exclude fees; ``profit`` includes those of both sides."""

    order: Order
    leverage: Decimal
    created_ms: int
    quantity: Decimal = ZERO
    entry_value: Decimal = ZERO
    exit_value: Decimal = ZERO
    fees: Decimal = ZERO
    realized: Decimal = ZERO
    fills: int = 0
    kind: str = "Trade"
    updated_ms: int = 0

    @property
    def profit(self) -> Decimal:
        return self.realized - self.fees


@dataclass(slots=True)
class _Open:
    """A position as the fills made it."""

    size: Decimal = ZERO
    value: Decimal = ZERO
    fees: Decimal = ZERO
    sequence: int = -1


@dataclass(slots=True)
class _Account:
    records: list[Record] = field(default_factory=list)
    by_fill: dict[str, Record] = field(default_factory=dict)
    open: dict[tuple[str, PositionSide], _Open] = field(default_factory=dict)
    closed: dict[str, ClosedProfit] = field(default_factory=dict)


class Journal:
    """The fills of all accounts and what follows from them."""

    def __init__(self, truth: Exchange) -> None:
        self._truth = truth
        self._accounts: dict[str, _Account] = {}

    def saw(self, order: Order, fill: Fill) -> Record:
        """Take note of a fill; to be called once for each, in order. ``order`` is its state after the fill."""
        kept = self._of(fill.account)
        position = kept.open.setdefault((fill.instrument, fill.position_side), _Open())
        if fill.closed_quantity:
            self._close(kept, position, order, fill)
        opened = fill.quantity - fill.closed_quantity
        if opened:
            position.value += fill.price * opened
            position.fees += fill.fee * opened / fill.quantity
        position.size += fill.quantity if fill.side is Side.BUY else -fill.quantity
        position.sequence = fill.sequence
        record = Record(fill, order, position.size, self._truth.mark(fill.instrument))
        kept.records.append(record)
        kept.by_fill[fill.id] = record
        return record

    def records(self, account: str, start_ms: int = 0) -> Sequence[Record]:
        """Fills of the account since then, ascending."""
        records = self._of(account).records
        return records[bisect_left(records, start_ms, key=lambda record: record.fill.time_ms) :]

    def record(self, account: str, fill_id: str) -> Record:
        """One fill; KeyError when the account has none of that id."""
        return self._of(account).by_fill[fill_id]

    def sequence(self, account: str, instrument: str, side: PositionSide) -> int:
        """Cross sequence of the last trade that touched a position; -1 when there was none."""
        found = self._of(account).open.get((instrument, side))
        return found.sequence if found is not None else -1

    def closed(self, account: str) -> Sequence[ClosedProfit]:
        """What each order closed, in the order in which they began to close."""
        return list(self._of(account).closed.values())

    def closed_by(self, account: str, order_id: str) -> Decimal:
        """Closed profit of one order; 0 when it closed nothing."""
        found = self._of(account).closed.get(order_id)
        return found.profit if found is not None else ZERO

    def _of(self, account: str) -> _Account:
        return self._accounts.setdefault(account, _Account())

    def _close(self, kept: _Account, position: _Open, order: Order, fill: Fill) -> None:
        """Book the part of a fill that reduced the position."""
        share = fill.closed_quantity / abs(position.size)
        entry, fees = position.value * share, position.fees * share
        position.value -= entry
        position.fees -= fees
        closed = kept.closed.get(order.id)
        if closed is None:
            leverage = self._truth.leverage(fill.account, fill.instrument)
            closed = kept.closed[order.id] = ClosedProfit(order, leverage, fill.time_ms)
        closed.quantity += fill.closed_quantity
        closed.entry_value += entry
        closed.exit_value += fill.price * fill.closed_quantity
        closed.fees += fees + fill.fee * fill.closed_quantity / fill.quantity
        closed.realized += fill.realized
        closed.fills += 1
        closed.updated_ms = fill.time_ms
        closed.kind = "BustTrade" if fill.liquidation else "AdlTrade" if fill.adl else "Trade"
