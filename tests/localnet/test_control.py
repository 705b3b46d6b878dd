"""The control API over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from tests.localnet.still import BOUNDARY, START, StillModel
from tests.localnet.toy import OtherDialect, ToyDialect

from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb.localnet.truth.types import OrderRequest, OrderType, Side

pytestmark = pytest.mark.anyio


@dataclass
class Control:
    net: Localnet
    http: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.http.get(self.net.ready["control"] + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        async with self.http.post(self.net.ready["control"] + path, json=body) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    options = Options(speed=1, start=START)
    async with (
        run_localnets({"toy": ToyDialect, "other": OtherDialect}, options, model=StillModel()) as net,
        aiohttp.ClientSession() as http,
    ):
        yield Control(net, http)


def buy(net: Localnet, quantity: str = "1") -> None:
    net.truth("toy").place("toy", OrderRequest("BTCUSDT", Side.BUY, Decimal(quantity), OrderType.MARKET))


async def test_time(control: Control) -> None:
    answer = await control.get("/time")
    assert answer["speed"] == 1
    assert answer["unix"] == pytest.approx(START, abs=60)
    assert datetime.fromisoformat(answer["time"].replace("Z", "+00:00")).timestamp() == pytest.approx(
        answer["unix"], abs=0.001
    )


async def test_truth_tells_everything_about_an_account(control: Control) -> None:
    buy(control.net)
    truth = control.net.venues["toy"].truth
    truth.advance(BOUNDARY + 5)
    answer = await control.get("/truth")
    assert list(answer["accounts"]) == ["toy", "toy-alt", "other", "other-alt"]
    account = answer["accounts"]["toy"]
    assert (account["exchange"], account["starting_balance"]) == ("toy", "100000")
    rows = sum(Decimal(row["amount"]) for row in account["ledger"])
    assert rows == Decimal(account["balance"]) - Decimal(account["starting_balance"])
    assert [row["kind"] for row in account["ledger"]] == ["COMMISSION", "FUNDING_FEE"]
    (fill,) = account["fills"]
    assert (fill["symbol"], fill["instrument"], fill["side"]) == ("BTC-USDT", "BTCUSDT", "BUY")
    (payment,) = account["funding"]
    assert payment["settlement_at"] == "2026-01-05T08:00:00.000Z"
    assert Decimal(payment["amount"]) == Decimal("-0.1")
    (position,) = account["positions"]
    assert Decimal(position["quantity"]) == 1
    assert account["totals"]["COMMISSION"] == account["ledger"][0]["amount"]
    one = await control.get("/truth?account=other-alt")
    assert list(one["accounts"]) == ["other-alt"]


async def test_market_price_moves_everywhere_or_on_one_exchange(control: Control) -> None:
    await control.post("/market", {"symbol": "BTC-USDT", "price": "1100"})
    markets = (await control.get("/markets?symbol=BTC-USDT"))["exchanges"]
    assert {m["BTC-USDT"]["mark"] for m in markets.values()} == {"1100.00000000"}
    await control.post("/market", {"symbol": "BTC-USDT", "exchange": "toy", "factor": 0.5})
    markets = (await control.get("/markets"))["exchanges"]
    assert markets["toy"]["BTC-USDT"]["mark"] == "550.00000000"
    assert markets["other"]["BTC-USDT"]["mark"] == "1100.00000000"
    await control.post("/market", {"symbol": "BTC-USDT", "clear": True})
    assert (await control.get("/markets"))["exchanges"]["toy"]["BTC-USDT"]["mark"] == "1000.00000000"


async def test_market_book_and_liquidity(control: Control) -> None:
    await control.post(
        "/market",
        {"symbol": "BTCUSDT", "exchange": "toy", "bids": [["990", "2"]], "asks": [["1010", "0.5"]]},
    )
    market = (await control.get("/markets"))["exchanges"]["toy"]["BTC-USDT"]
    levels = [[Decimal(text) for text in market[side][0]] for side in ("bids", "asks")]
    assert levels == [[Decimal(990), Decimal(2)], [Decimal(1010), Decimal("0.5")]]
    before = control.net.truth("other").book("BTCUSDT").bids[0]
    await control.post(
        "/market", {"symbol": "BTC-USDT", "exchange": "other", "spread_bps": 100, "depth": 0.1}
    )
    after = control.net.truth("other").book("BTCUSDT").bids[0]
    assert after[0] == Decimal("995.0")
    assert after[1] < before[1] / 5


async def test_funding(control: Control) -> None:
    await control.post("/funding", {"symbol": "BTC-USDT", "rate": "0.0075", "interval_hours": 1})
    for name in ("toy", "other"):
        view = control.net.truth(name).funding("BTCUSDT")
        assert (view.rate, view.interval_hours) == (Decimal("0.0075"), 1)
    await control.post("/funding", {"symbol": "BTC-USDT", "exchange": "toy", "clear": True})
    assert control.net.truth("toy").funding("BTCUSDT").rate == Decimal("0.0001")
    assert control.net.truth("other").funding("BTCUSDT").rate == Decimal("0.0075")


async def test_faults_are_installed_listed_and_cleared(control: Control) -> None:
    answer = await control.post("/faults", {"kind": "latency", "seconds": 1, "operation": "order.*"})
    assert len(answer["faults"]) == 2
    await control.post("/faults", {"kind": "lost_reply", "exchange": "other"})
    await control.post("/faults", {"kind": "reject", "account": "toy-alt", "code": "-1"})
    listed = (await control.get("/faults"))["faults"]
    assert [(f["kind"], f["exchange"]) for f in listed] == [
        ("latency", "toy"),
        ("reject", "toy"),
        ("latency", "other"),
        ("lost_reply", "other"),
    ]
    assert await control.post("/faults", {"clear": listed[0]["id"]}) == {"cleared": 1}
    async with control.http.delete(control.net.ready["control"] + "/faults") as answer:
        assert await answer.json() == {"cleared": 3}


async def test_liquidation_adl_transfer_and_fees(control: Control) -> None:
    await control.post("/fees", {"account": "toy", "maker": "0", "taker": "0.001"})
    buy(control.net)
    truth = control.net.truth("toy")
    assert truth.fills("toy")[0].fee_rate == Decimal("0.001")
    await control.post("/adl", {"account": "toy", "symbol": "BTC-USDT", "quantity": "0.25"})
    assert truth.positions("toy")[0].quantity == Decimal("0.75")
    await control.post("/liquidate", {"account": "toy", "symbol": "BTC-USDT"})
    assert truth.positions("toy") == []
    await control.post("/transfer", {"account": "toy-alt", "amount": "-1000.5"})
    assert truth.state("toy-alt").wallet == Decimal("98999.5")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/market", {"price": 1}, "symbol is missing"),
        ("/market", {"symbol": "NO-USDT", "price": 1}, "no exchange lists 'NO-USDT'"),
        ("/market", {"symbol": "BTC-USDT", "pice": 1}, "unknown field 'pice'"),
        ("/market", {"symbol": "BTC-USDT", "price": "x"}, "price must be a number"),
        ("/market", {"symbol": "BTC-USDT", "factor": 0}, "positive factor"),
        ("/market", {"symbol": "BTC-USDT", "bids": [1]}, "bids must be a list"),
        ("/market", {"symbol": "BTC-USDT", "exchange": "mars"}, "no exchange is called 'mars'"),
        ("/funding", {"symbol": "BTC-USDT", "interval_hours": 7}, "divides 24"),
        ("/funding", {"symbol": "BTC-USDT", "rate": "NaN"}, "finite"),
        ("/faults", {"kind": "nonsense"}, "unknown fault kind"),
        ("/faults", {"kind": "price_gap"}, "needs a symbol"),
        ("/liquidate", {"account": "toy", "symbol": "BTC-USDT"}, "has no position"),
        ("/liquidate", {"account": "who", "symbol": "BTC-USDT"}, "no account is called 'who'"),
        ("/transfer", {"account": "toy", "amount": "-1000000"}, "margin is insufficient"),
        ("/market", [1], "must be a JSON object"),
    ],
)
async def test_bad_requests_are_one_line(control: Control, path: str, body: Any, message: str) -> None:
    before = control.net.truth("toy").report()["accounts"]
    answer = await control.post(path, body, 400)
    assert message in answer["error"]
    assert "\n" not in answer["error"]
    assert control.net.truth("toy").report()["accounts"] == before


async def test_body_that_is_not_json(control: Control) -> None:
    async with control.http.post(control.net.ready["control"] + "/market", data=b"{nope") as answer:
        assert answer.status == 400
        assert "JSON" in (await answer.json())["error"]
