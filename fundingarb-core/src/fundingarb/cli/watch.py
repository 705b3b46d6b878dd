"""``fundingarb watch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fundingarb.cli.password import PASSWORD_FD
from fundingarb.cli.run import CONFIG, SETTINGS, given

if TYPE_CHECKING:
    from fundingarb.config import Config


@click.command("watch")
@CONFIG
@SETTINGS
@PASSWORD_FD
@click.option("--url", help="The bot's /api/health; without it that of the configured dashboard.")
def watch_command(config_file: Path | None, password_fd: int | None, url: str | None) -> None:
    """Alert when the bot is silent.

    Asks its dashboard every 5 seconds. 60 seconds without a good answer are a CRITICAL alert through the alert sinks
    of the configuration, and so is every further hour; its return is told with how long it was away. Needs no exchange
    key, and is best run on another machine. Sinks that take their secrets from the vault (the configured one, or the
    usual one) need --password-fd or a prompt; a vault without accounts is best.
    """
    import anyio

    from fundingarb.app import load_config
    from fundingarb.cli.logs import configure_logging

    config = load_config(config_file, given())
    configure_logging(config.logging.level)
    anyio.run(_watch, config, password_fd, url)


async def _watch(config: Config, password_fd: int | None, url: str | None) -> None:
    import signal

    import aiohttp
    import anyio

    from fundingarb.app import open_alert_sinks
    from fundingarb.cli.password import opener
    from fundingarb.engine.clock import SystemClock
    from fundingarb.notify import Notifier
    from fundingarb.opening import sinks_take_secrets
    from fundingarb.plugins import load_plugins
    from fundingarb.watching import asking, watch

    plugins, notifier = load_plugins(config.plugins.allow), Notifier()
    where = url or _health_of(config)
    takes = password_fd is not None or sinks_take_secrets(config, plugins)
    unlock = opener(config, password_fd) if takes else None
    async with (
        open_alert_sinks(config, plugins, unlock) as sinks,
        aiohttp.ClientSession() as session,
        anyio.create_task_group() as tasks,
    ):
        if set(sinks) == {"log"}:
            click.echo(
                "warning: no alert sink is configured (section alerts): silence is only logged", err=True
            )
        tasks.start_soon(watch, asking(session, where), where, sinks, SystemClock(), notifier.alive)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            notifier.ready(f"watching {where}")
            async for _ in signals:
                break
        notifier.stopping("stopping")
        tasks.cancel_scope.cancel()


def _health_of(config: Config) -> str:
    """Where the configured dashboard answers."""
    from fundingarb.errors import ConfigError

    section = config.services.get("dashboard", {})
    port = section.get("port", 8642)
    if not port:
        raise ConfigError("services.dashboard.port is 0, any free one: say with --url where the bot answers")
    host = str(section.get("host", "127.0.0.1"))
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    scheme = "https" if section.get("tls_certificate") else "http"
    return f"{scheme}://{host}:{port}/api/health"
