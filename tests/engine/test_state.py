"""The bot's memory: whose order, whose fill, whose payment."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from tests.domain.make import NOW, D, fill, filled, hedge

from fundingarb.domain.control import FlattenOrder
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, Mode, OrderRecord
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import FillKind, OrderReport, OrderSide, OrderState, Purpose
from fundingarb.engine.state import TOMBSTONE, BotState

LONG, SHORT = Side.LONG, Side.SHORT
ENTRY = Purpose.ENTRY


def state_with(made: Hedge) -> BotState:
    state = BotState()
    state.adopt([made])
    return state


def only(state: BotState) -> Hedge:
    (found,) = state.hedges.values()
    return found


def test_reports_find_their_order_and_say_whether_they_are_news() -> None:
    made = hedge((LONG, ENTRY, "10", {"state": OrderState.INTENDED}))
    state, name = state_with(made), made.orders[0].client_id
    report = OrderReport("alpha", "BTC-USDT", name, "x1", OrderState.OPEN, OrderSide.BUY, D(10), D(2))
    observed = state.observe(report, NOW)
    assert isinstance(observed, OrderRecord)
    assert only(state).orders[0].filled == D(2)
    assert state.dirty_orders == {name: observed}
    assert state.observe(report, NOW) is None
    assert state.observe(replace(report, client_id="web_1"), NOW) is None
    assert state.observe(replace(report, client_id=None), NOW) is None


def test_the_orders_of_an_account_are_remembered_with_their_symbols() -> None:
    made = hedge(
        (LONG, ENTRY, "10", {"state": OrderState.OPEN}), (SHORT, ENTRY, "10", {"state": OrderState.OPEN})
    )
    state, (long, short) = state_with(made), made.orders
    closing = FlattenOrder("flatten", "alpha", "ETH-USDT", 1, OrderSide.SELL, D(1), NOW)
    state.flatten_orders = {"flatten": closing, "other": replace(closing, client_id="other", account="beta")}
    assert state.orders_on("alpha") == {long.client_id: "BTC-USDT", "flatten": "ETH-USDT"}
    assert state.orders_on("beta") == {short.client_id: "BTC-USDT", "other": "ETH-USDT"}


def test_a_fill_is_booked_on_its_order() -> None:
    made = hedge((LONG, ENTRY, "10", {"state": OrderState.OPEN}))
    state, name = state_with(made), made.orders[0].client_id
    execution = fill("alpha", OrderSide.BUY, "4", "100", client_id=name)
    assert state.hedge_of_fill(execution) == made.id
    state.book_fill(execution, made.id)
    assert (only(state).orders[0].booked, only(state).orders[0].filled) == (D(4), D(4))


def test_a_ledger_that_lags_takes_no_fill_back() -> None:
    made = hedge((LONG, ENTRY, "10", {"state": OrderState.OPEN, "filled": "6", "booked": "0"}))
    state, name = state_with(made), made.orders[0].client_id
    state.book_fill(fill("alpha", OrderSide.BUY, "4", "100", client_id=name), made.id)
    assert (only(state).orders[0].booked, only(state).orders[0].filled) == (D(4), D(6))


def test_a_fill_without_a_name_is_known_by_the_number_of_its_order() -> None:
    made = hedge((LONG, ENTRY, "10", {"state": OrderState.OPEN, "exchange_order_id": "x7"}))
    nameless = fill("alpha", OrderSide.BUY, "4", "100", client_id=None, order_id="x7")
    for state in (state_with(made), BotState()):
        if not state.hedges:
            state.put_intent(made.intent)
            state.put_order(made.orders[0])
        assert state.hedge_of_fill(nameless) == made.id
        state.book_fill(nameless, made.id)
        assert only(state).orders[0].booked == D(4)
        assert state.hedge_of_fill(replace(nameless, exchange_order_id="x8")) is None
        assert state.hedge_of_fill(replace(nameless, account="beta")) is None
        assert state.hedge_of_fill(replace(nameless, client_id="web_1")) is None


@pytest.mark.parametrize("kind", [FillKind.LIQUIDATION, FillKind.ADL])
def test_what_the_exchange_takes_is_taken_from_the_leg(kind: FillKind) -> None:
    made = hedge(filled(LONG, ENTRY, "10"), filled(SHORT, Purpose.HEDGE, "10"), mode=Mode.HOLDING)
    state = state_with(made)
    taken = fill("beta", OrderSide.BUY, "3", "120", client_id="autoclose-1", kind=kind)
    assert state.hedge_of_fill(taken) == made.id
    state.book_fill(taken, made.id)
    assert only(state).taken == {SHORT: D(3)}
    assert only(state).short.filled == D(7)
    assert only(state).unhedged == D(3)


def test_a_strangers_fill_belongs_to_nobody() -> None:
    made = hedge(filled(LONG, ENTRY, "10"), mode=Mode.HOLDING)
    state = state_with(made)
    by_hand = fill("alpha", OrderSide.SELL, "3", "100", client_id="web_1")
    assert state.hedge_of_fill(by_hand) is None
    state.book_fill(by_hand, None)
    assert only(state) == made


def test_a_leg_is_taken_as_it_is_stored_and_the_other_one_is_left_alone() -> None:
    """The other account's ledger may have been booked since the stored fills were read."""
    made = hedge(
        (LONG, ENTRY, "10", {"state": OrderState.OPEN}), filled(SHORT, Purpose.HEDGE, "4"), mode=Mode.HOLDING
    )
    state, (entry, second) = state_with(made), made.orders
    by_hand = fill("alpha", OrderSide.SELL, "1", "100", client_id="web_1", trade_id="9")
    assert state.take_unstored(by_hand, made.id)
    assert not state.take_unstored(by_hand, made.id), "once"
    assert state.hedge_of_fill(by_hand) == made.id, "also when it is read again"
    stored = [fill("alpha", OrderSide.BUY, "4", "100", client_id=entry.client_id, trade_id="8"), by_hand]
    for _ in range(2):
        state.rebook(made.id, "alpha", stored, [])
        assert [order.booked for order in only(state).orders] == [D(4), second.booked]
        assert only(state).taken == {LONG: D(1)}
        assert only(state).long.filled == D(3)


def test_what_others_took_of_a_leg_counts_whether_it_is_stored_or_not() -> None:
    made = hedge((LONG, ENTRY, "10", {"state": OrderState.OPEN}), mode=Mode.HOLDING)
    state, entry = state_with(made), made.orders[0]
    own = [
        fill("alpha", OrderSide.BUY, "4", "100", client_id=entry.client_id, trade_id=str(n)) for n in (1, 2)
    ]
    taken = fill("alpha", OrderSide.SELL, "1", "100", client_id=None, trade_id="3", kind=FillKind.ADL)
    assert state.take_unstored(taken, made.id)
    state.rebook(made.id, "alpha", own[:1], [own[1], taken])
    assert only(state).taken == {LONG: D(1)}
    assert only(state).orders[0].booked == D(4), "a fill of ours counts as booked when it is stored"
    state.rebook(made.id, "alpha", [*own, taken], [taken])
    assert (only(state).taken, only(state).orders[0].booked) == ({LONG: D(1)}, D(8)), "once"


def payment(at: datetime, account: str = "alpha") -> FundingPayment:
    return FundingPayment(account, account, "BTC-USDT", at, Decimal(1), "USDT", at)


def test_hedges_are_forgotten_when_their_tombstones_are() -> None:
    over = hedge(
        filled(LONG, ENTRY, "10", booked=D(10)), filled(LONG, Purpose.CLOSE, "10", booked=D(10)),
        mode=Mode.DONE, closed_at=NOW,
    )  # fmt: skip
    holding = replace(over, orders=over.orders[:1])
    state = state_with(holding)
    state.forget(NOW + 2 * TOMBSTONE)
    assert state.hedges, "a late fill is not flattened yet"
    state = state_with(over)
    state.forget(NOW + TOMBSTONE)
    assert state.hedges
    state.forget(NOW + TOMBSTONE + timedelta(seconds=1))
    assert not state.hedges
    assert state.owner(over.orders[0].client_id) is None


def test_the_portfolio_is_live_hedges_and_what_is_known_of_accounts() -> None:
    state = BotState(killed=True, cooldowns={"BTC-USDT": NOW})
    state.adopt([hedge(), hedge(id=UUID(int=9), mode=Mode.DONE)])
    portfolio = state.portfolio({"BTC-USDT": D(100)})
    assert [each.id for each in portfolio.hedges] == [hedge().id]
    assert portfolio.killed
    assert portfolio.cooldowns == {"BTC-USDT": NOW}
    assert portfolio.pending_margin("alpha") == D(10) * 100 / 5
    assert portfolio.pending_margin("gamma") == 0
    assert state.portfolio({}).pending_margin("alpha") is None
