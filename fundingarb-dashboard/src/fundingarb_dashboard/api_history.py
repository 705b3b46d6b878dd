"""Hedges that are over: what each has brought and why it was closed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from quart import Quart, Response
from quart_schema import document_response, validate_querystring

from fundingarb.errors import ConfigError
from fundingarb.ports import BotHandle, HedgeAccount, HeldLonger, HistoryRow
from fundingarb_dashboard.accounts import PaymentRow, SettlementRow, records_of
from fundingarb_dashboard.answers import Problem, answer
from fundingarb_dashboard.rows import Order, Trade
from fundingarb_dashboard.site import Site

__all__ = ["install"]

PATIENCE = 15.0


class Page(BaseModel):
    """The hedges closed before the one that ``before`` names, the last closed first."""

    model_config = ConfigDict(extra="forbid")
    before: UUID | None = None
    limit: int = Field(default=100, ge=1, le=500)


@dataclass(frozen=True, slots=True)
class Closed:
    """A hedge that is over, in USD as booked. ``net`` = price + funding - fees; basis and slippage are in price."""

    position_id: UUID
    pair: str
    status: str
    long: str
    short: str
    size_usd: Decimal | None
    quantity: Decimal
    opened_at: datetime
    closed_at: datetime | None
    duration_s: float | None
    close_reason: str | None
    origin: str
    spread_8h_entry: Decimal
    funding: Decimal
    price: Decimal
    basis: Decimal
    slippage: Decimal
    fees: Decimal
    net: Decimal
    awaited: int
    missing: int


@dataclass(frozen=True, slots=True)
class History:
    """``next`` goes into ``before`` for the page after this one; None on the last."""

    rows: list[Closed]
    next: UUID | None


@dataclass(frozen=True, slots=True)
class Longer:
    """What holding it so many hours longer would have brought in funding, at its exit prices; None while unknown, and
    ``note`` says why."""

    h1: Decimal | None
    h4: Decimal | None
    h24: Decimal | None
    note: str | None


@dataclass(frozen=True, slots=True)
class FullClosed(Closed):
    """A closed hedge with everything that was booked to it."""

    orders: list[Order]
    fills: list[Trade]
    payments: list[PaymentRow]
    settlements: list[SettlementRow]
    held_longer: Longer | None


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_history`."""

    @app.get("/api/history")
    @document_response(History)
    @validate_querystring(Page)
    async def history(query_args: Page) -> Response:
        """Hedges that are over, the last closed first."""
        rows = await site.line.ask(lambda bot: bot.history(query_args.before, query_args.limit), PATIENCE)
        last = rows[-1].hedge_id if len(rows) == query_args.limit else None
        return answer(History([closed_row(row) for row in rows], last))

    @app.get("/api/history/<uuid:position_id>")
    @document_response(FullClosed)
    async def closed_position(position_id: UUID) -> Response:
        """The account of one hedge: orders, fills, payments, why it closed, what holding it longer had paid."""

        async def look(bot: BotHandle) -> HedgeAccount:
            try:
                return await bot.account_of(position_id)
            except ConfigError as error:
                raise Problem(404, str(error)) from error

        return answer(full_closed(await site.line.ask(look, PATIENCE)))


def closed_row(row: HistoryRow) -> Closed:
    duration = row.duration
    return Closed(
        position_id=row.hedge_id,
        pair=row.symbol,
        status=row.status.value,
        long=row.long_account,
        short=row.short_account,
        size_usd=row.size_usd,
        quantity=row.quantity,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        duration_s=None if duration is None else duration.total_seconds(),
        close_reason=None if row.close_reason is None else row.close_reason.value,
        origin=row.origin,
        spread_8h_entry=row.entry_spread_8h,
        funding=row.funding,
        price=row.price,
        basis=row.basis,
        slippage=row.slippage,
        fees=row.fees,
        net=row.net,
        awaited=row.awaited,
        missing=row.missing,
    )


def full_closed(account: HedgeAccount) -> FullClosed:
    closed, records, longer = closed_row(account.row), records_of(account), account.held_longer
    return FullClosed(
        **{name: getattr(closed, name) for name in (each.name for each in fields(Closed))},
        orders=records.orders,
        fills=records.fills,
        payments=records.payments,
        settlements=records.settlements,
        held_longer=None if longer is None else longer_row(longer),
    )


def longer_row(found: HeldLonger) -> Longer:
    figures = (found.one_hour, found.four_hours, found.one_day)
    note = None
    if found.too_old:
        note = "closed too long ago: exchanges are asked for the rates of the last 30 days only"
    elif None in figures:
        note = "what is missing is known once those hours are over and the exchanges have told their rates"
    return Longer(*figures, note)
