"""What happens when the database cannot be used: one line that says what to do, nothing half stored, and back again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.postgres import PostgresServer
from tests.store.samples import NOW, StillClock, alert, fill, filled, intent, order, payment

from fundingarb.config.sections import DatabaseSection
from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Committed
from fundingarb.store import SqlStore, database, open_store
from fundingarb.store.drivers import PostgresDriver, SqliteDriver
from fundingarb.store.store import InlineStore

pytestmark = pytest.mark.anyio


def one_line(error: BaseException, *parts: str) -> None:
    text = str(error)
    assert "\n" not in text
    assert "correct-horse" not in text
    for part in parts:
        assert part in text


async def refused(url: str, *parts: str) -> None:
    with pytest.raises(StoreError) as caught:
        async with open_store(url, StillClock()):
            pytest.fail("opened")
    one_line(caught.value, *parts)
    assert caught.value.exit_status == 2


# opening


async def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 4096)
    await refused(f"sqlite:///{tmp_path / 'file'}", "not a database", "choose another file")
    await refused(f"sqlite:///{tmp_path / 'file' / 'a.db'}", "cannot be opened", "choose a file")
    await refused(f"sqlite:///{tmp_path}", "cannot be opened", "irectory")
    await refused("sqlite:////proc/a.db", "cannot be opened", "choose a file")
    await refused(
        f"sqlite:///{tmp_path}/nwe/a.db", f"there is no folder {tmp_path}/nwe", "correct database.url"
    )
    assert not (tmp_path / "nwe").exists()
    await refused("postgresql://bot:correct-horse@127.0.0.1:1/x", "refused", "start the server")
    await refused("postgresql://bot:correct-horse@no.such.host.invalid/x", "correct the host")
    await refused("oracle://bot:correct-horse@host/x", "'oracle' are not supported", "postgresql://")
    await refused("correct-horse", "cannot be read")
    assert (tmp_path / "file").read_text() == "x" * 4096


async def test_wrong_password_and_missing_database(postgres_server: PostgresServer) -> None:
    wrong = postgres_server.url("postgres", "correct-horse-not")
    await refused(wrong, "password authentication failed", "correct user and password")
    await refused(postgres_server.url("nowhere"), "does not exist", "create it, or correct database.url")


async def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: object, **options: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(database, "create_engine", gone)
    await refused(
        "postgresql://bot@127.0.0.1/x", "needs psycopg", "pip install 'fundingarb-core[postgresql]'"
    )


async def test_the_usual_place_is_made_and_files_are_for_the_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "new" / "home"))
    usual = DatabaseSection().url
    path = tmp_path / "new" / "home" / ".fundingarb" / "fundingarb.db"
    before = os.umask(0)
    try:
        async with open_store(usual, StillClock()) as store:
            await store.commit(Batch(intents=(intent(),)))
            for name in path.parent.iterdir():
                assert stat.S_IMODE(name.stat().st_mode) == 0o600, name
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o644)
        async with open_store(f"sqlite:///{path}", StillClock()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_sqlite_syncs_every_commit_and_checks_references(tmp_path: Path) -> None:
    parsed = database.parse_url(f"sqlite:///{tmp_path / 'a.db'}")
    connection = database.make_engine(parsed).connect()
    found = {
        name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    }
    connection.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p%40ss@h:5432/d?sslmode=require", "PostgreSQL database postgresql://u:***@h:5432/d"),
        ("postgres://u@h/d", "PostgreSQL database postgresql://u@h/d"),
        ("postgresql+psycopg:///d?host=/run&password=p%40ss", "PostgreSQL database postgresql:///d"),
        ("sqlite:////x/a.db", "SQLite database /x/a.db"),
        ("sqlite://", "SQLite database in memory"),
    ],
)
def test_urls_are_shown_without_password(url: str, shown: str) -> None:
    parsed = database.parse_url(url)
    assert str(parsed) == shown
    assert "p@ss" not in parsed.clean("connection to p@ss failed") or "p%40ss" not in url


def test_home_is_where_the_tilde_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert database.parse_url("sqlite:///~/.fundingarb/a.db").file == tmp_path / ".fundingarb" / "a.db"


# while it runs


async def test_a_full_disk_stores_nothing_of_a_batch_and_is_survived(tmp_path: Path) -> None:
    store = InlineStore(f"sqlite:///{tmp_path / 'a.db'}", StillClock())
    found = intent()
    await store.commit(Batch(intents=(found,)))

    def pages(limit: int) -> None:
        store._session.read(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {limit}"))

    pages(1)  # SQLite takes the present size for a limit below it
    many = tuple(replace(order(found), client_id=f"o{number}", reason="x" * 500) for number in range(200))
    with pytest.raises(StoreError) as caught:
        await store.commit(Batch(alerts=(alert(),), orders=many))
    one_line(caught.value, "full", "free some disk space")
    assert (await store.load()).hedges[0].orders == ()
    pages(100_000)
    await store.commit(Batch(alerts=(alert(),), orders=many))
    assert len((await store.load()).hedges[0].orders) == 200
    await store.close()


async def test_a_lock_of_another_program_is_reported_and_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    async with open_store(f"sqlite:///{tmp_path / 'a.db'}", StillClock()) as store:
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            await store.commit(Batch(intents=(intent(),)))
        one_line(caught.value, "locked", "another program is using it")
        other.execute("ROLLBACK")
        other.close()
        await store.commit(Batch(intents=(intent(),)))
        assert len((await store.load()).hedges) == 1


async def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with open_store(f"sqlite:///{path}", StillClock()) as store:
        await store.commit(Batch(intents=(intent(),)))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    await refused(f"sqlite:///{path}", "malformed", "restore it from a backup")


async def test_the_server_goes_away_and_comes_back(
    postgres_server: PostgresServer, clock: StillClock
) -> None:
    found = intent()
    async with open_store(postgres_server.new_database(), clock) as store:
        await store.commit(Batch(intents=(found,)))
        postgres_server.stop()
        try:
            for _ in range(2):
                with pytest.raises(StoreError) as caught:
                    await store.commit(Batch(orders=(order(found),)))
                one_line(caught.value, "PostgreSQL database postgresql://fundingarb:***@127.0.0.1")
                with pytest.raises(StoreError):
                    await store.load()
                with pytest.raises(StoreError):
                    await store.hedges()
        finally:
            postgres_server.start()
        await store.commit(Batch(orders=(order(found),)))
        assert (await store.load()).hedges[0].orders == (order(found),)
        assert len(await store.hedges()) == 1


async def test_a_connection_cut_while_idle_costs_one_failed_commit(
    postgres_server: PostgresServer, clock: StillClock
) -> None:
    found = intent()
    async with open_store(postgres_server.new_database(), clock) as store:
        await store.commit(Batch(intents=(found,)))
        postgres_server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fundingarb'"
        )
        with pytest.raises(StoreError) as caught:
            await store.commit(Batch(orders=(order(found),)))
        one_line(caught.value, "connection", "it is tried again with the next change")
        await store.commit(Batch(orders=(order(found),)))
        assert (await store.load()).hedges[0].orders == (order(found),)


@contextlib.contextmanager
def cut_at_commit(after: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The connection dies at COMMIT: before the server has it, or (``after``) when only the answer is missing."""
    import psycopg

    commit = PostgresDriver.commit

    def cut(self: Any) -> None:
        if after:
            commit(self)
        self.sync()
        self._raw.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresDriver, "commit", cut)
        yield


@pytest.mark.parametrize("applied", [False, True])
async def test_a_commit_whose_outcome_is_unknown_may_be_repeated(
    postgres_url: str, clock: StillClock, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    found = intent()
    record = filled(order(found))
    old = fill(record, "binance", number=1)
    batch = Batch(
        orders=(record,),
        fills=((old, found.id), (fill(record, "binance", number=2), found.id)),
        payments=((payment("binance", "binance", "1.5"), found.id),),
        alerts=(alert(),),
    )
    async with open_store(postgres_url, clock) as store:
        await store.commit(Batch(intents=(found,), orders=(record,), fills=((old, found.id),)))
        with cut_at_commit(applied, monkeypatch):
            for _ in range(2):
                with pytest.raises(StoreError) as caught:
                    await store.commit(batch)
                one_line(caught.value, "closed the connection")
        again = await store.commit(batch)
        assert again == Committed(fills=batch.fills[1:], payments=batch.payments)
        assert await store.commit(batch) == Committed()
        assert len(await store.fills()) == 2
        assert len(await store.payments()) == 1
        assert len(await store.alerts()) == 1
        assert (await store.load()).hedges[0].orders[0].booked == record.quantity * 2


# the thread


async def test_the_event_loop_goes_on_while_the_disk_is_busy(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    for driver in (SqliteDriver, PostgresDriver):
        commit = driver.commit

        def slow(self: Any, commit: Any = commit) -> None:
            assert released.wait(10), "the event loop was blocked"
            commit(self)

        monkeypatch.setattr(driver, "commit", slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.commit, Batch(intents=(intent(),)))
        await anyio.sleep(0.02)
        released.set()
    assert len((await store.load()).hedges) == 1


async def test_cancelling_the_wait_does_not_take_the_commit_back(store: SqlStore) -> None:
    found = intent()
    await store.commit(Batch(intents=(found,)))
    for number in range(20):
        task = asyncio.ensure_future(
            store.commit(Batch(orders=(replace(order(found), client_id=f"o{number}"),)))
        )
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert len((await store.load()).hedges[0].orders) == 20


async def test_a_closed_store_says_so(url: str) -> None:
    async with open_store(url, StillClock()) as store:
        await store.commit(Batch(intents=(intent(),)))
    with pytest.raises(StoreError, match="closed"):
        await store.commit(Batch(alerts=(alert(),)))
    await store.close()


async def test_leaving_the_context_while_cancelled_finishes_what_was_committed(url: str) -> None:
    found = intent()
    with anyio.CancelScope() as scope:
        async with open_store(url, StillClock()) as store:
            await store.commit(Batch(intents=(found,)))
            scope.cancel()
            await store.commit(Batch(orders=(order(found),)))
    async with open_store(url, StillClock()) as store:
        assert (await store.load()).hedges[0].orders == (order(found),)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fundingarb-store")]


async def test_several_event_loops_may_use_one_store(store: SqlStore) -> None:
    found = intent()
    await store.commit(Batch(intents=(found,)))

    def elsewhere(name: str) -> None:
        async def work() -> None:
            for number in range(20):
                await store.commit(Batch(orders=(replace(order(found), client_id=f"{name}{number}"),)))
                await store.hedges()

        anyio.run(work)

    async with anyio.create_task_group() as tasks:
        for name in "ab":
            tasks.start_soon(anyio.to_thread.run_sync, elsewhere, name)
    assert len((await store.load()).hedges[0].orders) == 40


async def test_a_bug_in_one_batch_is_raised_there_and_the_thread_goes_on(store: SqlStore) -> None:
    with pytest.raises(AttributeError):
        await store.commit(Batch(intents=("not an intent",)))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="nothing of it was stored"):
        await store.commit(Batch(orders=(replace(order(intent()), hedge_id=UUID(int=99)),)))
    await store.set_killed(True, "me", NOW)
    assert (await store.load()).killed
