"""Orders in contracts: every type, margin mode per order, position modes, batches, deadlines, the dead man."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.okx.localnet.venue import SWAP, Okx

from fundingarb.localnet.truth.types import MarginMode

pytestmark = pytest.mark.anyio

D = Decimal


async def test_sizes_are_contracts(okx: Okx) -> None:
    """Three contracts are 0.03 BTC: thirty dollars, and a fee on that."""
    okx.book([("999", "50")], [("1000", "50")])
    await okx.order("buy", "3")
    (position,) = await okx.positions()
    assert (position["pos"], position["posSide"], position["notionalUsd"]) == ("3", "net", "30")
    (fill,) = (await okx.get("/trade/fills")).data
    assert (fill["fillSz"], fill["fillPx"], fill["fee"], fill["feeRate"]) == (
        "3",
        "1000",
        "-0.015",
        "-0.0005",
    )
    (held,) = okx.truth.positions("main")
    assert held.quantity * okx.truth.instruments[SWAP].contract_size == D("0.03")


async def test_a_limit_order_rests_is_found_and_cancelled(okx: Okx) -> None:
    placed = (await okx.order("buy", "2", "990", clOrdId="abc1", tag="mine")).row
    assert (placed["clOrdId"], placed["tag"], placed["sCode"]) == ("abc1", "mine", "0")
    found = await okx.find(clOrdId="abc1")
    assert found == await okx.find(ordId=placed["ordId"])
    shown = ("state", "sz", "px", "ordType", "tdMode", "accFillSz", "avgPx", "reduceOnly", "tag")
    assert [found[key] for key in shown] == ["live", "2", "990", "limit", "cross", "0", "", "false", "mine"]
    assert [row["ordId"] for row in (await okx.get("/trade/orders-pending")).data] == [placed["ordId"]]
    assert (await okx.cancel(clOrdId="abc1")).row["ordId"] == placed["ordId"]
    found = await okx.find(clOrdId="abc1")
    assert (found["state"], found["cancelSource"]) == ("canceled", "1")
    assert (await okx.get("/trade/orders-pending")).data == []
    (ended,) = (await okx.get("/trade/orders-history", instType="SWAP")).data
    assert ended["ordId"] == placed["ordId"]


@pytest.mark.parametrize(
    ("kind", "px", "sz", "state", "filled", "source"),
    [
        ("market", None, "6", "filled", "6", ""),
        ("optimal_limit_ioc", None, "20", "canceled", "10", "14"),
        ("ioc", "1000", "6", "canceled", "5", "14"),
        ("fok", "1000", "6", "canceled", "0", "13"),
        ("fok", "1001", "6", "filled", "6", ""),
        ("post_only", "1000", "6", "canceled", "0", "31"),
        ("post_only", "999.5", "6", "live", "0", ""),
        ("limit", "1000", "6", "partially_filled", "5", ""),
    ],
)
async def test_order_types(
    okx: Okx, kind: str, px: str | None, sz: str, state: str, filled: str, source: str
) -> None:
    okx.book([("999", "50")], [("1000", "5"), ("1001", "5")])
    await okx.order("buy", sz, px, ordType=kind, clOrdId="x")
    found = await okx.find(clOrdId="x")
    shown = (found["state"], found["accFillSz"], found["cancelSource"], found["ordType"])
    assert shown == (state, filled, source, kind)


async def test_a_client_id_is_taken_while_its_order_is_open(okx: Okx) -> None:
    first = (await okx.order("buy", "1", "990", clOrdId="twice")).row
    assert (await okx.order("buy", "1", "991", clOrdId="twice")).failed == (
        "51016",
        "Client order ID already exists.",
    )
    await okx.cancel(clOrdId="twice")
    second = (await okx.order("buy", "1", "991", clOrdId="twice")).row
    assert (await okx.find(clOrdId="twice"))["ordId"] == second["ordId"]
    assert (await okx.find(ordId=first["ordId"]))["state"] == "canceled"


async def test_cancelled_without_a_fill_is_forgotten_after_two_hours(okx: Okx) -> None:
    placed = (await okx.order("buy", "1", "990", clOrdId="gone")).row
    await okx.cancel(clOrdId="gone")
    okx.wait(7199)
    assert (await okx.find(clOrdId="gone"))["ordId"] == placed["ordId"]
    okx.wait(2)
    assert (await okx.get("/trade/order", instId=SWAP, clOrdId="gone")).code == "51603"
    assert (await okx.get("/trade/orders-history", instType="SWAP")).data == []


async def test_an_order_chooses_its_margin_mode(okx: Okx) -> None:
    await okx.order("buy", "1", tdMode="isolated", clOrdId="iso")
    assert (await okx.find(clOrdId="iso"))["tdMode"] == "isolated"
    (position,) = await okx.positions()
    assert (position["mgnMode"], position["imr"]) == ("isolated", "")
    assert D(position["margin"]) > 0
    assert (await okx.order("buy", "1", tdMode="cross")).failed[0] == "51010"
    await okx.order("sell", "1", tdMode="isolated")
    await okx.order("buy", "1", tdMode="cross")
    (position,) = await okx.positions()
    assert (position["mgnMode"], position["margin"]) == ("cross", "")
    assert D(position["imr"]) > 0


async def test_a_refused_order_leaves_the_margin_mode_alone(okx: Okx) -> None:
    assert (await okx.order("buy", "1.001", "990", tdMode="isolated")).failed[0] == "51121"
    assert okx.truth.margin_mode("main", SWAP) is MarginMode.CROSS


async def test_net_mode(okx: Okx) -> None:
    assert (await okx.order("buy", "1", posSide="long")).failed[0] == "51000"
    await okx.order("buy", "2", posSide="net")
    await okx.order("sell", "5")
    (position,) = await okx.positions()
    assert (position["pos"], position["posSide"], position["availPos"]) == ("-3", "net", "")


async def test_long_short_mode(okx: Okx) -> None:
    body = {"posMode": "long_short_mode"}
    assert (await okx.post("/account/set-position-mode", body)).data == [body]
    assert (await okx.order("buy", "1")).failed[0] == "51000"
    await okx.order("buy", "3", posSide="long")
    await okx.order("sell", "2", posSide="short")
    assert {(row["posSide"], row["pos"], row["availPos"]) for row in await okx.positions()} == {
        ("long", "3", "3"),
        ("short", "2", "2"),
    }
    assert (await okx.order("sell", "4", posSide="long")).failed[0] == "51112"
    await okx.order("sell", "3", posSide="long")
    assert [row["posSide"] for row in await okx.positions()] == ["short"]
    assert (await okx.post("/account/set-position-mode", {"posMode": "net_mode"})).code == "59000"


async def test_reduce_only(okx: Okx) -> None:
    assert (await okx.order("sell", "1", reduceOnly=True)).failed[0] == "51169"
    await okx.order("buy", "2")
    assert (await okx.order("buy", "1", reduceOnly="true")).failed[0] == "51170"
    await okx.order("sell", "5", reduceOnly=True, clOrdId="cut")
    found = await okx.find(clOrdId="cut")
    assert (found["sz"], found["accFillSz"], found["reduceOnly"]) == ("2", "2", "true")
    assert await okx.positions() == []


async def test_a_batch_answers_for_each_order(okx: Okx) -> None:
    good = okx.request("buy", "1", "990", clOrdId="b1")
    answer = await okx.post("/trade/batch-orders", [good, good | {"clOrdId": "b2", "sz": "0.001"}])
    assert (answer.status, answer.code) == (200, "2")
    assert [row["sCode"] for row in answer.body["data"]] == ["0", "51121"]
    assert [row["clOrdId"] for row in answer.body["data"]] == ["b1", "b2"]
    amended = await okx.post("/trade/amend-batch-orders", [{"instId": SWAP, "clOrdId": "b1", "newSz": "2"}])
    assert amended.code == "0"
    ids = [{"instId": SWAP, "clOrdId": name} for name in ("b1", "b2")]
    answer = await okx.post("/trade/cancel-batch-orders", ids)
    assert (answer.code, [row["sCode"] for row in answer.body["data"]]) == ("2", ["0", "51400"])
    for path, code in (
        ("batch-orders", "51111"),
        ("cancel-batch-orders", "51406"),
        ("amend-batch-orders", "51501"),
    ):
        assert (await okx.post(f"/trade/{path}", [good] * 21)).code == code


async def test_amending(okx: Okx) -> None:
    await okx.order("buy", "1", "990", clOrdId="a")
    ids = {"instId": SWAP, "clOrdId": "a"}
    row = (await okx.post("/trade/amend-order", ids | {"newPx": "991", "reqId": "r1"})).row
    assert (row["reqId"], row["sCode"]) == ("r1", "0")
    assert (await okx.find(clOrdId="a"))["px"] == "991"
    await okx.cancel(clOrdId="a")
    assert (await okx.post("/trade/amend-order", ids | {"newPx": "992"})).failed[0] == "51503"
    unknown = {"instId": SWAP, "clOrdId": "nobody", "newSz": "2"}
    assert (await okx.post("/trade/amend-order", unknown)).failed[0] == "51503"


async def test_cancelling_too_late(okx: Okx) -> None:
    await okx.order("buy", "1", clOrdId="done")
    assert (await okx.cancel(clOrdId="done")).failed[0] == "51400"
    await okx.order("buy", "1", "990", clOrdId="gone")
    await okx.cancel(clOrdId="gone")
    assert (await okx.cancel(clOrdId="gone")).failed[0] == "51400"
    assert (await okx.cancel(clOrdId="never")).failed[0] == "51400"
    assert (await okx.cancel()).failed[0] == "51407"


async def test_an_order_may_have_a_deadline(okx: Okx) -> None:
    late = await okx.order("buy", "1", "990", headers={"expTime": str(okx.now_ms - 1)}, clOrdId="late")
    assert late.failed[0] == "50036"
    in_time = await okx.order("buy", "1", "990", headers={"expTime": str(okx.now_ms + 500)}, clOrdId="ok")
    assert in_time.code == "0"
    assert [order.client_id for order in okx.truth.orders("main")] == ["ok"]
    cancelled = await okx.post(
        "/trade/cancel-order", {"instId": SWAP, "clOrdId": "ok"}, more={"expTime": str(okx.now_ms - 1)}
    )
    assert cancelled.code == "0", "cancellations have no deadline"


async def test_the_dead_man_cancels_everything(okx: Okx) -> None:
    await okx.order("buy", "1", "990", clOrdId="one")
    row = (await okx.post("/trade/cancel-all-after", {"timeOut": "30"})).row
    assert row["triggerTime"] == str(okx.now_ms + 30_000)
    okx.wait(29)
    assert (await okx.find(clOrdId="one"))["state"] == "live"
    okx.wait(2)
    found = await okx.find(clOrdId="one")
    assert (found["state"], found["cancelSource"]) == ("canceled", "20")


async def test_the_dead_man_of_a_tag_cancels_what_carries_it(okx: Okx) -> None:
    for name, tag in (("one", "mine"), ("two", "yours"), ("three", "")):
        await okx.order("buy", "1", "990", clOrdId=name, tag=tag)
    row = (await okx.post("/trade/cancel-all-after", {"timeOut": "30", "tag": "mine"})).row
    assert (row["triggerTime"], row["tag"]) == (str(okx.now_ms + 30_000), "mine")
    okx.venue.real = lambda: 5.0  # type: ignore[method-assign]
    await okx.post("/trade/cancel-all-after", {"timeOut": "0"})
    okx.wait(31)
    states = [(await okx.find(clOrdId=name))["state"] for name in ("one", "two", "three")]
    assert states == ["canceled", "live", "live"], "taking off the account's timer leaves that of the tag"
    okx.venue.real = lambda: 10.0  # type: ignore[method-assign]
    assert (await okx.post("/trade/cancel-all-after", {"timeOut": "30", "tag": "x" * 17})).code == "51000"


@pytest.mark.parametrize("seconds", ["9", "121", "x", ""])
async def test_the_dead_man_waits_ten_to_a_hundred_and_twenty_seconds(okx: Okx, seconds: str) -> None:
    assert (await okx.post("/trade/cancel-all-after", {"timeOut": seconds})).code == "51000"


async def test_the_dead_man_can_be_sent_away(okx: Okx) -> None:
    await okx.order("buy", "1", "990", clOrdId="one")
    await okx.post("/trade/cancel-all-after", {"timeOut": "10"})
    okx.venue.real = lambda: 5.0  # type: ignore[method-assign]
    assert (await okx.post("/trade/cancel-all-after", {"timeOut": "0"})).row["triggerTime"] == "0"
    okx.wait(60)
    assert (await okx.find(clOrdId="one"))["state"] == "live"


async def test_closing_a_position(okx: Okx) -> None:
    body = {"instId": SWAP, "mgnMode": "cross"}
    assert (await okx.post("/trade/close-position", body)).code == "51023"
    await okx.order("sell", "4")
    await okx.order("buy", "1", "990", clOrdId="rest")
    assert (await okx.post("/trade/close-position", body | {"autoCxl": True})).row["instId"] == SWAP
    assert await okx.positions() == []
    assert (await okx.find(clOrdId="rest"))["state"] == "canceled"


async def test_contracts_may_be_named_by_their_code(okx: Okx) -> None:
    (listed, _) = (await okx.public("/public/instruments", instType="SWAP")).data
    body = okx.request("buy", "1", "990") | {"instIdCode": listed["instIdCode"]}
    del body["instId"]
    order_id = (await okx.post("/trade/order", body)).row["ordId"]
    assert okx.truth.open_orders("main")[0].id == order_id


async def test_pages_of_orders(okx: Okx) -> None:
    ids = [(await okx.order("buy", "1", "990")).row["ordId"] for _ in range(5)]
    newest = [row["ordId"] for row in (await okx.get("/trade/orders-pending", limit=2)).data]
    assert newest == ids[:2:-1]
    older = [row["ordId"] for row in (await okx.get("/trade/orders-pending", after=newest[-1])).data]
    assert newest + older == ids[::-1]
    newer = [row["ordId"] for row in (await okx.get("/trade/orders-pending", before=ids[3])).data]
    assert newer == [ids[4]]


async def test_what_the_account_may_trade(okx: Okx) -> None:
    (row,) = (await okx.get("/account/max-size", instId=SWAP, tdMode="cross")).data
    assert D(row["maxBuy"]) == D(100_000) * 3 / 10
    assert (await okx.get("/account/leverage-info", instId=SWAP, mgnMode="cross")).row["lever"] == "3"
    for lever in ("5", "5"):
        body: dict[str, Any] = {"instId": SWAP, "lever": lever, "mgnMode": "cross"}
        assert (await okx.post("/account/set-leverage", body)).row["lever"] == "5"
    assert okx.truth.leverage("main", SWAP) == 5
    assert (await okx.post("/account/set-leverage", body | {"lever": "101"})).code == "59102"
    assert (await okx.post("/account/set-leverage", body | {"lever": "0"})).code == "51000"


async def test_fees_are_negative_and_those_of_usdt_contracts_have_names_of_their_own(okx: Okx) -> None:
    from fundingarb.localnet.truth.rules import FeeTier

    okx.truth.set_fees("main", FeeTier(D("-0.0001"), D("0.0003")))
    row = (await okx.get("/account/trade-fee", instType="SWAP")).row
    assert (row["makerU"], row["takerU"]) == ("0.0001", "-0.0003")
    assert (row["maker"], row["taker"]) == ("-0.0002", "-0.0005")
