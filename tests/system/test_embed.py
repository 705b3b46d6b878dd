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


def test_a_localnet_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    """The demo holds the other end of its standard input; here nobody does."""
    command = [sys.executable, "-m", "fundingarb", "localnet", "--exchange", "binance", "--until-eof"]
    ended = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 0
    assert b"localnet stopped" in ended.stdout
