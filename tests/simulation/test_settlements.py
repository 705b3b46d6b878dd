"""Funding exactly once against the localnet's truth: the whole engine, restarts, deaf streams, late and lost rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import anyio
import pytest

from fundingarb.domain.events import Alert
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import CloseReason, Hedge
from fundingarb.domain.pnl import HedgePnl, hedge_pnl
from fundingarb.domain.settlement import Settlement, SettlementStatus
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Credentials
from fundingarb.ports import AccountSink
from fundingarb.simulation import market, streams
from fundingarb.simulation.books import check_money
from fundingarb.simulation.exchange import SimAdapter
from fundingarb.simulation.network import SimExchange
from fundingarb.simulation.runner import EXCHANGES, default_setup
from fundingarb.simulation.schedule import Opening, Schedule
from fundingarb.simulation.virtual import LoopClock, VirtualLoop
from fundingarb.simulation.world import World

BEGIN = datetime(2026, 1, 5, 7, 56, tzinfo=timezone.utc)
T = BEGIN + timedelta(minutes=4)
HOUR = timedelta(hours=1)
SYMBOL = "BTC-USDT"
BOOKED, MISSING, LATE = SettlementStatus.BOOKED, SettlementStatus.MISSING, SettlementStatus.LATE


class Story:
    """A world with one hedge, opened a minute before a settlement; ``delays`` are the exchanges' posting times."""

    def __init__(self, *, delays: tuple[float, float] = (1.0, 21.0), speed: float = 6.0) -> None:
        self.clock = LoopClock(BEGIN, speed=speed)
        schedule = Schedule(
            7,
            openings=tuple(Opening(at, SYMBOL, "alpha", "beta", 5000, 1e9) for at in range(45, 200, 30)),
            settings={"fill_timeout": 60.0},
        )
        setup = default_setup(schedule, self.clock)
        start = self.clock.start.timestamp()
        truths = {}
        for number, name in enumerate(EXCHANGES):
            rules = market.rules(always_unique=bool(number), funding_delay=delays[number])
            contracts = [market.contract(one, coarse=bool(number)) for one in market.SYMBOLS]
            model = setup.truths[name]._core.markets[contracts[0].id].model
            truth = Exchange(name, rules, contracts, model, start=start, seed=7, levels=6)
            truth.add_account(name, Credentials(f"key-{name}", "secret"), Decimal(100_000))
            for contract in contracts:
                truth.set_funding(contract.id, interval_hours=8, rate=Decimal("0.0005") * (1 + 2 * number))
            truths[name] = truth
        self.world = World(replace(setup, truths=truths))
        self.alerts: list[Alert] = []
        heard = self.world.send

        async def send(alert: Alert) -> None:
            self.alerts.append(alert)
            await heard(alert)

        self.world.send = send  # type: ignore[method-assign]

    def tell(self, body: Callable[[Story], Awaitable[None]]) -> None:
        anyio.run(self._run, body, backend_options={"loop_factory": VirtualLoop})

    async def _run(self, body: Callable[[Story], Awaitable[None]]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.world.beat)
            tasks.start_soon(self.world.live)
            await body(self)
            self.world.over = True
            tasks.cancel_scope.cancel()
        assert [breach for breach in self.world.monitor.breaches if breach.invariant != "I1"] == []

    async def until(self, at: datetime) -> None:
        await self.clock.sleep((at - self.clock.now()).total_seconds())

    async def close(self) -> None:
        bot = self.world.bot
        assert bot is not None
        (hedge,) = bot.live_hedges()
        await bot.close_hedge(hedge.id, CloseReason.MANUAL)
        assert await self.world.until(lambda: not bot.live_hedges(), 30)

    async def hedge(self) -> Hedge:
        (found,) = await self.world.store.hedges()
        return found

    async def rows(self) -> list[Settlement]:
        return list(await self.world.store.settlements())

    async def pnl(self) -> HedgePnl:
        hedge, store = await self.hedge(), self.world.store
        return hedge_pnl(
            hedge,
            await store.fills(hedge.id),
            await store.payments(hedge.id),
            await store.settlements(hedge.id),
        )

    async def exact(self) -> None:
        """Books and truth agree to the last digit, and all of it is the hedge's."""
        store, truths = self.world.store, self.world.setup.truths
        payments = await store.payments()
        assert check_money(truths, await store.fills(), payments, self.clock.now()) == []
        paid = [row.amount for truth in truths.values() for row in truth.funding_payments(truth.name)]
        assert sum(row.amount for row in payments) == sum(paid, Decimal(0))
        assert (await self.pnl()).funding == sum(paid, Decimal(0))

    def titles(self) -> set[str]:
        return {alert.title for alert in self.alerts if "Funding" in alert.title}


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event of an account's stream ever arrives."""

    async def silent(venue: SimExchange, name: str, sink: AccountSink) -> None:
        sink.connected(f"{venue.name}.account.{name}")
        await anyio.sleep_forever()

    monkeypatch.setattr(streams, "account", silent)


@pytest.mark.usefixtures("deaf")
def test_settlements_are_booked_without_a_word_of_any_stream() -> None:
    async def body(story: Story) -> None:
        await story.until(T + timedelta(minutes=12))
        rows = await story.rows()
        assert [(row.at, row.status) for row in rows] == [(T, BOOKED), (T, BOOKED)]
        await story.exact()
        assert await story.world.until(lambda: "Funding Missing" not in story.titles(), 1)

    Story().tell(body)


def test_a_ledger_that_posts_after_the_hedge_is_closed_and_the_bot_restarted() -> None:
    async def body(story: Story) -> None:
        await story.until(T + timedelta(minutes=2))
        await story.close()
        pnl = await story.pnl()
        assert (pnl.short.awaited, pnl.short.funding) == (1, Decimal(0))
        assert pnl.short.outstanding is not None
        assert pnl.short.outstanding > 0
        await story.world.crash(10)
        await story.until(T + timedelta(minutes=25))
        assert "Funding Missing" in story.titles()
        assert (await story.pnl()).short.missing == 1
        await story.world.crash(60)  # across the posting, at 45 minutes
        assert await story.world.ready()
        await story.until(T + timedelta(minutes=80))
        assert {row.status for row in await story.rows()} == {BOOKED, LATE}
        assert "Late Funding Booked" in story.titles()
        await story.exact()

    Story(delays=(1.0, 45 * 60.0)).tell(body)


def test_a_settlement_while_the_bot_is_down() -> None:
    async def body(story: Story) -> None:
        await story.until(T - timedelta(minutes=1))
        assert await story.world.until(story.world.settled, 20)
        await story.world.crash(
            (T + timedelta(minutes=40) - story.clock.now()).total_seconds() / story.clock.speed
        )
        assert await story.world.ready()
        await story.until(T + timedelta(minutes=55))
        assert [row.status for row in await story.rows()] == [BOOKED, BOOKED]
        assert all(row.charged for row in await story.rows())
        assert story.titles() <= {"Funding Collected"}
        await story.exact()

    Story().tell(body)


@pytest.mark.slow
def test_intervals_become_shorter_while_a_hedge_is_held() -> None:
    async def body(story: Story) -> None:
        await story.until(T + timedelta(minutes=20))
        for truth in story.world.setup.truths.values():
            native = truth.instrument(SYMBOL).id
            truth.set_funding(native, interval_hours=1)
        await story.until(T + 2 * HOUR + timedelta(minutes=20))
        await story.world.crash(20)
        assert await story.world.ready()
        await story.until(T + 3 * HOUR + timedelta(minutes=20))
        rows = await story.rows()
        assert sorted({row.at for row in rows}) == [T + n * HOUR for n in range(4)]
        assert {row.status for row in rows} == {BOOKED}
        assert len(rows) == 8
        await story.exact()
        assert story.titles() <= {"Funding Collected", "Funding Terms Changed"}

    Story(speed=30).tell(body)


@pytest.mark.slow
def test_a_payment_that_never_comes_stays_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = SimAdapter.get_funding_payments

    async def lossy(self: Any, since: datetime) -> list[FundingPayment]:
        found = await asked(self, since)
        return [] if self.name == "beta" else list(found) * 2  # the other one says everything twice

    monkeypatch.setattr(SimAdapter, "get_funding_payments", lossy)

    async def body(story: Story) -> None:
        await story.until(T + timedelta(minutes=20))
        await story.close()
        await story.until(T + 5 * HOUR)
        await story.world.crash(20)
        assert await story.world.ready()
        await story.until(T + 6 * HOUR)
        assert {row.account: (row.status, row.amount is None) for row in await story.rows()} == {
            "alpha": (BOOKED, False),
            "beta": (MISSING, True),
        }
        pnl = await story.pnl()
        paid = story.world.setup.truths["alpha"].funding_payments("alpha")
        assert pnl.funding == sum((row.amount for row in paid), Decimal(0)) != 0
        assert (pnl.missing, pnl.awaited) == (1, 0)
        assert pnl.outstanding is not None
        lost = story.world.setup.truths["beta"].funding_payments("beta")
        assert abs(pnl.outstanding / sum((row.amount for row in lost), Decimal(0)) - 1) < Decimal("0.01")
        assert {"Funding Missing", "Funding Still Missing"} <= story.titles()

    Story(speed=30).tell(body)
