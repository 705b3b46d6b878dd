"""Which plugins are installed, and whether their modules can be used: entry points, imports, hook names.

Importing this module and loading plugins with it stays cheap: `fundingarb.plugins` does what needs more.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from pluggy import PluginManager, PluginValidationError

from fundingarb import hookspecs
from fundingarb.errors import PluginError

if TYPE_CHECKING:
    import click

__all__ = [
    "CORE",
    "HOOKS",
    "CommandsRefused",
    "Entry",
    "HookUnknown",
    "PluginHost",
    "PluginImportFailed",
    "PluginNotAllowed",
    "discover",
    "glance",
    "installed",
    "one_line",
    "reason",
]

CORE = "fundingarb-core"
"""The distribution whose builtins load whatever the allow-list says."""

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("register_"))
"""Every hook there is."""

LONGEST_REASON = 300


class PluginImportFailed(PluginError):
    """A plugin's module raised while it was imported. Nothing starts."""


class HookUnknown(PluginError):
    """A plugin implements no hook, a hook that does not exist, or one with arguments it does not have."""


class CommandsRefused(PluginError):
    """A plugin's subcommands could not be added. The command line does not start."""


class PluginNotAllowed(PluginError):
    """The allow-list names a distribution that is not installed or has no plugin. Nothing starts."""


class Entry(NamedTuple):
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

    def __init__(
        self, entries: Iterable[Entry], left_out: Callable[[PluginError], None] | None = None
    ) -> None:
        """Import ``entries``, the core's first. Raises `PluginImportFailed` or `HookUnknown`, unless ``left_out`` is to
        hear of plugins that cannot be used."""
        self._manager = PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._plugins: list[tuple[Entry, object]] = []
        for entry in sorted(entries, key=lambda entry: (entry.distribution != CORE, entry)):
            try:
                self._add(entry)
            except PluginError as error:
                if left_out is None:
                    raise
                self._forget(entry)
                left_out(error)

    @property
    def plugins(self) -> tuple[tuple[Entry, object], ...]:
        """The loaded plugins, each with the entry point it came from."""
        return tuple(self._plugins)

    def implements(self, hook: str, plugin: object) -> bool:
        """True when ``plugin`` has an implementation of ``hook``."""
        return hook in self._hooks(plugin)

    def call(self, hook: str, plugin: object, **arguments: object) -> Any:
        """What ``hook`` of this one plugin returns; None also when it has no such hook. Whatever it raises passes."""
        others = [other for _, other in self._plugins if other is not plugin]
        results = self._manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
        return results[0] if results else None

    def register_commands(self, cli: click.Group) -> None:
        """Call every plugin's ``register_commands``. Raises `CommandsRefused`; calls no other hook."""
        for entry, plugin in self._plugins:
            try:
                self.call("register_commands", plugin, cli=cli)
            except Exception as error:
                raise CommandsRefused(
                    f"{entry.label}: its commands cannot be added ({reason(error)}); {entry.removal}"
                ) from error

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
                f"{entry.label}: {entry.value} is registered a second time, as {entry.name}; {entry.removal}"
            ) from error
        self._refuse_unmarked(entry, plugin)
        self._plugins.append((entry, plugin))

    def _forget(self, entry: Entry) -> None:
        name = f"{entry.distribution}:{entry.name}"
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def _hooks(self, plugin: object) -> set[str]:
        return {caller.name for caller in self._manager.get_hookcallers(plugin) or ()}

    def _refuse_unmarked(self, entry: Entry, plugin: object) -> None:
        """A hook without its marker would be ignored in silence, and so would a module without any hook."""
        marked = self._hooks(plugin)
        for hook in HOOKS:
            if hook not in marked and callable(getattr(plugin, hook, None)):
                raise HookUnknown(
                    f"{entry.label}: {hook} in {entry.value} is not marked with @hookimpl; {entry.removal}"
                )
        if not marked:
            raise HookUnknown(f"{entry.label}: {entry.value} implements no fundingarb hook; {entry.removal}")

    def _did_you_mean(self, plugin: object) -> str:
        from difflib import get_close_matches

        for unknown in sorted(self._hooks(plugin).difference(HOOKS)):
            for close in get_close_matches(unknown, HOOKS, n=1):
                return f", did you mean {close}?"
        return ""


def discover(
    allow: Collection[str] | None = None, left_out: Callable[[PluginError], None] | None = None
) -> PluginHost:
    """Import every installed plugin, the core's builtins first, then by the names of the distributions.

    ``allow`` is the allow-list of live mode: distribution names; only these (and the core) are imported at all, and
    one that is not installed is refused. None allows everything. Raises `PluginError`, unless ``left_out`` is to hear
    of it.
    """
    entries = list(installed())
    if allow is not None:
        allowed = {canonical(name) for name in allow} | {CORE}
        entries = [entry for entry in entries if canonical(entry.distribution) in allowed]
        for missing in sorted(allowed - {canonical(entry.distribution) for entry in entries}):
            error = PluginNotAllowed(
                f"{missing}: is on the list of allowed plugins but has no plugin installed; "
                f"take it off the list, or install it with: pip install {missing}"
            )
            if left_out is None:
                raise error
            left_out(error)
    return PluginHost(entries, left_out)


def installed() -> Iterator[Entry]:
    """Every entry point of the group, in no particular order."""
    from importlib_metadata import entry_points

    for point in entry_points(group=hookspecs.PROJECT):
        distribution = point.dist
        # Two lines of the metadata, without parsing all of it as an e-mail message.
        metadata = (distribution and distribution.read_text("METADATA")) or ""
        headers = dict(re.findall(r"^(Name|Version): *(.+?) *$", metadata.partition("\n\n")[0], re.MULTILINE))
        yield Entry(
            headers.get("Name", "unknown-distribution"), headers.get("Version", "0"), point.name, point.value
        )


def glance() -> Iterator[Entry]:
    """What `installed` finds in ordinary folders of ``sys.path``, in a fraction of the time.

    For the command line's help, which must be quick and only lists commands. A plugin that sits in an archive or
    behind an importer of its own is not seen here.
    """
    seen = set()
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            stem, suffix = os.path.splitext(name)
            distribution, _, version = stem.partition("-")
            if suffix != ".dist-info" or distribution in seen:
                continue
            seen.add(distribution)
            try:
                with open(os.path.join(folder, name, "entry_points.txt"), encoding="utf-8") as file:
                    _, found, group = file.read().partition(f"[{hookspecs.PROJECT}]")
            except OSError:
                continue
            if found:
                for point in re.finditer(
                    r"^([^\s=#;]+)\s*=\s*(\S+)", group.partition("\n[")[0], re.MULTILINE
                ):
                    yield Entry(distribution.replace("_", "-"), version, point[1], point[2])


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
