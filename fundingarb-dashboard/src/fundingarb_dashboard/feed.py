"""The dashboard's part in the bot's loop: it looks at what has changed and hands it over. Nothing here fails the bot.

It runs at most ten times a second while somebody watches, once a second otherwise. What it hands over is immutable;
turning it into JSON is the server thread's work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from fundingarb.domain.events import Alert, Event, FillBooked, HedgeChanged, OrderChanged, PaymentBooked
from fundingarb.domain.hedge import Hedge, OrderRecord
from fundingarb.domain.order import Fill
from fundingarb.ports import BotHandle, Events, HedgeView, MarketRows, Summary
from fundingarb_dashboard.documents import Watched, watch

__all__ = ["Feed", "News"]

WATCHED = 0.1
UNWATCHED = 1.0
"""Seconds (real) between two looks, with and without somebody who watches."""
EVERY = 1.0
"""Seconds (real) after which everything that moves by itself (marks, ages) is looked at again."""
MOST_EVENTS = 5000

logger = logging.getLogger("fundingarb_dashboard")


@dataclass
class News:
    """What has changed since the last look. ``over`` are hedges that are not live any more, with their status."""

    markets: MarketRows | None = None
    hedges: list[HedgeView] = field(default_factory=list)
    over: list[tuple[UUID, str]] = field(default_factory=list)
    watched: Watched | None = None
    fills: list[tuple[Fill, UUID | None]] = field(default_factory=list)
    orders: list[tuple[OrderRecord, str | None, str | None]] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    summary: Summary | None = None
    missed: bool = False

    def __bool__(self) -> bool:
        rows = self.hedges or self.over or self.fills or self.orders or self.alerts
        return bool(rows or self.markets or self.watched or self.summary or self.missed)


class Feed:
    """Looks at ``bot`` and calls ``deliver`` (from the bot's loop) with what is new; ``watched`` tells the pace."""

    def __init__(
        self, bot: BotHandle, deliver: Callable[[News], object], watched: Callable[[], bool]
    ) -> None:
        self._bot = bot
        self._deliver = deliver
        self._watched = watched
        self._cursor = 0
        self._live: dict[UUID, Hedge] = {}
        self._full_at = self._summary_at = float("-inf")
        self._failure: str | None = None

    async def run(self) -> None:
        """Until it is cancelled. A failure is logged once and tried again at the next look."""
        loop = asyncio.get_running_loop()
        with self._bot.events(
            MOST_EVENTS, HedgeChanged, FillBooked, PaymentBooked, OrderChanged, Alert
        ) as events:
            missed = 0
            while True:
                news = News()
                try:
                    await self._look(news, events, loop.time())
                    self._failure = None
                except Exception as error:  # noqa: BLE001 - whatever it is, trading goes on and so does the next look
                    self._note(error)
                news.missed, missed = events.missed > missed, events.missed
                if news:
                    self._deliver(news)
                await asyncio.sleep(WATCHED if self._watched() else UNWATCHED)

    def _note(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._failure:
            logger.warning("the dashboard's figures are late: %s", said)
        self._failure = said

    async def _look(self, news: News, events: Events, moment: float) -> None:
        """Fill ``news``: first with what is in memory, then with what a database that is down would keep back."""
        touched: dict[UUID, Hedge] = {}
        again: set[UUID] = set()
        while (event := events.take()) is not None:
            self._sort(event, news, touched, again)
        live = {hedge.id: hedge for hedge in self._bot.live_hedges()}
        full = moment - self._full_at >= EVERY
        if full:
            self._full_at = moment
            news.watched = watch(self._bot)
        markets = self._bot.market_rows(self._cursor)
        self._cursor = markets.cursor
        if markets.rows or markets.gone:
            news.markets = markets
        before, self._live = self._live, live
        for hedge_id in [known for known in before if known not in live]:
            last = touched.get(hedge_id)
            news.over.append((hedge_id, last.status.value if last is not None else "CLOSED"))
        for hedge_id, hedge in live.items():
            if full or hedge_id in touched or hedge_id in again or hedge_id not in before:
                news.hedges.append(await self._bot.hedge_view(hedge))
        if again or news.over or moment - self._summary_at >= EVERY:
            self._summary_at = moment
            news.summary = await self._bot.summary()

    def _sort(self, event: Event, news: News, touched: dict[UUID, Hedge], again: set[UUID]) -> None:
        if isinstance(event, HedgeChanged):
            touched[event.hedge.id] = event.hedge
        elif isinstance(event, FillBooked):
            news.fills.append((event.fill, event.hedge_id))
            if event.hedge_id is not None:
                again.add(event.hedge_id)
        elif isinstance(event, PaymentBooked):
            if event.hedge_id is not None:
                again.add(event.hedge_id)
        elif isinstance(event, OrderChanged):
            news.orders.append((event.order, *self._where(event.order)))
            again.add(event.order.hedge_id)
        elif isinstance(event, Alert):
            news.alerts.append(event)

    def _where(self, order: OrderRecord) -> tuple[str | None, str | None]:
        """The symbol and the exchange of an order, as long as its hedge is live or was at the last look."""
        for hedge in (*self._bot.live_hedges(), *self._live.values()):
            if hedge.id == order.hedge_id:
                return hedge.symbol, hedge.intent.leg(order.leg).instrument.exchange
        return None, None
