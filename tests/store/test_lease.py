"""One process trades at a time: locks, rows, and what a bot learns that was cut off."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from sqlalchemy import create_engine, text
from tests.store.samples import StillClock

from fundingarb.errors import LeaseTaken, StoreError
from fundingarb.process import Process, end, running, started, this_process
from fundingarb.store import SqlStore, hold_lease, lease, open_store

pytestmark = pytest.mark.anyio

ACCOUNTS = ["binance", "bybit"]

HOLDER = """
import anyio, sys
from fundingarb.store import hold_lease

async def main():
    async with hold_lease(sys.argv[1], ["binance", "bybit"]):
        print("held", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 0.2)
    monkeypatch.setattr(lease, "TERM", 0.5)


def terminate_lease_connections(url: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    engine.dispose()


async def test_a_second_process_is_told_who_has_it(url: str, store: SqlStore) -> None:
    async with hold_lease(url, ACCOUNTS) as held:
        assert held.fresh
        with pytest.raises(LeaseTaken) as caught:
            async with hold_lease(url, ACCOUNTS):
                pytest.fail("taken twice")
        assert f"process {os.getpid()} is trading binance, bybit" in str(caught.value)
        assert "\n" not in str(caught.value)
        (binance, bybit) = await store.leases()
        assert (binance.account, bybit.account) == ("binance", "bybit")
        assert binance.holder == bybit.holder == this_process()
        assert binance.epoch == 1
    assert [row.holder for row in await store.leases()] == [None, None]
    async with hold_lease(url, ACCOUNTS) as again:
        assert again.epoch == 2


async def test_a_database_in_memory_is_nobody_else_s() -> None:
    async with hold_lease("sqlite://", ACCOUNTS) as held:
        assert held.fresh
        assert held._confirm() is None


async def test_accounts_that_overlap_conflict_on_postgresql(postgres_url: str) -> None:
    """Two bots of different names share a server, never an account."""
    async with open_store(postgres_url, StillClock()), hold_lease(postgres_url, ["one", "two"], "aaaa"):
        async with hold_lease(postgres_url, ["three"], "bbbb"):
            pass
        with pytest.raises(LeaseTaken):
            async with hold_lease(postgres_url, ["two", "three"], "bbbb"):
                pytest.fail("account two is traded twice")


def start_holder(url: str) -> subprocess.Popen[str]:
    """Another process, once it has the lease."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


async def test_killed_without_a_word_it_is_free_at_once(url: str, store: SqlStore) -> None:
    process = start_holder(url)
    try:
        with pytest.raises(LeaseTaken, match=f"process {process.pid}"):
            async with hold_lease(url, ACCOUNTS):
                pytest.fail("taken twice")
        row = (await store.leases())[0]
        assert row.holder is not None
        assert running(row.holder)
        assert end(row.holder)
        assert not running(row.holder)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    async with hold_lease(url, ACCOUNTS) as held:
        assert held.epoch == 2


async def test_a_connection_that_breaks_is_not_the_end(postgres_url: str) -> None:
    async with open_store(postgres_url, StillClock()), hold_lease(postgres_url, ACCOUNTS) as held:
        terminate_lease_connections(postgres_url)
        with pytest.raises(StoreError):
            held._confirm()
        assert held._confirm() is None
        with pytest.raises(LeaseTaken):
            async with hold_lease(postgres_url, ACCOUNTS):
                pytest.fail("the lock was not taken again")


async def test_a_bot_that_was_cut_off_learns_who_has_taken_over(postgres_url: str) -> None:
    async with open_store(postgres_url, StillClock()), hold_lease(postgres_url, ACCOUNTS) as held:
        terminate_lease_connections(postgres_url)
        async with hold_lease(postgres_url, ACCOUNTS) as other:
            assert other.epoch == held.epoch + 1
            with pytest.raises(StoreError):
                held._confirm()
            assert held._confirm() == f"account binance is traded by process {os.getpid()}"
        assert held._confirm() is not None, "also when the other one has ended"


async def test_a_holder_that_may_not_know_is_waited_for(
    postgres_url: str, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    async with open_store(postgres_url, StillClock()):
        async with hold_lease(postgres_url, ACCOUNTS):
            pass
        engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
        for holder, waited in (
            (Process("elsewhere", 1, "x"), True),
            (Process(socket.gethostname(), os.getppid(), started(os.getppid())), True),
            (Process(socket.gethostname(), os.getppid(), "another start"), False),
        ):
            with engine.begin() as connection:
                connection.execute(text("UPDATE leases SET holder = :it"), {"it": holder.dump()})
            waits.clear()
            async with hold_lease(postgres_url, ACCOUNTS):
                assert (lease.TERM in waits) is waited, holder
        engine.dispose()


async def test_a_lock_file_that_was_removed_is_a_lease_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    async with open_store(url, StillClock()), hold_lease(url, ACCOUNTS) as held:
        assert held._confirm() is None
        (tmp_path / "bot.db.lock").unlink()
        assert "bot.db.lock was removed" in (held._confirm() or "")


async def test_it_is_fresh_only_for_a_while(
    url: str, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hold_lease(url, ACCOUNTS) as held:
        assert held.fresh
        monkeypatch.setattr(lease, "FRESH", -1.0)
        assert not held.fresh


def test_a_process_is_its_id_and_its_start() -> None:
    me = this_process()
    assert running(me)
    assert Process.load(me.dump()) == me
    assert not running(Process(me.host, me.pid, "long ago"))
    assert not running(Process("elsewhere", me.pid, me.started))
    assert end(Process(me.host, me.pid, "long ago")), "a reused id is never killed"
    assert Process.load("") is None
    assert Process.load(json.dumps({"host": "x"})) is None


async def test_a_confirmation_from_before_a_suspend_is_not_fresh(
    url: str, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the process runs meanwhile, and its monotonic clock may stand still: whoever wakes asks first."""
    monkeypatch.setattr(lease, "HEARTBEAT", 0.2)
    slept = [0.0]
    async with hold_lease(url, ACCOUNTS, clock=lambda: lease.awake_or_not() + sum(slept)) as held:
        fresh = [held.fresh]
        slept.append(3600.0)
        fresh.append(held.fresh)
        with anyio.move_on_after(1):
            await held.keep()
        fresh.append(held.fresh)
    assert fresh == [True, False, True], "until it was confirmed again"


def test_the_clock_of_the_lease_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "linux":
        monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 7.0}.__getitem__)
        assert lease.awake_or_not() == 7.0
    monkeypatch.setattr(lease, "_SINCE_BOOT", None)
    assert abs(lease.awake_or_not() - time.monotonic()) < 1
