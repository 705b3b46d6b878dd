"""A process that is killed in the middle of everything: what it was told is stored is stored."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.postgres import PostgresServer
from tests.store.samples import StillClock, intent, order

from fundingarb.ports import Batch
from fundingarb.store import open_store

pytestmark = pytest.mark.anyio

CHILD = """
import sys
from dataclasses import replace
import anyio
from tests.store.samples import StillClock, fill, filled, intent, order
from fundingarb.ports import Batch
from fundingarb.store import open_store

async def work(store, found, lane):
    for number in range(100_000):
        record = replace(filled(order(found)), client_id=f"{lane}-{number}")
        batch = Batch(orders=(record,), fills=((fill(record, "binance"), found.id),) if number % 2 else ())
        await store.commit(batch)
        print(record.client_id, flush=True)

async def main(url):
    found = intent()
    async with open_store(url, StillClock()) as store:
        await store.commit(Batch(intents=(found,)))
        async with anyio.create_task_group() as tasks:
            for lane in range(6):
                tasks.start_soon(work, store, found, lane)

anyio.run(main, sys.argv[1])
"""


def run_and_kill(url: str, root: Path, lines: int) -> set[str]:
    """Let a child commit until it has reported ``lines`` commits, kill it, return all it reported."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, url], cwd=root, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    reported = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    reported += child.stdout.readlines()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return {line.strip() for line in reported if line.endswith("\n")}


@pytest.mark.parametrize("lines", [1, 40, 173])
async def test_what_was_reported_as_stored_survives_a_kill(url: str, root: Path, lines: int) -> None:
    reported = run_and_kill(url, root, lines)
    assert len(reported) >= lines
    async with open_store(url, StillClock()) as store:
        (hedge,) = (await store.load()).hedges
        stored = {record.client_id for record in hedge.orders}
        assert reported <= stored
        assert len(stored) <= len(reported) + 6  # one commit under way per lane
        # a batch is there whole: an odd order has its fill
        for record in hedge.orders:
            odd = int(record.client_id.partition("-")[2]) % 2
            assert record.booked == (record.quantity if odd else 0)
        await store.commit(Batch(orders=(order(intent()),)))


async def test_what_was_stored_survives_a_crash_of_the_server(
    postgres_server: PostgresServer, root: Path
) -> None:
    url = postgres_server.new_database()
    reported = run_and_kill(url, root, 60)
    postgres_server.stop(signal.SIGQUIT)
    postgres_server.start()
    async with open_store(url, StillClock()) as store:
        (hedge,) = (await store.load()).hedges
        assert reported <= {record.client_id for record in hedge.orders}
