"""Words and records of the truth: orders, fills, positions, ledger rows, and why something was refused.

Prices and quantities are venue-native: the price of the listed contract and the number of contracts as the
exchange's order field counts them. ``Instrument.contract_size`` and ``Instrument.multiplier`` relate them to base
units. Times are unix milliseconds of simulated time. Money is ``Decimal``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

__all__ = [
    "AccountState",
    "Cause",
    "Credentials",
    "Fill",
    "FundingPayment",
    "LedgerKind",
    "LedgerRow",
    "MarginMode",
    "Order",
    "OrderRequest",
    "OrderStatus",
    "OrderType",
    "Position",
    "PositionSide",
    "Reason",
    "Refused",
    "Side",
    "TimeInForce",
]

ZERO = Decimal(0)


class Side(str, Enum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class PositionSide(str, Enum):
    """Which position an order works on. One-way accounts have only NET; hedge-mode accounts LONG and SHORT."""

    NET = "NET"
    LONG = "LONG"
    SHORT = "SHORT"


class OrderType(str, Enum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(str, Enum):
    """``GTC`` rests until cancelled or until ``expires_ms``; ``POST_ONLY`` rests or does not happen."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "POST_ONLY"


class OrderStatus(str, Enum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    """Ended by the exchange: IOC or FOK remainder, time limit, reduce-only with nothing left to reduce."""
    REJECTED = "REJECTED"
    """Taken and then refused; only where ``Venue`` rules say that refusals come after acceptance."""

    @property
    def open(self) -> bool:
        return self in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


class MarginMode(str, Enum):
    CROSS = "CROSS"
    ISOLATED = "ISOLATED"


class LedgerKind(str, Enum):
    REALIZED_PNL = "REALIZED_PNL"
    COMMISSION = "COMMISSION"
    FUNDING_FEE = "FUNDING_FEE"
    TRANSFER = "TRANSFER"
    LIQUIDATION_FEE = "LIQUIDATION_FEE"
    INSURANCE = "INSURANCE"
    """Paid in by the insurance fund so that a liquidated account does not end below zero."""


class Cause(str, Enum):
    """Why balances or positions of an account changed."""

    ORDER = "ORDER"
    FUNDING = "FUNDING"
    TRANSFER = "TRANSFER"
    LIQUIDATION = "LIQUIDATION"
    ADL = "ADL"
    MARGIN = "MARGIN"


class Reason(str, Enum):
    """Why something was refused, or why an order ended. A dialect maps each to its exchange's code and text."""

    UNKNOWN_INSTRUMENT = "unknown instrument"
    UNKNOWN_ORDER = "unknown order"
    ORDER_NOT_OPEN = "order is not open any more"
    DUPLICATE_CLIENT_ID = "client order id is in use"
    BAD_PRICE = "price is missing, not positive or outside the allowed range"
    BAD_TICK = "price is not a multiple of the tick"
    BAD_QUANTITY = "quantity is missing or not positive"
    BAD_LOT = "quantity is not a multiple of the lot"
    MIN_QUANTITY = "quantity is below the minimum"
    MAX_QUANTITY = "quantity is above the maximum"
    MIN_NOTIONAL = "order value is below the minimum"
    INSUFFICIENT_MARGIN = "margin is insufficient"
    REDUCE_ONLY = "reduce-only order has nothing to reduce"
    REDUCE_ONLY_TOO_LARGE = "reduce-only order is larger than the position"
    POST_ONLY_WOULD_TAKE = "post-only order would take liquidity"
    NOT_FILLABLE = "fill-or-kill order cannot be filled at once"
    NO_LIQUIDITY = "no more liquidity within reach"
    POSITION_SIDE = "position side does not fit the account's position mode"
    POSITION_MODE_LOCKED = "position mode cannot change with open positions or orders"
    MARGIN_MODE_LOCKED = "margin mode cannot change with an open position or order"
    LEVERAGE_OUT_OF_RANGE = "leverage is outside the allowed range"
    LEVERAGE_TOO_LOW_FOR_POSITION = "margin does not allow this leverage with the open position"
    NOT_MODIFIED = "nothing to change"
    MAX_POSITION = "position would exceed the limit at this leverage"
    NOT_TRADING = "instrument is not trading"
    TOO_MANY_ORDERS = "too many open orders"
    EXPIRED = "time limit reached"
    CANCELLED_BY_USER = "cancelled by the user"
    DEAD_MAN = "cancelled because the cancel-after timer ran out"
    LIQUIDATION = "account is being liquidated"
    INJECTED = "injected fault"


class Refused(Exception):
    """The truth refuses; nothing changed. ``reason`` is what a dialect maps to its exchange's error code."""

    def __init__(self, reason: Reason, detail: str = "", *, code: str | None = None) -> None:
        super().__init__(detail or reason.value)
        self.reason = reason
        self.detail = detail or reason.value
        self.code = code
        """An exchange code that a fault asked for literally; overrides the dialect's mapping."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an account signs in with. ``extra`` is what else its exchange needs (passphrase, mnemonic, address)."""

    api_key: str
    api_secret: str
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as asked for, in native units. ``price`` is None for market orders."""

    instrument: str
    side: Side
    quantity: Decimal
    type: OrderType = OrderType.LIMIT
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    position_side: PositionSide = PositionSide.NET
    client_id: str = ""
    """Empty: the dialect gave none; the order cannot be found by client id."""
    close_position: bool = False
    """Reduce whatever the position is at that time; ``quantity`` is then ignored (Bybit qty 0, OKX close-position)."""
    margin_mode: MarginMode | None = None
    """Margin mode asked for with the order (OKX ``tdMode``); None uses the account's setting."""
    expires_ms: int | None = None
    """Good till this time (Binance GTD, dYdX goodTilBlockTime); None rests until cancelled."""
    order_id: str | None = None
    """An id the dialect derives itself (dYdX); None takes the venue's next id."""
    extra: dict[str, str] = field(default_factory=dict)
    """Dialect fields kept on the order and given back unchanged (clientMetadata, brokerId, ...)."""


@dataclass(slots=True)
class Order:
    """An order the venue took. Events and queries hand out copies; changing one changes nothing."""

    id: str
    account: str
    instrument: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    """As asked for, after trimming by reduce-only where the venue trims."""
    price: Decimal | None
    client_id: str
    reduce_only: bool
    position_side: PositionSide
    created_ms: int
    updated_ms: int
    status: OrderStatus = OrderStatus.NEW
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    """Sum of price times quantity over the fills, in native price times native quantity."""
    fee: Decimal = ZERO
    realized: Decimal = ZERO
    reason: Reason | None = None
    """Why it ended, when it was not filled completely."""
    expires_ms: int | None = None
    margin_mode: MarginMode = MarginMode.CROSS
    close_position: bool = False
    liquidation: bool = False
    adl: bool = False
    sequence: int = 0
    """Order of acceptance within the venue."""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        """Average native price of the fills; 0 before the first."""
        return self.filled_value / self.filled if self.filled else ZERO


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of one account's order."""

    id: str
    sequence: int
    account: str
    instrument: str
    order_id: str
    client_id: str
    side: Side
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    value: Decimal
    """Notional in the settle currency: price x quantity x contract size."""
    fee: Decimal
    """Positive when paid."""
    fee_rate: Decimal
    fee_asset: str
    realized: Decimal
    """Realised profit of this fill before fees."""
    closed_quantity: Decimal
    """Part of the quantity that reduced a position."""
    maker: bool
    time_ms: int
    reduce_only: bool = False
    liquidation: bool = False
    adl: bool = False


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One change of a wallet balance. The rows of an asset add up exactly to balance minus starting balance."""

    id: int
    account: str
    kind: LedgerKind
    asset: str
    amount: Decimal
    """Signed change of the balance: positive when received."""
    balance: Decimal
    """Wallet balance after the row."""
    time_ms: int
    instrument: str = ""
    order_id: str = ""
    fill_id: str = ""
    info: str = ""


@dataclass(frozen=True, slots=True)
class FundingPayment:
    """One account's funding of one settlement of one position."""

    ledger_id: int
    account: str
    instrument: str
    position_side: PositionSide
    quantity: Decimal
    """Signed position held at the settlement, native units."""
    price: Decimal
    """Mark price (oracle price on venues that use it) at the settlement."""
    rate: Decimal
    amount: Decimal
    """Positive when received: -quantity x contract size x price x rate, rounded to the ledger's precision."""
    interval_hours: int
    settlement_ms: int
    time_ms: int
    """When it was posted."""


@dataclass(frozen=True, slots=True)
class Position:
    """A position as the venue reports it now. ``quantity`` is signed: negative when short; 0 when flat."""

    account: str
    instrument: str
    side: PositionSide
    quantity: Decimal
    entry_price: Decimal
    break_even_price: Decimal
    mark_price: Decimal
    value: Decimal
    """Notional at mark, never negative, settle currency."""
    unrealized: Decimal
    realized: Decimal
    """Realised since this position was opened, before fees and funding."""
    cumulative_realized: Decimal
    """Realised on this instrument and side since the account exists, fees and funding included."""
    leverage: Decimal
    margin_mode: MarginMode
    initial_margin: Decimal
    maintenance_margin: Decimal
    isolated_margin: Decimal
    """Margin assigned to an isolated position; 0 in cross mode."""
    liquidation_price: Decimal | None
    adl_rank: int
    """0 (last in line) to 4 (first to be deleveraged)."""
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class AccountState:
    """Balance and margin of an account in its settle asset."""

    account: str
    asset: str
    wallet: Decimal
    unrealized: Decimal
    equity: Decimal
    """wallet + unrealized"""
    position_margin: Decimal
    """Initial margin of open positions."""
    order_margin: Decimal
    """Initial margin reserved by open orders."""
    maintenance_margin: Decimal
    available: Decimal
    """What a new order may use; never negative."""
    updated_ms: int

    @property
    def initial_margin(self) -> Decimal:
        return self.position_margin + self.order_margin
