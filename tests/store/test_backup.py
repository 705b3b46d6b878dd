"""Copies of the database: taken under load, whole or not there, and put back exactly."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import pytest
from click.testing import CliRunner
from sqlalchemy import select, text
from tests.conftest import RunCli
from tests.postgres import PostgresServer
from tests.store.samples import NOW, StillClock, fill, filled, go_back, intent, order, payment
from tests.store.test_schema import on

from fundingarb.backups import DailyBackups
from fundingarb.cli.db import upgrade_command
from fundingarb.domain.control import AuditEntry, Latch
from fundingarb.domain.events import Alert
from fundingarb.domain.instrument import Side
from fundingarb.engine.bus import Bus
from fundingarb.errors import LeaseTaken, SchemaError, StoreError
from fundingarb.ports import Batch
from fundingarb.store import (
    SqlStore,
    hold_lease,
    lease,
    open_store,
    pgdump,
    revision_of,
    schema,
    tables,
    upgrade,
)
from fundingarb.store.backup import Latched, back_up, restore
from fundingarb.store.copies import STAMP, name_of, rotate
from fundingarb.store.copies import daily as daily_copies
from fundingarb.store.database import parse_url
from fundingarb.store.lease import alone_with
from fundingarb.store.schema import REVISIONS

pytestmark = pytest.mark.anyio

NewDatabase = Callable[[], str]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 1.5)


@pytest.fixture
def another(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> NewDatabase:
    """Makes empty databases of the same kind."""
    made: Iterator[int] = iter(range(1000))
    if url.startswith("sqlite"):
        return lambda: f"sqlite:///{tmp_path / f'another{next(made)}.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database


def daily(url: str, folder: Path) -> list[Path]:
    return daily_copies(name_of(url), folder, datetime.now(timezone.utc))


def content(url: str) -> dict[str, list[Any]]:
    """Every row of every table."""

    def read(connection: Any) -> dict[str, list[Any]]:
        return {
            name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for name, table in tables.metadata.tables.items()
        }

    found: dict[str, list[Any]] = on(url, read)
    return found


def batch(number: int) -> Batch:
    """A hedge with both orders and both fills: all of it is stored, or none."""
    plan = intent(number, f"S{number}-USDT", id=UUID(int=number << 80))  # its first bits name its orders
    legs = [filled(order(plan, side)) for side in Side]
    return Batch(
        intents=(plan,),
        orders=tuple(legs),
        fills=tuple((fill(leg, leg.account, plan.symbol), plan.id) for leg in legs),
    )


async def fill_up(store: SqlStore) -> None:
    for number in range(1, 6):
        await store.commit(batch(number))
    await store.commit(
        Batch(payments=((payment("binance", "binance", "1.23456789"), batch(1).intents[0].id),))
    )
    await store.audit(AuditEntry(NOW, "cli:me", "KILL", {"why": "ü"}, True, "flat"))
    await store.save_config({"trading": {"symbols": ["BTC-USDT"]}}, NOW)


async def test_what_is_restored_is_what_was_there(url: str, another: NewDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    async with open_store(url, StillClock()) as store:
        await fill_up(store)
        made = back_up(url, folder)
    assert made.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [made.name], "one file, nothing beside it"
    other = another()
    done = restore(other, made, folder)
    assert (done.revision, done.before, done.latched) == (REVISIONS[-1], None, None)
    found, wanted = content(other), content(url)
    assert any(wanted.values())
    assert wanted.pop("control") == []
    assert [row[:4] for row in found.pop("control")] == [("", "paused", "1", "restore")], "nobody knows"
    assert found == wanted
    async with open_store(other, StillClock()) as store:
        await store.commit(batch(9))
        with pytest.raises(Exception, match="only added to"):
            on(other, lambda connection: connection.execute(text("DELETE FROM audit")))


async def test_it_replaces_what_is_there_of_which_it_keeps_a_copy(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    async with open_store(url, StillClock()) as store:
        await fill_up(store)
        then = content(url)
        made = back_up(url, folder)
        await store.commit(batch(7))
    later = content(url)
    done = restore(url, made, folder)
    assert content(url) == then
    assert done.before is not None
    again = restore(url, done.before, folder)
    assert content(url) == later
    assert again.before is not None


async def test_what_is_latched_stays_latched(url: str, tmp_path: Path) -> None:
    at = NOW + timedelta(hours=1)
    async with open_store(url, StillClock()) as store:
        await store.set_paused(True, "before", NOW)
        made = back_up(url, tmp_path)
    paused = Latched("", "paused", "before", NOW)
    assert restore(url, made, tmp_path).latched == (paused,)
    async with open_store(url, StillClock()) as store:
        await store.set_killed(True, "cli:o'brien; {me}", at)
        await store.set_paused(False, "me", at)
    assert restore(url, made, tmp_path).latched == (Latched("", "killed", "cli:o'brien; {me}", at),)
    async with open_store(url, StillClock()) as store:
        assert await store.latch() == Latch(True, "cli:o'brien; {me}", at)
        assert await store.pause() == Latch(True, "before", NOW), "what the copy says of the other one"
        await store.set_killed(False, "me", at)
        await store.set_paused(False, "me", at)
    assert restore(url, made, tmp_path).latched == ()
    async with open_store(url, StillClock()) as store:
        assert not (await store.load()).killed, "what was released is not latched again"
    async with open_store(url, StillClock(), "mine") as store:
        await store.set_paused(True, "me", at)
    mine = Latched("mine", "paused", "me", at)
    assert restore(url, made, tmp_path).latched == (paused, mine)
    async with open_store(url, StillClock(), "mine") as store:
        assert await store.pause() == Latch(True, "me", at)
    assert [name for name in os.listdir(tmp_path) if name.endswith(".part")] == []


async def copied_before_more(url: str, folder: Path) -> Path:
    """A copy of a database in which more has happened since."""
    async with open_store(url, StillClock()) as store:
        await fill_up(store)
    made = back_up(url, folder)
    async with open_store(url, StillClock()) as store:
        for number in range(10, 60):
            await store.commit(batch(number))
    return made


async def test_killed_after_restoring_it_is_latched(tmp_path: Path) -> None:
    """The latch comes with the rest: whatever a crash leaves is latched."""
    url, folder = f"sqlite:///{tmp_path / 'bot.db'}", tmp_path / "copies"
    made = await copied_before_more(url, folder)
    async with open_store(url, StillClock()) as store:
        await store.set_killed(True, "me", NOW)
    dying = """
def put_back(*arguments, real=backup._put_back):
    real(*arguments)
    die()

backup._put_back = put_back
"""
    script = KILLED.replace('if what == "backup":', f'{dying}if what == "backup":').replace(
        "backup._put = die", "pass"
    )
    assert killed(script, "restore", "at the end", url, str(made), str(folder))
    async with open_store(url, StillClock()) as store:
        assert len(content(url)["positions"]) == 5, "restored"
        assert await store.latch() == Latch(True, "me", NOW)


LOAD = 400


async def test_taken_under_load_it_is_the_state_of_one_moment(
    url: str, another: NewDatabase, tmp_path: Path
) -> None:
    """What was answered before is in it, what came after is not, and no batch is torn."""
    done, loaded = 0, anyio.Event()
    copies: list[tuple[int, int, Path]] = []

    async def trade(store: SqlStore) -> None:
        nonlocal done
        for number in range(1, LOAD):
            await store.commit(batch(number))
            done = number
            if number == 10:
                loaded.set()
            if len(copies) == 3:
                return

    async with open_store(url, StillClock()) as store, anyio.create_task_group() as tasks:
        tasks.start_soon(trade, store)
        await loaded.wait()
        for _ in range(3):
            before = done
            made = await anyio.to_thread.run_sync(back_up, url, tmp_path / "copies")
            copies.append((before, done, made))
    assert done > copies[0][0] + 2, "there was load"
    for least, most, made in copies:
        other = another()
        restore(other, made, tmp_path / "copies")
        found = content(other)
        count = len(found["positions"])
        assert least <= count <= most + 1
        assert len(found["orders"]) == len(found["trades"]) == 2 * count
        assert {row[0] for row in found["positions"]} == {
            UUID(int=number << 80) for number in range(1, count + 1)
        }


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from fundingarb.store import backup, pgdump

what, when, url, file, folder = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(sqlite3.Connection):
    def backup(self, target, **options):
        super().backup(target, pages=3, progress=lambda status, left, total: die() if left < total / 2 else None)

if when == "half-way":
    whole = sqlite3.connect
    backup.sqlite3.connect = lambda *a, **o: whole(*a, factory=Dying, **o)
    pgdump.dump = lambda database, path: (path.write_bytes(b"PGDMP half of it"), die())
else:
    backup._put = die
if what == "backup":
    backup.back_up(url, Path(folder), "daily")
else:
    backup.restore(url, Path(file), Path(folder))
"""


def killed(script: str, *arguments: str) -> bool:
    """Whether ``script`` ended as it was meant to."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    return done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("when", ["half-way", "before it has its name"])
async def test_killed_while_it_copies_the_old_copy_is_whole(url: str, tmp_path: Path, when: str) -> None:
    folder = tmp_path / "copies"
    async with open_store(url, StillClock()) as store:
        await fill_up(store)
        old = back_up(url, folder, "daily")
        whole = old.read_bytes()
        await store.commit(batch(7))
        assert killed(KILLED, "backup", when, url, str(old), str(folder))
        await store.commit(batch(8))
    assert daily(url, folder) == [old]
    assert old.read_bytes() == whole
    assert [path for path in folder.iterdir() if path.name[0] != "."] == [old], "what was begun has no name"
    assert daily(url, folder) != [back_up(url, folder, "daily")]


async def test_killed_while_it_restores_the_old_database_is_whole(tmp_path: Path) -> None:
    url, folder = f"sqlite:///{tmp_path / 'bot.db'}", tmp_path / "copies"
    made = await copied_before_more(url, folder)
    before = content(url)
    script = KILLED.replace("backup.restore(", "backup.back_up = lambda *a: None\n    backup.restore(")
    assert killed(script, "restore", "half-way", url, str(made), str(folder))
    assert on(url, lambda connection: connection.scalar(text("PRAGMA integrity_check"))) == "ok"
    assert content(url) == before
    restore(url, made, folder)
    assert len(content(url)["positions"]) == 5


async def test_a_database_in_use_is_not_replaced(url: str, tmp_path: Path) -> None:
    async with open_store(url, StillClock()) as store:
        await fill_up(store)
        made = back_up(url, tmp_path)
        async with hold_lease(url, ["binance", "bybit"]):
            with pytest.raises(LeaseTaken, match="is in use; end the bot that uses it first"):
                restore(url, made, tmp_path)
            assert back_up(url, tmp_path) != made, "copying it is fine"
    restore(url, made, tmp_path)


async def test_a_bot_that_has_just_ended_is_waited_for(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server notices that a connection was closed a moment after whoever closed it."""
    monkeypatch.setattr("fundingarb.store.lease.PATIENCE", 20.0)
    url = postgres_url
    async with open_store(url, StillClock()) as store:
        await fill_up(store)
        made = back_up(url, tmp_path)
        async with anyio.create_task_group() as tasks, hold_lease(url, ["binance", "bybit"]):
            tasks.start_soon(anyio.to_thread.run_sync, partial(restore, url, made, tmp_path))
            await anyio.sleep(0.5)


async def test_copies_of_a_newer_version_and_newer_databases_are_refused(
    url: str, another: NewDatabase, tmp_path: Path
) -> None:
    upgrade(url)
    good = back_up(url, tmp_path)
    on(url, lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    newer = back_up(url, tmp_path)
    other = another()
    with pytest.raises(
        SchemaError, match="has schema 9999, which this version does not know; restore it with"
    ):
        restore(other, newer, tmp_path)
    assert revision_of(other) is None
    with pytest.raises(
        SchemaError, match="has schema 9999, which this version does not know; use the version"
    ):
        restore(url, good, tmp_path)
    with pytest.raises(SchemaError, match="has schema 9999"):
        async with open_store(url, StillClock()):
            pytest.fail("it started")


async def test_what_is_no_backup_is_refused(url: str, tmp_path: Path) -> None:
    upgrade(url)
    good = back_up(url, tmp_path)
    data = good.read_bytes()
    other = tmp_path / "other"
    with pytest.raises(StoreError, match="No such file or directory; name a file"):
        restore(url, tmp_path / "nothing", tmp_path)
    for content_ in (b"", b"text", data[: len(data) // 2], data[:4096] + b"\xff" * 4096 + data[8192:]):
        other.write_bytes(content_)
        with pytest.raises(StoreError) as refused:
            restore(url, other, tmp_path)
        assert str(other) in str(refused.value) or "pg_restore" in str(refused.value)
        assert "\n" not in str(refused.value)
    empty = sqlite3.connect(other.with_name("empty.db"))
    empty.execute("CREATE TABLE x (y)")
    empty.close()
    with pytest.raises(StoreError, match=r"holds no schema|is a backup of a SQLite database"):
        restore(url, other.with_name("empty.db"), tmp_path)
    assert revision_of(url) == REVISIONS[-1]


async def test_kinds_of_databases_are_not_mixed(postgres_url: str, tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path / 'bot.db'}"
    for each in (file, postgres_url):
        upgrade(each)
    with pytest.raises(StoreError, match="is a backup of a SQLite database and PostgreSQL database"):
        restore(postgres_url, back_up(file, tmp_path), tmp_path)
    with pytest.raises(StoreError, match="is a backup of a PostgreSQL database and SQLite database"):
        restore(file, back_up(postgres_url, tmp_path), tmp_path)


def test_without_postgresql_s_programs_it_says_so(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(postgres_url)
    monkeypatch.setattr(pgdump, "program", lambda name: None)
    with pytest.raises(StoreError, match=r"pg_dump is not installed.*apt-get install postgresql-client"):
        back_up(postgres_url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_password_is_on_no_command_line_and_in_no_error(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(postgres_url)
    seen: list[list[str]] = []
    run = subprocess.run

    def watched(args: list[str], **options: Any) -> Any:
        seen.append(args)
        return run(args, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    back_up(postgres_url, tmp_path)
    assert seen
    assert not any("correct-horse" in word for args in seen for word in args)
    monkeypatch.setattr(pgdump, "program", lambda name: Path(shutil.which("false") or "/bin/false"))
    with pytest.raises(StoreError) as failed:
        back_up(postgres_url, tmp_path)
    assert "correct-horse" not in str(failed.value)


def test_where_it_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    upgrade(url)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"no backup was made in .*file: File exists; free some space, or choose"
    ):
        back_up(url, tmp_path / "file")
    with pytest.raises(StoreError, match="is empty: there is nothing to back up"):
        back_up(f"sqlite:///{tmp_path / 'nothing.db'}", tmp_path)
    with pytest.raises(StoreError, match="in memory cannot be backed up"):
        back_up("sqlite://", tmp_path)


def test_only_daily_copies_are_rotated(tmp_path: Path) -> None:
    url, folder = f"sqlite:///{tmp_path / 'bot.db'}", tmp_path / "copies"
    upgrade(url)
    by_hand = back_up(url, folder)
    made = [back_up(url, folder, "daily") for _ in range(4)]
    assert len(set(made)) == 4
    found = daily(url, folder)
    assert set(found) == set(made)
    assert set(rotate(name_of(url), folder, 3, datetime.now(timezone.utc))) == {found[0]}
    assert by_hand.exists()
    assert daily(url, folder) == found[1:]


async def test_one_a_day_and_a_failure_is_one_alert(tmp_path: Path) -> None:
    url, folder, bus = f"sqlite:///{tmp_path / 'bot.db'}", tmp_path / "copies", Bus()
    upgrade(url)
    now = datetime.now(timezone.utc) + timedelta(minutes=1)
    backups = DailyBackups(url, folder, 2, bus, StillClock(), lambda: now)
    with bus.subscribe(10, Alert) as alerts:
        await backups.look()
        await backups.look()
        assert len(daily(url, folder)) == 1
        now += timedelta(hours=25)
        shutil.move(folder, tmp_path / "away")
        folder.write_text("in the way")
        for _ in range(3):
            await backups.look()
        told = alerts.take()
        assert isinstance(told, Alert)
        assert told.title == "Backup Failed"
        assert "Not a directory; free some space, or choose another folder" in told.lines[0]
        assert alerts.take() is None
        folder.unlink()
        shutil.move(tmp_path / "away", folder)
        await backups.look()
        assert len(daily(url, folder)) == 2
        assert alerts.take() is None


# two databases, one folder


@pytest.fixture
def twins(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Two databases of the same name: in two folders, or on two servers."""
    if url.startswith("sqlite"):
        (tmp_path / "bob").mkdir()
        return url, f"sqlite:///{tmp_path / 'bob' / 'fundingarb.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return url, server.new_database()


async def begin(url: str, at: datetime, number: int) -> None:
    """What a bot that was begun ``at`` has stored: its configuration and a hedge."""
    async with open_store(url, StillClock()) as store:
        await store.save_config({"trading": {"symbols": ["BTC-USDT"]}}, at)
        await store.commit(batch(number))


async def test_bots_that_share_a_folder_have_copies_of_their_own(
    twins: tuple[str, str], tmp_path: Path
) -> None:
    folder, bus = tmp_path / "copies", Bus()
    now = datetime.now(timezone.utc) + timedelta(minutes=1)
    bots = []
    for number, url in enumerate(twins, 1):
        await begin(url, NOW + timedelta(microseconds=number), number)
        bots.append(DailyBackups(url, folder, 2, bus, StillClock(), lambda: now))
    for days in range(4):
        now = datetime.now(timezone.utc) + timedelta(days=2 * days, minutes=1)
        for bot in bots:
            await bot.look()
    now = datetime.now(timezone.utc) + timedelta(minutes=1)
    kept = [daily(url, folder) for url in twins]
    assert [len(each) for each in kept] == [2, 2], "each has its own, and keeps as many as it is told to"
    assert not set(kept[0]) & set(kept[1])


def test_the_same_path_on_two_machines_is_two_databases(tmp_path: Path) -> None:
    """A folder that containers share, each of which has its database at the same place; also one that was copied."""
    names = set()
    for number in range(2):
        url = f"sqlite:///{tmp_path / 'data' / 'bot.db'}"
        (tmp_path / "data").mkdir()
        anyio.run(begin, url, NOW + timedelta(seconds=number), 1)
        names.add(name_of(url))
        (tmp_path / "data").rename(tmp_path / f"data{number}")
        names.add(name_of(f"sqlite:///{tmp_path / f'data{number}' / 'bot.db'}"))
    assert len(names) == 4
    (tmp_path / "link").symlink_to(tmp_path / "data1")
    assert name_of(f"sqlite:///{tmp_path / 'link' / 'bot.db'}") in names, "another way to the same file"


def test_databases_of_one_name_on_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fundingarb.store.copies.told_of", lambda _: (NOW, True))
    places = [
        "me@one/bot",
        "me@two/bot",
        "me@one:5433/bot",
        "/bot?host=/run/one",
        "/bot?host=/run/two",
        "me@one/bot2",
    ]
    assert len({name_of(f"postgresql://{place}") for place in places}) == len(places)
    assert name_of("postgresql://me@one/bot") == name_of(
        "postgresql://you:secret@one:5432/bot?connect_timeout=3"
    )


async def test_a_copy_of_another_database_is_put_back_only_when_it_is_meant(
    twins: tuple[str, str], another: NewDatabase, tmp_path: Path
) -> None:
    alice, bob = twins
    await begin(alice, NOW, 1)
    await begin(bob, NOW + timedelta(seconds=61.5), 2)
    made = back_up(alice, tmp_path)
    then = content(bob)
    refused = "is a copy of another database .begun 2.* UTC; .*; name a copy of this one, or add --another"
    with pytest.raises(StoreError, match=refused) as error:
        restore(bob, made, tmp_path)
    assert "\n" not in str(error.value)
    assert content(bob) == then
    renamed = tmp_path / back_up(bob, tmp_path).name.replace("backup", "mine")
    shutil.copy(made, renamed)
    with pytest.raises(StoreError, match="is a copy of another database"):
        restore(bob, renamed, tmp_path)
    done = restore(bob, made, tmp_path, another=True)
    assert content(bob)["positions"] == content(alice)["positions"]
    assert done.before is not None
    restore(bob, done.before, tmp_path, another=True)
    assert content(bob) == then, "the way back"
    # a new place takes it without a word: an empty one, and one in which a bot was begun and has traded nothing
    restore(another(), made, tmp_path)
    fresh = another()
    async with open_store(fresh, StillClock()) as store:
        await store.save_config({"trading": {}}, NOW + timedelta(days=1))
    restore(fresh, made, tmp_path)
    # and from then on it is the same database: copies of the old place and the new one go both ways
    restore(fresh, made, tmp_path)
    restore(alice, back_up(fresh, tmp_path), tmp_path)


async def test_copies_of_earlier_versions_are_known_by_what_they_hold(
    url: str, another: NewDatabase, tmp_path: Path
) -> None:
    """Neither their name nor their schema says whose they are."""
    await begin(url, NOW, 1)
    go_back(url, REVISIONS[-2])
    old = back_up(url, tmp_path).rename(tmp_path / f"fundingarb-daily-20260101T000000Z{Path(url).suffix}")
    upgrade(url)
    assert restore(url, old, tmp_path).revision == REVISIONS[-2]
    upgrade(url)
    restore(url, back_up(url, tmp_path), tmp_path)
    other = another()
    await begin(other, NOW + timedelta(days=1), 2)
    with pytest.raises(StoreError, match="is a copy of another database"):
        restore(other, old, tmp_path)


async def test_a_copy_with_a_time_to_come_keeps_no_other_from_being_made(tmp_path: Path) -> None:
    """The clock was wrong once."""
    url, folder, bus = f"sqlite:///{tmp_path / 'bot.db'}", tmp_path / "copies", Bus()
    upgrade(url)
    now = datetime.now(timezone.utc) + timedelta(minutes=1)
    backups = DailyBackups(url, folder, 1, bus, StillClock(), lambda: now)
    await backups.look()
    (made,) = daily(url, folder)
    wrong = [
        made.rename(made.with_name(f"{name_of(url)}-daily-{stamp}.db"))
        for stamp in ((now + timedelta(days=400)).strftime(STAMP),)
    ]
    wrong.append(made.with_name(f"{name_of(url)}-daily-20269999T000000Z.db"))
    shutil.copy(wrong[0], wrong[1])
    for _ in range(2):
        await backups.look()
        assert len(daily(url, folder)) == 1, "made, kept, and not made again"
    assert all(path.exists() for path in wrong), "nobody knows what they are: not deleted"


async def test_a_database_that_is_away_is_no_failed_backup_while_none_is_due(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(postgres_url)
    bus = Bus()
    now = datetime.now(timezone.utc) + timedelta(minutes=1)
    backups = DailyBackups(postgres_url, tmp_path, 1, bus, StillClock(), lambda: now)
    with bus.subscribe(10, Alert) as alerts:
        await backups.look()

        def away(url: str) -> str:
            raise StoreError("away")

        monkeypatch.setattr("fundingarb.backups.name_of", away)
        await backups.look()
        assert alerts.take() is None
        now += timedelta(hours=25)
        monkeypatch.setattr("fundingarb.backups.back_up", lambda *_: away(""))
        await backups.look()
        assert alerts.take() is not None


async def test_an_upgrade_makes_a_copy_first_and_waits_for_no_bot(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with monkeypatch.context() as older:
        older.setattr(schema, "REVISIONS", REVISIONS[:-1])
        upgrade(url)
    with pytest.raises(SchemaError, match="run fundingarb db upgrade"):
        async with open_store(url, StillClock()):
            pytest.fail("it started")
    run = partial(CliRunner().invoke, upgrade_command, ["--url", url])
    with alone_with(parse_url(url)):
        refused = await anyio.to_thread.run_sync(run)
        assert "is in use; end the bot that uses it first" in str(refused.exception)
    done = await anyio.to_thread.run_sync(run)
    assert done.exit_code == 0, done.output
    first, second = done.output.splitlines()
    copy = Path(first.removeprefix("what was there: "))
    assert "-before-upgrade-" in copy.name
    assert second.endswith(f"upgraded from schema {REVISIONS[-2]} to {REVISIONS[-1]}")
    assert restore(url, copy, tmp_path).revision == REVISIONS[-2], "the way back"
    assert revision_of(url) == REVISIONS[-2]


def test_the_commands(tmp_path: Path, run_cli: RunCli) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    config = tmp_path / "fundingarb.yaml"
    config.write_text(f"database: {{url: '{url}'}}\n")
    upgrade(url)
    made = run_cli("backup", "--config", str(config))
    assert made.returncode == 0, made.stderr
    file = Path(made.stdout.strip())
    assert file.parent == tmp_path / "backups"
    elsewhere = run_cli("backup", "--config", str(config), "--to", str(tmp_path / "there"))
    assert Path(elsewhere.stdout.strip()).parent == tmp_path / "there"
    asked = run_cli("restore", "--config", str(config), str(file))
    assert "add --yes to go on" in asked.stderr
    done = run_cli("restore", "--yes", "--config", str(config), str(file))
    assert done.returncode == 0, done.stderr
    assert f"restored: {file}, schema {REVISIONS[-1]}\n" in done.stdout
    assert "run fundingarb reconcile before fundingarb run" in done.stdout
    assert "latched" not in done.stdout
    latch = "INSERT INTO control VALUES ('', 'killed', '1', 'cli:me', '2026-01-01T00:00:00.000000+00:00')"
    on(url, lambda connection: connection.execute(text(latch.replace(":", "\\:"))))
    kept = run_cli("restore", "--yes", "--config", str(config), str(file))
    assert "the kill switch stays latched (by cli:me): end that with fundingarb resume\n" in kept.stdout
    (tmp_path / "bot.db").unlink()
    unknown = run_cli("restore", "--yes", "--config", str(config), str(file))
    assert "entries are paused, end that with fundingarb resume\n" in unknown.stdout
    others = tmp_path / "others.db"
    for number, path in enumerate((others, tmp_path / "bot.db")):
        anyio.run(begin, f"sqlite:///{path}", NOW + timedelta(days=number), number)
    copied = back_up(f"sqlite:///{others}", tmp_path)
    unlike = run_cli("restore", "--yes", "--config", str(config), str(copied))
    assert unlike.returncode != 0
    assert unlike.stderr.startswith(f"error: {copied} is a copy of another database (begun ")
    meant = run_cli("restore", "--yes", "--another", "--config", str(config), str(copied))
    assert meant.returncode == 0, meant.stderr
    refused = run_cli("restore", "--yes", "--config", str(config), str(config))
    assert refused.stderr == f"error: {config} is no backup; name a file that fundingarb backup made\n"
