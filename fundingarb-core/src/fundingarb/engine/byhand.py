"""Legs that a person closed in the exchange's own app: proved by its ledger, taken into the hedge's account.

A position that is smaller than ours is a mismatch, and entries halt. But halting must never mean holding a naked leg:
when the ledger shows that somebody else's trades made exactly the difference, they belong to the hedge, and the
ordinary loop evens out the other leg. A position that grew, or that the ledger does not explain, is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Seen:
    """A position when it was last read, and by how much it differed from what was expected there (signed base units).

    What was expected may have been wrong: the ledger tells later what the exchange had taken already.
    """

    position: Decimal
    difference: Decimal = ZERO


def explains(seen: Seen, side: Side, booked: Iterable[Fill], unbooked: Iterable[Fill]) -> bool:
    """Whether the ledger accounts for what was seen of a leg's position.

    It does when nothing differed, or when the position was smaller than the leg by what the trades of somebody else so
    far had come to at some moment, or was what the whole ledger, with what is in the hedge by now, had come to at some
    moment. A position that was larger is somebody else's beside ours.
    """
    if side.sign * seen.difference > 0:
        return False
    unbooked = list(unbooked)
    trades = _course(fill for fill in unbooked if fill.kind is FillKind.TRADE)
    return seen.difference in trades or seen.position in _course([*booked, *unbooked])


def _course(fills: Iterable[Fill]) -> list[Decimal]:
    """What a position that was flat came to with each of ``fills``, in the order of their time."""
    ordered = sorted(fills, key=lambda fill: fill.at)
    return list(accumulate((fill.side.sign * fill.quantity for fill in ordered), initial=ZERO))
