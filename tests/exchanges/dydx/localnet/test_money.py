"""Positions, balances, funding, transfers and liquidation, as the indexer tells them, beside the truth."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.exchanges.dydx.localnet.venue import BUY, IOC, SELL, Dydx

pytestmark = pytest.mark.anyio
D = Decimal


@pytest.fixture(autouse=True)
def frozen(dydx: Dydx) -> None:
    dydx.book([("990", "50")], [("1010", "50")])


async def trade(dydx: Dydx, number: int, side: int, size: str) -> None:
    await dydx.order(number, side, size, "1010" if side == BUY else "990", tif=IOC)
    dydx.block()


async def test_equity_is_collateral_and_positions_at_the_oracle_price(dydx: Dydx) -> None:
    await trade(dydx, 1, SELL, "2")
    dydx.model.price = 1003.25
    dydx.wait(2)
    found = (await dydx.mine(f"/v4/addresses/{dydx.main.address}/subaccountNumber/0"))["subaccount"]
    (position,) = found["openPerpetualPositions"].values()
    usdc = D(found["assetPositions"]["USDC"]["size"])
    oracle = D((await dydx.get("/v4/perpetualMarkets"))["markets"]["BTC-USD"]["oraclePrice"])
    assert (position["size"], position["side"], oracle) == ("-2", "SHORT", D("1003.25"))
    assert D(found["equity"]) == usdc + D(position["size"]) * oracle
    assert D(position["unrealizedPnl"]) == -2 * (oracle - 990)
    # two per cent of the notional
    assert D(found["equity"]) - D(found["freeCollateral"]) == 2 * oracle / 50
    assert D(found["equity"]) == dydx.truth.state("main").equity


async def test_a_position_turned_round_is_two(dydx: Dydx) -> None:
    await trade(dydx, 1, BUY, "2")
    await trade(dydx, 2, SELL, "3")
    now, before = (await dydx.mine("/v4/perpetualPositions"))["positions"]
    assert (now["side"], now["size"], now["status"], now["exitPrice"]) == ("SHORT", "-1", "OPEN", None)
    assert (before["side"], before["size"], before["status"]) == ("LONG", "0", "CLOSED")
    assert (before["sumOpen"], before["sumClose"], before["maxSize"]) == ("2", "2", "2")
    assert (before["entryPrice"], before["exitPrice"], before["realizedPnl"]) == ("1010", "990", "-40")
    found = (await dydx.mine("/v4/perpetualPositions", status="OPEN"))["positions"]
    assert [row["side"] for row in found] == ["SHORT"]


async def test_funding_every_hour(dydx: Dydx) -> None:
    await trade(dydx, 1, SELL, "2")
    dydx.model.rate = 0.0008
    market = (await dydx.get("/v4/perpetualMarkets", ticker="BTC-USD"))["markets"]["BTC-USD"]
    assert market["nextFundingRate"] == "0.0001"
    start = dydx.truth.state("main").wallet
    dydx.wait(2 * 3600)
    rows = (await dydx.mine("/v4/fundingPayments"))["fundingPayments"]
    # a short receives when the rate is positive
    assert [D(row["payment"]) for row in rows] == [D("0.2"), D("0.2")]
    assert {(row["ticker"], row["side"], row["size"], row["rate"]) for row in rows} == {
        ("BTC-USD", "SHORT", "-2", "0.0001")
    }
    assert dydx.truth.state("main").wallet - start == D("0.4")
    (position,) = (await dydx.mine("/v4/perpetualPositions"))["positions"]
    assert (D(position["netFunding"]), D(position["realizedPnl"])) == (D("0.4"), D("0.4"))
    history = (await dydx.get("/v4/historicalFunding/BTC-USD", limit=2))["historicalFunding"]
    assert [row["rate"] for row in history] == ["0.0001", "0.0001"]
    paged = await dydx.mine("/v4/fundingPayments", limit=1, page=2)
    assert (paged["totalResults"], paged["offset"], len(paged["fundingPayments"])) == (2, 1, 1)


async def test_historical_funding_goes_back_before_the_start(dydx: Dydx) -> None:
    rows = (await dydx.get("/v4/historicalFunding/BTC-USD", limit=30))["historicalFunding"]
    times = [row["effectiveAt"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert all(time.endswith(":00:00.000Z") for time in times)
    heights = [int(row["effectiveAtHeight"]) for row in rows]
    assert heights == sorted(heights, reverse=True)
    older = await dydx.get("/v4/historicalFunding/BTC-USD", limit=5, effectiveBeforeOrAt=times[10])
    assert [row["effectiveAt"] for row in older["historicalFunding"]] == times[10:15]


async def test_deposits_and_withdrawals(dydx: Dydx) -> None:
    dydx.truth.transfer("main", D("12.5"))
    dydx.truth.transfer("main", D("-2"))
    rows = (await dydx.mine("/v4/transfers"))["transfers"]
    assert [(row["type"], row["size"], row["symbol"]) for row in rows] == [
        ("WITHDRAWAL", "2", "USDC"),
        ("DEPOSIT", "12.5", "USDC"),
    ]
    assert rows[1]["recipient"] == {"address": dydx.main.address, "subaccountNumber": 0}
    (pnl,) = (await dydx.mine("/v4/historical-pnl"))["historicalPnl"]
    assert (pnl["equity"], pnl["totalPnl"], pnl["netTransfers"]) == ("100010.5", "0", "100010.5")


async def test_liquidation(dydx: Dydx) -> None:
    dydx.book([("990", "9000")], [("1010", "9000")])
    await trade(dydx, 1, BUY, "2000")
    await dydx.order(2, BUY, "1", "900", time=dydx.now + 9000)
    dydx.block()
    socket = await dydx.connect()
    await socket.subscribe("v4_subaccounts", f"{dydx.main.address}/0")
    dydx.model.price = 960.0
    dydx.truth.move_price("BTC-USD", price=D(960))
    dydx.wait(30)
    assert dydx.truth.positions("main") == []
    fills = (await dydx.mine("/v4/fills"))["fills"]
    assert (fills[0]["type"], fills[0]["side"], fills[0]["size"]) == ("LIQUIDATED", "SELL", "2000")
    assert "orderId" not in fills[0]
    (position,) = (await dydx.mine("/v4/perpetualPositions"))["positions"]
    assert position["status"] == "LIQUIDATED"
    (order,) = [row for row in await dydx.orders() if row["clientId"] == "2"]
    assert order["status"] == "CANCELED"
    cancelled = (await socket.next())["contents"]["orders"][0]
    assert cancelled["removalReason"] == "ORDER_REMOVAL_REASON_UNDERCOLLATERALIZED"
    told = (await socket.next())["contents"]
    assert told["fills"][0]["type"] == "LIQUIDATED"


async def test_addresses_and_subaccounts_that_are_not_there(dydx: Dydx) -> None:
    assert "errors" in await dydx.get("/v4/addresses/dydx1nobody", answer=404)
    assert "errors" in await dydx.get(f"/v4/addresses/{dydx.main.address}/subaccountNumber/3", answer=404)
    empty = await dydx.get("/v4/fills", address=dydx.main.address, subaccountNumber=3)
    assert empty == {"fills": []}
    assert "errors" in await dydx.get("/v4/fills", answer=400)
    assert "errors" in await dydx.get("/v4/orderbooks/perpetualMarket/NO-USD", answer=400)
    assert "errors" in await dydx.mine("/v4/orders", answer=400, limit=2000)
    (one,) = (await dydx.get(f"/v4/addresses/{dydx.main.address}"))["subaccounts"]
    assert one["subaccountNumber"] == 0


async def test_the_fee_tier_is_the_account_s(dydx: Dydx) -> None:
    from fundingarb.localnet.truth.rules import FeeTier

    dydx.truth.set_fees("main", FeeTier(D("-0.00011"), D("0.0003")))
    path = "/dydxprotocol/v4/feetiers/user_fee_tier"
    mine = await dydx.get(path, user=dydx.main.address)
    other = await dydx.get(path, user=dydx.signers["other"].address)
    fees = [(answer["tier"]["maker_fee_ppm"], answer["tier"]["taker_fee_ppm"]) for answer in (mine, other)]
    assert fees == [(-110, 300), (100, 500)]
