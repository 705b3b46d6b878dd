"""Readings for people: what is over page by page, with everything booked to it, and the newest orders."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from tests.store.samples import NOW, fill, filled, intent, order, payment

from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderSide, Purpose
from fundingarb.domain.pnl import hedge_pnl
from fundingarb.ports import Batch, HedgeBooks
from fundingarb.store import SqlStore, reports

pytestmark = pytest.mark.anyio


async def trade(store: SqlStore, number: int, minutes: int) -> Hedge:
    """A hedge that bought on its long leg, was paid, and ended ``minutes`` after NOW."""
    made = intent(number, symbol=f"C{number}-USDT")
    entry = filled(order(made, Side.LONG, Purpose.ENTRY))
    await store.commit(Batch(intents=(made,), orders=(entry,)))
    bought = fill(entry, made.long.instrument.exchange, made.symbol)
    paid = payment(made.long.account, made.long.instrument.exchange, str(number), symbol=made.symbol)
    await store.commit(Batch(fills=((bought, made.id),), payments=((paid, made.id),)))
    done = made.edit(mode=Mode.DONE, closed_at=NOW + timedelta(minutes=minutes))
    await store.commit(Batch(intents=(done,)))
    return Hedge(done, (entry,))


async def test_what_is_over_page_by_page_the_last_closed_first(store: SqlStore) -> None:
    hedges = [await trade(store, number, minutes) for number, minutes in ((1, 5), (2, 9), (3, 9), (4, 1))]
    never = intent(5, symbol="ETH-USDT").edit(mode=Mode.DONE, closed_at=NOW + timedelta(hours=1))
    live = intent(6, symbol="SOL-USDT")
    await store.commit(Batch(intents=(never, live)))
    everything = await store.closed(limit=10)
    assert {books.hedge.id for books in everything} == {hedge.id for hedge in hedges}
    times = [books.hedge.intent.closed_at for books in everything]
    assert times == sorted(times, key=lambda at: at or NOW, reverse=True)
    paged: list[HedgeBooks] = []
    last = None
    while page := await store.closed(after=last, limit=1):
        paged += page
        last = page[-1].hedge.id
    assert paged == list(everything)
    assert await store.closed(after=live.id) == []


async def test_books_have_what_is_booked_to_each_and_nothing_else(store: SqlStore) -> None:
    hedges = [await trade(store, number, number) for number in (1, 2, 3)]
    found = {books.hedge.id: books for books in await store.books([hedges[0].id, hedges[2].id])}
    assert found.keys() == {hedges[0].id, hedges[2].id}
    for hedge in (hedges[0], hedges[2]):
        books = found[hedge.id]
        assert list(books.fills) == await store.fills(hedge.id)
        assert list(books.payments) == await store.payments(hedge.id)
        assert hedge_pnl(books.hedge, books.fills, books.payments).funding == books.payments[0].amount
    assert await store.books([]) == []


async def test_the_blotter_is_newest_first_with_symbol_and_exchange(store: SqlStore) -> None:
    made = intent(1)
    rows = [order(made, side, Purpose.ENTRY) for side in (Side.LONG, Side.SHORT)]
    rows = [replace(row, created_at=NOW + timedelta(seconds=n)) for n, row in enumerate(rows)]
    await store.commit(Batch(intents=(made,), orders=tuple(rows)))
    found = await store.blotter(limit=10)
    assert [record.client_id for record, _, _ in found] == [row.client_id for row in reversed(rows)]
    assert [(symbol, exchange) for _, symbol, exchange in found] == [
        (made.symbol, made.short.instrument.exchange),
        (made.symbol, made.long.instrument.exchange),
    ]
    assert found[0][0].side is OrderSide.SELL
    assert len(await store.blotter(limit=1)) == 1


async def test_configuration_revisions_the_newest_first(store: SqlStore) -> None:
    documents = [{"trading": {"min_net_usd": str(number)}} for number in range(3)]
    for number, document in enumerate(documents):
        actor = f"dashboard@{number}" if number else None
        await store.save_config(document, NOW + timedelta(minutes=number), actor)
    assert [one.actor for one in await store.config_revisions()] == ["dashboard@2", "dashboard@1", None]
    found = await store.config_revisions(limit=2)
    assert [(one.revision, one.document) for one in found] == [(3, documents[2]), (2, documents[1])]
    assert found[0].at == NOW + timedelta(minutes=2)
    assert len(await store.config_revisions(limit=None)) == 3


async def test_nothing_of_the_bots_waits_behind_what_people_look_at(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trade(store, 1, 5)
    go_on = threading.Event()

    def slow(connection: object, **_: object) -> list[HedgeBooks]:
        assert go_on.wait(30)
        return []

    monkeypatch.setattr(reports, "closed", slow)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(store.closed)
        await anyio.sleep(0.05)
        try:
            with anyio.fail_after(30):
                assert not (await store.control()).killed
                assert len(await store.fills()) == 1
        finally:
            go_on.set()
