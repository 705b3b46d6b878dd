"""Open hedges: look at them, open one by hand, close one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Annotated, Literal, TypeVar, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError
from quart import Quart, Response
from quart_schema import document_response, validate_request

from fundingarb.domain.hedge import Hedge
from fundingarb.ports import BotHandle, HedgeAccount, HedgeView
from fundingarb_dashboard.accounts import PaymentRow, SettlementRow, account_named, records_of
from fundingarb_dashboard.answers import Problem, answer
from fundingarb_dashboard.api_market import Name
from fundingarb_dashboard.numbers import Fraction, Pair, Usd, Whole
from fundingarb_dashboard.replies import key_of_request
from fundingarb_dashboard.rows import Order, Position, Trade, position_row
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.site import Site

__all__ = ["install"]

PATIENCE = 15.0
T = TypeVar("T")
Version = Whole | None
Preset = Literal["conservative", "moderate", "aggressive"]


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
    version: Version = None


class Tolerance(BaseModel):
    """The lowest 8-hour spread a hedge is kept at: a preset's name (close at once, at -0.0001, or at -0.0005), or a
    fraction. Exactly one of the two."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"oneOf": [{"required": ["preset"]}, {"required": ["value"]}]}
    )
    preset: Annotated[Preset | None, WithJsonSchema({"type": "string", "enum": list(get_args(Preset))})] = (
        None
    )
    value: Fraction | None = None
    version: Version = None

    @model_validator(mode="after")
    def _one(self) -> Tolerance:
        if (self.preset is None) == (self.value is None):
            raise PydanticCustomError(
                "either", 'write either preset or value, such as {"preset": "moderate"}'
            )
        return self

    @property
    def wanted(self) -> str | Decimal:
        """The name of a preset, or the fraction."""
        return self.preset or Decimal(self.value or 0)


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


@dataclass(frozen=True, slots=True)
class Tolerated:
    """The hedge's new version."""

    position_id: UUID
    version: int


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
            return await bot.hedge_view(live(bot, position_id)), await bot.account_of(position_id)

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

        async def command(bot: BotHandle, actor: str, key: str) -> UUID:
            long, short = account_named(bot, data.long, "long"), account_named(bot, data.short, "short")
            return await bot.open_hedge(data.pair, long, short, Decimal(data.size_usd), actor, key)

        return answer(Opened(await _once(site, command)), 201)

    @app.post("/api/positions/<uuid:position_id>/close")
    @document_response(Closing)
    @validate_request(Close)
    async def close_position(data: Close, position_id: UUID) -> Response:
        """Close both legs of a hedge."""

        async def command(bot: BotHandle, actor: str, key: str) -> UUID:
            live(bot, position_id)
            await bot.close_hedge(position_id, version=data.version, actor=actor, key=key)
            return position_id

        return answer(Closing(await _once(site, command)))

    @app.post("/api/positions/<uuid:position_id>/tolerance")
    @document_response(Tolerated)
    @validate_request(Tolerance)
    async def tolerance(data: Tolerance, position_id: UUID) -> Response:
        """Keep a hedge down to another 8-hour spread."""

        async def command(bot: BotHandle, actor: str, key: str) -> int:
            live(bot, position_id)
            return await bot.set_tolerance(position_id, data.wanted, data.version, actor, key)

        return answer(Tolerated(position_id, await _once(site, command)))


def live(bot: BotHandle, position_id: UUID) -> Hedge:
    """The live hedge of that id. Raises `Problem` 404."""
    for hedge in bot.live_hedges():
        if hedge.id == position_id:
            return hedge
    raise Problem(404, "this position is not open; closed ones are at /api/history")


async def _once(site: Site, command: Callable[[BotHandle, str, str], Awaitable[T]]) -> T:
    """Carry out a command under its request's Idempotency-Key."""
    actor = session_of().actor
    key = await key_of_request(actor)
    outcome: T = await site.replies.once(
        key, lambda: site.line.command(lambda bot: command(bot, actor, key.durable), PATIENCE)
    )
    return outcome
