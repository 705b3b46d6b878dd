"""Wheels of every distribution of the checkout, and a virtual environment that they are installed into."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.needs import need

BUILDER = "hatchling==1.33.0"
"""What the wheels are built with; a release of it must not decide whether the tests pass."""

INDEX = "python -m pip config set global.index-url https://pypi.org/simple"


def clean() -> dict[str, str]:
    """The environment without what would let a fresh interpreter see the checkout."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in hidden}


class Fresh:
    """A virtual environment and what is run in it, in a folder away from the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "env", with_pip=True)
        self.bin = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / "python"

    def run(
        self, *command: str, timeout: float = 120, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**clean(), "HOME": str(self.folder), **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """pip with the user's own configuration (indexes), which is under the real home."""
        return subprocess.run(
            [str(self.python), "-m", "pip", *arguments, "--disable-pip-version-check"],
            cwd=self.folder,
            env=clean(),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def install(self, *wheels: Path) -> None:
        done = self.pip("install", "--quiet", "--no-compile", *map(str, wheels))
        need(done.returncode == 0, f"a package index for pip ({last_line(done)})", INDEX)

    def uninstall(self, *names: str) -> None:
        done = self.pip("uninstall", "--quiet", "--yes", *names)
        assert done.returncode == 0, done.stderr

    def fundingarb(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.bin / "fundingarb"), *arguments, timeout=timeout)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return next(iter(reversed(done.stderr.strip().splitlines())), "no reason given")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """One environment for all tests: each installs what it needs and takes away what it must not have."""
    return Fresh(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="session")
def wheels(root: Path, fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution -> its wheel, built from a copy of its sources."""
    builder = Fresh(tmp_path_factory.mktemp("builder"))
    done = builder.pip("install", "--quiet", BUILDER)
    need(done.returncode == 0, f"a package index for pip ({last_line(done)})", INDEX)
    sources, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheels")
    found = sorted(
        path.parent for path in [*root.glob("*/pyproject.toml"), *root.glob("examples/*/pyproject.toml")]
    )
    for folder in found:
        shutil.copytree(folder, sources / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    arguments = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built))
    done = builder.pip("wheel", *arguments, *(str(sources / folder.name) for folder in found))
    assert done.returncode == 0, done.stderr
    by_name = {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in built.glob("*.whl")}
    assert set(by_name) == {folder.name for folder in found}
    return by_name
