"""Killed at a crash point of the failure model and started again, twice: hedged or flat, booked, nothing sent twice.

The process dies inside a commit, before it or after it, or inside a send: from that moment nothing of it reaches the
database or an exchange. ``tox -e crash`` does the same with real processes, at every step there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from tests.campaigns.failpoints import contents, order_name
from tests.domain.make import D
from tests.engine.rig import Floor, MemoryStore
from tests.engine.stage import HEDGE, floor

from fundingarb.domain.hedge import Mode
from fundingarb.domain.order import NewOrder, OrderReport, OrderState
from fundingarb.ports import Batch, Committed
from fundingarb.testing import FakeExchange, Script

pytestmark = pytest.mark.anyio


class Death:
    """``step``: where the process dies, such as "before commit of sh001 FILLED" or "sent le001"."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.died = anyio.Event()

    async def here(self, *steps: str) -> None:
        """Die when this is the step; the dead do nothing more."""
        if self.step in steps:
            self.died.set()
        if self.died.is_set():
            await anyio.sleep_forever()


class Mortal(MemoryStore):
    death: Death | None = None

    async def commit(self, batch: Batch) -> Committed:
        death, names = self.death, contents([batch])
        if death is not None:
            await death.here(*(f"before commit of {name}" for name in names))
        committed = await super().commit(batch)
        if death is not None:
            await death.here(*(f"after commit of {name}" for name in names))
        return committed


def dying_sends(exchange: FakeExchange, death: Death) -> Callable[[], None]:
    """Failpoints around the sends of ``exchange``; what is returned takes them off."""
    place = exchange.place_order

    async def place_order(order: NewOrder) -> OrderReport:
        name = order_name(order.client_id)
        await death.here(f"before send of {name}")
        report = await place(order)
        await death.here(f"sent {name}")
        return report

    exchange.place_order = place_order  # type: ignore[method-assign]

    def take_off() -> None:
        exchange.place_order = place  # type: ignore[method-assign]

    return take_off


async def market(made: Floor) -> None:
    """Resting orders are hit after a while."""
    while True:
        await anyio.sleep(0.3)
        for name, order in list(made.alpha.ledger.orders.items()):
            if order.state is OrderState.OPEN:
                made.alpha.fill_order(name)


async def close_once_held(made: Floor) -> None:
    await made.until(lambda: made.mode() is Mode.HOLDING and made.hedge.complete_fills)
    await made.bot.close_hedge(HEDGE)


async def killed(
    step: str, *, alpha: Sequence[Script] = (), beta: Sequence[Script] = (), close: bool = False
) -> Floor:
    """A floor on which the bot was killed at ``step`` of an entry (``close``: or of the exit that follows)."""
    made = floor()
    made.alpha.script(*alpha)
    made.store = Mortal()
    death = made.store.death = Death(step)
    made.beta.script(*beta)
    undo = [dying_sends(made.alpha, death), dying_sends(made.beta, death)]
    async with made.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(market, made)
        if close:
            tasks.start_soon(close_once_held, made)
        with anyio.fail_after(60):
            await death.died.wait()
        tasks.cancel_scope.cancel()
    made.store.death = None
    for each in undo:
        each()
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    return made


def sent(made: Floor) -> list[NewOrder]:
    return [*made.sent(made.alpha), *made.sent(made.beta)]


async def restarted(made: Floor, *then: Mode | None) -> None:
    """Started again: in the end it is as wanted, and in the books; a second restart sends nothing."""
    before: Any = None
    for _ in range(2):
        async with made.running(), anyio.create_task_group() as tasks:
            tasks.start_soon(market, made)
            await anyio.sleep(90)
            tasks.cancel_scope.cancel()
            alpha, beta = made.position
            assert alpha == -beta, made.story()
            assert made.mode() in then, made.story()
            if made.mode() is not None:
                hedge = made.hedge
                assert hedge.long.filled == alpha, made.story()
                assert hedge.short.filled == -beta, made.story()
                assert hedge.complete_fills
                assert not [o for o in hedge.orders if not o.state.terminal], made.story()
                assert hedge.live or alpha == 0
        names = [order.client_id for order in sent(made)]
        assert not [name for name, count in Counter(names).items() if count > 1], "sent twice"
        assert before in (None, names), "a second restart sent something"
        before = names


@pytest.mark.parametrize("step", ["before commit of intent OPENING", "before commit of le001 INTENDED"])
async def test_c1_before_the_first_row_nothing_was_sent_and_nothing_happens(step: str) -> None:
    made = await killed(step)
    assert sent(made) == []
    await restarted(made, None)
    assert sent(made) == []


@pytest.mark.parametrize(
    "step",
    ["after commit of le001 INTENDED", "before send of le001", "sent le001", "before commit of le001 OPEN"],
)
async def test_c2_to_c4_the_first_leg_is_asked_for_and_its_fills_are_hedged_or_unwound(step: str) -> None:
    made = await killed(step)
    arrived = bool(made.alpha.ledger.orders)
    await restarted(made, Mode.HOLDING if arrived else Mode.DONE)


@pytest.mark.parametrize(
    "step",
    ["before commit of le001 FILLED", "after commit of le001 FILLED", "before commit of sh001 INTENDED"],
)
async def test_c5_a_filled_first_leg_is_not_left_alone(step: str) -> None:
    made = await killed(step)
    assert made.position == (10, 0)
    await restarted(made, Mode.HOLDING, Mode.DONE)


@pytest.mark.parametrize(
    "step",
    [
        "after commit of sh001 INTENDED",
        "before send of sh001",
        "sent sh001",
        "before commit of sh001 FILLED",
        "after commit of sh001 FILLED",
    ],
)
async def test_c6_to_c8_a_second_leg_is_asked_for_before_anything_else_is_sent(step: str) -> None:
    made = await killed(step)
    arrived = bool(made.beta.ledger.orders)
    assert made.position == (10, -10 if arrived else 0)
    await restarted(made, Mode.HOLDING if arrived else Mode.DONE)
    taken = [order for order in made.beta.ledger.orders.values() if not order.reduce_only]
    assert len(taken) == arrived, "it is never sent again"


@pytest.mark.parametrize("step", ["sent sh001", "before commit of sh001 CANCELLED"])
async def test_c6_to_c8_a_second_leg_that_filled_in_part_is_made_even(step: str) -> None:
    made = await killed(step, beta=[Script(fill=D(4))])
    assert made.position == (10, -4)
    await restarted(made, Mode.HOLDING)


@pytest.mark.parametrize(
    "step",
    [
        "before commit of lc001 FILLED",
        "before commit of sc001 FILLED",
        "before commit of intent DONE",
    ],
)
async def test_c11_what_was_closed_and_not_recorded_is_read_from_the_ledgers(step: str) -> None:
    made = await killed(step, close=True)
    before = len(sent(made))
    closed = made.position == (0, 0)
    await restarted(made, Mode.DONE)
    assert not closed or len(sent(made)) == before, "nothing was left to send"
    assert not [order for order in sent(made)[before:] if not order.reduce_only]
    booked = made.store.booked.values()
    assert len(booked) == len(made.alpha.ledger.fills) + len(made.beta.ledger.fills)
    assert {owner for _, owner in booked} == {HEDGE}


@pytest.mark.parametrize(
    "step",
    ["before commit of lu001 INTENDED", "after commit of lu001 INTENDED", "before send of lu001", "sent lu001",
     "before commit of lu001 CANCELLED"],
)  # fmt: skip
async def test_c12_an_unwind_goes_on_with_what_is_left_and_never_beyond(step: str) -> None:
    """The second leg is refused; the first attempt to unwind fills 4 of 10."""
    unwind = [Script(), Script(fill=D(4))]
    made = await killed(step, alpha=unwind, beta=[Script.refuse("not-enough-margin")])
    await restarted(made, Mode.DONE)
    reduced = [order for order in made.sent(made.alpha) if order.reduce_only]
    assert reduced
    assert sum(fill.quantity for fill in made.alpha.ledger.fills[1:]) == 10, "no more than there was"


@pytest.mark.parametrize("read", ["get_positions", "get_open_orders", "get_fills", "find_order"])
async def test_c13_a_restart_that_is_killed_while_it_reads_the_accounts_reads_them_again(read: str) -> None:
    made = await killed("sent sh001")
    died, working = anyio.Event(), getattr(made.beta, read)

    async def die(*_: Any, **__: Any) -> None:
        died.set()
        await anyio.sleep_forever()

    async def start() -> None:
        async with made.running():
            await anyio.sleep_forever()

    setattr(made.beta, read, die)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        with anyio.fail_after(60):
            await died.wait()
        tasks.cancel_scope.cancel()
    setattr(made.beta, read, working)
    await restarted(made, Mode.HOLDING)
    assert len(made.beta.ledger.orders) == 1
