"""Simulated time."""

from __future__ import annotations

import time

import pytest

from fundingarb.localnet.clock import ManualClock, SharedClock, milliseconds


def test_the_ready_files_numbers_give_the_same_clock() -> None:
    clock = SharedClock.starting(1_000_000.0, speed=50)
    other = SharedClock.from_json(clock.to_json())
    assert other == clock
    first = clock.now()
    real = time.monotonic()
    while time.monotonic() - real < 0.01:
        pass
    assert clock.now() - first >= 0.5


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_clock_must_run(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        SharedClock(0, 0, speed)


def test_manual_clock() -> None:
    clock = ManualClock(100.0)
    assert clock.advance(5.5) == clock.now() == 105.5
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_milliseconds_round() -> None:
    assert milliseconds(1_767_600_000.1235) == 1_767_600_000_124
