"""Hedges that met on one account: what opposes is gone, what does not is left as it is."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from tests.domain.make import D, hedge

from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.netting import netted

LONG, SHORT = Side.LONG, Side.SHORT


def held(number: int, mode: Mode, long: str = "0", short: str = "0", *, turned: bool = False) -> Hedge:
    """A hedge that holds this much on alpha (long) and beta (short), or the other way round."""
    made = hedge(mode=mode)
    intent = replace(made.intent, id=UUID(int=number))
    if turned:
        legs = (replace(intent.short, side=LONG), replace(intent.long, side=SHORT))
        intent = replace(intent, long=legs[0], short=legs[1])
    return replace(made, intent=intent, orders=(), taken={LONG: -D(long), SHORT: -D(short)})


def legs(found: Hedge) -> tuple[str, str]:
    return str(found.long.filled), str(found.short.filled)


def test_without_strays_nothing_is_touched() -> None:
    hedges = [held(1, Mode.DONE), held(2, Mode.HOLDING, "4", "4")]
    assert netted(hedges) is hedges


def test_an_entry_of_a_dead_hedge_that_opposes_a_leg_of_a_live_one_is_gone_with_it() -> None:
    """The late short on alpha met the live long there: the account is flat, beta's short stands alone."""
    dead, live = netted([held(1, Mode.DONE, "0", "4", turned=True), held(2, Mode.HOLDING, "4", "4")])
    assert legs(dead) == ("0", "0")
    assert legs(live) == ("0", "4")
    assert live.unhedged == -4


def test_a_close_of_a_dead_hedge_that_came_too_late_took_the_live_hedges_leg() -> None:
    dead, live = netted([held(1, Mode.DONE, "-3"), held(2, Mode.HOLDING, "4", "4")])
    assert legs(dead) == ("0", "0")
    assert legs(live) == ("1", "4")


def test_what_is_on_the_same_side_stays_with_the_dead_hedge_which_can_reduce_it() -> None:
    dead, live = netted([held(1, Mode.DONE, "3"), held(2, Mode.HOLDING, "4", "4")])
    assert (legs(dead), legs(live)) == (("3", "0"), ("4", "4"))


def test_strays_of_two_dead_hedges_cancel() -> None:
    one, other = netted([held(1, Mode.DONE, "4"), held(2, Mode.DONE, "-4")])
    assert legs(one) == legs(other) == ("0", "0")


def test_what_has_cancelled_stays_so_when_another_hedge_is_opened() -> None:
    one, other, live = netted(
        [held(1, Mode.DONE, "4"), held(2, Mode.DONE, "-4"), held(3, Mode.OPENING, "0", "9", turned=True)]
    )
    assert (legs(one), legs(other), legs(live)) == (("0", "0"), ("0", "0"), ("0", "9"))


def test_live_hedges_never_cancel_each_other() -> None:
    one, other = netted([held(1, Mode.HOLDING, "4", "4"), held(2, Mode.CLOSING, "4", "4", turned=True)])
    assert legs(one) == legs(other) == ("4", "4")
