"""Commands to the engine: automation on and off, the kill switch."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from quart import Quart, Response
from quart_schema import document_response, validate_querystring, validate_request

from fundingarb.errors import ConfigError
from fundingarb.ports import BotHandle, Owner, Secret
from fundingarb_dashboard.answers import Problem, answer
from fundingarb_dashboard.api_status import Limit
from fundingarb_dashboard.documents import Status, status_document, watch
from fundingarb_dashboard.replies import key_of_request
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.site import Site
from fundingarb_dashboard.throttle import Throttle

__all__ = ["install"]

PATIENCE = 15.0


class Plain(BaseModel):
    """Nothing needs to be said."""

    model_config = ConfigDict(extra="forbid")


class Release(BaseModel):
    """``master_password`` where the status says that releasing the kill switch needs it (testnet and mainnet)."""

    model_config = ConfigDict(extra="forbid", strict=True)
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
    throttle = Throttle(time.monotonic)

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
            if bot.owner is not None:
                await confirm(bot.owner, data.master_password)
            await bot.release(actor, key)

        return await carry_out(release)

    async def confirm(owner: Owner, password: str | None) -> None:
        """Raises `Problem` when ``password`` is missing or wrong, or was guessed too often."""
        if password is None:
            raise _not_owner("write the master password: releasing the kill switch takes it", "is missing")
        wait = throttle.admit("master password")
        if wait > 0:
            again = {"Retry-After": str(int(wait) + 1)}
            raise Problem(429, f"too many attempts; try again in {int(wait) + 1} s", headers=again)
        try:
            await owner.confirm(Secret(password))
        except ConfigError as error:
            throttle.failed("master password")
            raise _not_owner(str(error), "is wrong") from error
        throttle.succeeded("master password")

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


def _not_owner(message: str, what: str) -> Problem:
    return Problem(403, message, code="master_password", fields={"master_password": what})
