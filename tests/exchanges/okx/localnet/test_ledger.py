"""Bills, fills and positions that are over: every change of the balance once, with what caused it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.okx.localnet.venue import SWAP, Okx
from tests.localnet.still import BOUNDARY

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unlimited")]

D = Decimal
START = D(100_000)


async def bills(okx: Okx, path: str = "/account/bills", **params: Any) -> list[dict[str, Any]]:
    """Ascending."""
    return (await okx.get(path, **params)).data[::-1]


async def settle(okx: Okx) -> None:
    okx.wait(BOUNDARY - okx.clock.now() + 2)


async def test_bills_add_up_to_the_balance(okx: Okx) -> None:
    await okx.order("buy", "300")
    await settle(okx)
    await okx.order("sell", "100")
    okx.truth.transfer("main", D(-50))
    okx.truth.deleverage("main", SWAP, D(50))
    okx.truth.liquidate("main", SWAP)
    found = await bills(okx)
    balance = START
    for bill in found:
        balance += D(bill["balChg"])
        assert balance == D(bill["bal"])
        if bill["type"] not in ("1",):
            assert D(bill["balChg"]) == D(bill["pnl"]) + D(bill["fee"])
    assert balance == okx.truth.state("main").wallet
    assert [(bill["type"], bill["subType"]) for bill in found] == [
        ("2", "1"),
        ("8", "173"),
        ("2", "2"),
        ("1", "12"),
        ("9", "128"),
        ("5", "107"),
        ("5", "109"),
    ]


async def test_a_funding_bill(okx: Okx) -> None:
    await okx.order("sell", "300")
    await settle(okx)
    (bill,) = await bills(okx, "/account/bills-archive", type="8")
    (payment,) = okx.truth.funding_payments("main")
    assert payment.amount == D("0.3"), "3 BTC at 1000 and 0.0001"
    assert (D(bill["balChg"]), D(bill["pnl"]), D(bill["fee"])) == (D("0.3"), D("0.3"), D(0))
    shown = ("subType", "instId", "sz", "px", "ccy", "ordId", "mgnMode")
    assert [bill[key] for key in shown] == ["174", SWAP, "300", "1000", "USDT", "", "cross"]
    assert bill["ts"] == str(payment.time_ms) == str(int(BOUNDARY * 1000) + 1000)
    (position,) = await okx.positions()
    assert position["fundingFee"] == "0.3"


async def test_a_trade_bill_and_its_fill_share_their_ids(okx: Okx) -> None:
    okx.book([("999", "50")], [("1000", "2"), ("1001", "50")])
    await okx.order("buy", "5", clOrdId="both")
    fills = (await okx.get("/trade/fills", instType="SWAP")).data[::-1]
    traded = await bills(okx, type="2")
    for key in ("billId", "tradeId", "ordId", "clOrdId", "execType", "fee", "instId"):
        assert [bill[key] for bill in traded] == [fill[key] for fill in fills]
    assert [(bill["sz"], bill["px"]) for bill in traded] == [("2", "1000"), ("3", "1001")]
    history = (await okx.get("/trade/fills-history", instType="SWAP")).data[::-1]
    assert history == fills


async def test_pages_and_filters(okx: Okx) -> None:
    for _ in range(3):
        await okx.order("buy", "1")
        okx.wait(1)
    everything = await bills(okx)
    newest = (await okx.get("/account/bills", limit=2)).data
    assert newest == everything[:0:-1]
    assert (await okx.get("/account/bills", after=newest[-1]["billId"])).data == everything[:1]
    assert (await okx.get("/account/bills", before=everything[1]["billId"])).data == everything[2:]
    assert await bills(okx, begin=everything[1]["ts"], end=everything[1]["ts"]) == [everything[1]]
    assert await bills(okx, instType="SPOT") == []
    assert await bills(okx, subType="2") == []
    assert await bills(okx, instId=SWAP, ccy="USDT", mgnMode="cross", ctType="linear") == everything
    fills = (await okx.get("/trade/fills")).data
    older = (await okx.get("/trade/fills", after=fills[0]["billId"])).data
    assert older == fills[1:]
    assert (await okx.get("/trade/fills", begin=fills[0]["ts"])).data == fills[:1]


async def test_fills_are_shown_for_three_days_and_kept_for_three_months(okx: Okx) -> None:
    await okx.order("buy", "1")
    okx.wait(3 * 86400 + 1)
    assert (await okx.get("/trade/fills")).data == []
    assert len((await okx.get("/trade/fills-history", instType="SWAP")).data) == 1
    okx.wait(4 * 86400)
    assert [bill for bill in await bills(okx) if bill["type"] == "2"] == []
    assert len(await bills(okx, "/account/bills-archive", type="2")) == 1


async def test_a_position_that_is_over(okx: Okx) -> None:
    okx.book([("1010", "500")], [("1000", "500")])
    await okx.order("buy", "100")
    (position,) = await okx.positions()
    await settle(okx)
    await okx.order("sell", "40")
    await okx.order("sell", "60")
    row = (await okx.get("/account/positions-history", instType="SWAP")).row
    assert row["posId"] == position["posId"]
    shown = ("openAvgPx", "closeAvgPx", "closeTotalPos", "openMaxPos", "direction", "pnl", "type")
    assert [row[key] for key in shown] == ["1000", "1010", "100", "100", "long", "10", "2"]
    assert (row["fee"], row["fundingFee"]) == ("-1.005", "-0.1")
    assert D(row["realizedPnl"]) == D("8.895") == okx.truth.state("main").wallet - START
    okx.book([("1010", "500")], [("1000", "500")])
    await okx.order("sell", "1")
    assert (await okx.positions())[0]["posId"] != position["posId"]


async def test_turning_a_position_around_closes_one_and_opens_another(okx: Okx) -> None:
    await okx.order("buy", "2")
    (before,) = await okx.positions()
    await okx.order("sell", "5")
    (after,) = await okx.positions()
    assert (before["pos"], after["pos"]) == ("2", "-3")
    assert before["posId"] != after["posId"]
    assert (await okx.get("/account/positions-history")).row["posId"] == before["posId"]


async def test_margin_of_the_account(okx: Okx) -> None:
    await okx.order("buy", "3000")
    await okx.order("buy", "100", "990")
    row = (await okx.get("/account/balance")).row
    (detail,) = row["details"]
    state = okx.truth.state("main")
    assert D(detail["eq"]) == D(row["totalEq"]) == state.equity
    assert D(detail["availEq"]) == state.available
    assert D(detail["imr"]) == state.initial_margin
    assert D(detail["mmr"]) == state.maintenance_margin
    assert D(detail["mgnRatio"]) == (state.equity / state.maintenance_margin).quantize(D("1e-16"))
    assert D(detail["ordFrozen"]) == state.order_margin > 0
    assert (row["adjEq"], row["mgnRatio"]) == ("", "")
    assert (await okx.get("/account/balance", ccy="BTC")).row["details"] == []
    (position,) = await okx.positions()
    assert D(position["imr"]) == D(10_000)
    assert D(position["mmr"]) == D(120)
    assert D(position["mgnRatio"]) == D(detail["mgnRatio"])


async def test_settlements_of_three_months(okx: Okx) -> None:
    await settle(okx)
    newest = (await okx.public("/public/funding-rate-history", instId=SWAP, limit=3)).data
    times = [int(row["fundingTime"]) for row in newest]
    assert times == [int(BOUNDARY * 1000) - 28_800_000 * number for number in range(3)]
    assert {row["realizedRate"] for row in newest} == {"0.0001"}
    older = (await okx.public("/public/funding-rate-history", instId=SWAP, after=times[-1], limit=1)).data
    assert int(older[0]["fundingTime"]) == times[-1] - 28_800_000
    newer = (await okx.public("/public/funding-rate-history", instId=SWAP, before=times[-1])).data
    assert newer == newest[:2]
    everything = (await okx.public("/public/funding-rate-history", instId=SWAP)).data
    assert len(everything) >= 90 * 3
