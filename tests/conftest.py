"""Fixtures that every part of the test suite may use."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from tests.postgres import postgres_server, postgres_url

from fundingarb import redaction

__all__ = ["postgres_server", "postgres_url"]

settings.register_profile("no-deadline", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("no-deadline")

ROOT = Path(__file__).resolve().parent.parent

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
MakePlugin = Callable[..., str]

PRELUDE = """
from contextlib import asynccontextmanager

from pydantic import BaseModel

from fundingarb import Component, hookimpl


class Settings(BaseModel):
    key: str
    limit: int = 3


@asynccontextmanager
async def open_it(settings, context):
    yield object()


"""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on the backend the program runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def logging_goes_on() -> Iterator[None]:
    """Commands and campaigns that run in this process set logging up for good; the next test wants it as it was."""
    log = logging.getLogger()
    level, handlers = log.level, log.handlers[:]
    yield
    log.setLevel(level)
    log.handlers[:] = handlers
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def secrets_of_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test makes a secret of is none to the next: its text may mean something there."""
    monkeypatch.setattr(redaction, "_forms", redaction._forms)
    monkeypatch.setattr(redaction, "_known", set(redaction._known))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Recorded exchange material: ``../shared`` beside the checkout, or where ``FUNDINGARB_SHARED`` points.

    It is not part of the project, so its absence is always a skip.
    """
    path = Path(os.environ.get("FUNDINGARB_SHARED") or ROOT.parent / "shared")
    if not path.is_dir():
        pytest.skip(
            "needs the recorded material; point FUNDINGARB_SHARED at the folder that holds wire/ and data/"
        )
    return path


@pytest.fixture(scope="session")
def wire_dir(shared_dir: Path) -> Path:
    """Recorded exchange messages, ``<exchange>/<source>-<name>.json``."""
    return shared_dir / "wire"


@pytest.fixture(scope="session")
def data_dir(shared_dir: Path) -> Path:
    """Recorded funding and price history."""
    return shared_dir / "data"


@pytest.fixture(scope="session")
def fundingarb_script() -> Path:
    """The installed ``fundingarb`` console script of the interpreter that runs the tests."""
    name = "fundingarb.exe" if os.name == "nt" else "fundingarb"
    return Path(sys.executable).with_name(name)


@pytest.fixture
def run_cli(fundingarb_script: Path, tmp_path: Path) -> RunCli:
    """Run the real console script to its end: ``run_cli("plugins", "--json", env={...})``.

    It starts in an empty directory that is also its home, with the environment of the test run plus ``env``.
    """
    here = tmp_path / "cwd"
    here.mkdir()

    def run(
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(fundingarb_script), *args],
            cwd=here,
            env={**os.environ, "HOME": str(here), **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            pass_fds=pass_fds,
        )

    return run


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that plays site-packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def with_site(site: Path) -> dict[str, str]:
    """Environment of a process that has `site` on its path."""
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, [inherited])])}


@pytest.fixture
def make_plugin(site: Path) -> MakePlugin:
    """Install a distribution with one plugin module; returns the distribution's name.

    ``source`` follows a prelude that defines ``Settings`` and ``open_it``; ``bare`` leaves the prelude out.
    """

    def make(distribution: str, source: str, *, version: str = "1.2.3", bare: bool = False) -> str:
        module = re.sub(r"[-_.]+", "_", distribution).lower()
        body = textwrap.dedent(source)
        (site / f"{module}.py").write_text(body if bare else PRELUDE + body)
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nSummary: a test\n\nName: decoy\n"
        )
        (info / "entry_points.txt").write_text(
            f"[console_scripts]\nunrelated = {module}:nothing\n\n[fundingarb]\nplugged = {module}\n\n[other]\nx = y\n"
        )
        return distribution

    return make
