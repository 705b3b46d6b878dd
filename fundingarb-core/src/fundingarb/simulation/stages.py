"""Where a hedge is, in the failure model's words: a projection of what is committed, to aim and count faults."""

from __future__ import annotations

from enum import Enum

from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.order import Purpose


class Stage(str, Enum):
    """A is the leg that is filled first, B the one that hedges it."""

    A_INTENT = "A_INTENT"
    """An entry is committed and perhaps sent; its outcome is not recorded."""
    A_OPEN = "A_OPEN"
    """An entry rests; everything filled so far is hedged."""
    A_DONE = "A_DONE"
    """A holds more than B, and no hedge order is under way."""
    B_INTENT = "B_INTENT"
    """A hedge order is committed and perhaps sent."""
    B_DONE = "B_DONE"
    """Entries are quiet and even."""
    UNWIND = "UNWIND"
    """A reducing order evens out the legs."""
    HEDGED = "HEDGED"
    UNEVEN = "UNEVEN"
    """Held, but one leg is larger (an ADL, a late fill)."""
    CLOSE_INTENT = "CLOSE_INTENT"
    """Being closed; both legs hold something."""
    CLOSE_ONE = "CLOSE_ONE"
    """Being closed; one leg is flat, the other is not."""
    CLOSE_DONE = "CLOSE_DONE"
    """Both legs are flat; fills are still to be booked or the end to be recorded."""
    FLAT = "FLAT"
    KILLING = "KILLING"
    """The kill switch is latched and something is still held or open."""


def stage_of(hedge: Hedge, *, killed: bool = False) -> Stage:
    """The stage of ``hedge``; ``killed`` says whether the kill switch is latched."""
    mode, legs = hedge.intent.mode, (hedge.long, hedge.short)
    busy = any(not leg.idle for leg in legs)
    if mode is Mode.DONE:
        return Stage.FLAT
    if killed and (busy or any(leg.filled for leg in legs)):
        return Stage.KILLING
    if mode is Mode.CLOSING:
        holding = sum(1 for leg in legs if leg.filled > 0)
        return (
            (Stage.CLOSE_DONE, Stage.CLOSE_ONE, Stage.CLOSE_INTENT)[holding]
            if not (holding == 0 and busy)
            else Stage.CLOSE_INTENT
        )
    working = [order for leg in legs for order in (*leg.live, *leg.unresolved)]
    if any(order.purpose is Purpose.UNWIND for order in working):
        return Stage.UNWIND
    if mode is Mode.HOLDING:
        return Stage.UNEVEN if hedge.unhedged or busy else Stage.HEDGED
    return _opening(hedge)


def _opening(hedge: Hedge) -> Stage:
    first, second = hedge.leg(hedge.intent.first), hedge.leg(hedge.intent.first.opposite)
    if not second.idle:
        return Stage.B_INTENT
    if first.unresolved:
        return Stage.A_INTENT
    if first.filled > second.filled:
        return Stage.A_DONE
    if first.live:
        return Stage.A_OPEN
    return Stage.B_DONE
