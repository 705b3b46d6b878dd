"""Reading accounts: what halts entries, and that every ledger row is booked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest
from tests.domain.make import D
from tests.engine.rig import HEDGE_ID, MemoryStore, exchange, hedge_on

from fundingarb.domain.events import Alert, FillBooked, PaymentBooked, Severity
from fundingarb.domain.hedge import Mode, next_order
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Fill, FillKind, NewOrder, OrderSide, OrderState, Purpose, TimeInForce
from fundingarb.engine.account import Account
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.bus import Bus, Subscription
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.preflight import prepare
from fundingarb.engine.state import BotState
from fundingarb.errors import AuthenticationFailed, ExchangeError, ExchangeUnavailable, StoreError
from fundingarb.simulation.virtual import START, LoopClock

pytestmark = pytest.mark.anyio


class Desk:
    """A reader of one account that holds a hedge's long leg."""

    def __init__(self, *, mode: Mode = Mode.HOLDING) -> None:
        self.clock = LoopClock()
        self.alpha = exchange("alpha", self.clock)
        self.store = MemoryStore()
        self.bus = Bus()
        self.state = BotState()
        self.account = Account("alpha", self.alpha)
        self.state.accounts["alpha"] = self.account
        self.state.adopt([hedge_on(self.clock, mode=mode)])
        self.gate = RequestGate("alpha", (), self.clock)
        self.woken = 0
        self.reader = AccountReader(
            self.account, self.state, self.gate, self.store, self.bus, self.clock, self.wake, self.clock.now()
        )

    def wake(self) -> None:
        self.woken += 1

    async def look(self) -> None:
        """What is held was read just before."""

    async def buy(self, quantity: str = "10", name: str | None = None) -> str:
        """An order of the hedge that fills at once; known to the registry unless it has a name of its own."""
        if name is None:
            record = next_order(
                self.state.hedges[HEDGE_ID],
                Side.LONG,
                Purpose.ENTRY,
                Decimal(quantity),
                None,
                TimeInForce.IOC,
                None,
                self.clock.now(),
            )
            self.state.put_order(record)
            name = record.client_id
        order = NewOrder(name, "BTC-USDT", OrderSide.BUY, D(quantity), None, TimeInForce.IOC, False)
        self.state.observe(await self.alpha.place_order(order), self.clock.now())
        return name


def alerts(subscription: Subscription) -> list[Alert]:
    return [event for event in subscription._events if isinstance(event, Alert)]


def halts(desk: Desk) -> str | None:
    """Why entries are off."""
    return desk.account.halted


async def test_entries_come_on_when_everything_matches() -> None:
    desk = Desk()
    assert halts(desk) == "not read yet"
    await desk.buy()
    with desk.bus.subscribe() as events:
        assert await desk.reader.comparison.reconcile() == []
    assert halts(desk) is None
    assert alerts(events) == []
    assert desk.woken == 1


async def test_a_difference_halts_and_its_end_is_told() -> None:
    desk = Desk()
    await desk.buy()
    await desk.buy("3", "web_17")
    with desk.bus.subscribe() as events:
        (difference,) = await desk.reader.comparison.reconcile()
        assert (difference.local, difference.exchange) == ("10", "13")
        assert halts(desk) == "alpha BTC-USDT: position is 10 here, 13 on the exchange"
        await desk.reader.comparison.reconcile()
        assert [alert.severity for alert in alerts(events)] == [Severity.CRITICAL]  # told once
        desk.alpha.liquidate("BTC-USDT", "100", "3", FillKind.TRADE)  # the person sells them again
        await desk.reader.comparison.reconcile()
        assert halts(desk) is None
        assert alerts(events)[-1].title == "Account alpha matches again"


async def test_a_difference_that_the_ledger_explains_is_none() -> None:
    """The position changed and its fill had not been read: the second look finds both."""
    desk = Desk()
    await desk.buy()
    desk.alpha.liquidate("BTC-USDT", "90", "4", FillKind.ADL)
    with desk.bus.subscribe() as events:
        assert await desk.reader.comparison.reconcile() == []
        assert alerts(events) == []
    assert desk.state.hedges[HEDGE_ID].long.filled == 6


async def test_nothing_is_compared_while_an_order_is_in_doubt() -> None:
    desk = Desk()
    await desk.buy()
    await desk.reader.comparison.reconcile()
    await desk.buy("3", "web_17")
    record = next_order(
        desk.state.hedges[HEDGE_ID], Side.LONG, Purpose.UNWIND, D(1), None, TimeInForce.IOC, None, START
    )
    desk.state.put_order(record)
    assert await desk.reader.comparison.reconcile() == []
    assert halts(desk) is None


async def test_an_order_given_up_as_lost_that_is_open_is_taken_back() -> None:
    desk = Desk(mode=Mode.DONE)
    record = next_order(
        desk.state.hedges[HEDGE_ID], Side.LONG, Purpose.ENTRY, D(5), D(90), TimeInForce.GTC, None, START
    )
    desk.state.put_order(replace(record, state=OrderState.REFUSED))
    await desk.alpha.place_order(
        NewOrder(record.client_id, "BTC-USDT", OrderSide.BUY, D(5), D(90), TimeInForce.GTC, False)
    )
    await desk.reader.comparison.reconcile()
    (known,) = desk.state.hedges[HEDGE_ID].orders
    assert known.state is OrderState.OPEN
    assert desk.woken >= 1


async def test_a_failed_read_is_not_flat() -> None:
    desk = Desk()
    await desk.buy()
    await desk.reader.comparison.reconcile()
    desk.alpha.fail("get_positions", ExchangeUnavailable("no answer"))
    with pytest.raises(ExchangeUnavailable):
        await desk.reader.comparison.reconcile()
    assert halts(desk) is None


async def test_a_refused_key_halts_until_it_is_let_in_again() -> None:
    desk = Desk()
    await desk.buy()
    await desk.reader.comparison.reconcile()
    desk.alpha.fail("get_balance", AuthenticationFailed("key expired"))
    with desk.bus.subscribe() as events:
        with pytest.raises(AuthenticationFailed):
            await desk.reader.read_balance()
        assert halts(desk) == "key expired"
        assert alerts(events)[0].title == "Account alpha is not let in"
        await desk.reader.comparison.reconcile()
        assert halts(desk) is None


async def test_fills_are_booked_once_however_often_they_are_read() -> None:
    desk = Desk()
    await desk.buy("4")
    await desk.buy("6")
    with desk.bus.subscribe() as events:
        for _ in range(3):
            await desk.reader.collect_fills()
        assert sum(isinstance(event, FillBooked) for event in events._events) == 2
    hedge = desk.state.hedges[HEDGE_ID]
    assert [order.booked for order in hedge.orders] == [4, 6]
    assert hedge.complete_fills
    # a fill may be posted late: ten minutes are read again
    assert desk.account.fills_since == START - timedelta(minutes=10)


async def test_a_fill_that_was_nobodys_is_adopted_once_its_order_is_known() -> None:
    """The ledger gives numbers only, and the order's answer was lost: it was booked before we knew whose it was."""
    desk = Desk()
    name = await desk.buy("4")
    record = desk.state.hedges[HEDGE_ID].orders[0]
    number = record.exchange_order_id
    unknown = replace(record, state=OrderState.UNKNOWN, filled=D(0), exchange_order_id="")
    desk.state.hedges[HEDGE_ID] = replace(desk.state.hedges[HEDGE_ID], orders=())
    desk.state._owner.clear()
    desk.state._named.clear()
    desk.state.put_order(unknown)
    original = desk.alpha.get_fills

    async def numbers_only(*args: Any) -> Any:
        return [replace(fill, client_id=None) for fill in await original(*args)]

    desk.alpha.get_fills = numbers_only  # type: ignore[method-assign,assignment]
    await desk.reader.collect_fills()
    assert desk.state.hedges[HEDGE_ID].orders[0].booked == 0
    found = await desk.alpha.find_order("BTC-USDT", name)
    assert found is not None
    assert found.exchange_order_id == number
    desk.state.observe(found, desk.clock.now())
    await desk.reader.collect_fills()
    assert desk.state.hedges[HEDGE_ID].orders[0].booked == 4


async def test_a_booking_that_could_not_be_committed_is_tried_again() -> None:
    desk = Desk()
    await desk.buy()
    desk.store.failing = "disk full"
    with pytest.raises(StoreError):
        await desk.reader.collect_fills()
    assert not desk.state.hedges[HEDGE_ID].complete_fills
    desk.store.failing = None
    await desk.reader.collect_fills()
    assert desk.state.hedges[HEDGE_ID].complete_fills


async def test_payments_are_booked_once_and_to_their_hedge() -> None:
    desk = Desk()
    await desk.buy()
    await anyio.sleep(22 * 60)
    desk.alpha.settle("BTC-USDT", "0.0001", "100")
    with desk.bus.subscribe() as events:
        for _ in range(3):
            await desk.reader.collect_payments()
        (booked,) = [event for event in events._events if isinstance(event, PaymentBooked)]
    assert booked.hedge_id == HEDGE_ID
    assert booked.payment.amount == D("-0.1")
    assert booked.payment.settlement == START + timedelta(minutes=22)


async def test_the_reader_reads_what_is_wanted_and_everything_from_time_to_time() -> None:
    desk = Desk()
    await desk.buy()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.reader.run)
        await anyio.sleep(1)
        assert halts(desk) is None
        assert desk.account.balance is not None
        calls = len(desk.alpha.calls)
        await anyio.sleep(25)
        quiet = len(desk.alpha.calls) - calls
        assert quiet < 20
        desk.alpha.settle("BTC-USDT", "0.0001", "100")
        desk.reader.want(payments=True)
        await anyio.sleep(0.2)
        assert len(desk.store.paid) == 1
        tasks.cancel_scope.cancel()


def lagging(desk: Desk, seconds: float) -> None:
    """Fills are in the ledger so long after they happened."""
    original = desk.alpha.get_fills

    async def later(since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        end = desk.clock.now() - timedelta(seconds=seconds)
        return [fill for fill in await original(since, symbol) if fill.at <= end]

    desk.alpha.get_fills = later  # type: ignore[method-assign]


@pytest.mark.parametrize("lag", [1, 5])
async def test_what_the_ledger_lags_with_is_looked_for_until_it_is_there(lag: int) -> None:
    desk = Desk()
    lagging(desk, lag)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.reader.run)
        await anyio.sleep(3)
        await desk.buy()
        desk.reader.want_fills("BTC-USDT", desk.clock.now())
        await anyio.sleep(lag + 2.2)
        assert desk.state.hedges[HEDGE_ID].complete_fills
        reads = sum(name == "get_fills" for name, _ in desk.alpha.calls)
        assert reads < 15
        await anyio.sleep(20)
        assert sum(name == "get_fills" for name, _ in desk.alpha.calls) < reads + 4, "and no longer"
        tasks.cancel_scope.cancel()


async def test_what_was_given_up_and_is_in_the_ledger_was_taken() -> None:
    desk = Desk()
    for quantity, filled, state in (("10", "10", OrderState.FILLED), ("6", "4", OrderState.CANCELLED)):
        name = await desk.buy(quantity)
        record = desk.state.hedges[HEDGE_ID].order(name)
        assert record is not None
        desk.state.put_order(
            replace(record, state=OrderState.REFUSED, filled=D(0), reason="the exchange knows no such order")
        )
        desk.alpha.ledger.fills[-1] = replace(desk.alpha.ledger.fills[-1], quantity=D(filled))
        await desk.reader.collect_fills()
        found = desk.state.hedges[HEDGE_ID].order(name)
        assert found is not None
        assert (found.state, found.filled, found.reason) == (state, D(filled), "found in the ledger")


async def test_what_was_given_up_and_was_taken_counts_while_the_database_stores_nothing() -> None:
    desk = Desk()
    name = await desk.buy("6")
    record = desk.state.hedges[HEDGE_ID].order(name)
    assert record is not None
    desk.state.put_order(replace(record, state=OrderState.REFUSED, filled=D(0)))
    assert desk.state.hedges[HEDGE_ID].long.filled == 0
    desk.store.failing = "the disk is full"
    for _ in range(2):
        with pytest.raises(StoreError):
            await desk.reader.collect_fills()
        found = desk.state.hedges[HEDGE_ID].order(name)
        assert found is not None
        assert (found.state, found.filled, found.booked) == (OrderState.FILLED, D(6), D(0))
    assert desk.woken == 1
    desk.store.failing = None
    await desk.reader.collect_fills()
    found = desk.state.hedges[HEDGE_ID].order(name)
    assert found is not None
    assert (found.filled, found.booked) == (D(6), D(6))


async def test_a_fill_is_looked_for_from_before_its_order_was_made() -> None:
    """Two clocks: the exchange's may be behind ours."""
    desk = Desk()
    await desk.reader.collect_fills()
    await anyio.sleep(3600)
    await desk.buy()
    desk.account.fills_since = desk.clock.now()
    made = desk.clock.now()
    desk.alpha.ledger.fills[-1] = replace(desk.alpha.ledger.fills[-1], at=made - timedelta(seconds=0.9))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.reader.run)
        desk.reader.want_fills("BTC-USDT", made)
        await anyio.sleep(1)
        assert desk.state.hedges[HEDGE_ID].complete_fills
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("kind", [FillKind.ADL, FillKind.TRADE])
async def test_what_a_stream_told_of_is_looked_for_in_the_ledger(kind: FillKind) -> None:
    """Somebody bought at the same time, so the position does not tell. What the exchange took makes a leg smaller:
    until the ledger says by how much, no more of it is sold than has to be."""
    desk = Desk()
    lagging(desk, 5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.reader.run)
        await desk.buy()
        await anyio.sleep(9)
        assert desk.state.hedges[HEDGE_ID].complete_fills
        desk.reader.hear(desk.alpha.liquidate("BTC-USDT", "120", "4", kind))
        desk.alpha.ledger.positions["BTC-USDT"] = replace(
            desk.alpha.ledger.positions["BTC-USDT"], quantity=D(10)
        )
        await anyio.sleep(4)
        unread = desk.account.unread_for(desk.clock.monotonic())
        assert unread == (pytest.approx(4, abs=0.1) if kind is FillKind.ADL else None)
        await anyio.sleep(4)
        assert desk.account.unread_for(desk.clock.monotonic()) is None
        assert len(desk.store.booked) == 2
        tasks.cancel_scope.cancel()


async def test_a_balance_from_before_a_hedge_took_its_margin_is_no_balance() -> None:
    desk = Desk()
    await desk.reader.read_balance()
    assert desk.account.free_balance is desk.account.balance
    desk.account.moves += 1
    assert desk.account.free_balance is None
    original = desk.alpha.get_balance

    async def slow() -> Any:
        answer = await original()
        desk.account.moves += 1  # another hedge, while the answer is on its way
        return answer

    desk.alpha.get_balance = slow  # type: ignore[method-assign]
    await desk.reader.read_balance()
    assert desk.account.free_balance is None
    desk.alpha.get_balance = original  # type: ignore[method-assign]
    await desk.reader.read_balance()
    assert desk.account.free_balance is not None


# setting an account up


async def test_prepare_sets_what_differs_and_looks_again() -> None:
    desk = Desk()
    desk.alpha.position_mode, desk.alpha.margin_mode = "hedge", "isolated"
    await prepare(desk.account, "BTC-USDT", 3, "cross", desk.gate, 7.0, desk.look)
    names = [name for name, _ in desk.alpha.calls]
    assert names == ["get_modes", "set_one_way_mode", "set_margin_mode", "set_leverage", "get_modes"]
    assert desk.account.prepared == {"BTC-USDT": 7.0}
    assert desk.account.leverage == {"BTC-USDT": 3}
    desk.alpha.calls.clear()
    await prepare(desk.account, "BTC-USDT", 3, "cross", desk.gate, 7.0, desk.look)
    assert [name for name, _ in desk.alpha.calls] == ["get_modes"]


async def test_an_account_that_stays_in_hedge_mode_is_refused() -> None:
    desk = Desk()
    desk.alpha.position_mode = "hedge"

    async def nothing() -> None:
        return

    desk.alpha.set_one_way_mode = nothing  # type: ignore[method-assign]
    with pytest.raises(ExchangeError, match=r"position mode hedge.*wanted one-way"):
        await prepare(desk.account, "BTC-USDT", 3, "cross", desk.gate, 7.0, desk.look)
    assert desk.account.prepared == {}
