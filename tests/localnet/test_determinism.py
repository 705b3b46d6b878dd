"""One seed is one truth: in another process, with other hash seeds, however often it is looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.localnet.still import START, Desk, StillModel
from tests.localnet.story import story


def test_one_seed_is_one_story_and_another_seed_another() -> None:
    assert story(3) == story(3)
    assert story(3) != story(4)


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_the_story_does_not_depend_on_the_process(root: Path, hash_seed: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.localnet.story", "5"],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert run.stdout.strip() == story(5)


def test_looking_more_often_changes_nothing() -> None:
    def fills(steps: list[float]) -> list[tuple[int, str, str]]:
        desk = Desk(StillModel(flow=0.2, flow_value=300))
        desk.order("BUY", "5", "1000")
        for step in steps:
            desk.to(START + step)
            desk.exchange.book(desk.id)
            desk.exchange.ticker(desk.id)
            desk.exchange.trades(desk.id)
        desk.to(START + 60)
        return [(f.time_ms, f.id, str(f.quantity)) for f in desk.exchange.fills("a")]

    once = fills([])
    assert len(once) > 3
    assert fills([n * 0.37 for n in range(160)]) == once
    assert fills([0.001, 12.5, 12.51, 59.999]) == once
