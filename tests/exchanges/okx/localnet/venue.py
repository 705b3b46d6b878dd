"""An offline OKX in virtual time, and a client that signs by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
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
from fundingarb_okx.localnet.dialect import OkxDialect
from fundingarb_okx.localnet.settings import OkxLocalnetSettings

BTC = ModelSymbol("BTC-USDT", "BTC", "USDT", 1000.0, major=True)
PEPE = ModelSymbol("PEPE-USDT", "PEPE", "USDT", 1000.0, multiplier=1000)
SWAP = "BTC-USDT-SWAP"
"""A contract of it is 0.01 BTC, ten dollars at a price of 1000."""


def keys(name: str, **extra: str) -> Credentials:
    return Credentials(f"key-{name}", f"secret-{name}", {"passphrase": f"pass-{name}", **extra})


KEYS = {
    "main": keys("main"),
    "other": keys("other"),
    "reader": keys("reader", perm="read_only"),
    "spot": keys("spot", account_level="1"),
}


def sign(secret: str, message: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()).decode()


def iso(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    def code(self) -> str:
        return str(self.body["code"])

    @property
    def data(self) -> list[Any]:
        assert self.body["code"] == "0", self.text
        found: list[Any] = self.body["data"]
        return found

    @property
    def row(self) -> dict[str, Any]:
        """The only row of a reply that went well."""
        (found,) = self.data
        assert isinstance(found, dict)
        return found

    @property
    def failed(self) -> tuple[str, str]:
        """``sCode`` and ``sMsg`` of the only order of a reply."""
        assert (self.status, self.code) == (200, "1"), self.text
        (found,) = self.body["data"]
        return found["sCode"], found["sMsg"]


@dataclass
class Okx:
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
        self, method: str, path: str, body: str = "", *, account: str = "main", age_ms: int = 0
    ) -> dict[str, str]:
        """Signed headers for a path with its query, and a raw body."""
        credentials = self.venue.truth.credentials(account)
        stamp = iso(self.now_ms - age_ms)
        return {
            "Content-Type": "application/json",
            "OK-ACCESS-KEY": credentials.api_key,
            "OK-ACCESS-PASSPHRASE": credentials.extra["passphrase"],
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-SIGN": sign(credentials.api_secret, f"{stamp}{method}{path}{body}"),
        }

    async def public(self, path: str, **params: Any) -> Answer:
        return await self.send("GET", f"/api/v5{path}?{urlencode(params)}")

    async def get(self, path: str, *, account: str = "main", **params: Any) -> Answer:
        full = f"/api/v5{path}" + (f"?{urlencode(params)}" if params else "")
        return await self.send("GET", full, headers=self.headers("GET", full, account=account))

    async def post(
        self, path: str, body: Any, *, account: str = "main", more: dict[str, str] | None = None
    ) -> Answer:
        """``more``: headers besides the signed ones."""
        full, text = f"/api/v5{path}", json.dumps(body)
        headers = self.headers("POST", full, text, account=account) | (more or {})
        return await self.send("POST", full, headers=headers, body=text)

    def request(self, side: str, sz: str, px: str | None = None, **more: Any) -> dict[str, Any]:
        """The body of an order: a limit with a price, a market order without."""
        fields: dict[str, Any] = {"instId": SWAP, "tdMode": "cross", "side": side, "sz": sz}
        fields["ordType"] = "market" if px is None else "limit"
        if px is not None:
            fields["px"] = px
        return fields | more

    async def order(
        self,
        side: str,
        sz: str,
        px: str | None = None,
        *,
        account: str = "main",
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        body = self.request(side, sz, px, **more)
        return await self.post("/trade/order", body, account=account, more=headers)

    async def cancel(self, *, account: str = "main", **ids: str) -> Answer:
        return await self.post("/trade/cancel-order", {"instId": SWAP, **ids}, account=account)

    async def find(self, *, account: str = "main", **ids: str) -> dict[str, Any]:
        return (await self.get("/trade/order", account=account, instId=SWAP, **ids)).row

    async def positions(self, **params: Any) -> list[dict[str, Any]]:
        return (await self.get("/account/positions", **params)).data

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
        """Freeze the book of BTC-USDT-SWAP."""
        self.truth.set_book(
            SWAP,
            [(Decimal(price), Decimal(quantity)) for price, quantity in bids],
            [(Decimal(price), Decimal(quantity)) for price, quantity in asks],
        )

    # -- websockets ------------------------------------------------------------------------------------------

    async def connect(self, path: str = "/ws/v5/public", **kwargs: Any) -> Socket:
        socket = await self.http.ws_connect(self.ws + path, **kwargs)
        self.sockets.append(socket)
        return Socket(socket)

    def login_args(self, account: str = "main", *, age_ms: int = 0) -> dict[str, str]:
        credentials = self.venue.truth.credentials(account)
        stamp = f"{(self.now_ms - age_ms) / 1000:.3f}"
        return {
            "apiKey": credentials.api_key,
            "passphrase": credentials.extra["passphrase"],
            "timestamp": stamp,
            "sign": sign(credentials.api_secret, f"{stamp}GET/users/self/verify"),
        }

    async def login(self, *, account: str = "main") -> Socket:
        """A private connection that has logged in."""
        socket = await self.connect("/ws/v5/private")
        reply = await socket.ask(op="login", args=[self.login_args(account)])
        assert (reply["event"], reply["code"]) == ("login", "0"), reply
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

    async def subscribe(self, *args: dict[str, Any]) -> list[dict[str, Any]]:
        """Subscribe; what came besides the acknowledgements, and at once after them."""
        await self.send(op="subscribe", args=list(args))
        others, left = [], len(args)
        while left:
            message = await self.next()
            assert message.get("event") != "error", message
            if message.get("event") == "subscribe":
                left -= 1
            elif message.get("event") is None:
                others.append(message)
        return others + [one for one in await self.rest() if "event" not in one]

    async def channel(self, name: str) -> dict[str, Any]:
        """The next push of a channel; others are dropped."""
        while True:
            message = await self.next()
            if "data" in message and message.get("arg", {}).get("channel") == name:
                return message

    async def rest(self) -> list[dict[str, Any]]:
        """Everything that has been sent by now."""
        await self.raw.send_str("ping")
        found = []
        while (text := (await self.raw.receive_str(timeout=5))) != "pong":
            found.append(json.loads(text))
        return found


@asynccontextmanager
async def serve(
    model: StillModel | None = None, *, start: float = START, **settings: bool
) -> AsyncIterator[Okx]:
    """OKX with BTC-USDT-SWAP and PEPE-USDT-SWAP: two accounts with 100000 USDT each, a key that may only read, and
    an account in spot mode. ``settings`` are the dialect's."""
    model = model or StillModel(symbols=[BTC, PEPE], touch=1_000_000.0)
    dialect = OkxDialect(OkxLocalnetSettings.model_validate(settings))
    clock = ManualClock(start)
    truth = Exchange("okx", dialect.rules, dialect.instruments(model.symbols), model, start=start)
    for name, credentials in KEYS.items():
        truth.add_account(name, credentials, Decimal(100_000))
    faults = FaultBook("okx", same_symbol=lambda wanted, given: wanted == given or given.startswith(wanted))
    venue = Venue(truth, clock, faults, Hub())
    async with (
        serve_exchange(venue, dialect, listen(0, "okx"), None) as served,
        aiohttp.ClientSession() as http,
    ):
        okx = Okx(clock, venue, model, served.endpoints.rest, served.endpoints.ws, http)
        try:
            yield okx
        finally:
            for socket in okx.sockets:
                await socket.close()
        assert venue.problems == []
