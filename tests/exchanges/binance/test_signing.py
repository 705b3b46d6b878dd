"""New orders are signed as ccxt signs them, and only where it is the same thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import ccxt.async_support as ccxt  # type: ignore[import-untyped]
import pytest

from fundingarb_binance.signing import ENDPOINT, order_signer

LIMIT = {
    "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.001", "newClientOrderId": "fabenc0L01",
    "newOrderRespType": "RESULT", "price": "50000.1", "timeInForce": "IOC",
}  # fmt: skip
ORDERS: list[Mapping[str, Any]] = [
    LIMIT,
    {**LIMIT, "side": "SELL", "reduceOnly": "true"},
    {key: value for key, value in LIMIT.items() if key not in ("price", "timeInForce")} | {"type": "MARKET"},
    {**LIMIT, "symbol": "币安人生USDT", "newClientOrderId": "a b/c:d&e=f+g.h_i-j~k"},
    *({**LIMIT, "newClientOrderId": f"a{character}b"} for character in "/:&=+%.~_-\n ٣é"),
]


def exchange(**more: Any) -> Any:
    made = ccxt.binanceusdm({
        "apiKey": "k" * 64, "secret": "s" * 64, "options": {"recvWindow": 3000, "timeDifference": 0}, **more,
    })  # fmt: skip
    made.milliseconds = lambda: 1_700_000_000_123
    return made


@pytest.mark.parametrize("params", ORDERS)
def test_the_request_is_ccxts_with_the_parameters_in_the_query(params: Mapping[str, Any]) -> None:
    theirs = exchange()
    sign = order_signer(theirs)
    assert sign is not None
    ours = sign(params)
    expected = theirs.sign("order", ["fapiPrivate", "trade"], "POST", dict(params))
    assert ENDPOINT == "fapiPrivatePostOrder"
    assert ours["method"] == expected["method"] == "POST"
    assert ours["url"] == f"{expected['url']}?{expected['body']}"
    assert ours["body"] is None
    assert ours["headers"]["X-MBX-APIKEY"] == expected["headers"]["X-MBX-APIKEY"]
    assert dict(parse_qsl(urlsplit(ours["url"]).query)).keys() >= {
        "timestamp",
        "recvWindow",
        "signature",
        *params,
    }


def test_every_order_is_signed_for_its_own_moment() -> None:
    theirs = exchange()
    sign = order_signer(theirs)
    assert sign is not None
    first = sign(LIMIT)
    assert sign(LIMIT) == first
    theirs.milliseconds = lambda: 1_700_000_000_124
    later = sign(LIMIT)
    assert "timestamp=1700000000124" in later["url"]
    assert later["url"].rpartition("=")[2] != first["url"].rpartition("=")[2]


@pytest.mark.parametrize(
    "more",
    [
        {"apiKey": ""},
        {"secret": ""},
        {"secret": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----"},
    ],
)
def test_ccxt_signs_what_is_not_an_hmac_key(more: dict[str, Any]) -> None:
    assert order_signer(exchange(**more)) is None
