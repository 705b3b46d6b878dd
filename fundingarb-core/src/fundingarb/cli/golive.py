"""``fundingarb go-live``: from simulation to real money."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.password import PASSWORD_FD, master_password
from fundingarb.cli.run import CONFIG

if TYPE_CHECKING:
    from fundingarb.config import Config
    from fundingarb.ports import LiveReview


@click.command("go-live")
@CONFIG
@PASSWORD_FD
@click.option("--yes", is_flag=True, help="Do not ask after the review.")
def go_live_command(config_file: Path | None, password_fd: int | None, yes: bool) -> None:
    """Review the simulation and switch to real money.

    Counts the hours that this very configuration was simulated on testnet, shows what came of it, and with the master
    password sets network: mainnet in the configuration's file. The next start trades with real money.
    """
    import anyio

    from fundingarb.config import load_config

    anyio.run(_go_live, load_config(config_file), password_fd, yes)


async def _go_live(config: Config, password_fd: int | None, yes: bool) -> None:
    import sys

    import anyio.to_thread

    from fundingarb.config.places import vault_file
    from fundingarb.engine.clock import SystemClock
    from fundingarb.errors import ConfigError
    from fundingarb.panel import open_switch
    from fundingarb.ports import Secret
    from fundingarb.unlocking import take_database_password
    from fundingarb.vault import Vault
    from fundingarb.vault.hardening import harden

    if not yes and not sys.stdin.isatty():
        raise click.UsageError("going live needs somebody who reads the review; add --yes to go on")
    harden()
    password = Secret(await anyio.to_thread.run_sync(master_password, password_fd, abandon_on_cancel=True))
    path = vault_file(config)
    vault = await anyio.to_thread.run_sync(Vault.open, path, password.reveal())
    take_database_password(config, lambda: vault)
    async with open_switch(config, SystemClock(), path, vault.journal_key) as (switch, actor):
        review = await switch.review()
        for line in describe(review):
            click.echo(line)
        if review.obstacles:
            raise ConfigError(f"not yet: {'; '.join(review.obstacles)}")
        if not yes:
            click.confirm("Trade with real money from the next start on?", abort=True)
        click.echo(await switch.go_live(password, review.ticket, actor))


def describe(review: LiveReview) -> list[str]:
    """The review, line by line."""
    return [
        f"simulated with this configuration: {review.hours:.1f} of {review.needed} hours",
        f"hedges closed: {review.hedges}",
        f"result: {review.result:+.2f} USD (funding {review.funding:+.2f}, fees {-review.fees:+.2f})",
        f"critical alerts: {review.critical_alerts}",
    ]
