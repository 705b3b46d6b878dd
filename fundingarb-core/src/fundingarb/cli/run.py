"""``fundingarb run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fundingarb.cli.password import PASSWORD_FD

if TYPE_CHECKING:
    from fundingarb.app import Surroundings
    from fundingarb.config import Config
    from fundingarb.engine.bot import Bot
    from fundingarb.plugins import Plugins

CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file (YAML).",
)
READY_FILE = click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What `fundingarb localnet --ready-file` wrote: where the offline exchanges are, and their keys.",
)


def read_setting(text: str) -> tuple[str, Any]:
    """PATH=VALUE, the value as YAML has it. Raises ``click.UsageError``."""
    from fundingarb.config.reader import read_text

    path, sign, value = text.partition("=")
    if not sign or not all(path.split(".")):
        raise click.UsageError(f"{text}: write PATH=VALUE, such as trading.min_net_usd=5")
    return path, _plain(read_text(f"value: {value}", path).data.get("value"))


def _plain(value: Any) -> Any:
    """``value`` as JSON can carry it: numbers that are exact are text."""
    from collections.abc import Mapping
    from decimal import Decimal

    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value


def _kept(context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> None:
    context.meta[SET] = dict(read_setting(each) for each in values)


SET = "fundingarb.set"
SETTINGS = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    expose_value=False,
    callback=_kept,
    help="A setting that wins over file and environment, such as trading.min_net_usd=5; as often as you like.",
)


def given() -> dict[str, Any]:
    """What ``--set`` of the command that runs says."""
    context = click.get_current_context(silent=True)
    return {} if context is None else dict(context.meta.get(SET, {}))


def load_surroundings(
    config: Config, ready_file: Path | None, password_fd: int | None = None, *, secrets: bool = False
) -> Surroundings:
    """Where the exchanges are, and how the vault is opened when it is needed.

    A localnet is where the command line or the configuration says, and needs no vault; with ``secrets`` it is opened
    there too when the configuration or the command line names one. Raises ``ConfigError``.
    """
    from dataclasses import replace

    from fundingarb.app import Surroundings, read_ready_file
    from fundingarb.cli.password import database_password, opener
    from fundingarb.errors import ConfigError

    database_password(config, password_fd)
    if config.network != "localnet":
        return Surroundings(unlock=opener(config, password_fd))
    path = ready_file or config.ready_file
    if path is None:
        raise ConfigError(
            "network localnet needs a ready file: start `fundingarb localnet --exchange binance --exchange bybit "
            "--ready-file FILE`, then add --ready-file FILE or `ready_file: FILE` in the configuration"
        )
    around = read_ready_file(path)
    if secrets and (config.vault is not None or password_fd is not None):
        return replace(around, unlock=opener(config, password_fd))
    return around


def load_for_emergencies(config_file: Path | None) -> Config:
    """The configuration of a command that has to work whatever is wrong with it, and the log where it says.

    Only what accounts and database need has to be right; whatever else is left out is a line on stderr each. While a
    bot runs that was started with the file, accounts and database are the bot's, whatever the file says now.
    """
    from fundingarb.cli.logs import log_to_file_only
    from fundingarb.config import load_essentials
    from fundingarb.errors import ConfigError

    left_out: list[str] = []
    try:
        config, left_out = load_essentials(config_file, overrides=given())
    except ConfigError as error:
        broken = where_it_runs(None, config_file)
        if broken is None:
            raise
        config = broken
        click.echo(f"warning: {error}", err=True)
    else:
        config = where_it_runs(config, config_file) or config
    try:
        log_to_file_only(config.logging.level, config.logging.file)
    except ConfigError as error:
        log_to_file_only(config.logging.level, None)
        left_out.append(str(error))
    for problem in left_out:
        _left_out(problem)
    return config


def where_it_runs(config: Config | None, config_file: Path | None) -> Config | None:
    """``config`` as the bot has it that was started with the file and runs; what is to be known of that is a line on
    stderr each. A database that the command line names is meant."""
    from fundingarb.whereabouts import there

    if config_file is None or names_a_database():
        return config
    found, told = there(config, config_file)
    for line in told:
        click.echo(f"warning: {line}", err=True)
    return found


def say_what_runs_elsewhere(config: Config) -> None:
    """A line on stderr for every bot that was started with the file of ``config`` and trades on another database."""
    from fundingarb.whereabouts import database_of, elsewhere

    for note in elsewhere(config):
        may = "trades" if note.process.here else "may still trade"
        click.echo(
            f"warning: {note.process}, which was started with this file, {may} on {note.database}; this is about "
            f"{database_of(config)}",
            err=True,
        )


def refuse_a_second(config: Config) -> None:
    """Raise ``ConfigError`` while a bot that was started with the file of ``config`` trades on another database: the
    file was changed under it. One that may run on another host is a line on stderr."""
    from fundingarb.errors import ConfigError
    from fundingarb.whereabouts import database_of, elsewhere

    if names_a_database():
        return
    for note in elsewhere(config):
        if note.process.here:
            raise ConfigError(
                f"{note.process} was started with this file and trades on {note.database}, not on "
                f"{database_of(config)}: end it first, or put database.url back (--set database.url=... "
                "runs a second bot beside it)"
            )
    say_what_runs_elsewhere(config)


def names_a_database() -> bool:
    """Whether the command line does: then that one is meant, whatever runs elsewhere."""
    return any(path.split(".")[0].lower() == "database" for path in given())


def plugins_for_emergencies(config: Config) -> Plugins:
    """The plugins that can be used; every other one is a line on stderr."""
    from fundingarb.plugins import load_usable_plugins

    plugins = load_usable_plugins(config.plugins.allow)
    for problem in plugins.left_out or ():
        _left_out(problem)
    return plugins


def _left_out(problem: str) -> None:
    click.echo(f"warning: {problem} (left out, this command goes on without it)", err=True)


@click.command("run")
@CONFIG
@SETTINGS
@READY_FILE
@PASSWORD_FD
def run_command(config_file: Path | None, ready_file: Path | None, password_fd: int | None) -> None:
    """Trade until interrupted.

    On testnet and mainnet the keys come from the vault (fundingarb vault), which takes the master password.

    Ctrl-C (or SIGTERM) ends it: resting orders are cancelled, open hedges stay open and are taken up again by the
    next start.
    """
    import anyio

    from fundingarb.app import load_config
    from fundingarb.cli.logs import logging_of

    config = load_config(config_file, given())
    refuse_a_second(config)
    with logging_of(config):
        anyio.run(trade, config, load_surroundings(config, ready_file, password_fd, secrets=True))


async def trade(config: Config, around: Surroundings) -> None:
    """Run a bot until it is interrupted, and say what it leaves open."""
    import signal

    import anyio

    from fundingarb.app import backup_folder, open_bot
    from fundingarb.backups import keep_backups
    from fundingarb.notify import Notifier

    notifier = Notifier()

    async def feed_watchdog(bot: Bot) -> None:
        await bot.ready.wait()
        bot.loop.beat = notifier.alive  # the trading loop itself: when it stalls, nothing feeds the watchdog
        notifier.ready(f"trading on {config.network}, {_still_open(bot)}")

    async def stop_on_signal(bot: Bot, scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                click.echo(f"{signal.Signals(number).name}: stopping; open hedges stay open", err=True)
                notifier.stopping(f"stopping, {_still_open(bot)}")
                bot.stop()
                break
            async for _ in signals:
                scope.cancel()

    async def back_up(bot: Bot) -> None:
        await bot.ready.wait()  # a start that is refused has nothing to say but why
        await keep_backups(config.database.url, backup_folder(config), config.backup.keep, bot.bus, bot.clock)

    async with open_bot(config, around) as bot:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop_on_signal, bot, tasks.cancel_scope)
            tasks.start_soon(feed_watchdog, bot)
            if config.backup.enabled:
                tasks.start_soon(back_up, bot)
            await bot.run()
            tasks.cancel_scope.cancel()
        for hedge in bot.live_hedges():
            state = "NAKED" if hedge.unhedged else "still open"
            click.echo(
                f"{state}: {hedge.symbol} {hedge.long.filled} long on {hedge.intent.long.account}, "
                f"{hedge.short.filled} short on {hedge.intent.short.account}; the next start goes on with it",
                err=True,
            )


def _still_open(bot: Bot) -> str:
    """How many hedges a stop would leave open."""
    count = len(bot.live_hedges())
    return f"{count or 'no'} hedge{'' if count == 1 else 's'} open"
