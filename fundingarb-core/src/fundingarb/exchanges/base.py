"""What adapters over REST share: instruments loaded once, reads and writes with our errors, the skew of the clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp
import anyio

from fundingarb.domain.instrument import Instrument
from fundingarb.domain.order import ZERO, ExchangePosition, NewOrder, OrderReport
from fundingarb.errors import (
    AuthenticationFailed,
    BadMessage,
    ConfigError,
    ExchangeError,
    ExchangeUnavailable,
    OrderRefused,
    OutcomeUnknown,
)
from fundingarb.exchanges.guard import NO_HOSTS, Hosts, NetworkGuard
from fundingarb.exchanges.parse import decode, excerpt
from fundingarb.exchanges.rest import (
    CallFailed,
    ErrorCodes,
    Meaning,
    RestClient,
    Skew,
    new_session,
    read_error,
    write_error,
)
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb.ports import OpenContext

T = TypeVar("T")
Told = TypeVar("Told", OrderReport, ExchangePosition)
Opened = TypeVar("Opened", bound="RestAdapter")


_ONE_REQUEST: Mapping[str, float] = {"ip": 1}

_LEAST = Decimal("1e-18")
"""The steps of a contract whose steps nobody needs to know."""

CLOCK_ERROR = timedelta(seconds=1)
"""By how much our idea of an exchange's clock may be wrong; exchanges refuse what is stamped further ahead."""


def expiry(window_ms: int) -> timedelta:
    """How long after it was sent a request may be taken that is stamped with a receive window of so many ms."""
    return timedelta(milliseconds=window_ms) + CLOCK_ERROR


def endpoint(context: OpenContext, name: str) -> str:
    """An address from the localnet's ready file."""
    try:
        return context.endpoints[name]
    except KeyError:
        raise ConfigError(
            f"{context.name}: the localnet's ready file names no `{name}` endpoint; start it again"
        ) from None


class RestAdapter(ABC):
    """Base of an adapter: two REST clients on one session, the instruments by symbol and id, outcomes of orders.

    Entering it makes sure that every address is of the context's network (``ConfigError``), leaving it closes its
    connections.
    """

    name: str
    dead_man = False
    shared_margin_mode = False
    costs: Mapping[str, Mapping[str, float]] = {}

    def __init__(
        self,
        context: OpenContext,
        kind: str,
        codes: ErrorCodes,
        *,
        roots: Mapping[str, str],
        options: Mapping[str, Any],
        timeout: float,
        order_expiry: timedelta | None,
        headers: Mapping[str, str] | None = None,
        hosts: Hosts = NO_HOSTS,
        streams: Sequence[str] = (),
    ) -> None:
        """``hosts`` says which are live and which simulated; ``streams`` are the addresses of the adapter's streams."""
        self.guard = NetworkGuard(self.name, context.network, hosts)
        self._streams, self._headers = tuple(streams), dict(headers or {})
        self.context = context
        self.codes = codes
        self._order_expiry = order_expiry
        self.clock = context.clock
        self.session: aiohttp.ClientSession = new_session(context, self.guard)
        self.skew = Skew()
        self._strange: set[str] = set()

        def client() -> RestClient:
            return RestClient(
                kind,
                context,
                self.session,
                codes,
                self.skew,
                roots=roots,
                options=options,
                timeout=timeout,
                headers=headers,
            )

        self.trading = client()
        self.polling = client()
        self._instruments = InstrumentMap()
        self._loading = anyio.Lock()

    @property
    def order_expiry(self) -> timedelta | None:
        """See ``ports.ExchangeAdapter``."""
        return self._order_expiry

    @property
    def account(self) -> str:
        """The name of the account; ``AuthenticationFailed`` for an adapter that only reads public data."""
        if self.context.account is None:
            raise AuthenticationFailed(f"{self.name}: this needs an account; add credentials for one")
        return self.context.account.name

    def credential(self, name: str) -> str:
        """One of the account's credentials, revealed; ``AuthenticationFailed`` where there is none of that name."""
        owner = self.account
        given = self.context.account.values if self.context.account else {}
        if name not in given:
            raise AuthenticationFailed(f"{self.name}: the credentials of {owner} have no {name}")
        return given[name].reveal()

    def cost(self, operation: str) -> Mapping[str, float]:
        return self.costs.get(operation, _ONE_REQUEST)

    async def __aenter__(self: Opened) -> Opened:
        try:
            self.guard.assert_urls(self._streams, {})
            for each in (self.trading, self.polling):
                self.guard.assert_urls(each.addresses(), self._headers)
        except ConfigError:
            await self.close()
            raise
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close connections, whatever is being cancelled around it."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await self.trading.close()
            await self.polling.close()
            await self.session.close()

    # instruments
    @abstractmethod
    async def get_instruments(self) -> Sequence[Instrument]: ...

    @property
    def known(self) -> InstrumentMap:
        """The instruments as last read; empty before."""
        return self._instruments

    async def instruments(self) -> InstrumentMap:
        """The known instruments; read once, on first need."""
        if not len(self._instruments):
            async with self._loading:
                if not len(self._instruments):
                    await self.get_instruments()
        return self._instruments

    async def instrument(self, symbol: str) -> Instrument:
        """The instrument of ``symbol``; ``ExchangeError`` when the exchange lists none."""
        found = (await self.instruments()).get(symbol)
        if found is None:
            raise ExchangeError(f"{self.name} lists no USDT perpetual {symbol}", code="unknown-symbol")
        return found

    def remember_instruments(self, instruments: Iterable[Instrument]) -> None:
        """See ``ports.RemembersInstruments``."""
        self._instruments.remember(instruments)

    def told(self, rows: list[Told]) -> list[Told]:
        """``rows`` as the exchange told them. What is there of contracts that are not traded here can be closed and
        cancelled from now on: that takes no more than their names."""
        self._strange.update(row.symbol for row in rows if self._instruments.get(row.symbol) is None)
        return rows

    async def _held(self, symbol: str) -> Instrument:
        """As ``instrument``; of a contract that was ``told`` of and is not traded here, one in the exchange's units."""
        if (await self.instruments()).get(symbol) is None and symbol in self._strange:
            return Instrument(
                self.name, symbol, symbol, symbol, "", _LEAST, _LEAST, _LEAST, ZERO, timedelta(hours=8)
            )
        return await self.instrument(symbol)

    def note_interval(self, instrument: Instrument, interval: timedelta) -> None:
        """From now on ``instrument`` settles every ``interval``."""
        self._instruments.replace(replace(instrument, funding_interval=interval))

    async def ids_of(self, symbols: Iterable[str]) -> list[str]:
        """The exchange's ids of those of ``symbols`` that it lists."""
        known = await self.instruments()
        return [found.exchange_id for symbol in symbols if (found := known.get(symbol)) is not None]

    def symbol_of(self, exchange_id: str) -> str:
        """Our symbol of an exchange id; the id itself where the exchange has something we do not trade."""
        found = self._instruments.by_id(exchange_id)
        return exchange_id if found is None else found.symbol

    # requests
    async def read(self, endpoint: str, kind: type[T], params: Mapping[str, Any] | None = None) -> T:
        """The answer of ``endpoint`` as ``kind``; failures as the errors of a read."""
        try:
            body = await self.polling.call(endpoint, params)
        except CallFailed as failure:
            await self._check_clock(failure)
            raise read_error(self.name, failure) from failure
        return decode(kind, body, f"{self.name} {endpoint}")

    async def change(self, endpoint: str, params: Mapping[str, Any] | None = None) -> None:
        """A setting, safe to repeat: succeeds when it is so already; failures as the errors of a read."""
        try:
            await self.trading.write(endpoint, params)
        except CallFailed as failure:
            await self._check_clock(failure)
            if failure.meaning is not Meaning.UNCHANGED:
                raise read_error(self.name, failure) from failure

    async def write(
        self,
        endpoint: str,
        kind: type[T],
        params: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """An order or a cancel: the answer as ``kind``, or ``CallFailed`` for the adapter to look at.

        An answer that cannot be understood is ``OutcomeUnknown``.
        """
        try:
            body = await self.trading.write(endpoint, params, headers)
        except CallFailed as failure:
            await self._check_clock(failure)
            raise
        try:
            return decode(kind, body, f"{self.name} {endpoint}")
        except ExchangeError as error:
            raise OutcomeUnknown(
                f"{self.name} {endpoint}: an answer that cannot be understood: {excerpt(body)}"
            ) from error

    # orders
    @abstractmethod
    async def send_order(self, order: NewOrder, instrument: Instrument) -> OrderReport:
        """Send ``order``; raises what ``write`` raises."""

    @abstractmethod
    async def send_cancel(self, instrument: Instrument, client_id: str) -> None:
        """Ask for the cancel; raises what ``write`` raises."""

    @abstractmethod
    async def send_cancel_by_number(self, instrument: Instrument, exchange_order_id: str) -> None:
        """Ask for the cancel by the exchange's own order id; raises what ``write`` raises."""

    @abstractmethod
    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None: ...

    async def place_order(self, order: NewOrder) -> OrderReport:
        """Send ``order`` once. Whatever is not certainly refused may exist, an answer that cannot be read included."""
        try:
            instrument = await (self._held if order.reduce_only else self.instrument)(order.symbol)
            await self._check_expiry(order)
        except ExchangeError as error:
            raise OrderRefused(f"not sent: {error}", code=error.code) from error
        try:
            return await self.send_order(order, instrument)
        except CallFailed as failure:
            meaning = self.codes.placed(failure)
            if meaning is Meaning.DUPLICATE:
                return await self._adopt(order, failure)
            outcome = write_error(self.name, failure, meaning, self.codes.reason(failure))
            raise outcome from (outcome.__cause__ or failure)
        except BadMessage as error:
            raise OutcomeUnknown(str(error), code=error.code) from error

    async def _check_expiry(self, order: NewOrder) -> None:
        """An order expires as promised only when it is stamped with the exchange's time; reductions go all the same."""
        if self.order_expiry is None or self.skew.measured or order.reduce_only:
            return
        await self.get_server_time()
        if not self.skew.measured:
            raise ExchangeUnavailable(f"{self.name} answers too slowly to tell its time")

    async def _adopt(self, order: NewOrder, failure: CallFailed) -> OrderReport:
        """The order that already has our client order id: it is ours, sent before."""
        try:
            existing = await self.find_order(order.symbol, order.client_id)
        except ExchangeError as error:
            raise OutcomeUnknown(
                f"{self.name}: {failure}; looking it up: {error}", code=failure.code
            ) from error
        if existing is None:
            raise OutcomeUnknown(f"{self.name}: {failure}; but no such order is found", code=failure.code)
        return existing

    async def cancel_order(self, symbol: str, client_id: str) -> bool:
        instrument = await self.instrument(symbol)
        return await self._cancelled(self.send_cancel(instrument, client_id))

    async def cancel_foreign(self, order: OrderReport) -> bool:
        instrument = await self._held(order.symbol)
        return await self._cancelled(self.send_cancel_by_number(instrument, order.exchange_order_id))

    async def _cancelled(self, request: Awaitable[None]) -> bool:
        try:
            await request
        except CallFailed as failure:
            meaning = self.codes.cancelled(failure)
            if meaning is Meaning.MISSING:
                return False
            outcome = write_error(self.name, failure, meaning)
            raise outcome from (outcome.__cause__ or failure)
        return True

    async def cancel_after(self, symbols: Collection[str], seconds: float | None) -> None:
        """See ``ports.ExchangeAdapter``; for exchanges without such a timer."""
        raise ExchangeError(f"{self.name} offers no timer that cancels orders")

    # the exchange's clock
    @property
    def clock_offset(self) -> timedelta | None:
        """The exchange's clock less ours in real time, as last measured."""
        if not self.skew.measured:
            return None
        return timedelta(milliseconds=self.skew.milliseconds / self.clock.speed)

    async def get_server_time(self) -> datetime:
        """What the exchange's clock shows; measures ``clock_offset``, with which requests are signed from then on.

        An answer that took so long that the offset would be wrong by more than ``CLOCK_ERROR`` measures nothing.
        """
        asked = self.clock.time()
        server = await self.read_time()
        answered = self.clock.time()
        if answered - asked <= 2 * CLOCK_ERROR.total_seconds() * self.clock.speed:
            self.skew.measure(server, asked, answered)
        return server

    @abstractmethod
    async def read_time(self) -> datetime:
        """What the exchange says the time is."""

    async def _check_clock(self, failure: CallFailed) -> None:
        """Measure the exchange's clock anew when it says ours is wrong, so that the next request fits."""
        if failure.meaning is Meaning.CLOCK:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                try:
                    await self.get_server_time()
                except ExchangeError:
                    return
