"""What systemd is told, and by whom."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.engine.conftest import anyio_backend
from tests.engine.stage import floor

from fundingarb.notify import Notifier

__all__ = ["anyio_backend"]


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + path[1:] if path[0] == "@" else path)
        self._socket.setblocking(False)

    def said(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(str(tmp_path / "s") if request.param == "path" else f"@fundingarb-test-{os.getpid()}")
    yield made
    made.close()


def test_ready_alive_stopping(systemd: Systemd) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "30000000"})
    notifier.ready("trading,\n1 hedge open")
    for _ in range(100):
        notifier.alive()
    notifier.stopping("stopping")
    assert systemd.said() == [
        "READY=1\nSTATUS=trading, 1 hedge open",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_without_a_watchdog_or_with_another_s_nothing_is_fed(systemd: Systemd) -> None:
    for environment in ({}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}):
        Notifier({"NOTIFY_SOCKET": systemd.path, **environment}).alive()
    assert systemd.said() == []


def test_nobody_listens_and_nothing_happens(tmp_path: Path) -> None:
    for path in ("", str(tmp_path / "nobody")):
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1"})
        notifier.ready("x")
        notifier.alive()


@pytest.mark.anyio
async def test_the_trading_loop_feeds_the_watchdog_and_a_loop_that_stalls_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In virtual time: everything else of the bot goes on, only the loop's round does not end."""
    listener = Systemd(str(tmp_path / "s"))
    made = floor()
    notifier = Notifier({"NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "30000000"}, made.clock.monotonic)
    async with made.running() as bot:
        bot.loop.beat = notifier.alive
        await anyio.sleep(60)
        fed = len(listener.said())
        assert 7 <= fed <= 9, "every quarter of the period"
        stalled = anyio.Event()

        async def never() -> None:
            stalled.set()
            await anyio.sleep_forever()

        monkeypatch.setattr(bot.loop, "tick", never)
        await stalled.wait()
        listener.said()
        looked = bot.vitals().loop_lag
        await anyio.sleep(300)
        assert listener.said() == [], "systemd kills it and starts it again"
        assert bot.vitals().loop_lag == looked or bot.vitals().loop_lag is not None
    listener.close()
