"""/ws/v5/private: what an account hears of its orders, positions and balance, and orders sent over it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.okx.localnet.venue import SWAP, Okx, Socket
from tests.localnet.still import BOUNDARY

pytestmark = pytest.mark.anyio

D = Decimal
ORDERS = {"channel": "orders", "instType": "SWAP"}
POSITIONS = {"channel": "positions", "instType": "ANY"}
ACCOUNT = {"channel": "account", "extraParams": '{"updateInterval":"0"}'}
BOTH = {"channel": "balance_and_position"}


def rows(messages: list[dict[str, Any]], channel: str) -> list[dict[str, Any]]:
    return [row for one in messages if one.get("arg", {}).get("channel") == channel for row in one["data"]]


async def listening(okx: Okx, *args: dict[str, Any]) -> Socket:
    socket = await okx.login()
    await socket.subscribe(*args)
    await socket.rest()
    return socket


async def test_snapshots(okx: Okx) -> None:
    await okx.order("buy", "3")
    socket = await okx.login()
    pushed = await socket.subscribe(ORDERS, POSITIONS, ACCOUNT, BOTH)
    assert [one["arg"]["channel"] for one in pushed] == ["positions", "account", "balance_and_position"]
    assert all(one["arg"]["uid"] for one in pushed)
    assert [one.get("eventType") for one in pushed] == ["snapshot", "snapshot", None]
    assert rows(pushed, "positions")[0]["pos"] == "3"
    state = okx.truth.state("main")
    (balance,) = rows(pushed, "account")
    assert D(balance["details"][0]["cashBal"]) == state.wallet
    (both,) = rows(pushed, "balance_and_position")
    assert both["eventType"] == "snapshot"
    assert (both["posData"][0]["pos"], D(both["balData"][0]["cashBal"])) == ("3", state.wallet)


async def test_how_many_connections_listen_is_told(okx: Okx) -> None:
    counts = []
    for _ in range(2):
        socket = await okx.login()
        await socket.send(op="subscribe", args=[ORDERS])
        while (message := await socket.next()).get("event") != "channel-conn-count":
            pass
        counts.append((message["channel"], message["connCount"]))
    assert counts == [("orders", "1"), ("orders", "2")]


async def test_an_order_is_told_from_its_beginning_to_its_end(okx: Okx) -> None:
    okx.book([("999", "50")], [("1000", "2"), ("1001", "50")])
    socket = await listening(okx, ORDERS)
    await okx.order("buy", "5", clOrdId="tale")
    pushed = rows(await socket.rest(), "orders")
    told = [(row["state"], row["accFillSz"], row["fillSz"], row["fillPx"], row["avgPx"]) for row in pushed]
    assert told == [
        ("live", "0", "0", "", ""),
        ("partially_filled", "2", "2", "1000", "1000"),
        ("filled", "5", "3", "1001", "1000.6"),
    ]
    assert [row["execType"] for row in pushed] == ["", "T", "T"]
    assert sum(D(row["fillFee"]) for row in pushed) == D(pushed[-1]["fee"]) == D("-0.025015")
    ids = [row["tradeId"] for row in pushed[1:]]
    fills = (await okx.get("/trade/fills", ordId=pushed[0]["ordId"])).data
    assert ids == [fill["tradeId"] for fill in reversed(fills)]


async def test_what_ends_an_order_is_told_without_its_last_fill(okx: Okx) -> None:
    okx.book([("999", "50")], [("1000", "2")])
    socket = await listening(okx, ORDERS)
    await okx.order("buy", "5", "1000", ordType="ioc")
    pushed = rows(await socket.rest(), "orders")
    assert [(row["state"], row["fillSz"], row["accFillSz"]) for row in pushed] == [
        ("live", "0", "0"),
        ("partially_filled", "2", "2"),
        ("canceled", "0", "2"),
    ]
    assert (pushed[-1]["cancelSource"], pushed[-1]["tradeId"]) == ("14", "")


async def test_amendments_are_told(okx: Okx) -> None:
    socket = await listening(okx, ORDERS)
    await okx.order("buy", "1", "990", clOrdId="a")
    await okx.post("/trade/amend-order", {"instId": SWAP, "clOrdId": "a", "newPx": "991"})
    live, amended = rows(await socket.rest(), "orders")
    assert (live["amendResult"], amended["amendResult"], amended["px"]) == ("", "0", "991")


async def test_positions_and_balance_follow_each_fill(okx: Okx) -> None:
    okx.book([("999", "50")], [("1000", "50")])
    socket = await listening(okx, POSITIONS, ACCOUNT, BOTH)
    await okx.order("buy", "4")
    await okx.order("sell", "4")
    pushed = await socket.rest()
    assert [row["pos"] for row in rows(pushed, "positions")] == ["4", "0"]
    balances = [D(row["details"][0]["cashBal"]) for row in rows(pushed, "account")]
    assert balances == [D("99999.98"), D("99999.92002")]
    assert [row["eventType"] for row in rows(pushed, "balance_and_position")] == ["filled", "filled"]
    assert all(one["eventType"] == "event_update" for one in pushed if one["arg"]["channel"] == "account")


async def test_accounts_hear_of_themselves_only(okx: Okx) -> None:
    socket = await listening(okx, ORDERS, POSITIONS, ACCOUNT)
    await okx.order("buy", "1", account="other")
    assert await socket.rest() == []


async def test_a_contract_may_be_listened_to_alone(okx: Okx) -> None:
    pepe = {"channel": "orders", "instType": "SWAP", "instId": "PEPE-USDT-SWAP"}
    family = {"channel": "positions", "instType": "SWAP", "instFamily": "PEPE-USDT"}
    other = {"channel": "orders", "instType": "SPOT"}
    socket = await listening(okx, pepe, family, other)
    await okx.order("buy", "1")
    assert await socket.rest() == []


async def test_funding_reaches_balance_and_positions(okx: Okx) -> None:
    await okx.order("buy", "100")
    socket = await listening(okx, POSITIONS, ACCOUNT, BOTH)
    okx.wait(BOUNDARY - okx.clock.now() + 2)
    pushed = await socket.rest()
    (payment,) = okx.truth.funding_payments("main")
    assert payment.amount < 0
    assert D(rows(pushed, "positions")[-1]["fundingFee"]) == payment.amount
    (both,) = rows(pushed, "balance_and_position")
    assert both["eventType"] == "funding_fee"
    assert D(both["balData"][0]["cashBal"]) == okx.truth.state("main").wallet


async def test_forced_closes_carry_their_category(okx: Okx) -> None:
    await okx.order("buy", "6")
    socket = await listening(okx, ORDERS, BOTH)
    okx.truth.deleverage("main", SWAP, D(2))
    okx.truth.liquidate("main", SWAP)
    pushed = await socket.rest()
    told = [(row["category"], row["state"], row["fillSz"]) for row in rows(pushed, "orders")]
    assert told == [
        ("adl", "live", "0"),
        ("adl", "filled", "2"),
        ("full_liquidation", "live", "0"),
        ("full_liquidation", "filled", "4"),
    ]
    assert [row["eventType"] for row in rows(pushed, "balance_and_position")][:2] == ["adl", "liquidation"]


async def test_a_position_near_liquidation_is_warned_of(okx: Okx) -> None:
    await okx.post("/account/set-leverage", {"instId": SWAP, "lever": "50", "mgnMode": "cross"})
    await okx.order("buy", "400000", "1020")
    socket = await listening(okx, {"channel": "liquidation-warning", "instType": "SWAP"})
    okx.wait(1)
    assert await socket.rest() == []
    okx.model.price = 987.0
    okx.wait(1)
    (warned,) = rows(await socket.rest(), "liquidation-warning")
    assert D(warned["mgnRatio"]) < 3
    okx.wait(5)
    assert await socket.rest() == []
    okx.wait(5)
    assert len(rows(await socket.rest(), "liquidation-warning")) == 1


async def test_balance_and_positions_are_repeated_every_five_seconds(okx: Okx) -> None:
    await okx.order("buy", "1")
    socket = await listening(okx, POSITIONS, {"channel": "account"}, ACCOUNT | {"ccy": "USDT"})
    okx.wait(5)
    pushed = await socket.rest()
    assert [one["arg"]["channel"] for one in pushed] == ["account", "positions"]
    assert "extraParams" not in pushed[0]["arg"]


async def test_a_new_leverage_shows_on_the_position(okx: Okx) -> None:
    await okx.order("buy", "1")
    socket = await listening(okx, POSITIONS)
    await okx.post("/account/set-leverage", {"instId": SWAP, "lever": "7", "mgnMode": "cross"})
    assert [row["lever"] for row in rows(await socket.rest(), "positions")] == ["7"]


@pytest.mark.parametrize(
    ("arg", "code"),
    [
        ({"channel": "fills"}, "64003"),
        ({"channel": "orders"}, "60018"),
        ({"channel": "orders", "instType": "SHOES"}, "60018"),
        ({"channel": "positions", "instType": "SWAP", "instId": "X"}, "60018"),
        ({"channel": "tickers", "instId": SWAP}, "60018"),
    ],
)
async def test_channels_that_are_refused(okx: Okx, arg: dict[str, str], code: str) -> None:
    socket = await okx.login()
    reply = await socket.ask(op="subscribe", args=[arg])
    assert (reply["event"], reply["code"]) == ("error", code)


# -- orders over the websocket -----------------------------------------------------------------------------------


async def test_an_order_over_the_websocket(okx: Okx) -> None:
    socket = await okx.login()
    reply = await socket.ask(id="1", op="order", args=[okx.request("buy", "2", "990", clOrdId="ws1")])
    assert (reply["id"], reply["op"], reply["code"]) == ("1", "order", "0")
    (row,) = reply["data"]
    assert (row["clOrdId"], row["sCode"]) == ("ws1", "0")
    assert (await okx.find(clOrdId="ws1"))["ordId"] == row["ordId"]
    assert int(reply["outTime"]) > int(reply["inTime"])
    ids = {"instId": SWAP, "clOrdId": "ws1"}
    amended = await socket.ask(id="2", op="amend-order", args=[ids | {"newSz": "3"}])
    assert amended["data"][0]["sCode"] == "0"
    cancelled = await socket.ask(id="3", op="cancel-order", args=[ids])
    assert cancelled["data"][0]["ordId"] == row["ordId"]
    late = await socket.ask(id="4", op="cancel-order", args=[ids])
    assert (late["code"], late["data"][0]["sCode"]) == ("1", "51400")


async def test_batches_over_the_websocket(okx: Okx) -> None:
    (listed, _) = (await okx.public("/public/instruments", instType="SWAP")).data
    order = okx.request("buy", "1", "990") | {"instIdCode": listed["instIdCode"]}
    del order["instId"]
    socket = await okx.login()
    args = [order | {"clOrdId": "b1"}, order | {"clOrdId": "b2", "sz": "0"}]
    reply = await socket.ask(id="1", op="batch-orders", args=args)
    assert (reply["code"], [row["sCode"] for row in reply["data"]]) == ("2", ["0", "51000"])
    ids = {"instIdCode": listed["instIdCode"], "clOrdId": "b1"}
    amended = await socket.ask(id="2", op="batch-amend-orders", args=[ids | {"newSz": "2"}])
    assert amended["code"] == "0"
    reply = await socket.ask(id="3", op="batch-cancel-orders", args=[ids])
    assert reply["code"] == "0"
    assert okx.truth.open_orders("main") == []


async def test_a_deadline_over_the_websocket(okx: Okx) -> None:
    socket = await okx.login()
    order = okx.request("buy", "1", "990")
    late = await socket.ask(id="1", op="order", expTime=str(okx.now_ms - 1), args=[order])
    assert (late["code"], late["data"][0]["sCode"]) == ("1", "50036")
    fine = await socket.ask(id="2", op="order", expTime=str(okx.now_ms + 1000), args=[order])
    assert fine["code"] == "0"


@pytest.mark.parametrize(
    "message",
    [
        {"op": "order"},
        {"op": "order", "id": "1"},
        {"op": "order", "id": "1", "args": []},
        {"op": "order", "id": "1", "args": [1]},
        {"op": "order", "id": "1", "args": [{}, {}]},
        {"op": "batch-orders", "id": "1", "args": [{}] * 21},
    ],
)
async def test_requests_that_make_no_sense(okx: Okx, message: dict[str, Any]) -> None:
    socket = await okx.login()
    reply = await socket.ask(**message)
    assert (reply["event"], reply["code"]) == ("error", "60013")


async def test_a_key_that_may_only_read_sends_no_orders(okx: Okx) -> None:
    socket = await okx.login(account="reader")
    reply = await socket.ask(id="1", op="order", args=[okx.request("buy", "1")])
    assert (reply["code"], reply["data"]) == ("50120", [])
