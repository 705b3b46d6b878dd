"""Streams for an adapter that has none: the same sinks, fed by reading again and again.

Enough where a second does not matter. ``class MyAdapter(PolledStreams, RestAdapter)`` needs no line more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol

import anyio

from fundingarb.domain.order import FillKind
from fundingarb.errors import ExchangeError, RateLimited
from fundingarb.exchanges.stream import rate_rows
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb.ports import AccountSink, BookSink, Clock, ExchangeAdapter, RateSink, StreamSink

__all__ = ["PolledStreams"]

OVERLAP = timedelta(seconds=30)
"""A ledger may show a fill later than one that happened after it; so far back it is read again."""


class Polled(ExchangeAdapter, Protocol):
    """What is asked of an adapter beyond ``ExchangeAdapter``; ``RestAdapter`` has it."""

    poll_seconds: float
    clock: Clock

    @property
    def account(self) -> str: ...

    async def instruments(self) -> InstrumentMap: ...


class PolledStreams:
    """The three streams, read every ``poll_seconds`` (real). A read that fails counts as a lost connection."""

    poll_seconds = 1.0

    async def stream_rates(self: Polled, symbols: Sequence[str], sink: RateSink) -> None:
        known = await self.instruments()
        rows = rate_rows(known, symbols, sink)
        listed = [symbol for symbol in symbols if known.get(symbol) is not None]

        async def read() -> None:
            for rate in await self.get_funding_rates(listed):
                row, instrument = rows[rate.instrument.exchange_id], rate.instrument
                interval = rate.interval.total_seconds()
                if interval != sink.book.interval[row]:
                    sink.interval_changed(self.name, instrument.symbol, interval / 3600)
                sink.book.update(
                    row, float(rate.rate), rate.next_settlement.timestamp(), rate.at.timestamp(), interval
                )
                nan = float("nan")
                sink.book.update_price(
                    row,
                    nan if rate.mark is None else float(rate.mark),
                    nan if rate.index is None else float(rate.index),
                )
            sink.book.frame(self.name, self.clock.time())
            sink.flush(self.name)

        await repeat(read, f"{self.name}.rates", sink, self.poll_seconds)

    async def stream_books(self: Polled, symbols: Sequence[str], sink: BookSink) -> None:
        known = await self.instruments()

        async def read() -> None:
            for symbol in symbols:
                if known.get(symbol) is not None:
                    sink.update(await self.get_orderbook(symbol, 20))

        await repeat(read, f"{self.name}.books", sink, self.poll_seconds)

    async def stream_account(self: Polled, sink: AccountSink) -> None:
        since = self.clock.now()
        seen: set[str] = set()
        paid: set[str] = set()

        async def read() -> None:
            nonlocal since
            now = self.clock.now()
            for fill in await self.get_fills(since):
                if fill.trade_id not in seen:
                    seen.add(fill.trade_id)
                    sink.fill(fill)
                    if fill.kind is not FillKind.TRADE:
                        sink.position(self.account, fill.symbol)
            for payment in await self.get_funding_payments(since):
                name = f"{payment.symbol} {payment.at} {payment.ledger_id}"
                if name not in paid:
                    paid.add(name)
                    sink.funding(self.account)
            since = max(since, now - OVERLAP * self.clock.speed)

        await repeat(read, f"{self.name}.account.{self.account}", sink, self.poll_seconds)


async def repeat(read: Callable[[], Awaitable[None]], stream: str, sink: StreamSink, seconds: float) -> None:
    """Read every so many real seconds until cancelled, and tell whether it works."""
    up: bool | None = None
    while True:
        wait = seconds
        try:
            await read()
        except ExchangeError as error:
            if up is not False:
                sink.disconnected(stream, str(error))
            up = False
            wait = max(wait, error.retry_after if isinstance(error, RateLimited) else 0.0)
        else:
            if not up:
                sink.connected(stream)
            up = True
        await anyio.sleep(wait)
