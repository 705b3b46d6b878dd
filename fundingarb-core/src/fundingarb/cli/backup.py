"""``fundingarb backup`` and ``fundingarb restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.password import database_password
from fundingarb.cli.run import CONFIG, SETTINGS, load_for_emergencies
from fundingarb.domain.control import plain

if TYPE_CHECKING:
    from fundingarb.store.backup import Restored

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("backup")
@CONFIG
@SETTINGS
@click.option("--to", "folder", type=FOLDER, help="Folder of the copy; without it that of the daily ones.")
def backup_command(config_file: Path | None, folder: Path | None) -> None:
    """Copy the database while the bot trades.

    The copy is checked, and appears only when it is whole. `fundingarb run` makes one a day by itself.
    """
    from fundingarb.app import backup_folder
    from fundingarb.store.backup import back_up

    config = load_for_emergencies(config_file)
    database_password(config)
    click.echo(str(back_up(config.database.url, folder or backup_folder(config))))


@click.command("restore")
@CONFIG
@SETTINGS
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--another", is_flag=True, help="FILE is a copy of another database, and it is meant.")
@click.argument("file", type=click.Path(path_type=Path))
def restore_command(config_file: Path | None, yes: bool, another: bool, file: Path) -> None:
    """Put a backup in place of the database.

    The bot has to be stopped. Of what is there now a copy is made first. A new database takes any copy; one in which
    there has been a hedge takes its own, and those of others with --another only. What happened since the backup was
    made is not in it: start with fundingarb reconcile. Kill switch and pause stay latched where they are.
    """
    import sys

    from fundingarb.app import backup_folder
    from fundingarb.store.backup import restore
    from fundingarb.store.database import parse_url
    from fundingarb.store.schema import REVISIONS

    config = load_for_emergencies(config_file)
    database_password(config)
    url = config.database.url
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("restore replaces everything in the database; add --yes to go on")
        click.confirm(f"Replace everything in the {parse_url(url)} by {file}?", abort=True)
    done = restore(url, file, backup_folder(config), another=another)
    if done.before is not None:
        click.echo(f"what was there: {done.before}")
    more = "" if done.revision == REVISIONS[-1] else "; run fundingarb db upgrade"
    click.echo(f"restored: {file}, schema {done.revision}{more}")
    for line in _latches(done):
        click.echo(line)
    click.echo("what happened since it was made is not in it: run fundingarb reconcile before fundingarb run")


def _latches(done: Restored) -> list[str]:
    """What is said of the switches."""
    from fundingarb.store.reading import KILLED

    if done.latched is None:
        return [
            "nothing was there to tell whether the kill switch was latched: entries are paused, "
            "end that with fundingarb resume"
        ]
    said = {KILLED: "the kill switch stays latched"}
    return [
        f"{said.get(each.name, 'entries stay paused')} (by {plain(each.actor)}): end that with fundingarb resume"
        for each in done.latched
    ]
