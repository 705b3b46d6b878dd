"""``python -m tests.campaigns.crash``: SIGKILL at every step, restart, and again while that restart is under way.

Each scenario runs once without a kill on each of four pairs, which records its steps; then once per step with a kill
there. The restart has to end flat or hedged within 60 s, no order twice, every fill and payment booked; a second
restart must send nothing. Then restarts are killed too: for each crash point of the failure model at every kind of step
that a restart was seen to pass after a kill at that point.

The whole product of steps and pairs would take hours, so a step that several pairs have in common is tried on one of
them, the next one with the next step, and another one on the other database. The pairs and their seeds are chosen so
that every exchange has the first leg in one of them and the second in another. A run of all scenarios fails when a
crash point was not met, when an exchange never had the first or the second leg, and when a step was not reached that
is not listed as infeasible; its running time is in the line of figures. ``--only NAME`` runs one case again, with the
name that was printed for it.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count, cycle, islice
from pathlib import Path

from tests.campaigns.crash_bot import SYMBOL
from tests.campaigns.crash_case import PRELOAD, PROCESSES, Case, Result, run_case
from tests.campaigns.crash_report import ALL, gaps, kinds, report, tested
from tests.postgres import PostgresServer, running_server

from fundingarb.localnet.models.seeded import DEFAULT_START, SeededModel

SCENARIOS = ("close", "settle", "partial", "unwind", "kill", "kill-foreign")
#: Passages of one failpoint that are tried: ledgers are read again and again, alerts come and go.
EACH = {"fills": 2, "payments": 2}
#: A failpoint that was not reached is tried so often: it depends on what meets in one transaction.
ATTEMPTS = 4
PAIRS = (
    (("binance", "bybit"), "binance"),
    (("okx", "bybit"), "bybit"),
    (("okx", "dydx"), "okx"),
    (("binance", "dydx"), "dydx"),
)
"""(long, short), and which of them has the thinner books and goes first."""
THINNER = 0.8


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

    def run(self, cases: Iterable[Sequence[Case]]) -> list[Result]:
        """Of each entry the first case that is reached."""
        return list(self._pool.map(self._run, cases))

    def _run(self, cases: Sequence[Case]) -> Result:
        for case in islice(cycle(cases), ATTEMPTS):
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
    campaign: Campaign, scenarios: Sequence[str], markets: Sequence[Case], turn: int
) -> list[list[Case]]:
    """For every step of every scenario that no earlier scenario has in common with it: the cases that may test it.

    ``markets`` are cases of the pairs; which of those that pass a step comes first moves on by one each step.
    """
    records = campaign.run([replace(market, scenario=name)] for name in scenarios for market in markets)
    found: dict[tuple[str, str], list[Case]] = {}
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for result in records:
        steps, before = [step for step in result.steps if worth_it(step)], known[result.case.pair]
        shared = next((n for n, step in enumerate(steps) if step not in before), len(steps)) if before else 0
        before.update(steps)
        for step in steps[shared:]:
            found.setdefault((result.case.scenario, step), []).append(replace(result.case, kills=(step,)))
    return [turned(cases, number + turn) for number, cases in enumerate(found.values())]


def turned(cases: Sequence[Case], number: int) -> list[Case]:
    """The same cases, beginning with another one."""
    start = number % len(cases)
    return [*cases[start:], *cases[:start]]


def worth_it(step: str) -> bool:
    """Whether this passage of a failpoint differs from those before it."""
    name, _, count = step.rpartition(" #")
    return int(count) <= EACH.get(name.rpartition(" ")[2], 1)


def recovery_cases(results: Iterable[Result], wanted: Collection[str], turn: int) -> list[list[Case]]:
    """For each wanted crash point and each kind of step of a restart after a kill there: the cases that may test it."""
    found: dict[tuple[str, str], list[Case]] = {}
    for result in tested(results):
        for point, kind, step in kinds(result) if not result.failures else ():
            if not point or point in wanted:
                found.setdefault((point, kind), []).append(
                    replace(result.case, kills=(*result.case.kills, step))
                )
    chosen: dict[Case, list[Case]] = {}
    for number, cases in enumerate(found.values()):
        if not any(case in chosen for case in cases):
            tries = turned(cases, number + turn)
            chosen[tries[0]] = tries
    return list(chosen.values())


def one_database(campaign: Campaign, database: str, turn: int, options: argparse.Namespace) -> None:
    for seed in range(options.seed, options.seed + options.seeds):
        markets = markets_of(options.pair, seed)
        cases = scenario_cases(
            campaign, options.scenarios, [replace(market, database=database) for market in markets], turn
        )
        say(f"{database}, seed {seed}: {len(cases)} steps")
        singles = campaign.run(cases)
        double = recovery_cases(singles, options.recovery, turn)
        say(f"{database}, seed {seed}: {len(double)} steps of restarts")
        campaign.run(double)


def markets_of(pair: tuple[str, str] | None, seed: int) -> list[Case]:
    """The pair that was asked for, or all of ``PAIRS`` with seeds that make the wanted leg the first one."""
    if pair is not None:
        return [Case("", "", seed=seed, pair=pair)]
    return [
        Case("", "", seed=seed_for(first, next(one for one in each if one != first), seed), pair=each)
        for each, first in PAIRS
    ]


def seed_for(first: str, second: str, start: int) -> int:
    """The next seed from ``start`` with clearly thinner books on ``first``."""

    def depth(seed: int, exchange: str) -> float:
        return SeededModel(seed, exchanges=[exchange]).liquidity(exchange, SYMBOL, DEFAULT_START).touch

    return next(seed for seed in count(start) if depth(seed, first) <= THINNER * depth(seed, second))


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
        default=list(ALL),
        help="crash points whose restart is killed as well",
    )
    parser.add_argument("--workers", type=int, default=6, help="cases at the same time")
    parser.add_argument(
        "--pair",
        type=pair_of,
        metavar="LONG-SHORT",
        help="only this pair; the seed decides which leg is the first",
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
            campaign.run([[only]])
        for turn, database in enumerate(databases if only is None else ()):
            one_database(campaign, database, turn, options)
    whole = only is None and set(options.scenarios) == set(SCENARIOS) and set(options.recovery) == set(ALL)
    exchanges = sorted({exchange for pair, _ in PAIRS for exchange in pair}) if options.pair is None else ()
    lacking = gaps(campaign.results, exchanges) if whole else []
    return report(campaign.results, lacking, folder, time.monotonic() - began)


def case_of(name: str) -> Case:
    """The case of a printed name."""
    database, scenario, seed, pair, *kills = name.split(" | ")
    return Case(database, scenario, tuple(kills), int(seed), pair_of(pair))


def pair_of(text: str) -> tuple[str, str]:
    long, _, short = text.partition("-")
    return long, short


if __name__ == "__main__":
    sys.exit(main())
