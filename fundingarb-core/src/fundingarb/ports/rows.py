"""What a bot shows: rows of plain values, computed when somebody asks, safe to hand to another thread.

Money is settle currency, quantities are base units, fractions are fractions. None is what is not known,
which is never the same as 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.health import MarginRules
from fundingarb.domain.hedge import CloseReason, OrderRecord, Status
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import Payment, Refusal, Valuation
from fundingarb.domain.order import Fill
from fundingarb.domain.settlement import Settlement


class MarketRow(NamedTuple):
    """One instrument in the rate table; floats, since there are thousands a second.

    ``rate`` is the fraction longs pay shorts at ``next_settlement``, ``rate_8h`` its 8-hour equivalent, ``annual`` for
    8,760 hours without compounding. ``predicted`` is what the bot expects the settlement after that one to charge.
    ``age`` is real seconds since the exchange's rates were heard; ``stale`` rows are not traded on.
    """

    exchange: str
    symbol: str
    rate: float | None
    rate_8h: float | None
    annual: float | None
    interval_hours: float
    next_settlement: datetime | None
    predicted: float | None
    mark: float | None
    age: float | None
    stale: bool


class SpreadRow(NamedTuple):
    """The best pair of exchanges of a symbol: short leg's rate minus long leg's rate per 8 hours, and for a year."""

    symbol: str
    long_exchange: str
    short_exchange: str
    spread_8h: float
    annual: float


@dataclass(frozen=True, slots=True)
class MarketRows:
    """Rows of the rate table. ``cursor`` given back gets those that have changed since.

    ``gone`` are (exchange, symbol) that are not listed any more; ``spreads`` are of every symbol among the rows.
    """

    cursor: int
    rows: tuple[MarketRow, ...]
    spreads: tuple[SpreadRow, ...]
    gone: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WatchedExit:
    """Something that would close or reduce a hedge: what is compared, the figure that triggers it, where it is now."""

    reason: CloseReason
    needed: str
    actual: str


@dataclass(frozen=True, slots=True)
class LegView:
    """One leg as it is now.

    ``quantity`` is wanted, ``filled`` held in the leg's own direction. ``unrealized`` is what closing at the mark would
    bring, ``funding`` what the ledger has booked so far (positive received), ``fees`` what was paid. ``next_payments``
    are expected, at the present mark. ``liquidation_distance`` is a fraction of the mark, ``margin_ratio`` the
    account's maintenance margin as a fraction of its equity (1 is liquidation), ``adl_rank`` 1 (last in line) to 5.
    """

    side: Side
    account: str
    exchange: str
    quantity: Decimal
    filled: Decimal
    entry: Decimal | None
    mark: Decimal | None
    unrealized: Decimal | None
    funding: Decimal
    fees: Decimal
    leverage: int
    next_payments: tuple[Payment, ...]
    liquidation_price: Decimal | None
    liquidation_distance: Decimal | None
    margin_ratio: Decimal | None
    adl_rank: int | None


@dataclass(frozen=True, slots=True)
class HedgeView:
    """A live hedge, or one that is over, as it is now. ``number`` is what people call it by, the same everywhere.

    ``size_usd`` is the hedged quantity (while opening: the wanted one) at the mean mark or entry price. ``unhedged`` is
    base units, positive when the long leg is heavier; ``unhedged_seconds`` real seconds since it is, 0 when it is not.
    ``price`` is the booked price result, ``net`` = price + funding - fees + unrealized, before the fees of closing.
    ``tolerance`` is the lowest 8-hour spread the hedge is kept at, ``preset`` its name where it has one. ``version`` is
    the intent's: a command that names it is refused when somebody else has changed the hedge since.
    """

    hedge_id: UUID
    number: int
    version: int
    symbol: str
    status: Status
    size_usd: Decimal | None
    quantity: Decimal
    created_at: datetime
    opened_at: datetime | None
    closed_at: datetime | None
    entry_spread_8h: Decimal
    spread_8h: Decimal | None
    unhedged: Decimal
    unhedged_usd: Decimal | None
    unhedged_seconds: float
    price: Decimal
    funding: Decimal
    fees: Decimal
    unrealized: Decimal | None
    net: Decimal | None
    awaited: int
    missing: int
    tolerance: Decimal
    preset: str | None
    close_reason: CloseReason | None
    origin: str
    exits: tuple[WatchedExit, ...]
    legs: tuple[LegView, ...]


@dataclass(frozen=True, slots=True)
class StreamVital:
    """One stream. ``age`` is real seconds since its exchange's rates were heard, None before they ever were."""

    exchange: str
    stream: str
    connected: bool
    age: float | None


@dataclass(frozen=True, slots=True)
class ExchangeVital:
    """One exchange: how old its rates are (real seconds), and the breaker on requests to it."""

    exchange: str
    connected: bool
    rate_age: float | None
    stale: bool
    breaker_open: bool
    failures: int


@dataclass(frozen=True, slots=True)
class AccountVital:
    """One account. ``clock_offset_ms`` is positive when the exchange's clock is ahead of ours."""

    account: str
    exchange: str
    halted: str | None
    equity: Decimal | None
    free: Decimal | None
    currency: str
    margin_ratio: Decimal | None
    clock_offset_ms: float | None


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the bot is. ``state`` is RUNNING, PAUSED, KILLED, STARTING or ERROR, ``error`` what is wrong and None else.

    ``loop_lag`` is the worst lateness of the bot's event loop within the last seconds, in real seconds; None before it
    was measured. Latencies are milliseconds from asking for an order to be sent until the exchange's answer, of the
    orders of the last day. ``unhedged_usd`` is the notional of all legs without a partner, ``unhedged_seconds`` (real)
    how long the oldest has been so. ``settlements_booked`` of ``settlements_expected`` in the last days were paid.
    ``liquidation_distance`` is the nearest leg's, a fraction of its mark; ``margin`` says at which something is done.
    """

    state: str
    error: str | None
    ready: bool
    entries_off: str | None
    loop_lag: float | None
    streams: tuple[StreamVital, ...]
    exchanges: tuple[ExchangeVital, ...]
    accounts: tuple[AccountVital, ...]
    order_latency_p50_ms: float | None
    order_latency_p99_ms: float | None
    orders_timed: int
    unhedged_usd: Decimal
    unhedged_seconds: float
    settlements_booked: int
    settlements_expected: int
    liquidation_distance: Decimal | None
    database: str | None
    lease_fresh: bool
    config_revision: int
    margin: MarginRules = field(default_factory=MarginRules)

    @property
    def database_reachable(self) -> bool:
        return self.database is None


@dataclass(frozen=True, slots=True)
class Summary:
    """What all hedges have brought, exact to what is booked. ``realized`` = price + funding - fees, also of open
    hedges.

    ``slippage`` is that of every fill; ``open_slippage`` the part of it that is in ``unrealized`` and not in ``price``,
    because it was paid on entering what is still open. ``basis`` is the rest of ``price``, ``unrealized_basis`` the
    rest of ``unrealized``, which is what closing every open leg at its mark would add, before fees; None while a mark
    is unknown. ``net`` = realized + unrealized. ``trades`` are hedges that are over and have held something, ``wins``
    those of them that brought more than 0, ``average_duration`` how long they were open.
    """

    price: Decimal
    funding: Decimal
    fees: Decimal
    slippage: Decimal
    unrealized: Decimal | None
    trades: int
    wins: int
    open: int
    average_duration: timedelta | None
    open_slippage: Decimal = Decimal(0)

    @property
    def realized(self) -> Decimal:
        return self.price + self.funding - self.fees

    @property
    def realized_slippage(self) -> Decimal:
        return self.slippage - self.open_slippage

    @property
    def basis(self) -> Decimal:
        return self.price - self.realized_slippage

    @property
    def unrealized_basis(self) -> Decimal | None:
        return None if self.unrealized is None else self.unrealized - self.open_slippage

    @property
    def net(self) -> Decimal | None:
        return None if self.unrealized is None else self.realized + self.unrealized

    @property
    def win_rate(self) -> Decimal | None:
        """Part of the trades that won; None before the first."""
        return Decimal(self.wins) / self.trades if self.trades else None


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A hedge and what it has brought so far. ``net`` = price + funding - fees, as booked.

    ``size_usd`` is the hedged quantity that was entered at the mean of both entry prices. ``awaited`` and ``missing``
    are settlements the ledgers have not posted yet: within the time they may take, and beyond it.
    """

    hedge_id: UUID
    symbol: str
    status: Status
    long_account: str
    long_exchange: str
    short_account: str
    short_exchange: str
    quantity: Decimal
    size_usd: Decimal | None
    opened_at: datetime
    closed_at: datetime | None
    close_reason: CloseReason | None
    origin: str
    entry_spread_8h: Decimal
    price: Decimal
    funding: Decimal
    fees: Decimal
    slippage: Decimal
    awaited: int
    missing: int

    @property
    def basis(self) -> Decimal:
        return self.price - self.slippage

    @property
    def net(self) -> Decimal:
        return self.price + self.funding - self.fees

    @property
    def duration(self) -> timedelta | None:
        """None while the hedge is open."""
        return None if self.closed_at is None else self.closed_at - self.opened_at


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order and when it was wanted (committed), sent and answered; ``latency_ms`` real milliseconds from asking for
    it to be sent until the answer."""

    symbol: str
    exchange: str
    order: OrderRecord

    @property
    def intended_at(self) -> datetime:
        return self.order.created_at

    @property
    def acknowledged_at(self) -> datetime | None:
        return self.order.acknowledged_at

    @property
    def latency_ms(self) -> float | None:
        return self.order.latency_ms


@dataclass(frozen=True, slots=True)
class HeldLonger:
    """What the settlements of the hours after a hedge was closed would have brought at its exit prices; None while
    the rates that were charged are not known of all of them. ``too_old``: it was closed so long ago that the exchanges
    are not asked any more."""

    one_hour: Decimal | None
    four_hours: Decimal | None
    one_day: Decimal | None
    too_old: bool = False


@dataclass(frozen=True, slots=True)
class HedgeAccount:
    """The full account of one hedge. ``held_longer`` is None while it is open."""

    row: HistoryRow
    orders: tuple[OrderRow, ...]
    fills: tuple[Fill, ...]
    payments: tuple[FundingPayment, ...]
    settlements: tuple[Settlement, ...]
    held_longer: HeldLonger | None


@dataclass(frozen=True, slots=True)
class OpportunityRow:
    """A candidate of the last scan. ``gate`` refused it, with what it ``needed`` and what was there (``actual``), in
    the gate's own unit; None for one that may be taken now. ``net`` and ``size_usd`` are None where not valued."""

    symbol: str
    long_exchange: str
    short_exchange: str
    spread_8h: Decimal | None
    net: Decimal | None
    size_usd: Decimal | None
    gate: str | None
    needed: str | None
    actual: str | None


@dataclass(frozen=True, slots=True)
class Opportunities:
    """What the strategy saw when it last looked at every symbol (``scanned_at``), best first."""

    scanned_at: datetime | None
    rows: tuple[OpportunityRow, ...]


@dataclass(frozen=True, slots=True)
class FeeLine:
    """One of a hedge's four fees: ``fraction`` of the notional at the account's real tier, ``amount`` USD (paid)."""

    side: Side
    entry: bool
    fraction: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Calculation:
    """A hedge in numbers, whether or not it may be opened; ``refusals`` are what speaks against opening it now."""

    valuation: Valuation
    fees: tuple[FeeLine, ...]
    refusals: tuple[Refusal, ...]
