"""Delistings and changed rules: hedges are closed before, and orders follow the instrument as it is listed now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.domain.make import D, plan
from tests.engine.rig import Floor, Proposing

from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import CloseReason, Mode
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.order import NewOrder, OrderReport, OrderSide, TimeInForce
from fundingarb.engine import markets
from fundingarb.engine.bot import Bot
from fundingarb.errors import OrderRefused
from fundingarb.simulation.virtual import START
from fundingarb.testing import FakeExchange, RecordingAlertSink, Script

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)
READ = 120
"""Seconds between two readings of the instruments in these tests."""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markets, "RELIST", float(READ))


def floor(sink: RecordingAlertSink | None = None, **settings: Any) -> Floor:
    sinks = {} if sink is None else {"memory": sink}
    made = Floor(Proposing([plan(at=START, settlement=T)]), sinks=sinks, **settings)
    made.prices()
    made.rates("-0.001", "0.004", START + timedelta(days=9))
    return made


async def opened(made: Floor) -> None:
    await made.until(lambda: made.alpha.ledger.orders)
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
    await made.until(lambda: made.mode() is Mode.HOLDING and made.hedge.complete_fills)


def relist(exchange: FakeExchange, **changes: Any) -> None:
    exchange.instruments["BTC-USDT"] = replace(exchange.instruments["BTC-USDT"], **changes)


def titles(sink: RecordingAlertSink) -> list[str]:
    return [alert.title for alert in sink.alerts]


async def test_a_hedge_is_closed_before_one_of_its_instruments_is_delisted() -> None:
    sink = RecordingAlertSink()
    made = floor(sink, delisting_close=timedelta(minutes=10), retry_pause=timedelta(days=9))
    async with made.running():
        await opened(made)
        at = made.clock.now() + timedelta(minutes=15)
        relist(made.beta, delists_at=at)
        await anyio.sleep(READ * 2)
        assert titles(sink).count("Delisting Announced") == 1
        assert made.mode() is Mode.HOLDING
        made.strategy.plans.clear()  # type: ignore[attr-defined]
        await made.until(lambda: made.mode() is Mode.DONE, within=301)
        assert made.clock.now() >= at - timedelta(minutes=10)
        assert made.position == (0, 0)
        assert made.hedge.intent.close_reason is CloseReason.DELISTING


async def test_a_delisting_announced_while_the_bot_was_down() -> None:
    made = floor(retry_pause=timedelta(days=9))
    async with made.running():
        await opened(made)
    relist(made.beta, delists_at=made.beta.clock.now() + timedelta(hours=3))
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=10)
        assert made.position == (0, 0)


async def test_orders_follow_new_steps_and_minimums() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running() as bot:
        await opened(made)
        relist(made.beta, tick=D("0.5"), lot=D("0.01"))
        await anyio.sleep(READ + 5)
        (alert,) = [alert for alert in sink.alerts if alert.title == "Instrument Changed"]
        assert alert.severity is Severity.WARNING
        assert {"tick: 0.1 -> 0.5", "lot: 0.001 -> 0.01"} <= set(alert.lines)
        assert made.store.intents[made.hedge.id].short.instrument.tick == D("0.5")
        made.prices("100.3", "100.3")
        await bot.close_hedge(made.hedge.id)
        await made.until(lambda: made.mode() is Mode.DONE)
        price = made.sent(made.beta)[-1].price
        assert price is not None
        assert price % D("0.5") == 0


async def test_an_entry_under_way_stops_at_what_fits_the_new_lot() -> None:
    made = floor(fill_timeout=timedelta(hours=5))
    made.bot.markets.instruments.clear()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        bot.markets.list_instrument(replace(made.beta.instruments["BTC-USDT"], lot=D(3)))
        await made.until(lambda: made.hedge.intent.quantity == 9, within=5)


async def test_an_instrument_that_is_gone_is_told_and_traded_no_more_and_nothing_is_closed() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running() as bot:
        await opened(made)
        kept = made.beta.instruments.pop("BTC-USDT")
        made.beta.rates.clear()
        made.beta.books.clear()
        await anyio.sleep(READ * 2)
        assert ("beta", "BTC-USDT") in bot.markets.gone
        assert titles(sink).count("Instrument Not Traded") == 1
        assert bot.markets.fresh_rate("beta", "BTC-USDT") is None
        assert bot.rates.best("BTC-USDT") is None
        assert made.position == (10, -10)
        made.beta.instruments["BTC-USDT"] = kept
        await anyio.sleep(READ * 2)
        assert not bot.markets.gone


def halt(made: Floor) -> Instrument:
    """Beta trades BTC-USDT no more, without notice; ETH-USDT goes on."""
    kept = made.beta.instruments.pop("BTC-USDT")
    del made.beta.rates["BTC-USDT"], made.beta.books["BTC-USDT"]
    return kept


def two(sink: RecordingAlertSink) -> Floor:
    """Both exchanges trade BTC-USDT and ETH-USDT."""
    made = floor(sink, symbols=("BTC-USDT", "ETH-USDT"))
    made.prices(symbol="ETH-USDT")
    made.rates("0.0001", "0.0001", START + timedelta(days=9), symbol="ETH-USDT")
    return made


async def test_a_silent_book_of_what_is_held_has_a_halt_found_within_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(markets, "RELIST", 3600.0)
    sink = RecordingAlertSink()
    made = two(sink)
    async with made.running() as bot:
        await opened(made)
        await anyio.sleep(120)
        kept = halt(made)
        await made.until(lambda: ("beta", "BTC-USDT") in bot.markets.gone, within=150)
        assert made.beta.heard("BTC-USDT") == 0  # nobody listens to what is not traded
        assert made.beta.heard("ETH-USDT") == 2
        made.beta.instruments["BTC-USDT"] = kept
        made.prices()
        await made.until(lambda: not bot.markets.gone, within=70)
        await made.until(lambda: made.beta.heard("BTC-USDT") == 2, within=5)
        await made.until(lambda: "Instrument Traded Again" in titles(sink), within=5)
        assert made.position == (10, -10)


async def test_neither_leg_is_closed_while_it_is_not_known_why_a_book_is_silent() -> None:
    made = two(RecordingAlertSink())
    async with made.running() as bot:
        await opened(made)
        made.strategy.plans.clear()  # type: ignore[attr-defined]
        await anyio.sleep(READ)
        book = made.beta.books.pop("BTC-USDT")
        await made.until(lambda: bot.markets.silent("beta", "BTC-USDT"), within=15)
        await bot.close_hedge(made.hedge.id)
        await anyio.sleep(5)
        assert made.position == (10, -10)
        made.beta.books["BTC-USDT"] = book  # what an order meets; nobody tells of it
        made.beta.set_book = lambda *_: None  # type: ignore[method-assign]
        await made.until(lambda: made.mode() is Mode.DONE, within=70)  # the list says that it is traded
        assert made.position == (0, 0)


async def test_neither_leg_is_closed_while_one_is_halted() -> None:
    sink = RecordingAlertSink()
    made = two(sink)
    async with made.running() as bot:
        await opened(made)
        made.strategy.plans.clear()  # type: ignore[attr-defined]
        kept = halt(made)
        await made.until(lambda: bot.markets.gone, within=READ * 3)
        await bot.close_hedge(made.hedge.id)
        await anyio.sleep(300)
        assert made.position == (10, -10)
        assert made.mode() is Mode.CLOSING
        assert bot.status().waiting_for == "beta to trade BTC-USDT again"
        view = await bot.hedge_view(made.hedge)
        told = "beta does not trade it: halted or delisted"
        assert told in [each.actual for each in view.exits if each.reason is CloseReason.DELISTING]
        made.beta.instruments["BTC-USDT"] = kept
        made.prices()
        made.rates("-0.001", "0.004", START + timedelta(days=9))
        await made.until(lambda: made.mode() is Mode.DONE, within=120)
        assert made.position == (0, 0)


async def test_what_was_halted_while_the_bot_was_down_is_told_and_held() -> None:
    sink = RecordingAlertSink()
    made = two(sink)
    async with made.running():
        await opened(made)
    halt(made)
    async with made.running() as bot:
        await made.until(lambda: "Instrument Not Traded" in titles(sink), within=READ)
        assert ("beta", "BTC-USDT") in bot.markets.gone
        await anyio.sleep(300)
        assert titles(sink).count("Instrument Not Traded") == 1
        assert made.mode() is Mode.HOLDING
        assert made.position == (10, -10)


async def test_one_reading_without_an_instrument_means_nothing() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        kept = made.beta.instruments.pop("BTC-USDT")
        made.beta.rates.clear()
        await made.until(lambda: names(made).count("get_instruments") == 2, within=READ * 2)
        await anyio.sleep(1)
        assert not bot.markets.gone
        made.beta.instruments["BTC-USDT"] = kept
        await made.until(lambda: names(made).count("get_instruments") == 3, within=70)
        assert not bot.markets.gone
        assert ("beta", "BTC-USDT") in bot.markets.instruments


def names(made: Floor) -> list[str]:
    return [name for name, _ in made.beta.calls]


# a lot that grows beyond what divides a leg


async def coarser(made: Floor, bot: Bot) -> None:
    """Beta's lot is 3 from now on, and ten are held there."""
    relist(made.beta, lot=D(3), min_quantity=D(3))
    bot.markets.list_instrument(made.beta.instruments["BTC-USDT"])
    await made.until(lambda: made.hedge.intent.short.instrument.lot == 3)
    made.strategy.plans.clear()  # type: ignore[attr-defined]


async def test_a_leg_that_its_new_lot_does_not_divide_is_closed_with_one_order() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await coarser(made, bot)
        await bot.close_hedge(made.hedge.id)
        await made.until(lambda: made.mode() is Mode.DONE, within=5)
        assert made.position == (0, 0)
        assert made.hedge.finished
        assert made.sent(made.beta)[-1].quantity == 12
        assert len(made.sent(made.beta)) == 2


async def test_a_kill_closes_it_whoever_has_to() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await coarser(made, bot)
        refuse_closes(made.beta)
        await bot.kill("somebody")
        await made.until(lambda: bot.flattened, within=60)
        assert made.position == (0, 0)
        await made.until(lambda: made.hedge.finished, within=30)


def refuse_closes(exchange: FakeExchange) -> None:
    """Orders of the hedge itself that close are refused; those of the kill switch are taken."""
    real = exchange.place_order

    async def place(order: NewOrder) -> OrderReport:
        if order.reduce_only and not order.client_id.startswith("fat3stx"):
            raise OrderRefused("not now", code="x")
        return await real(order)

    exchange.place_order = place  # type: ignore[method-assign]


async def test_what_an_exchange_takes_and_does_not_fill_is_told_too() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running() as bot:
        await opened(made)
        await coarser(made, bot)
        made.beta.script(Script(fill=D(9)), *[Script(fill=D(0))] * 20)
        await bot.close_hedge(made.hedge.id)
        await made.until(lambda: "Close Refused" in titles(sink))
        assert made.position == (0, -1)
        (alert,) = [alert for alert in sink.alerts if alert.title == "Close Refused"]
        assert alert.lines[1:3] == ("Leg: SHORT on beta, 1.000 left", "The last orders filled nothing")
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.position == (0, 0)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_refused_reduction_has_the_list_read_again_at_once(
    monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    monkeypatch.setattr(markets, "RELIST", 3600.0)
    made = floor()
    async with made.running() as bot:
        await opened(made)
        made.strategy.plans.clear()  # type: ignore[attr-defined]
        await anyio.sleep(90)
        assert names(made).count("get_instruments") == 1
        relist(made.beta, lot=D(3))
        await (bot.kill("somebody") if killed else bot.close_hedge(made.hedge.id))
        await made.until(lambda: made.mode() is Mode.DONE, within=8)
        assert made.position == (0, 0)
        # by the market feed, and by the account's adapter because something changed
        assert names(made).count("get_instruments") == 3


async def test_it_is_read_once_a_minute_at_most_however_much_is_refused() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        made.strategy.plans.clear()  # type: ignore[attr-defined]
        refuse_closes(made.beta)
        await bot.close_hedge(made.hedge.id)
        await anyio.sleep(305)
        assert 5 <= names(made).count("get_instruments") - 1 <= 6


async def test_a_refused_flatten_order_has_the_list_read_again_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(markets, "RELIST", 3600.0)
    made = floor()
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    await made.alpha.place_order(
        NewOrder("web_1", "BTC-USDT", OrderSide.BUY, D(10), None, TimeInForce.IOC, reduce_only=False)
    )
    async with made.running() as bot:
        await anyio.sleep(90)
        relist(made.alpha, lot=D(3))
        await bot.kill("somebody")
        await made.until(lambda: bot.flattened, within=20)
        assert made.position == (0, 0)
