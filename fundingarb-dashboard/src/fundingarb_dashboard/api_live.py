"""From simulation to live: what there is to review, what is in the way, and the switch that takes the master password.

A person asks for the review and decides: its ticket goes with the decision, is good once and for a few minutes, so that
no request that is sent again, or later, does anything.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from quart import Quart, Response
from quart_schema import document_response, validate_request

from fundingarb.errors import ConfigError
from fundingarb.ports import BotHandle, LiveReview, Secret, Simulated
from fundingarb_dashboard.answers import answer
from fundingarb_dashboard.replies import key_of_request
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.site import Site

__all__ = ["install"]

PATIENCE = 15.0


class GoLive(BaseModel):
    """``confirm`` is the word LIVE: real money is never a slip. ``ticket`` is that of the review which was read."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    confirm: Literal["LIVE"]
    ticket: str = Field(min_length=1, max_length=200)
    master_password: str = Field(min_length=1, max_length=1024)


@dataclass(frozen=True, slots=True)
class Way:
    """The way from here to live trading. While there are ``obstacles``, sentences that say what to do, nobody goes
    there and ``ticket`` is None. ``review`` is None of a bot that does not simulate on testnet. ``sent`` says when it
    was sent live since its start, and what to do now; None before."""

    network: str
    obstacles: tuple[str, ...]
    review: Simulated | None
    ticket: str | None
    sent: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """``said`` is what to do now. This bot goes on simulating: only a ``restart`` makes it trade with real money."""

    said: str
    restart: bool


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_live`."""

    @app.get("/api/live")
    @document_response(Way)
    async def way() -> Response:
        """What is in the way of going live; with nothing in the way, a ticket that is good once and for ten minutes."""
        # Nobody gets another's ticket; going through all hedges is done for one person at a time.
        own = "live", session_of().key
        return answer(await site.shared.get(own, lambda: site.line.ask(way_of, PATIENCE), 0.0))

    @app.post("/api/live")
    @document_response(Sent)
    @validate_request(GoLive)
    async def go_live(data: GoLive) -> Response:
        """Have the next start trade with real money; takes the master password. Audited, refused or not."""
        actor = session_of().actor
        key = await key_of_request(actor)

        async def there(bot: BotHandle) -> Sent:
            live, password = bot.live, Secret(data.master_password)
            if live is None:
                raise ConfigError(not_from_here(bot.status().network))
            said = await site.master.tried(lambda: live.go_live(password, data.ticket, actor))
            return Sent(said, restart=True)

        return answer(await site.replies.once(key, lambda: site.line.command(there, PATIENCE)))


async def way_of(bot: BotHandle) -> Way:
    """The way from ``bot`` as it is to live trading. For the bot's loop."""
    network = bot.status().network
    if bot.live is None:
        return Way(network, (not_from_here(network),), None, None, None)
    found = await bot.live.review()
    return Way(network, found.obstacles, _simulated(found), found.ticket or None, found.sent or None)


def not_from_here(network: str) -> str:
    """Why a bot without a ``LiveDesk`` is not sent live, and what to do."""
    if network == "mainnet":
        return "this bot trades with real money already"
    if network == "testnet":
        return "this bot was started without a credentials vault; start it with fundingarb run"
    return f"network is {network}; going live starts from a simulation on testnet"


def _simulated(found: LiveReview) -> Simulated:
    """What there is to see of a review: its ticket and the like are said beside it."""
    return Simulated(**{field.name: getattr(found, field.name) for field in fields(Simulated)})
