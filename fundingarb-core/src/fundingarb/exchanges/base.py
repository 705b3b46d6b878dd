"""What adapters over REST share: instruments loaded once, reads and writes with our errors, the skew of the clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import aiohttp
import anyio

from fundingarb.domain.instrument import Instrument
from fundingarb.errors import AuthenticationFailed, ExchangeError, OutcomeUnknown
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


CLOCK_ERROR = timedelta(seconds=1)
"""By how much our idea of an exchange's clock may be wrong; exchanges refuse what is stamped further ahead."""


def expiry(window_ms: int) -> timedelta:
    """How long after it was sent a request may be taken that is stamped with a receive window of so many ms."""
    return timedelta(milliseconds=window_ms) + CLOCK_ERROR


class RestAdapter(ABC):
    """Base of an adapter: two REST clients on one session, and the instruments by symbol and id."""

    name: str
    dead_man = False

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
    ) -> None:
        self.context = context
        self.order_expiry = order_expiry
        self.clock = context.clock
        self.session: aiohttp.ClientSession = new_session(context)
        self.skew = Skew()

        def client() -> RestClient:
            return RestClient(
                kind, context, self.session, codes, self.skew, roots=roots, options=options, timeout=timeout
            )

        self.trading = client()
        self.polling = client()
        self._instruments = InstrumentMap()
        self._loading = anyio.Lock()

    @property
    def account(self) -> str:
        """The name of the account; ``AuthenticationFailed`` for an adapter that only reads public data."""
        if self.context.account is None:
            raise AuthenticationFailed(f"{self.name}: this needs an account; add credentials for one")
        return self.context.account.name

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

    async def write(self, endpoint: str, kind: type[T], params: Mapping[str, Any]) -> T:
        """An order or a cancel: the answer as ``kind``, or ``CallFailed`` for the adapter to look at.

        An answer that cannot be understood is ``OutcomeUnknown``.
        """
        try:
            body = await self.trading.write(endpoint, params)
        except CallFailed as failure:
            await self._check_clock(failure)
            raise
        try:
            return decode(kind, body, f"{self.name} {endpoint}")
        except ExchangeError as error:
            raise OutcomeUnknown(
                f"{self.name} {endpoint}: an answer that cannot be understood: {excerpt(body)}"
            ) from error

    def outcome(self, failure: CallFailed) -> ExchangeError:
        """A failed write as ``OrderRefused`` or ``OutcomeUnknown``."""
        return write_error(self.name, failure)

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
        """What the exchange's clock shows; measures ``clock_offset``, with which requests are signed from then on."""
        asked = self.clock.time()
        server = await self.read_time()
        self.skew.measure(server, asked, self.clock.time())
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
