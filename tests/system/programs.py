"""Running the real programs: ``fundingarb localnet`` and ``fundingarb run`` as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

FUNDINGARB = (sys.executable, "-m", "fundingarb")


def wait_for(what: str, check: Callable[[], T | None], within: float = 60.0) -> T:
    """The first truthy answer of ``check``; fails after ``within`` real seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {what} within {within:.0f} s")


class Program:
    """A process whose output goes to a file."""

    def __init__(
        self, folder: Path, name: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = folder / f"{name}.log"
        self._output = self.log.open("wb")
        self.process = subprocess.Popen(
            [*FUNDINGARB, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM, within: float = 60.0) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._output.close()

    def drop(self) -> None:
        """End it at once, if it has not ended already."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._output.close()


@contextmanager
def program(
    folder: Path, name: str, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """A program that is ended with the block, whatever happened."""
    started = Program(folder, name, *arguments, env=env)
    try:
        yield started
    finally:
        started.drop()


class Control:
    """The localnet's control API."""

    def __init__(self, ready_file: Path) -> None:
        self.url: str = json.loads(ready_file.read_text())["control"]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as response:
            return json.load(response)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def positions(self) -> dict[tuple[str, str], str]:
        """(account, symbol) -> signed quantity of every position that is not flat."""
        accounts = self.get("/truth")["accounts"]
        return {
            (name, row["symbol"]): row["quantity"]
            for name, account in accounts.items()
            for row in account["positions"]
            if float(row["quantity"])
        }

    def order_count(self) -> int:
        """Orders that were ever accepted, over all accounts."""
        return sum(len(account["orders"]) for account in self.get("/truth")["accounts"].values())


@contextmanager
def localnet(folder: Path, *arguments: str) -> Iterator[tuple[Path, Control]]:
    """Binance and Bybit on loopback; yields the ready file and the control API."""
    ready = folder / "ready.json"
    exchanges = ("--exchange", "binance", "--exchange", "bybit")
    with program(
        folder, "localnet", "localnet", *exchanges, "--ready-file", str(ready), *arguments
    ) as running:

        def up() -> bool:
            assert running.process.poll() is None, running.output
            return ready.exists()

        wait_for("ready file", up)
        yield ready, Control(ready)
