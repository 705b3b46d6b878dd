"""``fundingarb db``: the schema of the database."""

from __future__ import annotations

from pathlib import Path

import click

from fundingarb.cli.password import database_password

CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration whose database.url is meant.",
)
URL = click.option("--url", help="The database itself: sqlite:///FILE or postgresql://USER@HOST/NAME.")


@click.group("db")
def db_command() -> None:
    """Look after the database."""


@db_command.command("upgrade")
@CONFIG
@URL
@click.option("--no-backup", is_flag=True, help="Make no copy first.")
def upgrade_command(config_file: Path | None, url: str | None, no_backup: bool) -> None:
    """Create the tables in an empty database, or bring older ones to what this version needs.

    All of it happens or none of it. Of an older database a copy is made first, beside it in `backups`. Stop the bot
    before; while one uses the database nothing is upgraded.
    """
    from fundingarb.folders import USUAL_FOLDER
    from fundingarb.store import revision_of, upgrade
    from fundingarb.store.backup import back_up
    from fundingarb.store.database import parse_url, prepare_file
    from fundingarb.store.lease import alone_with
    from fundingarb.store.schema import REVISIONS

    database = _database(config_file, url)
    parsed = parse_url(database)
    prepare_file(parsed)
    with alone_with(parsed):
        if revision_of(database) in REVISIONS[:-1] and not no_backup:
            beside = USUAL_FOLDER.expanduser() if parsed.file is None else parsed.file.parent
            click.echo(f"what was there: {back_up(database, beside / 'backups', 'before-upgrade')}")
        before, after = upgrade(database)
    name = _name(database)
    if before == after:
        click.echo(f"{name}: schema {after}, nothing to do")
    elif before is None:
        click.echo(f"{name}: created with schema {after}")
    else:
        click.echo(f"{name}: upgraded from schema {before} to {after}")


@db_command.command("current")
@CONFIG
@URL
def current_command(config_file: Path | None, url: str | None) -> None:
    """Say which schema the database has, and which one this version needs."""
    from fundingarb.store import revision_of
    from fundingarb.store.schema import REVISIONS

    database = _database(config_file, url)
    revision = revision_of(database)
    have = "no schema yet" if revision is None else f"schema {revision}"
    advice = "" if revision == REVISIONS[-1] else "; run fundingarb db upgrade"
    click.echo(f"{_name(database)}: {have}, this version needs {REVISIONS[-1]}{advice}")


def _database(config_file: Path | None, url: str | None) -> str:
    if url is not None:
        return url
    from fundingarb.cli.run import say_what_runs_elsewhere
    from fundingarb.config import load_config

    config = load_config(config_file)
    say_what_runs_elsewhere(config)
    database_password(config)
    return config.database.url


def _name(url: str) -> str:
    from fundingarb.store.database import parse_url

    return str(parse_url(url))
