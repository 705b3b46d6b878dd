"""What the exchange does by itself: liquidations, auto-deleveraging, orders that arrive after all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import anyio
import pytest
from tests.domain.make import D
from tests.engine.rig import Proposing
from tests.engine.stage import HEDGE, booked, deafen, floor, opened, titles

from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import CloseReason, Mode, Status
from fundingarb.domain.order import FillKind, OrderReport, OrderSide, OrderState
from fundingarb.errors import OrderRefused, RateLimited
from fundingarb.ports import Batch
from fundingarb.testing import RecordingAlertSink, Script

pytestmark = pytest.mark.anyio


async def test_a_liquidation_closes_the_other_leg_and_pauses_the_symbol() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        made.beta.liquidate("BTC-USDT", "130")
        await made.until(lambda: made.mode() is Mode.DONE, within=5)
        assert made.held(made.alpha) == 0
        hedge = made.hedge
        assert hedge.status is Status.LIQUIDATED
        assert hedge.intent.close_reason is CloseReason.LIQUIDATION
        assert made.bot.state.cooldowns["BTC-USDT"] >= made.clock.now() + timedelta(minutes=59)
        await anyio.sleep(30)
        assert len(made.bot.state.hedges) == 1, "the symbol pauses"
        assert [
            a for a in sink.alerts if a.title == "Liquidation Detected" and a.severity is Severity.CRITICAL
        ]


async def test_the_loss_of_a_liquidation_is_booked_to_the_last_digit() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        made.beta.liquidate("BTC-USDT", "130")
        await made.until(lambda: made.mode() is Mode.DONE and made.hedge.complete_fills, within=5)
        pnl = await bot.pnl(made.hedge)
        assert pnl.short.price == (D("99.9") - 130) * 10
        for exchange, leg in ((made.alpha, pnl.long), (made.beta, pnl.short)):
            assert leg.price + leg.funding - leg.fees == exchange.ledger.wallet - 100_000


async def test_a_liquidation_while_opening_keeps_its_long_pause() -> None:
    made = floor(retry_pause=timedelta(seconds=1))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "4")
        await made.until(lambda: made.held(made.beta) == -4)
        made.beta.liquidate("BTC-USDT", "130")
        await made.until(lambda: made.mode() is Mode.DONE, within=20)
        assert made.bot.state.cooldowns["BTC-USDT"] >= made.clock.now() + timedelta(minutes=59)


async def test_a_liquidation_while_the_bot_was_down() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
    made.beta.liquidate("BTC-USDT", "130")
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=10)
        assert made.held(made.alpha) == 0
        assert made.hedge.status is Status.LIQUIDATED


async def test_a_liquidation_that_was_booked_and_not_yet_acted_on_when_the_bot_died() -> None:
    """The fill is on disk, the intent is not: no new fill will ever tell of it again."""
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
    taken = made.beta.liquidate("BTC-USDT", "130")
    await made.store.commit(Batch(fills=((taken, HEDGE),)))
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    strategy.plans.clear()
    async with made.running() as bot:
        await made.until(lambda: made.mode() is Mode.DONE, within=10)
        assert made.held(made.alpha) == 0
        assert made.hedge.status is Status.LIQUIDATED
        assert bot.state.cooldowns["BTC-USDT"] > made.clock.now()


@pytest.mark.parametrize("kind", [FillKind.LIQUIDATION, FillKind.ADL])
async def test_a_charge_of_nothing_is_booked_and_closes_nothing(kind: FillKind) -> None:
    """A clawback (OKX): the exchange takes money and leaves the position alone."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        before = (await bot.pnl(made.hedge)).short.fees
        ledger, now = made.beta.ledger, made.clock.now()
        nothing = ledger.take("BTC-USDT", OrderSide.SELL, D(0), D(0), now, kind)
        ledger.fills[-1] = charge = replace(nothing, fee=D("2.5"), trade_id="bill7")
        for told in list(made.beta._account_sinks):
            told.fill(charge)
        await anyio.sleep(30)
        assert (await bot.pnl(made.hedge)).short.fees == before + D("2.5")
        assert made.mode() is Mode.HOLDING
        assert (made.held(made.alpha), made.held(made.beta)) == (D(10), D(-10))
        assert "BTC-USDT" not in bot.state.cooldowns
        assert not {"Liquidation Detected", "Auto-Deleveraged"} & set(titles(sink))


async def test_auto_deleveraging_shrinks_the_other_leg() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
        made.alpha.liquidate("BTC-USDT", "120", "3", FillKind.ADL)
        await made.until(lambda: made.held(made.beta) == -7, within=5)
        assert made.mode() is Mode.HOLDING
        assert made.sent(made.beta)[-1].reduce_only


async def test_a_close_that_is_refused_reads_the_ledger_before_anything_else() -> None:
    """The position is gone, nobody has told us: the refusal must not become a storm of orders."""
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        deafen(made.beta)
        made.beta.liquidate("BTC-USDT", "130")
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.mode() is Mode.DONE, within=10)
        assert made.held(made.alpha) == 0
        assert len([order for order in made.sent(made.beta) if order.reduce_only]) <= 3


async def test_an_order_that_arrives_after_all_is_cancelled_and_flattened() -> None:
    """Given up after the proof, it turned up later and was filled: flat again, and nothing rests."""
    made = floor(retry_pause=timedelta(hours=10))
    made.alpha.script(Script.arrives_late())
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=90)
        made.alpha.deliver_late()
        name = made.sent(made.alpha)[0].client_id
        made.alpha.fill_order(name, "4")
        await made.until(lambda: made.held(made.alpha) == 0, within=60)
        await made.until(lambda: made.alpha.ledger.orders[name].state is OrderState.CANCELLED, within=60)
        assert made.sent(made.alpha)[-1].reduce_only


async def test_an_order_that_is_filled_after_all_is_seen_at_once_although_no_event_tells_of_it() -> None:
    """The account holds nothing, so its positions are read seldom; but not while an order there was just given up."""
    made = floor(retry_pause=timedelta(hours=10))
    made.alpha.script(Script.arrives_late())
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=90)
        deafen(made.alpha)
        await anyio.sleep(40)
        made.alpha.deliver_late()
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "10")
        await made.until(lambda: made.held(made.alpha) == 0, within=5)


async def test_an_order_that_was_said_to_be_cancelled_and_rests_all_the_same_is_cancelled() -> None:
    made = floor(retry_pause=timedelta(hours=10))
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        ((name, resting),) = made.alpha.ledger.orders.items()
        bot.state.observe(replace(resting, state=OrderState.CANCELLED), made.clock.now())
        made.alpha.ledger.orders[name] = resting
        bot.loop.wake()
        await made.until(lambda: made.mode() is Mode.DONE, within=60)
        await made.until(lambda: made.alpha.ledger.orders[name].state is OrderState.CANCELLED, within=60)
        await made.until(lambda: not bot.state.accounts["alpha"].halted, within=60)
        assert made.position == (0, 0)


async def test_such_an_order_is_found_by_reading_when_no_event_tells_of_it() -> None:
    made = floor(retry_pause=timedelta(hours=10))
    made.alpha.script(Script.arrives_late())
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=90)
        deafen(made.alpha)
        made.alpha.deliver_late()
        name = made.sent(made.alpha)[0].client_id
        await made.until(lambda: made.alpha.ledger.orders[name].state is OrderState.CANCELLED, within=120)
        assert made.held(made.alpha) == 0
        await made.until(lambda: not made.bot.state.accounts["alpha"].halted, within=120)


async def test_an_open_order_that_its_exchange_tells_nothing_of() -> None:
    """Filled while the stream is still and every question is refused: nobody can know, so somebody is told in time."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    deafen(made.alpha)
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        for operation in ("find_order", "get_fills", "get_positions", "get_open_orders"):
            made.alpha.fail(operation, RateLimited("too many requests", retry_after=1.0), times=1000)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "10")
        filled = made.clock.now()
        await made.until(lambda: "Open Order Cannot Be Seen" in titles(sink), within=10)
        alert = next(alert for alert in sink.alerts if alert.title == "Open Order Cannot Be Seen")
        assert alert.severity is Severity.CRITICAL
        assert alert.at - filled < timedelta(seconds=5)
        assert any(made.sent(made.alpha)[0].client_id in line for line in alert.lines)


async def test_an_open_order_from_before_a_restart_that_its_exchange_tells_nothing_of() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        await made.until(lambda: made.hedge.orders[0].state is OrderState.OPEN)
    deafen(made.alpha)
    for operation in ("find_order", "get_fills", "get_positions", "get_open_orders"):
        made.alpha.fail(operation, RateLimited("too many requests", retry_after=1.0), times=1000)
    async with made.running():
        await made.until(lambda: "Open Order Cannot Be Seen" in titles(sink), within=10)


async def test_a_leg_found_naked_by_asking_is_an_alert_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is still and answers are slow: by the time the fill is known, the leg has been naked for a while."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    deafen(made.alpha)
    find, asked = made.alpha.find_order, list[datetime]()

    async def slow(symbol: str, client_id: str) -> OrderReport | None:
        asked.append(made.clock.now())
        report = await find(symbol, client_id)
        await anyio.sleep(0.9)
        return report

    monkeypatch.setattr(made.alpha, "find_order", slow)
    async with made.running():
        await made.until(lambda: asked)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "10")
        filled = made.clock.now()
        for exchange in (made.alpha, made.beta):
            exchange.fail("place_order", OrderRefused("no"), times=1000)
        await made.until(lambda: "Unhedged Position" in titles(sink), within=10)
        alert = next(alert for alert in sink.alerts if alert.title == "Unhedged Position")
        assert timedelta(seconds=2) < alert.at - filled < timedelta(seconds=5)


async def test_a_leg_that_only_the_ledger_shows_naked_is_an_alert_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That its order could not be seen was told before the fill, and is not told again so soon."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink}, fill_timeout=timedelta(minutes=10))
    deafen(made.alpha)
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        monkeypatch.setattr(made.alpha, "find_order", lambda *_: anyio.sleep(1000))
        await made.until(lambda: "Open Order Cannot Be Seen" in titles(sink), within=10)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "10")
        for exchange in (made.alpha, made.beta):
            exchange.fail("place_order", OrderRefused("no"), times=1000)
        await made.until(lambda: made.hedge.unhedged, within=60)
        found = made.clock.now()
        await made.until(lambda: "Unhedged Position" in titles(sink), within=10)
        alert = next(alert for alert in sink.alerts if alert.title == "Unhedged Position")
        assert alert.at - found < timedelta(seconds=1)


async def test_an_open_order_that_is_told_of_is_no_alarm() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    deafen(made.alpha)
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        await anyio.sleep(15)
        assert "Open Order Cannot Be Seen" not in titles(sink)
