"""The kill drill: every trigger of the kill switch in every stage of a hedge; it ends flat, or the leg is named.

    python -m tests.campaigns.kills [--seeds 100] [--jobs 2]

``--seeds`` is how often the switch is thrown for each pair of stage and trigger; a drill in which no hedge was in that
stage when the switch latched does not count, and another one is run. Other faults strike while it is latched, each at
least ``LEAST`` times in a hundred seeds; in some drills an exchange is gone for longer than two alerts are apart.
The last line is one JSON object of figures.
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

from fundingarb.simulation.pairs import KILLS, SENDING, drilled, feasible
from fundingarb.simulation.runner import EXCHANGES, SYMBOLS, simulate
from fundingarb.simulation.schedule import Schedule, Strike, aimed, random_schedule
from fundingarb.simulation.stages import Stage

PAIRS = tuple((stage, trigger) for stage, trigger in drilled() if stage is not Stage.KILLING)
STAGES = tuple(dict.fromkeys(stage for stage, _ in PAIRS))
DURING = tuple(kind for stage, kind in drilled() if stage is Stage.KILLING)
"""What strikes while the switch is latched: one in turn, and one besides."""
LEAST = 30
"""How often each of these has to be met in a hundred seeds."""
GONE = (75.0, 95.0)
"""Seconds without an exchange after which its leg must have been named twice."""
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
    during = (DURING[seed % len(DURING)], rng.choice(DURING))
    strikes += [replace(aimed(rng, Stage.KILLING, kind, SECONDS), at=kill.at) for kind in during]
    if rng.random() < 0.2:
        crash = Strike("crash", Stage.KILLING.value, kill.at, delay=rng.choice((0.0, 0.02, 0.2)), lasts=2.0)
        strikes.append(crash)
    if rng.random() < 0.2:
        gone = Strike("outage", Stage.KILLING.value, kill.at, leg="working", lasts=rng.choice(GONE))
        strikes.append(gone)
    return replace(ordinary, seconds=SECONDS, strikes=(kill, *strikes))


@dataclass(frozen=True, slots=True)
class Drill:
    """What is kept of a run. ``thrown``: a hedge was in the stage when the switch latched; ``met`` counts what struck
    while it was latched."""

    seed: int
    pair: tuple[str, str]
    thrown: bool
    met: Counter[str]
    breaches: tuple[str, ...]


def run_drill(seed: int) -> Drill:
    """Run the drill of one seed."""
    logging.disable(logging.CRITICAL)
    result = simulate(kill_schedule(seed))
    stage, trigger = PAIRS[seed % len(PAIRS)]
    pair = (stage.value, trigger)
    met = Counter({kind: result.coverage[Stage.KILLING.value, kind] for kind in DURING})
    breaches = tuple(str(breach) for breach in result.breaches)
    return Drill(seed, pair, result.coverage[pair] > 0, met, breaches)


def main() -> int:
    parser = argparse.ArgumentParser(prog="kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100, help="times each trigger is thrown in each stage")
    parser.add_argument("--first", type=int, default=0, help="first turn of the pairs")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    asked = parser.parse_args()
    begun = time.monotonic()
    thrown: Counter[tuple[str, str]] = Counter()
    met: Counter[str] = Counter()
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
                met.update(drill.met)
                if drill.breaches:
                    broken.append(drill)
                    print(f"drill {drill.seed} ({drill.pair[1]} in {drill.pair[0]}):", flush=True)
                    for breach in drill.breaches[:4]:
                        print(f"  {breach}", flush=True)
    for stage in STAGES:
        counts = "  ".join(f"{trigger} {thrown[stage.value, trigger]:4}" for trigger in KILLS)
        print(f"{stage.value:14} {counts}")
    print("while latched: " + "  ".join(f"{kind} {met[kind]}" for kind in DURING))
    least = max(1, LEAST * asked.seeds // 100)
    rare = {kind: met[kind] for kind in DURING if met[kind] < least}
    for kind, times in rare.items():
        print(f"met too rarely while latched: {kind}: {times} of {least}")
    figures = {
        "campaign": "kills",
        "drills": drills,
        "pairs": len(PAIRS),
        "thrown": sum(thrown.values()),
        "least_thrown": min(thrown[stage.value, trigger] for stage, trigger in PAIRS),
        "kinds_while_latched": len(DURING),
        "least_met_while_latched": min(met[kind] for kind in DURING),
        "met_too_rarely": len(rare),
        "drills_with_breaches": len(broken),
        "failing": [one.seed for one in broken][:20],
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(figures))
    return 1 if broken or rare or figures["least_thrown"] < asked.seeds else 0


if __name__ == "__main__":
    sys.exit(main())
