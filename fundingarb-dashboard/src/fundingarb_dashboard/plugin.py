"""Registration of the dashboard service; Quart is imported when it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundingarb.component import Component
    from fundingarb.ports import Service


@hookimpl
def register_services() -> Iterable[Component[Service]]:
    return ()
