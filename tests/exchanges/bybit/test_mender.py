"""A snapshot that does not come is asked for again."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from fundingarb_bybit import feeds
from fundingarb_bybit.feeds import Mender

pytestmark = pytest.mark.anyio


class Sent:
    """A connection that remembers commands."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, list[str]]] = []
        self.seen = anyio.Event()

    async def send(self, text: str) -> None:
        command = json.loads(text)
        self.commands.append((command["op"], command["args"]))
        if command["op"] == "subscribe":
            self.seen.set()


async def run(mender: Mender, connection: Any, rounds: int) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mender.run, connection)
            for _ in range(rounds):
                await connection.seen.wait()
                connection.seen = anyio.Event()
            tasks.cancel_scope.cancel()


async def test_missing_snapshots_are_asked_for_until_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SNAPSHOT_SECONDS", 0.01)
    missing = [["AUSDT", "BUSDT"], ["BUSDT"], [], ["BUSDT"]]
    connection = Sent()
    await run(Mender("orderbook.50", lambda: missing.pop(0) if missing else []), connection, 3)
    asked = [args for operation, args in connection.commands if operation == "subscribe"]
    assert asked == [
        ["orderbook.50.AUSDT", "orderbook.50.BUSDT"],
        ["orderbook.50.BUSDT"],
        ["orderbook.50.BUSDT"],
    ]
    assert [operation for operation, _ in connection.commands] == ["unsubscribe", "subscribe"] * 3


async def test_a_gap_is_mended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SNAPSHOT_SECONDS", 1000.0)
    mender, connection = Mender("tickers", lambda: ["AUSDT"]), Sent()
    mender.wake()
    await run(mender, connection, 1)
    assert connection.commands[-1] == ("subscribe", ["tickers.AUSDT"])
