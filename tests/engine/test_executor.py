"""The executor: three outcomes of a send, doubts that only the exchange can end, cancels that get lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import anyio
import pytest
from tests.domain.make import D
from tests.engine.rig import HEDGE_ID, exchange, hedge_on

from fundingarb.domain.control import Accepted, Subject
from fundingarb.domain.hedge import OrderRecord, next_order
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Fill, NewOrder, OrderReport, OrderSide, OrderState, Purpose, TimeInForce
from fundingarb.engine.account import Account
from fundingarb.engine.executor import READ_LAG, Executor
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeUnavailable, OutcomeUnknown, RateLimited
from fundingarb.ports import RateLimit
from fundingarb.simulation.virtual import LoopClock
from fundingarb.testing import FakeExchange, Script

pytestmark = pytest.mark.anyio
ENTRY, CLOSE = Purpose.ENTRY, Purpose.CLOSE
PROOF = 4.0 + READ_LAG
"""The fake exchange takes an order for four seconds at most."""


class Desk:
    """An executor with one hedge, and how the loop would use it."""

    def __init__(self, alpha: FakeExchange, clock: LoopClock) -> None:
        self.alpha, self.clock = alpha, clock
        self.state = BotState()
        self.state.accounts["alpha"] = Account("alpha", alpha)
        self.state.adopt([hedge_on(clock)])
        self.gate = RequestGate("alpha", alpha.limits, clock)
        self.woken = 0
        self.executor: Executor

    def wake(self) -> None:
        self.woken += 1

    def intend(
        self, purpose: Purpose = ENTRY, price: str | None = "100", quantity: str = "10"
    ) -> OrderRecord:
        tif = TimeInForce.GTC if purpose is ENTRY else TimeInForce.IOC
        at = None if price is None else Decimal(price)
        record = next_order(
            self.state.hedges[HEDGE_ID],
            Side.LONG,
            purpose,
            Decimal(quantity),
            at,
            tif,
            None,
            self.clock.now(),
        )
        self.state.put_order(record)
        return record

    def send(self, purpose: Purpose = ENTRY, price: str | None = "100", quantity: str = "10") -> OrderRecord:
        record = self.intend(purpose, price, quantity)
        self.state.in_flight.add(record.client_id)
        self.executor.send(record)
        return record

    def now(self, record: OrderRecord) -> OrderRecord:
        current = self.state.hedges[HEDGE_ID].order(record.client_id)
        assert current is not None
        return current

    def calls(self, operation: str) -> int:
        return sum(1 for name, _ in self.alpha.calls if name == operation)

    async def look(self, seconds: float) -> None:
        """What the loop does every half second: resolve what is in doubt, watch what is open."""
        for _ in range(round(seconds * 2)):
            hedge = self.state.hedges[HEDGE_ID]
            for order in hedge.orders:
                if order.state.unresolved:
                    self.executor.resolve(order)
                elif order.state is OrderState.OPEN:
                    self.executor.watch(order)
            await anyio.sleep(0.5)


@asynccontextmanager
async def desk(alpha: FakeExchange | None = None) -> AsyncIterator[Desk]:
    clock = LoopClock()
    made = Desk(alpha or exchange("alpha", clock), clock)
    made.alpha.clock = clock
    async with anyio.create_task_group() as tasks:
        made.executor = Executor(made.state, {"alpha": made.gate}, clock, tasks, made.wake)
        yield made
        tasks.cancel_scope.cancel()


async def test_done() -> None:
    async with desk() as made:
        record = made.send()
        await anyio.sleep(0.1)
        current = made.now(record)
        assert (current.state, current.filled) == (OrderState.OPEN, D(0))
        assert current.exchange_order_id == "x1"
        assert current.acknowledged_at is not None
        assert current.latency_ms is not None
        assert record.client_id not in made.state.in_flight
        assert made.state.dirty_orders[record.client_id] == current
        assert made.woken == 1
        (sent,) = [arguments[0] for name, arguments in made.alpha.calls if name == "place_order"]
        assert isinstance(sent, NewOrder)
        assert sent == NewOrder(
            record.client_id, "BTC-USDT", record.side, Decimal(10), Decimal(100), TimeInForce.GTC, False
        )


async def test_filled_at_once() -> None:
    async with desk() as made:
        record = made.send(price="100.1")
        await anyio.sleep(0.1)
        current = made.now(record)
        assert (current.state, current.filled, current.average_price) == (
            OrderState.FILLED,
            D(10),
            D("100.1"),
        )
        assert current.resolved_at is not None


async def test_refused() -> None:
    async with desk() as made:
        made.alpha.script(Script.refuse("not-enough-margin"))
        record = made.send()
        await anyio.sleep(0.1)
        current = made.now(record)
        assert current.state is OrderState.REFUSED
        assert "not-enough-margin" in current.reason
        assert current.resolved_at is not None
        assert made.calls("find_order") == 0


@pytest.mark.parametrize(
    "error",
    [
        OutcomeUnknown("timeout"),
        ExchangeUnavailable("502"),
        RateLimited("slow", retry_after=0),
        ValueError("a mistake of the adapter"),
    ],
)
async def test_whatever_is_not_a_refusal_is_unknown(error: Exception) -> None:
    async with desk() as made:
        made.alpha.fail("place_order", error)
        record = made.send()
        await anyio.sleep(0.1)
        current = made.now(record)
        assert current.state is OrderState.UNKNOWN
        assert current.reason == str(error)
        assert current.resolved_at is None
        assert current.remaining == 10  # reserves its full size


async def test_a_lost_answer_is_found_by_asking_and_never_sent_again() -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_reply("4"))
        record = made.send()
        await made.look(1)
        current = made.now(record)
        assert (current.state, current.filled) == (OrderState.OPEN, D(4))
        assert made.calls("place_order") == 1


async def test_a_lost_request_counts_as_never_taken_only_after_the_proof() -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_request())
        record = made.send()
        await made.look(PROOF - 1)
        current = made.now(record)
        assert current.state is OrderState.UNKNOWN
        assert current.misses >= 3
        await made.look(6)
        current = made.now(record)
        assert (current.state, current.reason) == (OrderState.REFUSED, "the exchange knows no such order")
        assert made.calls("place_order") == 1


async def test_a_missed_order_is_looked_at_every_second_and_later_less_often() -> None:
    """An exchange that proves by blocks (dYdX) says within the second what it can; who is lost for long may wait."""
    async with desk() as made:
        made.alpha.order_expiry = None
        made.alpha.script(Script.lost_request())
        made.send()
        await made.look(2)
        before = made.calls("find_order")
        await made.look(10)
        soon = made.calls("find_order") - before
        await made.look(20)
        before = made.calls("find_order")
        await made.look(20)
        assert (soon in (9, 10), made.calls("find_order") - before) == (True, 4)


async def test_a_lost_reduction_is_given_up_once_it_has_expired() -> None:
    """It may be repeated: a reduction that arrives after all finds nothing more to reduce."""
    async with desk() as made:
        made.alpha.script(Script.lost_request())
        record = made.send(CLOSE, price=None)
        await made.look(PROOF - READ_LAG - 0.5)
        assert made.now(record).state is OrderState.UNKNOWN
        await made.look(1.5)
        assert (made.now(record).state, made.now(record).misses >= 3) == (OrderState.REFUSED, True)


def hide(made: Desk, seconds: float) -> None:
    """Orders placed from now on, and their fills, are to be found only so many seconds later."""
    place, find, read = made.alpha.place_order, made.alpha.find_order, made.alpha.get_fills
    born: dict[str, float] = {}

    def hidden(name: str | None) -> bool:
        return made.clock.monotonic() - born.get(name or "", float("-inf")) < seconds

    async def place_order(order: NewOrder) -> OrderReport:
        born[order.client_id] = made.clock.monotonic()
        return await place(order)

    async def find_order(symbol: str, client_id: str) -> OrderReport | None:
        found = await find(symbol, client_id)
        return None if hidden(client_id) else found

    async def get_fills(since: datetime, symbol: str | None = None) -> list[Fill]:
        return [fill for fill in await read(since, symbol) if not hidden(fill.client_id)]

    made.alpha.place_order = place_order  # type: ignore[method-assign]
    made.alpha.find_order = find_order  # type: ignore[method-assign]
    made.alpha.get_fills = get_fills  # type: ignore[method-assign]


@pytest.mark.parametrize("unseen", [7, 11])
async def test_a_reduction_whose_position_is_gone_is_not_given_up_before_its_fills_may_be_seen(
    unseen: int,
) -> None:
    """It filled, and neither the order nor its fills are to be found yet. Repeated it would take what is to stay."""
    async with desk() as made:
        entry = made.send()
        await made.look(0.5)
        made.alpha.fill_order(entry.client_id)
        await made.look(1)
        hide(made, unseen)
        made.alpha.script(Script(reply=False))
        record = made.send(Purpose.UNWIND, None, "3")
        await made.look(unseen - 1)
        assert made.now(record).state is OrderState.UNKNOWN
        await made.look(3)
        assert (made.now(record).state, made.now(record).filled) == (OrderState.FILLED, D(3))
        assert made.calls("get_positions") < 15, "asked about once a second"


async def test_a_lost_reduction_is_given_up_although_somebody_else_has_reduced_the_position() -> None:
    async with desk() as made:
        await made.alpha.place_order(
            NewOrder("web1", "BTC-USDT", OrderSide.SELL, D(4), None, TimeInForce.IOC, reduce_only=False)
        )
        made.alpha.script(Script.lost_request())
        record = made.send(CLOSE, price=None)
        await made.look(PROOF + 6)
        assert made.now(record).state is OrderState.REFUSED


async def test_an_order_may_be_missed_for_ever() -> None:
    """Thousands of looks, as after days without a bound on expiry: none of them ends the bot."""
    async with desk() as made:
        made.alpha.order_expiry = None
        made.alpha.script(Script.lost_request())
        record = made.send()
        await made.look(5)
        made.state.put_order(replace(made.now(record), misses=5000))
        await made.look(20)
        assert made.now(record).misses > 5000


async def test_the_proof_ends_when_it_can() -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_request())
        record = made.send()
        await made.look(PROOF + 1)
        assert made.now(record).state is OrderState.REFUSED


async def test_where_orders_have_no_expiry_a_miss_proves_nothing() -> None:
    async with desk() as made:
        made.alpha.order_expiry = None
        made.alpha.script(Script.lost_request())
        record = made.send()
        await made.look(120)
        assert made.now(record).state is OrderState.UNKNOWN


async def not_found(symbol: str, client_id: str) -> None:
    return None


def hide_fills(alpha: FakeExchange) -> None:
    """The ledger does not show the fills of the bot's own orders yet; those of others it does."""
    read = alpha.get_fills

    async def of_others(since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        return [f for f in await read(since, symbol) if not (f.client_id or "").startswith("fa")]

    alpha.get_fills = of_others  # type: ignore[method-assign]


async def by_hand(alpha: FakeExchange, side: OrderSide, quantity: str) -> None:
    name = f"web{len(alpha.ledger.orders)}"
    await alpha.place_order(
        NewOrder(name, "BTC-USDT", side, D(quantity), None, TimeInForce.IOC, reduce_only=False)
    )


async def test_an_order_that_the_position_speaks_for_is_not_given_up() -> None:
    """The exchange took and filled it, but its order queries and its ledger lag: the position is the warning."""
    async with desk() as made:
        made.alpha.script(Script.lost_reply("4"))
        hide_fills(made.alpha)
        find, made.alpha.find_order = made.alpha.find_order, not_found  # type: ignore[method-assign]
        record = made.send()
        await made.look(PROOF + 20)
        assert made.now(record).state is OrderState.UNKNOWN
        made.alpha.find_order = find  # type: ignore[method-assign]
        await made.look(6)
        assert (made.now(record).state, made.now(record).filled) == (OrderState.OPEN, D(4))


async def test_an_order_that_its_fills_speak_for_is_not_given_up() -> None:
    """Whatever the position says: somebody else has sold as much meanwhile."""
    async with desk() as made:
        made.alpha.script(Script.lost_reply("10"))
        made.alpha.find_order = not_found  # type: ignore[method-assign]
        record = made.send()
        await made.look(1)
        await by_hand(made.alpha, OrderSide.SELL, "10")
        await made.look(PROOF + 20)
        assert (made.now(record).state, made.now(record).filled) == (OrderState.FILLED, D(10))


@pytest.mark.parametrize(
    ("side", "quantity"), [(OrderSide.BUY, "50"), (OrderSide.BUY, "3"), (OrderSide.SELL, "10")]
)
@pytest.mark.parametrize("named", [True, False])
async def test_what_somebody_else_traded_meanwhile_does_not_hide_that_it_was_filled(
    side: OrderSide, quantity: str, named: bool
) -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_reply("10"))
        hide_fills(made.alpha)
        made.alpha.find_order = not_found  # type: ignore[method-assign]
        record = made.send()
        await made.look(1)
        await by_hand(made.alpha, side, quantity)
        if not named:
            made.alpha.ledger.fills[-1] = replace(made.alpha.ledger.fills[-1], client_id=None)
        await made.look(PROOF + 20)
        assert (made.now(record).state, made.now(record).filled) == (OrderState.UNKNOWN, D(0))


@pytest.mark.parametrize("quantity", ["50", "3"])
async def test_what_somebody_else_bought_meanwhile_is_no_doubt_where_the_ledger_names_it(
    quantity: str,
) -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_request())
        record = made.send()
        await made.look(1)
        await by_hand(made.alpha, OrderSide.BUY, quantity)
        await made.look(PROOF + 20)
        assert made.now(record).state is OrderState.REFUSED


async def test_what_is_accepted_as_somebody_elses_is_no_doubt_and_hides_none() -> None:
    for script, state in (
        (Script.lost_request(), OrderState.REFUSED),
        (Script.lost_reply("10"), OrderState.UNKNOWN),
    ):
        async with desk() as made:
            await by_hand(made.alpha, OrderSide.BUY, "50")
            now = made.clock.now()
            made.state.take_accepted(Accepted("alpha", Subject.POSITION, "BTC-USDT", D(50), "me", now))
            hide_fills(made.alpha)
            made.alpha.script(script)
            made.alpha.find_order = not_found  # type: ignore[method-assign]
            record = made.send()
            await made.look(PROOF + 20)
            assert made.now(record).state is state


async def test_an_order_known_by_its_fills_only_is_over_with_them() -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_reply("4"))
        made.alpha.find_order = not_found  # type: ignore[method-assign]
        record = made.send()
        await made.look(2)
        for fill in made.alpha.ledger.fills:
            made.state.book_fill(fill, HEDGE_ID)
        await made.look(PROOF + 6)
        assert (made.now(record).state, made.now(record).filled) == (OrderState.CANCELLED, D(4))


async def test_an_order_that_arrives_late_is_found() -> None:
    async with desk() as made:
        made.alpha.script(Script.arrives_late())
        record = made.send()
        await made.look(8)
        assert made.now(record).misses >= 3
        made.alpha.deliver_late()
        await made.look(6)
        current = made.now(record)
        assert current.state is OrderState.OPEN
        assert current.misses == 0


async def test_the_proof_starts_when_it_was_sent_not_when_it_was_decided() -> None:
    """The order waited eleven seconds for its place in the budget before it was lost."""
    clock = LoopClock()
    alpha = exchange("alpha", clock)
    alpha.limits = (RateLimit("orders", 10, 11),)
    alpha.cost = lambda operation: {"orders": 1} if operation == "place_order" else {}  # type: ignore[method-assign]
    async with desk(alpha) as made:
        for _ in range(10):  # reductions use the budget up
            await made.gate.call(Priority.REDUCE, {"orders": 1}, alpha.get_server_time)
        alpha.script(Script.lost_request())
        record = made.send(CLOSE, None)
        await anyio.sleep(11.5)
        assert made.now(record).state is OrderState.UNKNOWN
        await made.look(3)
        assert made.now(record).state is OrderState.UNKNOWN, "it may still be on its way"
        await made.look(2)
        assert made.now(record).state is OrderState.REFUSED


async def test_an_entry_that_waited_too_long_for_its_place_is_not_sent() -> None:
    clock = LoopClock()
    alpha = exchange("alpha", clock)
    alpha.limits = (RateLimit("orders", 10, 11),)
    alpha.cost = lambda operation: {"orders": 1} if operation == "place_order" else {}  # type: ignore[method-assign]
    async with desk(alpha) as made:
        for _ in range(10):
            await made.gate.call(Priority.REDUCE, {"orders": 1}, alpha.get_server_time)
        entry = made.send()
        await anyio.sleep(11.5)
        current = made.now(entry)
        assert current.state is OrderState.REFUSED
        assert "waited more than 5 s" in current.reason
        assert made.calls("place_order") == 0
        assert made.gate.breaker.failures == 0


async def test_nothing_that_adds_exposure_leaves_once_the_kill_switch_is_latched() -> None:
    async with desk() as made:
        made.alpha.set_book("BTC-USDT", "99.9", "100.1")
        held = made.send(price="100.1")
        await anyio.sleep(0.1)
        made.state.killed = True
        entry, close = made.send(), made.send(CLOSE, None)
        await anyio.sleep(0.1)
        assert made.now(held).state is OrderState.FILLED
        assert "kill switch" in made.now(entry).reason
        assert made.now(entry).state is OrderState.REFUSED
        assert made.now(close).state is OrderState.FILLED


async def test_an_intended_order_of_an_earlier_life_is_asked_for() -> None:
    """After a restart nothing is in flight: the row is resolved by asking, whether it was taken or not."""
    async with desk() as made:
        taken, lost = made.intend(), made.intend()
        made.alpha.ledger.accept(
            NewOrder(
                taken.client_id, "BTC-USDT", taken.side, Decimal(10), Decimal(100), TimeInForce.GTC, False
            ),
            made.clock.now(),
        )
        made.alpha.fill_order(taken.client_id, "3")
        await made.look(PROOF + 6)
        assert (made.now(taken).state, made.now(taken).filled) == (OrderState.OPEN, D(3))
        assert made.now(lost).state is OrderState.REFUSED
        assert made.calls("place_order") == 0


async def test_nobody_is_asked_about_an_order_that_is_still_being_sent() -> None:
    async with desk() as made:
        made.alpha.script(Script(delay=5))
        record = made.send()
        await made.look(4)
        assert made.calls("find_order") == 0
        await anyio.sleep(1.1)
        assert made.now(record).state is OrderState.OPEN


async def test_a_query_that_fails_is_repeated() -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_reply("10"))
        made.alpha.fail("find_order", ExchangeUnavailable("no answer"), times=2)
        record = made.send()
        await made.look(4)
        assert made.now(record).state is OrderState.FILLED
        assert made.now(record).misses == 0  # nobody said that there is no such order


async def test_a_mistake_of_the_adapter_does_not_end_the_looking() -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_reply("10"))
        made.alpha.fail("find_order", KeyError("status"))
        record = made.send()
        await made.look(3)
        assert made.now(record).state is OrderState.FILLED


async def test_a_mistake_of_the_adapter_at_the_proof_proves_nothing_and_ends_nothing() -> None:
    async with desk() as made:
        made.alpha.script(Script.lost_request())
        made.alpha.fail("get_positions", KeyError("posSide"))
        record = made.send()
        await made.look(PROOF + 1)
        assert made.now(record).state is OrderState.UNKNOWN
        await made.look(6)
        assert made.now(record).state is OrderState.REFUSED


# watching and cancelling


async def test_an_open_order_is_looked_at_even_when_no_event_arrives() -> None:
    async with desk() as made:
        record = made.send()
        await made.look(1)
        made.alpha.fill_order(record.client_id, "4")
        await made.look(3)
        assert (made.now(record).state, made.now(record).filled) == (OrderState.OPEN, D(4))
        assert made.calls("find_order") <= 3


async def test_cancel() -> None:
    async with desk() as made:
        record = made.send()
        await anyio.sleep(0.1)
        made.executor.cancel(made.now(record))
        assert made.now(record).cancel_requested
        await anyio.sleep(0.1)
        assert made.now(record).state is OrderState.CANCELLED
        assert made.calls("cancel_order") == 1


async def test_a_cancel_never_takes_back_what_was_learnt_meanwhile() -> None:
    """Between decision and cancel lies a commit; the fill that arrived in it must not be forgotten."""
    async with desk() as made:
        record = made.send()
        await anyio.sleep(0.1)
        decided = made.now(record)
        made.alpha.fill_order(record.client_id, "4")
        report = made.alpha.ledger.orders[record.client_id]
        made.state.observe(report, made.clock.now())
        assert made.now(record).filled == 4
        made.executor.cancel(decided)
        assert made.now(record).filled == 4
        await anyio.sleep(0.1)
        assert (made.now(record).state, made.now(record).filled) == (OrderState.CANCELLED, D(4))


async def test_an_order_that_is_over_is_not_cancelled() -> None:
    async with desk() as made:
        record = made.send()
        await anyio.sleep(0.1)
        decided = made.now(record)
        made.alpha.fill_order(record.client_id)
        made.state.observe(made.alpha.ledger.orders[record.client_id], made.clock.now())
        made.executor.cancel(decided)
        await anyio.sleep(0.1)
        assert made.calls("cancel_order") == 0
        assert made.now(record).state is OrderState.FILLED


async def test_a_cancel_that_meets_a_fill_reports_the_fill() -> None:
    async with desk() as made:
        record = made.send()
        await anyio.sleep(0.1)
        made.alpha.fill_order(record.client_id)
        made.executor.cancel(made.now(record))
        await anyio.sleep(0.1)
        assert (made.now(record).state, made.now(record).filled) == (OrderState.FILLED, D(10))


async def test_a_cancel_that_failed_may_be_asked_for_again() -> None:
    async with desk() as made:
        made.alpha.fail("cancel_order", OutcomeUnknown("timeout"))
        record = made.send()
        await anyio.sleep(0.1)
        made.executor.cancel(made.now(record))
        await anyio.sleep(0.1)
        assert not made.now(record).cancel_requested
        assert made.now(record).state is OrderState.OPEN


@pytest.mark.parametrize("what", ["taken, then lost", "asked for in an earlier life"])
async def test_a_cancel_that_changed_nothing_is_asked_for_again(what: str) -> None:
    async with desk() as made:
        record = made.send()
        await anyio.sleep(0.1)
        if what == "taken, then lost":
            made.alpha.script(Script(accept=False), operation="cancel_order")
            made.executor.cancel(made.now(record))
            await anyio.sleep(0.1)
        else:
            made.state.put_order(replace(made.now(record), cancel_requested=True))
        assert made.now(record).cancel_requested
        await made.look(5)
        assert not made.now(record).cancel_requested, "the decision may ask again"


async def test_no_look_is_due_while_nothing_can_be_looked_at() -> None:
    """``next_due`` paces the loop: zero or less over and over would make it spin."""
    async with desk() as made:
        assert made.executor.next_due() is None
        record = made.send()
        assert made.executor.next_due() is None
        await anyio.sleep(0.1)
        made.executor.watch(made.now(record))
        due = made.executor.next_due()
        assert due is not None
        assert due > 1
        await anyio.sleep(due)
        made.executor.watch(made.now(record))  # now it is being asked about
        assert made.executor.next_due() is None
        await anyio.sleep(0.1)
        made.alpha.fill_order(record.client_id)
        made.state.observe(made.alpha.ledger.orders[record.client_id], made.clock.now())
        assert made.executor.next_due() is None


async def test_an_answer_from_the_stream_is_not_undone_by_a_timeout() -> None:
    async with desk() as made:
        made.alpha.script(Script(reply=False, delay=2))
        record = made.send()
        await anyio.sleep(1)
        made.state.observe(made.alpha.ledger.orders[record.client_id], made.clock.now())
        assert made.now(record).state is OrderState.OPEN
        await anyio.sleep(2)
        assert made.now(record).state is OrderState.OPEN
