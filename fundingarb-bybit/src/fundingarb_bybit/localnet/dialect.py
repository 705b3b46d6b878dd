"""The offline Bybit: its routes and how they fit together."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from aiohttp import web

from fundingarb.localnet.dialect import Caller, Endpoints, LocalnetDialect, Route
from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.limits import LimitState
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
from fundingarb_bybit.localnet import account, ledger, market, positions, trade
from fundingarb_bybit.localnet.auth import authenticate, new_credentials
from fundingarb_bybit.localnet.codes import failure_outcome, refusal
from fundingarb_bybit.localnet.contracts import RULES, list_instruments
from fundingarb_bybit.localnet.desk import Desk, Reply, translate
from fundingarb_bybit.localnet.journal import Journal
from fundingarb_bybit.localnet.private_stream import PrivateStream
from fundingarb_bybit.localnet.public_stream import PublicStream
from fundingarb_bybit.localnet.trade_stream import TradeStream
from fundingarb_bybit.localnet.wire import ApiError, envelope, respond

if TYPE_CHECKING:
    from fundingarb.ports import OpenContext
    from fundingarb_bybit.localnet.settings import BybitLocalnetSettings

__all__ = ["BybitDialect", "open_localnet"]

Public = Callable[[Desk, Mapping[str, Any]], dict[str, Any]]
Private = Callable[[Desk, str, Mapping[str, Any]], "dict[str, Any] | Reply"]


class _PublicPath(NamedTuple):
    path: str
    operation: str
    run: Public


class _PrivatePath(NamedTuple):
    method: str
    path: str
    operation: str
    limit: str
    run: Private


_PUBLIC = (
    _PublicPath("/v5/market/time", "time.read", market.server_time),
    _PublicPath("/v5/market/instruments-info", "instruments.read", market.instruments_info),
    _PublicPath("/v5/market/tickers", "rates.read", market.tickers),
    _PublicPath("/v5/market/orderbook", "book.read", market.orderbook),
    _PublicPath("/v5/market/funding/history", "funding.history", market.funding_history),
    _PublicPath("/v5/market/kline", "candles.read", market.kline),
    _PublicPath("/v5/market/mark-price-kline", "candles.read", market.mark_kline),
    _PublicPath("/v5/market/index-price-kline", "candles.read", market.index_kline),
    _PublicPath("/v5/market/recent-trade", "trades.read", market.recent_trade),
    _PublicPath("/v5/market/open-interest", "ticker.read", market.open_interest),
    _PublicPath("/v5/market/risk-limit", "instruments.read", market.risk_limit),
    _PublicPath("/v5/market/price-limit", "ticker.read", market.price_limit),
)
_PRIVATE = (
    _PrivatePath("POST", "/v5/order/create", "order.place", "create", trade.create),
    _PrivatePath("POST", "/v5/order/create-batch", "order.place", "create", trade.create_batch),
    _PrivatePath("POST", "/v5/order/amend", "order.amend", "amend", trade.amend),
    _PrivatePath("POST", "/v5/order/amend-batch", "order.amend", "amend", trade.amend_batch),
    _PrivatePath("POST", "/v5/order/cancel", "order.cancel", "cancel", trade.cancel),
    _PrivatePath("POST", "/v5/order/cancel-batch", "order.cancel", "cancel", trade.cancel_batch),
    _PrivatePath("POST", "/v5/order/cancel-all", "order.cancel_all", "cancel_all", trade.cancel_all),
    _PrivatePath("GET", "/v5/order/realtime", "orders.open", "order_read", trade.realtime),
    _PrivatePath("GET", "/v5/order/history", "orders.history", "order_read", trade.history),
    _PrivatePath(
        "POST", "/v5/order/disconnected-cancel-all", "dead_man", "setting", trade.disconnected_cancel_all
    ),
    _PrivatePath("GET", "/v5/execution/list", "fills.read", "order_read", ledger.execution_list),
    _PrivatePath("GET", "/v5/position/list", "positions.read", "position_read", positions.position_list),
    _PrivatePath("GET", "/v5/position/closed-pnl", "ledger.read", "position_read", positions.closed_pnl),
    _PrivatePath("POST", "/v5/position/set-leverage", "leverage.set", "setting", positions.set_leverage),
    _PrivatePath(
        "POST", "/v5/position/switch-isolated", "margin_mode.set", "setting", positions.switch_isolated
    ),
    _PrivatePath("POST", "/v5/position/switch-mode", "position_mode.set", "setting", positions.switch_mode),
    _PrivatePath("POST", "/v5/position/trading-stop", "order.place", "setting", positions.trading_stop),
    _PrivatePath("GET", "/v5/account/wallet-balance", "balance.read", "account_read", account.wallet_balance),
    _PrivatePath("GET", "/v5/account/withdrawal", "balance.read", "account_read", account.withdrawal),
    _PrivatePath("GET", "/v5/account/info", "account.read", "account_read", account.account_info),
    _PrivatePath("GET", "/v5/account/fee-rate", "fees.read", "fee_rate", account.fee_rate),
    _PrivatePath(
        "GET", "/v5/account/instruments-info", "instruments.read", "account_read", account.account_instruments
    ),
    _PrivatePath("GET", "/v5/account/transaction-log", "ledger.read", "account_read", ledger.transaction_log),
    _PrivatePath("GET", "/v5/account/query-dcp-info", "dead_man", "account_read", account.dcp_info),
    _PrivatePath(
        "POST", "/v5/account/set-margin-mode", "margin_mode.set", "setting", account.set_margin_mode
    ),
    _PrivatePath("GET", "/v5/asset/coin/query-info", "account.read", "asset", account.coin_info),
    _PrivatePath("GET", "/v5/user/query-api", "keys.read", "user", account.key_info),
)


class BybitDialect(LocalnetDialect):
    """Bybit v5: USDT linear perpetuals of a unified trading account."""

    name: ClassVar[str] = "bybit"
    hostnames: ClassVar[tuple[str, ...]] = (
        "api.bybit.com",
        "stream.bybit.com",
        "api-testnet.bybit.com",
        "stream-testnet.bybit.com",
        "api-demo.bybit.com",
        "stream-demo.bybit.com",
        "api.bytick.com",
    )

    def __init__(self, *, disconnect_protection: bool = False) -> None:
        self._disconnect_protection = disconnect_protection
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
                "public": f"{ws}/v5/public/linear",
                "private": f"{ws}/v5/private",
                "trade": f"{ws}/v5/trade",
            },
        )

    def open(self, venue: Venue) -> Iterable[Route]:
        desk = self._desk = Desk(venue, Journal(venue.truth), self._disconnect_protection)
        public = self._public = PublicStream(desk)
        private = self._private = PrivateStream(desk)
        routes = [
            Route("GET", entry.path, partial(self._answer_public, entry), entry.operation)
            for entry in _PUBLIC
        ]
        routes += [
            Route(entry.method, entry.path, partial(self._answer_private, entry), entry.operation)
            for entry in _PRIVATE
        ]
        routes += [
            Route("GET", "/v5/public/linear", public.handle, "stream.open"),
            Route("GET", "/v5/private", private.handle, "stream.open"),
            Route("GET", "/v5/trade", TradeStream(desk).handle, "stream.open"),
            Route("*", "/v5/{rest:.*}", self._unknown, "time.read"),
        ]
        return routes

    # -- requests ------------------------------------------------------------------------------------------------

    def _opened(self) -> Desk:
        if self._desk is None:
            raise RuntimeError("the dialect has not been opened")
        return self._desk

    def _too_many(self, request: web.Request) -> web.Response | None:
        """The answer to an address that sends too much; None when it does not."""
        if self._opened().charge("ip", request.remote or "").exceeded:
            return web.Response(status=403, text="403, access too frequent")
        return None

    async def _answer_public(self, entry: _PublicPath, request: web.Request) -> web.StreamResponse:
        desk = self._opened()
        refused = self._too_many(request)
        if refused is not None:
            return refused
        try:
            result = entry.run(desk, dict(request.query))
        except ApiError as error:
            return self._error(error)
        return respond(envelope(desk.now_ms(), result))

    async def _answer_private(self, entry: _PrivatePath, request: web.Request) -> web.StreamResponse:
        desk = self._opened()
        refused = self._too_many(request)
        if refused is not None:
            return refused
        body = (await request.read()).decode("utf-8", "replace")
        account: str | None = None
        headers: dict[str, str] = {}
        try:
            signed = body if entry.method == "POST" else request.raw_path.partition("?")[2]
            account = authenticate(desk.venue, request.headers, signed).account
            state = desk.charge(entry.limit, f"{account}/{entry.path}")
            headers = self._limit_headers(state)
            if state.exceeded:
                raise ApiError(10006, "Too many visits. Exceeded the API Rate Limit.")
            if entry.method == "POST" and _read_only(desk.truth.credentials(account)):
                raise ApiError(10005, "Permission denied, please check your API key permissions.")
            params = dict(request.query) if entry.method == "GET" else _parse(body)
            result = entry.run(desk, account, params)
        except ApiError as error:
            return self._error(error, headers)
        except Refused as refusal_:
            return self._error(translate(desk, refusal_, entry.path, account), headers)
        if isinstance(result, Reply):
            shown = envelope(desk.now_ms(), result.result, message=result.message, ext=result.ext)
        else:
            shown = envelope(desk.now_ms(), result)
        return respond(shown, headers=headers)

    def _limit_headers(self, state: LimitState) -> dict[str, str]:
        """How much of the limit is left. The reset time is in the future only once it is used up."""
        desk = self._opened()
        wait = state.retry_after * desk.venue.clock.speed if state.exceeded else 0.0
        return {
            "X-Bapi-Limit": str(state.rule.limit),
            "X-Bapi-Limit-Status": str(state.remaining),
            "X-Bapi-Limit-Reset-Timestamp": str(desk.now_ms() + round(wait * 1000)),
        }

    def _error(self, error: ApiError, headers: Mapping[str, str] | None = None) -> web.Response:
        body = envelope(self._opened().now_ms(), dict(error.result), code=error.code, message=error.message)
        return respond(body, status=error.status, headers=headers)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return self._error(ApiError(10017, "Route not found.", status=404))

    # -- what the server asks ------------------------------------------------------------------------------------

    async def caller(self, request: web.Request) -> Caller:
        desk = self._opened()
        account = desk.truth.account_of_key(request.headers.get("X-BAPI-API-KEY", ""))
        params: Mapping[str, Any] = request.query
        if request.method == "POST":
            params = _parse((await request.read()).decode("utf-8", "replace"))
        symbol = params.get("symbol")
        return Caller(
            account,
            symbol if isinstance(symbol, str) and symbol else None,
            operation=_operation(request.path, params),
        )

    def failure(self, failure: Failure, request: web.Request) -> web.StreamResponse:
        desk = self._opened()
        outcome = failure_outcome(failure)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return web.Response(status=503 if outcome.status == 200 else outcome.status, text=outcome.message)
        if failure.body is not None:
            return web.Response(status=outcome.status, body=failure.body)
        if outcome.page is not None:
            return web.Response(status=outcome.status, text=outcome.page, content_type="text/html")
        headers = {}
        if failure.kind is FailureKind.RATE_LIMITED:
            reset = desk.now_ms() + round(failure.retry_after * desk.venue.clock.speed * 1000)
            headers = {
                "X-Bapi-Limit": "10",
                "X-Bapi-Limit-Status": "0",
                "X-Bapi-Limit-Reset-Timestamp": str(reset),
            }
        body = envelope(desk.now_ms(), {}, code=outcome.code, message=outcome.message)
        return respond(body, status=outcome.status, headers=headers)

    def refused(self, refused: Refused, request: web.Request) -> web.StreamResponse:
        return self._error(refusal(refused, request.path))

    def on_event(self, event: Event) -> None:
        desk, private, public = self._desk, self._private, self._public
        if desk is None or private is None or public is None:
            return
        if isinstance(event, OrderChanged):
            if event.fill is not None:
                desk.journal.saw(event.order, event.fill)
            private.order_changed(event)
        elif isinstance(event, AccountChanged):
            private.account_changed(event)
        elif isinstance(event, FundingPaid):
            private.funding_paid(event)
        elif isinstance(event, SettingsChanged):
            private.settings_changed(event)
        elif isinstance(event, Liquidated):
            public.liquidated(event)


def _parse(body: str) -> dict[str, Any]:
    """The JSON object of a POST; an empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        raise ApiError(10001, "Request parameter error: body is not JSON.") from None
    if not isinstance(found, dict):
        raise ApiError(10001, "Request parameter error: body is not an object.")
    return found


def _read_only(credentials: Credentials) -> bool:
    """Whether a key may only read; ``extra`` of the account's credentials says so."""
    return credentials.extra.get("read_only") == "true"


def _operation(path: str, params: Mapping[str, Any]) -> str | None:
    """What a path that serves several purposes is asked for; None for the route's own operation."""
    if path == "/v5/order/realtime" and (params.get("orderId") or params.get("orderLinkId")):
        return "order.query"
    if path == "/v5/execution/list" and params.get("execType") == "Funding":
        return "funding.payments"
    if path == "/v5/account/transaction-log" and params.get("type") == "SETTLEMENT":
        return "funding.payments"
    return None


@asynccontextmanager
async def open_localnet(
    settings: BybitLocalnetSettings, context: OpenContext
) -> AsyncIterator[LocalnetDialect]:
    """The dialect as a component."""
    yield BybitDialect(disconnect_protection=settings.disconnect_protection)
