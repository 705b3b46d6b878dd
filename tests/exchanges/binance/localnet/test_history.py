"""Fills, income and forced orders: pages, sums and what belongs together."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.binance.localnet.desk import Desk

pytestmark = pytest.mark.anyio


def total(rows: list[dict[str, Any]], kind: str) -> Decimal:
    return sum((Decimal(row["income"]) for row in rows if row["incomeType"] == kind), start=Decimal(0))


async def test_fills_and_income_are_the_same_money(desk: Desk) -> None:
    await desk.market("BUY", "0.1")
    desk.truth.move_price("BTCUSDT", factor=1.01)
    await desk.market("SELL", "0.1", reduceOnly="true")
    trades = await desk.good("GET", "userTrades", symbol="BTCUSDT")
    rows = await desk.good("GET", "income", symbol="BTCUSDT")
    assert total(rows, "REALIZED_PNL") == sum(Decimal(one["realizedPnl"]) for one in trades) > 0
    assert total(rows, "COMMISSION") == -sum(Decimal(one["commission"]) for one in trades) < 0
    realized = next(row for row in rows if row["incomeType"] == "REALIZED_PNL")
    same = next(one for one in trades if str(one["id"]) == realized["tradeId"])
    assert realized["income"] == same["realizedPnl"]
    assert len(realized["income"].partition(".")[2]) == 8
    assert len({(row["incomeType"], row["tranId"]) for row in rows}) == len(rows)
    balance = (await desk.good("GET", "/fapi/v3/balance"))[0]["balance"]
    booked = sum(Decimal(row["income"]) for row in rows)
    assert Decimal(balance) == desk.truth.starting_balance(desk.name) + booked


async def test_funding_is_posted_once_for_a_position_held_at_the_settlement(desk: Desk) -> None:
    await desk.market("SELL", "0.2")
    settled = desk.truth.funding("BTCUSDT").next_ms
    desk.settle("BTCUSDT")
    rows = await desk.good("GET", "income", incomeType="FUNDING_FEE")
    assert [(row["symbol"], row["tradeId"], row["asset"]) for row in rows] == [("BTCUSDT", "", "USDT")]
    history = (await desk.public("fundingRate", symbol="BTCUSDT", limit=1))[0]
    assert history["fundingTime"] == settled
    # the short receives when the rate is positive
    mark, rate = Decimal(history["markPrice"]), Decimal(history["fundingRate"])
    assert Decimal(rows[0]["income"]) == (Decimal("0.2") * mark * rate).quantize(Decimal("1e-8")) > 0
    assert settled <= rows[0]["time"] < settled + 60_000


async def test_trades_are_paged_by_id_and_by_time(desk: Desk) -> None:
    for _ in range(5):
        await desk.market("BUY", "0.01")
    every = await desk.good("GET", "userTrades", symbol="BTCUSDT")
    ids = [one["id"] for one in every]
    assert ids == sorted(ids)
    assert len(ids) == 5
    newest = await desk.good("GET", "userTrades", symbol="BTCUSDT", limit=2)
    assert [one["id"] for one in newest] == ids[-2:]
    onward = await desk.good("GET", "userTrades", symbol="BTCUSDT", fromId=ids[1], limit=2)
    assert [one["id"] for one in onward] == ids[1:3]
    first = await desk.good("GET", "userTrades", symbol="BTCUSDT", startTime=every[0]["time"], limit=1)
    assert [one["id"] for one in first] == ids[:1]
    later = every[-1]["time"] + 1
    assert await desk.good("GET", "userTrades", symbol="BTCUSDT", startTime=later) == []
    by_order = await desk.good("GET", "userTrades", symbol="BTCUSDT", orderId=every[2]["orderId"])
    assert [one["id"] for one in by_order] == [ids[2]]
    assert await desk.good("GET", "userTrades", symbol="ETHUSDT") == []


async def test_income_is_paged(desk: Desk) -> None:
    for _ in range(3):
        await desk.market("BUY", "0.01")
    every = await desk.good("GET", "income")
    assert len(every) == 3
    pages = [await desk.good("GET", "income", limit=2, page=number) for number in (1, 2, 3)]
    assert [row["tranId"] for page in pages for row in page] == [row["tranId"] for row in every]
    assert [len(page) for page in pages] == [2, 1, 0]
    assert await desk.good("GET", "income", limit=1) == every[-1:]
    assert await desk.good("GET", "income", limit=1, startTime=every[0]["time"]) == every[:1]
    assert await desk.good("GET", "income", incomeType="TRANSFER") == []


async def test_old_trades_need_a_time(desk: Desk) -> None:
    filled = await desk.market("BUY", "0.01")
    desk.truth.advance(time.time() + 8 * 86_400)
    assert await desk.good("GET", "userTrades", symbol="BTCUSDT") == []
    found = await desk.good("GET", "userTrades", symbol="BTCUSDT", startTime=filled["updateTime"])
    assert [one["orderId"] for one in found] == [filled["orderId"]]
    orders = await desk.good("GET", "allOrders", symbol="BTCUSDT", orderId=1)
    assert [one["orderId"] for one in orders] == [filled["orderId"]]


async def test_forced_orders_are_told_apart(desk: Desk) -> None:
    await desk.market("BUY", "0.1")
    desk.truth.liquidate(desk.name, "BTCUSDT")
    await desk.market("BUY", "1", symbol="ETHUSDT")
    desk.truth.deleverage(desk.name, "ETHUSDT", Decimal("0.5"))
    forced = await desk.good("GET", "forceOrders")
    assert [one["symbol"] for one in forced] == ["BTCUSDT", "ETHUSDT"]
    assert forced[0]["clientOrderId"].startswith("autoclose-")
    assert forced[1]["clientOrderId"] == "adl_autoclose"
    only = await desk.good("GET", "forceOrders", autoCloseType="ADL")
    assert [one["orderId"] for one in only] == [forced[1]["orderId"]]
    fee = await desk.good("GET", "income", incomeType="INSURANCE_CLEAR")
    assert Decimal(fee[0]["income"]) < 0


async def test_a_new_account_has_only_its_transfer_in(desk: Desk) -> None:
    desk.truth.transfer(desk.name, Decimal(-250))
    rows = await desk.good("GET", "income")
    assert [(row["incomeType"], row["symbol"], row["income"]) for row in rows] == [
        ("TRANSFER", "", "-250.00000000")
    ]
