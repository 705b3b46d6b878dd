"""The mutable state of one exchange, and what every part of the truth does with it: events, ids, ledger rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from fundingarb.localnet.truth.events import Event, Execution, OrderChanged
from fundingarb.localnet.truth.market import Market
from fundingarb.localnet.truth.money import rounded
from fundingarb.localnet.truth.rules import FeeTier, VenueRules
from fundingarb.localnet.truth.types import (
    ZERO,
    Credentials,
    Fill,
    FundingPayment,
    LedgerKind,
    LedgerRow,
    MarginMode,
    Order,
    OrderStatus,
    PositionSide,
    Reason,
    Refused,
)

__all__ = ["Account", "Core", "Holding", "PendingFunding"]


@dataclass(slots=True)
class Holding:
    """A position as it is kept: signed quantity and what it cost."""

    instrument: str
    side: PositionSide
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    """Entry value of what is held, never negative, settle asset."""
    realized: Decimal = ZERO
    costs: Decimal = ZERO
    """Fees and funding paid since it was opened."""
    cumulative: Decimal = ZERO
    isolated: Decimal = ZERO
    created_ms: int = 0
    updated_ms: int = 0


@dataclass(slots=True)
class Account:
    """One account: wallet, settings, orders, positions and every row that ever changed the wallet."""

    name: str
    credentials: Credentials
    asset: str
    starting: Decimal
    wallet: Decimal
    fees: FeeTier
    hedge_mode: bool
    margin_mode: MarginMode
    updated_ms: int
    margin_modes: dict[str, MarginMode] = field(default_factory=dict)
    leverages: dict[str, Decimal] = field(default_factory=dict)
    holdings: dict[tuple[str, PositionSide], Holding] = field(default_factory=dict)
    open: dict[str, Order] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    by_client: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    ledger: list[LedgerRow] = field(default_factory=list)
    payments: list[FundingPayment] = field(default_factory=list)
    dead_man: dict[tuple[str | None, str | None], float] = field(default_factory=dict)
    """(instrument, tag) of the orders that a timer is about, None for any -> when it cancels them."""
    fill_limit: Decimal | None = None

    def holding(self, instrument: str, side: PositionSide) -> Holding:
        key = (instrument, side)
        found = self.holdings.get(key)
        if found is None:
            found = self.holdings[key] = Holding(instrument, side)
        return found

    def held(self) -> list[Holding]:
        """Positions that are not flat, in the order in which they were first opened."""
        return [holding for holding in self.holdings.values() if holding.quantity]

    def mode_of(self, instrument: str) -> MarginMode:
        return self.margin_modes.get(instrument, self.margin_mode)


@dataclass(frozen=True, slots=True)
class PendingFunding:
    """A payment that is owed since the settlement but not posted yet."""

    due: float
    account: str
    instrument: str
    side: PositionSide
    quantity: Decimal
    price: Decimal
    rate: Decimal
    amount: Decimal
    interval_hours: int
    settlement_ms: int


class Core:
    """State shared by the parts of the truth."""

    def __init__(self, name: str, rules: VenueRules, markets: dict[str, Market], now: float) -> None:
        self.name = name
        self.rules = rules
        self.markets = markets
        self.by_symbol = {market.instrument.symbol: key for key, market in markets.items()}
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, str] = {}
        self.now = now
        self.now_ms = round(now * 1000)
        self.pending: list[PendingFunding] = []
        self.fill_caps: dict[str, Decimal] = {}
        self.margin_stale = True
        """Something changed since margin was last checked: a position, a balance, or prices at a stroke."""
        self._listeners: list[Callable[[Event], None]] = []
        self._sequence = 0
        self._orders = rules.first_id
        self._fills = rules.first_id
        self._rows = 0

    # -- time ------------------------------------------------------------------------------------------------

    def set_time(self, now: float) -> None:
        self.now = now
        self.now_ms = round(now * 1000)

    # -- look-up ---------------------------------------------------------------------------------------------

    def market(self, instrument: str) -> Market:
        market = self.markets.get(instrument)
        if market is None:
            raise Refused(Reason.UNKNOWN_INSTRUMENT, f"{self.name} does not list {instrument!r}")
        return market

    def named(self, name: str) -> Market:
        """By native id or by model symbol."""
        return self.market(self.by_symbol.get(name, name))

    def account(self, name: str) -> Account:
        return self.accounts[name]

    def leverage(self, account: Account, instrument: str) -> Decimal:
        found = account.leverages.get(instrument)
        if found is not None:
            return found
        highest = self.markets[instrument].instrument.max_leverage
        return Decimal(min(self.rules.default_leverage, highest))

    # -- numbers ---------------------------------------------------------------------------------------------

    def next_order_id(self) -> tuple[int, str]:
        number = self._orders
        self._orders += 1
        return number, self.rules.order_id(number)

    def next_fill_id(self) -> tuple[int, str]:
        number = self._fills
        self._fills += 1
        return number, self.rules.fill_id(number)

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def round_money(self, value: Decimal) -> Decimal:
        """To the ledger's precision, by the venue's rounding."""
        return rounded(value, self.rules.ledger_decimals, self.rules.rounding)

    # -- ledger ----------------------------------------------------------------------------------------------

    def post(
        self,
        account: Account,
        kind: LedgerKind,
        amount: Decimal,
        *,
        instrument: str = "",
        order_id: str = "",
        fill_id: str = "",
        info: str = "",
    ) -> LedgerRow:
        """Write a row. The only place where a wallet balance changes."""
        self._rows += 1
        self.margin_stale = True
        account.wallet += amount
        account.updated_ms = self.now_ms
        row = LedgerRow(
            self._rows,
            account.name,
            kind,
            account.asset,
            amount,
            account.wallet,
            self.now_ms,
            instrument,
            order_id,
            fill_id,
            info,
        )
        account.ledger.append(row)
        return row

    # -- events ----------------------------------------------------------------------------------------------

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)

    def order_changed(
        self, order: Order, execution: Execution, fill: Fill | None = None, reason: Reason | None = None
    ) -> None:
        self.emit(OrderChanged(self.next_sequence(), self.now_ms, replace(order), execution, fill, reason))

    def end_order(self, account: Account, order: Order, status: OrderStatus, reason: Reason) -> None:
        """Take an open order out of the book and tell."""
        order.status = status
        order.reason = reason
        order.updated_ms = self.now_ms
        account.open.pop(order.id, None)
        self.fill_caps.pop(order.id, None)
        self.markets[order.instrument].remove(order)
        execution: Execution = "CANCELED" if status is OrderStatus.CANCELED else "EXPIRED"
        self.order_changed(order, execution, None, reason)
