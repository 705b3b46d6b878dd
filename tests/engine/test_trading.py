"""The trading loop end to end, on two exchanges and a store in memory: what is committed, sent, held and closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.domain.make import D, instrument, plan
from tests.engine.rig import Floor, Proposing

from fundingarb.builtin.risk import MarginAvailable
from fundingarb.builtin.strategy import FundingSpread
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import CloseReason, LegPlan, Mode, Status
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import EntryRules, HedgePlan, Refusal
from fundingarb.domain.order import FillKind, NewOrder, OrderSide, OrderState, Purpose, TimeInForce
from fundingarb.domain.risk import Portfolio, refuse
from fundingarb.engine.bot import Bot
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError, ExchangeError, ExchangeUnavailable, OutcomeUnknown
from fundingarb.ports import AccountSink, Batch, Exit
from fundingarb.simulation.virtual import START
from fundingarb.testing import FakeExchange, RecordingAlertSink, Script

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)
RULES = EntryRules(target_size_usd=D(1000))
HEDGE = UUID(int=1)


def proposing(**changes: Any) -> Proposing:
    return Proposing([plan(**{"at": START, "settlement": T, **changes})])


def floor(strategy: Any = None, **settings: Any) -> Floor:
    made = Floor(strategy or proposing(), **settings)
    made.prices()
    made.rates("-0.001", "0.004", T)
    return made


def titles(sink: RecordingAlertSink) -> list[str]:
    return [alert.title for alert in sink.alerts]


def deafen(exchange: FakeExchange) -> None:
    """No account event of ``exchange`` arrives from now on."""

    class Nobody(list[AccountSink]):
        def append(self, sink: AccountSink) -> None:
            return

        def remove(self, sink: AccountSink) -> None:
            return

    exchange._account_sinks = Nobody()


async def opened(made: Floor) -> None:
    """Both legs filled: the resting first leg is hit once it is there."""
    await made.until(lambda: made.sent(made.alpha))
    await made.until(lambda: made.alpha.ledger.orders)
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
    await made.until(lambda: made.mode() is Mode.HOLDING)


async def booked(made: Floor) -> None:
    await made.until(lambda: made.hedge.complete_fills)


# the whole life


async def test_a_hedge_is_opened_held_through_a_settlement_and_closed_when_the_spread_turns() -> None:
    sink = RecordingAlertSink()
    made = floor(FundingSpread(RULES), sinks={"memory": sink})
    async with made.running() as bot:
        waiting = made.bot.loop.waiting
        # 22 minutes before: the window opens at 20
        await made.until(lambda: waiting and waiting["BTC-USDT"].gate == "window", within=30)
        assert not made.sent(made.alpha)
        assert "entry window of BTC-USDT" in bot.status().waiting_for
        await anyio.sleep(119)
        await opened(made)
        assert made.clock.now() < T - timedelta(minutes=15)
        hedge = made.hedge
        assert (hedge.intent.long.account, hedge.intent.short.account) == ("alpha", "beta")
        assert hedge.intent.quantity == D(10)
        assert made.position == (10, -10)
        await booked(made)

        await anyio.sleep((T - made.clock.now()).total_seconds())
        made.alpha.settle("BTC-USDT", "-0.001", "100")
        made.beta.settle("BTC-USDT", "0.004", "100")
        made.rates("0.0005", "0.0001", T + timedelta(hours=8))  # turned round
        await anyio.sleep(55)
        assert made.mode() is Mode.HOLDING  # not right at the settlement
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.position == (0, 0)
        hedge = made.hedge
        assert hedge.intent.close_reason is CloseReason.SPREAD
        assert hedge.status is Status.CLOSED
        await made.until(lambda: len(made.store.paid) == 2)
        pnl = await bot.pnl(hedge)
        assert pnl.funding == D(1) + 4
        for exchange, leg in ((made.alpha, pnl.long), (made.beta, pnl.short)):
            assert leg.price + leg.funding - leg.fees == exchange.ledger.wallet - 100_000  # to the last digit
        (opening,) = [alert for alert in sink.alerts if alert.title == "Position Opened"]
        assert opening.lines[-1] == "Expected funding: $5.00"  # 10 x 100 x (0.1 % + 0.4 %), both at 08:00
        await made.until(lambda: "Position Closed" in titles(sink))
        assert titles(sink).count("Position Opened") == 1
        assert titles(sink).count("Funding Collected") == 2
        assert not [alert for alert in sink.alerts if alert.severity is Severity.CRITICAL]


async def test_less_liquid_first_and_never_naked_for_long() -> None:
    made = floor()
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        (entry,) = made.sent(made.alpha)
        assert (entry.price, entry.reduce_only) == (D(100), False)
        assert made.sent(made.beta) == []  # the second leg waits for fills of the first
        made.alpha.fill_order(entry.client_id, "4")
        await made.until(lambda: made.held(made.beta) == -4, within=1)
        made.alpha.fill_order(entry.client_id, "6")
        await made.until(lambda: made.mode() is Mode.HOLDING, within=1)
        assert made.held(made.beta) == -10


async def test_an_entry_that_is_not_filled_in_time_is_cancelled_and_leaves_nothing() -> None:
    made = floor(retry_pause=timedelta(hours=1))
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=45)
        assert made.hedge.status is Status.ABANDONED
        assert made.clock.now() >= START + timedelta(seconds=30)
        assert not [o for o in made.alpha.ledger.orders.values() if o.state is OrderState.OPEN]
        assert made.sent(made.beta) == []
        await anyio.sleep(60)
        assert len(made.bot.state.hedges) == 1  # the pause before the next try


# what is on disk before anything is sent


async def test_every_order_is_committed_before_it_is_sent() -> None:
    made = floor()
    seen: list[tuple[str, bool]] = []
    for exchange in (made.alpha, made.beta):
        original = exchange.place_order

        async def place(order: NewOrder, original: Any = original) -> Any:
            seen.append((order.client_id, order.client_id in made.store.orders))
            return await original(order)

        exchange.place_order = place  # type: ignore[method-assign]
    async with made.running() as bot:
        await opened(made)
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.mode() is Mode.DONE)
    assert len(seen) == 4
    assert all(on_disk for _, on_disk in seen)


async def test_nothing_is_sent_while_the_store_fails_and_it_goes_on_when_it_answers_again() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink}, retry_pause=timedelta(seconds=1))
    made.store.failing = "disk full"
    async with made.running() as bot:
        await made.until(lambda: made.bot.loop.store_error)
        await anyio.sleep(20)
        assert made.sent(made.alpha) == []
        tried = [order for hedge in bot.state.hedges.values() for order in hedge.orders]
        assert [order.state for order in tried] == [OrderState.CANCELLED] * len(tried)
        assert len(tried) <= 1
        assert "disk full" in bot.loop.entries_off_reason
        assert titles(sink).count("Database Unavailable") == 1
        made.store.failing = None
        await made.until(lambda: made.sent(made.alpha))
        assert bot.loop.entries_on
        assert made.sent(made.alpha)[0].client_id in made.store.orders
        names = [order.client_id for order in made.sent(made.alpha)]
        assert len(names) == len(set(names))


async def test_a_ledger_that_cannot_be_stored_is_told_and_turns_entries_off() -> None:
    """Nothing but a payment is to be committed: the loop itself never meets the failing store."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await made.until(lambda: "Position Opened" in titles(sink) and made.hedge.complete_fills)
        made.store.failing = "disk full"
        made.alpha.settle("BTC-USDT", "0.0001", "100")
        await made.until(lambda: "Database Unavailable" in titles(sink))
        assert bot.loop.store_error is None
        assert "disk full" in bot.loop.entries_off_reason
        made.store.failing = None
        await made.until(lambda: bot.loop.entries_on, within=5)
        assert titles(sink).count("Database Unavailable") == 1
        assert "Database Available Again" in titles(sink)
        journalled = [alert.title for batch in made.store.batches for alert in batch.alerts]
        assert "Database Unavailable" in journalled


async def test_an_order_whose_commit_failed_is_over() -> None:
    """The store fails exactly when the first order is to be committed: nothing was sent, so nothing is in doubt.

    A commit that reports failure may be durable all the same, so the row says that the order is over.
    """
    made = floor(Proposing(), retry_pause=timedelta(seconds=1))
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    async with made.running() as bot:
        await made.until(
            lambda: all("BTC-USDT" in a.prepared and not a.halted for a in bot.state.accounts.values())
        )
        await anyio.sleep(10)
        assert bot.loop.store_error is None
        made.store.failing = "disk full"
        strategy.plans = proposing().plans
        await made.until(lambda: bot.loop.store_error)
        (unsent,) = made.hedge.orders
        assert (unsent.state, unsent.reason) == (OrderState.CANCELLED, "not sent: the database failed")
        assert bot.state.in_flight == set()
        await anyio.sleep(5)
        assert made.sent(made.alpha) == []
        made.store.failing = None
        await made.until(lambda: made.sent(made.alpha), within=5)
        assert unsent in [order for batch in made.store.batches for order in batch.orders]


async def test_what_reduces_goes_out_from_memory_while_the_store_fails_and_is_stored_when_it_answers() -> (
    None
):
    """Failure model: no exposure without a durable row, but nobody stays naked because a disk is full."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        made.store.failing = "disk full"
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.position == (0, 0), within=10)
        closing = [order for order in made.hedge.orders if order.purpose is Purpose.CLOSE]
        assert {order.account for order in closing} == {"alpha", "beta"}
        assert not [order for order in closing if order.client_id in made.store.orders]
        assert titles(sink).count("Order Sent While The Database Is Down") == 2
        assert made.mode() is not Mode.DONE  # the ledger cannot be booked
        made.store.failing = None
        await made.until(lambda: made.mode() is Mode.DONE)
        assert all(made.store.orders[order.client_id].state is OrderState.FILLED for order in closing)
        assert "Database Available Again" in titles(sink)


async def test_a_first_leg_that_fills_while_the_store_fails_is_unwound() -> None:
    made = floor()
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.store.failing = "disk full"
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.held(made.alpha) == 0 and len(made.sent(made.alpha)) > 1, within=30)
        assert all(order.reduce_only for order in made.sent(made.alpha)[1:])
        assert made.sent(made.beta) == []
        made.store.failing = None
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_a_database_that_hangs_counts_as_down() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        commit = made.store.commit

        async def hang(batch: Batch) -> Any:
            await anyio.sleep_forever()

        made.store.commit = hang  # type: ignore[method-assign]
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.position == (0, 0), within=10)
        assert "did not answer" in bot.loop.entries_off_reason
        made.store.commit = commit  # type: ignore[method-assign]
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_a_slow_database_does_not_delay_the_alert() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await made.until(lambda: made.sent(made.alpha))

        async def hang(batch: Batch) -> Any:
            await anyio.sleep_forever()

        made.store.commit = hang  # type: ignore[method-assign]
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.held(made.alpha) == 10, within=1)
        made.alpha.fail("place_order", OutcomeUnknown("no answer"), times=10_000)
        await made.until(lambda: "Unhedged Position" in titles(sink), within=3.5)


async def test_a_leg_without_its_partner_is_an_alert_within_five_seconds_and_every_thirty() -> None:
    """The hedge order is in doubt and nothing more can be done before it is resolved: a person has to know."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    made.beta.script(Script.lost_reply("10"))
    made.beta.fail("find_order", ExchangeUnavailable("no answer"), times=10_000)
    async with made.running():
        deafen(made.beta)
        await made.until(lambda: made.sent(made.alpha))
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.held(made.alpha) == 10)
        await anyio.sleep(2)
        assert "Unhedged Position" not in titles(sink)
        await anyio.sleep(2)
        assert titles(sink).count("Unhedged Position") == 1
        (alert,) = [alert for alert in sink.alerts if alert.title == "Unhedged Position"]
        assert alert.severity is Severity.CRITICAL
        assert "Too much: 10 LONG on alpha" in alert.lines
        await anyio.sleep(30)
        assert titles(sink).count("Unhedged Position") == 2


async def test_a_failing_store_is_one_line_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    made = floor()
    async with made.running():
        await opened(made)
        made.store.failing = "disk full"
        made.alpha.settle("BTC-USDT", "0.0001", "100")
        await anyio.sleep(40)
    lines = [record for record in caplog.records if "disk full" in record.getMessage()]
    assert lines
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_resting_entry_is_cancelled_while_the_store_fails() -> None:
    """What it would fill could not be hedged: a hedge order needs a commit, a cancel does not."""
    made = floor()
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.store.failing = "disk full"
        await made.until(lambda: made.bot.loop.store_error)
        await made.until(
            lambda: not [o for o in made.alpha.ledger.orders.values() if o.state is OrderState.OPEN], 5
        )
        assert made.held(made.alpha) == 0


async def test_an_order_in_doubt_is_resolved_while_the_store_fails() -> None:
    made = floor()
    made.alpha.script(Script.lost_reply("10"))
    made.alpha.fail("find_order", ExchangeUnavailable("no answer"), times=2)
    async with made.running():
        deafen(made.alpha)
        await made.until(lambda: made.alpha.ledger.orders)
        made.store.failing = "disk full"
        await made.until(lambda: made.hedge.long.filled == 10, within=5)
        assert made.sent(made.beta) == []
        made.store.failing = None
        await made.until(lambda: made.held(made.beta) == -10 or made.mode() is Mode.DONE)


# restarts


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


# when the second leg fails


async def test_a_refused_second_leg_unwinds_the_first_at_once() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink}, retry_pause=timedelta(hours=1))
    made.beta.script(Script.refuse("not-enough-margin"))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.mode() is Mode.DONE, within=3)
        assert made.position == (0, 0)
        unwind = made.sent(made.alpha)[-1]
        assert unwind.reduce_only
        assert made.hedge.orders[-1].purpose is Purpose.UNWIND
        assert len(made.sent(made.beta)) == 1
        await made.until(lambda: "Second Leg Failed" in titles(sink))
        (alert,) = [alert for alert in sink.alerts if alert.title == "Second Leg Failed"]
        assert alert.severity is Severity.CRITICAL


async def test_a_second_leg_in_doubt_is_waited_for() -> None:
    made = floor()
    made.beta.script(Script.lost_reply())
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.mode() is Mode.HOLDING, within=10)
        assert made.position == (10, -10)
        assert len(made.sent(made.beta)) == 1


async def test_an_unreachable_second_exchange_means_unwinding_on_the_first() -> None:
    made = floor(retry_pause=timedelta(hours=1))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        for operation in ("get_balance", "get_open_orders", "get_fills", "get_funding_rates", "place_order"):
            made.beta.fail(operation, ExchangeUnavailable("no answer"), times=1000)
        made.bot.state.down.add("beta")
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.held(made.alpha) == 0 and made.alpha.ledger.fills, within=10)
        assert made.sent(made.beta) == []


# what the exchange does by itself


async def test_a_liquidation_closes_the_other_leg_and_pauses_the_symbol() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        made.beta.liquidate("BTC-USDT", "130")
        await made.until(lambda: made.mode() is Mode.DONE, within=5)
        assert made.held(made.alpha) == 0
        hedge = made.hedge
        assert hedge.status is Status.LIQUIDATED
        assert hedge.intent.close_reason is CloseReason.LIQUIDATION
        assert made.bot.state.cooldowns["BTC-USDT"] >= made.clock.now() + timedelta(minutes=59)
        await anyio.sleep(30)
        assert len(made.bot.state.hedges) == 1, "the symbol pauses"
        assert [
            a for a in sink.alerts if a.title == "Liquidation Detected" and a.severity is Severity.CRITICAL
        ]


async def test_the_loss_of_a_liquidation_is_booked_to_the_last_digit() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        made.beta.liquidate("BTC-USDT", "130")
        await made.until(lambda: made.mode() is Mode.DONE and made.hedge.complete_fills, within=5)
        pnl = await bot.pnl(made.hedge)
        assert pnl.short.price == (D("99.9") - 130) * 10
        for exchange, leg in ((made.alpha, pnl.long), (made.beta, pnl.short)):
            assert leg.price + leg.funding - leg.fees == exchange.ledger.wallet - 100_000


async def test_a_liquidation_while_opening_keeps_its_long_pause() -> None:
    made = floor(retry_pause=timedelta(seconds=1))
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "4")
        await made.until(lambda: made.held(made.beta) == -4)
        made.beta.liquidate("BTC-USDT", "130")
        await made.until(lambda: made.mode() is Mode.DONE, within=20)
        assert made.bot.state.cooldowns["BTC-USDT"] >= made.clock.now() + timedelta(minutes=59)


async def test_a_liquidation_while_the_bot_was_down() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
    made.beta.liquidate("BTC-USDT", "130")
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=10)
        assert made.held(made.alpha) == 0
        assert made.hedge.status is Status.LIQUIDATED


async def test_a_liquidation_that_was_booked_and_not_yet_acted_on_when_the_bot_died() -> None:
    """The fill is on disk, the intent is not: no new fill will ever tell of it again."""
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
    taken = made.beta.liquidate("BTC-USDT", "130")
    await made.store.commit(Batch(fills=((taken, HEDGE),)))
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    strategy.plans.clear()
    async with made.running() as bot:
        await made.until(lambda: made.mode() is Mode.DONE, within=10)
        assert made.held(made.alpha) == 0
        assert made.hedge.status is Status.LIQUIDATED
        assert bot.state.cooldowns["BTC-USDT"] > made.clock.now()


async def test_auto_deleveraging_shrinks_the_other_leg() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
        made.alpha.liquidate("BTC-USDT", "120", "3", FillKind.ADL)
        await made.until(lambda: made.held(made.beta) == -7, within=5)
        assert made.mode() is Mode.HOLDING
        assert made.sent(made.beta)[-1].reduce_only


async def test_a_close_that_is_refused_reads_the_ledger_before_anything_else() -> None:
    """The position is gone, nobody has told us: the refusal must not become a storm of orders."""
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        deafen(made.beta)
        made.beta.liquidate("BTC-USDT", "130")
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.mode() is Mode.DONE, within=10)
        assert made.held(made.alpha) == 0
        assert len([order for order in made.sent(made.beta) if order.reduce_only]) <= 3


async def test_an_order_that_arrives_after_all_is_cancelled_and_flattened() -> None:
    """Given up after the proof, it turned up later and was filled: flat again, and nothing rests."""
    made = floor(retry_pause=timedelta(hours=10))
    made.alpha.script(Script.arrives_late())
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=90)
        made.alpha.deliver_late()
        name = made.sent(made.alpha)[0].client_id
        made.alpha.fill_order(name, "4")
        await made.until(lambda: made.held(made.alpha) == 0, within=60)
        await made.until(lambda: made.alpha.ledger.orders[name].state is OrderState.CANCELLED, within=60)
        assert made.sent(made.alpha)[-1].reduce_only


async def test_such_an_order_is_found_by_reading_when_no_event_tells_of_it() -> None:
    made = floor(retry_pause=timedelta(hours=10))
    made.alpha.script(Script.arrives_late())
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE, within=90)
        deafen(made.alpha)
        made.alpha.deliver_late()
        name = made.sent(made.alpha)[0].client_id
        await made.until(lambda: made.alpha.ledger.orders[name].state is OrderState.CANCELLED, within=120)
        assert made.held(made.alpha) == 0
        await made.until(lambda: not made.bot.state.accounts["alpha"].halted, within=120)


# closing


async def test_a_manual_close_waits_for_both_exchanges_and_a_kill_does_not() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        bot.state.down.add("beta")
        made.beta.fail("place_order", ExchangeUnavailable("beta: 503"), times=10_000)
        await bot.close_hedge(HEDGE)
        await anyio.sleep(20)
        assert made.position == (10, -10)
        await bot.close_hedge(HEDGE, CloseReason.KILL)
        await made.until(lambda: made.held(made.alpha) == 0, within=5)
        assert made.held(made.beta) == -10
        made.beta._failures["place_order"].clear()
        bot.state.down.discard("beta")
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.hedge.intent.close_reason is CloseReason.KILL


async def test_stopping_cancels_resting_entries_and_leaves_open_hedges() -> None:
    made = floor()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.bot.run)
        tasks.start_soon(made._tick_markets)
        await made.until(lambda: made.alpha.ledger.orders)
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "4")
        await made.until(lambda: made.held(made.beta) == -4)
        made.bot.stop()
        await made.until(
            lambda: not [o for o in made.alpha.ledger.orders.values() if o.state is OrderState.OPEN]
        )
        await anyio.sleep(12)
        tasks.cancel_scope.cancel()
    assert made.position == (4, -4)
    (intent,) = made.store.intents.values()
    assert intent.mode in (Mode.OPENING, Mode.HOLDING)


# who may open what


class Boom:
    """A risk rule with a mistake in it."""

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: Any) -> Refusal | None:
        raise ZeroDivisionError("in a stranger's rule")


async def test_a_rule_that_raises_refuses() -> None:
    made = floor(rules=[Boom()])
    async with made.running() as bot:
        await anyio.sleep(10)
        assert made.sent(made.alpha) == []
        assert "ZeroDivisionError" in bot.loop.waiting["BTC-USDT"].actual
        with pytest.raises(ConfigError, match="ZeroDivisionError"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(1000))


async def test_a_strategy_that_raises_leaves_open_hedges_looked_after() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    async with made.running() as bot:
        await opened(made)
        strategy.error = ZeroDivisionError("in a stranger's strategy")
        asked = strategy.asked
        await anyio.sleep(10)
        assert strategy.asked > asked + 5
        assert titles(sink).count("Strategy Failed") == 1
        made.alpha.liquidate("BTC-USDT", "120", "3", FillKind.ADL)
        await made.until(lambda: made.held(made.beta) == -7, within=5)
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_exits_of_a_strategy() -> None:
    made = floor()
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    async with made.running():
        await opened(made)
        strategy.plans.clear()
        strategy.exits.append(Exit(HEDGE, CloseReason.SPREAD, "turned"))
        strategy.exits.append(Exit(UUID(int=99), CloseReason.SPREAD, "nobody's"))
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_pause_resume_and_the_latch() -> None:
    made = floor()
    async with made.running() as bot:
        bot.pause()
        await anyio.sleep(5)
        assert made.sent(made.alpha) == []
        assert bot.status().state == "PAUSED"
        bot.resume()
        await made.until(lambda: made.sent(made.alpha))
    made.store.killed = True
    made.store.intents.clear()
    made.store.orders.clear()
    count = len(made.sent(made.alpha))
    async with made.running() as bot:
        await anyio.sleep(20)
        assert bot.status().state == "KILLED"
        assert len(made.sent(made.alpha)) == count


async def test_entries_wait_until_every_account_was_read_and_matches() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    foreign = NewOrder("web_1", "BTC-USDT", OrderSide.BUY, D(1), None, TimeInForce.IOC, False)
    await made.alpha.place_order(foreign)
    async with made.running() as bot:
        await anyio.sleep(30)
        assert made.sent(made.alpha) == [foreign]
        assert "foreign position" in str(bot.state.accounts["alpha"].halted)
        assert [a for a in sink.alerts if a.severity is Severity.CRITICAL]
        made.alpha.liquidate("BTC-USDT", "100")  # the person closes it
        await made.until(lambda: len(made.sent(made.alpha)) > 1)


async def test_two_symbols_do_not_spend_the_same_margin() -> None:
    """Each leg of 6,000 USD needs 2,000 of 3,000 x 0.8: the second hedge waits until the first one's is known."""
    big = {"quantity": D(60), "notional": D(6000)}
    eth = _plan_of("ETH-USDT", **big)
    leverage = {(name, symbol): 3 for name in ("alpha", "beta") for symbol in ("BTC-USDT", "ETH-USDT")}
    made = Floor(
        Proposing([_plan_of("BTC-USDT", **big), eth]),
        rules=[MarginAvailable()],
        symbols=("BTC-USDT", "ETH-USDT"),
        leverages=leverage,
    )
    for symbol in ("BTC-USDT", "ETH-USDT"):
        made.prices(symbol=symbol)
        made.rates("-0.0005", "0.002", T, symbol)
    for exchange in (made.alpha, made.beta):
        _limit_margin(exchange, D(3000))
    async with made.running() as bot:
        await made.until(lambda: made.sent(made.alpha))
        await anyio.sleep(2)
        assert len(bot.state.hedges) == 1
        first = made.sent(made.alpha)[0]
        made.alpha.fill_order(first.client_id)
        await made.until(lambda: made.mode() is Mode.HOLDING)
        await anyio.sleep(20)
        assert len(bot.state.hedges) == 1
        assert bot.loop.waiting["ETH-USDT"].gate == "margin"


def _plan_of(symbol: str, **changes: Any) -> HedgePlan:
    return plan(
        symbol=symbol,
        long=LegPlan(Side.LONG, "alpha", instrument("alpha", symbol), 3),
        short=LegPlan(Side.SHORT, "beta", instrument("beta", symbol), 3),
        at=START,
        settlement=T,
        **changes,
    )


def _limit_margin(exchange: FakeExchange, wallet: Decimal) -> None:
    """Make the fake's balance fall by the margin of what is held, read a second late, as exchanges do."""
    original = exchange.get_balance

    async def get_balance() -> Any:
        balance = await original()
        used = sum((abs(p.quantity) * 100 / 3 for p in exchange.ledger.positions.values()), D(0))
        return replace(balance, wallet=wallet, equity=wallet, available=wallet - used)

    exchange.get_balance = get_balance  # type: ignore[method-assign]


async def test_opening_by_hand() -> None:
    made = floor(Proposing())
    async with made.running() as bot:
        await made.until(
            lambda: not bot.state.accounts["alpha"].halted and not bot.state.accounts["beta"].halted
        )
        await made.until(lambda: bot.state.accounts["beta"].fees and bot.state.accounts["alpha"].fees)
        await made.until(lambda: bot.state.accounts["beta"].balance and bot.state.accounts["alpha"].balance)
        hedge_id = await bot.open_hedge("BTC-USDT", "beta", "alpha", D(500))
        assert bot.state.hedges[hedge_id].intent.origin == "manual"
        assert bot.state.hedges[hedge_id].intent.quantity == D(5)
        assert bot.state.hedges[hedge_id].intent.long.account == "beta"
        with pytest.raises(ConfigError, match="one-per-symbol"):
            await bot.open_hedge("BTC-USDT", "beta", "alpha", D(500))
        for size, text in ((D("0.01"), "less than one lot"), (D("1"), "below the minimum")):
            with pytest.raises(ConfigError, match=text):
                await bot.open_hedge("BTC-USDT", "alpha", "beta", size)
        with pytest.raises(ConfigError, match="gamma is not configured"):
            await bot.open_hedge("BTC-USDT", "gamma", "beta", D(500))
        with pytest.raises(ConfigError, match="not open"):
            await bot.close_hedge(UUID(int=77))


async def test_opening_by_hand_is_refused_for_things_that_are_not_the_same() -> None:
    made = floor(Proposing())
    made.beta.set_rate("BTC-USDT", "0.004", next_settlement=T, mark="150", index="150")
    async with made.running() as bot:
        await made.until(lambda: all(a.fees and a.balance for a in bot.state.accounts.values()))
        with pytest.raises(ConfigError, match=r"index prices .* are 50\.00 % apart"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", D(500))


async def test_two_clicks_at_once_open_one_hedge() -> None:
    made = floor(Proposing())
    results: list[object] = []

    async def click(bot: Bot) -> None:
        try:
            results.append(await bot.open_hedge("BTC-USDT", "beta", "alpha", D(500)))
        except ConfigError as error:
            results.append(error)

    async with made.running() as bot:
        await made.until(
            lambda: not bot.state.accounts["alpha"].halted and not bot.state.accounts["beta"].halted
        )
        await made.until(lambda: bot.state.accounts["beta"].balance and bot.state.accounts["alpha"].balance)
        async with anyio.create_task_group() as clicks:
            clicks.start_soon(click, bot)
            clicks.start_soon(click, bot)
        assert len(bot.state.hedges) == 1
        assert sorted(type(result).__name__ for result in results) == ["ConfigError", "UUID"]


async def test_a_click_that_took_long_meets_the_rules_as_they_are_then() -> None:
    """Setting the accounts up takes requests; what was allowed before them may not be allowed after."""
    made = floor(Proposing())
    async with made.running() as bot:
        await made.until(
            lambda: not bot.state.accounts["alpha"].halted and not bot.state.accounts["beta"].halted
        )
        await made.until(lambda: bot.state.accounts["beta"].balance and bot.state.accounts["alpha"].balance)
        original = made.alpha.get_modes

        async def slow(symbol: str) -> Any:
            await anyio.sleep(1)
            return await original(symbol)

        made.alpha.get_modes = slow  # type: ignore[method-assign]
        bot.state.accounts["alpha"].prepared.clear()
        async with anyio.create_task_group() as clicks:

            async def click() -> None:
                with pytest.raises(ConfigError, match="killed"):
                    await bot.open_hedge("BTC-USDT", "alpha", "beta", D(500))

            clicks.start_soon(click)
            await anyio.sleep(0.5)
            bot.state.killed = True
        assert not bot.state.hedges


# pace


async def test_the_loop_does_not_spin() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        before = 0
        ticks = 0
        original = bot.loop.tick

        async def tick() -> None:
            nonlocal ticks
            ticks += 1
            await original()

        bot.loop.tick = tick  # type: ignore[method-assign]
        await anyio.sleep(20)
        assert 30 <= ticks - before <= 300
        assert made.hedge.orders[0].state is OrderState.OPEN


async def test_the_loop_does_not_spin_while_an_exchange_wants_silence() -> None:
    made = floor()
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        for gate in bot.gates.values():
            gate._paused_until = bot.clock.monotonic() + 120
        ticks = 0
        original = bot.loop.tick

        async def tick() -> None:
            nonlocal ticks
            ticks += 1
            assert ticks < 2000
            await original()

        bot.loop.tick = tick  # type: ignore[method-assign]
        await anyio.sleep(60)  # the entry's deadline passes: its order is to be cancelled and cannot be


def test_patience_scales_with_the_clock() -> None:
    settings = TradingSettings(
        symbols=(),
        rules=RULES,
        policy=ExecutionPolicy(),
        fill_timeout=timedelta(seconds=30),
        settlement_guard=timedelta(seconds=60),
        tolerances={"ETH-USDT": D(0)},
        default_tolerance=D("-0.0001"),
        leverages={("alpha", "BTC-USDT"): 3},
    )
    fast = settings.for_speed(100)
    assert fast.policy.naked_budget == timedelta(seconds=500)
    assert fast.policy.reprice_after == timedelta(seconds=5)
    assert fast.policy.retry_after == timedelta(seconds=25)
    assert fast.fill_timeout == timedelta(seconds=30)
    assert settings.for_speed(1) == settings
    assert (settings.tolerance("ETH-USDT"), settings.tolerance("BTC-USDT")) == (D(0), D("-0.0001"))
    assert (settings.leverage("alpha", "BTC-USDT"), settings.leverage("beta", "BTC-USDT")) == (3, 5)


# several plans for one symbol


async def test_the_next_best_plan_has_its_turn_when_a_risk_rule_refuses_the_best() -> None:
    class NotTen:
        def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
            return refuse(plan, "ten", "less", "10", now) if plan.quantity == 10 else None

    strategy = proposing()
    strategy.plans += [
        replace(strategy.plans[0], quantity=D(size), notional=D(100 * size)) for size in (4, 3)
    ]
    made = floor(strategy, rules=[NotTen()])
    async with made.running() as bot:
        await made.until(lambda: made.sent(made.alpha))
        assert made.sent(made.alpha)[0].quantity == 4
        assert len(bot.state.hedges) == 1
        await anyio.sleep(2)
        assert not [r for r in await made.store.refusals() if r.gate == "one-per-symbol"]


async def test_the_next_best_plan_waits_while_the_best_is_being_prepared() -> None:
    strategy = proposing()
    (best,) = strategy.plans
    strategy.plans = []
    made = floor(strategy)
    async with made.running() as bot:
        ready = bot.state.accounts.values()
        await made.until(lambda: all("BTC-USDT" in a.prepared and not a.halted for a in ready))
        long = replace(best.long, leverage=7)  # to be set first; the next best could go ahead
        strategy.plans = [replace(best, long=long), replace(best, quantity=D(4), notional=D(400))]
        await made.until(lambda: made.sent(made.alpha))
        assert made.sent(made.alpha)[0].quantity == 10
        assert made.alpha.leverage["BTC-USDT"] == 7


async def test_and_has_its_turn_when_that_fails() -> None:
    strategy = proposing()
    strategy.plans += [replace(strategy.plans[0], quantity=D(4), notional=D(400))]
    strategy.plans[0] = replace(strategy.plans[0], long=replace(strategy.plans[0].long, leverage=7))
    made = floor(strategy)
    real = made.alpha.set_leverage

    async def set_leverage(symbol: str, leverage: int) -> None:
        if leverage == 7:
            raise ExchangeError("alpha: leverage 7 is not for you")
        await real(symbol, leverage)

    made.alpha.set_leverage = set_leverage  # type: ignore[method-assign]
    async with made.running():
        await made.until(lambda: made.sent(made.alpha))
        assert made.sent(made.alpha)[0].quantity == 4
