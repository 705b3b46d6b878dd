"""python-okx, OKX's own SDK, trades on the OKX localnet, with nothing changed but where it is.

Its websockets speak TLS only, so they go to a localnet with a certificate of its own, which ``SSL_CERT_FILE`` names.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from tests.clients.conftest import Running, serving
from tests.needs import need

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = [
    # the client's own deprecations and sockets warn, which is not ours to mend
    pytest.mark.filterwarnings("ignore"),
]

SWAP = "BTC-USDT-SWAP"
SECONDS = 15.0
"""Longest wait for a stream message."""
D = Decimal


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    need(importlib.util.find_spec("okx"), "OKX's official SDK", "pip install python-okx")


@pytest.fixture(scope="module")
def exchange(localnets: Running) -> Any:
    return localnets.exchange("okx")


@pytest.fixture(scope="module")
def secure() -> Iterator[Running]:
    """OKX alone, over TLS, for the websockets."""
    with serving(["okx"], tls=True) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(running.ready["ca"]))
        yield running


def keys(exchange: Any, number: int = 0) -> tuple[str, str, str]:
    """Key, secret and passphrase."""
    account = exchange["accounts"][number]
    return account["api_key"], account["api_secret"], account["credentials"]["passphrase"]


class Sdk:
    """The REST clients of one account; flag 0 is live trading."""

    def __init__(self, exchange: Any, number: int = 0, *, flag: str = "0") -> None:
        from okx import Account, MarketData, PublicData, Trade

        at = {"flag": flag, "domain": exchange["rest"], "debug": False}
        signed = keys(exchange, number)
        self.public: Any = PublicData.PublicAPI(**at)
        self.market: Any = MarketData.MarketAPI(**at)
        self.account: Any = Account.AccountAPI(*signed, **at)
        self.trade: Any = Trade.TradeAPI(*signed, **at)

    def close(self) -> None:
        for client in (self.public, self.market, self.account, self.trade):
            client.close()


@pytest.fixture(scope="module")
def sdk(exchange: Any) -> Iterator[Sdk]:
    with closing(Sdk(exchange)) as found:
        yield found


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    assert answer["code"] == "0", answer
    found: list[dict[str, Any]] = answer["data"]
    return found


def row(answer: dict[str, Any]) -> dict[str, Any]:
    (found,) = rows(answer)
    return found


def away(sdk: Sdk, factor: str) -> str:
    """A price that far from the best bid, on the tick."""
    bid = D(row(sdk.market.get_ticker(SWAP))["bidPx"])
    return str((bid * D(factor)).quantize(D("0.1")))


# -- reading -----------------------------------------------------------------------------------------------------


def test_instruments_and_rates(sdk: Sdk) -> None:
    instruments = {one["instId"]: one for one in rows(sdk.public.get_instruments("SWAP"))}
    assert {SWAP, "ETH-USDT-SWAP", "PEPE-USDT-SWAP"} <= set(instruments)
    assert (instruments[SWAP]["ctVal"], instruments[SWAP]["lotSz"]) == ("0.01", "0.01")
    assert rows(sdk.public.get_instruments("SPOT")) == []
    rates = {one["instId"]: one for one in rows(sdk.public.get_funding_rate("ANY"))}
    assert set(rates) == set(instruments)
    for rate in rates.values():
        assert D(rate["minFundingRate"]) <= D(rate["fundingRate"]) <= D(rate["maxFundingRate"])
        assert time.time() * 1000 - 1000 < int(rate["fundingTime"]) < int(rate["nextFundingTime"])
    assert row(sdk.public.get_funding_rate(SWAP))["instId"] == SWAP


def test_funding_history(sdk: Sdk) -> None:
    history = rows(sdk.public.funding_rate_history(SWAP, limit="5"))
    times = [int(one["fundingTime"]) for one in history]
    assert len(times) == 5
    assert all(later - earlier == 8 * 3_600_000 for later, earlier in pairwise(times))


def test_market_data(sdk: Sdk) -> None:
    book = row(sdk.market.get_orderbook(SWAP, sz="50"))
    bids, asks = [D(one[0]) for one in book["bids"]], [D(one[0]) for one in book["asks"]]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert len(rows(sdk.market.get_candlesticks(SWAP, bar="5m", limit="3"))) == 3
    assert rows(sdk.market.get_trades(SWAP, limit="5"))
    assert rows(sdk.market.get_tickers("SWAP"))
    assert rows(sdk.market.get_index_tickers(instId="BTC-USDT"))
    assert rows(sdk.public.get_mark_price("SWAP", instId=SWAP))
    assert rows(sdk.public.get_open_interest("SWAP", instId=SWAP))
    assert rows(sdk.public.get_price_limit(SWAP))
    assert rows(sdk.public.get_position_tiers("SWAP", "cross", instFamily="BTC-USDT"))
    assert int(row(sdk.public.get_system_time())["ts"]) == pytest.approx(time.time() * 1000, abs=5000)


def test_account(sdk: Sdk) -> None:
    (detail,) = row(sdk.account.get_account_balance())["details"]
    assert D(detail["cashBal"]) == D(100_000)
    config = row(sdk.account.get_account_config())
    assert (config["posMode"], config["perm"]) == ("net_mode", "read_only,trade")
    fees = row(sdk.account.get_fee_rates("SWAP", instFamily="BTC-USDT"))
    assert (fees["makerU"], fees["takerU"]) == ("-0.0002", "-0.0005")
    assert {one["instId"] for one in rows(sdk.account.get_instruments("SWAP"))} >= {SWAP}


# -- trading -----------------------------------------------------------------------------------------------------


def test_leverage_and_position_mode(sdk: Sdk) -> None:
    assert row(sdk.account.set_leverage(lever="7", mgnMode="cross", instId=SWAP))["lever"] == "7"
    assert row(sdk.account.get_leverage("cross", instId=SWAP))["lever"] == "7"
    assert row(sdk.account.set_position_mode("net_mode"))["posMode"] == "net_mode"


def test_a_limit_order_is_placed_found_amended_and_cancelled(sdk: Sdk) -> None:
    price = away(sdk, "0.995")
    order = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "post_only", "sz": "1"}
    placed = row(sdk.trade.place_order(**order, px=price, clOrdId="pyokx1"))
    found = row(sdk.trade.get_order(SWAP, clOrdId="pyokx1"))
    assert (found["ordId"], found["state"], found["ordType"]) == (placed["ordId"], "live", "post_only")
    again = sdk.trade.place_order(**order, px=price, clOrdId="pyokx1")
    assert (again["code"], again["data"][0]["sCode"]) == ("1", "51016")
    row(sdk.trade.amend_order(SWAP, ordId=placed["ordId"], newSz="2"))
    assert row(sdk.trade.get_order_list(instType="SWAP"))["sz"] == "2"
    assert row(sdk.trade.cancel_order(SWAP, clOrdId="pyokx1"))["ordId"] == placed["ordId"]
    assert rows(sdk.trade.get_order_list(instType="SWAP")) == []
    assert row(sdk.trade.get_order(SWAP, ordId=placed["ordId"]))["state"] == "canceled"
    assert sdk.trade.get_order(SWAP, clOrdId="never")["code"] == "51603"


def test_a_batch(sdk: Sdk) -> None:
    price = away(sdk, "0.995")
    order = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "1", "px": price}
    placed = rows(sdk.trade.place_multiple_orders([order, order]))
    ids = [{"instId": SWAP, "ordId": one["ordId"]} for one in placed]
    assert [one["sCode"] for one in rows(sdk.trade.cancel_multiple_orders(ids))] == ["0", "0"]


def test_a_market_order_its_position_fills_and_bills(sdk: Sdk) -> None:
    order = {"instId": SWAP, "tdMode": "cross", "ordType": "market"}
    placed = row(sdk.trade.place_order(**order, side="buy", sz="5"))
    position = row(sdk.account.get_positions(instType="SWAP"))
    assert (position["instId"], position["pos"], position["mgnMode"]) == (SWAP, "5", "cross")
    fills = rows(sdk.trade.get_fills(ordId=placed["ordId"]))
    assert sum(D(fill["fillSz"]) for fill in fills) == 5
    bills = [one for one in rows(sdk.account.get_account_bills(type="2")) if one["ordId"] == placed["ordId"]]
    assert sum(D(fill["fee"]) for fill in fills) == sum(D(one["fee"]) for one in bills) < 0
    (detail,) = row(sdk.account.get_account_balance())["details"]
    assert D(detail["cashBal"]) == D(rows(sdk.account.get_account_bills())[0]["bal"])
    row(sdk.trade.place_order(**order, side="sell", sz="2", reduceOnly="true"))
    assert row(sdk.account.get_positions())["pos"] == "3"
    row(sdk.trade.close_positions(SWAP, "cross"))
    assert rows(sdk.account.get_positions()) == []
    assert rows(sdk.account.get_positions_history("SWAP"))[0]["closeTotalPos"] == "5"


def test_refusals_carry_okxs_codes(sdk: Sdk, exchange: Any) -> None:
    order = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "market"}
    for more, code in (
        ({"sz": "12000"}, "51008"),
        ({"sz": "0.015"}, "51121"),
        ({"sz": "1", "reduceOnly": "true"}, "51169"),
        ({"sz": "1", "posSide": "long"}, "51000"),
    ):
        answer = sdk.trade.place_order(**(order | more))
        assert (answer["code"], answer["data"][0]["sCode"]) == ("1", code)
    # the SDK trades on the demo environment unless told otherwise
    with closing(Sdk(exchange, flag="1")) as demo:
        assert demo.account.get_account_config()["code"] == "50101"


def test_an_outcome_that_is_not_known(sdk: Sdk, localnets: Running) -> None:
    fault = Fault(FaultKind.UNKNOWN_ERROR, exchange="okx", operation="order.place", count=1)
    localnets.inside(lambda net: net.inject(fault))
    order = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "1"}
    answer = sdk.trade.place_order(**order, px=away(sdk, "0.995"), clOrdId="maybe")
    assert (answer["code"], answer["data"][0]["sCode"]) == ("1", "51149")
    assert row(sdk.trade.get_order(SWAP, clOrdId="maybe"))["state"] == "live"
    row(sdk.trade.cancel_order(SWAP, clOrdId="maybe"))


# -- websockets --------------------------------------------------------------------------------------------------


async def until(found: Callable[[], Any]) -> Any:
    """Wait for a stream to bring what a test waits for."""
    deadline = time.monotonic() + SECONDS
    while not (result := found()):
        assert time.monotonic() < deadline, "the stream did not bring it"
        await asyncio.sleep(0.02)
    return result


class Heard:
    """What a websocket client calls back with."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def __call__(self, text: str) -> None:
        self.messages.append(json.loads(text))

    def of(self, channel: str) -> list[dict[str, Any]]:
        return [
            one
            for message in self.messages
            if message.get("arg", {}).get("channel") == channel
            for one in message.get("data", ())
        ]

    def reply(self, request: str) -> dict[str, Any] | None:
        return next((one for one in self.messages if one.get("id") == request), None)


def test_public_channels(secure: Running) -> None:
    from okx.websocket.WsPublicAsync import WsPublicAsync

    async def run() -> None:
        client, heard = WsPublicAsync(secure.exchange("okx")["endpoints"]["public"]), Heard()
        task = await client.start()
        channels = ("funding-rate", "mark-price", "tickers", "books", "bbo-tbt")
        await client.subscribe([{"channel": one, "instId": SWAP} for one in channels], heard)
        await until(lambda: all(heard.of(channel) for channel in channels))
        rate = heard.of("funding-rate")[0]
        assert int(rate["nextFundingTime"]) - int(rate["fundingTime"]) == 8 * 3_600_000
        assert not [one for one in heard.messages if one.get("event") == "error"]
        await until(lambda: len(heard.of("books")) > 3)
        await client.stop()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_private_channels_and_orders(secure: Running) -> None:
    from okx.websocket.WsPrivateAsync import WsPrivateAsync

    async def run() -> None:
        exchange = secure.exchange("okx")
        key, secret, passphrase = keys(exchange)
        client = WsPrivateAsync(key, passphrase, secret, exchange["endpoints"]["private"])
        heard = Heard()
        task = await client.start()
        kinds = [{"channel": one, "instType": "SWAP"} for one in ("orders", "positions")]
        await client.subscribe([*kinds, {"channel": "account"}], heard)
        await until(lambda: heard.of("account"))
        order = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "2"}
        await client.place_order([order | {"clOrdId": "wsone"}], id="1")
        reply = await until(lambda: heard.reply("1"))
        assert (reply["code"], reply["data"][0]["clOrdId"]) == ("0", "wsone")
        await until(lambda: [one for one in heard.of("orders") if one["state"] == "filled"])
        await until(lambda: [one for one in heard.of("positions") if one["pos"] == "2"])
        limit = order | {"ordType": "limit", "px": "1000", "clOrdId": "wstwo"}
        await client.place_order([limit], id="2")
        await until(lambda: heard.reply("2"))
        await client.cancel_order([{"instId": SWAP, "clOrdId": "wstwo"}], id="3")
        assert (await until(lambda: heard.reply("3")))["code"] == "0"
        await until(lambda: [one for one in heard.of("orders") if one["state"] == "canceled"])
        await client.stop()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


# -- funding -----------------------------------------------------------------------------------------------------


def test_funding_becomes_a_bill(sdk: Sdk, localnets: Running) -> None:
    """At the end: the truth runs ahead of the clock after it."""
    order = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "10"}
    row(sdk.trade.place_order(**order))
    localnets.settle("okx", SWAP)
    bill = row(sdk.account.get_account_bills(type="8"))
    (payment,) = localnets.inside(lambda net: net.truth("okx").funding_payments("okx"))
    assert D(bill["balChg"]) == payment.amount
    assert (bill["instId"], bill["sz"]) == (SWAP, "10")
