"""ccxt and ccxt.pro, unchanged, on the offline OKX: only scheme and host of their addresses differ.

ccxt signs with the wall clock, so these run on real time at speed 1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import anyio
import pytest

from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb_okx.localnet.dialect import OkxDialect

ccxt = pytest.importorskip("ccxt.pro", reason="needs ccxt; install it with: pip install ./fundingarb-core")

pytestmark = pytest.mark.anyio

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
async def localnet() -> AsyncIterator[Localnet]:
    async with run_localnets({"okx": OkxDialect}, Options(seed=3)) as net:
        yield net
        assert net.problems == []


def moved(address: Any, rest: str, ws: str) -> Any:
    """The address (or the table of them) on the localnet, paths kept."""
    if isinstance(address, dict):
        return {key: moved(value, rest, ws) for key, value in address.items()}
    if address.startswith("ws"):
        return f"{ws}/{address.split('/', 3)[3]}"
    return rest


def client(localnet: Localnet, number: int = 0) -> Any:
    ready = localnet.ready["exchanges"]["okx"]
    account = ready["accounts"][number]
    exchange = ccxt.okx(
        {
            "apiKey": account["api_key"],
            "secret": account["api_secret"],
            "password": account["credentials"]["passphrase"],
            "enableRateLimit": False,
        }
    )
    exchange.urls["api"] = moved(exchange.urls["api"], ready["rest"], ready["ws"])
    return exchange


@pytest.fixture(scope="module")
async def ex(localnet: Localnet) -> AsyncIterator[Any]:
    exchange = client(localnet)
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


async def test_markets(ex: Any) -> None:
    market = ex.market(SYMBOL)
    assert (market["linear"], market["swap"], market["contractSize"]) == (True, True, 0.01)
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.01, 0.1)
    assert market["limits"]["amount"]["min"] == 0.01
    assert market["limits"]["leverage"]["max"] == 100.0
    assert market["instIdCode"] == int(market["info"]["instIdCode"])
    pepe = ex.market("PEPE/USDT:USDT")
    assert (pepe["id"], pepe["contractSize"], pepe["precision"]["price"]) == (
        "PEPE-USDT-SWAP",
        10_000_000.0,
        1e-09,
    )
    assert "USDT" in ex.currencies


async def test_market_data(ex: Any) -> None:
    rate = await ex.fetch_funding_rate(SYMBOL)
    assert rate["interval"] == "8h"
    assert rate["fundingTimestamp"] > time.time() * 1000
    assert rate["nextFundingTimestamp"] - rate["fundingTimestamp"] == 28_800_000
    rates = await ex.fetch_funding_rates()
    assert set(rates) == set(ex.symbols)
    history = await ex.fetch_funding_rate_history(SYMBOL, limit=4)
    times = [row["timestamp"] for row in history]
    assert [later - earlier for earlier, later in pairwise(times)] == [28_800_000] * 3
    book = await ex.fetch_order_book(SYMBOL, 10)
    assert len(book["bids"]) == len(book["asks"]) == 10
    assert book["bids"][0][0] < book["asks"][0][0]
    ticker = await ex.fetch_ticker(SYMBOL)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    assert set(await ex.fetch_tickers(params={"instType": "SWAP"})) == set(ex.symbols)
    assert len(await ex.fetch_ohlcv(SYMBOL, "1m", limit=5)) == 5
    assert await ex.fetch_trades(SYMBOL, limit=5)
    assert (await ex.fetch_open_interest(SYMBOL))["openInterestAmount"] > 0
    tiers = await ex.fetch_market_leverage_tiers(SYMBOL)
    assert [tier["maxLeverage"] for tier in tiers] == [100.0, 50.0, 25.0, 10.0]
    assert (await ex.fetch_mark_price(SYMBOL, {"instType": "SWAP"}))["markPrice"] > 0
    assert (await ex.fetch_status())["status"] == "ok"
    assert abs(await ex.fetch_time() - time.time() * 1000) < 5000


async def test_account_and_settings(ex: Any, localnet: Localnet) -> None:
    balance = await ex.fetch_balance()
    assert balance["USDT"]["total"] == float(localnet.truth("okx").state("okx").wallet)
    assert (await ex.fetch_trading_fee(SYMBOL))["taker"] == 0.0005
    await ex.set_leverage(4, SYMBOL, {"mgnMode": "cross"})
    await ex.set_leverage(4, SYMBOL, {"mgnMode": "cross"})
    assert (await ex.fetch_leverage(SYMBOL, {"marginMode": "cross"}))["longLeverage"] == 4.0
    assert (await ex.set_position_mode(False))["data"] == [{"posMode": "net_mode"}]
    config = await ex.fetch_accounts()
    assert config[0]["id"] == config[0]["info"]["uid"]
    with pytest.raises(ccxt.ExchangeError, match="59102"):
        await ex.set_leverage(101, SYMBOL, {"mgnMode": "cross"})


async def test_a_limit_order(ex: Any) -> None:
    bid = (await ex.fetch_ticker(SYMBOL))["bid"]
    params = {"clOrdId": "ccxt1", "postOnly": True}
    placed = await ex.create_order(SYMBOL, "limit", "buy", 1, bid * 0.995, params)
    found = await ex.fetch_order(None, SYMBOL, {"clOrdId": "ccxt1"})
    assert (found["id"], found["status"], found["amount"], found["postOnly"], found["remaining"]) == (
        placed["id"],
        "open",
        1.0,
        True,
        1.0,
    )
    with pytest.raises(ccxt.InvalidOrder, match="51016"):
        await ex.create_order(SYMBOL, "limit", "buy", 1, bid * 0.995, params)
    assert [order["id"] for order in await ex.fetch_open_orders(SYMBOL)] == [placed["id"]]
    await ex.edit_order(placed["id"], SYMBOL, "limit", "buy", 2, bid * 0.995)
    await ex.cancel_order(placed["id"], SYMBOL)
    ended = await ex.fetch_order(placed["id"], SYMBOL)
    assert (ended["status"], ended["amount"]) == ("canceled", 2.0)
    with pytest.raises(ccxt.OrderNotFound, match="51400"):
        await ex.cancel_order(placed["id"], SYMBOL)
    with pytest.raises(ccxt.OrderNotFound, match="51603"):
        await ex.fetch_order("1", SYMBOL)


async def test_a_market_order_and_its_close(ex: Any) -> None:
    placed = await ex.create_order(SYMBOL, "market", "buy", 3)
    (position,) = await ex.fetch_positions([SYMBOL])
    assert (position["side"], position["contracts"]) == ("long", 3.0)
    fills = [fill for fill in await ex.fetch_my_trades(SYMBOL) if fill["order"] == placed["id"]]
    assert sum(fill["amount"] for fill in fills) == pytest.approx(3)
    assert all(fill["fee"]["cost"] > 0 and fill["takerOrMaker"] == "taker" for fill in fills)
    assert sum(fill["cost"] for fill in fills) == pytest.approx(
        sum(fill["amount"] * fill["price"] * 0.01 for fill in fills)
    )
    await ex.create_order(SYMBOL, "market", "sell", 1, params={"reduceOnly": True})
    assert (await ex.fetch_position(SYMBOL))["contracts"] == 2.0
    # ccxt asks for spot bills unless it is told otherwise
    ledger = await ex.fetch_ledger("USDT", params={"instType": "SWAP"})
    (detail,) = (await ex.fetch_balance())["info"]["data"][0]["details"]
    assert ledger[-1]["after"] == float(detail["cashBal"])
    bill = ledger[-1]["info"]
    assert float(bill["balChg"]) == pytest.approx(float(bill["pnl"]) + float(bill["fee"]))


async def test_refusals_become_ccxts_errors(ex: Any) -> None:
    bid = (await ex.fetch_ticker(SYMBOL))["bid"]
    with pytest.raises(ccxt.InsufficientFunds, match="51008"):
        await ex.create_order(SYMBOL, "market", "buy", 10_000)
    with pytest.raises(ccxt.ExchangeError, match="51170"):
        await ex.create_order(SYMBOL, "market", "buy", 1, params={"reduceOnly": True})
    with pytest.raises(ccxt.ExchangeError, match="51169"):
        await ex.create_order("ETH/USDT:USDT", "market", "buy", 1, params={"reduceOnly": True})
    with pytest.raises(ccxt.InvalidOrder, match="51137"):
        await ex.create_order(SYMBOL, "limit", "buy", 1, bid * 1.5)


async def test_a_clock_that_is_wrong_is_told(ex: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ex, "nonce", lambda: round(time.time() * 1000) - 60_000)
    with pytest.raises(ccxt.InvalidNonce):
        await ex.fetch_balance()


async def test_streams_and_orders_over_the_websocket(ex: Any, localnet: Localnet) -> None:
    watched = {
        name: asyncio.ensure_future(getattr(ex, f"watch_{name}")(*args))
        for name, args in (
            ("ticker", (SYMBOL,)),
            ("mark_price", (SYMBOL,)),
            ("order_book", (SYMBOL,)),
            ("bids_asks", ([SYMBOL],)),
            ("trades", (SYMBOL,)),
            ("ohlcv", (SYMBOL, "1m")),
            ("funding_rate", (SYMBOL,)),
            ("orders", ()),
            ("my_trades", ()),
            ("balance", ()),
            ("positions", ([SYMBOL],)),
        )
    }
    try:
        ticker = await asyncio.wait_for(watched["ticker"], 10)
        assert ticker["bid"] < ticker["ask"]
        assert (await asyncio.wait_for(watched["mark_price"], 10))["markPrice"] > 0
        rate = await asyncio.wait_for(watched["funding_rate"], 10)
        assert rate["interval"] == "8h"
        book = await asyncio.wait_for(watched["order_book"], 10)
        assert book["bids"][0][0] < book["asks"][0][0]
        await asyncio.wait_for(watched["bids_asks"], 10)
        assert (await asyncio.wait_for(watched["ohlcv"], 10))[-1][4] > 0
        assert (await asyncio.wait_for(watched["balance"], 10))["USDT"]["total"] > 0
        hub = localnet.venues["okx"].hub
        with anyio.fail_after(30):
            while not all(hub.topics(f"{topic}:okx") for topic in ("orders", "account", "positions")):
                await ex.sleep(20)
        placed = await ex.create_order_ws(SYMBOL, "market", "buy", 1)
        orders = await asyncio.wait_for(watched["orders"], 10)
        assert placed["id"] in {order["id"] for order in orders}
        fills = await asyncio.wait_for(watched["my_trades"], 10)
        assert fills[-1]["order"] == placed["id"]
        positions = await asyncio.wait_for(watched["positions"], 10)
        assert positions[-1]["contracts"] > 0
        await asyncio.wait_for(watched["trades"], 10)
        for _ in range(5):
            await asyncio.wait_for(ex.watch_order_book(SYMBOL), 10)
    finally:
        for task in watched.values():
            task.cancel()


async def test_funding_paid_or_received(ex: Any, localnet: Localnet) -> None:
    """At the end: the truth runs ahead of the clock after it."""
    await ex.create_order(SYMBOL, "market", "buy", 1)
    truth = localnet.truth("okx")
    truth.advance(truth.funding("BTC-USDT-SWAP").next_ms / 1000 + 5)
    (payment,) = await ex.fetch_funding_history(SYMBOL)
    (settled,) = truth.funding_payments("okx")
    assert payment["amount"] == float(settled.amount)
    assert payment["timestamp"] == settled.time_ms
    assert payment["info"]["type"] == "8"
