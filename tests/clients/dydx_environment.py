"""Makes an environment with dYdX's official client: ``python -m tests.clients.dydx_environment FOLDER``.

The client cannot be installed beside current ccxt (both fix coincurve, on different versions), and has no wheels for
the newest Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CLIENT = "dydx-v4-client==1.1.5"
PYTHONS = ("python3.12", "python3.11", "python3.10")
"""Versions that the client and what it needs have wheels for."""


def interpreter(folder: Path) -> Path:
    """The environment's Python."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def suitable() -> str | None:
    """A Python for the environment: the one that runs this where it can be."""
    if f"python3.{sys.version_info.minor}" in PYTHONS:
        return sys.executable
    found = (shutil.which(name) for name in PYTHONS)
    return next((path for path in found if path is not None), None)


def main() -> None:
    folder = Path(sys.argv[1])
    python = suitable()
    if python is None:
        print(f"dYdX's client needs one of {', '.join(PYTHONS)}; its tests are left out")
        return
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", CLIENT]
    subprocess.run([str(interpreter(folder)), *install], check=True)


if __name__ == "__main__":
    main()
