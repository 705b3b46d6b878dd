"""An offline dYdX in virtual time, and a client that signs by hand."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.localnet.still import START, StillModel

from fundingarb.localnet.clock import ManualClock
from fundingarb.localnet.faults import FaultBook
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.server import listen, serve_exchange
from fundingarb.localnet.streams import Hub
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Credentials
from fundingarb.localnet.venue import Venue
from fundingarb_dydx.localnet.dialect import DydxDialect

BTC = ModelSymbol("BTC-USDT", "BTC", "USDT", 1000.0, major=True)
PEPE = ModelSymbol("PEPE-USDT", "PEPE", "USDT", 1000.0, multiplier=1000)
CHAIN = "dydx-localnet-1"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NAMES = ("main", "other")
BUY, SELL = 1, 2
IOC, POST_ONLY = 1, 2
PLACE = "/dydxprotocol.clob.MsgPlaceOrder"
CANCEL = "/dydxprotocol.clob.MsgCancelOrder"
BATCH = "/dydxprotocol.clob.MsgBatchCancel"


# -- protocol buffers, as far as the tests write them --------------------------------------------------------------


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def message(**fields: Any) -> bytes:
    """``f1=5`` a varint, ``f2=b".."`` bytes, ``x3=7`` a fixed 32-bit number; left out when empty."""
    out = b""
    for name, value in fields.items():
        key = int(name[1:])
        if not value:
            continue
        if name[0] == "x":
            out += varint(key << 3 | 5) + int(value).to_bytes(4, "little")
        elif isinstance(value, int):
            out += varint(key << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(key << 3 | 2) + varint(len(data)) + data
    return out


def packed(kind: str, value: bytes) -> bytes:
    """``google.protobuf.Any``."""
    return message(f1=kind, f2=value)


@dataclass
class Signer:
    """An account that builds and signs its transactions."""

    address: str
    key: ec.EllipticCurvePrivateKey
    public: bytes
    number: int

    def order_id(self, client_id: int, flags: int, pair: int = 0, subaccount: int = 0) -> bytes:
        owner = message(f1=self.address, f2=subaccount)
        return message(f1=owner, x2=client_id, f3=flags, f4=pair)

    def place(
        self,
        client_id: int,
        side: int,
        quantums: int,
        subticks: int,
        *,
        block: int = 0,
        time: int = 0,
        flags: int | None = None,
        tif: int = 0,
        reduce_only: bool = False,
        metadata: int = 0,
        pair: int = 0,
        subaccount: int = 0,
    ) -> bytes:
        """``MsgPlaceOrder``, short-term with a block and long-term with a time."""
        kind = (0 if block else 64) if flags is None else flags
        order = message(
            f1=self.order_id(client_id, kind, pair, subaccount),
            f2=side,
            f3=quantums,
            f4=subticks,
            f5=block,
            x6=time,
            f7=tif,
            f8=int(reduce_only),
            f9=metadata,
        )
        return packed(PLACE, message(f1=order))

    def cancel(self, client_id: int, *, block: int = 0, time: int = 0, pair: int = 0) -> bytes:
        return packed(
            CANCEL, message(f1=self.order_id(client_id, 0 if block else 64, pair), f2=block, x3=time)
        )

    def cancel_batch(self, client_ids: Sequence[int], block: int, pair: int = 0) -> bytes:
        ids = b"".join(varint(one) for one in client_ids)
        owner = message(f1=self.address)
        return packed(BATCH, message(f1=owner, f2=message(f1=pair, f2=ids), f3=block))

    def sign(
        self,
        *messages: bytes,
        sequence: int = 0,
        chain: str = CHAIN,
        number: int | None = None,
        last: int = 0,
    ) -> bytes:
        """A transaction with these messages, for blocks up to ``last``."""
        body = b"".join(message(f1=one) for one in messages) + message(f3=last)
        key = packed("/cosmos.crypto.secp256k1.PubKey", message(f1=self.public))
        signer = message(f1=key, f2=message(f1=message(f1=1)), f3=sequence)
        auth = message(f1=signer, f2=message(f2=1_000_000))
        document = message(f1=body, f2=auth, f3=chain, f4=self.number if number is None else number)
        r, s = decode_dss_signature(self.key.sign(document, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")
        return message(f1=body, f2=auth, f3=signature)


@dataclass
class Socket:
    """A websocket that speaks JSON."""

    raw: aiohttp.ClientWebSocketResponse[bool]

    async def send(self, **fields: Any) -> None:
        await self.raw.send_json(fields)

    async def next(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.raw.receive_json(timeout=5)
        return found

    async def ask(self, **fields: Any) -> dict[str, Any]:
        await self.send(**fields)
        return await self.next()

    async def subscribe(self, channel: str, name: str | None = None, **more: Any) -> Any:
        """The contents of the first message."""
        fields = {"channel": channel} | ({"id": name} if name is not None else {}) | more
        reply = await self.ask(type="subscribe", **fields)
        assert reply["type"] == "subscribed", reply
        return reply["contents"]


@dataclass
class Dydx:
    """The served exchange and what tests do with it."""

    clock: ManualClock
    venue: Venue
    model: StillModel
    dialect: DydxDialect
    rest: str
    ws: str
    grpc: str
    http: aiohttp.ClientSession
    signers: dict[str, Signer] = field(default_factory=dict)
    sockets: list[aiohttp.ClientWebSocketResponse[bool]] = field(default_factory=list)

    @property
    def truth(self) -> Exchange:
        self.venue.sync()
        return self.venue.truth

    @property
    def main(self) -> Signer:
        return self.signers["main"]

    @property
    def now(self) -> int:
        """Unix seconds."""
        return int(self.clock.now())

    # -- indexer ---------------------------------------------------------------------------------------------

    async def get(self, path: str, *, answer: int = 200, **params: Any) -> Any:
        async with self.http.get(self.rest + path, params=params) as response:
            assert response.status == answer, await response.text()
            return await response.json()

    async def mine(self, path: str, **params: Any) -> Any:
        """About the main account's subaccount."""
        return await self.get(path, address=self.main.address, subaccountNumber=0, **params)

    async def orders(self, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.mine("/v4/orders", **params)
        return found

    # -- node ------------------------------------------------------------------------------------------------

    async def height(self) -> int:
        answer = await self.get("/abci_info")
        return int(answer["result"]["response"]["last_block_height"])

    async def broadcast(self, data: bytes) -> dict[str, Any]:
        """By JSON-RPC: aiohttp repeats a GET by itself when the connection breaks."""
        params = {"tx": base64.b64encode(data).decode()}
        request = {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync", "params": params}
        async with self.http.post(self.rest, json=request) as response:
            assert response.status == 200, await response.text()
            found: dict[str, Any] = (await response.json())["result"]
        return found

    async def order(
        self,
        client_id: int,
        side: int,
        size: str,
        price: str,
        *,
        account: str = "main",
        sequence: int | None = None,
        expect: int = 0,
        **more: Any,
    ) -> dict[str, Any]:
        """Broadcast an order for BTC-USD: short-term for ten blocks, unless ``time`` says until when."""
        signer = self.signers[account]
        if "time" not in more and "block" not in more:
            more["block"] = await self.height() + 10
        placed = signer.place(
            client_id, side, int(Decimal(size) * 10**10), int(Decimal(price) * 10**5), **more
        )
        number = sequence if sequence is not None else self.sequence(account)
        result = await self.broadcast(signer.sign(placed, sequence=number))
        assert result["code"] == expect, result
        return result

    def sequence(self, account: str = "main") -> int:
        """The next sequence of an account, as the chain counts it."""
        desk = self.dialect._desk
        assert desk is not None
        return desk.chain.accounts[self.signers[account].address].sequence

    # -- time and markets ------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let simulated time pass; a block at its end."""
        self.clock.advance(seconds)
        self.venue.sync()
        self.publish()

    def block(self, count: int = 1) -> None:
        for _ in range(count):
            self.wait(1.0)

    def publish(self) -> None:
        for publisher in self.venue.publishers:
            publisher.publish()

    def book(self, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> None:
        """Freeze the book of BTC-USD."""
        self.truth.set_book(
            "BTC-USD",
            [(Decimal(price), Decimal(quantity)) for price, quantity in bids],
            [(Decimal(price), Decimal(quantity)) for price, quantity in asks],
        )

    # -- websocket -------------------------------------------------------------------------------------------

    async def connect(self) -> Socket:
        """A connection that has been greeted."""
        raw = await self.http.ws_connect(self.ws)
        self.sockets.append(raw)
        socket = Socket(raw)
        greeting = await socket.next()
        assert (greeting["type"], greeting["message_id"]) == ("connected", 0)
        return socket


def new_account(name: str, dialect: DydxDialect) -> Credentials:
    return dialect.credentials(name, Random(name))


@asynccontextmanager
async def serve(model: StillModel | None = None, *, start: float = START) -> AsyncIterator[Dydx]:
    """dYdX with BTC-USD and PEPE-USD, two accounts with 100000 USDC each."""
    model = model or StillModel(symbols=[BTC, PEPE], touch=1_000_000.0, half_spread=0.01)
    dialect = DydxDialect()
    clock = ManualClock(start)
    truth = Exchange("dydx", dialect.rules, dialect.instruments(model.symbols), model, start=start)
    for name in NAMES:
        truth.add_account(name, new_account(name, dialect), Decimal(100_000))
    faults = FaultBook("dydx", same_symbol=lambda wanted, given: wanted in (given, "BTC-USDT"))
    venue = Venue(truth, clock, faults, Hub())
    async with (
        serve_exchange(venue, dialect, listen(0, "dydx"), None) as served,
        aiohttp.ClientSession() as http,
    ):
        found = served.endpoints
        dydx = Dydx(clock, venue, model, dialect, found.rest, found.ws, found.endpoints["grpc"], http)
        for name in NAMES:
            dydx.signers[name] = await _signer(dydx, truth.credentials(name))
        try:
            yield dydx
        finally:
            for socket in dydx.sockets:
                await socket.close()
        assert venue.problems == []


async def _signer(dydx: Dydx, credentials: Credentials) -> Signer:
    """What the node says of an account, with the key that the localnet gave out."""
    answer = await dydx.get(f"/cosmos/auth/v1beta1/account_info/{credentials.api_key}")
    info = answer["info"]
    key = ec.derive_private_key(int(credentials.api_secret, 16), ec.SECP256K1())
    return Signer(
        credentials.api_key, key, base64.b64decode(info["pub_key"]["key"]), int(info["account_number"])
    )
