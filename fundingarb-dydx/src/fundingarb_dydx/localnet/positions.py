"""Positions as the indexer keeps them: from the first fill to flat, with sums, funding and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fundingarb.localnet.truth.types import Fill, FundingPayment

__all__ = ["PositionRow", "Positions"]

ZERO = Decimal(0)


@dataclass(slots=True)
class PositionRow:
    """One position's life. Sizes are signed where the indexer signs them: ``size`` and ``largest``."""

    id: int
    account: str
    instrument: str
    long: bool
    created_ms: int
    size: Decimal = ZERO
    largest: Decimal = ZERO
    opened: Decimal = ZERO
    opened_value: Decimal = ZERO
    closed: Decimal = ZERO
    closed_value: Decimal = ZERO
    funding: Decimal = ZERO
    """Net of all payments: positive when received."""
    closed_ms: int | None = None
    liquidated: bool = False

    @property
    def status(self) -> str:
        if self.closed_ms is None:
            return "OPEN"
        return "LIQUIDATED" if self.liquidated else "CLOSED"

    @property
    def entry_price(self) -> Decimal:
        return self.opened_value / self.opened

    @property
    def exit_price(self) -> Decimal | None:
        return self.closed_value / self.closed if self.closed else None

    @property
    def realized(self) -> Decimal:
        """Price difference of what was closed, and funding; fees are not part of it."""
        if self.exit_price is None:
            return self.funding
        gain = (self.exit_price - self.entry_price) * self.closed
        return (gain if self.long else -gain) + self.funding

    def unrealized(self, oracle: Decimal) -> Decimal:
        return self.size * (oracle - self.entry_price) if self.size else ZERO


class Positions:
    """The positions of all accounts, made from what happened to them."""

    def __init__(self) -> None:
        self._rows: dict[str, list[PositionRow]] = {}
        self._last: dict[tuple[str, str], PositionRow] = {}

    def rows(self, account: str) -> list[PositionRow]:
        """Newest first."""
        return self._rows.get(account, [])[::-1]

    def last(self, account: str, instrument: str) -> PositionRow | None:
        """The newest one, open or not."""
        return self._last.get((account, instrument))

    def open(self, account: str, instrument: str) -> PositionRow | None:
        row = self.last(account, instrument)
        return row if row is not None and row.closed_ms is None else None

    def filled(self, fill: Fill) -> None:
        """A fill: first it closes, what is left opens."""
        row = self.open(fill.account, fill.instrument)
        if fill.closed_quantity and row is not None:
            row.closed += fill.closed_quantity
            row.closed_value += fill.closed_quantity * fill.price
            row.size += fill.side.sign * fill.closed_quantity
            row.liquidated = row.liquidated or fill.liquidation
            if not row.size:
                row.closed_ms = fill.time_ms
                row = None
        opening = fill.quantity - fill.closed_quantity
        if not opening:
            return
        if row is None:
            rows = self._rows.setdefault(fill.account, [])
            row = PositionRow(len(rows), fill.account, fill.instrument, fill.side.sign > 0, fill.time_ms)
            rows.append(row)
            self._last[fill.account, fill.instrument] = row
        row.opened += opening
        row.opened_value += opening * fill.price
        row.size += fill.side.sign * opening
        row.largest = max(row.largest, row.size, key=abs)

    def paid(self, payment: FundingPayment) -> None:
        """Funding belongs to the position that is open, or was last."""
        row = self.last(payment.account, payment.instrument)
        if row is not None:
            row.funding += payment.amount
