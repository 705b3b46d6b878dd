"""Hedges that met on one account: a one-way account holds the sum, so what opposes has cancelled there already.

It takes an order that an exchange held up beyond every promise: it fills when its hedge is long over and the next one
of the same symbol is open. If the two oppose, neither hedge holds what its orders say, and a reduction of either finds
nothing to reduce. Whoever decides must see what is left of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from fundingarb.domain.hedge import Hedge
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO


def netted(hedges: Sequence[Hedge]) -> Sequence[Hedge]:
    """``hedges`` as they are held: strays of hedges that are over cancel against opposing legs on the same account.

    What is cancelled counts as taken from both legs. Without strays these are the hedges themselves.
    """
    strays = [(hedge, side) for hedge in hedges if not hedge.live for side in Side if hedge.leg(side).filled]
    if not strays:
        return hedges
    left = {(hedge.id, side): side.sign * hedge.leg(side).filled for hedge in hedges for side in Side}
    for stray, side in strays:
        for hedge, other in _beside(stray, side, hedges):
            one, two = left[stray.id, side], left[hedge.id, other]
            if one * two < 0:
                cancelled = min(abs(one), abs(two))
                left[stray.id, side] -= cancelled if one > 0 else -cancelled
                left[hedge.id, other] -= cancelled if two > 0 else -cancelled
    return [_with(hedge, left) for hedge in hedges]


def _beside(stray: Hedge, side: Side, hedges: Sequence[Hedge]) -> list[tuple[Hedge, Side]]:
    """The other legs on the stray's account and symbol. Those of hedges that are over come first: what cancelled once
    stays cancelled when another hedge is opened."""
    account = stray.intent.leg(side).account
    found = [
        (hedge, other)
        for hedge in hedges
        for other in Side
        if hedge.symbol == stray.symbol
        and hedge.intent.leg(other).account == account
        and (hedge.id, other) != (stray.id, side)
    ]
    return sorted(found, key=lambda one: one[0].live)


def _with(hedge: Hedge, left: dict[tuple[UUID, Side], Decimal]) -> Hedge:
    gone = {side: hedge.leg(side).filled - side.sign * left[hedge.id, side] for side in Side}
    if not any(gone.values()):
        return hedge
    return replace(hedge, taken={side: hedge.taken.get(side, ZERO) + gone[side] for side in Side})
