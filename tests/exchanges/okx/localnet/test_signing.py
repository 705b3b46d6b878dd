"""Who may ask: signatures, timestamps, passphrases, environments, permissions, limits."""

from __future__ import annotations

from typing import Any

import pytest
from tests.exchanges.okx.localnet.venue import Okx, serve

from fundingarb.localnet.limits import RateLimiter
from fundingarb.localnet.venue import Venue
from fundingarb_okx.localnet.auth import signature
from fundingarb_okx.localnet.desk import LIMITS

pytestmark = pytest.mark.anyio

CONFIG = "/api/v5/account/config"


def test_the_documented_form_of_a_signature() -> None:
    """HMAC-SHA256, base64, over timestamp + method + path + body; the value was computed with openssl."""
    message = "2020-12-08T09:08:57.715ZGET/api/v5/account/balance?ccy=BTC"
    assert (
        signature("22582BD0CFF14C41EDBF1AB98506286D", message)
        == "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY="
    )


async def test_a_signed_request_is_answered(okx: Okx) -> None:
    row = (await okx.get("/account/config")).row
    assert (row["posMode"], row["acctLv"], row["perm"], row["ip"]) == (
        "net_mode",
        "2",
        "read_only,trade",
        "127.0.0.1",
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"OK-ACCESS-KEY": ""}, "50103"),
        ({"OK-ACCESS-PASSPHRASE": ""}, "50104"),
        ({"OK-ACCESS-SIGN": ""}, "50106"),
        ({"OK-ACCESS-TIMESTAMP": ""}, "50107"),
        ({"OK-ACCESS-KEY": "nobody"}, "50111"),
        ({"OK-ACCESS-PASSPHRASE": "wrong"}, "50105"),
        ({"OK-ACCESS-TIMESTAMP": "yesterday"}, "50112"),
        ({"OK-ACCESS-SIGN": "bm8="}, "50113"),
        ({"OK-ACCESS-SIGN": "ünsigned"}, "50113"),
    ],
)
async def test_headers_that_do_not_fit(okx: Okx, change: dict[str, str], code: str) -> None:
    headers = {**okx.headers("GET", CONFIG), **change}
    answer = await okx.send("GET", CONFIG, headers=headers)
    assert (answer.status, answer.code, answer.body["data"]) == (401, code, [])


@pytest.mark.parametrize("age_ms", [30_500, -30_500])
async def test_a_timestamp_has_thirty_seconds(okx: Okx, age_ms: int) -> None:
    answer = await okx.send("GET", CONFIG, headers=okx.headers("GET", CONFIG, age_ms=age_ms))
    assert (answer.status, answer.code) == (401, "50102")
    for fine in (29_000, -29_000):
        answer = await okx.send("GET", CONFIG, headers=okx.headers("GET", CONFIG, age_ms=fine))
        assert answer.code == "0"


async def test_query_and_body_are_signed(okx: Okx) -> None:
    path = "/api/v5/trade/orders-pending?instType=SWAP"
    answer = await okx.send("GET", path + "&limit=1", headers=okx.headers("GET", path))
    assert answer.code == "50113"
    body = '{"instId":"BTC-USDT-SWAP"}'
    headers = okx.headers("POST", "/api/v5/trade/order", body)
    answer = await okx.send("POST", "/api/v5/trade/order", headers=headers, body=body + " ")
    assert answer.code == "50113"


async def test_keys_belong_to_an_environment() -> None:
    demo = {"x-simulated-trading": "1"}
    async with serve() as okx:
        answer = await okx.send("GET", CONFIG, headers=okx.headers("GET", CONFIG) | demo)
        assert (answer.status, answer.code) == (401, "50101")
        socket = await okx.connect("/ws/v5/private?brokerId=9999")
        reply = await socket.ask(op="login", args=[okx.login_args()])
        assert (reply["event"], reply["code"]) == ("error", "50101")
    async with serve(simulated=True) as okx:
        assert (await okx.get("/account/config")).code == "50101"
        answer = await okx.send("GET", CONFIG, headers=okx.headers("GET", CONFIG) | demo)
        assert answer.code == "0"
        socket = await okx.connect("/ws/v5/private", headers=demo)
        assert (await socket.ask(op="login", args=[okx.login_args()]))["event"] == "login"


async def test_a_key_that_may_only_read(okx: Okx) -> None:
    assert (await okx.get("/account/config", account="reader")).row["perm"] == "read_only"
    answer = await okx.order("buy", "1", account="reader")
    assert (answer.status, answer.code) == (200, "50120")
    assert okx.truth.orders("reader") == []


async def test_an_account_in_spot_mode_takes_no_swaps(okx: Okx) -> None:
    assert (await okx.order("buy", "1", account="spot")).failed[0] == "51010"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"apiKey": "nobody"}, "60005"),
        ({"passphrase": "wrong"}, "60024"),
        ({"sign": "bm8="}, "60007"),
        ({"timestamp": "now"}, "60004"),
        ({"timestamp": "nan"}, "60006"),
        ({"timestamp": "1"}, "60006"),
    ],
)
async def test_logins_that_fail_end_the_connection(okx: Okx, change: dict[str, str], code: str) -> None:
    socket = await okx.connect("/ws/v5/private")
    reply = await socket.ask(op="login", args=[okx.login_args() | change])
    assert (reply["event"], reply["code"]) == ("error", code)
    await socket.raw.receive(timeout=5)
    assert socket.raw.closed


async def test_private_channels_and_orders_need_a_login(okx: Okx) -> None:
    socket = await okx.connect("/ws/v5/private")
    reply = await socket.ask(op="subscribe", args=[{"channel": "orders", "instType": "SWAP"}])
    assert (reply["event"], reply["code"]) == ("error", "60011")
    reply = await socket.ask(id="1", op="order", args=[okx.request("buy", "1")])
    assert (reply["event"], reply["code"]) == ("error", "60011")
    assert okx.truth.orders("main") == []


async def test_too_many_requests(okx: Okx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Venue, "real", lambda self: 1000.0)
    answers = [await okx.get("/account/positions") for _ in range(11)]
    assert [answer.code for answer in answers] == ["0"] * 10 + ["50011"]
    assert answers[-1].status == 429
    assert (await okx.get("/account/positions", account="other")).code == "0"
    assert (await okx.get("/account/balance")).code == "0"


async def test_orders_are_counted_by_contract_and_batches_by_order(
    okx: Okx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Venue, "real", lambda self: 1000.0)
    body = okx.request("buy", "1", "2000")
    for _ in range(60):
        assert (await okx.post("/trade/order", body)).failed[0] == "51137"
    assert (await okx.post("/trade/order", body)).code == "50011"
    assert (await okx.post("/trade/order", body | {"instId": "PEPE-USDT-SWAP"})).failed[0] == "51137"
    for _ in range(15):
        assert (await okx.post("/trade/batch-orders", [body] * 20)).code == "1"
    assert (await okx.post("/trade/batch-orders", [body])).code == "50011"


def test_every_limit_is_declared_once() -> None:
    names: list[Any] = [rule.name for rule in RateLimiter(LIMITS).rules]
    assert len(names) == len(set(names))
