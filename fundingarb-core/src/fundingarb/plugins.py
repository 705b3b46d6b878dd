"""What the installed plugins offer: their components by kind and name, and every reason to refuse one.

The program starts with all of its plugins in order or not at all: each refusal is a `PluginError` of one line that
names the distribution at fault and what to do about it. `fundingarb.discovery` finds and imports the plugins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from fundingarb.component import Component
from fundingarb.discovery import Entry, PluginHost, discover, one_line, reason
from fundingarb.errors import PluginError

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import AlertSink, ExchangeAdapter, RiskRule, Service, Strategy

__all__ = [
    "KINDS",
    "ComponentUnavailable",
    "DuplicateComponent",
    "HookFailed",
    "Plugins",
    "Registered",
    "SettingsInvalid",
    "load_plugins",
    "load_usable_plugins",
    "validate_settings",
]

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "exchanges": "exchange",
        "strategies": "strategy",
        "risk_rules": "risk rule",
        "alert_sinks": "alert sink",
        "services": "service",
        "localnets": "localnet",
    }
)
"""Field of `Plugins`, and what follows ``register_`` in the hook -> what one of its components is called."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")

OpenedT_co = TypeVar("OpenedT_co", covariant=True)


class HookFailed(PluginError):
    """A hook raised, or returned something that is not a component. Nothing starts."""


class DuplicateComponent(PluginError):
    """Two plugins register a component of the same kind under the same name. Nothing starts."""


class ComponentUnavailable(PluginError):
    """The configuration uses a component that this release only announces. Nothing starts."""


class SettingsInvalid(PluginError):
    """A section of the configuration does not fit the settings of its component. Nothing starts."""


@dataclass(frozen=True, slots=True)
class Registered(Generic[OpenedT_co]):
    """A component together with its kind and the distribution that brought it."""

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
    """Every component of every loaded plugin. Each mapping goes from the component's name to the component.

    ``left_out`` says what cannot be used, a line each; None where that was refused.
    """

    exchanges: Mapping[str, Registered[ExchangeAdapter]]
    strategies: Mapping[str, Registered[Strategy]]
    risk_rules: Mapping[str, Registered[RiskRule]]
    alert_sinks: Mapping[str, Registered[AlertSink]]
    services: Mapping[str, Registered[Service]]
    localnets: Mapping[str, Registered[LocalnetDialect]]
    host: PluginHost
    left_out: tuple[str, ...] | None = None

    def __iter__(self) -> Iterator[Registered[object]]:
        """Every component, by kind in the order of `KINDS`, then by name."""
        for field in KINDS:
            components: Mapping[str, Registered[object]] = getattr(self, field)
            for name in sorted(components):
                yield components[name]

    def register_commands(self, cli: click.Group) -> None:
        """Let the plugins add their subcommands to ``cli``. Raises `PluginError`."""
        self.host.register_commands(cli)


def load_plugins(allow: Collection[str] | None = None) -> Plugins:
    """Import every installed plugin and register its components; `discover` tells what ``allow`` does.

    Raises `PluginError`.
    """
    host = discover(allow)
    by_field: dict[str, Any] = {field: MappingProxyType(components(host, field)) for field in KINDS}
    return Plugins(**by_field, host=host)


def load_usable_plugins(allow: Collection[str] | None = None) -> Plugins:
    """As `load_plugins`, for what has to work whatever else is wrong: a plugin that cannot be used is left out."""
    problems: list[str] = []

    def left_out(error: PluginError) -> None:
        problems.append(str(error))

    host = discover(allow, left_out)
    by_field: dict[str, Any] = {field: MappingProxyType(components(host, field, left_out)) for field in KINDS}
    return Plugins(**by_field, host=host, left_out=tuple(problems))


def components(
    host: PluginHost, field: str, left_out: Callable[[PluginError], None] | None = None
) -> dict[str, Registered[Any]]:
    """The components of one kind of all plugins, by name. Raises `HookFailed` or `DuplicateComponent`, unless
    ``left_out`` is to hear of them."""
    hook = f"register_{field}"
    found: dict[str, Registered[Any]] = {}
    for entry, plugin in host.plugins:
        if not host.implements(hook, plugin):
            continue
        try:
            found.update(returned(host, entry, plugin, hook, found))
        except PluginError as error:
            if left_out is None:
                raise
            left_out(error)
    return found


def returned(
    host: PluginHost, entry: Entry, plugin: object, hook: str, others: Mapping[str, Registered[Any]]
) -> dict[str, Registered[Any]]:
    """What one plugin returned from ``hook``, by name; none may be among ``others``."""
    try:
        given = list(host.call(hook, plugin))
    except Exception as error:
        raise HookFailed(
            f"{entry.label}: {hook} failed or returned nothing to iterate over ({reason(error)}); {entry.removal}"
        ) from error
    found: dict[str, Registered[Any]] = {}
    for component in given:
        registered = accept(entry, hook.removeprefix("register_"), component)
        taken = others.get(registered.name) or found.setdefault(registered.name, registered)
        if taken is not registered:
            culprits = " or ".join(dict.fromkeys((taken.distribution, entry.distribution)))
            raise DuplicateComponent(
                f"{taken.label} and {entry.label} both register the {registered.kind} {registered.name!r}; "
                f"remove one of them with: pip uninstall {culprits}"
            )
    return found


def accept(entry: Entry, field: str, component: object) -> Registered[Any]:
    """``component`` with where it came from. Its fields are checked: a plugin need not have been type-checked."""
    if not isinstance(component, Component):
        problem: str | None = f"{component!r}, which is not a Component"
    else:
        problem = misfit(component.name, component.settings, component.open)
    if problem is not None:
        raise HookFailed(f"{entry.label}: register_{field} returned {one_line(problem)}; {entry.removal}")
    return Registered(KINDS[field], cast("Component[Any]", component), entry.distribution, entry.version)


def misfit(name: object, settings: object, opener: object) -> str | None:
    """What is wrong with the fields of a component, None when nothing is."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        return f"a component named {name!r}; a name is lower-case letters, digits, - and _"
    if not (isinstance(settings, type) and hasattr(settings, "model_validate")):
        return f"{name!r} with settings that are not a pydantic model"
    if not callable(opener):
        return f"{name!r} with an open that cannot be called"
    return None


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
        where = ".".join(str(part) for part in first["loc"]) or "the section as a whole"
        more = f" (and {len(rest)} more)" if rest else ""
        raise SettingsInvalid(
            f"{what}: settings do not fit: {where}: {one_line(first['msg'])}{more}; correct the configuration"
        ) from None
