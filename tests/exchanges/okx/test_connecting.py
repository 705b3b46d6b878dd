"""How often OKX is connected to: three times a second from an address, it documents."""

from __future__ import annotations

import time

import anyio
import pytest

from fundingarb_okx.feeds import CONNECTING, Turns, in_turn

pytestmark = pytest.mark.anyio


async def test_no_more_than_allowed_in_any_stretch_and_nobody_waits_without_need() -> None:
    turns, taken = Turns(2, 0.04), []

    async def take() -> None:
        await turns.take()
        taken.append(time.monotonic())

    begun = time.monotonic()
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(take)
    assert taken[1] - begun < 0.03
    reserved = [begun, begun, begun + 0.04, begun + 0.04, begun + 0.08, begun + 0.08]
    assert all(at >= earliest for at, earliest in zip(taken, reserved, strict=True))


async def test_every_stream_of_this_process_takes_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    async def take() -> None:
        taken.append(True)

    monkeypatch.setattr(CONNECTING, "take", take)
    one, other = in_turn("wss://one"), in_turn("wss://other")
    assert [await one(), await other(), await one()] == ["wss://one", "wss://other", "wss://one"]
    assert len(taken) == 3
