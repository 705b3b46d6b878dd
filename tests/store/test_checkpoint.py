"""What a bot finds again when it starts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from tests.store.samples import (
    NOW,
    StillClock,
    fill,
    filled,
    intent,
    order,
    payment,
)

from fundingarb.domain.control import Command, CommandKind
from fundingarb.domain.hedge import Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderState, Purpose
from fundingarb.ports import Batch, Checkpoint
from fundingarb.store import SqlStore, open_store
from fundingarb.store.store import InlineStore

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def test_an_empty_database_is_an_empty_checkpoint(store: SqlStore) -> None:
    assert await store.load() == Checkpoint(hedges=(), killed=False, config_revision=0)


async def test_the_highest_number_is_known_however_long_its_hedge_has_been_over(store: SqlStore) -> None:
    live = replace(intent(1, "A-USDT"), number=3)
    over = {"mode": Mode.DONE, "created_at": NOW - 90 * HOUR, "closed_at": NOW - 80 * HOUR}
    old = replace(intent(2, "B-USDT", **over), number=4)
    await store.commit(Batch(intents=(live, old)))
    found = await store.load()
    assert [hedge.number for hedge in found.hedges] == [3]
    assert found.last_number == 4


async def test_hedges_that_ended_within_a_day_are_tombstones(store: SqlStore, clock: StillClock) -> None:
    live = intent(1, "A-USDT", created_at=NOW - 400 * HOUR)
    recent = intent(2, "B-USDT", mode=Mode.DONE, created_at=NOW - 48 * HOUR, closed_at=NOW - 23 * HOUR)
    old = intent(3, "C-USDT", mode=Mode.DONE, created_at=NOW - 48 * HOUR, closed_at=NOW - 25 * HOUR)
    await store.commit(Batch(intents=(old, recent, live), orders=(order(recent),)))
    found = (await store.load()).hedges
    assert [hedge.intent for hedge in found] == [live, recent]
    assert found[1].orders == (order(recent),)
    clock.at += 2 * HOUR
    assert [hedge.intent for hedge in (await store.load()).hedges] == [live]
    assert len(await store.hedges()) == 3


async def test_a_hedge_that_got_a_late_fill_is_looked_after_for_another_day(
    store: SqlStore, clock: StillClock
) -> None:
    """It ended long ago; what the late fill left there may not be flattened yet."""
    old = intent(3, "C-USDT", mode=Mode.DONE, created_at=NOW - 48 * HOUR, closed_at=NOW - 25 * HOUR)
    late = filled(order(old, created_at=NOW - 48 * HOUR))
    found = fill(late, "late", at=NOW - HOUR)
    await store.commit(
        Batch(intents=(old,), orders=(late,), fills=((found, old.id), (replace(found, trade_id="x"), None)))
    )
    assert [hedge.intent for hedge in (await store.load()).hedges] == [old]
    clock.at += 24 * HOUR
    assert (await store.load()).hedges == ()


async def test_a_liquidation_is_remembered_for_as_long_as_its_pause_may_last(store: SqlStore) -> None:
    over = {"mode": Mode.DONE, "created_at": NOW - 200 * HOUR}
    first = intent(1, "A-USDT", liquidated=True, closed_at=NOW - 150 * HOUR, **over)
    last = intent(2, "A-USDT", liquidated=True, closed_at=NOW - 120 * HOUR, **over)
    other = intent(3, "B-USDT", closed_at=NOW - 120 * HOUR, **over)
    closing = intent(4, "C-USDT", liquidated=True, mode=Mode.CLOSING)
    await store.commit(Batch(intents=(first, last, other, closing)))
    assert (await store.load()).liquidated == {"A-USDT": NOW - 120 * HOUR}


async def test_the_result_since_a_moment_is_exact_and_of_hedges_on_the_accounts_alone(
    store: SqlStore,
) -> None:
    found = intent()
    long, short = filled(order(found)), filled(order(found, Side.SHORT))
    now = replace(fill(long, "binance"), fee=Decimal("0.000000000000000001"), realized_pnl=Decimal("-3.3"))
    before = replace(fill(long, "binance", number=2), at=NOW - timedelta(microseconds=1))
    stranger = fill(long, "binance", number=3)
    elsewhere = replace(fill(short, "bybit"), account="other")
    await store.commit(
        Batch(
            intents=(found,),
            orders=(long, short),
            fills=((now, found.id), (before, found.id), (stranger, None), (elsewhere, found.id)),
            payments=(
                (payment("bybit", "bybit", "1.1"), found.id),
                (payment("binance", "binance", "9"), None),
            ),
        )
    )
    assert await store.result_since(["binance", "bybit"], NOW) == Decimal("-2.200000000000000001")
    assert await store.result_since(["bybit"], NOW + HOUR) == 0
    assert await store.result_since([], NOW) == 0


async def test_booked_is_what_the_fills_add_up_to(store: SqlStore) -> None:
    found = intent()
    long, short = filled(order(found)), filled(order(found, Side.SHORT), exchange_order_id="ex-9")
    parts = [replace(fill(long, "binance", number=n), quantity=Decimal("0.1")) for n in (1, 2)]
    nameless = replace(fill(short, "bybit"), client_id=None, quantity=Decimal("0.2"))
    stranger = replace(nameless, account="binance", trade_id="other account, same order number")
    batch = Batch(
        intents=(found,),
        orders=(replace(long, booked=Decimal(99)), short),
        fills=tuple((one, found.id) for one in (*parts, nameless, stranger)),
    )
    await store.commit(batch)
    one, other = (await store.load()).hedges[0].orders
    assert (one.booked, other.booked) == (Decimal("0.2"), Decimal("0.2"))


async def test_ledgers_are_read_again_from_before_their_newest_row(store: SqlStore) -> None:
    found = intent()
    long, short = filled(order(found)), filled(order(found, Side.SHORT))
    late = replace(fill(long, "binance", number=2), at=NOW + 5 * HOUR, quantity=Decimal(0))
    await store.commit(
        Batch(
            intents=(found,),
            orders=(long, short),
            fills=((fill(long, "binance"), found.id), (late, found.id), (fill(short, "bybit"), found.id)),
            payments=(
                (payment("binance", "binance", "1", 0), found.id),
                (payment("binance", "binance", "1", 64), found.id),
                (payment("bybit", "bybit", "1", 8), None),
            ),
        )
    )
    checkpoint = await store.load()
    assert checkpoint.fills_since == {"binance": NOW + 4 * HOUR, "bybit": NOW - HOUR}
    settled = payment("x", "x", "0").settlement
    assert checkpoint.payments_since == {"binance": settled + 16 * HOUR, "bybit": settled - 40 * HOUR}


@pytest.mark.parametrize(
    "state", [OrderState.INTENDED, OrderState.UNKNOWN, OrderState.OPEN, OrderState.FILLED]
)
async def test_fills_are_read_from_the_oldest_order_that_misses_some(
    store: SqlStore, state: OrderState
) -> None:
    found = intent()
    missing = replace(filled(order(found, created_at=NOW - 30 * HOUR)), state=state)
    complete = filled(order(found, purpose=Purpose.HEDGE))
    await store.commit(
        Batch(intents=(found,), orders=(missing, complete), fills=((fill(complete, "binance"), found.id),))
    )
    two_clocks = timedelta(seconds=10)
    assert (await store.load()).fills_since == {"binance": NOW - 30 * HOUR - two_clocks}


async def test_the_kill_latch_outlives_the_process(url: str, clock: StillClock) -> None:
    async with open_store(url, clock) as store:
        assert not (await store.load()).killed
        await store.set_killed(True, "telegram:42", NOW)
        assert (await store.load()).killed
    async with open_store(url, clock) as store:
        assert (await store.load()).killed
        await store.set_killed(False, "cli", NOW)
    async with open_store(url, clock) as store:
        assert not (await store.load()).killed


async def test_who_threw_the_kill_switch_lately_is_known(store: SqlStore, clock: StillClock) -> None:
    for key, actor, ago in (
        ("1", "daily-loss: -20", 3),
        ("2", "daily-loss: -20", 1),
        ("3", "me", 2),
        ("4", "me", 99),
    ):
        at = NOW - timedelta(hours=ago)
        await store.submit_command(Command(uuid4(), key, CommandKind.KILL, actor, at, {}))
    assert (await store.load()).thrown == {
        "daily-loss: -20": NOW - timedelta(hours=1),
        "me": NOW - timedelta(hours=2),
    }


async def test_bots_that_share_a_database_do_not_see_each_other(url: str, clock: StillClock) -> None:
    one, other = intent(1, instance="aaaa"), intent(2, instance="bbbb")
    other = replace(other, long=replace(other.long, account="x"), short=replace(other.short, account="y"))
    async with open_store(url, clock, "aaaa") as first, open_store(url, clock, "bbbb") as second:
        await first.commit(Batch(intents=(one,)))
        await second.commit(Batch(intents=(other,)))
        await first.set_killed(True, "me", NOW)
        assert await first.save_config({"a": 1}, NOW) == 1
        assert await second.save_config({"a": 1}, NOW) == 2
        checkpoints = await first.load(), await second.load()
        assert [[hedge.intent for hedge in one.hedges] for one in checkpoints] == [[one], [other]]
        assert [one.killed for one in checkpoints] == [True, False]
        assert [one.config_revision for one in checkpoints] == [1, 2]
        assert [hedge.intent for hedge in await second.hedges()] == [other]
    async with open_store(url, clock) as everything:
        assert [hedge.intent for hedge in (await everything.load()).hedges] == [one, other]


async def test_the_inline_store_is_the_same_store(url: str, clock: StillClock) -> None:
    found = intent()
    record = filled(order(found))
    inline = InlineStore(url, clock)
    batch = Batch(
        intents=(found,),
        orders=(record,),
        fills=((fill(record, "binance"), found.id),),
        payments=((payment("binance", "binance", "1.5"), found.id),),
    )
    assert (await inline.commit(batch)).fills == batch.fills
    assert (await inline.commit(batch)).fills == ()
    assert await inline.save_config({"a": 1}, NOW) == 1
    await inline.set_killed(True, "me", NOW)
    seen = (
        await inline.load(),
        await inline.hedges(),
        await inline.fills(found.id),
        await inline.payments(found.id),
        await inline.refusals(),
        await inline.refusal_counts(),
        await inline.alerts(),
    )
    await inline.close()
    async with open_store(url, clock) as store:
        assert seen == (
            await store.load(),
            await store.hedges(),
            await store.fills(found.id),
            await store.payments(found.id),
            await store.refusals(),
            await store.refusal_counts(),
            await store.alerts(),
        )


async def test_a_database_in_memory_serves_a_simulation(clock: StillClock) -> None:
    inline = InlineStore("sqlite://", clock)
    await inline.commit(Batch(intents=(intent(),)))
    assert len((await inline.load()).hedges) == 1
    async with open_store("sqlite://", clock) as store:
        await store.commit(Batch(intents=(intent(),)))
        assert len(await store.hedges()) == 1
    await inline.close()
