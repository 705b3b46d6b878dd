"""The kill drill: every trigger of the kill switch in every stage of a hedge; it ends flat, or the leg is named.

    python -m tests.campaigns.kills [--seeds 100] [--jobs 2]

``--seeds`` is how often the switch is thrown for each pair of stage and trigger; a drill whose hedges never reach the
stage does not count, and another one is run. The last line is one JSON object of figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from fundingarb.simulation.pairs import KILLS, SENDING, feasible
from fundingarb.simulation.runner import EXCHANGES, SYMBOLS, simulate
from fundingarb.simulation.schedule import Schedule, Strike, random_schedule
from fundingarb.simulation.stages import Stage

PASSING = (Stage.A_DONE, Stage.B_DONE, Stage.UNEVEN, Stage.KILLING, Stage.FLAT)
STAGES = tuple(stage for stage in Stage if stage not in PASSING)
PAIRS = tuple((stage, trigger) for stage in STAGES for trigger in KILLS)
SECONDS = 240.0
REFUSED = 6
"""Hedge orders refused at most before the switch is thrown in UNWIND, where hedges seldom come by themselves."""
TRIES = 4
"""Drills per throw at most."""
OTHERS = 4
"""Ordinary faults in each drill, so that the kill meets a world in which other things go wrong."""


def kill_schedule(seed: int) -> Schedule:
    """The drill of a seed: pairs take turns. The switch is thrown in the first half of a short run."""
    stage, trigger = PAIRS[seed % len(PAIRS)]
    rng = random.Random(f"kill/{seed}")
    ordinary = random_schedule(seed, list(feasible()), EXCHANGES, SYMBOLS, per_seed=OTHERS)
    kill = Strike(
        trigger,
        stage.value,
        at=round(rng.uniform(25.0, 90.0), 3),
        delay=rng.choice((0.0, 0.01, 0.03)) if stage in SENDING else rng.choice((0.0, 0.05, 0.5)),
        lasts=rng.choice((1.0, 6.0)),
    )
    strikes = [replace(one, at=round(one.at * SECONDS / ordinary.seconds, 3)) for one in ordinary.strikes]
    if stage is Stage.UNWIND:
        refusal = Strike(
            "reject", Stage.A_INTENT.value, kill.at, leg="second", operation="order.place", lasts=20.0
        )
        strikes += [refusal] * REFUSED
    if rng.random() < 0.4:
        strikes.append(Strike("crash", Stage.KILLING.value, delay=rng.choice((0.0, 0.02, 0.2)), lasts=2.0))
    if rng.random() < 0.4:
        kind = rng.choice(("lost_reply", "lost_request", "reject", "late_accept", "partial_fill", "outage"))
        strikes.append(Strike(kind, Stage.KILLING.value, operation="order.place", lasts=12.0, count=2))
    return replace(ordinary, seconds=SECONDS, strikes=(kill, *strikes))


@dataclass(frozen=True, slots=True)
class Drill:
    seed: int
    pair: tuple[str, str]
    thrown: bool
    breaches: tuple[str, ...]


def run_drill(seed: int) -> Drill:
    """Run the drill of one seed."""
    logging.disable(logging.CRITICAL)
    result = simulate(kill_schedule(seed))
    stage, trigger = PAIRS[seed % len(PAIRS)]
    thrown = any(kind in KILLS for _at, kind, _stage in result.struck)
    return Drill(seed, (stage.value, trigger), thrown, tuple(str(breach) for breach in result.breaches))


def main() -> int:
    parser = argparse.ArgumentParser(prog="kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100, help="times each trigger is thrown in each stage")
    parser.add_argument("--first", type=int, default=0, help="first turn of the pairs")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    asked = parser.parse_args()
    begun = time.monotonic()
    thrown: Counter[tuple[str, str]] = Counter()
    broken: list[Drill] = []
    drills = 0
    with ProcessPoolExecutor(asked.jobs) as pool:
        for turn in range(asked.seeds * TRIES):
            lacking = [n for n, pair in enumerate(PAIRS) if thrown[pair[0].value, pair[1]] < asked.seeds]
            if not lacking:
                break
            seeds = [(asked.first + turn) * len(PAIRS) + n for n in lacking]
            drills += len(seeds)
            for drill in pool.map(run_drill, seeds):
                thrown[drill.pair] += drill.thrown
                if drill.breaches:
                    broken.append(drill)
                    print(f"drill {drill.seed} ({drill.pair[1]} in {drill.pair[0]}):", flush=True)
                    for breach in drill.breaches[:4]:
                        print(f"  {breach}", flush=True)
    for stage in STAGES:
        counts = "  ".join(f"{trigger} {thrown[stage.value, trigger]:4}" for trigger in KILLS)
        print(f"{stage.value:14} {counts}")
    figures = {
        "campaign": "kills",
        "drills": drills,
        "pairs": len(PAIRS),
        "thrown": sum(thrown.values()),
        "least_thrown": min(thrown[stage.value, trigger] for stage, trigger in PAIRS),
        "drills_with_breaches": len(broken),
        "failing": [one.seed for one in broken][:20],
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(figures))
    return 1 if broken or figures["least_thrown"] < asked.seeds else 0


if __name__ == "__main__":
    sys.exit(main())
