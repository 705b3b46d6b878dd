"""Which process is which: identity that survives the reuse of process ids, and ending one that hangs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass

__all__ = ["Process", "end", "running", "this_process"]

PATIENCE = 10.0
"""Seconds that a process may take to be gone after it was ended."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its host, its id there, and when it was started in that host's own words (empty: unknown)."""

    host: str
    pid: int
    started: str

    @property
    def here(self) -> bool:
        """Whether it is, or was, on this host."""
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        return f"process {self.pid}" if self.here else f"process {self.pid} on {self.host}"

    def dump(self) -> str:
        """This identity as text."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Process | None:
        """The identity in ``text``; None when it holds none."""
        try:
            found = json.loads(text)
            return cls(str(found["host"]), int(found["pid"]), str(found["started"]))
        except (ValueError, KeyError, TypeError):
            return None


def this_process() -> Process:
    """The process that asks."""
    return Process(socket.gethostname(), os.getpid(), started(os.getpid()))


def started(pid: int) -> str:
    """When ``pid`` was started; empty when it does not run (a process that only waits to be reaped does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        if fields[0] in "ZX":
            return ""
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()[:8]}+{fields[19]}"
    except (OSError, IndexError):
        pass
    if os.path.isdir("/proc/self"):
        return ""
    try:
        asked = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=False).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    state, _, since = answer.strip().partition(" ")
    return "" if state.startswith("Z") else " ".join(since.split())


def running(process: Process) -> bool:
    """Whether exactly this process runs on this host: same id, same start."""
    return process.here and bool(process.started) and started(process.pid) == process.started


def end(process: Process) -> bool:
    """Kill ``process`` (its database and its orders are made for that) and wait until it is gone. Whether it is."""
    if not running(process):
        return True
    try:
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    deadline = time.monotonic() + PATIENCE
    while running(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
