"""The Protocols plugins implement, and the few values that pass between them and the engine."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from fundingarb.domain.control import Accepted, Command, ControlState, FlattenOrder, OpenLeg
from fundingarb.domain.events import Alert, Delivery
from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.hedge import CloseReason, Hedge, Intent, OrderRecord
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.opportunity import EntryRules, HedgePlan, Quote, Refusal
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    FeeTier,
    Fill,
    NewOrder,
    OrderReport,
)
from fundingarb.domain.risk import Portfolio, Usage
from fundingarb.domain.settlement import Settlement


class Secret:
    """A string that does not show itself: ``reveal()`` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


class Clock(Protocol):
    """Where time comes from. ``now`` may run ``speed`` times faster than the wall; ``monotonic`` is real seconds."""

    @property
    def speed(self) -> float: ...

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def time(self) -> float:
        """``now`` as unix seconds."""
        ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None:
        """Sleep ``seconds`` of this clock's time."""
        ...


@dataclass(frozen=True, slots=True)
class AccountCredentials:
    """One named set of credentials. ``values`` keys are the exchange's own (``api_key``, ``api_secret``, ...)."""

    name: str
    values: Mapping[str, Secret]


@dataclass(frozen=True)
class OpenContext:
    """What a component is opened with.

    ``account`` is None for an adapter that only reads public data. ``endpoints`` (name -> URL) replace the exchange's
    own hosts on a localnet; ``ssl`` trusts the localnet's certificate authority when it serves TLS. The last three
    are the ``trading`` section's entry rules, no-trade guard around settlements and forecast, for strategies.
    """

    name: str
    clock: Clock
    network: str
    account: AccountCredentials | None = None
    symbols: Sequence[str] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    ssl: ssl.SSLContext | None = None
    ca_file: str | None = None
    rules: EntryRules = field(default_factory=EntryRules)
    settlement_guard: timedelta = timedelta(seconds=60)
    forecast_half_life: timedelta = timedelta(hours=8)


class StreamSink(Protocol):
    """What a stream tells the engine about itself; reconnecting and resnapshotting is the adapter's own job."""

    def connected(self, stream: str) -> None: ...

    def disconnected(self, stream: str, reason: str) -> None: ...

    def quarantined(self, stream: str, raw: bytes, reason: str) -> None:
        """A message that could not be used; kept with its reason, the reader goes on."""
        ...


class RateSink(StreamSink, Protocol):
    """Where decoded rate frames go: straight into the columns of ``book``, then one ``flush`` per frame."""

    @property
    def book(self) -> RateBook: ...

    def flush(self, exchange: str) -> None:
        """One frame was decoded into ``book``; wakes the trading loop when something changed."""
        ...

    def interval_changed(self, exchange: str, symbol: str, hours: float) -> None: ...


class BookSink(StreamSink, Protocol):
    def update(self, book: OrderBook) -> None: ...


class AccountSink(StreamSink, Protocol):
    """Account events. They only wake the loop sooner; correctness never depends on having seen one."""

    def order(self, report: OrderReport) -> None: ...

    def fill(self, fill: Fill) -> None: ...

    def funding(self, account: str) -> None:
        """A funding payment was posted; the engine reads the ledger."""
        ...

    def position(self, account: str, symbol: str) -> None:
        """A position changed without an order of ours (liquidation, ADL); the engine reads positions."""
        ...


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A budget the exchange set: ``capacity`` cost units per ``seconds`` (real) for ``scope``."""

    scope: str
    capacity: float
    seconds: float


@dataclass(frozen=True, slots=True)
class AccountModes:
    """How an account is set for one symbol. ``position_mode`` is "one-way" or "hedge", ``margin_mode`` "cross" or
    "isolated"; None is unknown."""

    position_mode: str | None
    margin_mode: str | None
    leverage: Decimal | None


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What the API key may do; None is unknown. ``transfer`` is between accounts of the same person.

    ``accepted``: it may withdraw because no other keys exist there, and the owner has said to know that.
    """

    trade: bool | None
    withdraw: bool | None
    ip_restricted: bool | None
    transfer: bool | None = None
    accepted: bool = False


@runtime_checkable
class ExchangeAdapter(Protocol):
    """One exchange, seen by one account (or by nobody: public data only).

    Quantities are base units, prices per base unit, symbols ours. Every method raises the exceptions of
    ``fundingarb.errors`` and nothing else. Writes have three outcomes: they return (done), raise ``OrderRefused``
    (certainly not taken) or ``OutcomeUnknown``. A failed read raises; it is never an empty answer.

    ``order_expiry`` is how long (real time) after it was sent an order may still be taken: the receive window that
    goes with it, plus a second for clocks that differ. None: the exchange offers no bound, so "not found" never
    proves that an order will not come. ``clock_offset`` is the exchange's clock less ours as last measured (with
    ``get_server_time``, half the round trip taken off; requests are signed with it), None before. ``dead_man`` says
    whether the exchange offers a timer for ``cancel_after``.
    """

    name: str
    limits: Sequence[RateLimit]
    dead_man: bool

    @property
    def order_expiry(self) -> timedelta | None: ...

    @property
    def clock_offset(self) -> timedelta | None: ...

    def cost(self, operation: str) -> Mapping[str, float]:
        """Scope -> cost units of a method named ``operation``, against ``limits``.

        ``get_symbol_fills`` is ``get_fills`` of one symbol, which often costs less.
        """
        ...

    # public data
    async def get_server_time(self) -> datetime: ...

    async def get_instruments(self) -> Sequence[Instrument]:
        """Every linear perpetual that can be traded; an entry that cannot be understood is left out, not fatal."""
        ...

    async def get_funding_rate(self, symbol: str) -> FundingRate: ...

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]: ...

    async def get_funding_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        """Settled rates from ``since`` on, oldest first."""
        ...

    async def get_orderbook(self, symbol: str, depth: int) -> OrderBook: ...

    async def stream_rates(self, symbols: Sequence[str], sink: RateSink) -> None:
        """Runs until cancelled."""
        ...

    async def stream_books(self, symbols: Sequence[str], sink: BookSink) -> None:
        """Runs until cancelled."""
        ...

    # account
    async def place_order(self, order: NewOrder) -> OrderReport:
        """Raises ``OrderRefused`` or ``OutcomeUnknown``; an immediate-or-cancel order may still report OPEN."""
        ...

    async def cancel_order(self, symbol: str, client_id: str) -> bool:
        """True when the exchange took the cancel; False when it says there is no such open order (maybe filled)."""
        ...

    async def cancel_foreign(self, order: OrderReport) -> bool:
        """As ``cancel_order``, by the exchange's order id: for an order of somebody else, perhaps without a name."""
        ...

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        """The order of that client order id, open or over; None when the exchange says it knows none."""
        ...

    async def get_open_orders(self) -> Sequence[OrderReport]: ...

    async def cancel_after(self, symbols: Collection[str], seconds: float | None) -> None:
        """Have the exchange cancel every open order of ``symbols`` by itself unless asked again within ``seconds``
        (real); None takes the timer off. Only where ``dead_man``; safe to repeat. What a timer covers may be more
        than was asked for (the adapter's README says), never less.
        """
        ...

    async def get_positions(self) -> Sequence[ExchangePosition]:
        """Every position that is not zero."""
        ...

    async def get_balance(self) -> Balance: ...

    async def get_fills(self, since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        """The ledger's fills from ``since`` on, oldest first, all pages."""
        ...

    async def get_funding_payments(self, since: datetime) -> Sequence[FundingPayment]:
        """The ledger's funding rows from ``since`` on, oldest first, all pages."""
        ...

    async def get_fee_tier(self, symbol: str) -> FeeTier: ...

    async def get_modes(self, symbol: str) -> AccountModes: ...

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """Succeeds when it is so already."""
        ...

    async def set_margin_mode(self, symbol: str, mode: str) -> None: ...

    async def set_one_way_mode(self) -> None: ...

    async def get_key_permissions(self) -> KeyPermissions: ...

    async def stream_account(self, sink: AccountSink) -> None:
        """Runs until cancelled."""
        ...


@runtime_checkable
class RemembersOrders(Protocol):
    """An adapter of an exchange that keeps numbers instead of our client order ids.

    The number is a function of the id, and the way back leads through the ids that the adapter knows: those it has
    sent, and these.
    """

    def remember_orders(self, client_ids: Collection[str]) -> None:
        """Orders of these ids were sent before the start, or may have been. Called before anything is read."""
        ...


@dataclass(frozen=True, slots=True)
class Exit:
    """A strategy wants ``hedge_id`` closed."""

    hedge_id: UUID
    reason: CloseReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proposals:
    """What a strategy answers: plans, exits, and why the other candidates were refused.

    Plans are best first; of one symbol the first that no risk rule refuses is opened, the others are for the case that
    it is refused.
    """

    plans: tuple[HedgePlan, ...] = ()
    exits: tuple[Exit, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class MarketView(Protocol):
    """What a strategy may look at. Reading is free of side effects and never waits."""

    @property
    def rates(self) -> RateBook: ...

    @property
    def hedges(self) -> Sequence[Hedge]:
        """Live hedges."""
        ...

    def rate(self, exchange: str, symbol: str) -> FundingRate | None:
        """The rate while it is fresh; None when it is too old to act on."""
        ...

    def quotes(self, exchange: str, symbol: str) -> Sequence[Quote]:
        """One quote per account on ``exchange`` that could trade ``symbol`` now; empty while something is stale."""
        ...

    def tolerance(self, symbol: str) -> Decimal:
        """Negative-spread tolerance for new hedges of ``symbol``."""
        ...


class Strategy(Protocol):
    """Proposes entries and exits. Synchronous and pure: the same strategy runs live and over history."""

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        """``symbols`` are those whose rates changed, plus those whose entry window is open."""
        ...


class RiskRule(Protocol):
    """One reason not to open. All rules must agree."""

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None: ...


@runtime_checkable
class Guard(RiskRule, Protocol):
    """A risk rule that is also watched while nothing is proposed: alerts from 80 % of its limit, and at the limit."""

    gate: str

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        """How much of the limit is used, of the symbol or account that is nearest to it; None while unknown."""
        ...


@runtime_checkable
class ClosingRule(RiskRule, Protocol):
    """A risk rule that may also want an open hedge closed: what speaks against opening may begin while it is open.

    ``closes_as`` is the reason that is written down.
    """

    closes_as: CloseReason

    def why_close(self, hedge: Hedge, portfolio: Portfolio, now: datetime) -> str | None:
        """Why ``hedge`` is to be closed, None when it is not. Asked every second of every live hedge."""
        ...


@runtime_checkable
class OrderGuard(RiskRule, Protocol):
    """A risk rule with the last word on every order that adds exposure, right before it leaves."""

    def admit(self, order: OrderRecord, sent: int) -> str | None:
        """Why it must not be sent, None when it may; ``sent`` orders of any kind left within the last minute."""
        ...


class AlertSink(Protocol):
    async def send(self, alert: Alert) -> None:
        """Deliver; raising means it was not delivered. Never called from the trading loop."""
        ...


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account as a person should see it; ``halted`` says why entries are off, None when they are on."""

    account: str
    exchange: str
    balance: Balance | None
    halted: str | None


@dataclass(frozen=True, slots=True)
class BotStatus:
    """The bot at a glance. ``state`` is RUNNING, PAUSED, KILLED or STARTING; ``waiting_for`` is one sentence."""

    state: str
    network: str
    started_at: datetime
    last_scan: datetime | None
    accounts: tuple[AccountStatus, ...]
    streams: Mapping[str, bool]
    pending_orders: int
    waiting_for: str


class BotHandle(Protocol):
    """What services and an embedding program may do with a running bot. Every method may be called from its loop."""

    @property
    def clock(self) -> Clock: ...

    @property
    def rates(self) -> RateBook: ...

    @property
    def store(self) -> Store: ...

    def status(self) -> BotStatus: ...

    def live_hedges(self) -> Sequence[Hedge]: ...

    async def open_hedge(self, symbol: str, long: str, short: str, size_usd: Decimal) -> UUID:
        """Open by hand between two accounts; raises ``ConfigError`` with the refusal when a risk rule says no."""
        ...

    async def close_hedge(self, hedge_id: UUID, reason: CloseReason = CloseReason.MANUAL) -> None: ...

    def pause(self) -> None:
        """Entries off; open hedges are looked after as before."""
        ...

    def resume(self) -> None: ...

    async def kill(self, actor: str) -> None:
        """Latch the kill switch: entries off, everything on every account cancelled and closed, until released."""
        ...

    async def release(self, actor: str) -> None:
        """Release the kill switch; raises ``ConfigError`` while something is not flat, naming it."""
        ...

    @property
    def killed(self) -> bool:
        """Whether the kill switch is latched."""
        ...

    @property
    def not_flat(self) -> Sequence[OpenLeg]:
        """What a latched kill switch has not closed yet, leg by leg with the reason."""
        ...

    @property
    def flattened(self) -> bool:
        """Whether the kill switch is latched and every account was seen flat."""
        ...


class Service(Protocol):
    """Something that runs beside the bot (the dashboard)."""

    async def start(self, bot: BotHandle) -> None:
        """Start serving; returns once it is up. Closing the component stops it."""
        ...

    @property
    def url(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are committed together, all or nothing, before anything they allow is done."""

    intents: tuple[Intent, ...] = ()
    orders: tuple[OrderRecord, ...] = ()
    fills: tuple[tuple[Fill, UUID | None], ...] = ()
    payments: tuple[tuple[FundingPayment, UUID | None], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    alerts: tuple[Alert, ...] = ()
    flatten_orders: tuple[FlattenOrder, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    settlements: tuple[Settlement, ...] = ()
    deliveries: tuple[Delivery, ...] = ()

    def __bool__(self) -> bool:
        return any(
            (
                self.intents, self.orders, self.fills, self.payments, self.refusals, self.alerts,
                self.flatten_orders, self.accepted, self.settlements, self.deliveries,
            )
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Committed:
    """What of a batch was new: fills and payments are booked once, however often they are read."""

    fills: tuple[tuple[Fill, UUID | None], ...] = ()
    payments: tuple[tuple[FundingPayment, UUID | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything the loop needs to go on after a restart.

    ``released_at`` is when the kill switch was last released, ``liquidated`` when the last liquidated hedge of a
    symbol was closed, however long ago.
    """

    hedges: tuple[Hedge, ...]
    killed: bool
    config_revision: int
    paused: bool = False
    released_at: datetime | None = None
    fills_since: Mapping[str, datetime] = field(default_factory=dict)
    payments_since: Mapping[str, datetime] = field(default_factory=dict)
    liquidated: Mapping[str, datetime] = field(default_factory=dict)
    accepted: tuple[Accepted, ...] = ()
    flatten_orders: tuple[FlattenOrder, ...] = ()


class Lease(Protocol):
    """The right to trade: of one database, and of every account in it, one process has it at a time."""

    @property
    def fresh(self) -> bool:
        """Whether it was confirmed recently enough for an order that adds exposure."""
        ...

    async def keep(self) -> str:
        """Confirm it every few (real) seconds; returns only when somebody else has it, saying who."""
        ...


class Store(Protocol):
    """The durable truth. One writer; a returned ``commit`` is on disk (fsync)."""

    async def commit(self, batch: Batch) -> Committed: ...

    async def load(self) -> Checkpoint:
        """Live hedges with their orders, and hedges closed within the last day (their orders are tombstones)."""
        ...

    async def hedges(self, *, limit: int = 1000) -> Sequence[Hedge]:
        """Newest first, live and over."""
        ...

    async def fills(self, hedge_id: UUID | None = None) -> Sequence[Fill]: ...

    async def payments(self, hedge_id: UUID | None = None) -> Sequence[FundingPayment]: ...

    async def result_since(self, accounts: Collection[str], since: datetime) -> Decimal:
        """What was booked to hedges on ``accounts`` from ``since`` on: price results and funding less fees."""
        ...

    async def settlements(
        self, hedge_id: UUID | None = None, *, since: datetime | None = None
    ) -> Sequence[Settlement]:
        """Oldest first, of one hedge or all; with ``since`` those from then on and every older one still unpaid."""
        ...

    async def hedges_at(self, account: str, symbol: str, at: datetime) -> Sequence[Hedge]:
        """The hedges with a leg on ``account`` in ``symbol`` that were live at ``at``, give or take two minutes."""
        ...

    async def refusals(self, *, limit: int = 1000) -> Sequence[Refusal]: ...

    async def refusal_counts(self) -> Mapping[str, int]:
        """Gate -> how many candidates it refused."""
        ...

    async def undelivered(self, since: datetime) -> Sequence[Delivery]:
        """Alerts from ``since`` on that a sink they were meant for has not taken, oldest first."""
        ...

    async def set_killed(self, killed: bool, actor: str, at: datetime) -> None: ...

    async def set_paused(self, paused: bool, actor: str, at: datetime) -> None:
        """Entries off, or on again, for this process and every later one."""
        ...

    async def control(self) -> ControlState:
        """The kill latch and what is commanded. Polled: cheap."""
        ...

    async def submit_command(self, command: Command) -> Command:
        """Store a command; returns the first one that was stored under its key. A kill latches in the same commit.

        Any process may do this while another one runs the bot.
        """
        ...

    async def take_command(self, command_id: UUID, at: datetime) -> bool:
        """Take a command to execute it; False when it was taken before."""
        ...

    async def report_command(self, command: Command) -> None:
        """Store how far ``command`` is, or its result once it is done."""
        ...

    async def save_config(self, document: Mapping[str, Any], at: datetime) -> int:
        """Store this configuration as a revision (the last one when it is the same); returns its number."""
        ...

    async def close(self) -> None: ...
