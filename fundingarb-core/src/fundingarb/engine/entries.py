"""What is opened: the strategy's plans and those by hand, judged, and turned into hedges. What refuses them is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fundingarb.domain.hedge import Intent, LegPlan, Mode
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.risk import Approved, approve, refuse
from fundingarb.engine.alerts import Announcer
from fundingarb.engine.clock import elapsed
from fundingarb.engine.markets import Markets
from fundingarb.engine.preflight import Preflight
from fundingarb.engine.refusals import Refusals
from fundingarb.engine.state import BotState
from fundingarb.engine.store_health import StoreHealth
from fundingarb.engine.strays import in_the_way
from fundingarb.engine.view import TradingSettings, View
from fundingarb.errors import ConfigError
from fundingarb.ports import Clock, Exit, Proposals, RiskRule, Strategy
from fundingarb.redaction import redacted

log = logging.getLogger("fundingarb.entries")


@dataclass
class Entries:
    """Asks the strategy, judges plans, makes intents. ``preflight`` sets accounts up before the first order,
    ``refusals`` has what keeps plans from being opened, and ``left`` is how many more may be, where that is limited."""

    state: BotState
    markets: Markets
    clock: Clock
    settings: TradingSettings
    strategy: Strategy
    rules: Sequence[RiskRule]
    announcer: Announcer
    store_health: StoreHealth
    preflight: Preflight
    refusals: Refusals
    new_id: Callable[[], UUID]
    left: int | None = None
    stopping: bool = False
    last_scan: datetime | None = None
    proposals: Proposals = field(default_factory=Proposals)
    proposed_at: datetime | None = None
    strategy_error: str | None = None

    @property
    def on(self) -> bool:
        return not self.off_reason

    @property
    def off_reason(self) -> str:
        """Why no new hedge may be opened; empty when one may."""
        if self.state.killed:
            return "kill switch latched"
        if self.stopping:
            return "stopping"
        if self.state.paused:
            return "paused"
        if not self.state.lease.fresh:
            return "the lease of the database is not confirmed"
        if self.store_health.error is not None:
            return f"database: {self.store_health.error}"
        if self.left is not None and self.left <= 0:
            return "as many hedges as were asked for are open or done"
        return ""

    def count(self, change: int) -> None:
        """Adjust how many more hedges may be opened, where that is limited."""
        if self.left is not None:
            self.left += change

    # asking the strategy

    def scan(self, symbols: Collection[str], now: datetime, *, everything: bool) -> Sequence[Exit]:
        """Ask the strategy about ``symbols`` (``everything``: about all there are), open what it proposes and may be
        opened; returns the exits it wants."""
        symbols = [symbol for symbol in symbols if symbol in self.settings.wanted]
        if not (symbols or everything):
            return ()
        self.last_scan = now
        proposals = self._evaluate(symbols, now)
        if everything:
            self.proposals, self.proposed_at = proposals, now
        return proposals.exits

    def _evaluate(self, symbols: Collection[str], now: datetime) -> Proposals:
        """Ask the strategy. One that raises opens nothing; what is open is looked after as before."""
        exits: tuple[Exit, ...] = ()
        try:
            proposals = self.strategy.evaluate(View(self.state, self.markets, self.settings), symbols, now)
            exits = proposals.exits
            self._take(proposals, now)
        except Exception as error:
            reason = redacted(f"{type(error).__name__}: {error}")
            if reason != self.strategy_error:
                log.exception("the strategy failed")
                self.announcer.strategy_failed(reason, now)
            self.strategy_error = reason
            return Proposals(exits=exits)
        self.strategy_error = None
        return proposals

    def _take(self, proposals: Proposals, now: datetime) -> None:
        for refusal in proposals.refusals:
            self.refusals.add(refusal)
        settled: set[str] = set()
        for plan in proposals.plans:
            if plan.symbol in settled:
                continue
            if not self.on:
                self.refusals.add(refuse(plan, "paused", "entries on", self.off_reason, now))
                continue
            if settles := self.settling(plan.symbol, (plan.long, plan.short), now):
                wanted = f"no settlement within {self.settings.settlement_guard.total_seconds():g} s"
                self.refusals.add(refuse(plan, "settlement", wanted, settles, now))
                continue
            approved = self.judge(plan, now)
            if isinstance(approved, Refusal):
                self.refusals.add(approved)
            elif not self.preflight.stuck(plan):
                settled.add(plan.symbol)
                if self.preflight.done(plan):
                    self._open(approved, now)

    # judging

    def judge(self, plan: HedgePlan, now: datetime) -> Approved[HedgePlan] | Refusal:
        """What the risk rules say of ``plan`` as things are now; a rule that raises refuses.

        No rule is asked while something that is held there already is in the way.
        """
        held = in_the_way(plan, self.state)
        if held is not None:
            return refuse(plan, "occupied", "nothing held there that the legs would meet", held, now)
        try:
            portfolio = self.state.portfolio(self.markets.prices(), elapsed(self.clock))
            return approve(plan, self.rules, portfolio, now)
        except Exception as error:
            log.exception("a risk rule failed")
            actual = redacted(f"{type(error).__name__}: {error}")
            return refuse(plan, "rule", "a risk rule that answers", actual, now)

    def settling(self, symbol: str, legs: Iterable[LegPlan], now: datetime) -> str:
        """Which settlement is too near, before or after it, to begin or go on with an entry; empty when none is."""
        for leg in legs:
            rate = self.markets.fresh_rate(leg.instrument.exchange, symbol)
            if rate is None:
                continue
            for at in (rate.next_settlement, rate.next_settlement - rate.interval):
                if abs(at - now) <= self.settings.settlement_guard:
                    return f"{leg.instrument.exchange} settles funding at {at:%H:%M:%S} UTC"
        return ""

    # opening

    async def open_approved(self, approved: Approved[HedgePlan], hedge_id: UUID | None = None) -> UUID:
        """Open by hand; the plan has passed the risk rules. Sets the accounts up first, returns the hedge's id.

        Setting up takes requests, so the rules are asked again; raises ``ConfigError`` with what is in the way.
        """
        plan = approved.value
        for leg in (plan.long, plan.short):
            await self.preflight.see_to(leg.account, plan.symbol, leg.leverage)
        if settles := self.settling(plan.symbol, (plan.long, plan.short), self.clock.now()):
            raise ConfigError(f"{plan.symbol}: {settles}; try again when that is over")
        if self.stopping or self.store_health.error is not None or not self.state.lease.fresh:
            raise ConfigError(f"{plan.symbol}: {self.off_reason}; try again when that is over")
        again = self.judge(plan, self.clock.now())
        if isinstance(again, Refusal):
            raise ConfigError(f"{plan.symbol}: {again.gate} refuses: needs {again.needed}, is {again.actual}")
        made = self._open(again, self.clock.now(), hedge_id)
        if made is None:
            raise ConfigError(f"{plan.symbol} has a live hedge already; close it first")
        return made

    def _open(
        self, approved: Approved[HedgePlan], now: datetime, hedge_id: UUID | None = None
    ) -> UUID | None:
        plan = approved.value
        if any(hedge.symbol == plan.symbol for hedge in self.state.live()):
            return None
        settlements = [plan.settlement]
        for leg in (plan.long, plan.short):
            rate = self.markets.fresh_rate(leg.instrument.exchange, plan.symbol)
            settlements += [] if rate is None else [rate.next_settlement]
        before = [at - self.settings.settlement_guard for at in settlements]
        intent = Intent(
            id=hedge_id or self.new_id(),
            instance=self.settings.instance,
            symbol=plan.symbol,
            mode=Mode.OPENING,
            quantity=plan.quantity,
            long=plan.long,
            short=plan.short,
            first=plan.first,
            deadline=min([now + self.settings.fill_timeout, *(at for at in before if at > now)]),
            tolerance=plan.tolerance,
            entry_spread=plan.entry_spread,
            created_at=now,
            config_revision=self.settings.config_revision,
            origin=plan.origin,
            number=self.state.next_number(),
        )
        self.count(-1)
        self.state.put_intent(intent)
        self.refusals.waiting.pop(plan.symbol, None)
        return intent.id
