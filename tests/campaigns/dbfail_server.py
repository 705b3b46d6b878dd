"""A PostgreSQL server that is restarted and killed again and again under a bot that opens and closes all the time."""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaigns.crash_bot import BotRun, bot_process
from tests.campaigns.crash_case import (
    LIFE,
    PRELOAD,
    PROCESSES,
    SPEED,
    Case,
    Ledger,
    Result,
    Truth,
    localnet_process,
    process,
    tail,
    wait_until,
)
from tests.postgres import PostgresServer, running_server

#: Real seconds within which entries have to stop, and trading to go on after the server's return.
STOP, RECOVER = 1.0, 30.0


@dataclass
class Outage:
    """A time without a server (of ``time.monotonic``), and when the bot committed something again."""

    how: str
    began: float
    ended: float
    recovered: float | None = None


@dataclass
class Outcome:
    """What became of it. ``unintended``: exposure that was sent without a server, more than a second after it went."""

    outages: list[Outage] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    sends: int = 0
    unintended: int = 0
    hedges: int = 0
    from_memory: int = 0
    late_stop: float = 0.0

    def figures(self) -> dict[str, object]:
        waits = sorted(o.recovered - o.ended for o in self.outages if o.recovered is not None)
        return {
            "restarts": sum(1 for o in self.outages if o.how == "restart"),
            "kills": sum(1 for o in self.outages if o.how == "kill"),
            "hedges": self.hedges,
            "orders_sent": self.sends,
            "unintended_sends": self.unintended,
            "reductions_from_memory": self.from_memory,
            "entries_stopped_within_seconds": round(self.late_stop, 3),
            "worst_seconds_to_recover": round(waits[-1], 2) if waits else None,
            "median_seconds_to_recover": round(waits[len(waits) // 2], 2) if waits else None,
            "failed": len(self.failures),
        }


def run_server(restarts: int, kills: int) -> Outcome:
    """As many restarts and kills as asked for, in a random order that is the same each time."""
    PROCESSES.set_forkserver_preload(list(PRELOAD))
    ways = ["restart"] * restarts + ["kill"] * kills
    rng = random.Random("outages")
    rng.shuffle(ways)
    outcome = Outcome()
    with ExitStack() as stack:
        server = stack.enter_context(running_server(durable=True))
        folder = Path(tempfile.mkdtemp(prefix="fundingarb-dbfail-"))
        ready = folder / "ready.json"
        arguments = (
            "--exchange", "binance", "--exchange", "bybit",
            "--seed", "7", "--speed", str(SPEED), "--start", "2026-01-05T00:10",
        )  # fmt: skip
        stack.enter_context(process(localnet_process, ready, folder / "localnet.log", arguments))
        wait_until("ready file", ready.exists, LIFE)
        truth = Truth(json.loads(ready.read_text())["control"])
        url = server.new_database()
        run = BotRun(folder, 0, ready, truth.url, SPEED, url, "churn")
        bot = stack.enter_context(process(bot_process, run))
        ledger = Ledger(url, truth)
        wait_until("first hedge", lambda: ledger.order_count() > 3, LIFE)
        for number, way in enumerate(ways):
            time.sleep(rng.uniform(0.2, 2.5))
            outcome.outages.append(outage(server, way, rng.uniform(0.0, 2.0)))
            if not bot.is_alive():
                outcome.failures.append(f"the bot ended at outage {number}: {tail(run.log)}")
                break
            if not recovered(run, outcome.outages[-1]):
                outcome.failures.append(f"outage {number} ({way}): no commit within {RECOVER:.0f} s")
        (folder / "enough").write_text("stop")
        bot.join(LIFE)
        if bot.exitcode != 0:
            outcome.failures.append(f"the bot did not end by itself: {bot.exitcode}, {tail(run.log)}")
        judge(run, outcome, ledger)
    return outcome


def outage(server: PostgresServer, way: str, seconds: float) -> Outage:
    """Take the server away for a while: a fast restart, or every process of it killed."""
    began = time.monotonic()
    if way == "restart":
        server.stop(signal.SIGINT)
    else:
        kill_all(server)
    time.sleep(seconds)
    server.start()
    return Outage(way, began, time.monotonic())


def kill_all(server: PostgresServer) -> None:
    """SIGKILL to the server and to all its children."""
    assert server.process is not None
    parent = server.process.pid
    for pid in (*children(parent), parent):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    server.process.wait(timeout=30)
    server.process = None


def children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            yield int(entry.parent.name)


def recovered(run: BotRun, outage: Outage) -> bool:
    """Wait for a commit after the server's return."""
    deadline = outage.ended + RECOVER
    while time.monotonic() < deadline:
        found = next(
            (at for at, text in notes(run) if at > outage.ended and text.startswith("after commit")), None
        )
        if found is not None:
            outage.recovered = found
            return True
        time.sleep(0.05)
    return False


def notes(run: BotRun) -> list[tuple[float, str]]:
    """What the bot passed, newest first."""
    rows = [line.partition(" ") for line in run.steps.read_text().splitlines()]
    return [(float(at), text) for at, _, text in reversed(rows) if text]


def judge(run: BotRun, outcome: Outcome, ledger: Ledger) -> None:
    """Every order, from the bot's own notes of what it sent, the exchanges' truth and the database."""
    sends = [(at, text.split()) for at, text in notes(run) if text.startswith("send ")]
    outcome.sends = len(sends)
    for at, (_, name) in sends:
        during = next((o for o in outcome.outages if o.began < at < o.ended), None)
        if during is None:
            continue
        if name[-4] in "uc":
            outcome.from_memory += 1
            continue
        outcome.late_stop = max(outcome.late_stop, at - during.began)
        if at - during.began > STOP:
            outcome.unintended += 1
            outcome.failures.append(f"{name} was sent {at - during.began:.2f} s after the server went away")
    hedges = ledger.hedges()
    outcome.hedges = len(hedges)
    result = Result(Case("postgresql", "churn"))
    ledger.check(result)
    outcome.failures += result.failures
