"""``fundingarb drill``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.errors import ConfigError, FundingArbError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundingarb.simulation.runner import Result
    from fundingarb.simulation.schedule import Schedule

FILE = click.Path(dir_okay=False, path_type=Path)


class DrillFailed(FundingArbError):
    """An invariant was broken in the simulation. It is a bug of the bot, not of the configuration."""

    exit_status = 1


@click.command("drill")
@click.option("--seed", type=int, default=None, help="Seed of the market and of the random disasters.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Run so many seeds.")
@click.option("--scenario", type=FILE, help="Disasters to run through instead of random ones (YAML or JSON).")
@click.option("--config", "config_file", type=FILE, help="Run this configuration: its limits and strategy.")
@click.option("--save", type=FILE, help="Write the disasters of the first seed to this file, as a scenario.")
@click.option("--report", type=FILE, help="Write everything that happened to this file (JSON).")
def drill_command(
    seed: int | None,
    seeds: int,
    scenario: Path | None,
    config_file: Path | None,
    save: Path | None,
    report: Path | None,
) -> None:
    """Run disasters past the bot, in simulated time.

    The real bot and its database run on exchanges in memory: replies are lost, exchanges go down, positions are
    liquidated, the bot is killed. The report says hedge by hedge how much was unhedged, and for how long. Nothing
    leaves this machine and no account is touched. Without --config it runs the project's own campaign, seed by seed.
    """
    from fundingarb.cli.logs import configure_logging
    from fundingarb.simulation import reports

    configure_logging("ERROR")
    make, run = _world(config_file, scenario)
    results = []
    for number in range(seeds):
        schedule = make(seed if seed is None else seed + number, number)
        if save is not None and number == 0:
            schedule.save(save)
        result = run(schedule)
        results.append(result)
        click.echo(reports.as_text(result))
    if seeds > 1:
        click.echo(reports.summary(results))
    if report is not None:
        report.write_text(reports.as_json(results) + "\n")
    if any(result.breaches for result in results):
        raise DrillFailed("an invariant was broken; this is a bug, please report it with --save and --report")


def _world(
    config_file: Path | None, scenario: Path | None
) -> tuple[Callable[[int | None, int], Schedule], Callable[[Schedule], Result]]:
    """How to make a schedule from (seed, number of the run), and how to run it."""
    from fundingarb.simulation.runner import schedule_of, simulate
    from fundingarb.simulation.schedule import load_schedule, random_schedule

    loaded = load_schedule(scenario) if scenario is not None else None
    if loaded is not None and config_file is None and not loaded.openings:
        raise ConfigError(
            f"scenario {scenario} opens no hedges itself (openings): give --config, whose strategy does"
        )

    def given(seed: int | None, number: int) -> Schedule | None:
        if loaded is None:
            return None
        return replace(loaded, seed=loaded.seed + number if seed is None else seed)

    if config_file is None:
        return (
            lambda seed, number: (
                given(seed, number) or schedule_of((seed or 0) + (number if seed is None else 0))
            )
        ), simulate

    from fundingarb.app import load_config
    from fundingarb.plugins import load_plugins
    from fundingarb.simulation.configured import BEGIN, SECONDS, ConfiguredWorld
    from fundingarb.simulation.pairs import feasible
    from fundingarb.simulation.virtual import LoopClock

    config = load_config(config_file)
    world = ConfiguredWorld(config, load_plugins(config.plugins.allow))

    def make(seed: int | None, number: int) -> Schedule:
        wanted = given(seed, number)
        if wanted is not None:
            return wanted
        chosen = number if seed is None else seed
        drawn = random_schedule(
            chosen, list(feasible()), list(world.accounts), config.trading.symbols, seconds=SECONDS
        )
        return replace(drawn, openings=(), settings={})

    return make, lambda schedule: simulate(schedule, world, clock=LoopClock(BEGIN))
