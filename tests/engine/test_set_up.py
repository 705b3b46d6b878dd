"""Modes and leverage are set where they have to be, and never under what somebody else holds or has resting."""

from __future__ import annotations

import anyio
import pytest
from tests.domain.make import D, instrument, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.stage import deafen
from tests.engine.test_foreign import SETTLED, accepted, by_hand, stage

from fundingarb.domain.order import NewOrder, OrderSide, TimeInForce
from fundingarb.errors import ExchangeError
from fundingarb.simulation.virtual import START
from fundingarb.testing import FakeExchange

pytestmark = pytest.mark.anyio


def changed(exchange: FakeExchange) -> list[tuple[str, tuple[object, ...]]]:
    """What of the account's modes was changed, or tried to be."""
    return [call for call in exchange.calls if call[0].startswith("set_")]


def refusal(made: Floor) -> str:
    """Why nothing is opened in the symbol."""
    found = made.bot.loop.entries.refusals.waiting.get("BTC-USDT")
    return "" if found is None or found.gate != "preflight" else found.actual


def propose(made: Floor) -> None:
    assert isinstance(made.strategy, Proposing)
    made.strategy.plans.append(plan(at=START, settlement=SETTLED))


async def rest_by_hand(exchange: FakeExchange) -> None:
    order = NewOrder("web0", "BTC-USDT", OrderSide.BUY, D(6), D(50), TimeInForce.GTC, reduce_only=False)
    await exchange.place_order(order)


async def test_a_free_account_is_set_up_at_the_start() -> None:
    made = stage()
    made.alpha.leverage["BTC-USDT"], made.alpha.margin_mode = 20, "isolated"
    async with made.running() as bot:
        await made.until(
            lambda: bot.state.accounts["alpha"].is_prepared("BTC-USDT", 5, made.clock.monotonic())
        )
        assert changed(made.alpha) == [
            ("set_margin_mode", ("BTC-USDT", "cross")),
            ("set_leverage", ("BTC-USDT", 5)),
        ]
        names = [name for name, _ in made.alpha.calls]
        assert names.index("get_positions") < names.index("set_margin_mode"), "what is held is known before"


async def test_somebody_elses_position_keeps_its_modes_at_the_start() -> None:
    made = stage()
    made.alpha.leverage["BTC-USDT"], made.alpha.margin_mode = 20, "isolated"
    await by_hand(made.alpha, OrderSide.BUY, 6)
    async with made.running() as bot:
        await anyio.sleep(20)
        assert "foreign position" in str(bot.state.accounts["alpha"].halted)
        assert changed(made.alpha) == []
        assert (made.alpha.leverage, made.alpha.margin_mode) == ({"BTC-USDT": 20}, "isolated")


async def test_nothing_is_opened_where_an_accepted_position_would_have_to_be_changed() -> None:
    made = stage()
    async with made.running() as bot:
        await accepted(made, bot)
    made.alpha.leverage["BTC-USDT"] = 20
    made.alpha.calls.clear()
    async with made.running() as bot:
        propose(made)
        await made.until(lambda: bool(refusal(made)))
        assert refusal(made) == (
            "alpha BTC-USDT: leverage is 20, needs 5, and is left as it is because what is held or rests in BTC-USDT "
            "is not the bot's. Close that, or set it on the exchange yourself."
        )
        await anyio.sleep(20)
        assert changed(made.alpha) == []
        assert not bot.state.hedges
        made.alpha.leverage["BTC-USDT"] = 5  # set by hand: nothing has to be changed any more
        await made.until(lambda: bool(bot.state.hedges))
        assert changed(made.alpha) == []


async def test_an_order_that_somebody_has_resting_counts_too() -> None:
    made = stage()
    made.alpha.leverage["BTC-USDT"] = 20
    await rest_by_hand(made.alpha)
    async with made.running() as bot:
        await made.until(lambda: "open order" in str(bot.state.accounts["alpha"].halted))
        await bot.commands.resolution.accept("alpha", "me")
        propose(made)
        await made.until(lambda: "leverage is 20" in refusal(made))
        await anyio.sleep(20)
        assert changed(made.alpha) == []


@pytest.mark.parametrize("shared", [True, False])
async def test_a_margin_mode_that_all_symbols_share_stays_for_a_position_in_another(shared: bool) -> None:
    made = stage()
    other = instrument("alpha", symbol="ETH-USDT")
    made.alpha.instruments["ETH-USDT"] = other
    made.alpha.set_book("ETH-USDT", "99.9", "100.1")
    made.alpha.shared_margin_mode = shared
    made.alpha.margin_mode = "isolated"
    await made.alpha.place_order(
        NewOrder("web0", "ETH-USDT", OrderSide.BUY, D(6), None, TimeInForce.IOC, reduce_only=False)
    )
    async with made.running() as bot:
        await made.until(lambda: "ETH-USDT" in str(bot.state.accounts["alpha"].halted))
        await bot.commands.resolution.accept("alpha", "me")
        propose(made)
        if shared:
            await made.until(lambda: "margin mode is isolated, needs cross" in refusal(made))
            assert "it counts for the whole account and what is held or rests in ETH-USDT" in refusal(made)
            await anyio.sleep(20)
        else:
            await made.until(lambda: bool(bot.state.hedges))
        assert (made.alpha.margin_mode == "isolated") is shared


async def test_a_position_opened_by_hand_just_before_the_entry_is_seen() -> None:
    """Between two readings of everything: the account is read again before anything is changed."""
    made = stage()
    async with made.running() as bot:
        account = bot.state.accounts["alpha"]
        await made.until(lambda: account.is_prepared("BTC-USDT", 5, made.clock.monotonic()))
        await anyio.sleep(70)
        deafen(made.alpha)
        made.alpha.leverage["BTC-USDT"] = 20
        await by_hand(made.alpha, OrderSide.BUY, 6)
        made.alpha.calls.clear()
        with pytest.raises(ExchangeError, match="leverage is 20, needs 5"):
            await bot.loop.entries.preflight.see_to("alpha", "BTC-USDT", 5)
        assert changed(made.alpha) == []


async def test_while_nothing_can_be_read_nothing_is_changed() -> None:
    made = stage()
    async with made.running() as bot:
        account = bot.state.accounts["alpha"]
        await made.until(lambda: account.is_prepared("BTC-USDT", 5, made.clock.monotonic()))
        await anyio.sleep(70)
        made.alpha.leverage["BTC-USDT"] = 20
        made.alpha.calls.clear()
        made.alpha.fail("get_positions", ExchangeError("try later"), times=1000)
        with pytest.raises(ExchangeError, match="could not be read"):
            await bot.loop.entries.preflight.see_to("alpha", "BTC-USDT", 5)
        assert changed(made.alpha) == []


async def test_an_unknown_leverage_is_no_reason_to_touch_or_to_refuse() -> None:
    """Where the exchange has no such setting a leg may be opened beside what was accepted."""
    made = stage()
    await by_hand(made.alpha, OrderSide.BUY, 6)
    async with made.running() as bot:
        await made.until(lambda: "foreign position" in str(bot.state.accounts["alpha"].halted))
        await bot.commands.resolution.accept("alpha", "me")
        propose(made)
        await made.until(lambda: bool(bot.state.hedges))
        assert changed(made.alpha) == []
