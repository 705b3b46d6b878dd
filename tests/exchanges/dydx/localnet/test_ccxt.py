"""ccxt and ccxt.pro on the offline dYdX: only addresses and the chain's name differ, and what ccxt needs mending for.

ccxt signs with the wall clock, so these run on real time at speed 1.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import anyio
import pytest
from tests.needs import need

from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb_dydx.localnet.dialect import DydxDialect

ccxt = pytest.importorskip("ccxt.pro", reason="needs ccxt; install it with: pip install ./fundingarb-core")

pytestmark = pytest.mark.anyio

SYMBOL = "BTC/USDC:USDC"
MENDED = ("atomicResolution", "quantumConversionExponent")
"""Integers in the indexer's answer, of which ccxt's arithmetic needs strings."""


@pytest.fixture(scope="module")
async def localnet() -> AsyncIterator[Localnet]:
    async with run_localnets({"dydx": lambda: DydxDialect(block_time=0.2)}, Options(seed=3)) as net:
        yield net
        assert net.problems == []


async def connected(localnet: Localnet, number: int = 0) -> Any:
    ready = localnet.ready["exchanges"]["dydx"]
    account = ready["accounts"][number]
    exchange = ccxt.dydx(
        {
            "walletAddress": account["api_key"],
            "options": {"privateKey": account["api_secret"], "chainName": ready["endpoints"]["chain_id"]},
            "enableRateLimit": False,
        }
    )
    exchange.urls["api"] = {
        "indexer": f"{ready['rest']}/v4",
        "nodeRpc": ready["endpoints"]["node_rpc"],
        "nodeRest": ready["endpoints"]["node_rest"],
        "ws": ready["ws"],
    }
    await exchange.load_markets()
    return exchange


@pytest.fixture(scope="module")
async def ex(localnet: Localnet) -> AsyncIterator[Any]:
    need(importlib.util.find_spec("google.protobuf"), "protobuf", "pip install ./fundingarb-dydx")
    exchange = await connected(localnet)
    for market in exchange.markets.values():
        market["info"] |= {name: str(market["info"][name]) for name in MENDED}
    try:
        yield exchange
    finally:
        await exchange.close()


async def found(ex: Any, order_id: str, status: str) -> Any:
    """The order once the indexer shows it so."""
    with anyio.fail_after(30):
        while True:
            try:
                order = await ex.fetch_order(order_id)
            except ccxt.ExchangeNotAvailable:  # ccxt's word for 404
                order = None
            if order is not None and order["info"]["status"] == status:
                return order
            await anyio.sleep(0.05)


async def test_markets(ex: Any) -> None:
    market = ex.market(SYMBOL)
    assert (market["id"], market["settle"], market["linear"], market["swap"]) == (
        "BTC-USD",
        "USDC",
        True,
        True,
    )
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.0001, 1.0)
    pepe = ex.market("PEPE/USDC:USDC")
    assert (pepe["contractSize"], pepe["precision"]["amount"]) == (1.0, 100_000.0)


async def test_market_data(ex: Any) -> None:
    history = await ex.fetch_funding_rate_history(SYMBOL, limit=4)
    times = [row["timestamp"] for row in history]
    assert [later - earlier for earlier, later in pairwise(times)] == [3_600_000] * 3
    book = await ex.fetch_order_book(SYMBOL)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert await ex.fetch_trades(SYMBOL, limit=5)
    assert len(await ex.fetch_ohlcv(SYMBOL, "1m", limit=5)) == 5
    # dYdX tells seconds, which ccxt passes on as milliseconds
    assert abs(await ex.fetch_time() - time.time()) < 5


async def test_an_immediate_order_fills(ex: Any, localnet: Localnet) -> None:
    ask = (await ex.fetch_order_book(SYMBOL))["asks"][0][0]
    params = {"timeInForce": "IOC", "clientOrderId": 4_000_000_001}
    placed = await ex.create_order(SYMBOL, "limit", "buy", 0.03, ask * 1.01, params)
    assert placed["info"]["code"] == 0
    order = await found(ex, placed["id"], "FILLED")
    assert (order["clientOrderId"], order["filled"], order["status"]) == ("4000000001", 0.03, "closed")
    (position,) = await ex.fetch_positions([SYMBOL])
    assert (position["side"], position["contracts"]) == ("long", 0.03)
    address = ex.walletAddress
    fills = (await ex.indexerGetFills({"address": address, "subaccountNumber": 0}))["fills"]
    assert {fill["orderId"] for fill in fills} == {placed["id"]}
    state = localnet.truth("dydx").state("dydx")
    balance = await ex.fetch_balance()
    assert float(balance["info"]["equity"]) == pytest.approx(float(state.equity), abs=5)
    assert balance["USDC"]["free"] < float(balance["info"]["equity"])


async def test_a_market_order_closes(ex: Any) -> None:
    bid = (await ex.fetch_order_book(SYMBOL))["bids"][0][0]
    placed = await ex.create_order(SYMBOL, "market", "sell", 0.03, bid * 0.99, {"reduceOnly": True})
    await found(ex, placed["id"], "FILLED")
    assert await ex.fetch_positions([SYMBOL]) == []


async def test_a_resting_order_and_its_cancellation(ex: Any) -> None:
    bid = (await ex.fetch_order_book(SYMBOL))["bids"][0][0]
    params = {"clientOrderId": 12, "postOnly": True}
    placed = await ex.create_order(SYMBOL, "limit", "buy", 0.01, bid * 0.9, params)
    order = await found(ex, placed["id"], "OPEN")
    assert (order["postOnly"], order["remaining"]) == (True, 0.01)
    assert [one["id"] for one in await ex.fetch_open_orders(SYMBOL)] == [placed["id"]]
    await ex.cancel_order(12, SYMBOL)
    assert (await found(ex, placed["id"], "CANCELED"))["status"] == "canceled"


async def test_refusals_become_ccxts_errors(ex: Any) -> None:
    with pytest.raises(ccxt.InvalidOrder, match="2001"):
        await ex.create_order(SYMBOL, "market", "sell", 0.01, 50_000, {"reduceOnly": True})
    with pytest.raises(ccxt.InvalidOrder, match="3006"):
        await ex.cancel_order(99, SYMBOL)
    with pytest.raises(ccxt.ExchangeNotAvailable):
        await ex.fetch_order("00000000-0000-0000-0000-000000000000")


async def test_a_signature_for_another_chain_is_refused(localnet: Localnet, ex: Any) -> None:
    name = ex.options["chainName"]
    ex.options["chainName"] = "dydx-mainnet-1"
    try:
        with pytest.raises(ccxt.ExchangeError, match="chain-id"):
            await ex.create_order(SYMBOL, "market", "buy", 0.01, 200_000)
    finally:
        ex.options["chainName"] = name


async def test_what_the_mending_is_for(localnet: Localnet) -> None:
    """When this fails, ccxt reads the resolutions as they are, and the mending can go."""
    exchange = await connected(localnet, 1)
    try:
        with pytest.raises(TypeError):
            await exchange.create_order(SYMBOL, "market", "buy", 0.01, 200_000)
    finally:
        await exchange.close()


async def test_streams(ex: Any) -> None:
    book = await asyncio.wait_for(ex.watch_order_book(SYMBOL), 10)
    assert book["bids"][0][0] < book["asks"][0][0]
    trades = await asyncio.wait_for(ex.watch_trades(SYMBOL), 10)
    assert trades
    candles = await asyncio.wait_for(ex.watch_ohlcv(SYMBOL, "1m"), 10)
    assert len(candles[-1]) == 6
