"""``python -m tests.campaigns.demo``: four cycles of the demo on all four exchanges, as a user starts it.

The report has to reconcile, every hedge to be on two exchanges, and OKX and dYdX to be among them. Takes about five
minutes. Prints one JSON line; exits with 1 when something is otherwise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WANTED = ("okx", "dydx")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--seed", type=int, default=11)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fundingarb-demo-") as folder:
        path = Path(folder, "report.json")
        command = [sys.executable, "-m", "fundingarb", "demo", "--headless", "--report", str(path)]
        command += ["--cycles", str(asked.cycles), "--seed", str(asked.seed)]
        status = subprocess.run(command, stdout=sys.stderr, check=False).returncode
        report: dict[str, Any] = {"reconciled": False, "hedges": []}
        if path.exists():
            report = json.loads(path.read_text())
    closed = [hedge for hedge in report["hedges"] if hedge["status"] == "CLOSED"]
    pairs = [sorted({leg["account"] for leg in hedge["legs"]}) for hedge in closed]
    lacking = [name for name in WANTED if not any(name in pair for pair in pairs)]
    figures = {"reconciled": report["reconciled"], "closed": len(closed), "pairs": pairs, "lacking": lacking}
    print(json.dumps({"campaign": "demo", "status": status, **figures}))
    enough = len(closed) >= asked.cycles and all(len(pair) == 2 for pair in pairs)
    return 0 if status == 0 and report["reconciled"] is True and enough and not lacking else 1


if __name__ == "__main__":
    sys.exit(main())
