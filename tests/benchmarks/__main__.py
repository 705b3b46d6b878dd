"""Run every benchmark, or those named, and print a table: ``python -m tests.benchmarks [NAME...]``.

Each ``bench_*.py`` beside this file is a program that prints one JSON object per line: ``path``, ``floor_ms``, ``ms``,
``ratio`` (ours to the floor timed in the same run), ``goal`` (the ratio to reach, or null), or ``skipped`` with the
reason. A missed goal is shown, not hidden; only a program that fails makes this one fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEADINGS = ("path", "floor ms", "ours ms", "ratio", "goal", "")


def programs(names: list[str]) -> Iterator[str]:
    """Modules to run: all, or those whose name without ``bench_`` is among ``names``."""
    known = {path.stem.removeprefix("bench_"): path.stem for path in sorted(HERE.glob("bench_*.py"))}
    for name in names:
        if name not in known:
            sys.exit(f"no benchmark {name!r}; there are: {', '.join(known)}")
    for name in names or known:
        yield f"tests.benchmarks.{known[name]}"


def results(module: str) -> list[dict[str, Any]]:
    """Run one program; what it printed."""
    run = subprocess.run([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def row(result: dict[str, Any]) -> tuple[str, ...]:
    """One result as cells of the table."""
    if "skipped" in result:
        return (str(result["path"]), "", "", "", "", f"skipped: {result['skipped']}")
    ratio, goal = result["ratio"], result.get("goal")
    verdict = "" if goal is None else "reached" if ratio <= goal else "MISSED"
    cells = (result["floor_ms"], result["ms"], ratio, "-" if goal is None else f"<= {goal}")
    return (str(result["path"]), *(str(cell) for cell in cells), verdict)


def main(names: list[str]) -> None:
    rows: list[tuple[str, ...]] = [HEADINGS]
    for module in programs(names):
        print(f"{module} ...", file=sys.stderr, flush=True)
        rows.extend(row(result) for result in results(module))
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEADINGS))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
