"""How far an account is from liquidation, as a fraction of price. Pure functions of balances and positions.

Distances are what prices may move against the account before its equity is down to the maintenance margin. Under cross
margin all of it stands for all positions, so two figures are taken and the smaller one counts: the exchange's own
liquidation price of a position (every other price stays), and a move of the whole market against the heavier side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, Balance, ExchangePosition

#: Maintenance margin per notional that is assumed where the exchange does not tell (generous for small positions).
MAINTENANCE = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class MarginRules:
    """When something is done about open hedges; fractions of price, ``adl_rank`` from 1 to 5.

    Below ``warn`` there is an alert. Below ``act`` both legs are reduced until the distance is ``restore`` again.
    """

    warn: Decimal = Decimal("0.06")
    act: Decimal = Decimal("0.04")
    restore: Decimal = Decimal("0.08")
    adl_rank: int = 4


def position_distance(position: ExchangePosition, mark: Decimal | None) -> Decimal | None:
    """From the mark to the exchange's liquidation price, never below 0; None where one is unknown or there is none."""
    mark, price = mark or position.mark, position.liquidation_price
    if mark is None or price is None or mark <= 0 or price <= 0:
        return None
    return max((mark - price if position.quantity > 0 else price - mark) / mark, ZERO)


def account_distance(
    balance: Balance, positions: Iterable[ExchangePosition], marks: Mapping[str, Decimal]
) -> Decimal | None:
    """What the whole market may move against the account, never below 0; None with nothing open, or a mark unknown."""
    positions = list(positions)
    sides = dict.fromkeys(Side, ZERO)
    known = ZERO
    for position in positions:
        mark = marks.get(position.symbol) or position.mark
        if mark is None:
            return None
        notional = abs(position.quantity) * mark
        sides[Side.LONG if position.quantity > 0 else Side.SHORT] += notional
        known += (
            notional * MAINTENANCE if position.maintenance_margin is None else position.maintenance_margin
        )
    heavier = max(sides.values())
    if heavier <= 0:
        return None
    maintenance = known if balance.maintenance_margin is None else max(balance.maintenance_margin, ZERO)
    return max((balance.equity - maintenance) / heavier, ZERO)


def entry_distance(
    balance: Balance, notional: Decimal, same_side: Decimal, pending: Decimal, rate: Decimal = MAINTENANCE
) -> Decimal:
    """The account's distance once a leg of ``notional`` is open there; negative when it would be liquidated at once.

    ``same_side`` is the notional of live legs of its side there, ``pending`` what of all legs there is still opening:
    the balance does not know its maintenance margin yet. ``rate`` is maintenance margin per notional.
    """
    maintenance = (balance.maintenance_margin or ZERO) + rate * (notional + pending)
    return (balance.equity - maintenance) / (notional + same_side)
