"""What is thrown at the dashboard's server at length: requests, frames, and fifty browsers at once.

    python -m tests.dashboard.campaign [--cases 10000] [--frames 50000] [--seconds 20]

Prints figures; exits with 1 when one of them is not as it has to be.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from tests.dashboard.crowd import crowd
from tests.dashboard.hostile import alive, bombard, throw_cases
from tests.dashboard.trading import configured, trading

MOST_GROWTH = 60_000
"""KiB by which the process may have grown after fifty thousand frames."""


async def requests(cases: int) -> dict[str, Any]:
    """Cases as a stranger and with a session, half each, over every operation of the document."""
    with tempfile.TemporaryDirectory() as folder:
        return await _requests(cases, Path(folder))


async def _requests(cases: int, folder: Path) -> dict[str, Any]:
    async with configured(folder) as (desk, _):
        browser = desk.browser
        document = await browser.get("/api/openapi.json")
        cookie = f"fundingarb_{browser.port}={browser.cookie}"
        inside = {"Origin": browser.url, "X-CSRF-Token": browser.csrf, "Cookie": cookie}

        def throw() -> dict[str, Any]:
            strangers = throw_cases(
                browser.url, document, cases // 2, {"Origin": browser.url}, logged_in=False
            )
            ours = throw_cases(browser.url, document, cases, inside, logged_in=True)
            return {"strangers": dict(sorted(strangers.items())), "session": dict(sorted(ours.items()))}

        began = time.monotonic()
        found = await anyio.to_thread.run_sync(throw)
        await alive(browser.http, browser.url)
        total = sum(sum(each.values()) for each in found.values())
        return {**found, "cases": total, "seconds": round(time.monotonic() - began, 1)}


async def frames(count: int) -> dict[str, Any]:
    """Malformed frames, and what they leave behind: memory, tasks, open files."""
    async with trading() as desk:
        browser = desk.browser
        await bombard(browser.url, browser.cookie, min(count, 2000), seed=2)
        await asyncio.sleep(2)
        before = resources()
        began = time.monotonic()
        ended = await bombard(browser.url, browser.cookie, count)
        await asyncio.sleep(2)
        after = resources()
        await alive(browser.http, browser.url)
        growth = {name: after[name] - before[name] for name in after}
        return {
            "frames": count,
            "ended": dict(ended),
            "growth": growth,
            "seconds": round(time.monotonic() - began, 1),
        }


def resources() -> dict[str, int]:
    """What this process holds: resident KiB, open files, threads."""
    gc.collect()
    with open("/proc/self/status", encoding="ascii") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    return {"kib": resident, "files": len(os.listdir("/proc/self/fd")), "threads": threading.active_count()}


async def run(options: argparse.Namespace) -> list[str]:
    wrong: list[str] = []
    if options.cases:
        found = await requests(options.cases)
        print("requests", json.dumps(found), flush=True)
    if options.frames:
        found = await frames(options.frames)
        print("frames", json.dumps(found), flush=True)
        if found["growth"]["kib"] > MOST_GROWTH or found["growth"]["files"] > 5:
            wrong.append(f"frames leave something behind: {found['growth']}")
    if options.seconds:
        measured = await crowd(options.seconds)
        print("crowd", json.dumps(measured), flush=True)
        if measured["added_lag_p99_ms"] > 5:
            wrong.append(f"fifty browsers delay the bot's loop: p99 {measured['added_lag_p99_ms']} ms more")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    wrong = anyio.run(run, parser.parse_args())
    for line in wrong:
        print(f"NOT AS IT HAS TO BE: {line}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


__all__ = ["main"]

if __name__ == "__main__":
    main()
