"""Legs that a person closed by hand: only what the ledger proves is taken over, and the other leg follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import anyio
import pytest
from tests.domain.make import D, filled, hedge, instrument, plan
from tests.engine.stage import T, booked, floor, opened, proposing, titles

from fundingarb.domain.hedge import LegPlan, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Fill, FillKind, NewOrder, OrderSide, OrderState, Purpose, TimeInForce
from fundingarb.engine.byhand import Seen, explains, trades_by_hand
from fundingarb.errors import ExchangeError
from fundingarb.simulation.virtual import START
from fundingarb.testing import FakeExchange, RecordingAlertSink, Script

LONG, SHORT = Side.LONG, Side.SHORT
HEDGE = hedge(filled(LONG, Purpose.ENTRY, "10"), filled(SHORT, Purpose.HEDGE, "10"))


def trade(quantity: str, side: OrderSide = OrderSide.SELL, kind: FillKind = FillKind.TRADE) -> Fill:
    at = HEDGE.intent.created_at + timedelta(minutes=1)
    return Fill(
        "alpha", "alpha", "BTC-USDT", f"{side}{quantity}", "x", None, side, D(quantity), D(100), D(0), D(0), at,
        kind=kind,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("position", "trades", "taken"),
    [
        ("4", [trade("6")], 1),
        ("4", [trade("5"), trade("1")], 2),
        ("4", [trade("8"), trade("2", OrderSide.BUY)], 2),
        ("0", [trade("10")], 1),
        ("4", [trade("5")], 0),  # does not explain the difference
        ("4", [trade("6", kind=FillKind.LIQUIDATION)], 0),  # the exchange's own doing: booked as such
        ("10", [], 0),
        ("13", [trade("3", OrderSide.BUY)], 0),  # grew: somebody else's position, left alone
        ("-2", [trade("12")], 0),  # turned over
        ("4", [], 0),
    ],
)
def test_only_what_the_ledger_proves_is_taken_over(position: str, trades: list[Fill], taken: int) -> None:
    assert len(trades_by_hand(HEDGE, LONG, D(position), trades)) == taken


@pytest.mark.parametrize(
    ("difference", "trades", "explained"),
    [
        ("0", [], True),
        ("-6", [trade("6")], True),
        ("-6", [trade("6"), trade("2")], True),  # two more since it was looked at
        ("0", [trade("6")], True),
        ("-6", [], False),
        ("-6", [trade("5")], False),
        ("-6", [trade("7")], False),
        ("3", [trade("3", OrderSide.BUY), trade("5")], False),  # somebody else's position beside the leg
    ],
)
def test_the_ledger_explains_what_was_seen_when_it_came_to_that(
    difference: str, trades: list[Fill], explained: bool
) -> None:
    assert explains(Seen(D(7), D(difference)), LONG, [], trades) is explained


def test_what_was_not_expected_then_explains_it_when_the_ledger_has_it_by_now() -> None:
    """Ten were held, the exchange took five, and that was seen before the ledger told of it."""
    opened, taken = trade("10", OrderSide.BUY), trade("5", kind=FillKind.ADL)
    seen, closed = Seen(D(5), D(-5)), [trade("2")]
    assert explains(seen, LONG, [opened, taken], closed)
    assert not explains(seen, LONG, [opened], closed)
    assert not explains(Seen(D(5), D(3)), LONG, [opened, taken], closed)


def test_of_the_short_leg_a_buy_reduces() -> None:
    assert trades_by_hand(HEDGE, SHORT, D("-4"), [trade("6", OrderSide.BUY)])
    assert not trades_by_hand(HEDGE, SHORT, D("-4"), [trade("6")])


async def by_hand(exchange: FakeExchange, side: OrderSide, quantity: str) -> None:
    order = NewOrder(
        f"web{side}{quantity}", "BTC-USDT", side, D(quantity), None, TimeInForce.IOC, reduce_only=True
    )
    await exchange.place_order(order)


@pytest.mark.anyio
async def test_the_other_leg_follows_a_partial_close_by_hand_and_a_restart_knows_it() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        await by_hand(made.alpha, OrderSide.SELL, "6")
        await made.until(lambda: made.position == (4, -4), within=5)
        assert titles(sink).count("Leg Closed By Hand") == 1
        await made.until(lambda: bot.state.accounts["alpha"].halted is None, within=60)
        assert made.mode() is Mode.HOLDING
    async with made.running() as bot:
        await anyio.sleep(60)
        assert made.position == (4, -4)
        assert (made.hedge.long.filled, made.hedge.short.filled) == (D(4), D(4))
        assert bot.state.accounts["alpha"].halted is None
        await bot.close_hedge(made.hedge.id)
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.position == (0, 0)


@pytest.mark.anyio
async def test_the_other_leg_is_closed_when_one_is_closed_by_hand() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
        await by_hand(made.beta, OrderSide.BUY, "10")
        await made.until(lambda: made.mode() is Mode.DONE, within=30)
        assert made.position == (0, 0)


@pytest.mark.anyio
async def test_a_difference_without_a_ledger_row_halts_and_touches_nothing() -> None:
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        held = made.alpha.ledger.positions["BTC-USDT"]
        made.alpha.ledger.positions["BTC-USDT"] = replace(held, quantity=D(4))
        bot.readers["alpha"].want(positions=True)
        await made.until(lambda: bot.state.accounts["alpha"].halted, within=20)
        await anyio.sleep(60)
        assert made.position == (4, -10)
        assert made.mode() is Mode.HOLDING


@pytest.mark.anyio
async def test_a_refused_reduction_reads_the_position_and_takes_what_is_left() -> None:
    """Half of a leg was closed by hand at the moment of the close: a smaller order follows, nothing is opened."""
    made = floor()
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        await by_hand(made.alpha, OrderSide.SELL, "10")
        bot.readers["alpha"]._want_positions = False  # nobody noticed yet
        await bot.close_hedge(made.hedge.id)
        await made.until(lambda: made.mode() is Mode.DONE, within=15)
        assert made.position == (0, 0)
        assert (
            len(made.sent(made.alpha)) <= 5
        )  # the entry, the one by hand, and a few reductions that were refused


def blind(exchange: FakeExchange) -> None:
    exchange.fail("get_positions", ExchangeError("alpha: internal error"), times=100_000)


@pytest.mark.anyio
async def test_while_positions_cannot_be_read_the_ledger_tells_what_a_person_closed() -> None:
    sink = RecordingAlertSink()
    made = floor(sinks={"memory": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        blind(made.alpha)
        await anyio.sleep(1)
        await by_hand(made.alpha, OrderSide.SELL, "6")
        await made.until(lambda: made.position == (4, -4), within=15)
        assert titles(sink).count("Leg Closed By Hand") == 1
        made.alpha._failures.clear()
        await anyio.sleep(60)
        assert made.position == (4, -4)
        assert made.bot.state.accounts["alpha"].halted is None


@pytest.mark.anyio
async def test_what_differed_because_the_exchange_had_taken_it_does_not_hide_what_a_person_closes() -> None:
    """The position was seen smaller before the ledger told of an ADL; from then on it cannot be read."""
    made = floor()
    read, lags = made.alpha.get_fills, True

    async def late(since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        return [fill for fill in await read(since, symbol) if not lags or fill.kind is FillKind.TRADE]

    async with made.running():
        await opened(made)
        await booked(made)
        made.alpha.get_fills = late  # type: ignore[method-assign]
        made.alpha._account_sinks.clear()
        made.alpha.liquidate("BTC-USDT", "100", "5", FillKind.ADL)
        await made.until(lambda: made.bot.readers["alpha"].comparison.differences, within=20)
        blind(made.alpha)
        lags = False
        await made.until(lambda: made.position == (5, -5), within=10)
        await by_hand(made.alpha, OrderSide.SELL, "2")
        await made.until(lambda: made.position == (3, -3), within=10)


@pytest.mark.anyio
async def test_a_difference_that_the_ledger_explains_later_is_believed_without_positions() -> None:
    """The position was seen smaller before the ledger told why; from then on it cannot be read."""
    made = floor()
    read, lags = made.alpha.get_fills, True

    async def late(since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        return [
            fill
            for fill in await read(since, symbol)
            if not (lags and (fill.client_id or "").startswith("web"))
        ]

    async with made.running():
        await opened(made)
        await booked(made)
        made.alpha.get_fills = late  # type: ignore[method-assign]
        await by_hand(made.alpha, OrderSide.SELL, "2")
        await made.until(lambda: made.bot.readers["alpha"].comparison.differences, within=20)
        blind(made.alpha)
        await anyio.sleep(5)
        assert made.position == (8, -10), "nothing explains it"
        lags = False
        await made.until(lambda: made.position == (8, -8), within=10)
        await by_hand(made.alpha, OrderSide.SELL, "4")
        await made.until(lambda: made.position == (4, -4), within=10)


@pytest.mark.anyio
async def test_what_is_bought_back_before_the_ledger_is_read_again_moves_nothing() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
        blind(made.alpha)
        await anyio.sleep(10)
        reader = made.bot.readers["alpha"]
        asked = len([name for name, _ in made.alpha.calls if name == "get_fills"])
        await by_hand(made.alpha, OrderSide.SELL, "6")
        await made.until(lambda: len([n for n, _ in made.alpha.calls if n == "get_fills"]) >= asked + 2)
        await made.alpha.place_order(
            NewOrder("webback", "BTC-USDT", OrderSide.BUY, D("6"), None, TimeInForce.IOC, reduce_only=False)
        )
        await anyio.sleep(60)
        assert reader.account.halted is not None  # positions cannot be read
        assert made.position == (10, -10)


@pytest.mark.anyio
async def test_what_did_not_match_before_is_not_explained_without_positions() -> None:
    """A person holds something beside the leg: what is closed then may be theirs."""
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
        await made.alpha.place_order(
            NewOrder("webmine", "BTC-USDT", OrderSide.BUY, D("3"), None, TimeInForce.IOC, reduce_only=False)
        )
        await made.until(lambda: made.bot.readers["alpha"].comparison.differences, within=60)
        blind(made.alpha)
        await anyio.sleep(5)
        await by_hand(made.alpha, OrderSide.SELL, "6")
        await anyio.sleep(60)
        assert made.position == (7, -10)


@pytest.mark.anyio
async def test_after_the_database_was_down_a_leg_closed_by_hand_is_noticed_at_once() -> None:
    made = floor()
    async with made.running():
        await opened(made)
        await booked(made)
        made.store.failing = "disk full"
        made.alpha.settle("BTC-USDT", "0.001", "100")  # something to book, which fails again and again
        made.bot.readers["alpha"].want(payments=True)
        await anyio.sleep(25)
        await by_hand(made.alpha, OrderSide.SELL, "6")
        made.store.failing = None
        await made.until(lambda: made.position == (4, -4), within=8)


@pytest.mark.anyio
async def test_a_leg_closed_by_hand_does_not_wait_for_an_order_in_doubt_in_another_symbol() -> None:
    sink = RecordingAlertSink()
    eth = plan(
        symbol="ETH-USDT",
        long=LegPlan(LONG, "alpha", instrument("alpha", "ETH-USDT"), 3),
        short=LegPlan(SHORT, "beta", instrument("beta", "ETH-USDT"), 3),
        at=START,
        settlement=T,
    )
    strategy = proposing()
    made = floor(strategy, sinks={"memory": sink}, symbols=("BTC-USDT", "ETH-USDT"))
    made.prices(symbol="ETH-USDT")
    made.rates("-0.001", "0.004", T, "ETH-USDT")
    made.alpha.order_expiry = None
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        made.alpha.script(Script.lost_request())
        strategy.plans.append(eth)

        def in_doubt() -> bool:
            orders = [o for h in bot.state.hedges.values() if h.symbol == "ETH-USDT" for o in h.orders]
            return [order.state for order in orders] == [OrderState.UNKNOWN]

        await made.until(in_doubt, within=30)
        await by_hand(made.alpha, OrderSide.SELL, "6")
        await made.until(lambda: made.position == (4, -4), within=5)
        assert titles(sink).count("Leg Closed By Hand") == 1
        assert in_doubt()
