"""What is committed before anything is sent, and what goes on while the store fails or hangs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.engine.rig import Floor, Proposing
from tests.engine.stage import HEDGE, booked, deafen, floor, opened, proposing, titles

from fundingarb.domain.events import Severity
from fundingarb.domain.hedge import Mode
from fundingarb.domain.order import FillKind, NewOrder, OrderState, Purpose
from fundingarb.errors import ExchangeUnavailable, OutcomeUnknown
from fundingarb.ports import Batch
from fundingarb.testing import RecordingAlertSink, Script

pytestmark = pytest.mark.anyio


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
        await made.until(lambda: made.bot.loop.store_health.loop_error)
        await anyio.sleep(20)
        assert made.sent(made.alpha) == []
        tried = [order for hedge in bot.state.hedges.values() for order in hedge.orders]
        assert [order.state for order in tried] == [OrderState.CANCELLED] * len(tried)
        assert len(tried) <= 1
        assert "disk full" in bot.loop.entries.off_reason
        assert titles(sink).count("Database Unavailable") == 1
        made.store.failing = None
        await made.until(lambda: made.sent(made.alpha))
        assert bot.loop.entries.on
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
        assert bot.loop.store_health.loop_error is None
        assert "disk full" in bot.loop.entries.off_reason
        made.store.failing = None
        await made.until(lambda: bot.loop.entries.on, within=5)
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
        assert bot.loop.store_health.loop_error is None
        made.store.failing = "disk full"
        strategy.plans = proposing().plans
        await made.until(lambda: bot.loop.store_health.loop_error)
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


async def test_what_left_from_memory_is_known_after_a_crash_that_the_store_never_heard_of() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        made.store.failing = "disk full"
        made.alpha.liquidate("BTC-USDT", "120", "4", FillKind.ADL)
        await made.until(lambda: made.position == (6, -6), within=10)
    made.store.failing = None
    name = made.sent(made.beta)[-1].client_id
    assert name not in made.store.orders
    async with made.running():
        await made.until(lambda: made.hedge.order(name) is not None, within=5)
        await made.until(lambda: made.hedge.complete_fills and name in made.store.orders, within=5)
        assert made.store.orders[name].state is OrderState.FILLED
        assert "Leg Closed By Hand" not in titles(sink)
        made.alpha.liquidate("BTC-USDT", "120", "2", FillKind.ADL)
        await made.until(lambda: made.position == (4, -4), within=10)
        names = [order.client_id for order in made.sent(made.beta)]
        assert len(names) == len(set(names))


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
        assert "did not answer" in bot.loop.entries.off_reason
        made.store.commit = commit  # type: ignore[method-assign]
        await made.until(lambda: made.mode() is Mode.DONE)


async def test_what_reduces_does_not_wait_long_for_a_database_that_is_known_to_hang() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        hang(made, reads=("commit",))
        made.alpha.script(Script.refuse(), Script.refuse())
        await bot.close_hedge(HEDGE)
        await made.until(lambda: len(made.sent(made.alpha)) == 2, within=5)
        first = made.clock.monotonic()
        await made.until(lambda: made.position == (0, 0), within=5)
        assert len(made.sent(made.alpha)) == 4
        assert made.clock.monotonic() - first < 2.5, "not two seconds each"


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
        assert "Too much: 10 LONG on alpha, about $1,000.00" in alert.lines
        await anyio.sleep(30)
        assert titles(sink).count("Unhedged Position") == 2


@pytest.mark.parametrize(("silent", "worth"), [(("alpha",), ", about $1,000.00"), (("alpha", "beta"), "")])
async def test_without_a_price_the_alert_comes_in_time_all_the_same(
    silent: tuple[str, ...], worth: str
) -> None:
    """What it is worth is taken from the other exchange where the heavier one's price is not known, or left out."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    made.beta.script(Script.lost_reply("10"))
    made.beta.fail("find_order", ExchangeUnavailable("no answer"), times=10_000)
    async with made.running() as bot:
        deafen(made.beta)
        await made.until(lambda: made.sent(made.alpha))
        known = bot.loop.naked.price
        bot.loop.naked.price = lambda exchange, symbol: (
            None if exchange in silent else known(exchange, symbol)
        )
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.held(made.alpha) == 10)
        await made.until(lambda: "Unhedged Position" in titles(sink), within=3.5)
        (alert,) = [alert for alert in sink.alerts if alert.title == "Unhedged Position"]
        assert f"Too much: 10 LONG on alpha{worth}" in alert.lines


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
        await made.until(lambda: made.bot.loop.store_health.loop_error)
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


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("moment", [0.0, 1.0, 2.5, 4.0, 6.0])
async def test_a_liquidation_is_seen_while_the_database_answers_nothing(
    moment: float, commits: bool, heard: bool
) -> None:
    """Funding was posted, and whose it is has to be read from a database that hangs: a leg does not wait for that."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        await anyio.sleep(5)
        hang(made, reads=("fills", "payments", "hedges_at", "settlements", "control", "result_since"))
        if not commits:
            hang(made, reads=("commit",))
        if not heard:
            deafen(made.alpha)
        made.alpha.settle("BTC-USDT", "0.01", "100")
        await anyio.sleep(moment)
        made.alpha.liquidate("BTC-USDT", "90")
        await made.until(lambda: "Liquidation Detected" in titles(sink), within=5)
        await made.until(lambda: made.held(made.beta) == 0, within=2)


async def test_what_a_hanging_database_was_asked_is_booked_once_when_it_answers_again() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        answer = hang(made, reads=("fills", "commit"))
        made.alpha.settle("BTC-USDT", "0.01", "100")
        made.alpha.liquidate("BTC-USDT", "90")
        await made.until(lambda: made.held(made.beta) == 0, within=10)
        await anyio.sleep(20)
        answer()
        await made.until(lambda: made.mode() is Mode.DONE, within=60)
        assert bot.state.hedges[HEDGE].hedged == 0
        await anyio.sleep(40)
        names = [(fill.account, fill.trade_id) for fill in await made.store.fills(HEDGE)]
        assert len(names) == len(set(names)) == 4
        assert len(await made.store.payments(HEDGE)) == 1


async def test_positions_that_nobody_reads_are_told_whatever_the_reader_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        monkeypatch.setattr(bot.readers["beta"], "collect_payments", anyio.sleep_forever)
        bot.readers["beta"].want(payments=True)
        await made.until(lambda: "Account beta cannot be read" in titles(sink), within=9)
        (told,) = [alert for alert in sink.alerts if alert.title == "Account beta cannot be read"]
        assert told.severity is Severity.CRITICAL
        assert "Held there: SHORT 10.000 BTC-USDT" in told.lines
        assert "positions not read" in str(bot.state.accounts["beta"].halted)


async def test_an_account_without_legs_may_be_read_seldom() -> None:
    """Nothing is held for a long time, then a leg is: that it was not looked at before is no alarm."""
    sink = RecordingAlertSink()
    made = floor(Proposing(), sinks={"memory": sink})
    strategy = made.strategy
    assert isinstance(strategy, Proposing)
    async with made.running():
        await anyio.sleep(28)
        strategy.plans = proposing().plans
        await opened(made)
        await anyio.sleep(10)
        assert not [title for title in titles(sink) if "cannot be read" in title]


def hang(made: Floor, reads: Sequence[str]) -> Callable[[], None]:
    """The store does not answer these, until what is returned is called."""
    originals = {name: getattr(made.store, name) for name in reads}

    async def forever(*_: Any, **__: Any) -> Any:
        await anyio.sleep_forever()

    for name in reads:
        setattr(made.store, name, forever)

    def answer() -> None:
        for name, original in originals.items():
            setattr(made.store, name, original)

    return answer
