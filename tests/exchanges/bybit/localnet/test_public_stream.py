"""/v5/public/linear: acknowledgements, snapshots and what changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit, Socket
from tests.localnet.still import BOUNDARY

pytestmark = pytest.mark.anyio

D = Decimal
LINEAR = "/v5/public/linear"


class Local:
    """A book kept as Bybit's documentation says: a snapshot replaces, a delta changes levels, 0 removes one."""

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.update = 0

    def take(self, message: dict[str, Any]) -> None:
        data = message["data"]
        if message["type"] == "snapshot":
            self.bids, self.asks = dict(data["b"]), dict(data["a"])
        else:
            assert data["u"] == self.update + 1
            for side, levels in ((self.bids, data["b"]), (self.asks, data["a"])):
                for price, quantity in levels:
                    if quantity == "0":
                        del side[price]
                    else:
                        side[price] = quantity
        self.update = data["u"]

    def levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        bids = sorted(((D(p), D(q)) for p, q in self.bids.items()), reverse=True)
        return bids, sorted((D(p), D(q)) for p, q in self.asks.items())


def truth(bybit: Bybit, depth: int) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
    view = bybit.truth.book("BTCUSDT", depth)
    return list(view.bids), list(view.asks)


def shake(bybit: Bybit, step: int) -> None:
    """Change the market a little, differently for each step, returning to old levels now and then."""
    bybit.model.price = 1000.0 + (step % 3)
    bybit.model.touch = 1_000_000.0 * (1 + step % 2)
    bybit.wait(1)


async def test_acknowledgements(bybit: Bybit) -> None:
    socket = await bybit.connect(LINEAR)
    reply = await socket.ask(op="subscribe", req_id="test", args=["tickers.BTCUSDT"])
    assert reply == {
        "success": True,
        "ret_msg": "subscribe",
        "conn_id": reply["conn_id"],
        "req_id": "test",
        "op": "subscribe",
    }
    assert (await socket.next())["type"] == "snapshot"
    pong = await socket.ask(op="ping", req_id="p")
    assert pong == {
        "success": True,
        "ret_msg": "pong",
        "conn_id": reply["conn_id"],
        "req_id": "p",
        "op": "ping",
    }
    assert "req_id" not in await socket.ask(op="ping")
    gone = await socket.ask(op="unsubscribe", req_id="u", args=["tickers.BTCUSDT"])
    assert (gone["success"], gone["op"], gone["req_id"]) == (True, "unsubscribe", "u")
    bybit.model.price = 1010
    bybit.wait(1)
    assert (await socket.ask(op="ping"))["ret_msg"] == "pong"


@pytest.mark.parametrize(
    ("topic", "problem"),
    [
        ("tickers.NOPEUSDT", "error:handler not found,topic:tickers.NOPEUSDT"),
        ("orderbook.7.BTCUSDT", "error:handler not found,topic:orderbook.7.BTCUSDT"),
        ("kline.7.BTCUSDT", "error:handler not found,topic:kline.7.BTCUSDT"),
        ("order", "error:handler not found,topic:order"),
    ],
)
async def test_a_topic_that_does_not_exist(bybit: Bybit, topic: str, problem: str) -> None:
    socket = await bybit.connect(LINEAR)
    reply = await socket.ask(op="subscribe", req_id="1", args=["tickers.BTCUSDT", topic])
    assert (reply["success"], reply["ret_msg"], reply["req_id"]) == (False, problem, "1")
    bybit.publish()
    assert (await socket.ask(op="ping"))["ret_msg"] == "pong"


async def test_other_mistakes_are_answered(bybit: Bybit) -> None:
    socket = await bybit.connect(LINEAR)
    assert (await socket.ask(op="auth", args=[]))["ret_msg"] == "error:invalid op"
    assert (await socket.ask(op="subscribe"))["success"] is False
    await socket.raw.send_str("{")
    assert (await socket.next())["success"] is False
    await socket.subscribe("publicTrade.BTCUSDT")
    again = await socket.ask(op="subscribe", args=["publicTrade.BTCUSDT"])
    assert (again["success"], again["ret_msg"]) == (
        False,
        "error:already subscribed,topic:publicTrade.BTCUSDT",
    )


@pytest.mark.parametrize("depth", [1, 50, 200])
async def test_a_book_kept_from_the_stream_is_the_book(bybit: Bybit, depth: int) -> None:
    topic = f"orderbook.{depth}.BTCUSDT"
    socket = await bybit.connect(LINEAR)
    await socket.subscribe(topic)
    local = Local()
    local.take(await socket.topic(topic))
    assert local.levels() == truth(bybit, depth)
    for step in range(1, 8):
        shake(bybit, step)
        message = await socket.topic(topic)
        assert (message["type"], message["ts"], message["data"]["s"]) == ("delta", bybit.now_ms, "BTCUSDT")
        local.take(message)
        assert local.levels() == truth(bybit, depth)


async def test_who_joins_late_ends_with_the_same_book(bybit: Bybit) -> None:
    """The snapshot is the frame the others hold, even when the market has moved since."""
    topic = "orderbook.50.BTCUSDT"
    early = await bybit.connect(LINEAR)
    await early.subscribe(topic)
    first, second = Local(), Local()
    first.take(await early.topic(topic))
    bybit.model.price = 1005.0
    bybit.clock.advance(1)
    late = await bybit.connect(LINEAR)
    await late.subscribe(topic)
    second.take(await late.topic(topic))
    bybit.model.price = 1000.0
    shake(bybit, 4)
    first.take(await early.topic(topic))
    second.take(await late.topic(topic))
    assert first.levels() == second.levels() == truth(bybit, 50)
    assert first.update == second.update


async def test_a_quiet_best_level_is_repeated_as_a_snapshot_with_the_same_update(bybit: Bybit) -> None:
    socket = await bybit.connect(LINEAR)
    await socket.subscribe("orderbook.1.BTCUSDT")
    first = await socket.next()
    now = bybit.venue.real
    bybit.venue.real = lambda: now() + 3.1  # type: ignore[method-assign]
    bybit.publish()
    again = await socket.next()
    assert (again["type"], again["data"]) == ("snapshot", first["data"])
    bybit.publish()
    assert (await socket.ask(op="ping"))["ret_msg"] == "pong"


async def test_tickers_send_everything_once_and_then_what_changed(bybit: Bybit) -> None:
    socket = await bybit.connect(LINEAR)
    await socket.subscribe("tickers.BTCUSDT")
    first = await socket.next()
    assert (first["type"], first["ts"]) == ("snapshot", bybit.now_ms)
    merged = dict(first["data"])
    assert (
        merged
        | {
            "symbol": "BTCUSDT",
            "markPrice": "1000.00",
            "indexPrice": "1000.00",
            "fundingRate": "0.0001",
            "fundingIntervalHour": "8",
            "nextFundingTime": str(round(BOUNDARY * 1000)),
            "bid1Price": "999.00",
            "ask1Price": "1001.00",
        }
        == merged
    )
    bybit.wait(1)
    bybit.truth.set_funding("BTCUSDT", rate=D("-0.00012345"))
    bybit.publish()
    delta = await socket.next()
    assert (delta["type"], delta["data"]) == (
        "delta",
        {"symbol": "BTCUSDT", "fundingRate": "-0.00012345"},
    )
    merged |= delta["data"]
    bybit.truth.set_funding("BTCUSDT", interval_hours=1)
    bybit.model.price = 1010
    bybit.wait(1)
    merged |= (await socket.next())["data"]
    rest = (await bybit.public("/v5/market/tickers", category="linear", symbol="BTCUSDT")).result["list"][0]
    assert {key: merged[key] for key in rest if key in merged} == {
        key: value for key, value in rest.items() if key in merged
    }
    assert merged["fundingIntervalHour"] == "1"
    bybit.publish()
    bybit.publish()
    assert (await socket.ask(op="ping"))["ret_msg"] == "pong"


async def test_trades_come_once_and_in_order(bybit: Bybit) -> None:
    bybit.model.flow = 1.0
    socket = await bybit.connect(LINEAR)
    await socket.subscribe("publicTrade.BTCUSDT")
    for _ in range(5):
        bybit.wait(3)
        await bybit.order("Buy", "0.1")
        bybit.publish()
    seen = await _all_trades(socket)
    ids = [row["i"] for row in seen]
    assert len(ids) == len(set(ids))
    assert sum(1 for row in seen if row["v"] == "0.100" and row["S"] == "Buy") >= 5
    times = [row["T"] for row in seen]
    assert times == sorted(times)
    known = {trade.id for trade in bybit.truth.trades("BTCUSDT", 1000)}
    assert set(ids) <= known


async def _all_trades(socket: Socket) -> list[dict[str, Any]]:
    """Everything that has been sent so far."""
    await socket.send(op="ping")
    rows: list[dict[str, Any]] = []
    while True:
        message = await socket.next()
        if message.get("ret_msg") == "pong":
            return rows
        rows += message["data"]


async def test_a_candle_is_confirmed_when_the_next_one_opens(bybit: Bybit) -> None:
    bybit.wait(1)
    socket = await bybit.connect(LINEAR)
    await socket.subscribe("kline.1.BTCUSDT")
    first = await socket.next()
    (running,) = first["data"]
    assert (running["confirm"], running["end"] - running["start"], running["interval"]) == (
        False,
        59_999,
        "1",
    )
    bybit.model.price = 1003
    bybit.wait(61)
    closed, running_now = (await socket.next())["data"]
    assert (closed["confirm"], closed["start"]) == (True, running["start"])
    assert (running_now["confirm"], running_now["start"]) == (False, running["start"] + 60_000)


async def test_liquidations_name_the_side_of_the_position(bybit: Bybit) -> None:
    socket = await bybit.connect(LINEAR)
    await socket.subscribe("allLiquidation.BTCUSDT")
    await bybit.order("Buy", "2")
    bybit.truth.liquidate("main", "BTCUSDT")
    message = await socket.next()
    assert message == {
        "topic": "allLiquidation.BTCUSDT",
        "type": "snapshot",
        "ts": bybit.now_ms,
        "data": [{"T": bybit.now_ms, "s": "BTCUSDT", "S": "Buy", "v": "2.000", "p": "1000.00"}],
    }
