"""Legs that a person closed in the exchange's own app: proved by its ledger, taken into the hedge's account.

A position that is smaller than ours is a mismatch, and entries halt. But halting must never mean holding a naked leg:
when the ledger shows that somebody else's trades made exactly the difference, they belong to the hedge, and the
ordinary loop evens out the other leg. A position that grew, or that the ledger does not explain, is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import accumulate

from fundingarb.domain.hedge import Hedge
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, Fill, FillKind, order_side


def trades_by_hand(hedge: Hedge, side: Side, position: Decimal, unbooked: Iterable[Fill]) -> tuple[Fill, ...]:
    """The fills by which somebody else reduced a leg to ``position`` (signed base units); empty when unproved.

    ``unbooked`` are the ledger's fills of that account and symbol, since the hedge was made, that are in no hedge.
    """
    gap = hedge.leg(side).filled - side.sign * position
    if gap <= 0 or side.sign * position < 0:
        return ()
    reducing = order_side(side, reduce=True)
    trades = tuple(fill for fill in unbooked if fill.kind is FillKind.TRADE)
    net = sum((fill.quantity if fill.side is reducing else -fill.quantity for fill in trades), ZERO)
    return trades if net == gap else ()


def explains(unbooked: Iterable[Fill], side: Side, difference: Decimal) -> bool:
    """Whether the ledger accounts for a leg's position that was seen to differ by ``difference`` (signed base units).

    It does when nothing differed, or when the position was smaller than the leg by what the trades so far had come to
    at some moment. A position that was larger is somebody else's beside ours.
    """
    if side.sign * difference > 0:
        return False
    trades = sorted((fill for fill in unbooked if fill.kind is FillKind.TRADE), key=lambda fill: fill.at)
    return difference in accumulate((fill.side.sign * fill.quantity for fill in trades), initial=ZERO)
