"""An offline Bybit in virtual time, and a client that signs by hand."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import yarl
from tests.localnet.still import START, StillModel

from fundingarb.localnet.clock import ManualClock
from fundingarb.localnet.faults import FaultBook
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.server import listen, serve_exchange
from fundingarb.localnet.streams import Hub
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Credentials
from fundingarb.localnet.venue import Venue
from fundingarb_bybit.localnet.dialect import BybitDialect

BTC = ModelSymbol("BTC-USDT", "BTC", "USDT", 1000.0, major=True)
PEPE = ModelSymbol("PEPE-USDT", "PEPE", "USDT", 1000.0, multiplier=1000)
KEYS = {name: Credentials(f"key-{name}", f"secret-{name}") for name in ("main", "other")}
READER = Credentials("key-reader", "secret-reader", {"read_only": "true"})


def sign(secret: str, message: str) -> str:
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def code(self) -> int:
        return int(self.body["retCode"])

    @property
    def result(self) -> Any:
        assert self.body["retCode"] == 0, self.text
        return self.body["result"]


@dataclass
class Bybit:
    """The served exchange and what tests do with it."""

    clock: ManualClock
    venue: Venue
    model: StillModel
    rest: str
    ws: str
    http: aiohttp.ClientSession
    sockets: list[aiohttp.ClientWebSocketResponse[bool]] = field(default_factory=list)

    @property
    def truth(self) -> Exchange:
        self.venue.sync()
        return self.venue.truth

    @property
    def now_ms(self) -> int:
        return round(self.clock.now() * 1000)

    # -- REST ------------------------------------------------------------------------------------------------

    async def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: str | None = None
    ) -> Answer:
        """Exactly this request."""
        url = yarl.URL(self.rest + path, encoded=True)
        async with self.http.request(method, url, headers=headers, data=body) as response:
            return Answer(response.status, dict(response.headers), await response.text())

    def headers(
        self, payload: str, *, account: str = "main", age_ms: int = 0, window: str = "5000"
    ) -> dict[str, str]:
        """Signed headers for a raw query or body."""
        credentials = self.venue.truth.credentials(account)
        stamp = str(self.now_ms - age_ms)
        return {
            "Content-Type": "application/json",
            "X-BAPI-API-KEY": credentials.api_key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": window,
            "X-BAPI-SIGN": sign(credentials.api_secret, stamp + credentials.api_key + window + payload),
        }

    async def public(self, path: str, **params: Any) -> Answer:
        return await self.send("GET", f"{path}?{urlencode(params)}")

    async def get(self, path: str, *, account: str = "main", **params: Any) -> Answer:
        query = urlencode(params)
        return await self.send("GET", f"{path}?{query}", headers=self.headers(query, account=account))

    async def post(self, path: str, *, account: str = "main", **body: Any) -> Answer:
        text = json.dumps(body)
        return await self.send("POST", path, headers=self.headers(text, account=account), body=text)

    async def order(
        self, side: str, qty: str, price: str | None = None, *, account: str = "main", **more: Any
    ) -> Answer:
        """Place: a limit with a price, a market order without."""
        fields: dict[str, Any] = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": side,
            "orderType": "Market" if price is None else "Limit",
            "qty": qty,
        }
        if price is not None:
            fields["price"] = price
        return await self.post("/v5/order/create", account=account, **(fields | more))

    async def orders(self, path: str = "/v5/order/realtime", **params: Any) -> list[dict[str, Any]]:
        answer = await self.get(path, category="linear", symbol="BTCUSDT", **params)
        rows: list[dict[str, Any]] = answer.result["list"]
        return rows

    # -- time and markets ------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let simulated time pass and the publishers publish."""
        self.clock.advance(seconds)
        self.venue.sync()
        self.publish()

    def publish(self) -> None:
        for publisher in self.venue.publishers:
            publisher.publish()

    def book(self, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> None:
        """Freeze the book of BTCUSDT."""
        self.truth.set_book(
            "BTCUSDT",
            [(Decimal(price), Decimal(quantity)) for price, quantity in bids],
            [(Decimal(price), Decimal(quantity)) for price, quantity in asks],
        )

    # -- websockets ------------------------------------------------------------------------------------------

    async def connect(self, path: str) -> Socket:
        socket = await self.http.ws_connect(self.ws + path)
        self.sockets.append(socket)
        return Socket(socket)

    async def login(self, *, account: str = "main", path: str = "/v5/private") -> Socket:
        """A private connection that has logged in."""
        socket = await self.connect(path)
        credentials = self.venue.truth.credentials(account)
        expires = self.now_ms + 1000
        signature = sign(credentials.api_secret, f"GET/realtime{expires}")
        reply = await socket.ask(op="auth", args=[credentials.api_key, expires, signature])
        assert reply.get("success") is True or reply.get("retCode") == 0, reply
        return socket


@dataclass
class Socket:
    """A websocket that speaks JSON."""

    raw: aiohttp.ClientWebSocketResponse[bool]

    async def send(self, **message: Any) -> None:
        await self.raw.send_json(message)

    async def next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.raw.receive_json(timeout=5)
        return message

    async def ask(self, **message: Any) -> dict[str, Any]:
        await self.send(**message)
        return await self.next()

    async def subscribe(self, *topics: str) -> dict[str, Any]:
        reply = await self.ask(op="subscribe", args=list(topics))
        assert reply["success"] is True, reply
        return reply

    async def topic(self, name: str) -> dict[str, Any]:
        """The next message of a topic; others are dropped."""
        while True:
            message = await self.next()
            if message.get("topic") == name:
                return message


@asynccontextmanager
async def serve(
    model: StillModel | None = None, *, start: float = START, protected: bool = False
) -> AsyncIterator[Bybit]:
    """Bybit with BTCUSDT and 1000PEPEUSDT, two accounts with 100000 USDT each, and one that may only read."""
    model = model or StillModel(symbols=[BTC, PEPE], touch=1_000_000.0)
    dialect = BybitDialect(disconnect_protection=protected)
    clock = ManualClock(start)
    truth = Exchange("bybit", dialect.rules, dialect.instruments(model.symbols), model, start=start)
    for name, credentials in KEYS.items():
        truth.add_account(name, credentials, Decimal(100_000))
    truth.add_account("reader", READER, Decimal(0))
    faults = FaultBook("bybit", same_symbol=lambda wanted, given: wanted in (given, "BTC-USDT"))
    venue = Venue(truth, clock, faults, Hub())
    async with (
        serve_exchange(venue, dialect, listen(0, "bybit"), None) as served,
        aiohttp.ClientSession() as http,
    ):
        bybit = Bybit(clock, venue, model, served.endpoints.rest, served.endpoints.ws, http)
        try:
            yield bybit
        finally:
            for socket in bybit.sockets:
                await socket.close()
        assert venue.problems == []
