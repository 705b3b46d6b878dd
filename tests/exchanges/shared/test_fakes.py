"""The fakes that are shipped for tests do what an exchange does, and what a script says."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundingarb.domain.order import FillKind, NewOrder, OrderSide, OrderState, TimeInForce
from fundingarb.errors import ExchangeUnavailable, OrderRefused, OutcomeUnknown
from fundingarb.ports import ExchangeAdapter
from fundingarb.testing import (
    FakeClock,
    FakeExchange,
    RecordingAccountSink,
    RecordingBookSink,
    RecordingRateSink,
    Script,
)
from fundingarb.testing.ledger import FakePosition

pytestmark = pytest.mark.anyio

SYMBOL = "BTC-USDT"


@pytest.fixture
def exchange() -> FakeExchange:
    fake = FakeExchange("alpha")
    fake.set_book(SYMBOL, "100.0", "100.2")
    return fake


def order(
    name: str,
    side: OrderSide = OrderSide.BUY,
    quantity: str = "1",
    price: str | None = "100.2",
    tif: TimeInForce = TimeInForce.GTC,
    *,
    reduce: bool = False,
) -> NewOrder:
    return NewOrder(name, SYMBOL, side, Decimal(quantity), Decimal(price) if price else None, tif, reduce)


def test_it_is_an_adapter(exchange: FakeExchange) -> None:
    assert isinstance(exchange, ExchangeAdapter)


async def test_orders_fill_rest_and_end(exchange: FakeExchange) -> None:
    taken = await exchange.place_order(order("a"))
    assert (taken.state, taken.filled, taken.average_price) == (
        OrderState.FILLED,
        Decimal(1),
        Decimal("100.2"),
    )
    resting = await exchange.place_order(order("b", price="99"))
    assert resting.state is OrderState.OPEN
    assert [o.client_id for o in await exchange.get_open_orders()] == ["b"]
    exchange.set_book(SYMBOL, "98.9", "99.0")
    found = await exchange.find_order(SYMBOL, "b")
    assert found is not None
    assert (found.state, found.average_price) == (OrderState.FILLED, Decimal(99))
    missed = await exchange.place_order(order("c", price="98", tif=TimeInForce.IOC))
    assert (missed.state, missed.filled) == (OrderState.CANCELLED, Decimal(0))
    assert await exchange.find_order(SYMBOL, "nobody") is None
    assert not await exchange.cancel_order(SYMBOL, "b")


async def test_the_three_outcomes(exchange: FakeExchange) -> None:
    exchange.script(Script.refuse("-2019"), Script.lost_reply(), Script.lost_request(), Script.arrives_late())
    with pytest.raises(OrderRefused) as refused:
        await exchange.place_order(order("a"))
    assert refused.value.code == "-2019"
    for name in ("b", "c", "d"):
        with pytest.raises(OutcomeUnknown):
            await exchange.place_order(order(name))
    known = {name: await exchange.find_order(SYMBOL, name) is not None for name in ("a", "b", "c", "d")}
    assert known == {"a": False, "b": True, "c": False, "d": False}
    exchange.deliver_late()
    assert await exchange.find_order(SYMBOL, "d") is not None


async def test_partial_fills_and_cancels(exchange: FakeExchange) -> None:
    exchange.script(Script.partial("0.4"), Script.partial("0.3"))
    resting = await exchange.place_order(order("a"))
    assert (resting.state, resting.filled) == (OrderState.OPEN, Decimal("0.4"))
    ioc = await exchange.place_order(order("b", tif=TimeInForce.IOC))
    assert (ioc.state, ioc.filled) == (OrderState.CANCELLED, Decimal("0.3"))
    assert await exchange.cancel_order(SYMBOL, "a")
    exchange.script(Script.lost_reply(), operation="cancel_order")
    with pytest.raises(OutcomeUnknown):
        await exchange.cancel_order(SYMBOL, "a")


async def test_reduce_only_and_post_only(exchange: FakeExchange) -> None:
    with pytest.raises(OrderRefused):
        await exchange.place_order(order("a", OrderSide.SELL, price=None, reduce=True))
    await exchange.place_order(order("b"))
    closed = await exchange.place_order(order("c", OrderSide.SELL, "5", None, TimeInForce.IOC, reduce=True))
    assert closed.filled == 1
    assert await exchange.get_positions() == []
    with pytest.raises(OrderRefused):
        await exchange.place_order(order("d", tif=TimeInForce.POST_ONLY))


async def test_calls_fail_as_told_and_are_remembered(exchange: FakeExchange) -> None:
    exchange.fail("get_positions", ExchangeUnavailable("down"), times=2)
    for _ in range(2):
        with pytest.raises(ExchangeUnavailable):
            await exchange.get_positions()
    assert await exchange.get_positions() == []
    assert [name for name, _ in exchange.calls] == ["get_positions"] * 3


async def test_the_wallet_is_what_the_ledger_says(exchange: FakeExchange) -> None:
    await exchange.place_order(order("a", quantity="2"))
    exchange.settle(SYMBOL, "0.0001", "100")
    exchange.set_book(SYMBOL, "101", "101.2")
    await exchange.place_order(order("b", OrderSide.SELL, "0.5", "101", TimeInForce.IOC, reduce=True))
    exchange.liquidate(SYMBOL, "90", "1")
    exchange.liquidate(SYMBOL, "80", kind=FillKind.ADL)
    fills = await exchange.get_fills(exchange.clock.now() - timedelta(days=1))
    payments = await exchange.get_funding_payments(exchange.clock.now() - timedelta(days=1))
    change = sum(f.realized_pnl - f.fee for f in fills) + sum(p.amount for p in payments)
    assert (await exchange.get_balance()).wallet == 100_000 + change
    assert payments[0].amount == Decimal("-0.02")
    assert [f.kind for f in fills] == [FillKind.TRADE, FillKind.TRADE, FillKind.LIQUIDATION, FillKind.ADL]
    assert await exchange.get_positions() == []


@given(st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 200)), min_size=1, max_size=30))
def test_positions_account_for_every_trade(trades: list[tuple[int, int]]) -> None:
    """Whatever is traded: cash flow of all trades = realised result - cost of what is still held."""
    position, realized, cash = FakePosition(), Decimal(0), Decimal(0)
    for quantity, price in trades:
        realized += position.trade(Decimal(quantity), Decimal(price))
        cash -= Decimal(quantity) * price
    assert position.quantity == sum(quantity for quantity, _ in trades)
    assert abs(realized - (cash + position.quantity * position.entry)) < Decimal("1e-15")


async def test_streams_deliver(exchange: FakeExchange) -> None:
    rates, books, account = RecordingRateSink(), RecordingBookSink(), RecordingAccountSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(exchange.stream_rates, [SYMBOL], rates)
        tasks.start_soon(exchange.stream_books, [SYMBOL], books)
        tasks.start_soon(exchange.stream_account, account)
        await anyio.wait_all_tasks_blocked()
        settlement = exchange.clock.now() + timedelta(minutes=22)
        exchange.set_rate(SYMBOL, "0.0003", next_settlement=settlement, mark="100.1")
        await exchange.place_order(order("a"))
        exchange.settle(SYMBOL, "0.0003", "100.1")
        tasks.cancel_scope.cancel()
    rate = rates.book.get("alpha", SYMBOL)
    assert rate is not None
    assert (rate.rate, rate.next_settlement, rate.mark) == (Decimal("0.0003"), settlement, Decimal("100.1"))
    assert rates.flushes[-1] == "alpha"
    assert books.latest[SYMBOL].bid == 100
    assert [o.state for o in account.orders] == [OrderState.FILLED]
    assert [f.client_id for f in account.fills] == ["a"]
    assert account.payments == ["alpha"]


async def test_the_clock_wakes_sleepers_in_order() -> None:
    clock = FakeClock(speed=60)
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with anyio.create_task_group() as tasks:
        for seconds in (30, 10, 20):
            tasks.start_soon(sleeper, seconds)
        await anyio.wait_all_tasks_blocked()
        assert clock.next_wake == clock.now() + timedelta(seconds=10)
        clock.advance(20)
        await anyio.wait_all_tasks_blocked()
        assert woken == [10, 20]
        clock.advance(timedelta(seconds=60))
    assert woken == [10, 20, 30]
    assert clock.monotonic() == pytest.approx(80 / 60)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
