"""``ExchangeAdapter`` over a ``SimExchange``: what a production adapter does, without wire and parser."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TypeVar

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    FeeTier,
    Fill,
    NewOrder,
    OrderReport,
    TimeInForce,
)
from fundingarb.errors import ExchangeError, ExchangeUnavailable, OrderRefused, OutcomeUnknown, RateLimited
from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.truth import types as truth_types
from fundingarb.localnet.truth.types import LedgerKind, MarginMode, Reason, Refused
from fundingarb.ports import AccountModes, AccountSink, BookSink, KeyPermissions, RateLimit, RateSink
from fundingarb.simulation import convert, streams
from fundingarb.simulation.network import Answered, Lost, SimExchange

T = TypeVar("T")

LIMITED = (FailureKind.RATE_LIMITED, FailureKind.BANNED)
SKEW_AHEAD = 1.0
"""Seconds a request may be stamped in the exchange's future."""


def read_error(name: str, error: Lost | Answered | Refused) -> ExchangeError:
    """A read that failed, in the bot's words."""
    if isinstance(error, Refused):
        return ExchangeError(f"{name}: {error}", code=error.code or error.reason.name)
    if isinstance(error, Lost):
        return ExchangeUnavailable(f"{name}: {error}")
    failure: Failure = error.failure
    if failure.kind in LIMITED:
        return RateLimited(f"{name}: {error}", code=failure.code, retry_after=failure.retry_after)
    if failure.kind is FailureKind.REJECTED:
        return ExchangeError(f"{name}: {error}", code=failure.code)
    return ExchangeUnavailable(f"{name}: {error}", code=failure.code)


def write_error(name: str, error: Lost | Answered | Refused) -> OrderRefused | OutcomeUnknown:
    """A write that failed: refused only when that is certain."""
    if isinstance(error, Refused):
        return OrderRefused(f"{name}: {error}", code=error.code or error.reason.name)
    if isinstance(error, Answered) and error.failure.kind in (*LIMITED, FailureKind.REJECTED):
        refused = OrderRefused(f"{name}: {error}", code=error.failure.code)
        if error.failure.kind in LIMITED:
            refused.__cause__ = read_error(name, error)
        return refused
    return OutcomeUnknown(f"{name}: {error}")


@dataclass
class SimAdapter:
    """One account of a simulated exchange (or, with an empty name, public data only)."""

    venue: SimExchange
    account: str = ""
    clock_offset: timedelta | None = None
    limits: Sequence[RateLimit] = (RateLimit("ip", 2400, 60),)
    name: str = field(init=False)
    dead_man: bool = field(init=False)
    shared_margin_mode: bool = False

    def __post_init__(self) -> None:
        self.name = self.venue.name
        self.dead_man = self.venue.dead_man

    @property
    def order_expiry(self) -> timedelta | None:
        return self.venue.order_expiry

    def cost(self, operation: str) -> Mapping[str, float]:
        return {"ip": 1}

    async def _read(self, operation: str, look: Callable[[], T], symbol: str | None = None) -> T:
        try:
            return await self.venue.request(operation, look, account=self.account or None, symbol=symbol)
        except (Lost, Answered, Refused) as error:
            raise read_error(self.name, error) from error

    async def _write(self, operation: str, act: Callable[[], T], symbol: str, client_id: str) -> T:
        offset = self.clock_offset.total_seconds() if self.clock_offset is not None else 0.0
        behind = self.venue.faults.skew - offset

        def checked() -> T:
            if not -SKEW_AHEAD <= behind <= self.venue.window:
                raise Refused(Reason.INJECTED, "the time stamp is outside the window", code="CLOCK")
            return act()

        try:
            return await self.venue.request(
                operation, checked, account=self.account, symbol=symbol, client_id=client_id, windowed=True
            )
        except Refused as error:
            if error.code == "CLOCK":
                await self._measure()
            raise

    async def _measure(self) -> None:
        try:
            await self.get_server_time()
        except ExchangeError:
            return

    # public data
    async def get_server_time(self) -> datetime:
        asked = self.venue.clock.time()
        skew = timedelta(seconds=self.venue.faults.skew * self.venue.clock.speed)
        server = await self._read("time.read", lambda: self.venue.clock.now() + skew)
        middle = (asked + self.venue.clock.time()) / 2
        self.clock_offset = timedelta(seconds=(server.timestamp() - middle) / self.venue.clock.speed)
        return server

    async def get_instruments(self) -> Sequence[Instrument]:
        truth = self.venue.truth
        return await self._read(
            "instruments.read", lambda: [convert.instrument(truth, one) for one in truth.instruments.values()]
        )

    async def get_funding_rate(self, symbol: str) -> FundingRate:
        return await self._read("rates.read", partial(self._rate, symbol), symbol)

    def _rate(self, symbol: str) -> FundingRate:
        truth, native = self.venue.truth, self.venue.truth.instrument(symbol)
        view = truth.funding(native.id)
        return FundingRate(
            instrument=convert.instrument(truth, native),
            rate=view.rate,
            interval=timedelta(hours=view.interval_hours),
            next_settlement=convert.moment(view.next_ms),
            at=self.venue.clock.now(),
            mark=truth.mark(native.id) / native.multiplier,
            index=truth.index(native.id) / native.multiplier,
        )

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]:
        return await self._read("rates.read", lambda: [self._rate(symbol) for symbol in symbols])

    async def get_funding_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        native = self.venue.native(symbol)
        rows = await self._read(
            "funding.history",
            lambda: self.venue.truth.funding_history(native, round(since.timestamp() * 1000)),
            symbol,
        )
        return [
            SettledRate(
                self.name, symbol, row.rate, convert.moment(row.time_ms), timedelta(hours=row.interval_hours)
            )
            for row in rows
        ]

    async def get_orderbook(self, symbol: str, depth: int) -> OrderBook:
        native = self.venue.truth.instrument(symbol)
        view = await self._read("book.read", lambda: self.venue.truth.book(native.id, depth), symbol)
        return convert.book(self.name, native, view, self.venue.clock.now())

    async def stream_rates(self, symbols: Sequence[str], sink: RateSink) -> None:
        await streams.rates(self.venue, symbols, sink)

    async def stream_books(self, symbols: Sequence[str], sink: BookSink) -> None:
        await streams.books(self.venue, symbols, sink)

    async def stream_account(self, sink: AccountSink) -> None:
        await streams.account(self.venue, self.account, sink)

    # orders
    async def place_order(self, order: NewOrder) -> OrderReport:
        native = self.venue.truth.instrument(order.symbol)
        request = truth_types.OrderRequest(
            instrument=native.id,
            side=truth_types.Side(order.side.value),
            quantity=order.quantity / convert.units(native),
            type=truth_types.OrderType.MARKET if order.price is None else truth_types.OrderType.LIMIT,
            price=None if order.price is None else order.price * native.multiplier,
            time_in_force=truth_types.TimeInForce(
                TimeInForce.IOC.value if order.price is None else order.time_in_force.value
            ),
            reduce_only=order.reduce_only,
            client_id=order.client_id,
        )

        def act() -> OrderReport:
            if self.venue.block:
                self.venue.with_the_block(partial(self.venue.truth.place, self.account, request))
                return convert.taken_up(order, self.account, self.venue.clock.now())
            return convert.report(native, self.venue.truth.place(self.account, request))

        try:
            return await self._write("order.place", act, order.symbol, order.client_id)
        except (Lost, Answered, Refused) as error:
            if isinstance(error, Refused) and error.reason is Reason.DUPLICATE_CLIENT_ID:
                return await self._adopt(order)
            raise write_error(self.name, error) from error

    async def _adopt(self, order: NewOrder) -> OrderReport:
        """The order that already has our client order id: it is ours, sent before."""
        try:
            existing = await self.find_order(order.symbol, order.client_id)
        except ExchangeError as error:
            raise OutcomeUnknown(f"{self.name}: client order id in use; looking it up: {error}") from error
        if existing is None:
            raise OutcomeUnknown(f"{self.name}: client order id in use, but no such order is found")
        return existing

    async def cancel_order(self, symbol: str, client_id: str) -> bool:
        return await self._cancel(symbol, client_id, client_id=client_id)

    async def cancel_foreign(self, order: OrderReport) -> bool:
        name = order.client_id or ""
        return await self._cancel(order.symbol, name, order_id=order.exchange_order_id)

    async def _cancel(self, symbol: str, name: str, **which: str) -> bool:
        native = self.venue.native(symbol)

        def act() -> bool:
            cancel = partial(self.venue.truth.cancel, self.account, native, **which)
            if self.venue.block:
                self.venue.with_the_block(cancel)
            else:
                cancel()
            return True

        try:
            return await self._write("order.cancel", act, symbol, name)
        except (Lost, Answered, Refused) as error:
            if isinstance(error, Refused) and error.reason in (Reason.UNKNOWN_ORDER, Reason.ORDER_NOT_OPEN):
                return False
            raise write_error(self.name, error) from error

    def _visible(self, order: truth_types.Order) -> bool:
        """New orders take a moment to reach the side of the exchange that answers queries; a chain forgets some."""
        if self.venue.block and not order.status.open and not order.filled:
            return order.time_in_force is not truth_types.TimeInForce.IOC
        return (
            self.venue.truth.now_ms - order.created_ms >= self.venue.read_lag * 1000 * self.venue.clock.speed
        )

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        native = self.venue.truth.instrument(symbol)

        def look() -> OrderReport | None:
            found = self.venue.truth.order(self.account, client_id=client_id, instrument=native.id)
            return None if found is None or not self._visible(found) else convert.report(native, found)

        return await self._read("order.query", look, symbol)

    async def get_open_orders(self) -> Sequence[OrderReport]:
        truth = self.venue.truth
        return await self._read(
            "orders.open",
            lambda: [
                convert.report(truth.instruments[order.instrument], order)
                for order in truth.open_orders(self.account)
                if self._visible(order)
            ],
        )

    async def cancel_after(self, symbols: Collection[str], seconds: float | None) -> None:
        def act() -> None:
            for symbol in symbols:
                span = None if seconds is None else seconds * self.venue.clock.speed
                self.venue.truth.cancel_after(self.account, self.venue.native(symbol), span)

        await self._read("dead_man", act)

    # account
    async def get_positions(self) -> Sequence[ExchangePosition]:
        truth = self.venue.truth
        return await self._read(
            "positions.read",
            lambda: [
                convert.position(self.name, truth.instruments[held.instrument], held)
                for held in truth.positions(self.account)
            ],
        )

    async def get_balance(self) -> Balance:
        state = await self._read("balance.read", lambda: self.venue.truth.state(self.account))
        return Balance(
            self.account, state.asset, state.wallet, state.equity, state.available, state.maintenance_margin
        )

    async def get_fills(self, since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        truth = self.venue.truth
        native = None if symbol is None else self.venue.native(symbol)

        def look() -> list[Fill]:
            start = round(since.timestamp() * 1000)
            end = truth.now_ms - round(self.venue.ledger_lag * 1000 * self.venue.clock.speed)
            fills = [
                convert.fill(self.name, truth.instruments[one.instrument], one)
                for one in truth.fills(self.account, native, start_ms=start, end_ms=end)
            ]
            charges = truth.ledger(
                self.account,
                kinds=(LedgerKind.LIQUIDATION_FEE, LedgerKind.INSURANCE),
                instrument=native,
                start_ms=start,
                end_ms=end,
            )
            fills += [convert.charge(self.name, truth.instruments[row.instrument], row) for row in charges]
            return sorted(fills, key=lambda fill: fill.at)

        return await self._read("fills.read", look, symbol)

    async def get_funding_payments(self, since: datetime) -> Sequence[FundingPayment]:
        truth = self.venue.truth
        return await self._read(
            "funding.payments",
            lambda: [
                convert.payment(self.name, truth.instruments[row.instrument], row)
                for row in truth.funding_payments(self.account, start_ms=round(since.timestamp() * 1000))
            ],
        )

    async def get_fee_tier(self, symbol: str) -> FeeTier:
        fees = await self._read("fees.read", lambda: self.venue.truth.fees(self.account), symbol)
        return FeeTier(fees.maker, fees.taker)

    async def get_modes(self, symbol: str) -> AccountModes:
        truth, native = self.venue.truth, self.venue.native(symbol)
        return await self._read(
            "leverage.read",
            lambda: AccountModes(
                "hedge" if truth.hedge_mode(self.account) else "one-way",
                truth.margin_mode(self.account, native).value.lower(),
                truth.leverage(self.account, native),
            ),
            symbol,
        )

    async def _set(self, operation: str, act: Callable[[], None], symbol: str | None) -> None:
        def change() -> None:
            try:
                act()
            except Refused as refused:
                if refused.reason is not Reason.NOT_MODIFIED:
                    raise

        await self._read(operation, change, symbol)

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        native = self.venue.native(symbol)
        act = partial(self.venue.truth.set_leverage, self.account, native, Decimal(leverage))
        await self._set("leverage.set", act, symbol)

    async def set_margin_mode(self, symbol: str, mode: str) -> None:
        native = self.venue.native(symbol)
        act = partial(self.venue.truth.set_margin_mode, self.account, MarginMode(mode.upper()), native)
        await self._set("margin_mode.set", act, symbol)

    async def set_one_way_mode(self) -> None:
        await self._set(
            "position_mode.set", partial(self.venue.truth.set_hedge_mode, self.account, False), None
        )

    async def get_key_permissions(self) -> KeyPermissions:
        return await self._read("keys.read", lambda: KeyPermissions(True, False, True))
