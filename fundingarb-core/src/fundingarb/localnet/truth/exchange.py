"""The truth of one exchange: everything a dialect may ask or do.

Synchronous and deterministic: the same seed, model and sequence of calls give the same result, whatever the
machine does. Nothing here reads a clock. Call ``advance(now)`` first; every other method then works at that time
(``Venue.sync`` does it for a dialect). Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from fundingarb.localnet.models.base import MarketModel
from fundingarb.localnet.truth.events import Event
from fundingarb.localnet.truth.rules import FeeTier, Instrument, VenueRules
from fundingarb.localnet.truth.types import (
    AccountState,
    Credentials,
    Fill,
    FundingPayment,
    LedgerKind,
    LedgerRow,
    MarginMode,
    Order,
    OrderRequest,
    Position,
    PositionSide,
)
from fundingarb.localnet.truth.views import BookView, Candle, FundingView, SettledRate, TickerView, Trade

__all__ = ["Exchange"]


class Exchange:
    """Accounts, orders, positions, balances and markets of one exchange.

    Methods that name an account raise ``KeyError`` for one that does not exist. Methods that name an instrument
    take its native id and raise ``Refused(UNKNOWN_INSTRUMENT)``. ``Refused`` always means that nothing changed.
    """

    name: str
    rules: VenueRules
    now: float
    now_ms: int

    def __init__(
        self,
        name: str,
        rules: VenueRules,
        instruments: Iterable[Instrument],
        model: MarketModel,
        *,
        start: float,
        seed: int = 0,
    ) -> None: ...

    # -- time and events -------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Bring everything to ``now`` (unix seconds): taker flow, settlements, expiries, liquidations.

        Going back is ignored. Work between two calls is done on the model's own time grid, so calling it more or
        less often changes nothing.
        """

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``listener`` with every event, in order, from inside the call that caused it. Returns the undo."""

    # -- instruments and markets -----------------------------------------------------------------------------

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """By native id, in the order the dialect declared them."""

    def instrument(self, name: str) -> Instrument:
        """By native id or by model symbol."""

    def book(self, instrument: str, depth: int = 50) -> BookView:
        """The book, resting orders of the accounts included. ``depth`` levels per side (fewer where it ends)."""

    def ticker(self, instrument: str) -> TickerView: ...

    def mark(self, instrument: str) -> Decimal: ...

    def index(self, instrument: str) -> Decimal: ...

    def funding(self, instrument: str) -> FundingView: ...

    def funding_history(
        self, instrument: str, start_ms: int | None = None, end_ms: int | None = None, limit: int = 100
    ) -> list[SettledRate]:
        """Settlements in [start, end], ascending.

        Without ``start_ms`` the newest ``limit``, otherwise the first ``limit`` from there. Reaches at least 30
        days behind the start of the localnet.
        """

    def trades(self, instrument: str, limit: int = 100) -> list[Trade]:
        """The newest public trades, ascending."""

    def candles(
        self,
        instrument: str,
        seconds: int,
        start_ms: int,
        end_ms: int,
        kind: Literal["last", "mark", "index"] = "last",
    ) -> list[Candle]:
        """Candles that open in [start, end), ascending, the running one included."""

    # -- accounts --------------------------------------------------------------------------------------------

    def add_account(self, name: str, credentials: Credentials, balance: Decimal) -> None: ...

    @property
    def accounts(self) -> Sequence[str]:
        """Names, in the order in which they were added."""

    def account_of_key(self, api_key: str) -> str | None:
        """The account an API key (or address) belongs to."""

    def credentials(self, account: str) -> Credentials: ...

    def state(self, account: str) -> AccountState:
        """Balance and margin in the settle asset."""

    def positions(self, account: str, instrument: str | None = None, *, flat: bool = False) -> list[Position]:
        """Open positions; with ``flat`` also the flat ones of every instrument (LONG and SHORT in hedge mode)."""

    def ledger(
        self,
        account: str,
        *,
        kinds: Iterable[LedgerKind] | None = None,
        instrument: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[LedgerRow]:
        """Rows with ``start_ms <= time_ms <= end_ms``, ascending."""

    def funding_payments(
        self,
        account: str,
        *,
        instrument: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[FundingPayment]:
        """Posted payments, ascending."""

    def starting_balance(self, account: str) -> Decimal: ...

    def transfer(self, account: str, amount: Decimal) -> LedgerRow:
        """Move ``amount`` (negative: out) of the settle asset; refused beyond what is available."""

    # -- settings --------------------------------------------------------------------------------------------

    def fees(self, account: str, instrument: str | None = None) -> FeeTier: ...

    def set_fees(self, account: str, fees: FeeTier) -> None: ...

    def leverage(self, account: str, instrument: str) -> Decimal: ...

    def set_leverage(self, account: str, instrument: str, leverage: Decimal) -> None:
        """Refused: LEVERAGE_OUT_OF_RANGE, NOT_MODIFIED, LEVERAGE_TOO_LOW_FOR_POSITION, MAX_POSITION."""

    def margin_mode(self, account: str, instrument: str) -> MarginMode: ...

    def set_margin_mode(self, account: str, mode: MarginMode, instrument: str | None = None) -> None:
        """For one instrument, or the whole account. Refused: NOT_MODIFIED, MARGIN_MODE_LOCKED."""

    def hedge_mode(self, account: str) -> bool: ...

    def set_hedge_mode(self, account: str, hedge: bool) -> None:
        """Refused: NOT_MODIFIED, POSITION_MODE_LOCKED."""

    # -- orders ----------------------------------------------------------------------------------------------

    def place(self, account: str, request: OrderRequest) -> Order:
        """Take and match an order; the answer is its state after matching.

        Events are emitted before this returns: NEW, then one TRADE per fill, then the end, if any. An IOC or FOK
        order that does not fill is not refused: it comes back EXPIRED with a ``reason``.
        """

    def check(self, account: str, request: OrderRequest) -> None:
        """Everything ``place`` would refuse, without placing (test-order endpoints)."""

    def amend(
        self,
        account: str,
        instrument: str,
        *,
        order_id: str | None = None,
        client_id: str | None = None,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> Order:
        """Change price and/or total quantity of an open order (it loses its place in the queue)."""

    def cancel(
        self, account: str, instrument: str, *, order_id: str | None = None, client_id: str | None = None
    ) -> Order:
        """Cancel one open order. Refused: UNKNOWN_ORDER, ORDER_NOT_OPEN."""

    def cancel_all(self, account: str, instrument: str | None = None) -> list[Order]: ...

    def cancel_after(self, account: str, instrument: str | None, seconds: float | None) -> None:
        """Arm the dead-man timer: cancel everything (of the instrument) in ``seconds``. None disarms."""

    def order(
        self,
        account: str,
        *,
        order_id: str | None = None,
        client_id: str | None = None,
        instrument: str | None = None,
    ) -> Order | None:
        """Find an order in any state. By client id the newest one that carried it."""

    def open_orders(self, account: str, instrument: str | None = None) -> list[Order]:
        """In order of acceptance."""

    def orders(
        self,
        account: str,
        instrument: str | None = None,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[Order]:
        """Every order, in any state, accepted in that time; ascending."""

    def fills(
        self,
        account: str,
        instrument: str | None = None,
        *,
        order_id: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[Fill]:
        """Ascending."""

    # -- interventions (control API, faults, tests) ------------------------------------------------------------

    def move_price(
        self, instrument: str, *, factor: float | None = None, price: Decimal | None = None
    ) -> None:
        """Shift index, mark and book from now on: by a factor, or so that the mark is at ``price`` now."""

    def set_liquidity(
        self, instrument: str, *, spread_bps: float | None = None, depth: float | None = None
    ) -> None:
        """Override the half spread, or scale the depth (1 is the model's own)."""

    def set_book(
        self,
        instrument: str,
        bids: Sequence[tuple[Decimal, Decimal]] | None,
        asks: Sequence[tuple[Decimal, Decimal]] | None,
    ) -> None:
        """Freeze a side of the book at these levels; None gives the side back to the model."""

    def set_funding(
        self,
        instrument: str,
        *,
        rate: Decimal | None = None,
        interval_hours: int | None = None,
        settlements: int | None = None,
    ) -> None:
        """Override the rate (for so many settlements, or for good) and/or change the interval."""

    def clear_market(self, instrument: str | None = None) -> None:
        """Take back every override of price, liquidity, book, rate and interval."""

    def limit_next_fill(self, account: str, fraction: Decimal) -> None:
        """The next order of the account fills at most this fraction; an IOC/FOK/market remainder expires."""

    def liquidate(self, account: str, instrument: str, side: PositionSide = PositionSide.NET) -> None:
        """Close the position by force as the liquidation engine would."""

    def deleverage(
        self,
        account: str,
        instrument: str,
        quantity: Decimal | None = None,
        side: PositionSide = PositionSide.NET,
    ) -> None:
        """Auto-deleverage: close (part of) the position at the mark without a fee."""

    def report(self) -> dict[str, Any]:
        """Everything about the accounts, for ``GET /truth``: decimals as strings, times ISO UTC."""
