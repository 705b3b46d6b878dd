"""What stands before every route: a session unless the route is known to need none, and proof of the same origin."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from quart import Quart, Request, Response, Websocket, g, request, websocket

from fundingarb_dashboard.answers import Problem, failure
from fundingarb_dashboard.replies import KEYLESS, given_key
from fundingarb_dashboard.sessions import Session
from fundingarb_dashboard.site import Site

__all__ = ["ANONYMOUS", "install_security", "session_of"]

ANONYMOUS = frozenset({"index", "static", "plotly", "health", "login"})
"""Endpoints that answer without a session. `metrics` has a token of its own; everything else is 401."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
API_VERSION = "1"


def install_security(app: Quart, site: Site) -> None:
    """Default deny on ``app``: it sees every request and every websocket, also to addresses that do not exist."""

    @app.before_request
    async def guard() -> Response | None:
        try:
            _admit_request(site)
        except Problem as problem:
            return failure(problem)
        return None

    @app.before_websocket
    async def guard_websocket() -> Response | None:
        try:
            _admit_websocket(site)
        except Problem as problem:
            return failure(problem)
        return None

    @app.after_request
    async def finish(response: Response) -> Response:
        for name, value in headers(site).items():
            response.headers.setdefault(name, value)
        return response


def _admit_request(site: Site) -> None:
    if request.endpoint == "metrics":
        _check_bearer(site)
        return
    session = site.sessions.find(request.cookies.get(site.cookie))
    g.session = session
    if session is None and (request.endpoint not in ANONYMOUS or request.routing_exception is not None):
        raise Problem(401, "log in first")
    if request.method in SAFE:
        return
    if not _same_origin(request, site):
        raise Problem(403, "this request came from another page; use the dashboard's own", code="origin")
    if request.endpoint != "login":
        _check_csrf(session)
    if request.mimetype != "application/json":
        raise Problem(415, "send JSON, with Content-Type: application/json")
    if request.routing_exception is None and request.endpoint not in KEYLESS:
        given_key()


def _admit_websocket(site: Site) -> None:
    session = site.sessions.find(websocket.cookies.get(site.cookie))
    if session is None or websocket.routing_exception is not None:
        raise Problem(401, "log in first")
    if websocket.headers.get("Origin") not in site.origins or not _same_origin(websocket, site):
        raise Problem(403, "this connection came from another page; use the dashboard's own", code="origin")
    g.session = session


def _same_origin(asked: Request | Websocket, site: Site) -> bool:
    """Whether the browser says that our own page asked: Origin and Sec-Fetch-Site, one at least and neither wrong."""
    origins = asked.headers.getlist("Origin")
    fetched = asked.headers.getlist("Sec-Fetch-Site")
    if not origins and not fetched:
        return False
    return all(origin in site.origins for origin in origins) and all(one == "same-origin" for one in fetched)


def _check_csrf(session: Session | None) -> None:
    given = request.headers.get("X-CSRF-Token", "")
    if session is None or not hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), session.csrf.encode()
    ):
        raise Problem(403, "the header X-CSRF-Token is not this session's; reload the page", code="csrf")


def _check_bearer(site: Site) -> None:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    wanted = site.metrics_token
    right = wanted is not None and hmac.compare_digest(
        given.strip().encode("utf-8", "surrogatepass"), wanted.encode()
    )
    if not right or kind.lower() != "bearer":
        raise Problem(
            401,
            "send Authorization: Bearer TOKEN, the token of the dashboard's setting metrics_token_file",
            headers={"WWW-Authenticate": "Bearer"},
        )


def session_of() -> Session:
    """The session of the request or websocket at hand, which `install_security` has looked up."""
    session: Session = g.session
    return session


def headers(site: Site) -> Mapping[str, str]:
    """What every answer carries."""
    found = {
        "X-Fundingarb-Api": API_VERSION,
        "Content-Security-Policy": site.policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "Cache-Control": "no-store",
    }
    if site.tls:
        found["Strict-Transport-Security"] = "max-age=31536000"
    return found
