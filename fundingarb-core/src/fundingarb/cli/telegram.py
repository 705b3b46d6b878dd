"""``fundingarb telegram``: whose commands are taken, and whether messages arrive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.password import PASSWORD_FD
from fundingarb.cli.run import CONFIG

if TYPE_CHECKING:
    from fundingarb.builtin.settings import TelegramSettings
    from fundingarb.config import Config
    from fundingarb.plugins import Plugins
    from fundingarb.ports import Secret


@click.group("telegram")
def telegram_group() -> None:
    """Alerts and commands on Telegram."""


def _settings(config_file: Path | None, password_fd: int | None) -> tuple[TelegramSettings, Secret]:
    """The settings and the token, which is in a file or in the vault."""
    from fundingarb.builtin.telegram.sink import SECRET, check_token, read_token
    from fundingarb.cli.password import opener
    from fundingarb.config import load_config
    from fundingarb.errors import ConfigError
    from fundingarb.plugins import load_plugins

    config = load_config(config_file)
    if "telegram" not in config.alerts:
        raise ConfigError(
            "the configuration has no alerts.telegram; add `alerts: {telegram: {token_file: FILE}}` with the file "
            "that holds the bot's token"
        )
    settings = settings_of(config, load_plugins(config.plugins.allow))
    if settings.token_file is not None:
        return settings, read_token(settings.token_file)
    found = opener(config, password_fd)().secrets
    if SECRET not in found:
        raise ConfigError(
            f"the vault has no secret {SECRET}; add it with: fundingarb vault add secret {SECRET}"
        )
    return settings, check_token(found[SECRET])


def settings_of(config: Config, plugins: Plugins) -> TelegramSettings:
    """The section ``alerts.telegram``. Raises ``ConfigError``."""
    from fundingarb.builtin.settings import TelegramSettings
    from fundingarb.plugins import validate_settings

    settings = validate_settings(plugins.alert_sinks["telegram"], config.alerts["telegram"])
    assert isinstance(settings, TelegramSettings)  # noqa: S101
    return settings


def typed_token(text: str) -> Secret:
    """A token that was typed. Raises ``ConfigError`` for what is none."""
    from fundingarb.builtin.telegram.sink import TOKEN
    from fundingarb.errors import ConfigError
    from fundingarb.ports import Secret

    if not TOKEN.fullmatch(text.encode()):
        raise ConfigError("that is no token of a Telegram bot; one looks like 123456:ABC-DEF, copy it anew")
    return Secret(text)


@telegram_group.command("pair")
@CONFIG
@PASSWORD_FD
def pair_command(config_file: Path | None, password_fd: int | None) -> None:
    """Show a code that makes whoever sends it to the bot the one person it serves.

    Works with the bot running or not. The code can be used once and for ten minutes; until it is used, whoever was
    paired before stays so.
    """
    import anyio

    anyio.run(pair, *_settings(config_file, password_fd))


async def pair(settings: TelegramSettings, token: Secret) -> None:
    """Show a code and wait for it. Raises ``ConfigError`` when nobody sends it, or Telegram does not answer."""
    from fundingarb.builtin.telegram.terminal import describe, open_terminal

    async with open_terminal(settings, token) as terminal:
        owner = await terminal.pair(click.echo)
        click.echo(f"paired: {describe(owner)}; alerts go there, and commands are taken from there only")


@telegram_group.command("unpair")
@CONFIG
@PASSWORD_FD
def unpair_command(config_file: Path | None, password_fd: int | None) -> None:
    """Serve nobody any more. Works at once, also with the bot running."""
    from fundingarb.builtin.telegram.pairing import Pairing
    from fundingarb.builtin.telegram.sink import Places

    pairing = Pairing(Places(*_settings(config_file, password_fd)).pairing)
    before = pairing.owner
    pairing.forget()
    click.echo(
        "nobody was paired" if before is None else f"not served any more: Telegram user {before.user_id}"
    )


@telegram_group.command("test")
@CONFIG
@PASSWORD_FD
def test_command(config_file: Path | None, password_fd: int | None) -> None:
    """Send a message to where alerts go."""
    import anyio

    anyio.run(_test, *_settings(config_file, password_fd))


async def _test(settings: TelegramSettings, token: Secret) -> None:
    from fundingarb.builtin.telegram.terminal import open_terminal

    async with open_terminal(settings, token) as terminal:
        click.echo(f"sent to {await terminal.test()}")
