"""What exchanges do by themselves: auto-deleveraging, outages; and the pauses that follow, also over a restart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.domain.make import plan
from tests.engine.rig import Floor, Proposing

from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import CloseReason, Mode
from fundingarb.domain.order import FillKind
from fundingarb.engine.reactions import Reactions
from fundingarb.errors import ExchangeUnavailable
from fundingarb.simulation.virtual import START
from fundingarb.testing import RecordingAlertSink, Script

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)
READS = (
    "get_balance", "get_open_orders", "get_positions", "get_fills", "get_funding_payments", "get_modes"
)  # fmt: skip


def floor(**settings: Any) -> Floor:
    made = Floor(Proposing([plan(at=START, settlement=T)]), **settings)
    made.prices()
    made.rates("-0.001", "0.004", T)
    return made


async def opened(made: Floor) -> None:
    await made.until(lambda: made.alpha.ledger.orders)
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
    await made.until(lambda: made.mode() is Mode.HOLDING and made.hedge.complete_fills)


def adding(made: Floor) -> int:
    return sum(1 for exchange in (made.alpha, made.beta) for o in made.sent(exchange) if not o.reduce_only)


def answer_again(made: Floor) -> None:
    for failures in made.beta._failures.values():
        failures.clear()


# auto-deleveraging


async def test_deleveraging_lowers_what_is_wanted_and_is_told_once() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        made.alpha.liquidate("BTC-USDT", "120", "3", FillKind.ADL)
        await made.until(lambda: made.position == (7, -7), within=5)
        assert made.hedge.intent.quantity == 7
        (alert,) = [alert for alert in sink.alerts if alert.title == "Auto-Deleveraged"]
        assert alert.severity is Severity.CRITICAL
        assert "Action: reducing the SHORT leg to 7 as well" in alert.lines
    async with made.running():
        await anyio.sleep(40)
        assert made.position == (7, -7)
    assert [alert.title for alert in sink.alerts].count("Auto-Deleveraged") == 1


async def test_figures_that_cannot_be_read_hold_up_no_reaction() -> None:
    made = floor()
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)

        async def hangs(*_: Any, **__: Any) -> Any:
            await anyio.sleep_forever()

        made.store.settlements = hangs  # type: ignore[method-assign]
        await opened(made)  # which is told with figures
        await anyio.sleep(0.5)
        made.beta.liquidate("BTC-USDT", "130")
        await made.until(lambda: made.hedge.intent.liquidated, within=10)
        await made.until(lambda: made.position == (0, 0), within=10)


async def test_deleveraging_of_a_whole_leg_ends_the_hedge() -> None:
    made = floor(retry_pause=timedelta(hours=1))
    async with made.running():
        await opened(made)
        before = adding(made)
        made.beta.liquidate("BTC-USDT", "80", None, FillKind.ADL)
        await made.until(lambda: made.mode() is Mode.DONE, within=5)
        assert made.position == (0, 0)
        assert adding(made) == before
        assert made.hedge.intent.close_reason is CloseReason.INCOMPLETE


@pytest.mark.parametrize("side", ["alpha", "beta"])
async def test_deleveraging_during_an_entry_ends_the_entry_at_what_is_left(side: str) -> None:
    """Nothing is bought again on the exchange that has just taken it."""
    made = floor(retry_pause=timedelta(hours=1))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "6")
        await made.until(lambda: made.held(made.beta) == -6)
        before = adding(made)
        getattr(made, side).liquidate("BTC-USDT", "100", "2", FillKind.ADL)
        await made.until(lambda: made.mode() is Mode.HOLDING, within=5)
        assert made.position == (4, -4)
        await anyio.sleep(60)
        assert made.position == (4, -4)
        assert adding(made) == before


@pytest.mark.parametrize("side", ["alpha", "beta"])
async def test_what_was_taken_of_an_entry_is_not_bought_again_before_the_bot_has_reacted(
    side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reactions, "_closed_by_exchange", lambda *_: None)
    made = floor(retry_pause=timedelta(hours=1))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "6")
        await made.until(lambda: made.held(made.beta) == -6)
        before = adding(made)
        getattr(made, side).liquidate("BTC-USDT", "100", "2", FillKind.ADL)
        await made.until(lambda: made.position == (4, -4), within=10)
        assert adding(made) == before


async def test_deleveraging_while_closing() -> None:
    made = floor(retry_pause=timedelta(hours=1))
    made.beta.script(Script(), Script.partial("4"), *[Script.refuse("busy")] * 3)
    async with made.running() as bot:
        await opened(made)
        await bot.close_hedge(made.hedge.id)
        await made.until(lambda: made.held(made.beta) == -6, within=1)
        made.beta.liquidate("BTC-USDT", "100", "6", FillKind.ADL)
        await made.until(lambda: made.mode() is Mode.DONE, within=20)
        assert made.position == (0, 0)


async def test_deleveraging_that_the_ledger_does_not_tell_of_yet() -> None:
    """Only the position shows it: entries are off until the ledger has the proof, then the other leg follows."""
    made = floor()
    real = made.alpha.get_fills
    lag = True

    async def get_fills(since: Any, symbol: str | None = None) -> Any:
        return [fill for fill in await real(since, symbol) if not lag or fill.kind is FillKind.TRADE]

    made.alpha.get_fills = get_fills  # type: ignore[method-assign]
    async with made.running() as bot:
        await opened(made)
        made.alpha.liquidate("BTC-USDT", "120", "3", FillKind.ADL)
        await made.until(lambda: bot.state.accounts["alpha"].halted, within=5)
        assert "position is 10 here, 7 on the exchange" in str(bot.state.accounts["alpha"].halted)
        assert made.held(made.beta) == -10  # a person may have traded: not proven, not touched
        lag = False
        await made.until(lambda: made.position == (7, -7), within=10)
        await made.until(lambda: not bot.state.accounts["alpha"].halted, within=10)


# outages


async def test_after_an_outage_entries_wait_until_the_account_was_read() -> None:
    made = floor()
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    plans, strategy.plans = strategy.plans, []
    async with made.running() as bot:
        account = bot.state.accounts["beta"]
        await made.until(lambda: not account.halted and "BTC-USDT" in account.prepared)
        for operation in READS:
            made.beta.fail(operation, ExchangeUnavailable("maintenance"), times=6)
        await made.until(lambda: "beta" in bot.state.down, within=60)
        assert account.halts == {"reconcile": "not read since the exchange was unavailable"}
        answer_again(made)
        made.beta.fail("get_positions", ExchangeUnavailable("warming up"), times=2)
        strategy.plans = plans
        await made.until(lambda: "beta" not in bot.state.down, within=60)
        assert account.halted
        assert adding(made) == 0
        await made.until(lambda: adding(made), within=60)
        assert not account.halted


async def test_a_hedge_is_held_through_an_outage() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        sent = len(made.sent(made.alpha)) + len(made.sent(made.beta))
        for operation in READS:
            made.beta.fail(operation, ExchangeUnavailable("maintenance"), times=6)
        await made.until(lambda: "beta" in bot.state.down, within=90)
        answer_again(made)
        await made.until(lambda: "beta" not in bot.state.down, within=60)
        await made.until(lambda: not bot.state.accounts["beta"].halted, within=60)
        assert made.position == (10, -10)
        assert len(made.sent(made.alpha)) + len(made.sent(made.beta)) == sent
        names = [alert.title for alert in sink.alerts]
        assert "beta Unavailable" in names
        assert "beta Reachable Again" in names


async def test_what_becomes_naked_in_an_outage_is_reduced_where_it_can_be() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink}, retry_pause=timedelta(hours=1))
    async with made.running() as bot:
        await opened(made)
        made.beta.liquidate("BTC-USDT", "100", "4", FillKind.ADL)
        await made.until(lambda: made.hedge.short.filled == 6)
        bot.state.down.add("beta")
        await made.until(lambda: made.held(made.alpha) == 6, within=10)


async def test_what_becomes_naked_on_the_exchange_that_is_out_is_told_and_reduced_when_it_answers() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink}, retry_pause=timedelta(hours=1))
    async with made.running() as bot:
        await opened(made)
        made.beta.fail("place_order", ExchangeUnavailable("beta: 503"), times=10_000)
        bot.state.down.add("beta")
        made.alpha.liquidate("BTC-USDT", "100", "4", FillKind.ADL)
        await anyio.sleep(8)
        assert made.position == (6, -10)
        assert [a.severity for a in sink.alerts if a.title == "Unhedged Position"] == [Severity.CRITICAL]
        answer_again(made)
        bot.state.down.discard("beta")
        await made.until(lambda: made.position == (6, -6), within=20)


# pauses


async def test_an_entry_that_had_to_be_unwound_pauses_its_symbol_also_over_a_restart() -> None:
    made = floor(failed_entry_cooldown=timedelta(minutes=5))
    made.beta.script(Script.refuse("margin"))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.mode() is Mode.DONE)
        over = made.clock.now()
        await anyio.sleep(60)
        assert len(made.bot.state.hedges) == 1
    async with made.running() as bot:
        await anyio.sleep(60)
        assert len(bot.state.hedges) == 1
        await made.until(lambda: len(bot.state.hedges) == 2, within=300)
        assert made.clock.now() >= over + timedelta(minutes=5)


async def test_the_pause_after_a_liquidation_counts_from_the_close_also_over_restarts() -> None:
    made = floor(cooldown=timedelta(minutes=10))
    async with made.running():
        await opened(made)
        made.beta.liquidate("BTC-USDT", "130")
        await made.until(lambda: made.hedge.intent.liquidated)
        made.alpha.script(*[Script(accept=False, reply=False)] * 20)  # the close does not get through
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=600)
        closed = made.hedge.intent.closed_at
        assert closed is not None
        assert made.bot.state.cooldowns["BTC-USDT"] == closed + timedelta(minutes=10)
    async with made.running() as bot:
        assert bot.state.cooldowns["BTC-USDT"] == closed + timedelta(minutes=10)
