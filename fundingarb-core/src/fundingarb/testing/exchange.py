"""An exchange in memory that satisfies ``ExchangeAdapter`` and does as it is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import anyio

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    FeeTier,
    Fill,
    FillKind,
    NewOrder,
    OrderReport,
    OrderSide,
    OrderState,
    TimeInForce,
)
from fundingarb.errors import ExchangeError, OrderRefused, OutcomeUnknown, RefusalReason
from fundingarb.ports import (
    AccountModes,
    AccountSink,
    BookSink,
    Clock,
    KeyPermissions,
    RateLimit,
    RateSink,
)
from fundingarb.testing.clock import FakeClock
from fundingarb.testing.ledger import FakeLedger
from fundingarb.testing.values import EIGHT_HOURS, Script, book, instrument


class FakeExchange:
    """One account on one exchange in memory.

    Prices come from ``set_book``, rates from ``set_rate``; orders that cross the book fill at its best price in full,
    others rest until ``set_book`` crosses them, ``fill_order`` or ``cancel_order``. A quantity that the lot does not
    divide is refused, a reduction takes no more than there is. ``script`` decides the outcome of
    the next orders, ``fail`` makes the next calls of a method raise. ``calls`` has every call in order. ``timers``
    are the dead-man timers by symbol (monotonic seconds at which they end); ``run_timers`` acts on those that ended.
    A clock that ``clock_offset`` is set to shows in ``get_server_time``.
    """

    limits: Sequence[RateLimit] = ()
    dead_man = True
    shared_margin_mode = True

    def __init__(
        self,
        name: str = "alpha",
        account: str | None = None,
        *,
        clock: Clock | None = None,
        instruments: Sequence[Instrument] | None = None,
        wallet: str | Decimal = "100000",
        fees: FeeTier | None = None,
    ) -> None:
        self.name = name
        self.account = account or name
        self.clock: Clock = clock or FakeClock()
        self.instruments = {i.symbol: i for i in instruments or (instrument(name),)}
        self.fees = fees or FeeTier(Decimal("0.0002"), Decimal("0.0005"))
        self.ledger = FakeLedger(name, self.account, Decimal(wallet), self.fees)
        self.books: dict[str, OrderBook] = {}
        self.rates: dict[str, FundingRate] = {}
        self.history: dict[str, list[SettledRate]] = {}
        self.leverage: dict[str, int] = {}
        self.margin_mode = "cross"
        self.position_mode = "one-way"
        self.order_expiry: timedelta | None = timedelta(seconds=4)
        self.clock_offset: timedelta | None = None
        self.timers: dict[str, float] = {}
        self.permissions = KeyPermissions(trade=True, withdraw=False, ip_restricted=True)
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self._tif: dict[str, TimeInForce] = {}
        self._scripts: dict[str, deque[Script]] = {"place_order": deque(), "cancel_order": deque()}
        self._failures: dict[str, deque[Exception]] = {}
        self._late: list[NewOrder] = []
        self._rate_sinks: list[tuple[RateSink, frozenset[str]]] = []
        self._book_sinks: list[tuple[BookSink, frozenset[str]]] = []
        self._account_sinks: list[AccountSink] = []

    # what a test does
    def script(self, *outcomes: Script, operation: str = "place_order") -> None:
        """Decide the outcomes of the next ``place_order`` (or ``cancel_order``) calls, in order."""
        self._scripts[operation].extend(outcomes)

    def fail(self, operation: str, error: Exception, times: int = 1) -> None:
        """Make the next ``times`` calls of ``operation`` raise ``error``."""
        self._failures.setdefault(operation, deque()).extend([error] * times)

    def set_book(
        self, symbol: str, bid: str | Decimal, ask: str | Decimal, size: str | Decimal = "100"
    ) -> None:
        """New best prices; resting orders that they cross fill at their own price."""
        new = book(self.name, symbol, bid, ask, self.clock.now(), size)
        self.books[symbol] = new
        for sink, symbols in list(self._book_sinks):
            if symbol in symbols:
                sink.update(new)
        for client_id, order in list(self.ledger.orders.items()):
            if order.state is OrderState.OPEN and order.symbol == symbol and order.price is not None:
                touch = new.ask if order.side is OrderSide.BUY else new.bid
                if touch is not None and order.side.sign * (order.price - touch) >= 0:
                    self.fill_order(client_id)

    def set_rate(
        self,
        symbol: str,
        rate: str | Decimal,
        *,
        next_settlement: datetime,
        interval: timedelta = EIGHT_HOURS,
        mark: str | Decimal | None = None,
        index: str | Decimal | None = None,
    ) -> None:
        """Announce a funding rate, to readers and to rate streams."""
        value = FundingRate(
            instrument=self.instruments[symbol],
            rate=Decimal(rate),
            interval=interval,
            next_settlement=next_settlement,
            at=self.clock.now(),
            mark=None if mark is None else Decimal(mark),
            index=None if index is None else Decimal(index),
        )
        self.rates[symbol] = value
        for sink, symbols in list(self._rate_sinks):
            if symbol in symbols:
                self._announce(sink, value)
                sink.flush(self.name)

    def fill_order(
        self, client_id: str, quantity: str | Decimal | None = None, price: str | Decimal | None = None
    ) -> Fill:
        """Fill an open order, wholly or in part, at its own price unless ``price`` is given."""
        order = self.ledger.orders[client_id]
        amount = order.quantity - order.filled if quantity is None else Decimal(quantity)
        at_price = Decimal(price) if price is not None else order.price
        if at_price is None:
            raise ValueError(f"{client_id} is a market order; give a price")
        report, fill = self.ledger.execute(client_id, amount, at_price, self.clock.now(), maker=price is None)
        self._tell(report, fill)
        return fill

    def deliver_late(self) -> None:
        """The orders that were under way for so long arrive now."""
        while self._late:
            order = self._late.pop(0)
            self._accept(order, Script())

    def run_timers(self) -> None:
        """Cancel the open orders of every symbol whose dead-man timer has ended."""
        for symbol, at in list(self.timers.items()):
            if at <= self.clock.monotonic():
                del self.timers[symbol]
                for client_id, order in list(self.ledger.orders.items()):
                    if order.state is OrderState.OPEN and order.symbol == symbol:
                        self._tell(self._end(client_id))

    def settle(self, symbol: str, rate: str | Decimal, mark: str | Decimal) -> FundingPayment | None:
        """Charge one funding settlement now."""
        payment = self.ledger.settle(symbol, Decimal(rate), Decimal(mark), self.clock.now())
        if payment is not None:
            for sink in list(self._account_sinks):
                sink.funding(self.account)
        return payment

    def liquidate(
        self,
        symbol: str,
        price: str | Decimal,
        quantity: str | Decimal | None = None,
        kind: FillKind = FillKind.LIQUIDATION,
    ) -> Fill:
        """The exchange takes ``quantity`` (everything) of the position at ``price``."""
        held = self.ledger.positions[symbol].quantity
        amount = abs(held) if quantity is None else Decimal(quantity)
        side = OrderSide.SELL if held > 0 else OrderSide.BUY
        fill = self.ledger.take(symbol, side, amount, Decimal(price), self.clock.now(), kind)
        for sink in list(self._account_sinks):
            sink.fill(fill)
            sink.position(self.account, symbol)
        return fill

    def _announce(self, sink: RateSink, rate: FundingRate) -> None:
        row = sink.book.add(rate.instrument)
        at = rate.at.timestamp()
        interval = rate.interval.total_seconds()
        sink.book.update(row, float(rate.rate), rate.next_settlement.timestamp(), at, interval)
        nan = float("nan")
        sink.book.update_price(row, float(rate.mark or nan), float(rate.index or nan))
        sink.book.frame(self.name, at)

    def _tell(self, report: OrderReport, fill: Fill | None = None) -> None:
        for sink in list(self._account_sinks):
            sink.order(report)
            if fill is not None:
                sink.fill(fill)

    async def _called(self, operation: str, *arguments: object) -> None:
        self.calls.append((operation, arguments))
        await anyio.lowlevel.checkpoint()
        waiting = self._failures.get(operation)
        if waiting:
            raise waiting.popleft()

    def _instrument(self, symbol: str) -> Instrument:
        try:
            return self.instruments[symbol]
        except KeyError:
            raise ExchangeError(
                f"{self.name} lists no USDT perpetual {symbol}", code="unknown-symbol"
            ) from None

    # what the engine does
    def cost(self, operation: str) -> Mapping[str, float]:
        return {}

    async def get_server_time(self) -> datetime:
        await self._called("get_server_time")
        return self.clock.now() + (self.clock_offset or timedelta(0))

    async def get_instruments(self) -> Sequence[Instrument]:
        await self._called("get_instruments")
        return list(self.instruments.values())

    async def get_funding_rate(self, symbol: str) -> FundingRate:
        await self._called("get_funding_rate", symbol)
        self._instrument(symbol)
        return self.rates[symbol]

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]:
        await self._called("get_funding_rates", tuple(symbols))
        return [self.rates[symbol] for symbol in symbols if symbol in self.rates]

    async def get_funding_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        await self._called("get_funding_history", symbol, since)
        return [row for row in self.history.get(symbol, ()) if row.settled_at >= since]

    async def get_orderbook(self, symbol: str, depth: int) -> OrderBook:
        await self._called("get_orderbook", symbol, depth)
        self._instrument(symbol)
        return replace(self.books[symbol], at=self.clock.now())

    async def stream_rates(self, symbols: Sequence[str], sink: RateSink) -> None:
        for symbol in symbols:
            sink.book.add(self._instrument(symbol))
        heard = (sink, frozenset(symbols))
        self._rate_sinks.append(heard)
        try:
            sink.connected(f"{self.name}.rates")
            for symbol, rate in self.rates.items():
                if symbol in symbols:
                    self._announce(sink, rate)
            sink.flush(self.name)
            await anyio.sleep_forever()
        finally:
            self._rate_sinks.remove(heard)

    async def stream_books(self, symbols: Sequence[str], sink: BookSink) -> None:
        heard = (sink, frozenset(symbols))
        self._book_sinks.append(heard)
        try:
            sink.connected(f"{self.name}.books")
            for symbol, each in self.books.items():
                if symbol in symbols:
                    sink.update(each)
            await anyio.sleep_forever()
        finally:
            self._book_sinks.remove(heard)

    def heard(self, symbol: str) -> int:
        """How many streams of rates and books listen to ``symbol``."""
        return sum(symbol in symbols for _, symbols in (*self._rate_sinks, *self._book_sinks))

    async def place_order(self, order: NewOrder) -> OrderReport:
        script = await self._write("place_order", order)
        existing = self.ledger.orders.get(order.client_id)
        if existing is not None:
            return existing
        if script.late:
            self._late.append(order)
        report = self._accept(order, script) if script.accept else None
        await self._answer(script)
        if report is None:
            raise OutcomeUnknown(f"{self.name}: no answer")
        return report

    async def _write(self, operation: str, *arguments: object) -> Script:
        """The script of a write that arrives; not to be cancelled once it is on its way."""
        with anyio.CancelScope(shield=True):
            await self._called(operation, *arguments)
        queue = self._scripts[operation]
        script = queue.popleft() if queue else Script()
        if script.refusal is not None:
            raise OrderRefused(f"{self.name}: {script.refusal}", code=script.refusal)
        return script

    async def _answer(self, script: Script) -> None:
        if script.delay:
            with anyio.CancelScope(shield=True):
                await self.clock.sleep(script.delay)
        if not script.reply:
            raise OutcomeUnknown(f"{self.name}: no answer")

    def _accept(self, order: NewOrder, script: Script) -> OrderReport:
        listed = self.instruments.get(order.symbol)
        if listed is not None and order.quantity % listed.lot:
            raise OrderRefused(f"{self.name}: {order.quantity} is no multiple of {listed.lot}", code="lot")
        held = self.ledger.positions.get(order.symbol)
        if order.reduce_only:
            reducible = -order.side.sign * held.quantity if held is not None else Decimal(0)
            if reducible <= 0:
                raise OrderRefused(
                    f"{self.name}: reduce-only without a position",
                    code="reduce-only",
                    reason=RefusalReason.REDUCE_ONLY,
                )
            order = replace(order, quantity=min(order.quantity, reducible))
        self._tif[order.client_id] = order.time_in_force
        report = self.ledger.accept(order, self.clock.now())
        touch = self._touch(order)
        fillable = order.quantity if touch is not None else Decimal(0)
        if touch is not None and order.time_in_force is TimeInForce.POST_ONLY:
            del self.ledger.orders[order.client_id]
            raise OrderRefused(f"{self.name}: post-only would take", code="post-only")
        wanted = fillable if script.fill is None else script.fill
        price = touch or order.price
        fill: Fill | None = None
        if wanted > 0 and price is not None:
            report, fill = self.ledger.execute(order.client_id, wanted, price, self.clock.now(), maker=False)
        resting = order.time_in_force in (TimeInForce.GTC, TimeInForce.POST_ONLY) and order.price is not None
        if report.state is OrderState.OPEN and not resting:
            report = self._end(order.client_id)
        self._tell(report, fill)
        return report

    def _touch(self, order: NewOrder) -> Decimal | None:
        """The price at which ``order`` trades at once; None when it does not."""
        current = self.books.get(order.symbol)
        touch = None if current is None else (current.ask if order.side is OrderSide.BUY else current.bid)
        if touch is None or order.price is None:
            return touch
        return touch if order.side.sign * (order.price - touch) >= 0 else None

    def _end(self, client_id: str) -> OrderReport:
        report = replace(self.ledger.orders[client_id], state=OrderState.CANCELLED, at=self.clock.now())
        self.ledger.orders[client_id] = report
        return report

    async def cancel_order(self, symbol: str, client_id: str) -> bool:
        script = await self._write("cancel_order", symbol, client_id)
        order = self.ledger.orders.get(client_id)
        live = order is not None and order.state is OrderState.OPEN
        if live and script.accept:
            self._tell(self._end(client_id))
        await self._answer(script)
        return live

    async def cancel_foreign(self, order: OrderReport) -> bool:
        found = next(
            (
                name
                for name, known in self.ledger.orders.items()
                if known.exchange_order_id == order.exchange_order_id
            ),
            "",
        )
        return await self.cancel_order(order.symbol, found)

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        await self._called("find_order", symbol, client_id)
        return self.ledger.orders.get(client_id)

    async def get_open_orders(self) -> Sequence[OrderReport]:
        await self._called("get_open_orders")
        return [order for order in self.ledger.orders.values() if order.state is OrderState.OPEN]

    async def cancel_after(self, symbols: Collection[str], seconds: float | None) -> None:
        await self._called("cancel_after", tuple(symbols), seconds)
        for symbol in symbols:
            if seconds is None:
                self.timers.pop(symbol, None)
            else:
                self.timers[symbol] = self.clock.monotonic() + seconds

    def _marks(self) -> dict[str, Decimal]:
        return {symbol: mid for symbol, each in self.books.items() if (mid := each.mid) is not None}

    async def get_positions(self) -> Sequence[ExchangePosition]:
        await self._called("get_positions")
        return self.ledger.open_positions(self._marks())

    async def get_balance(self) -> Balance:
        await self._called("get_balance")
        unrealized = sum((p.unrealized_pnl for p in self.ledger.open_positions(self._marks())), Decimal(0))
        equity = self.ledger.wallet + unrealized
        return Balance(self.account, "USDT", self.ledger.wallet, equity, equity, Decimal(0))

    async def get_fills(self, since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        await self._called("get_fills", since, symbol)
        return [f for f in self.ledger.fills if f.at >= since and symbol in (None, f.symbol)]

    async def get_funding_payments(self, since: datetime) -> Sequence[FundingPayment]:
        await self._called("get_funding_payments", since)
        return [row for row in self.ledger.payments if row.at >= since]

    async def get_fee_tier(self, symbol: str) -> FeeTier:
        await self._called("get_fee_tier", symbol)
        return self.fees

    async def get_modes(self, symbol: str) -> AccountModes:
        await self._called("get_modes", symbol)
        leverage = self.leverage.get(symbol)
        return AccountModes(
            self.position_mode, self.margin_mode, None if leverage is None else Decimal(leverage)
        )

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        await self._called("set_leverage", symbol, leverage)
        self._instrument(symbol)
        self.leverage[symbol] = leverage

    async def set_margin_mode(self, symbol: str, mode: str) -> None:
        await self._called("set_margin_mode", symbol, mode)
        self.margin_mode = mode

    async def set_one_way_mode(self) -> None:
        await self._called("set_one_way_mode")
        self.position_mode = "one-way"

    async def get_key_permissions(self) -> KeyPermissions:
        await self._called("get_key_permissions")
        return self.permissions

    async def stream_account(self, sink: AccountSink) -> None:
        self._account_sinks.append(sink)
        try:
            sink.connected(f"{self.name}.account.{self.account}")
            await anyio.sleep_forever()
        finally:
            self._account_sinks.remove(sink)
