"""``examples/embed.py`` runs as it stands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.system.programs import localnet, wait_for


def test_embedding_example_trades(root: Path, tmp_path: Path) -> None:
    with localnet(tmp_path, "--seed", "7", "--speed", "60") as (ready, control):
        output = tmp_path / "embed.log"
        with output.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(root / "examples" / "embed.py"), str(ready)],
                cwd=tmp_path,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            wait_for("opened position", lambda: "Position Opened" in output.read_text(), 120)
            assert control.positions()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    assert "Traceback" not in output.read_text() or "KeyboardInterrupt" in output.read_text()
