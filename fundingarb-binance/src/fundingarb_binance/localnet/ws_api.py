"""The websocket API (``/ws-fapi/v1``): the order, account and book requests of REST over one connection."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from aiohttp import web

from fundingarb.localnet.dialect import Route
from fundingarb.localnet.faults import Failure
from fundingarb.localnet.streams import Session
from fundingarb.localnet.truth.types import Refused
from fundingarb.localnet.venue import ReplyLost
from fundingarb_binance.localnet.accounts import Accounts
from fundingarb_binance.localnet.answers import BinanceError, encode, failed, refusal
from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.gateway import Gateway
from fundingarb_binance.localnet.keys import Key, check_window
from fundingarb_binance.localnet.market import Market
from fundingarb_binance.localnet.orders import Orders
from fundingarb_binance.localnet.params import Params
from fundingarb_binance.localnet.user_data import UserData

__all__ = ["WebsocketApi"]

PATH = "/ws-fapi/v1"
_PING_SECONDS = 180.0
_PONG_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Method:
    work: Callable[[Call], Any]
    operation: str
    weight: int = 1
    orders: int = 0
    security: Literal["none", "key", "signed"] = "signed"


class WebsocketApi:
    """Answers requests ``{"id", "method", "params"}``."""

    def __init__(
        self,
        context: Context,
        gateway: Gateway,
        market: Market,
        orders: Orders,
        accounts: Accounts,
        user_data: UserData,
    ) -> None:
        self.context = context
        self.gateway = gateway
        self._methods = {
            "ping": _Method(lambda call: {}, "time.read", security="none"),
            "time": _Method(market.time, "time.read", security="none"),
            "depth": _Method(market.depth, "book.read", 5, security="none"),
            "ticker.price": _Method(market.price_ticker, "ticker.read", 2, security="none"),
            "ticker.book": _Method(market.book_ticker, "ticker.read", 2, security="none"),
            "order.place": _Method(orders.place, "order.place", 0, 1),
            "order.modify": _Method(orders.amend, "order.amend", 1, 1),
            "order.cancel": _Method(orders.cancel, "order.cancel"),
            "order.status": _Method(orders.query, "order.query"),
            "account.position": _Method(accounts.positions_v2, "positions.read", 5),
            "v2/account.position": _Method(accounts.positions_v3, "positions.read", 5),
            "account.balance": _Method(accounts.balance, "balance.read", 5),
            "v2/account.balance": _Method(accounts.balance, "balance.read", 5),
            "account.status": _Method(accounts.account_v2, "account.read", 5),
            "v2/account.status": _Method(accounts.account_v3_over_websocket, "account.read", 5),
            "userDataStream.start": _Method(user_data.start, "stream.key", 5, security="key"),
            "userDataStream.ping": _Method(user_data.keep_alive, "stream.key", security="key"),
            "userDataStream.stop": _Method(user_data.stop, "stream.key", security="key"),
        }
        self._sessions = {
            "session.logon": self._logon,
            "session.status": lambda session, params: self._status(session),
            "session.logout": self._logout,
        }

    def routes(self) -> list[Route]:
        return [Route("GET", PATH, self._open, "stream.open")]

    async def _open(self, request: web.Request) -> web.StreamResponse:
        session = Session(self.context.venue, request, ping_every=_PING_SECONDS, pong_within=_PONG_SECONDS)
        session.data = {"key": None, "since": None, "connected": self.context.venue.server_ms()}
        return await session.run(self._on_message)

    # -- requests --------------------------------------------------------------------------------------------

    async def _on_message(self, session: Session, text: str) -> None:
        try:
            # Numbers stay as they were written: they are part of what was signed.
            message = json.loads(text, parse_float=str, parse_int=str)
            request_id = _as_sent(text, message.get("id"))
            method, params = message["method"], _text_of(message.get("params") or {})
        except (ValueError, KeyError, AttributeError, TypeError):
            error = BinanceError(-1135, "Invalid JSON request")
            session.send(encode({"id": None, "status": error.status, "error": error.body()}))
            return
        try:
            reply = await self._answer(session, method, params)
        except ReplyLost:
            session.drop()
            return
        limits = reply.pop("rateLimits", [])
        if params.boolean("returnRateLimits", True):
            reply["rateLimits"] = limits
        session.send(encode({"id": request_id, **reply}))

    async def _answer(self, session: Session, method: Any, params: Params) -> dict[str, Any]:
        limits: list[dict[str, Any]] = []

        async def execute() -> dict[str, Any]:
            try:
                return {"status": 200, "result": self._execute(session, method, params, limits)}
            except Refused as refused:
                error = refusal(refused)
            except BinanceError as raised:
                error = raised
            return {"status": error.status, "error": error.body()}

        known = self._methods.get(method)
        operation = known.operation if known else "account.read"
        key = session.data["key"] or self.context.keys.find(params.optional("apiKey") or "")
        reply = await self.context.venue.perform(
            operation,
            execute,
            self._failed,
            account=key.account if key else None,
            symbol=params.optional("symbol"),
        )
        return {**reply, "rateLimits": limits}

    def _failed(self, failure: Failure) -> dict[str, Any]:
        error = failed(failure, self.context.venue.server_ms())
        return {"status": error.status, "error": error.body()}

    def _execute(self, session: Session, method: Any, params: Params, limits: list[dict[str, Any]]) -> Any:
        known = self._methods.get(method)
        headers: dict[str, str] = {}
        weight = known.weight if known else 2
        used = self.gateway.charge_weight(session.request.remote or "", weight, headers)
        limits.append(_limit("REQUEST_WEIGHT", "MINUTE", 1, 2400, used))
        if method in self._sessions:
            return self._sessions[method](session, params)
        if known is None:
            raise BinanceError(-1000, f"Unknown method '{method}'")
        if known.security == "none":
            return known.work(Call(params))
        key = self._admit(session, params, signed=known.security == "signed")
        if known.orders:
            counts = self.gateway.charge_orders(key.account, known.orders, headers)
            limits.insert(0, _limit("ORDERS", "MINUTE", 1, 1200, counts["ORDERS_1M"]))
            limits.insert(0, _limit("ORDERS", "SECOND", 10, 300, counts["ORDERS_10S"]))
        return known.work(Call(params, key.account, key.api_key))

    # -- who asks --------------------------------------------------------------------------------------------

    def _admit(self, session: Session, params: Params, *, signed: bool) -> Key:
        """The key of the logged-on session, or the one the request itself is signed with."""
        logged_on: Key | None = session.data["key"]
        if params.optional("apiKey") is None and logged_on is not None:
            if signed:
                check_window(self.context.venue, params)
            return logged_on
        key = self.context.keys.require(params.optional("apiKey"))
        if signed:
            self._check(key, params)
        return key

    def _check(self, key: Key, params: Params) -> None:
        """Signed is every parameter but the signature, in alphabetical order; encoded or not."""
        pairs = sorted((name, value) for name, value in params.items() if name != "signature")
        plain = "&".join(f"{name}={value}" for name, value in pairs)
        self.gateway.check_signature(key, params, plain, urlencode(pairs))

    def _logon(self, session: Session, params: Params) -> dict[str, Any]:
        key = self.context.keys.require(params.optional("apiKey"))
        if key.private is None:
            raise BinanceError(-4056, f"{key.kind} API key is not supported.")
        self._check(key, params)
        session.account = key.account
        session.data |= {"key": key, "since": self.context.venue.server_ms()}
        return self._status(session)

    def _status(self, session: Session) -> dict[str, Any]:
        key: Key | None = session.data["key"]
        return {
            "apiKey": key.api_key if key else None,
            "authorizedSince": session.data["since"],
            "connectedSince": session.data["connected"],
            "returnRateLimits": True,
            "serverTime": self.context.venue.server_ms(),
        }

    def _logout(self, session: Session, params: Params) -> dict[str, Any]:
        session.account = None
        session.data |= {"key": None, "since": None}
        return self._status(session)


def _limit(kind: str, interval: str, number: int, limit: int, count: int) -> dict[str, Any]:
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
        "count": count,
    }


def _as_sent(text: str, request_id: Any) -> Any:
    """The request's id with the type it had: a number stays a number."""
    return json.loads(text).get("id") if request_id is not None else None


def _text_of(params: dict[str, Any]) -> Params:
    return Params(
        {
            name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            for name, value in params.items()
            if value is not None
        }
    )
