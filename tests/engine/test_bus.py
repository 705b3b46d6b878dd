"""Events to whoever listens, and what becomes of a listener that is slow."""

from __future__ import annotations

import anyio
import pytest

from fundingarb.domain.events import Alert, Severity, StreamChanged
from fundingarb.engine.bus import Bus
from fundingarb.simulation.virtual import START

pytestmark = pytest.mark.anyio


def event(name: str) -> StreamChanged:
    return StreamChanged("alpha", name, True, "", START)


def alert(title: str) -> Alert:
    return Alert(Severity.INFO, title, (), START)


async def test_everybody_gets_everything_in_order() -> None:
    bus = Bus()
    with bus.subscribe() as one, bus.subscribe() as other:
        for name in "abc":
            bus.publish(event(name))
        for subscription in (one, other):
            assert [await subscription.get() for _ in range(3)] == [event("a"), event("b"), event("c")]
            assert subscription.missed == 0


async def test_a_slow_listener_loses_the_oldest_and_knows_it() -> None:
    bus = Bus()
    with bus.subscribe(2) as slow, bus.subscribe(10) as quick:
        for name in "abcde":
            bus.publish(event(name))
        assert slow.missed == 3
        assert [await slow.get(), await slow.get()] == [event("d"), event("e")]
        assert quick.missed == 0
        assert await quick.get() == event("a")


async def test_a_listener_that_wants_alerts_loses_none_to_other_events() -> None:
    bus = Bus()
    with bus.subscribe(2, Alert) as alerts:
        bus.publish(alert("first"))
        for number in range(1000):
            bus.publish(event(str(number)))
        bus.publish(alert("second"))
        assert [await alerts.get(), await alerts.get()] == [alert("first"), alert("second")]
        assert alerts.missed == 0


async def test_waiting_for_an_event() -> None:
    bus = Bus()
    got: list[object] = []
    with bus.subscribe() as subscription:

        async def listen() -> None:
            got.append(await subscription.get())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await anyio.sleep(1)
            assert got == []
            bus.publish(event("a"))
    assert got == [event("a")]


async def test_who_has_left_is_told_nothing() -> None:
    bus = Bus()
    with bus.subscribe(1) as gone:
        pass
    bus.publish(event("a"))
    bus.publish(event("b"))
    assert gone.missed == 0
