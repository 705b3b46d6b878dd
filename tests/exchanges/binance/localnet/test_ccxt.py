"""ccxt trades on the localnet: under other addresses, and under the real ones with a resolver and a CA."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
import ccxt  # type: ignore[import-untyped]
import ccxt.async_support  # type: ignore[import-untyped]
import ccxt.pro  # type: ignore[import-untyped]
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.exchanges.binance.localnet.desk import FlatModel

from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb_binance.localnet.dialect import BinanceLocalnet

pytestmark = pytest.mark.anyio

SYMBOL = "BTC/USDT:USDT"
SECONDS = 5


class Loopback(AbstractResolver):
    """Every host name is the localnet's port on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self._port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        pass


def options(net: Localnet) -> dict[str, Any]:
    account = net.ready["exchanges"]["binance"]["accounts"][0]
    return {
        "apiKey": account["api_key"],
        "secret": account["api_secret"],
        "enableRateLimit": False,
        "options": {"fetchOpenOrders": {"warnWithoutSymbol": False}},
    }


@pytest.fixture
async def net() -> AsyncIterator[Localnet]:
    """Binance under its own names, with a throw-away certificate."""
    dialects = {"binance": BinanceLocalnet}
    async with run_localnets(dialects, Options(seed=5, tls=True), model=FlatModel()) as served:
        yield served
        assert served.problems == []


@pytest.fixture
async def client(net: Localnet) -> AsyncIterator[Any]:
    """``ccxt.pro.binanceusdm`` as it comes; its session resolves every host to the localnet and trusts its CA."""
    context = ssl.create_default_context(cafile=net.ready["ca"])
    port = urlsplit(net.ready["exchanges"]["binance"]["rest"]).port or 0
    connector = aiohttp.TCPConnector(resolver=Loopback(port), ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        exchange = ccxt.pro.binanceusdm({**options(net), "session": session})
        try:
            yield exchange
        finally:
            await exchange.close()


@asynccontextmanager
async def plain_client() -> AsyncIterator[tuple[Any, Localnet]]:
    """``ccxt.async_support.binanceusdm`` with scheme and host of every address replaced."""
    async with run_localnets({"binance": BinanceLocalnet}, Options(seed=5), model=FlatModel()) as net:
        exchange = ccxt.async_support.binanceusdm(options(net))
        rest = net.ready["exchanges"]["binance"]["rest"]
        for name, url in exchange.urls["api"].items():
            if isinstance(url, str):
                exchange.urls["api"][name] = rest + urlsplit(url).path
        try:
            yield exchange, net
        finally:
            await exchange.close()


async def test_it_reads_the_market(client: Any) -> None:
    markets = await client.load_markets()
    assert list(markets) == [SYMBOL, "ETH/USDT:USDT", "1000PEPE/USDT:USDT"]
    btc = markets[SYMBOL]
    assert (btc["precision"]["price"], btc["precision"]["amount"]) == (0.1, 0.001)
    assert btc["limits"]["cost"]["min"] == 100
    rate = (await client.fetch_funding_rates())[SYMBOL]
    assert rate["fundingRate"] == 0.0001
    assert rate["fundingTimestamp"] % (8 * 3_600_000) == 0
    intervals = await client.fetch_funding_intervals()
    assert {name: one["interval"] for name, one in intervals.items()} == {"1000PEPE/USDT:USDT": "4h"}
    history = await client.fetch_funding_rate_history(SYMBOL, limit=3)
    assert [row["fundingRate"] for row in history] == [0.0001] * 3
    book = await client.fetch_order_book(SYMBOL, limit=5)
    assert book["bids"][0][0] < 50_000 < book["asks"][0][0]
    assert (await client.fetch_time()) > 0


async def test_it_trades(client: Any, net: Localnet) -> None:
    await client.load_markets()
    assert (await client.fetch_balance())["USDT"]["total"] == 100_000
    assert (await client.set_leverage(9, SYMBOL))["leverage"] == 9
    assert (await client.fetch_leverage(SYMBOL))["longLeverage"] == 9
    assert (await client.fetch_position_mode())["hedged"] is False
    await client.set_margin_mode("isolated", "ETH/USDT:USDT")

    placed = await client.create_order(SYMBOL, "limit", "buy", 0.01, 49_000, {"clientOrderId": "mine"})
    assert placed["status"] == "open"
    assert (await client.fetch_order(None, SYMBOL, {"clientOrderId": "mine"}))["id"] == placed["id"]
    assert [one["id"] for one in await client.fetch_open_orders()] == [placed["id"]]
    assert (await client.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.01, 48_000))["price"] == 48_000
    assert (await client.cancel_order(placed["id"], SYMBOL))["status"] == "canceled"

    sold = await client.create_order(SYMBOL, "market", "sell", 0.2)
    assert (sold["status"], sold["filled"]) == ("closed", 0.2)
    position = (await client.fetch_positions([SYMBOL]))[0]
    assert (position["side"], position["contracts"]) == ("short", 0.2)
    trade = (await client.fetch_my_trades(SYMBOL))[0]
    assert (trade["order"], trade["takerOrMaker"]) == (sold["id"], "taker")
    assert trade["fee"]["cost"] > 0
    truth = net.truth("binance")
    truth.advance(truth.funding("BTCUSDT").next_ms / 1000 + 5)
    paid = await client.fetch_funding_history(SYMBOL)
    posted = truth.funding_payments("binance")
    assert [Decimal(str(row["amount"])) for row in paid] == [one.amount for one in posted]
    assert paid[0]["amount"] > 0
    ledger = await client.fetch_ledger()
    assert {row["info"]["incomeType"] for row in ledger} == {"COMMISSION", "FUNDING_FEE"}
    assert (await client.fetch_trading_fee(SYMBOL))["taker"] == 0.0005


ERRORS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"amount": 60}, ccxt.InsufficientFunds),
    ({"params": {"postOnly": True}, "price": 50_100}, ccxt.OrderNotFillable),
    ({"params": {"timeInForce": "FOK"}}, ccxt.OrderNotFillable),
    ({"params": {"reduceOnly": True}, "type": "market", "price": None}, ccxt.InvalidOrder),
    ({"params": {"positionSide": "LONG"}}, ccxt.OperationRejected),
    ({"amount": 0.001}, ccxt.InvalidOrder),
    ({"params": {"newClientOrderId": "x" * 40}}, ccxt.BadRequest),
    ({"price": 70_000}, ccxt.BadRequest),
]


@pytest.mark.parametrize(("order", "error"), ERRORS)
async def test_it_knows_the_errors(client: Any, order: dict[str, Any], error: type[Exception]) -> None:
    """Under the real host names ccxt reads them with its table for futures."""
    await client.load_markets()
    asked = {"type": "limit", "side": "buy", "amount": 0.01, "price": 49_000, "params": {}, **order}
    with pytest.raises(error):
        await client.create_order(SYMBOL, **asked)


async def test_it_knows_what_is_not_there(client: Any) -> None:
    await client.load_markets()
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order("1", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        await client.fetch_order("1", SYMBOL)
    client.secret = "wrong"
    with pytest.raises(ccxt.AuthenticationError):
        await client.fetch_balance()


async def test_it_watches_the_market(client: Any) -> None:
    await client.load_markets()
    watched = asyncio.gather(
        client.watch_mark_price(SYMBOL),
        client.watch_mark_prices(),
        client.watch_order_book(SYMBOL),
        client.watch_bids_asks([SYMBOL]),
        client.watch_ticker(SYMBOL),
        client.watch_trades(SYMBOL),
    )
    mark, marks, book, quotes, ticker, trades = await asyncio.wait_for(watched, SECONDS)
    assert mark["info"]["r"] == "0.00010000"
    assert SYMBOL in marks
    assert book["bids"][0][0] < book["asks"][0][0]
    assert quotes[SYMBOL]["bid"] < quotes[SYMBOL]["ask"]
    assert ticker["symbol"] == SYMBOL
    assert trades[0]["symbol"] == SYMBOL


async def test_it_watches_its_account(client: Any, net: Localnet) -> None:
    await client.load_markets()

    async def watch() -> tuple[Any, Any, Any, Any]:
        return await asyncio.gather(
            client.watch_orders(), client.watch_my_trades(), client.watch_positions(), client.watch_balance()
        )

    watching = asyncio.ensure_future(watch())
    hub = net.venues["binance"].hub
    with anyio.fail_after(SECONDS):
        while not hub.wanted("user:binance@ORDER_TRADE_UPDATE"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    bought = await client.create_order(SYMBOL, "market", "buy", 0.03)
    orders, trades, positions, balance = await asyncio.wait_for(watching, SECONDS)
    assert {one["id"] for one in orders} == {bought["id"]}
    assert trades[0]["order"] == bought["id"]
    assert positions[0]["contracts"] == 0.03
    assert balance["info"]["a"]["m"] == "ORDER"


async def test_it_places_orders_over_the_websocket(client: Any) -> None:
    await client.load_markets()
    params = {"newClientOrderId": "over-ws"}
    placed = await client.create_order_ws(SYMBOL, "limit", "buy", 0.01, 49_000, params)
    assert placed["status"] == "open"
    cancelled = await client.cancel_order_ws(placed["id"], SYMBOL)
    assert cancelled["status"] == "canceled"
    assert (await client.fetch_balance_ws())["USDT"]["total"] == 100_000


async def test_it_works_with_replaced_addresses() -> None:
    async with plain_client() as (client, net):
        await client.load_markets()
        placed = await client.create_order(SYMBOL, "market", "buy", 0.01)
        assert placed["status"] == "closed"
        assert len(net.truth("binance").fills("binance")) == 1
