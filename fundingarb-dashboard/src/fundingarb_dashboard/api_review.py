"""The review of a simulation: what the bot has done, in the figures that decide whether it may trade for real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from quart import Quart, Response
from quart_schema import document_response

from fundingarb.domain.events import Alert
from fundingarb.ports import BotHandle, BotStatus, HedgeBooks, Summary
from fundingarb_dashboard.answers import answer
from fundingarb_dashboard.site import Site

__all__ = ["install", "longest_unhedged"]

PATIENCE = 15.0
HEDGES = 200
ALERTS = 1000
KEPT = 5.0
"""Seconds (real) for which a review is shown again, to everybody who looks."""


@dataclass(frozen=True, slots=True)
class Review:
    """``hours`` of the bot's time since its start; ``net`` USD booked and at the marks; ``worst_unhedged_s`` the
    longest time (real seconds) for which one of the last 200 hedges had a leg heavier than the other. ``refusals`` are
    by gate, ``alerts`` those of the last 1,000 by severity."""

    simulation: bool
    hours: float
    hedges: int
    open: int
    net: Decimal | None
    win_rate: Decimal | None
    worst_unhedged_s: float | None
    refusals: Mapping[str, int]
    alerts: Mapping[str, int]


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_review`."""

    @app.get("/api/simulation")
    @document_response(Review)
    async def simulation() -> Response:
        """What the bot has done so far, on whatever network it trades."""
        return answer(await site.shared.get("simulation", look, KEPT))

    async def look() -> Review:
        return review(await site.line.ask(_seen, PATIENCE))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a review is made from, as the bot hands it over."""

    status: BotStatus
    summary: Summary
    now: datetime
    speed: float
    books: tuple[HedgeBooks, ...]
    alerts: Sequence[Alert]
    refusals: Mapping[str, int]


async def _seen(bot: BotHandle) -> Seen:
    """For the bot's loop, which only fetches: going through it all is the server thread's work."""
    return Seen(
        bot.status(),
        await bot.summary(),
        bot.clock.now(),
        bot.clock.speed,
        (
            *await bot.store.closed(limit=HEDGES),
            *await bot.store.books([hedge.id for hedge in bot.live_hedges()]),
        ),
        await bot.alerts(ALERTS),
        await bot.store.refusal_counts(),
    )


def review(seen: Seen) -> Review:
    status, summary = seen.status, seen.summary
    worst = max((longest_unhedged(each, seen.now) for each in seen.books), default=None)
    return Review(
        simulation=status.network != "mainnet",
        hours=(seen.now - status.started_at).total_seconds() / 3600,
        hedges=summary.trades + summary.open,
        open=summary.open,
        net=summary.net,
        win_rate=summary.win_rate,
        worst_unhedged_s=None if worst is None else worst / seen.speed,
        refusals=dict(seen.refusals),
        alerts=dict(Counter(alert.severity.value for alert in seen.alerts)),
    )


def longest_unhedged(books: HedgeBooks, now: datetime) -> float:
    """The longest time, in seconds of the bot's clock, in which the fills of both legs differed by a lot or more."""
    net = Decimal(0)
    since: datetime | None = None
    longest = 0.0
    for fill in sorted(books.fills, key=lambda each: each.at):
        net += fill.side.sign * fill.quantity
        if abs(net) < books.hedge.lot:
            longest, since = max(longest, _seconds(since, fill.at)), None
        elif since is None:
            since = fill.at
    return max(longest, _seconds(since, now))


def _seconds(since: datetime | None, until: datetime) -> float:
    return 0.0 if since is None else (until - since).total_seconds()
