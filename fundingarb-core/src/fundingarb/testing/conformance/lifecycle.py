"""Cases about opening and closing: nothing leaks, and nothing talks to another network."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio

from fundingarb.errors import ConfigError, ExchangeUnavailable, FundingArbError
from fundingarb.testing.conformance.desk import BTC, Desk, serve
from fundingarb.testing.conformance.registry import case
from fundingarb.testing.conformance.words import check, eventually, fails
from fundingarb.testing.sinks import RecordingAccountSink, RecordingBookSink, RecordingRateSink


async def busy(desk: Desk, adapter: Any, tasks: Any) -> None:
    """All streams run, and something has been read."""
    rates, books, account = RecordingRateSink(), RecordingBookSink(), RecordingAccountSink()
    tasks.start_soon(adapter.stream_rates, [BTC], rates)
    tasks.start_soon(adapter.stream_books, [BTC], books)
    tasks.start_soon(adapter.stream_account, account)
    await adapter.get_balance()
    await eventually("all streams are up", lambda: rates.ups and books.ups and account.ups)


@case("C80", "Closing, whatever is being cancelled around it")
async def shutdown(desk: Desk) -> None:
    """The adapter closes its connections in a cancelled scope too, within five seconds, and leaves no task behind."""
    sessions = {id(one) for one in desk.net.venues[desk.exchange].hub.sessions}
    before = asyncio.all_tasks()
    started = anyio.current_time()
    async with anyio.create_task_group() as tasks, desk.another(desk.credentials) as adapter:
        await busy(desk, adapter, tasks)
        started = anyio.current_time()
        tasks.cancel_scope.cancel()
    check(anyio.current_time() - started < 5.5, "closing took more than five seconds")

    def left() -> list[str]:
        served = {each for each in asyncio.all_tasks() - before if "aiohttp.web" in repr(each.get_coro())}
        mine = asyncio.all_tasks() - before - served - {asyncio.current_task()}
        return [repr(task.get_coro()) for task in mine if "localnet" not in repr(task)]

    await eventually("no task is left", lambda: not left())

    def connections() -> list[Any]:
        return [one for one in desk.net.venues[desk.exchange].hub.sessions if id(one) not in sessions]

    await eventually("no connection is left", lambda: not connections())


@case("C81", "Opening and closing without having been used")
async def unused(desk: Desk) -> None:
    threads = threading.active_count()
    async with desk.another(desk.credentials):
        pass
    async with desk.another(None) as adapter:
        check(adapter.name == desk.exchange, f"it calls itself {adapter.name}, not {desk.exchange}")
    check(threading.active_count() <= threads + 1, "a thread is left")


class Outgoing:
    """Where this process connects to while it is watched; names that were looked up count."""

    def __init__(self) -> None:
        self.watching = False
        self.addresses: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, details: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        if event == "socket.connect" and isinstance(details[1], tuple):
            self.addresses.append(str(details[1][0]))
        elif event == "socket.getaddrinfo" and details[0] is not None:
            self.addresses.append(str(details[0]))


_outgoing: list[Outgoing] = []


@contextmanager
def watched() -> Iterator[list[str]]:
    """The addresses that are connected to inside (an audit hook stays for good, so there is one)."""
    if not _outgoing:
        _outgoing.append(Outgoing())
    one = _outgoing[0]
    one.addresses = []
    one.watching = True
    try:
        yield one.addresses
    finally:
        one.watching = False


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@case("C82", "One network only")
async def network(desk: Desk) -> None:
    """On a localnet nothing is asked of the real exchange, and without its addresses nothing starts."""
    with watched() as addresses:
        async with desk.another(desk.credentials) as adapter, anyio.create_task_group() as tasks:
            await busy(desk, adapter, tasks)
            await adapter.get_instruments()
            await adapter.get_server_time()
            await adapter.get_positions()
            await adapter.get_key_permissions()
            await adapter.place_order(desk.resting())
            tasks.cancel_scope.cancel()
    strange = sorted({host for host in addresses if not is_loopback(host)})
    check(addresses, "no connection was seen")
    check(not strange, f"connections to {', '.join(strange)}")
    with fails_in_one_line("an adapter on a localnet without addresses"):
        async with desk.another(desk.credentials, endpoints={}) as adapter:
            await adapter.get_instruments()


@contextmanager
def fails_in_one_line(what: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        check("\n" not in str(error), f"{what}: the message has several lines")
        return
    except FundingArbError as error:
        check(False, f"{what} raised {type(error).__name__} ({error}), expected ConfigError")
    check(False, f"{what} started")


@case("C83", "Only certificates that are trusted", real_time=True)
async def tls(desk: Desk) -> None:
    async with serve(desk.subject, 1.0, tls=True) as net:
        endpoints = net.ready["exchanges"][desk.exchange]["endpoints"]
        trusting = ssl.create_default_context(cafile=net.ready["ca"])
        async with desk.another(None, endpoints=endpoints, ssl=trusting) as adapter:
            check(await adapter.get_instruments(), "no instruments over TLS")
            sink = RecordingBookSink()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(adapter.stream_books, [BTC], sink)
                await eventually("books over TLS", lambda: sink.books)
                tasks.cancel_scope.cancel()
        async with desk.another(None, endpoints=endpoints) as adapter:
            with fails(ExchangeUnavailable, "a certificate of an authority that nobody trusts"):
                await adapter.get_instruments()
