"""What an exchange package writes to put its exchange on the localnet: a ``LocalnetDialect``.

The truth (``Venue.truth``) knows what happened; the dialect knows how its exchange says it: paths, signatures, error
codes, field lists, channels. A dialect holds no state of the market or of accounts. The server around it applies
injected faults by operation name, accepts connections, advances time and starts and stops everything.

A request goes like this: route found -> ``caller(request)`` -> faults planned for (operation, account, symbol) ->
truth brought to now -> handler -> reply (or what the fault makes of it). A handler reads ``venue.truth`` and answers;
``Refused`` that escapes it goes to ``refused``.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import ClassVar

from aiohttp import web

from fundingarb.localnet.faults import Failure
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.events import Event
from fundingarb.localnet.truth.rules import Instrument, VenueRules
from fundingarb.localnet.truth.types import Credentials, Refused
from fundingarb.localnet.venue import Venue

__all__ = ["Caller", "Credentials", "Endpoints", "LocalnetDialect", "Route", "Venue"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks and about what, as far as it can be told without checking the signature; for matching faults."""

    account: str | None = None
    symbol: str | None = None
    """Native id or model symbol."""
    operation: str | None = None
    """More exact than the route's, where one path serves several purposes; None takes the route's."""


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP route. ``path`` is aiohttp's (``/ws/{stream}``). ``operation`` is a name of ``faults``.

    A websocket handler is a route with method GET and operation ``stream.open``; it makes a ``Session`` (streams.py)
    and runs it. Faults on what it sends are applied by the session.
    """

    method: str
    path: str
    handler: Handler
    operation: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the ready file says about an exchange besides its accounts."""

    rest: str
    ws: str
    endpoints: Mapping[str, str] = field(default_factory=dict)


class LocalnetDialect(ABC):
    """The wire protocol of one exchange."""

    name: ClassVar[str]
    """The exchange's name in fundingarb: binance."""
    hostnames: ClassVar[tuple[str, ...]] = ()
    """The exchange's real host names, put into the throw-away certificate: fapi.binance.com."""

    @property
    @abstractmethod
    def rules(self) -> VenueRules:
        """Fees, rounding and habits of the venue."""

    @abstractmethod
    def instruments(self, symbols: Sequence[ModelSymbol]) -> Sequence[Instrument]:
        """The contracts this exchange lists for the model's symbols (it may leave some out)."""

    @abstractmethod
    def credentials(self, account: str, rng: random.Random) -> Credentials:
        """Keys for an account, in the form the exchange gives out; drawn from ``rng`` so that a seed repeats them."""

    @abstractmethod
    def open(self, venue: Venue) -> Iterable[Route]:
        """Take the venue, subscribe to its events, schedule publishers, and return the routes. Called once."""

    @abstractmethod
    def endpoints(self, rest: str, ws: str) -> Endpoints:
        """Addresses for the ready file. ``rest`` and ``ws`` are ``http://127.0.0.1:PORT`` and ``ws://...``."""

    @abstractmethod
    def failure(self, failure: Failure, request: web.Request) -> web.StreamResponse:
        """An injected failure as this exchange would say it (``failure.code`` literally where it is given)."""

    @abstractmethod
    def refused(self, refused: Refused, request: web.Request) -> web.StreamResponse:
        """The exchange's answer to something the truth refused (``refused.code`` literally where it is given)."""

    async def caller(self, request: web.Request) -> Caller:
        """Who asks, from header, query or body; no checks. Only used to match faults."""
        return Caller()

    def serve(self, venue: Venue) -> AbstractAsyncContextManager[Mapping[str, str]]:
        """Servers besides HTTP (gRPC). Entered before ``endpoints`` are written; what it yields is added to them."""
        return nullcontext({})

    @abstractmethod
    def on_event(self, event: Event) -> None:
        """Called with every event of the truth, in order, from inside the call that caused it (never await).

        Render it and publish it to the private topics of ``event.account`` here.
        """
