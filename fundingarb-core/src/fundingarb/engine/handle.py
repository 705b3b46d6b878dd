"""What services and embedding programs may do with a bot (``ports.BotHandle``), put together from small parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fundingarb.domain.control import AuditEntry, Command, CommandKind, OpenLeg, plain
from fundingarb.domain.events import Alert
from fundingarb.domain.funding import SettledRate
from fundingarb.domain.hedge import CloseReason, Hedge
from fundingarb.domain.market import RateBook
from fundingarb.domain.order import ZERO
from fundingarb.engine.asked import account_named
from fundingarb.engine.bus import Bus, Subscription
from fundingarb.engine.calculator import Calculator
from fundingarb.engine.commands import CommandDesk
from fundingarb.engine.deeds import Deeds
from fundingarb.engine.hedge_view import HedgeLook
from fundingarb.engine.kill import KillSwitch
from fundingarb.engine.market_table import MarketTable
from fundingarb.engine.markets import Markets
from fundingarb.engine.money import HedgeMoney
from fundingarb.engine.reports import Reports, Results
from fundingarb.engine.settled import SettledRates
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop
from fundingarb.engine.view import TradingSettings
from fundingarb.engine.vitals import LagMeter, Physician
from fundingarb.engine.waiting import waiting_for
from fundingarb.errors import ConfigError, VersionConflict
from fundingarb.ports import (
    AccountStatus,
    BotStatus,
    Clock,
    ConfigDesk,
    ExchangeAdapter,
    LiveDesk,
    Owner,
    Store,
)
from fundingarb.ports.rows import (
    Calculation,
    HedgeAccount,
    HedgeView,
    HistoryRow,
    MarketRows,
    Opportunities,
    OrderRow,
    Summary,
    Vitals,
)

if TYPE_CHECKING:
    from datetime import datetime

    import anyio

    from fundingarb.engine.gate import RequestGate


#: Who commands when nobody is named: the program that runs the bot.
PROGRAM = "program"


class Handle:
    """The part of ``Bot`` that others use; ``Bot`` has the attributes named here."""

    clock: Clock
    store: Store
    bus: Bus
    state: BotState
    markets: Markets
    settings: TradingSettings
    gates: dict[str, RequestGate]
    loop: TradingLoop
    kill_switch: KillSwitch
    ready: anyio.Event
    started_at: datetime
    network: str
    market_data: Mapping[str, ExchangeAdapter]
    config: ConfigDesk | None
    live: LiveDesk | None
    owner: Owner | None
    commands: CommandDesk
    deeds: Deeds
    new_id: Callable[[], UUID]

    @cached_property
    def lag(self) -> LagMeter:
        return LagMeter(self.clock)

    @cached_property
    def _table(self) -> MarketTable:
        return MarketTable(self.state, self.markets)

    @cached_property
    def money(self) -> HedgeMoney:
        return HedgeMoney(self.store, self.bus)

    @cached_property
    def _settled(self) -> SettledRates:
        return SettledRates(self.markets, self.market_data, self.gates, self.clock)

    @cached_property
    def reports(self) -> Reports:
        results = Results(self.store, self.bus)
        return Reports(self.store, self.markets, self.clock, results, self.money, self._settled)

    # looking

    @property
    def rates(self) -> RateBook:
        return self.markets.book

    def events(self, size: int = 1000, *kinds: type) -> AbstractContextManager[Subscription]:
        return self.bus.subscribe(size, *kinds)

    def live_hedges(self) -> Sequence[Hedge]:
        return self.state.live()

    def status(self) -> BotStatus:
        loop = self._loop
        state = "KILLED" if self.state.killed else "PAUSED" if self.state.paused else "RUNNING"
        if not self.ready.is_set():
            state = "STARTING"
        return BotStatus(
            state=state,
            network=self.network,
            started_at=self.started_at,
            last_scan=loop.entries.last_scan if loop else None,
            accounts=tuple(
                AccountStatus(a.name, a.exchange, a.balance, a.halted) for a in self.state.accounts.values()
            ),
            streams=dict(self.markets.streams),
            pending_orders=sum(1 for h in self.state.live() for o in h.orders if not o.state.terminal),
            waiting_for=waiting_for(self.state, loop),
            failed_services=dict(self.state.failed_services),
        )

    @property
    def _loop(self) -> TradingLoop | None:
        """None while the bot starts."""
        return getattr(self, "loop", None)

    def market_rows(self, cursor: int = 0, limit: int | None = None) -> MarketRows:
        return self._table.rows(cursor, self.settings.forecast, limit)

    async def hedge_view(self, hedge: Hedge) -> HedgeView:
        pnl = await self.money.pnl(hedge)
        seconds = 0.0 if self._loop is None else self._loop.naked.seconds(hedge.id)
        return HedgeLook(self.state, self.markets, self.settings).view(hedge, pnl, seconds, self.clock.now())

    def vitals(self) -> Vitals:
        physician = Physician(self.state, self.markets, self.gates, self.lag, self.settings)
        desk: CommandDesk | None = getattr(self, "commands", None)  # not there before it starts
        unreadable = None if desk is None else desk.unreadable
        return physician.vitals(self._loop, self.ready.is_set(), unreadable)

    async def summary(self) -> Summary:
        return await self.reports.summary(list(self.state.hedges.values()))

    async def history(self, after: UUID | None = None, limit: int = 100) -> Sequence[HistoryRow]:
        return await self.reports.history(after, limit)

    async def account_of(self, hedge_id: UUID) -> HedgeAccount:
        return await self.reports.account_of(hedge_id)

    async def funding_history(
        self, symbol: str, exchanges: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[SettledRate]]:
        return {exchange: await self._settled.since(exchange, symbol, since) for exchange in exchanges}

    async def blotter(self, limit: int = 100) -> Sequence[OrderRow]:
        found = await self.store.blotter(limit=limit)
        return [OrderRow(symbol, exchange, order) for order, symbol, exchange in found]

    async def alerts(self, limit: int = 100) -> Sequence[Alert]:
        return await self.store.alerts(limit=limit)

    def opportunities(self) -> Opportunities:
        return self._calculator.opportunities(self.clock.now())

    def account_named(self, name: str) -> str:
        return account_named(self.state, name).name

    def calculate(self, symbol: str, long: str, short: str, size_usd: Decimal) -> Calculation:
        return self._calculator.calculate(symbol, long, short, size_usd, self.clock.now())

    @property
    def _calculator(self) -> Calculator:
        return Calculator(self.state, self.markets, self.loop, self.settings)

    # commanding

    async def open_hedge(
        self,
        symbol: str,
        long: str,
        short: str,
        size_usd: Decimal,
        actor: str = PROGRAM,
        key: str | None = None,
    ) -> UUID:
        arguments = {"symbol": symbol, "long": long, "short": short, "size_usd": str(size_usd)}
        return UUID(str((await self._perform(CommandKind.OPEN, arguments, actor, key))["hedge"]))

    async def close_hedge(
        self,
        hedge_id: UUID,
        reason: CloseReason = CloseReason.MANUAL,
        version: int | None = None,
        actor: str = PROGRAM,
        key: str | None = None,
    ) -> None:
        arguments = {"hedge": str(hedge_id), "reason": reason.value, "version": version}
        await self._perform(CommandKind.CLOSE, arguments, actor, key)

    async def set_tolerance(
        self,
        hedge_id: UUID,
        tolerance: str | Decimal,
        version: int | None = None,
        actor: str = PROGRAM,
        key: str | None = None,
    ) -> int:
        arguments = {"hedge": str(hedge_id), "tolerance": str(tolerance), "version": version}
        return int((await self._perform(CommandKind.TOLERANCE, arguments, actor, key))["version"])

    async def pause(self, actor: str = PROGRAM, key: str | None = None) -> None:
        await self._perform(CommandKind.PAUSE, {}, actor, key)

    async def resume(self, actor: str = PROGRAM, key: str | None = None) -> None:
        await self._perform(CommandKind.UNPAUSE, {}, actor, key)

    async def scan(self, actor: str = PROGRAM, key: str | None = None) -> None:
        await self._perform(CommandKind.SCAN, {}, actor, key)

    async def refresh(self, actor: str = PROGRAM, key: str | None = None) -> None:
        await self._perform(CommandKind.REFRESH, {}, actor, key)

    async def kill(self, actor: str, key: str | None = None) -> None:
        await self.kill_switch.latch(plain(actor))
        await self.commands.note_kill(self._command(CommandKind.KILL, {}, actor, key))

    async def release(self, actor: str, key: str | None = None) -> None:
        await self._perform(CommandKind.RELEASE, {}, actor, key)

    async def audit(self, limit: int = 100) -> Sequence[AuditEntry]:
        return await self.store.audited(limit=limit)

    def _command(
        self, kind: CommandKind, arguments: Mapping[str, Any], actor: str, key: str | None
    ) -> Command:
        made = self.new_id()
        return Command(made, key or str(made), kind, plain(actor), self.clock.now(), arguments)

    async def _perform(
        self, kind: CommandKind, arguments: Mapping[str, Any], actor: str, key: str | None
    ) -> Mapping[str, Any]:
        """The result of a command once it is done. Raises ``ConfigError`` when it was refused."""
        done = await self.commands.perform(self._command(kind, arguments, actor, key))
        result = done.result or {}
        if not done.ok:
            raise (VersionConflict if result.get("conflict") else ConfigError)(str(result.get("text", "")))
        return result

    @property
    def killed(self) -> bool:
        return self.state.killed

    @property
    def not_flat(self) -> Sequence[OpenLeg]:
        return self.kill_switch.open if self.state.killed else ()

    @property
    def foreign(self) -> Sequence[OpenLeg]:
        found = []
        for account in self.state.accounts.values():
            for symbol, position in account.positions.items():
                surplus = position.quantity - account.held.get(symbol, ZERO)
                listed = self.markets.instruments.get((account.exchange, symbol))
                there = surplus * position.quantity > 0  # otherwise some of ours is missing
                if there and (listed is None or abs(surplus) >= listed.lot):
                    found.append(OpenLeg(account.exchange, account.name, symbol, surplus, "not of this bot"))
        return found

    @property
    def flattened(self) -> bool:
        return self.state.killed and self.kill_switch.flat
