"""``python -m tests.campaigns.dbfail``: the database fails, in every way and at every write.

``writes``: on virtual time, the Nth write or commit fails, once or for a while, or the database may not grow; N from 1
until nothing fails any more. ``server``: a PostgreSQL server is restarted and killed under a bot that trades without a
pause, over real sockets. No order that adds exposure leaves without its durable row, entries stop within a second, the
error is one line that says what to do, and trading goes on within 30 s of the server's return.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import count

from tests.campaigns.dbfail_server import Outcome, run_server
from tests.campaigns.dbfail_writes import SCHEDULES, WAYS, Verdict, run_one

#: Runs that are started ahead of knowing whether the failure is still met.
AHEAD = 8


def every_write(pool: ProcessPoolExecutor, schedule: str, way: str) -> Iterator[Verdict]:
    """One run per N, until one is over before it."""
    for first in count(1, AHEAD):
        numbers = range(first, first + AHEAD)
        verdicts = list(pool.map(run_one, [schedule] * AHEAD, [way] * AHEAD, numbers))
        yield from (verdict for verdict in verdicts if verdict.met)
        if not all(verdict.met for verdict in verdicts):
            return


def writes(options: argparse.Namespace) -> tuple[dict[str, object], bool]:
    """All schedules and ways; the figures and whether everything held."""
    found: list[Verdict] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for schedule in options.schedules:
            for way in WAYS:
                verdicts = list(every_write(pool, schedule, way))
                found += verdicts
                failed = [verdict for verdict in verdicts if verdict.failures]
                print(f"{schedule:8} {way:8} N = 1..{len(verdicts)}: {len(failed)} failed", flush=True)
                for verdict in failed:
                    print(f"  again: python -m tests.campaigns.dbfail writes --only '{verdict.name}'")
                    for failure in verdict.failures[:3]:
                        print(f"    {failure}", flush=True)
    runs = Counter(verdict.way for verdict in found)
    figures: dict[str, object] = {
        "runs": len(found),
        "runs_by_way": dict(runs),
        "errors_met": sum(verdict.errors for verdict in found),
        "failed": sum(1 for verdict in found if verdict.failures),
    }
    return figures, bool(found) and not figures["failed"]


def server(options: argparse.Namespace) -> tuple[dict[str, object], bool]:
    outcome: Outcome = run_server(options.restarts, options.kills)
    for failure in outcome.failures[:20]:
        print(f"FAILED {failure}", flush=True)
    return outcome.figures(), not outcome.failures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaigns.dbfail", description="the database fails"
    )
    parser.add_argument("part", nargs="?", choices=("writes", "server", "all"), default="all")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument("--schedules", nargs="+", choices=tuple(SCHEDULES), default=list(SCHEDULES))
    parser.add_argument("--only", help="one run of writes, by the name that was printed for it")
    parser.add_argument("--restarts", type=int, default=100, help="how often the server is restarted")
    parser.add_argument("--kills", type=int, default=50, help="how often it is killed")
    options = parser.parse_args(arguments)
    if options.only:
        schedule, way, number = options.only.split()
        verdict = run_one(schedule, way, int(number))
        print("\n".join(verdict.failures) or ("held" if verdict.met else "not met"))
        return 1 if verdict.failures else 0
    began = time.monotonic()
    figures: dict[str, object] = {}
    good = True
    for name, part in (("writes", writes), ("server", server)):
        if options.part in (name, "all"):
            figures[name], held = part(options)
            good = good and held
    figures["minutes"] = round((time.monotonic() - began) / 60, 1)
    print(json.dumps(figures))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
