"""What the bot does about what has happened: alerts, liquidations. Each reaction follows a committed event."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from fundingarb.domain.events import FillBooked, HedgeChanged, PaymentBooked, StreamChanged
from fundingarb.domain.funding import expected_payment
from fundingarb.domain.hedge import CloseReason, Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, Fill, FillKind
from fundingarb.domain.pnl import HedgePnl
from fundingarb.engine.alerts import Announcer
from fundingarb.engine.bus import Bus, Subscription
from fundingarb.engine.durable import START_SECONDS, in_time
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import StoreError
from fundingarb.ports import Clock, Store

log = logging.getLogger("fundingarb.reactions")


@dataclass
class Reactions:
    """Listens to the bus; ``wake`` runs the trading loop, ``pnl`` is the account of a hedge as booked.

    Its tasks have started (``TaskGroup.start``) when they listen: what is published before is not heard.
    """

    state: BotState
    markets: Markets
    store: Store
    bus: Bus
    clock: Clock
    settings: TradingSettings
    announcer: Announcer
    wake: Callable[[], None]
    pnl: Callable[[Hedge], Awaitable[HedgePnl]]

    async def watch_events(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """React until cancelled. What is only told waits for figures of the database, and nothing waits for that."""
        told = {(hedge.id, mode) for hedge in self.state.hedges.values() for mode in Mode}
        told -= {(hedge.id, Mode.DONE) for hedge in self.state.live()}
        with (
            self.bus.subscribe(5000, FillBooked, StreamChanged) as events,
            self.bus.subscribe(5000, HedgeChanged, PaymentBooked) as news,
        ):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, news, told)
                task_status.started()
                while True:
                    event = await events.get()
                    if isinstance(event, FillBooked):
                        self._closed_by_exchange(event.fill, event.hedge_id)
                    elif isinstance(event, StreamChanged):
                        self.announcer.stream(event.stream, event.connected, event.reason, event.at)

    async def _tell(self, news: Subscription, told: set[tuple[UUID, Mode]]) -> None:
        while True:
            event = await news.get()
            if isinstance(event, HedgeChanged):
                hedge, key = event.hedge, (event.hedge.id, event.hedge.intent.mode)
                if key not in told and hedge.complete_fills and any(order.filled for order in hedge.orders):
                    told.add(key)
                    told -= {one for one in told if one[0] not in self.state.hedges}
                    await self._announce(hedge, event.at)
            elif isinstance(event, PaymentBooked) and event.hedge_id in self.state.hedges:
                await self._funded(event, self.state.hedges[event.hedge_id])

    async def _announce(self, hedge: Hedge, at: datetime) -> None:
        try:
            pnl = await in_time(self.pnl(hedge))
        except StoreError as error:
            log.warning("alert without figures: %s", error)
            return
        if hedge.intent.mode is Mode.HOLDING:
            self.announcer.opened(hedge, pnl, self._expected_funding(hedge), at)
        elif hedge.intent.mode is Mode.DONE:
            self.announcer.closed(hedge, pnl, at)

    async def _funded(self, event: PaymentBooked, hedge: Hedge) -> None:
        """Tell of a payment; for a hedge that is over also what it has earned now."""
        realized = None
        if hedge.intent.mode is Mode.DONE:
            try:
                realized = (await in_time(self.pnl(hedge))).realized
            except StoreError as error:
                log.warning("alert without figures: %s", error)
            self.bus.publish(HedgeChanged(hedge, self.clock.now()))
        self.announcer.funding(event, hedge, self.clock.now(), realized)

    def _expected_funding(self, hedge: Hedge) -> Decimal | None:
        """What the next settlement of each leg should bring at the rates announced now; None while one is unknown."""
        total = Decimal(0)
        for leg in (hedge.long, hedge.short):
            rate = self.markets.fresh_rate(leg.plan.instrument.exchange, hedge.symbol)
            if rate is None or rate.mark is None:
                return None
            total += expected_payment(leg.plan.side, leg.filled, rate.mark, rate.rate)
        return total

    async def remember_liquidations(self) -> None:
        """Liquidations that were booked before the last end and perhaps not acted on."""
        for hedge in self.state.live():
            if hedge.taken and not hedge.intent.liquidated:
                for fill in await in_time(self.store.fills(hedge.id), START_SECONDS):
                    self._closed_by_exchange(fill, hedge.id)

    def _closed_by_exchange(self, fill: Fill, hedge_id: UUID | None) -> None:
        """A liquidation: flatten the other leg at once, pause the symbol. ADL: what is left is all that is wanted.

        A fill of nothing is money (a fee, a clawback): it closes nothing.
        """
        hedge = self.state.hedges.get(hedge_id) if hedge_id else None
        if hedge is None or fill.kind is FillKind.TRADE or not fill.quantity or not hedge.live:
            return
        side = Side.LONG if hedge.intent.long.account == fill.account else Side.SHORT
        if fill.kind is FillKind.ADL:
            left = max(hedge.hedged, ZERO)
            if left < hedge.intent.quantity:  # otherwise told and done before a restart
                self.announcer.deleveraged(hedge, side, left, self.clock.now())
                self.state.put_intent(hedge.intent.edit(quantity=left))
                self.wake()
            return
        if not hedge.intent.liquidated:
            now = self.clock.now()
            self.state.cool_down(hedge.symbol, now + self.settings.cooldown)
            self.announcer.liquidated(hedge, side, str(self.settings.cooldown), now)
            intent = hedge.intent.edit(
                mode=Mode.CLOSING, close_reason=CloseReason.LIQUIDATION, liquidated=True
            )
            self.state.put_intent(intent)
            self.wake()
