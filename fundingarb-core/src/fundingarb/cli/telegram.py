"""``fundingarb telegram``: whose commands are taken, and whether messages arrive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.run import CONFIG

if TYPE_CHECKING:
    from fundingarb.builtin.settings import TelegramSettings


@click.group("telegram")
def telegram_group() -> None:
    """Alerts and commands on Telegram."""


def _settings(config_file: Path | None) -> TelegramSettings:
    from fundingarb.config import load_config
    from fundingarb.errors import ConfigError
    from fundingarb.plugins import load_plugins, validate_settings

    config = load_config(config_file)
    if "telegram" not in config.alerts:
        raise ConfigError(
            "the configuration has no alerts.telegram; add `alerts: {telegram: {token_file: FILE}}` with the file "
            "that holds the bot's token"
        )
    registered = load_plugins(config.plugins.allow).alert_sinks["telegram"]
    settings: TelegramSettings = validate_settings(registered, config.alerts["telegram"])  # type: ignore[assignment]
    return settings


@telegram_group.command("pair")
@CONFIG
def pair_command(config_file: Path | None) -> None:
    """Show a code that makes whoever sends it to the bot the one person it serves.

    Works with the bot running or not. The code can be used once and for ten minutes; until it is used, whoever was
    paired before stays so.
    """
    import anyio

    anyio.run(_pair, config_file)


async def _pair(config_file: Path | None) -> None:
    from fundingarb.builtin.telegram.terminal import describe, open_terminal

    async with open_terminal(_settings(config_file)) as terminal:
        owner = await terminal.pair(click.echo)
        click.echo(f"paired: {describe(owner)}; alerts go there, and commands are taken from there only")


@telegram_group.command("unpair")
@CONFIG
def unpair_command(config_file: Path | None) -> None:
    """Serve nobody any more. Works at once, also with the bot running."""
    from fundingarb.builtin.telegram.pairing import Pairing
    from fundingarb.builtin.telegram.sink import Places, read_token

    settings = _settings(config_file)
    pairing = Pairing(Places(settings, read_token(settings.token_file)).pairing)
    before = pairing.owner
    pairing.forget()
    click.echo(
        "nobody was paired" if before is None else f"not served any more: Telegram user {before.user_id}"
    )


@telegram_group.command("test")
@CONFIG
def test_command(config_file: Path | None) -> None:
    """Send a message to where alerts go."""
    import anyio

    anyio.run(_test, config_file)


async def _test(config_file: Path | None) -> None:
    from fundingarb.builtin.telegram.terminal import open_terminal

    async with open_terminal(_settings(config_file)) as terminal:
        click.echo(f"sent to {await terminal.test()}")
