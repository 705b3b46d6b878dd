"""The truth of one exchange: everything a dialect may ask or do.

Synchronous and deterministic: the same seed, model and sequence of calls give the same result, whatever the
machine does. Nothing here reads a clock. Call ``advance(now)`` first; every other method then works at that time
(``Venue.sync`` does it for a dialect). Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from fundingarb.localnet.models.base import MarketModel
from fundingarb.localnet.truth import margin, matching, settings
from fundingarb.localnet.truth.core import Account, Core
from fundingarb.localnet.truth.events import Event
from fundingarb.localnet.truth.fills import account_changed
from fundingarb.localnet.truth.funding import FundingTrack
from fundingarb.localnet.truth.interventions import Interventions
from fundingarb.localnet.truth.market import LEVELS, Market
from fundingarb.localnet.truth.money import exact
from fundingarb.localnet.truth.report import account_report, iso
from fundingarb.localnet.truth.rules import FeeTier, Instrument, VenueRules
from fundingarb.localnet.truth.tickers import Tickers
from fundingarb.localnet.truth.timeline import Timeline
from fundingarb.localnet.truth.types import (
    AccountState,
    Cause,
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
    Reason,
    Refused,
)
from fundingarb.localnet.truth.views import BookView, Candle, FundingView, SettledRate, TickerView, Trade

__all__ = ["Exchange"]


class Exchange(Interventions):
    """Accounts, orders, positions, balances and markets of one exchange.

    Methods that name an account raise ``KeyError`` for one that does not exist. Methods that name an instrument
    take its native id and raise ``Refused(UNKNOWN_INSTRUMENT)``. ``Refused`` always means that nothing changed.
    """

    def __init__(
        self,
        name: str,
        rules: VenueRules,
        instruments: Iterable[Instrument],
        model: MarketModel,
        *,
        start: float,
        seed: int = 0,
        levels: int = LEVELS,
    ) -> None:
        self.name = name
        self.rules = rules
        self._model = model
        markets = {one.id: Market(name, one, rules, model, seed, levels) for one in instruments}
        self._core = Core(name, rules, markets, start)
        self._tracks = {key: FundingTrack(market, start) for key, market in markets.items()}
        self._timeline = Timeline(self._core, self._tracks, model.grid)
        self._tickers = {key: Tickers(market) for key, market in markets.items()}
        self._instruments = MappingProxyType({key: market.instrument for key, market in markets.items()})

    # -- time and events -------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Unix seconds of simulated time the exchange has been brought to."""
        return self._core.now

    @property
    def now_ms(self) -> int:
        return self._core.now_ms

    @exact
    def advance(self, now: float) -> None:
        """Bring everything to ``now`` (unix seconds): taker flow, settlements, expiries, liquidations.

        Going back is ignored. Work between two calls is done on the model's own time grid, so calling it more or
        less often changes nothing.
        """
        self._timeline.advance(now)

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``listener`` with every event, in order, from inside the call that caused it. Returns the undo."""
        return self._core.subscribe(listener)

    # -- instruments and markets -----------------------------------------------------------------------------

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """By native id, in the order the dialect declared them."""
        return self._instruments

    def instrument(self, name: str) -> Instrument:
        """By native id or by model symbol."""
        return self._core.named(name).instrument

    def trading(self, instrument: str) -> bool:
        """Whether orders are taken in it: it is listed as trading, and not halted."""
        return self._core.named(instrument).trading

    def book(self, instrument: str, depth: int = 50) -> BookView:
        """The book, resting orders of the accounts included. ``depth`` levels per side (fewer where it ends)."""
        return self._core.market(instrument).book(self.now, depth)

    def ticker(self, instrument: str) -> TickerView:
        return self._tickers[self._core.market(instrument).instrument.id].view(self.now)

    def mark(self, instrument: str) -> Decimal:
        return self._core.market(instrument).mark(self.now)

    def index(self, instrument: str) -> Decimal:
        return self._core.market(instrument).index(self.now)

    @exact
    def funding(self, instrument: str) -> FundingView:
        return self._track(instrument).view(self.now)

    def funding_history(
        self, instrument: str, start_ms: int | None = None, end_ms: int | None = None, limit: int = 100
    ) -> list[SettledRate]:
        """Settlements in [start, end], ascending.

        Without ``start_ms`` the newest ``limit``, otherwise the first ``limit`` from there. Reaches at least 30
        days behind the start of the localnet.
        """
        return self._track(instrument).history(start_ms, end_ms, limit)

    def trades(self, instrument: str, limit: int = 100) -> list[Trade]:
        """The newest public trades, ascending."""
        return self._core.market(instrument).public_trades(self.now, limit)

    def candles(
        self,
        instrument: str,
        seconds: int,
        start_ms: int,
        end_ms: int,
        kind: Literal["last", "mark", "index"] = "last",
    ) -> list[Candle]:
        """Candles that open in [start, end), ascending, the running one included."""
        return self._tickers[self._core.market(instrument).instrument.id].candles(
            seconds, start_ms, min(end_ms, self.now_ms), kind
        )

    # -- accounts --------------------------------------------------------------------------------------------

    def add_account(self, name: str, credentials: Credentials, balance: Decimal) -> None:
        """Open an account with ``balance`` of the settle asset; the balance is not a ledger row."""
        core, rules = self._core, self.rules
        if name in core.accounts:
            raise ValueError(f"account {name!r} exists already")
        core.accounts[name] = Account(
            name=name,
            credentials=credentials,
            asset=rules.settle,
            starting=balance,
            wallet=balance,
            fees=rules.fees,
            hedge_mode=rules.hedge_mode,
            margin_mode=rules.default_margin_mode,
            updated_ms=core.now_ms,
        )
        core.keys[credentials.api_key] = name

    @property
    def accounts(self) -> Sequence[str]:
        """Names, in the order in which they were added."""
        return tuple(self._core.accounts)

    def account_of_key(self, api_key: str) -> str | None:
        """The account an API key (or address) belongs to."""
        return self._core.keys.get(api_key)

    def credentials(self, account: str) -> Credentials:
        return self._core.account(account).credentials

    @exact
    def state(self, account: str) -> AccountState:
        """Balance and margin in the settle asset."""
        return margin.account_state(self._core, self._core.account(account))

    @exact
    def positions(self, account: str, instrument: str | None = None, *, flat: bool = False) -> list[Position]:
        """Open positions; with ``flat`` also the flat ones of every instrument (LONG and SHORT in hedge mode)."""
        core, owner = self._core, self._core.account(account)
        wanted = list(core.markets) if instrument is None else [core.market(instrument).instrument.id]
        sides = (PositionSide.LONG, PositionSide.SHORT) if owner.hedge_mode else (PositionSide.NET,)
        found = []
        for key in wanted:
            for side in sides:
                holding = owner.holdings.get((key, side))
                if flat or (holding is not None and holding.quantity):
                    found.append(margin.position(core, owner, key, side))
        return found

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
        wanted = set(kinds) if kinds is not None else None
        return [
            row
            for row in self._core.account(account).ledger
            if (wanted is None or row.kind in wanted)
            and (instrument is None or row.instrument == instrument)
            and _within(row.time_ms, start_ms, end_ms)
        ]

    def funding_payments(
        self,
        account: str,
        *,
        instrument: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[FundingPayment]:
        """Posted payments, ascending."""
        return [
            one
            for one in self._core.account(account).payments
            if (instrument is None or one.instrument == instrument) and _within(one.time_ms, start_ms, end_ms)
        ]

    def starting_balance(self, account: str) -> Decimal:
        return self._core.account(account).starting

    @exact
    def transfer(self, account: str, amount: Decimal) -> LedgerRow:
        """Move ``amount`` (negative: out) of the settle asset; refused beyond what is available."""
        core, owner = self._core, self._core.account(account)
        amount = core.round_money(amount)
        if amount < 0 and -amount > margin.available(core, owner):
            raise Refused(Reason.INSUFFICIENT_MARGIN)
        row = core.post(owner, LedgerKind.TRANSFER, amount)
        account_changed(core, owner, Cause.TRANSFER, [row], [])
        return row

    # -- settings --------------------------------------------------------------------------------------------

    def fees(self, account: str, instrument: str | None = None) -> FeeTier:
        return self._core.account(account).fees

    def set_fees(self, account: str, fees: FeeTier) -> None:
        self._core.account(account).fees = fees

    def leverage(self, account: str, instrument: str) -> Decimal:
        core = self._core
        return core.leverage(core.account(account), core.market(instrument).instrument.id)

    @exact
    def set_leverage(self, account: str, instrument: str, leverage: Decimal) -> None:
        """Refused: LEVERAGE_OUT_OF_RANGE, NOT_MODIFIED, LEVERAGE_TOO_LOW_FOR_POSITION, MAX_POSITION."""
        settings.set_leverage(self._core, self._core.account(account), instrument, leverage)

    def margin_mode(self, account: str, instrument: str) -> MarginMode:
        return self._core.account(account).mode_of(self._core.market(instrument).instrument.id)

    def set_margin_mode(self, account: str, mode: MarginMode, instrument: str | None = None) -> None:
        """For one instrument, or the whole account. Refused: NOT_MODIFIED, MARGIN_MODE_LOCKED."""
        settings.set_margin_mode(self._core, self._core.account(account), mode, instrument)

    def hedge_mode(self, account: str) -> bool:
        return self._core.account(account).hedge_mode

    def set_hedge_mode(self, account: str, hedge: bool) -> None:
        """Refused: NOT_MODIFIED, POSITION_MODE_LOCKED."""
        settings.set_hedge_mode(self._core, self._core.account(account), hedge)

    # -- orders ----------------------------------------------------------------------------------------------

    @exact
    def place(self, account: str, request: OrderRequest) -> Order:
        """Take and match an order; the answer is its state after matching.

        Events are emitted before this returns: NEW, then one TRADE per fill, then the end, if any. An IOC or FOK
        order that does not fill is not refused: it comes back EXPIRED with a ``reason``.
        """
        core, owner = self._core, self._core.account(account)
        return replace(matching.place(core, owner, request))

    @exact
    def check(self, account: str, request: OrderRequest) -> None:
        """Everything ``place`` would refuse, without placing (test-order endpoints)."""
        matching.preview(self._core, self._core.account(account), request)

    @exact
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
        core, owner = self._core, self._core.account(account)
        order = matching.find(owner, core.market(instrument).instrument.id, order_id, client_id)
        matching.amend(core, owner, order, price, quantity)
        return replace(order)

    @exact
    def cancel(
        self, account: str, instrument: str, *, order_id: str | None = None, client_id: str | None = None
    ) -> Order:
        """Cancel one open order. Refused: UNKNOWN_ORDER, ORDER_NOT_OPEN."""
        core, owner = self._core, self._core.account(account)
        order = matching.find(owner, core.market(instrument).instrument.id, order_id, client_id)
        matching.cancel(core, owner, order)
        return replace(order)

    @exact
    def cancel_all(self, account: str, instrument: str | None = None) -> list[Order]:
        """Cancel every open order (of the instrument); the cancelled ones."""
        core, owner = self._core, self._core.account(account)
        orders = [o for o in owner.open.values() if instrument is None or o.instrument == instrument]
        for order in orders:
            matching.cancel(core, owner, order)
        return [replace(order) for order in orders]

    def cancel_after(
        self, account: str, instrument: str | None, seconds: float | None, tag: str | None = None
    ) -> None:
        """Arm the dead-man timer: cancel everything (of the instrument, with the tag) in ``seconds``. None disarms."""
        timers = self._core.account(account).dead_man
        timers.pop((instrument, tag), None)
        if seconds is not None:
            timers[instrument, tag] = self.now + seconds

    def order(
        self,
        account: str,
        *,
        order_id: str | None = None,
        client_id: str | None = None,
        instrument: str | None = None,
    ) -> Order | None:
        """Find an order in any state. By client id the newest one that carried it."""
        owner = self._core.account(account)
        found = owner.orders.get(order_id) if order_id else owner.by_client.get(client_id or "")
        if found is None or (instrument is not None and found.instrument != instrument):
            return None
        return replace(found)

    def open_orders(self, account: str, instrument: str | None = None) -> list[Order]:
        """In order of acceptance."""
        found = sorted(self._core.account(account).open.values(), key=lambda order: order.sequence)
        return [replace(order) for order in found if instrument is None or order.instrument == instrument]

    def orders(
        self,
        account: str,
        instrument: str | None = None,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[Order]:
        """Every order, in any state, accepted in that time; ascending."""
        return [
            replace(order)
            for order in self._core.account(account).orders.values()
            if (instrument is None or order.instrument == instrument)
            and _within(order.created_ms, start_ms, end_ms)
        ]

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
        return [
            one
            for one in self._core.account(account).fills
            if (instrument is None or one.instrument == instrument)
            and (order_id is None or one.order_id == order_id)
            and _within(one.time_ms, start_ms, end_ms)
        ]

    # -- everything at once ------------------------------------------------------------------------------------

    @exact
    def report(self) -> dict[str, Any]:
        """Everything about the accounts, for ``GET /truth``: decimals as strings, times ISO UTC."""
        core = self._core
        return {
            "time": iso(core.now_ms),
            "accounts": {name: account_report(core, one) for name, one in core.accounts.items()},
        }


def _within(time_ms: int, start_ms: int | None, end_ms: int | None) -> bool:
    return (start_ms is None or time_ms >= start_ms) and (end_ms is None or time_ms <= end_ms)
