"""Commands through the database: taken once, executed once, their results where they were asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
from tests.domain.make import D
from tests.engine.rig import Floor
from tests.engine.stage import floor, opened
from tests.engine.test_kill import by_hand, spoken

from fundingarb.domain.control import Command, CommandKind, ControlState, Subject
from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import CloseReason, Mode
from fundingarb.domain.order import FillKind, NewOrder, OrderSide, OrderState, TimeInForce
from fundingarb.errors import ExchangeError, ExchangeUnavailable, StoreError
from fundingarb.ports import AccountModes
from fundingarb.testing import RecordingAlertSink, Script

pytestmark = pytest.mark.anyio


def command(made: Floor, kind: CommandKind, key: str = "", **arguments: Any) -> Command:
    return Command(uuid4(), key or uuid4().hex, kind, "somebody", made.clock.now(), arguments)


async def ask(made: Floor, kind: CommandKind, **arguments: Any) -> Command:
    """Submit a command and wait for its result."""
    asked = await made.store.submit_command(command(made, kind, **arguments))
    await made.until(lambda: made.store.commands[asked.key].done_at)
    return made.store.commands[asked.key]


def said(done: Command) -> tuple[bool, str]:
    assert done.result is not None
    return done.result["ok"], done.result["text"]


def lines(done: Command) -> list[str]:
    assert done.result is not None
    found: list[str] = done.result["lines"]
    return found


async def test_pause_and_unpause() -> None:
    made = floor()
    async with made.running() as bot:
        assert said(await ask(made, CommandKind.PAUSE)) == (
            True,
            "paused; open hedges are looked after as before",
        )
        assert bot.status().state == "PAUSED"
    async with made.running() as bot:
        assert bot.status().state == "PAUSED", "also after a restart"
        assert said(await ask(made, CommandKind.UNPAUSE))[0]
        assert bot.status().state == "RUNNING"
    async with made.running() as bot:
        assert bot.status().state == "RUNNING"


async def test_the_end_of_a_pause_that_was_stored_without_an_answer_is_taken_back() -> None:
    made = floor()
    async with made.running() as bot:
        assert said(await ask(made, CommandKind.PAUSE))[0]
        set_paused = made.store.set_paused

        async def unanswered(paused: bool, *arguments: Any) -> None:
            await set_paused(paused, *arguments)
            if not paused:
                raise StoreError("connection lost")

        made.store.set_paused = unanswered  # type: ignore[method-assign, assignment]
        assert said(await ask(made, CommandKind.UNPAUSE)) == (False, "connection lost")
        assert bot.status().state == "PAUSED"
        await made.until(lambda: made.store.paused, within=5)


async def test_a_kill_reports_how_far_it_is_and_is_released_by_command() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        made.alpha.fail("place_order", ExchangeUnavailable("down"), times=1)
        kill = await made.store.submit_command(command(made, CommandKind.KILL))
        assert made.store.killed, "latched before the bot has seen it"
        await made.until(lambda: (made.store.commands[kill.key].result or {}).get("legs"))
        refused = await ask(made, CommandKind.RELEASE)
        assert said(refused)[0] is False
        assert "not flat yet: alpha (alpha) BTC-USDT 10" in said(refused)[1]
        await made.until(lambda: made.store.commands[kill.key].done_at)
        assert said(made.store.commands[kill.key]) == (True, "flat: no order and no position is left")
        assert made.position == (0, 0)
        assert spoken(sink)[0] == "Latched by somebody"
        assert said(await ask(made, CommandKind.RELEASE))[0]
        assert bot.status().state == "RUNNING"
        await anyio.sleep(5)
        assert not bot.killed


async def test_a_latch_set_by_another_process_is_seen_within_a_second() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        made.store.killed = True
        await made.until(lambda: bot.killed, within=1)
        await made.until(lambda: bot.flattened)


async def test_the_same_key_is_one_command() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        hedge = made.hedge
        first = await made.store.submit_command(
            command(made, CommandKind.CLOSE, "double-click", hedge="BTC-USDT")
        )
        again = await made.store.submit_command(
            command(made, CommandKind.CLOSE, "double-click", hedge="BTC-USDT")
        )
        assert again == first
        await made.until(lambda: made.store.commands["double-click"].done_at)
        assert said(made.store.commands["double-click"]) == (True, "closing BTC-USDT")
        await made.until(lambda: made.mode() is Mode.DONE)
        assert bot.state.hedges[hedge.id].intent.close_reason is CloseReason.MANUAL
        late = await ask(made, CommandKind.CLOSE, hedge="BTC-USDT")
        assert said(late) == (False, "there is no open hedge BTC-USDT")


async def test_what_was_done_is_not_remembered_for_ever() -> None:
    """Of many commands, hedges and orders nothing is left in memory once they are over; none is done twice."""
    made = floor()
    async with made.running() as bot:
        await opened(made)
        for _ in range(20):
            assert said(await ask(made, CommandKind.STATUS))[0]
        await made.until(lambda: not bot.commands._taken and not bot.commands._over, within=5)
        assert bot.state.seen.keys() <= {
            order.client_id for hedge in bot.state.live() for order in hedge.orders
        }
        assert said(await ask(made, CommandKind.CLOSE, hedge=str(made.hedge.id)))[0]
        await made.until(lambda: made.mode() is Mode.DONE)
        await made.until(lambda: not bot.state.seen, within=5)


async def test_a_command_that_was_interrupted_is_not_executed_again() -> None:
    made = floor()
    half = await made.store.submit_command(command(made, CommandKind.PAUSE))
    await made.store.take_command(half.id, made.clock.now())
    async with made.running() as bot:
        await made.until(lambda: made.store.commands[half.key].done_at)
        assert said(made.store.commands[half.key])[0] is False
        assert bot.status().state == "RUNNING"


@pytest.mark.parametrize("released", [False, True])
async def test_a_kill_that_was_interrupted_goes_on_unless_it_was_released(released: bool) -> None:
    made = floor()
    await by_hand(made.alpha, OrderSide.BUY, "3")
    half = await made.store.submit_command(command(made, CommandKind.KILL))
    await made.store.take_command(half.id, made.clock.now())
    made.store.killed = not released
    async with made.running() as bot:
        await made.until(lambda: made.store.commands[half.key].done_at)
        assert bot.killed is not released
        assert made.position == ((3, 0) if released else (0, 0))


async def test_what_allows_risk_again_is_not_done_late_and_a_kill_always_is() -> None:
    made = floor()
    old = command(made, CommandKind.UNPAUSE)
    kill = command(made, CommandKind.KILL)
    await anyio.sleep(61)
    await made.store.submit_command(old)
    await made.store.submit_command(kill)
    async with made.running() as bot:
        await made.until(lambda: made.store.commands[kill.key].done_at)
        assert said(made.store.commands[old.key]) == (False, "it is 61 s old; ask again")
        assert bot.flattened


async def test_status_answers_for_the_bot() -> None:
    made = floor()
    async with made.running():
        await made.until(lambda: not made.bot.state.accounts["alpha"].halted)
        done = await ask(made, CommandKind.STATUS)
        assert done.result is not None
        assert done.result["text"] == "RUNNING"
        assert done.result["accounts"][0]["account"] == "alpha"
        assert done.result["accounts"][0]["halted"] is None


# resolving differences by hand


async def halted(made: Floor, account: str = "alpha") -> str:
    await made.until(lambda: "position" in str(made.bot.state.accounts[account].halted))
    return str(made.bot.state.accounts[account].halted)


async def free(made: Floor, account: str = "alpha") -> None:
    await made.until(lambda: made.bot.state.accounts[account].halted is None, within=20)


async def test_an_accepted_foreign_position_halts_no_more_also_after_a_restart() -> None:
    made = floor()
    await by_hand(made.alpha, OrderSide.BUY, "3")
    async with made.running():
        assert "foreign position is 0 here, 3 on the exchange" in await halted(made)
        assert made.sent(made.alpha) == [sent for sent in made.sent(made.alpha) if sent.client_id == "web_1"]
        done = await ask(made, CommandKind.ACCEPT)
        assert lines(done) == ["alpha BTC-USDT: foreign position is 0 here, 3 on the exchange: accepted"]
        await free(made)
    (row,) = made.store.accepted.values()
    assert (row.subject, row.name, row.quantity, row.actor) == (
        Subject.POSITION,
        "BTC-USDT",
        D(3),
        "somebody",
    )
    async with made.running():
        await free(made)
        await by_hand(made.alpha, OrderSide.BUY, "1", name="web_2")
        assert "position is 3 here, 4 on the exchange" in await halted(made)


async def test_a_foreign_position_is_flattened_and_our_leg_beside_it_is_not() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await by_hand(made.alpha, OrderSide.BUY, "3")
        await by_hand(made.alpha, OrderSide.SELL, "1", "120", name="web_2")
        await halted(made)
        done = await ask(made, CommandKind.FLATTEN, account="alpha")
        assert said(done)[0], done.result
        assert made.position == (10, -10)
        assert made.alpha.ledger.orders["web_2"].state is OrderState.CANCELLED
        assert [order.quantity for order in made.store.flatten_orders.values()] == [3]
        await free(made)
        assert made.mode() is Mode.HOLDING


async def test_what_is_flattened_by_hand_is_not_flattened_twice() -> None:
    """The order arrives late. What is accepted beside it, and our leg, would be taken by a second one."""
    made = floor()
    async with made.running():
        await opened(made)
        await by_hand(made.alpha, OrderSide.BUY, "3")
        await halted(made)
        made.alpha.script(Script(accept=False, reply=False, late=True))
        async with anyio.create_task_group() as tasks:

            async def late() -> None:
                await anyio.sleep(2.5)
                made.alpha.deliver_late()

            tasks.start_soon(late)
            done = await ask(made, CommandKind.FLATTEN, account="alpha")
        assert said(done)[0], done.result
        assert made.position == (10, -10)
        (order,) = made.store.flatten_orders.values()
        assert (order.state, order.filled) == (OrderState.FILLED, D(3))
        await free(made)
        assert made.mode() is Mode.HOLDING


async def test_a_flatten_order_that_never_arrived_is_sent_again_once_that_is_proved() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await by_hand(made.alpha, OrderSide.BUY, "3")
        await halted(made)
        made.alpha.script(Script(accept=False, reply=False))
        asked = made.clock.monotonic()
        done = await ask(made, CommandKind.FLATTEN, account="alpha")
        assert said(done)[0], done.result
        assert made.clock.monotonic() - asked > 12  # its expiry, and how long it may be invisible
        assert made.position == (10, -10)
        assert [order.state for order in made.store.flatten_orders.values()] == [
            OrderState.REFUSED,
            OrderState.FILLED,
        ]


async def test_what_the_exchange_took_is_not_accepted_as_gone_before_it_is_in_the_ledger() -> None:
    """Accepted and then read in the ledger, it would be gone twice."""
    made = floor()
    async with made.running():
        await opened(made)
        read = made.alpha.get_fills
        until = made.clock.now() + timedelta(seconds=3)

        async def later(since: datetime, symbol: str | None = None) -> Any:
            found = await read(since, symbol)
            return [each for each in found if each.kind is FillKind.TRADE or made.clock.now() > until]

        made.alpha.get_fills = later  # type: ignore[method-assign]
        await by_hand(made.alpha, OrderSide.BUY, "2")
        made.alpha.liquidate("BTC-USDT", "120", "6", FillKind.ADL)
        await halted(made)
        await ask(made, CommandKind.ACCEPT, account="alpha")
        await made.until(lambda: made.position == (6, -4), within=10)
        await free(made)
        assert made.hedge.long.filled == 4


async def test_a_leg_that_is_smaller_for_no_reason_known_is_evened_out_when_accepted() -> None:
    """The ledger does not say where it went: nothing is assumed until a person says so."""
    made = floor()
    async with made.running():
        await opened(made)
        await made.until(lambda: made.hedge.complete_fills)
        held = made.alpha.ledger.positions["BTC-USDT"]
        held.quantity -= 4
        assert "position is 10 here, 6 on the exchange" in await halted(made)
        await anyio.sleep(10)
        assert made.position == (6, -10)
        assert said(await ask(made, CommandKind.ACCEPT))[0]
        await made.until(lambda: made.position == (6, -6))
        await free(made)
    async with made.running():
        await free(made)
        assert made.hedge.long.filled == 6


async def test_an_order_that_stays_in_doubt_is_told_and_given_up_when_a_person_has_looked() -> None:
    """The entry never arrived, a person has bought as much, and the ledger does not say who: nothing will prove it."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    made.alpha.script(Script.lost_request())
    async with made.running():
        await made.until(lambda: made.sent(made.alpha))
        await by_hand(made.alpha, OrderSide.BUY, "10")
        made.alpha.ledger.fills[-1] = replace(made.alpha.ledger.fills[-1], client_id=None)
        await made.until(lambda: "Order In Doubt" in [alert.title for alert in sink.alerts], within=60)
        (entry,) = made.hedge.orders
        assert entry.state is OrderState.UNKNOWN
        assert made.position == (10, 0)
        done = await ask(made, CommandKind.ACCEPT)
        assert lines(done) == [
            f"alpha: order {entry.client_id} was in doubt and is given up",
            "alpha BTC-USDT: foreign position is 0 here, 10 on the exchange: accepted",
        ]
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.position == (10, 0)
        assert [a.title for a in sink.alerts].count("Order In Doubt") == 1


async def test_an_order_that_its_exchange_cannot_be_asked_about_is_given_up_too() -> None:
    """Its instrument has left the list: every question is refused, so nobody ever says that it is not there."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    made.alpha.script(Script.lost_request())
    made.alpha.fail("find_order", ExchangeError("alpha lists no BTC-USDT"), times=10_000)
    async with made.running():
        await made.until(lambda: "Order In Doubt" in [alert.title for alert in sink.alerts], within=60)
        made.alpha.fail("get_positions", ExchangeUnavailable("in maintenance"), times=1)
        done = await ask(made, CommandKind.ACCEPT, account="alpha")
        assert not said(done)[0], "who does not answer says nothing about what is not there"
        (entry,) = made.hedge.orders
        assert entry.state is OrderState.UNKNOWN
        done = await ask(made, CommandKind.ACCEPT, account="alpha")
        assert lines(done)[0] == f"alpha: order {entry.client_id} was in doubt and is given up"
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_nothing_to_resolve_and_an_account_that_is_none() -> None:
    made = floor()
    async with made.running():
        await free(made)
        assert lines(await ask(made, CommandKind.ACCEPT)) == ["nothing to accept: everything matches"]
        assert lines(await ask(made, CommandKind.FLATTEN)) == ["nothing to flatten: everything matches"]
        done = await ask(made, CommandKind.ACCEPT, account="gamma")
        assert said(done) == (False, "there is no account gamma; configured: alpha, beta")


async def test_another_bot_on_the_account_halts_until_a_person_says_otherwise() -> None:
    """Fault 23: two databases, one account. Its orders show in the ledger, also when they are over."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await free(made)
        await opened(made)
        for name, side in (
            ("faabcdbi3ib62e4flc001", OrderSide.BUY),
            ("faabcdbi3ib62e4flc002", OrderSide.SELL),
        ):
            await made.alpha.place_order(NewOrder(name, "BTC-USDT", side, D(2), None, TimeInForce.IOC, False))
        account = made.bot.state.accounts["alpha"]
        await made.until(lambda: "bot that trades here" in str(account.halted), within=40)
        assert "also abcd (order faabcdbi3ib62e4flc001); end that one" in str(account.halted)
        assert Severity.CRITICAL in {a.severity for a in sink.alerts if "alpha does not match" in a.title}
        await anyio.sleep(60)
        assert account.halted
        assert said(await ask(made, CommandKind.ACCEPT))[0]
        await free(made)


async def test_modes_that_changed_under_a_hedge_halt_until_they_are_put_right() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await free(made)
        made.alpha.leverage["BTC-USDT"] = 20
        made.alpha.margin_mode = "isolated"
        account = made.bot.state.accounts["alpha"]
        await made.until(lambda: "leverage is 5 here, 20 on the exchange" in str(account.halted), within=60)
        assert "margin mode is cross here, isolated on the exchange" in str(account.halted)
        done = await ask(made, CommandKind.ACCEPT)
        assert all("it has to be put right on the exchange" in line for line in lines(done))
        assert await made.alpha.get_modes("BTC-USDT") == AccountModes("one-way", "isolated", D(20))
        made.alpha.leverage["BTC-USDT"], made.alpha.margin_mode = 5, "cross"
        await free(made)
        assert made.clock.now() - made.bot.started_at < timedelta(minutes=5)


async def test_a_command_that_another_process_took_is_left_to_it() -> None:
    made = floor()

    async def too_late(command_id: object, at: object) -> bool:
        return False

    made.store.take_command = too_late  # type: ignore[method-assign]
    async with made.running() as bot:
        asked = await made.store.submit_command(command(made, CommandKind.PAUSE))
        await anyio.sleep(3)
        assert bot.status().state == "RUNNING"
        assert made.store.commands[asked.key].done_at is None


async def test_a_command_that_was_taken_without_an_answer_is_done_when_it_is_found() -> None:
    """The database takes it for us and does not say so in time: nobody else is going to do it."""
    made = floor()
    take, asked = made.store.take_command, 0

    async def silent(command_id: UUID, at: datetime) -> bool:
        nonlocal asked
        asked += 1
        await take(command_id, at)
        await anyio.sleep_forever()
        raise AssertionError

    made.store.take_command = silent  # type: ignore[method-assign]
    async with made.running() as bot:
        pause = await made.store.submit_command(command(made, CommandKind.PAUSE))
        await made.until(lambda: made.store.commands[pause.key].done_at, within=10)
        assert said(made.store.commands[pause.key])[0]
        assert bot.status().state == "PAUSED"
        assert asked == 1


async def test_commands_are_read_again_when_a_database_that_hangs_answers() -> None:
    made = floor()
    control, hanging = made.store.control, True

    async def read() -> ControlState:
        if hanging:
            await anyio.sleep_forever()
        return await control()

    made.store.control = read  # type: ignore[method-assign]
    async with made.running() as bot:
        await made.until(lambda: "did not answer" in str(bot.commands.unreadable), within=5)
        hanging = False
        await made.store.submit_command(command(made, CommandKind.KILL))
        await made.until(lambda: bot.killed, within=5)
