"""Orders as we ask for them, as exchanges report them, and the fills they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum

from fundingarb.domain.instrument import Side

ZERO = Decimal(0)

#: So long before an order was made its fills are looked for: two clocks.
SKEW = timedelta(seconds=10)


class OrderSide(str, Enum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for buy, -1 for sell."""
        return 1 if self is OrderSide.BUY else -1


class TimeInForce(str, Enum):
    """How long an order may rest. ``POST_ONLY`` is good-till-cancelled and refused if it would take."""

    GTC = "GTC"
    IOC = "IOC"
    POST_ONLY = "POST_ONLY"


class Purpose(str, Enum):
    """Why an order exists; one letter of its client order id."""

    ENTRY = "e"
    HEDGE = "h"
    UNWIND = "u"
    CLOSE = "c"

    @property
    def reduces(self) -> bool:
        """Whether orders of this purpose are reduce-only."""
        return self in (Purpose.UNWIND, Purpose.CLOSE)


class OrderState(str, Enum):
    """Where an order in the registry is.

    ``INTENDED`` is committed and perhaps sent, ``UNKNOWN`` was sent without a usable answer; both freeze their leg.
    """

    INTENDED = "INTENDED"
    OPEN = "OPEN"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"

    @property
    def terminal(self) -> bool:
        return self in (OrderState.FILLED, OrderState.CANCELLED, OrderState.REFUSED)

    @property
    def unresolved(self) -> bool:
        return self in (OrderState.INTENDED, OrderState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """One order to send. ``price`` None means a market order; ``quantity`` is base units, a multiple of the lot."""

    client_id: str
    symbol: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    time_in_force: TimeInForce
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What an exchange says of an order.

    ``filled`` is cumulative base units and never shrinks; ``average_price`` is None while nothing is filled.
    ``client_id`` is None for an order that was not named by a client.
    """

    account: str
    symbol: str
    client_id: str | None
    exchange_order_id: str
    state: OrderState
    side: OrderSide
    quantity: Decimal
    filled: Decimal
    price: Decimal | None = None
    average_price: Decimal | None = None
    reduce_only: bool = False
    at: datetime | None = None
    reason: str = ""


class FillKind(str, Enum):
    """Where a fill comes from: our or a person's order, or the exchange closing the position by itself."""

    TRADE = "TRADE"
    LIQUIDATION = "LIQUIDATION"
    ADL = "ADL"


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution as the exchange's ledger has it.

    ``fee`` positive = paid; ``realized_pnl`` is the price result the exchange booked for the closed part (0 for
    an opening fill), both in settle currency. Unique by (account, symbol, trade_id).
    """

    exchange: str
    account: str
    symbol: str
    trade_id: str
    exchange_order_id: str
    client_id: str | None
    side: OrderSide
    quantity: Decimal
    price: Decimal
    fee: Decimal
    realized_pnl: Decimal
    at: datetime
    maker: bool = False
    kind: FillKind = FillKind.TRADE


@dataclass(frozen=True, slots=True)
class ExchangePosition:
    """What an exchange says an account holds. ``quantity`` is signed base units: positive long, negative short.

    What the exchange does not tell is None. ``maintenance_margin`` is this position's part in settle currency;
    ``adl_rank`` goes from 1 (last to be auto-deleveraged) to 5 (first), whatever scale the exchange uses.
    """

    exchange: str
    account: str
    symbol: str
    quantity: Decimal
    entry_price: Decimal
    mark: Decimal | None = None
    liquidation_price: Decimal | None = None
    unrealized_pnl: Decimal = ZERO
    leverage: Decimal | None = None
    maintenance_margin: Decimal | None = None
    adl_rank: int | None = None


@dataclass(frozen=True, slots=True)
class FeeTier:
    """Fractions of notional per fill at the account's real tier; a negative maker fee is a rebate."""

    maker: Decimal
    taker: Decimal


@dataclass(frozen=True, slots=True)
class Balance:
    """Margin of one account in settle currency.

    ``wallet`` excludes unrealised profit and changes only by ledger rows; ``available`` is what new orders may use.
    """

    account: str
    currency: str
    wallet: Decimal
    equity: Decimal
    available: Decimal
    maintenance_margin: Decimal | None = None


def order_side(side: Side, *, reduce: bool) -> OrderSide:
    """The order side that opens (or, with ``reduce``, shrinks) a leg."""
    return OrderSide.BUY if (side is Side.LONG) is not reduce else OrderSide.SELL
