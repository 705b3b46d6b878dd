"""Counted failpoints around the store and the adapters of a real bot: where a process may be made to kill itself.

Nothing of it is in the program: a test program wraps what ``fundingarb.app`` opens. Every passage of a failpoint is
one line in a file; a failpoint is named by what is about to happen, and counted. ``late`` and ``sent`` need a localnet:
the order reaches the exchange, the answer (or even the order itself) is still under way when the process dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import anyio
from tests.campaigns.wire.names import Names

from fundingarb.domain.order import NewOrder, OrderReport
from fundingarb.errors import ExchangeError
from fundingarb.ports import Batch

#: Real seconds between a send and the arrival of a late order; the process dies ``LATE_KILL`` after the send.
LATE, LATE_KILL = 2.0, 0.3
READS = ("get_open_orders", "get_positions", "get_fills", "get_funding_payments")


@dataclass
class Failpoints:
    """Notes every passage in ``log``; kills this process at ``armed`` (``NAME #COUNT``; ? is any letter)."""

    log: Path
    control: str
    speed: float
    armed: str | None = None
    reads: bool = False
    _seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, text: str) -> None:
        os.write(self._file, f"{time.monotonic():.3f} {text}\n".encode())

    def reached(self, *names: str) -> bool:
        """Count one passage of everything that happens in it; whether the armed one is among them."""
        self._seen.update(names)
        passages = [f"{name} #{self._seen[name]}" for name in names]
        self.note("; ".join(passages))
        return self.armed is not None and any(fnmatchcase(passage, self.armed) for passage in passages)

    def pass_by(self, *names: str) -> None:
        if self.reached(*names):
            self.die()

    def die(self) -> None:
        self.note("killed")
        os.kill(os.getpid(), signal.SIGKILL)

    # the localnet

    def fault(self, **fault: Any) -> None:
        data = json.dumps(fault).encode()
        request = urllib.request.Request(
            f"{self.control}/faults", data, {"Content-Type": "application/json"}, method="POST"
        )
        urllib.request.urlopen(request, timeout=10).close()

    def accepted(self, client_id: str) -> bool:
        with urllib.request.urlopen(f"{self.control}/truth", timeout=10) as response:
            accounts = json.load(response)["accounts"]
        Names(lambda: [client_id]).put_into(accounts)
        return any(
            order["client_id"] == client_id for account in accounts.values() for order in account["orders"]
        )


def order_name(client_id: str) -> str:
    """Leg, purpose and attempt of one of our client order ids: ``le001``."""
    return client_id[-5:]


def contents(batches: Sequence[Batch]) -> list[str]:
    """What is being stored, one name per row that matters."""
    names = [
        *(f"intent {intent.mode.value}" for batch in batches for intent in batch.intents),
        *(
            f"{order_name(order.client_id)} {order.state.value}"
            for batch in batches
            for order in batch.orders
        ),
        *(f"flatten {order.state.value}" for batch in batches for order in batch.flatten_orders),
        *("fills" for batch in batches if batch.fills),
        *("payments" for batch in batches if batch.payments),
    ]
    return list(dict.fromkeys(names)) or ["journal"]


class KillingStore:
    """A store with failpoints: inside the transaction before its COMMIT, and after the commit was reported."""

    def __init__(self, inner: Any, points: Failpoints) -> None:
        self._inner = inner
        self._points = points

    async def commit(self, batch: Batch) -> Any:
        result = await self._inner.commit(batch)
        self._points.pass_by(*(f"after commit of {name}" for name in contents([batch])))
        return result

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("set_killed", "save_config", "localnet_run", "load"):
            return found

        async def work(*arguments: Any, **options: Any) -> Any:
            self._points.pass_by(f"before {name}")
            result = await found(*arguments, **options)
            self._points.pass_by(f"after {name}")
            return result

        return work


class KillingAdapter:
    """An adapter with failpoints around what changes or asks for orders, and around reads where wanted."""

    def __init__(self, inner: Any, account: str, points: Failpoints) -> None:
        self._inner = inner
        self._account = account
        self._points = points

    async def place_order(self, order: NewOrder) -> OrderReport:
        points, name = self._points, order_name(order.client_id)
        points.note(f"send {order.client_id}")
        points.pass_by(f"before send of {name}")
        if points.reached(f"sent {name}, no reply"):
            await self._die_before_the_reply(order)
        if points.reached(f"sent {name}, on its way"):
            await self._die_before_the_arrival(order)
        try:
            report: OrderReport = await self._inner.place_order(order)
            return report
        finally:
            points.pass_by(f"after reply to {name}")

    async def _die_before_the_reply(self, order: NewOrder) -> None:
        points = self._points
        points.fault(kind="latency", account=self._account, operation="order.place", seconds=5, count=1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send, order)
            for _ in range(100):
                await anyio.sleep(0.02)
                if points.accepted(order.client_id):
                    break
            points.die()

    async def _die_before_the_arrival(self, order: NewOrder) -> None:
        points = self._points
        points.fault(
            kind="late_accept",
            account=self._account,
            operation="order.place",
            seconds=LATE * points.speed,
            count=1,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send, order)
            await anyio.sleep(LATE_KILL)
            points.die()

    async def _send(self, order: NewOrder) -> None:
        with contextlib.suppress(ExchangeError):
            await self._inner.place_order(order)

    async def cancel_order(self, symbol: str, client_id: str) -> Any:
        self._points.note(f"cancel {client_id}")
        self._points.pass_by(f"before cancel of {order_name(client_id)}")
        result = await self._inner.cancel_order(symbol, client_id)
        self._points.pass_by(f"after cancel of {order_name(client_id)}")
        return result

    async def find_order(self, symbol: str, client_id: str) -> Any:
        result = await self._inner.find_order(symbol, client_id)
        self._points.pass_by(f"after question for {order_name(client_id)}")
        return result

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not self._points.reads or name not in READS:
            return found

        async def read(*arguments: Any) -> Any:
            result = await found(*arguments)
            self._points.pass_by(f"after {name} of {self._account}")
            return result

        return read


def wrap_store(points: Failpoints, open_store: Callable[..., Any]) -> Callable[..., Any]:
    """``open_store`` whose store has failpoints."""
    from fundingarb.store.write import Write

    inside = Write.run

    def run(self: Write, batches: Sequence[Batch]) -> Any:
        result = inside(self, batches)
        points.pass_by(*(f"before commit of {name}" for name in contents(batches)))
        return result

    Write.run = run  # type: ignore[method-assign]

    @asynccontextmanager
    async def opened(*arguments: Any, **options: Any) -> AsyncIterator[KillingStore]:
        points.pass_by("before opening the database")
        async with open_store(*arguments, **options) as store:
            points.pass_by("after opening the database")
            yield KillingStore(store, points)

    return opened
