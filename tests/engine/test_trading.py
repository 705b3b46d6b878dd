"""The trading loop end to end, on two exchanges and a store in memory: what is sent, held and closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from tests.domain.make import D
from tests.engine.stage import HEDGE, RULES, T, booked, floor, opened, titles

from fundingarb.builtin.strategy import FundingSpread
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import CloseReason, Mode, Status
from fundingarb.domain.order import OrderState, Purpose
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ExchangeUnavailable
from fundingarb.simulation.virtual import START
from fundingarb.testing import RecordingAlertSink, Script

pytestmark = pytest.mark.anyio


# the whole life


async def test_a_hedge_is_opened_held_through_a_settlement_and_closed_when_the_spread_turns() -> None:
    sink = RecordingAlertSink()
    made = floor(FundingSpread(RULES), sinks={"memory": sink})
    async with made.running() as bot:
        waiting = made.bot.loop.entries.refusals.waiting
        # 22 minutes before: the window opens at 20
        await made.until(lambda: waiting and waiting["BTC-USDT"].gate == "window", within=30)
        assert not made.sent(made.alpha)
        assert "entry window of BTC-USDT" in bot.status().waiting_for
        await anyio.sleep(119)
        await opened(made)
        assert made.clock.now() < T - timedelta(minutes=15)
        hedge = made.hedge
        assert (hedge.intent.long.account, hedge.intent.short.account) == ("alpha", "beta")
        assert hedge.intent.quantity == D(10)
        assert made.position == (10, -10)
        await booked(made)

        await anyio.sleep((T - made.clock.now()).total_seconds())
        made.alpha.settle("BTC-USDT", "-0.001", "100")
        made.beta.settle("BTC-USDT", "0.004", "100")
        made.rates("0.0005", "0.0001", T + timedelta(hours=8))  # turned round
        await anyio.sleep(55)
        assert made.mode() is Mode.HOLDING  # not right at the settlement
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.position == (0, 0)
        hedge = made.hedge
        assert hedge.intent.close_reason is CloseReason.SPREAD
        assert hedge.status is Status.CLOSED
        await made.until(lambda: len(made.store.paid) == 2)
        pnl = await bot.pnl(hedge)
        assert pnl.funding == D(1) + 4
        for exchange, leg in ((made.alpha, pnl.long), (made.beta, pnl.short)):
            assert leg.price + leg.funding - leg.fees == exchange.ledger.wallet - 100_000  # to the last digit
        (opening,) = [alert for alert in sink.alerts if alert.title == "Position Opened"]
        assert opening.lines[-1] == "Expected funding: $5.00"  # 10 x 100 x (0.1 % + 0.4 %), both at 08:00
        await made.until(lambda: "Position Closed" in titles(sink))
        assert titles(sink).count("Position Opened") == 1
        assert titles(sink).count("Funding Collected") == 2
        assert not [alert for alert in sink.alerts if alert.severity is Severity.CRITICAL]


async def test_less_liquid_first_and_never_naked_for_long() -> None:
    made = floor()
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        (entry,) = made.sent(made.alpha)
        assert (entry.price, entry.reduce_only) == (D(100), False)
        assert made.sent(made.beta) == []  # the second leg waits for fills of the first
        made.alpha.fill_order(entry.client_id, "4")
        await made.until(lambda: made.held(made.beta) == -4, within=1)
        made.alpha.fill_order(entry.client_id, "6")
        await made.until(lambda: made.mode() is Mode.HOLDING, within=1)
        assert made.held(made.beta) == -10


async def test_an_entry_that_is_not_filled_in_time_is_cancelled_and_leaves_nothing() -> None:
    made = floor(retry_pause=timedelta(hours=1))
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=45)
        assert made.hedge.status is Status.ABANDONED
        assert made.clock.now() >= START + timedelta(seconds=30)
        assert not [o for o in made.alpha.ledger.orders.values() if o.state is OrderState.OPEN]
        assert made.sent(made.beta) == []
        await anyio.sleep(60)
        assert len(made.bot.state.hedges) == 1  # the pause before the next try


# when the second leg fails


async def test_a_refused_second_leg_unwinds_the_first_at_once() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink}, retry_pause=timedelta(hours=1))
    made.beta.script(Script.refuse("not-enough-margin"))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.mode() is Mode.DONE, within=3)
        assert made.position == (0, 0)
        unwind = made.sent(made.alpha)[-1]
        assert unwind.reduce_only
        assert made.hedge.orders[-1].purpose is Purpose.UNWIND
        assert len(made.sent(made.beta)) == 1
        await made.until(lambda: "Second Leg Failed" in titles(sink))
        (alert,) = [alert for alert in sink.alerts if alert.title == "Second Leg Failed"]
        assert alert.severity is Severity.CRITICAL


async def test_a_second_leg_in_doubt_is_waited_for() -> None:
    made = floor()
    made.beta.script(Script.lost_reply())
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.mode() is Mode.HOLDING, within=10)
        assert made.position == (10, -10)
        assert len(made.sent(made.beta)) == 1


async def test_a_fill_too_small_for_the_second_exchange_is_not_left_naked_until_the_timeout() -> None:
    made = floor(fill_timeout=timedelta(minutes=50), retry_pause=timedelta(hours=2))
    picky = replace(made.beta.instruments["BTC-USDT"], min_notional=D(500))
    made.beta.instruments["BTC-USDT"] = picky
    made.strategy.plans[:] = [  # type: ignore[attr-defined]
        replace(each, short=replace(each.short, instrument=picky))
        for each in made.strategy.plans  # type: ignore[attr-defined]
    ]
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "2")
        await anyio.sleep(3)
        assert made.held(made.alpha) == 2, "more may come"
        await made.until(lambda: made.held(made.alpha) == 0, within=10)
        assert made.sent(made.beta) == []


async def test_an_unreachable_second_exchange_means_unwinding_on_the_first() -> None:
    made = floor(retry_pause=timedelta(hours=1))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        for operation in ("get_balance", "get_open_orders", "get_fills", "get_funding_rates", "place_order"):
            made.beta.fail(operation, ExchangeUnavailable("no answer"), times=1000)
        made.bot.state.down.add("beta")
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.held(made.alpha) == 0 and made.alpha.ledger.fills, within=10)
        assert made.sent(made.beta) == []


# closing


async def test_a_manual_close_waits_for_both_exchanges_and_a_kill_does_not() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        bot.state.down.add("beta")
        made.beta.fail("place_order", ExchangeUnavailable("beta: 503"), times=10_000)
        await bot.close_hedge(HEDGE)
        await anyio.sleep(20)
        assert made.position == (10, -10)
        await bot.close_hedge(HEDGE, CloseReason.KILL)
        await made.until(lambda: made.held(made.alpha) == 0, within=5)
        assert made.held(made.beta) == -10
        made.beta._failures["place_order"].clear()
        bot.state.down.discard("beta")
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.hedge.intent.close_reason is CloseReason.KILL


async def test_stopping_cancels_resting_entries_and_leaves_open_hedges() -> None:
    made = floor()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.bot.run)
        tasks.start_soon(made._tick_markets)
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "4")
        await made.until(lambda: made.held(made.beta) == -4)
        made.bot.stop()
        await made.until(
            lambda: not [o for o in made.alpha.ledger.orders.values() if o.state is OrderState.OPEN]
        )
        await anyio.sleep(12)
        tasks.cancel_scope.cancel()
    assert made.position == (4, -4)
    (intent,) = made.store.intents.values()
    assert intent.mode in (Mode.OPENING, Mode.HOLDING)


# pace


async def test_the_loop_does_not_spin() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        before = 0
        ticks = 0
        original = bot.loop.tick

        async def tick() -> None:
            nonlocal ticks
            ticks += 1
            await original()

        bot.loop.tick = tick  # type: ignore[method-assign]
        await anyio.sleep(20)
        assert 30 <= ticks - before <= 300
        assert made.hedge.orders[0].state is OrderState.OPEN


async def test_the_loop_does_not_spin_while_an_exchange_wants_silence() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        for gate in bot.gates.values():
            gate._paused_until = bot.clock.monotonic() + 120
        ticks = 0
        original = bot.loop.tick

        async def tick() -> None:
            nonlocal ticks
            ticks += 1
            assert ticks < 2000
            await original()

        bot.loop.tick = tick  # type: ignore[method-assign]
        await anyio.sleep(60)  # the entry's deadline passes: its order is to be cancelled and cannot be


def test_patience_scales_with_the_clock() -> None:
    settings = TradingSettings(
        symbols=(),
        rules=RULES,
        policy=ExecutionPolicy(),
        fill_timeout=timedelta(seconds=30),
        settlement_guard=timedelta(seconds=60),
        tolerances={"ETH-USDT": D(0)},
        default_tolerance=D("-0.0001"),
        leverages={("alpha", "BTC-USDT"): 3},
    )
    fast = settings.for_speed(100)
    assert fast.policy.naked_budget == timedelta(seconds=500)
    assert fast.policy.reprice_after == timedelta(seconds=5)
    assert fast.policy.retry_after == timedelta(seconds=25)
    assert fast.fill_timeout == timedelta(seconds=30)
    assert settings.for_speed(1) == settings
    assert (settings.tolerance("ETH-USDT"), settings.tolerance("BTC-USDT")) == (D(0), D("-0.0001"))
    assert (settings.leverage("alpha", "BTC-USDT"), settings.leverage("beta", "BTC-USDT")) == (3, 5)
