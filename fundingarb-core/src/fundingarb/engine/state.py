"""The bot's memory: hedges, accounts, halts. Changed only from the loop's own thread, without awaiting in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import anyio

from fundingarb.domain.control import Accepted, FlattenOrder, Subject, instance_of
from fundingarb.domain.hedge import Hedge, Intent, LegState, OrderRecord, lost_row
from fundingarb.domain.instrument import Instrument, Side
from fundingarb.domain.order import (
    ZERO,
    Fill,
    FillKind,
    OrderReport,
    OrderState,
    order_side,
)
from fundingarb.domain.reconcile import Books
from fundingarb.domain.risk import Portfolio
from fundingarb.domain.settlement import Settlement
from fundingarb.engine.account import Account
from fundingarb.ports import Lease

TOMBSTONE = timedelta(hours=24)


class SoleProcess:
    """The lease of a bot that shares its database with nobody: in memory, in a simulation."""

    fresh = True

    async def keep(self) -> str:
        await anyio.sleep_forever()
        return ""


@dataclass
class BotState:
    """Everything decisions are made from, apart from the markets.

    ``dirty`` collects registry rows and intents that changed since the last commit; ``in_flight`` are client order ids
    whose send has not returned; ``seen`` is client order id -> when (monotonic) its exchange last told of it,
    ``moved`` hedge id -> since when (monotonic) a fill of it may have been there that was found by asking;
    ``sent_at`` is when orders left lately; ``day_result`` as in ``Portfolio``;
    ``distances`` is (account, symbol) -> how far that leg is from liquidation, as a fraction of price, where known.
    ``released_at`` is when the kill switch was last released, ``thrown`` who threw it and when last.
    ``failed_services`` is service -> why it has ended by itself.
    ``pegs`` is settle currency -> what one unit is worth in USDT, where known.
    ``last_number`` is the highest number that a hedge has been given.
    ``settlements`` are those of the last days by (account, symbol) and time, ``unsettled`` the hedges whose fills or
    payments changed since they were matched. ``late_since`` is when
    a hedge that was over got its first late fill. ``foreign_before`` is (account, symbol) -> what was accepted there as
    somebody else's before, each with the time until which it was, oldest first.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    hedges: dict[UUID, Hedge] = field(default_factory=dict)
    lease: Lease = field(default_factory=SoleProcess)
    killed: bool = False
    released_at: datetime | None = None
    thrown: dict[str, datetime] = field(default_factory=dict)
    paused: bool = False
    cooldowns: dict[str, datetime] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    in_flight: set[str] = field(default_factory=set)
    seen: dict[str, float] = field(default_factory=dict)
    moved: dict[UUID, float] = field(default_factory=dict)
    settlements: dict[tuple[str, str], dict[datetime, Settlement]] = field(default_factory=dict)
    unsettled: set[UUID] = field(default_factory=set)
    dirty_orders: dict[str, OrderRecord] = field(default_factory=dict)
    dirty_intents: dict[UUID, Intent] = field(default_factory=dict)
    sent_at: deque[float] = field(default_factory=deque)
    day_result: Decimal | None = None
    distances: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    pegs: dict[str, Decimal] = field(default_factory=dict)
    instance: str = ""
    last_number: int = 0
    flatten_orders: dict[str, FlattenOrder] = field(default_factory=dict)
    accepted: dict[tuple[str, Subject, str], Accepted] = field(default_factory=dict)
    taken_fills: dict[tuple[str, str, str], UUID] = field(default_factory=dict)
    late_since: dict[UUID, datetime] = field(default_factory=dict)
    foreign_before: dict[tuple[str, str], list[tuple[datetime, Decimal]]] = field(default_factory=dict)
    failed_services: dict[str, str] = field(default_factory=dict)
    _owner: dict[str, UUID] = field(default_factory=dict)
    _named: dict[tuple[str, str], str] = field(default_factory=dict)

    def adopt(self, hedges: Iterable[Hedge]) -> None:
        """Take hedges as the store has them (start-up)."""
        for hedge in hedges:
            self.hedges[hedge.id] = hedge
            for order in hedge.orders:
                self._note(order)

    def _note(self, record: OrderRecord) -> None:
        self._owner[record.client_id] = record.hedge_id
        if record.exchange_order_id:
            self._named[(record.account, record.exchange_order_id)] = record.client_id

    def orders_on(self, account: str) -> dict[str, str]:
        """Client order id -> symbol of every order on ``account`` that is remembered, flatten orders included."""
        found = {
            order.client_id: hedge.symbol
            for hedge in self.hedges.values()
            for order in hedge.orders
            if order.account == account
        }
        closing = (order for order in self.flatten_orders.values() if order.account == account)
        return found | {order.client_id: order.symbol for order in closing}

    def instruments_of(self, account: str) -> list[Instrument]:
        """What every remembered hedge with a leg on ``account`` trades there."""
        legs = (leg for hedge in self.hedges.values() for leg in (hedge.intent.long, hedge.intent.short))
        return [leg.instrument for leg in legs if leg.account == account]

    def cool_down(self, symbol: str, until: datetime) -> None:
        """No entry on ``symbol`` before ``until``, nor before what was said earlier."""
        self.cooldowns[symbol] = max(until, self.cooldowns.get(symbol, until))

    def sent_lately(self, moment: float) -> int:
        """How many orders left within the minute before ``moment`` (monotonic seconds of the bot's time)."""
        while self.sent_at and self.sent_at[0] <= moment - 60:
            self.sent_at.popleft()
        return len(self.sent_at)

    def live(self) -> list[Hedge]:
        return [hedge for hedge in self.hedges.values() if hedge.live]

    def unfinished(self) -> list[Hedge]:
        """The live ones, and those that are over but not done with: a fill to book, something still held."""
        return [hedge for hedge in self.hedges.values() if not hedge.finished]

    def owner(self, client_id: str | None) -> Hedge | None:
        """The hedge an order of ours belongs to."""
        hedge_id = self._owner.get(client_id or "")
        return None if hedge_id is None else self.hedges.get(hedge_id)

    def put_order(self, record: OrderRecord) -> Hedge:
        """Take a new or changed registry row."""
        hedge = self.hedges[record.hedge_id].with_order(record)
        self.hedges[hedge.id] = hedge
        self._note(record)
        self.dirty_orders[record.client_id] = record
        return hedge

    def recover_rows(self, fills: Iterable[Fill]) -> list[OrderRecord]:
        """Take rows of orders of ours up again that are told of by their fills only (``lost_row``); those rows."""
        lost: dict[str, list[Fill]] = {}
        for fill in fills:
            name = fill.client_id or ""
            if instance_of(name) == self.instance and name not in self._owner:
                lost.setdefault(name, []).append(fill)
        found = [lost_row(hedge, each) for each in lost.values() for hedge in self.hedges.values()]
        rows = [row for row in found if row is not None]
        for row in rows:
            self.put_order(row)
        return rows

    def next_number(self) -> int:
        """The number of a new hedge: none that another one has ever had, so that it means this one for ever."""
        self.last_number += 1
        return self.last_number

    def put_intent(self, intent: Intent) -> Hedge:
        hedge = self.hedges.get(intent.id)
        hedge = Hedge(intent) if hedge is None else hedge.with_intent(intent)
        self.hedges[intent.id] = hedge
        self.dirty_intents[intent.id] = intent
        return hedge

    def observe(self, report: OrderReport, now: datetime, asked: float | None = None) -> OrderRecord | None:
        """Take an exchange's report of an order of ours; None when it is not ours or says nothing new.

        ``asked`` is when (monotonic) the exchange was asked, None where it told by itself.
        """
        hedge = self.owner(report.client_id)
        record = None if hedge is None else hedge.order(report.client_id or "")
        if record is None:
            return None
        observed = record.observe(report, now)
        if observed == record:
            return None
        self.put_order(observed)
        if asked is not None:
            self.found_out(record, observed.filled, asked)
        return observed

    def found_out(self, record: OrderRecord, filled: Decimal, asked: float | None = None) -> None:
        """That ``record`` has ``filled`` was found by asking: what is new of it may be as old as the answer before."""
        heard = self.seen.get(record.client_id, asked)
        if filled > record.filled and heard is not None:
            self.moved.setdefault(record.hedge_id, heard)

    def book_fill(self, fill: Fill, hedge_id: UUID | None) -> None:
        """A ledger fill was committed for the first time."""
        hedge = self.hedges.get(hedge_id) if hedge_id else None
        if hedge is None:
            return
        self.unsettled.add(hedge.id)
        record = hedge.order(self._name_of(fill) or "")
        if record is not None:
            self._note_late(hedge, fill)
            booked = record.booked + fill.quantity
            self.put_order(replace(self._found_in_ledger(record, booked), booked=booked))
        else:
            self._take(hedge, fill)

    def _found_in_ledger(self, record: OrderRecord, filled: Decimal) -> OrderRecord:
        """``record``, of which the ledger has at least ``filled``."""
        self.found_out(record, filled)
        if record.state is OrderState.REFUSED:  # given up as never taken, and it was
            state = OrderState.FILLED if filled >= record.quantity else OrderState.CANCELLED
            record = replace(record, state=state, reason="found in the ledger")
        return replace(record, filled=max(record.filled, filled))

    def take_filled(self, fills: Iterable[Fill]) -> bool:
        """Orders of ours are filled by what the ledger says, although it could not be stored yet (``booked`` stays);
        whether that was news. ``fills`` are all that one reading of the ledger told of."""
        filled: dict[str, Decimal] = {}
        for fill in fills:
            name = self._name_of(fill) or ""
            filled[name] = filled.get(name, ZERO) + fill.quantity
        news = False
        for name, quantity in filled.items():
            hedge = self.owner(name)
            record = None if hedge is None else hedge.order(name)
            if record is not None and quantity > record.filled:
                self.put_order(self._found_in_ledger(record, quantity))
                news = True
        return news

    def take_unstored(self, fill: Fill, hedge_id: UUID) -> bool:
        """Take what somebody else traded of a leg although it could not be stored yet; whether that was news."""
        hedge = self.hedges.get(hedge_id)
        if hedge is None or hedge.finished or hedge.order(self._name_of(fill) or "") is not None:
            return False
        return self._take(hedge, fill)

    def _take(self, hedge: Hedge, fill: Fill) -> bool:
        side = next((s for s in Side if hedge.intent.leg(s).account == fill.account), None)
        if side is None or (fill.account, fill.symbol, fill.trade_id) in self.taken_fills:
            return False
        self.taken_fills[fill.account, fill.symbol, fill.trade_id] = hedge.id
        change = fill.quantity if fill.side is order_side(side, reduce=True) else -fill.quantity
        taken = {**hedge.taken, side: hedge.taken.get(side, ZERO) + change}
        self.hedges[hedge.id] = replace(hedge, taken=taken)
        return True

    def note_taken(self, hedge: Hedge, fills: Iterable[Fill]) -> None:
        """These fills of ``hedge`` are in the projections already (start-up)."""
        for fill in fills:
            if hedge.order(self._name_of(fill) or "") is None:
                self.taken_fills[fill.account, fill.symbol, fill.trade_id] = hedge.id
            else:
                self._note_late(hedge, fill)

    def _note_late(self, hedge: Hedge, fill: Fill) -> None:
        """From its first fill after it was over on, a hedge holds something again that somebody may take."""
        ended = hedge.intent.closed_at
        if ended is not None and fill.at > ended:
            self.late_since[hedge.id] = min(fill.at, self.late_since.get(hedge.id, fill.at))

    def rebook(self, hedge_id: UUID, account: str, fills: Iterable[Fill], unstored: Iterable[Fill]) -> None:
        """Take what is stored of a hedge's leg on ``account`` as it is: a commit gave no answer, and may have stored
        what it was given. ``fills`` are all of the hedge's; of the ``unstored`` ones those that somebody else traded
        count all the same (``take_unstored``)."""
        hedge = self.hedges[hedge_id]
        side = next(side for side in Side if hedge.intent.leg(side).account == account)
        own = [fill for fill in fills if fill.account == account]
        booked: dict[str, Decimal] = {}
        self._forget_taken(hedge_id, account)
        self.hedges[hedge_id] = replace(hedge, taken={**hedge.taken, side: self._gone(hedge, side)})
        for fill in own:
            name = self._name_of(fill) or ""
            if hedge.order(name) is None:
                self._take(self.hedges[hedge_id], fill)
            else:
                booked[name] = booked.get(name, ZERO) + fill.quantity
        for name, quantity in booked.items():
            record = self.hedges[hedge_id].order(name)
            if record is not None and record.booked != quantity:
                self.put_order(replace(record, booked=quantity, filled=max(record.filled, quantity)))
        for fill in unstored:
            self.take_unstored(fill, hedge_id)

    def _forget_taken(self, hedge_id: UUID, account: str | None = None) -> None:
        self.taken_fills = {
            key: owner
            for key, owner in self.taken_fills.items()
            if owner != hedge_id or account not in (None, key[0])
        }

    def _gone(self, hedge: Hedge, side: Side) -> Decimal:
        """What a person accepted as gone from a leg."""
        found = self.accepted.get((hedge.intent.leg(side).account, Subject.LEG, str(hedge.id)))
        return ZERO if found is None else found.quantity

    def _name_of(self, fill: Fill) -> str | None:
        """The client order id of a fill; by the exchange's own id where the ledger does not say."""
        return fill.client_id or self._named.get((fill.account, fill.exchange_order_id))

    def hedge_of_fill(self, fill: Fill) -> UUID | None:
        """The hedge a fill belongs to: by its order, or, when the exchange closed by itself, by instrument."""
        hedge = self.owner(self._name_of(fill))
        if hedge is not None:
            return hedge.id
        known = self.taken_fills.get((fill.account, fill.symbol, fill.trade_id))
        if known is not None:
            return known
        if fill.kind is FillKind.TRADE:
            return self._flattened_by(fill)
        return next((hedge.id for hedge in self.holders(fill)), None)

    def holders(self, fill: Fill) -> list[Hedge]:
        """The hedges whose leg the exchange may have taken from by itself: the one that was live then first, then
        those that were over and still hold something there."""
        found = []
        for hedge in reversed(self.hedges.values()):
            intent, ended = hedge.intent, hedge.intent.closed_at
            here = fill.account in (intent.long.account, intent.short.account)
            if intent.symbol == fill.symbol and here and intent.created_at <= fill.at:
                over = ended is not None and fill.at > ended
                if not over or (not hedge.finished and fill.at >= self.late_since.get(hedge.id, fill.at)):
                    found.append((over, hedge))
        return [hedge for _, hedge in sorted(found, key=lambda one: one[0])]

    def books(self, account: str) -> Books:
        """What we believe of ``account`` apart from the hedges."""
        return Books(
            accepted=[each for each in self.accepted.values() if each.account == account],
            own_orders=self.flatten_orders.keys(),
            instance=self.instance,
        )

    def shared(self, hedge: Hedge, leg: LegState) -> bool:
        """Whether the position of a leg may be larger than the leg: beside it is another hedge's, or what is, or was
        when positions were last read, somebody else's."""
        account, symbol = self.accounts.get(leg.plan.account), hedge.symbol
        if account is None or self.books(account.name).foreign(symbol):
            return True
        found = account.positions.get(symbol)
        beyond = ZERO if found is None else found.quantity - account.held.get(symbol, ZERO)
        return leg.plan.side.sign * beyond > 0 or any(
            other.leg(side).filled
            for other in self.unfinished()
            if other.id != hedge.id and other.symbol == symbol
            for side in Side
            if other.intent.leg(side).account == account.name
        )

    def foreign_at(self, account: str, symbol: str, at: datetime) -> Decimal:
        """Signed quantity of ``symbol`` that was accepted as somebody else's ``at`` then, as far as it is known."""
        for until, quantity in self.foreign_before.get((account, symbol), ()):
            if at < until:
                return quantity
        return self.books(account).foreign(symbol)

    def take_accepted(self, accepted: Accepted) -> None:
        """A person accepted a difference, and it is on disk."""
        key = (accepted.account, accepted.subject, accepted.name)
        before = self.accepted.get(key)
        self.accepted[key] = accepted
        if accepted.subject is Subject.POSITION and before is not None:
            known = self.foreign_before.setdefault((accepted.account, accepted.name), [])
            known.append((accepted.at, before.quantity))
        if accepted.subject is not Subject.LEG:
            return
        hedge = self.hedges.get(UUID(accepted.name))
        for side in Side:
            if hedge is not None and hedge.intent.leg(side).account == accepted.account:
                gone = accepted.quantity - (before.quantity if before else ZERO)
                taken = {**hedge.taken, side: hedge.taken.get(side, ZERO) + gone}
                self.hedges[hedge.id] = replace(hedge, taken=taken)

    def _flattened_by(self, fill: Fill) -> UUID | None:
        """The hedge whose leg a flatten order closed with this fill."""
        for order in self.flatten_orders.values():
            if order.account == fill.account and order.client_id == fill.client_id:
                return order.hedge_id
            if order.exchange_order_id and order.exchange_order_id == fill.exchange_order_id:
                return order.hedge_id
        return None

    def forget(self, now: datetime) -> None:
        """Drop hedges that hold nothing and have been over for longer than their orders' tombstones are kept."""
        old = [
            h
            for h in self.hedges.values()
            if h.finished and h.intent.closed_at and now - h.intent.closed_at > TOMBSTONE
        ]
        for hedge in old:
            del self.hedges[hedge.id]
            self.late_since.pop(hedge.id, None)
            self._forget_taken(hedge.id)
            for order in hedge.orders:
                self._owner.pop(order.client_id, None)
                self._named.pop((order.account, order.exchange_order_id), None)

    def portfolio(self, prices: Mapping[str, Decimal], moment: float = 0.0) -> Portfolio:
        """What risk rules look at; ``prices``: symbol -> about what one unit costs; ``moment``: see ``sent_lately``."""
        return Portfolio(
            over=tuple(hedge for hedge in self.hedges.values() if not hedge.live),
            sent=self.sent_lately(moment),
            day_result=self.day_result,
            prices=prices,
            pegs=dict(self.pegs),
            hedges=tuple(self.live()),
            balances={a.name: a.free_balance for a in self.accounts.values() if a.free_balance is not None},
            halted={a.name: a.halted for a in self.accounts.values() if a.halted is not None},
            cooldowns=self.cooldowns,
            killed=self.killed,
        )
