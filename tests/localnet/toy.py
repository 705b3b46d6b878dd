"""A toy exchange for the tests of the localnet: JSON in, JSON out, the API key in a header."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from fundingarb.localnet.dialect import Caller, Endpoints, LocalnetDialect, Route
from fundingarb.localnet.faults import Failure
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.streams import Session, encode
from fundingarb.localnet.truth.events import Event, OrderChanged
from fundingarb.localnet.truth.report import plain
from fundingarb.localnet.truth.rules import FeeTier, Instrument, MarginTier, VenueRules
from fundingarb.localnet.truth.types import (
    Credentials,
    OrderRequest,
    OrderType,
    PositionSide,
    Refused,
    Side,
    TimeInForce,
)
from fundingarb.localnet.venue import Venue

TIERS = (
    MarginTier(Decimal(200_000), Decimal("0.01"), 50),
    MarginTier(Decimal(2_000_000), Decimal("0.025"), 20, Decimal(3_000)),
    MarginTier(Decimal(50_000_000), Decimal("0.1"), 5, Decimal(153_000)),
)
RULES = VenueRules(fees=FeeTier(Decimal("0.0002"), Decimal("0.0005")), mark_decimals=8)


def contract(symbol: ModelSymbol, **changes: Any) -> Instrument:
    """A contract with tick and lot that suit its price."""
    price = Decimal(repr(symbol.price)) * symbol.multiplier
    magnitude = price.adjusted()
    lot = Decimal(1).scaleb(min(0, 1 - magnitude)) if magnitude > -2 else Decimal(1)
    fields: dict[str, Any] = {
        "id": ("1000" if symbol.multiplier == 1000 else "") + symbol.base + symbol.quote,
        "symbol": symbol.symbol,
        "base": symbol.base,
        "quote": symbol.quote,
        "settle": symbol.quote,
        "tick": Decimal(1).scaleb(magnitude - 4),
        "lot": lot,
        "min_quantity": lot,
        "max_quantity": Decimal(100_000_000),
        "max_market_quantity": Decimal(10_000_000),
        "min_notional": Decimal(5),
        "funding_cap": Decimal("0.02"),
        "funding_floor": Decimal("-0.02"),
        "tiers": TIERS,
        "multiplier": Decimal(symbol.multiplier),
    }
    return Instrument(**{**fields, **changes})


class ToyDialect(LocalnetDialect):
    """``POST /order``, ``DELETE /order``, ``GET /order``, ``GET /account``, ``GET /book``, ``/ws``."""

    name = "toy"
    hostnames: ClassVar[tuple[str, ...]] = ("api.toy.example", "stream.toy.example")

    def __init__(self, rules: VenueRules = RULES) -> None:
        self._rules = rules
        self.events: list[Event] = []

    @property
    def rules(self) -> VenueRules:
        return self._rules

    def instruments(self, symbols: Sequence[ModelSymbol]) -> Sequence[Instrument]:
        return [contract(symbol) for symbol in symbols]

    def credentials(self, account: str, rng: random.Random) -> Credentials:
        return Credentials(
            f"key-{rng.getrandbits(64):016x}", f"{rng.getrandbits(128):032x}", {"name": account}
        )

    def open(self, venue: Venue) -> Iterable[Route]:
        self.venue = venue
        venue.every(1.0, self.publish_books)
        return [
            Route("POST", "/order", self.place, "order.place"),
            Route("DELETE", "/order", self.cancel, "order.cancel"),
            Route("GET", "/order", self.query, "order.query"),
            Route("GET", "/account", self.account, "account.read"),
            Route("GET", "/book", self.book, "book.read"),
            Route("GET", "/bug", self.bug, "bug"),
            Route("GET", "/ws", self.stream, "stream.open"),
        ]

    def endpoints(self, rest: str, ws: str) -> Endpoints:
        return Endpoints(rest, f"{ws}/ws", {"public": f"{ws}/ws"})

    def failure(self, failure: Failure, request: web.Request) -> web.Response:
        status = {"rate_limited": 429, "banned": 418, "rejected": 400}.get(failure.kind.value, 503)
        answer = web.json_response(
            {"failure": failure.kind.value, "code": failure.code, "message": failure.message},
            status=failure.status or status,
        )
        if status in (429, 418):
            answer.headers["Retry-After"] = f"{failure.retry_after:g}"
        return answer

    def refused(self, refused: Refused, request: web.Request) -> web.Response:
        return web.json_response({"refused": refused.reason.name, "message": str(refused)}, status=400)

    async def caller(self, request: web.Request) -> Caller:
        body = msgspec.json.decode(await request.read()) if request.body_exists else {}
        return Caller(self.account_of(request), body.get("instrument") or request.query.get("instrument"))

    def account_of(self, request: web.Request) -> str | None:
        return self.venue.truth.account_of_key(request.headers.get("X-Key", ""))

    def signed_in(self, request: web.Request) -> str:
        account = self.account_of(request)
        if account is None:
            raise web.HTTPUnauthorized
        return account

    async def place(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        price = body.get("price")
        order = self.venue.truth.place(
            self.signed_in(request),
            OrderRequest(
                body["instrument"],
                Side(body["side"]),
                Decimal(body["quantity"]),
                OrderType.LIMIT if price is not None else OrderType.MARKET,
                Decimal(price) if price is not None else None,
                TimeInForce(body.get("tif", "GTC")),
                reduce_only=body.get("reduce_only", False),
                position_side=PositionSide(body.get("position_side", "NET")),
                client_id=body.get("client_id", ""),
            ),
        )
        return self.reply(order)

    async def cancel(self, request: web.Request) -> web.Response:
        query = request.query
        return self.reply(
            self.venue.truth.cancel(
                self.signed_in(request), query["instrument"], client_id=query["client_id"]
            )
        )

    async def query(self, request: web.Request) -> web.Response:
        return self.reply(
            self.venue.truth.order(self.signed_in(request), client_id=request.query["client_id"])
        )

    async def account(self, request: web.Request) -> web.Response:
        account = self.signed_in(request)
        truth = self.venue.truth
        return self.reply({"state": truth.state(account), "positions": truth.positions(account)})

    async def book(self, request: web.Request) -> web.Response:
        return self.reply(self.venue.truth.book(request.query["instrument"], 5))

    async def bug(self, request: web.Request) -> web.Response:
        raise ZeroDivisionError("a bug of the dialect")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        session = Session(self.venue, request)
        return await session.run(self.on_message)

    def on_message(self, session: Session, text: str) -> None:
        message = msgspec.json.decode(text)
        if message.get("op") == "login":
            session.account = self.venue.truth.account_of_key(message["key"])
            session.subscribe(f"orders:{session.account}")
        elif message.get("op") == "subscribe":
            session.subscribe(message["topic"])
        session.send(encode({"ok": message.get("op")}))

    def publish_books(self) -> None:
        for topic in self.venue.hub.topics("book:"):
            book = self.venue.truth.book(topic[5:], 3)
            self.venue.hub.publish(topic, encode({"book": plain(book)}))

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, OrderChanged):
            topic = f"orders:{event.account}"
            if self.venue.hub.wanted(topic):
                self.venue.hub.publish(
                    topic, encode({"order": plain(event.order), "execution": event.execution})
                )

    @staticmethod
    def reply(content: Any) -> web.Response:
        return web.Response(body=encode(plain(content)), content_type="application/json")


class OtherDialect(ToyDialect):
    """A second exchange of the same kind."""

    name = "other"
    hostnames = ("api.other.example",)
