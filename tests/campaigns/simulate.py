"""The simulation campaign: many seeds, zero breaches, every feasible (stage, fault) pair met.

    python -m tests.campaigns.simulate --seeds 1000 [--first 0] [--jobs 2] [--like okx,dydx]

``--like`` gives both exchanges the contracts, rules and fees of real ones.
Prints the coverage table, what broke and how to replay it; the last line is one JSON object of figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from fundingarb.localnet.installed import installed_dialects
from fundingarb.plugins import Plugins, load_plugins
from fundingarb.simulation.pairs import feasible, reason_against
from fundingarb.simulation.runner import EXCHANGES, default_setup, schedule_of, simulate
from fundingarb.simulation.schedule import KINDS, Schedule
from fundingarb.simulation.stages import Stage
from fundingarb.simulation.virtual import LoopClock
from fundingarb.simulation.world import Setup

LEAST = 30
"""How often every feasible pair has to be met, per thousand seeds."""
CHUNK = 5
ARCHIVE = Path(__file__).parent / "archive"
ONE_SEED = "import sys; from tests.campaigns.simulate import digest_of; print(digest_of(*sys.argv[1:]))"


@dataclass(frozen=True, slots=True)
class Seed:
    """What is kept of a run."""

    seed: int
    breaches: tuple[str, ...]
    digest: str
    hedges: int
    coverage: Counter[tuple[str, str]]
    ages: tuple[float, ...]
    worst_usd: float
    proof: float
    starts: int


@dataclass(frozen=True)
class Like:
    """The campaign's two exchanges, listing and ruling as ``names`` do."""

    names: tuple[str, ...]

    @asynccontextmanager
    async def __call__(self, schedule: Schedule, clock: LoopClock) -> AsyncIterator[Setup]:
        async with installed_dialects(self.names, plugins()) as dialects:
            like = {ours: dialects[theirs]() for ours, theirs in zip(EXCHANGES, self.names, strict=True)}
            yield default_setup(schedule, clock, like)


@cache
def plugins() -> Plugins:
    return load_plugins()


def run_seed(seed: int, names: tuple[str, ...] = ()) -> Seed:
    """Run one seed of the campaign, on exchanges like ``names``."""
    logging.disable(logging.CRITICAL)
    result = simulate(schedule_of(seed), Like(names) if names else default_setup)
    return Seed(
        seed,
        tuple(str(breach) for breach in result.breaches),
        result.digest,
        len(result.hedges),
        result.coverage,
        tuple(result.ages),
        float(result.worst_usd),
        result.proof_seconds,
        result.starts,
    )


def digest_of(seed: str, *names: str) -> str:
    return run_seed(int(seed), names).digest


def run_all(seeds: range, jobs: int, names: tuple[str, ...]) -> Iterator[Seed]:
    """Every seed's outcome, in order."""
    run = partial(run_seed, names=names)
    if jobs <= 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, seeds, chunksize=CHUNK)


def again(seed: int, names: tuple[str, ...]) -> str:
    """The digest of a seed from a fresh process with another hash seed."""
    environment = {**os.environ, "PYTHONHASHSEED": str(1 + seed % 1000)}
    done = subprocess.run(
        [sys.executable, "-c", ONE_SEED, str(seed), *names],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def table(coverage: Counter[tuple[str, str]]) -> str:
    """Faults down, stages across; a dot where a pair is excluded."""
    stages = [stage for stage in Stage if any(reason_against(stage, kind) is None for kind in KINDS)]
    lines = [f"{'':18}" + "".join(f"{stage.value:>13}" for stage in stages)]
    for kind in KINDS:
        cells = [
            f"{coverage[stage.value, kind]:>13}" if reason_against(stage, kind) is None else f"{'.':>13}"
            for stage in stages
        ]
        if any(cell.strip() != "." for cell in cells):
            lines.append(f"{kind:18}" + "".join(cells))
    return "\n".join(lines)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--like", default="", help="the names of two installed exchanges, with a comma")
    asked = parser.parse_args()
    names = tuple(filter(None, asked.like.split(",")))
    seeds = range(asked.first, asked.first + asked.seeds)
    begun = time.monotonic()
    coverage: Counter[tuple[str, str]] = Counter()
    broken: list[Seed] = []
    ages: list[float] = []
    digests: dict[int, str] = {}
    hedges = starts = 0
    worst_usd = proof = 0.0
    for done in run_all(seeds, asked.jobs, names):
        coverage.update(done.coverage)
        digests[done.seed] = done.digest
        ages.extend(done.ages)
        hedges, starts = hedges + done.hedges, starts + done.starts
        worst_usd, proof = max(worst_usd, done.worst_usd), max(proof, done.proof)
        if done.breaches:
            broken.append(done)
            replay = f"--like {asked.like}" if names else f"replay with `fundingarb drill --seed {done.seed}`"
            print(f"seed {done.seed}: {replay}", flush=True)
            for breach in done.breaches[:5]:
                print(f"  {breach}", flush=True)
    elapsed = time.monotonic() - begun
    repeated = random.Random("repeat").sample(seeds, max(1, len(seeds) // 100))
    differing = [seed for seed in repeated if again(seed, names) != digests[seed]]
    for seed in differing:
        print(f"seed {seed}: another run of it went another way")
    least = max(1, LEAST * asked.seeds // 1000)
    rare = [(stage.value, kind) for stage, kind in feasible() if coverage[stage.value, kind] < least]
    print(table(coverage))
    for stage, kind in rare:
        print(f"met too rarely: {stage} x {kind}: {coverage[stage, kind]} of {least}")
    figures = {
        "campaign": "simulate",
        "like": list(names),
        "seeds": len(seeds),
        "hedges": hedges,
        "starts": starts,
        "seeds_with_breaches": len(broken),
        "failing": [one.seed for one in broken][:20],
        "pairs": len(list(feasible())),
        "least_met": min((coverage[stage.value, kind] for stage, kind in feasible()), default=0),
        "met_too_rarely": len(rare),
        "repeated": len(repeated),
        "differing": len(differing),
        "unhedged_seconds_p99": round(percentile(ages, 0.99), 2),
        "unhedged_seconds_max": round(max(ages, default=0.0), 2),
        "worst_unhedged_usd": round(worst_usd, 2),
        "longest_proof_seconds": round(proof, 2),
        "seconds": round(elapsed, 1),
        "seeds_per_second": round(len(seeds) / elapsed, 2),
    }
    print(json.dumps(figures))
    return 1 if broken or differing or rare else 0


if __name__ == "__main__":
    sys.exit(main())
