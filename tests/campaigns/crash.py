"""``python -m tests.campaigns.crash``: SIGKILL at every step, restart, and again while that restart is under way.

Each scenario runs once without a kill, which records its steps; then once per step with a kill there. The restart has
to end flat or hedged within 60 s, with no order twice and every fill and payment booked; a second restart must send
nothing. For a kill of each of some crash points of the failure model the restarted bot is killed as well, at each of
its own steps. ``--only NAME`` runs one case again, with the name that was printed for it.
"""

from __future__ import annotations

import argparse
import json
import queue
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.campaigns.crash_case import PRELOAD, PROCESSES, Case, Result, run_case
from tests.postgres import PostgresServer, running_server

SCENARIOS = ("close", "settle", "partial", "unwind", "kill", "kill-foreign")
#: Passages of one failpoint that are tried: ledgers are read again and again, alerts come and go.
EACH = {"fills": 2, "payments": 2}
#: A failpoint that was not reached is tried so often: it depends on what meets in one transaction.
ATTEMPTS = 2

START = r"(before|after) (opening|localnet_run|save_config|load)"
POINTS: Sequence[tuple[str, str, str]] = (
    (
        "C1",
        r".*",
        r"before (opening|localnet_run|save_config|load)|after (opening|localnet_run|save_config|load)",
    ),
    ("C1", r".*", r"before commit of intent OPENING|before commit of .e\d+ INTENDED"),
    ("C2", r".*", r"after commit of intent OPENING|after commit of .e\d+ INTENDED|before send of .e"),
    ("C3", r".*", r"sent .e"),
    (
        "C4",
        r".*",
        r"after reply to .e|(before|after) commit of .e\d+ (OPEN|UNKNOWN)|before commit of .e\d+ FILLED",
    ),
    ("C5", r".*", r"after commit of .e\d+ (FILLED|CANCELLED)|before commit of .h\d+ INTENDED"),
    ("C6", r".*", r"after commit of .h\d+ INTENDED|before send of .h"),
    ("C7", r".*", r"sent .h"),
    (
        "C8",
        r".*",
        r"after reply to .h|(before|after) commit of .h\d+ [A-HJ-Z]|before commit of intent HOLDING",
    ),
    (
        "C9",
        r".*",
        r"after commit of intent HOLDING|before commit of intent CLOSING|(before|after) commit of payments",
    ),
    (
        "C10",
        r"close|partial|settle",
        r"after commit of intent CLOSING|(before send of|sent) .c|after reply to .c",
    ),
    ("C10", r".*", r"(before|after) commit of .c\d+ (INTENDED|OPEN)"),
    (
        "C11",
        r"close|partial",
        r"(before|after) commit of .c\d+ (FILLED|CANCELLED)|before commit of intent DONE",
    ),
    ("C12", r".*", r".* .u\d+"),
)
"""Crash point of the failure model, scenario, failpoints that are it. C13 is every kill of a restarted bot."""
BUSY = ("C3", "C6", "C8", "C10", "C12", "C14")
"""Crash points after which a restart has the most to do."""
ALL = tuple(f"C{number}" for number in range(1, 15))


def crash_points(case: Case) -> list[str]:
    """Which of C1 to C14 a case tests."""
    first = {
        point
        for point, scenario, pattern in POINTS
        if re.fullmatch(scenario, case.scenario) and re.match(pattern, case.kills[0])
    }
    if case.scenario.startswith("kill"):
        first.add("C14")
    return sorted(first | ({"C13"} if len(case.kills) > 1 else set()), key=ALL.index)


class Campaign:
    """Runs cases on a few threads; each has its own localnet, bots and database."""

    def __init__(self, folder: Path, server: PostgresServer | None, workers: int) -> None:
        self.results: list[Result] = []
        self._folder = folder
        self._server = server
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers)
        self._numbers = iter(range(10**9))
        self._spare: queue.SimpleQueue[str] = queue.SimpleQueue()

    def run(self, cases: Iterable[Case]) -> list[Result]:
        return list(self._pool.map(self._run, cases))

    def _run(self, case: Case) -> Result:
        result = Result(case)
        for _ in range(ATTEMPTS):
            with self._lock:
                folder = self._folder / f"{next(self._numbers):05d}"
            with self._database(case, folder) as url:
                result = run_case(case, folder, url)
            if result.reached or result.failures:
                break
        with self._lock:
            self.results.append(result)
            for failure in result.failures:
                print(f"FAILED {case.name}\n  {failure}\n  {folder}", flush=True)
        return result

    @contextmanager
    def _database(self, case: Case, folder: Path) -> Iterator[str]:
        """An empty database. Those on the server are used again: hundreds of them make its checkpoints take minutes."""
        if case.database == "sqlite":
            yield f"sqlite:///{folder / 'bot.db'}"
            return
        assert self._server is not None
        try:
            url = self._spare.get_nowait()
            self._server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", url.rpartition("/")[2])
        except queue.Empty:
            with self._lock:
                url = self._server.new_database()
        yield url
        self._spare.put(url)


def scenario_cases(
    campaign: Campaign, database: str, seed: int, scenarios: Sequence[str], pair: tuple[str, str]
) -> list[Case]:
    """One case per step of every scenario that no earlier scenario has in common with it."""
    cases, known = [], set[str]()
    for result in campaign.run(Case(database, scenario, (), seed, pair) for scenario in scenarios):
        steps = [step for step in result.steps if worth_it(step)]
        shared = next((n for n, step in enumerate(steps) if step not in known), len(steps)) if known else 0
        known.update(steps)
        cases += [replace(result.case, kills=(step,)) for step in steps[shared:]]
    return cases


def worth_it(step: str) -> bool:
    """Whether this passage of a failpoint differs from those before it."""
    name, _, count = step.rpartition(" #")
    return int(count) <= EACH.get(name.rpartition(" ")[2], 1)


def recovery_cases(results: Sequence[Result], wanted: Sequence[str]) -> Iterator[Case]:
    """For a kill of each wanted crash point: one case per kind of step of the restart that followed.

    Steps of the start that are alike whatever is found (opening, loading) are tried once.
    """
    missing = set(wanted)
    seen: set[tuple[str, str]] = set()
    for result in sorted(
        results, key=lambda result: (result.case.scenario != "partial", result.case.scenario)
    ):
        points = crash_points(result.case)
        if not result.reached or not missing.intersection(points):
            continue
        missing -= set(points)
        for step in result.steps:
            name, _, count = step.rpartition(" #")
            key = ("" if re.match(START, name) else points[0], re.sub(r"\d+", "", name))
            if count == "1" and key not in seen and "journal" not in name:
                seen.add(key)
                yield replace(result.case, kills=(*result.case.kills, step))


def table(results: Sequence[Result]) -> str:
    """Cases per crash point: tested, failed, worst time."""
    rows = [f"{'point':6} {'cases':>6} {'failed':>6} {'worst s':>8}"]
    for point in ALL:
        found = [r for r in results if r.case.kills and r.reached and point in crash_points(r.case)]
        failed = sum(1 for r in found if r.failures)
        worst = max((r.seconds for r in found), default=0.0)
        rows.append(
            f"{point:6} {len(found):6} {failed:6} {worst:8.1f}" if found else f"{point:6} not covered"
        )
    return "\n".join(rows)


def one_database(campaign: Campaign, database: str, options: argparse.Namespace) -> None:
    for seed in range(options.seed, options.seed + options.seeds):
        cases = scenario_cases(campaign, database, seed, options.scenarios, options.pair)
        say(f"{database}, seed {seed}: {len(cases)} steps")
        singles = campaign.run(cases)
        double = list(recovery_cases(singles, options.recovery))
        say(f"{database}, seed {seed}: {len(double)} steps of restarts")
        campaign.run(double)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.crash", description="SIGKILL everywhere")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--seed", type=int, default=7, help="the first of them")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument(
        "--recovery",
        nargs="*",
        choices=ALL,
        default=list(BUSY),
        help="crash points whose restart is killed as well",
    )
    parser.add_argument("--workers", type=int, default=6, help="cases at the same time")
    parser.add_argument(
        "--pair",
        type=pair_of,
        default=Case.pair,
        metavar="LONG-SHORT",
        help="the exchanges of the two legs (binance-bybit)",
    )
    parser.add_argument("--only", help="one case, by the name that was printed for it")
    parser.add_argument(
        "--folder", type=Path, help="where logs and databases go; default: a new temporary one"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    PROCESSES.set_forkserver_preload(list(PRELOAD))
    began = time.monotonic()
    only = case_of(options.only) if options.only else None
    databases = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    if only is not None:
        databases = (only.database,)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fundingarb-crash-"))
    with ExitStack() as stack:
        server = stack.enter_context(running_server(durable=True)) if "postgresql" in databases else None
        campaign = Campaign(folder, server, options.workers)
        if only is not None:
            campaign.run([only])
        for database in databases if only is None else ():
            one_database(campaign, database, options)
    return report(campaign.results, folder, time.monotonic() - began)


def case_of(name: str) -> Case:
    """The case of a printed name."""
    database, scenario, seed, pair, *kills = name.split(" | ")
    return Case(database, scenario, tuple(kills), int(seed), pair_of(pair))


def pair_of(text: str) -> tuple[str, str]:
    long, _, short = text.partition("-")
    return long, short


def report(results: Sequence[Result], folder: Path, seconds: float) -> int:
    tested = [result for result in results if result.case.kills and result.reached]
    unreached = [result for result in results if not result.reached]
    failed = [result for result in results if result.failures]
    for result in unreached:
        print(f"not reached in {ATTEMPTS} attempts: {result.case.name}")
    for result in failed:
        print(f"again: python -m tests.campaigns.crash --only '{result.case.name}'")
    print(table(results))
    figures = {
        "cases": len(tested),
        "recovery_kills": sum(1 for result in tested if len(result.case.kills) > 1),
        "failed": len(failed),
        "not_reached": len(unreached),
        "worst_seconds_to_flat_or_hedged": round(max((r.seconds for r in tested), default=0.0), 2),
        "duplicate_orders": sum(result.duplicates for result in results),
        "resent_after_second_restart": sum(result.resent for result in results),
        "not_covered": [p for p in ALL if not any(p in crash_points(r.case) for r in tested)],
        "minutes": round(seconds / 60, 1),
        "logs": str(folder),
    }
    print(json.dumps(figures))
    return 1 if failed or not tested else 0


if __name__ == "__main__":
    sys.exit(main())
