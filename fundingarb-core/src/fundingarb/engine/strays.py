"""What hedges that are over still hold, or may get: nothing new is opened beside it.

An order that was given up may fill after all. What it leaves is reduced at once; until that is done a new leg on the
same account and symbol would share one position with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from fundingarb.domain.hedge import LegState
from fundingarb.domain.instrument import Side
from fundingarb.domain.netting import netted
from fundingarb.domain.opportunity import HedgePlan
from fundingarb.engine.naked import REFUSALS, refused_reductions
from fundingarb.engine.state import BotState

#: What ``Account.halts`` calls it.
SUBJECT = "stray"


def in_the_way(plan: HedgePlan, state: BotState) -> str | None:
    """What of a hedge that is over is still where ``plan`` would open a leg, or what somebody else holds against that
    leg: they would cancel, and the leg could not be closed again. None when nothing is."""
    for leg in _strays(state, plan.symbol):
        if leg.plan.account in (plan.long.account, plan.short.account):
            left = leg.plan.side.sign * leg.filled if leg.filled else "an order"
            return f"{left} of a hedge that is over on {leg.plan.account}"
    for wanted in (plan.long, plan.short):
        theirs = state.books(wanted.account).foreign(plan.symbol)
        if theirs * wanted.side.sign < 0:
            return f"{theirs} of somebody else's on {wanted.account}"
    return None


def halt_for_strays(state: BotState) -> None:
    """Entries are off on accounts that refuse to reduce what a hedge that is over holds, as long as they do."""
    reasons: dict[str, str] = {}
    unfinished = state.unfinished()
    for hedge in netted(unfinished) if any(not each.live for each in unfinished) else ():
        for side in Side:
            leg = hedge.leg(side)
            if not hedge.live and leg.filled and len(refused_reductions(hedge, side)) >= REFUSALS:
                held = side.sign * leg.filled
                reasons[leg.plan.account] = f"{held} {hedge.symbol} of a hedge that is over cannot be reduced"
    for account in state.accounts.values():
        account.halt(SUBJECT, reasons.get(account.name))


def _strays(state: BotState, symbol: str) -> Iterator[LegState]:
    hedges = [hedge for hedge in state.hedges.values() if hedge.symbol == symbol and not hedge.finished]
    for hedge in netted(hedges):
        if not hedge.live:
            yield from (leg for leg in (hedge.long, hedge.short) if leg.filled or not leg.idle)
