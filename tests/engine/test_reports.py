"""What was earned, from what is booked: the summary is the sum, the account of a hedge is complete."""

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
from tests.store.samples import StillClock

from fundingarb.domain.events import HedgeChanged
from fundingarb.domain.funding import SettledRate
from fundingarb.domain.hedge import CloseReason, Hedge, LegPlan, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import HedgePlan
from fundingarb.domain.pnl import hedge_pnl
from fundingarb.engine import settled
from fundingarb.engine.settled import missed
from fundingarb.errors import ConfigError, StoreError
from fundingarb.simulation.virtual import START

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)


def floor(*symbols: str) -> Floor:
    names = symbols or ("BTC-USDT",)
    made = Floor(Proposing([_plan(name) for name in names]), symbols=names)
    made.ids = iter(
        UUID(int=number << 80) for number in range(1, 1000)
    )  # orders are named after the first bytes
    for name in names:
        made.prices(symbol=name)
        made.rates("-0.001", "0.004", T, symbol=name)
    return made


def _plan(symbol: str) -> HedgePlan:
    legs: dict[str, Any] = {
        "long": LegPlan(Side.LONG, "alpha", instrument("alpha", symbol), 3),
        "short": LegPlan(Side.SHORT, "beta", instrument("beta", symbol), 3),
    }
    return plan(symbol=symbol, at=START, settlement=T, **legs)


async def filled(made: Floor, count: int = 1) -> None:
    """Every resting first leg is hit; all hedges are open and booked."""
    await made.until(lambda: len(made.alpha.ledger.orders) >= count)
    for order in made.sent(made.alpha):
        made.alpha.fill_order(order.client_id)
    hedges = made.bot.state.hedges
    await made.until(lambda: all(h.intent.mode is Mode.HOLDING and h.complete_fills for h in hedges.values()))


async def over(made: Floor) -> None:
    await made.until(lambda: all(hedge.finished for hedge in made.bot.state.hedges.values()))


async def sums(made: Floor) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Price, funding, fees and slippage of everything in the store, computed the long way."""
    total = [D(0)] * 4
    for hedge in await made.store.hedges():
        rows = await made.store.fills(hedge.id), await made.store.payments(hedge.id)
        pnl = hedge_pnl(hedge, *rows)
        for index, value in enumerate((pnl.price, pnl.funding, pnl.fees, pnl.slippage)):
            total[index] += value
    return total[0], total[1], total[2], total[3]


async def test_the_summary_is_exactly_what_is_booked_at_every_moment() -> None:
    made = floor("BTC-USDT", "ETH-USDT")
    async with made.running() as bot:
        empty = await bot.summary()
        assert (empty.trades, empty.realized, empty.win_rate, empty.net) == (0, D(0), None, D(0))
        await filled(made, 2)
        opened = await bot.summary()
        assert (opened.open, opened.trades) == (2, 0)
        assert (opened.price, opened.funding, opened.fees, opened.slippage) == await sums(made)
        assert opened.fees > 0
        assert opened.realized == opened.price - opened.fees
        assert opened.unrealized is not None
        # nothing is closed: all slippage so far is in what is not realised
        assert (opened.realized_slippage, opened.basis) == (D(0), opened.price)
        assert opened.open_slippage == opened.slippage != 0
        assert opened.unrealized_basis == opened.unrealized - opened.slippage

        await anyio.sleep((T - made.clock.now()).total_seconds())
        made.alpha.settle("BTC-USDT", "-0.05", "100")
        made.beta.settle("ETH-USDT", "0.004", "100")
        await anyio.sleep(70)
        paid = await bot.summary()
        assert paid.funding == (await sums(made))[1] == D(50) + D(4)

        (first, second) = bot.live_hedges()
        await bot.close_hedge(first.id)
        await made.until(lambda: bot.state.hedges[first.id].finished)
        one = await bot.summary()
        assert (one.open, one.trades, one.wins, one.win_rate) == (1, 1, 1, D(1))
        assert (one.price, one.funding, one.fees, one.slippage) == await sums(made)
        await bot.close_hedge(second.id)
        await over(made)
        both = await bot.summary()
        assert (both.open, both.trades, both.wins, both.unrealized) == (0, 2, 1, D(0))
        assert (both.open_slippage, both.realized_slippage) == (D(0), both.slippage)
        assert both.win_rate == D("0.5")
        assert both.average_duration is not None
        assert (both.price, both.funding, both.fees, both.slippage) == await sums(made)

        # a payment that the ledger posts late, when the hedge is long over
        made.alpha.settle("BTC-USDT", "-0.001", "100")
        late = await bot.summary()
        assert (late.price, late.funding, late.fees, late.slippage) == await sums(made)
    async with made.running() as bot:
        again = await bot.summary()
        assert (again.price, again.funding, again.fees, again.slippage) == await sums(made)
        assert again.trades == 2


async def test_the_summary_reads_the_store_once_and_after_a_failure_again() -> None:
    made = floor()
    async with made.running() as bot:
        await filled(made)
        await bot.close_hedge(made.hedge.id)
        await over(made)
        read = made.store.closed
        asked = 0

        async def closed(**options: object) -> object:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise StoreError("locked")
            return await read(**options)  # type: ignore[arg-type]

        made.store.closed = closed  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreError):
            await bot.summary()
        for _ in range(3):
            assert (await bot.summary()).trades == 1
        assert asked == 3  # the failure, the page and the empty one behind it


async def test_failures_leave_nothing_behind() -> None:
    made = floor()
    async with made.running() as bot:
        await filled(made)
        await bot.summary()
        listening, books = len(bot.bus._subscriptions), made.store.books

        async def fails(ids: object) -> object:
            raise StoreError("locked")

        for _ in range(3):
            made.store.books = fails  # type: ignore[method-assign, assignment]
            bot.bus.publish(HedgeChanged(replace_mode(made), made.clock.now()))
            with pytest.raises(StoreError):
                await bot.summary()
            made.store.books = books  # type: ignore[method-assign]
            await bot.summary()
        assert len(bot.bus._subscriptions) == listening


def replace_mode(made: Floor) -> Hedge:
    """The hedge, as if it were over."""
    return made.hedge.with_intent(made.hedge.intent.edit(mode=Mode.DONE))


async def test_what_is_booked_while_an_account_is_read_is_not_lost() -> None:
    made = floor()
    async with made.running() as bot:
        await filled(made)
        await bot.hedge_view(made.hedge)
        settlements = made.store.settlements
        asked = 0

        async def slow(*arguments: object, **options: object) -> object:
            nonlocal asked
            asked += 1
            found = await settlements(*arguments, **options)  # type: ignore[arg-type]
            if (
                asked == 1
            ):  # the payments are read already when another one is booked, and somebody else looks
                made.alpha.settle("BTC-USDT", "-0.05", "100")
                await made.until(lambda: made.store.paid)
                await anyio.sleep(0.1)
                await bot.hedge_view(made.hedge)
            return found

        made.store.settlements = slow  # type: ignore[method-assign, assignment]
        bot.money._known.clear()
        await bot.hedge_view(made.hedge)
        assert (await bot.hedge_view(made.hedge)).funding == D(50)


async def test_what_was_given_back_before_would_have_brought_nothing() -> None:
    made = floor()
    async with made.running() as bot:
        await filled(made)
        bot.state.put_intent(made.hedge.intent.edit(quantity=D(4)))
        await made.until(lambda: made.hedge.hedged == D(4))
        await bot.close_hedge(made.hedge.id)
        await over(made)
        closed = made.hedge.intent.closed_at
        assert closed is not None
        for exchange, rate in ((made.alpha, "0"), (made.beta, "0.004")):
            exchange.history["BTC-USDT"] = [
                SettledRate(exchange.name, "BTC-USDT", D(rate), T + timedelta(hours=8 * number))
                for number in range(-1, 4)
            ]
        later = StillClock(closed + timedelta(hours=5))
        known = replace(bot.reports.settled, clock=later)
        held = (await replace(bot.reports, clock=later, settled=known).account_of(made.hedge.id)).held_longer
        assert held is not None
        assert held.one_hour == pytest.approx(4 * D("0.004") * 100, rel=D("0.01"))


async def test_the_full_account_of_a_hedge() -> None:
    made = floor()
    async with made.running() as bot:
        await filled(made)
        hedge_id = made.hedge.id
        live = await bot.account_of(hedge_id)
        assert (live.row.closed_at, live.row.duration, live.held_longer) == (None, None, None)
        await bot.close_hedge(hedge_id)
        await over(made)
        account = await bot.account_of(hedge_id)
        assert account.row.close_reason is CloseReason.MANUAL
        assert len(account.fills) == 4
        assert len(account.orders) == 4
        assert all(row.latency_ms is not None and row.acknowledged_at is not None for row in account.orders)
        assert account.row.net == account.row.price + account.row.funding - account.row.fees
        assert account.row.size_usd == pytest.approx(D(1000), abs=D(2))
        assert account.held_longer is not None
        assert account.held_longer.one_hour is None  # the hour is not over yet
        assert not account.held_longer.too_old
        (row,) = await bot.history()
        assert row == account.row
        assert await bot.history(after=hedge_id) == []
        newest, *_ = await bot.blotter(2)
        assert (newest.symbol, newest.order.purpose.reduces) == ("BTC-USDT", True)
        with pytest.raises(ConfigError, match="there is no hedge"):
            await bot.account_of(UUID(int=99))


async def test_what_holding_longer_would_have_brought() -> None:
    made = floor()
    async with made.running() as bot:
        await filled(made)
        await bot.close_hedge(made.hedge.id)
        await over(made)
        closed = made.hedge.intent.closed_at
        assert closed is not None
        for exchange, rates in ((made.alpha, ("-0.001", "0.002")), (made.beta, ("0.004", "0.001"))):
            exchange.history["BTC-USDT"] = [
                SettledRate(exchange.name, "BTC-USDT", D(rate), T + timedelta(hours=8 * number))
                for number, rate in enumerate(("0", *rates, "0.5"), start=-1)
            ]
        later = StillClock(closed + timedelta(hours=25))
        known = replace(bot.reports.settled, clock=later)
        account = await replace(bot.reports, clock=later, settled=known).account_of(made.hedge.id)
        held = account.held_longer
        assert held is not None
        # within an hour and within four: the settlement at T; within a day: that one and the two after it
        first = 10 * (D("0.001") * _exit(account, "alpha") + D("0.004") * _exit(account, "beta"))
        assert held.one_hour == held.four_hours == first
        second = 10 * (-D("0.002") * _exit(account, "alpha") + D("0.001") * _exit(account, "beta"))
        third = 10 * (-D("0.5") * _exit(account, "alpha") + D("0.5") * _exit(account, "beta"))
        assert held.one_day == first + second + third


def _exit(account: object, name: str) -> Decimal:
    prices = [fill.price for fill in account.fills if fill.account == name]  # type: ignore[attr-defined]
    return D(prices[-1])


def test_what_is_not_known_of_all_of_the_time_is_not_known() -> None:
    leg = LegPlan(Side.SHORT, "beta", instrument("beta"), 3)
    end = T + timedelta(hours=20)
    charged: dict[datetime, Decimal] = {T + timedelta(hours=8 * n): D("0.001") for n in range(-1, 3)}
    assert missed(leg, D(10), D(100), charged, T - timedelta(hours=1), end) == D("0.001") * 3 * 1000
    assert missed(leg, D(10), D(100), charged, T - timedelta(hours=9), end) is None  # begins too late
    assert missed(leg, D(10), D(100), charged, T, T + timedelta(hours=24)) is None  # ends too early
    assert missed(leg, D(10), D(100), {}, T, end) is None


async def test_settled_rates_come_from_memory_or_are_asked_for_once() -> None:
    made = floor()
    old = [SettledRate("alpha", "BTC-USDT", D("0.001"), START - timedelta(hours=8 * n)) for n in range(1, 60)]
    made.alpha.history["BTC-USDT"] = old
    async with made.running() as bot:
        await anyio.sleep(5)

        def asked() -> int:
            return sum(name == "get_funding_history" for name, _ in made.alpha.calls)

        before = asked()
        week = await bot.funding_history("BTC-USDT", ["alpha"], START - timedelta(days=2))
        assert len(week["alpha"]) == 6
        assert asked() == before
        for _ in range(3):
            month = await bot.funding_history("BTC-USDT", ["alpha"], START - timedelta(days=18))
        assert len(month["alpha"]) == 54
        assert month["alpha"][0].settled_at < month["alpha"][-1].settled_at
        assert asked() == before + 1
        with pytest.raises(ConfigError, match="is not traded on gamma"):
            await bot.funding_history("BTC-USDT", ["gamma"], START)


async def test_answers_about_the_past_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled, "ANSWERS", 1)
    made = floor()
    async with made.running() as bot:
        rates, since = bot.reports.settled, START - timedelta(days=30)
        await bot.funding_history("BTC-USDT", ["alpha", "beta"], since)
        assert list(rates._read) == [("beta", "BTC-USDT")]
        monkeypatch.setattr(settled, "ANSWERS", 9)
        await anyio.sleep(settled.KEPT + 1)
        await bot.funding_history("BTC-USDT", ["alpha"], since)
        assert list(rates._read) == [("alpha", "BTC-USDT")]


async def test_exchanges_are_asked_once_by_many_and_not_about_long_ago() -> None:
    made = floor()
    async with made.running() as bot:
        await filled(made)
        await bot.close_hedge(made.hedge.id)
        await over(made)
        closed = made.hedge.intent.closed_at
        assert closed is not None

        def asked() -> int:
            return sum(name == "get_funding_history" for name, _ in made.alpha.calls)

        before = asked()
        async with anyio.create_task_group() as people:
            for _ in range(5):
                people.start_soon(bot.funding_history, "BTC-USDT", ["alpha"], START - timedelta(days=20))
        assert asked() == before + 1
        later = StillClock(closed + timedelta(days=40))
        known = replace(bot.reports.settled, clock=later)
        account = await replace(bot.reports, clock=later, settled=known).account_of(made.hedge.id)
        assert account.held_longer is not None
        assert (account.held_longer.one_day, account.held_longer.too_old) == (None, True)
        assert asked() == before + 1


async def test_a_history_of_many_pages_is_charged_for_all_of_them() -> None:
    made = floor()
    async with made.running() as bot:
        rates, charged = bot.reports.settled, []
        call = bot.gates["alpha"].call

        async def noted(priority: Any, cost: Any, request: Any) -> Any:
            charged.append(cost)
            return await call(priority, cost, request)

        bot.gates["alpha"].call = noted  # type: ignore[method-assign]
        one = {"ip": 2.0, "minute": 1.0}
        made.alpha.cost = lambda operation: one  # type: ignore[method-assign]
        for days, pages in ((20, 1), (90, 3)):  # three settlements a day, a hundred on the shortest page
            rates._read.clear()
            charged.clear()
            await bot.funding_history("BTC-USDT", ["alpha"], made.clock.now() - timedelta(days=days))
            assert charged[-1] == {scope: units * pages for scope, units in one.items()}
