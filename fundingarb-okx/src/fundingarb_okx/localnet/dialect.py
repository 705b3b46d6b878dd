"""The offline OKX: its routes and how they fit together."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from aiohttp import web

from fundingarb.localnet.dialect import Caller, Endpoints, LocalnetDialect, Route
from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.events import (
    AccountChanged,
    Event,
    FundingPaid,
    Liquidated,
    OrderChanged,
    SettingsChanged,
)
from fundingarb.localnet.truth.rules import Instrument, VenueRules
from fundingarb.localnet.truth.types import Credentials, Refused
from fundingarb.localnet.venue import Venue
from fundingarb_okx.localnet import account, bills, market, orders, tape, trade
from fundingarb_okx.localnet.auth import authenticate, new_credentials
from fundingarb_okx.localnet.business_stream import BusinessStream
from fundingarb_okx.localnet.codes import failure_outcome, is_order_code, refusal
from fundingarb_okx.localnet.contracts import RULES, list_instruments
from fundingarb_okx.localnet.desk import Desk
from fundingarb_okx.localnet.journal import Journal
from fundingarb_okx.localnet.private_stream import PrivateStream
from fundingarb_okx.localnet.public_stream import PublicStream
from fundingarb_okx.localnet.settings import OkxLocalnetSettings
from fundingarb_okx.localnet.trade import AMEND, CANCEL, LARGEST_BATCH, PLACE, Operation
from fundingarb_okx.localnet.wire import ApiError, envelope, respond

if TYPE_CHECKING:
    from fundingarb.ports import OpenContext

__all__ = ["OkxDialect", "open_localnet"]

Public = Callable[[Desk, Mapping[str, Any]], list[Any]]
Private = Callable[[Desk, str, Mapping[str, Any]], list[Any]]

API = "/api/v5"


class _PublicPath(NamedTuple):
    path: str
    operation: str
    limit: str
    run: Public


class _PrivatePath(NamedTuple):
    method: str
    path: str
    operation: str
    limit: str
    run: Private


class _OrderPath(NamedTuple):
    path: str
    operation: str
    limit: str
    run: Operation
    batch: bool


_PUBLIC = (
    _PublicPath("/public/time", "time.read", "10/2", market.server_time),
    _PublicPath("/public/instruments", "instruments.read", "20/2", market.instruments),
    _PublicPath("/public/position-tiers", "instruments.read", "10/2", market.position_tiers),
    _PublicPath("/public/funding-rate", "rates.read", "10/2", market.funding_rate),
    _PublicPath("/public/funding-rate-history", "funding.history", "10/2", market.funding_history),
    _PublicPath("/public/mark-price", "ticker.read", "10/2", market.mark_price),
    _PublicPath("/public/open-interest", "ticker.read", "20/2", market.open_interest),
    _PublicPath("/public/price-limit", "ticker.read", "20/2", market.price_limit),
    _PublicPath("/market/tickers", "ticker.read", "20/2", market.tickers),
    _PublicPath("/market/ticker", "ticker.read", "20/2", market.ticker),
    _PublicPath("/market/index-tickers", "ticker.read", "20/2", market.index_tickers),
    _PublicPath("/market/books", "book.read", "40/2", tape.books),
    _PublicPath("/market/books-full", "book.read", "10/2", tape.books_full),
    _PublicPath("/market/trades", "trades.read", "60/2", tape.trades),
    _PublicPath("/market/candles", "candles.read", "40/2", tape.candles),
    _PublicPath("/market/history-candles", "candles.read", "20/2", tape.candles),
    _PublicPath("/market/mark-price-candles", "candles.read", "20/2", tape.mark_candles),
    _PublicPath("/market/index-candles", "candles.read", "20/2", tape.index_candles),
    _PublicPath("/system/status", "time.read", "1/5", market.system_status),
)
_PRIVATE = (
    _PrivatePath("GET", "/account/config", "account.read", "5/2", account.config),
    _PrivatePath("GET", "/account/balance", "balance.read", "10/2", account.balance),
    _PrivatePath("GET", "/account/positions", "positions.read", "10/2", account.positions),
    _PrivatePath("GET", "/account/positions-history", "ledger.read", "10/2", account.positions_history),
    _PrivatePath("GET", "/account/leverage-info", "leverage.read", "20/2", account.leverage_info),
    _PrivatePath("POST", "/account/set-leverage", "leverage.set", "40/2", account.set_leverage),
    _PrivatePath("POST", "/account/set-position-mode", "position_mode.set", "5/2", account.set_position_mode),
    _PrivatePath("GET", "/account/trade-fee", "fees.read", "5/2", account.trade_fee),
    _PrivatePath("GET", "/account/max-size", "balance.read", "20/2", account.max_size),
    _PrivatePath("GET", "/account/max-avail-size", "balance.read", "20/2", account.max_available),
    _PrivatePath("GET", "/account/instruments", "instruments.read", "20/2", account.instruments),
    _PrivatePath("GET", "/account/bills", "ledger.read", "5/1", bills.bills),
    _PrivatePath("GET", "/account/bills-archive", "ledger.read", "5/2", bills.bills_archive),
    _PrivatePath("GET", "/asset/currencies", "account.read", "6/1", account.currencies),
    _PrivatePath("GET", "/asset/balances", "balance.read", "6/1", account.funding_balances),
    _PrivatePath("GET", "/trade/order", "order.query", "60/2", orders.order),
    _PrivatePath("GET", "/trade/orders-pending", "orders.open", "60/2", orders.orders_pending),
    _PrivatePath("GET", "/trade/orders-history", "orders.history", "40/2", orders.orders_history),
    _PrivatePath("GET", "/trade/orders-history-archive", "orders.history", "20/2", orders.orders_archive),
    _PrivatePath("GET", "/trade/fills", "fills.read", "60/2", orders.fills),
    _PrivatePath("GET", "/trade/fills-history", "fills.read", "10/2", orders.fills_history),
    _PrivatePath("POST", "/trade/close-position", "order.place", "20/2", trade.close_position),
    _PrivatePath("POST", "/trade/cancel-all-after", "dead_man", "1/1", trade.cancel_all_after),
)
_ORDERS = (
    _OrderPath("/trade/order", "order.place", "60/2", PLACE, batch=False),
    _OrderPath("/trade/batch-orders", "order.place", "300/2", PLACE, batch=True),
    _OrderPath("/trade/cancel-order", "order.cancel", "60/2", CANCEL, batch=False),
    _OrderPath("/trade/cancel-batch-orders", "order.cancel", "300/2", CANCEL, batch=True),
    _OrderPath("/trade/amend-order", "order.amend", "60/2", AMEND, batch=False),
    _OrderPath("/trade/amend-batch-orders", "order.amend", "300/2", AMEND, batch=True),
)
_ORDER_PATHS = {API + entry.path: entry for entry in _ORDERS}
_FUNDING_TYPE = "8"
_ASKED: ContextVar[Sequence[Mapping[str, Any]]] = ContextVar("orders of the request", default=())
"""What the request that is being answered asks for, for replies in which every order fails."""


class OkxDialect(LocalnetDialect):
    """OKX v5: USDT swaps of a futures-mode account."""

    name: ClassVar[str] = "okx"
    hostnames: ClassVar[tuple[str, ...]] = (
        "www.okx.com",
        "openapi.okx.com",
        "aws.okx.com",
        "ws.okx.com",
        "wspap.okx.com",
        "my.okx.com",
        "eea.okx.com",
        "wseea.okx.com",
        "wseeapap.okx.com",
        "app.okx.com",
        "us.okx.com",
        "wsus.okx.com",
        "wsuspap.okx.com",
    )

    def __init__(self, settings: OkxLocalnetSettings | None = None) -> None:
        self._settings = settings or OkxLocalnetSettings.model_validate({})
        self._desk: Desk | None = None
        self._public: PublicStream | None = None
        self._private: PrivateStream | None = None

    @property
    def rules(self) -> VenueRules:
        return RULES

    def instruments(self, symbols: Sequence[ModelSymbol]) -> Sequence[Instrument]:
        return list_instruments(symbols)

    def credentials(self, account: str, rng: random.Random) -> Credentials:
        return new_credentials(rng)

    def endpoints(self, rest: str, ws: str) -> Endpoints:
        return Endpoints(
            rest=rest,
            ws=ws,
            endpoints={
                "rest": rest,
                "public": f"{ws}/ws/v5/public",
                "private": f"{ws}/ws/v5/private",
                "business": f"{ws}/ws/v5/business",
            },
        )

    def open(self, venue: Venue) -> Iterable[Route]:
        desk = self._desk = Desk(venue, Journal(venue.truth), self._settings)
        public = self._public = PublicStream(desk)
        private = self._private = PrivateStream(desk)
        routes = [
            Route("GET", API + entry.path, partial(self._answer_public, entry), entry.operation)
            for entry in _PUBLIC
        ]
        routes += [
            Route(entry.method, API + entry.path, partial(self._answer_private, entry), entry.operation)
            for entry in _PRIVATE
        ]
        routes += [
            Route("POST", API + entry.path, partial(self._answer_orders, entry), entry.operation)
            for entry in _ORDERS
        ]
        routes += [
            Route("GET", "/ws/v5/public", public.handle, "stream.open"),
            Route("GET", "/ws/v5/private", private.handle, "stream.open"),
            Route("GET", "/ws/v5/business", BusinessStream(desk).handle, "stream.open"),
            Route("*", API + "/{rest:.*}", self._unknown, "time.read"),
        ]
        return routes

    # -- requests ------------------------------------------------------------------------------------------------

    def _opened(self) -> Desk:
        if self._desk is None:
            raise RuntimeError("the dialect has not been opened")
        return self._desk

    def _charge(self, rule: str, key: str, weight: int = 1) -> None:
        if self._settings.rate_limits and self._opened().charge(rule, key, weight).exceeded:
            raise ApiError(50011, "Too Many Requests")

    async def _answer_public(self, entry: _PublicPath, request: web.Request) -> web.StreamResponse:
        try:
            self._charge(entry.limit, f"{request.remote}{entry.path}")
            return respond(envelope(entry.run(self._opened(), dict(request.query))))
        except ApiError as error:
            return self._error(error)

    async def _signed(self, request: web.Request) -> tuple[str, str]:
        """The account that signed a request, and the body."""
        body = (await request.read()).decode("utf-8", "replace")
        desk = self._opened()
        path = request.raw_path
        account_name = authenticate(
            desk.venue, request.headers, request.method, path, body, demo=desk.settings.simulated
        )
        if request.method == "POST" and "trade" not in account.permissions(desk, account_name).split(","):
            raise ApiError(50120, "This API key doesn't have permission to use this function")
        return account_name, body

    async def _answer_private(self, entry: _PrivatePath, request: web.Request) -> web.StreamResponse:
        desk = self._opened()
        try:
            name, body = await self._signed(request)
            self._charge(entry.limit, f"{name}{entry.path}")
            params = dict(request.query) if entry.method == "GET" else _object(_parse(body))
            return respond(envelope(entry.run(desk, name, params)))
        except ApiError as error:
            return self._error(error)
        except Refused as refused:
            return self._error(refusal(refused))

    async def _answer_orders(self, entry: _OrderPath, request: web.Request) -> web.StreamResponse:
        desk = self._opened()
        try:
            name, body = await self._signed(request)
            found = _parse(body)
            entries = _batch(found, entry.run) if entry.batch else [_object(found)]
            self._charge_orders(entry, name, entries)
            came = desk.now_ms() * 1000
            rows = trade.carry_out(desk, name, entry.run, entries, request.headers.get("expTime", ""))
        except ApiError as error:
            return self._error(error)
        code, message = trade.outcome_of(rows)
        times = {"inTime": str(came), "outTime": str(desk.now_ms() * 1000 + 1)}
        return respond(envelope(rows, code=code, message=message) | times)

    def _charge_orders(self, entry: _OrderPath, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Orders count by account and contract, those of batches together."""
        counted: dict[str, int] = {}
        for one in entries:
            contract = str(one.get("instId") or one.get("instIdCode") or "")
            counted[contract] = counted.get(contract, 0) + 1
        for contract, weight in counted.items():
            self._charge(entry.limit, f"{name}{entry.path}/{contract}", weight)

    @staticmethod
    def _error(error: ApiError) -> web.Response:
        return respond(envelope(code=error.code, message=error.message), status=error.status)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return respond({"code": "404", "data": [], "msg": "Not Found"}, status=404)

    # -- what the server asks ------------------------------------------------------------------------------------

    async def caller(self, request: web.Request) -> Caller:
        desk = self._opened()
        name = desk.truth.account_of_key(request.headers.get("OK-ACCESS-KEY", ""))
        found: Any = request.query
        if request.method == "POST":
            try:
                found = _parse((await request.read()).decode("utf-8", "replace"))
            except ApiError:
                found = {}
        entries = [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, Mapping)]
        _ASKED.set(entries)
        symbol = entries[0].get("instId") if entries else None
        operation = None
        if "/account/bills" in request.path and request.query.get("type") == _FUNDING_TYPE:
            operation = "funding.payments"
        return Caller(name, symbol if isinstance(symbol, str) and symbol != "ANY" else None, operation)

    def failure(self, failure: Failure, request: web.Request) -> web.StreamResponse:
        entry = _ORDER_PATHS.get(request.path) if request.method == "POST" else None
        outcome = failure_outcome(failure, order=entry is not None)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return web.Response(status=503 if outcome.status == 200 else outcome.status, text=outcome.message)
        if failure.body is not None:
            return web.Response(status=outcome.status, body=failure.body)
        if outcome.page is not None:
            return web.Response(status=outcome.status, text=outcome.page, content_type="text/html")
        body = envelope(code=outcome.code, message=outcome.message)
        if entry is not None and is_order_code(outcome.code):
            body = self._failed_orders(entry, outcome.code, outcome.message)
        headers = {}
        if failure.kind is FailureKind.RATE_LIMITED:
            headers["Retry-After"] = str(max(1, round(failure.retry_after)))
        return respond(body, status=outcome.status, headers=headers)

    def _failed_orders(self, entry: _OrderPath, code: str, message: str) -> dict[str, Any]:
        """A reply in which every order failed."""
        found = _ASKED.get() or [{}]
        rows = [trade.failed_row(self._opened(), entry.run, one, code, message) for one in found]
        return envelope(rows, code="1", message="All operations failed")

    def refused(self, refused: Refused, request: web.Request) -> web.StreamResponse:
        return self._error(refusal(refused))

    def on_event(self, event: Event) -> None:
        desk, private, public = self._desk, self._private, self._public
        if desk is None or private is None or public is None:
            return
        if isinstance(event, OrderChanged):
            record = desk.journal.saw(event.order, event.fill) if event.fill is not None else None
            private.order_changed(event, record)
        elif isinstance(event, AccountChanged):
            desk.journal.booked(event.rows)
            private.account_changed(event)
        elif isinstance(event, FundingPaid):
            desk.journal.paid(event.payment)
        elif isinstance(event, SettingsChanged):
            private.settings_changed(event)
        elif isinstance(event, Liquidated):
            public.liquidated(event)


def _parse(body: str) -> Any:
    """The JSON of a POST; numbers keep their digits. An empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        return json.loads(body, parse_float=str)
    except (ValueError, RecursionError):
        raise ApiError(50002, "JSON syntax error", status=400) from None


def _object(found: Any) -> Mapping[str, Any]:
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise ApiError(50002, "JSON syntax error", status=400)
    return found


def _batch(found: Any, operation: Operation) -> list[Mapping[str, Any]]:
    entries = found if isinstance(found, list) else [found]
    if not entries or not all(isinstance(one, dict) for one in entries):
        raise ApiError(50002, "JSON syntax error", status=400)
    if len(entries) > LARGEST_BATCH:
        raise ApiError(*operation.too_many)
    return entries


@asynccontextmanager
async def open_localnet(
    settings: OkxLocalnetSettings, context: OpenContext
) -> AsyncIterator[LocalnetDialect]:
    """The dialect, as the plugin opens it."""
    yield OkxDialect(settings)
