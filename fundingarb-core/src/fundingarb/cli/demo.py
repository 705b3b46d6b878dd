"""``fundingarb demo``."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click

from fundingarb.errors import FundingArbError


class DemoFailed(FundingArbError):
    """The demo ended without what was asked of it."""

    exit_status = 1


def parse_time(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """An ISO time; one without a zone is UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a time; write it like 2025-10-10T23:38") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


@click.command("demo")
@click.option(
    "--cycles", type=click.IntRange(1), help="End after this many hedges were opened, paid and closed."
)
@click.option(
    "--speed", type=click.FloatRange(1, 100_000), help="How much faster than real time the clock runs."
)
@click.option(
    "--replay",
    type=click.Path(exists=True, path_type=Path),
    help="Recorded funding history to trade on (CSV folder).",
)
@click.option("--from", "start", callback=parse_time, help="Where in the recorded history to start (UTC).")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Stop after this many simulated days.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the simulated market.")
@click.option("--symbol", "symbols", multiple=True, help="Trade only this symbol (repeatable).")
@click.option("--headless", is_flag=True, help="No terminal view and no dashboard: lines on standard output.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port of the dashboard."
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to this file."
)
def demo_command(
    cycles: int | None,
    speed: float | None,
    replay: Path | None,
    start: datetime | None,
    days: float | None,
    seed: int,
    symbols: tuple[str, ...],
    headless: bool,
    port: int,
    report: Path | None,
) -> None:
    """Trade on offline exchanges, with nothing to set up.

    Starts exchanges that speak the real ones' protocols on this machine, and the bot on them.
    """
    import anyio

    from fundingarb.cli.logs import configure_logging
    from fundingarb.demo.runner import DemoOptions, run_demo

    configure_logging("ERROR")
    options = DemoOptions(cycles, speed, replay, start, days, seed, headless, port, report, symbols)
    result = anyio.run(run_demo, options)
    if not result["reconciled"]:
        raise DemoFailed(
            "the books do not agree with the exchanges; this is a bug, please report it with --report"
        )
