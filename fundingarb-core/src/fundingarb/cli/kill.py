"""``fundingarb kill``, ``fundingarb pause`` and ``fundingarb resume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.password import PASSWORD_FD
from fundingarb.cli.run import (
    CONFIG,
    READY_FILE,
    SETTINGS,
    load_for_emergencies,
    load_surroundings,
    plugins_for_emergencies,
)

if TYPE_CHECKING:
    from fundingarb.panel import Panel


@click.command("kill")
@CONFIG
@SETTINGS
@READY_FILE
@PASSWORD_FD
@click.option("--yes", is_flag=True, help="Do not ask.")
def kill_command(
    config_file: Path | None, ready_file: Path | None, password_fd: int | None, yes: bool
) -> None:
    """Latch the kill switch and close everything.

    Entries go off, every order on every configured account is cancelled and every position closed, whoever opened
    it, until the exchanges say that nothing is left. Works with the bot running, hanging or absent; a bot that does not
    answer within 5 seconds is ended. The switch stays latched until fundingarb resume. On testnet and mainnet this
    takes the master password only when no bot is there that does it.
    """
    import anyio

    anyio.run(_kill, config_file, ready_file, password_fd, yes)


async def _kill(
    config_file: Path | None, ready_file: Path | None, password_fd: int | None, yes: bool
) -> None:
    import sys

    from fundingarb.panel import open_panel

    config = load_for_emergencies(config_file)
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("kill closes every position on every configured account; add --yes to go on")
    around = load_surroundings(config, ready_file, password_fd)
    plugins = plugins_for_emergencies(config)
    async with open_panel(config, around, plugins, create=True) as panel:
        if not yes:
            for line in await _what(panel, read=config.network == "localnet" or password_fd is not None):
                click.echo(line)
            click.confirm("Close all of it?", abort=True)
        await panel.kill(click.echo)


async def _what(panel: Panel, *, read: bool) -> list[str]:
    """What a kill closes: hedges of ours, and whatever else is on the accounts, where they can be ``read``: outside of
    a localnet that takes the master password, which a kill does not."""
    from fundingarb.domain.reconcile import Books, compare
    from fundingarb.errors import FundingArbError

    hedges = await panel.hedges()
    lines = [
        f"hedge {hedge.symbol}: {hedge.long.filled} long on {hedge.intent.long.account}, "
        f"{hedge.short.filled} short on {hedge.intent.short.account}"
        for hedge in hedges
    ]
    if not read:
        others = "and whatever else is on the configured accounts, whoever opened it; it is named when it is closed"
        return [*lines, f"{others} (--password-fd has it listed before)"]
    try:
        holdings = await panel.holdings()
    except FundingArbError as error:
        return [*lines, f"the accounts cannot be read ({error}); whatever is there is closed too"]
    for found in holdings:
        if found.problem is not None:
            lines.append(f"{found.account}: cannot be read ({found.problem}); what is there is closed too")
        for difference in compare(found.account, hedges, found.positions, found.orders, Books()):
            what = "order" if difference.subject == "open order" else f"{difference.quantity}"
            name = f" {difference.exchange}" if difference.subject == "open order" else ""
            lines.append(f"not of this bot: {found.account} {difference.symbol} {what}{name}")
    return lines or ["nothing is open; the kill switch is latched all the same"]


@click.command("pause")
@CONFIG
@SETTINGS
@READY_FILE
def pause_command(config_file: Path | None, ready_file: Path | None) -> None:
    """Open no more hedges.

    What is open is looked after as before. It lasts until fundingarb resume, over restarts too. Works with the bot
    running or absent.
    """
    import anyio

    anyio.run(_pause, config_file, ready_file)


async def _pause(config_file: Path | None, ready_file: Path | None) -> None:
    from fundingarb.panel import open_panel

    config = load_for_emergencies(config_file)
    async with open_panel(
        config, load_surroundings(config, ready_file), plugins_for_emergencies(config)
    ) as panel:
        click.echo(await panel.pause(click.echo))


@click.command("resume")
@CONFIG
@SETTINGS
@READY_FILE
@PASSWORD_FD
def resume_command(config_file: Path | None, ready_file: Path | None, password_fd: int | None) -> None:
    """Go on after a kill or a pause.

    Releasing the kill switch is refused while an order or a position is left anywhere; on testnet and mainnet it
    takes the master password. Works with the bot running or absent.
    """
    import anyio

    anyio.run(_resume, config_file, ready_file, password_fd)


async def _resume(config_file: Path | None, ready_file: Path | None, password_fd: int | None) -> None:
    from fundingarb.panel import open_panel

    config = load_for_emergencies(config_file)
    async with open_panel(
        config, load_surroundings(config, ready_file, password_fd), plugins_for_emergencies(config)
    ) as panel:
        click.echo(await panel.resume(click.echo))
