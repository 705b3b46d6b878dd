"""What is refused, and with which of OKX's codes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.exchanges.okx.localnet.venue import SWAP, Okx

from fundingarb.localnet.truth.types import Reason, Refused
from fundingarb_okx.localnet.codes import cancel_refusal, refusal

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"instId": "BTC-USD-SWAP"}, "51001"),
        ({"instId": ""}, "51000"),
        ({"tdMode": ""}, "51000"),
        ({"tdMode": "cash"}, "51000"),
        ({"side": "hold"}, "51000"),
        ({"ordType": "stop"}, "51000"),
        ({"sz": ""}, "51000"),
        ({"sz": "-1"}, "51000"),
        ({"sz": "nan"}, "51000"),
        ({"sz": "0.015"}, "51121"),
        ({"sz": "100000000.01"}, "51101"),
        ({"px": ""}, "51000"),
        ({"px": "990.05"}, "51000"),
        ({"px": "1021"}, "51137"),
        ({"ordType": "market", "sz": "12001"}, "51202"),
        ({"clOrdId": "not-allowed"}, "51000"),
        ({"clOrdId": "x" * 33}, "51000"),
        ({"tag": "x" * 17}, "51000"),
        ({"posSide": "short"}, "51000"),
        ({"reduceOnly": "perhaps"}, "51000"),
        ({"reduceOnly": True}, "51169"),
        ({"sz": "50000"}, "51008"),
        ({"attachAlgoOrds": [{"tpTriggerPx": "1"}]}, "51000"),
    ],
)
async def test_orders(okx: Okx, change: dict[str, Any], code: str) -> None:
    answer = await okx.post("/trade/order", okx.request("buy", "1", "990", clOrdId="c1") | change)
    assert answer.failed[0] == code
    (row,) = answer.body["data"]
    assert (row["ordId"], row["clOrdId"]) == ("", str((change or {}).get("clOrdId", "c1")))
    assert answer.body["msg"] == "All operations failed"
    assert okx.truth.orders("main") == []


async def test_a_price_beyond_the_limit_says_what_the_limit_is(okx: Okx) -> None:
    limits = (await okx.public("/public/price-limit", instId=SWAP)).row
    assert (limits["buyLmt"], limits["sellLmt"]) == ("1020", "980")
    high, low = (
        "The highest price limit for buy orders is 1020.",
        "The lowest price limit for sell orders is 980.",
    )
    assert (await okx.order("buy", "1", "1020.1")).failed == ("51137", high)
    assert (await okx.order("sell", "1", "979.9")).failed == ("51138", low)
    assert (await okx.order("buy", "1", "1020")).code == "0"
    assert (await okx.order("sell", "1", "979.9", reduceOnly=True)).failed[0] == "51136"


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/public/instruments", {}, "51000"),
        ("/public/instruments", {"instType": "SHOES"}, "51000"),
        ("/public/instruments", {"instType": "SWAP", "instId": "X"}, "51001"),
        ("/public/funding-rate", {}, "51000"),
        ("/public/funding-rate", {"instId": "X"}, "51001"),
        ("/market/books", {"instId": "X"}, "51001"),
        ("/market/index-tickers", {"instId": "X-USDT"}, "51014"),
        ("/public/position-tiers", {"instType": "SWAP", "tdMode": "cross"}, "51000"),
        ("/market/candles", {"instId": SWAP, "bar": "7m"}, "51000"),
    ],
)
async def test_questions(okx: Okx, path: str, params: dict[str, str], code: str) -> None:
    answer = await okx.public(path, **params)
    assert (answer.code, answer.body["data"]) == (code, [])


async def test_other_kinds_of_instruments_are_empty(okx: Okx) -> None:
    for kind in ("SPOT", "MARGIN", "FUTURES", "OPTION"):
        assert (await okx.public("/public/instruments", instType=kind)).data == []
        assert (await okx.get("/account/positions", instType=kind)).data == []
        assert (await okx.get("/trade/orders-history", instType=kind)).data == []


async def test_paths_that_are_not_there(okx: Okx) -> None:
    answer = await okx.public("/public/nothing")
    assert (answer.status, answer.code) == (404, "404")


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_an_answer(reason: Reason) -> None:
    for answer in (refusal(Refused(reason)), cancel_refusal(Refused(reason))):
        assert answer.code.isdigit()
        assert len(answer.code) == 5
        assert answer.message


def test_a_literal_code_wins() -> None:
    refused = Refused(Reason.BAD_LOT, "because", code="58999")
    assert (refusal(refused).code, refusal(refused).message) == ("58999", "because")
    assert cancel_refusal(refused).code == "58999"
