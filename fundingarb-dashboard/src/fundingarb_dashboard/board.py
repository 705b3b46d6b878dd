"""What a browser that connects now should see, and every event that changes it. Lives in the server's loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import msgspec

from fundingarb_dashboard.documents import Earned, Status, status_document, summary_document
from fundingarb_dashboard.feed import News
from fundingarb_dashboard.rows import (
    AlertRow,
    Position,
    Rate,
    alert_row,
    order_row,
    position_row,
    rate_row,
    trade_row,
)

__all__ = ["Board", "Change"]

ALERTS = 100

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Change:
    """One event, encoded. Of those with one ``key`` only the last matters; None: every one does.

    ``pair`` is set on rates, which a client may have asked for by pair.
    """

    key: Hashable | None
    body: bytes
    pair: str | None = None


class Board:
    """The last of everything, fed by `News`."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.summary: Earned | None = None
        self.rates: dict[tuple[str, str], Rate] = {}
        self.positions: dict[Any, Position] = {}
        self.alerts: deque[AlertRow] = deque(maxlen=ALERTS)
        self._snapshot: bytes | None = None

    def take(self, news: News) -> list[Change]:
        """Take what is new; returns the events that tell of it."""
        self._snapshot = None
        changes: list[Change] = []
        if news.watched is not None:
            self.status = status_document(news.watched)
            changes.append(Change("status", event("ENGINE_STATUS", engine_status(self.status))))
        if news.markets is not None:
            for market in news.markets.rows:
                rate = rate_row(market)
                self.rates[rate.exchange, rate.pair] = rate
                key = ("rate", rate.exchange, rate.pair)
                changes.append(Change(key, event("FUNDING_RATE_UPDATE", rate), rate.pair))
            for gone in news.markets.gone:
                self.rates.pop(gone, None)
                over = {"exchange": gone[0], "pair": gone[1], "gone": True}
                changes.append(Change(("rate", *gone), event("FUNDING_RATE_UPDATE", over), gone[1]))
        if news.summary is not None:
            changes.extend(self._take_summary(summary_document(news.summary)))
        for order, pair, exchange in news.orders:
            row = order_row(order, pair, exchange)
            changes.append(Change(("order", row.order_id), event("ORDER_UPDATE", row)))
        changes.extend(
            Change(None, event("TRADE_EXECUTED", trade_row(fill, hedge_id))) for fill, hedge_id in news.fills
        )
        for view in news.hedges:
            position = position_row(view)
            self.positions[position.position_id] = position
            changes.append(Change(("position", position.position_id), event("POSITION_UPDATE", position)))
        for hedge_id, status in news.over:
            self.positions.pop(hedge_id, None)
            gone_row = {"position_id": hedge_id, "status": status}
            changes.append(Change(("position", hedge_id), event("POSITION_UPDATE", gone_row)))
        for alert in news.alerts:
            alert_ = alert_row(alert)
            self.alerts.appendleft(alert_)
            changes.append(Change(None, event("ALERT", alert_)))
        return changes

    def _take_summary(self, summary: Earned) -> list[Change]:
        """An event only when it says something else than before."""
        if summary == self.summary:
            return []
        self.summary = summary
        return [Change("summary", event("SUMMARY_UPDATE", summary))]

    def snapshot(self) -> bytes:
        """The event that carries all of it, encoded once until something changes."""
        if self._snapshot is None:
            self._snapshot = event(
                "SNAPSHOT",
                {
                    "status": self.status,
                    "summary": self.summary,
                    "rates": list(self.rates.values()),
                    "positions": list(self.positions.values()),
                    "alerts": list(self.alerts),
                },
            )
        return self._snapshot


def event(kind: str, data: Any) -> bytes:
    """One event as JSON."""
    return _encode({"type": kind, "data": data})


def heartbeat(at: datetime, behind: float) -> Change:
    """The bot's time, and for how many real seconds its loop has said nothing: this beats also while that stalls."""
    return Change("heartbeat", event("HEARTBEAT", {"at": at, "behind_s": round(behind, 1)}))


def engine_status(status: Status) -> dict[str, Any]:
    """The status document with the specification's names beside it."""
    return {
        **{each.name: getattr(status, each.name) for each in fields(status)},
        "status": status.engine.state,
        "connected_exchanges": [each.name for each in status.exchanges if each.connected],
        "last_scan": status.engine.last_scan,
        "error": status.engine.error,
    }
