"""The shape of the checkout: the card's top level, six complete packages, nothing left over."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlib_metadata import distribution
from tests.needs import need

from fundingarb.cli import COMMANDS

PACKAGES = {
    "fundingarb-core": "fundingarb",
    "fundingarb-binance": "fundingarb_binance",
    "fundingarb-bybit": "fundingarb_bybit",
    "fundingarb-okx": "fundingarb_okx",
    "fundingarb-dydx": "fundingarb_dydx",
    "fundingarb-dashboard": "fundingarb_dashboard",
}

TOP_LEVEL = {*PACKAGES, "examples", "tests", "tox.ini", "README.md"}

# Written in halves, so that this file does not find itself.
LEFT_OVER = re.compile(
    "|".join(
        [
            r"\b" + "TO" + r"DO\b",
            "FIX" + "ME",
            r"\bXX" + r"X\b",
            r"raise Not" + "Implemented",
            r"\bst" + r"ub\b",
            r"(?<![\w.])/ro" + "ot/",
            r"(?<![\w.])/wo" + "rk/",
            r"(?<![\w.])/home/\w+/",
        ]
    )
)


@pytest.fixture(scope="module")
def files(root: Path) -> list[Path]:
    """Every file of the checkout that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    need(listed.returncode == 0, "a git checkout", "git clone <this repository>")
    return [root / name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def test_top_level_is_the_cards(files: list[Path], root: Path) -> None:
    names = {path.relative_to(root).parts[0] for path in files}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_complete(package: str, root: Path) -> None:
    folder = root / package
    module = folder / "src" / PACKAGES[package]
    for file in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        assert (folder / file).is_file(), file
        assert (folder / file).stat().st_size > 0, file
    assert (module / "py.typed").is_file()
    assert (module / "__init__.py").read_text().startswith('"""')
    assert [path.name for path in (folder / "src").iterdir() if not path.name.startswith(".")] == [
        module.name
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_metadata(package: str, root: Path) -> None:
    installed = distribution(package)
    assert (installed.metadata["Name"], installed.version) == (package, "0.1.0")
    assert installed.metadata["Requires-Python"] == ">=3.10"
    assert installed.metadata["License-Expression"] == "MIT"
    assert installed.entry_points.select(group="fundingarb")
    if package != "fundingarb-core":
        assert any(requirement.startswith("fundingarb-core") for requirement in installed.requires or ())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_dependency_has_its_reason(package: str, root: Path) -> None:
    text = (root / package / "pyproject.toml").read_text()
    block = text.partition("\ndependencies = [\n")[2].partition("\n]")[0].splitlines()
    assert block
    for line in block:
        assert re.fullmatch(r' +"[^"]+", +# \w.*', line), line


def test_the_cards_packages_are_dependencies_and_used(root: Path) -> None:
    modules = {
        "pluggy": "pluggy",
        "ccxt": "ccxt",
        "anyio": "anyio",
        "sqlalchemy": "sqlalchemy",
        "pydantic-settings": "pydantic_settings",
        "cryptography": "cryptography",
        "quart": "quart",
        "hypercorn": "hypercorn",
        "python-telegram-bot": "telegram",
        "importlib-metadata": "importlib_metadata",
    }
    required = [requirement for package in PACKAGES for requirement in distribution(package).requires or ()]
    sources = "\n".join(
        path.read_text() for package in PACKAGES for path in (root / package / "src").rglob("*.py")
    )
    for name, module in modules.items():
        assert any(re.match(rf"{name}\b", requirement) for requirement in required), f"nobody requires {name}"
        assert re.search(rf"^\s*(from|import) {module}\b", sources, re.MULTILINE), f"nobody imports {name}"


def test_nothing_is_left_over(files: list[Path], root: Path) -> None:
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()[:80]}"
        for path in files
        for number, line in numbered_lines(path)
        if LEFT_OVER.search(line)
    ]
    assert found == []


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        yield from enumerate(path.read_text().splitlines(), start=1)
    except UnicodeDecodeError:
        return


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_says_what_the_help_says(name: str) -> None:
    command = COMMANDS[name].load()
    assert command.name == name
    assert (command.help or "").strip().splitlines()[0] == COMMANDS[name].help
