"""Whose it is that an exchange took, or paid for: our legs, or what a person accepted beside them.

What is taken of a position counts as taken from our legs first, then from what is accepted as somebody else's: a leg
that is believed to be larger than it is would be naked. What is accepted becomes smaller in the same commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from fundingarb.domain.control import Accepted, Subject
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, Fill, FillKind, order_side
from fundingarb.domain.settlement import held
from fundingarb.domain.shares import divide_fill, divide_payment
from fundingarb.engine.durable import in_time
from fundingarb.engine.settlements import hedge_of_payment
from fundingarb.engine.state import BotState
from fundingarb.ports import Store

Row: TypeAlias = "tuple[Fill, UUID | None]"

#: Who lowers what is accepted when the exchange has closed it.
ACTOR = "the exchange"


@dataclass(frozen=True, slots=True)
class Shares:
    """Fills with the hedge each belongs to (None: somebody else's), and what is accepted from then on."""

    rows: tuple[Row, ...]
    accepted: tuple[Accepted, ...] = ()


def is_divisible(fill: Fill, state: BotState) -> bool:
    """Whether the exchange made ``fill`` by itself where something is accepted or a hedge that is over holds
    something: then it may have taken from several."""
    if fill.kind is FillKind.TRADE:
        return False
    beside = state.books(fill.account).foreign(fill.symbol)
    return bool(beside) or any(not hedge.live for hedge in state.holders(fill))


def shares_of(
    fills: Iterable[Fill],
    state: BotState,
    unstored: Mapping[tuple[str, str, str], Sequence[Row]] | None = None,
) -> Shares:
    """Whose each of these fills is, which the exchange made by itself: divided by what was held, in their order.

    ``unstored`` is how a fill was divided before, by account, symbol and trade id, when it could not be stored.
    """
    rows: list[Row] = []
    taken: dict[UUID, Decimal] = {}
    foreign: dict[tuple[str, str], Accepted] = {}
    for fill in fills:
        key = (fill.account, fill.symbol)
        accepted = state.accepted.get((fill.account, Subject.POSITION, fill.symbol))
        parts = (unstored or {}).get((*key, fill.trade_id)) or _divide(
            fill, state, taken, foreign.get(key, accepted)
        )
        rows += parts
        theirs = sum((part.quantity for part, owner in parts if owner is None), ZERO)
        beside = foreign.get(key, accepted)
        # alone it tells nothing new when it is read again, or was known to whoever accepted what is left
        if (
            beside is not None
            and theirs
            and accepted is not None
            and (len(parts) > 1 or fill.at > accepted.at)
        ):
            left = max(abs(beside.quantity) - theirs, ZERO) * (1 if beside.quantity > 0 else -1)
            at = max(beside.at, fill.at)
            foreign[key] = Accepted(fill.account, Subject.POSITION, fill.symbol, left, ACTOR, at)
    return Shares(tuple(rows), tuple(foreign.values()))


def _divide(
    fill: Fill, state: BotState, taken: dict[UUID, Decimal], beside: Accepted | None
) -> Sequence[Row]:
    """A fill in parts: ``taken`` is what earlier ones took of hedges' legs, ``beside`` what is accepted there."""
    hedge_id = state.hedge_of_fill(fill)
    known = (fill.account, fill.symbol, fill.trade_id) in state.taken_fills
    if known or not fill.quantity:  # a clawback takes money and nothing else
        return ((fill, hedge_id),)
    theirs = ZERO if beside is None else max(-fill.side.sign * beside.quantity, ZERO)
    legs = _from_legs(fill, state, taken)
    if not legs:
        return ((fill, None if theirs else hedge_id),)
    theirs = min(theirs, fill.quantity - sum(legs.values(), ZERO))
    # more than there is stays with the first leg: its own fills may not all be known yet
    legs[next(iter(legs))] += fill.quantity - sum(legs.values(), ZERO) - theirs
    for owner, quantity in legs.items():
        taken[owner] = taken.get(owner, ZERO) + quantity
    owners: list[UUID | None] = [*legs, None] if theirs else [*legs]
    if len(owners) == 1:
        return ((fill, owners[0]),)
    parts = divide_fill(fill, [*legs.values(), theirs] if theirs else [*legs.values()])
    return tuple(zip(parts, owners, strict=True))


def _from_legs(fill: Fill, state: BotState, taken: Mapping[UUID, Decimal]) -> dict[UUID, Decimal]:
    """How much of a fill each of our legs held that it reduces; ``taken`` is gone from them already."""
    found: dict[UUID, Decimal] = {}
    rest = fill.quantity
    for hedge in state.holders(fill):
        side = next(side for side in Side if hedge.intent.leg(side).account == fill.account)
        left = min(hedge.leg(side).filled - taken.get(hedge.id, ZERO), rest)
        if left > 0 and fill.side is order_side(side, reduce=True):
            found[hedge.id] = left
            rest -= left
    return found


async def shares_of_payment(
    payment: FundingPayment, state: BotState, store: Store, now: datetime
) -> list[tuple[FundingPayment, UUID | None]]:
    """A funding payment with the hedge it belongs to; in two parts where something accepted was held beside it."""
    hedge_id = await hedge_of_payment(payment, state, store, now)
    hedge = None if hedge_id is None else state.hedges.get(hedge_id)
    foreign = state.foreign_at(payment.account, payment.symbol, payment.settlement)
    if hedge is None or not foreign:
        return [(payment, hedge_id)]
    leg = next(leg for leg in (hedge.intent.long, hedge.intent.short) if leg.account == payment.account)
    ours = held(await in_time(store.fills(hedge.id)), leg, payment.settlement)
    parts = divide_payment(payment, leg.side.sign * ours, foreign)
    return list(zip(parts, (hedge_id, None), strict=False))
