"""What a drill says: hedge by hedge, as text for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fundingarb.simulation.runner import HedgeReport, Result


def as_text(result: Result) -> str:
    """One run, readable."""
    verdict = f"{len(result.breaches)} BROKEN INVARIANTS" if result.breaches else "no invariant broken"
    if not result.hedges:
        verdict += "; NO HEDGE WAS OPENED, so that nothing was put to the test"
    lines = [
        f"seed {result.seed}: {len(result.hedges)} hedges, {len(result.struck)} disasters, "
        f"{result.starts} starts of the bot, {result.simulated / 60:.0f} simulated minutes: {verdict}",
        f"  most unhedged ${result.worst_usd:,.2f}, longest {result.worst_seconds:.1f} s",
    ]
    lines += [
        f"  {at:7.1f} s  {kind}{f' while {stage}' if stage else ''}" for at, kind, stage in result.struck
    ]
    lines += [
        f"  never struck: {kind}{f', no hedge reached {stage} when it could' if stage else ''}"
        for kind, stage in result.waiting
    ]
    lines += [_hedge(one) for one in result.hedges]
    lines += [f"  ! {breach}" for breach in result.breaches]
    return "\n".join(lines)


def _hedge(one: HedgeReport) -> str:
    times = f"{_clock(one.opened_at)} to {_clock(one.closed_at)}"
    excused = "".join(f", {seconds:.1f} s more {why}" for why, seconds in one.excused.items())
    met = ", ".join(f"{kind} x{count}" if count > 1 else kind for kind, count in one.met.items())
    return (
        f"  {one.symbol} long {one.long} short {one.short}: {one.status.lower()}"
        f"{f' ({one.reason.lower()})' if one.reason else ''} {times}, {one.orders} orders, "
        f"realised {one.realized:+.2f} USD"
        f"{f' without {one.awaited + one.missing} unpaid settlements' if one.awaited + one.missing else ''}\n"
        f"      unhedged at most ${one.worst_usd:,.2f}, {one.worst_seconds:.1f} s{excused}"
        f"{f'; met {met}' if met else ''}"
    )


def _clock(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%H:%M:%S}"


def summary(results: Sequence[Result]) -> str:
    """Several runs in one line."""
    hedges = sum(len(one.hedges) for one in results)
    broken = sum(1 for one in results if one.breaches)
    return (
        f"{len(results)} seeds, {hedges} hedges: {broken} seeds with broken invariants; most unhedged "
        f"${max(one.worst_usd for one in results):,.2f}, longest {max(one.worst_seconds for one in results):.1f} s"
    )


def as_json(results: Sequence[Result]) -> str:
    """Everything, for programs; amounts as strings."""
    return json.dumps([_document(one) for one in results], indent=1, default=str)


def _document(result: Result) -> dict[str, Any]:
    return {
        "seed": result.seed,
        "digest": result.digest,
        "simulated_seconds": result.simulated,
        "starts": result.starts,
        "worst_unhedged_usd": result.worst_usd,
        "worst_unhedged_seconds": round(result.worst_seconds, 3),
        "breaches": [{"invariant": b.invariant, "at": b.at, "text": b.text} for b in result.breaches],
        "disasters": [{"at": at, "kind": kind, "stage": stage} for at, kind, stage in result.struck],
        "never_struck": [{"kind": kind, "stage": stage} for kind, stage in result.waiting],
        "hedges": [
            {name: getattr(one, name) for name in HedgeReport.__dataclass_fields__} for one in result.hedges
        ],
    }
