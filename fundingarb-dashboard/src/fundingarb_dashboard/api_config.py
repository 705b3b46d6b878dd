"""The configuration: look at it, check a change, put it in force without a restart, go back to an earlier one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict
from quart import Quart, Response
from quart_schema import document_response, validate_querystring, validate_request

from fundingarb.ports import BotHandle, ConfigApplied, ConfigChange, ConfigDesk
from fundingarb_dashboard.answers import Problem, answer
from fundingarb_dashboard.api_status import Limit
from fundingarb_dashboard.numbers import Whole
from fundingarb_dashboard.replies import key_of_request
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.site import Site

__all__ = ["install"]

PATIENCE = 15.0
T = TypeVar("T")


class Draft(BaseModel):
    """A whole configuration, without secrets, as GET /api/config gives it."""

    model_config = ConfigDict(extra="forbid")
    document: dict[str, Any]


class Update(Draft):
    """A configuration that was made from revision ``base_revision``."""

    base_revision: Whole


class Back(BaseModel):
    """The revision to go back to."""

    model_config = ConfigDict(extra="forbid")
    revision: Whole


@dataclass(frozen=True, slots=True)
class Configuration:
    """The newest ``revision``; ``restart_keys`` are paths that need a restart, they and everything below them."""

    revision: int
    document: Mapping[str, Any]
    schema: Mapping[str, Any]
    restart_keys: list[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs; a side is None where the setting is not there."""

    path: str
    before: Any
    after: Any
    restart: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """``errors`` by dotted path, one line each; ``diff`` against the newest revision."""

    errors: Mapping[str, str]
    diff: list[Change]


@dataclass(frozen=True, slots=True)
class Applied:
    """In force as ``revision``, apart from the ``restart`` paths, which are from the next start on."""

    revision: int
    restart: list[str]
    diff: list[Change]


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """``actor`` made it; None of what the program found in its file when it started."""

    revision: int
    at: datetime
    actor: str | None


@dataclass(frozen=True, slots=True)
class Revisions:
    rows: list[RevisionRow]


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_config`."""

    @app.get("/api/config")
    @document_response(Configuration)
    async def config() -> Response:
        """The configuration without secrets, and the JSON schema it follows."""

        async def look(bot: BotHandle) -> Configuration:
            desk = desk_of(bot)
            return Configuration(desk.revision, desk.document(), desk.schema(), list(desk.restart_keys))

        return answer(await site.line.ask(look))

    @app.post("/api/config/check")
    @document_response(Checked)
    @validate_request(Draft)
    async def config_check(data: Draft) -> Response:
        """What is wrong with a configuration, and what it would change. Nothing is done."""

        async def look(bot: BotHandle) -> Checked:
            found = desk_of(bot).check(data.document)
            return Checked(dict(found.errors), changes(found.changes))

        return answer(await site.line.ask(look))

    @app.post("/api/config/update")
    @document_response(Applied)
    @validate_request(Update)
    async def config_update(data: Update) -> Response:
        """Put a configuration in force without a restart; all of it or nothing."""
        return await _apply(site, lambda desk, actor: desk.apply(data.document, actor, data.base_revision))

    @app.get("/api/config/history")
    @document_response(Revisions)
    @validate_querystring(Limit)
    async def config_history(query_args: Limit) -> Response:
        """The revisions, newest first."""

        async def look(bot: BotHandle) -> Revisions:
            found = await desk_of(bot).revisions(query_args.limit)
            return Revisions([RevisionRow(each.revision, each.at, each.actor) for each in found])

        return answer(await site.line.ask(look))

    @app.post("/api/config/rollback")
    @document_response(Applied)
    @validate_request(Back)
    async def config_rollback(data: Back) -> Response:
        """Put in force what an earlier revision said, as a new one."""
        return await _apply(site, lambda desk, actor: desk.rollback(data.revision, actor))


async def _apply(site: Site, change: Callable[[ConfigDesk, str], Awaitable[ConfigApplied]]) -> Response:
    """Carry out a change under its request's Idempotency-Key."""
    actor = session_of().actor
    key = await key_of_request(actor)

    async def there(bot: BotHandle) -> Applied:
        done = await change(desk_of(bot), actor)
        return Applied(done.revision, list(done.restart), changes(done.changes))

    return answer(await site.replies.once(key, lambda: site.line.command(there, PATIENCE)))


def desk_of(bot: BotHandle) -> ConfigDesk:
    """Where the configuration of ``bot`` is changed. Raises `Problem` 409 when it has none."""
    if bot.config is None:
        raise Problem(
            409, "this bot was put together without a configuration file; change the program instead"
        )
    return bot.config


def changes(found: tuple[ConfigChange, ...]) -> list[Change]:
    return [Change(each.path, each.before, each.after, each.restart) for each in found]
