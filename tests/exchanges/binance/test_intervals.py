"""How a change of a funding interval is noticed: by the list of adjusted symbols, and by the jump of a settlement."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.exchanges.binance import samples

from fundingarb.domain.instrument import Instrument
from fundingarb.errors import ExchangeUnavailable
from fundingarb.testing import FakeClock, RecordingRateSink
from fundingarb_binance import feeds
from fundingarb_binance.feeds import Intervals
from fundingarb_binance.stream import MarkPriceDecoder

pytestmark = pytest.mark.anyio

HOUR = 3600.0


class Adapter:
    """The parts of the adapter that ``Intervals`` uses."""

    def __init__(self) -> None:
        self.known = samples.known()
        self.clock = FakeClock()
        self.listed: dict[str, timedelta] | None = {"1000PEPEUSDT": timedelta(hours=4)}
        self.noted: list[tuple[str, float]] = []
        self.polls = 0

    async def get_intervals(self) -> dict[str, timedelta]:
        self.polls += 1
        if self.listed is None:
            raise ExchangeUnavailable("down")
        return dict(self.listed)

    def note_interval(self, instrument: Instrument, interval: timedelta) -> None:
        self.noted.append((instrument.symbol, interval / timedelta(hours=1)))


class Feed:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, poll_seconds: float = 1000.0) -> None:
        monkeypatch.setattr(feeds, "INTERVAL_POLL_SECONDS", poll_seconds)
        monkeypatch.setattr(feeds, "SETTLE_SECONDS", 0.0)
        self.adapter, self.sink = Adapter(), RecordingRateSink()
        rows = {each.exchange_id: self.sink.book.add(each) for each in self.adapter.known}
        self.rows = rows
        self.intervals = Intervals(self.adapter, self.sink)  # type: ignore[arg-type]
        self.decoder = MarkPriceDecoder(
            self.sink.book, rows, now=self.adapter.clock.time, moved=self.intervals.moved
        )

    def announce(self, hours_ahead: float, symbol: str = "BTCUSDT") -> None:
        """A frame whose next settlement is so far from now."""
        at = round((self.adapter.clock.time() + hours_ahead * HOUR) * 1000)
        self.decoder.decode(json.dumps([samples.mark_price(symbol, T=at)]).encode())

    def hours(self, symbol: str = "BTCUSDT") -> float:
        return self.sink.book.interval[self.rows[symbol]] / HOUR


async def test_a_jump_right_after_a_settlement_is_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(monkeypatch)
    feed.announce(0.5)
    feed.adapter.clock.advance(0.5 * HOUR + 2)
    feed.announce(8 - 2 / HOUR)
    assert feed.sink.intervals == []
    feed.adapter.clock.advance(8 * HOUR)
    feed.announce(4 - 2 / HOUR)
    assert feed.sink.intervals == [("binance", "BTC-USDT", 4.0)]
    assert feed.adapter.noted == [("BTC-USDT", 4.0)]
    assert feed.hours() == 4
    row = feed.rows["BTCUSDT"]
    assert feed.sink.book.hourly[row] == pytest.approx(0.0001 / 4)


async def test_a_jump_seen_late_proves_nothing_and_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two settlements of four hours look like one of eight when one was missed."""
    feed = Feed(monkeypatch)
    feed.announce(0.5)
    feed.adapter.clock.advance(5 * HOUR)
    feed.announce(3.5)
    assert feed.sink.intervals == []
    async with anyio.create_task_group() as tasks:
        feed.adapter.listed = {"BTCUSDT": timedelta(hours=4), "1000PEPEUSDT": timedelta(hours=4)}
        tasks.start_soon(feed.intervals.poll)
        while feed.adapter.polls == 0:  # noqa: ASYNC110
            await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    assert feed.hours() == 4


async def test_a_settlement_moved_ahead_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(monkeypatch)
    feed.announce(7.0)
    feed.announce(3.0)
    assert feed.sink.intervals == []
    async with anyio.create_task_group() as tasks:
        feed.adapter.listed = {"BTCUSDT": timedelta(hours=4), "1000PEPEUSDT": timedelta(hours=4)}
        tasks.start_soon(feed.intervals.poll)
        while not feed.sink.intervals:  # noqa: ASYNC110
            await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    assert feed.sink.intervals == [("binance", "BTC-USDT", 4.0)]


async def test_the_list_counts_when_it_changes_and_failures_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed = Feed(monkeypatch, poll_seconds=0.002)
    steps: list[Any] = [None, {"1000PEPEUSDT": timedelta(hours=4)}, {"1000PEPEUSDT": timedelta(hours=1)}, {}]
    async with anyio.create_task_group() as tasks:
        feed.adapter.listed = steps[0]
        tasks.start_soon(feed.intervals.poll)
        for step in steps:
            feed.adapter.listed, seen = step, feed.adapter.polls
            while feed.adapter.polls < seen + 2:  # noqa: ASYNC110
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    assert feed.sink.intervals == [("binance", "PEPE-USDT", 1.0), ("binance", "PEPE-USDT", 8.0)]


async def test_a_stale_list_does_not_undo_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list lags behind a change: as long as it says what it said, the seen jump stands."""
    feed = Feed(monkeypatch, poll_seconds=0.002)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.intervals.poll)
        while feed.adapter.polls < 1:  # noqa: ASYNC110
            await anyio.sleep(0.001)
        feed.announce(0.5)
        feed.adapter.clock.advance(0.5 * HOUR + 2)
        feed.announce(4 - 2 / HOUR)
        seen = feed.adapter.polls
        while feed.adapter.polls < seen + 3:  # noqa: ASYNC110
            await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    assert feed.hours() == 4
    assert feed.sink.intervals == [("binance", "BTC-USDT", 4.0)]
