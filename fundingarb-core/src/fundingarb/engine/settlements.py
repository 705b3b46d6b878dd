"""Funding exactly once: which settlements the hedges went through, and whether the ledger has paid for each.

What a leg held at a settlement is computed from its ledger fills, which settlements there were from what the exchange
announced and afterwards lists as charged. Stored is only what cannot be read again: see docs/decisions/0002.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import anyio

from fundingarb.domain.events import SettlementChanged
from fundingarb.domain.funding import LATE, FundingPayment
from fundingarb.domain.hedge import Hedge, LegPlan
from fundingarb.domain.order import Fill
from fundingarb.domain.settlement import (
    Settlement,
    SettlementStatus,
    Terms,
    advance,
    expect,
    holder,
    matched,
    settlement_of,
    unexpected,
)
from fundingarb.engine.alerts import Announcer
from fundingarb.engine.bus import Bus
from fundingarb.engine.durable import START_SECONDS, commit, in_time
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import TOMBSTONE, BotState
from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Clock, Store

log = logging.getLogger("fundingarb.settlements")

#: Real seconds between two looks.
PERIOD = 1.0
#: Time of the clock between two reminders of what is missing, while the ledger is still re-read.
REMINDER = timedelta(hours=4)
#: How long the audit waits for the rate that was charged before it takes the one that was announced.
CHARGED_WITHIN = timedelta(hours=4)
#: An announcement that moves on this shortly before its settlement has seen it (two clocks).
SKEW = 10.0
#: Real seconds between two requests to read a ledger that has not posted a settlement yet.
ASK_AGAIN = 10.0
#: Time of the clock that a ledger needs to post a settlement, as a rule.
POSTED_AFTER = timedelta(seconds=2)
#: A hedge may have been charged this long before it was made and after it was over: two clocks.
AROUND = timedelta(minutes=2)
#: A ledger's figures are rounded: smaller differences are no deviation (settle currency).
CENT = Decimal("0.01")

Key = tuple[str, str]


@dataclass
class Calendar:
    """The settlements of each (exchange, symbol) that have passed: as announced here, as charged in ``markets``."""

    markets: Markets
    clock: Clock
    _next: dict[Key, tuple[float, float, float]] = field(default_factory=dict)
    _passed: dict[Key, dict[datetime, Terms]] = field(default_factory=dict)

    def watch(self, keys: Iterable[Key]) -> set[Key]:
        """Take in what is announced now; the keys that a settlement has passed of."""
        now, book = self.clock.time(), self.markets.book
        passed = set()
        for key in keys:
            row = book.row(*key)
            known = self._next.get(key)
            if known is not None:
                moved_on = row is not None and book.next_settlement[row] > known[0]
                if known[0] <= now or (moved_on and known[0] - now <= SKEW):
                    self._pass(key, known)
                    passed.add(key)
                    del self._next[key]
            if row is not None and book.next_settlement[row] > now and book.rate[row] == book.rate[row]:
                self._next[key] = (book.next_settlement[row], book.rate[row], book.mark[row])
        return passed

    def _pass(self, key: Key, announced: tuple[float, float, float]) -> None:
        settlement, rate, mark = announced
        at = self.clock.now()
        at = datetime.fromtimestamp(round(settlement), at.tzinfo)
        terms = Terms(Decimal(repr(rate)), Decimal(repr(mark)) if mark == mark else None)
        times = self._passed.setdefault(key, {})
        times[at] = terms
        for old in [old for old in times if at - old > 2 * LATE]:
            del times[old]

    def terms(self, key: Key, first: datetime, last: datetime) -> Mapping[datetime, Terms]:
        """What is known of the settlements from ``first`` to ``last``; an older one's mark is the present one's."""
        found = {at: terms for at, terms in self._passed.get(key, {}).items() if first <= at <= last}
        present = self.markets.mark(*key)
        for at, rate in self.markets.settled(*key).items():
            if first <= at <= last:
                announced = found.get(at)
                found[at] = Terms(rate, present if announced is None else announced.mark, charged=True)
        return found


@dataclass
class Settlements:
    """Notes the settlements hedges went through, matches them with what is booked, raises the alarm for the rest.

    ``want_payments`` has an account's ledger read soon. ``patience`` is how long a ledger may take to post
    (``clock``'s time), ``tolerance`` the fraction by which it may differ from what was expected.
    """

    state: BotState
    markets: Markets
    store: Store
    bus: Bus
    clock: Clock
    announcer: Announcer
    want_payments: Callable[[str], None]
    patience: timedelta
    tolerance: Decimal
    _open: dict[tuple[str, str, datetime], Settlement] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.calendar = Calendar(self.markets, self.clock)
        self.started_at = self.clock.now()
        self._remind_at = self.started_at + REMINDER

    async def load(self) -> None:
        """What is stored of the last days, and all that is still unpaid."""
        since = self.clock.now() - LATE - self.patience
        for row in await in_time(self.store.settlements(since=since), START_SECONDS):
            self._take(row)
        self.state.unsettled |= set(self.state.hedges)

    async def run(self) -> None:
        """Look every second until cancelled."""
        failing = ""
        while True:
            try:
                await self.look()
                failing = ""
            except StoreError as error:
                if str(error) != failing:
                    log.warning("settlements not stored: %s", error)
                failing = str(error)
            await anyio.sleep(PERIOD)

    async def look(self) -> None:
        """One round: what has passed, what is booked, what is overdue."""
        legs = self._legs()
        for key in self.calendar.watch(legs) | (self.markets.take_settled() & legs.keys()):
            self.state.unsettled |= legs[key]
        for hedge_id in sorted(self.state.unsettled):
            self.state.unsettled.discard(hedge_id)
            try:
                await self._settle(hedge_id)
            except BaseException:
                self.state.unsettled.add(hedge_id)
                raise
        await self._overdue(self.clock.now())

    def _legs(self) -> dict[Key, set[UUID]]:
        found: dict[Key, set[UUID]] = {}
        for hedge in self.state.hedges.values():
            for leg in (hedge.intent.long, hedge.intent.short):
                found.setdefault((leg.instrument.exchange, leg.instrument.symbol), set()).add(hedge.id)
        return found

    def _take(self, row: Settlement) -> None:
        known = self.state.settlements.setdefault((row.account, row.symbol), {})
        known[row.at] = row
        key = (row.account, row.symbol, row.at)
        if row.unpaid or (row.amount is not None and row.deviation is None):
            self._open[key] = row
        else:
            self._open.pop(key, None)
        for at in [at for at, old in known.items() if row.at - at > 2 * LATE and not old.unpaid]:
            del known[at]

    async def _put(self, rows: Sequence[Settlement]) -> None:
        """Commit, remember, publish."""
        if not rows:
            return
        await commit(self.store, Batch(settlements=tuple(rows)))
        for row in rows:
            self._take(row)
            self.bus.publish(SettlementChanged(row, self.clock.now()))

    # matching

    async def _settle(self, hedge_id: UUID) -> None:
        """Bring the settlements of one hedge up to what fills, ledger and calendar say."""
        fills = await in_time(self.store.fills(hedge_id))
        payments = await in_time(self.store.payments(hedge_id))
        hedge = self.state.hedges.get(hedge_id)
        changed: list[Settlement] = []
        if hedge is None:  # over for long: its rows are all that is left of it here
            for (account, _), known in self.state.settlements.items():
                rows = [row for row in known.values() if row.hedge_id == hedge_id]
                paid = matched([row.at for row in rows], [p for p in payments if p.account == account])
                changed += self._changed(rows, paid, {})
        else:
            for leg in (hedge.intent.long, hedge.intent.short):
                changed += self._leg(hedge, leg, fills, [p for p in payments if p.account == leg.account])
        late = [
            row for row in changed if row.status is SettlementStatus.LATE and not self._known(row, "LATE")
        ]
        await self._put(changed)
        for row in late:
            self.announcer.late_payment(row, self.clock.now())

    def _known(self, row: Settlement, status: str) -> bool:
        known = self.state.settlements.get((row.account, row.symbol), {}).get(row.at)
        return known is not None and known.status.value == status

    def _leg(
        self, hedge: Hedge, leg: LegPlan, fills: Sequence[Fill], payments: Sequence[FundingPayment]
    ) -> list[Settlement]:
        """New and changed rows of one leg."""
        now, intent = self.clock.now(), hedge.intent
        first, last = intent.created_at - AROUND, (intent.closed_at or now) + AROUND
        calendar = self.calendar.terms((leg.instrument.exchange, leg.instrument.symbol), first, last)
        known = self.state.settlements.get((leg.account, intent.symbol), {})
        rows = [row for row in known.values() if row.hedge_id == hedge.id]
        if any(o.leg is leg.side and (o.state.unresolved or o.booked < o.filled) for o in hedge.orders):
            self.state.unsettled.add(hedge.id)  # what was held cannot be said yet
            return self._changed(rows, matched([row.at for row in rows], payments), calendar)
        fresh = {row.at: row for row in expect(hedge.id, leg, fills, calendar, now)}
        rows = [fresh.pop(row.at, row) if row.status is SettlementStatus.UNEXPECTED else row for row in rows]
        rows += [row for at, row in fresh.items() if at not in known]
        paid = matched([row.at for row in rows], payments)
        strange = paid.keys() - {row.at for row in rows} - known.keys()
        rows += unexpected(hedge.id, leg, fills, strange, now)
        return self._changed(rows, paid, calendar)

    def _changed(
        self,
        rows: Iterable[Settlement],
        paid: Mapping[datetime, Sequence[FundingPayment]],
        calendar: Mapping[datetime, Terms],
    ) -> list[Settlement]:
        """Those of ``rows``, all of one leg, about which something new is known."""
        found = []
        for row in rows:
            own = paid.get(row.at)
            total = sum((payment.amount for payment in own), Decimal(0)) if own else None
            current = advance(row, total, calendar, self.markets.settled(row.exchange, row.symbol))
            if current != self.state.settlements.get((row.account, row.symbol), {}).get(row.at):
                found.append(current)
        return found

    # overdue

    async def _overdue(self, now: datetime) -> None:
        """Ask for what has not been read yet; mark what was not posted in time, remind of it, audit what was."""
        missing, audited = [], []
        for row in list(self._open.values()):
            if row.unpaid:
                self._ask(row, now)
                if row.status is SettlementStatus.EXPECTED and self._is_missing(row, now):
                    missing.append(replace(row, status=SettlementStatus.MISSING))
            elif row.charged or now - row.at > CHARGED_WITHIN:
                deviation = row.found_deviation
                if deviation is None:  # nothing to compare with
                    del self._open[row.account, row.symbol, row.at]
                else:
                    audited.append(replace(row, deviation=deviation))
        await self._put([*missing, *audited])
        if missing:
            self.announcer.missing_payments(missing, now, again=False)
            self._remind_at = now + REMINDER
        elif now >= self._remind_at:
            self._remind_at = now + REMINDER
            overdue = [row for row in self._open.values() if row.unpaid and row.at > now - LATE]
            overdue = [row for row in overdue if row.status is SettlementStatus.MISSING]
            if overdue:
                self.announcer.missing_payments(overdue, now, again=True)
        for row in audited:
            if row.deviation is not None and abs(row.deviation) > self.tolerance and _worth_telling(row):
                self.announcer.payment_deviates(row, now)

    def _ask(self, row: Settlement, now: datetime) -> None:
        if row.status is SettlementStatus.MISSING or now - row.at < POSTED_AFTER:
            return  # what is missing is found by the reader's own rounds
        real = self.clock.monotonic()
        if real >= self._asked.get(row.account, 0.0):
            self._asked[row.account] = real + ASK_AGAIN
            self.want_payments(row.account)

    def _is_missing(self, row: Settlement, now: datetime) -> bool:
        """The ledger was read after the time allowed, or could not be read for as long again."""
        deadline = row.at + self.patience
        if now < deadline or (row.rate == 0 and not row.charged):
            return False
        account = self.state.accounts.get(row.account)
        read_at = None if account is None else account.payments_read_at
        if read_at is not None and read_at >= deadline:
            return True
        return now >= max(deadline, self.started_at + self.patience) + self.patience


def _worth_telling(row: Settlement) -> bool:
    return row.amount is not None and row.expected is not None and abs(row.amount - row.expected) > CENT


async def hedge_of_payment(
    payment: FundingPayment, state: BotState, store: Store, now: datetime
) -> UUID | None:
    """The hedge that held the position a payment is for; None when it was not ours. Raises ``StoreError``."""
    known = state.settlements.get((payment.account, payment.symbol), {})
    row = settlement_of(payment, known.values())
    if row is not None:
        return row.hedge_id
    at = payment.settlement
    hedges: Sequence[Hedge] = [hedge for hedge in state.hedges.values() if hedge.symbol == payment.symbol]
    if now - at > TOMBSTONE:  # the state has forgotten what was over by then
        hedges = await in_time(store.hedges_at(payment.account, payment.symbol, at))
    candidates = [
        (hedge.id, leg, await in_time(store.fills(hedge.id)))
        for hedge in hedges
        for leg in (hedge.intent.long, hedge.intent.short)
        if leg.account == payment.account and hedge.intent.created_at <= at + AROUND
    ]
    return holder(candidates, at)
