"""What was earned: the summary, the history and the full account of one hedge, all from what is booked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import anyio
import anyio.lowlevel

from fundingarb.domain.events import FillBooked, HedgeChanged, PaymentBooked, SettlementChanged
from fundingarb.domain.hedge import Hedge, Mode, Status
from fundingarb.domain.order import ZERO
from fundingarb.domain.pnl import HedgePnl, hedge_pnl, open_slippage, unrealized
from fundingarb.engine.bus import Bus, Subscription
from fundingarb.engine.markets import Markets
from fundingarb.engine.money import NEWS, HedgeMoney
from fundingarb.engine.settled import ASKED, SettledRates, missed
from fundingarb.errors import ConfigError, ExchangeError
from fundingarb.ports import Clock, HedgeBooks, Store
from fundingarb.ports.rows import HedgeAccount, HeldLonger, HistoryRow, OrderRow, Summary

#: Hedges that are read at once.
PAGE = 500
#: Hedges that are added up before the trading loop has its turn.
BREATH = 10
#: How long after its end it is said what holding a hedge longer would have brought.
HOURS = (1, 4, 24)


@dataclass(frozen=True, slots=True)
class _Brought:
    """What one hedge has brought: kept for every hedge there has been, so no more than the sums need."""

    price: Decimal
    funding: Decimal
    fees: Decimal
    slippage: Decimal
    duration: timedelta


@dataclass
class Results:
    """What the hedges that are over have brought: read once, then only what has changed. Sums are exact."""

    store: Store
    bus: Bus
    _news: Subscription | None = None
    _rows: dict[UUID, _Brought] = field(default_factory=dict)
    _turn: anyio.Lock = field(default_factory=anyio.Lock)
    price: Decimal = ZERO
    funding: Decimal = ZERO
    fees: Decimal = ZERO
    slippage: Decimal = ZERO
    duration: timedelta = timedelta(0)
    wins: int = 0

    def __contains__(self, hedge_id: UUID) -> bool:
        return hedge_id in self._rows

    @property
    def trades(self) -> int:
        return len(self._rows)

    async def refresh(self) -> None:
        """Bring the sums up to what is committed. Raises ``StoreError``."""
        async with self._turn:
            changed = self._changed()
            if changed is None:
                await self._read_all()
            elif changed:
                try:
                    for books in await self.store.books(changed):
                        self._take(books)
                except BaseException:
                    self._leave()  # what was taken from it is lost: read everything again
                    raise

    def _changed(self) -> set[UUID] | None:
        """The hedges of which something was booked since; None when that is not known."""
        if self._news is None or self._news.missed:
            return None
        changed: set[UUID] = set()
        while (event := self._news.take()) is not None:
            if isinstance(event, (FillBooked, PaymentBooked)) and event.hedge_id is not None:
                changed.add(event.hedge_id)
            elif isinstance(event, HedgeChanged) and not event.hedge.live:
                changed.add(event.hedge.id)
            elif isinstance(event, SettlementChanged) and event.settlement.hedge_id in self._rows:
                changed.add(event.settlement.hedge_id)
        return changed

    async def _read_all(self) -> None:
        self._leave()
        news = self.bus.join(NEWS, FillBooked, PaymentBooked, HedgeChanged, SettlementChanged)
        try:
            self._clear()
            last: UUID | None = None
            while page := await self.store.closed(after=last, limit=PAGE):
                for number, books in enumerate(page):
                    self._take(books)
                    if number % BREATH == 0:
                        await anyio.lowlevel.checkpoint()
                last = page[-1].hedge.id
        except BaseException:
            self.bus.leave(news)
            raise
        self._news = news

    def _leave(self) -> None:
        if self._news is not None:
            self.bus.leave(self._news)
        self._news = None

    def _clear(self) -> None:
        self._rows.clear()
        self.price = self.funding = self.fees = self.slippage = ZERO
        self.duration, self.wins = timedelta(0), 0

    def _take(self, books: HedgeBooks) -> None:
        """Put a hedge into the sums, in place of what it was before."""
        before = self._rows.pop(books.hedge.id, None)
        if before is not None:
            self._add(before, -1)
        hedge = books.hedge
        if hedge.intent.mode is Mode.DONE and hedge.status is not Status.ABANDONED:
            row = history_row(books)
            brought = _Brought(row.price, row.funding, row.fees, row.slippage, row.duration or timedelta(0))
            self._rows[hedge.id] = brought
            self._add(brought, 1)

    def _add(self, row: _Brought, sign: int) -> None:
        self.price += sign * row.price
        self.funding += sign * row.funding
        self.fees += sign * row.fees
        self.slippage += sign * row.slippage
        self.duration += sign * row.duration
        self.wins += sign * (row.price + row.funding - row.fees > 0)


@dataclass(frozen=True)
class Reports:
    """Computed on demand; nothing here is in the way of the trading loop."""

    store: Store
    markets: Markets
    clock: Clock
    results: Results
    money: HedgeMoney
    settled: SettledRates

    async def summary(self, hedges: Sequence[Hedge]) -> Summary:
        """Of every hedge there has been; ``hedges`` are those the bot remembers. Raises ``StoreError``."""
        await self.results.refresh()
        done = self.results
        price, funding, fees, slippage = done.price, done.funding, done.fees, done.slippage
        open_result: Decimal | None = ZERO
        entered = ZERO
        for hedge in hedges:
            if hedge.id in done or not any(order.filled for order in hedge.orders):
                continue
            pnl = await self.money.pnl(hedge)
            price, funding, fees = price + pnl.price, funding + pnl.funding, fees + pnl.fees
            slippage += pnl.slippage
            entered += open_slippage(hedge, pnl)
            own = unrealized(hedge, pnl, *self._marks(hedge))
            open_result = None if own is None or open_result is None else open_result + own
        return Summary(
            price=price,
            funding=funding,
            fees=fees,
            slippage=slippage,
            unrealized=open_result,
            trades=done.trades,
            wins=done.wins,
            open=sum(hedge.live for hedge in hedges),
            average_duration=done.duration / done.trades if done.trades else None,
            open_slippage=entered,
        )

    def _marks(self, hedge: Hedge) -> tuple[Decimal | None, Decimal | None]:
        legs = (hedge.intent.long, hedge.intent.short)
        long, short = (self.markets.mark(leg.instrument.exchange, hedge.symbol) for leg in legs)
        return long, short

    async def history(self, after: UUID | None, limit: int) -> Sequence[HistoryRow]:
        """Hedges that are over, the last closed first. Raises ``StoreError``."""
        rows = []
        for number, books in enumerate(await self.store.closed(after=after, limit=limit)):
            rows.append(history_row(books))
            if number % BREATH == 0:
                await anyio.lowlevel.checkpoint()
        return rows

    async def account_of(self, hedge_id: UUID) -> HedgeAccount:
        """Everything of one hedge. Raises ``ConfigError`` when there is none, ``StoreError``."""
        found = await self.store.books([hedge_id])
        if not found:
            raise ConfigError(f"there is no hedge {hedge_id}")
        (books,) = found
        intent = books.hedge.intent
        return HedgeAccount(
            row=history_row(books),
            orders=tuple(
                OrderRow(intent.symbol, intent.leg(order.leg).instrument.exchange, order)
                for order in books.hedge.orders
            ),
            fills=books.fills,
            payments=books.payments,
            settlements=books.settlements,
            held_longer=None if books.hedge.live else await self._held_longer(books),
        )

    async def _held_longer(self, books: HedgeBooks) -> HeldLonger:
        hedge, pnl = books.hedge, pnl_of(books)
        closed = hedge.intent.closed_at
        if closed is None:
            return HeldLonger(None, None, None)
        if self._too_old(hedge):
            return HeldLonger(None, None, None, too_old=True)
        quantity = min(pnl.long.quantity, pnl.short.quantity, hedge.intent.quantity)  # what was left of it
        found: list[Decimal | None] = [ZERO for _ in HOURS]
        for leg, money in ((hedge.intent.long, pnl.long), (hedge.intent.short, pnl.short)):
            price = money.exit_price or money.entry_price or ZERO
            charged = await self._charged(leg.instrument.exchange, hedge)
            for index, hours in enumerate(HOURS):
                end, total = closed + timedelta(hours=hours), found[index]
                own = None
                if end <= self.clock.now():
                    own = missed(leg, quantity, price, charged, closed, end)
                found[index] = None if own is None or total is None else total + own
        return HeldLonger(found[0], found[1], found[2])

    @staticmethod
    def _charged_since(hedge: Hedge) -> datetime:
        """From when on the rates are wanted: the last ones before its end show which settlements there are."""
        return (hedge.intent.closed_at or hedge.intent.created_at) - timedelta(hours=24)

    def _too_old(self, hedge: Hedge) -> bool:
        return self._charged_since(hedge) < self.clock.now() - ASKED

    async def _charged(self, exchange: str, hedge: Hedge) -> dict[datetime, Decimal]:
        """What was charged around the end of ``hedge``; nothing while the exchange does not tell."""
        try:
            rates = await self.settled.since(exchange, hedge.symbol, self._charged_since(hedge))
        except (ExchangeError, ConfigError):
            return {}
        return {rate.settled_at: rate.rate for rate in rates}


def pnl_of(books: HedgeBooks) -> HedgePnl:
    """The account of a hedge from its books."""
    return hedge_pnl(books.hedge, books.fills, books.payments, books.settlements)


def history_row(books: HedgeBooks) -> HistoryRow:
    """One line about a hedge, from its books."""
    hedge, pnl = books.hedge, pnl_of(books)
    intent = hedge.intent
    quantity = min(pnl.long.quantity, pnl.short.quantity)
    entries = [price for price in (pnl.long.entry_price, pnl.short.entry_price) if price is not None]
    return HistoryRow(
        hedge_id=hedge.id,
        symbol=hedge.symbol,
        status=hedge.status,
        long_account=intent.long.account,
        long_exchange=intent.long.instrument.exchange,
        short_account=intent.short.account,
        short_exchange=intent.short.instrument.exchange,
        quantity=quantity,
        size_usd=quantity * sum(entries, ZERO) / len(entries) if entries else None,
        opened_at=intent.opened_at or intent.created_at,
        closed_at=intent.closed_at,
        close_reason=intent.close_reason,
        origin=intent.origin,
        entry_spread_8h=intent.entry_spread,
        price=pnl.price,
        funding=pnl.funding,
        fees=pnl.fees,
        slippage=pnl.slippage,
        awaited=pnl.awaited,
        missing=pnl.missing,
    )
