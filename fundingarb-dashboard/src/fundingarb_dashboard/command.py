"""``fundingarb dashboard``: what a person does about the dashboard at a terminal."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["dashboard_group"]


@click.group("dashboard")
def dashboard_group() -> None:
    """Look after the dashboard."""


@dashboard_group.command("password")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file (YAML).",
)
@click.option(
    "--password-fd", type=click.IntRange(min=0), help="Read the password from this open file descriptor."
)
def password_command(config_file: Path | None, password_fd: int | None) -> None:
    """Set the password of the dashboard.

    Only its Argon2id hash is stored, in the file that the setting password_file names. A running dashboard takes it
    at its next start.
    """
    from fundingarb import load_config
    from fundingarb.privatefiles import write_private
    from fundingarb_dashboard.passwords import hash_password
    from fundingarb_dashboard.settings import DashboardSettings

    section = load_config(config_file).services.get("dashboard", {}) if config_file else {}
    settings = DashboardSettings.model_validate(section)
    if password_fd is None:
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        with open(password_fd, encoding="utf-8") as file:
            password = file.readline().rstrip("\r\n")
    write_private(settings.password_file, hash_password(password) + "\n", "dashboard.password_file")
    click.echo(f"the hash is in {settings.password_file.expanduser()}; restart the bot to use it", err=True)
