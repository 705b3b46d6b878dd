"""The depeg guard in a running bot: legs that settle in USDT and in USDC."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from tests.domain.make import D, instrument, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.test_guards import opened, titles

from fundingarb.builtin.risk import Depeg
from fundingarb.domain.hedge import CloseReason, Mode
from fundingarb.simulation.virtual import START
from fundingarb.testing import RecordingAlertSink

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)


def floor(sink: RecordingAlertSink | None = None) -> Floor:
    """Beta settles in USDC; alpha also lists the contract on USDC itself, which nobody trades here."""
    entry = plan(at=START, settlement=T)
    usdc = replace(entry.short.instrument, settle="USDC")
    entry = replace(entry, short=replace(entry.short, instrument=usdc))
    made = Floor(Proposing([entry]), rules=(Depeg(),), sinks={"memory": sink} if sink else None)
    made.beta.instruments = {usdc.symbol: usdc}
    made.alpha.instruments["USDC-USDT"] = instrument("alpha", "USDC-USDT")
    made.alpha.set_rate("USDC-USDT", "0", next_settlement=T, mark="1", index="1")
    made.prices()
    made.rates("-0.001", "0.004", T)
    made.ids = iter(UUID(int=number << 80) for number in range(1, 100))
    return made


def usdc_is(made: Floor, price: str) -> None:
    made.alpha.set_rate("USDC-USDT", "0", next_settlement=T, mark=price, index=price)


async def test_a_hedge_across_is_opened_while_both_are_worth_the_same() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        assert bot.state.pegs == {"USDC": D(1)}


async def test_it_is_closed_when_usdc_falls() -> None:
    sink = RecordingAlertSink()
    made = floor(sink)
    async with made.running():
        await opened(made)
        usdc_is(made, "0.995")
        await made.until(lambda: "Near The Limit: depeg" in titles(sink))
        assert made.mode() is Mode.HOLDING
        usdc_is(made, "0.97")
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.hedge.intent.close_reason is CloseReason.DEPEG
        assert made.position == (0, 0)
        assert "Limit Reached: depeg" in titles(sink)


async def test_it_is_closed_when_the_same_things_cost_more_in_one_of_them() -> None:
    """No exchange lists the contract: what prices imply is all there is."""
    made = floor()
    del made.alpha.instruments["USDC-USDT"], made.alpha.rates["USDC-USDT"]
    async with made.running() as bot:
        await opened(made)
        made.beta.set_rate("BTC-USDT", "0.004", next_settlement=T, mark="102", index="102")
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.hedge.intent.close_reason is CloseReason.DEPEG
        assert bot.state.pegs["USDC"] == D(100) / D(102)


async def test_nothing_is_opened_across_while_they_are_apart() -> None:
    made = floor()
    usdc_is(made, "0.996")
    async with made.running() as bot:
        await made.until(lambda: bot.state.pegs)
        await made.until(
            lambda: any(row.gate == "depeg" for batch in made.store.batches for row in batch.refusals)
        )
        assert made.mode() is None
