"""Commands, the latch, flatten orders and accepted differences: kept, and written by a second process meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from tests.store.samples import NOW, StillClock, fill, filled, intent, order

from fundingarb.domain.control import Accepted, AuditEntry, Command, CommandKind, FlattenOrder, Latch, Subject
from fundingarb.domain.hedge import Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderSide, OrderState, Purpose
from fundingarb.ports import Batch
from fundingarb.store import InlineStore, SqlStore, open_store
from fundingarb.store.database import make_engine, parse_url

pytestmark = pytest.mark.anyio

SUBMIT = """
import anyio, sys
from datetime import datetime, timezone
from uuid import uuid4
from fundingarb.domain.control import Command, CommandKind
from fundingarb.engine.clock import SystemClock
from fundingarb.store import open_store

async def main():
    async with open_store(sys.argv[1], SystemClock()) as store:
        for number in range(int(sys.argv[2])):
            kind = CommandKind.KILL if number == 0 else CommandKind.STATUS
            now = datetime.now(timezone.utc)
            await store.submit_command(Command(uuid4(), f"k{number}", kind, "another process", now))
    print("done", flush=True)

anyio.run(main)
"""


def command(key: str = "k", kind: CommandKind = CommandKind.PAUSE, **changes: object) -> Command:
    return replace(Command(uuid4(), key, kind, "cli:someone", NOW, {"hedge": "BTC-USDT"}), **changes)  # type: ignore[arg-type]


def flatten(attempt: int, **changes: object) -> FlattenOrder:
    plain = FlattenOrder(
        f"fatestxaaaaaaaaaa{attempt:04d}", "binance", "ETH-USDT", attempt, OrderSide.SELL, Decimal("0.3"), NOW
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


async def test_a_command_goes_from_hand_to_hand(store: SqlStore) -> None:
    asked = await store.submit_command(command())
    assert (await store.control()).commands == (asked,)
    assert await store.take_command(asked.id, NOW)
    assert not await store.take_command(asked.id, NOW + timedelta(seconds=1)), "taken once"
    taken = replace(asked, taken_at=NOW)
    assert await store.command("k") == taken
    await store.report_command(replace(taken, result={"text": "closing", "legs": ["one"]}))
    assert (await store.control()).commands[0].result == {"text": "closing", "legs": ["one"]}
    done = replace(taken, done_at=NOW, result={"ok": True, "text": "ende – gut"})
    await store.report_command(done)
    await store.report_command(replace(done, result={"ok": False, "text": "too late"}))
    assert await store.command("k") == done
    assert (await store.control()).commands == ()


async def test_a_repeated_key_gets_the_first_command(store: SqlStore) -> None:
    first = await store.submit_command(command())
    again = await store.submit_command(command(kind=CommandKind.UNPAUSE))
    assert again == first
    assert (await store.submit_command(command("other"))).id != first.id


async def test_a_kill_is_latched_by_its_command(store: SqlStore, url: str) -> None:
    assert await store.latch() is None
    await store.submit_command(command("p"))
    assert not (await store.control()).killed
    await store.submit_command(command("k", CommandKind.KILL))
    assert (await store.control()).killed
    assert (await store.load()).killed
    latch = await store.latch()
    assert latch is not None
    assert (latch.on, latch.actor, latch.at) == (True, "cli:someone", NOW)
    async with open_store(url, StillClock(), "wxyz") as other:
        assert not (await other.control()).killed, "another bot's latch is its own"
        assert (await other.control()).commands == ()


async def test_who_paused_is_known_and_the_next_bot_is_paused(store: SqlStore) -> None:
    assert await store.pause() is None
    await store.set_paused(True, "telegram:7", NOW)
    assert await store.pause() == Latch(True, "telegram:7", NOW)
    assert (await store.load()).paused
    await store.set_paused(False, "cli:someone", NOW)
    assert await store.pause() == Latch(False, "cli:someone", NOW)
    assert not (await store.load()).paused
    assert await store.latch() is None, "the kill switch is another one"


async def test_flatten_orders_keep_their_numbers_and_their_end(store: SqlStore) -> None:
    old = flatten(1, created_at=NOW - timedelta(days=3), state=OrderState.FILLED)
    between = flatten(2, created_at=NOW - timedelta(days=2), state=OrderState.REFUSED)
    await store.commit(Batch(flatten_orders=(old, between)))
    assert (await store.load()).flatten_orders == (between,), "the last number, however old"
    sent = flatten(3)
    await store.commit(Batch(flatten_orders=(sent,)))
    over = replace(
        sent, state=OrderState.FILLED, filled=Decimal("0.3"), exchange_order_id="x9", resolved_at=NOW
    )
    await store.commit(Batch(flatten_orders=(over,)))
    await store.commit(Batch(flatten_orders=(replace(sent, state=OrderState.UNKNOWN),)))
    assert (await store.load()).flatten_orders == (over,)
    assert (await store.glance()).flatten_orders == (over,)


async def test_what_was_accepted_is_found_again_and_a_leg_is_that_much_smaller(store: SqlStore) -> None:
    held = intent(mode=Mode.HOLDING)
    entry = filled(order(held, Side.LONG, Purpose.ENTRY))
    await store.commit(Batch(intents=(held,), orders=(entry,), fills=((fill(entry, "binance"), held.id),)))
    foreign = Accepted("binance", Subject.POSITION, "ETH-USDT", Decimal("-1.5"), "somebody", NOW)
    gone = Accepted("binance", Subject.LEG, str(held.id), Decimal("0.05"), "somebody", NOW)
    await store.commit(Batch(accepted=(foreign, gone)))
    checkpoint = await store.load()
    assert set(checkpoint.accepted) == {foreign, gone}
    (hedge,) = checkpoint.hedges
    assert hedge.long.filled == Decimal("0.2")
    assert (await store.hedges())[0].long.filled == Decimal("0.2")
    back = replace(foreign, quantity=Decimal(0), actor="another")
    await store.commit(Batch(accepted=(back,)))
    assert set((await store.load()).accepted) == {back, gone}


async def test_the_fills_of_a_flatten_order_belong_to_its_hedge(store: SqlStore) -> None:
    held = intent(mode=Mode.HOLDING)
    await store.commit(Batch(intents=(held,)))
    closing = flatten(1, hedge_id=held.id)
    await store.commit(Batch(flatten_orders=(closing,)))
    assert (await store.load()).flatten_orders == (closing,)


async def test_an_inline_store_does_the_same() -> None:
    store = InlineStore("sqlite://", StillClock())
    asked = await store.submit_command(command("k", CommandKind.KILL))
    assert (await store.control()).killed
    assert await store.take_command(asked.id, NOW)
    await store.report_command(replace(asked, taken_at=NOW, done_at=NOW, result={"ok": True}))
    assert (await store.control()).commands == ()
    await store.close()


async def test_another_process_commands_while_the_bot_commits(url: str, store: SqlStore) -> None:
    """The bot writes without a pause; nothing of either side is lost or refused."""
    number = 20
    await store.commit(Batch(intents=(intent(),)))
    process = threading.Thread(
        target=lambda: subprocess.run([sys.executable, "-c", SUBMIT, url, str(number)], check=True)
    )
    process.start()
    commits = 0
    while process.is_alive():
        commits += 1
        await store.commit(Batch(intents=(replace(intent(), version=commits + 1),)))
        await store.control()
    process.join()
    assert (await store.control()).killed
    assert [c.key for c in (await store.control()).commands] == [f"k{n}" for n in range(number)]
    assert (await store.load()).hedges[0].intent.version == commits + 1


async def test_a_lock_that_is_held_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """SQLite has one writer; while another program writes for a second, a commit takes that long and succeeds."""
    url = f"sqlite:///{tmp_path}/bot.db"
    async with open_store(url, StillClock()) as store:
        engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"check_same_thread": False})
        with engine.connect() as connection:
            connection.execute(text("BEGIN IMMEDIATE"))
            release = threading.Timer(1.0, lambda: connection.execute(text("COMMIT")))
            release.start()
            asked = await store.submit_command(command())
            release.join()
        engine.dispose()
        assert (await store.control()).commands == (asked,)


# the audit


def entry(**changes: object) -> AuditEntry:
    plain_entry = AuditEntry(NOW, "dashboard:1", "LOGIN", {"from": "127.0.0.1"}, True, "logged in")
    return replace(plain_entry, **changes)  # type: ignore[arg-type]


async def test_every_command_leaves_an_audit_row_with_its_result(store: SqlStore) -> None:
    asked = await store.submit_command(command(kind=CommandKind.CLOSE))
    await store.take_command(asked.id, NOW)
    await store.report_command(replace(asked, result={"text": "closing"}))
    assert await store.audited() == []
    done = replace(asked, done_at=NOW + timedelta(seconds=2), result={"ok": False, "text": "no open hedge"})
    await store.report_command(done)
    await store.report_command(replace(done, result={"ok": True, "text": "another result"}))
    (noted,) = await store.audited()
    assert noted == AuditEntry(
        NOW + timedelta(seconds=2), "cli:someone", "CLOSE", {"hedge": "BTC-USDT"}, False, "no open hedge"
    )
    await store.audit(entry(at=NOW + timedelta(seconds=3)))
    assert [one.command for one in await store.audited()] == ["LOGIN", "CLOSE"]
    assert len(await store.audited(limit=1)) == 1


async def test_what_is_audited_is_one_line_of_plain_text(store: SqlStore) -> None:
    await store.audit(entry(actor="me\r\nroot: all well\x1b[2J", result="line\none\u2028two" + "x" * 5000))
    (noted,) = await store.audited()
    assert noted.actor == r"me\r\nroot: all well\x1b[2J"
    assert noted.result.startswith(r"line\none\u2028two")
    assert len(noted.result) <= 1000


async def test_an_audit_row_cannot_be_changed_or_deleted(url: str, clock: StillClock) -> None:
    async with open_store(url, clock) as opened:
        await opened.audit(entry())
        await opened.audit(entry())
    engine = make_engine(parse_url(url))
    changes = ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"]
    if url.startswith("sqlite"):
        others = "instance, at, command, arguments, ok, result"
        changes += [
            f"INSERT OR REPLACE INTO audit (id, actor, {others}) SELECT id, 'nobody', {others} FROM audit",
            f"INSERT OR REPLACE INTO audit (rowid, id, actor, {others}) "
            f"SELECT rowid, 'another', 'nobody', {others} FROM audit",
        ]
    else:
        changes += ["TRUNCATE audit", "TRUNCATE audit, control CASCADE"]
    for change in changes:
        with pytest.raises(DBAPIError, match="only added to"), engine.begin() as connection:
            connection.execute(text(change))
    engine.dispose()
    async with open_store(url, clock) as opened:
        assert await opened.audited() == [entry()]
