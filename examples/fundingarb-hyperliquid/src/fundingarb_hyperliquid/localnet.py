"""Hyperliquid offline: ``POST /info`` and ``POST /exchange``, written from its documentation."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import web
from ccxt import Exchange as Ccxt  # type: ignore[import-untyped]
from coincurve import PrivateKey, PublicKey

from fundingarb.localnet.dialect import Caller, Credentials, Endpoints, LocalnetDialect, Route, Venue
from fundingarb.localnet.faults import Failure
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.events import Event
from fundingarb.localnet.truth.rules import FeeTier, Instrument, MarginTier, VenueRules
from fundingarb.localnet.truth.types import (
    Fill,
    MarginMode,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Reason,
    Refused,
    Side,
    TimeInForce,
)

RULES = VenueRules(
    settle="USDC",
    fees=FeeTier(Decimal("0.00015"), Decimal("0.00045")),
    ledger_decimals=6,
    rate_decimals=10,
    mark_decimals=8,
    funding_interval_hours=1,
    funding_price="index",
    reduce_only_excess="trim",
    liquidation_fee=Decimal(0),
    first_id=77_738_308,
)

SENTENCES = {
    Reason.BAD_TICK: "Price must be divisible by tick size.",
    Reason.MIN_NOTIONAL: "Order must have minimum value of $10.",
    Reason.INSUFFICIENT_MARGIN: "Insufficient margin to place order.",
    Reason.MAX_POSITION: "Insufficient margin to place order.",
    Reason.REDUCE_ONLY: "Reduce only order would increase position.",
    Reason.POST_ONLY_WOULD_TAKE: "Post only order would have immediately matched, bbo was {detail}.",
    Reason.BAD_LOT: "Order has invalid size.",
    Reason.BAD_QUANTITY: "Order has zero size.",
    Reason.MIN_QUANTITY: "Order has invalid size.",
    Reason.MAX_QUANTITY: "Order has invalid size.",
    Reason.UNKNOWN_ORDER: "Order was never placed, already canceled, or filled.",
    Reason.ORDER_NOT_OPEN: "Order was never placed, already canceled, or filled.",
}
IOC_CANCEL = "Order could not immediately match against any resting orders."

INFO = {
    "exchangeStatus": "time.read",
    "metaAndAssetCtxs": "rates.read",
    "l2Book": "book.read",
    "fundingHistory": "funding.history",
    "orderStatus": "order.query",
    "frontendOpenOrders": "orders.open",
    "clearinghouseState": "account.read",
    "userFillsByTime": "fills.read",
    "userFunding": "funding.payments",
    "userFees": "fees.read",
    "activeAssetData": "leverage.read",
}
"""Type of a question -> operation, for faults."""
ACTIONS = {
    "order": "order.place",
    "cancel": "order.cancel",
    "cancelByCloid": "order.cancel",
    "updateLeverage": "leverage.set",
}
TIFS = {"Gtc": TimeInForce.GTC, "Ioc": TimeInForce.IOC, "Alo": TimeInForce.POST_ONLY}
ENDED = {
    OrderStatus.NEW: "open",
    OrderStatus.PARTIALLY_FILLED: "open",
    OrderStatus.FILLED: "filled",
    OrderStatus.CANCELED: "canceled",
    OrderStatus.EXPIRED: "iocCancelRejected",
    OrderStatus.REJECTED: "rejected",
}
MOST_ROWS = 500


def contract(symbol: ModelSymbol) -> Instrument:
    """Five significant figures, six decimals less those of the size; a thousand of a cheap coin is one ``k``."""
    price = Decimal(repr(symbol.price)) * symbol.multiplier
    sizes = min(5, max(0, price.adjusted() + 1))
    lot = Decimal(1).scaleb(-sizes)
    return Instrument(
        id=("k" if symbol.multiplier == 1000 else "") + symbol.base,
        symbol=symbol.symbol,
        base=symbol.base,
        quote="USD",
        settle="USDC",
        tick=Decimal(1).scaleb(min(0, max(price.adjusted() - 4, sizes - 6))),
        lot=lot,
        min_quantity=lot,
        max_quantity=Decimal(1_000_000_000),
        max_market_quantity=Decimal(1_000_000_000),
        min_notional=Decimal(10),
        funding_cap=Decimal("0.04"),
        funding_floor=Decimal("-0.04"),
        tiers=(MarginTier(Decimal(150_000_000), Decimal("0.01"), 50),),
        multiplier=Decimal(symbol.multiplier),
    )


def keccak(data: bytes) -> bytes:
    return bytes(Ccxt.hash(data, "keccak", "binary"))


def address(key: PublicKey) -> str:
    """The Ethereum address of a public key."""
    return "0x" + keccak(key.format(compressed=False)[1:])[-20:].hex()


def signer(action: Mapping[str, Any], nonce: int, expires: int | None, signature: Mapping[str, Any]) -> str:
    """Whose signature it is: EIP-712 over the hash of the packed action, its nonce and its expiry."""
    data = msgspec.msgpack.encode(action) + nonce.to_bytes(8, "big") + b"\x00"
    if expires is not None:
        data += b"\x00" + expires.to_bytes(8, "big")
    domain = keccak(
        keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        + keccak(b"Exchange")
        + keccak(b"1")
        + (1337).to_bytes(32, "big")
        + bytes(32)
    )
    agent = keccak(keccak(b"Agent(string source,bytes32 connectionId)") + keccak(b"b") + keccak(data))
    digest = keccak(b"\x19\x01" + domain + agent)
    r, s = (int(signature[name], 16).to_bytes(32, "big") for name in "rs")
    compact = r + s + bytes([int(signature["v"]) - 27])
    return address(PublicKey.from_signature_and_message(compact, digest, hasher=None))


def text(number: Decimal) -> str:
    """A number as Hyperliquid writes it: at least one decimal."""
    plain = f"{number:f}"
    plain = plain.rstrip("0") if "." in plain else plain + "."
    return plain + "0" if plain.endswith(".") else plain


class Problem(Exception):
    """The whole request is refused with this sentence."""


class HyperliquidDialect(LocalnetDialect):
    """See the module. Every account has an agent wallet; its private key is the account's secret."""

    name = "hyperliquid"
    hostnames = ("api.hyperliquid.xyz", "api.hyperliquid-testnet.xyz")
    venue: Venue

    @property
    def rules(self) -> VenueRules:
        return RULES

    def instruments(self, symbols: Sequence[ModelSymbol]) -> Sequence[Instrument]:
        return [contract(symbol) for symbol in symbols]

    def credentials(self, account: str, rng: random.Random) -> Credentials:
        key = PrivateKey(rng.getrandbits(255).to_bytes(32, "big"))
        owner = "0x" + rng.getrandbits(160).to_bytes(20, "big").hex()
        return Credentials(owner, "0x" + key.secret.hex(), {"agent": address(key.public_key)})

    def open(self, venue: Venue) -> Iterable[Route]:
        self.venue = venue
        return (
            Route("POST", "/info", self.info, "info"),
            Route("POST", "/exchange", self.exchange, "exchange"),
        )

    def endpoints(self, rest: str, ws: str) -> Endpoints:
        return Endpoints(rest, ws, {"rest": rest})

    def failure(self, failure: Failure, request: web.Request) -> web.StreamResponse:
        kind = failure.kind.value
        if kind == "rejected":
            return reply({"status": "err", "response": failure.message or failure.code or "rejected"})
        status = failure.status or {"rate_limited": 429, "banned": 429}.get(kind, 503)
        return web.Response(status=status, text=failure.message or "null")

    def refused(self, refused: Refused, request: web.Request) -> web.StreamResponse:
        return reply({"status": "err", "response": sentence(refused)})

    def on_event(self, event: Event) -> None:
        """There are no streams here; everything is asked for."""

    async def caller(self, request: web.Request) -> Caller:
        body = json.loads(await request.read())
        truth = self.venue.truth
        if "type" in body:
            return Caller(
                truth.account_of_key(body.get("user", "")), body.get("coin"), INFO.get(body["type"])
            )
        action = body.get("action", {})
        return Caller(self.account_of(body), None, ACTIONS.get(action.get("type")))

    def account_of(self, body: Mapping[str, Any]) -> str | None:
        """The account whose agent signed a request."""
        who = signer(body["action"], body["nonce"], body.get("expiresAfter"), body["signature"])
        truth = self.venue.truth
        return next((one for one in truth.accounts if truth.credentials(one).extra["agent"] == who), None)

    # POST /info
    async def info(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        answer: Callable[[Mapping[str, Any]], object] | None = getattr(self, f"info_{body.get('type')}", None)
        if answer is None:
            return web.Response(status=422, text="Failed to deserialize the JSON body into the target type")
        return reply(answer(body))

    def user(self, body: Mapping[str, Any]) -> str:
        """Account data are shown to everybody who knows the address."""
        account = self.venue.truth.account_of_key(body["user"])
        if account is None:
            raise web.HTTPUnprocessableEntity(text="unknown user")
        return account

    def info_exchangeStatus(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        return {"time": self.venue.server_ms(), "specialStatuses": None}

    def info_metaAndAssetCtxs(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        truth = self.venue.truth
        universe = [
            {
                "name": one.id,
                "szDecimals": decimals(one.lot),
                "maxLeverage": one.max_leverage,
                "isDelisted": not truth.trading(one.id),
            }
            for one in truth.instruments.values()
        ]
        contexts = [
            {
                "funding": text(truth.funding(key).rate),
                "markPx": text(truth.mark(key)),
                "oraclePx": text(truth.index(key)),
                "midPx": text((book.bids[0][0] + book.asks[0][0]) / 2) if book.bids and book.asks else None,
                "openInterest": "688.11",
            }
            for key in truth.instruments
            for book in [truth.book(key, 1)]
        ]
        return [{"universe": universe}, contexts]

    def info_l2Book(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        book = self.venue.truth.book(body["coin"], 20)
        sides = [
            [{"px": text(price), "sz": text(size), "n": 1} for price, size in side]
            for side in (book.bids, book.asks)
        ]
        return {"coin": body["coin"], "time": self.venue.server_ms(), "levels": sides}

    def info_fundingHistory(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        truth = self.venue.truth
        rows = truth.funding_history(body["coin"], body["startTime"], truth.now_ms, MOST_ROWS)
        return [
            {"coin": body["coin"], "fundingRate": text(row.rate), "premium": "0.0", "time": row.time_ms}
            for row in rows
        ]

    def info_orderStatus(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        wanted = body["oid"]
        by = {"order_id": str(wanted)} if isinstance(wanted, int) else {"client_id": wanted}
        order = self.venue.truth.order(self.user(body), **by)
        if order is None:
            return {"status": "unknownOid"}
        status = ENDED[order.status]
        if status == "iocCancelRejected" and order.filled:
            status = "canceled"
        return {
            "status": "order",
            "order": {"order": shown(order), "status": status, "statusTimestamp": order.updated_ms},
        }

    def info_frontendOpenOrders(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        return [shown(order) for order in self.venue.truth.open_orders(self.user(body))]

    def info_clearinghouseState(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        account, truth = self.user(body), self.venue.truth
        state = truth.state(account)
        positions = [
            {
                "coin": one.instrument,
                "szi": text(one.quantity),
                "leverage": {"type": one.margin_mode.value.lower(), "value": int(one.leverage)},
                "entryPx": text(one.entry_price),
                "positionValue": text(one.value),
                "unrealizedPnl": text(one.unrealized),
                "liquidationPx": None if one.liquidation_price is None else text(one.liquidation_price),
                "marginUsed": text(one.initial_margin),
            }
            for one in truth.positions(account)
        ]
        summary = {"accountValue": text(state.equity), "totalMarginUsed": text(state.initial_margin)}
        return {
            "marginSummary": summary,
            "crossMarginSummary": summary,
            "crossMaintenanceMarginUsed": text(state.maintenance_margin),
            "withdrawable": text(state.available),
            "assetPositions": [{"type": "oneWay", "position": one} for one in positions],
            "time": self.venue.server_ms(),
        }

    def info_userFillsByTime(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        fills = self.venue.truth.fills(self.user(body), start_ms=body["startTime"])
        return [traded(fill) for fill in fills[:2000]]

    def info_userFunding(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        payments = self.venue.truth.funding_payments(self.user(body), start_ms=body["startTime"])
        return [
            {
                "time": one.time_ms,
                "hash": "0x" + "0" * 64,
                "delta": {
                    "type": "funding",
                    "coin": one.instrument,
                    "usdc": text(one.amount),
                    "szi": text(one.quantity),
                    "fundingRate": text(one.rate),
                    "nSamples": None,
                },
            }
            for one in payments[:MOST_ROWS]
        ]

    def info_userFees(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        fees = self.venue.truth.fees(self.user(body))
        return {"userCrossRate": text(fees.taker), "userAddRate": text(fees.maker)}

    def info_activeAssetData(self, body: Mapping[str, Any]) -> object:  # noqa: N802
        account, truth = self.user(body), self.venue.truth
        mode = truth.margin_mode(account, body["coin"]).value.lower()
        leverage = int(truth.leverage(account, body["coin"]))
        return {"user": body["user"], "coin": body["coin"], "leverage": {"type": mode, "value": leverage}}

    # POST /exchange
    async def exchange(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        account = self.account_of(body)
        try:
            if account is None:
                raise Problem("User or API Wallet 0x0000000000000000000000000000000000000000 does not exist.")
            if body.get("expiresAfter") is not None and body["expiresAfter"] < self.venue.server_ms():
                raise Problem("Action expired.")
            action = body["action"]
            if action["type"] == "order":
                statuses = [self.place(account, one) for one in action["orders"]]
                return reply(done({"type": "order", "data": {"statuses": statuses}}))
            if action["type"] in ("cancel", "cancelByCloid"):
                statuses = [self.cancel(account, one) for one in action["cancels"]]
                return reply(done({"type": "cancel", "data": {"statuses": statuses}}))
            if action["type"] == "updateLeverage":
                self.update_leverage(account, action)
                return reply(done({"type": "default"}))
            raise Problem("Unknown action.")
        except Problem as problem:
            return reply({"status": "err", "response": str(problem)})

    def coin(self, asset: int) -> str:
        try:
            return list(self.venue.truth.instruments)[asset]
        except IndexError:
            raise Problem(f"Invalid perpetual asset {asset}.") from None

    def place(self, account: str, wire: Mapping[str, Any]) -> object:
        request = OrderRequest(
            self.coin(wire["a"]),
            Side.BUY if wire["b"] else Side.SELL,
            Decimal(wire["s"]),
            OrderType.LIMIT,
            Decimal(wire["p"]),
            TIFS[wire["t"]["limit"]["tif"]],
            reduce_only=wire["r"],
            client_id=wire.get("c") or "",
        )
        try:
            order = self.venue.truth.place(account, request)
        except Refused as refused:
            return {"error": f"{sentence(refused)} asset={wire['a']}"}
        if order.filled:
            return {
                "filled": {
                    "totalSz": text(order.filled),
                    "avgPx": text(order.average_price),
                    "oid": int(order.id),
                }
            }
        if not order.status.open:
            return {"error": IOC_CANCEL}
        return {"resting": {"oid": int(order.id)}}

    def cancel(self, account: str, wire: Mapping[str, Any]) -> object:
        asset = wire["asset"] if "asset" in wire else wire["a"]
        by = {"client_id": wire["cloid"]} if "cloid" in wire else {"order_id": str(wire["o"])}
        try:
            self.venue.truth.cancel(account, self.coin(asset), **by)
        except Refused as refused:
            return {"error": f"{sentence(refused)} asset={asset}"}
        return "success"

    def update_leverage(self, account: str, action: Mapping[str, Any]) -> None:
        truth, coin = self.venue.truth, self.coin(action["asset"])
        mode = MarginMode.CROSS if action["isCross"] else MarginMode.ISOLATED
        with no_change_is_fine():
            truth.set_margin_mode(account, mode, coin)
        with no_change_is_fine():
            truth.set_leverage(account, coin, Decimal(action["leverage"]))


@contextmanager
def no_change_is_fine() -> Iterator[None]:
    """Setting what is so already is no error."""
    try:
        yield
    except Refused as refused:
        if refused.reason is not Reason.NOT_MODIFIED:
            raise


def decimals(lot: Decimal) -> int:
    return max(0, -lot.normalize().adjusted())


def sentence(refused: Refused) -> str:
    known = SENTENCES.get(refused.reason)
    return refused.detail if known is None else known.format(detail=refused.detail)


def shown(order: Order) -> Mapping[str, object]:
    """An order as orderStatus and frontendOpenOrders have it."""
    return {
        "coin": order.instrument,
        "side": "B" if order.side is Side.BUY else "A",
        "limitPx": text(order.price or Decimal(0)),
        "sz": text(order.remaining),
        "oid": int(order.id),
        "timestamp": order.created_ms,
        "origSz": text(order.quantity),
        "reduceOnly": order.reduce_only,
        "orderType": "Limit",
        "tif": "Gtc",
        "cloid": order.client_id or None,
    }


def traded(fill: Fill) -> Mapping[str, object]:
    """A fill as userFillsByTime has it."""
    row: dict[str, object] = {
        "coin": fill.instrument,
        "px": text(fill.price),
        "sz": text(fill.quantity),
        "side": "B" if fill.side is Side.BUY else "A",
        "time": fill.time_ms,
        "dir": "Auto-Deleveraging" if fill.adl else ("Close" if fill.closed_quantity else "Open"),
        "closedPnl": text(fill.realized),
        "hash": "0x" + "0" * 64,
        "oid": int(fill.order_id),
        "crossed": not fill.maker,
        "fee": text(fill.fee),
        "tid": int(fill.id),
        "feeToken": "USDC",
    }
    if fill.client_id:
        row["cloid"] = fill.client_id
    if fill.liquidation:
        row["liquidation"] = {"method": "market", "markPx": text(fill.price)}
    return row


def done(response: Mapping[str, object]) -> Mapping[str, object]:
    return {"status": "ok", "response": response}


def reply(content: object) -> web.Response:
    return web.json_response(content)
