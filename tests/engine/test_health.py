"""Both legs are smaller before one is liquidated: margin of open hedges, in a running bot."""

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
from fundingarb.domain.order import ExchangePosition
from fundingarb.simulation.virtual import START
from fundingarb.testing import RecordingAlertSink

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)


def floor(sink: RecordingAlertSink, wallet: str = "100", **settings: Any) -> Floor:
    """1,000 USD on each side, with ``wallet`` on beta: a move of 1 % against it takes 10."""
    made = Floor(Proposing([plan(at=START, settlement=T)]), sinks={"memory": sink}, **settings)
    made.beta.ledger.wallet = D(wallet)
    move(made, "100")
    return made


def move(made: Floor, price: str) -> None:
    made.prices(price, price)
    for exchange, rate in ((made.alpha, "-0.001"), (made.beta, "0.004")):
        exchange.set_rate("BTC-USDT", rate, next_settlement=T, mark=price, index=price)


async def opened(made: Floor) -> None:
    await made.until(lambda: made.alpha.ledger.orders)
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
    await made.until(lambda: made.mode() is Mode.HOLDING and made.hedge.complete_fills)


def titles(sink: RecordingAlertSink) -> list[str]:
    return [alert.title for alert in sink.alerts]


def shape(made: Floor, **changes: Any) -> None:
    """Beta tells more of its positions."""
    real = type(made.beta).get_positions

    async def get_positions() -> list[ExchangePosition]:
        return [replace(each, **changes) for each in await real(made.beta)]

    made.beta.get_positions = get_positions  # type: ignore[method-assign]


async def test_both_legs_are_reduced_together_until_the_distance_is_back() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running() as bot:
        await opened(made)
        await anyio.sleep(40)
        assert bot.state.distances[("beta", "BTC-USDT")] > D("0.09")
        assert made.position == (10, -10)
        move(made, "106.5")  # 34 left of 1,065
        await made.until(lambda: made.hedge.intent.quantity < 10, within=15)
        wanted = made.hedge.intent.quantity
        assert D("3.5") < wanted < D("4.5")
        await made.until(lambda: made.held(made.alpha) == wanted == -made.held(made.beta), within=3)
        long, short = (made.sent(exchange)[-1] for exchange in (made.alpha, made.beta))
        assert (long.quantity, long.reduce_only) == (short.quantity, short.reduce_only) == (10 - wanted, True)
        assert made.mode() is Mode.HOLDING
        await anyio.sleep(60)
        assert bot.state.distances[("beta", "BTC-USDT")] > D("0.07")
        assert made.hedge.intent.quantity == wanted  # once: not again on what was read before
        (alert,) = [alert for alert in sink.alerts if alert.title == "Reducing Before Liquidation"]
        assert alert.severity is Severity.CRITICAL
        assert f"Action: reducing both legs from 10 to {wanted}" in [
            line.replace("10.000", "10") for line in alert.lines
        ]


async def test_a_reading_from_before_a_reduction_reduces_nothing_more() -> None:
    made = floor(RecordingAlertSink())
    read = made.beta.get_positions

    async def slowly() -> Any:
        found = await read()
        await anyio.sleep(4)
        return found

    async with made.running():
        await opened(made)
        made.beta.get_positions = slowly  # type: ignore[method-assign]
        move(made, "106.5")
        await made.until(lambda: made.hedge.intent.quantity < 10, within=30)
        wanted = made.hedge.intent.quantity
        await anyio.sleep(30)
        assert made.hedge.intent.quantity == wanted


async def test_low_margin_is_a_warning_first() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running():
        await opened(made)
        move(made, "104.5")
        await anyio.sleep(60)
        assert titles(sink).count("Margin Low") == 1
        assert made.position == (10, -10)
        move(made, "101")
        await anyio.sleep(60)
        move(made, "104.5")
        await made.until(lambda: titles(sink).count("Margin Low") == 2)


async def test_the_exchanges_own_liquidation_price_counts_at_once() -> None:
    """No balance has to be read: the mark is at less than 3 % from it."""
    sink = RecordingAlertSink()
    made = floor(sink, wallet="100000")
    shape(made, liquidation_price=D("105.9"))
    async with made.running():
        await opened(made)
        await anyio.sleep(40)
        assert "Margin Low" in titles(sink)
        move(made, "103")
        await made.until(lambda: made.hedge.intent.quantity < 4, within=2)


async def test_what_is_too_small_to_be_reduced_is_closed() -> None:
    sink = RecordingAlertSink()
    made = floor(sink, retry_pause=timedelta(hours=1))
    async with made.running():
        await opened(made)
        move(made, "109.97")
        await made.until(lambda: made.mode() is Mode.DONE, within=20)
        assert made.position == (0, 0)
        assert made.hedge.intent.close_reason is CloseReason.MARGIN
        assert "Action: closing both legs" in next(
            a.lines for a in sink.alerts if a.title == "Reducing Before Liquidation"
        )


async def test_nothing_is_reduced_while_one_exchange_cannot_be_reached() -> None:
    """A leg reduced alone would be naked."""
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running() as bot:
        await opened(made)
        await anyio.sleep(10)
        bot.state.down.add("alpha")
        move(made, "106.5")
        await anyio.sleep(15)
        assert made.position == (10, -10)
        assert made.hedge.intent.quantity == 10
        assert "Margin Low" in titles(sink)
        bot.state.down.discard("alpha")
        await made.until(lambda: made.held(made.beta) > -5, within=5)


async def test_a_place_far_ahead_in_the_queue_for_deleveraging_is_told_once() -> None:
    sink = RecordingAlertSink()
    made = floor(sink, wallet="100000")
    shape(made, adl_rank=4)
    async with made.running():
        await opened(made)
        await anyio.sleep(120)
    (alert,) = [alert for alert in sink.alerts if alert.title == "Auto-Deleveraging Risk"]
    assert "SHORT on beta: rank 4 of 5 in the queue for auto-deleveraging" in alert.lines
