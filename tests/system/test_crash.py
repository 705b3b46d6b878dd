"""The real bot killed at a few points that matter, and started again. ``tox -e crash`` does it at every one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.campaigns.crash_case import PRELOAD, PROCESSES, Case, Result, run_case

pytestmark = pytest.mark.slow

#: Which leg goes first depends on the books at the moment the hedge is opened.
KILLS = {
    "the first leg is filled and nobody knows": ("close", "sent ?e001, no reply #1"),
    "the second leg's order is stored and not sent": ("close", "before send of ?h001 #1"),
    "the second leg is filled and not stored": ("close", "before commit of ?h001 FILLED #1"),
    "one close is sent, the other is not": ("close", "sent lc001, no reply #1"),
    "the kill switch is latched and nothing else done": ("kill", "after set_killed #1"),
}


def test_a_kill_at_any_of_these_ends_hedged_or_flat_with_every_fill_booked(tmp_path: Path) -> None:
    PROCESSES.set_forkserver_preload(list(PRELOAD))

    def run(number: int, scenario: str, kill: str) -> Result:
        folder = tmp_path / str(number)
        return run_case(Case("sqlite", scenario, (kill,)), folder, f"sqlite:///{folder / 'bot.db'}")

    with ThreadPoolExecutor(len(KILLS)) as pool:
        results = list(pool.map(run, range(len(KILLS)), *zip(*KILLS.values(), strict=True)))
    for what, result in zip(KILLS, results, strict=True):
        assert result.reached, what
        assert result.failures == [], what
