"""The order registry and what is projected from it; the names of orders."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.make import HEDGE_ID, NOW, D, fill, filled, hedge, instrument, intent, order

from fundingarb.domain.hedge import (
    Hedge,
    Mode,
    OrderRecord,
    Status,
    busy_instruments,
    client_order_id,
    hedge_key,
    lost_row,
    next_order,
)
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderReport, OrderSide, OrderState, Purpose, TimeInForce, order_side

LONG, SHORT = Side.LONG, Side.SHORT
ENTRY, HEDGE, UNWIND, CLOSE = Purpose.ENTRY, Purpose.HEDGE, Purpose.UNWIND, Purpose.CLOSE


def report(record: OrderRecord, state: OrderState, done: str = "0", **changes: object) -> OrderReport:
    plain = OrderReport(
        account=record.account,
        symbol="BTC-USDT",
        client_id=record.client_id,
        exchange_order_id="x1",
        state=state,
        side=record.side,
        quantity=record.quantity,
        filled=D(done),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@given(
    instance=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=4, max_size=4),
    hedge_id=st.uuids(),
    leg=st.sampled_from(Side),
    purpose=st.sampled_from(Purpose),
    attempt=st.integers(1, 10**6),
)
def test_an_order_name_is_what_every_exchange_accepts(
    instance: str, hedge_id: UUID, leg: Side, purpose: Purpose, attempt: int
) -> None:
    name = client_order_id(instance, hedge_id, leg, purpose, attempt)
    assert re.fullmatch(r"[a-z0-9]{1,32}", name)
    assert name == client_order_id(instance, hedge_id, leg, purpose, attempt)
    assert name.startswith(f"fa{instance}{hedge_key(hedge_id)}")


def test_order_names_are_distinct() -> None:
    hedges = [uuid4() for _ in range(200)]
    names = {
        client_order_id("abcd", h, leg, purpose, attempt)
        for h, leg, purpose, attempt in itertools.product(hedges, Side, Purpose, range(1, 12))
    }
    assert len(names) == 200 * 2 * 4 * 11


def test_attempts_count_per_leg_and_purpose() -> None:
    made = hedge(filled(LONG, ENTRY, "1"), filled(LONG, ENTRY, "1"), filled(SHORT, HEDGE, "1"))
    nxt = next_order(made, LONG, ENTRY, D(1), D(100), TimeInForce.GTC, None, NOW)
    assert nxt.attempt == 3
    assert next_order(made, SHORT, HEDGE, D(1), D(100), TimeInForce.IOC, None, NOW).attempt == 2
    assert next_order(made, SHORT, CLOSE, D(1), None, TimeInForce.IOC, None, NOW).attempt == 1


@pytest.mark.parametrize(
    ("leg", "purpose", "side", "reduce_only"),
    [
        (LONG, ENTRY, OrderSide.BUY, False),
        (LONG, HEDGE, OrderSide.BUY, False),
        (LONG, UNWIND, OrderSide.SELL, True),
        (LONG, CLOSE, OrderSide.SELL, True),
        (SHORT, ENTRY, OrderSide.SELL, False),
        (SHORT, HEDGE, OrderSide.SELL, False),
        (SHORT, UNWIND, OrderSide.BUY, True),
        (SHORT, CLOSE, OrderSide.BUY, True),
    ],
)
def test_sides_and_reduce_only_follow_from_leg_and_purpose(
    leg: Side, purpose: Purpose, side: OrderSide, reduce_only: bool
) -> None:
    made = next_order(hedge(), leg, purpose, D(1), D(100), TimeInForce.IOC, None, NOW)
    assert (made.side, made.reduce_only) == (side, reduce_only)
    assert made.account == ("alpha" if leg is LONG else "beta")
    assert order_side(leg, reduce=reduce_only) is side


def test_projection_of_a_leg() -> None:
    made = hedge(
        filled(LONG, ENTRY, "4"),
        (LONG, ENTRY, "6", {"state": OrderState.CANCELLED, "filled": "2"}),
        (LONG, ENTRY, "3", {"state": OrderState.OPEN, "filled": "1"}),
        (LONG, ENTRY, "5", {"state": OrderState.UNKNOWN}),
        (LONG, ENTRY, "7", {"state": OrderState.REFUSED}),
        (LONG, UNWIND, "2", {"state": OrderState.INTENDED}),
        filled(LONG, UNWIND, "1"),
        filled(SHORT, HEDGE, "5"),
        taken={LONG: D("0.5"), SHORT: D(1)},
    )
    long = made.long
    assert long.filled == D("4") + 2 + 1 - 1 - D("0.5")
    assert long.adding == D(2) + 5  # an unknown order counts in full
    assert long.reducing == D(2)
    assert len(long.live) == 1
    assert len(long.unresolved) == 2
    assert long.unresolved
    assert not long.idle
    assert made.short.filled == D(4)
    assert made.short.idle
    assert made.unhedged == D("5.5") - 4
    assert made.hedged == D(4)


def test_fills_only_grow_and_a_terminal_state_stays() -> None:
    base = order(hedge(), LONG, ENTRY, "10")
    part = base.observe(report(base, OrderState.OPEN, "4", average_price=D(100)), NOW)
    assert (part.filled, part.state, part.average_price) == (D(4), OrderState.OPEN, D(100))
    back = part.observe(report(base, OrderState.OPEN, "1", average_price=D(99)), NOW)
    assert (back.filled, back.average_price) == (D(4), D(100))
    over = back.observe(report(base, OrderState.CANCELLED, "4"), NOW + timedelta(seconds=1))
    assert (over.state, over.resolved_at) == (OrderState.CANCELLED, NOW + timedelta(seconds=1))
    assert over.average_price == D(100)  # a report without a price takes nothing away
    late = over.observe(report(base, OrderState.OPEN, "6", average_price=D(101)), NOW)
    assert (late.state, late.filled, late.average_price) == (OrderState.CANCELLED, D(6), D(101))
    assert late.resolved_at == over.resolved_at


def test_an_order_filled_in_full_is_over_whatever_the_report_calls_it() -> None:
    base = order(hedge(), LONG, ENTRY, "10", state=OrderState.UNKNOWN)
    done = base.observe(report(base, OrderState.OPEN, "10"), NOW)
    assert done.state is OrderState.FILLED
    assert done.resolved_at == NOW
    assert done.remaining == 0


def test_an_order_thought_refused_that_turns_up_after_all_is_believed() -> None:
    gone = order(hedge(), LONG, ENTRY, "10", state=OrderState.REFUSED)
    here = gone.observe(report(gone, OrderState.OPEN, "2"), NOW)
    assert here.state is OrderState.OPEN
    assert here.resolved_at is None
    assert here.remaining == D(8)
    again = here.observe(report(gone, OrderState.CANCELLED, "2"), NOW)
    assert again.state is OrderState.CANCELLED


def test_an_answer_ends_the_doubt_and_the_misses() -> None:
    base = replace(
        order(hedge(), LONG, ENTRY, "10", state=OrderState.UNKNOWN), misses=2, acknowledged_at=None
    )
    seen = base.observe(report(base, OrderState.OPEN, reason="hello"), NOW)
    assert (seen.misses, seen.acknowledged_at, seen.exchange_order_id, seen.reason) == (0, NOW, "x1", "hello")


def test_with_order_replaces_by_name() -> None:
    made = hedge(filled(LONG, ENTRY, "4"))
    changed = replace(made.orders[0], filled=D(5))
    assert made.with_order(changed).orders == (changed,)
    assert made.order(changed.client_id) == made.orders[0]
    assert made.order("nothing") is None


@pytest.mark.parametrize(
    ("mode", "rows", "liquidated", "status"),
    [
        (Mode.OPENING, [], False, Status.OPENING),
        (Mode.HOLDING, [filled(LONG, ENTRY, "1")], False, Status.OPEN),
        (Mode.CLOSING, [filled(LONG, ENTRY, "1")], False, Status.CLOSING),
        (Mode.DONE, [filled(LONG, ENTRY, "1")], False, Status.CLOSED),
        (Mode.DONE, [filled(LONG, ENTRY, "1")], True, Status.LIQUIDATED),
        (Mode.DONE, [], False, Status.ABANDONED),
    ],
)
def test_status_in_the_words_of_the_specification(
    mode: Mode, rows: list[object], liquidated: bool, status: Status
) -> None:
    assert hedge(*rows, mode=mode, liquidated=liquidated).status is status  # type: ignore[arg-type]


def test_complete_fills_needs_every_fill_booked() -> None:
    assert hedge(filled(LONG, ENTRY, "4")).complete_fills
    assert not hedge(filled(LONG, ENTRY, "4", booked="3")).complete_fills


def test_the_lot_of_a_hedge_is_one_both_legs_can_have() -> None:
    made = hedge(
        long_instrument=instrument("alpha", lot=D("0.4")), short_instrument=instrument("beta", lot=D(1))
    )
    assert made.lot == D(2)


def test_edits_count_versions_and_leave_the_rest() -> None:
    first = intent()
    second = first.edit(mode=Mode.CLOSING)
    assert (first.version, second.version, second.mode) == (1, 2, Mode.CLOSING)
    assert replace(second, mode=first.mode, version=1) == first


def test_busy_instruments_are_those_of_live_hedges() -> None:
    live, over = hedge(), Hedge(intent(mode=Mode.DONE, symbol="ETH-USDT"))
    assert busy_instruments([live, over]) == {("alpha", "BTC-USDT"), ("beta", "BTC-USDT")}
    assert live.id == HEDGE_ID
    assert live.live
    assert not over.live


@pytest.mark.parametrize("purpose", Purpose)
def test_a_reduction_that_is_in_no_database_is_known_by_its_name(purpose: Purpose) -> None:
    made = hedge(filled(LONG, ENTRY, "10"), filled(SHORT, HEDGE, "10"), mode=Mode.HOLDING)
    name = client_order_id(made.intent.instance, made.id, SHORT, purpose, 3)
    fills = [
        fill("beta", OrderSide.BUY, quantity, "100", client_id=name, trade_id=quantity, order_id="x9")
        for quantity in ("4", "1")
    ]
    row = lost_row(made, fills)
    if not purpose.reduces:  # what adds is in a database before it is sent
        assert row is None
        return
    assert row is not None
    assert (row.client_id, row.leg, row.purpose, row.attempt) == (name, SHORT, purpose, 3)
    assert (row.account, row.side, row.quantity, row.state) == (
        "beta",
        OrderSide.BUY,
        D(5),
        OrderState.FILLED,
    )
    again = next_order(made.with_order(row), SHORT, purpose, D(1), None, TimeInForce.IOC, None, NOW)
    assert again.attempt == 4, "its name is not used again"


@pytest.mark.parametrize(
    "change",
    [{"client_id": None}, {"client_id": "web_1"}, {"account": "alpha"}, {"symbol": "ETH-USDT"}],
)
def test_other_fills_tell_of_no_row(change: dict[str, str]) -> None:
    made = hedge(filled(LONG, ENTRY, "10"), filled(SHORT, HEDGE, "10"), mode=Mode.HOLDING)
    name = client_order_id(made.intent.instance, made.id, SHORT, UNWIND, 1)
    mine = fill("beta", OrderSide.BUY, "4", "100", client_id=name)
    assert lost_row(made, [mine]) is not None
    assert lost_row(made, [replace(mine, **change)]) is None  # type: ignore[arg-type]
    assert lost_row(hedge(filled(LONG, ENTRY, "10"), id=UUID(int=7 << 90)), [mine]) is None
