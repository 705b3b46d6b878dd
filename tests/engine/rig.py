"""What tests of the engine share: a store in memory and hedges on two fake exchanges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
from tests.domain.make import instrument

from fundingarb.domain.control import (
    Accepted,
    AuditEntry,
    Command,
    CommandKind,
    ControlState,
    FlattenOrder,
    Subject,
)
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.events import Alert, Delivery
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, Intent, LegPlan, Mode, OrderRecord
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import EntryRules, HedgePlan, Refusal
from fundingarb.domain.order import ZERO, Fill, NewOrder, order_side
from fundingarb.domain.settlement import Settlement
from fundingarb.engine.bot import Bot, BotParts
from fundingarb.engine.state import SoleProcess
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import StoreError
from fundingarb.ports import (
    AlertSink,
    Batch,
    Checkpoint,
    Committed,
    ConfigRevision,
    Exit,
    HedgeBooks,
    Lease,
    MarketView,
    Proposals,
    RiskRule,
    Service,
    Strategy,
)
from fundingarb.simulation.virtual import START, LoopClock
from fundingarb.testing import FakeExchange

HEDGE_ID = UUID("00000000-0000-4000-8000-0000000000aa")


class MemoryStore:
    """A ``Store`` in memory. ``failing`` makes every commit raise; ``log`` has what was committed, in order."""

    def __init__(self) -> None:
        self.failing: str | None = None
        self.killed = self.paused = False
        self.released_at: datetime | None = None
        self.intents: dict[UUID, Intent] = {}
        self.orders: dict[str, OrderRecord] = {}
        self.booked: dict[tuple[str, str, str], tuple[Fill, UUID | None]] = {}
        self.paid: dict[tuple[str, str, datetime, str], tuple[FundingPayment, UUID | None]] = {}
        self.settled: dict[tuple[str, str, datetime], Settlement] = {}
        self.batches: list[Batch] = []
        self.commands: dict[str, Command] = {}
        self.noted: list[AuditEntry] = []
        self.revisions: list[ConfigRevision] = []
        self.flatten_orders: dict[str, FlattenOrder] = {}
        self.accepted: dict[tuple[str, Subject, str], Accepted] = {}
        self.deliveries: dict[tuple[Alert, str], Delivery] = {}

    async def commit(self, batch: Batch) -> Committed:
        await anyio.lowlevel.checkpoint()
        if self.failing is not None:
            raise StoreError(self.failing)
        self.batches.append(batch)
        for intent in batch.intents:
            known = self.intents.get(intent.id)
            if known is None or known.version <= intent.version:
                self.intents[intent.id] = intent
        for order in batch.orders:
            self.orders[order.client_id] = order
        for flatten in batch.flatten_orders:
            self.flatten_orders[flatten.client_id] = flatten
        for accepted in batch.accepted:
            self.accepted[(accepted.account, accepted.subject, accepted.name)] = accepted
        for delivery in batch.deliveries:
            stored = self.deliveries.get((delivery.alert, delivery.sink))
            if stored is None or stored.delivered_at is None:
                self.deliveries[delivery.alert, delivery.sink] = delivery
        fills, payments = [], []
        for fill, hedge_id in batch.fills:
            key = (fill.account, fill.symbol, fill.trade_id)
            before = self.booked.get(key)
            if before is None or (before[1] is None and hedge_id is not None):
                self.booked[key] = (fill, hedge_id)
                fills.append((fill, hedge_id))
        for payment, hedge_id in batch.payments:
            name = (payment.account, payment.symbol, payment.settlement, payment.ledger_id)
            earlier = self.paid.get(name)
            if earlier is None or (earlier[1] is None and hedge_id is not None):
                self.paid[name] = (payment, hedge_id)
                payments.append((payment, hedge_id))
        for row in batch.settlements:
            self.settled[row.account, row.symbol, row.at] = row
        return Committed(tuple(fills), tuple(payments))

    async def settlements(
        self, hedge_id: UUID | None = None, *, since: datetime | None = None
    ) -> Sequence[Settlement]:
        return [
            row
            for row in self.settled.values()
            if hedge_id in (None, row.hedge_id) and (since is None or row.at >= since or row.unpaid)
        ]

    async def hedges_at(self, account: str, symbol: str, at: datetime) -> Sequence[Hedge]:
        return [
            hedge
            for hedge in await self.hedges()
            if hedge.symbol == symbol
            and account in (hedge.intent.long.account, hedge.intent.short.account)
            and (hedge.intent.closed_at is None or hedge.intent.closed_at >= at - timedelta(minutes=2))
        ]

    async def load(self) -> Checkpoint:
        hedges = tuple(await self.hedges())
        over = [h.intent for h in hedges if h.intent.liquidated and h.intent.closed_at]
        return Checkpoint(
            hedges,
            self.killed,
            1,
            paused=self.paused,
            released_at=self.released_at,
            thrown={c.actor: c.created_at for c in self.commands.values() if c.kind is CommandKind.KILL},
            liquidated={i.symbol: i.closed_at for i in over if i.closed_at},
            accepted=tuple(self.accepted.values()),
            flatten_orders=tuple(self.flatten_orders.values()),
            last_number=max((intent.number for intent in self.intents.values()), default=0),
        )

    async def hedges(self, *, limit: int = 1000) -> Sequence[Hedge]:
        return [self._hedge(intent) for intent in self.intents.values()][:limit]

    def _hedge(self, intent: Intent) -> Hedge:
        orders = []
        for order in self.orders.values():
            if order.hedge_id == intent.id:
                booked = sum(
                    (f.quantity for f, _ in self.booked.values() if f.client_id == order.client_id), ZERO
                )
                orders.append(replace(order, booked=booked, filled=max(order.filled, booked)))
        taken: dict[Side, Decimal] = {}
        for fill, hedge_id in self.booked.values():
            if hedge_id == intent.id and fill.client_id not in {order.client_id for order in orders}:
                side = Side.LONG if fill.account == intent.long.account else Side.SHORT
                sign = 1 if fill.side is order_side(side, reduce=True) else -1
                taken[side] = taken.get(side, ZERO) + sign * fill.quantity
        for side in Side:
            gone = self.accepted.get((intent.leg(side).account, Subject.LEG, str(intent.id)))
            if gone is not None:
                taken[side] = taken.get(side, ZERO) + gone.quantity
        return Hedge(intent, tuple(orders), taken)

    async def fills(self, hedge_id: UUID | None = None) -> Sequence[Fill]:
        return [fill for fill, owner in self.booked.values() if hedge_id in (None, owner)]

    async def payments(self, hedge_id: UUID | None = None) -> Sequence[FundingPayment]:
        return [payment for payment, owner in self.paid.values() if hedge_id in (None, owner)]

    async def result_since(self, accounts: Collection[str], since: datetime) -> Decimal:
        fills = [f for f, owner in self.booked.values() if owner and f.account in accounts and f.at >= since]
        paid = [p for p, owner in self.paid.values() if owner and p.account in accounts]
        funding = sum((p.amount for p in paid if p.settlement >= since), ZERO)
        return sum((f.realized_pnl - f.fee for f in fills), funding)

    async def alerts(self, *, limit: int = 100) -> Sequence[Alert]:
        return [alert for batch in reversed(self.batches) for alert in reversed(batch.alerts)][:limit]

    async def closed(self, *, after: UUID | None = None, limit: int = 100) -> Sequence[HedgeBooks]:
        over = [h for h in await self.hedges() if not h.live and any(order.filled for order in h.orders)]
        over.sort(key=lambda h: (h.intent.closed_at or h.intent.created_at, h.id), reverse=True)
        ids = [hedge.id for hedge in over]
        start = ids.index(after) + 1 if after in ids else 0
        return [self._books(hedge) for hedge in over[start : start + limit]]

    async def books(self, ids: Collection[UUID]) -> Sequence[HedgeBooks]:
        return [self._books(hedge) for hedge in await self.hedges() if hedge.id in ids]

    def _books(self, hedge: Hedge) -> HedgeBooks:
        return HedgeBooks(
            hedge,
            tuple(fill for fill, owner in self.booked.values() if owner == hedge.id),
            tuple(payment for payment, owner in self.paid.values() if owner == hedge.id),
            tuple(row for row in self.settled.values() if row.hedge_id == hedge.id),
        )

    async def blotter(self, *, limit: int = 100) -> Sequence[tuple[OrderRecord, str, str]]:
        found = []
        for order in list(reversed(self.orders.values()))[:limit]:
            intent = self.intents[order.hedge_id]
            found.append((order, intent.symbol, intent.leg(order.leg).instrument.exchange))
        return found

    async def refusals(self, *, limit: int = 1000) -> Sequence[Refusal]:
        return [refusal for batch in self.batches for refusal in batch.refusals][:limit]

    async def refusal_counts(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for refusal in await self.refusals():
            counts[refusal.gate] = counts.get(refusal.gate, 0) + 1
        return counts

    async def undelivered(self, since: datetime) -> Sequence[Delivery]:
        waiting = [row for row in self.deliveries.values() if row.delivered_at is None]
        return [row for row in waiting if row.alert.at >= since]

    async def set_killed(self, killed: bool, actor: str, at: datetime) -> None:
        if self.failing is not None:
            raise StoreError(self.failing)
        self.killed = killed
        self.released_at = None if killed else at

    async def set_paused(self, paused: bool, actor: str, at: datetime) -> None:
        if self.failing is not None:
            raise StoreError(self.failing)
        self.paused = paused

    async def control(self) -> ControlState:
        waiting = [command for command in self.commands.values() if command.done_at is None]
        return ControlState(self.killed, tuple(waiting))

    async def submit_command(self, command: Command) -> Command:
        if self.failing is not None:
            raise StoreError(self.failing)
        if command.kind is CommandKind.KILL:
            self.killed = True
        return self.commands.setdefault(command.key, command)

    async def take_command(self, command_id: UUID, at: datetime) -> bool:
        for key, command in self.commands.items():
            if command.id == command_id and command.taken_at is None:
                self.commands[key] = replace(command, taken_at=at)
                return True
        return False

    async def report_command(self, command: Command) -> None:
        if self.failing is not None:
            raise StoreError(self.failing)
        self.commands[command.key] = command
        if command.done_at is not None:
            self.noted.append(command.entry)

    async def command(self, key: str) -> Command:
        return self.commands[key]

    async def audit(self, entry: AuditEntry) -> None:
        self.noted.append(entry)

    async def audited(self, *, limit: int = 100) -> Sequence[AuditEntry]:
        return self.noted[::-1][:limit]

    async def save_config(self, document: Mapping[str, Any], at: datetime, actor: str | None = None) -> int:
        if self.failing is not None:
            raise StoreError(self.failing)
        self.revisions.append(ConfigRevision(len(self.revisions) + 1, at, document, actor))
        return len(self.revisions)

    async def config_revisions(self, *, limit: int | None = 100) -> Sequence[ConfigRevision]:
        return self.revisions[::-1][:limit]

    async def close(self) -> None:
        return None


def hedge_on(clock: LoopClock, **changes: Any) -> Hedge:
    """A hedge of ten units, long on alpha (first) and short on beta, opening now."""
    now = clock.now()
    values: dict[str, Any] = {
        "id": HEDGE_ID,
        "instance": "t3st",
        "symbol": "BTC-USDT",
        "mode": Mode.OPENING,
        "quantity": Decimal(10),
        "long": LegPlan(Side.LONG, "alpha", instrument("alpha"), 5),
        "short": LegPlan(Side.SHORT, "beta", instrument("beta"), 5),
        "first": Side.LONG,
        "deadline": now + timedelta(seconds=30),
        "tolerance": Decimal("-0.0001"),
        "entry_spread": Decimal("0.001"),
        "created_at": now,
    }
    return Hedge(Intent(**{**values, **changes}))


def exchange(name: str, clock: LoopClock, **changes: Any) -> FakeExchange:
    """A fake exchange with a book at 99.9 / 100.1."""
    made = FakeExchange(name, clock=clock, **changes)
    made.set_book("BTC-USDT", "99.9", "100.1")
    return made


class Floor:
    """Two fake exchanges, a bot on them, and the hands to move the market. Use ``async with floor.running():``."""

    def __init__(
        self,
        strategy: Strategy,
        *,
        rules: Sequence[RiskRule] = (),
        sinks: Mapping[str, AlertSink] | None = None,
        symbols: Sequence[str] = ("BTC-USDT",),
        start: datetime = START,
        **settings: Any,
    ) -> None:
        self.clock = LoopClock(start)
        self.store = MemoryStore()
        instruments = {name: [instrument(name, symbol) for symbol in symbols] for name in ("alpha", "beta")}
        self.alpha, self.beta = (
            FakeExchange(name, clock=self.clock, instruments=instruments[name]) for name in ("alpha", "beta")
        )
        values: dict[str, Any] = {
            "symbols": symbols,
            "rules": EntryRules(target_size_usd=Decimal(1000)),
            "policy": ExecutionPolicy(),
            "fill_timeout": timedelta(seconds=30),
            "settlement_guard": timedelta(seconds=60),
            "tolerances": {},
            "default_tolerance": Decimal("-0.0001"),
            "leverages": {},
            "instance": "t3st",
        }
        self.settings = TradingSettings(**{**values, **settings})
        self.strategy, self.rules, self.sinks = strategy, rules, dict(sinks or {})
        # orders are named after the first bits of their hedge's id
        self.ids = iter([UUID(int=1), *(UUID(int=number << 78) for number in range(2, 1000))])
        self.lease: Lease = SoleProcess()
        self.services: Mapping[str, Service] = {}
        self.network, self.rights_accepted = "localnet", set[str]()
        self.bot = self._bot()

    def _bot(self) -> Bot:
        both = {"alpha": self.alpha, "beta": self.beta}
        return Bot(
            BotParts(
                clock=self.clock,
                store=self.store,
                settings=self.settings,
                strategy=self.strategy,
                market_data=both,
                accounts=both,
                rules=self.rules,
                sinks=self.sinks,
                services=self.services,
                new_id=lambda: next(self.ids),
                lease=self.lease,
                network=self.network,
                rights_accepted=self.rights_accepted,
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bot]:
        """A new bot on the same store and exchanges; leaving is a crash: nothing is cleaned up."""
        self.bot = self._bot()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.bot.run)
            tasks.start_soon(self._tick_markets)
            await self.bot.ready.wait()
            yield self.bot
            tasks.cancel_scope.cancel()

    async def _tick_markets(self) -> None:
        """Books and rates are heard every second, as they stand."""
        while True:
            for made in (self.alpha, self.beta):
                for symbol, book in list(made.books.items()):
                    if book.bid is not None and book.ask is not None:
                        made.set_book(symbol, book.bid, book.ask)
                for symbol, rate in list(made.rates.items()):
                    made.set_rate(
                        symbol,
                        rate.rate,
                        next_settlement=rate.next_settlement,
                        interval=rate.interval,
                        mark=rate.mark,
                        index=rate.index,
                    )
            await anyio.sleep(1)

    def prices(self, alpha: str = "100", beta: str = "100", symbol: str = "BTC-USDT") -> None:
        for made, text in ((self.alpha, alpha), (self.beta, beta)):
            mid = Decimal(text)
            made.set_book(symbol, mid - Decimal("0.1"), mid + Decimal("0.1"))

    def rates(self, alpha: str, beta: str, next_settlement: datetime, symbol: str = "BTC-USDT") -> None:
        for made, value in ((self.alpha, alpha), (self.beta, beta)):
            made.set_rate(symbol, value, next_settlement=next_settlement, mark="100", index="100")

    async def until(self, condition: Callable[[], object], within: float = 60) -> None:
        """Wait (virtual seconds) until ``condition`` holds; fails with what the hedges look like when it never does."""
        end = self.clock.monotonic() + within
        while not condition():
            if self.clock.monotonic() > end:
                raise AssertionError(f"not within {within} s; hedges: {self.story()}")
            await anyio.sleep(0.05)

    def story(self) -> list[str]:
        lines = []
        for hedge in self.bot.state.hedges.values():
            lines.append(
                f"{hedge.symbol} {hedge.intent.mode.value} long {hedge.long.filled} short {hedge.short.filled}"
            )
            lines += [
                f"  {o.client_id} {o.state.value} {o.filled}/{o.quantity} {o.reason}" for o in hedge.orders
            ]
        return lines

    @property
    def hedge(self) -> Hedge:
        """The one hedge there is."""
        (found,) = self.bot.state.hedges.values()
        return found

    def mode(self) -> Mode | None:
        return self.hedge.intent.mode if self.bot.state.hedges else None

    def held(self, made: FakeExchange, symbol: str = "BTC-USDT") -> Decimal:
        position = made.ledger.positions.get(symbol)
        return ZERO if position is None else position.quantity

    @property
    def position(self) -> tuple[int, int]:
        """What is held on alpha and on beta; whole units only."""
        alpha, beta = self.held(self.alpha), self.held(self.beta)
        assert alpha == int(alpha)
        assert beta == int(beta)
        return int(alpha), int(beta)

    def sent(self, made: FakeExchange) -> list[NewOrder]:
        return [
            args[0] for name, args in made.calls if name == "place_order" and isinstance(args[0], NewOrder)
        ]


@dataclass
class Proposing:
    """A strategy that proposes what it is given: plans while there is no hedge of their symbol, and exits."""

    plans: list[HedgePlan] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    error: Exception | None = None
    asked: int = 0

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        self.asked += 1
        if self.error is not None:
            raise self.error
        live = {hedge.symbol for hedge in view.hedges}
        plans = tuple(plan for plan in self.plans if plan.symbol not in live)
        exits, self.exits = tuple(self.exits), []
        return Proposals(plans, exits)
