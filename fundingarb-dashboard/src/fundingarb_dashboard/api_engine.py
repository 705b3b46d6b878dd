"""Commands to the engine: automation on and off, the kill switch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict
from quart import Quart, Response
from quart_schema import document_response, validate_request

from fundingarb.ports import BotHandle
from fundingarb_dashboard.answers import answer
from fundingarb_dashboard.documents import Status, status_document, watch
from fundingarb_dashboard.replies import has_key, key_of_request
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.site import Site

__all__ = ["install"]

PATIENCE = 15.0


class Plain(BaseModel):
    """Nothing needs to be said."""

    model_config = ConfigDict(extra="forbid")


class Kill(BaseModel):
    """``confirm`` is the word KILL: closing everything is never a slip."""

    model_config = ConfigDict(extra="forbid")
    confirm: Literal["KILL"]


@dataclass(frozen=True, slots=True)
class Done:
    """The status after the command."""

    status: Status


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_engine`."""

    async def carry_out(
        command: Callable[[BotHandle], Awaitable[None]], key_required: bool = False
    ) -> Response:
        async def there(bot: BotHandle) -> Status:
            await command(bot)
            return status_document(watch(bot))

        if not key_required and not has_key():
            return answer(Done(await site.line.command(there, PATIENCE)))
        key, asked = await key_of_request(session_of().actor)
        return answer(Done(await site.replies.once(key, asked, lambda: site.line.command(there, PATIENCE))))

    @app.post("/api/engine/start")
    @document_response(Done)
    @validate_request(Plain)
    async def start(data: Plain) -> Response:
        """Automation on: the bot opens hedges by itself."""
        actor = session_of().actor
        return await carry_out(lambda bot: bot.resume(actor))

    @app.post("/api/engine/stop")
    @document_response(Done)
    @validate_request(Plain)
    async def stop(data: Plain) -> Response:
        """Automation off: no new hedges; open ones are looked after."""
        actor = session_of().actor
        return await carry_out(lambda bot: bot.pause(actor))

    @app.post("/api/engine/kill")
    @document_response(Done)
    @validate_request(Kill)
    async def kill(data: Kill) -> Response:
        """Latch the kill switch: every order is cancelled, every position on every account closed."""
        actor = session_of().actor
        return await carry_out(lambda bot: bot.kill(actor), key_required=True)

    @app.post("/api/engine/resume")
    @document_response(Done)
    @validate_request(Plain)
    async def resume(data: Plain) -> Response:
        """Release the kill switch; refused while something is not flat."""
        actor = session_of().actor
        return await carry_out(lambda bot: bot.release(actor))
