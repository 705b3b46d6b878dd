"""What a commit promises: all or nothing, together where possible, booked once, computed figures kept up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest
from sqlalchemy import select
from tests.store.samples import (
    NOW,
    StillClock,
    alert,
    fill,
    filled,
    intent,
    liquidation,
    order,
    payment,
    refusal,
)

from fundingarb.domain.hedge import CloseReason, Hedge, Intent, Mode, OrderRecord
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import FillKind, OrderSide, OrderState, Purpose, order_side
from fundingarb.domain.pnl import hedge_pnl
from fundingarb.domain.shares import divide_payment
from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Committed
from fundingarb.store import SqlStore, drivers, open_store, tables
from fundingarb.store.database import parse_url
from fundingarb.store.drivers import PostgresDriver, SqliteDriver
from fundingarb.store.session import Failed, Session
from fundingarb.store.statements import Statement

pytestmark = pytest.mark.anyio


def row(store: SqlStore, hedge_id: UUID) -> Mapping[str, Any]:
    """The row of ``positions`` as a report would read it."""
    session = store._writer._session
    query = select(tables.positions).where(tables.positions.c.id == hedge_id)
    return session.read(lambda connection: dict(connection.execute(query).mappings().one()))


def opened(of: Intent) -> tuple[OrderRecord, OrderRecord]:
    """Both entry orders of a hedge, filled."""
    long = filled(order(of, Side.LONG, Purpose.HEDGE))
    short = replace(filled(order(of, Side.SHORT, Purpose.ENTRY)), price=Decimal(60010))
    return long, short


async def test_an_empty_batch_costs_nothing(store: SqlStore) -> None:
    assert await store.commit(Batch()) == Committed()


async def test_what_is_read_again_is_booked_once(store: SqlStore) -> None:
    found = intent()
    long, short = opened(found)
    batch = Batch(
        intents=(found,),
        orders=(long, short),
        fills=((fill(long, "binance"), found.id), (fill(short, "bybit"), found.id)),
        payments=((payment("binance", "binance", "1.25"), found.id),),
        alerts=(alert(hedge_id=found.id),),
    )
    first = await store.commit(batch)
    assert first == Committed(fills=batch.fills, payments=batch.payments)
    before, money = await store.load(), row(store, found.id)
    for _ in range(3):
        assert await store.commit(batch) == Committed()
    assert await store.load() == before
    assert row(store, found.id) == money
    assert len(await store.alerts()) == 1
    assert len(await store.fills()) == 2


async def test_a_row_twice_in_one_batch_is_booked_once(store: SqlStore) -> None:
    found = intent()
    long, _ = opened(found)
    one = (fill(long, "binance"), found.id)
    assert (await store.commit(Batch(intents=(found,), orders=(long,), fills=(one, one)))).fills == (one,)


async def test_a_payment_that_was_divided_is_booked_once_however_it_is_read_again(store: SqlStore) -> None:
    found = intent()
    paid = payment("binance", "binance", "1.6")
    parts = tuple(zip(divide_payment(paid, Decimal(10), Decimal(6)), (found.id, None), strict=True))
    assert (await store.commit(Batch(intents=(found,), payments=parts))).payments == parts
    others = divide_payment(paid, Decimal(10), Decimal(2))
    renamed = replace(paid, ledger_id="under another name")
    for again in (
        parts,
        tuple(zip(others, (found.id, None), strict=True)),
        ((paid, found.id),),
        ((renamed, found.id),),
    ):
        assert await store.commit(Batch(payments=again)) == Committed()
    assert await store.payments() == [part for part, _ in parts]
    assert [part.amount for part in await store.payments(found.id)] == [Decimal(1)]
    assert row(store, found.id)["funding_collected"] == 1
    correction = replace(paid, ledger_id="a correction", amount=Decimal("-0.2"))
    assert (await store.commit(Batch(payments=((correction, found.id),)))).payments == (
        (correction, found.id),
    )


async def test_a_fill_of_nobody_is_adopted_by_a_hedge_once(store: SqlStore) -> None:
    found = intent()
    long, _ = opened(found)
    one = fill(long, "binance")
    assert (await store.commit(Batch(intents=(found,), orders=(long,), fills=((one, None),)))).fills
    assert (await store.load()).hedges[0].orders[0].booked == 0
    assert (await store.commit(Batch(fills=((one, found.id),)))).fills == ((one, found.id),)
    assert (await store.commit(Batch(fills=((one, found.id), (one, None))))).fills == ()
    assert (await store.load()).hedges[0].orders[0].booked == long.quantity
    assert await store.fills(found.id) == [one]


@pytest.mark.parametrize("side", list(Side))
async def test_a_fill_by_hand_that_is_adopted_reduces_the_leg_on_its_account(
    store: SqlStore, side: Side
) -> None:
    """Without a result in it, nothing but the hedge tells whether a trade opened or closed something."""
    found = intent()
    entries = opened(found)
    leg = entries[0] if side is Side.LONG else entries[1]
    by_hand = replace(
        fill(leg, leg.account), client_id=None, exchange_order_id="1", trade_id="1", quantity=Decimal("0.1"),
        side=order_side(side, reduce=True),
    )  # fmt: skip
    await store.commit(Batch(intents=(found,), orders=entries, fills=((by_hand, None),)))
    assert (await store.commit(Batch(fills=((by_hand, found.id),)))).fills
    assert (await store.load()).hedges[0].taken == {side: Decimal("0.1")}
    session, trades = store._writer._session, tables.trades
    query = select(trades.c.side, trades.c.action).where(trades.c.trade_id == "1")
    assert session.read(lambda connection: connection.execute(query).one()) == (side.value, "CLOSE")


async def test_trades_of_two_accounts_may_have_the_same_number(store: SqlStore) -> None:
    found = intent()
    long, short = opened(found)
    both = tuple(
        (replace(fill(record, exchange), trade_id="77"), found.id)
        for record, exchange in ((long, "binance"), (short, "bybit"))
    )
    assert (await store.commit(Batch(intents=(found,), orders=(long, short), fills=both))).fills == both


async def test_an_older_intent_does_not_replace_a_newer_one(store: SqlStore) -> None:
    old = intent()
    new = old.edit(mode=Mode.CLOSING, close_reason=CloseReason.MANUAL)
    await store.commit(Batch(intents=(old,)))
    await store.commit(Batch(intents=(new,)))
    await store.commit(Batch(intents=(old,)))
    assert [hedge.intent for hedge in (await store.load()).hedges] == [new]


@pytest.mark.parametrize("state", [OrderState.FILLED, OrderState.CANCELLED, OrderState.REFUSED])
async def test_an_order_that_is_over_stays_over(store: SqlStore, state: OrderState) -> None:
    found = intent()
    over = replace(order(found), state=state, filled=Decimal("0.1"), exchange_order_id="9")
    await store.commit(Batch(intents=(found,), orders=(over,)))
    replayed = [order(found), replace(order(found), state=OrderState.UNKNOWN)]
    if state is not OrderState.REFUSED:
        replayed += [replace(order(found), state=state) for state in (OrderState.OPEN, OrderState.REFUSED)]
    await store.commit(Batch(orders=tuple(replayed)))
    assert (await store.load()).hedges[0].orders == (over,)
    more = replace(over, filled=Decimal("0.2"))
    await store.commit(Batch(orders=(more,)))
    assert (await store.load()).hedges[0].orders == (more,)


async def test_a_refused_order_that_turns_up_is_looked_after_again(store: SqlStore) -> None:
    """Refused also stands for "the exchange knew none": a restart must find the order alive, and later over."""
    found = intent()
    refused = replace(order(found), state=OrderState.REFUSED, reason="no such order", resolved_at=NOW)
    turned_up = replace(refused, state=OrderState.OPEN, filled=Decimal("0.1"), reason="", resolved_at=None)
    await store.commit(Batch(intents=(found,), orders=(refused,)))
    await store.commit(Batch(orders=(turned_up,)))
    assert (await store.load()).hedges[0].orders == (turned_up,)
    await store.commit(Batch(orders=(refused,)))
    await store.commit(Batch(orders=(turned_up,)))
    over = replace(turned_up, state=OrderState.CANCELLED, resolved_at=NOW)
    await store.commit(Batch(orders=(over,)))
    await store.commit(Batch(orders=(refused, turned_up)))
    assert (await store.load()).hedges[0].orders == (over,)


async def test_orders_keep_the_order_they_were_asked_for_in(store: SqlStore, clock: StillClock) -> None:
    found = intent()
    records: tuple[OrderRecord, ...] = ()
    for side, purpose in [
        (Side.SHORT, Purpose.UNWIND),
        (Side.LONG, Purpose.ENTRY),
        (Side.SHORT, Purpose.CLOSE),
    ] * 3:
        records = (*records, order(found, side, purpose, records))
    await store.commit(Batch(intents=(found,), orders=records[:4]))
    await store.commit(Batch(orders=records[4:]))
    await store.commit(Batch(orders=tuple(reversed(records))))
    assert (await store.load()).hedges[0].orders == records


async def test_one_live_hedge_per_symbol(store: SqlStore) -> None:
    first, second = intent(1), intent(2)
    other = replace(second, long=replace(second.long, account="a"), short=replace(second.short, account="b"))
    await store.commit(Batch(intents=(first,)))
    for rival in (second, other):
        with pytest.raises(StoreError, match="contradicts what is stored"):
            await store.commit(Batch(intents=(rival,), alerts=(alert(),)))
    assert [hedge.id for hedge in (await store.load()).hedges] == [first.id]
    assert await store.alerts() == []
    await store.commit(Batch(intents=(first.edit(mode=Mode.DONE, closed_at=NOW),)))
    await store.commit(Batch(intents=(second,)))
    assert {hedge.id for hedge in (await store.load()).hedges} == {first.id, second.id}


@pytest.mark.parametrize("swapped", [False, True])
async def test_one_live_hedge_per_account_and_symbol(store: SqlStore, swapped: bool) -> None:
    first = intent(1)
    rival = replace(intent(2), instance="next")
    if swapped:  # the account that is long here is short there
        rival = replace(
            rival, long=replace(rival.short, side=Side.LONG), short=replace(rival.long, side=Side.SHORT)
        )
    else:
        rival = replace(rival, short=replace(rival.short, account="elsewhere"))
    await store.commit(Batch(intents=(first,)))
    with pytest.raises(StoreError, match="contradicts what is stored"):
        await store.commit(Batch(intents=(rival,)))
    elsewhere = replace(
        rival,
        long=replace(rival.long, account="x"),
        short=replace(rival.short, account="y"),
    )
    await store.commit(Batch(intents=(elsewhere,)))


async def test_closing_one_and_opening_the_next_may_share_a_batch(store: SqlStore) -> None:
    first, second = intent(1), intent(2)
    await store.commit(Batch(intents=(first,)))
    await store.commit(Batch(intents=(first.edit(mode=Mode.DONE, closed_at=NOW), second)))
    assert {hedge.id for hedge in (await store.load()).hedges if hedge.live} == {second.id}


async def test_computed_columns_follow_fills_and_payments(store: SqlStore) -> None:
    found = intent()
    long, short = opened(found)
    await store.commit(Batch(intents=(found,), orders=(long, short)))
    assert row(store, found.id)["realized_pnl"] is None

    entries = [fill(long, "binance"), fill(short, "bybit")]
    await store.commit(Batch(fills=tuple((one, found.id) for one in entries)))
    after_entry = row(store, found.id)
    assert after_entry["long_entry_price"] == Decimal("60000.1")
    assert after_entry["short_entry_price"] == Decimal(60010)
    assert after_entry["size_usd"] == Decimal("0.25") * (Decimal("60000.1") + 60010) / 2
    assert after_entry["realized_pnl"] == Decimal(-15)
    assert after_entry["status"] == "OPENING"

    holding = found.edit(mode=Mode.HOLDING, opened_at=NOW)
    received = [
        payment("binance", "binance", "-1.5"),
        payment("bybit", "bybit", "4.25"),
        payment("bybit", "bybit", "3", 8),
    ]
    await store.commit(Batch(intents=(holding,), payments=tuple((one, found.id) for one in received)))
    assert row(store, found.id)["funding_collected"] == Decimal("5.75")
    assert row(store, found.id)["status"] == "OPEN"
    assert row(store, found.id)["entry_timestamp"] == NOW

    exits = []
    for side, exchange, result in ((Side.LONG, "binance", "-20.5"), (Side.SHORT, "bybit", "31.25")):
        closing = filled(order(found, side, Purpose.CLOSE))
        await store.commit(Batch(orders=(closing,)))
        exits.append(replace(fill(closing, exchange), price=Decimal(59900), realized_pnl=Decimal(result)))
    done = holding.edit(mode=Mode.DONE, close_reason=CloseReason.SPREAD, closed_at=NOW + timedelta(hours=9))
    await store.commit(Batch(intents=(done,), fills=tuple((one, found.id) for one in exits)))
    final = row(store, found.id)
    assert final["status"] == "CLOSED"
    assert final["close_timestamp"] == NOW + timedelta(hours=9)
    assert final["long_exit_price"] == final["short_exit_price"] == Decimal(59900)
    assert final["price_pnl"] == Decimal("10.75")
    assert final["fees_paid"] == Decimal(30)
    assert final["realized_pnl"] == Decimal("10.75") + Decimal("5.75") - 30
    (hedge,) = (await store.load()).hedges
    assert hedge_pnl(hedge, entries + exits, received).realized == final["realized_pnl"]


async def test_computed_columns_are_exact_beyond_the_digits_of_ordinary_arithmetic(store: SqlStore) -> None:
    found = intent()
    long, _ = opened(found)
    large = Decimal("99999999999.000000000000000001")
    fills = [replace(fill(long, "binance", number=n), fee=large, realized_pnl=large) for n in range(2)]
    paid = [replace(payment("binance", "binance", "1", hours), amount=large) for hours in (0, 8)]
    await store.commit(
        Batch(
            intents=(found,),
            orders=(long,),
            fills=tuple((one, found.id) for one in fills),
            payments=tuple((one, found.id) for one in paid),
        )
    )
    money = row(store, found.id)
    assert money["funding_collected"] == money["fees_paid"] == Decimal("199999999998.000000000000000002")
    assert money["price_pnl"] == money["realized_pnl"] == Decimal("199999999998.000000000000000002")


@pytest.mark.parametrize(
    ("changes", "orders", "status"),
    [
        ({"liquidated": True}, True, "LIQUIDATED"),
        ({}, True, "CLOSED"),
        ({}, False, "ABANDONED"),
    ],
)
async def test_how_it_ended(store: SqlStore, changes: dict[str, Any], orders: bool, status: str) -> None:
    found = intent()
    await store.commit(Batch(intents=(found,), orders=opened(found) if orders else ()))
    done = found.edit(mode=Mode.DONE, closed_at=NOW, **changes)
    await store.commit(Batch(intents=(done,)))
    assert row(store, found.id)["status"] == status
    assert (await store.load()).hedges[0].status.value == status


async def test_trades_say_side_and_action_in_the_specification_s_words(store: SqlStore) -> None:
    found = intent()
    long, short = opened(found)
    closing = replace(filled(order(found, Side.SHORT, Purpose.CLOSE)), price=None)
    nameless = replace(fill(long, "binance", number=2), client_id=None)
    stranger = replace(nameless, account="bybit", side=OrderSide.SELL, trade_id="same order number elsewhere")
    foreign = replace(fill(long, "okx"), account="okx", client_id="manual", side=OrderSide.SELL, trade_id="f")
    foreign_close = replace(foreign, trade_id="g", realized_pnl=Decimal(3))
    await store.commit(
        Batch(
            intents=(found,),
            orders=(long, short, closing),
            fills=(
                (fill(long, "binance"), found.id),
                (nameless, found.id),
                (stranger, found.id),
                (fill(short, "bybit"), found.id),
                (fill(closing, "bybit"), found.id),
                (liquidation("binance", "binance", OrderSide.SELL, "0.25"), found.id),
                (foreign, None),
                (foreign_close, None),
            ),
        )
    )
    table = tables.trades
    columns = (table.c.trade_id, table.c.side, table.c.action, table.c.order_type, table.c.order_side)
    session = store._writer._session
    said = session.read(
        lambda connection: {key: tuple(rest) for key, *rest in connection.execute(select(*columns))}
    )
    assert said == {
        fill(long, "binance").trade_id: ("LONG", "OPEN", "LIMIT", "BUY"),
        nameless.trade_id: ("LONG", "OPEN", "LIMIT", "BUY"),
        stranger.trade_id: ("SHORT", "OPEN", "", "SELL"),
        fill(short, "bybit").trade_id: ("SHORT", "OPEN", "LIMIT", "SELL"),
        fill(closing, "bybit").trade_id: ("SHORT", "CLOSE", "MARKET", "BUY"),
        "liquidation-binance": ("LONG", "CLOSE", "", "SELL"),
        "f": ("SHORT", "OPEN", "", "SELL"),
        "g": ("LONG", "CLOSE", "", "SELL"),
    }


async def test_refusals_of_a_kind_are_one_row_with_a_count(store: SqlStore) -> None:
    await store.commit(
        Batch(refusals=(refusal(actual="0.1"), refusal(seconds=9, actual="0.2"), refusal("spread")))
    )
    await store.commit(Batch(refusals=(refusal(seconds=20, actual="0.3"), refusal(seconds=4, actual="0.9"))))
    assert await store.refusal_counts() == {"net": 4, "spread": 1}
    newest, other = await store.refusals()
    assert newest == refusal(seconds=20, actual="0.3")
    assert other == refusal("spread")
    assert await store.refusals(limit=1) == [newest]
    table = tables.refusals
    query = select(table.c.first_at, table.c.last_at).where(table.c.gate == "net")
    assert store._writer._session.read(lambda connection: tuple(connection.execute(query).one())) == (
        NOW,
        NOW + timedelta(seconds=20),
    )


async def test_the_why_not_ledger_does_not_grow_with_time(store: SqlStore) -> None:
    for second in range(0, 500, 25):
        await store.commit(
            Batch(refusals=tuple(refusal(gate, second + n) for n in range(25) for gate in ("net", "size")))
        )
    assert await store.refusal_counts() == {"net": 500, "size": 500}
    assert len(await store.refusals()) == 2


async def test_batches_that_wait_together_share_one_transaction(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    for driver in (SqliteDriver, PostgresDriver):
        begin = driver.begin

        def counted(self: Any, begin: Any = begin) -> None:
            begun.append(self)
            begin(self)

        monkeypatch.setattr(driver, "begin", counted)
    async with open_store(url, StillClock()) as store:
        found = intent()
        await store.commit(Batch(intents=(found,)))
        records = [replace(order(found), client_id=f"o{number}", attempt=number) for number in range(40)]
        begun.clear()
        async with anyio.create_task_group() as tasks:
            for record in records:
                tasks.start_soon(store.commit, Batch(orders=(record,)))
        assert 1 <= len(begun) <= 4
        assert {record.client_id for record in (await store.load()).hedges[0].orders} == {
            record.client_id for record in records
        }


async def test_only_the_batch_at_fault_fails_when_several_share_a_transaction(store: SqlStore) -> None:
    found = intent(1)
    await store.commit(Batch(intents=(found,)))
    outcomes: dict[int, str] = {}

    async def commit(number: int) -> None:
        batch = Batch(intents=(intent(number),), alerts=(alert(f"number {number}"),))
        if number % 3:
            batch = Batch(orders=(replace(order(found), client_id=f"o{number}"),), alerts=batch.alerts)
        try:
            await store.commit(batch)
            outcomes[number] = "done"
        except StoreError:
            outcomes[number] = "refused"

    async with anyio.create_task_group() as tasks:
        for number in range(2, 20):
            tasks.start_soon(commit, number)
    assert outcomes == {number: "done" if number % 3 else "refused" for number in range(2, 20)}
    assert {one.title for one in await store.alerts()} == {f"number {n}" for n in range(2, 20) if n % 3}


def full_batch(found: Intent) -> Batch:
    """A batch that writes to every table."""
    long, short = opened(found)
    return Batch(
        intents=(found.edit(mode=Mode.DONE, closed_at=NOW), replace(intent(9, "ETH-USDT"))),
        orders=(long, short),
        fills=((fill(long, "binance"), found.id), (fill(short, "bybit"), found.id)),
        payments=((payment("binance", "binance", "1.25"), found.id),),
        refusals=(refusal(), refusal("spread")),
        alerts=(alert(), alert("another")),
    )


class Broken(Exception):
    """What the failing statement raises: the batch is not at fault, a bug is."""


async def test_nothing_is_stored_when_any_statement_fails(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first, the second, ... statement of a commit fail, until a commit gets through."""
    left = [-1]
    for driver in (SqliteDriver, PostgresDriver):
        execute = driver.execute

        def failing(self: Any, statement: Statement, values: Any, execute: Any = execute) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Broken
            return execute(self, statement, values)

        monkeypatch.setattr(driver, "execute", failing)

    def everything(session: Session) -> dict[str, list[Any]]:
        def read(connection: Any) -> dict[str, list[Any]]:
            return {
                table.name: sorted(map(repr, connection.execute(select(table)).all()))
                for table in tables.metadata.sorted_tables
            }

        return session.read(read)

    session = Session(parse_url(url), StillClock())
    session.open()
    found = intent()
    session.commit((Batch(intents=(found,)),))
    before = everything(session)
    failures = 0
    for number in range(1, 100):
        left[0] = number
        (result,) = session.commit((full_batch(found),))
        if not isinstance(result, Failed):
            break
        failures += 1
        assert isinstance(result.error, Broken)
        assert everything(session) == before
    else:
        pytest.fail("no commit got through")
    assert failures > 12
    left[0] = -1
    after = everything(session)
    assert all(
        len(after[name]) > len(before[name]) for name in ("orders", "trades", "funding_events", "alerts")
    )
    assert isinstance(session.commit((full_batch(found),))[0], Committed)
    session.close()


async def test_nothing_is_stored_when_the_database_refuses_the_last_statement(store: SqlStore) -> None:
    found = intent()
    nobody = replace(order(intent(7)), client_id="of no hedge")
    for batch in (
        Batch(intents=(found,), orders=(order(found), nobody)),
        Batch(
            intents=(found,),
            orders=(filled(order(found)),),
            fills=((fill(nobody, "bybit"), nobody.hedge_id),),
        ),
    ):
        with pytest.raises(StoreError, match="contradicts what is stored"):
            await store.commit(batch)
        assert await store.hedges() == []
    await store.commit(Batch(intents=(found,), orders=(order(found),)))
    assert len((await store.load()).hedges[0].orders) == 1


async def test_nothing_is_stored_when_sending_stops_half_way(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first, the second, ... statement does not go out; what went out before it must not be committed."""
    left = [-1]
    run = drivers._Sent.run

    def stopping(self: Any, raw: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Broken
        run(self, raw)

    monkeypatch.setattr(drivers._Sent, "run", stopping)
    found = intent()
    batch = Batch(intents=(found,), orders=(order(found),), alerts=(alert(), alert("another")))
    async with open_store(postgres_url, StillClock()) as store:
        for number in range(1, 7):
            left[0] = number
            with pytest.raises(Broken):
                await store.commit(batch)
            assert (await store.hedges(), await store.alerts()) == ([], [])
        left[0] = -1
        await store.commit(batch)
        assert len(await store.alerts()) == 2


async def test_reports_and_configuration(store: SqlStore, clock: StillClock) -> None:
    document = {"trading": {"min_net_usd": "1.50", "symbols": ["BTC-USDT"]}, "ratio": Decimal("0.10")}
    assert await store.save_config(document, NOW) == 1
    assert await store.save_config(dict(reversed(document.items())), NOW) == 1
    assert await store.save_config({**document, "ratio": Decimal("0.2")}, NOW) == 2
    assert await store.save_config(document, NOW) == 3
    assert (await store.load()).config_revision == 3

    found = [
        intent(number, f"S{number}-USDT", created_at=NOW + timedelta(minutes=number))
        for number in range(1, 6)
    ]
    for one in found:
        await store.commit(Batch(intents=(one,)))
    assert [hedge.id for hedge in await store.hedges(limit=3)] == [one.id for one in reversed(found[2:])]


def projections(hedges: Iterable[Hedge]) -> list[tuple[Decimal, Decimal]]:
    return [(hedge.long.filled, hedge.short.filled) for hedge in hedges]


async def test_what_the_exchange_took_counts_for_the_leg_it_was_taken_from(store: SqlStore) -> None:
    found = intent()
    long, short = opened(found)
    taken = liquidation("binance", "binance", OrderSide.SELL, "0.1")
    adl = replace(liquidation("bybit", "bybit", OrderSide.BUY, "0.05"), kind=FillKind.ADL, trade_id="adl-1")
    await store.commit(
        Batch(
            intents=(found,),
            orders=(long, short),
            fills=(
                (fill(long, "binance"), found.id),
                (fill(short, "bybit"), found.id),
                (taken, found.id),
                (adl, found.id),
            ),
        )
    )
    (hedge,) = (await store.load()).hedges
    assert hedge.taken == {Side.LONG: Decimal("0.1"), Side.SHORT: Decimal("0.05")}
    assert projections([hedge]) == [(Decimal("0.15"), Decimal("0.20"))]
    assert hedge.complete_fills
    assert await store.fills(found.id) == sorted(
        [fill(long, "binance"), fill(short, "bybit"), taken, adl],
        key=lambda one: (one.at, one.account, one.trade_id),
    )
