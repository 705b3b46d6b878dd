"""What a hedge that is over still holds: its late fill, and what somebody else makes of it before we reduce it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest
from tests.domain.make import D, instrument, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.stage import floor

from fundingarb.domain.hedge import LegPlan, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import NewOrder, OrderReport, OrderSide, TimeInForce
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError, ExchangeUnavailable, OrderRefused
from fundingarb.simulation.virtual import START
from fundingarb.testing import Script

pytestmark = pytest.mark.anyio

SETTLED = START + timedelta(hours=6)


@asynccontextmanager
async def stray() -> AsyncIterator[tuple[Floor, Bot]]:
    """A hedge is over; then its entry turns up on alpha and fills for four, which cannot be reduced: refused."""
    at_once = timedelta(0)
    made = floor(
        Proposing([plan(at=START, settlement=SETTLED)]), retry_pause=at_once, cooldown=at_once,
        failed_entry_cooldown=at_once,
    )  # fmt: skip
    made.rates("-0.001", "0.004", SETTLED)
    made.alpha.script(Script.arrives_late())
    async with made.running() as bot:
        await made.until(lambda: bot.state.hedges)
        proposals(made).plans.clear()
        await made.until(lambda: made.mode() is Mode.DONE, within=90)
        made.alpha.deliver_late()
        refuse(made, refusing=True)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "4")
        await anyio.sleep(2)
        assert made.hedge.long.filled == 4
        yield made, bot


def proposals(made: Floor) -> Proposing:
    assert isinstance(made.strategy, Proposing)
    return made.strategy


def refuse(made: Floor, *, refusing: bool) -> None:
    """Alpha refuses the bot's orders, or no more."""
    if not refusing:
        del made.alpha.place_order
        return
    place = made.alpha.place_order

    async def only_by_hand(order: NewOrder) -> OrderReport:
        if order.client_id.startswith("fa"):
            made.alpha.calls.append(("place_order", (order,)))
            raise OrderRefused("not now")
        return await place(order)

    made.alpha.place_order = only_by_hand  # type: ignore[method-assign]


async def gone(made: Floor, how: str) -> None:
    """Somebody else takes what is left."""
    if how == "liquidated":
        made.alpha.liquidate("BTC-USDT", "90")
        made.prices()
        return
    sold = NewOrder("web1", "BTC-USDT", OrderSide.SELL, D(4), None, TimeInForce.IOC, reduce_only=False)
    await made.alpha.place_order(sold)


@pytest.mark.parametrize("how", ["by hand", "liquidated"])
async def test_what_somebody_else_took_of_it_is_taken_over(how: str) -> None:
    async with stray() as (made, bot):
        await gone(made, how)
        refuse(made, refusing=False)
        await made.until(lambda: made.hedge.finished, within=60)
        await made.until(lambda: bot.state.accounts["alpha"].halted is None, within=60)
        sent = len(made.sent(made.alpha))
        assert await bot.commands.resolution.accept("alpha", "me") == [
            "nothing to accept: everything matches"
        ]
        await anyio.sleep(60)
        assert len(made.sent(made.alpha)) == sent, "nothing is left to reduce"
        assert not bot.state.accepted


@pytest.mark.parametrize("how", ["by hand", "liquidated"])
async def test_it_is_taken_over_while_the_database_is_down_and_kept_when_it_is_back(how: str) -> None:
    async with stray() as (made, bot):
        await made.until(lambda: made.hedge.complete_fills)
        made.store.failing = "disk full"
        await gone(made, how)
        await made.until(lambda: made.hedge.finished, within=60)
        refuse(made, refusing=False)
        made.store.failing = None
        await made.until(lambda: bot.state.accounts["alpha"].halted is None, within=90)
    async with made.running() as bot:
        await anyio.sleep(60)
        assert made.hedge.finished
        assert bot.state.accounts["alpha"].halted is None


async def test_accepting_that_it_is_gone_takes_it_from_the_hedge_that_is_over() -> None:
    """The ledger tells nothing of it, so a person has to; no foreign position comes of it."""
    async with stray() as (made, bot):
        made.alpha.ledger.positions["BTC-USDT"].quantity = D(0)
        refuse(made, refusing=False)
        await made.until(lambda: "position" in str(bot.state.accounts["alpha"].halted), within=60)
        await bot.commands.resolution.accept("alpha", "me")
        await made.until(lambda: made.hedge.finished)
        assert not [each for each in bot.state.accepted.values() if each.name == "BTC-USDT"]
        await made.until(lambda: bot.state.accounts["alpha"].halted is None, within=60)


@pytest.mark.parametrize("long", ["alpha", "beta"])
async def test_the_next_hedge_is_even_whatever_became_of_it(long: str) -> None:
    async with stray() as (made, bot):
        await gone(made, "liquidated")
        refuse(made, refusing=False)
        await made.until(lambda: made.hedge.finished, within=60)
        await bot.commands.resolution.accept("alpha", "me")
        await made.until(lambda: bot.state.accounts["alpha"].halted is None, within=60)
        await opened(made, bot, long)
        await anyio.sleep(300)
        assert abs(made.held(made.alpha)) == 10
        assert sum(made.position) == 0


async def test_nothing_is_opened_beside_it_and_the_account_halts_while_it_cannot_be_reduced() -> None:
    async with stray() as (made, bot):
        account = bot.state.accounts["alpha"]
        await made.until(lambda: account.halts.get("stray"), within=30)
        assert account.halts["stray"] == "4 BTC-USDT of a hedge that is over cannot be reduced"
        assert bot.state.accounts["beta"].halted is None
        proposals(made).plans.append(plan(at=START, settlement=SETTLED))
        await anyio.sleep(30)
        assert len(bot.state.hedges) == 1
        gates = {refusal.gate: refusal.actual for refusal in await made.store.refusals()}
        assert gates["occupied"] == "4 of a hedge that is over on alpha"
        refuse(made, refusing=False)
        await made.until(lambda: len(bot.state.hedges) == 2, within=60)
        assert made.held(made.alpha) == 0
        assert account.halted is None


async def test_at_the_start_it_does_not_wait_for_an_exchange_that_does_not_answer() -> None:
    async with stray() as (made, _bot):
        pass
    refuse(made, refusing=False)
    made.beta.fail("get_instruments", ExchangeUnavailable("in maintenance"), times=100)
    async with made.running():
        await made.until(lambda: made.held(made.alpha) == 0, within=30)


@pytest.mark.parametrize("missing", ["alpha", "beta"])
async def test_the_account_it_is_on_has_to_be_there_at_the_start(missing: str) -> None:
    async with stray() as (made, _bot):
        pass
    bot = made._bot()
    bot.parts.accounts = {name: one for name, one in bot.parts.accounts.items() if name != missing}
    if missing == "alpha":
        with pytest.raises(ConfigError, match=r"BTC-USDT is over .*on account alpha, .*; add it to accounts"):
            await bot.run()
        return
    refuse(made, refusing=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bot.run)
        tasks.start_soon(made._tick_markets)
        await made.until(lambda: made.held(made.alpha) == 0, within=30)
        tasks.cancel_scope.cancel()


async def test_an_order_that_rests_although_it_was_given_up_is_in_the_way_too() -> None:
    made = floor(Proposing([plan(at=START, settlement=SETTLED)]), retry_pause=timedelta(0))
    made.rates("-0.001", "0.004", SETTLED)
    made.alpha.script(Script.arrives_late())
    async with made.running() as bot:
        await made.until(lambda: made.mode() is Mode.DONE, within=90)

        async def ignored(symbol: str, client_id: str) -> bool:
            return True

        cancel, made.alpha.cancel_order = made.alpha.cancel_order, ignored  # type: ignore[method-assign]
        made.alpha.deliver_late()
        known = set(bot.state.hedges)
        await made.until(lambda: not made.hedge.long.idle, within=60)
        await anyio.sleep(30)
        assert bot.state.hedges.keys() == known
        made.alpha.cancel_order = cancel  # type: ignore[method-assign]
        await made.until(lambda: bot.state.hedges.keys() - known, within=60)


async def opened(made: Floor, bot: Bot, long: str = "alpha") -> None:
    """Another hedge, its resting entry hit."""
    short, known = "beta" if long == "alpha" else "alpha", set(bot.state.hedges)
    legs = {
        "long": LegPlan(Side.LONG, long, instrument(long), 5),
        "short": LegPlan(Side.SHORT, short, instrument(short), 5),
    }
    proposals(made).plans.append(plan(at=START, settlement=SETTLED, **legs))
    await made.until(lambda: bot.state.hedges.keys() - known)
    proposals(made).plans.clear()
    (new,) = bot.state.hedges.keys() - known
    exchange = made.alpha if long == "alpha" else made.beta
    await made.until(lambda: bot.state.hedges[new].orders)
    name = bot.state.hedges[new].orders[0].client_id
    await made.until(lambda: name in exchange.ledger.orders)
    exchange.fill_order(name)
    await made.until(lambda: bot.state.hedges[new].intent.mode is Mode.HOLDING)
