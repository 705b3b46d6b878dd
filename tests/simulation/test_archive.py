"""Schedules that once broke an invariant: they never may again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundingarb.simulation.runner import simulate
from fundingarb.simulation.schedule import load_schedule

ARCHIVE = sorted((Path(__file__).parents[1] / "campaigns" / "archive").glob("*.json"))


@pytest.mark.parametrize("path", ARCHIVE, ids=[path.stem for path in ARCHIVE])
def test_archived_failure(path: Path) -> None:
    assert [str(breach) for breach in simulate(load_schedule(path)).breaches] == []
