"""Margin of open hedges: how far each leg is from liquidation, and reducing both legs before it gets there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import anyio

from fundingarb.domain.health import MarginRules, account_distance, position_distance
from fundingarb.domain.hedge import CloseReason, Hedge, LegPlan, Mode
from fundingarb.domain.instrument import floor_to
from fundingarb.domain.reconcile import expected_positions
from fundingarb.engine.account import Account
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.alerts import Announcer
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.ports import Clock

#: Real seconds between two looks.
LOOK = 1.0
#: A warning is repeated only after the distance has been this much (a factor) above its level.
CLEAR = Decimal("1.25")


@dataclass
class HealthWatch:
    """Looks at every leg of every live hedge. What it wants changed it writes into intents; the loop does it.

    Nothing is reduced on a reading of positions that is older than the last reduction: the next one tells what is left.
    """

    rules: MarginRules
    state: BotState
    readers: Mapping[str, AccountReader]
    markets: Markets
    clock: Clock
    announcer: Announcer
    _warned: set[tuple[str, str]] = field(default_factory=set)
    _ranked: set[tuple[str, str]] = field(default_factory=set)

    async def run(self) -> None:
        """Look every second, for as long as the bot runs."""
        while True:
            self.look(self.clock.now())
            await anyio.sleep(LOOK)

    def look(self, now: datetime) -> None:
        """Warn and reduce as things are now."""
        live = self.state.live()
        self.state.distances = distances = dict(self._distances(live))
        for hedge in live:
            self._warn(hedge, distances, now)
            if hedge.intent.mode is Mode.HOLDING and self._quiet(hedge):
                self._act(hedge, distances, now)

    def _quiet(self, hedge: Hedge) -> bool:
        """Whether what is wanted of the hedge is what it holds."""
        even = abs(hedge.unhedged) < hedge.lot and hedge.hedged <= hedge.intent.quantity
        return even and hedge.long.idle and hedge.short.idle

    def _distances(self, live: list[Hedge]) -> Iterator[tuple[tuple[str, str], Decimal]]:
        """(account, symbol) -> distance of the leg, where it is known."""
        for account in self.state.accounts.values():
            marks = {
                symbol: mark
                for symbol in account.positions
                if (mark := self.markets.fresh_mark(account.exchange, symbol)) is not None
            }
            whole = (
                account_distance(account.balance, account.positions.values(), marks)
                if account.balance
                else None
            )
            for hedge in live:
                if account.name not in (hedge.intent.long.account, hedge.intent.short.account):
                    continue
                position = account.positions.get(hedge.symbol)
                if position is None:
                    continue
                own = position_distance(position, marks.get(hedge.symbol))
                known = [distance for distance in (own, whole) if distance is not None]
                if known:
                    yield (account.name, hedge.symbol), min(known)

    def _warn(self, hedge: Hedge, distances: Mapping[tuple[str, str], Decimal], now: datetime) -> None:
        for leg in (hedge.intent.long, hedge.intent.short):
            key = (leg.account, hedge.symbol)
            distance = distances.get(key)
            if distance is not None and distance < self.rules.warn:
                self.readers[leg.account].want(positions=True, balance=True)
                if key not in self._warned:
                    self._warned.add(key)
                    self.announcer.margin_low(hedge, leg, distance, now)
            elif distance is not None and distance >= self.rules.warn * CLEAR:
                self._warned.discard(key)
            self._rank(hedge, leg, now)

    def _rank(self, hedge: Hedge, leg: LegPlan, now: datetime) -> None:
        """The exchange's queue for auto-deleveraging, where it tells."""
        key = (leg.account, hedge.symbol)
        position = self.state.accounts[leg.account].positions.get(hedge.symbol)
        rank = None if position is None else position.adl_rank
        if rank is None or rank < self.rules.adl_rank:
            self._ranked.discard(key)
        elif key not in self._ranked:
            self._ranked.add(key)
            self.announcer.adl_rank(hedge, leg, rank, now)

    def _act(self, hedge: Hedge, distances: Mapping[tuple[str, str], Decimal], now: datetime) -> None:
        """Lower what is wanted of a hedge with a leg too near to liquidation, until it is ``restore`` away again."""
        legs = (hedge.intent.long, hedge.intent.short)
        near = [
            (distance, leg)
            for leg in legs
            if (distance := distances.get((leg.account, hedge.symbol))) is not None
            and distance < self.rules.act
            and self._current(self.state.accounts[leg.account])
        ]
        if not near or any(leg.instrument.exchange in self.state.down for leg in legs):
            return
        distance, leg = min(near, key=lambda pair: pair[0])
        left = floor_to(hedge.hedged * distance / self.rules.restore, hedge.lot)
        mark = self.markets.mark(leg.instrument.exchange, hedge.symbol) or Decimal(0)
        if all(each.instrument.tradable(left, mark) for each in legs):
            self.announcer.margin_act(hedge, leg, distance, left, now)
            self.state.put_intent(hedge.intent.edit(quantity=left))
        else:
            self.announcer.margin_act(hedge, leg, distance, Decimal(0), now)
            self.state.put_intent(hedge.intent.edit(mode=Mode.CLOSING, close_reason=CloseReason.MARGIN))
        for each in legs:
            self.readers[each.account].want(positions=True, balance=True)

    def _current(self, account: Account) -> bool:
        """Whether nothing of ours has changed on ``account`` since its positions were read."""
        return account.held == expected_positions(account.name, self.state.unfinished())
