"""What a bot shows to services: the rate table and what changed of it, hedges as they are now, vitals, events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.domain.make import D, plan
from tests.engine.rig import Floor, Proposing

from fundingarb.domain.control import ControlState
from fundingarb.domain.events import FillBooked, HedgeChanged
from fundingarb.domain.hedge import CloseReason, Mode, Status
from fundingarb.domain.instrument import Side
from fundingarb.engine.vitals import LagMeter, quantile
from fundingarb.errors import ExchangeUnavailable, StoreError
from fundingarb.simulation.virtual import START

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)


def floor(**settings: Any) -> Floor:
    made = Floor(Proposing([plan(at=START, settlement=T)]), **settings)
    made.prices()
    made.rates("-0.001", "0.004", T)
    return made


async def held(made: Floor) -> None:
    """The hedge is open and its fills are booked."""
    await made.until(lambda: made.alpha.ledger.orders)
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
    await made.until(lambda: made.mode() is Mode.HOLDING and made.hedge.complete_fills)


# the rate table


async def test_the_rate_table_says_what_is_charged_when_and_per_what() -> None:
    made = floor()
    async with made.running() as bot:
        table = bot.market_rows()
        alpha, beta = table.rows
        assert (alpha.exchange, alpha.symbol, alpha.rate, alpha.interval_hours) == (
            "alpha",
            "BTC-USDT",
            -0.001,
            8,
        )
        assert alpha.rate_8h == pytest.approx(-0.001)
        assert alpha.annual == pytest.approx(-0.001 * 3 * 365)
        assert alpha.next_settlement == T
        assert alpha.mark == 100
        assert (alpha.stale, alpha.age is not None and alpha.age < 5) == (False, True)
        # the median is 0 while no settled rate is known, and eight hours are the forecast's half-life
        assert beta.predicted == pytest.approx(0.002)
        (spread,) = table.spreads
        assert (spread.long_exchange, spread.short_exchange) == ("alpha", "beta")
        assert spread.spread_8h == pytest.approx(0.005)


async def test_only_what_changed_since_the_cursor_is_handed_out() -> None:
    made = floor(symbols=("BTC-USDT", "ETH-USDT"))
    made.prices(symbol="ETH-USDT")
    made.rates("0.001", "0.002", T, symbol="ETH-USDT")
    async with made.running() as bot:
        first = bot.market_rows()
        assert len(first.rows) == 4
        await anyio.sleep(3)  # heard again and again, nothing moved
        second = bot.market_rows(first.cursor)
        assert (second.rows, second.cursor) == ((), first.cursor)
        made.beta.set_rate("ETH-USDT", "0.003", next_settlement=T, mark="100", index="100")
        third = bot.market_rows(first.cursor)
        assert [(row.exchange, row.symbol, row.rate) for row in third.rows] == [("beta", "ETH-USDT", 0.003)]
        assert [row.symbol for row in third.spreads] == ["ETH-USDT"]
        assert len(bot.market_rows().rows) == 4
        bot.markets.unlist("beta", "ETH-USDT")
        gone = bot.market_rows(third.cursor)
        assert (gone.rows, gone.gone) == ((), (("beta", "ETH-USDT"),))


async def test_a_table_in_parts_is_the_whole_table() -> None:
    made = floor(symbols=("BTC-USDT", "ETH-USDT", "SOL-USDT"))
    for symbol in ("ETH-USDT", "SOL-USDT"):
        made.prices(symbol=symbol)
        made.rates("0.001", "0.002", T, symbol=symbol)
    async with made.running() as bot:
        whole = {row[:3] for row in bot.market_rows().rows}
        parts, cursor = [], 0
        while rows := (found := bot.market_rows(cursor, limit=4)).rows:
            assert len(rows) <= 4
            cursor = found.cursor
            parts += [row[:3] for row in rows]
        assert len(parts) == len(whole) == 6
        assert set(parts) == whole


async def test_a_row_goes_stale_with_its_exchange() -> None:
    made = floor()
    async with made.running() as bot:
        cursor = bot.market_rows().cursor
        bot.state.down.add("beta")
        assert [(row.exchange, row.stale) for row in bot.market_rows(cursor).rows] == [("beta", True)]


# hedges


async def test_a_hedge_as_it_is_now() -> None:
    made = floor()
    async with made.running() as bot:
        await held(made)
        await made.until(lambda: bot.state.distances)
        made.prices(alpha="101", beta="100")
        made.alpha.set_rate("BTC-USDT", "-0.001", next_settlement=T, mark="101", index="101")
        view = await bot.hedge_view(made.hedge)
        assert (view.symbol, view.status, view.version) == (
            "BTC-USDT",
            Status.OPEN,
            made.hedge.intent.version,
        )
        assert (view.quantity, view.size_usd) == (D(10), D(10) * D("100.5"))
        assert (view.spread_8h, view.tolerance, view.preset) == (D("0.005"), D("-0.0001"), "moderate")
        long, short = view.legs
        assert (long.side, long.filled, long.mark) == (Side.LONG, D(10), D(101))
        assert long.entry is not None
        assert long.unrealized == (D(101) - long.entry) * 10
        assert short.fees > 0
        assert view.unrealized is not None
        assert short.unrealized is not None
        assert view.unrealized == long.unrealized + short.unrealized
        assert view.net == view.price + view.funding - view.fees + view.unrealized
        # the long leg is paid a negative rate, the short leg a positive one
        assert long.next_payments[0].at == T
        assert long.next_payments[0].amount == D("0.001") * 101 * 10
        assert short.next_payments[0].amount == D("0.004") * 100 * 10
        assert [watched.reason for watched in view.exits] == [
            CloseReason.SPREAD,
            CloseReason.MARGIN,
            CloseReason.MARGIN,
        ]
        assert (view.unhedged, view.unhedged_seconds) == (D(0), 0.0)


async def test_money_is_what_is_booked_and_read_again_only_when_something_was() -> None:
    made = floor()
    async with made.running() as bot:
        await held(made)
        assert (await bot.hedge_view(made.hedge)).funding == 0
        reads = 0
        original = made.store.payments

        async def payments(hedge_id: Any = None) -> Any:
            nonlocal reads
            reads += 1
            return await original(hedge_id)

        made.store.payments = payments  # type: ignore[method-assign]
        for _ in range(5):
            await bot.hedge_view(made.hedge)
        assert reads == 0
        await anyio.sleep((T - made.clock.now()).total_seconds())
        made.alpha.settle("BTC-USDT", "-0.001", "100")
        made.beta.settle("BTC-USDT", "0.004", "100")
        await made.until(lambda: len(made.store.paid) == 2)
        await anyio.sleep(1)
        view = await bot.hedge_view(made.hedge)
        assert view.funding == sum((p.amount for p, _ in made.store.paid.values()), D(0)) == D(5)


async def test_what_is_unhedged_and_for_how_long() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        made.beta.fail("place_order", ExchangeUnavailable("no answer"), 50)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: bot.state.hedges and made.hedge.unhedged)
        await anyio.sleep(2)
        view, vitals = await bot.hedge_view(made.hedge), bot.vitals()
        assert view.unhedged == D(10)
        assert view.unhedged_usd == D(1000)
        assert view.unhedged_seconds == pytest.approx(2, abs=0.5)
        assert vitals.unhedged_usd == D(1000)
        assert vitals.unhedged_seconds == pytest.approx(view.unhedged_seconds, abs=0.1)


# vitals and events


async def test_vitals_of_a_bot_that_is_well() -> None:
    made = floor()
    made.alpha.clock_offset = timedelta(milliseconds=250)
    async with made.running() as bot:
        await held(made)
        await anyio.sleep((T - made.clock.now()).total_seconds() + 5)
        made.alpha.settle("BTC-USDT", "-0.001", "100")
        await anyio.sleep(30)
        vitals = bot.vitals()
        assert (vitals.state, vitals.error, vitals.ready, vitals.database_reachable) == (
            "RUNNING",
            None,
            True,
            True,
        )
        assert [(one.exchange, one.breaker_open) for one in vitals.exchanges] == [
            ("alpha", False),
            ("beta", False),
        ]
        assert {one.account: one.equity is not None for one in vitals.accounts} == {
            "alpha": True,
            "beta": True,
        }
        assert vitals.accounts[0].clock_offset_ms == pytest.approx(250, abs=1)
        assert vitals.orders_timed == 2
        assert vitals.order_latency_p50_ms is not None
        assert (vitals.settlements_booked, vitals.settlements_expected) == (1, 2)
        assert vitals.unhedged_usd == 0


async def test_a_failing_database_or_strategy_is_an_error_with_its_reason() -> None:
    made = floor()
    async with made.running() as bot:
        await held(made)
        made.store.failing = "disk full"
        await bot.close_hedge(made.hedge.id)
        await made.until(lambda: bot.vitals().state == "ERROR")
        vitals = bot.vitals()
        assert vitals.error == "database: disk full"
        assert not vitals.database_reachable
        assert vitals.entries_off == "database: disk full"


async def test_services_hear_committed_events_and_are_told_what_they_missed() -> None:
    made = floor()
    async with made.running() as bot:
        with bot.events(1000, FillBooked, HedgeChanged) as all_of_them, bot.events(1) as slow:
            await held(made)
            heard = []
            while (event := all_of_them.take()) is not None:
                heard.append(type(event))
            assert set(heard) == {FillBooked, HedgeChanged}
            assert slow.missed > 0


async def test_the_lag_of_the_loop_is_the_worst_lateness() -> None:
    made = floor()
    meter = LagMeter(made.clock)
    assert meter.worst is None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(meter.run)
        await anyio.sleep(2)
        tasks.cancel_scope.cancel()
    assert meter.worst == pytest.approx(0, abs=1e-6)


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([1.0], 0.99) == 1.0
    assert quantile([float(value) for value in range(100)], 0.99) == 99.0
    assert quantile([float(value) for value in range(100)], 0.5) == 50.0


async def test_a_database_that_cannot_be_read_is_said_also_in_quiet_hours() -> None:
    made = floor()
    made.strategy = Proposing([])
    async with made.running() as bot:
        assert bot.vitals().database_reachable
        read = made.store.control

        async def broken() -> ControlState:
            raise StoreError("no route to the database")

        made.store.control = broken  # type: ignore[method-assign]
        await made.until(lambda: not bot.vitals().database_reachable)
        assert (bot.vitals().state, bot.vitals().error) == ("ERROR", "database: no route to the database")
        made.store.control = read  # type: ignore[method-assign]
        await made.until(lambda: bot.vitals().database_reachable)
        assert bot.vitals().state == "RUNNING"
