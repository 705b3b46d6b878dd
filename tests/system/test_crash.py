"""The real bot killed at a few points that matter, and started again. ``tox -e crash`` does it at every one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.campaigns.crash import PAIRS, Wanted, markets_of, own_steps, recovery_cases
from tests.campaigns.crash_case import PRELOAD, PROCESSES, Case, Result, run_case
from tests.campaigns.crash_report import ALL, crash_points, gaps, kinds, report

#: Which leg goes first depends on the books at the moment the hedge is opened.
KILLS = {
    "the first leg is filled and nobody knows": ("close", "sent ?e001, no reply #1"),
    "the second leg's order is stored and not sent": ("close", "before send of ?h001 #1"),
    "the second leg is filled and not stored": ("close", "before commit of ?h001 FILLED #1"),
    "one close is sent, the other is not": ("close", "sent lc001, no reply #1"),
    "the kill switch is latched and nothing else done": ("kill", "after set_killed #1"),
}


@pytest.mark.slow
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


def met(kill: str, first: str = "okx", *, scenario: str = "close", reached: bool = True) -> Result:
    """A kill at a step, after which the restart stored that the order was filled."""
    steps = [
        "after load #1",
        "before commit of lc001 FILLED #1",
        "after get_positions of okx #1",
        "sent lc002 #2",
    ]
    case = Case("sqlite", scenario, (kill,), pair=("okx", "dydx"))
    return Result(case, steps, reached=reached, first=first)


def test_what_was_not_met_or_not_reached_fails_the_campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = met("sent ?h001, no reply #1")
    lacking = gaps([sent], ["okx", "dydx"])
    assert lacking == [
        *(f"sqlite: {point}" for point in ALL if point != "C7"),
        "sqlite: okx as the second leg",
        "sqlite: dydx as the first leg",
    ]
    assert gaps([met("sent ?h001, no reply #1", reached=False)], [])[6] == "sqlite: C7"
    lost, by_chance = (
        met("before send of lc001 #1", reached=False),
        met("before cancel of ?e001 #1", reached=False),
    )
    by_chance.certain = False
    for results, gap, status in (
        ([sent], [], 0),
        ([sent, by_chance], [], 0),
        ([sent, lost], [], 1),
        ([sent], lacking, 1),
        ([], [], 1),
    ):
        assert report(results, gap, tmp_path, 60.0) == status
    assert f"not reached: {lost.case.name}" in capsys.readouterr().out


def test_a_kill_in_the_kill_switch_is_one_after_the_latch() -> None:
    points = [
        crash_points(met(step, scenario="kill-foreign").case)
        for step in (
            "before set_killed #1",
            "after set_killed #1",
            "before send of ?0001 #1",
            "sent lc001, no reply #1",
        )
    ]
    assert points == [[], ["C14"], ["C14"], ["C14"]]


def test_restarts_are_killed_once_at_every_kind_of_step_after_every_crash_point() -> None:
    closing, other = met("before send of lc001 #1"), met("after commit of intent CLOSING #1")
    assert kinds(closing) == [
        ("", "after load", "after load #1"),
        ("C10", "before commit of c FILLED", "before commit of lc001 FILLED #1"),
        ("C10", "after get_positions", "after get_positions of okx #1"),
    ]
    wanted = recovery_cases([closing, other, met("sent ?h001, no reply #1")], ALL)
    assert [(each.certain, len(each.cases)) for each in wanted] == [
        (True, 3),
        (True, 2),
        (True, 2),
        *[(False, 1)] * 2,
    ]
    assert [case.kills[0] for case in wanted[1].tries(1)] == [other.case.kills[0], closing.case.kills[0]] * 2
    assert len(Wanted([closing.case]).tries(5)) == 2
    again = met("before send of ?e002 #1")
    assert not Wanted([again.case] * 3).certain
    assert Wanted([replace(again.case, scenario="partial")] * 2).certain


def test_every_exchange_has_the_first_leg_in_one_pair_and_the_second_in_another() -> None:
    exchanges = {exchange for pair, _ in PAIRS for exchange in pair}
    assert {first for _, first in PAIRS} == exchanges
    assert {exchange for pair, first in PAIRS for exchange in pair if exchange != first} == exchanges
    assert [market.pair for market in markets_of(None, 7)] == [pair for pair, _ in PAIRS]
    assert [market.pair for market in markets_of(("okx", "dydx"), 7)] == [("okx", "dydx")] * 2


def test_a_scenario_is_killed_from_where_it_becomes_its_own() -> None:
    held = "after commit of intent HOLDING #1"
    assert own_steps("close", ["a", "b"], ()) == ["a", "b"]
    assert own_steps("partial", ["a", "c", "b"], {"a", "b"}) == ["c", "b"]
    assert own_steps("kill", ["a", "c", held, "d"], {"a", held}) == [held, "d"]
