"""A client of the Binance localnet that speaks plain HTTP and websockets, and a market that stands still."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import anyio
from yarl import URL

from fundingarb.localnet.models.base import Funding, Liquidity, ModelSymbol, Prices, Settlement
from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb_binance.localnet.dialect import BinanceLocalnet
from fundingarb_binance.localnet.settings import BinanceLocalnetSettings

__all__ = ["Answer", "Desk", "FlatModel", "open_desk"]

SYMBOLS = (
    ModelSymbol("BTC-USDT", "BTC", "USDT", 50_000.0, major=True),
    ModelSymbol("ETH-USDT", "ETH", "USDT", 2_000.0, major=True),
    ModelSymbol("PEPE-USDT", "PEPE", "USDT", 0.00001, multiplier=1000),
)
INTERVALS = {"BTC-USDT": 8, "ETH-USDT": 8, "PEPE-USDT": 4}


@dataclass
class FlatModel:
    """A ``MarketModel`` whose prices and rates stay where they are; one taker order a minute."""

    start: float = field(default_factory=time.time)
    rate: float = 0.0001
    symbols: Sequence[ModelSymbol] = SYMBOLS
    end: float | None = None
    grid: float = 1.0
    scale: Callable[[float], float] = lambda time: 1.0

    def listed(self, exchange: str) -> Sequence[ModelSymbol]:
        return self.symbols

    def prices(self, exchange: str, symbol: str, time: float) -> Prices:
        price = next(one.price for one in self.symbols if one.symbol == symbol) * self.scale(time)
        return Prices(price, price, price)

    def liquidity(self, exchange: str, symbol: str, time: float) -> Liquidity:
        return Liquidity(0.0001, 0.0002, 100_000.0, 1.0, 1 / 60, 1000.0)

    def funding(self, exchange: str, symbol: str, time: float) -> Funding:
        length = INTERVALS[symbol] * 3600
        return Funding(self.rate, INTERVALS[symbol], (math.floor(time / length) + 1) * length)

    def settlements(self, exchange: str, symbol: str, start: float, end: float) -> Sequence[Settlement]:
        length = INTERVALS[symbol] * 3600
        first, last = math.floor(start / length) + 1, math.floor(end / length)
        return [Settlement(n * length, self.rate, INTERVALS[symbol]) for n in range(first, last + 1)]


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> int | None:
        """Binance's error code; None for a good answer."""
        return self.body.get("code") if self.status != 200 and isinstance(self.body, dict) else None


@dataclass
class Desk:
    """One account's way to the exchange."""

    net: Localnet
    http: aiohttp.ClientSession
    account: Mapping[str, Any]
    rest: str
    ws: str

    @property
    def name(self) -> str:
        return str(self.account["name"])

    @property
    def truth(self) -> Exchange:
        return self.net.truth("binance")

    def sign(self, payload: str) -> str:
        secret = str(self.account["api_secret"]).encode()
        return hmac.new(secret, payload.encode(), hashlib.sha256).hexdigest()

    def signed(self, params: Mapping[str, Any]) -> str:
        """A query string with time stamp and signature."""
        query = urlencode({"timestamp": round(time.time() * 1000), **params})
        return f"{query}&signature={self.sign(query)}"

    async def send(
        self, method: str, path: str, query: str = "", body: str | None = None, key: str | None = None
    ) -> Answer:
        """A request exactly as given; the path is taken under /fapi/v1 unless it starts with a slash."""
        headers = {"X-MBX-APIKEY": self.account["api_key"] if key is None else key}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        full = path if path.startswith("/") else f"/fapi/v1/{path}"
        url = f"{self.rest}{full}?{query}" if query else f"{self.rest}{full}"
        async with self.http.request(method, URL(url, encoded=True), headers=headers, data=body) as response:
            text = await response.text()
            return Answer(response.status, json.loads(text) if text else None, response.headers)

    async def ask(self, method: str, path: str, **params: Any) -> Answer:
        """A signed request."""
        return await self.send(method, path, self.signed(params))

    async def public(self, path: str, **params: Any) -> Any:
        answer = await self.send("GET", path, urlencode(params))
        assert answer.status == 200, answer.body
        return answer.body

    async def good(self, method: str, path: str, **params: Any) -> Any:
        """The body of a signed request that must succeed."""
        answer = await self.ask(method, path, **params)
        assert answer.status == 200, answer.body
        return answer.body

    async def limit(self, price: str, quantity: str = "0.010", side: str = "BUY", **more: Any) -> Answer:
        """A BTCUSDT limit order."""
        order = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "price": price, "quantity": quantity}
        return await self.ask("POST", "order", **{"timeInForce": "GTC", **order, **more})

    async def market(self, side: str, quantity: str, symbol: str = "BTCUSDT", **more: Any) -> Any:
        """A filled market order."""
        order = {"symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity}
        return await self.good("POST", "order", newOrderRespType="RESULT", **order, **more)

    def alternative(self) -> Desk:
        """The same exchange with its second account."""
        return Desk(
            self.net, self.http, self.net.ready["exchanges"]["binance"]["accounts"][1], self.rest, self.ws
        )

    async def listen_key(self) -> str:
        return str((await self.send("POST", "listenKey")).body["listenKey"])

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[Stream]:
        async with self.http.ws_connect(self.ws + path) as socket:
            yield Stream(socket)

    def settle(self, symbol: str) -> None:
        """Go past the next settlement of a contract and its posting."""
        truth = self.truth
        truth.advance(truth.funding(symbol).next_ms / 1000 + 5)

    def mid(self, symbol: str = "BTCUSDT") -> Decimal:
        book = self.truth.book(symbol, 1)
        return (book.bids[0][0] + book.asks[0][0]) / 2


@dataclass
class Stream:
    """A websocket; every wait ends after a few seconds."""

    socket: aiohttp.ClientWebSocketResponse[Any]

    async def command(self, method: str, params: Any = None, request_id: Any = 1) -> Any:
        """Send a command and wait for the answer with its id."""
        message = {"method": method, "id": request_id}
        await self.socket.send_str(json.dumps(message if params is None else {**message, "params": params}))
        return await self.next(lambda found: isinstance(found, dict) and found.get("id") == request_id)

    async def next(self, wanted: Callable[[Any], bool] = lambda message: True) -> Any:
        """The next message that is wanted; the others are skipped."""
        with anyio.fail_after(30):
            while True:
                message = json.loads(await self.socket.receive_str())
                if wanted(message):
                    return message

    async def event(self, name: str) -> Any:
        return await self.next(lambda found: isinstance(found, dict) and found.get("e") == name)

    async def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing arrives for a moment."""
        with anyio.move_on_after(seconds):
            await self.socket.receive()
            return False
        return True


@asynccontextmanager
async def open_desk(
    model: FlatModel | None = None,
    settings: BinanceLocalnetSettings | None = None,
    speed: float = 1.0,
) -> AsyncIterator[Desk]:
    """A served exchange with the flat market, and its first account's desk."""
    dialects = {"binance": lambda: BinanceLocalnet(settings)}
    async with (
        run_localnets(dialects, Options(seed=5, speed=speed), model=model or FlatModel()) as net,
        aiohttp.ClientSession() as http,
    ):
        exchange = net.ready["exchanges"]["binance"]
        yield Desk(net, http, exchange["accounts"][0], exchange["rest"], exchange["ws"])
        assert net.problems == []
