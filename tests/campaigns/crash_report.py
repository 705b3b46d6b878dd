"""Which crash points of the failure model a campaign has met, and whether that is all of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.campaigns.crash_case import Case, Result

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
    (
        "C14",
        r"kill|kill-foreign",
        r"after set_killed|.*\b[ls]c\d{3}\b|.* \?\d{4}\b|.*flatten|(before|after) commit of intent (CLOSING|DONE)",
    ),
)
"""Crash point of the failure model, scenario, failpoints that are it. C13 is every kill of a restarted bot."""
ALL = tuple(f"C{number}" for number in range(1, 15))


BY_CHANCE: Sequence[tuple[str, str, str]] = (
    (
        r"(?!partial).*",
        r".*[eh]00[2-9].*",
        "an entry is placed again only where the books left its first order open",
    ),
    (r"partial", r".*[eh]00[3-9].*", "a third order is needed only where the books left the second one open"),
    (r".*", r"after question for .*", "an order is asked for only when its answer is late"),
)
"""(scenario, step, reason): what a run need not pass although others did. Patterns of the whole text."""


def by_chance(case: Case) -> str:
    """Why a case need not be reached; empty when it has to be."""
    for scenario, step, reason in BY_CHANCE:
        if re.fullmatch(scenario, case.scenario) and any(re.fullmatch(step, kill) for kill in case.kills):
            return reason
    return ""


def crash_points(case: Case) -> list[str]:
    """Which of C1 to C14 a case tests."""
    first = {
        point
        for point, scenario, pattern in POINTS
        if re.fullmatch(scenario, case.scenario) and re.match(pattern, case.kills[0])
    }
    return sorted(first | ({"C13"} if len(case.kills) > 1 else set()), key=ALL.index)


def kinds(result: Result) -> list[tuple[str, str, str]]:
    """(crash point, what kind of step, its name) of every kind of step of the restart after a kill.

    What is alike whatever is found (opening, loading) belongs to no crash point; numbers of attempts, legs and accounts
    make no kind.
    """
    found = []
    for step in result.steps:
        name, _, count = step.rpartition(" #")
        if count != "1":
            continue
        kind = re.sub(r"(?<!\w)[ls?]([ehcu])\d{3}\b", r"\1", name)
        kind = re.sub(r"\d+", "", kind.partition(" of ")[0] if kind.startswith("after get_") else kind)
        points = ("",) if re.match(START, name) else crash_points(result.case)
        found += [(point, kind, step) for point in points if point not in ("C1", "C13")]
    return found


def tested(results: Iterable[Result]) -> list[Result]:
    """Those in which every process died where it was to die."""
    return [result for result in results if result.case.kills and result.reached]


def table(results: Sequence[Result]) -> str:
    """Cases per crash point: tested on each database, of these with a kill of the restart too, failed, worst time."""
    databases = sorted({result.case.database for result in results})
    rows = [
        f"{'point':6}" + "".join(f" {name:>11}" for name in (*databases, "restarts", "failed", "worst s"))
    ]
    for point in ALL:
        found = [r for r in tested(results) if point in crash_points(r.case)]
        counts = [sum(1 for r in found if r.case.database == database) for database in databases]
        counts += [sum(1 for r in found if len(r.case.kills) > 1), sum(1 for r in found if r.failures)]
        worst = max((r.seconds for r in found), default=0.0)
        rows.append(f"{point:6}" + "".join(f" {count:11}" for count in counts) + f" {worst:11.1f}")
    return "\n".join(rows)


def gaps(results: Sequence[Result], exchanges: Iterable[str]) -> list[str]:
    """What a whole run has to have met and has not: crash points, exchanges as the first leg and as the second."""
    found = []
    for database in sorted({result.case.database for result in results}):
        mine = [result for result in tested(results) if result.case.database == database]
        points = {point for result in mine for point in crash_points(result.case)}
        found += [f"{database}: {point}" for point in ALL if point not in points]
        places = {place for result in mine for place in legs(result)}
        found += [
            f"{database}: {exchange} as the {place} leg"
            for exchange in exchanges
            for place in ("first", "second")
            if (exchange, place) not in places
        ]
    return found


def legs(result: Result) -> list[tuple[str, str]]:
    """Which exchange had the first leg of a case, and which the second; nothing where no order was sent."""
    return [
        (exchange, "first" if exchange == result.first else "second")
        for exchange in result.case.pair
        if result.first
    ]


def figures(
    results: Sequence[Result], lacking: Sequence[str], folder: Path, seconds: float
) -> dict[str, Any]:
    """The line that a campaign prints at its end."""
    done = tested(results)
    unreached = Counter(result.certain for result in results if not result.reached)
    return {
        "cases": len(done),
        "recovery_kills": sum(1 for result in done if len(result.case.kills) > 1),
        "failed": sum(1 for result in results if result.failures),
        "not_reached": unreached[True],
        "not_reached_that_need_not_be": unreached[False],
        "not_covered": list(lacking),
        "legs": dict(sorted(Counter(" ".join(place) for result in done for place in legs(result)).items())),
        "worst_seconds_to_flat_or_hedged": round(max((r.seconds for r in done), default=0.0), 2),
        "duplicate_orders": sum(result.duplicates for result in results),
        "resent_after_second_restart": sum(result.resent for result in results),
        "minutes": round(seconds / 60, 1),
        "logs": str(folder),
    }


def report(results: Sequence[Result], lacking: Sequence[str], folder: Path, seconds: float) -> int:
    """Print it all; the exit status."""
    for result in results:
        if not result.reached:
            print("not reached:" if result.certain else "not passed again:", result.case.name)
    for result in results:
        if result.failures:
            print(f"again: python -m tests.campaigns.crash --only '{result.case.name}'")
    print(table(results))
    for gap in lacking:
        print(f"not covered: {gap}")
    line = figures(results, lacking, folder, seconds)
    print(json.dumps(line))
    return 1 if line["failed"] or line["not_reached"] or lacking or not line["cases"] else 0
