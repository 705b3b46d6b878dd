"""Who may ask: signatures, windows and keys, through raw HTTP."""

from __future__ import annotations

import json

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit, sign

pytestmark = pytest.mark.anyio
PATH = "/v5/account/info"


async def test_a_signed_request_is_answered(bybit: Bybit) -> None:
    answer = await bybit.get(PATH)
    assert (answer.status, answer.code, answer.body["retMsg"]) == (200, 0, "OK")
    assert answer.body["time"] == bybit.now_ms
    assert answer.headers["X-Bapi-Limit"] == "50"
    assert answer.headers["X-Bapi-Limit-Status"] == "49"


@pytest.mark.parametrize("missing", ["X-BAPI-API-KEY", "X-BAPI-TIMESTAMP", "X-BAPI-SIGN"])
async def test_a_missing_header_is_10001(bybit: Bybit, missing: str) -> None:
    headers = bybit.headers("")
    del headers[missing]
    answer = await bybit.send("GET", PATH, headers=headers)
    assert (answer.status, answer.code) == (200, 10001)
    assert answer.body["retMsg"].startswith("empty value: apiTimestamp[")


async def test_an_unknown_key_is_10003(bybit: Bybit) -> None:
    answer = await bybit.send("GET", PATH, headers=bybit.headers("") | {"X-BAPI-API-KEY": "nobody"})
    assert (answer.status, answer.code) == (200, 10003)


async def test_a_wrong_signature_is_10004(bybit: Bybit) -> None:
    answer = await bybit.send("GET", f"{PATH}?a=1", headers=bybit.headers("a=2"))
    assert (answer.status, answer.code) == (200, 10004)
    assert "origin_string" in answer.body["retMsg"]


@pytest.mark.parametrize(
    ("age_ms", "window", "code"),
    [
        (0, "5000", 0),
        (5000, "5000", 0),
        (5001, "5000", 10002),
        (900, "500", 10002),
        (-999, "5000", 0),
        (-1000, "5000", 10002),
    ],
)
async def test_the_window_is_checked_on_both_sides(bybit: Bybit, age_ms: int, window: str, code: int) -> None:
    answer = await bybit.send("GET", PATH, headers=bybit.headers("", age_ms=age_ms, window=window))
    assert answer.code == code
    if code:
        assert f"recv_window[{window}]" in answer.body["retMsg"]


async def test_the_window_is_real_time_on_a_fast_clock(bybit: Bybit) -> None:
    bybit.clock.speed = 60.0
    answer = await bybit.send("GET", PATH, headers=bybit.headers("", age_ms=4000 * 60))
    assert answer.code == 0
    answer = await bybit.send("GET", PATH, headers=bybit.headers("", age_ms=5001 * 60))
    assert answer.code == 10002


async def test_the_default_window_applies_without_the_header(bybit: Bybit) -> None:
    stamp = str(bybit.now_ms - 4000)
    headers = {
        "X-BAPI-API-KEY": "key-main",
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-SIGN": sign("secret-main", f"{stamp}key-main"),
    }
    assert (await bybit.send("GET", PATH, headers=headers)).code == 0


async def test_the_raw_query_is_what_is_signed(bybit: Bybit) -> None:
    """Percent-encoded cursors are signed as they are sent."""
    query = "category=linear&symbol=BTCUSDT&cursor=a%3A1%2Cb%3A2"
    answer = await bybit.send("GET", f"/v5/order/history?{query}", headers=bybit.headers(query))
    assert (answer.code, answer.body["retMsg"]) == (10001, "Request parameter error: cursor invalid.")


async def test_the_raw_body_is_what_is_signed(bybit: Bybit) -> None:
    body = '{"category": "linear",   "symbol":"BTCUSDT", "buyLeverage":"3","sellLeverage":"3"}'
    answer = await bybit.send("POST", "/v5/position/set-leverage", headers=bybit.headers(body), body=body)
    assert answer.code == 0
    other = json.dumps(json.loads(body))
    answer = await bybit.send("POST", "/v5/position/set-leverage", headers=bybit.headers(other), body=body)
    assert answer.code == 10004


async def test_a_read_only_key_may_read_and_nothing_else(bybit: Bybit) -> None:
    assert (await bybit.get(PATH, account="reader")).code == 0
    info = (await bybit.get("/v5/user/query-api", account="reader")).result
    assert info["readOnly"] == 1
    answer = await bybit.order("Buy", "1", "900", account="reader")
    assert (answer.status, answer.code) == (200, 10005)


async def test_a_body_that_is_not_json_is_10001(bybit: Bybit) -> None:
    answer = await bybit.send("POST", "/v5/order/create", headers=bybit.headers("{"), body="{")
    assert (answer.status, answer.code) == (200, 10001)


async def test_an_unknown_path_is_404_with_10017(bybit: Bybit) -> None:
    answer = await bybit.send("GET", "/v5/nothing/here")
    assert (answer.status, answer.code) == (404, 10017)


async def test_too_many_requests_of_an_account_are_10006_with_the_time_of_the_reset(bybit: Bybit) -> None:
    codes = [(await bybit.get("/v5/user/query-api")).code for _ in range(30)]
    # Ten in each real second; thirty requests take less than three.
    assert codes[:10] == [0] * 10
    assert 10006 in codes
    for _ in range(20):
        answer = await bybit.get("/v5/user/query-api")
        if answer.code == 10006:
            break
    else:
        pytest.fail("the limit was never met")
    assert answer.status == 200
    assert answer.headers["X-Bapi-Limit"] == "10"
    assert answer.headers["X-Bapi-Limit-Status"] == "0"
    assert int(answer.headers["X-Bapi-Limit-Reset-Timestamp"]) >= bybit.now_ms
    # Another account has its own budget.
    assert (await bybit.get("/v5/user/query-api", account="other")).code == 0
