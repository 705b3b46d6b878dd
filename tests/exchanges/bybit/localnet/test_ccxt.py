"""ccxt and ccxt.pro, unchanged, on the offline Bybit: only scheme and host of their addresses differ.

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
from fundingarb_bybit.localnet.dialect import BybitDialect

ccxt = pytest.importorskip("ccxt.pro", reason="needs ccxt; install it with: pip install ./fundingarb-core")

pytestmark = pytest.mark.anyio

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
async def localnet() -> AsyncIterator[Localnet]:
    async with run_localnets({"bybit": BybitDialect}, Options(seed=3)) as net:
        yield net
        assert net.problems == []


def moved(address: Any, rest: str, ws: str) -> Any:
    """The address (or the table of them) on the localnet, paths kept."""
    if isinstance(address, dict):
        return {key: moved(value, rest, ws) for key, value in address.items()}
    if address.startswith("ws"):
        return f"{ws}/{address.split('/', 3)[3]}"
    return rest


@pytest.fixture(scope="module")
async def ex(localnet: Localnet) -> AsyncIterator[Any]:
    ready = localnet.ready["exchanges"]["bybit"]
    account = ready["accounts"][0]
    exchange = ccxt.bybit(
        {"apiKey": account["api_key"], "secret": account["api_secret"], "enableRateLimit": False}
    )
    exchange.urls["api"] = moved(exchange.urls["api"], ready["rest"], ready["ws"])
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


async def test_markets(ex: Any) -> None:
    market = ex.market(SYMBOL)
    assert (market["linear"], market["swap"], market["contractSize"]) == (True, True, 1.0)
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.001, 0.1)
    assert market["limits"]["amount"]["min"] == 0.001
    assert market["limits"]["leverage"]["max"] == 100.0
    pepe = ex.market("1000PEPE/USDT:USDT")
    assert (pepe["id"], pepe["precision"]["amount"], pepe["precision"]["price"]) == (
        "1000PEPEUSDT",
        100.0,
        1e-07,
    )
    assert "USDT" in ex.currencies


async def test_market_data(ex: Any) -> None:
    rate = await ex.fetch_funding_rate(SYMBOL)
    assert rate["interval"] == "8h"
    assert rate["fundingTimestamp"] > time.time() * 1000
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
    assert len(await ex.fetch_ohlcv(SYMBOL, "1m", limit=5)) == 5
    assert await ex.fetch_trades(SYMBOL, limit=5)
    assert (await ex.fetch_open_interest(SYMBOL))["openInterestAmount"] > 0
    tiers = await ex.fetch_market_leverage_tiers(SYMBOL)
    assert [tier["maxLeverage"] for tier in tiers] == [100.0, 50.0, 25.0, 10.0, 5.0]
    assert abs(await ex.fetch_time() - time.time() * 1000) < 5000


async def test_account_and_settings(ex: Any, localnet: Localnet) -> None:
    balance = await ex.fetch_balance()
    assert balance["info"]["result"]["list"][0]["coin"][0]["walletBalance"] == str(
        localnet.truth("bybit").state("bybit").wallet
    )
    assert (await ex.fetch_trading_fee(SYMBOL))["taker"] == 0.00055
    assert (await ex.fetch_trading_fees())[SYMBOL]["maker"] == 0.0002
    await ex.set_leverage(4, SYMBOL)
    with pytest.raises(ccxt.BadRequest, match="110043"):
        await ex.set_leverage(4, SYMBOL)
    with pytest.raises(ccxt.MarginModeAlreadySet):
        await ex.set_margin_mode("cross", SYMBOL)
    with pytest.raises(ccxt.NoChange):
        await ex.set_position_mode(False, SYMBOL)
    assert (await ex.fetch_margin_mode(SYMBOL))["marginMode"] == "cross"
    assert (await ex.fetch_leverage(SYMBOL))["longLeverage"] == 4.0


async def test_a_limit_order(ex: Any) -> None:
    bid = (await ex.fetch_ticker(SYMBOL))["bid"]
    params = {"orderLinkId": "ccxt-1", "postOnly": True}
    placed = await ex.create_order(SYMBOL, "limit", "buy", 0.01, bid * 0.995, params)
    (found,) = await ex.fetch_open_orders(SYMBOL, params={"orderLinkId": "ccxt-1"})
    assert (found["id"], found["status"], found["amount"], found["postOnly"], found["remaining"]) == (
        placed["id"],
        "open",
        0.01,
        True,
        0.01,
    )
    await ex.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.02, bid * 0.995)
    await ex.cancel_order(placed["id"], SYMBOL)
    (ended,) = await ex.fetch_canceled_and_closed_orders(SYMBOL, params={"orderLinkId": "ccxt-1"})
    assert (ended["status"], ended["amount"]) == ("canceled", 0.02)
    with pytest.raises(ccxt.OrderNotFound):
        await ex.cancel_order(placed["id"], SYMBOL)


async def test_a_market_order_and_its_close(ex: Any) -> None:
    placed = await ex.create_order(SYMBOL, "market", "buy", 0.03)
    (position,) = await ex.fetch_positions([SYMBOL])
    assert (position["side"], position["contracts"]) == ("long", 0.03)
    fills = [fill for fill in await ex.fetch_my_trades(SYMBOL) if fill["order"] == placed["id"]]
    assert sum(fill["amount"] for fill in fills) == pytest.approx(0.03)
    assert all(fill["fee"]["rate"] == 0.00055 and fill["takerOrMaker"] == "taker" for fill in fills)
    await ex.create_order(SYMBOL, "market", "sell", 0.01, params={"reduceOnly": True})
    assert (await ex.fetch_position(SYMBOL))["contracts"] == 0.02
    closed = await ex.fetch_positions_history([SYMBOL])
    assert closed[0]["contracts"] == 0.01
    ledger = await ex.fetch_ledger("USDT")
    coin = (await ex.fetch_balance())["info"]["result"]["list"][0]["coin"][0]
    assert ledger[-1]["after"] == float(coin["walletBalance"])


async def test_refusals_become_ccxts_errors(ex: Any) -> None:
    bid = (await ex.fetch_ticker(SYMBOL))["bid"]
    with pytest.raises(ccxt.InsufficientFunds, match="110007"):
        await ex.create_order(SYMBOL, "market", "buy", 100)
    with pytest.raises(ccxt.InvalidOrder, match="110017"):
        await ex.create_order(SYMBOL, "market", "buy", 0.01, params={"reduceOnly": True})
    with pytest.raises(ccxt.InvalidOrder, match="110003"):
        await ex.create_order(SYMBOL, "limit", "buy", 0.01, bid * 1.5)
    with pytest.raises(ccxt.InvalidOrder, match="110094"):
        await ex.create_order("1000PEPE/USDT:USDT", "market", "buy", 100)


async def test_a_clock_that_is_wrong_is_told(ex: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ex, "nonce", lambda: round(time.time() * 1000) - 6000)
    with pytest.raises(ccxt.InvalidNonce):
        await ex.fetch_balance({"type": "swap"})


async def test_streams_and_orders_over_the_websocket(ex: Any, localnet: Localnet) -> None:
    # The first call answers with what REST says and subscribes to nothing.
    snapshot = await ex.watch_positions([SYMBOL])
    held = sum(position["contracts"] for position in snapshot)
    assert held == (await ex.fetch_position(SYMBOL))["contracts"]
    watched = {
        name: asyncio.ensure_future(getattr(ex, f"watch_{name}")(*args))
        for name, args in (
            ("ticker", (SYMBOL,)),
            ("order_book", (SYMBOL,)),
            ("trades", (SYMBOL,)),
            ("orders", ()),
            ("my_trades", ()),
            ("balance", ()),
            ("positions", ([SYMBOL],)),
        )
    }
    await asyncio.wait_for(watched["ticker"], 10)
    await asyncio.wait_for(watched["order_book"], 10)
    assert float(ex.tickers[SYMBOL]["info"]["fundingRate"]) != 0
    book = ex.orderbooks[SYMBOL]
    assert book["bids"][0][0] < book["asks"][0][0]
    hub = localnet.venues["bybit"].hub
    with anyio.fail_after(30):
        while not all(hub.wanted(f"{topic}@bybit") for topic in ("order", "execution", "wallet", "position")):
            await ex.sleep(20)
    placed = await ex.create_order_ws(SYMBOL, "market", "buy", 0.01)
    orders = await asyncio.wait_for(watched["orders"], 10)
    assert placed["id"] in {order["id"] for order in orders}
    fills = await asyncio.wait_for(watched["my_trades"], 10)
    assert fills[-1]["order"] == placed["id"]
    balance = await asyncio.wait_for(watched["balance"], 10)
    assert balance["USDT"]["total"] > 0
    positions = await asyncio.wait_for(watched["positions"], 10)
    assert positions[-1]["contracts"] == pytest.approx(held + 0.01)
    await asyncio.wait_for(watched["trades"], 10)


async def test_funding_paid_or_received(ex: Any, localnet: Localnet) -> None:
    """At the end: the truth runs ahead of the clock after it."""
    await ex.create_order(SYMBOL, "market", "buy", 0.01)
    truth = localnet.truth("bybit")
    truth.advance(truth.funding("BTCUSDT").next_ms / 1000 + 5)
    (payment,) = await ex.fetch_funding_history(SYMBOL)
    (settled,) = truth.funding_payments("bybit")
    assert payment["amount"] == float(-settled.amount)
    assert payment["timestamp"] == settled.settlement_ms
    assert payment["rate"] == float(settled.rate)
    ledger = await ex.fetch_ledger("USDT", params={"type": "SETTLEMENT"})
    assert float(ledger[-1]["info"]["funding"]) == float(settled.amount)
