"""``fundingarb init``: from nothing to a running simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fundingarb.cli.fresh import check_place, make_usual_folder, write_fresh
from fundingarb.cli.password import PASSWORD_FD
from fundingarb.cli.questions import Questions, one_of, read_symbols, two_or_more, usd
from fundingarb.folders import USUAL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fundingarb.app import Surroundings
    from fundingarb.config import Config
    from fundingarb.plugins import Plugins
    from fundingarb.ports import Secret
    from fundingarb.vault import Vault

TOKEN = "telegram-token"  # noqa: S105 - the name of it
SPEED = 60.0
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
SIZE, TOTAL, LOSS = Decimal(5000), Decimal(50_000), Decimal(500)
"""What is proposed: USD per leg of a hedge, USD over all hedges, USD of loss a day."""


@dataclass
class Answers:
    """What the set-up is to be. ``keys``: secrets by account; an account is called like its exchange. ``allow``: the
    distributions whose plugins may load; None allows all."""

    network: str
    exchanges: Sequence[str]
    symbols: Sequence[str]
    size: Decimal
    total: Decimal
    loss: Decimal
    telegram_token: Secret | None = None
    keys: Mapping[str, Mapping[str, Secret]] = field(default_factory=dict)
    allow: Sequence[str] | None = None


@click.command("init")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default="fundingarb.yaml",
    show_default=True,
    help="The configuration to write.",
)
@click.option(
    "--network",
    type=click.Choice(["localnet", "testnet"]),
    help="localnet: offline exchanges on this computer; testnet: the exchanges' own simulations, with keys.",
)
@click.option("--exchange", "exchanges", multiple=True, help="An exchange to trade on; twice or more.")
@click.option("--symbols", help="What to trade, with commas.")
@click.option("--size", help="USD per leg of a hedge, at most.")
@click.option("--total", help="USD over all hedges, at most.")
@click.option("--daily-loss", help="USD of loss after which nothing is opened for the rest of the day.")
@click.option(
    "--telegram-token-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read the token of a Telegram bot from this file descriptor.",
)
@click.option(
    "--values-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help='Read the keys from this file descriptor: {"binance": {"api_key": "...", "api_secret": "..."}, ...}.',
)
@click.option(
    "--dashboard-password-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read the password of the dashboard from this file descriptor.",
)
@PASSWORD_FD
@click.option("--no-input", is_flag=True, help="Ask nothing: what is not given is the default.")
@click.option("--no-start", is_flag=True, help="Write and check everything, but do not start.")
@click.option(
    "--speed",
    type=click.FloatRange(1, 1000),
    default=SPEED,
    show_default=True,
    help="Of the localnet's clock.",
)
def init_command(
    config_file: Path,
    network: str | None,
    exchanges: tuple[str, ...],
    symbols: str | None,
    size: str | None,
    total: str | None,
    daily_loss: str | None,
    telegram_token_fd: int | None,
    values_fd: int | None,
    dashboard_password_fd: int | None,
    password_fd: int | None,
    no_input: bool,
    no_start: bool,
    speed: float,
) -> None:
    """Set up and start a simulation.

    Asks what to trade where, writes the configuration and, for testnet, the vault with your keys, checks everything
    and starts. Every question has an option, so that a script can answer it; with --no-input nothing is asked.
    """
    from fundingarb.config.example import example_config
    from fundingarb.config.loader import load_config, parse_config
    from fundingarb.plugins import load_plugins
    from fundingarb.vault.hardening import harden

    check_place(config_file)
    harden()  # before the first secret is typed
    plugins = load_plugins()
    make_usual_folder()
    ask = Questions(no_input)
    answers = _answers(ask, plugins, network, exchanges, symbols, size, total, daily_loss)
    if answers.network == "testnet":
        answers.keys = _keys(ask, answers.exchanges, values_fd)
        answers.allow = used(plugins, answers.exchanges)
    answers.telegram_token = _telegram_token(ask, telegram_token_fd)

    text = example_config(document(answers))
    config = parse_config(text, str(config_file))
    vault = write_vault(config, answers, password_fd) if answers.keys else None
    _write_token(answers)
    write_fresh(config_file, text)
    click.echo(f"{config_file}: written; every other setting is in it with its default")

    config = load_config(config_file)
    _dashboard_password(ask, plugins, config_file, dashboard_password_fd)
    if answers.telegram_token is not None and not no_input:
        pair(config, config_file, plugins, answers.telegram_token)
    check_and_start(config, config_file, plugins, ask, vault, start=not no_start, speed=speed)


def _answers(
    ask: Questions,
    plugins: Plugins,
    network: str | None,
    exchanges: Sequence[str],
    symbols: str | None,
    size: str | None,
    total: str | None,
    daily_loss: str | None,
) -> Answers:
    if not ask.silent:
        click.echo("localnet: offline exchanges on this computer, nothing to sign up for, time runs faster")
        click.echo("testnet:  the exchanges' own simulations, with real rates and keys that you make there")
    chosen = ask.value(network, "Network", "localnet", one_of("localnet", "testnet"))
    usable = sorted(
        name
        for name, found in plugins.exchanges.items()
        if found.component.unavailable is None and (chosen == "testnet" or name in plugins.localnets)
    )
    return Answers(
        chosen,
        ask.value(
            ",".join(exchanges) or None,
            f"Exchanges, of {', '.join(usable)}",
            ",".join(usable),
            two_or_more(usable),
        ),
        ask.value(symbols, "Symbols", ",".join(SYMBOLS), read_symbols),
        ask.value(size, "USD per leg of a hedge, at most", str(SIZE), usd),
        ask.value(total, "USD over all hedges, at most", str(TOTAL), usd),
        ask.value(daily_loss, "USD of loss a day, after which nothing is opened", str(LOSS), usd),
    )


# -- secrets -----------------------------------------------------------------------------------------------------


def _keys(ask: Questions, exchanges: Sequence[str], values_fd: int | None) -> dict[str, dict[str, Secret]]:
    """The keys of every account: of the descriptor, or typed."""
    from fundingarb.cli.vault import fields_of, read_values
    from fundingarb.errors import ConfigError
    from fundingarb.ports import Secret

    if values_fd is None and ask.silent:
        raise ConfigError("testnet needs keys; give them with --values-fd N, or leave out --no-input")
    given = {} if values_fd is None else read_values(values_fd)
    keys: dict[str, dict[str, Secret]] = {}
    for exchange in exchanges:
        needed, optional = fields_of(exchange)
        if values_fd is None:
            click.echo(
                f"Keys of {exchange}, made for its simulation. They may trade, and should not withdraw:"
            )
            typed = {name: ask.secret(f"  {name}") for name in needed}
            typed |= {name: ask.secret(f"  {name} (empty: none)") for name in optional}
            found = {name: Secret(value) for name, value in typed.items() if value}
        else:
            values = given.get(exchange, {})
            if not isinstance(values, dict):
                raise ConfigError(f"--values-fd {values_fd}: {exchange} is not an object of keys; correct it")
            found = {name: Secret(str(value)) for name, value in values.items()}
        missing = [name for name in needed if name not in found]
        if missing:
            raise ConfigError(
                f"{exchange}: no {', '.join(missing)}; make keys at the exchange, and begin again"
            )
        unknown = sorted(set(found) - {*needed, *optional})
        if unknown:
            raise ConfigError(
                f"{exchange}: an account has {', '.join(needed)}; leave out {', '.join(unknown)}"
            )
        keys[exchange] = found
    return keys


def write_vault(config: Config, answers: Answers, password_fd: int | None) -> Vault:
    """The keys into the vault that the configuration means, which is made where there is none; open."""
    from fundingarb.cli.password import new_password, opener
    from fundingarb.config.places import vault_file
    from fundingarb.vault import StoredAccount, Vault

    path = vault_file(config)
    if password_fd is None:
        known = "is there already; the keys go into it, under its master password"
        fresh = "will have the keys, under a master password that nobody can recover"
        click.echo(f"{path} {known if path.exists() else fresh}")
    vault = opener(config, password_fd)() if path.exists() else Vault.create(path, new_password(password_fd))
    if answers.telegram_token is not None:
        vault.put_secret(TOKEN, answers.telegram_token)
    for exchange, values in answers.keys.items():
        vault.put_account(StoredAccount(exchange, exchange, answers.network, values))
    vault.save()
    click.echo(f"{path}: has the keys of {', '.join(answers.keys)}")
    return vault


def _telegram_token(ask: Questions, descriptor: int | None) -> Secret | None:
    from fundingarb.cli.telegram import typed_token
    from fundingarb.errors import ConfigError

    if descriptor is not None:
        with open(descriptor, encoding="utf-8") as file:
            return typed_token(file.readline().strip())
    while token := ask.secret("Token of a Telegram bot for alerts, from @BotFather (empty: no Telegram)"):
        try:
            return typed_token(token)
        except ConfigError as error:
            click.echo(str(error))
    return None


def _token_file() -> Path:
    return USUAL_FOLDER / "telegram.token"


def _write_token(answers: Answers) -> None:
    """The token of a bot on a localnet, which has no vault."""
    if answers.telegram_token is None or answers.keys:
        return
    from fundingarb.privatefiles import write_private

    path = _token_file().expanduser()
    write_private(path, answers.telegram_token.reveal(), "alerts.telegram.token_file:")
    click.echo(f"{path}: has the token, readable by you alone")


def pair(config: Config, config_file: Path, plugins: Plugins, token: Secret) -> None:
    """Who the alerts go to. Without anybody the set-up goes on: it can be done at any time."""
    import anyio

    from fundingarb.cli import telegram
    from fundingarb.errors import ConfigError

    settings = telegram.settings_of(config, plugins)
    try:
        anyio.run(telegram.pair, settings, token)
    except ConfigError as error:
        click.echo(f"{error}; later: fundingarb telegram pair --config {config_file}")


def _dashboard_password(ask: Questions, plugins: Plugins, config_file: Path, descriptor: int | None) -> None:
    if "dashboard" not in plugins.services:
        return
    command = ["dashboard", "password", "--config", str(config_file)]
    if descriptor is not None:
        _command(*command, "--password-fd", str(descriptor))
    elif not ask.silent and ask.sure(
        "Set a password for the dashboard? Without one, a link to it is shown at every start", True
    ):
        _command(*command)


def _command(*arguments: str) -> None:
    """Another command of this program."""
    from fundingarb.cli import build

    build().main(list(arguments), prog_name="fundingarb", standalone_mode=False)


# -- the configuration -------------------------------------------------------------------------------------------


def document(answers: Answers) -> dict[str, Any]:
    """The settings that follow from the answers, as the configuration has them."""
    from datetime import datetime, timezone

    chosen: dict[str, Any] = {
        "network": answers.network,
        "accounts": {name: {"exchange": name} for name in answers.exchanges},
        "trading": {
            "symbols": list(answers.symbols),
            "target_size_usd": str(answers.size),
            "max_position_per_pair_usd": str(answers.size),
        },
        "risk": {
            "total_notional": {"total_usd": str(answers.total)},
            "daily_loss": {"max_usd": str(answers.loss)},
        },
    }
    if answers.allow is not None:
        chosen["plugins"] = {"allow": list(answers.allow)}
    if answers.network == "localnet":
        # a localnet that is started again is another market, with no memory of what was held on the one before
        now = datetime.now(timezone.utc)
        chosen["ready_file"] = str(USUAL_FOLDER / "localnet.json")
        chosen["database"] = {"url": f"sqlite:///{USUAL_FOLDER}/localnet-{now:%Y%m%d-%H%M%S}.db"}
    if answers.telegram_token is not None:
        settings = {} if answers.keys else {"token_file": str(_token_file())}
        chosen["alerts"] = {"telegram": settings}
    return chosen


def used(plugins: Plugins, exchanges: Sequence[str]) -> list[str]:
    """The distributions that a bot on ``exchanges`` uses, besides the core.

    Real money wants them named, and hours count for the list that was simulated with, so it is there from the
    beginning. Risk rules and services are used when they are installed.
    """
    from fundingarb.discovery import CORE, canonical

    found = [plugins.exchanges[name] for name in exchanges if name in plugins.exchanges]
    names = {each.distribution for each in (*found, *plugins.risk_rules.values(), *plugins.services.values())}
    return sorted(name for name in names if canonical(name) != CORE)


# -- the start ---------------------------------------------------------------------------------------------------


def check_and_start(
    config: Config,
    config_file: Path,
    plugins: Plugins,
    ask: Questions,
    vault: Vault | None,
    *,
    start: bool,
    speed: float,
) -> None:
    """Check everything and, unless ``start`` is false, trade; exit with 1 when it is not well."""
    import anyio

    from fundingarb.app import Surroundings
    from fundingarb.cli.logs import logging_of
    from fundingarb.cli.run import trade

    async def checked(around: Surroundings, ends: str) -> bool:
        """Look at everything and start; whether it came to that, where it was to."""
        failed = await _checked(config, around, plugins)
        if failed and not (start and ask.sure("Start all the same?", False)):
            return False
        if start:
            click.echo(f"Starting the bot. Ctrl-C ends it{ends}")
            await trade(config, around)
        return True

    with logging_of(config):
        if vault is None:
            well = anyio.run(_on_localnet, config, speed, checked)
        else:
            around = Surroundings(unlock=lambda: vault)
            again = f"; fundingarb run --config {config_file} starts it again."
            well = anyio.run(checked, around, again)
    if not well:
        click.echo(f"Not started. When it is mended: fundingarb run --config {config_file}")
        raise SystemExit(1)


async def _on_localnet(
    config: Config, speed: float, checked: Callable[[Surroundings, str], Awaitable[bool]]
) -> bool:
    from fundingarb.demo.runner import DemoOptions, localnet_process

    assert config.ready_file is not None  # noqa: S101 (`document` names one)
    config.ready_file.unlink(missing_ok=True)
    exchanges = [section.exchange for section in config.accounts.values()]
    click.echo(
        f"Starting the offline exchanges {', '.join(exchanges)}; their clock runs {speed:g} times as fast."
    )
    async with localnet_process(exchanges, DemoOptions(speed=speed), config.ready_file) as around:
        return await checked(around, ", and the offline exchanges with it.")


async def _checked(config: Config, around: Surroundings, plugins: Plugins) -> int:
    """Look at everything, and say so; how many checks failed."""
    from fundingarb.cli.doctor import lines
    from fundingarb.panel.doctor import Verdict, examine

    failed = 0
    async for finding in examine(config, around, plugins):
        failed += finding.verdict is Verdict.FAILED
        for line in lines(finding):
            click.echo(line)
    return failed
