"""``fundingarb doctor``: is everything as a bot needs it, and if not, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.password import PASSWORD_FD
from fundingarb.cli.run import CONFIG, READY_FILE, SETTINGS, given

if TYPE_CHECKING:
    from fundingarb.panel.doctor import Finding

UNWELL = 1
"""The exit status when something failed."""


@click.command("doctor")
@CONFIG
@SETTINGS
@READY_FILE
@PASSWORD_FD
@click.option("--alert", is_flag=True, help="Send a CRITICAL test alert to every configured sink.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for programs.")
def doctor_command(
    config_file: Path | None, ready_file: Path | None, password_fd: int | None, alert: bool, as_json: bool
) -> None:
    """Check everything a bot needs.

    Plugins, database, disk, and of every account the clock, the key's permissions, balance, modes and symbols; the
    streams of every exchange, and the alert sinks. One line each, what to do below what is wrong. Nothing is changed;
    a bot may run meanwhile. The exit status is 1 when something failed.
    """
    import anyio

    if anyio.run(_doctor, config_file, ready_file, password_fd, alert, as_json):
        raise SystemExit(UNWELL)


async def _doctor(
    config_file: Path | None, ready_file: Path | None, password_fd: int | None, alert: bool, as_json: bool
) -> int:
    """Print the findings; returns how many checks failed."""
    from fundingarb.cli.run import load_surroundings
    from fundingarb.config import load_config
    from fundingarb.panel.doctor import Verdict, examine
    from fundingarb.plugins import load_usable_plugins

    config = load_config(config_file, given())
    around = load_surroundings(config, ready_file, password_fd, secrets=True)
    verdicts = []
    async for finding in examine(config, around, load_usable_plugins(config.plugins.allow), alert=alert):
        for line in [as_line(finding)] if as_json else lines(finding):
            click.echo(line)
        verdicts.append(finding.verdict)
    failed, warnings = verdicts.count(Verdict.FAILED), verdicts.count(Verdict.WARNING)
    if not as_json:
        click.echo(f"{len(verdicts)} checks: {failed} failed, {warnings} warnings")
    return failed


def lines(finding: Finding) -> Iterator[str]:
    """The row of one finding, and below it what to do."""
    yield f"{finding.verdict.value:8} {finding.subject:20} {finding.check:10} {finding.detail}"
    if finding.remedy:
        yield f"{'':9}do: {finding.remedy}"


def as_line(finding: Finding) -> str:
    """One finding as a JSON object."""
    import json

    return json.dumps(
        {
            "subject": finding.subject,
            "check": finding.check,
            "verdict": finding.verdict.value.lower(),
            "detail": finding.detail,
            "remedy": finding.remedy,
        }
    )
