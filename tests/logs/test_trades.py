"""The trade log: every field of every order, fill and payment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest
from tests.engine.conftest import anyio_backend
from tests.engine.stage import RULES, T, booked, floor, opened

from fundingarb.builtin.strategy import FundingSpread
from fundingarb.domain.hedge import Mode
from fundingarb.logs.setup import TRADES
from fundingarb.logs.trades import log_trades

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio

FIELDS = {
    "timestamp", "position_id", "exchange", "pair", "side", "action", "order_type", "price", "size", "fee",
    "order_id", "status", "latency_ms",
}  # fmt: skip
"""What the specification wants of every trade (10.1)."""


class Collected(logging.Handler):
    """The trade log's lines, as they were given to the handler."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.msg, dict)
        self.lines.append(dict(record.msg))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture
def collected() -> Iterator[Collected]:
    log, handler = logging.getLogger(TRADES), Collected()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)


async def test_the_whole_life_of_a_hedge(collected: Collected) -> None:
    made = floor(FundingSpread(RULES))
    async with made.running() as bot:
        with log_trades(bot.bus, bot.state):
            await anyio.sleep(121)
            await opened(made)
            await booked(made)
            await anyio.sleep((T - made.clock.now()).total_seconds())
            made.alpha.settle("BTC-USDT", "-0.001", "100")
            made.beta.settle("BTC-USDT", "0.004", "100")
            made.rates("0.0005", "0.0001", T + timedelta(hours=8))
            await made.until(lambda: made.mode() is Mode.DONE, within=120)
            await made.until(lambda: len(made.store.paid) == 2)
            await anyio.sleep(2)
    trades = collected.of("trade")
    assert all(line.keys() >= FIELDS for line in trades)
    assert {(line["exchange"], line["side"], line["action"]) for line in trades} == {
        ("alpha", "LONG", "open"), ("beta", "SHORT", "open"), ("alpha", "LONG", "close"), ("beta", "SHORT", "close"),
    }  # fmt: skip
    for line in trades:
        missing = [field for field in FIELDS if line[field] is None]
        assert not missing, line
        assert line["position_id"] == made.hedge.id
        assert line["pair"] == "BTC-USDT"
        assert line["status"] == "FILLED"
    for action in ("open", "close"):
        assert sum(line["size"] for line in trades if line["action"] == action) == Decimal(20)
    booked_fees = sum(fill.fee for fill, _ in made.store.booked.values())
    assert sum(line["fee"] for line in trades) == booked_fees
    orders = collected.of("order")
    assert all(line.keys() >= FIELDS for line in orders)
    ends = [line for line in orders if line["status"] == "FILLED" and line["latency_ms"] is not None]
    assert {line["client_order_id"] for line in ends} == {order.client_id for order in made.hedge.orders}
    shown = [tuple(line.items()) for line in orders]
    assert len(set(shown)) == len(shown), "nothing is repeated"
    funding = collected.of("funding")
    assert sum(line["amount"] for line in funding) == Decimal(5)
    assert {(line["exchange"], line["side"]) for line in funding} == {("alpha", "LONG"), ("beta", "SHORT")}
    assert {line["position_id"] for line in funding} == {made.hedge.id}


async def test_a_fill_that_is_booked_before_its_order_is_answered_waits_for_the_latency(
    collected: Collected,
) -> None:
    made = floor(FundingSpread(RULES))
    async with made.running() as bot:
        with log_trades(bot.bus, bot.state):
            await anyio.sleep(121)
            await opened(made)
            await booked(made)
            from fundingarb.domain.events import FillBooked, OrderChanged

            order = made.hedge.orders[0]
            fill = next(fill for fill, _ in made.store.booked.values() if fill.client_id == order.client_id)
            before = len(collected.of("trade"))
            bot.state.in_flight.add(order.client_id)
            bot.bus.publish(FillBooked(fill, made.hedge.id))
            assert len(collected.of("trade")) == before
            bot.state.in_flight.discard(order.client_id)
            bot.bus.publish(OrderChanged(order, made.clock.now()))
            assert len(collected.of("trade")) == before + 1
            bot.state.in_flight.add(order.client_id)
            bot.bus.publish(FillBooked(fill, made.hedge.id))
        assert len(collected.of("trade")) == before + 2, "at the end what waits is written"
        bot.state.in_flight.discard(order.client_id)


async def test_what_goes_wrong_in_the_log_stays_there(
    collected: Collected, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = floor(FundingSpread(RULES))
    monkeypatch.setattr(Collected, "emit", lambda self, record: 1 / 0)
    async with made.running() as bot:
        with log_trades(bot.bus, bot.state):
            await anyio.sleep(121)
            await opened(made)
            await booked(made)
    assert "the trade log failed" in caplog.text
