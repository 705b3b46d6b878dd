"""Funding rates: the live table, and what was charged before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, TypeAlias
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from quart import Quart, Response
from quart_schema import document_response, validate_querystring

from fundingarb.domain.funding import SettledRate
from fundingarb.ports import BotHandle, HedgeBooks, MarketRow, MarketRows
from fundingarb_dashboard.answers import answer
from fundingarb_dashboard.numbers import Pair
from fundingarb_dashboard.rows import Rate, Spread, rate_row
from fundingarb_dashboard.site import Site

__all__ = ["Name", "install"]

PATIENCE = 15.0
"""Seconds for an answer that an exchange may have to be asked for."""
OWN_HEDGES, OWN_PAGES = 200, 5
TABLE_KEPT, HISTORY_KEPT = 0.5, 10.0
"""Seconds (real) for which an answer is given again, to everybody who asks for the same."""
PERIODS = 1095
"""Of eight hours in a year."""

Settled: TypeAlias = Mapping[str, Sequence[SettledRate]]
Name = Annotated[str, Field(min_length=1, max_length=64)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Wanted(BaseModel):
    """Which settled rates: of one pair, on these exchanges (all that have it, when none is named)."""

    model_config = ConfigDict(extra="forbid")
    pair: Pair = Field(json_schema_extra={"required": True})
    exchange: Annotated[list[Name], BeforeValidator(_as_list), Field(max_length=20)] = Field(
        default_factory=list
    )
    days: int = Field(default=7, ge=1, le=90)


@dataclass(frozen=True, slots=True)
class Rates:
    """Every instrument's rate, and the best two exchanges of every pair."""

    rows: list[Rate]
    spreads: list[Spread]


@dataclass(frozen=True, slots=True)
class Series:
    """(time, rate per 8 hours) of every settlement, oldest first."""

    exchange: str
    points: list[tuple[datetime, Decimal]]


@dataclass(frozen=True, slots=True)
class OwnPayment:
    """A payment that one of our own hedges received (positive) or made."""

    position_id: UUID
    account: str
    t: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class RateHistory:
    """What was charged, and what our own hedges had of it."""

    series: list[Series]
    own: list[OwnPayment]


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_market`."""

    @app.get("/api/rates")
    @document_response(Rates)
    async def rates() -> Response:
        """The funding rate of every instrument, and the best spread of every pair."""

        async def look(bot: BotHandle) -> MarketRows:
            return bot.market_rows()

        found = await site.shared.get("rates", lambda: site.line.ask(look), TABLE_KEPT)
        return answer(Rates([rate_row(row) for row in found.rows], best_spreads(found.rows)))

    @app.get("/api/rates/history")
    @document_response(RateHistory)
    @validate_querystring(Wanted)
    async def rates_history(query_args: Wanted) -> Response:
        """Rates that were charged, per exchange, and the settlements of our own hedges."""

        pair, named, days = query_args.pair, query_args.exchange, query_args.days

        async def look(bot: BotHandle) -> tuple[Settled, Sequence[HedgeBooks], datetime]:
            since = bot.clock.now() - timedelta(days=days)
            exchanges = named or sorted(hours)
            settled = await bot.funding_history(pair, exchanges, since)
            return settled, await _own(bot, pair, since), since

        hours = await _hours(site, pair)
        what = ("rates/history", pair, tuple(named), days)
        found = await site.shared.get(what, lambda: site.line.ask(look, PATIENCE), HISTORY_KEPT)
        settled, books, since = found
        return answer(RateHistory(_series(settled, hours), own_payments(books, since)))


def best_spreads(rows: Iterable[MarketRow]) -> list[Spread]:
    """The widest spread of every symbol between rates that are fresh: one that is not heard any more is none."""
    fresh: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        if row.rate_8h is not None and not row.stale:
            fresh.setdefault(row.symbol, []).append((row.rate_8h, row.exchange))
    return [
        Spread(symbol, long, short, high - low, (high - low) * PERIODS)
        for symbol, found in fresh.items()
        if len(found) > 1
        for (low, long), (high, short) in [(min(found), max(found))]
    ]


def _series(settled: Settled, hours: Mapping[str, float]) -> list[Series]:
    """Thousands of points: for the server's thread, not for the bot's loop."""
    found = []
    for exchange, rates in settled.items():
        usual = timedelta(hours=hours.get(exchange, 8.0))
        points = []
        for rate in rates:
            interval = rate.interval or usual
            points.append((rate.settled_at, rate.rate * 8 * 3600 / Decimal(int(interval.total_seconds()))))
        found.append(Series(exchange, points))
    return found


async def _hours(site: Site, pair: str) -> dict[str, float]:
    """Exchange -> hours between settlements of ``pair`` there: from what is shown, else asked of the bot."""
    shown = {
        exchange: row.interval_h for (exchange, name), row in site.hub.board.rates.items() if name == pair
    }
    if shown:
        return shown

    async def look(bot: BotHandle) -> MarketRows:
        return bot.market_rows()

    found = await site.shared.get("rates", lambda: site.line.ask(look), TABLE_KEPT)
    return {row.exchange: row.interval_hours for row in found.rows if row.symbol == pair}


async def _own(bot: BotHandle, pair: str, since: datetime) -> Sequence[HedgeBooks]:
    """The hedges of ``pair`` that were open at some time from ``since`` on, of the last thousand that are over."""
    found = list(await bot.store.books([hedge.id for hedge in bot.live_hedges() if hedge.symbol == pair]))
    last: UUID | None = None
    for _ in range(OWN_PAGES):
        page = await bot.store.closed(after=last, limit=OWN_HEDGES)
        ended = [books.hedge.intent.closed_at for books in page]
        found += [
            books
            for books, at in zip(page, ended, strict=True)
            if books.hedge.symbol == pair and (at is None or at >= since)
        ]
        if len(page) < OWN_HEDGES or (ended[-1] is not None and ended[-1] < since):
            break
        last = page[-1].hedge.id
    return found


def own_payments(books: Iterable[HedgeBooks], since: datetime) -> list[OwnPayment]:
    """What hedges were paid from ``since`` on. For the server's thread."""
    return [
        OwnPayment(each.hedge.id, payment.account, payment.settlement, payment.amount)
        for each in books
        for payment in each.payments
        if payment.settlement >= since
    ]
