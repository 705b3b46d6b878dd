"""An exchange as the engine sees it, and what its streams tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol, runtime_checkable

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.order import Balance, ExchangePosition, FeeTier, Fill, NewOrder, OrderReport


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

    ``accepted``: it may withdraw because no other keys exist there, and the owner has said to know that, with the
    setting ``accept_with`` (empty where there are keys that may only trade).
    """

    trade: bool | None
    withdraw: bool | None
    ip_restricted: bool | None
    transfer: bool | None = None
    accepted: bool = False
    accept_with: str = ""

    @property
    def remedy(self) -> str:
        """What to do about a key that may withdraw."""
        if self.accept_with:
            return f"every key of this exchange may: keep there only what trades, and set {self.accept_with}: true"
        return "make one that may only trade"


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
    whether the exchange offers a timer for ``cancel_after``, ``shared_margin_mode`` whether ``set_margin_mode`` of one
    symbol changes the others of the account too.
    """

    name: str
    limits: Sequence[RateLimit]
    dead_man: bool
    shared_margin_mode: bool

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
        than was asked for (the adapter's README says), never less: taken off for some symbols, it stays for the others.
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

    def remember_orders(self, orders: Mapping[str, str]) -> None:
        """Orders of these ids, each with its symbol, were sent before the start, or may have been. Called before
        anything is read."""
        ...


@runtime_checkable
class RemembersInstruments(Protocol):
    """An adapter that reads positions and ledger rows of a contract in base units and under our symbol also when the
    exchange has halted or delisted it since."""

    def remember_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Hedges of the account were made in these. Called before anything is read."""
        ...


@runtime_checkable
class SaysWhatItReads(Protocol):
    """An adapter that says which contracts of an account its positions and open orders are of. A kill says it where it
    says that an account is flat: nobody has looked at anything else."""

    reads: str
