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


def test_every_disaster_of_the_example_strikes(root: Path, tmp_path: Path) -> None:
    config, scenario = tmp_path / "fundingarb.yaml", root / "examples" / "disasters.yaml"
    config.write_text(
        "accounts:\n  one: {exchange: binance}\n  two: {exchange: bybit}\n"
        "trading:\n  symbols: [BTC-USDT, SOL-USDT]\n  target_size_usd: 1500\n"
    )
    text = drill("--config", str(config), "--scenario", str(scenario))
    assert "never struck" not in text
    assert f"{len(load_schedule(scenario).strikes)} disasters" in text
    assert "no invariant broken" in text


def test_a_scenario_that_tests_nothing_says_so(tmp_path: Path) -> None:
    scenario = tmp_path / "nothing.yaml"
    scenario.write_text("strikes:\n  - {kind: crash, stage: HEDGED}\n")
    with pytest.raises(ConfigError, match="give --config, whose strategy does"):
        CliRunner().invoke(drill_command, ["--scenario", str(scenario)], catch_exceptions=False)
    scenario.write_text(
        "seconds: 30\nstrikes:\n  - {kind: crash, stage: HEDGED}\n"
        "openings:\n  - {at: 90, symbol: BTC-USDT, long: alpha, short: beta, usd: 500, hold: 5}\n"
    )
    text = drill("--scenario", str(scenario))
    assert "NO HEDGE WAS OPENED" in text
    assert "never struck: crash, no hedge reached HEDGED" in text


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("strikes: [{kind: crash, account: nobody}]", "names the account nobody; there are alpha, beta"),
        ("strikes: [{kind: outage, exchange: mars}]", "names the exchange mars"),
        ("strikes: [{kind: price_gap, symbol: XYZ-USDT}]", "names the symbol XYZ-USDT"),
        (
            "openings: [{at: 1, symbol: XYZ-USDT, long: alpha, short: beta, usd: 1, hold: 1}]",
            "symbol XYZ-USDT",
        ),
    ],
)
def test_a_scenario_that_names_what_is_not_there_is_one_line(tmp_path: Path, part: str, problem: str) -> None:
    scenario = tmp_path / "scenario.yaml"
    opening = "openings: [{at: 1, symbol: BTC-USDT, long: alpha, short: beta, usd: 500, hold: 5}]\n"
    scenario.write_text(part + "\n" + ("" if "openings" in part else opening))
    with pytest.raises(ConfigError) as error:
        CliRunner().invoke(drill_command, ["--scenario", str(scenario)], catch_exceptions=False)
    assert problem in str(error.value)


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
        ({"seconds": -5}, "it has to be more than zero"),
        ({"strikes": 7}, "strikes is not a list"),
        ({"strikes": [{"kind": "crash", "leg": "frist"}]}, "there is no leg 'frist'"),
        ({"strikes": [{"kind": "outage", "lasts": -1}]}, "a figure below zero"),
        ({"settings": {"leverge": 3}}, "unknown setting 'leverge'"),
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
