"""What the bot is doing and what it has brought: status, summary, orders, alerts."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from quart import Quart, Response, g
from quart_schema import document_response, validate_querystring

from fundingarb.ports import BotHandle, OrderRow, Vitals
from fundingarb_dashboard.answers import Problem, answer
from fundingarb_dashboard.documents import Earned, Status, status_document, summary_document, watch
from fundingarb_dashboard.rows import AlertRow, Order, alert_row, order_row
from fundingarb_dashboard.site import Site

__all__ = ["Limit", "install", "order_of"]


class Limit(BaseModel):
    """How many rows at most."""

    model_config = ConfigDict(extra="forbid")
    limit: int = Field(default=100, ge=1, le=1000)


@dataclass(frozen=True, slots=True)
class Stream:
    """``age_s`` is real seconds since it was heard; None before it ever was."""

    exchange: str
    stream: str
    connected: bool
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """``status``: ok, or stalled when the bot's loop has not moved for two seconds. Strangers get that only.

    ``ready``: every account was read and the bot trades. ``loop_lag_ms`` is how late its loop was at worst lately.
    """

    status: str
    ready: bool = False
    loop_lag_ms: float | None = None
    streams: tuple[Stream, ...] = ()
    database: bool | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    rows: list[Order]


@dataclass(frozen=True, slots=True)
class Alerts:
    rows: list[AlertRow]


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_status`."""

    @app.get("/api/health")
    @document_response(Health)
    @document_response(Health, 503)
    async def health() -> Response:
        """For process monitors: 200 while the bot's loop moves, 503 when it does not."""
        if not await site.alive():
            return answer({"status": "stalled"}, 503)
        if g.session is None:
            return answer({"status": "ok"})
        try:
            vitals = await site.line.ask(_vitals)
        except Problem:
            return answer({"status": "stalled"}, 503)
        return answer(_health(vitals))

    @app.get("/api/status")
    @document_response(Status)
    async def status() -> Response:
        """The engine, every exchange and account, and the kill switch."""

        async def look(bot: BotHandle) -> Status:
            return status_document(watch(bot))

        return answer(await site.line.ask(look))

    @app.get("/api/summary")
    @document_response(Earned)
    async def summary() -> Response:
        """What all hedges have brought, exact to what the exchanges' ledgers have booked."""
        return answer(summary_document(await site.line.ask(lambda bot: bot.summary())))

    @app.get("/api/orders")
    @document_response(Orders)
    @validate_querystring(Limit)
    async def orders(query_args: Limit) -> Response:
        """The newest orders of all hedges."""
        rows = await site.line.ask(lambda bot: bot.blotter(query_args.limit))
        return answer(Orders([order_of(row) for row in rows]))

    @app.get("/api/alerts")
    @document_response(Alerts)
    @validate_querystring(Limit)
    async def alerts(query_args: Limit) -> Response:
        """The newest alerts."""
        rows = await site.line.ask(lambda bot: bot.alerts(query_args.limit))
        return answer(Alerts([alert_row(row) for row in rows]))


async def _vitals(bot: BotHandle) -> Vitals:
    return bot.vitals()


def _health(vitals: Vitals) -> Health:
    return Health(
        status="ok",
        ready=vitals.ready,
        loop_lag_ms=None if vitals.loop_lag is None else vitals.loop_lag * 1000,
        streams=tuple(Stream(one.exchange, one.stream, one.connected, one.age) for one in vitals.streams),
        database=vitals.database_reachable,
    )


def order_of(row: OrderRow) -> Order:
    """An order of the blotter as the API shows it."""
    return order_row(row.order, row.symbol, row.exchange)
