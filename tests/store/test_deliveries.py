"""Which sinks have taken an alert, in the journal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.store.samples import NOW, StillClock

from fundingarb.domain.events import Alert, Delivery, Severity
from fundingarb.ports import Batch
from fundingarb.store import InlineStore, SqlStore, open_store

pytestmark = pytest.mark.anyio

ALERT = Alert(Severity.CRITICAL, "Liquidation Detected", ("Pair: BTC-USDT", "über\x00"), NOW)
EARLIER = replace(ALERT, title="Margin Low", at=NOW - timedelta(hours=25))
DAY = NOW - timedelta(hours=24)


def waiting(alert: Alert, *sinks: str) -> Batch:
    return Batch(alerts=(alert,), deliveries=tuple(Delivery(alert, sink, None) for sink in sinks))


def taken(alert: Alert, sink: str) -> Batch:
    return Batch(deliveries=(Delivery(alert, sink, NOW),))


def names(found: object) -> list[tuple[str, str]]:
    return [(each.alert.title, each.sink) for each in found]  # type: ignore[attr-defined]


async def test_what_a_sink_has_not_taken_is_found_again(store: SqlStore, url: str) -> None:
    await store.commit(waiting(ALERT, "log", "telegram"))
    await store.commit(waiting(EARLIER, "telegram"))
    await store.commit(Batch(alerts=(replace(ALERT, title="for nobody"),)))
    assert names(await store.undelivered(DAY)) == [
        ("Liquidation Detected", "log"),
        ("Liquidation Detected", "telegram"),
    ]
    assert names(await store.undelivered(NOW - timedelta(days=2)))[0] == ("Margin Low", "telegram")
    await store.commit(taken(ALERT, "log"))
    (left,) = await store.undelivered(DAY)
    assert (left.sink, left.delivered_at) == ("telegram", None)
    assert (left.alert.severity, left.alert.lines[0], left.alert.at) == (
        Severity.CRITICAL,
        "Pair: BTC-USDT",
        NOW,
    )
    await store.commit(taken(left.alert, "telegram"))
    assert await store.undelivered(DAY) == []
    async with open_store(url, StillClock(), "wxyz") as other:
        await other.commit(waiting(ALERT, "telegram"))
        assert names(await other.undelivered(DAY)) == [("Liquidation Detected", "telegram")]


async def test_taken_is_taken_in_whatever_order_it_is_stored(store: SqlStore) -> None:
    await store.commit(taken(ALERT, "telegram"))
    await store.commit(waiting(ALERT, "telegram"))
    await store.commit(waiting(ALERT, "telegram"))
    assert await store.undelivered(DAY) == []


async def test_an_inline_store_does_the_same() -> None:
    store = InlineStore("sqlite://", StillClock())
    await store.commit(waiting(ALERT, "telegram", "log"))
    await store.commit(taken(ALERT, "log"))
    assert names(await store.undelivered(DAY)) == [("Liquidation Detected", "telegram")]
    await store.close()
