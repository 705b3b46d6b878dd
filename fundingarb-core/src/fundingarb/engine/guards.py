"""The runaway guards at work: the day's result, alerts near and at their limits, the kill switch where one asks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import anyio

from fundingarb.domain.events import CandidateRefused, FillBooked, PaymentBooked
from fundingarb.domain.hedge import CloseReason, Hedge, Mode
from fundingarb.domain.pnl import HedgePnl, unrealized
from fundingarb.domain.risk import Portfolio, Usage
from fundingarb.engine.alerts import Announcer
from fundingarb.engine.bus import Bus
from fundingarb.engine.clock import elapsed
from fundingarb.engine.durable import in_time
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.errors import StoreError
from fundingarb.ports import Clock, ClosingRule, Guard, Store

log = logging.getLogger("fundingarb.guards")

#: Real seconds between two looks.
LOOK = 1.0
#: Share of a limit below which it counts as not reached any more.
CLEAR = Decimal("0.7")
#: The same refusal, and the same nearness to a limit, is told once in this time.
AGAIN = timedelta(hours=1)


@dataclass
class GuardWatch:
    """Keeps ``state.day_result`` and watches the guards; ``kill`` latches the kill switch with a reason, ``close``
    closes a hedge that one of the ``closers`` wants closed."""

    guards: Sequence[Guard]
    state: BotState
    markets: Markets
    store: Store
    bus: Bus
    clock: Clock
    announcer: Announcer
    pnl: Callable[[Hedge], Awaitable[HedgePnl]]
    kill: Callable[[str], Awaitable[None]]
    closers: Sequence[ClosingRule] = ()
    close: Callable[[UUID, CloseReason], None] = lambda hedge_id, reason: None
    _booked: Decimal | None = None
    _day: datetime | None = None
    _books: Mapping[UUID, HedgePnl] = field(default_factory=dict)
    _reached: set[str] = field(default_factory=set)
    _told: dict[tuple[str, str], datetime] = field(default_factory=dict)
    _blind: set[str] = field(default_factory=set)
    _failing: set[str] = field(default_factory=set)

    def watch(self, guards: Sequence[Guard], closers: Sequence[ClosingRule]) -> None:
        """Watch these from now on, in place of the others."""
        new = {guard.gate for guard in guards} - {guard.gate for guard in self.guards}
        changed = {guard.gate for guard in guards if guard not in self.guards}
        self.guards, self.closers = guards, closers
        self._blind |= new
        self._reached -= changed  # one that is to kill now kills, although its limit was reached before

    def __post_init__(self) -> None:
        self._blind = {guard.gate for guard in self.guards}

    async def run(self) -> None:
        """Look every second, for as long as the bot runs."""
        with (
            self.bus.subscribe(1, FillBooked, PaymentBooked) as booked,
            self.bus.subscribe(100, CandidateRefused) as refused,
        ):
            while True:
                now = self.clock.now()
                await self._read(now, changed=booked.take() is not None)
                self.state.day_result = self._result()
                blind = self._blind | await self.look(now)
                while isinstance(event := refused.take(), CandidateRefused):
                    if event.refusal.gate not in blind:
                        self._refused(event, now)
                await anyio.sleep(LOOK)

    async def _read(self, now: datetime, *, changed: bool) -> None:
        """What the ledgers say of the day, and of what is open; again when something was booked or the day is over."""
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        live = self.state.live()
        if not changed and day == self._day and all(hedge.id in self._books for hedge in live):
            return
        try:
            self._booked = await in_time(self.store.result_since(list(self.state.accounts), day))
            self._books = {hedge.id: await in_time(self.pnl(hedge)) for hedge in live}
            self._day = day
        except StoreError as error:
            log.info("the day's result was not read: %s", error)
            self._day = None

    def _result(self) -> Decimal | None:
        """The day's result; None while it was not read, or a mark price of something that is open is unknown."""
        if self._booked is None or self._day is None:
            return None
        total = self._booked
        for hedge in self.state.live():
            pnl = self._books.get(hedge.id)
            legs = () if pnl is None else ((hedge.long, pnl.long), (hedge.short, pnl.short))
            if pnl is None or any(leg.filled > 0 and money.entry_price is None for leg, money in legs):
                continue  # filled just now: its fills are booked in a moment
            marks = (
                self.markets.mark(leg.instrument.exchange, hedge.symbol)
                for leg in (hedge.intent.long, hedge.intent.short)
            )
            open_result = unrealized(hedge, pnl, *marks)
            if open_result is None:
                return None
            total += open_result
        return total

    async def look(self, now: datetime) -> set[str]:
        """Look once and do what the limits ask for. The gates whose usage is unknown: what they refuse is no news."""
        self._blind = set()
        portfolio = self.state.portfolio(self.markets.prices(), elapsed(self.clock))
        for guard in self.guards:
            try:
                usage = guard.usage(portfolio, now)
                self._failing.discard(guard.gate)
            except Exception:
                if guard.gate not in self._failing:
                    log.exception("the risk rule %s failed", guard.gate)
                self._failing.add(guard.gate)
                usage = None
            if usage is None:
                self._blind.add(guard.gate)
            else:
                await self._judge(guard.gate, usage, now)
        self._close(portfolio, now)
        return self._blind

    def _close(self, portfolio: Portfolio, now: datetime) -> None:
        """Close what a rule wants closed; a rule that fails closes nothing."""
        for rule in self.closers:
            for hedge in portfolio.hedges:
                if hedge.intent.mode not in (Mode.OPENING, Mode.HOLDING):
                    continue
                try:
                    reason = rule.why_close(hedge, portfolio, now)
                except Exception:
                    log.exception("the risk rule %s failed", type(rule).__name__)
                    continue
                if reason is not None:
                    log.warning("%s is closed: %s", hedge.symbol, reason)
                    self.close(hedge.id, rule.closes_as)

    async def _judge(self, gate: str, usage: Usage, now: datetime) -> None:
        if usage.share >= 1 and gate not in self._reached:
            self._reached.add(gate)
            self.announcer.guard_reached(gate, usage, now)
            if usage.kill and not self.state.killed and not self._overruled_today(gate, now):
                await self.kill(f"{gate}: {usage.actual}")
        elif usage.share < CLEAR and gate in self._reached:
            self._reached.discard(gate)
            self.announcer.guard_below(gate, usage, now)
        elif usage.near <= usage.share < 1 and gate not in self._reached and self._first(gate, "near", now):
            self.announcer.guard_near(gate, usage, now)

    def _overruled_today(self, gate: str, now: datetime) -> bool:
        """Whether this rule threw the kill switch since the day began and a person has released it, to go on."""
        released, day = self.state.released_at, now.replace(hour=0, minute=0, second=0, microsecond=0)
        thrown = [at for actor, at in self.state.thrown.items() if actor.startswith(f"{gate}: ")]
        return released is not None and any(day <= at <= released for at in thrown)

    def _refused(self, event: CandidateRefused, now: datetime) -> None:
        gate = event.refusal.gate
        if gate in self._reached or all(guard.gate != gate for guard in self.guards):
            return
        if self._first(gate, "refused", now):
            self.announcer.guard_refused(event.refusal, now)

    def _first(self, gate: str, what: str, now: datetime) -> bool:
        """Whether this was not told lately."""
        told = self._told.get((gate, what))
        if told is not None and now - told < AGAIN:
            return False
        self._told[gate, what] = now
        return True
