"""Login and logout."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from quart import Quart, Response, g, request
from quart_schema import document_response, validate_request

from fundingarb_dashboard.answers import Problem, answer
from fundingarb_dashboard.login import TooManyAttempts
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.sessions import Session
from fundingarb_dashboard.site import Site

__all__ = ["install"]


REMEMBERED = 30 * 24 * 3600
"""Seconds for which a browser keeps what it is known by at the next login; the dashboard does until it ends."""


class Credentials(BaseModel):
    """One of the two: the password, or the token of the link that was printed at start."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    password: str | None = Field(default=None, max_length=1024)
    token: str | None = Field(default=None, max_length=1024)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """``csrf`` goes into the header X-CSRF-Token of every request that changes something."""

    csrf: str


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """The session at hand. It ends at ``expires_at``, or 15 minutes after its last request."""

    csrf: str
    actor: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Nothing:
    """An empty object."""


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_session`."""

    @app.post("/api/login")
    @document_response(LoggedIn)
    @validate_request(Credentials)
    async def login(data: Credentials) -> Response:
        """Log in; the answer sets the session cookie."""
        try:
            browser = request.cookies.get(site.browser_cookie)
            actor = await site.gatekeeper.admit(request.remote_addr or "", data.password, data.token, browser)
        except TooManyAttempts as error:
            wait = int(error.wait) + 1
            raise Problem(
                429, f"too many attempts; try again in {wait} s", headers={"Retry-After": str(wait)}
            ) from error
        if actor is None:
            raise Problem(401, _what_else(site, data), code="wrong_credentials")
        before: Session | None = g.session
        if before is not None:
            site.sessions.end(before)
        cookie, session = site.sessions.start(actor)
        response = answer(LoggedIn(session.csrf))
        _set(site, response, site.cookie, cookie)
        _set(site, response, site.browser_cookie, site.gatekeeper.remember(browser), REMEMBERED)
        return response

    @app.get("/api/session")
    @document_response(SessionAnswer)
    async def session() -> Response:
        """Who is logged in, and the token that requests which change something carry."""
        found = session_of()
        return answer(SessionAnswer(found.csrf, found.actor, found.expires_at))

    @app.post("/api/logout")
    @document_response(Nothing)
    async def logout() -> Response:
        """End the session; its websockets are closed."""
        site.sessions.end(session_of())
        if not site.sessions.sweep():
            site.gatekeeper.invite()
        response = answer(Nothing())
        response.delete_cookie(site.cookie, path="/", secure=site.tls, httponly=True, samesite="Strict")
        return response


def _set(site: Site, response: Response, name: str, value: str, seconds: int | None = None) -> None:
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=site.tls, httponly=True, samesite="Strict"
    )


def _what_else(site: Site, data: Credentials) -> str:
    if site.gatekeeper.has_password:
        return "that is not the password; `fundingarb dashboard password` sets another one"
    if data.token is not None:
        return "this link was used or is of an earlier start; take the latest one from the program's terminal"
    return "there is no password yet; open the link that the program printed at its start"
