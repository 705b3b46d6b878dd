"""What OKX shows beside orders and positions and the truth does not keep: derived from fills and funding, as told.

Nothing here decides anything: the truth stays the only source of balances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Fill, FundingPayment, LedgerRow, Order, PositionSide, Side

__all__ = ["Closed", "Journal", "Record", "Span"]

ZERO = Decimal(0)
FIRST_POSITION = 2_400_000_000_000_000_000


@dataclass(slots=True)
class Record:
    """A fill and what was true right after it."""

    fill: Fill
    order: Order
    size: Decimal
    """Signed position in contracts, negative when short."""
    mark: Decimal
    index: Decimal
    ledger_id: int | None = None
    """The first ledger row of the fill."""


@dataclass(slots=True)
class Span:
    """A position from its opening until it is flat."""

    id: str
    opened_ms: int
    long: bool
    size: Decimal = ZERO
    open_value: Decimal = ZERO
    """Price times contracts of what was opened."""
    opened: Decimal = ZERO
    closed: Decimal = ZERO
    close_value: Decimal = ZERO
    largest: Decimal = ZERO
    profit: Decimal = ZERO
    fees: Decimal = ZERO
    """Paid, positive."""
    funding: Decimal = ZERO
    """Received, positive."""
    trade_id: str = ""
    updated_ms: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """A position that is over."""

    span: Span
    instrument: str
    side: PositionSide
    leverage: Decimal
    kind: str
    """1 partly closed, 2 closed, 3 liquidated, 5 deleveraged."""


@dataclass(slots=True)
class _Account:
    records: list[Record] = field(default_factory=list)
    last: dict[str, Record] = field(default_factory=dict)
    by_fill: dict[str, Record] = field(default_factory=dict)
    open: dict[tuple[str, PositionSide], Span] = field(default_factory=dict)
    past: list[Closed] = field(default_factory=list)


class Journal:
    """The fills of all accounts and what follows from them."""

    def __init__(self, truth: Exchange) -> None:
        self._truth = truth
        self._accounts: dict[str, _Account] = {}
        self._spans = 0

    def saw(self, order: Order, fill: Fill) -> Record:
        """Take note of a fill; to be called once for each, in order. ``order`` is its state after the fill."""
        kept = self._of(fill.account)
        key = (fill.instrument, fill.position_side)
        if fill.closed_quantity:
            self._close(kept, key, fill)
        opened = fill.quantity - fill.closed_quantity
        if opened:
            self._open(kept, key, fill, opened)
        span = kept.open.get(key)
        record = Record(
            fill,
            order,
            span.size if span is not None else ZERO,
            self._truth.mark(fill.instrument),
            self._truth.index(fill.instrument),
        )
        kept.records.append(record)
        kept.last[fill.order_id] = record
        kept.by_fill[fill.id] = record
        return record

    def booked(self, rows: Sequence[LedgerRow]) -> None:
        """Take note of the ledger rows that a fill brought."""
        for row in rows:
            record = self.record(row.account, row.fill_id) if row.fill_id else None
            if record is not None and record.ledger_id is None:
                record.ledger_id = row.id

    def paid(self, payment: FundingPayment) -> None:
        """Take note of a funding payment."""
        span = self._of(payment.account).open.get((payment.instrument, payment.position_side))
        if span is not None:
            span.funding += payment.amount

    def records(self, account: str) -> Sequence[Record]:
        """Fills of the account, ascending."""
        return self._of(account).records

    def record(self, account: str, fill_id: str) -> Record | None:
        """One fill."""
        return self._of(account).by_fill.get(fill_id)

    def last(self, account: str, order_id: str) -> Record | None:
        """The newest fill of an order."""
        return self._of(account).last.get(order_id)

    def span(self, account: str, instrument: str, side: PositionSide) -> Span | None:
        """The open position."""
        return self._of(account).open.get((instrument, side))

    def past(self, account: str) -> Sequence[Closed]:
        """Positions that are over, ascending."""
        return self._of(account).past

    def _of(self, account: str) -> _Account:
        return self._accounts.setdefault(account, _Account())

    def _open(self, kept: _Account, key: tuple[str, PositionSide], fill: Fill, opened: Decimal) -> None:
        span = kept.open.get(key)
        buys = fill.side is Side.BUY
        if span is None:
            self._spans += 1
            span = kept.open[key] = Span(str(FIRST_POSITION + self._spans), fill.time_ms, buys)
        span.size += opened if buys else -opened
        span.largest = max(span.largest, abs(span.size))
        span.opened += opened
        span.open_value += fill.price * opened
        span.fees += fill.fee * opened / fill.quantity
        span.trade_id, span.updated_ms = fill.id, fill.time_ms

    def _close(self, kept: _Account, key: tuple[str, PositionSide], fill: Fill) -> None:
        span = kept.open.get(key)
        if span is None:
            return
        closed = fill.closed_quantity
        span.size += closed if fill.side is Side.BUY else -closed
        span.closed += closed
        span.close_value += fill.price * closed
        span.profit += fill.realized
        span.fees += fill.fee * closed / fill.quantity
        span.trade_id, span.updated_ms = fill.id, fill.time_ms
        if not span.size:
            del kept.open[key]
            kind = "3" if fill.liquidation else "5" if fill.adl else "2"
            leverage = self._truth.leverage(fill.account, fill.instrument)
            kept.past.append(Closed(span, fill.instrument, fill.position_side, leverage, kind))
