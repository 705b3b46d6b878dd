"""``decide``, mode by mode and branch by branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.domain.make import NOW, D, filled, hedge, instrument, market, order

from fundingarb.domain.decide import (
    Action,
    Cancel,
    CollectFills,
    ExecutionPolicy,
    HedgeMarket,
    LegMarket,
    Place,
    Resolve,
    Retarget,
    SetMode,
    decide,
)
from fundingarb.domain.hedge import CloseReason, Hedge, Mode, OrderRecord
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderSide, OrderState, Purpose, TimeInForce

LONG, SHORT = Side.LONG, Side.SHORT
ENTRY, HEDGE, UNWIND, CLOSE = Purpose.ENTRY, Purpose.HEDGE, Purpose.UNWIND, Purpose.CLOSE
OPEN, UNKNOWN, INTENDED = OrderState.OPEN, OrderState.UNKNOWN, OrderState.INTENDED
CANCELLED, REFUSED = OrderState.CANCELLED, OrderState.REFUSED
POLICY = ExecutionPolicy()
LATE = NOW + timedelta(minutes=1)
STALE = LegMarket(None, None, Decimal(100))
BLIND = LegMarket()
DOWN = LegMarket(Decimal("99.9"), Decimal("100.1"), Decimal(100), reachable=False)
UNREAD = LegMarket(Decimal("99.9"), Decimal("100.1"), Decimal(100), unread_for=5.0)


def run(
    made: Hedge, seen: HedgeMarket | None = None, policy: ExecutionPolicy = POLICY, now: Any = NOW
) -> Sequence[Action]:
    return decide(made, seen or market(), policy, now)


def placed(actions: Sequence[Action]) -> OrderRecord:
    """The one order asked for; fails when anything else was."""
    (action,) = actions
    assert isinstance(action, Place), action
    return action.order


def row(leg: Side, purpose: Purpose, quantity: str, state: OrderState, **details: Any) -> Any:
    return leg, purpose, quantity, {"state": state, **details}


# opening: the first leg


def test_the_first_leg_is_entered_at_mid_rounded_passively() -> None:
    wide = LegMarket(D("99.9"), D("100.25"), D(100))
    order = placed(run(hedge(), market(wide)))
    assert (order.leg, order.purpose, order.side, order.quantity) == (LONG, ENTRY, OrderSide.BUY, D(10))
    assert order.price == D("100.0")  # mid 100.075, down to the tick
    assert order.reference == D("100.075")
    assert (order.time_in_force, order.reduce_only) == (TimeInForce.GTC, False)
    assert (order.state, order.created_at, order.account) == (INTENDED, NOW, "alpha")

    order = placed(run(hedge(first=SHORT), market(short=wide), replace(POLICY, post_only=True)))
    assert (order.leg, order.side, order.price) == (SHORT, OrderSide.SELL, D("100.1"))  # up to the tick
    assert order.time_in_force is TimeInForce.POST_ONLY


@pytest.mark.parametrize(
    "seen",
    [
        market(STALE),
        market(BLIND),
        market(LegMarket(D(101), D(100), D(100))),  # crossed
        market(DOWN),
        market(short=STALE),  # what it fills could not be hedged
        market(short=DOWN),
        market(short=BLIND),
    ],
)
def test_nothing_is_entered_while_it_could_not_be_priced_or_hedged(seen: HedgeMarket) -> None:
    assert run(hedge(), seen) == []


def test_a_resting_entry_is_left_alone() -> None:
    assert run(hedge(row(LONG, ENTRY, "10", OPEN))) == []


def test_an_entry_is_repriced_when_the_mid_has_left_it() -> None:
    resting = hedge(row(LONG, ENTRY, "10", OPEN, price="100"))
    moved = market(LegMarket(D("100.0"), D("100.1"), D(100)))
    assert run(resting, moved) == []  # too soon
    (action,) = run(resting, moved, now=NOW + timedelta(seconds=3))
    assert action == Cancel(resting.orders[0])
    near = market(LegMarket(D("99.9"), D("100.1"), D(100)))
    assert run(resting, near, now=NOW + timedelta(seconds=3)) == []
    asked = hedge(row(LONG, ENTRY, "10", OPEN, cancel_requested=True))
    assert run(asked, moved, now=NOW + timedelta(seconds=3)) == []


@pytest.mark.parametrize("seen", [market(short=DOWN), market(short=STALE)])
def test_a_resting_entry_is_cancelled_when_its_fills_could_not_be_hedged(seen: HedgeMarket) -> None:
    resting = hedge(row(LONG, ENTRY, "10", OPEN))
    assert run(resting, seen) == [Cancel(resting.orders[0])]


def test_a_surplus_that_may_not_be_hedged_is_given_up_after_the_naked_budget() -> None:
    """The database is down: a hedge order could not be committed, a reduction needs no row."""
    made = hedge(row(LONG, ENTRY, "10", CANCELLED, filled="4"), quantity=D(4))
    off = replace(market(), entries=False, hedging=False)
    assert run(made, off, now=NOW + POLICY.naked_budget) == []
    late = NOW + POLICY.naked_budget + timedelta(seconds=1)
    assert run(made, off, now=late) == [Retarget(D(0), "no order that adds exposure may be sent", True)]
    given_up = hedge(row(LONG, ENTRY, "10", CANCELLED, filled="4"), quantity=D(0))
    order = placed(run(given_up, off, now=late))
    assert (order.purpose, order.quantity, order.reduce_only) == (UNWIND, D(4), True)


def test_a_resting_entry_is_cancelled_while_the_hedge_is_in_doubt() -> None:
    made = hedge(row(LONG, ENTRY, "10", OPEN, filled="4"), row(SHORT, HEDGE, "4", UNKNOWN))
    assert run(made) == [Resolve(made.orders[1]), Cancel(made.orders[0])]
    sending = hedge(row(LONG, ENTRY, "10", OPEN, filled="4"), row(SHORT, HEDGE, "4", INTENDED))
    assert run(sending) == [Resolve(sending.orders[1])]


@pytest.mark.parametrize("state", [INTENDED, UNKNOWN])
def test_an_unresolved_entry_is_asked_for_and_nothing_else_is_placed(state: OrderState) -> None:
    made = hedge(row(LONG, ENTRY, "10", state))
    assert run(made) == [Resolve(made.orders[0])]


def test_the_rest_is_entered_after_a_reprice() -> None:
    made = hedge(row(LONG, ENTRY, "10", CANCELLED, filled="4"), filled(SHORT, HEDGE, "4"))
    order = placed(run(made))
    assert (order.purpose, order.quantity, order.attempt) == (ENTRY, D(6), 2)


def test_an_entry_follows_the_price_as_far_as_the_slippage_cap() -> None:
    made = hedge(row(LONG, ENTRY, "10", CANCELLED, cancel_requested=True, reference=D(100)))
    within = market(LegMarket(D("100.1"), D("100.3"), D(100)))
    assert placed(run(made, within)).price == D("100.2")
    beyond = market(LegMarket(D("100.2"), D("100.3"), D(100)))
    assert run(made, beyond) == [Retarget(D(0), "the price has left the slippage cap")]
    better = market(LegMarket(D("98.1"), D("98.3"), D(100)))
    assert placed(run(made, better)).price == D("98.2")
    # the cap is counted from where the first order saw the price, not from order to order
    crept = hedge(
        row(LONG, ENTRY, "10", CANCELLED, cancel_requested=True, reference=D(100)),
        row(LONG, ENTRY, "10", CANCELLED, cancel_requested=True, reference=D("100.2")),
    )
    assert run(crept, beyond) == [Retarget(D(0), "the price has left the slippage cap")]


def test_a_refused_entry_ends_the_opening() -> None:
    assert run(hedge(row(LONG, ENTRY, "10", REFUSED))) == [Retarget(D(0), "first leg refused")]
    made = hedge(
        row(LONG, ENTRY, "10", CANCELLED, filled="4"),
        filled(SHORT, HEDGE, "4"),
        row(LONG, ENTRY, "6", REFUSED),
    )
    assert run(made) == [Retarget(D(4), "first leg refused")]


def test_an_entry_that_the_exchange_did_not_let_rest_is_tried_again_after_a_pause() -> None:
    policy = replace(POLICY, post_only=True)
    ended = row(LONG, ENTRY, "10", CANCELLED, reason="post-only order would take liquidity")
    assert run(hedge(ended), policy=policy) == []
    assert placed(run(hedge(ended), policy=policy, now=NOW + policy.reprice_after)).attempt == 2
    ours = row(LONG, ENTRY, "10", CANCELLED, cancel_requested=True)
    assert placed(run(hedge(ours), policy=policy)).attempt == 2


def test_a_refused_post_only_entry_is_tried_again_after_a_pause() -> None:
    policy = replace(POLICY, post_only=True)
    made = hedge(row(LONG, ENTRY, "10", REFUSED))
    assert run(made, policy=policy, now=NOW + timedelta(seconds=1)) == []
    assert placed(run(made, policy=policy, now=NOW + timedelta(seconds=3))).attempt == 2


def test_entries_are_not_tried_for_ever() -> None:
    made = hedge(*(row(LONG, ENTRY, "10", CANCELLED) for _ in range(POLICY.entry_attempts)))
    assert run(made) == [Retarget(D(0), "first leg not filled")]


def test_a_remainder_below_the_minimum_is_given_up() -> None:
    made = hedge(
        row(LONG, ENTRY, "10", CANCELLED, filled="9.99"),
        filled(SHORT, HEDGE, "9.99"),
        long_instrument=instrument("alpha", min_notional=D(5)),
    )
    assert run(made) == [Retarget(D("9.99"), "remainder below the exchange's minimum")]


# opening: giving up


@pytest.mark.parametrize(
    ("now", "entries"), [(LATE, True), (NOW + timedelta(seconds=30), True), (NOW, False)]
)
def test_at_the_deadline_the_target_becomes_what_is_there(now: Any, entries: bool) -> None:
    seen = market(entries=entries)
    reason = "entry deadline passed" if entries else "entries are off"
    assert run(hedge(), seen, now=now) == [Retarget(D(0), reason)]
    part = hedge(row(LONG, ENTRY, "10", CANCELLED, filled="4"), filled(SHORT, HEDGE, "4"))
    assert run(part, seen, now=now) == [Retarget(D(4), reason)]
    resting = hedge(row(LONG, ENTRY, "10", OPEN, filled="4"), filled(SHORT, HEDGE, "4"))
    assert run(resting, seen, now=now) == [
        Cancel(resting.orders[0])
    ]  # what it may still fill is in the target
    asked = hedge(row(LONG, ENTRY, "10", OPEN, filled="4", cancel_requested=True), filled(SHORT, HEDGE, "4"))
    assert run(asked, seen, now=now) == []


def test_an_entry_in_doubt_stays_in_the_target_past_the_deadline() -> None:
    made = hedge(row(LONG, ENTRY, "10", UNKNOWN))
    assert run(made, now=LATE) == [Resolve(made.orders[0])]


def test_nothing_filled_is_nothing_held() -> None:
    made = hedge(row(LONG, ENTRY, "10", CANCELLED), quantity=D(0))
    assert run(made, now=LATE) == [SetMode(Mode.CLOSING, CloseReason.INCOMPLETE)]


def test_hedging_goes_on_past_the_deadline_and_with_entries_off() -> None:
    made = hedge(row(LONG, ENTRY, "10", CANCELLED, filled="4"), quantity=D(4))
    assert placed(run(made, market(entries=False), now=LATE)).purpose is HEDGE


# opening: the second leg


def test_every_fill_is_hedged_at_once_by_a_capped_marketable_order() -> None:
    made = hedge(row(LONG, ENTRY, "10", OPEN, filled="4.0005"))
    order = placed(run(made))
    assert (order.leg, order.purpose, order.side) == (SHORT, HEDGE, OrderSide.SELL)
    assert order.quantity == D("4.000")  # floored to the lot
    assert order.price == D("99.7")  # 0.2 % below the bid, down to the tick
    assert (order.time_in_force, order.reduce_only, order.reference) == (TimeInForce.IOC, False, D(100))
    buy = placed(run(hedge(filled(SHORT, ENTRY, "10"), first=SHORT)))
    assert (buy.leg, buy.side, buy.price) == (LONG, OrderSide.BUY, D("100.4"))  # 0.2 % above the ask


def test_one_hedge_order_at_a_time() -> None:
    made = hedge(row(LONG, ENTRY, "10", OPEN, filled="6"), row(SHORT, HEDGE, "4", OPEN))
    assert run(made) == []
    made = hedge(row(LONG, ENTRY, "10", OPEN, filled="6"), row(SHORT, HEDGE, "4", CANCELLED, filled="3"))
    assert placed(run(made)).quantity == D(3)


def test_the_second_leg_never_exceeds_the_target() -> None:
    """The first leg was filled beyond the target (a late fill): only the target is hedged, the surplus is unwound."""
    made = hedge(filled(LONG, ENTRY, "12"))
    assert placed(run(made)).quantity == D(10)
    made = hedge(filled(LONG, ENTRY, "12"), filled(SHORT, HEDGE, "10"))
    order = placed(run(made))
    assert (order.leg, order.purpose, order.quantity, order.reduce_only) == (LONG, UNWIND, D(2), True)


def test_a_refused_second_leg_is_given_up_at_once() -> None:
    made = hedge(filled(LONG, ENTRY, "10"), row(SHORT, HEDGE, "10", REFUSED))
    assert run(made) == [Retarget(D(0), "second leg refused", second_failed=True)]
    part = hedge(
        filled(LONG, ENTRY, "10"),
        row(SHORT, HEDGE, "10", CANCELLED, filled="4"),
        row(SHORT, HEDGE, "6", REFUSED),
    )
    assert run(part) == [Retarget(D(4), "second leg refused", second_failed=True)]


def test_a_second_leg_that_does_not_fill_is_given_up() -> None:
    empty = row(SHORT, HEDGE, "10", CANCELLED)
    twice = hedge(filled(LONG, ENTRY, "10"), empty, empty)
    assert placed(run(twice)).attempt == 3
    thrice = hedge(filled(LONG, ENTRY, "10"), empty, empty, empty)
    assert run(thrice) == [Retarget(D(0), "second leg not filled", second_failed=True)]
    # some fill in between starts the count anew
    part = row(SHORT, HEDGE, "10", CANCELLED, filled="4")
    assert placed(run(hedge(filled(LONG, ENTRY, "10"), empty, empty, part, empty, empty))).quantity == D(6)
    # and the naked budget ends the patience, however few the attempts
    once = hedge(filled(LONG, ENTRY, "10"), empty)
    assert placed(run(once, now=NOW + timedelta(seconds=5))).attempt == 2
    assert run(once, now=NOW + timedelta(seconds=5, milliseconds=1)) == [
        Retarget(D(0), "second leg not filled", second_failed=True)
    ]


def test_a_second_exchange_that_cannot_be_reached_is_given_up() -> None:
    made = hedge(filled(LONG, ENTRY, "10"))
    assert run(made, market(short=DOWN)) == [
        Retarget(D(0), "second exchange unreachable", second_failed=True)
    ]


def test_a_second_book_without_a_price_is_waited_for_only_so_long() -> None:
    made = hedge(filled(LONG, ENTRY, "10"))
    assert run(made, market(short=STALE), now=NOW + timedelta(seconds=5)) == []
    assert run(made, market(short=STALE), now=NOW + timedelta(seconds=6)) == [
        Retarget(D(0), "second exchange without a price", second_failed=True)
    ]


def test_what_is_given_up_leaves_a_size_both_legs_can_have() -> None:
    coarse = instrument("alpha", lot=D("0.5"), min_quantity=D("0.5"))
    made = hedge(
        filled(LONG, ENTRY, "10"),
        row(SHORT, HEDGE, "10", CANCELLED, filled="4.321"),
        row(SHORT, HEDGE, "5.679", REFUSED),
        long_instrument=coarse,
    )
    (retarget,) = run(made)
    assert retarget == Retarget(D("4.0"), "second leg refused", second_failed=True)
    unwinding = made.with_intent(made.intent.edit(quantity=D("4.0")))
    actions = run(unwinding)
    orders = [action.order for action in actions if isinstance(action, Place)]
    assert [(order.leg, order.purpose, order.quantity) for order in orders] == [
        (LONG, UNWIND, D("6.0")),
        (SHORT, UNWIND, D("0.321")),
    ]


def test_a_residual_below_the_second_minimum_waits_for_more_and_is_then_unwound() -> None:
    picky = instrument("beta", min_notional=D(500))
    more = hedge(row(LONG, ENTRY, "10", OPEN, filled="2"), short_instrument=picky)
    assert run(more) == []
    too_long = replace(market(), naked_for=POLICY.naked_budget + timedelta(seconds=1))
    assert run(more, too_long) == [Retarget(D(0), "residual below the second exchange's minimum")]
    over = hedge(row(LONG, ENTRY, "10", CANCELLED, filled="2"), short_instrument=picky, quantity=D(2))
    assert run(over, now=LATE) == [Retarget(D(0), "residual below the second exchange's minimum")]
    unwinding = over.with_intent(over.intent.edit(quantity=D(0)))
    order = placed(run(unwinding, now=LATE))
    assert (order.leg, order.purpose, order.quantity) == (LONG, UNWIND, D(2))


def test_a_rest_below_the_lot_is_unwound_too() -> None:
    coarse = instrument("beta", lot=D(1), min_quantity=D(1))
    made = hedge(
        row(LONG, ENTRY, "10", CANCELLED, filled="4.3"),
        filled(SHORT, HEDGE, "4"),
        short_instrument=coarse,
        quantity=D("4.3"),
    )
    assert run(made, now=LATE) == [Retarget(D(4), "residual below the second exchange's minimum")]
    order = placed(run(made.with_intent(made.intent.edit(quantity=D(4))), now=LATE))
    assert (order.leg, order.purpose, order.quantity) == (LONG, UNWIND, D("0.3"))


def test_an_order_to_hedge_is_asked_about_while_its_leg_is_frozen() -> None:
    made = hedge(filled(LONG, ENTRY, "10"), row(SHORT, HEDGE, "10", UNKNOWN))
    assert run(made) == [Resolve(made.orders[1])]


def test_a_second_leg_that_became_heavier_is_reduced() -> None:
    made = hedge(filled(LONG, ENTRY, "10"), filled(SHORT, HEDGE, "10"), taken={LONG: D(3)})
    order = placed(run(made))
    assert (order.leg, order.purpose, order.quantity) == (SHORT, UNWIND, D(3))


def test_filled_and_hedged_is_held() -> None:
    made = hedge(filled(LONG, ENTRY, "10"), filled(SHORT, HEDGE, "10"))
    assert run(made) == [SetMode(Mode.HOLDING)]


# holding


def held(*more: Any, **changes: Any) -> Hedge:
    return hedge(
        filled(LONG, ENTRY, "10"),
        filled(SHORT, HEDGE, "10"),
        *more,
        **{"mode": Mode.HOLDING, **changes},
    )


def test_an_even_hedge_is_left_alone() -> None:
    assert run(held(), market(BLIND, DOWN), now=LATE) == []


@pytest.mark.parametrize(("taken", "leg"), [(SHORT, LONG), (LONG, SHORT)])
def test_the_heavier_leg_is_reduced(taken: Side, leg: Side) -> None:
    order = placed(run(held(taken={taken: D("2.5")})))
    assert (order.leg, order.purpose, order.quantity, order.reduce_only) == (leg, UNWIND, D("2.5"), True)
    assert order.side is (OrderSide.SELL if leg is LONG else OrderSide.BUY)


def test_evening_out_between_different_lots_reduces_both() -> None:
    made = held(taken={SHORT: D("0.003")}, long_instrument=instrument("alpha", lot=D("0.01")))
    orders = [action.order for action in run(made) if isinstance(action, Place)]
    assert [(o.leg, o.quantity) for o in orders] == [(LONG, D("0.01")), (SHORT, D("0.007"))]


def test_where_less_is_wanted_both_legs_are_reduced_at_once() -> None:
    orders = [action.order for action in run(held(quantity=D("6.5"))) if isinstance(action, Place)]
    assert [(o.leg, o.quantity, o.reduce_only) for o in orders] == [
        (LONG, D("3.5"), True),
        (SHORT, D("3.5"), True),
    ]
    assert run(held(quantity=D(11))) == []


def test_then_the_leg_that_lags_goes_on_alone() -> None:
    done = held(filled(LONG, UNWIND, "4"), row(SHORT, UNWIND, "4", CANCELLED, filled="1"), quantity=D(6))
    order = placed(run(done, now=LATE))
    assert (order.leg, order.quantity) == (SHORT, D(3))


@pytest.mark.parametrize("hidden", [DOWN, UNREAD])
def test_nothing_is_reduced_on_one_side_while_the_other_is_out_of_sight(hidden: LegMarket) -> None:
    assert run(held(quantity=D(6)), market(None, hidden)) == []
    order = placed(run(held(quantity=D(6), taken={SHORT: D(1)}), market(None, hidden)))
    assert (order.leg, order.quantity) == (LONG, D(1))


@pytest.mark.parametrize("reason", [None, CloseReason.INCOMPLETE])
def test_a_reduction_waits_a_moment_for_the_ledger_of_its_own_leg_whatever_presses(
    reason: CloseReason | None,
) -> None:
    heavier = (
        held(taken={SHORT: D(1)}) if reason is None else closing(close_reason=reason, taken={SHORT: D(1)})
    )
    just_now, for_a_while = (replace(UNREAD, unread_for=seconds) for seconds in (0.1, 3.0))
    legs = [place.order.leg for place in run(heavier, market(just_now)) if isinstance(place, Place)]
    assert LONG not in legs
    legs = [place.order.leg for place in run(heavier, market(for_a_while)) if isinstance(place, Place)]
    assert LONG in legs


@pytest.mark.parametrize("back", [timedelta(minutes=1), timedelta(hours=1)])
def test_a_clock_that_is_set_back_keeps_nothing_naked(back: timedelta) -> None:
    """What was written before is ahead of the clock; the time to wait would be as long as the step."""
    refused = held(row(LONG, UNWIND, "9", REFUSED), taken={SHORT: D(9)})
    assert not [each for each in run(refused, now=NOW) if isinstance(each, Place)], "a moment's pause"
    assert placed(run(refused, now=NOW - back)).leg is LONG
    half = hedge(filled(LONG, ENTRY, "10"))
    unpriced = market(short=BLIND, entries=False)
    assert run(half, unpriced, now=NOW) == []
    (given_up,) = run(half, unpriced, now=NOW - back)
    assert isinstance(given_up, Retarget)


def test_a_hedge_that_holds_nothing_any_more_is_over() -> None:
    assert run(held(taken={SHORT: D(10)})) == [SetMode(Mode.CLOSING, CloseReason.INCOMPLETE)]
    assert run(held(taken={SHORT: D(10), LONG: D(10)})) == [SetMode(Mode.CLOSING, CloseReason.INCOMPLETE)]


def test_a_late_entry_is_cancelled_and_its_fills_are_evened_out() -> None:
    made = held(row(LONG, ENTRY, "3", OPEN, filled="1"))
    assert run(made) == [Cancel(made.orders[2])]
    over = held(row(LONG, ENTRY, "3", CANCELLED, filled="1"))
    order = placed(run(over))
    assert (order.leg, order.quantity) == (LONG, D(1))


def test_nothing_is_evened_out_while_an_order_is_in_doubt() -> None:
    made = held(row(LONG, UNWIND, "1", UNKNOWN), taken={SHORT: D(1)})
    assert run(made) == [Resolve(made.orders[2])]


# closing


def closing(*more: Any, **changes: Any) -> Hedge:
    return held(*more, **{"mode": Mode.CLOSING, "close_reason": CloseReason.SPREAD, **changes})


def test_both_legs_are_closed_at_once_reduce_only() -> None:
    actions = run(closing())
    orders = [action.order for action in actions if isinstance(action, Place)]
    assert len(actions) == 2
    assert [(o.leg, o.side, o.quantity) for o in orders] == [
        (LONG, OrderSide.SELL, D(10)),
        (SHORT, OrderSide.BUY, D(10)),
    ]
    assert all(o.reduce_only and o.purpose is CLOSE and o.time_in_force is TimeInForce.IOC for o in orders)
    assert [o.price for o in orders] == [D("99.7"), D("100.4")]


def test_entries_are_cancelled_before_their_leg_is_closed() -> None:
    made = hedge(row(LONG, ENTRY, "10", OPEN, filled="4"), mode=Mode.CLOSING, close_reason=CloseReason.MANUAL)
    assert run(made) == [Cancel(made.orders[0])]
    asked = hedge(
        row(LONG, ENTRY, "10", OPEN, filled="4", cancel_requested=True),
        mode=Mode.CLOSING,
        close_reason=CloseReason.MANUAL,
    )
    assert run(asked) == []


def test_an_order_in_doubt_freezes_its_own_leg_only() -> None:
    made = closing(row(LONG, CLOSE, "10", UNKNOWN))
    resolve, place = run(made)
    assert resolve == Resolve(made.orders[2])
    assert isinstance(place, Place)
    assert place.order.leg is SHORT


@pytest.mark.parametrize("reason", [CloseReason.SPREAD, CloseReason.MANUAL, CloseReason.DELISTING])
@pytest.mark.parametrize("hidden", [DOWN, UNREAD])
def test_a_patient_close_waits_until_both_legs_are_in_sight(hidden: LegMarket, reason: CloseReason) -> None:
    assert run(closing(close_reason=reason), market(short=hidden)) == []
    # once begun, the other leg is reduced to what its partner still holds, and no further
    begun = closing(row(SHORT, CLOSE, "10", CANCELLED, filled="4"), close_reason=reason)
    order = placed(run(begun, market(short=hidden)))
    assert (order.leg, order.quantity) == (LONG, D(4))
    even = closing(
        row(SHORT, CLOSE, "10", CANCELLED, filled="4"),
        row(LONG, CLOSE, "10", CANCELLED, filled="4"),
        close_reason=reason,
    )
    assert run(even, market(short=hidden)) == []


@pytest.mark.parametrize("reason", [CloseReason.LIQUIDATION, CloseReason.KILL, CloseReason.INCOMPLETE])
@pytest.mark.parametrize("hidden", [DOWN, UNREAD])
def test_an_urgent_close_does_not_wait(hidden: LegMarket, reason: CloseReason) -> None:
    orders = [
        place.order
        for place in run(closing(close_reason=reason), market(short=hidden))
        if isinstance(place, Place)
    ]
    assert [(order.leg, order.quantity) for order in orders] == [(LONG, D(10)), (SHORT, D(10))]


def test_a_survivor_is_closed() -> None:
    order = placed(run(closing(taken={SHORT: D(10)}, close_reason=CloseReason.LIQUIDATION, liquidated=True)))
    assert (order.leg, order.quantity) == (LONG, D(10))


def test_the_price_cap_widens_with_every_attempt_that_filled_nothing() -> None:
    empty = row(LONG, CLOSE, "10", CANCELLED)
    flat_short = filled(SHORT, CLOSE, "10")
    later = NOW + timedelta(seconds=60)
    caps = []
    for count in range(8):
        order = placed(run(closing(flat_short, *[empty] * count), now=later))
        assert order.price is not None
        caps.append(order.price)
    assert caps[:3] == [D("99.7"), D("99.5"), D("99.1")]  # 0.2 %, 0.4 %, 0.8 %
    assert caps[-1] == caps[-2] == D("94.9")  # never beyond 5 %


def test_a_price_cap_that_the_exchange_may_have_refused_is_narrower_the_next_time() -> None:
    """Exchanges refuse prices too far from their mark: 5 % below a bid that is a little below it, for example."""
    empty, refused = row(LONG, CLOSE, "10", CANCELLED), row(LONG, CLOSE, "10", REFUSED)
    flat_short = filled(SHORT, CLOSE, "10")
    later = NOW + timedelta(seconds=60)

    def price(*tries: OrderRecord) -> Decimal | None:
        return placed(run(closing(flat_short, *tries), now=later)).price

    beyond = (*[empty] * 5, refused)
    assert price(*beyond) == D("96.7")  # 3.2 %
    assert price(*beyond, refused) == D("98.3")  # 1.6 %
    assert price(*beyond, *[refused] * 9) == D("99.7")
    assert price(*beyond, empty) == D("94.9")  # it was taken and found nobody: as far as it goes again


def test_reductions_that_come_to_nothing_are_not_repeated_in_a_hurry() -> None:
    empty = row(LONG, CLOSE, "10", CANCELLED)
    flat_short = filled(SHORT, CLOSE, "10")
    assert placed(run(closing(flat_short, empty, empty))).attempt == 3
    tired = closing(flat_short, empty, empty, empty)
    assert run(tired) == []
    assert placed(run(tired, now=NOW + POLICY.retry_after)).attempt == 4
    exhausted = closing(flat_short, *[empty] * 30)
    assert placed(run(exhausted, now=NOW + 8 * POLICY.retry_after)).attempt == 31
    # a fill starts the count anew
    assert (
        placed(run(closing(flat_short, *[empty] * 9, row(LONG, CLOSE, "10", CANCELLED, filled="1")))).attempt
        == 11
    )


def test_a_refused_reduction_reads_the_ledger_before_it_is_repeated() -> None:
    made = closing(filled(SHORT, CLOSE, "10"), row(LONG, CLOSE, "10", REFUSED))
    assert run(made) == [CollectFills("alpha", positions=True)]
    order = placed(run(made, now=NOW + POLICY.retry_after))
    assert order.attempt == 2
    assert order.price == D("99.7")  # a refusal says nothing about the price
    naked = closing(filled(SHORT, CLOSE, "10"), *[row(LONG, CLOSE, "10", REFUSED)] * 12)
    assert run(naked, now=NOW + 7 * POLICY.retry_after) == [CollectFills("alpha", positions=True)]
    assert placed(run(naked, now=NOW + 8 * POLICY.retry_after)).attempt == 13
    many = closing(*[row(LONG, CLOSE, "10", REFUSED)] * 12, *[row(SHORT, CLOSE, "10", REFUSED)] * 12)
    assert {type(action) for action in run(many, now=NOW + 63 * POLICY.retry_after)} == {CollectFills}
    assert {type(action) for action in run(many, now=NOW + 64 * POLICY.retry_after)} == {Place}


def test_what_presses_goes_out_without_a_price_after_every_fourth_refusal() -> None:
    def prices(made: Hedge) -> list[Decimal | None]:
        later = run(made, now=NOW + timedelta(minutes=1))
        return [action.order.price for action in later if isinstance(action, Place)]

    naked = filled(SHORT, CLOSE, "10")
    refused = row(LONG, CLOSE, "10", REFUSED)
    found = [prices(closing(naked, *[refused] * times)) for times in range(10)]
    assert [times for times, each in enumerate(found) if each == [None]] == [4, 8]
    assert prices(closing(*[refused] * 4)) == [D("99.7"), D("100.4")], "nothing presses"
    killed = closing(*[refused] * 4, close_reason=CloseReason.KILL)
    assert prices(killed) == [None, D("100.4")]


@pytest.mark.parametrize(("seen", "price"), [(STALE, D("99.8")), (BLIND, None)])
def test_without_a_fresh_book_a_reduction_takes_the_mark_or_any_price(
    seen: LegMarket, price: Decimal | None
) -> None:
    made = closing(filled(SHORT, CLOSE, "10"))
    assert placed(run(made, market(seen))).price == price


def test_what_is_naked_is_tried_to_be_closed_although_its_exchange_seems_to_be_out() -> None:
    """The breaker is open because of readings; a reduction probes it."""
    assert placed(run(closing(filled(SHORT, CLOSE, "4")), market(DOWN))).quantity == 4
    assert placed(run(closing(filled(SHORT, CLOSE, "10")), market(DOWN))).quantity == 10


def test_over_only_when_every_fill_is_booked() -> None:
    flat = closing(filled(LONG, CLOSE, "10", booked="9"), filled(SHORT, CLOSE, "10"))
    assert run(flat) == [CollectFills("alpha")]
    assert run(closing(filled(LONG, CLOSE, "10"), filled(SHORT, CLOSE, "10"))) == [SetMode(Mode.DONE)]


def test_an_entry_that_never_was_is_over() -> None:
    made = hedge(row(LONG, ENTRY, "10", REFUSED), mode=Mode.CLOSING, close_reason=CloseReason.INCOMPLETE)
    assert run(made) == [SetMode(Mode.DONE)]


# over


def test_nothing_happens_after_the_end() -> None:
    assert run(closing(filled(LONG, CLOSE, "10"), filled(SHORT, CLOSE, "10"), mode=Mode.DONE)) == []


def test_a_fill_after_the_end_is_flattened() -> None:
    made = hedge(row(LONG, ENTRY, "10", REFUSED, filled="4"), mode=Mode.DONE)
    order = placed(run(made))
    assert (order.leg, order.purpose, order.quantity, order.reduce_only) == (LONG, CLOSE, D(4), True)


def test_an_order_that_turns_up_after_the_end_is_cancelled() -> None:
    made = hedge(row(LONG, ENTRY, "10", OPEN), mode=Mode.DONE)
    assert run(made) == [Cancel(made.orders[0])]


def test_a_hedged_close_in_no_hurry_waits_for_a_price() -> None:
    calm = closing()
    assert not any(isinstance(action, Place) for action in run(calm, market(BLIND, BLIND)))
    urgent = closing(close_reason=CloseReason.LIQUIDATION)
    assert any(isinstance(action, Place) for action in run(urgent, market(BLIND, BLIND)))


# a leg of a size that its lot, since it grew, does not divide

COARSE = instrument("alpha", lot=D("0.01"), min_quantity=D("0.01"))
SHARED = replace(market().long, shared=True)


def odd(mode: Mode, short: str = "0.123", **changes: Any) -> Hedge:
    """0.123 long on alpha, whose lot is 0.01 by now."""
    legs = filled(LONG, ENTRY, "0.123"), filled(SHORT, HEDGE, short)
    return hedge(*legs, mode=mode, long_instrument=COARSE, quantity=D("0.123"), **changes)


@pytest.mark.parametrize("reason", [CloseReason.SPREAD, CloseReason.KILL])
def test_what_takes_a_leg_to_nothing_asks_for_the_next_size_that_its_lot_divides(reason: CloseReason) -> None:
    made = odd(Mode.CLOSING, close_reason=reason)
    assert [a.order.quantity for a in run(made) if isinstance(a, Place)] == [D("0.13"), D("0.123")]
    made = made.with_order(replace(placed([run(made)[0]]), state=OrderState.FILLED, filled=D("0.123")))
    assert made.long.filled == 0, "it took what there was"


def test_beside_somebody_elses_position_it_asks_for_what_its_lot_divides_and_leaves_the_rest() -> None:
    seen = market(SHARED)
    made = odd(Mode.CLOSING, close_reason=CloseReason.SPREAD)
    assert [a.order.quantity for a in run(made, seen) if isinstance(a, Place)] == [D("0.12"), D("0.123")]
    for leg, purpose, quantity, details in (filled(LONG, CLOSE, "0.12"), filled(SHORT, CLOSE, "0.123")):
        made = made.with_order(order(made, leg, purpose, quantity, **details))
    assert run(made, seen) == [SetMode(Mode.DONE)]
    made = made.with_intent(replace(made.intent, mode=Mode.DONE))
    assert run(made, seen) == []
    assert placed(run(made)).quantity == D("0.01"), "closed when nothing else is there any more"


def test_a_leg_below_the_exchanges_minimum_is_closed_by_asking_for_the_minimum() -> None:
    least = instrument("alpha", min_quantity=D("0.5"))
    made = hedge(
        filled(LONG, ENTRY, "0.2"),
        mode=Mode.CLOSING,
        close_reason=CloseReason.INCOMPLETE,
        long_instrument=least,
    )
    assert placed(run(made)).quantity == D("0.5")


def test_what_one_order_may_ask_for_is_rounded_down_to_the_lot() -> None:
    bounded = replace(COARSE, max_quantity=D("0.055"))
    made = hedge(filled(LONG, ENTRY, "0.123"), mode=Mode.CLOSING, long_instrument=bounded)
    assert placed(run(made)).quantity == D("0.05")


def test_a_surplus_of_less_than_a_lot_is_not_evened_out() -> None:
    assert run(odd(Mode.HOLDING, "0.120")) == []
    assert placed(run(odd(Mode.HOLDING, "0.100"))).quantity == D("0.02")
    assert run(replace_quantity(odd(Mode.OPENING, "0.120"), "0.12")) == [SetMode(Mode.HOLDING)]
    assert run(replace_quantity(odd(Mode.OPENING), "0.12")) == [SetMode(Mode.HOLDING)]


def test_where_less_is_wanted_of_it_a_part_is_rounded_down() -> None:
    made = replace_quantity(odd(Mode.HOLDING), "0.06")
    assert [a.order.quantity for a in run(made) if isinstance(a, Place)] == [D("0.06"), D("0.063")]


def replace_quantity(made: Hedge, quantity: str) -> Hedge:
    return made.with_intent(replace(made.intent, quantity=D(quantity)))
