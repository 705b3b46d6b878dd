"""What counts as met: what has happened, in the stage in which it happened."""

from __future__ import annotations

from typing import Any

import pytest

from fundingarb.simulation.pairs import drilled, feasible, reason_against
from fundingarb.simulation.runner import Result, simulate
from fundingarb.simulation.schedule import ENTERING, KINDS, Opening, Schedule, Strike
from fundingarb.simulation.stages import Stage

OPENING = Opening(3.0, "BTC-USDT", "alpha", "beta", 2000.0, 30.0)


def run(*strikes: Strike, **changes: Any) -> Result:
    result = simulate(Schedule(1, 90.0, (OPENING,), strikes, **changes), lines=True)
    assert [str(breach) for breach in result.breaches] == []
    return result


def stages(result: Result, kind: str) -> dict[str, int]:
    return {stage: times for (stage, each), times in result.coverage.items() if each == kind}


@pytest.mark.parametrize("kind", ["close", "stream_disconnect", "stream_stall", "kill_loss", "crash"])
def test_what_comes_to_nothing_because_the_bot_is_down_is_not_met(kind: str) -> None:
    down = Strike("crash", "HEDGED", lasts=15.0)
    result = run(down, Strike(kind, "HEDGED", delay=6.0, lasts=1.0))
    assert stages(result, "crash") == {"HEDGED": 1}
    assert kind == "crash" or stages(result, kind) == {}


@pytest.mark.parametrize("kind", ["close", "stream_disconnect", "stream_stall", "by_hand", "crash"])
def test_what_happens_is_met_in_the_stage_before_it(kind: str) -> None:
    assert stages(run(Strike(kind, "HEDGED", delay=0.5, lasts=1.0)), kind) == {"HEDGED": 1}


def test_nothing_is_held_any_more_so_nobody_takes_it_by_hand() -> None:
    assert stages(run(Strike("by_hand", "FLAT")), "by_hand") == {}


@pytest.mark.parametrize("kind", ["db_before", "db_after", "db_down", "db_hang"])
@pytest.mark.parametrize("stage", ["A_INTENT", "B_INTENT", "CLOSE_INTENT", "FLAT"])
def test_the_commit_that_brings_a_hedge_into_a_stage_fails(kind: str, stage: str) -> None:
    met = stages(run(Strike(kind, stage, operation=ENTERING)), kind)
    assert met[stage] == 1
    assert kind in ("db_down", "db_hang") or met == {stage: 1}


def test_a_commit_that_never_comes_does_not_fail() -> None:
    result = run(Strike("db_before", "UNWIND", operation=ENTERING))
    assert stages(result, "db_before") == {}
    assert result.waiting == [("db_before", "UNWIND")]


@pytest.mark.parametrize("kind", ["db_hang", "db_down", "outage", "maintenance"])
def test_what_lasts_is_met_once_in_each_stage(kind: str) -> None:
    met = stages(run(Strike(kind, "HEDGED", delay=20.0, lasts=25.0, operation="*", count=None)), kind)
    assert met["HEDGED"] == 1
    assert set(met.values()) == {1}


@pytest.mark.parametrize("kind", ["kill", "kill_loss", "kill_absent"])
@pytest.mark.parametrize("stage", ["A_INTENT", "HEDGED", "CLOSE_INTENT"])
def test_a_kill_is_met_in_the_stage_in_which_it_latches(kind: str, stage: str) -> None:
    result = run(Strike(kind, stage, lasts=1.0))
    assert stages(result, kind) == {stage: 1}
    (struck,) = [at for at, each, _ in result.struck if each == kind]
    spoken = [line for line in result.lines or () if "|alert|CRITICAL|Kill Switch|" in line]
    assert kind == "kill_absent" or "Latched by" in spoken[0]
    assert struck < 90


def test_every_pair_is_met_somewhere_or_has_a_reason() -> None:
    somewhere = {*feasible(), *drilled()}
    assert not set(feasible()) & set(drilled())
    for stage in Stage:
        for kind in KINDS:
            assert (stage, kind) in somewhere or len(reason_against(stage, kind) or "") > 20
    during = {kind for stage, kind in drilled() if stage is Stage.KILLING}
    assert during == {*KINDS} - {"kill_loss", "beside"}
