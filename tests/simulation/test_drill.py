"""``fundingarb drill`` and its scenario files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fundingarb.cli.drill import drill_command
from fundingarb.errors import ConfigError
from fundingarb.simulation.runner import schedule_of
from fundingarb.simulation.schedule import Schedule, Strike, load_schedule, read_schedule


def drill(*arguments: str) -> str:
    result = CliRunner().invoke(drill_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_seed_says_hedge_by_hedge_what_happened_and_its_saved_scenario_repeats_it(tmp_path: Path) -> None:
    report, saved = tmp_path / "report.json", tmp_path / "seed.json"
    text = drill("--seed", "4", "--save", str(saved), "--report", str(report))
    assert text.startswith("seed 4: ")
    assert "no invariant broken" in text
    assert "unhedged at most $" in text
    assert "BTC-USDT long " in text
    assert load_schedule(saved) == schedule_of(4)
    (document,) = json.loads(report.read_text())
    assert document["breaches"] == []
    assert document["hedges"]
    again = tmp_path / "again.json"
    drill("--scenario", str(saved), "--report", str(again))
    assert json.loads(again.read_text())[0]["digest"] == document["digest"]


def test_a_configuration_is_run_with_its_own_exchanges_symbols_and_strategy(
    root: Path, tmp_path: Path
) -> None:
    config = tmp_path / "fundingarb.yaml"
    config.write_text(
        "accounts:\n  one: {exchange: binance}\n  two: {exchange: bybit}\n"
        "trading:\n  symbols: [SOL-USDT]\n  target_size_usd: 1500\n"
    )
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "seconds: 600\nstrikes:\n"
        "  - {kind: lost_reply, stage: B_INTENT, leg: second, operation: order.place}\n"
        "  - {kind: crash, stage: HEDGED, lasts: 5}\n"
    )
    text = drill("--config", str(config), "--scenario", str(scenario))
    assert "SOL-USDT long one short two" in text or "SOL-USDT long two short one" in text
    assert "lost_reply while B_INTENT" in text
    assert "crash while HEDGED" in text
    assert "no invariant broken" in text


def test_the_example_scenario_can_be_read(root: Path) -> None:
    schedule = load_schedule(root / "examples" / "disasters.yaml")
    assert {strike.kind for strike in schedule.strikes} >= {"outage", "crash", "liquidation"}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "a mapping with `strikes` is expected"),
        ({"strike": []}, "unknown key 'strike'"),
        ({"strikes": [{"kind": "flood"}]}, "there is no fault 'flood'"),
        ({"strikes": [{"kind": "crash", "stage": "LOST"}]}, "there is no stage 'LOST'"),
        ({"strikes": [{"kind": "crash", "when": 5}]}, "unknown key 'when'"),
        ({"strikes": [7]}, "strikes[0] is not a mapping"),
        ({"seconds": "long"}, "Expected `float`"),
    ],
)
def test_a_scenario_that_cannot_be_used_is_one_line(document: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_schedule(document, "x.yaml")
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_saving_and_loading_is_lossless(tmp_path: Path) -> None:
    schedule = Schedule(9, strikes=(Strike("latency", "A_OPEN", at=3.25, seconds=0.5, count=None),))
    schedule.save(tmp_path / "s.json")
    assert load_schedule(tmp_path / "s.json") == schedule
