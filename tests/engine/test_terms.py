"""Funding terms that change under an open hedge: valued anew on the new calendar, told, closed when nothing is left."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.domain.make import D, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.test_listings import opened

from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import CloseReason, Mode
from fundingarb.domain.opportunity import DecayToMedian
from fundingarb.simulation.virtual import START
from fundingarb.testing import FakeExchange, RecordingAlertSink

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)
NEXT = START + timedelta(hours=3)


def floor(sink: RecordingAlertSink, **settings: Any) -> Floor:
    """A hedge of 10 at 100: long alpha, which pays 0.1 % every 8 h, short beta, which receives 0.4 %."""
    made = Floor(
        Proposing([plan(at=START, settlement=T)]),
        sinks={"memory": sink},
        retry_pause=timedelta(days=9),
        **settings,
    )
    made.prices()
    made.rates("0.001", "0.004", NEXT)
    return made


def announce(exchange: FakeExchange, rate: str, interval: timedelta, settlement: datetime = NEXT) -> None:
    listed = replace(exchange.instruments["BTC-USDT"], funding_interval=interval)
    exchange.instruments["BTC-USDT"] = listed
    exchange.set_rate(
        "BTC-USDT", rate, next_settlement=settlement, interval=interval, mark="100", index="100"
    )


def told(sink: RecordingAlertSink) -> list[Alert]:
    return [alert for alert in sink.alerts if alert.title == "Funding Terms Changed"]


async def test_a_shorter_interval_is_told_with_what_it_brings_and_a_hedge_that_still_pays_is_held() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running():
        await opened(made)
        announce(made.beta, "0.001", timedelta(hours=2))
        await made.until(lambda: told(sink), within=5)
        await anyio.sleep(60)
        (alert,) = told(sink)
        assert alert.severity is Severity.WARNING
        assert "SHORT on beta: funding interval: 8 h -> 2 h" in alert.lines
        assert alert.lines[-1] == "Action: holding"
        assert made.mode() is Mode.HOLDING
        assert made.hedge.intent.short.instrument.funding_interval == timedelta(hours=2)
    async with made.running():
        await anyio.sleep(60)
        assert len(told(sink)) == 1, "told once, also over a restart"


async def test_a_hedge_that_would_bring_nothing_any_more_is_closed() -> None:
    """Long alpha now pays 0.1 % every hour; the hourly comparison alone would be the same whatever the interval."""
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running():
        await opened(made)
        announce(made.alpha, "0.001", timedelta(hours=1))
        await made.until(lambda: made.mode() is Mode.DONE, within=20)
        assert made.hedge.intent.close_reason is CloseReason.SPREAD
        (alert,) = told(sink)
        assert alert.lines[-1] == "Action: closing both legs"
        assert "Expected funding over 72 h: -$" in alert.lines[-2]
        assert made.position == (0, 0)


async def test_what_is_expected_is_forecast_as_configured() -> None:
    """The same terms, but rates that are gone after the coming settlement: it brings 0.4 % and costs 0.1 %."""
    sink = RecordingAlertSink()
    made = floor(sink, forecast=DecayToMedian(timedelta(minutes=1)))
    async with made.running():
        await opened(made)
        announce(made.alpha, "0.001", timedelta(hours=1))
        await made.until(lambda: told(sink), within=20)
        assert told(sink)[0].lines[-1] == "Action: holding"


async def test_a_cap_that_changes_bounds_what_is_expected() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    for exchange, cap in ((made.alpha, "0.01"), (made.beta, "0.01")):
        listed = exchange.instruments["BTC-USDT"]
        exchange.instruments["BTC-USDT"] = replace(listed, funding_cap=D(cap), funding_floor=-D(cap))
    async with made.running() as bot:
        await opened(made)
        await anyio.sleep(5)
        assert not told(sink), "heard of for the first time"
        listed = replace(bot.markets.instruments["beta", "BTC-USDT"], funding_cap=D("0.0005"))
        bot.markets.list_instrument(listed)
        await made.until(lambda: told(sink), within=5)
        assert "SHORT on beta: funding cap: 0.01 -> 0.0005" in told(sink)[0].lines


async def test_around_a_settlement_it_waits() -> None:
    sink = RecordingAlertSink()
    made = floor(sink, settlement_guard=timedelta(seconds=60))
    async with made.running():
        await opened(made)
        soon = made.clock.now() + timedelta(seconds=50)
        made.rates("0.001", "0.004", soon)
        announce(made.alpha, "0.001", timedelta(hours=1), soon)
        await anyio.sleep(40)
        assert not told(sink)
        assert made.mode() is Mode.HOLDING
