"""Every method of both adapters over real sockets, against exchanges written independently of them.

Prices stand still, so that figures are exact; everything runs at real time and sixty times faster.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.localnet.still import StillModel

from fundingarb.domain.hedge import client_order_id
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import (
    FillKind,
    NewOrder,
    OrderReport,
    OrderSide,
    OrderState,
    Purpose,
    TimeInForce,
)
from fundingarb.engine.clock import ScaledClock
from fundingarb.errors import (
    AuthenticationFailed,
    ExchangeError,
    ExchangeUnavailable,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    RefusalReason,
)
from fundingarb.localnet.faults import Fault, FaultKind
from fundingarb.localnet.installed import installed_dialects
from fundingarb.localnet.models.base import ModelSymbol, Prices
from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb.plugins import load_plugins
from fundingarb.ports import AccountCredentials, ExchangeAdapter, KeyPermissions, OpenContext, Secret
from fundingarb.testing import RecordingAccountSink, RecordingBookSink, RecordingRateSink

pytestmark = pytest.mark.anyio

EXCHANGES = ("binance", "bybit")
SYMBOL = "BTC-USDT"
SYMBOLS = [
    ModelSymbol("BTC-USDT", "BTC", "USDT", 1000.0, major=True),
    ModelSymbol("PEPE-USDT", "PEPE", "USDT", 0.001, multiplier=1000),
]
SETTLEMENT = datetime(2026, 3, 2, 8, tzinfo=timezone.utc).timestamp()
LONG_BEFORE = 4 * 3600.0
BUY, SELL = OrderSide.BUY, OrderSide.SELL
GTC, IOC, POST_ONLY = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.POST_ONLY


class Market(StillModel):
    """BTC stands at 1000, PEPE at a thousandth."""

    def prices(self, exchange: str, symbol: str, time: float) -> Prices:
        price = 1000.0 if symbol == SYMBOL else 0.001
        return Prices(price, price, price)


@dataclass
class Nets:
    """Localnets by speed, started when first asked for, with accounts nobody has used."""

    stack: AsyncExitStack
    running: dict[float, Localnet] = field(default_factory=dict)
    used: dict[tuple[float, str], Iterator[dict[str, Any]]] = field(default_factory=dict)

    async def get(self, speed: float) -> Localnet:
        if speed not in self.running:
            dialects = await self.stack.enter_async_context(installed_dialects(EXCHANGES))
            start = SETTLEMENT - LONG_BEFORE
            options = Options(speed=speed, start=start, accounts=60)
            model = Market(rate=0.0004, start=start, symbols=SYMBOLS)
            net = await self.stack.enter_async_context(run_localnets(dialects, options, model=model))
            self.running[speed] = net
            for name in EXCHANGES:
                self.used[speed, name] = iter(net.ready["exchanges"][name]["accounts"])
        return self.running[speed]


@pytest.fixture(scope="module")
async def nets() -> AsyncIterator[Nets]:
    async with AsyncExitStack() as stack:
        yield Nets(stack)


@dataclass
class Desk:
    """One adapter on a fresh account of a running localnet."""

    adapter: ExchangeAdapter
    net: Localnet
    account: str
    clock: ScaledClock
    started: datetime
    tick: Decimal = Decimal("0.1")
    _number: int = 0

    @property
    def truth(self) -> dict[str, Any]:
        """What the exchange itself knows of the account."""
        found: dict[str, Any] = self.net.control.truth(self.account)["accounts"][self.account]
        return found

    @property
    def venue(self) -> str:
        return self.adapter.name

    def name(self) -> str:
        self._number += 1
        return f"fatest{self.account.replace('-', '')}{self._number:03d}"

    def order(
        self,
        side: OrderSide,
        quantity: str,
        price: str | None = None,
        tif: TimeInForce = IOC,
        symbol: str = SYMBOL,
        *,
        reduce: bool = False,
    ) -> NewOrder:
        limit = None if price is None else Decimal(price)
        return NewOrder(self.name(), symbol, side, Decimal(quantity), limit, tif, reduce)

    async def done(self, order: NewOrder) -> OrderReport:
        """Place an order and wait until it is over."""
        await self.adapter.place_order(order)
        return await self.over(order)

    async def over(self, order: NewOrder) -> OrderReport:
        with anyio.fail_after(5):
            while True:
                report = await self.adapter.find_order(order.symbol, order.client_id)
                if report is not None and report.state.terminal:
                    return report
                await anyio.sleep(0.01)

    def fault(self, kind: FaultKind, **more: Any) -> None:
        """Let something go wrong for this account only (for this exchange, where accounts are not told apart)."""
        target = {"exchange": self.venue} if more.pop("everyone", False) else {"account": self.account}
        self.net.inject(Fault(kind, **{"count": 1, **target, **more}))

    def heal(self) -> None:
        self.net.control.clear(exchange=self.venue)


@asynccontextmanager
async def open_desk(nets: Nets, exchange: str, speed: float) -> AsyncIterator[Desk]:
    net = await nets.get(speed)
    keys = next(nets.used[speed, exchange])
    clock = ScaledClock(net.clock.epoch, net.clock.monotonic, net.clock.speed)
    component = load_plugins().exchanges[exchange].component
    credentials = {name: Secret(keys[name]) for name in ("api_key", "api_secret")}
    context = OpenContext(
        name=exchange,
        clock=clock,
        network="localnet",
        account=AccountCredentials(keys["name"], credentials),
        endpoints=net.ready["exchanges"][exchange]["endpoints"],
    )
    async with component.open(component.settings(), context) as adapter:
        desk = Desk(adapter, net, keys["name"], clock, clock.now())
        try:
            yield desk
        finally:
            desk.heal()
    assert net.problems == []


@pytest.fixture(params=EXCHANGES)
def exchange(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1.0, 60.0], ids=["real-time", "60x"])
def speed(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
async def desk(nets: Nets, exchange: str, speed: float) -> AsyncIterator[Desk]:
    async with open_desk(nets, exchange, speed) as opened:
        yield opened


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in another task's sink)
            await anyio.sleep(0.01)


async def test_public_data(desk: Desk) -> None:
    adapter = desk.adapter
    assert abs(await adapter.get_server_time() - desk.clock.now()) < timedelta(seconds=desk.clock.speed)
    listed = {each.symbol: each for each in await adapter.get_instruments()}
    assert set(listed) == {"BTC-USDT", "PEPE-USDT"}
    btc, pepe = listed["BTC-USDT"], listed["PEPE-USDT"]
    assert btc.multiplier == 1
    assert pepe.multiplier == 1000
    assert pepe.lot % 1000 == 0
    assert btc.funding_interval == timedelta(hours=8)
    rate = await adapter.get_funding_rate(SYMBOL)
    assert rate.rate == Decimal("0.0004")
    assert rate.next_settlement.timestamp() % (8 * 3600) == 0
    assert rate.next_settlement > desk.clock.now()
    assert rate.mark == 1000
    rates = await adapter.get_funding_rates(["PEPE-USDT", SYMBOL])
    assert {each.instrument.symbol: each.rate for each in rates} == {
        SYMBOL: rate.rate,
        "PEPE-USDT": rate.rate,
    }
    assert {each.mark for each in rates} == {1000, Decimal("0.001")}
    history = await adapter.get_funding_history(SYMBOL, desk.clock.now() - timedelta(days=3))
    assert [each.rate for each in history] == [rate.rate] * 9
    assert [each.settled_at for each in history] == sorted(each.settled_at for each in history)
    for depth in (1, 20):
        book = await adapter.get_orderbook("PEPE-USDT", depth)
        assert len(book.bids) <= depth
        assert list(book.bids) == sorted(book.bids, reverse=True)
        assert list(book.asks) == sorted(book.asks)
        assert book.mid == Decimal("0.001")


async def test_what_is_not_listed(desk: Desk) -> None:
    with pytest.raises(ExchangeError, match="NONE-USDT"):
        await desk.adapter.get_funding_rate("NONE-USDT")
    with pytest.raises(OrderRefused, match="not sent"):
        await desk.adapter.place_order(desk.order(BUY, "1", "1", symbol="NONE-USDT"))


async def test_a_resting_order_is_found_and_cancelled(desk: Desk) -> None:
    adapter = desk.adapter
    name = client_order_id("test", UUID(int=abs(hash(desk.account)) << 64), Side.LONG, Purpose.ENTRY, 7)
    order = NewOrder(name, SYMBOL, BUY, Decimal("0.5"), Decimal("960.1"), POST_ONLY, False)
    placed = await adapter.place_order(order)
    assert (placed.client_id, placed.state, placed.filled) == (name, OrderState.OPEN, Decimal(0))
    assert (await adapter.place_order(order)).exchange_order_id == placed.exchange_order_id
    (listed,) = await adapter.get_open_orders()
    found = await adapter.find_order(SYMBOL, name)
    assert found is not None
    for report in (listed, found):
        assert (report.client_id, report.price, report.quantity) == (name, Decimal("960.1"), Decimal("0.5"))
        assert (report.symbol, report.side, report.state) == (SYMBOL, BUY, OrderState.OPEN)
    assert len(desk.truth["orders"]) == 1
    assert await adapter.cancel_order(SYMBOL, name)
    assert not await adapter.cancel_order(SYMBOL, name)
    after = await adapter.find_order(SYMBOL, name)
    assert after is not None
    assert after.state is OrderState.CANCELLED
    assert await adapter.get_open_orders() == []
    assert await adapter.find_order(SYMBOL, "neverheardof") is None
    assert not await adapter.cancel_order(SYMBOL, "neverheardof")


async def test_an_order_of_somebody_else_is_cancelled_by_its_number(desk: Desk) -> None:
    """It may have no name at all, so the name is not used."""
    await desk.adapter.place_order(
        NewOrder("web-somebody", SYMBOL, BUY, Decimal("0.5"), Decimal("960.1"), POST_ONLY, False)
    )
    (listed,) = await desk.adapter.get_open_orders()
    nameless = replace(listed, client_id=None)
    assert await desk.adapter.cancel_foreign(nameless)
    assert await desk.adapter.get_open_orders() == []
    assert not await desk.adapter.cancel_foreign(nameless)


async def test_the_ledger_adds_up_to_the_wallet(desk: Desk) -> None:
    adapter = desk.adapter
    bought = await desk.done(desk.order(BUY, "0.5", "1010"))
    assert (bought.state, bought.filled) == (OrderState.FILLED, Decimal("0.5"))
    (held,) = await adapter.get_positions()
    assert (held.symbol, held.quantity, held.entry_price) == (SYMBOL, Decimal("0.5"), bought.average_price)
    assert held.mark == 1000
    sold = await desk.done(desk.order(SELL, "0.2", None, reduce=True))
    turned = await desk.done(desk.order(SELL, "0.4", "990"))
    (held,) = await adapter.get_positions()
    assert held.quantity == Decimal("-0.1")
    closed = await desk.done(desk.order(BUY, "9", None, reduce=True))
    assert closed.filled == Decimal("0.1")
    assert await adapter.get_positions() == []
    fills = await adapter.get_fills(desk.started)
    assert fills == await adapter.get_fills(desk.started, SYMBOL)
    assert await adapter.get_fills(desk.started, "PEPE-USDT") == []
    assert [fill.client_id for fill in fills] == [
        bought.client_id,
        sold.client_id,
        turned.client_id,
        closed.client_id,
    ]
    assert len({fill.trade_id for fill in fills}) == len(fills)
    balance, truth = await adapter.get_balance(), desk.truth
    assert balance.wallet == Decimal(truth["balance"])
    assert balance.wallet - Decimal(truth["starting_balance"]) == sum(f.realized_pnl - f.fee for f in fills)
    assert [f.price for f in fills] == [Decimal(row["price"]) for row in truth["fills"]]
    assert all(fill.fee > 0 for fill in fills)


async def test_contracts_of_a_thousand_are_traded_in_base_units(desk: Desk) -> None:
    instrument = next(i for i in await desk.adapter.get_instruments() if i.symbol == "PEPE-USDT")
    quantity = 10 * instrument.floor_quantity(Decimal(1_000_000))
    report = await desk.done(desk.order(BUY, str(quantity), "0.00101", symbol="PEPE-USDT"))
    assert report.filled == quantity
    assert report.average_price is not None
    assert abs(report.average_price - Decimal("0.001")) < Decimal("0.00001")
    (held,) = await desk.adapter.get_positions()
    assert (held.symbol, held.quantity) == ("PEPE-USDT", quantity)
    fills = await desk.adapter.get_fills(desk.started, "PEPE-USDT")
    assert sum(fill.quantity for fill in fills) == quantity
    assert sum(fill.quantity * fill.price for fill in fills) / quantity == report.average_price
    (row,) = desk.truth["positions"]
    assert Decimal(row["quantity"]) * 1000 == quantity


async def test_a_partial_fill_is_cumulative(desk: Desk) -> None:
    desk.fault(FaultKind.PARTIAL_FILL, operation="order.place", fraction=0.4)
    order = desk.order(BUY, "0.5", "1010")
    report = await desk.done(order)
    assert (report.state, report.filled, report.quantity) == (
        OrderState.CANCELLED,
        Decimal("0.2"),
        Decimal("0.5"),
    )
    assert sum(fill.quantity for fill in await desk.adapter.get_fills(desk.started)) == Decimal("0.2")


async def test_a_fill_waits_until_its_order_is_found(desk: Desk) -> None:
    """Binance's trade ledger does not name orders. A query that lags behind must not make the fill nobody's."""
    order = desk.order(BUY, "0.5", "1010")
    desk.fault(FaultKind.LOST_REPLY, operation="order.place")
    with pytest.raises(OutcomeUnknown):
        await desk.adapter.place_order(order)
    if desk.venue == "binance":
        desk.fault(FaultKind.REJECT, operation="order.query", code="-2013", message="Order does not exist.")
        with pytest.raises(ExchangeUnavailable, match="not found yet"):
            await desk.adapter.get_fills(desk.started)
    (fill,) = await desk.adapter.get_fills(desk.started)
    assert (fill.client_id, fill.quantity) == (order.client_id, Decimal("0.5"))


@pytest.mark.parametrize(
    ("side", "quantity", "price", "reduce"),
    [
        (SELL, "0.5", None, True),  # reduce-only without a position
        (BUY, "0.0001", "1000", False),  # below the lot
        (BUY, "0.001", "1000", False),  # below the minimum notional
        (BUY, "2500", "1000", False),  # more than the margin allows
    ],
)
async def test_refused_orders_do_not_exist(
    desk: Desk, side: OrderSide, quantity: str, price: str | None, reduce: bool
) -> None:
    order = desk.order(side, quantity, price, GTC, reduce=reduce)
    with pytest.raises(OrderRefused) as refused:
        await desk.adapter.place_order(order)
    assert refused.value.code
    assert await desk.adapter.find_order(SYMBOL, order.client_id) is None
    assert desk.truth["orders"] == []


async def test_a_post_only_order_never_takes(desk: Desk) -> None:
    """Binance refuses it, Bybit takes it in and cancels it."""
    order = desk.order(BUY, "0.5", "1010", POST_ONLY)
    if desk.venue == "binance":
        with pytest.raises(OrderRefused) as refused:
            await desk.adapter.place_order(order)
        assert refused.value.code == "-5022"
    else:
        report = await desk.done(order)
        assert (report.state, report.filled) == (OrderState.CANCELLED, Decimal(0))
        assert "PostOnly" in report.reason
    assert await desk.adapter.get_fills(desk.started) == []


async def test_a_lost_reply_leaves_an_order_that_is_found(desk: Desk) -> None:
    desk.fault(FaultKind.LOST_REPLY, operation="order.place")
    order = desk.order(BUY, "0.5", "1010")
    with pytest.raises(OutcomeUnknown):
        await desk.adapter.place_order(order)
    assert (await desk.over(order)).filled == Decimal("0.5")


async def test_a_lost_request_is_unknown_too(desk: Desk) -> None:
    desk.fault(FaultKind.LOST_REQUEST, operation="order.place")
    order = desk.order(BUY, "0.5", "1010")
    with pytest.raises(OutcomeUnknown):
        await desk.adapter.place_order(order)
    assert await desk.adapter.find_order(SYMBOL, order.client_id) is None


@pytest.mark.parametrize("kind", [FaultKind.HTTP_ERROR, FaultKind.UNKNOWN_ERROR, FaultKind.MAINTENANCE])
async def test_server_errors_are_unknown_for_orders(desk: Desk, kind: FaultKind) -> None:
    await desk.adapter.get_instruments()
    desk.fault(kind, operation="order.place")
    with pytest.raises(OutcomeUnknown):
        await desk.adapter.place_order(desk.order(BUY, "0.5", "1010"))


async def test_too_many_requests_refuse_orders_and_slow_reads(desk: Desk) -> None:
    await desk.adapter.get_instruments()
    desk.fault(FaultKind.RATE_LIMITED, operation="order.place")
    with pytest.raises(OrderRefused) as refused:
        await desk.adapter.place_order(desk.order(BUY, "0.5", "1010"))
    assert isinstance(refused.value.__cause__, RateLimited)
    desk.fault(FaultKind.RATE_LIMITED, operation="balance.read")
    desk.fault(FaultKind.RATE_LIMITED, operation="account.read")
    with pytest.raises(RateLimited):
        await desk.adapter.get_balance()


async def test_reads_that_fail_raise_and_are_never_empty(desk: Desk) -> None:
    await desk.adapter.get_instruments()
    adapter, since = desk.adapter, desk.started
    reads: list[tuple[str, Callable[[], Any]]] = [
        ("positions.read", adapter.get_positions),
        ("orders.open", adapter.get_open_orders),
        ("funding.history", lambda: adapter.get_funding_history(SYMBOL, since)),
        ("rates.read", lambda: adapter.get_funding_rates([SYMBOL])),
        ("book.read", lambda: adapter.get_orderbook(SYMBOL, 5)),
    ]
    for operation, read in reads:
        for kind in (FaultKind.HTTP_ERROR, FaultKind.LOST_REPLY):
            # a read is repeated once by the HTTP client when its connection drops
            desk.fault(
                kind, operation=operation, everyone=True, count=2 if kind is FaultKind.LOST_REPLY else 1
            )
            with pytest.raises(ExchangeUnavailable):
                await read()
            desk.heal()
        await read()


async def test_a_wrong_key_is_an_authentication_failure(nets: Nets, exchange: str) -> None:
    async with open_desk(nets, exchange, 1.0) as desk:
        good = desk.adapter.context  # type: ignore[attr-defined]
        wrong = AccountCredentials(
            "x", {"api_key": good.account.values["api_key"], "api_secret": Secret("wrong" * 8)}
        )
        context = OpenContext(exchange, desk.clock, "localnet", wrong, endpoints=good.endpoints)
        component = load_plugins().exchanges[exchange].component
        async with component.open(component.settings(), context) as adapter:
            with pytest.raises(AuthenticationFailed):
                await adapter.get_balance()
            with pytest.raises(OrderRefused) as refused:
                await adapter.place_order(desk.order(BUY, "0.5", "1010"))
            assert isinstance(refused.value.__cause__, AuthenticationFailed)


async def test_a_wrong_clock_is_measured_and_corrected(desk: Desk) -> None:
    await desk.adapter.get_server_time()
    desk.fault(FaultKind.CLOCK_SKEW, seconds=30.0, everyone=True, count=None)
    with pytest.raises(ExchangeUnavailable, match="clock"):
        await desk.adapter.get_balance()
    assert (await desk.adapter.get_balance()).wallet == 100_000
    desk.heal()
    with pytest.raises(ExchangeUnavailable, match="clock"):
        await desk.adapter.get_balance()
    assert (await desk.adapter.get_balance()).wallet == 100_000


CODES_OF_ORDERS = [
    ("binance", "-2022", OrderRefused, RefusalReason.REDUCE_ONLY),
    ("binance", "-4061", OrderRefused, RefusalReason.POSITION_MODE),
    ("binance", "-2019", OrderRefused, None),
    ("binance", "-1008", OrderRefused, None),
    ("binance", "-1007", OutcomeUnknown, None),
    ("binance", "-4242", OutcomeUnknown, None),
    ("bybit", "110017", OrderRefused, RefusalReason.REDUCE_ONLY),
    ("bybit", "110007", OrderRefused, None),
    ("bybit", "10016", OutcomeUnknown, None),
    ("bybit", "110001", OutcomeUnknown, None),
]


@pytest.mark.parametrize(("exchange", "code", "kind", "reason"), CODES_OF_ORDERS)
async def test_what_a_code_says_of_an_order(
    nets: Nets, exchange: str, code: str, kind: type[ExchangeError], reason: RefusalReason | None
) -> None:
    async with open_desk(nets, exchange, 60.0) as desk:
        desk.fault(FaultKind.REJECT, operation="order.place", code=code)
        with pytest.raises(ExchangeError) as failed:
            await desk.adapter.place_order(desk.order(BUY, "0.5", "1010"))
    assert (type(failed.value), failed.value.code) == (kind, code)
    assert getattr(failed.value, "reason", None) is reason


async def test_the_offset_of_the_exchanges_clock_is_known_in_real_time(desk: Desk) -> None:
    unmeasured = desk.adapter.clock_offset
    assert unmeasured is None
    for skew in (0.7, -1.5):
        desk.fault(FaultKind.CLOCK_SKEW, seconds=skew, everyone=True, count=None)
        await desk.adapter.get_server_time()
        measured = desk.adapter.clock_offset
        desk.heal()
        assert measured is not None
        assert abs(measured.total_seconds() - skew) < 0.2


async def test_what_adds_exposure_is_stamped_with_the_exchanges_time(nets: Nets, exchange: str) -> None:
    """An exchange that answers too slowly to tell its time gets reductions only."""
    async with open_desk(nets, exchange, 1.0) as desk:
        await desk.adapter.get_instruments()
        desk.fault(FaultKind.LATENCY, operation="time.read", seconds=2.2, everyone=True, count=1)
        reduction = desk.order(SELL, "0.5", "990", reduce=True)
        with pytest.raises(OrderRefused, match="HTTP"):
            await desk.adapter.place_order(reduction)  # sent, and refused: there is nothing to reduce
        with pytest.raises(OrderRefused, match="too slowly"):
            await desk.adapter.place_order(desk.order(BUY, "0.5", "960", GTC))
        unmeasured = desk.adapter.clock_offset
        assert unmeasured is None
        order = desk.order(BUY, "0.5", "960", GTC)
        await desk.adapter.place_order(order)
        assert desk.adapter.clock_offset is not None
        assert await desk.adapter.cancel_order(SYMBOL, order.client_id)


async def test_an_order_that_is_too_long_on_its_way_is_not_taken(nets: Nets, exchange: str) -> None:
    """``order_expiry`` is what the engine may rely on: nothing that was sent is taken later than that."""
    async with open_desk(nets, exchange, 60.0) as desk:
        expiry = desk.adapter.order_expiry
        assert expiry is not None
        assert expiry <= timedelta(seconds=4), "3 s receive window and a second for the clocks"
        for seconds, expected in ((3.2, []), (2.0, ["LIMIT"])):
            desk.fault(FaultKind.LATE_ACCEPT, operation="order.place", seconds=seconds * desk.clock.speed)
            order = desk.order(BUY, "0.5", "960", GTC)
            with pytest.raises(OutcomeUnknown):
                await desk.adapter.place_order(order)
            assert desk.truth["orders"] == [], "not there yet"
            await anyio.sleep(seconds + 0.3)
            assert [each["type"] for each in desk.truth["orders"]] == expected
        assert await desk.adapter.cancel_order(SYMBOL, order.client_id)


async def test_positions_carry_what_margin_health_needs(desk: Desk) -> None:
    await desk.done(desk.order(BUY, "20", "1010"))
    (held,) = await desk.adapter.get_positions()
    (truth,) = desk.truth["positions"]
    assert held.liquidation_price is None or held.mark is None or held.liquidation_price < held.mark
    assert held.maintenance_margin is not None
    assert 0 < held.maintenance_margin < held.quantity * 1000 / 10
    assert held.adl_rank in range(1, 6)
    assert Decimal(truth["quantity"]) == held.quantity


async def test_modes_and_settings(desk: Desk) -> None:
    adapter = desk.adapter
    for leverage in (7, 7, 3):
        await adapter.set_leverage(SYMBOL, leverage)
    await adapter.set_margin_mode(SYMBOL, "cross")
    await adapter.set_one_way_mode()
    modes = await adapter.get_modes(SYMBOL)
    assert (modes.position_mode, modes.margin_mode, modes.leverage) == ("one-way", "cross", Decimal(3))
    await adapter.set_margin_mode(SYMBOL, "isolated")
    await adapter.set_margin_mode(SYMBOL, "isolated")
    assert (await adapter.get_modes(SYMBOL)).margin_mode == "isolated"
    fees = await adapter.get_fee_tier(SYMBOL)
    assert Decimal(0) < fees.maker < fees.taker < Decimal("0.001")
    assert await adapter.get_key_permissions() == KeyPermissions(
        trade=True, withdraw=False, ip_restricted=True, transfer=False
    )


async def test_what_a_key_may_do_is_read_from_the_exchange(desk: Desk) -> None:
    extra = desk.net.truth(desk.venue).credentials(desk.account).extra
    extra |= {"wallet_permissions": "AccountTransfer,Withdraw", "ip_restricted": "false"}
    assert await desk.adapter.get_key_permissions() == KeyPermissions(True, True, False, True)
    extra["read_only"] = "true"
    assert (await desk.adapter.get_key_permissions()).trade is False
    with pytest.raises(OrderRefused) as refused:
        await desk.adapter.place_order(desk.order(BUY, "0.5", "1010"))
    assert isinstance(refused.value.__cause__, AuthenticationFailed)


async def test_costs_are_counted_against_documented_limits(desk: Desk) -> None:
    scopes = {limit.scope for limit in desk.adapter.limits}
    for operation in (
        name for name in dir(ExchangeAdapter) if name.startswith(("get_", "place", "cancel", "find", "set_"))
    ):
        assert set(desk.adapter.cost(operation)) <= scopes
    assert desk.adapter.cost("place_order")["orders"] == 1


async def test_rates_are_streamed(desk: Desk) -> None:
    sink = RecordingRateSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.adapter.stream_rates, ["BTC-USDT", "PEPE-USDT"], sink)
        await eventually(lambda: all(sink.book.get(desk.venue, s) for s in ("BTC-USDT", "PEPE-USDT")))
        rate = sink.book.get(desk.venue, "PEPE-USDT")
        assert rate is not None
        assert (rate.rate, rate.mark) == (Decimal("0.0004"), Decimal("0.001"))
        desk.net.control.funding({"symbol": "BTC-USDT", "exchange": desk.venue, "rate": "-0.0011"})
        await eventually(lambda: sink.book.rate[0] == -0.0011)
        desk.net.control.funding({"symbol": "BTC-USDT", "exchange": desk.venue, "clear": True})
        tasks.cancel_scope.cancel()
    assert sink.ups == [f"{desk.venue}.rates"]
    assert sink.bad == []
    assert set(sink.flushes) == {desk.venue}


async def test_a_changed_interval_is_noticed(nets: Nets, exchange: str) -> None:
    async with open_desk(nets, exchange, 60.0) as desk:
        sink = RecordingRateSink()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.adapter.stream_rates, ["BTC-USDT", "PEPE-USDT"], sink)
            await eventually(lambda: sink.book.get(exchange, "PEPE-USDT") is not None)
            desk.fault(FaultKind.FUNDING_INTERVAL, symbol="PEPE-USDT", hours=1, everyone=True)
            await eventually(lambda: sink.intervals == [(exchange, "PEPE-USDT", 1.0)])
            rate = sink.book.get(exchange, "PEPE-USDT")
            assert rate is not None
            assert rate.interval == timedelta(hours=1)
            tasks.cancel_scope.cancel()
        (btc, pepe) = await desk.adapter.get_funding_rates(["BTC-USDT", "PEPE-USDT"])
        assert {btc.interval, pepe.interval} == {timedelta(hours=8), timedelta(hours=1)}
        desk.fault(FaultKind.FUNDING_INTERVAL, symbol="PEPE-USDT", hours=8, everyone=True)


async def test_books_are_streamed(desk: Desk) -> None:
    sink = RecordingBookSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.adapter.stream_books, ["BTC-USDT", "PEPE-USDT"], sink)
        await eventually(lambda: set(sink.latest) == {"BTC-USDT", "PEPE-USDT"})
        await eventually(
            lambda: sink.latest["BTC-USDT"].mid == 1000 and sink.latest["PEPE-USDT"].mid == Decimal("0.001")
        )
        levels = [["999.5", "3"]], [["1000.5", "4"], ["1001", "5"]]
        desk.net.control.market(
            {"symbol": "BTC-USDT", "exchange": desk.venue, "bids": levels[0], "asks": levels[1]}
        )
        wanted = ((Decimal("1000.5"), Decimal(4)), (Decimal(1001), Decimal(5)))
        await eventually(lambda: sink.latest["BTC-USDT"].asks == wanted)
        assert sink.latest["BTC-USDT"].bids == ((Decimal("999.5"), Decimal(3)),)
        desk.net.control.market({"symbol": "BTC-USDT", "exchange": desk.venue, "clear": True})
        tasks.cancel_scope.cancel()
    assert sink.bad == []


async def test_quiet_books_stay_fresh(nets: Nets, exchange: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book that does not change is not pushed; the stream asks now and then whether it is still there."""
    monkeypatch.setattr(f"fundingarb_{exchange}.feeds.PING_SECONDS", 0.2)
    async with open_desk(nets, exchange, 1.0) as desk:
        sink = RecordingBookSink()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.adapter.stream_books, ["PEPE-USDT"], sink)
            await eventually(lambda: bool(sink.books))
            first = sink.books[-1]
            await eventually(lambda: sink.books[-1].at > first.at + timedelta(seconds=0.5))
            tasks.cancel_scope.cancel()
    assert sink.bad == []


async def test_account_events_are_streamed(desk: Desk) -> None:
    sink = RecordingAccountSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.adapter.stream_account, sink)
        await eventually(lambda: bool(sink.ups))
        order = desk.order(BUY, "0.5", "1010")
        await desk.adapter.place_order(order)
        await eventually(lambda: bool(sink.fills) and any(o.state is OrderState.FILLED for o in sink.orders))
        await desk.done(desk.order(SELL, "0.2", None, reduce=True))
        await eventually(lambda: len(sink.fills) == 2)
        tasks.cancel_scope.cancel()
    booked = await desk.adapter.get_fills(desk.started)
    keys = ("trade_id", "client_id", "side", "quantity", "price", "fee", "realized_pnl", "exchange_order_id")
    for streamed, row in zip(sink.fills, booked, strict=True):
        assert {key: getattr(streamed, key) for key in keys} == {key: getattr(row, key) for key in keys}
    assert sink.bad == []


@pytest.mark.parametrize(
    ("kind", "expected"), [(FaultKind.LIQUIDATION, FillKind.LIQUIDATION), (FaultKind.ADL, FillKind.ADL)]
)
async def test_what_the_exchange_closes_by_itself(desk: Desk, kind: FaultKind, expected: FillKind) -> None:
    sink = RecordingAccountSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.adapter.stream_account, sink)
        await eventually(lambda: bool(sink.ups))
        await desk.done(desk.order(BUY, "0.5", "1010"))
        desk.fault(kind, symbol=SYMBOL, fraction=1.0)
        await eventually(lambda: ((desk.account, SYMBOL) in sink.positions) and len(sink.fills) == 2)
        tasks.cancel_scope.cancel()
    fills = await desk.adapter.get_fills(desk.started)
    assert [fill.kind for fill in fills if fill.quantity] == [FillKind.TRADE, expected]
    assert all(fill.kind is expected and fill.fee > 0 for fill in fills if not fill.quantity)
    change = Decimal(desk.truth["balance"]) - Decimal(desk.truth["starting_balance"])
    assert sum(fill.realized_pnl - fill.fee for fill in fills) == change, (
        "what it cost beyond the trade is booked too"
    )
    assert [fill.kind for fill in sink.fills] == [FillKind.TRADE, expected]
    assert await desk.adapter.get_positions() == []


async def test_streams_survive_what_goes_wrong(nets: Nets, exchange: str) -> None:
    """Malformed, lost and repeated frames, and dropped connections; afterwards everything is as it should be."""
    async with open_desk(nets, exchange, 60.0) as desk:
        rates, books, account = RecordingRateSink(), RecordingBookSink(), RecordingAccountSink()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.adapter.stream_rates, [SYMBOL], rates)
            tasks.start_soon(desk.adapter.stream_books, [SYMBOL], books)
            tasks.start_soon(desk.adapter.stream_account, account)
            await eventually(lambda: bool(rates.flushes and books.books and account.ups))
            market = {"symbol": SYMBOL, "exchange": exchange}

            async def shows(ask: str) -> None:
                """Keep moving the book until the stream shows this best ask."""
                with anyio.fail_after(5):
                    for size in range(1, 1000):
                        desk.net.control.market(
                            {**market, "bids": [["999", str(size)]], "asks": [[ask, "2"]]}
                        )
                        await anyio.sleep(0.05)
                        if books.books[-1].ask == Decimal(ask):
                            return

            for number, kind in enumerate(
                (
                    FaultKind.FRAME_MALFORMED,
                    FaultKind.FRAME_DUPLICATE,
                    FaultKind.FRAME_LOST,
                    FaultKind.FRAME_REORDER,
                )
            ):
                desk.fault(kind, everyone=True, count=6)
                await shows(f"{1001 + number}.5")
            assert rates.bad or books.bad
            desk.heal()
            desk.fault(FaultKind.STREAM_DISCONNECT, everyone=True, count=2)
            await eventually(lambda: len(rates.downs) + len(books.downs) >= 2)
            await eventually(lambda: len(rates.ups) + len(books.ups) >= 4)
            desk.heal()
            await shows("1009.5")
            desk.net.control.market({**market, "clear": True})
            connections = len(account.ups)
            desk.fault(FaultKind.STREAM_DISCONNECT, count=1)
            await desk.done(desk.order(BUY, "0.5", "1010"))
            await eventually(lambda: len(account.ups) > connections)
            before = len(account.fills)
            await desk.done(desk.order(SELL, "0.5", None, reduce=True))
            await eventually(lambda: len(account.fills) > before)
            tasks.cancel_scope.cancel()
        assert rates.book.rate[0] == 0.0004


async def test_an_expired_listen_key_is_replaced(nets: Nets) -> None:
    """Binance closes a user stream whose key is gone; the next connection asks for another key."""
    async with open_desk(nets, "binance", 1.0) as desk:
        sink = RecordingAccountSink()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.adapter.stream_account, sink)
            await eventually(lambda: len(sink.ups) == 1)
            await desk.adapter.polling.write("fapiPrivateDeleteListenKey")  # type: ignore[attr-defined]
            await eventually(lambda: len(sink.ups) == 2)
            await desk.done(desk.order(BUY, "0.5", "1010"))
            await eventually(lambda: bool(sink.fills))
            tasks.cancel_scope.cancel()
    assert len(sink.downs) == 1


@pytest.fixture
async def settling(exchange: str, speed: float) -> AsyncIterator[Desk]:
    """A localnet of its own whose next settlement is two real seconds away."""
    async with AsyncExitStack() as stack:
        nets = Nets(stack)
        dialects = await stack.enter_async_context(installed_dialects([exchange]))
        start = SETTLEMENT - 2.0 * speed
        model = Market(rate=0.0004, start=start, symbols=SYMBOLS)
        net = await stack.enter_async_context(
            run_localnets(dialects, Options(speed=speed, start=start), model=model)
        )
        nets.running[speed] = net
        nets.used[speed, exchange] = iter(net.ready["exchanges"][exchange]["accounts"])
        yield await stack.enter_async_context(open_desk(nets, exchange, speed))


async def test_funding_is_booked_as_the_ledger_has_it(settling: Desk) -> None:
    desk, sink = settling, RecordingAccountSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.adapter.stream_account, sink)
        await desk.done(desk.order(BUY, "0.5", "1010"))
        await desk.done(desk.order(SELL, "1000000", "0.00099", symbol="PEPE-USDT"))
        await eventually(lambda: bool(sink.payments), 10)
        tasks.cancel_scope.cancel()
    await eventually(lambda: len(desk.truth["funding"]) == 2)
    rows = {row.symbol: row for row in await desk.adapter.get_funding_payments(desk.started)}
    truth = desk.truth
    assert {symbol: row.amount for symbol, row in rows.items()} == {
        payment["symbol"]: Decimal(payment["amount"]) for payment in truth["funding"]
    }
    assert rows[SYMBOL].amount < 0 < rows["PEPE-USDT"].amount  # longs pay a positive rate, shorts receive it
    for row in rows.values():
        assert row.settlement.timestamp() == SETTLEMENT
        assert row.currency == "USDT"
    fills = await desk.adapter.get_fills(desk.started)
    booked = sum(f.realized_pnl - f.fee for f in fills) + sum(row.amount for row in rows.values())
    assert (await desk.adapter.get_balance()).wallet == Decimal(truth["starting_balance"]) + booked


async def test_over_tls_with_the_localnets_own_authority(exchange: str) -> None:
    async with AsyncExitStack() as stack:
        dialects = await stack.enter_async_context(installed_dialects([exchange]))
        model = Market(start=SETTLEMENT - 100, symbols=SYMBOLS)
        options = Options(start=SETTLEMENT - 100, tls=True)
        net = await stack.enter_async_context(run_localnets(dialects, options, model=model))
        clock = ScaledClock(net.clock.epoch, net.clock.monotonic, net.clock.speed)
        component = load_plugins().exchanges[exchange].component
        endpoints = net.ready["exchanges"][exchange]["endpoints"]
        trusting = OpenContext(
            exchange,
            clock,
            "localnet",
            endpoints=endpoints,
            ssl=ssl.create_default_context(cafile=net.ready["ca"]),
        )
        async with component.open(component.settings(), trusting) as adapter:
            assert await adapter.get_instruments()
            sink = RecordingBookSink()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(adapter.stream_books, [SYMBOL], sink)
                await eventually(lambda: bool(sink.books))
                tasks.cancel_scope.cancel()
        distrusting = OpenContext(exchange, clock, "localnet", endpoints=endpoints)
        async with component.open(component.settings(), distrusting) as adapter:
            with pytest.raises(ExchangeUnavailable):
                await adapter.get_instruments()


async def test_an_adapter_without_an_account_reads_public_data_only(nets: Nets, exchange: str) -> None:
    net = await nets.get(1.0)
    clock = ScaledClock(net.clock.epoch, net.clock.monotonic, net.clock.speed)
    context = OpenContext(
        exchange, clock, "localnet", endpoints=net.ready["exchanges"][exchange]["endpoints"]
    )
    component = load_plugins().exchanges[exchange].component
    async with component.open(component.settings(), context) as adapter:
        assert await adapter.get_instruments()
        with pytest.raises(AuthenticationFailed):
            await adapter.get_balance()


async def test_closing_is_not_cut_short_by_cancellation(nets: Nets, exchange: str) -> None:
    async with anyio.create_task_group() as tasks, open_desk(nets, exchange, 1.0) as desk:
        await desk.adapter.get_instruments()
        adapter = desk.adapter
        tasks.cancel_scope.cancel()
    assert adapter.session.closed  # type: ignore[attr-defined]
