"""Two things at once: what takes a leg away while a database, a stream or a part of an exchange's API is not there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest
from tests.domain.make import D, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.stage import HEDGE, booked, floor, opened

from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import Mode
from fundingarb.domain.order import ExchangePosition, Fill, FillKind, NewOrder, OrderSide, TimeInForce
from fundingarb.errors import ConfigError, ExchangeError, ExchangeUnavailable
from fundingarb.ports import Batch
from fundingarb.testing import FakeExchange, RecordingAlertSink, Script

pytestmark = pytest.mark.anyio

READS = (
    "get_server_time", "get_instruments", "get_funding_rate", "get_funding_rates", "get_funding_history",
    "get_orderbook", "get_open_orders", "get_positions", "get_balance", "get_fills", "get_funding_payments",
    "get_fee_tier", "get_modes", "get_key_permissions",
)  # fmt: skip


async def trade(exchange: FakeExchange, side: OrderSide, quantity: str, symbol: str = "BTC-USDT") -> None:
    """A person trades in the exchange's own app."""
    name = f"web{len(exchange.ledger.orders)}"
    await exchange.place_order(NewOrder(name, symbol, side, D(quantity), None, TimeInForce.IOC, False))


def critical(sink: RecordingAlertSink, title: str) -> list[Alert]:
    return [alert for alert in sink.alerts if alert.title == title and alert.severity is Severity.CRITICAL]


async def accepted(made: Floor, account: str) -> None:
    """Differences on ``account`` are seen, and accepted by a person."""
    await made.until(lambda: "position" in str(made.bot.state.accounts[account].halted), within=60)
    await made.bot.commands.resolution.accept(account, "somebody")
    await made.until(lambda: made.bot.state.accounts[account].halted is None, within=60)


# the database is not there


@pytest.mark.parametrize("how", ["down", "hanging"])
@pytest.mark.parametrize("what", ["liquidation", "by hand", "adl"])
async def test_the_other_leg_follows_while_the_database_is_not_there(how: str, what: str) -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink}, retry_pause=timedelta(days=9))
    commit = made.store.commit

    async def hangs(batch: Batch) -> Any:
        await anyio.sleep_forever()

    async with made.running():
        await opened(made)
        await booked(made)
        made.strategy.plans.clear()  # type: ignore[attr-defined]
        await anyio.sleep(5)
        if how == "down":
            made.store.failing = "the disk is full"
        else:
            made.store.commit = hangs  # type: ignore[method-assign]
        if what == "by hand":
            await trade(made.beta, OrderSide.BUY, "10")
        else:
            size = None if what == "liquidation" else "4"
            made.beta.liquidate(
                "BTC-USDT", "150", size, FillKind.LIQUIDATION if size is None else FillKind.ADL
            )
        left = 6 if what == "adl" else 0
        await made.until(lambda: made.position == (left, -left), within=20)
        assert critical(sink, "Database Unavailable")
        assert made.hedge.short.filled == made.hedge.long.filled == left
        made.store.failing, made.store.commit = None, commit  # type: ignore[method-assign]
        await made.until(
            lambda: len(made.store.booked) == len(made.alpha.ledger.fills + made.beta.ledger.fills)
        )
        await anyio.sleep(60)
        assert made.position == (left, -left)
        assert made.hedge.short.filled == made.hedge.long.filled == left, "taken once"
        assert made.hedge.complete_fills
        assert made.mode() is (Mode.HOLDING if left else Mode.DONE)
    async with made.running() as bot:
        await anyio.sleep(40)
        assert made.position == (left, -left)
        assert bot.state.accounts["beta"].halted is None, "what is stored says the same"


async def test_a_commit_that_gave_no_answer_and_was_stored_is_taken_once() -> None:
    made = floor()
    commit = made.store.commit

    async def silent(batch: Batch) -> Any:
        await commit(batch)
        if batch.fills:
            await anyio.sleep_forever()

    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
        made.store.commit = silent  # type: ignore[method-assign]
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await anyio.sleep(10)
        made.store.commit = commit  # type: ignore[method-assign]
        await made.until(lambda: made.mode() is Mode.HOLDING and made.hedge.complete_fills)
        assert [(order.booked, order.filled) for order in made.hedge.orders] == [(D(10), D(10))] * 2
        assert made.position == (10, -10)


# a part of an exchange is not there


@pytest.mark.parametrize("broken", ["get_open_orders", "get_positions", "get_funding_payments"])
async def test_one_reading_that_fails_does_not_keep_the_others_from_being_read(broken: str) -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        await anyio.sleep(5)
        made.beta.fail(broken, ExchangeError("beta: internal error", code="500"), times=10_000)
        made.beta.liquidate("BTC-USDT", "150")
        await made.until(lambda: made.position == (0, 0), within=10)
        if broken != "get_funding_payments":
            await made.until(lambda: critical(sink, "Account beta cannot be read") or not made.hedge.live, 20)


async def test_positions_that_cannot_be_read_while_a_hedge_is_open_are_told() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        made.beta.fail("get_positions", ExchangeError("beta: internal error", code="500"), times=20)
        await made.until(lambda: critical(sink, "Account beta cannot be read"), within=45)
        assert "positions not read" in str(bot.state.accounts["beta"].halted)
        assert "Held there: SHORT 10.000 BTC-USDT" in critical(sink, "Account beta cannot be read")[0].lines
        await made.until(lambda: bot.state.accounts["beta"].halted is None, within=120)


@pytest.mark.parametrize("moment", [0, 2, 4, 6])
async def test_while_positions_cannot_be_read_the_ledger_is_read_until_it_has_what_was_taken(
    moment: float,
) -> None:
    """The stream tells of a liquidation at once, the ledger has it a moment later, and nothing else tells of it."""
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
        made.beta.fail("get_positions", ExchangeError("beta: internal error", code="500"), times=10_000)
        original = made.beta.get_fills

        async def lagging(since: datetime, symbol: str | None = None) -> Sequence[Fill]:
            late = made.clock.now() - timedelta(seconds=1.5)
            return [fill for fill in await original(since, symbol) if fill.at <= late]

        made.beta.get_fills = lagging  # type: ignore[method-assign]
        await anyio.sleep(8 + moment)
        made.beta.liquidate("BTC-USDT", "150")
        await made.until(lambda: made.position == (0, 0), within=5)


async def test_positions_that_are_not_read_are_told_within_five_seconds_of_being_asked_for() -> None:
    """Also when the last answer came late: what it says is as old as the question."""
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        asked: list[datetime] = []
        read = made.alpha.get_positions

        async def late() -> Sequence[ExchangePosition]:
            asked.append(made.clock.now())
            found = await read()
            await anyio.sleep(4 if len(asked) == 1 else 1000)
            return found

        made.alpha.get_positions = late  # type: ignore[method-assign]
        await made.until(lambda: critical(sink, "Account alpha cannot be read"), within=20)
        (alert,) = critical(sink, "Account alpha cannot be read")
        assert alert.at - asked[0] <= timedelta(seconds=5)


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_stream_that_has_gone_silent_delays_nothing(by_hand: bool) -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
        await anyio.sleep(63)
        made.beta._account_sinks.clear()
        if by_hand:
            await trade(made.beta, OrderSide.BUY, "10")
        else:
            made.beta.liquidate("BTC-USDT", "150")
        await made.until(lambda: made.position == (0, 0), within=5)


async def test_a_reduction_that_presses_is_tried_although_the_exchange_counts_as_down() -> None:
    """Its order entry works, only its readings fail: an open breaker is no reason to stay naked."""
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        for name in READS:
            made.alpha.fail(name, ExchangeUnavailable("alpha: 503"), times=100_000)
        await made.until(lambda: "alpha" in bot.state.down, within=120)
        made.beta.liquidate("BTC-USDT", "150")
        await made.until(lambda: made.position == (0, 0), within=30)


# positions that are somebody else's


async def test_an_entry_in_doubt_beside_an_accepted_position_is_resolved() -> None:
    strategy = Proposing([])
    made = floor(strategy)
    async with made.running():
        await made.until(lambda: made.bot.state.accounts["alpha"].halted is None)
        await trade(made.alpha, OrderSide.BUY, "3")
        await accepted(made, "alpha")
        made.alpha.script(Script.lost_request())
        settlement = made.clock.now() + timedelta(minutes=16)
        strategy.plans.append(plan(at=made.clock.now(), settlement=settlement))
        await made.until(lambda: made.sent(made.alpha)[1:])
        strategy.plans.clear()
        await made.until(lambda: not made.hedge.long.unresolved, within=60)


# refusals


async def test_a_close_that_is_refused_for_ever_is_told_with_the_reason() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        made.alpha.script(*[Script.refuse("-4131 price outside the band")] * 5000)
        made.beta.script(*[Script.refuse("110118 position mode")] * 5000)
        await bot.close_hedge(HEDGE)
        await made.until(lambda: len(critical(sink, "Close Refused")) == 2, within=30)
        told = [line for alert in critical(sink, "Close Refused") for line in alert.lines]
        assert any("-4131 price outside the band" in line for line in told)
        assert any("110118 position mode" in line for line in told)
        await anyio.sleep(65)
        assert len(critical(sink, "Close Refused")) == 6, "again every half minute"


async def test_a_lost_reduction_is_repeated_where_orders_never_expire() -> None:
    made = floor()
    made.beta.order_expiry = None
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        made.beta.script(Script.lost_request())
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.position == (0, 0), within=30)


# before, and after


async def test_modes_that_a_person_changed_are_put_right_before_the_next_entry() -> None:
    strategy = Proposing([])
    made = floor(strategy)
    async with made.running() as bot:
        await made.until(lambda: "BTC-USDT" in bot.state.accounts["alpha"].prepared)
        made.alpha.leverage["BTC-USDT"], made.alpha.position_mode = 50, "hedge"
        made.alpha.margin_mode = "isolated"
        await anyio.sleep(300)
        settlement = made.clock.now() + timedelta(minutes=16)
        strategy.plans.append(plan(at=made.clock.now(), settlement=settlement))
        await made.until(lambda: made.sent(made.alpha))
        assert (made.alpha.leverage["BTC-USDT"], made.alpha.position_mode) == (5, "one-way")
        assert made.alpha.margin_mode == "cross"


async def test_nothing_is_entered_in_another_margin_mode() -> None:
    made = floor()
    made.alpha.margin_mode = "isolated"

    async def nothing(symbol: str, mode: str) -> None:
        return

    made.alpha.set_margin_mode = nothing  # type: ignore[method-assign]
    async with made.running() as bot:
        await anyio.sleep(20)
        assert not made.sent(made.alpha)
        assert "margin mode isolated, wanted cross" in bot.loop.entries.refusals.waiting["BTC-USDT"].actual


async def test_a_first_leg_filled_in_a_long_downtime_is_unwound() -> None:
    """What the signal said then is stale; nothing is added to it now."""
    made = floor()
    async with made.running():
        await made.until(lambda: made.alpha.ledger.orders)
    made.strategy.plans.clear()  # type: ignore[attr-defined]
    made.alpha.fill_order(made.sent(made.alpha)[0].client_id, "4")
    await anyio.sleep(6 * 3600)
    made.rates("0.004", "-0.001", made.clock.now() + timedelta(hours=1))
    async with made.running():
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.position == (0, 0)
        assert not made.sent(made.beta)


async def test_nothing_is_opened_by_hand_around_a_settlement() -> None:
    made = floor(Proposing([]))
    made.rates("-0.001", "0.004", made.clock.now() + timedelta(seconds=60))
    async with made.running() as bot:
        ready = [bot.state.accounts[name] for name in ("alpha", "beta")]
        await made.until(lambda: all(each.halted is None and each.free_balance for each in ready))
        with pytest.raises(ConfigError, match=r"settles funding at .* try again"):
            await bot.open_hedge("BTC-USDT", "alpha", "beta", Decimal(1000))
        assert not made.sent(made.alpha)


async def test_a_stop_waits_for_a_leg_that_is_naked_and_says_so_when_it_remains() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        made.beta.script(Script.lost_request())
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await anyio.sleep(0.5)
        bot.stop()
        await made.until(lambda: made.position[0] == -made.position[1], within=40)
        assert not critical(sink, "Stopped With A Naked Leg")
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        made.alpha.script(*[Script.refuse("no")] * 5000)
        made.beta.liquidate("BTC-USDT", "150")
        await anyio.sleep(1)
        bot.stop()
        await made.until(lambda: critical(sink, "Stopped With A Naked Leg"), within=70)


async def test_a_kill_goes_on_when_an_adapter_makes_a_mistake() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        made.alpha.fail("get_positions", ValueError("could not convert string to Decimal"), times=5)
        await bot.kill("somebody")
        await made.until(lambda: bot.flattened, within=60)
        assert made.position == (0, 0)


# margin beside what is somebody else's


async def test_margin_is_protected_whatever_else_is_on_the_account() -> None:
    from tests.engine.test_health import floor as poor
    from tests.engine.test_health import move
    from tests.engine.test_health import opened as held

    for accept in (True, False):
        made = poor(RecordingAlertSink())
        async with made.running():
            await held(made)
            await trade(made.beta, OrderSide.SELL, "1")
            if accept:
                await accepted(made, "beta")
            else:
                await anyio.sleep(10)
            move(made, "107")
            await made.until(lambda: made.hedge.intent.quantity < 10, within=20)  # noqa: B023
