"""Every installed localnet in a thread of its own, on real time: clients sign with what the wall clock says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from tests.needs import need

from fundingarb.localnet.installed import installed_dialects
from fundingarb.localnet.run import Localnet, Options, run_localnets

T = TypeVar("T")


@dataclass
class Running:
    """Localnets that serve while a test uses them from another thread."""

    ready: Mapping[str, Any]
    net: Localnet
    portal: anyio.from_thread.BlockingPortal = field(repr=False)

    def exchange(self, name: str) -> Any:
        """An exchange's part of the ready file; the test is skipped when its plugin is not installed."""
        need(name in self.ready["exchanges"], f"the {name} localnet", f"pip install ./fundingarb-{name}")
        return self.ready["exchanges"][name]

    def inside(self, work: Callable[[Localnet], T]) -> T:
        """Run ``work`` where the localnet runs, between two of its requests."""
        return self.portal.call(work, self.net)

    def settle(self, exchange: str, instrument: str) -> None:
        """Take one exchange past the next funding settlement of an instrument and its posting.

        Its truth runs ahead of the clock from then on, so this comes last in a module.
        """

        def forward(net: Localnet) -> None:
            truth = net.truth(exchange)
            truth.advance(truth.funding(instrument).next_ms / 1000 + 5)

        self.inside(forward)


@contextmanager
def serving(exchanges: Sequence[str] = (), *, tls: bool = False) -> Iterator[Running]:
    """Serve these exchanges (default: all that are installed) from a thread until left."""
    started = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with (
            installed_dialects(exchanges) as dialects,
            run_localnets(dialects, Options(seed=11, tls=tls)) as net,
            anyio.from_thread.BlockingPortal() as portal,
        ):
            found["running"] = Running(net.ready, net, portal)
            found["stop"] = stop = anyio.Event()
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            anyio.run(serve)
        except BaseException as error:
            found["error"] = error
            raise
        finally:
            started.set()

    thread = threading.Thread(target=run, name="localnets", daemon=True)
    thread.start()
    started.wait(60)
    if "running" not in found:
        raise RuntimeError("the localnets did not start") from found.get("error")
    running: Running = found["running"]
    yield running
    problems = running.net.problems
    running.portal.call(found["stop"].set)
    thread.join(30)
    assert not problems, problems


@pytest.fixture(scope="module")
def localnets() -> Iterator[Running]:
    with serving() as running:
        yield running
