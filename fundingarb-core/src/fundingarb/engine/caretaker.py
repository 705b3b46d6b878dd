"""What takes the place of strategy and alert sinks where a bot only looks after what is open."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import anyio

from fundingarb.domain.events import Alert
from fundingarb.errors import FundingArbError
from fundingarb.ports import AlertSink, MarketView, Proposals

log = logging.getLogger("fundingarb.caretaker")


class Idle:
    """A strategy that proposes nothing."""

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        return Proposals()


class NotOpen(FundingArbError):
    """An alert sink is not open (yet). What it was to deliver waits; the other sinks do not."""


class SinkMeanwhile:
    """An alert sink that is being opened while the bot works already; until it is, it delivers nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sink: AlertSink | None = None

    async def run(
        self, opening: Callable[[], AbstractAsyncContextManager[AlertSink]], say: Callable[[str], None]
    ) -> None:
        """Open the sink and keep it open until cancelled; ``say`` hears of it when that fails."""
        try:
            async with opening() as self._sink:
                await anyio.sleep_forever()
        except Exception as error:  # noqa: BLE001 - closing positions does not depend on an alert sink
            why = " ".join(str(error).split()) if isinstance(error, FundingArbError) else repr(error)
            log.warning("alert sink %s cannot be opened: %s", self._name, why)
            say(f"alert sink {self._name} cannot be opened ({why}); going on without it")
        finally:
            self._sink = None

    async def send(self, alert: Alert) -> None:
        if self._sink is None:
            raise NotOpen(f"alert sink {self._name} is not open")
        await self._sink.send(alert)
