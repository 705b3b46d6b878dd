"""The runaway guards in a running bot: nothing gets past them, each is told of, and a restart does not reset them."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.domain.make import D, plan
from tests.engine.rig import Floor, Proposing

from fundingarb.builtin.risk import DailyLoss, OrderRate, RoundTrips, TotalNotional
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import CloseReason, Hedge, Mode
from fundingarb.domain.opportunity import HedgePlan
from fundingarb.domain.order import NewOrder
from fundingarb.domain.risk import Portfolio
from fundingarb.engine.bot import Bot
from fundingarb.simulation.virtual import START
from fundingarb.testing import RecordingAlertSink

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)
EVENING = START.replace(hour=23, minute=50)


def floor(*rules: Any, **settings: Any) -> Floor:
    made = Floor(Proposing([plan(at=START, settlement=T)]), rules=rules, **settings)
    made.prices()
    made.rates("-0.001", "0.004", T)
    made.ids = iter(
        UUID(int=number << 80) for number in range(1, 100)
    )  # orders are named after the first bytes
    return made


async def opened(made: Floor) -> None:
    def resting() -> list[str]:
        return [name for name, report in made.alpha.ledger.orders.items() if not report.state.terminal]

    await made.until(resting)
    made.alpha.fill_order(resting()[0])
    await made.until(lambda: any(h.intent.mode is Mode.HOLDING for h in made.bot.state.live()))
    await made.until(lambda: all(h.complete_fills for h in made.bot.state.live()))


async def closed(made: Floor) -> None:
    (live,) = made.bot.state.live()
    await made.bot.close_hedge(live.id)
    await made.until(lambda: made.bot.state.hedges[live.id].intent.mode is Mode.DONE)


def titles(sink: RecordingAlertSink) -> list[str]:
    return [alert.title for alert in sink.alerts]


# orders per minute


async def test_an_engine_gone_wild_cannot_exceed_the_orders_of_a_minute() -> None:
    """The entry is cancelled and asked for again at every move of the price, as fast as it goes."""
    sink = RecordingAlertSink()
    policy = ExecutionPolicy(
        reprice_after=timedelta(0), reprice=D("0.00001"), reprice_cap=D(1), entry_attempts=10_000
    )
    made = floor(
        OrderRate(20),
        sinks={"memory": sink},
        policy=policy,
        fill_timeout=timedelta(minutes=10),
        retry_pause=timedelta(0),
    )
    times: deque[float] = deque()
    place = made.alpha.place_order

    async def placed(order: NewOrder) -> Any:
        times.append(made.clock.monotonic())
        return await place(order)

    made.alpha.place_order = placed  # type: ignore[method-assign]
    async with made.running():
        for step in range(1500):
            made.prices(alpha=str(100 + step / 2))
            await anyio.sleep(0.1)
    assert len(times) > 15  # it did try
    worst = max(sum(1 for other in times if at - 60 < other <= at) for at in times)
    assert worst == 15
    assert "Limit Reached: order-rate" in titles(sink)


async def test_the_hard_stop_does_not_depend_on_the_rule_having_been_asked() -> None:
    """Approved while there was room, sent when there was none: refused, not sent, and nothing left behind."""

    class Late(OrderRate):
        def check(self, *_args: Any) -> None:
            return None

    made = floor(Late(20), retry_pause=timedelta(hours=1))
    async with made.running() as bot:
        bot.state.sent_at.extend([made.clock.monotonic() + 30] * 15)
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.sent(made.alpha) == []
        assert "15 orders within a minute" in made.hedge.orders[0].reason


async def test_orders_before_a_restart_count() -> None:
    made = floor(OrderRate(20))
    async with made.running():
        await opened(made)
        before = len(made.bot.state.sent_at)
        assert before == 2
    async with made.running() as bot:
        assert len(bot.state.sent_at) == before


# round trips


async def test_round_trips_are_limited_also_over_a_restart() -> None:
    sink = RecordingAlertSink()
    made = floor(RoundTrips(2), sinks={"memory": sink}, retry_pause=timedelta(0))
    async with made.running():
        for _ in range(2):
            await opened(made)
            await closed(made)
        await anyio.sleep(60)
        assert len(made.bot.state.hedges) == 2
        assert "Limit Reached: round-trips" in titles(sink)
    async with made.running() as bot:
        await anyio.sleep(60)
        assert len(bot.state.hedges) == 2
        await made.until(lambda: len(bot.state.hedges) == 3, within=3600)


# daily loss


async def test_the_days_loss_is_fees_funding_and_price_realised_or_not() -> None:
    made = floor(DailyLoss(D(1000)))
    async with made.running() as bot:
        await made.until(lambda: bot.state.day_result == 0)
        await opened(made)  # 10 at 100: 0.02 % of 1,000 as maker, 0.05 % of 999 as taker
        fees = D("0.2") + D("0.4995")
        await made.until(lambda: bot.state.day_result == -fees - 1)  # sold at 99.9, worth 100
        made.alpha.settle("BTC-USDT", "0.01", "100")
        await made.until(lambda: bot.state.day_result == -fees - 1 - 10)
        for exchange, mark in ((made.alpha, "90"), (made.beta, "95")):
            rate = exchange.rates["BTC-USDT"]
            exchange.rates["BTC-USDT"] = replace(rate, mark=Decimal(mark))
        await made.until(lambda: bot.state.day_result == -fees - 1 - 10 - 100 + 50)
        await closed(made)
        await made.until(lambda: bot.state.day_result == result(made))


def result(made: Floor) -> Decimal:
    return made.alpha.ledger.wallet + made.beta.ledger.wallet - 200_000


async def lose(made: Floor) -> None:
    """A round trip that loses more than 20 USD."""
    await opened(made)
    made.prices(alpha="97", beta="100")
    await made.bot.close_hedge(made.hedge.id)
    await made.until(lambda: made.mode() is Mode.DONE and made.hedge.complete_fills)
    made.prices()


async def test_a_day_that_lost_too_much_takes_no_entries_until_midnight_also_over_a_restart() -> None:
    sink = RecordingAlertSink()
    made = floor(DailyLoss(D(20)), sinks={"memory": sink}, retry_pause=timedelta(0), start=EVENING)
    async with made.running():
        await lose(made)
        await made.until(lambda: "Limit Reached: daily-loss" in titles(sink), within=5)
        (alert,) = [alert for alert in sink.alerts if alert.title == "Limit Reached: daily-loss"]
        assert alert.severity is Severity.CRITICAL
    async with made.running() as bot:
        await anyio.sleep(30)
        assert len(bot.state.hedges) == 1
        assert bot.state.day_result == result(made) < -20
        midnight = made.clock.now().replace(hour=0, minute=0, second=0) + timedelta(days=1)
        await anyio.sleep((midnight - made.clock.now()).total_seconds() - 5)
        assert len(bot.state.hedges) == 1
        made.rates("-0.001", "0.004", midnight + timedelta(hours=8))
        await made.until(lambda: len(bot.state.hedges) == 2, within=90)
        assert "Below The Limit Again: daily-loss" in titles(sink)


async def test_a_loss_with_the_kill_reaction_latches_the_kill_switch() -> None:
    sink = RecordingAlertSink()
    made = floor(DailyLoss(D(20), kill=True), sinks={"memory": sink}, retry_pause=timedelta(0))
    async with made.running() as bot:
        await lose(made)
        await made.until(lambda: bot.state.killed, within=5)
        await made.until(lambda: made.store.killed, within=5)
        assert bot.loop.entries.off_reason == "kill switch latched"
        await made.until(lambda: bot.flattened)
        await bot.release("somebody")
    async with made.running() as bot:
        await made.until(lambda: titles(sink).count("Limit Reached: daily-loss") == 2, within=10)
        await anyio.sleep(5)
        assert not bot.state.killed, "a person has decided to go on today; entries are off all the same"
        assert len(bot.state.hedges) == 1


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_release_of_another_kill_does_not_disarm_the_daily_loss(restarted: bool) -> None:
    made = floor(DailyLoss(D(20), kill=True), retry_pause=timedelta(0))
    made.strategy.plans.clear()  # type: ignore[attr-defined]

    async def lose_too_much(bot: Bot) -> None:
        made.strategy.plans.append(plan(at=START, settlement=T))  # type: ignore[attr-defined]
        await lose(made)
        await made.until(lambda: bot.state.killed, within=5)

    async with made.running() as bot:
        await anyio.sleep(2)
        await bot.kill("a drill")
        await made.until(lambda: bot.flattened)
        await bot.release("somebody")
        if not restarted:
            await lose_too_much(bot)
    if restarted:
        async with made.running() as bot:
            await lose_too_much(bot)


async def test_a_guard_that_is_told_to_kill_when_its_limit_is_reached_already_kills() -> None:
    made = floor(DailyLoss(D(20)), retry_pause=timedelta(0))
    async with made.running() as bot:
        await lose(made)
        await made.until(lambda: bot.parts_in_use.guards._reached)
        assert not bot.state.killed
        bot.adopt(bot.settings, made.strategy, [DailyLoss(D(20), kill=True)])
        await made.until(lambda: bot.state.killed, within=5)


async def test_a_database_that_hangs_keeps_no_rule_from_closing() -> None:
    class Closes:
        closes_as = CloseReason.DEPEG
        now = False

        def check(self, asked: HedgePlan, portfolio: Portfolio, now: Any) -> None:
            return None

        def why_close(self, hedge: Hedge, portfolio: Portfolio, now: Any) -> str | None:
            return "apart" if self.now else None

    rule = Closes()
    made = floor(rule)
    async with made.running() as bot:
        await opened(made)

        async def hangs(*_: Any) -> Any:
            await anyio.sleep_forever()

        made.store.result_since = hangs  # type: ignore[method-assign, assignment]
        await anyio.sleep((T - made.clock.now()).total_seconds() + 1)
        made.alpha.settle("BTC-USDT", "-0.001", "100")  # something to read
        await anyio.sleep(5)
        rule.now = True
        await made.until(lambda: not bot.state.live(), within=20)


async def test_near_the_limit_is_a_warning() -> None:
    sink = RecordingAlertSink()
    made = floor(TotalNotional(D(1200), D(5000)), sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await made.until(lambda: "Near The Limit: total-notional" in titles(sink), within=5)
        await anyio.sleep(120)
        assert titles(sink).count("Near The Limit: total-notional") == 1


async def test_an_entry_that_a_guard_refuses_is_told_once() -> None:
    sink = RecordingAlertSink()
    made = floor(TotalNotional(D(999), D(5000)), sinks={"memory": sink})
    async with made.running() as bot:
        await anyio.sleep(60)
        assert not bot.state.hedges
    (alert,) = [a for a in sink.alerts if a.title == "Limit Refuses An Entry: total-notional"]
    assert alert.severity is Severity.WARNING
    assert "Needs: at most 999 USD over all" in alert.lines


async def test_a_guard_that_raises_neither_stops_the_others_nor_lets_an_order_out() -> None:
    class Broken:
        gate = "broken"

        def check(self, *_args: Any) -> None:
            return None

        def admit(self, *_args: Any) -> str | None:
            raise ValueError("odd")

        def usage(self, portfolio: Portfolio, now: Any) -> None:
            raise ValueError("odd")

    sink = RecordingAlertSink()
    made = floor(Broken(), TotalNotional(D(1000), D(1000)), sinks={"memory": sink}, retry_pause=timedelta(1))
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.sent(made.alpha) == []
        assert "a risk rule failed: ValueError: odd" in made.hedge.orders[0].reason
