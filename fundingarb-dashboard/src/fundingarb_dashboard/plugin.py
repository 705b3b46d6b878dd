"""Registration of the dashboard service; Quart and Hypercorn are imported when it is opened."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from fundingarb.component import Component
    from fundingarb.ports import OpenContext, Service
    from fundingarb_dashboard.settings import DashboardSettings


@asynccontextmanager
async def open_dashboard(settings: DashboardSettings, context: OpenContext) -> AsyncIterator[Service]:
    """The dashboard, listening once its ``start`` has returned. Raises `ConfigError` when the port is taken."""
    from fundingarb_dashboard.service import Dashboard

    dashboard = Dashboard(settings.port)
    try:
        yield dashboard
    finally:
        await dashboard.close()


@hookimpl
def register_services() -> Iterable[Component[Service]]:
    """The dashboard."""
    from fundingarb.component import Component
    from fundingarb_dashboard.settings import DashboardSettings

    return (
        Component(
            "dashboard",
            DashboardSettings,
            open_dashboard,
            summary="Health endpoint on loopback; the panels are not part of this release yet",
        ),
    )
