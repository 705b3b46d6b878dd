"""Beside a leg of ours somebody else's position, accepted: what the exchange does to both is divided between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import anyio
import pytest
from tests.domain.make import D, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.stage import floor, titles

from fundingarb.domain.control import Subject
from fundingarb.domain.decide import PATIENCE
from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.order import ZERO, FillKind, NewOrder, OrderSide, TimeInForce
from fundingarb.engine.bot import Bot
from fundingarb.errors import AuthenticationFailed, ExchangeUnavailable
from fundingarb.ports import Batch, Committed
from fundingarb.simulation.virtual import START
from fundingarb.testing import FakeExchange, RecordingAlertSink

pytestmark = pytest.mark.anyio

SETTLED = START + timedelta(hours=6)
POSITION = ("alpha", Subject.POSITION, "BTC-USDT")


def stage(sink: RecordingAlertSink | None = None) -> Floor:
    """Nothing is proposed yet; hedges may follow each other without a pause."""
    at_once = timedelta(0)
    made = floor(
        Proposing(), sinks={} if sink is None else {"memory": sink}, retry_pause=at_once, cooldown=at_once,
        failed_entry_cooldown=at_once,
    )  # fmt: skip
    made.rates("-0.001", "0.004", SETTLED)
    return made


async def by_hand(exchange: FakeExchange, side: OrderSide, quantity: int) -> None:
    name = f"web{len(exchange.ledger.orders)}"
    await exchange.place_order(
        NewOrder(name, "BTC-USDT", side, D(quantity), None, TimeInForce.IOC, reduce_only=False)
    )


async def accepted(made: Floor, bot: Bot, quantity: int = 6) -> None:
    """Somebody buys on alpha, and that is accepted."""
    account = bot.state.accounts["alpha"]
    await made.until(lambda: not account.halted)
    await by_hand(made.alpha, OrderSide.BUY, quantity)
    await made.until(lambda: "position" in str(account.halted))
    await bot.commands.resolution.accept("alpha", "me")
    await made.until(lambda: not account.halted)


async def opened(made: Floor) -> Hedge:
    """The next hedge: ten units long on alpha, short on beta, every fill booked."""
    assert isinstance(made.strategy, Proposing)
    known = set(made.bot.state.hedges)
    made.strategy.plans.append(plan(at=START, settlement=SETTLED))

    def entry() -> str:
        new = [hedge for hedge in made.bot.state.hedges.values() if hedge.id not in known]
        return new[0].orders[0].client_id if new and new[0].orders else ""

    await made.until(lambda: entry() in made.alpha.ledger.orders)
    made.strategy.plans.clear()
    made.alpha.fill_order(entry())
    (new,) = made.bot.state.hedges.keys() - known
    await made.until(lambda: found(made, new).intent.mode is Mode.HOLDING and found(made, new).complete_fills)
    return found(made, new)


def found(made: Floor, hedge_id: UUID) -> Hedge:
    return made.bot.state.hedges[hedge_id]


@asynccontextmanager
async def beside_a_hedge(
    sink: RecordingAlertSink | None = None,
) -> AsyncIterator[tuple[Floor, Bot, UUID]]:
    """Sixteen on alpha: six are somebody's, ten are our leg, with its partner on beta."""
    made = stage(sink)
    async with made.running() as bot:
        await accepted(made, bot)
        hedge = await opened(made)
        assert made.position == (16, -10)
        yield made, bot, hedge.id


def booked(made: Floor, hedge_id: UUID | None) -> Decimal:
    """What the books have of alpha's money, of one hedge or of nobody."""
    fills = [f for f, owner in made.store.booked.values() if owner == hedge_id and f.account == "alpha"]
    paid = [p for p, owner in made.store.paid.values() if owner == hedge_id and p.account == "alpha"]
    return sum((f.realized_pnl - f.fee for f in fills), ZERO) + sum((p.amount for p in paid), ZERO)


async def test_a_liquidation_takes_the_leg_and_what_is_accepted_beside_it() -> None:
    sink = RecordingAlertSink()
    async with beside_a_hedge(sink) as (made, bot, first):
        made.alpha.liquidate("BTC-USDT", "90")
        await made.until(lambda: found(made, first).finished)
        assert made.position == (0, 0)
        assert found(made, first).long.filled == 0
        assert bot.state.accepted[POSITION].quantity == 0
        assert made.store.accepted[POSITION].quantity == 0, "also on disk"
        assert [entry.actor for entry in made.store.noted if entry.arguments.get("quantity")] == [
            "the exchange"
        ]
        assert titles(sink).count("Accepted Position Smaller") == 1
        await anyio.sleep(60)
        assert bot.state.accounts["alpha"].halted is None
    async with made.running() as bot:
        await anyio.sleep(60)
        assert bot.state.accounts["alpha"].halted is None, "after a restart as well"
        made.prices()
        second = await opened(made)
        assert made.position == (10, -10), "nothing is netted with what was never there"
        await anyio.sleep(60)
        assert made.position == (10, -10)
        assert found(made, second.id).unhedged == 0


async def test_the_loss_is_divided_and_nothing_of_it_is_lost() -> None:
    async with beside_a_hedge() as (made, _bot, first):
        entry = next(f for f in made.alpha.ledger.fills if f.quantity == 10)
        loss = made.alpha.liquidate("BTC-USDT", "91.7")
        await made.until(lambda: found(made, first).finished)
        ours = booked(made, first)
        assert abs(ours - (-entry.fee + (loss.realized_pnl - loss.fee) * 10 / 16)) < D("1e-10")
        assert ours + booked(made, None) == made.alpha.ledger.wallet - 100_000, "to the last digit"


async def test_a_liquidation_in_several_fills_is_divided_in_their_order() -> None:
    async with beside_a_hedge() as (made, bot, first):
        account_sinks, made.alpha._account_sinks = made.alpha._account_sinks, []
        for quantity in ("6", "7", "3"):
            made.alpha.liquidate("BTC-USDT", "90", quantity)
        made.alpha._account_sinks = account_sinks
        await made.until(lambda: found(made, first).finished)
        assert found(made, first).long.filled == 0
        assert bot.state.accepted[POSITION].quantity == 0
        assert booked(made, first) + booked(made, None) == made.alpha.ledger.wallet - 100_000


async def test_what_goes_on_when_our_leg_is_gone_is_theirs() -> None:
    async with beside_a_hedge() as (made, bot, first):
        made.alpha.liquidate("BTC-USDT", "90", "12")
        await made.until(lambda: found(made, first).finished)
        await made.until(lambda: bot.state.accepted[POSITION].quantity == 4)
        made.alpha.liquidate("BTC-USDT", "89", "3")
        await made.until(lambda: bot.state.accepted[POSITION].quantity == 1)
        await anyio.sleep(60)
        assert bot.state.accounts["alpha"].halted is None
    async with made.running() as bot:
        await anyio.sleep(120)
        assert bot.state.accepted[POSITION].quantity == 1, "also when it is read again"
        assert bot.state.accounts["alpha"].halted is None


async def test_deleveraging_counts_as_taken_from_our_leg_first() -> None:
    async with beside_a_hedge() as (made, bot, first):
        made.alpha.liquidate("BTC-USDT", "120", "6", FillKind.ADL)
        await made.until(lambda: made.position == (10, -4))
        assert bot.state.accepted[POSITION].quantity == 6
        await anyio.sleep(30)
        assert bot.state.accounts["alpha"].halted is None
        assert found(made, first).intent.mode is Mode.HOLDING


async def test_what_could_not_be_stored_is_divided_once() -> None:
    async with beside_a_hedge() as (made, bot, first):
        made.store.failing = "disk full"
        made.alpha.liquidate("BTC-USDT", "90")
        await made.until(lambda: made.position == (0, 0))
        await anyio.sleep(20)
        made.store.failing = None
        await made.until(lambda: found(made, first).finished)
        await made.until(lambda: bot.state.accepted[POSITION].quantity == 0)
        await made.until(lambda: bot.state.accounts["alpha"].halted is None)
        assert booked(made, first) + booked(made, None) == made.alpha.ledger.wallet - 100_000
    async with made.running() as bot:
        await anyio.sleep(60)
        assert found(made, first).finished
        assert bot.state.accounts["alpha"].halted is None


@pytest.mark.parametrize("quantity", ["3", "10"])
async def test_what_was_taken_while_nothing_could_be_stored_is_not_taken_of_them_afterwards(
    quantity: str,
) -> None:
    """Our own fills are stored first when the database answers again: what was taken is not forgotten between."""
    async with beside_a_hedge() as (made, bot, first):
        made.store.failing = "disk full"
        made.alpha.liquidate("BTC-USDT", "120", quantity, FillKind.ADL)
        await made.until(lambda: made.held(made.beta) == D(quantity) - 10)
        await bot.close_hedge(first)
        await made.until(lambda: made.position == (6, 0))
        await anyio.sleep(20)
        commit = made.store.commit

        async def slowly(batch: Batch) -> Committed:
            await anyio.sleep(1)
            return await commit(batch)

        made.store.commit = slowly  # type: ignore[method-assign]
        made.store.failing = None
        await made.until(lambda: found(made, first).finished)
        await anyio.sleep(20)
        assert made.position == (6, 0)
        assert bot.state.accounts["alpha"].halted is None


async def test_what_is_taken_does_not_wait_for_a_database_that_is_known_to_hang() -> None:
    async with beside_a_hedge() as (made, _, first):
        commit = made.store.commit

        async def forever(batch: Batch) -> Committed:
            await anyio.sleep_forever()
            raise AssertionError

        made.store.commit = forever  # type: ignore[method-assign]
        made.alpha.liquidate("BTC-USDT", "120", "2", FillKind.ADL)
        await made.until(lambda: found(made, first).long.filled == 8, within=3)
        await anyio.sleep(2.5)
        made.alpha.liquidate("BTC-USDT", "120", "2", FillKind.ADL)
        await made.until(lambda: found(made, first).long.filled == 6, within=1)
        made.store.commit = commit  # type: ignore[method-assign]
        await made.until(lambda: made.position == (12, -6), within=10)
        await anyio.sleep(30)
        assert made.position == (12, -6)
        assert found(made, first).long.filled == 6


async def test_what_was_taken_while_the_bot_was_down_is_not_closed_out_of_theirs() -> None:
    """A close waits until the ledger tells how large its leg still is."""
    async with beside_a_hedge() as (made, _, first):
        pass
    made.alpha.liquidate("BTC-USDT", "120", "4", FillKind.ADL)
    assert made.position == (12, -10)
    made.alpha.fail("get_fills", ExchangeUnavailable("not now"), times=2)
    async with made.running() as bot:
        await bot.close_hedge(first)
        await made.until(lambda: found(made, first).finished)
        assert made.position == (6, 0)
        await anyio.sleep(20)
        assert bot.state.accounts["alpha"].halted is None


async def test_a_close_does_not_wait_for_ever_for_a_ledger_that_cannot_be_read() -> None:
    async with beside_a_hedge() as (made, _, first):
        pass
    made.alpha.fail("get_fills", AuthenticationFailed("not for this key"), times=10_000)
    async with made.running() as bot:
        await bot.close_hedge(first)
        await anyio.sleep(PATIENCE - 1)
        assert made.position == (16, -10)
        await made.until(lambda: made.position == (6, 0), within=3)


async def test_funding_is_divided_too() -> None:
    async with beside_a_hedge() as (made, bot, first):
        paid = made.alpha.settle("BTC-USDT", "-0.001", "100.01")
        assert paid is not None
        await made.until(lambda: sum(owner == first for _, owner in made.store.paid.values()) == 1)
        parts = {owner: payment.amount for payment, owner in made.store.paid.values()}
        assert parts[first] == D("1.0001")
        assert parts[None] == D("0.60006")
        assert (await bot.pnl(found(made, first))).long.funding == D("1.0001")
    async with made.running() as bot:
        await anyio.sleep(120)
        assert sum(payment.amount for payment, _ in made.store.paid.values()) == paid.amount, "once"
        assert (await bot.pnl(found(made, first))).long.funding == D("1.0001")


async def test_a_settlement_before_a_liquidation_is_divided_by_what_was_held_then() -> None:
    async with beside_a_hedge() as (made, bot, first):
        read = made.alpha.get_funding_payments
        answers: list[object] = []

        async def nothing(*_: object, **__: object) -> list[object]:
            return answers

        made.alpha.get_funding_payments = nothing  # type: ignore[method-assign, assignment]
        made.alpha.settle("BTC-USDT", "-0.001", "100")
        await anyio.sleep(5)
        made.alpha.liquidate("BTC-USDT", "90")
        await made.until(lambda: found(made, first).finished)
        assert bot.state.accepted[POSITION].quantity == 0
        made.alpha.get_funding_payments = read  # type: ignore[method-assign]
        bot.readers["alpha"].want(payments=True)
        await made.until(lambda: made.store.paid)
        assert {owner: p.amount for p, owner in made.store.paid.values()} == {first: D(1), None: D("0.6")}


async def test_no_leg_is_opened_against_what_is_accepted() -> None:
    """It would cancel with it, and a reduction would find less than the leg."""
    made = stage()
    async with made.running() as bot:
        account = bot.state.accounts["alpha"]
        await made.until(lambda: not account.halted)
        await by_hand(made.alpha, OrderSide.SELL, 6)
        await made.until(lambda: "position" in str(account.halted))
        await bot.commands.resolution.accept("alpha", "me")
        await made.until(lambda: not account.halted)
        assert isinstance(made.strategy, Proposing)
        made.strategy.plans.append(plan(at=START, settlement=SETTLED))
        await anyio.sleep(30)
        assert not bot.state.hedges
        gates = {refusal.gate: refusal.actual for refusal in await made.store.refusals()}
        assert gates["occupied"] == "-6 of somebody else's on alpha"
        await by_hand(made.alpha, OrderSide.BUY, 6)
        await made.until(lambda: account.halted)
        await bot.commands.resolution.accept("alpha", "me")
        await made.until(lambda: bot.state.hedges, within=60)


# a lot that grows: four, where ten are ours and six somebody's


async def coarser(made: Floor, bot: Bot, hedge_id: UUID) -> None:
    listed = replace(made.alpha.instruments["BTC-USDT"], lot=D(4), min_quantity=D(4))
    made.alpha.instruments["BTC-USDT"] = listed
    bot.markets.list_instrument(listed)
    await made.until(lambda: found(made, hedge_id).intent.long.instrument.lot == 4)


async def test_what_a_lot_leaves_of_a_leg_is_not_taken_from_somebody_else_and_is_told() -> None:
    sink = RecordingAlertSink()
    async with beside_a_hedge(sink) as (made, bot, first):
        await coarser(made, bot, first)
        await bot.close_hedge(first)
        await made.until(lambda: found(made, first).intent.mode is Mode.DONE, within=10)
        assert made.position == (8, 0), "two of it are ours"
        (alert,) = [alert for alert in sink.alerts if alert.title == "Remainder Left"]
        assert alert.severity is Severity.CRITICAL
        assert alert.lines[1].startswith("Left: 2 LONG on alpha, less than the lot of 4")
        sent = len(made.sent(made.alpha))
        await anyio.sleep(30)
        assert len(made.sent(made.alpha)) == sent
        assert bot.state.accounts["alpha"].halted is None
        held = made.alpha.ledger.positions["BTC-USDT"]
        held.quantity = D(2)  # a person closes theirs
        await made.until(lambda: "position" in str(bot.state.accounts["alpha"].halted))
        await bot.commands.resolution.accept("alpha", "me")
        await made.until(lambda: found(made, first).finished, within=10)
        assert made.position == (0, 0)


async def test_what_a_lot_left_is_closed_when_the_lot_is_smaller_again() -> None:
    async with beside_a_hedge() as (made, bot, first):
        before = made.alpha.instruments["BTC-USDT"]
        await coarser(made, bot, first)
        await bot.close_hedge(first)
        await made.until(lambda: found(made, first).intent.mode is Mode.DONE, within=10)
        assert made.position == (8, 0)
        made.alpha.instruments["BTC-USDT"] = before
        bot.markets.list_instrument(before)
        await made.until(lambda: found(made, first).finished, within=10)
        assert made.position == (6, 0)


async def test_a_person_who_closes_what_a_lot_left_is_noticed() -> None:
    async with beside_a_hedge() as (made, bot, first):
        await coarser(made, bot, first)
        await bot.close_hedge(first)
        await made.until(lambda: found(made, first).intent.mode is Mode.DONE, within=10)
        bot.state.accepted.clear()
        made.alpha.ledger.positions["BTC-USDT"].quantity = D(0)
        await made.until(lambda: "position" in str(bot.state.accounts["alpha"].halted))
        await bot.commands.resolution.accept("alpha", "me")
        await made.until(lambda: found(made, first).finished, within=10)


async def test_a_kill_closes_what_a_lot_leaves_of_a_leg_with_what_is_beside_it() -> None:
    async with beside_a_hedge() as (made, bot, first):
        await coarser(made, bot, first)
        await bot.kill("somebody")
        await made.until(lambda: bot.flattened, within=60)
        assert made.position == (0, 0)


async def test_what_is_foreign_is_closed_as_far_as_the_lot_divides_it_and_the_rest_is_named() -> None:
    made = stage()
    async with made.running() as bot:
        await accepted(made, bot)
        await by_hand(made.alpha, OrderSide.BUY, 2)
        await made.until(lambda: bot.state.accounts["alpha"].halted)
        made.alpha.instruments["BTC-USDT"] = replace(made.alpha.instruments["BTC-USDT"], lot=D(4))
        bot.markets.list_instrument(made.alpha.instruments["BTC-USDT"])
        said = await bot.commands.resolution.flatten("alpha", "me")
        assert made.position == (8, 0)
        assert any("2 is less than the lot of 4, beside a position that stays" in line for line in said)


async def test_a_whole_position_is_closed_whatever_the_lot() -> None:
    made = stage()
    async with made.running() as bot:
        await by_hand(made.alpha, OrderSide.BUY, 6)
        made.alpha.instruments["BTC-USDT"] = replace(made.alpha.instruments["BTC-USDT"], lot=D(4))
        bot.markets.list_instrument(made.alpha.instruments["BTC-USDT"])
        await made.until(lambda: "position" in str(bot.state.accounts["alpha"].halted))
        await bot.commands.resolution.flatten("alpha", "me")
        assert made.position == (0, 0)
        assert made.sent(made.alpha)[-1].quantity == 8
