"""``python -m tests.campaigns.crash``: SIGKILL at every step, restart, and again while that restart is under way.

Each scenario runs once without a kill on each of four pairs, which records its steps; then once per step with a kill
there. The restart has to end flat or hedged within 60 s, no order twice, every fill and payment booked; a second
restart must send nothing. Then restarts are killed too: for each crash point of the failure model at every kind of step
that a restart was seen to pass after a kill at that point.

The whole product of steps and pairs would take hours, so a step that several pairs have in common is tried on one of
them, the next step on the next pair, and on the other database each on another pair. The pairs and their seeds are
chosen so that every exchange has the first leg in one of them and the second in another.

A run of all scenarios fails when a crash point was not met, when an exchange never had the first or the second leg, and
when a step that two recorded runs passed was not reached in four attempts. A step that only one of them passed, or that
``crash_report.BY_CHANCE`` lists with its reason, depends on the books and on who is faster (an order that is priced
again, a question about a late answer): it is tried too, but need not be passed a second time. The running time is in
the line of figures. ``--only NAME`` runs one case again, with the name that was printed for it.
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
from dataclasses import dataclass, field, replace
from itertools import count, cycle, islice
from pathlib import Path

from tests.campaigns.crash_bot import SYMBOL
from tests.campaigns.crash_case import PRELOAD, PROCESSES, Case, Result, run_case
from tests.campaigns.crash_report import ALL, by_chance, gaps, kinds, report, tested
from tests.postgres import PostgresServer, running_server

from fundingarb.localnet.models.seeded import DEFAULT_START, SeededModel

SCENARIOS = ("close", "settle", "partial", "unwind", "kill", "kill-foreign")
#: Passages of one failpoint that are tried: ledgers are read again and again, alerts come and go.
EACH = {"fills": 2, "payments": 2}
#: Attempts to reach a failpoint that two runs passed, and one that only one run did.
ATTEMPTS, CHANCES = 4, 2
#: Scenarios that are like ``close`` up to this step.
SINCE = dict.fromkeys(("settle", "kill", "kill-foreign"), "after commit of intent HOLDING #1")
PAIRS = (
    (("binance", "bybit"), "binance"),
    (("okx", "bybit"), "bybit"),
    (("okx", "dydx"), "okx"),
    (("binance", "dydx"), "dydx"),
)
"""(long, short), and which of them has the thinner books and goes first."""
#: How much thinner they are at least.
THINNER = 0.8


@dataclass
class Wanted:
    """A kill that is to be made: any of ``cases`` may come to it.

    ``certain``: it was passed in more than one run, and not because of what may be otherwise in the next.
    """

    cases: list[Case] = field(default_factory=list)

    @property
    def certain(self) -> bool:
        return sum(1 for case in self.cases if not by_chance(case)) > 1

    def tries(self, turn: int) -> list[Case]:
        """The cases to try, one after the other until one is reached; ``turn`` says which is the first."""
        start = turn % len(self.cases)
        return list(islice(cycle(self.cases), start, start + (ATTEMPTS if self.certain else CHANCES)))


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
        """Run each of them once."""
        return list(self._pool.map(lambda case: self._run([case], certain=True), cases))

    def make(self, wanted: Iterable[Wanted], turn: int) -> list[Result]:
        """Make every kill that is wanted; the pair that is tried first moves on by one each time."""
        return list(
            self._pool.map(
                lambda each: self._run(each[1].tries(each[0] + turn), each[1].certain), enumerate(wanted)
            )
        )

    def _run(self, cases: Sequence[Case], certain: bool) -> Result:
        for case in cases:
            with self._lock:
                folder = self._folder / f"{next(self._numbers):05d}"
            with self._database(case, folder) as url:
                result = run_case(case, folder, url)
            result.certain = certain
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


def scenario_cases(campaign: Campaign, scenarios: Sequence[str], markets: Sequence[Case]) -> list[Wanted]:
    """Run every scenario on each of ``markets`` without a kill: one kill for each step that is its own."""
    runs = [
        (number, replace(market, scenario=name))
        for name in scenarios
        for number, market in enumerate(markets)
    ]
    found: dict[tuple[str, str], Wanted] = defaultdict(Wanted)
    known: dict[int, set[str]] = defaultdict(set)
    for (number, case), result in zip(runs, campaign.run(case for _, case in runs), strict=True):
        steps = [step for step in result.steps if worth_it(step)]
        for step in own_steps(case.scenario, steps, known[number]):
            found[case.scenario, step].cases.append(replace(case, kills=(step,)))
        known[number].update(steps)
    return list(found.values())


def own_steps(scenario: str, steps: Sequence[str], known: Collection[str]) -> Sequence[str]:
    """Those from which on a scenario differs from the ones before, whose steps are ``known``."""
    if known and SINCE.get(scenario) in steps:
        return steps[steps.index(SINCE[scenario]) :]
    return steps[next((n for n, step in enumerate(steps) if step not in known), len(steps)) :]


def worth_it(step: str) -> bool:
    """Whether this passage of a failpoint differs from those before it."""
    name, _, count = step.rpartition(" #")
    return int(count) <= EACH.get(name.rpartition(" ")[2], 1)


def recovery_cases(results: Iterable[Result], wanted: Collection[str]) -> list[Wanted]:
    """One kill for each wanted crash point and each kind of step of a restart after a kill there."""
    found: dict[tuple[str, str], Wanted] = defaultdict(Wanted)
    for result in tested(results):
        for point, kind, step in kinds(result) if not result.failures else ():
            if not point or point in wanted:
                found[point, kind].cases.append(replace(result.case, kills=(*result.case.kills, step)))
    return list(found.values())


def one_database(campaign: Campaign, database: str, turn: int, options: argparse.Namespace) -> None:
    for seed in range(options.seed, options.seed + options.seeds):
        markets = [replace(market, database=database) for market in markets_of(options.pair, seed)]
        wanted = scenario_cases(campaign, options.scenarios, markets)
        say(f"{database}, seed {seed}: {len(wanted)} steps")
        wanted = recovery_cases(campaign.make(wanted, turn), options.recovery)
        say(f"{database}, seed {seed}: {len(wanted)} steps of restarts")
        campaign.make(wanted, turn)


def markets_of(pair: tuple[str, str] | None, seed: int) -> list[Case]:
    """Twice the pair that was asked for, or all of ``PAIRS`` with seeds that make the wanted leg the first one."""
    if pair is not None:
        return [Case("", "", seed=seed, pair=pair)] * 2
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
            campaign.run([only])
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
