"""How long the command line takes to answer, against a bare interpreter timed in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 20

SCRIPT = str(Path(sys.executable).with_name("fundingarb"))
FLOOR = [sys.executable, "-c", "pass"]
PATHS = {
    "start-up --help": ([SCRIPT, "--help"], 5.0),
    "start-up plugins": ([SCRIPT, "plugins"], 12.0),
    "import fundingarb": ([sys.executable, "-c", "import fundingarb"], None),
}


def seconds(command: list[str]) -> float:
    """Wall time of one run of ``command``."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
    return time.perf_counter() - began


def main() -> None:
    floor: list[float] = []
    taken: dict[str, list[float]] = {path: [] for path in PATHS}
    for _ in range(ROUNDS):  # interleaved, so that a busy moment hits everything alike
        floor.append(seconds(FLOOR))
        for path, (command, _goal) in PATHS.items():
            taken[path].append(seconds(command))
    bare = statistics.median(floor)
    for path, (_command, goal) in PATHS.items():
        ours = statistics.median(taken[path])
        result = {
            "path": path,
            "floor_ms": round(bare * 1000, 3),
            "ms": round(ours * 1000, 3),
            "ratio": round(ours / bare, 2),
            "goal": goal,
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
