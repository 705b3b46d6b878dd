"""A few seeds of the campaign, in every run of the tests; and that a seed is one run, whoever runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.campaigns.simulate import run_seed

from fundingarb.domain.hedge import LegState
from fundingarb.simulation.pairs import feasible
from fundingarb.simulation.runner import EXCHANGES, SYMBOLS, schedule_of, simulate
from fundingarb.simulation.schedule import random_schedule

PROGRAM = """
import sys
from fundingarb.simulation.pairs import feasible
from fundingarb.simulation.runner import EXCHANGES, SYMBOLS, simulate
from fundingarb.simulation.schedule import random_schedule
print(simulate(random_schedule(int(sys.argv[1]), list(feasible()), EXCHANGES, SYMBOLS)).digest)
"""


@pytest.mark.parametrize("seed", range(8))
def test_seed(seed: int) -> None:
    result = simulate(random_schedule(seed, list(feasible()), EXCHANGES, SYMBOLS))
    assert [str(breach) for breach in result.breaches] == []
    assert result.hedges
    assert result.struck


def test_a_seed_on_exchanges_that_list_and_rule_as_real_ones_do() -> None:
    done = run_seed(0, ("okx", "dydx"))
    assert done.breaches == ()
    assert done.hedges
    assert done.digest not in (run_seed(0, ("dydx", "okx")).digest, run_seed(0).digest)


def test_a_seed_is_one_run_whatever_the_hash_seed() -> None:
    digests = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, "3"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert digests[0] == digests[1] != ""


def test_a_bot_that_sends_orders_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leg whose order is in doubt is not frozen: something is sent again and again, faster than it is judged."""
    monkeypatch.setattr(LegState, "idle", property(lambda leg: not leg.live))
    (breach,) = simulate(schedule_of(0)).breaches
    assert (breach.invariant, "within a minute" in breach.text) == ("RUNAWAY", True)
