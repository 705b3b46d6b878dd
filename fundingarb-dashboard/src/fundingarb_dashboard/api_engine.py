"""Commands to the engine: automation on and off, the kill switch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from quart import Quart, Response
from quart_schema import document_response, validate_querystring, validate_request

from fundingarb.ports import BotHandle, Secret
from fundingarb_dashboard.answers import answer
from fundingarb_dashboard.api_status import Limit
from fundingarb_dashboard.documents import Status, status_document, watch
from fundingarb_dashboard.master import not_owner
from fundingarb_dashboard.replies import key_of_request
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.site import Site

__all__ = ["install"]

PATIENCE = 15.0


class Plain(BaseModel):
    """Nothing needs to be said."""

    model_config = ConfigDict(extra="forbid")


class Release(BaseModel):
    """``master_password`` where the status says that releasing the kill switch needs it (testnet and mainnet)."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    master_password: str | None = Field(default=None, max_length=1024)


class Kill(BaseModel):
    """``confirm`` is the word KILL: closing everything is never a slip."""

    model_config = ConfigDict(extra="forbid")
    confirm: Literal["KILL"]


@dataclass(frozen=True, slots=True)
class Done:
    """The status after the command."""

    status: Status


@dataclass(frozen=True, slots=True)
class Deed:
    """A command, and what came of it. ``actor`` is a dashboard session, a Telegram id, a user of the command line."""

    at: datetime
    actor: str
    command: str
    arguments: Mapping[str, Any]
    ok: bool
    result: str


@dataclass(frozen=True, slots=True)
class Audit:
    rows: list[Deed]


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_engine`."""

    async def carry_out(command: Callable[[BotHandle, str, str], Awaitable[None]]) -> Response:
        """Have ``command`` done under the request's key, and say how the bot is then."""
        actor = session_of().actor
        key = await key_of_request(actor)

        async def there(bot: BotHandle) -> Status:
            await command(bot, actor, key.durable)
            return status_document(watch(bot))

        return answer(Done(await site.replies.once(key, lambda: site.line.command(there, PATIENCE))))

    @app.post("/api/engine/start")
    @document_response(Done)
    @validate_request(Plain)
    async def start(data: Plain) -> Response:
        """Automation on: the bot opens hedges by itself."""
        return await carry_out(lambda bot, actor, key: bot.resume(actor, key))

    @app.post("/api/engine/stop")
    @document_response(Done)
    @validate_request(Plain)
    async def stop(data: Plain) -> Response:
        """Automation off, also after a restart: no new hedges; open ones are looked after."""
        return await carry_out(lambda bot, actor, key: bot.pause(actor, key))

    @app.post("/api/engine/scan")
    @document_response(Done)
    @validate_request(Plain)
    async def scan(data: Plain) -> Response:
        """Have the strategy look at every symbol now."""
        return await carry_out(lambda bot, actor, key: bot.scan(actor, key))

    @app.post("/api/engine/refresh")
    @document_response(Done)
    @validate_request(Plain)
    async def refresh(data: Plain) -> Response:
        """Have every account read again."""
        return await carry_out(lambda bot, actor, key: bot.refresh(actor, key))

    @app.post("/api/engine/kill")
    @document_response(Done)
    @validate_request(Kill)
    async def kill(data: Kill) -> Response:
        """Latch the kill switch: every order is cancelled, every position on every account closed."""
        return await carry_out(lambda bot, actor, key: bot.kill(actor, key))

    @app.post("/api/engine/resume")
    @document_response(Done)
    @validate_request(Release)
    async def resume(data: Release) -> Response:
        """Release the kill switch; refused while something is not flat, and without the master password where there
        is one."""

        async def release(bot: BotHandle, actor: str, key: str) -> None:
            owner, password = bot.owner, data.master_password
            if owner is not None:
                if password is None:
                    raise not_owner(
                        "write the master password: releasing the kill switch takes it", "is missing"
                    )
                given = Secret(password)
                await site.master.tried(lambda: owner.confirm(given))
            await bot.release(actor, key)

        return await carry_out(release)

    @app.get("/api/audit")
    @document_response(Audit)
    @validate_querystring(Limit)
    async def audit(query_args: Limit) -> Response:
        """Who did what, the newest first."""
        rows = await site.line.ask(lambda bot: bot.audit(query_args.limit))
        return answer(
            Audit(
                [
                    Deed(each.at, each.actor, each.command, each.arguments, each.ok, each.result)
                    for each in rows
                ]
            )
        )
