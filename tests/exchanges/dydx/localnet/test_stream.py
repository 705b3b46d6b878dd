"""The indexer's websocket."""

from __future__ import annotations

from typing import Any

import pytest
from tests.exchanges.dydx.localnet.venue import BUY, IOC, Dydx, Socket

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio

MARKET = "BTC-USD"


async def channel(socket: Socket, kind: str, name: str) -> Any:
    """The next message of that kind and channel; others are dropped."""
    while True:
        message = await socket.next()
        if (message["type"], message.get("channel")) == (kind, name):
            return message


def subaccount(dydx: Dydx) -> str:
    return f"{dydx.main.address}/0"


async def test_messages_are_numbered_by_connection(dydx: Dydx) -> None:
    first, second = await dydx.connect(), await dydx.connect()
    replies = [
        await first.ask(type="subscribe", channel="v4_markets"),
        await first.ask(type="ping", id=5),
        await first.ask(type="unsubscribe", channel="v4_markets"),
    ]
    assert [(reply["type"], reply["message_id"]) for reply in replies] == [
        ("subscribed", 1),
        ("pong", 2),
        ("unsubscribed", 3),
    ]
    assert replies[1]["id"] == 5
    assert len({reply["connection_id"] for reply in replies}) == 1
    other = await second.ask(type="ping")
    assert other["message_id"] == 1
    assert other["connection_id"] != replies[0]["connection_id"]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "subscribe", "channel": "v4_orderbook", "id": "NO-USD"}, "Invalid subscription id"),
        ({"type": "subscribe", "channel": "v4_orderbook"}, "Invalid subscription id"),
        ({"type": "subscribe", "channel": "v4_candles", "id": "BTC-USD/2MIN"}, "Invalid subscription id"),
        ({"type": "subscribe", "channel": "v4_subaccounts", "id": "dydx1/x"}, "Invalid subscription id"),
        ({"type": "subscribe", "channel": "v4_nothing"}, "Invalid channel"),
        ({"type": "hello"}, "Invalid message type"),
    ],
)
async def test_what_is_refused(dydx: Dydx, message: dict[str, Any], error: str) -> None:
    socket = await dydx.connect()
    reply = await socket.ask(**message)
    assert reply["type"] == "error"
    assert error in reply["message"]


async def test_nobody_subscribes_twice(dydx: Dydx) -> None:
    socket = await dydx.connect()
    await socket.subscribe("v4_orderbook", MARKET)
    reply = await socket.ask(type="subscribe", channel="v4_orderbook", id=MARKET)
    assert "already subscribed" in reply["message"]


async def test_a_book_is_its_snapshot_and_the_changes(dydx: Dydx) -> None:
    dydx.book([("990", "5"), ("980", "50")], [("1010", "5")])
    socket = await dydx.connect()
    contents = await socket.subscribe("v4_orderbook", MARKET)
    assert contents == {
        "bids": [{"price": "990", "size": "5"}, {"price": "980", "size": "50"}],
        "asks": [{"price": "1010", "size": "5"}],
    }
    dydx.book([("1020", "1"), ("980", "40")], [("1030", "2")])
    dydx.block()
    bids = await channel(socket, "channel_data", "v4_orderbook")
    assert bids["contents"] == {"bids": [["1020", "1"], ["980", "40"], ["990", "0"]]}
    # until the asks follow, a client sees the book crossed: 1020 bid, 1010 asked
    asks = await channel(socket, "channel_data", "v4_orderbook")
    assert asks["contents"] == {"asks": [["1030", "2"], ["1010", "0"]]}
    assert asks["message_id"] == bids["message_id"] + 1


async def test_a_batched_book(dydx: Dydx) -> None:
    dydx.book([("990", "5")], [("1010", "5")])
    socket = await dydx.connect()
    await socket.subscribe("v4_orderbook", MARKET, batched=True)
    dydx.book([("991", "5")], [("1011", "5")])
    dydx.block()
    message = await channel(socket, "channel_batch_data", "v4_orderbook")
    assert message["contents"] == [
        {"bids": [["991", "5"], ["990", "0"]]},
        {"asks": [["1011", "5"], ["1010", "0"]]},
    ]
    assert message["id"] == MARKET


async def test_markets_oracle_prices_and_rates(dydx: Dydx) -> None:
    socket = await dydx.connect()
    contents = await socket.subscribe("v4_markets")
    assert contents["markets"][MARKET]["oraclePrice"] == "1000"
    dydx.block()
    await channel(socket, "channel_data", "v4_markets")
    await channel(socket, "channel_data", "v4_markets")
    dydx.model.price = 1001.5
    dydx.model.rate = 0.0008
    dydx.wait(5)
    prices = (await channel(socket, "channel_data", "v4_markets"))["contents"]["oraclePrices"]
    assert (prices[MARKET]["oraclePrice"], prices[MARKET]["marketId"]) == ("1001.5", 0)
    trading = (await channel(socket, "channel_data", "v4_markets"))["contents"]["trading"]
    # the model's eight-hour rate, by the hour
    assert trading[MARKET]["nextFundingRate"] == "0.0001"
    assert "volume24H" not in trading[MARKET]


async def test_blocks(dydx: Dydx) -> None:
    socket = await dydx.connect()
    now = await socket.subscribe("v4_block_height", "v4_block_height")
    dydx.block()
    message = await channel(socket, "channel_data", "v4_block_height")
    assert int(message["contents"]["blockHeight"]) == int(now["height"]) + 1


async def test_trades_and_candles(dydx: Dydx) -> None:
    socket = await dydx.connect()
    await socket.subscribe("v4_trades", MARKET)
    await socket.subscribe("v4_candles", f"{MARKET}/1MIN")
    await dydx.order(1, BUY, "0.5", "1020", tif=IOC)
    dydx.block()
    (trade,) = (await channel(socket, "channel_data", "v4_trades"))["contents"]["trades"]
    assert (trade["side"], trade["size"]) == ("BUY", "0.5")
    candle = (await channel(socket, "channel_data", "v4_candles"))["contents"]
    assert (candle["ticker"], candle["resolution"]) == (MARKET, "1MIN")


async def told(socket: Socket) -> Any:
    return (await channel(socket, "channel_data", "v4_subaccounts"))["contents"]


async def test_a_subaccount_hears_of_its_orders(dydx: Dydx) -> None:
    dydx.book([("990", "5")], [("1010", "2"), ("1011", "3")])
    socket = await dydx.connect()
    contents = await socket.subscribe("v4_subaccounts", subaccount(dydx))
    assert (contents["orders"], contents["subaccount"]["equity"]) == ([], "100000")
    await dydx.order(1, BUY, "4", "1011", tif=IOC)
    (opened,) = (await told(socket))["orders"]
    assert opened["status"] == "BEST_EFFORT_OPENED"
    assert "totalFilled" not in opened
    dydx.block()
    filled = await told(socket)
    (order,), fills, (position,) = filled["orders"], filled["fills"], filled["perpetualPositions"]
    # both fills of the block in one message, with what came of it
    assert (order["status"], order["totalFilled"]) == ("FILLED", "4")
    assert [(one["ticker"], one["size"], one["orderId"]) for one in fills] == [
        (MARKET, "2", order["id"]),
        (MARKET, "2", order["id"]),
    ]
    assert (position["size"], position["status"]) == ("4", "OPEN")
    assert filled["assetPositions"][0]["symbol"] == "USDC"


async def test_an_immediate_order_is_called_cancelled_before_its_block_fills_it(dydx: Dydx) -> None:
    dydx.book([("990", "5")], [("1010", "5")])
    socket = await dydx.connect()
    await socket.subscribe("v4_subaccounts", subaccount(dydx))
    await dydx.order(1, BUY, "8", "1010", tif=IOC)
    (opened,) = (await told(socket))["orders"]
    (early,) = (await told(socket))["orders"]
    assert (opened["status"], early["status"]) == ("BEST_EFFORT_OPENED", "BEST_EFFORT_CANCELED")
    assert early["removalReason"] == "ORDER_REMOVAL_REASON_IMMEDIATE_OR_CANCEL_WOULD_REST_ON_BOOK"
    assert early["totalOptimisticFilled"] == "5"
    assert "totalFilled" not in early
    # the block finds more than the node did
    dydx.book([("990", "5")], [("1010", "50")])
    dydx.block()
    (order,) = (await told(socket))["orders"]
    assert (order["status"], order["totalFilled"]) == ("FILLED", "8")


async def test_a_resting_order_is_told_of_by_best_effort(dydx: Dydx) -> None:
    socket = await dydx.connect()
    await socket.subscribe("v4_subaccounts", subaccount(dydx))
    await dydx.order(1, BUY, "1", "900")
    dydx.block()
    cancel = dydx.main.sign(dydx.main.cancel(1, block=await dydx.height() + 12))
    assert (await dydx.broadcast(cancel))["code"] == 0
    statuses = [(await told(socket))["orders"][0] for _ in range(2)]
    assert [(one["status"], one.get("removalReason")) for one in statuses] == [
        ("BEST_EFFORT_OPENED", None),
        ("BEST_EFFORT_CANCELED", "ORDER_REMOVAL_REASON_USER_CANCELED"),
    ]


async def test_a_long_term_order_is_told_of_with_its_blocks(dydx: Dydx) -> None:
    socket = await dydx.connect()
    await socket.subscribe("v4_subaccounts", subaccount(dydx))
    await dydx.order(1, BUY, "1", "900", time=dydx.now + 600)
    dydx.block()
    cancel = dydx.main.sign(dydx.main.cancel(1, time=dydx.now + 700), sequence=1)
    assert (await dydx.broadcast(cancel))["code"] == 0
    dydx.block()
    statuses = [(await told(socket))["orders"][0] for _ in range(2)]
    assert [(one["status"], one.get("removalReason")) for one in statuses] == [
        ("OPEN", None),
        ("CANCELED", "ORDER_REMOVAL_REASON_USER_CANCELED"),
    ]


async def test_open_orders_are_in_the_first_message(dydx: Dydx) -> None:
    await dydx.order(1, BUY, "1", "900")
    await dydx.order(2, BUY, "1", "900", time=dydx.now + 600)
    dydx.block()
    socket = await dydx.connect()
    contents = await socket.subscribe("v4_subaccounts", subaccount(dydx))
    assert {(o["clientId"], o["status"]) for o in contents["orders"]} == {
        ("1", "BEST_EFFORT_OPENED"),
        ("2", "OPEN"),
    }


async def test_a_subaccount_nobody_has_can_be_listened_to(dydx: Dydx) -> None:
    socket = await dydx.connect()
    assert await socket.subscribe("v4_subaccounts", "dydx1nobody/0") == {}


async def test_faults_of_frames_show_in_the_numbers(dydx: Dydx) -> None:
    socket = await dydx.connect()
    await socket.subscribe("v4_block_height", "v4_block_height")
    fault = Fault(FaultKind.FRAME_LOST, topic="v4_block_height:*", count=1)
    dydx.venue.faults.install(fault)
    dydx.block(2)
    assert (await channel(socket, "channel_data", "v4_block_height"))["message_id"] == 3
    dydx.venue.faults.install(Fault(FaultKind.FRAME_DUPLICATE, topic="v4_block_height:*", count=1))
    dydx.block()
    numbers = [(await channel(socket, "channel_data", "v4_block_height"))["message_id"] for _ in range(2)]
    assert numbers == [4, 4]


async def test_an_account_s_stream_is_cut(dydx: Dydx) -> None:
    socket = await dydx.connect()
    await socket.subscribe("v4_subaccounts", subaccount(dydx))
    dydx.venue.faults.install(Fault(FaultKind.STREAM_DISCONNECT, account="main", count=1))
    await dydx.order(1, BUY, "1", "900")
    message = await socket.raw.receive(timeout=5)
    assert message.type.name in ("CLOSED", "CLOSE", "ERROR", "CLOSING")
