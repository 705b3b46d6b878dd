"""Entries: strategies, risk rules, pauses, hands; and whose turn it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.domain.make import D, instrument, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.stage import HEDGE, T, floor, opened, proposing, titles

from fundingarb.builtin.risk import MarginAvailable
from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import CloseReason, LegPlan, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.order import FillKind, NewOrder, OrderSide, TimeInForce
from fundingarb.domain.risk import Portfolio, refuse
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError, ExchangeError
from fundingarb.ports import Exit
from fundingarb.simulation.virtual import START
from fundingarb.testing import FakeExchange, RecordingAlertSink

pytestmark = pytest.mark.anyio


# who may open what


class Boom:
    """A risk rule with a mistake in it."""

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: Any) -> Refusal | None:
        raise ZeroDivisionError("in a stranger's rule")


async def test_a_rule_that_raises_refuses() -> None:
    made = floor(rules=[Boom()])
    async with made.running() as bot:
        await anyio.sleep(10)
        assert made.sent(made.alpha) == []
        assert "ZeroDivisionError" in bot.loop.entries.refusals.waiting["BTC-USDT"].actual
        with pytest.raises(ConfigError, match="ZeroDivisionError"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000))


async def test_a_mismatch_ends_an_entry_under_way_and_what_has_filled_is_hedged() -> None:
    made = floor(fill_timeout=timedelta(seconds=120), retry_pause=timedelta(hours=1))
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        (first,) = made.sent(made.alpha)
        bot.state.accounts["beta"].halt("test", "a mismatch")
        made.alpha.fill_order(first.client_id, "4")
        await made.until(lambda: made.mode() is Mode.HOLDING, within=20)
        made.prices(alpha="100.1", beta="100.1")
        await anyio.sleep(20)
        assert made.sent(made.alpha) == [first]
        assert made.position == (4, -4)


@pytest.mark.parametrize("exchange", ["alpha", "beta"])
@pytest.mark.parametrize("seconds", [-44, 30])
async def test_nothing_is_opened_near_a_settlement_of_either_exchange(exchange: str, seconds: int) -> None:
    """Before it, and after it, when the exchange has announced the next one already."""
    strategy = Proposing([])
    made = floor(strategy)
    async with made.running() as bot:
        await made.until(lambda: all(a.fees and a.balance for a in bot.state.accounts.values()))
        settlement = made.clock.now() - timedelta(seconds=seconds)
        announced = settlement if seconds < 0 else settlement + timedelta(hours=8)
        getattr(made, exchange).set_rate(
            "BTC-USDT", "0.001", next_settlement=announced, mark="100", index="100"
        )
        await anyio.sleep(0.5)
        strategy.plans.append(plan(at=START, settlement=T))
        await anyio.sleep(5)
        assert bot.state.hedges == {}
        assert bot.loop.entries.refusals.waiting["BTC-USDT"].gate == "settlement"
        assert exchange in bot.loop.entries.refusals.waiting["BTC-USDT"].actual
        with pytest.raises(
            ConfigError, match=f"{exchange} settles funding at .*; try again when that is over"
        ):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000))
        if seconds > 0:
            await made.until(lambda: bot.state.hedges, within=60)


async def test_an_entry_ends_before_a_settlement_of_either_exchange() -> None:
    made = floor(fill_timeout=timedelta(minutes=10))
    made.beta.set_rate(
        "BTC-USDT", "0.004", next_settlement=START + timedelta(minutes=5), mark="100", index="100"
    )
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        assert made.hedge.intent.deadline == START + timedelta(minutes=4)
        sooner = made.clock.now() + timedelta(minutes=1)
        made.beta.set_rate("BTC-USDT", "0.004", next_settlement=sooner, mark="100", index="100")
        await made.until(lambda: not bot.state.live(), within=10)


async def test_a_strategy_that_raises_leaves_open_hedges_looked_after() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    async with made.running() as bot:
        await opened(made)
        strategy.error = ZeroDivisionError("in a stranger's strategy")
        asked = strategy.asked
        await anyio.sleep(10)
        assert strategy.asked > asked + 5
        assert titles(sink).count("Strategy Failed") == 1
        made.alpha.liquidate("BTC-USDT", "120", "3", FillKind.ADL)
        await made.until(lambda: made.held(made.beta) == -7, within=5)
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_exits_of_a_strategy() -> None:
    made = floor()
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    async with made.running():
        await opened(made)
        strategy.plans.clear()
        strategy.exits.append(Exit(HEDGE, CloseReason.SPREAD, "turned"))
        strategy.exits.append(Exit(UUID(int=99), CloseReason.SPREAD, "nobody's"))
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_pause_resume_and_the_latch() -> None:
    made = floor()
    async with made.running() as bot:
        await bot.pause()
        await anyio.sleep(5)
        assert made.sent(made.alpha) == []
        assert bot.status().state == "PAUSED"
        await bot.resume()
        await made.until(lambda: made.sent(made.alpha))
    made.store.killed = True
    made.store.intents.clear()
    made.store.orders.clear()
    count = len(made.sent(made.alpha))
    async with made.running() as bot:
        await anyio.sleep(20)
        assert bot.status().state == "KILLED"
        assert len(made.sent(made.alpha)) == count


async def test_entries_wait_until_every_account_was_read_and_matches() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    foreign = NewOrder("web_1", "BTC-USDT", OrderSide.BUY, D(1), None, TimeInForce.IOC, False)
    await made.alpha.place_order(foreign)
    async with made.running() as bot:
        await anyio.sleep(30)
        assert made.sent(made.alpha) == [foreign]
        assert "foreign position" in str(bot.state.accounts["alpha"].halted)
        assert [a for a in sink.alerts if a.severity is Severity.CRITICAL]
        made.alpha.liquidate("BTC-USDT", "100")  # the person closes it
        await made.until(lambda: len(made.sent(made.alpha)) > 1)


async def test_two_symbols_do_not_spend_the_same_margin() -> None:
    """Each leg of 6,000 USD needs 2,000 of 3,000 x 0.8: the second hedge waits until the first one's is known."""
    big = {"quantity": D(60), "notional": D(6000)}
    eth = _plan_of("ETH-USDT", **big)
    leverage = {(name, symbol): 3 for name in ("alpha", "beta") for symbol in ("BTC-USDT", "ETH-USDT")}
    made = Floor(
        Proposing([_plan_of("BTC-USDT", **big), eth]),
        rules=[MarginAvailable()],
        symbols=("BTC-USDT", "ETH-USDT"),
        leverages=leverage,
    )
    for symbol in ("BTC-USDT", "ETH-USDT"):
        made.prices(symbol=symbol)
        made.rates("-0.0005", "0.002", T, symbol)
    for exchange in (made.alpha, made.beta):
        _limit_margin(exchange, D(3000))
    async with made.running() as bot:
        await made.until(lambda: made.sent(made.alpha))
        await anyio.sleep(2)
        assert len(bot.state.hedges) == 1
        first = made.sent(made.alpha)[0]
        made.alpha.fill_order(first.client_id)
        await made.until(lambda: made.mode() is Mode.HOLDING)
        await anyio.sleep(20)
        assert len(bot.state.hedges) == 1
        assert bot.loop.entries.refusals.waiting["ETH-USDT"].gate == "margin"


def _plan_of(symbol: str, **changes: Any) -> HedgePlan:
    return plan(
        symbol=symbol,
        long=LegPlan(Side.LONG, "alpha", instrument("alpha", symbol), 3),
        short=LegPlan(Side.SHORT, "beta", instrument("beta", symbol), 3),
        at=START,
        settlement=T,
        **changes,
    )


def _limit_margin(exchange: FakeExchange, wallet: Decimal) -> None:
    """Make the fake's balance fall by the margin of what is held, read a second late, as exchanges do."""
    original = exchange.get_balance

    async def get_balance() -> Any:
        balance = await original()
        used = sum((abs(p.quantity) * 100 / 3 for p in exchange.ledger.positions.values()), D(0))
        return replace(balance, wallet=wallet, equity=wallet, available=wallet - used)

    exchange.get_balance = get_balance  # type: ignore[method-assign]


async def test_opening_by_hand() -> None:
    made = floor(Proposing())
    async with made.running() as bot:
        await made.until(
            lambda: not bot.state.accounts["alpha"].halted and not bot.state.accounts["beta"].halted
        )
        await made.until(lambda: bot.state.accounts["beta"].fees and bot.state.accounts["alpha"].fees)
        await made.until(lambda: bot.state.accounts["beta"].balance and bot.state.accounts["alpha"].balance)
        hedge_id = await bot.open_hedge("BTC-USDT", "beta", "alpha", D(500))
        assert bot.state.hedges[hedge_id].intent.origin == "manual"
        assert bot.state.hedges[hedge_id].intent.quantity == D(5)
        assert bot.state.hedges[hedge_id].intent.long.account == "beta"
        with pytest.raises(ConfigError, match="one-per-symbol"):
            await bot.open_hedge("BTC-USDT", "beta", "alpha", D(500))
        for size, text in ((D("0.01"), "less than one lot"), (D("1"), "below the minimum")):
            with pytest.raises(ConfigError, match=text):
                await bot.open_hedge("BTC-USDT", "alpha", "beta", size)
        with pytest.raises(ConfigError, match="gamma is not configured"):
            await bot.open_hedge("BTC-USDT", "gamma", "beta", D(500))
        with pytest.raises(ConfigError, match="no open hedge"):
            await bot.close_hedge(UUID(int=77))


async def test_who_opens_by_hand_is_told_when_nobody_takes_the_first_order() -> None:
    sink = RecordingAlertSink()
    made = floor(Proposing(), sinks={"memory": sink})
    async with made.running() as bot:
        await made.until(lambda: all(a.fees and a.balance for a in bot.state.accounts.values()))
        await bot.open_hedge("BTC-USDT", "beta", "alpha", D(500))
        await made.until(lambda: made.mode() is Mode.DONE, within=900)
        (told,) = [alert for alert in sink.alerts if alert.title == "Position Not Opened"]
        assert told.lines[:2] == ("Pair: BTC-USDT", "Reason: entry deadline passed")


async def test_opening_by_hand_is_refused_for_things_that_are_not_the_same() -> None:
    made = floor(Proposing())
    made.beta.set_rate("BTC-USDT", "0.004", next_settlement=T, mark="150", index="150")
    async with made.running() as bot:
        await made.until(lambda: all(a.fees and a.balance for a in bot.state.accounts.values()))
        with pytest.raises(ConfigError, match=r"index prices .* are 50\.00 % apart"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(500))


async def test_two_clicks_at_once_open_one_hedge() -> None:
    made = floor(Proposing())
    results: list[object] = []

    async def click(bot: Bot) -> None:
        try:
            results.append(await bot.open_hedge("BTC-USDT", "beta", "alpha", D(500)))
        except ConfigError as error:
            results.append(error)

    async with made.running() as bot:
        await made.until(
            lambda: not bot.state.accounts["alpha"].halted and not bot.state.accounts["beta"].halted
        )
        await made.until(lambda: bot.state.accounts["beta"].balance and bot.state.accounts["alpha"].balance)
        async with anyio.create_task_group() as clicks:
            clicks.start_soon(click, bot)
            clicks.start_soon(click, bot)
        assert len(bot.state.hedges) == 1
        assert sorted(type(result).__name__ for result in results) == ["ConfigError", "UUID"]


async def test_a_click_that_took_long_meets_the_rules_as_they_are_then() -> None:
    """Setting the accounts up takes requests; what was allowed before them may not be allowed after."""
    made = floor(Proposing())
    async with made.running() as bot:
        await made.until(
            lambda: not bot.state.accounts["alpha"].halted and not bot.state.accounts["beta"].halted
        )
        await made.until(lambda: bot.state.accounts["beta"].balance and bot.state.accounts["alpha"].balance)
        original = made.alpha.get_modes

        async def slow(symbol: str) -> Any:
            await anyio.sleep(1)
            return await original(symbol)

        made.alpha.get_modes = slow  # type: ignore[method-assign]
        bot.state.accounts["alpha"].prepared.clear()
        async with anyio.create_task_group() as clicks:

            async def click() -> None:
                with pytest.raises(ConfigError, match="killed"):
                    await bot.open_hedge("BTC-USDT", "alpha", "beta", D(500))

            clicks.start_soon(click)
            await anyio.sleep(0.5)
            bot.state.killed = True
        assert not bot.state.hedges


# several plans for one symbol


async def test_the_next_best_plan_has_its_turn_when_a_risk_rule_refuses_the_best() -> None:
    class NotTen:
        def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
            return refuse(plan, "ten", "less", "10", now) if plan.quantity == 10 else None

    strategy = proposing()
    strategy.plans += [
        replace(strategy.plans[0], quantity=D(size), notional=D(100 * size)) for size in (4, 3)
    ]
    made = floor(strategy, rules=[NotTen()])
    async with made.running() as bot:
        await made.until(lambda: made.sent(made.alpha))
        assert made.sent(made.alpha)[0].quantity == 4
        assert len(bot.state.hedges) == 1
        await anyio.sleep(2)
        assert not [r for r in await made.store.refusals() if r.gate == "one-per-symbol"]


async def test_the_next_best_plan_waits_while_the_best_is_being_prepared() -> None:
    strategy = proposing()
    (best,) = strategy.plans
    strategy.plans = []
    made = floor(strategy)
    async with made.running() as bot:
        ready = bot.state.accounts.values()
        await made.until(lambda: all("BTC-USDT" in a.prepared and not a.halted for a in ready))
        long = replace(best.long, leverage=7)  # to be set first; the next best could go ahead
        strategy.plans = [replace(best, long=long), replace(best, quantity=D(4), notional=D(400))]
        await made.until(lambda: made.sent(made.alpha))
        assert made.sent(made.alpha)[0].quantity == 10
        assert made.alpha.leverage["BTC-USDT"] == 7


async def test_and_has_its_turn_when_that_fails() -> None:
    strategy = proposing()
    strategy.plans += [replace(strategy.plans[0], quantity=D(4), notional=D(400))]
    strategy.plans[0] = replace(strategy.plans[0], long=replace(strategy.plans[0].long, leverage=7))
    made = floor(strategy)
    real = made.alpha.set_leverage

    async def set_leverage(symbol: str, leverage: int) -> None:
        if leverage == 7:
            raise ExchangeError("alpha: leverage 7 is not for you")
        await real(symbol, leverage)

    made.alpha.set_leverage = set_leverage  # type: ignore[method-assign]
    async with made.running():
        await made.until(lambda: made.sent(made.alpha))
        assert made.sent(made.alpha)[0].quantity == 4
