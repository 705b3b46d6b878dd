"""What services and embedding programs may do with a bot (``ports.BotHandle``), put together from small parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from fundingarb.domain.control import OpenLeg
from fundingarb.domain.events import Alert
from fundingarb.domain.funding import SettledRate
from fundingarb.domain.hedge import CloseReason, Hedge
from fundingarb.domain.market import RateBook
from fundingarb.domain.opportunity import Refusal
from fundingarb.engine.bus import Bus, Subscription
from fundingarb.engine.hedge_view import HedgeLook
from fundingarb.engine.kill import KillSwitch
from fundingarb.engine.manual import manual_plan
from fundingarb.engine.market_table import MarketTable
from fundingarb.engine.markets import Markets
from fundingarb.engine.money import HedgeMoney
from fundingarb.engine.reports import Reports, Results
from fundingarb.engine.settled import SettledRates
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop
from fundingarb.engine.view import TradingSettings, View
from fundingarb.engine.vitals import LagMeter, Physician
from fundingarb.engine.waiting import waiting_for
from fundingarb.errors import ConfigError
from fundingarb.ports import AccountStatus, BotStatus, Clock, ExchangeAdapter, Store
from fundingarb.ports.rows import HedgeAccount, HedgeView, HistoryRow, MarketRows, OrderRow, Summary, Vitals

if TYPE_CHECKING:
    from datetime import datetime

    import anyio

    from fundingarb.engine.gate import RequestGate


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
            last_scan=loop.last_scan if loop else None,
            accounts=tuple(
                AccountStatus(a.name, a.exchange, a.balance, a.halted) for a in self.state.accounts.values()
            ),
            streams=dict(self.markets.streams),
            pending_orders=sum(1 for h in self.state.live() for o in h.orders if not o.state.terminal),
            waiting_for=waiting_for(self.state, loop),
        )

    @property
    def _loop(self) -> TradingLoop | None:
        """None while the bot starts."""
        return getattr(self, "loop", None)

    def market_rows(self, cursor: int = 0) -> MarketRows:
        return self._table.rows(cursor, self.settings.forecast)

    async def hedge_view(self, hedge: Hedge) -> HedgeView:
        pnl = await self.money.pnl(hedge)
        seconds = 0.0 if self._loop is None else self._loop.naked.seconds(hedge.id)
        return HedgeLook(self.state, self.markets, self.settings).view(hedge, pnl, seconds, self.clock.now())

    def vitals(self) -> Vitals:
        revision = self.settings.config_revision
        physician = Physician(self.state, self.markets, self.gates, self.lag, revision)
        return physician.vitals(self._loop, self.ready.is_set())

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

    # commanding

    async def open_hedge(self, symbol: str, long: str, short: str, size_usd: Decimal) -> UUID:
        """Open by hand: threshold and window are skipped, risk rules are not. Returns the hedge's id."""
        view = View(self.state, self.markets, self.settings)
        plan = manual_plan(
            view, self.state, symbol, long, short, size_usd, self.settings.rules, self.settings.forecast,
            self.clock.now(),
        )  # fmt: skip
        approved = self.loop.judge(plan, plan.at)
        if isinstance(approved, Refusal):
            raise ConfigError(
                f"{symbol}: {approved.gate} refuses: needs {approved.needed}, is {approved.actual}"
            )
        return await self.loop.open_approved(approved)

    async def close_hedge(self, hedge_id: UUID, reason: CloseReason = CloseReason.MANUAL) -> None:
        hedge = self.state.hedges.get(hedge_id)
        if hedge is None or not hedge.live:
            raise ConfigError(f"hedge {hedge_id} is not open")
        self.loop.close(hedge_id, reason)

    def pause(self) -> None:
        self.state.paused = True

    def resume(self) -> None:
        self.state.paused = False
        if self._loop is not None:
            self._loop.wake()

    async def kill(self, actor: str) -> None:
        await self.kill_switch.latch(actor)

    async def release(self, actor: str) -> None:
        await self.kill_switch.release(actor)

    @property
    def killed(self) -> bool:
        return self.state.killed

    @property
    def not_flat(self) -> Sequence[OpenLeg]:
        return self.kill_switch.open if self.state.killed else ()

    @property
    def flattened(self) -> bool:
        return self.state.killed and self.kill_switch.flat
