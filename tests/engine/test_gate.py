"""The request gate: who goes first, budgets, the breaker, and what an exchange's request for silence does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.abc
import pytest

from fundingarb.engine.gate import SHARE, Breaker, GateClosed, Priority, RequestGate
from fundingarb.errors import (
    AuthenticationFailed,
    BadMessage,
    ExchangeError,
    ExchangeUnavailable,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
)
from fundingarb.ports import RateLimit
from fundingarb.simulation.virtual import LoopClock

pytestmark = pytest.mark.anyio
T = TypeVar("T")
REDUCE, CANCEL, OPEN, READ = Priority.REDUCE, Priority.CANCEL, Priority.OPEN, Priority.READ
MINUTE = RateLimit("weight", 100, 60)


class Exchange:
    """Notes when each request arrives; answers with what it is told."""

    def __init__(self, *limits: RateLimit) -> None:
        self.clock = LoopClock()
        self.breaks: list[bool] = []
        self.gate = RequestGate("alpha", limits, self.clock, self.breaks.append)
        self.arrived: list[tuple[float, str]] = []
        self.closed: list[str] = []

    def answer(
        self, name: str, error: Exception | None = None, takes: float = 0.0
    ) -> Callable[[], Awaitable[str]]:
        async def request() -> str:
            self.arrived.append((self.clock.monotonic(), name))
            await anyio.sleep(takes)
            if error is not None:
                raise error
            return name

        return request

    async def send(
        self,
        priority: Priority,
        cost: float = 1,
        name: str = "",
        error: Exception | None = None,
        takes: float = 0.0,
    ) -> str:
        return await self.gate.call(
            priority, {"weight": cost}, self.answer(name or priority.name, error, takes)
        )

    async def fail(self, error: Exception, times: int = 1, priority: Priority = READ) -> None:
        for _ in range(times):
            with pytest.raises(type(error)):
                await self.send(priority, error=error)

    async def quietly(self, priority: Priority, cost: float, name: str) -> None:
        try:
            await self.send(priority, cost, name)
        except GateClosed:
            self.closed.append(name)


DOWN = ExchangeUnavailable("no answer")


# budgets


@pytest.mark.parametrize("priority", Priority)
async def test_no_priority_uses_more_than_its_share(priority: Priority) -> None:
    exchange = Exchange(MINUTE)
    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(exchange.send, priority, 1, str(number))
        await anyio.sleep(59)
        assert len(exchange.arrived) == round(100 * SHARE[priority])
        await anyio.sleep(2)
        assert len(exchange.arrived) == 100


async def test_a_budget_is_never_exceeded_in_any_window() -> None:
    exchange = Exchange(MINUTE, RateLimit("weight", 30, 10))
    async with anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(exchange.send, Priority(number % 4), 1 + number % 7, str(1 + number % 7))
    sent = [(at, int(cost)) for at, cost in exchange.arrived]
    assert len(sent) == 300
    for start, _ in sent:
        for seconds, capacity in ((60, 100), (10, 30)):
            assert sum(cost for at, cost in sent if start <= at < start + seconds) <= capacity


async def test_the_reserve_lets_a_reduction_through_a_budget_spent_by_reads() -> None:
    exchange = Exchange(MINUTE)
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(exchange.send, READ)
        await anyio.sleep(1)
        assert len(exchange.arrived) == 70
        for _ in range(30):
            await exchange.send(REDUCE)
        assert exchange.arrived[-1][0] == pytest.approx(1)
        tasks.cancel_scope.cancel()


async def test_who_waits_is_served_by_priority_and_then_in_order() -> None:
    exchange = Exchange(MINUTE)
    await exchange.send(REDUCE, 100)
    async with anyio.create_task_group() as tasks:
        for number, priority in enumerate((READ, OPEN, READ, CANCEL, REDUCE, OPEN, REDUCE)):
            tasks.start_soon(exchange.send, priority, 5, f"{priority.name}{number}")
            await anyio.sleep(0.01)
        await anyio.sleep(61)
    assert [name for _, name in exchange.arrived[1:]] == [
        "REDUCE4",
        "REDUCE6",
        "CANCEL3",
        "OPEN1",
        "OPEN5",
        "READ0",
        "READ2",
    ]


async def test_a_waiter_that_gives_up_holds_nobody_back() -> None:
    exchange = Exchange(MINUTE)
    await exchange.send(REDUCE, 100)
    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(1):
            await exchange.send(READ, 1, "impatient")
        tasks.start_soon(exchange.send, READ, 1, "patient")
        await anyio.sleep(60)
    assert [name for _, name in exchange.arrived] == ["REDUCE", "patient"]


async def test_a_cost_beyond_its_share_goes_alone_rather_than_never() -> None:
    exchange = Exchange(MINUTE)
    await exchange.send(READ, 90, "big")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(exchange.send, READ, 90, "again")
        await anyio.sleep(59)
        assert len(exchange.arrived) == 1
    assert [round(at) for at, _ in exchange.arrived] == [0, 60]


async def test_fractional_costs_leave_no_dust_behind() -> None:
    """0.1 + 0.2 - 0.3 is not zero in binary: the dust must not keep a large request waiting for ever."""
    exchange = Exchange(RateLimit("weight", 1, 10))
    for cost in (0.1, 0.2, 0.3, 0.05):
        await exchange.send(REDUCE, cost)
    await anyio.sleep(11)
    with anyio.fail_after(1):
        await exchange.send(READ, 0.95, "most of it")


async def test_scopes_without_a_limit_cost_nothing() -> None:
    exchange = Exchange(MINUTE)
    for _ in range(500):
        assert await exchange.gate.call(READ, {"orders": 1}, exchange.answer("free")) == "free"
    assert exchange.clock.monotonic() == 0


# the breaker


@pytest.mark.parametrize("error", [DOWN, OutcomeUnknown("no answer"), RateLimited("slow", retry_after=0)])
async def test_five_failures_in_a_row_open_the_breaker(error: Exception) -> None:
    exchange = Exchange()
    await exchange.fail(error, 4)
    assert (exchange.gate.breaker.open, exchange.breaks) == (False, [])
    await exchange.fail(error)
    assert (exchange.gate.breaker.open, exchange.breaks) == (True, [True])


@pytest.mark.parametrize(
    "answered",
    [None, OrderRefused("no"), AuthenticationFailed("no"), BadMessage("what"), ExchangeError("no")],
)
async def test_any_answer_starts_the_count_anew(answered: Exception | None) -> None:
    exchange = Exchange()
    await exchange.fail(DOWN, 4)
    if answered is None:
        await exchange.send(READ)
    else:
        await exchange.fail(answered)
    await exchange.fail(DOWN, 4)
    assert not exchange.gate.breaker.open


async def broken() -> Exchange:
    exchange = Exchange()
    await exchange.fail(DOWN, 5)
    exchange.arrived.clear()
    return exchange


async def test_an_open_breaker_lets_reductions_cancels_and_queries_through() -> None:
    exchange = await broken()
    for priority in (READ, OPEN):
        with pytest.raises(GateClosed, match="alpha failed 5 times in a row"):
            await exchange.send(priority)
    assert exchange.arrived == []
    with pytest.raises(ExchangeUnavailable):
        await exchange.send(REDUCE, error=DOWN)
    with pytest.raises(ExchangeUnavailable):
        await exchange.send(CANCEL, error=DOWN)
    assert len(exchange.arrived) == 2
    assert exchange.breaks == [True]


async def test_one_read_at_a_time_probes_after_a_pause_and_an_entry_never_does() -> None:
    exchange = await broken()
    await anyio.sleep(5.1)
    with pytest.raises(GateClosed):
        await exchange.send(OPEN)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: exchange.send(READ, name="probe", takes=3))
        await anyio.sleep(1)
        with pytest.raises(GateClosed):
            await exchange.send(READ, name="second")
        with pytest.raises(ExchangeUnavailable):
            await exchange.send(CANCEL, name="query", error=DOWN)  # ends, and does not let another probe in
        await anyio.sleep(0.5)
        with pytest.raises(GateClosed):
            await exchange.send(READ, name="third")
        await anyio.sleep(3)
    assert [name for _, name in exchange.arrived] == ["probe", "query"]
    assert exchange.breaks == [True, False]
    assert await exchange.send(OPEN) == "OPEN"


async def test_a_failed_probe_starts_the_pause_anew() -> None:
    exchange = await broken()
    await anyio.sleep(5.1)
    await exchange.fail(DOWN)
    with pytest.raises(GateClosed):
        await exchange.send(READ)
    await anyio.sleep(5.1)
    assert await exchange.send(READ) == "READ"
    assert exchange.breaks == [True, False]


async def test_an_answer_to_a_reduction_closes_the_breaker() -> None:
    exchange = await broken()
    assert await exchange.send(REDUCE) == "REDUCE"
    assert exchange.breaks == [True, False]
    assert await exchange.send(OPEN) == "OPEN"


async def test_who_was_waiting_when_the_breaker_opened_is_not_sent() -> None:
    exchange = Exchange(MINUTE)
    await exchange.send(REDUCE, 95)
    async with anyio.create_task_group() as tasks:
        for name in ("one", "two"):
            tasks.start_soon(exchange.quietly, OPEN, 1, name)
        tasks.start_soon(exchange.quietly, CANCEL, 1, "cancel")
        await anyio.sleep(1)
        for _ in range(5):
            await exchange.fail(DOWN, priority=REDUCE)
        await anyio.sleep(1)
        assert sorted(exchange.closed) == ["one", "two"]
    assert [name for _, name in exchange.arrived][-1] == "cancel"


async def test_a_cancelled_probe_lets_the_next_one_in() -> None:
    exchange = await broken()
    await anyio.sleep(5.1)
    with anyio.move_on_after(1):
        await exchange.send(READ, takes=100)
    assert await exchange.send(READ) == "READ"


# asked to be quiet


async def test_only_reductions_are_sent_while_the_exchange_wants_silence() -> None:
    exchange = Exchange()
    await exchange.fail(RateLimited("slow down", retry_after=10))
    exchange.arrived.clear()
    for priority in (CANCEL, OPEN, READ):
        with pytest.raises(GateClosed, match="asked for fewer requests"):
            await exchange.send(priority)
    assert await exchange.send(REDUCE) == "REDUCE"
    await anyio.sleep(10.01)
    for priority in (CANCEL, OPEN, READ):
        assert await exchange.send(priority) == priority.name


async def test_a_shorter_wish_does_not_end_a_longer_one() -> None:
    exchange = Exchange()
    await exchange.fail(RateLimited("banned", retry_after=60))
    await exchange.fail(RateLimited("slow down", retry_after=1), priority=REDUCE)
    await anyio.sleep(30)
    with pytest.raises(GateClosed):
        await exchange.send(READ)


async def test_who_was_waiting_when_silence_was_asked_for_is_not_sent() -> None:
    exchange = Exchange(MINUTE)
    await exchange.send(REDUCE, 100)
    async with anyio.create_task_group() as tasks:
        for priority in (READ, OPEN, CANCEL):
            tasks.start_soon(exchange.quietly, priority, 1, priority.name)
        await anyio.sleep(59.5)
        exchange.arrived.clear()
        with pytest.raises(RateLimited):
            await exchange.gate.call(REDUCE, {}, exchange.answer("", RateLimited("banned", retry_after=60)))
        await anyio.sleep(20)
        assert sorted(exchange.closed) == ["CANCEL", "OPEN", "READ"]
    assert [name for _, name in exchange.arrived] == [""]


async def test_an_order_refused_for_too_many_requests_asks_for_silence_too() -> None:
    exchange = Exchange()
    refused = OrderRefused("too many requests")
    refused.__cause__ = RateLimited("too many requests", retry_after=7)
    await exchange.fail(refused, priority=OPEN)
    with pytest.raises(GateClosed):
        await exchange.send(READ)
    await anyio.sleep(7.01)
    assert await exchange.send(READ) == "READ"


async def test_a_closed_gate_is_not_a_failure_of_the_exchange() -> None:
    exchange = await broken()
    failures = exchange.gate.breaker.failures
    for _ in range(10):
        with pytest.raises(GateClosed):
            await exchange.send(OPEN)
    assert exchange.gate.breaker.failures == failures


def test_the_breaker_counts_for_itself() -> None:
    class Still(LoopClock):
        def monotonic(self) -> float:
            return 0.0

    breaker = Breaker(Still(), threshold=2)
    assert not breaker.failure()
    assert breaker.failure()
    assert not breaker.failure()
    assert breaker.success()
    assert not breaker.success()


async def test_whoever_waits_for_one_budget_does_not_hold_up_another() -> None:
    exchange = Exchange(MINUTE, RateLimit("history", 10, 300))
    gate = exchange.gate
    await gate.call(READ, {"history": 7}, exchange.answer("first"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.call, READ, {"history": 7}, exchange.answer("waits"))
        await anyio.sleep(1)
        await gate.call(READ, {"weight": 1}, exchange.answer("fills"))
        tasks.cancel_scope.cancel()
    assert [name for _, name in exchange.arrived] == ["first", "fills"]
    assert exchange.clock.monotonic() < 300


async def test_small_requests_do_not_overtake_a_large_one_for_ever() -> None:
    exchange = Exchange(MINUTE)
    await exchange.send(READ, 30, "before")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(exchange.send, READ, 60, "large")
        await anyio.sleep(1)
        for number in range(40):
            tasks.start_soon(exchange.send, READ, 1, f"small{number}")
            await anyio.sleep(2)
        at, name = exchange.arrived[1]
        assert (round(at), name) == (60, "large")
        tasks.cancel_scope.cancel()
