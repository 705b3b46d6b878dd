"""Whether an order that its exchange does not find was filled all the same: what fills and position say of it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from fundingarb.domain.control import instance_of
from fundingarb.domain.hedge import OrderRecord
from fundingarb.domain.order import ZERO, Fill


def filled_of(order: OrderRecord, fills: Iterable[Fill]) -> Decimal:
    """What of ``order`` these fills of its account and symbol show as filled, in base units."""
    return sum((fill.quantity for fill in fills if _is_of(order, fill)), ZERO)


def _is_of(order: OrderRecord, fill: Fill) -> bool:
    if fill.client_id:
        return fill.client_id == order.client_id
    return fill.exchange_order_id == order.exchange_order_id != ""


def explained(order: OrderRecord, strangers: Iterable[Fill], instance: str) -> Decimal:
    """How much of a surplus on the side of ``order`` somebody else's trades explain, in base units (negative: they
    went the other way).

    ``strangers`` are fills that belong to no order of ours that is known; ``instance`` names this bot in order ids. A
    fill without a name may be the very one that is looked for, unless all of its order is more than that order asked
    for, or on the other side.
    """
    found = list(strangers)
    sizes: dict[str, Decimal] = {}
    for fill in found:
        sizes[fill.exchange_order_id] = sizes.get(fill.exchange_order_id, ZERO) + fill.quantity
    total = ZERO
    for fill in found:
        if fill.client_id:
            foreign = instance_of(fill.client_id) != instance and not _is_of(order, fill)
        else:
            foreign = fill.side is not order.side or sizes[fill.exchange_order_id] > order.remaining
        if foreign:
            total += fill.side.sign * fill.quantity
    return order.side.sign * total
