"""Running exchanges in this process: ``run_localnets`` for programs and tests."""

from __future__ import annotations

import random
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio

from fundingarb.localnet.clock import SharedClock
from fundingarb.localnet.control import Control
from fundingarb.localnet.dialect import LocalnetDialect
from fundingarb.localnet.errors import LocalnetError
from fundingarb.localnet.faults import Fault, FaultBook
from fundingarb.localnet.models.base import MarketModel
from fundingarb.localnet.models.seeded import DEFAULT_START, SeededModel
from fundingarb.localnet.server import Served, listen, serve_app, serve_exchange
from fundingarb.localnet.streams import Hub
from fundingarb.localnet.tasks import background
from fundingarb.localnet.tls import Authority
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Credentials
from fundingarb.localnet.venue import Venue

__all__ = [
    "BALANCE",
    "DialectFactory",
    "Localnet",
    "Options",
    "build_exchange",
    "make_model",
    "run_localnets",
]

DialectFactory = Callable[[], LocalnetDialect]

BALANCE = Decimal(100_000)
"""Starting balance of an account, settle asset."""
STEP = 0.02
"""Real seconds between two steps of the truth when nobody asks for anything."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. ``start`` is the simulated time (unix seconds) at which the programs that use the localnet are
    expected to be ready, ``lead`` real seconds after it is up; None leaves the start to the model, and takes the
    real time at speed 1 (clients that sign with wall-clock time need that)."""

    seed: int = 0
    speed: float = 1.0
    start: float | None = None
    lead: float = 0.0
    replay: Path | None = None
    tls: bool = False
    accounts: int = 2
    balance: Decimal = BALANCE
    ports: Mapping[str, int] = field(default_factory=dict)
    """Port per exchange, and of the control API under ``control``; the rest take free ports."""


@dataclass(frozen=True, slots=True)
class Localnet:
    """Exchanges that are being served. ``ready`` is the content of the ready file."""

    ready: Mapping[str, Any]
    clock: SharedClock
    model: MarketModel
    venues: Mapping[str, Venue]
    control: Control
    control_url: str

    def truth(self, exchange: str) -> Exchange:
        """The truth of an exchange, brought to now."""
        venue = self.venues[exchange]
        venue.sync()
        return venue.truth

    def inject(self, fault: Fault) -> None:
        """Install a fault, as ``POST /faults`` does."""
        self.control.install(fault)

    @property
    def problems(self) -> list[BaseException]:
        """What dialects raised that nobody expected."""
        return [problem for venue in self.venues.values() for problem in venue.problems]


def make_model(exchanges: Sequence[str], options: Options) -> MarketModel:
    """The market model the options ask for."""
    if options.replay is not None:
        from fundingarb.localnet.models.replay import ReplayModel

        return ReplayModel.load(options.replay, exchanges=exchanges, start=options.start, seed=options.seed)
    start = options.start
    if start is None:
        start = time.time() if options.speed == 1 else DEFAULT_START
    return SeededModel(options.seed, exchanges=exchanges, start=start)


def account_names(exchange: str, count: int) -> list[str]:
    """``binance``, ``binance-alt``, ``binance-alt2``, ..."""
    return [exchange, f"{exchange}-alt", *(f"{exchange}-alt{n}" for n in range(2, count))][:count]


def build_exchange(
    dialect: LocalnetDialect, model: MarketModel, *, start: float, options: Options
) -> Exchange:
    """The truth of one exchange with its accounts, not served; also for simulations in process."""
    listed = model.listed(dialect.name)
    instruments = list(dialect.instruments(listed))
    if not instruments:
        raise LocalnetError(f"the market model has no symbol that {dialect.name} lists; use another --replay")
    truth = Exchange(dialect.name, dialect.rules, instruments, model, start=start, seed=options.seed)
    for account in account_names(dialect.name, options.accounts):
        rng = random.Random(f"credentials/{options.seed}/{account}")
        truth.add_account(account, dialect.credentials(account, rng), options.balance)
    return truth


def build_venue(truth: Exchange, clock: SharedClock, seed: int) -> Venue:
    """The handle of an exchange for its dialect."""

    def same_symbol(wanted: str, given: str) -> bool:
        instrument = truth.instruments.get(given)
        return wanted == given or (instrument is not None and instrument.symbol == wanted)

    return Venue(truth, clock, FaultBook(truth.name, seed=seed, same_symbol=same_symbol), Hub())


@asynccontextmanager
async def run_localnets(
    dialects: Mapping[str, DialectFactory],
    options: Options | None = None,
    *,
    model: MarketModel | None = None,
) -> AsyncIterator[Localnet]:
    """Serve an exchange for each dialect, until left.

    ``model`` replaces the one the options describe. Raises ``LocalnetError`` when something cannot start.
    """
    options = options or Options()
    if not dialects:
        raise LocalnetError(
            "no exchange to run: install a plugin that has a localnet, such as fundingarb-binance"
        )
    if model is None:
        model = make_model(list(dialects), options)
    made = {name: factory() for name, factory in dialects.items()}
    start = options.start if options.start is not None else model.start
    epoch = start - options.lead * options.speed
    truths = {
        name: build_exchange(dialect, model, start=epoch, options=options) for name, dialect in made.items()
    }
    async with AsyncExitStack() as stack:
        authority = None
        if options.tls:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fundingarb-localnet-"))
            authority = Authority(Path(folder))
        clock = SharedClock.starting(epoch, options.speed)
        venues = {name: build_venue(truth, clock, options.seed) for name, truth in truths.items()}
        served: dict[str, Served] = {}
        for name, dialect in made.items():
            context: ssl.SSLContext | None = None
            if authority is not None:
                context = authority.server_context(name, dialect.hostnames)
            sock = listen(options.ports.get(name, 0), name)
            served[name] = await stack.enter_async_context(
                serve_exchange(venues[name], dialect, sock, context)
            )
        control = Control(venues, clock)
        sock = listen(options.ports.get("control", 0), "the control API")
        control_url = "http://" + await stack.enter_async_context(serve_app(control.app(), sock))
        ready = {
            "exchanges": {name: describe(one) for name, one in served.items()},
            "control": control_url,
            "clock": clock.to_json(),
            "run": uuid4().hex,
            "ca": str(authority.ca) if authority is not None else None,
        }
        tasks = await stack.enter_async_context(background())
        tasks.start(step_forever(list(venues.values())))
        yield Localnet(ready, clock, model, venues, control, control_url)


def describe(served: Served) -> dict[str, Any]:
    """An exchange's part of the ready file."""
    truth = served.venue.truth
    accounts = []
    for name in truth.accounts:
        credentials: Credentials = truth.credentials(name)
        accounts.append(
            {
                "name": name,
                "api_key": credentials.api_key,
                "api_secret": credentials.api_secret,
                "credentials": dict(credentials.extra),
            }
        )
    endpoints = served.endpoints
    return {
        "rest": endpoints.rest,
        "ws": endpoints.ws,
        "endpoints": dict(endpoints.endpoints),
        "accounts": accounts,
    }


async def step_forever(venues: Sequence[Venue]) -> None:
    """Keep the truth moving and the publishers publishing."""
    while True:
        for venue in venues:
            try:
                venue.sync()
                publish_due(venue)
            except Exception as error:  # noqa: BLE001 - the other exchanges go on
                venue.trouble(error)
        await anyio.sleep(STEP)


def publish_due(venue: Venue) -> None:
    """Run the publishers whose time has come."""
    real = venue.real()
    for publisher in venue.publishers:
        if real < publisher.due:
            continue
        interval = publisher.real_interval(venue.clock.speed)
        # keep the rhythm, but do not make up for frames that were missed
        publisher.due = max(publisher.due + interval, real + interval / 2)
        try:
            publisher.publish()
        except Exception as error:  # noqa: BLE001 - one stream's bug must not stop the others
            venue.trouble(error)
