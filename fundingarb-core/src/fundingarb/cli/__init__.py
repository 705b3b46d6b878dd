"""The ``fundingarb`` console script: the table of commands, and how a failure ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence

import click

from fundingarb.cli.lazy import Lazy, LazyGroup
from fundingarb.errors import FundingArbError
from fundingarb.redaction import redacted

__all__ = ["COMMANDS", "build", "main"]

INTERRUPTED = 130
UNEXPECTED = 1

COMMANDS = {
    "backup": Lazy("fundingarb.cli.backup:backup_command", "Copy the database while the bot trades."),
    "completion": Lazy("fundingarb.cli.completion:completion_command", "Print the completion of a shell."),
    "config": Lazy(
        "fundingarb.cli.config:config_command",
        "Look at the configuration, and change it while the bot runs.",
    ),
    "db": Lazy("fundingarb.cli.db:db_command", "Look after the database."),
    "demo": Lazy("fundingarb.cli.demo:demo_command", "Trade on offline exchanges, with nothing to set up."),
    "doctor": Lazy("fundingarb.cli.doctor:doctor_command", "Check everything a bot needs."),
    "drill": Lazy("fundingarb.cli.drill:drill_command", "Run disasters past the bot, in simulated time."),
    "go-live": Lazy(
        "fundingarb.cli.golive:go_live_command", "Review the simulation and switch to real money."
    ),
    "init": Lazy("fundingarb.cli.init:init_command", "Set up and start a simulation."),
    "kill": Lazy("fundingarb.cli.kill:kill_command", "Latch the kill switch and close everything."),
    "localnet": Lazy(
        "fundingarb.localnet.command:localnet_command",
        "Serve offline exchanges on loopback until interrupted.",
    ),
    "pause": Lazy("fundingarb.cli.kill:pause_command", "Open no more hedges."),
    "plugins": Lazy("fundingarb.cli.plugins:plugins_command", "List what is installed."),
    "rates": Lazy("fundingarb.cli.rates:rates_command", "Watch funding rates and spreads."),
    "reconcile": Lazy("fundingarb.cli.reconcile:reconcile_command", "Compare books and exchanges."),
    "restore": Lazy("fundingarb.cli.backup:restore_command", "Put a backup in place of the database."),
    "resume": Lazy("fundingarb.cli.kill:resume_command", "Go on after a kill or a pause."),
    "run": Lazy("fundingarb.cli.run:run_command", "Trade until interrupted."),
    "status": Lazy("fundingarb.cli.status:status_command", "Say what the bot is doing."),
    "telegram": Lazy("fundingarb.cli.telegram:telegram_group", "Alerts and commands on Telegram."),
    "unit": Lazy("fundingarb.cli.unit:unit_command", "Print a systemd unit or a container file."),
    "vault": Lazy("fundingarb.cli.vault:vault_command", "Keep keys and passwords, encrypted."),
    "watch": Lazy("fundingarb.cli.watch:watch_command", "Alert when the bot is silent."),
}
"""Name -> command. The help text is the first sentence of the command's own help."""


def build() -> LazyGroup:
    """The top-level group, without any command imported."""

    def version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
        if asked:
            from importlib_metadata import version as version_of

            click.echo(f"fundingarb {version_of('fundingarb-core')}")
            ctx.exit()

    group = LazyGroup(
        name="fundingarb",
        help="Funding-rate arbitrage across exchanges.",
        params=[
            click.Option(["--debug"], is_flag=True, help="Show the traceback of a failure."),
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=version,
                help="Show the version.",
            ),
        ],
        callback=lambda debug: None,
    )
    group.lazy = COMMANDS
    return group


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    An expected failure is one line on stderr and the exit status of its class (2 for almost all); a bug is one
    line and status 1; an interrupt is status 130. ``--debug`` before the command shows the traceback as well.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = build().main(arguments, prog_name="fundingarb", standalone_mode=False)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the one place where everything ends as a line, groups included
        if wants_traceback(arguments):
            import traceback

            trace = traceback.format_exception(type(error), error, error.__traceback__)
            click.echo(redacted("".join(trace)), err=True, nl=False)
        status = explain(error)
    gc.freeze()  # the process ends: its last collection would only walk what is about to go, for up to 20 ms
    sys.exit(status if isinstance(status, int) else 0)


def explain(error: BaseException) -> int:
    """Say in one line on stderr what went wrong; returns the exit status."""
    failures = list(leaves(error))
    if any(isinstance(failure, KeyboardInterrupt | click.Abort) for failure in failures):
        return INTERRUPTED
    unexpected = [
        failure for failure in failures if not isinstance(failure, FundingArbError | click.ClickException)
    ]
    worst = (unexpected or failures)[0]
    if isinstance(worst, click.exceptions.NoArgsIsHelpError):
        click.echo(worst.format_message(), err=True)
        return worst.exit_code
    if isinstance(worst, click.UsageError):
        where = worst.ctx.command_path if worst.ctx is not None else "fundingarb"
        return fail(f"{worst.format_message().rstrip('.')}; see: {where} --help", worst.exit_code)
    if isinstance(worst, click.ClickException):
        return fail(worst.format_message(), worst.exit_code)
    if isinstance(worst, FundingArbError):
        return fail(str(worst), worst.exit_status)
    return fail(
        f"unexpected {type(worst).__name__}: {worst}; "
        "this is a bug, run fundingarb --debug with the same command for the traceback",
        UNEXPECTED,
    )


def fail(message: str, status: int) -> int:
    """Print ``message`` as the one line of a failure."""
    click.echo(redacted(f"error: {' '.join(message.split())}"), err=True)
    return status


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions inside a group of exceptions, or the exception itself."""
    inner: Sequence[BaseException] | None = getattr(error, "exceptions", None)
    if inner is None:
        yield error
        return
    for one in inner:
        yield from leaves(one)


def wants_traceback(arguments: Sequence[str]) -> bool:
    """True when ``--debug`` stands before the command."""
    for argument in arguments:
        if argument == "--debug":
            return True
        if not argument.startswith("-"):
            return False
    return False
