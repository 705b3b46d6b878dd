"""The direction of imports: ``domain <- ports <- engine <- app <- cli``, and everything else at their side."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.architecture.imports import Import, imports_in, imports_of, modules_in

import fundingarb

VALUES = {"domain", "errors", "ports", "redaction"}
PLUGIN = {"component", "hookspecs", "settings"}
"""What a plugin's module needs to register."""

LAYERS: dict[str, set[str]] = {
    "redaction": set(),
    "errors": {"redaction"},
    "domain": set(),
    "settings": set(),
    "process": set(),
    "folders": set(),
    "privatefiles": {"errors", "folders"},
    "ports": {"domain", "errors", "redaction"},
    "component": {"ports"},
    "hookspecs": {"component", "ports", "localnet"},
    "discovery": {"errors", "hookspecs"},
    "plugins": {"component", "discovery", "errors", "ports", "localnet"},
    "engine": VALUES,
    "store": VALUES | {"folders", "process"},
    "exchanges": VALUES,
    "builtin": VALUES | PLUGIN | {"folders", "privatefiles"},
    "config": VALUES | {"folders", "plugins", "settings"},
    "vault": VALUES | {"folders"},
    "golive": VALUES | {"config", "store", "vault"},
    "localnet": {"errors", "plugins", "ports"},
    # The conformance suite opens installed plugins, on the clock that the engine shares with a localnet.
    "testing": VALUES | PLUGIN | {"engine", "exchanges", "localnet", "plugins"},
    # Changes the configuration of a bot that runs.
    "configuring": VALUES | {"config", "engine", "held", "plugins"},
    # What is open for a while in a task of its own.
    "held": VALUES,
    "notify": set(),
    # What runs the program: systemd units and a container file.
    "deploy": set(),
    # Another process that asks whether the bot is well, and tells when it is not.
    "watching": VALUES | {"engine"},
    # What the bot writes for people to read later.
    "logs": VALUES | {"engine", "folders"},
    # Services beside a bot, each in a task of its own.
    "hosting": {"errors", "ports"},
    # What the composition root is made of: the clock and the exchanges around a bot, its vault, its components.
    "surroundings": VALUES | {"engine", "vault"},
    "unlocking": VALUES | {"config", "golive", "store", "surroundings", "vault"},
    "opening": VALUES | {"config", "engine", "hosting", "plugins", "settings", "surroundings"},
    # Where the bots of a file run, whatever the file says now.
    "whereabouts": VALUES | {"config", "process", "store"},
    # The composition root, and the one place that wires store and configuration to the engine.
    "app": VALUES
    | {
        "component",
        "config",
        "configuring",
        "engine",
        "folders",
        "golive",
        "hosting",
        "logs",
        "opening",
        "plugins",
        "store",
        "surroundings",
        "unlocking",
        "vault",
        "whereabouts",
    },
    # The daily copy of a bot's database.
    "backups": VALUES | {"engine", "store"},
    # Runs the engine as app does, on virtual time, and looks at the localnet's truth.
    "simulation": VALUES | {"app", "builtin", "config", "engine", "localnet", "plugins", "store"},
    # What people command from outside a bot: the same store, and a bot of its own where none answers.
    "panel": VALUES
    | {"app", "config", "engine", "golive", "logs", "plugins", "process", "store", "whereabouts"},
    "terminal": {"domain", "ports"},
    "demo": VALUES | {"app", "config", "engine", "localnet", "plugins", "store", "terminal"},
    "cli": VALUES
    | {
        "app",
        "backups",
        "component",
        "config",
        "demo",
        "discovery",
        "engine",
        "deploy",
        "folders",
        "logs",
        "notify",
        "opening",
        "panel",
        "plugins",
        "privatefiles",
        "settings",
        "simulation",
        "terminal",
        "unlocking",
        "vault",
        "watching",
        "whereabouts",
    },
    "__main__": {"cli"},
}
"""Part of the core -> the other parts it may import, for run time or for types."""

EXCEPTIONS = {
    "fundingarb.cli.db": {"store"},
    "fundingarb.cli.backup": {"store"},
    "fundingarb.cli.config": {"store"},
    "fundingarb.cli.telegram": {"builtin"},
}
"""Module -> parts it may import besides. Database and pairing are looked after without a bot: nothing is wired."""

EXCHANGES = ("binance", "bybit", "okx", "dydx")
SIDE_PACKAGES = (*EXCHANGES, "dashboard")

PUBLIC = VALUES | PLUGIN | {"exchanges", "localnet", "privatefiles", "testing"}
"""Parts of the core that other distributions may import, besides the names in ``fundingarb.__all__``."""


def part_of(target: str) -> str:
    """The part of the core that a dotted name is in; "" for the package itself."""
    return target.split(".")[1] if "." in target else ""


def show(offences: Iterable[Import]) -> list[str]:
    return [str(offence) for offence in offences]


@pytest.fixture(scope="module")
def core(root: Path) -> list[Import]:
    return imports_in(root / "fundingarb-core" / "src")


def side(root: Path, name: str) -> list[Import]:
    return imports_in(root / f"fundingarb-{name}" / "src")


def outside(imports: Iterable[Import], allowed: set[str]) -> list[Import]:
    """Imports of the core that are neither in ``allowed`` parts nor public names."""
    public = set(fundingarb.__all__)
    return [
        found
        for found in imports
        if found.is_of("fundingarb")
        and part_of(found.target) not in allowed
        and not (found.target.count(".") == 1 and part_of(found.target) in public)
    ]


def test_the_reader_sees_every_kind_of_import() -> None:
    source = """
import a.b, c
from d.e import f as g
if TYPE_CHECKING:
    from h import i
else:
    import j
def function():
    from k import l
"""
    found = [(one.target, one.line, one.typing_only) for one in imports_of(source, "m")]
    assert found == [
        ("a.b", 2, False),
        ("c", 2, False),
        ("d.e.f", 3, False),
        ("h.i", 5, True),
        ("j", 7, False),
        ("k.l", 9, False),
    ]


def test_every_part_of_the_core_has_its_place(root: Path) -> None:
    parts = {part_of(name) for name, _ in modules_in(root / "fundingarb-core" / "src")} - {""}
    assert parts - set(LAYERS) == set(), "say in LAYERS what the new part may import"
    assert set(LAYERS) - parts == set(), "these parts are gone"


@pytest.mark.parametrize("part", LAYERS)
def test_direction_in_the_core(part: str, core: list[Import]) -> None:
    own = [found for found in core if part_of(found.module) == part]
    strays = outside(own, {part, *LAYERS[part]})
    assert (
        show(found for found in strays if part_of(found.target) not in EXCEPTIONS.get(found.module, ())) == []
    )


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("domain", set[str]()),
        ("errors", set[str]()),
        ("ports", set[str]()),
        ("engine", {"anyio"}),
        ("component", {"pydantic"}),
        ("hookspecs", {"pluggy", "click"}),
    ],
)
def test_third_parties_stay_out_of_the_middle(part: str, allowed: set[str], core: list[Import]) -> None:
    known = sys.stdlib_module_names | allowed | {"fundingarb"}
    strangers = [
        found for found in core if part_of(found.module) == part and found.target.split(".")[0] not in known
    ]
    assert show(strangers) == []


@pytest.mark.parametrize("part", ["domain", "engine"])
def test_concurrency_is_anyio(part: str, core: list[Import]) -> None:
    bare = [found for found in core if part_of(found.module) == part and found.is_of("asyncio")]
    assert show(bare) == []


def test_the_domain_does_no_io(core: list[Import]) -> None:
    shell = {
        "anyio",
        "asyncio",
        "io",
        "logging",
        "os",
        "pathlib",
        "random",
        "socket",
        "subprocess",
        "threading",
        "time",
    }
    found = [one for one in core if part_of(one.module) == "domain" and one.target.split(".")[0] in shell]
    assert show(found) == []


def test_what_every_command_line_imports_is_light(core: list[Import]) -> None:
    """Modules behind ``fundingarb --help`` import nothing but pluggy, click and each other at run time."""
    light = {"", "component", "discovery", "errors", "hookspecs", "redaction"}
    known = sys.stdlib_module_names | {"fundingarb", "pluggy", "importlib_metadata"}
    heavy = [
        found
        for found in core
        if part_of(found.module) in light
        and not found.typing_only
        and found.target.split(".")[0] not in known
    ]
    assert show(heavy) == []


@pytest.mark.parametrize("name", SIDE_PACKAGES)
def test_packages_import_public_parts_and_never_each_other(name: str, root: Path) -> None:
    imports = side(root, name)
    assert imports, "the package has modules"
    siblings = {f"fundingarb_{other}" for other in SIDE_PACKAGES if other != name}
    assert show(found for found in imports if found.target.split(".")[0] in siblings) == []
    assert show(outside(imports, PUBLIC)) == []


@pytest.mark.parametrize("name", SIDE_PACKAGES)
def test_plugin_modules_are_light(name: str, root: Path) -> None:
    """Only the hooks' own needs are imported with the module, the rest inside the functions."""
    source = (root / f"fundingarb-{name}" / "src" / f"fundingarb_{name}" / "plugin.py").read_text()
    top = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    known = sys.stdlib_module_names
    heavy = [
        found.target
        for found in imports_of("\n".join(top), "plugin")
        if found.target.split(".")[0] not in known
        and not any(found.is_of(light) for light in ("fundingarb.component", "fundingarb.hookspecs"))
        and found.target not in ("fundingarb.Component", "fundingarb.hookimpl")
    ]
    assert heavy == []


@pytest.mark.parametrize("name", EXCHANGES)
def test_dialects_and_adapters_do_not_know_each_other(name: str, root: Path) -> None:
    """A dialect is written from the exchange's documentation, or it would repeat the adapter's mistakes."""
    own, dialect = f"fundingarb_{name}", f"fundingarb_{name}.localnet"
    imports = side(root, name)
    inside = [found for found in imports if f"{found.module}.".startswith(f"{dialect}.")]
    leaks = [found for found in inside if found.is_of(own) and not found.is_of(dialect)]
    foreign = outside(inside, {"localnet", "errors", "settings"})
    leaks += [found for found in foreign if found.target != "fundingarb.ports.OpenContext"]
    rest = [found for found in imports if found not in inside and found.module != f"{own}.plugin"]
    leaks += [found for found in rest if found.is_of(dialect) or found.is_of("fundingarb.localnet")]
    assert show(leaks) == []


def test_the_localnet_is_independent_of_the_bot(core: list[Import]) -> None:
    """It is written from the exchanges' documentation: it knows neither the bot's values nor its adapters.

    Only the module that opens the installed dialects, as the program opens any component, sees a port.
    """
    strangers = [f"fundingarb.{part}" for part in ("domain", "ports", "engine", "exchanges", "store", "app")]
    leaks = [
        found
        for found in core
        if part_of(found.module) == "localnet"
        and any(found.is_of(stranger) for stranger in strangers)
        and (found.module, found.target) != ("fundingarb.localnet.installed", "fundingarb.ports.OpenContext")
    ]
    assert show(leaks) == []
