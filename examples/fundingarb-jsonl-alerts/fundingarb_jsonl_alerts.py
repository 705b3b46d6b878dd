"""An alert sink as a distribution: every alert is a line of JSON in a file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from pydantic import Field

from fundingarb import Component, hookimpl
from fundingarb.settings import PluginSettings

if TYPE_CHECKING:
    from fundingarb import Alert, AlertSink, OpenContext


class JsonlAlertsSettings(PluginSettings):
    """The section ``alerts.jsonl`` of the configuration."""

    path: Path = Field(description="file to append to; it is made when it does not exist")


@dataclass(frozen=True)
class JsonlAlerts:
    """Raising means that an alert was not delivered: it stays in the outbox and is sent again."""

    path: Path

    async def send(self, alert: Alert) -> None:
        row = {
            "at": alert.at.isoformat(),
            "severity": alert.severity.value,
            "title": alert.title,
            "lines": list(alert.lines),
        }
        async with await anyio.open_file(self.path, "a") as file:
            await file.write(json.dumps(row) + "\n")


@asynccontextmanager
async def open_jsonl(settings: JsonlAlertsSettings, context: OpenContext) -> AsyncIterator[AlertSink]:
    yield JsonlAlerts(settings.path)


@hookimpl
def register_alert_sinks() -> Iterable[Component[AlertSink]]:
    summary = "alerts as lines of JSON in a file (example)"
    return (Component("jsonl", JsonlAlertsSettings, open_jsonl, summary=summary),)
