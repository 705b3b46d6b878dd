"""``fundingarb reconcile``."""

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
from fundingarb.errors import ConfigError, FundingArbError

if TYPE_CHECKING:
    from fundingarb.domain.control import CommandKind
    from fundingarb.panel import Panel, Row


class Mismatch(FundingArbError):
    """Books and exchange differ. Entries on the account are off until they agree."""

    exit_status = 1


@click.command("reconcile")
@CONFIG
@SETTINGS
@READY_FILE
@PASSWORD_FD
@click.option("--account", help="Only this account.")
@click.option(
    "--accept", is_flag=True, help="Take the exchange's figures: what is foreign no longer halts entries."
)
@click.option(
    "--flatten", is_flag=True, help="Cancel foreign orders and close, reduce-only, what is not ours."
)
def reconcile_command(
    config_file: Path | None,
    ready_file: Path | None,
    password_fd: int | None,
    account: str | None,
    accept: bool,
    flatten: bool,
) -> None:
    """Compare books and exchanges.

    Orders, positions, modes and the funding payments of the last two days, side by side. Exit status 1 when something
    differs. Works with the bot running or absent; a difference counts when it stays for some seconds.
    """
    import anyio

    if accept and flatten:
        raise click.UsageError("--accept and --flatten contradict each other; choose one")
    anyio.run(_reconcile, config_file, ready_file, password_fd, account, accept, flatten)


async def _reconcile(
    config_file: Path | None,
    ready_file: Path | None,
    password_fd: int | None,
    account: str | None,
    accept: bool,
    flatten: bool,
) -> None:
    from fundingarb.domain.control import CommandKind
    from fundingarb.opening import configured_accounts
    from fundingarb.panel import open_panel, side_by_side
    from fundingarb.unlocking import unlocked

    config = load_for_emergencies(config_file)
    around = load_surroundings(config, ready_file, password_fd)
    plugins = plugins_for_emergencies(config)
    known = configured_accounts(config, (await unlocked(config, around))[0], plugins)
    if account is not None and account not in known:
        raise ConfigError(f"--account: there is no account {account}; configured: {', '.join(sorted(known))}")
    async with open_panel(config, around, plugins) as panel:
        if accept or flatten:
            await _resolve(panel, CommandKind.ACCEPT if accept else CommandKind.FLATTEN, account)
        rows = await side_by_side(panel, account)
    _print(rows)
    different = [row for row in rows if not row.agrees]
    if different:
        names = ", ".join(dict.fromkeys(f"{row.account} {row.symbol}".strip() for row in different))
        raise Mismatch(
            f"{len(different)} lines differ ({names}); --accept takes the exchange's figures, "
            "--flatten closes what is not ours"
        )


async def _resolve(panel: Panel, kind: CommandKind, account: str | None) -> None:
    arguments = {} if account is None else {"account": account}
    result = await panel.have_done(kind, click.echo, **arguments)
    for line in result.get("lines", ()):
        click.echo(line)
    if not result["ok"]:
        raise Mismatch(str(result["text"]))


def _print(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Books and exchanges", title_justify="left", header_style="bold")
    for name in ("account", "what", "symbol", "here", "exchange", ""):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            row.account, row.what, row.symbol, row.local, row.exchange, "" if row.agrees else "DIFFERS"
        )
    if rows:
        Console(width=None if Console().is_terminal else 140).print(table)
    else:
        click.echo("nothing is open, here or on the exchanges")
