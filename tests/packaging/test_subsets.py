"""Any subset of the packages, installed from wheels, is a program that starts and says what is missing."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from tests.packaging.conftest import Fresh

pytestmark = pytest.mark.slow

OTHERS = (
    "fundingarb-binance",
    "fundingarb-bybit",
    "fundingarb-okx",
    "fundingarb-dydx",
    "fundingarb-dashboard",
)
EXAMPLES = (
    "fundingarb-hyperliquid",
    "fundingarb-wide-spreads",
    "fundingarb-quiet-hours",
    "fundingarb-jsonl-alerts",
)

EVERY_MODULE = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, sys.argv[1] + "."):
    print(importlib.import_module(module.name).__name__)
"""
"""Prints the names of a package's modules, each loaded: whatever one needs has to be installed with it."""


@pytest.fixture
def core(fresh: Fresh, wheels: dict[str, Path]) -> Fresh:
    """The core alone."""
    fresh.install(wheels["fundingarb-core"])
    fresh.uninstall(*OTHERS, *EXAMPLES)
    return fresh


def names(fresh: Fresh, kind: str) -> set[str]:
    """The installed components of one kind."""
    listed = fresh.fundingarb("plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    return {row["name"] for row in json.loads(listed.stdout) if row["kind"] == kind}


def refused(fresh: Fresh, *command: str) -> str:
    """The one line with which a command is refused."""
    done = fresh.fundingarb(*command)
    assert done.returncode not in (0, 1), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def test_the_core_alone(core: Fresh) -> None:
    assert core.fundingarb("--help").returncode == 0
    assert names(core, "exchange") == set()
    assert "funding_spread" in names(core, "strategy")
    assert "pip install fundingarb-binance" in refused(core, "localnet", "--ready-file", "ready.json")
    assert "install fundingarb-binance" in refused(core, "demo", "--headless", "--cycles", "1")
    assert "ready file" in refused(core, "run")


@pytest.mark.parametrize(
    ("exchange", "other"),
    [
        ("binance", "bybit"),
        ("bybit", "binance"),
        ("okx", "binance"),
        ("dydx", "binance"),
    ],  # most dependencies last
)
def test_the_core_and_one_exchange(core: Fresh, wheels: dict[str, Path], exchange: str, other: str) -> None:
    core.install(wheels[f"fundingarb-{exchange}"])
    assert names(core, "exchange") == {exchange}
    loaded = core.run(str(core.python), "-c", EVERY_MODULE, f"fundingarb_{exchange}")
    assert loaded.returncode == 0, loaded.stderr
    assert f"fundingarb_{exchange}.localnet.dialect" in loaded.stdout.split()
    assert "two exchange plugins" in refused(core, "demo", "--headless", "--cycles", "1")
    missing = refused(core, "localnet", "--exchange", other, "--ready-file", "ready.json")
    assert other in missing
    assert f"pip install fundingarb-{other}" in missing


def test_the_dashboards_wheel_has_everything_a_browser_loads(wheels: dict[str, Path], root: Path) -> None:
    static = root / "fundingarb-dashboard" / "src" / "fundingarb_dashboard"
    wanted = {
        f"fundingarb_dashboard/{path.relative_to(static).as_posix()}"
        for folder in ("static", "templates")
        for path in (static / folder).rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(wheels["fundingarb-dashboard"]) as wheel:
        assert wanted - set(wheel.namelist()) == set()
    assert "fundingarb_dashboard/static/index.html" in wanted
    assert "fundingarb_dashboard/templates/docs.html" in wanted


def test_the_core_and_the_dashboard(core: Fresh, wheels: dict[str, Path]) -> None:
    core.install(wheels["fundingarb-dashboard"])
    assert names(core, "exchange") == set()
    assert "dashboard" in names(core, "service")
    assert "install fundingarb-binance" in refused(core, "demo", "--headless", "--cycles", "1")
