"""Settlements and funding rows in the database: kept whole, booked once, corrections beside what they correct."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text
from tests.domain.make import D
from tests.store.samples import NOW, StillClock, intent, payment

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.settlement import Settlement, SettlementStatus
from fundingarb.ports import Batch
from fundingarb.store import SqlStore, open_store, schema, upgrade
from fundingarb.store.database import make_engine, parse_url

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)
FOUND = intent()


def settlement(
    hours: int = 0, status: SettlementStatus = SettlementStatus.EXPECTED, **changes: Any
) -> Settlement:
    plain = Settlement(
        hedge_id=FOUND.id,
        exchange="binance",
        account="binance",
        symbol="BTC-USDT",
        at=payment("binance", "binance", "1", hours).settlement,
        side=Side.LONG,
        quantity=D("0.25"),
        noted_at=NOW + timedelta(seconds=1),
        status=status,
    )
    return replace(plain, **changes)


async def held(store: SqlStore) -> None:
    await store.commit(Batch(intents=(FOUND,)))


async def test_a_settlement_comes_back_as_it_was_stored(store: SqlStore) -> None:
    await held(store)
    full = settlement(
        8, rate=D("0.0001"), mark=D("60000.5"), charged=True, amount=D("-1.5"), deviation=D("0.25")
    )
    await store.commit(Batch(settlements=(full, settlement())))
    assert await store.settlements() == [settlement(), full]
    assert await store.settlements(FOUND.id) == [settlement(), full]
    assert await store.settlements(intent(2).id) == []


async def test_a_settlement_is_one_row_however_often_it_changes(store: SqlStore) -> None:
    await held(store)
    for status in SettlementStatus:
        for _ in range(2):
            await store.commit(Batch(settlements=(settlement(0, status, amount=D(1)),)))
    (row,) = await store.settlements()
    assert (row.status, row.amount) == (SettlementStatus.VOID, D(1))


async def test_what_is_still_unpaid_is_read_however_old_it_is(store: SqlStore) -> None:
    await held(store)
    rows = [settlement(n, status) for n, status in enumerate(SettlementStatus)]
    await store.commit(Batch(settlements=tuple(rows)))
    recent = await store.settlements(since=rows[4].at)
    assert [row.status.value for row in recent] == ["EXPECTED", "MISSING", "UNEXPECTED", "VOID"]


async def test_hedges_of_a_moment(store: SqlStore) -> None:
    over = FOUND.edit(mode=Mode.DONE, closed_at=NOW + HOUR)
    live = intent(2, created_at=NOW + 3 * HOUR)
    await store.commit(Batch(intents=(over, live)))

    async def at(hours: float, account: str = "binance", symbol: str = "BTC-USDT") -> set[int]:
        found = await store.hedges_at(account, symbol, NOW + hours * HOUR)
        return {1 if hedge.id == over.id else 2 for hedge in found}

    assert [await at(hours) for hours in (-1, 0, 1, 1.01, 2, 3, 300)] == [
        set(),
        {1},
        {1},
        {1},
        set(),
        {2},
        {2},
    ]
    assert await at(0.5, "bybit") == {1}
    assert await at(0.5, "okx") == await at(0.5, symbol="ETH-USDT") == set()


async def test_a_correction_is_booked_beside_what_it_corrects(store: SqlStore) -> None:
    await held(store)
    first = payment("binance", "binance", "-1.5")
    correction = replace(first, amount=D("0.5"), at=first.at + timedelta(seconds=9), ledger_id="c")
    for rows in ([first], [first, correction], [correction, first], [correction]):
        await store.commit(Batch(payments=tuple((row, FOUND.id) for row in rows)))
    assert sorted(await store.payments(FOUND.id), key=lambda row: row.amount) == [first, correction]


@pytest.mark.parametrize("changes", [{"ledger_id": "other"}, {"ledger_id": ""}, {"at": NOW + 9 * HOUR}])
async def test_one_row_read_twice_is_booked_once(store: SqlStore, changes: dict[str, Any]) -> None:
    await held(store)
    first = payment("binance", "binance", "-1.5")
    again: FundingPayment = replace(first, **changes)
    assert (await store.commit(Batch(payments=((first, None),)))).payments
    assert not (await store.commit(Batch(payments=((again, None), (again, None))))).payments
    adopted = (await store.commit(Batch(payments=((again, FOUND.id),)))).payments
    assert [hedge_id for _, hedge_id in adopted] == [FOUND.id]
    assert await store.payments() == [first]


async def test_both_of_one_batch_are_told_apart(store: SqlStore) -> None:
    first = payment("binance", "binance", "-1.5")
    rows = (first, first, replace(first, ledger_id="x"), replace(first, ledger_id="c", amount=D(1)))
    committed = await store.commit(Batch(payments=tuple((row, None) for row in rows)))
    assert [row.amount for row, _ in committed.payments] == [D("-1.5"), D(1)]


async def test_an_account_without_payments_is_read_from_its_first_recent_hedge(
    url: str, clock: StillClock
) -> None:
    async with open_store(url, clock) as store:
        over = FOUND.edit(mode=Mode.DONE, closed_at=NOW + HOUR)
        await store.commit(Batch(intents=(over,)))
        clock.at = NOW + 40 * HOUR
        checkpoint = await store.load()
        assert checkpoint.hedges == ()
        assert checkpoint.payments_since == {"binance": NOW, "bybit": NOW}
        clock.at = NOW + 30 * 24 * HOUR
        assert (await store.load()).payments_since == {}


async def test_a_database_of_the_version_before_keeps_its_payments(
    url: str, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(schema, "REVISIONS", ("0001", "0002"))
        upgrade(url)
    database = parse_url(url)
    engine = make_engine(database)

    def insert(connection: Connection) -> None:
        connection.execute(
            text(
                "INSERT INTO funding_events (id, exchange, pair, payment_usd, timestamp, account, settlement, currency,"
                " ledger_id) VALUES (:id, 'binance', 'BTC-USDT', :amount, :at, 'binance', :settlement, 'USDT', 'l0')"
            ),
            {
                "id": "00000000000000000000000000000009",
                "amount": "1.25" if database.sqlite else D("1.25"),
                "at": "2026-03-01T08:00:03.000000+00:00",
                "settlement": "2026-03-01T08:00:00.000000+00:00",
            },
        )

    with engine.begin() as connection:
        insert(connection)
    engine.dispose()
    assert upgrade(url) == ("0002", schema.REVISIONS[-1])
    known = replace(payment("binance", "binance", "1.25"), rate=None)
    async with open_store(url, clock) as store:
        assert await store.payments() == [known]
        assert not (await store.commit(Batch(payments=((known, None),)))).payments
        await held(store)
        assert (await store.commit(Batch(payments=((known, FOUND.id),)))).payments
        assert len(await store.payments()) == 1
