"""The web application, put together. It runs in the server's thread."""

from __future__ import annotations

from quart import Quart

from fundingarb_dashboard import (
    api_config,
    api_engine,
    api_history,
    api_live,
    api_market,
    api_opportunities,
    api_positions,
    api_review,
    api_session,
    api_status,
    metrics,
    openapi,
    pages,
    stream,
)
from fundingarb_dashboard.answers import Json, install_errors
from fundingarb_dashboard.security import install_security
from fundingarb_dashboard.site import Site

__all__ = ["build"]

LARGEST_BODY = 1024 * 1024
BODY_SECONDS = 10


def build(site: Site) -> Quart:
    """Every route, behind the guard that denies what is not known to be open."""
    app = Quart("fundingarb_dashboard", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.config["BODY_TIMEOUT"] = BODY_SECONDS
    openapi.install(app, site.cookie)
    app.json = Json(app)
    install_errors(app)
    install_security(app, site)
    pages.install(app)
    for routes in (
        api_session, api_status, api_market, api_opportunities, api_positions, api_history, api_engine, api_review,
        api_live, api_config, metrics, stream,
    ):  # fmt: skip
        routes.install(app, site)
    return app
