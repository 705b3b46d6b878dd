"""The exchange's own timer: armed while an entry rests, renewed, taken off, and never in the way."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from tests.domain.make import hedge

from fundingarb.domain.instrument import Side
from fundingarb.domain.order import NewOrder, OrderState, Purpose, TimeInForce, order_side
from fundingarb.engine.account import Account
from fundingarb.engine.deadman import LONGEST_PAUSE, LOOK, RENEWAL, TIMER, DeadMan
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeError
from fundingarb.simulation.virtual import LoopClock
from fundingarb.testing import FakeExchange

pytestmark = pytest.mark.anyio


class Desk:
    """A dead man's switch over one account, and the hedge whose entry rests there or does not."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.exchange = FakeExchange("alpha", clock=self.clock)
        self.state = BotState(accounts={"alpha": Account("alpha", self.exchange)})
        gate = RequestGate("alpha", (), self.clock)
        self.switch = DeadMan(self.state.accounts["alpha"], self.state, gate, self.clock)

    def entry(self, **details: Any) -> None:
        """The hedge now has this one order."""
        self.order((Side.LONG, Purpose.ENTRY, "10", details))

    def order(self, row: tuple[Side, Purpose, str, dict[str, Any]]) -> None:
        made = hedge(row)
        self.state.hedges[made.id] = made

    @property
    def asked(self) -> list[float | None]:
        return [arguments[1] for name, arguments in self.exchange.calls if name == "cancel_after"]  # type: ignore[misc]


@pytest.fixture
async def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.INTENDED, OrderState.UNKNOWN])
async def test_armed_while_an_entry_may_rest_and_renewed(desk: Desk, state: OrderState) -> None:
    desk.entry(state=state)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.switch.run)
        await anyio.sleep(0.1)
        assert desk.asked == [TIMER]
        await anyio.sleep(3 * RENEWAL + 2 * LOOK)
        assert desk.asked == [TIMER] * 4
        desk.entry(state=OrderState.FILLED)
        await anyio.sleep(2 * LOOK)
        assert desk.asked[4:] == [None], "nothing rests: taken off, once"
        await anyio.sleep(2 * RENEWAL)
        assert len(desk.asked) == 5
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "row",
    [
        (Side.LONG, Purpose.ENTRY, "10", {"state": OrderState.CANCELLED}),
        (Side.LONG, Purpose.UNWIND, "10", {}),
        (Side.SHORT, Purpose.HEDGE, "10", {}),  # immediate-or-cancel, and on the other account
    ],
)
async def test_nothing_is_armed_for_what_does_not_rest(
    desk: Desk, row: tuple[Side, Purpose, str, dict[str, Any]]
) -> None:
    desk.order(row)
    await desk.switch.look()
    assert desk.asked == []


async def test_a_failure_is_said_once_and_tried_again_ever_later(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    desk.entry()
    desk.exchange.fail("cancel_after", ExchangeError("not offered to this account"), times=100)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.switch.run)
        await anyio.sleep(600)
        tasks.cancel_scope.cancel()
    assert 10 <= len(desk.asked) <= 600 / LONGEST_PAUSE + 10
    assert [record.getMessage() for record in caplog.records] == [
        "alpha: the exchange's own timer is not set: not offered to this account"
    ]


async def test_after_a_failure_it_is_armed_again(desk: Desk) -> None:
    desk.entry()
    desk.exchange.fail("cancel_after", ExchangeError("busy"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.switch.run)
        await anyio.sleep(5)
        tasks.cancel_scope.cancel()
    assert desk.asked == [TIMER, TIMER]
    assert desk.exchange.timers


async def test_a_calm_end_takes_it_off_and_a_crash_leaves_it(desk: Desk) -> None:
    for state, left in ((OrderState.CANCELLED, False), (OrderState.OPEN, True)):
        desk.entry()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.switch.run)
            await anyio.sleep(0.1)
            desk.entry(state=state)
            tasks.cancel_scope.cancel()
        assert bool(desk.exchange.timers) is left


async def test_silence_ends_in_a_cancel(desk: Desk) -> None:
    exchange = desk.exchange
    exchange.set_book("BTC-USDT", "99.9", "100.1")
    desk.entry()
    (record,) = next(iter(desk.state.hedges.values())).orders
    assert record.price is not None
    side = order_side(Side.LONG, reduce=False)
    order = NewOrder(
        record.client_id, "BTC-USDT", side, record.quantity, record.price - 5, TimeInForce.GTC, False
    )
    await exchange.place_order(order)
    await desk.switch.look()
    for seconds, state in ((TIMER - 1, OrderState.OPEN), (2.0, OrderState.CANCELLED)):
        await anyio.sleep(seconds)
        exchange.run_timers()
        assert exchange.ledger.orders[record.client_id].state is state
