"""The offline dYdX: its routes and how they fit together."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from aiohttp import web

from fundingarb.localnet.dialect import Caller, Endpoints, LocalnetDialect, Route
from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.limits import LimitRule, RateLimiter
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.events import AccountChanged, Event, FundingPaid, OrderChanged
from fundingarb.localnet.truth.rules import Instrument, VenueRules
from fundingarb.localnet.truth.types import Credentials, Refused
from fundingarb.localnet.venue import Venue
from fundingarb_dydx.localnet import accounts, market
from fundingarb_dydx.localnet.codes import failed_result, status_of
from fundingarb_dydx.localnet.contracts import CHAIN_ID, RULES, list_instruments
from fundingarb_dydx.localnet.desk import Desk
from fundingarb_dydx.localnet.gateway import Gateway, RpcError
from fundingarb_dydx.localnet.keys import new_credentials
from fundingarb_dydx.localnet.node import Node
from fundingarb_dydx.localnet.stream import Stream
from fundingarb_dydx.localnet.teller import Teller
from fundingarb_dydx.localnet.wire import ApiError, respond

if TYPE_CHECKING:
    from fundingarb.ports import OpenContext
    from fundingarb_dydx.localnet.settings import DydxLocalnetSettings

__all__ = ["DydxDialect", "open_localnet"]

Answer = Callable[[Desk, Mapping[str, str]], Any]

LIMIT = LimitRule("indexer", 100, 10.0, "ip")
"""Requests to the indexer of an address."""
TOO_MANY = "Too many requests"
_PARENT = "parentSubaccountNumber"


class _Path(NamedTuple):
    path: str
    operation: str
    run: Answer


_INDEXER = (
    _Path("/v4/time", "time.read", market.time),
    _Path("/v4/height", "time.read", market.height),
    _Path("/v4/perpetualMarkets", "rates.read", market.perpetual_markets),
    _Path("/v4/orderbooks/perpetualMarket/{ticker}", "book.read", market.orderbook),
    _Path("/v4/historicalFunding/{ticker}", "funding.history", market.historical_funding),
    _Path("/v4/trades/perpetualMarket/{ticker}", "trades.read", market.trades),
    _Path("/v4/candles/perpetualMarkets/{ticker}", "candles.read", market.candles),
    _Path("/v4/sparklines", "candles.read", market.sparklines),
    _Path("/v4/addresses/{address}", "balance.read", accounts.address),
    _Path(
        "/v4/addresses/{address}/subaccountNumber/{subaccountNumber}", "balance.read", accounts.subaccount_of
    ),
    _Path(f"/v4/addresses/{{address}}/{_PARENT}/{{{_PARENT}}}", "balance.read", accounts.parent_subaccount),
    _Path("/v4/assetPositions", "balance.read", accounts.asset_positions),
    _Path("/v4/perpetualPositions", "positions.read", accounts.perpetual_positions),
    _Path("/v4/orders", "orders.open", accounts.orders),
    _Path(f"/v4/orders/{_PARENT}", "orders.open", accounts.orders_of_parent),
    _Path("/v4/orders/{orderId}", "order.query", accounts.order),
    _Path("/v4/fills", "fills.read", accounts.fills),
    _Path("/v4/fills/parentSubaccount", "fills.read", partial(accounts.fills, number=_PARENT)),
    _Path("/v4/fills/parentSubaccountNumber", "fills.read", partial(accounts.fills, number=_PARENT)),
    _Path("/v4/fundingPayments", "funding.payments", accounts.funding_payments),
    _Path(
        "/v4/fundingPayments/parentSubaccount",
        "funding.payments",
        partial(accounts.funding_payments, number=_PARENT),
    ),
    _Path("/v4/transfers", "ledger.read", accounts.transfers),
    _Path(f"/v4/transfers/{_PARENT}", "ledger.read", partial(accounts.transfers, number=_PARENT)),
    _Path("/v4/historical-pnl", "ledger.read", accounts.historical_pnl),
    _Path(f"/v4/historical-pnl/{_PARENT}", "ledger.read", partial(accounts.historical_pnl, number=_PARENT)),
    _Path("/v4/screen", "account.read", accounts.screen),
    _Path("/v4/compliance/screen/{address}", "account.read", accounts.compliance),
)
_RPC = {
    "abci_info": "time.read",
    "status": "time.read",
    "health": "time.read",
    "block": "time.read",
    "tx": "order.query",
    "broadcast_tx_sync": "order.place",
    "broadcast_tx_async": "order.place",
    "broadcast_tx_commit": "order.place",
}
"""Methods and operations; a broadcast that cancels is ``order.cancel``."""


class DydxDialect(LocalnetDialect):
    """dYdX v4: the indexer, and a node of the chain."""

    name: ClassVar[str] = "dydx"
    hostnames: ClassVar[tuple[str, ...]] = (
        "indexer.dydx.trade",
        "indexer.v4testnet.dydx.exchange",
        "dydx-ops-rpc.kingnodes.com",
        "dydx-ops-rest.kingnodes.com",
        "dydx-rest.publicnode.com",
        "test-dydx-rpc.kingnodes.com",
        "test-dydx-rest.kingnodes.com",
    )

    def __init__(self, *, block_time: float = 1.0, rate_limits: bool = True) -> None:
        self._block_time = block_time
        self._rate_limits = rate_limits
        self._limiter = RateLimiter((LIMIT,))
        self._desk: Desk | None = None
        self._node: Node | None = None
        self._gateway: Gateway | None = None
        self._teller: Teller | None = None

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
            ws=f"{ws}/v4/ws",
            endpoints={
                "indexer": rest,
                "stream": f"{ws}/v4/ws",
                "node_rpc": rest,
                "node_rest": rest,
                "chain_id": CHAIN_ID,
            },
        )

    def open(self, venue: Venue) -> Iterable[Route]:
        desk = self._desk = Desk(venue)
        # before the streams' publishers, so that they tell of a block that was made in the same moment
        venue.every(self._block_time, self._produce)
        stream = Stream(desk)
        teller = self._teller = Teller(desk, stream)
        node = self._node = Node(desk, teller.at_once, teller.with_block, teller.block)
        gateway = self._gateway = Gateway(desk, node)
        routes = [
            Route("GET", entry.path, partial(self._answer, entry), entry.operation) for entry in _INDEXER
        ]
        routes += [Route("GET", f"/{method}", gateway.get, operation) for method, operation in _RPC.items()]
        routes += [
            Route("GET", "/v4/ws", stream.handle, "stream.open"),
            Route("POST", "/", gateway.post, "time.read"),
            Route("GET", "/cosmos/auth/v1beta1/account_info/{address}", gateway.account_info, "account.read"),
            Route("GET", "/cosmos/auth/v1beta1/accounts/{address}", gateway.account, "account.read"),
            Route("GET", "/cosmos/base/tendermint/v1beta1/blocks/latest", gateway.latest_block, "time.read"),
            Route("GET", "/cosmos/base/tendermint/v1beta1/node_info", gateway.node_info, "time.read"),
            Route("GET", "/dydxprotocol/v4/feetiers/user_fee_tier", gateway.fee_tier, "fees.read"),
            Route("GET", "/cosmos/tx/v1beta1/txs/{hash}", gateway.transaction, "order.query"),
            Route("POST", "/cosmos/tx/v1beta1/txs", gateway.broadcast, "order.place"),
            Route("POST", "/cosmos/tx/v1beta1/simulate", gateway.simulate, "account.read"),
            Route("*", "/v4/{rest:.*}", self._unknown, "time.read"),
        ]
        return routes

    def _produce(self) -> None:
        if self._node is not None and not self._opened()[0].venue.faults.chain_stalled:
            self._node.produce()

    # -- requests ------------------------------------------------------------------------------------------------

    def _opened(self) -> tuple[Desk, Gateway]:
        if self._desk is None or self._gateway is None:
            raise RuntimeError("the dialect has not been opened")
        return self._desk, self._gateway

    async def _answer(self, entry: _Path, request: web.Request) -> web.StreamResponse:
        desk, _ = self._opened()
        state = self._limiter.charge("indexer", request.remote or "", 1, desk.venue.real())
        if state.exceeded and self._rate_limits:
            headers = {"Retry-After": str(math.ceil(state.retry_after))}
            return respond({"errors": [{"msg": TOO_MANY}]}, status=429, headers=headers)
        try:
            with desk.behind(desk.venue.faults.lag()):
                return respond(entry.run(desk, {**request.query, **request.match_info}))
        except ApiError as error:
            shown: dict[str, str] = {"msg": error.message}
            if error.param:
                shown |= {"param": error.param, "location": "params"}
            return respond({"errors": [shown]}, status=error.status)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return respond({"errors": [{"msg": "Not Found"}]}, status=404)

    # -- what the server asks ------------------------------------------------------------------------------------

    async def caller(self, request: web.Request) -> Caller:
        desk, gateway = self._opened()
        try:
            seen = await gateway.seen(request)
        except RpcError:
            seen = None
        if seen is not None:
            return self.about(seen.owner, seen.pair, seen.operation)
        query = request.query
        address = request.match_info.get("address") or query.get("address") or query.get("user", "")
        ticker = (
            request.match_info.get("ticker") or request.query.get("ticker") or request.query.get("market")
        )
        return Caller(desk.truth.account_of_key(address), ticker)

    def about(self, owner: str | None, pair: int | None, operation: str) -> Caller:
        """Who broadcasts what about which market."""
        desk, _ = self._opened()
        perpetual = desk.pairs.get(pair) if pair is not None else None
        return Caller(
            desk.truth.account_of_key(owner or ""), perpetual.ticker if perpetual else None, operation
        )

    def failure(self, failure: Failure, request: web.Request) -> web.StreamResponse:
        _, gateway = self._opened()
        status = status_of(failure)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return web.Response(status=status, text=failure.message or "unavailable")
        if failure.body is not None:
            return web.Response(status=status, body=failure.body)
        broadcast = request.path.startswith(("/broadcast_tx", "/cosmos/tx")) or request.path == "/"
        if broadcast and failure.kind is FailureKind.REJECTED:
            return gateway.refusal(request, failed_result(failure, "0" * 64))
        if failure.kind in (FailureKind.RATE_LIMITED, FailureKind.REJECTED):
            limited = failure.kind is FailureKind.RATE_LIMITED
            message = failure.message or (TOO_MANY if limited else "Bad request")
            headers = {"Retry-After": str(math.ceil(failure.retry_after))} if limited else None
            return respond({"errors": [{"msg": message}]}, status=status, headers=headers)
        text = failure.message or {403: "Forbidden", 429: "Too Many Requests"}.get(
            status, "Service Unavailable"
        )
        page = f"<html><head><title>{status} {text}</title></head><body>{text}</body></html>"
        return web.Response(status=status, text=page, content_type="text/html")

    def refused(self, refused: Refused, request: web.Request) -> web.StreamResponse:
        return respond({"errors": [{"msg": refused.detail}]}, status=400)

    def serve(self, venue: Venue) -> AbstractAsyncContextManager[Mapping[str, str]]:
        """The node's gRPC."""
        from fundingarb_dydx.localnet.rpc import serve_grpc

        desk, gateway = self._opened()
        if self._node is None:
            raise RuntimeError("the dialect has not been opened")
        return serve_grpc(desk, self._node, gateway, self.about)

    def on_event(self, event: Event) -> None:
        desk, teller = self._desk, self._teller
        if desk is None or teller is None:
            return
        if isinstance(event, OrderChanged):
            if event.fill is not None:
                desk.positions.filled(event.fill)
            record = desk.orders.changed(event, desk.chain.height_at(event.time_ms))
            teller.order_changed(event, record)
        elif isinstance(event, FundingPaid):
            desk.positions.paid(event.payment)
        elif isinstance(event, AccountChanged):
            teller.account_changed(event)


@asynccontextmanager
async def open_localnet(
    settings: DydxLocalnetSettings, context: OpenContext
) -> AsyncIterator[LocalnetDialect]:
    """The dialect as a component."""
    yield DydxDialect(block_time=settings.block_time, rate_limits=settings.rate_limits)
