"""A plugin that raises what it must not raise: that is told, and what is open is looked after as before."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import anyio
import pytest
from tests.engine.rig import Floor
from tests.engine.stage import booked, deafen, floor, opened, titles

from fundingarb.domain.hedge import Mode
from fundingarb.errors import ExchangeError
from fundingarb.ports import BotHandle, MarketView, Proposals
from fundingarb.testing import RecordingAlertSink

pytestmark = pytest.mark.anyio
MISTAKE = KeyError("posSide")


def trading(made: Floor) -> bool:
    """Whether nothing keeps a hedge from being opened."""
    return not any(account.halted for account in made.bot.state.accounts.values())


async def test_of_an_adapter_while_an_account_is_set_up() -> None:
    made = floor()
    made.alpha.fail("get_modes", MISTAKE, times=4)
    async with made.running() as bot:
        await made.until(lambda: "BTC-USDT" in bot.loop.entries.refusals.waiting)
        refused = bot.loop.entries.refusals.waiting["BTC-USDT"]
        assert (refused.gate, refused.actual) == (
            "preflight",
            "alpha BTC-USDT: the adapter failed: KeyError: 'posSide'",
        )
        await opened(made)
        assert made.position == (10, -10)


async def test_of_an_adapter_while_an_account_is_set_up_for_a_person() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: trading(made))
        await anyio.sleep(70)
        made.alpha.fail("get_modes", MISTAKE)
        with pytest.raises(ExchangeError, match="the adapter failed: KeyError"):
            await bot.loop.entries.preflight.see_to("alpha", "BTC-USDT", 5)


async def test_of_an_adapter_at_the_start_with_a_leg_that_is_naked() -> None:
    made = floor()
    async with made.running():
        await made.until(lambda: made.sent(made.alpha))
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "4")
    made.beta.fail("get_instruments", MISTAKE, times=100)
    async with made.running():
        await made.until(lambda: made.held(made.alpha) == 0, within=15)


async def test_of_an_adapter_in_one_reading_of_an_account_keeps_it_from_no_other() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        made.alpha.fail("get_fills", MISTAKE, times=10_000)
        deafen(made.alpha)
        made.alpha.calls.clear()
        await anyio.sleep(60)
        names = [name for name, _ in made.alpha.calls]
        assert names.count("get_positions") > 20, "looked at every two seconds as ever"
        assert {"get_open_orders", "get_balance", "get_funding_payments"} <= set(names)
        assert bot.state.accounts["alpha"].halted is None


async def test_of_an_adapter_at_the_end() -> None:
    """The last look at one account fails; the rest of the ending is done."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.bot.run)
        tasks.start_soon(made._tick_markets)
        await made.bot.ready.wait()
        await opened(made)
        await booked(made)
        made.alpha.fail("get_fills", MISTAKE, times=100)
        made.beta.calls.clear()
        made.bot.stop()
        await made.until(lambda: "get_funding_payments" in [name for name, _ in made.beta.calls])
        await anyio.sleep(5)
        tasks.cancel_scope.cancel()
    assert made.mode() is Mode.HOLDING


async def test_of_a_sink_that_should_take_commands() -> None:
    class Deaf(RecordingAlertSink):
        async def listen(self, bot: BotHandle) -> None:
            raise MISTAKE

    sink = Deaf()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        await made.until(lambda: "Position Opened" in titles(sink))


async def test_of_a_strategy_that_answers_with_nothing() -> None:
    class Silent:
        def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
            return None  # type: ignore[return-value]

    made = floor()
    async with made.running() as bot:
        await opened(made)
        bot.loop.entries.strategy = Silent()
        await made.until(lambda: bool(bot.loop.entries.strategy_error))
        made.alpha.liquidate("BTC-USDT", "90")
        await made.until(lambda: made.position == (0, 0))
