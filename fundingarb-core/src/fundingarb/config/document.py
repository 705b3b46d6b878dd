"""The configuration as a document: its schema with the plugins' sections, every error in it, what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from fundingarb.config.loader import CREDENTIALS, explain_all
from fundingarb.config.reader import scalar
from fundingarb.config.schema import Config
from fundingarb.plugins import Plugins, Registered
from fundingarb.ports.configuring import ConfigChange

RESTART = (
    "network",
    "ready_file",
    "vault",
    "database",
    "accounts",
    "exchanges",
    "services",
    "plugins",
    "logging",
    "backup",
)
"""What is opened once at start, with everything below it."""

HIDDEN = "***"

GOING_LIVE = (
    "network: going live takes a review and the master password; use fundingarb go-live or the dashboard's panel "
    "Simulation"
)
"""What whoever changes the network to mainnet is told."""


def needs_restart(path: str) -> bool:
    """Whether the setting at ``path`` is in force only from the next start on."""
    return any(path == key or path.startswith(f"{key}.") for key in RESTART)


def document_of(config: Config) -> dict[str, Any]:
    """``config`` as JSON can carry it, without anything secret."""
    return {name: _without_secrets(section) for name, section in config.document().items()}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if CREDENTIALS.fullmatch(str(key).lower()) and item else _without_secrets(item)
            for key, item in value.items()
        }
    return value


def schema_of(plugins: Plugins) -> dict[str, Any]:
    """JSON schema with descriptions and bounds; plugins' sections are described by their own models."""
    schema = Config.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    for section, found in plugin_sections(plugins).items():
        schema["properties"][section]["properties"] = {
            name: _nested(registered, definitions) for name, registered in sorted(found.items())
        }
    return schema


def _nested(registered: Registered[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a component's settings; what it defines is moved to the whole document's definitions."""
    own: dict[str, Any] = registered.component.settings.model_json_schema(
        ref_template=f"#/$defs/{registered.name}.{{model}}"
    )
    for name, definition in own.pop("$defs", {}).items():
        definitions[f"{registered.name}.{name}"] = definition
    return own


def plugin_sections(plugins: Plugins) -> Mapping[str, Mapping[str, Registered[Any]]]:
    """Section of the configuration -> the components that have settings in it."""
    return {
        "exchanges": plugins.exchanges,
        "risk": plugins.risk_rules,
        "alerts": plugins.alert_sinks,
        "services": plugins.services,
    }


def parsed(document: Mapping[str, Any], plugins: Plugins) -> tuple[Config | None, dict[str, str]]:
    """The configuration that ``document`` is, and what is wrong with it by dotted path."""
    data = dict(document)
    errors: dict[str, str] = {}
    config: Config | None = None
    try:
        config = Config(**data)
    except ValidationError as error:
        errors |= explain_all(error)
    for section, found in plugin_sections(plugins).items():
        sections = data.get(section)
        for name, settings in sections.items() if isinstance(sections, Mapping) else ():
            errors |= _misfits(f"{section}.{name}", found.get(name), settings, sorted(found))
    strategy = data.get("strategy")
    if isinstance(strategy, Mapping):
        name = strategy.get("name", "")
        registered = plugins.strategies.get(str(name))
        if registered is None:
            errors["strategy.name"] = f"is not installed; installed: {', '.join(sorted(plugins.strategies))}"
        else:
            known = sorted(plugins.strategies)
            errors |= _misfits("strategy.settings", registered, strategy.get("settings"), known)
    errors |= dict.fromkeys(_credentials(data, ()), "credentials do not belong here; remove it")
    return (None if errors else config), errors


def _credentials(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            where = (*path, str(key))
            if len(where) > 1 and CREDENTIALS.fullmatch(str(key).lower().replace("-", "_")):
                yield ".".join(where)
            yield from _credentials(item, where)


def _misfits(
    path: str, registered: Registered[Any] | None, settings: Any, known: list[str]
) -> dict[str, str]:
    if registered is None:
        return {path: f"no plugin of that name is installed; installed: {', '.join(known) or 'none'}"}
    if settings is None or not isinstance(settings, Mapping):
        return {}
    try:
        registered.component.settings.model_validate(dict(settings))
    except ValidationError as error:
        return {f"{path}.{where}".removesuffix("."): text for where, text in explain_all(error).items()}
    return {}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[ConfigChange, ...]:
    """The settings that differ, in the order of the document."""
    one, other = dict(_leaves(before, ())), dict(_leaves(after, ()))
    return tuple(
        ConfigChange(path, one.get(path), other.get(path), needs_restart(path))
        for path in dict.fromkeys((*one, *other))
        if _meant(one.get(path)) != _meant(other.get(path)) or (path in one) is not (path in other)
    )


def _meant(value: Any) -> Any:
    """``value`` with numbers as numbers: the same number may be text in one document and none in the other."""
    if isinstance(value, list | tuple):
        return [_meant(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    found = scalar(str(value))
    return Decimal(found) if isinstance(found, int | Decimal) and not isinstance(found, bool) else value


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):  # an empty section is none
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    else:
        yield ".".join(path), value


def moved(running: Config, new: Config) -> tuple[str, ...]:
    """Settings by which a bot and what it trades on are found from outside, and that ``new`` has otherwise.

    Accounts that are added are none of them.
    """
    found = [] if new.network == running.network else ["network"]
    if new.database.url != running.database.url:
        found.append("database.url")
    for name, section in running.accounts.items():
        if name not in new.accounts:
            found.append(f"accounts.{name}")
        elif new.accounts[name].exchange != section.exchange:
            found.append(f"accounts.{name}.exchange")
    return tuple(found)


def in_force(new: Config, started: Config) -> Config:
    """``new`` with what needs a restart as it was when the bot ``started``: alert sinks that come or go, too."""
    sections = {key: getattr(started, key) for key in RESTART}
    sections["alerts"] = {name: new.alerts.get(name, section) for name, section in started.alerts.items()}
    return new.model_copy(update=sections)
