"""Registration of the dashboard service and its command; Quart and Hypercorn are imported when it is opened."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import click

    from fundingarb.component import Component
    from fundingarb.ports import OpenContext, Service
    from fundingarb_dashboard.settings import DashboardSettings


@asynccontextmanager
async def open_dashboard(settings: DashboardSettings, context: OpenContext) -> AsyncIterator[Service]:
    """The dashboard, listening once its ``start`` has returned.

    Raises `ConfigError` when the settings would let strangers in, a secret's file is not safe, or the port is taken.
    """
    import anyio

    from fundingarb_dashboard.place import place_of
    from fundingarb_dashboard.service import Dashboard

    dashboard = Dashboard(place_of(settings), context.clock)
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dashboard.watch)
        try:
            yield dashboard
        except Exception as error:  # noqa: BLE001 - raised below, as itself and not in a group
            failed = error
        finally:
            await dashboard.close()
            tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


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
            summary="Browser dashboard, on loopback unless told otherwise",
        ),
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """``fundingarb dashboard``."""
    from fundingarb_dashboard.command import dashboard_group

    cli.add_command(dashboard_group)
