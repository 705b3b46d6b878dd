"""The Binance dialect of the localnet, put together."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web

from fundingarb.localnet.dialect import Caller, Credentials, Endpoints, LocalnetDialect, Route, Venue
from fundingarb.localnet.faults import Failure
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.events import Event
from fundingarb.localnet.truth.rules import Instrument, VenueRules
from fundingarb.localnet.truth.types import Refused
from fundingarb_binance.localnet import contracts
from fundingarb_binance.localnet.accounts import Accounts
from fundingarb_binance.localnet.answers import BinanceError, failed, refusal
from fundingarb_binance.localnet.context import Context
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.feeds import Feeds
from fundingarb_binance.localnet.gateway import Gateway
from fundingarb_binance.localnet.history import History
from fundingarb_binance.localnet.keys import new_credentials
from fundingarb_binance.localnet.market import Market
from fundingarb_binance.localnet.modes import Modes
from fundingarb_binance.localnet.orders import Orders
from fundingarb_binance.localnet.params import read
from fundingarb_binance.localnet.settings import BinanceLocalnetSettings
from fundingarb_binance.localnet.streams import Streams
from fundingarb_binance.localnet.user_data import UserData
from fundingarb_binance.localnet.wallet import Wallet
from fundingarb_binance.localnet.ws_api import WebsocketApi

if TYPE_CHECKING:
    from fundingarb.ports import OpenContext

__all__ = ["BinanceLocalnet", "open_localnet"]

_MARGIN_WATCH_SECONDS = 5.0


class BinanceLocalnet(LocalnetDialect):
    """Binance USD-M futures."""

    name: ClassVar[str] = "binance"
    hostnames: ClassVar[tuple[str, ...]] = (
        "fapi.binance.com",
        "fstream.binance.com",
        "ws-fapi.binance.com",
        "api.binance.com",
    )

    def __init__(self, settings: BinanceLocalnetSettings | None = None) -> None:
        self.settings = settings or BinanceLocalnetSettings()
        self._rules = contracts.rules()
        self._listings: dict[str, Listing] = {}
        self._context: Context | None = None
        self._listeners: tuple[Callable[[Event], None], ...] = ()

    # -- before the venue exists -----------------------------------------------------------------------------

    @property
    def rules(self) -> VenueRules:
        return self._rules

    def instruments(self, symbols: Sequence[ModelSymbol]) -> Sequence[Instrument]:
        self._listings = {listing.id: listing for listing in contracts.listings(symbols)}
        return [listing.instrument for listing in self._listings.values()]

    def credentials(self, account: str, rng: random.Random) -> Credentials:
        return new_credentials(rng)

    # -- the venue -------------------------------------------------------------------------------------------

    def open(self, venue: Venue) -> Iterable[Route]:
        context = self._context = Context(venue, self._listings)
        gateway = Gateway(context)
        user_data = UserData(context, self.settings.listen_key_seconds)
        market = Market(context)
        feeds = Feeds(context, market)
        orders = Orders(context, user_data)
        accounts = Accounts(context)
        streams = Streams(context, user_data, feeds.subscribed)
        self._listeners = (user_data.on_event, feeds.on_event)
        feeds.schedule()
        venue.every(_MARGIN_WATCH_SECONDS, user_data.watch_margin)
        parts = (market, orders, accounts, Modes(context), History(context), Wallet(context), user_data)
        endpoints = [endpoint for part in parts for endpoint in part.endpoints()]
        ws_api = WebsocketApi(context, gateway, market, orders, accounts, user_data)
        nowhere = Route("*", "/{path:.*}", _unknown_path, "account.read")
        return [*gateway.routes(endpoints), *ws_api.routes(), *streams.routes(), nowhere]

    def endpoints(self, rest: str, ws: str) -> Endpoints:
        return Endpoints(
            rest,
            ws,
            {
                "fapi": rest,
                "sapi": rest,
                "spot": rest,
                "stream": ws,
                "ws_api": f"{ws}/ws-fapi/v1",
            },
        )

    # -- answers the server asks for -------------------------------------------------------------------------

    def failure(self, failure: Failure, request: web.Request) -> web.StreamResponse:
        if failure.body is not None:
            return web.Response(body=failure.body, status=failure.status or 503, content_type="text/html")
        return failed(failure, round(time.time() * 1000)).response()

    def refused(self, refused: Refused, request: web.Request) -> web.StreamResponse:
        return refusal(refused).response()

    async def caller(self, request: web.Request) -> Caller:
        params = await read(request)
        key = self._context.keys.find(request.headers.get("X-MBX-APIKEY", "")) if self._context else None
        return Caller(key.account if key else None, params.optional("symbol"))

    def on_event(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


async def _unknown_path(request: web.Request) -> web.StreamResponse:
    return BinanceError(-5000, f"Path {request.path}, Method {request.method} is invalid", 404).response()


@asynccontextmanager
async def open_localnet(
    settings: BinanceLocalnetSettings, context: OpenContext
) -> AsyncIterator[LocalnetDialect]:
    """The component's ``open``."""
    yield BinanceLocalnet(settings)
