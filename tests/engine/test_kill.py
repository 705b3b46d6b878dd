"""The kill switch: latched, everything closed and seen to be closed, what is not is named, released only when flat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.domain.make import D
from tests.engine.rig import Floor
from tests.engine.stage import floor, opened

from fundingarb.domain.control import Command, CommandKind, flatten_order_id
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import CloseReason, Mode
from fundingarb.domain.order import (
    ExchangePosition,
    NewOrder,
    OrderReport,
    OrderSide,
    OrderState,
    TimeInForce,
)
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError, ExchangeUnavailable, OrderRefused, OutcomeUnknown, StoreError
from fundingarb.ports import Batch
from fundingarb.testing import FakeExchange, RecordingAlertSink, Script
from fundingarb.testing.ledger import FakePosition

pytestmark = pytest.mark.anyio


async def by_hand(
    exchange: FakeExchange,
    side: OrderSide,
    quantity: str,
    price: str | None = None,
    symbol: str = "BTC-USDT",
    name: str = "web_1",
) -> None:
    """A person trades on the account; with a price that nobody pays the order rests."""
    await exchange.place_order(
        NewOrder(name, symbol, side, D(quantity), None if price is None else D(price), TimeInForce.GTC, False)
    )


def spoken(sink: RecordingAlertSink) -> list[str]:
    """The first lines of the kill switch's alerts."""
    return [alert.lines[0] for alert in sink.alerts if alert.title == "Kill Switch"]


def named(sink: RecordingAlertSink) -> list[Alert]:
    return [alert for alert in sink.alerts if alert.lines[0].startswith("Not flat yet")]


def latched(made: Floor) -> bool:
    """Whether the latch is on disk."""
    return made.store.killed


async def flat(made: Floor, within: float = 60) -> None:
    await made.until(lambda: made.bot.flattened, within)
    assert made.position == (0, 0)
    assert all(order.state.terminal for order in made.alpha.ledger.orders.values())
    assert all(order.state.terminal for order in made.beta.ledger.orders.values())


async def test_an_open_hedge_is_closed_on_both_sides_and_the_latch_is_on_disk() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await bot.kill("somebody")
        assert latched(made)
        assert not bot.flattened
        await flat(made, within=5)
        assert made.hedge.intent.close_reason is CloseReason.KILL
        await made.until(lambda: made.mode() is Mode.DONE)
        assert bot.not_flat == ()
        assert bot.status().state == "KILLED"
        await anyio.sleep(60)
        assert len(made.sent(made.alpha)) == 2, "nothing is opened, nothing is closed twice"
        assert spoken(sink) == ["Latched by somebody", "Flat: no order and no position is left"]
        assert {alert.severity for alert in sink.alerts if alert.title == "Kill Switch"} == {
            Severity.CRITICAL
        }
        assert made.store.flatten_orders == {}


async def test_a_resting_entry_is_cancelled() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        await bot.kill("somebody")
        await flat(made)
        (entry,) = made.alpha.ledger.orders.values()
        assert entry.state is OrderState.CANCELLED
        assert entry.filled == 0


async def test_what_nobody_here_opened_is_closed_too_under_a_name_of_its_own() -> None:
    made = floor()
    await by_hand(made.alpha, OrderSide.BUY, "3")
    await by_hand(made.beta, OrderSide.SELL, "2", "120", name="web_2")
    async with made.running() as bot:
        await made.until(lambda: bot.state.accounts["alpha"].halted != "not read yet")
        assert not made.sent(made.alpha)[1:], "a foreign position halts entries and is left alone"
        await bot.kill("somebody")
        await flat(made)
        (order,) = made.store.flatten_orders.values()
        assert order.client_id == flatten_order_id("t3st", "alpha", "BTC-USDT", 1)
        assert (order.side, order.quantity, order.state) == (OrderSide.SELL, D(3), OrderState.FILLED)
        sent = made.sent(made.alpha)[-1]
        assert (sent.client_id, sent.reduce_only, sent.price) == (order.client_id, True, None)
        assert made.beta.ledger.orders["web_2"].state is OrderState.CANCELLED


async def test_a_foreign_position_beside_a_leg_of_ours_is_closed_after_it() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await by_hand(made.alpha, OrderSide.BUY, "3")
        await bot.kill("somebody")
        await flat(made)
        assert [order.quantity for order in made.store.flatten_orders.values()] == [3]
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_the_row_is_on_disk_before_the_order_is_sent() -> None:
    made = floor()
    await by_hand(made.alpha, OrderSide.BUY, "3")
    seen: list[Any] = []
    place = made.alpha.place_order

    async def watched(order: NewOrder) -> Any:
        seen.append(made.store.flatten_orders.get(order.client_id))
        return await place(order)

    async with made.running() as bot:
        made.alpha.place_order = watched  # type: ignore[method-assign]
        await bot.kill("somebody")
        await flat(made)
    assert [row.state for row in seen] == [OrderState.INTENDED]


async def test_it_survives_restarts_and_flattens_before_anything_else() -> None:
    """C14: killed in the middle of a kill, with exchanges whose market data does not come."""
    made = floor()
    async with made.running() as bot:
        await opened(made)
        made.alpha.fail("place_order", ExchangeUnavailable("down"), times=1000)
        made.beta.fail("place_order", ExchangeUnavailable("down"), times=1000)
        await bot.kill("somebody")
        await anyio.sleep(2)
        assert made.position == (10, -10)
    for exchange in (made.alpha, made.beta):
        exchange._failures.clear()
        exchange.fail("get_instruments", ExchangeUnavailable("no market data"), times=1000)
    async with made.running() as bot:
        assert bot.killed
        await flat(made, within=30)
        assert not bot.markets.instruments


async def test_what_somebody_else_holds_on_an_exchange_that_is_gone_is_named_too() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await by_hand(made.alpha, OrderSide.BUY, "3")
        await made.until(lambda: bot.state.accounts["alpha"].halted, within=60)
        await bot.commands.resolution.accept("alpha", "somebody")
    for operation in ("get_positions", "get_open_orders", "place_order", "find_order", "cancel_order"):
        made.alpha.fail(operation, ExchangeUnavailable("alpha is down"), times=100_000)
    async with made.running() as bot:
        await bot.kill("somebody")
        await anyio.sleep(31)
        assert any(line.startswith("alpha (alpha) BTC-USDT 13") for line in named(sink)[-1].lines)


async def test_what_was_flattened_from_memory_is_stored_when_the_database_answers() -> None:
    """Also when nothing more is to be flattened then."""
    made = floor()
    async with made.running() as bot:
        await by_hand(made.alpha, OrderSide.BUY, "3")
        await made.until(lambda: bot.state.accounts["alpha"].halted, within=60)
        made.store.failing = "disk full"
        await bot.kill("somebody")
        await made.until(lambda: made.held(made.alpha) == 0, within=10)
        await anyio.sleep(10)
        (name,) = [order.client_id for order in made.sent(made.alpha) if order.reduce_only]
        assert name not in made.store.flatten_orders
        made.store.failing = None
        await made.until(lambda: name in made.store.flatten_orders, within=5)
        assert made.store.flatten_orders[name].state is OrderState.FILLED


async def test_what_is_not_flat_is_named_also_by_a_bot_that_keeps_dying() -> None:
    """Nobody knows when the last life named it, so the next one does so at once."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        for operation in ("get_positions", "get_open_orders", "place_order", "find_order", "cancel_order"):
            made.alpha.fail(operation, ExchangeUnavailable("alpha is down"), times=100_000)
        await bot.kill("somebody")
        await anyio.sleep(20)
    for life in range(1, 4):
        async with made.running():
            await anyio.sleep(20)
        assert len(named(sink)) == life
        assert any(line.startswith("alpha (alpha) BTC-USDT 10") for line in named(sink)[-1].lines)


async def test_an_exchange_that_cannot_be_reached_is_named_and_the_other_one_is_flattened() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        for operation in ("get_positions", "get_open_orders", "place_order", "find_order", "cancel_order"):
            made.alpha.fail(operation, ExchangeUnavailable("alpha is down"), times=100_000)
        await bot.kill("somebody")
        await made.until(lambda: made.held(made.beta) == 0, within=30)
        await anyio.sleep(95)
        assert made.held(made.alpha) == 10
        assert len(named(sink)) == 3, "every 30 s"
        for alert in named(sink):
            assert alert.severity is Severity.CRITICAL
            assert alert.lines[1:] == ("alpha (alpha) BTC-USDT 10: alpha is down",)
        with pytest.raises(ConfigError, match=r"not flat yet: alpha \(alpha\) BTC-USDT 10"):
            await bot.release("somebody")
        assert bot.killed
        made.alpha._failures.clear()
        await flat(made)


async def test_an_account_of_which_nothing_is_known_is_not_flat() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    for operation in ("get_positions", "get_open_orders"):
        made.alpha.fail(operation, ExchangeUnavailable("alpha is down"), times=100_000)
    async with made.running() as bot:
        await bot.kill("somebody")
        await anyio.sleep(40)
        assert not bot.flattened
        assert named(sink)[0].lines[1:] == ("alpha (alpha) positions and orders unknown: alpha is down",)


async def test_answers_that_are_lost_do_not_close_more_than_there_is() -> None:
    made = floor()
    await by_hand(made.alpha, OrderSide.BUY, "3")
    made.alpha.script(Script(reply=False), Script(reply=False, accept=False), Script(reply=False))
    async with made.running() as bot:
        await bot.kill("somebody")
        await flat(made)
        assert {order.attempt for order in made.store.flatten_orders.values()} >= {1}
        assert made.held(made.alpha) == 0


async def test_attempts_go_on_counting_after_a_restart() -> None:
    """A client order id is never given twice: I3, also across processes."""
    made = floor()
    await by_hand(made.alpha, OrderSide.BUY, "3")
    made.alpha.fail("place_order", OutcomeUnknown("lost"), times=4)
    async with made.running() as bot:
        await bot.kill("somebody")
        await made.until(lambda: len(made.store.flatten_orders) == 2)
    async with made.running():
        await flat(made)
    names = [order.client_id for order in made.sent(made.alpha)]
    assert len(set(names)) == len(names)
    assert names[-1] == flatten_order_id("t3st", "alpha", "BTC-USDT", 5)


async def test_an_order_in_doubt_does_not_hold_up_a_kill_for_ever() -> None:
    """No expiry, no answer: the leg's own orders are frozen, the position is closed from outside."""
    made = floor()
    async with made.running() as bot:
        await opened(made)
        made.alpha.fail("place_order", OutcomeUnknown("lost"), times=1)
        made.alpha.fail("find_order", ExchangeUnavailable("no"), times=100_000)
        await bot.kill("somebody")
        await made.until(lambda: made.held(made.beta) == 0)
        assert made.held(made.alpha) == 10
        made.alpha.calls.clear()
        await made.until(lambda: made.position == (0, 0), within=40)
        looks = [operation for operation, _ in made.alpha.calls if operation == "get_open_orders"]
        assert len(looks) < 15, "looking costs budget that orders and ledgers need"
        assert [order.quantity for order in made.store.flatten_orders.values()] == [10]
        made.alpha._failures.clear()
        await flat(made)
        await made.until(lambda: made.mode() is Mode.DONE)
        pnl = await bot.pnl(made.hedge)
        for exchange, leg in ((made.alpha, pnl.long), (made.beta, pnl.short)):
            assert leg.price + leg.funding - leg.fees == exchange.ledger.wallet - 100_000


async def test_the_database_may_be_down() -> None:
    """Latched in memory, reductions from memory; on disk as soon as it answers."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await made.until(lambda: made.hedge.complete_fills)
        await by_hand(made.alpha, OrderSide.BUY, "3")
        made.store.failing = "database is gone"
        await bot.kill("somebody")
        assert not latched(made)
        await made.until(lambda: made.position == (0, 0))
        assert made.store.flatten_orders == {}
        assert "Reduction Sent Without The Database" in [alert.title for alert in sink.alerts]
        made.store.failing = None
        await made.until(lambda: latched(made))
        await by_hand(made.alpha, OrderSide.BUY, "1", name="web_9")
        await made.until(lambda: len(made.store.flatten_orders) == 2)


async def test_a_database_that_hangs_holds_up_nothing() -> None:
    made = floor()
    commit = made.store.commit

    async def hangs(batch: Batch) -> Any:
        if batch.flatten_orders:
            await anyio.sleep_forever()
        return await commit(batch)

    made.store.commit = hangs  # type: ignore[method-assign]
    await by_hand(made.alpha, OrderSide.BUY, "3")
    async with made.running() as bot:
        await bot.kill("somebody")
        await flat(made, within=20)


async def test_what_is_more_than_one_order_may_ask_for_is_closed_with_several() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: ("alpha", "BTC-USDT") in bot.markets.instruments)
        listed = bot.markets.instruments["alpha", "BTC-USDT"]
        bot.markets.instruments["alpha", "BTC-USDT"] = replace(listed, max_market_quantity=D(4))
        await by_hand(made.alpha, OrderSide.BUY, "9")
        await bot.kill("somebody")
        await flat(made)
        assert [order.quantity for order in made.store.flatten_orders.values()] == [4, 4, 1]


async def test_a_late_fill_after_the_kill_is_closed() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        await bot.kill("somebody")
        await flat(made)
        await by_hand(made.alpha, OrderSide.BUY, "4")
        await anyio.sleep(10)
        await flat(made)


async def test_what_was_read_before_a_fill_does_not_count_as_flat() -> None:
    """The order is not listed, the position is read, the order fills, and is over before anybody looks."""
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        entry = made.sent(made.alpha)[0].client_id
        read = made.alpha.get_positions

        async def none_listed() -> list[OrderReport]:
            return []

        async def then_filled() -> Sequence[ExchangePosition]:
            found = await read()
            if made.alpha.ledger.orders[entry].state is OrderState.OPEN:
                made.alpha.fill_order(entry)
            return found

        made.alpha.get_open_orders = none_listed  # type: ignore[method-assign]
        made.alpha.get_positions = then_filled  # type: ignore[method-assign]
        bot.loop.entries.stopping = True
        await bot.kill_switch._round("alpha")
        assert made.held(made.alpha) == 10
        assert not bot.kill_switch._watches["alpha"].flat


async def test_it_is_released_when_flat_and_only_then() -> None:
    made = floor()
    async with made.running() as bot:
        with pytest.raises(ConfigError, match="not latched"):
            await bot.release("somebody")
        await opened(made)
        made.alpha.fail("place_order", ExchangeUnavailable("down"), times=3)
        await bot.kill("somebody")
        with pytest.raises(ConfigError, match="not flat yet"):
            await bot.release("somebody")
        await flat(made)
        await bot.release("somebody else")
        assert bot.status().state == "RUNNING"
        assert not latched(made)
        assert bot.not_flat == ()
        await made.until(lambda: bot.state.accounts["alpha"].halted is None)
        made.rates("-0.001", "0.004", made.clock.now() + timedelta(minutes=22))
        await bot.kill("again")
        assert latched(made)
        await flat(made)


async def test_a_kill_while_it_is_being_released_wins() -> None:
    made = floor()
    async with made.running() as bot:
        await bot.kill("me")
        await flat(made)
        set_killed = made.store.set_killed

        async def slow(killed: bool, *arguments: Any) -> None:
            if not killed:
                await anyio.sleep(1)
            await set_killed(killed, *arguments)
            if not killed:
                made.store.failing = "down"  # the latch is in memory only for now

        made.store.set_killed = slow  # type: ignore[method-assign, assignment]
        async with anyio.create_task_group() as tasks:

            async def release() -> None:
                with pytest.raises(ConfigError, match="latched again"):
                    await bot.kill_switch.release("somebody")

            tasks.start_soon(release)
            await anyio.sleep(0.5)
            await bot.kill_switch.latch("somebody else")
        assert bot.killed
        assert made.bot.loop.entries.off_reason == "kill switch latched"
        made.store.failing = None
        await made.until(lambda: made.store.killed, within=2)


async def test_a_release_that_was_stored_without_an_answer_is_taken_back() -> None:
    """Who reads an error believes that it is latched, and so it is, also for the next start."""
    made = floor()
    async with made.running() as bot:
        await bot.kill("me")
        await flat(made)
        set_killed = made.store.set_killed
        written: list[tuple[object, ...]] = []

        async def unanswered(killed: bool, *arguments: Any) -> None:
            await set_killed(killed, *arguments)
            written.append((killed, arguments[0]))
            if not killed:
                made.store.failing = "down"
                raise StoreError("connection lost")

        made.store.set_killed = unanswered  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreError, match="connection lost"):
            await bot.kill_switch.release("somebody")
        assert bot.killed
        assert not made.store.killed, "it was stored"
        await anyio.sleep(5)
        made.store.failing = None
        await made.until(lambda: made.store.killed, within=2)
        assert written == [(False, "somebody"), (True, "me")]
        made.store.set_killed = set_killed  # type: ignore[method-assign]
    async with made.running() as bot:
        assert bot.killed
        await flat(made)
        await bot.kill_switch.release("somebody")
        await anyio.sleep(5)
        assert not made.store.killed


async def test_a_kill_that_was_released_before_it_was_noted_does_not_come_back() -> None:
    made = floor()
    async with made.running() as bot:
        await anyio.sleep(0.6)
        submit = made.store.submit_command

        async def slow(command: Command) -> Command:
            await anyio.sleep(3)
            stored = await submit(command)
            made.store.killed = False  # what the release wrote comes behind it
            return stored

        await made.until(lambda: bot.ready.is_set())
        await bot.kill("me")
        await bot.release("me")
        await anyio.sleep(2)
        assert not bot.killed
        made.store.submit_command = slow  # type: ignore[method-assign]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.kill_switch.latch, "me")
            tasks.start_soon(bot.kill, "me")
            await anyio.sleep(1.5)
            await bot.kill_switch.release("me")
        await anyio.sleep(5)
        assert not bot.killed


async def test_a_bot_that_ends_while_a_kill_is_noted_leaves_it_to_the_next_start() -> None:
    made = floor()
    submit = made.store.submit_command

    async def slow(command: Command) -> Command:
        await anyio.sleep(1)
        return await submit(command)

    said: list[str] = []

    async def pause() -> None:
        with pytest.raises(ConfigError) as refused:
            await bot.pause("me")
        said.append(str(refused.value))

    async with anyio.create_task_group() as tasks:
        async with made.running() as bot:
            await opened(made)
            made.strategy.plans.clear()  # type: ignore[attr-defined]
            made.store.submit_command = slow  # type: ignore[method-assign]
            tasks.start_soon(bot.kill, "me")
            tasks.start_soon(pause)
            await made.until(lambda: latched(made))
        await anyio.sleep(2)
        assert said == ["the bot has stopped meanwhile; look at what it did when it runs again"]
    made.store.submit_command = submit  # type: ignore[method-assign]
    async with made.running():
        await flat(made)
    assert made.position == (0, 0)


async def test_latching_twice_is_latching_once() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await bot.kill("one")
        await bot.kill("two")
        await flat(made)
        await bot.kill("three")
        await anyio.sleep(10)
        assert spoken(sink) == ["Latched by one", "Flat: no order and no position is left"]


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.1])
@pytest.mark.parametrize("fill", [None, Decimal(4), Decimal(10)])
async def test_whenever_it_is_latched_it_ends_flat(seconds: float, fill: Decimal | None) -> None:
    """Entry resting, partly filled, being hedged, held: the same end."""
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        if fill is not None:
            made.alpha.fill_order(made.sent(made.alpha)[0].client_id, fill)
        await anyio.sleep(seconds)
        await bot.kill("somebody")
        await flat(made)
        await made.until(lambda: made.mode() is Mode.DONE)
        await anyio.sleep(40)
        await flat(made)


async def test_a_bot_answers_before_it_runs() -> None:
    bot: Bot = floor().bot
    assert (bot.killed, bot.flattened, bot.not_flat) == (False, False, ())


async def test_its_confirmation_lists_what_was_not_of_this_bot_and_what_was_looked_at() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    made.alpha.reads = "futures"  # type: ignore[attr-defined]
    await by_hand(made.alpha, OrderSide.BUY, "3")
    await by_hand(made.beta, OrderSide.SELL, "2", "120", name="web_2")
    async with made.running() as bot:
        await made.until(lambda: bot.state.accounts["alpha"].halted != "not read yet")
        kill = await made.store.submit_command(
            Command(UUID(int=7), "k", CommandKind.KILL, "somebody", made.clock.now())
        )
        await made.until(lambda: made.store.commands[kill.key].done_at)
        found = [
            "alpha (alpha): looked at futures, at nothing else",
            "alpha (alpha): not of this bot: BTC-USDT 3, closed",
            "beta (beta): not of this bot: BTC-USDT order web_2, cancelled",
        ]
        result = made.store.commands[kill.key].result
        assert result == {"ok": True, "text": "flat: no order and no position is left", "seen": found}
        (alert,) = [alert for alert in sink.alerts if alert.lines[0].startswith("Flat:")]
        assert list(alert.lines[1:]) == ["alpha (alpha): flat", "beta (beta): flat", *found]


async def test_what_cannot_be_closed_from_here_is_named_with_what_to_do() -> None:
    made = floor()
    made.alpha.fail("place_order", OrderRefused("no such contract", code="unknown-symbol"), times=99)
    made.alpha.ledger.positions["BTCUSD"] = FakePosition(D(3), D(100))
    async with made.running() as bot:
        await bot.kill("somebody")
        await made.until(lambda: bot.not_flat)
        (leg,) = bot.not_flat
        assert (leg.symbol, leg.quantity) == ("BTCUSD", D(3))
        assert leg.reason == "no such contract; it cannot be closed from here, close it on the exchange"
