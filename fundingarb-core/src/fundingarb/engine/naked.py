"""How long a leg has been unhedged, or an order in doubt, and saying so before a person would have to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from fundingarb.domain.hedge import Hedge, OrderRecord
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderState
from fundingarb.engine.alerts import Announcer
from fundingarb.ports import Clock

#: What an alert is about: a hedge, an order, a leg.
Topic: TypeAlias = "UUID | str | tuple[UUID, Side]"

#: So many reductions of a leg in a row that the exchange refused are an alert: nothing gets that leg closed.
REFUSALS = 4
#: An order that is in doubt for so many real seconds, longer than any proof takes, waits for a person.
IN_DOUBT = 30.0
#: An open order of which its exchange has told nothing for so many real seconds may have been filled unnoticed.
UNSEEN = 4.0
#: Real seconds a leg may be unhedged before it is an alert, and between repetitions of it. Invariant I1 allows five
#: from the fill on.
GRACE = 2.5
AGAIN = 30.0


@dataclass
class NakedWatch:
    """Remembers since when each hedge has been unhedged by a lot or more; time is the clock's monotonic, real time.

    ``price`` says about what one unit of a symbol costs on an exchange, None where it is not known; never waits.
    """

    clock: Clock
    announcer: Announcer
    price: Callable[[str, str], Decimal | None]
    _since: dict[Topic, float] = field(default_factory=dict)
    _told: dict[Topic, float] = field(default_factory=dict)

    def look(
        self,
        hedges: Iterable[Hedge],
        seen: Mapping[str, float],
        moved: MutableMapping[UUID, float],
        now: datetime,
    ) -> None:
        """Take the hedges as they are; alert (CRITICAL) for each that has been unhedged, or uncertain, for too long.

        ``seen`` is when (monotonic) the exchange last told of an order, by client order id; ``moved`` is since when a
        hedge may have been unhedged before that was found out, and is forgotten where it is not.
        """
        hedges, moment = tuple(hedges), self.clock.monotonic()
        naked = {hedge.id: hedge for hedge in hedges if abs(hedge.unhedged) >= hedge.lot}
        doubtful = {
            order.client_id: (order, hedge)
            for hedge in hedges
            for order in (*hedge.long.unresolved, *hedge.short.unresolved)
        }
        refused = {
            (hedge.id, side): (hedge, refusals[0])
            for hedge in hedges
            for side in Side
            if len(refusals := refused_reductions(hedge, side)) >= REFUSALS
        }
        unseen = {
            f"unseen {order.client_id}": (order, hedge, unseen_for)
            for hedge in hedges
            for order in (*hedge.long.live, *hedge.short.live)
            if (unseen_for := moment - seen.get(order.client_id, moment)) >= UNSEEN
        }
        for hedged in moved.keys() - naked.keys():
            del moved[hedged]
        for memory in (self._since, self._told):
            for gone in memory.keys() - naked.keys() - doubtful.keys() - refused.keys() - unseen.keys():
                del memory[gone]
        for hedge_id, hedge in naked.items():
            self._since.setdefault(hedge_id, moved.get(hedge_id, moment))
            if (seconds := self._due(hedge_id, GRACE)) is not None:
                self.announcer.unhedged(hedge, seconds, now, self._usd(hedge))
        for name, (order, hedge) in doubtful.items():
            if (seconds := self._due(name, IN_DOUBT)) is not None:
                self.announcer.in_doubt(order, hedge, seconds, now)
        for topic, (order, hedge, unseen_for) in unseen.items():
            if self._due(topic, 0.0) is not None:
                self.announcer.unseen(order, hedge, unseen_for, now)
        for key, (hedge, order) in refused.items():
            if self._due(key, 0.0) is not None:
                self.announcer.reduction_refused(order, hedge, now)

    def seconds(self, hedge_id: UUID) -> float:
        """Real seconds for which the hedge has been unhedged by a lot or more; 0 while it is not."""
        since = self._since.get(hedge_id)
        return 0.0 if since is None else self.clock.monotonic() - since

    def _usd(self, hedge: Hedge) -> Decimal | None:
        """About what is unhedged in USD, at the price of the exchange that holds it, else of the other; None where
        no price is known."""
        heavier = Side.LONG if hedge.unhedged > 0 else Side.SHORT
        for side in (heavier, heavier.opposite):
            price = self.price(hedge.intent.leg(side).instrument.exchange, hedge.symbol)
            if price is not None:
                return abs(hedge.unhedged) * price
        return None

    def _due(self, what: Topic, grace: float) -> float | None:
        """For how many seconds this has been so, when that is to be told now; else None."""
        moment = self.clock.monotonic()
        seconds = moment - self._since.setdefault(what, moment)
        if seconds < grace or moment - self._told.get(what, float("-inf")) < AGAIN:
            return None
        self._told[what] = moment
        return seconds


def refused_reductions(hedge: Hedge, side: Side) -> list[OrderRecord]:
    """The newest reductions of a leg that still holds something, newest first, as long as they were refused; of less
    than a lot also those that were taken and filled nothing."""
    found: list[OrderRecord] = []
    leg = hedge.leg(side)
    if leg.filled <= 0:
        return found
    remainder = leg.filled < leg.plan.instrument.lot
    for order in reversed(hedge.orders):
        if order.leg is side and order.reduce_only:
            fruitless = remainder and order.state.terminal and not order.filled
            if order.state is not OrderState.REFUSED and not fruitless:
                break
            found.append(order)
    return found
