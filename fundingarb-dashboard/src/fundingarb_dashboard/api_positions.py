"""Open hedges: look at them, open one by hand, close one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from quart import Quart, Response
from quart_schema import document_response, validate_request

from fundingarb.ports import BotHandle, HedgeAccount, HedgeView
from fundingarb_dashboard.accounts import PaymentRow, SettlementRow, account_named, records_of
from fundingarb_dashboard.answers import Problem, answer
from fundingarb_dashboard.api_market import Name, Pair
from fundingarb_dashboard.replies import key_of_request
from fundingarb_dashboard.rows import Order, Position, Trade, position_row
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.site import Site

__all__ = ["install"]

PATIENCE = 15.0
Usd = Annotated[Decimal, Field(gt=0, le=Decimal(10) ** 9, max_digits=24)]


class Open(BaseModel):
    """A hedge to be opened by hand: accounts (or exchanges with one account) to be long and short on."""

    model_config = ConfigDict(extra="forbid")
    pair: Pair
    long: Name
    short: Name
    size_usd: Usd


class Close(BaseModel):
    """A hedge to be closed; with ``version`` only when nobody has changed it since."""

    model_config = ConfigDict(extra="forbid")
    version: Annotated[int, Field(ge=1, strict=True)] | None = None


@dataclass(frozen=True, slots=True)
class Positions:
    rows: list[Position]


@dataclass(frozen=True, slots=True)
class FullPosition(Position):
    """A position with its orders, fills, payments and settlements."""

    orders: list[Order]
    fills: list[Trade]
    payments: list[PaymentRow]
    settlements: list[SettlementRow]


@dataclass(frozen=True, slots=True)
class Opened:
    position_id: UUID


@dataclass(frozen=True, slots=True)
class Closing:
    """The close was ordered; the position goes when both legs are flat."""

    position_id: UUID


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_positions`."""

    @app.get("/api/positions")
    @document_response(Positions)
    async def positions() -> Response:
        """Every live hedge as it is now."""

        async def look(bot: BotHandle) -> list[HedgeView]:
            return [await bot.hedge_view(hedge) for hedge in bot.live_hedges()]

        return answer(Positions([position_row(view) for view in await site.line.ask(look)]))

    @app.get("/api/positions/<uuid:position_id>")
    @document_response(FullPosition)
    async def position(position_id: UUID) -> Response:
        """One live hedge with everything that is booked to it."""

        async def look(bot: BotHandle) -> tuple[HedgeView, HedgeAccount]:
            hedge = next((hedge for hedge in bot.live_hedges() if hedge.id == position_id), None)
            if hedge is None:
                raise Problem(404, "this position is not open; closed ones are at /api/history")
            return await bot.hedge_view(hedge), await bot.account_of(position_id)

        view, account = await site.line.ask(look, PATIENCE)
        found, records = position_row(view), records_of(account)
        return answer(
            FullPosition(
                **{each.name: getattr(found, each.name) for each in fields(Position)},
                orders=records.orders,
                fills=records.fills,
                payments=records.payments,
                settlements=records.settlements,
            )
        )

    @app.post("/api/positions/open")
    @document_response(Opened, 201)
    @validate_request(Open)
    async def open_position(data: Open) -> Response:
        """Open a hedge by hand. Threshold and entry window are skipped, risk rules are not."""

        async def command(bot: BotHandle) -> UUID:
            long, short = account_named(bot, data.long, "long"), account_named(bot, data.short, "short")
            return await bot.open_hedge(data.pair, long, short, data.size_usd)

        return answer(Opened(await _once(site, command)), 201)

    @app.post("/api/positions/<uuid:position_id>/close")
    @document_response(Closing)
    @validate_request(Close)
    async def close_position(data: Close, position_id: UUID) -> Response:
        """Close both legs of a hedge."""

        async def command(bot: BotHandle) -> UUID:
            hedge = next((hedge for hedge in bot.live_hedges() if hedge.id == position_id), None)
            if hedge is None:
                raise Problem(404, "this position is not open any more")
            if data.version is not None and data.version != hedge.intent.version:
                raise Problem(
                    409, "somebody has changed this position since; look at it again", code="version_moved"
                )
            await bot.close_hedge(position_id)
            return position_id

        return answer(Closing(await _once(site, command)))


async def _once(site: Site, command: Any) -> Any:
    """Carry out a command under its request's Idempotency-Key."""
    key, asked = await key_of_request(session_of().actor)
    return await site.replies.once(key, asked, lambda: site.line.command(command, PATIENCE))
