"""Discovery and loading of plugins: what is installed, what it offers, and every reason to refuse it.

A plugin is a module named by an entry point of the group ``fundingarb`` (`fundingarb.hookspecs` has the hooks).
The program starts with all of its plugins in order or not at all: each refusal is a `PluginError` of one line that
names the distribution at fault and what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pluggy import PluginManager, PluginValidationError

from fundingarb import hookspecs
from fundingarb.component import Component
from fundingarb.errors import PluginError

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import AlertSink, ExchangeAdapter, RiskRule, Service, Strategy

__all__ = [
    "CORE",
    "KINDS",
    "CommandsRefused",
    "ComponentUnavailable",
    "DuplicateComponent",
    "HookFailed",
    "HookUnknown",
    "PluginHost",
    "PluginImportFailed",
    "PluginNotAllowed",
    "Plugins",
    "Registered",
    "SettingsInvalid",
    "discover",
    "load_plugins",
    "validate_settings",
]

CORE = "fundingarb-core"
"""The distribution whose builtins load whatever the allow-list says."""

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "register_exchanges": "exchange",
        "register_strategies": "strategy",
        "register_risk_rules": "risk rule",
        "register_alert_sinks": "alert sink",
        "register_services": "service",
        "register_localnets": "localnet",
    }
)
"""Registration hook -> what a component it returns is called."""

COMMANDS = "register_commands"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
LONGEST_REASON = 300

OpenedT_co = TypeVar("OpenedT_co", covariant=True)


class PluginImportFailed(PluginError):
    """A plugin's module raised while it was imported. Nothing starts."""


class HookUnknown(PluginError):
    """A plugin implements no hook, a hook that does not exist, or one with arguments it does not have."""


class HookFailed(PluginError):
    """A hook raised, or returned something that is not a component. Nothing starts."""


class DuplicateComponent(PluginError):
    """Two plugins register a component of the same kind under the same name. Nothing starts."""


class CommandsRefused(PluginError):
    """A plugin's subcommands could not be added. The command line does not start."""


class ComponentUnavailable(PluginError):
    """The configuration uses a component that this release only announces. Nothing starts."""


class SettingsInvalid(PluginError):
    """A section of the configuration does not fit the settings of its component. Nothing starts."""


class PluginNotAllowed(PluginError):
    """The allow-list names a distribution that is not installed or has no plugin. Nothing starts."""


@dataclass(frozen=True, slots=True)
class Registered(Generic[OpenedT_co]):
    """A component together with the distribution that brought it."""

    kind: str
    component: Component[OpenedT_co]
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The component's name, unique within its kind."""
        return self.component.name

    @property
    def label(self) -> str:
        """Distribution and version, the way messages name the culprit."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Plugins:
    """Every component of every loaded plugin. Each mapping goes from the component's name to the component."""

    exchanges: Mapping[str, Registered[ExchangeAdapter]]
    strategies: Mapping[str, Registered[Strategy]]
    risk_rules: Mapping[str, Registered[RiskRule]]
    alert_sinks: Mapping[str, Registered[AlertSink]]
    services: Mapping[str, Registered[Service]]
    localnets: Mapping[str, Registered[LocalnetDialect]]
    host: PluginHost

    def __iter__(self) -> Iterator[Registered[object]]:
        """Every component, by kind in the order of `KINDS`, then by name."""
        for hook in KINDS:
            components: Mapping[str, Registered[object]] = getattr(self, hook.removeprefix("register_"))
            for name in sorted(components):
                yield components[name]

    def register_commands(self, cli: click.Group) -> None:
        """Let the plugins add their subcommands to ``cli``. Raises `CommandsRefused`."""
        self.host.register_commands(cli)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry point of the group, before anything of it was imported. ``value`` is ``module`` or ``module:attr``."""

    distribution: str
    version: str
    name: str
    value: str

    @property
    def label(self) -> str:
        """Distribution and version, the way messages name the culprit."""
        return f"{self.distribution} {self.version}"

    @property
    def removal(self) -> str:
        """What a person does about a plugin that cannot be used."""
        return f"fix it, or remove it with: pip uninstall {self.distribution}"

    def load(self) -> object:
        """Import what the entry point names."""
        module, _, attributes = self.value.partition(":")
        loaded: object = import_module(module)
        for attribute in filter(None, attributes.split(".")):
            loaded = getattr(loaded, attribute)
        return loaded


class PluginHost:
    """The imported plugin modules, each checked against the hook specs, none of their components registered yet."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Import ``entries``. Raises `PluginImportFailed` or `HookUnknown`."""
        self._manager = PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._plugins: list[tuple[Entry, object]] = []
        for entry in entries:
            self._add(entry)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entry points that were loaded."""
        return tuple(entry for entry, _ in self._plugins)

    def register_commands(self, cli: click.Group) -> None:
        """Call every plugin's ``register_commands``. Raises `CommandsRefused`; calls no other hook."""
        for entry, plugin in self._plugins:
            try:
                self._call(COMMANDS, plugin, cli=cli)
            except Exception as error:
                raise CommandsRefused(
                    f"{entry.label}: its commands cannot be added ({reason(error)}); {entry.removal}"
                ) from error

    def load(self) -> Plugins:
        """Call every registration hook of every plugin. Raises `HookFailed` or `DuplicateComponent`."""
        kinds: dict[str, Any] = {
            hook.removeprefix("register_"): MappingProxyType(self._components(hook, kind))
            for hook, kind in KINDS.items()
        }
        return Plugins(**kinds, host=self)

    def _add(self, entry: Entry) -> None:
        try:
            plugin = entry.load()
        except (Exception, SystemExit) as error:
            raise PluginImportFailed(
                f"{entry.label}: its plugin module {entry.value} cannot be imported ({reason(error)}); "
                f"{entry.removal}"
            ) from error
        try:
            self._manager.register(plugin, name=f"{entry.distribution}:{entry.name}")
            self._manager.check_pending()
        except PluginValidationError as error:
            raise HookUnknown(
                f"{entry.label}: {entry.value} has a hook that fundingarb does not know ({reason(error)})"
                f"{self._did_you_mean(plugin)}; {entry.removal}"
            ) from error
        except ValueError as error:
            raise HookUnknown(
                f"{entry.label}: {entry.value} is registered twice, by the entry point {entry.name} "
                f"and another; {entry.removal}"
            ) from error
        self._refuse_unmarked(entry, plugin)
        self._plugins.append((entry, plugin))

    def _refuse_unmarked(self, entry: Entry, plugin: object) -> None:
        """A hook without its marker would be ignored in silence, and so would a module without any hook."""
        marked = {caller.name for caller in self._manager.get_hookcallers(plugin) or ()}
        for hook in (*KINDS, COMMANDS):
            if hook not in marked and callable(getattr(plugin, hook, None)):
                raise HookUnknown(
                    f"{entry.label}: {hook} in {entry.value} is not marked with @hookimpl; {entry.removal}"
                )
        if not marked:
            raise HookUnknown(f"{entry.label}: {entry.value} implements no fundingarb hook; {entry.removal}")

    def _did_you_mean(self, plugin: object) -> str:
        from difflib import get_close_matches

        known = (*KINDS, COMMANDS)
        for caller in self._manager.get_hookcallers(plugin) or ():
            for close in get_close_matches(caller.name, known, n=1) if caller.name not in known else ():
                return f", did you mean {close}?"
        return ""

    def _call(self, hook: str, plugin: object, **arguments: object) -> list[Any]:
        """Call one hook of one plugin; the list is empty when the plugin returns None or lacks the hook."""
        others = [other for _, other in self._plugins if other is not plugin]
        results: list[Any] = self._manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
        return results

    def _components(self, hook: str, kind: str) -> dict[str, Registered[Any]]:
        """What all plugins return from ``hook``, by name."""
        found: dict[str, Registered[Any]] = {}
        for entry, plugin in self._plugins:
            if not any(caller.name == hook for caller in self._manager.get_hookcallers(plugin) or ()):
                continue
            try:
                results = self._call(hook, plugin)
                components = list(cast("Iterable[object]", results[0])) if results else None
            except Exception as error:
                raise HookFailed(
                    f"{entry.label}: {hook} failed ({reason(error)}); {entry.removal}"
                ) from error
            if components is None:
                raise HookFailed(f"{entry.label}: {hook} returned None, not components; {entry.removal}")
            for component in components:
                registered = self._registered(entry, hook, kind, component)
                taken = found.setdefault(registered.name, registered)
                if taken is not registered:
                    raise DuplicateComponent(
                        f"{entry.label} and {taken.label} both register the {kind} {registered.name!r}; "
                        f"remove one of them with: pip uninstall {entry.distribution}"
                    )
        return found

    @staticmethod
    def _registered(entry: Entry, hook: str, kind: str, component: object) -> Registered[Any]:
        """``component`` with where it came from. Its fields are checked: a plugin need not have been type-checked."""
        if not isinstance(component, Component):
            problem: str | None = f"{component!r}, which is not a Component"
        else:
            problem = misfit(component.name, component.settings, component.open)
        if problem is not None:
            raise HookFailed(f"{entry.label}: {hook} returned {one_line(problem)}; {entry.removal}")
        return Registered(
            kind=kind,
            component=cast("Component[Any]", component),
            distribution=entry.distribution,
            version=entry.version,
        )


def misfit(name: object, settings: object, opener: object) -> str | None:
    """What is wrong with the fields of a component, None when nothing is."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        return f"a component named {name!r}; a name is lower-case letters, digits, - and _"
    if not (isinstance(settings, type) and hasattr(settings, "model_validate")):
        return f"{name!r} with settings that are not a pydantic model"
    if not callable(opener):
        return f"{name!r} with an open that cannot be called"
    return None


def discover(allow: Collection[str] | None = None) -> PluginHost:
    """Import every installed plugin, in the order of their distributions' names, the core's builtins first.

    ``allow`` is the allow-list of live mode: distribution names; only these (and the core) are imported at all, and
    one that is not installed is refused. None allows everything. Raises `PluginError`.
    """
    entries = sorted(
        installed(), key=lambda entry: (entry.distribution != CORE, entry.distribution, entry.name)
    )
    if allow is not None:
        allowed = {canonical(name) for name in allow} | {CORE}
        entries = [entry for entry in entries if canonical(entry.distribution) in allowed]
        for missing in sorted(allowed - {canonical(entry.distribution) for entry in entries}):
            raise PluginNotAllowed(
                f"{missing}: is on the list of allowed plugins but has no plugin installed; "
                f"take it off the list, or install it with: pip install {missing}"
            )
    return PluginHost(entries)


def load_plugins(allow: Collection[str] | None = None) -> Plugins:
    """Discover every installed plugin and register its components; see `discover`. Raises `PluginError`."""
    return discover(allow).load()


def validate_settings(registered: Registered[Any], values: Mapping[str, Any] | None = None) -> BaseModel:
    """Parse ``values``, a section of the configuration, into the settings of a component.

    Raises `ComponentUnavailable` for a component that is only announced, `SettingsInvalid` when the values do not
    fit. The message names fields and problems, never values: they may be secret.
    """
    from pydantic import ValidationError

    what = f"{registered.label}: {registered.kind} {registered.name}"
    if registered.component.unavailable is not None:
        raise ComponentUnavailable(f"{what} cannot be used: {registered.component.unavailable}")
    try:
        return registered.component.settings.model_validate(dict(values or {}))
    except ValidationError as error:
        first, *rest = error.errors(include_url=False, include_context=False, include_input=False)
        where = ".".join(str(part) for part in first["loc"]) or "its section"
        more = f" (and {len(rest)} more)" if rest else ""
        raise SettingsInvalid(
            f"{what}: settings do not fit: {where}: {one_line(first['msg'])}{more}; correct the configuration"
        ) from None


def installed() -> Iterator[Entry]:
    """Every entry point of the group, in no particular order."""
    from importlib_metadata import entry_points

    for point in entry_points(group=hookspecs.PROJECT):
        metadata = point.dist.metadata if point.dist is not None else {}
        yield Entry(
            distribution=metadata.get("Name") or "unknown-distribution",
            version=metadata.get("Version") or "0",
            name=point.name,
            value=point.value,
        )


def canonical(distribution: str) -> str:
    """The normalised name of a distribution, as the packaging standards compare them."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def reason(error: BaseException) -> str:
    """An exception in one line: its class and what it says."""
    said = one_line(str(error))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def one_line(text: str) -> str:
    """``text`` without line breaks, cut to a length that a terminal can show."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 3] + "..."
