"""A bot that starts again, with orders and hedges in every state."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from tests.engine.stage import HEDGE, booked, deafen, floor, opened

from fundingarb.domain.hedge import Mode, Status
from fundingarb.domain.order import OrderState
from fundingarb.errors import ExchangeUnavailable
from fundingarb.testing import Script

pytestmark = pytest.mark.anyio


async def test_a_restart_resolves_an_intended_order_by_asking_and_sends_nothing_twice() -> None:
    made = floor()
    made.alpha.script(Script(delay=20))  # accepted; the process dies before the answer
    async with made.running():
        deafen(made.alpha)
        await made.until(lambda: made.alpha.ledger.orders)
        assert made.hedge.orders[0].state is OrderState.INTENDED
    name = made.sent(made.alpha)[0].client_id
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    made.alpha.fill_order(name, "4")
    async with made.running():
        await made.until(lambda: made.held(made.beta) == -4, within=5)
        assert made.hedge.order(name) is not None
        await made.until(lambda: made.mode() in (Mode.HOLDING, Mode.DONE), within=60)
        assert made.hedge.unhedged == 0
    assert [order.client_id for order in made.sent(made.alpha)].count(name) == 1


async def test_a_restart_with_an_order_that_never_arrived_gives_it_up_after_the_proof() -> None:
    made = floor(retry_pause=timedelta(hours=1))
    made.alpha.script(Script(accept=False, reply=False, delay=100))
    async with made.running():
        await made.until(lambda: made.sent(made.alpha))
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    async with made.running():
        await anyio.sleep(10)
        assert made.hedge.orders[0].state.unresolved
        await made.until(lambda: made.mode() is Mode.DONE, within=60)
    assert len(made.sent(made.alpha)) == 1
    assert made.hedge.status is Status.ABANDONED


async def test_an_entry_under_way_is_not_gone_on_with_before_the_accounts_were_read() -> None:
    """The exchange's own timer has cancelled what rested; the time for the entry is not over."""
    made = floor(fill_timeout=timedelta(seconds=120))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
    (first,) = made.sent(made.alpha)
    await made.alpha.cancel_order("BTC-USDT", first.client_id)
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    for exchange in (made.alpha, made.beta):
        for operation in ("get_positions", "get_open_orders"):
            exchange.fail(operation, ExchangeUnavailable("not yet"), times=3)
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=60)
        assert made.sent(made.alpha) == [first]
        assert made.sent(made.beta) == []


async def test_with_a_hedge_open_an_exchange_that_does_not_answer_is_waited_for() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
    made.beta.fail("get_instruments", ExchangeUnavailable("in maintenance"), times=3)
    async with made.running() as bot:
        await made.until(lambda: not made.bot.state.accounts["beta"].halted, within=60)
        assert bot.status().state == "RUNNING"
        assert made.mode() is Mode.HOLDING


async def test_at_the_start_a_naked_leg_does_not_wait_for_the_other_exchange() -> None:
    made = floor()
    async with made.running():
        await made.until(lambda: made.sent(made.alpha))
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "4")
    made.beta.fail("get_instruments", ExchangeUnavailable("in maintenance"), times=100)
    async with made.running():
        await made.until(lambda: made.held(made.alpha) == 0, within=15)


async def test_an_open_hedge_is_found_again_and_gone_on_with() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
    sent = len(made.sent(made.alpha)) + len(made.sent(made.beta))
    async with made.running() as bot:
        await made.until(
            lambda: bot.status().state == "RUNNING" and not made.bot.state.accounts["alpha"].halted
        )
        await anyio.sleep(30)
        assert made.mode() is Mode.HOLDING
        assert len(made.sent(made.alpha)) + len(made.sent(made.beta)) == sent
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.mode() is Mode.DONE)
    assert made.position == (0, 0)
    assert made.hedge.complete_fills


async def test_a_crash_while_closing_finishes_closing() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        made.alpha.script(Script(delay=100))
        made.beta.script(Script(accept=False, reply=False, delay=100))
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.held(made.alpha) == 0)
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=60)
    assert made.position == (0, 0)
    assert all(order.reduce_only for order in made.sent(made.beta)[1:])
