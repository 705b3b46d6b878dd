"""One account, as it was last read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from fundingarb.domain.order import ZERO, Balance, ExchangePosition, FeeTier
from fundingarb.ports import ExchangeAdapter, RateLimit

#: Why entries on an account are off: before it was read for the first time; after an outage, until what happened
#: meanwhile has been read.
NOT_READ = "not read yet"
NOT_READ_SINCE = "not read since the exchange was unavailable"
#: Real seconds for which an account counts as set up for a symbol: then it is looked at again before the next entry.
PREPARED_FOR = 60.0


@dataclass
class Account:
    """One account: its adapter and what was last read of it.

    ``halts`` is why entries on it are off, one line per subject; each is cleared by whoever set it. ``moves`` counts
    the hedges that were opened or closed on it, ``balance_moves`` those the balance knows of. ``positions`` are
    what was read last, by symbol, ``held`` what our hedges held when it was asked for. ``clock_offset`` is by how many
    real seconds the exchange's clock was ahead when it was measured last. ``unread_since`` is since when (monotonic)
    its ledger has not been read although it has to be (``LegMarket.unread_for``); None once it was. ``looked_at`` is
    when (monotonic) open orders and positions were asked for together, None before; ``resting`` are the symbols in
    which orders rested then that are not ours.
    """

    name: str
    adapter: ExchangeAdapter
    balance: Balance | None = None
    fees: dict[str, FeeTier] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    prepared: dict[str, float] = field(default_factory=dict)
    halts: dict[str, str] = field(default_factory=lambda: {"reconcile": NOT_READ})
    fills_since: datetime | None = None
    payments_since: datetime | None = None
    payments_read_at: datetime | None = None
    unread_since: float | None = None
    moves: int = 0
    balance_moves: int = 0
    positions: dict[str, ExchangePosition] = field(default_factory=dict)
    held: Mapping[str, Decimal] = field(default_factory=dict)
    clock_offset: float | None = None
    looked_at: float | None = None
    resting: frozenset[str] = frozenset()

    @property
    def exchange(self) -> str:
        return self.adapter.name

    def unread_for(self, now: float) -> float | None:
        """For how many real seconds until ``now`` (monotonic) the ledger has not been read; None when it has been."""
        return None if self.unread_since is None else now - self.unread_since

    def is_prepared(self, symbol: str, leverage: int, now: float) -> bool:
        """Whether this account was set up for ``symbol`` at ``leverage`` shortly before ``now`` (monotonic)."""
        return (
            now - self.prepared.get(symbol, float("-inf")) < PREPARED_FOR
            and self.leverage.get(symbol) == leverage
        )

    @property
    def others(self) -> list[str]:
        """The symbols in which something that is not ours is held or rests, accepted or not, as last read."""
        held = (s for s, position in self.positions.items() if position.quantity != self.held.get(s, ZERO))
        return sorted({*held, *self.resting})

    @property
    def halted(self) -> str | None:
        """Why entries are off; None when they are on."""
        return "; ".join(self.halts.values()) or None

    def halt(self, subject: str, reason: str | None) -> str | None:
        """Set or clear (None) one reason; returns what it was."""
        before = self.halts.pop(subject, None)
        if reason is not None:
            self.halts[subject] = reason
        return before

    @property
    def free_balance(self) -> Balance | None:
        """The balance; None while it was read before margin was last taken or released."""
        return self.balance if self.moves == self.balance_moves else None

    @property
    def limits(self) -> Sequence[RateLimit]:
        return self.adapter.limits
