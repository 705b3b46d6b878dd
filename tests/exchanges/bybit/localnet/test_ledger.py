"""Fills, funding and the transaction log: signs, sums and pages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit
from tests.localnet.still import BOUNDARY

pytestmark = pytest.mark.anyio

D = Decimal
BIDS = [("999.0", "2"), ("998.0", "5")]
ASKS = [("1001.0", "2"), ("1002.0", "5")]


@pytest.fixture(autouse=True)
def _book(bybit: Bybit) -> None:
    bybit.book(BIDS, ASKS)


async def log(bybit: Bybit, **params: Any) -> list[dict[str, Any]]:
    """The whole transaction log, ascending."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        more = {"cursor": cursor} if cursor else {}
        result = (await bybit.get("/v5/account/transaction-log", **(params | more))).result
        rows += result["list"]
        cursor = result["nextPageCursor"]
        if not cursor:
            return rows[::-1]


async def executions(bybit: Bybit, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await bybit.get("/v5/execution/list", category="linear", **params)).result[
        "list"
    ]
    return found


async def wallet(bybit: Bybit) -> Decimal:
    row = (await bybit.get("/v5/account/wallet-balance", accountType="UNIFIED")).result["list"][0]
    return D(row["coin"][0]["walletBalance"])


def settle(bybit: Bybit) -> None:
    """Let time pass until after the next settlement and its posting."""
    bybit.wait(BOUNDARY - bybit.clock.now() + 5)


async def test_every_change_of_the_wallet_is_in_the_log_exactly(bybit: Bybit) -> None:
    await bybit.order("Buy", "3")
    bybit.wait(60)
    await bybit.order("Sell", "1.234", reduceOnly=True)
    settle(bybit)
    bybit.truth.move_price("BTCUSDT", factor=1.0123)
    await bybit.order("Sell", "4")
    bybit.truth.transfer("main", D("-12.5"))
    bybit.wait(1)
    rows = await log(bybit, limit=3)
    assert {row["type"] for row in rows} == {"TRADE", "SETTLEMENT", "TRANSFER_OUT"}
    balance = D(100_000)
    for row in rows:
        change = D(row["cashFlow"]) + D(row["funding"] or 0) - D(row["fee"])
        assert D(row["change"]) == change, row
        balance += change
        assert D(row["cashBalance"]) == balance, row
    assert balance == await wallet(bybit) == bybit.truth.state("main").wallet


async def test_a_fill_is_one_row_with_profit_and_fee(bybit: Bybit) -> None:
    await bybit.order("Buy", "2", orderLinkId="in")
    await bybit.order("Sell", "1.5", reduceOnly=True, orderLinkId="out")
    opened, closed = await log(bybit, type="TRADE")
    assert (
        opened
        | {
            "symbol": "BTCUSDT",
            "category": "linear",
            "side": "Buy",
            "qty": "2",
            "size": "2",
            "tradePrice": "1001",
            "funding": "",
            "cashFlow": "0",
            "fee": "1.10110000",
            "feeRate": "0.00055",
            "change": "-1.1011",
            "cashBalance": "99998.89890000",
            "orderLinkId": "in",
            "transactionTime": str(bybit.now_ms),
        }
        == opened
    )
    assert (
        closed
        | {
            "side": "Sell",
            "qty": "1.5",
            "size": "0.5",
            "tradePrice": "999",
            "cashFlow": "-3",
            "fee": "0.82417500",
            "change": "-3.824175",
            "orderLinkId": "out",
        }
        == closed
    )
    fills = await executions(bybit)
    assert [row["execId"] for row in fills] == [closed["tradeId"], opened["tradeId"]]


async def test_executions_of_an_order(bybit: Bybit) -> None:
    order_id = (await bybit.order("Buy", "3", orderLinkId="x")).result["orderId"]
    rows = await executions(bybit, orderLinkId="x")
    assert rows == await executions(bybit, orderId=order_id) == await executions(bybit, symbol="BTCUSDT")
    assert [(row["execPrice"], row["execQty"], row["leavesQty"]) for row in rows] == [
        ("1002", "1", "0"),
        ("1001", "2", "1"),
    ]
    assert (
        rows[1]
        | {
            "execType": "Trade",
            "isMaker": False,
            "execFee": "1.1011",
            "execValue": "2002",
            "feeRate": "0.00055",
            "closedSize": "0",
            "orderQty": "3",
            "orderPrice": "1020",
            "side": "Buy",
            "createType": "CreateByUser",
            "markPrice": "1000.00",
        }
        == rows[1]
    )
    assert await executions(bybit, symbol="1000PEPEUSDT") == []
    assert await executions(bybit, execType="BustTrade") == []
    assert await executions(bybit, startTime=bybit.now_ms + 1, endTime=bybit.now_ms + 2) == []


@pytest.mark.parametrize(
    ("side", "rate", "paid"),
    [("Buy", "0.0002", 1), ("Sell", "0.0002", -1), ("Buy", "-0.0003", -1), ("Sell", "-0.0003", 1)],
)
async def test_funding_has_opposite_signs_in_executions_and_log(
    bybit: Bybit, side: str, rate: str, paid: int
) -> None:
    """A payment: execFee > 0, funding < 0. Received: the other way round."""
    await bybit.order(side, "2")
    before = await wallet(bybit)
    bybit.truth.set_funding("BTCUSDT", rate=D(rate))
    settle(bybit)
    (row,) = await executions(bybit, execType="Funding")
    (entry,) = await log(bybit, type="SETTLEMENT")
    amount = paid * 2 * 1000 * abs(D(rate))
    assert D(row["execFee"]) == amount
    assert D(entry["funding"]) == D(entry["change"]) == -amount
    assert D(entry["fee"]) == D(entry["cashFlow"]) == 0
    assert await wallet(bybit) == before - amount
    at = str(round(BOUNDARY * 1000))
    assert (
        row
        | {
            "execTime": at,
            "feeRate": rate,
            "execQty": "2",
            "execValue": "2000",
            "execPrice": "1000",
            "orderType": "UNKNOWN",
            "orderPrice": "0",
            "orderQty": "0",
            "closedSize": "0",
            "createType": "",
            "side": side,
        }
        == row
    )
    assert (
        entry
        | {
            "transactionTime": at,
            "feeRate": rate,
            "tradePrice": "1000",
            "qty": "2",
            "size": "2" if side == "Buy" else "-2",
            "side": side,
            "tradeId": row["execId"],
        }
        == entry
    )


async def test_a_settlement_is_posted_late_with_its_own_time(bybit: Bybit) -> None:
    await bybit.order("Buy", "1")
    bybit.wait(BOUNDARY - bybit.clock.now() + 0.5)
    assert await executions(bybit, execType="Funding") == []
    assert await log(bybit, type="SETTLEMENT") == []
    bybit.wait(5)
    (row,) = await executions(bybit, execType="Funding")
    assert row["execTime"] == str(round(BOUNDARY * 1000))
    start = round(BOUNDARY * 1000)
    assert len(await log(bybit, type="SETTLEMENT", startTime=start, endTime=start)) == 1
    assert await log(bybit, type="SETTLEMENT", startTime=start + 1, endTime=start + 10) == []


async def test_default_windows_of_the_lists(bybit: Bybit) -> None:
    """A day of log and a week of executions, and with one bound the span beside it."""
    await bybit.order("Buy", "1")
    placed = bybit.now_ms
    day = 86_400_000
    bybit.wait(25 * 3600)
    assert await log(bybit, type="TRADE") == []
    assert len(await log(bybit, type="TRADE", startTime=placed)) == 1
    assert len(await log(bybit, type="TRADE", endTime=placed + day)) == 1
    assert await log(bybit, type="TRADE", endTime=placed + day + 1) == []
    assert len(await executions(bybit, execType="Trade")) == 1
    bybit.wait(6 * 86400)
    assert await executions(bybit, execType="Trade") == []
    assert len(await executions(bybit, execType="Trade", startTime=placed)) == 1
    assert await bybit.orders("/v5/order/history") == []
    assert len(await bybit.orders("/v5/order/history", startTime=placed, endTime=placed + day)) == 1


async def test_executions_come_in_pages_that_new_fills_do_not_shift(bybit: Bybit) -> None:
    for _ in range(5):
        await bybit.order("Buy", "0.1")
        bybit.wait(0.01)
    everything = [row["execId"] for row in await executions(bybit)]
    result = (await bybit.get("/v5/execution/list", category="linear", limit=2)).result
    await bybit.order("Buy", "0.1")
    seen = [row["execId"] for row in result["list"]]
    while result["nextPageCursor"]:
        result = (
            await bybit.get("/v5/execution/list", category="linear", limit=2, cursor=result["nextPageCursor"])
        ).result
        seen += [row["execId"] for row in result["list"]]
    assert seen == everything
    assert len(set(seen)) == 5


async def test_closed_profit_includes_the_fees_of_both_sides(bybit: Bybit) -> None:
    await bybit.order("Buy", "4")
    order_id = (await bybit.order("Sell", "3", reduceOnly=True)).result["orderId"]
    (row,) = (await bybit.get("/v5/position/closed-pnl", category="linear")).result["list"]
    entry, exit_ = D("1001.5") * 3, D(999) * 2 + D(998)
    assert (D(row["cumEntryValue"]), D(row["cumExitValue"])) == (entry, exit_)
    assert D(row["closedPnl"]) == exit_ - entry - (entry + exit_) * D("0.00055")
    assert (
        row
        | {
            "orderId": order_id,
            "side": "Sell",
            "closedSize": "3",
            "qty": "3",
            "fillCount": "2",
            "avgEntryPrice": "1001.5",
            "leverage": "10",
            "execType": "Trade",
            "orderType": "Market",
        }
        == row
    )


async def test_turning_a_position_over_closes_one_and_opens_the_other(bybit: Bybit) -> None:
    await bybit.order("Buy", "2")
    await bybit.order("Sell", "5", "998", timeInForce="IOC")
    (row,) = (await bybit.get("/v5/position/list", category="linear", symbol="BTCUSDT")).result["list"]
    assert (row["side"], row["size"], row["avgPrice"]) == ("Sell", "3", "998")
    await bybit.order("Buy", "3", reduceOnly=True)
    short, long = (await bybit.get("/v5/position/closed-pnl", category="linear")).result["list"]
    assert (long["side"], long["closedSize"], long["avgEntryPrice"], long["avgExitPrice"]) == (
        "Sell",
        "2",
        "1001",
        "999",
    )
    assert (short["side"], short["closedSize"], short["avgEntryPrice"]) == ("Buy", "3", "998")
    rows = await log(bybit, type="TRADE")
    assert [row["size"] for row in rows] == ["2", "0", "-3", "0"]
    closed = sum(D(row["closedPnl"]) for row in (long, short))
    assert closed == sum(D(row["change"]) for row in rows) == await wallet(bybit) - 100_000


async def test_a_liquidation_is_a_bust_trade(bybit: Bybit) -> None:
    await bybit.order("Buy", "2")
    bybit.wait(1)
    bybit.truth.liquidate("main", "BTCUSDT")
    bust = (await executions(bybit))[0]
    assert (bust["execType"], bust["side"], bust["closedSize"], bust["orderLinkId"]) == (
        "BustTrade",
        "Sell",
        "2",
        "",
    )
    assert bust["createType"] == "CreateByTakeOver_PassThrough"
    rows = await log(bybit)
    assert [row["type"] for row in rows] == ["TRADE", "LIQUIDATION", "LIQUIDATION"]
    assert D(rows[2]["cashFlow"]) < 0
    assert D(100_000) + sum(D(row["change"]) for row in rows) == await wallet(bybit)


async def test_auto_deleveraging_is_an_adl_trade(bybit: Bybit) -> None:
    await bybit.order("Buy", "2")
    bybit.truth.deleverage("main", "BTCUSDT", D("0.5"))
    row = (await executions(bybit))[0]
    assert (row["execType"], row["execQty"], row["execFee"], row["createType"]) == (
        "AdlTrade",
        "0.5",
        "0",
        "CreateByAdl_PassThrough",
    )
    rows = await log(bybit)
    assert D(100_000) + sum(D(row["change"]) for row in rows) == await wallet(bybit)


async def test_the_wallet_shows_margin_and_profit(bybit: Bybit) -> None:
    await bybit.order("Buy", "2")
    await bybit.order("Buy", "1", "990")
    bybit.truth.move_price("BTCUSDT", factor=1.01)
    row = (await bybit.get("/v5/account/wallet-balance", accountType="UNIFIED", coin="USDT")).result["list"][
        0
    ]
    coin = row["coin"][0]
    assert D(coin["walletBalance"]) == D(100_000) - D("1.1011")
    assert D(coin["unrealisedPnl"]) == 2 * (1010 - 1001)
    assert D(coin["equity"]) == D(row["totalEquity"]) == D(coin["walletBalance"]) + D(coin["unrealisedPnl"])
    assert D(coin["totalPositionIM"]) > 0
    assert D(coin["totalOrderIM"]) > 0
    assert D(row["totalInitialMargin"]) == D(coin["totalPositionIM"]) + D(coin["totalOrderIM"])
    assert D(row["totalAvailableBalance"]) == bybit.truth.state("main").available
    assert D(coin["cumRealisedPnl"]) == D("-1.1011")
    nothing = await bybit.get("/v5/account/wallet-balance", accountType="UNIFIED", coin="BTC")
    assert nothing.result["list"][0]["coin"] == []


async def test_isolated_margin_blanks_the_totals(bybit: Bybit) -> None:
    await bybit.post("/v5/account/set-margin-mode", setMarginMode="ISOLATED_MARGIN")
    row = (await bybit.get("/v5/account/wallet-balance", accountType="UNIFIED")).result["list"][0]
    assert (row["totalAvailableBalance"], row["accountIMRate"], row["totalEquity"]) == ("", "", "100000")


async def test_fee_rates_are_those_of_the_account(bybit: Bybit) -> None:
    rows = (await bybit.get("/v5/account/fee-rate", category="linear", symbol="BTCUSDT")).result["list"]
    assert rows == [{"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"}]
    everything = (await bybit.get("/v5/account/fee-rate")).result["list"]
    assert [row["symbol"] for row in everything] == ["BTCUSDT", "1000PEPEUSDT"]
