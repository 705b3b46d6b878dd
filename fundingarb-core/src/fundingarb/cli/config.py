"""``fundingarb config``: looking at the configuration and changing it, with the bot running or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fundingarb.cli.password import database_password
from fundingarb.cli.run import CONFIG, READY_FILE, load_surroundings, read_setting, where_it_runs
from fundingarb.errors import ConfigError

if TYPE_CHECKING:
    from fundingarb.app import Surroundings
    from fundingarb.config import Config
    from fundingarb.panel import Panel
    from fundingarb.ports import ConfigChange


@click.group("config")
def config_command() -> None:
    """Look at the configuration, and change it while the bot runs."""


@config_command.command("show")
@CONFIG
@click.argument("path", required=False)
def show_command(config_file: Path | None, path: str | None) -> None:
    """Print the configuration with every default, or the setting at PATH (such as trading.leverage)."""
    import yaml

    from fundingarb.config import load_config
    from fundingarb.config.document import document_of

    found: Any = document_of(load_config(config_file))
    for part in path.split(".") if path else ():
        if not isinstance(found, Mapping) or part not in found:
            raise ConfigError(f"{path}: there is no such setting; fundingarb config show lists all")
        found = found[part]
    click.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True).removesuffix("...\n"), nl=False)


@config_command.command("set")
@CONFIG
@READY_FILE
@click.argument("settings", nargs=-1, required=True, metavar="PATH=VALUE...")
def set_command(config_file: Path | None, ready_file: Path | None, settings: Sequence[str]) -> None:
    """Change settings, such as trading.min_net_usd=5 or trading.symbols=[BTC-USDT,ETH-USDT].

    All of them or none. With a bot running they are in force at once, and what needs a restart is named; without one
    the file is changed.
    """
    _change(config_file, ready_file, {"set": dict(read_setting(each) for each in settings)})


@config_command.command("reload")
@CONFIG
@READY_FILE
def reload_command(config_file: Path | None, ready_file: Path | None) -> None:
    """Have the running bot take up what the file says now."""
    _change(config_file, ready_file, {"reload": True})


@config_command.command("rollback")
@CONFIG
@READY_FILE
@click.argument("revision", type=int)
def rollback_command(config_file: Path | None, ready_file: Path | None, revision: int) -> None:
    """Take up what an earlier REVISION said (fundingarb config history), as a new one."""
    _change(config_file, ready_file, {"rollback": revision})


@config_command.command("history")
@CONFIG
@READY_FILE
@click.option("--limit", default=20, show_default=True, help="How many revisions, the newest first.")
def history_command(config_file: Path | None, ready_file: Path | None, limit: int) -> None:
    """List earlier configurations, and what each changed."""
    import anyio

    anyio.run(_history, config_file, ready_file, limit)


def _change(config_file: Path | None, ready_file: Path | None, wanted: Mapping[str, Any]) -> None:
    import anyio

    anyio.run(_changed, config_file, ready_file, wanted)


async def _changed(config_file: Path | None, ready_file: Path | None, wanted: Mapping[str, Any]) -> None:
    from fundingarb.config import load_config
    from fundingarb.domain.control import CommandKind
    from fundingarb.panel import open_panel
    from fundingarb.plugins import load_plugins
    from fundingarb.store import revision_of

    of_file = load_config(config_file)
    config = where_it_runs(of_file, config_file) or of_file
    database_password(config)
    if revision_of(config.database.url) is None:
        _in_file(of_file, [], wanted)
        return
    plugins = load_plugins(config.plugins.allow)
    async with open_panel(config, _around(config, ready_file), plugins) as panel:
        if await panel.holder() is None:
            changes = _in_file(of_file, await _documents(panel), wanted)
            if changes:
                told = {one.path: [one.before, one.after] for one in changes}
                await panel.note("CONFIG", "in the file; no bot was running", changes=told)
            return
        result = await panel.have_done(CommandKind.CONFIGURE, click.echo, **wanted)
    if not result["ok"]:
        raise ConfigError(str(result["text"]))
    _say(result["changes"], str(result["text"]))


def _around(config: Config, ready_file: Path | None) -> Surroundings:
    """The bot's clock, where it has one of its own."""
    from fundingarb.app import Surroundings

    known = ready_file or config.ready_file
    return load_surroundings(config, known) if known is not None else Surroundings()


async def _documents(panel: Panel) -> Sequence[tuple[int, Mapping[str, Any]]]:
    found = await panel.store.config_revisions(limit=None)
    return [(each.revision, each.document) for each in found]


def _in_file(
    config: Config, revisions: Sequence[tuple[int, Mapping[str, Any]]], wanted: Mapping[str, Any]
) -> Sequence[ConfigChange]:
    """What is wanted, written into the file: no bot runs that could be told."""
    from fundingarb.config.document import GOING_LIVE, differences, document_of, parsed
    from fundingarb.config.edit import edited, replacement
    from fundingarb.plugins import load_plugins
    from fundingarb.ports.configuring import with_setting

    origin = config.origin
    if origin is None:
        raise ConfigError("no bot runs and no file is named: add --config FILE")
    if wanted.get("reload"):
        raise ConfigError("no bot runs; fundingarb run reads the file when it starts")
    before = document_of(config)
    after: dict[str, Any] = dict(before)
    if "rollback" in wanted:
        known = dict(revisions)
        if wanted["rollback"] not in known:
            raise ConfigError(
                f"there is no revision {wanted['rollback']}; fundingarb config history lists them"
            )
        after = dict(known[wanted["rollback"]])
    for path, value in wanted.get("set", {}).items():
        after = with_setting(after, path.split("."), value)
    found, errors = parsed(_with_url(after, config), load_plugins(config.plugins.allow))
    if found is not None and found.network == "mainnet" != config.network:
        raise ConfigError(GOING_LIVE)
    if errors:
        path, text = next(iter(errors.items()))
        raise ConfigError(f"{path}: {text}")
    changes = differences(before, after)
    text = origin.path.read_text(encoding="utf-8")
    for change in changes:
        text = edited(text, [change.path], after)
    others = differences(document_of(origin.read(text)), after)
    if others:
        raise ConfigError(f"{others[0].path} is set by the environment; change it there")
    with replacement(origin.path, text) as put:
        put()
    _say([{"path": one.path, "before": one.before, "after": one.after} for one in changes], str(origin.path))
    return changes


def _with_url(document: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """``document`` with the database's password, which is hidden in it."""
    return {**document, "database": {**document["database"], "url": config.database.url}}


def _say(changes: Sequence[Mapping[str, Any]], where: str) -> None:
    for change in changes:
        later = " (from the next start on)" if change.get("restart") else ""
        click.echo(f"{change['path']}: {change['before']} -> {change['after']}{later}")
    click.echo(where if changes else "nothing changes")


async def _history(config_file: Path | None, ready_file: Path | None, limit: int) -> None:
    from fundingarb.config import load_config
    from fundingarb.config.document import differences
    from fundingarb.panel import open_panel
    from fundingarb.plugins import load_plugins

    config = load_config(config_file)
    config = where_it_runs(config, config_file) or config
    plugins = load_plugins(config.plugins.allow)
    async with open_panel(config, _around(config, ready_file), plugins) as panel:
        found = await panel.store.config_revisions(limit=limit + 1)
    for newer, older in zip(found, [*found[1:], None], strict=True):
        if older is not None or len(found) <= limit:
            changed = [] if older is None else differences(older.document, newer.document)
            told = ", ".join(f"{one.path}: {one.before} -> {one.after}" for one in changed)
            click.echo(f"{newer.revision}  {newer.at:%Y-%m-%d %H:%M:%S} UTC  {told or 'as it started'}")
