"""Alerts are not lost: whatever a sink or the database does, each sink has them in the end, and waits for no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest
from tests.engine.rig import MemoryStore
from tests.engine.stage import HEDGE, booked, floor, opened

from fundingarb.domain.events import Alert, Severity
from fundingarb.engine.bus import Bus
from fundingarb.engine.outbox import LISTED, LONGEST_PAUSE, SEND_SECONDS, Outbox
from fundingarb.errors import FundingArbError
from fundingarb.ports import AlertSink
from fundingarb.simulation.virtual import LoopClock

pytestmark = pytest.mark.anyio
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL


class Sink:
    """``how``: it delivers ("up"), fails ("down"), never answers ("hangs") or fails at ``poison`` ("poisoned")."""

    def __init__(self, how: str = "up") -> None:
        self.how, self.poison = how, ""
        self.got: list[tuple[float, Alert]] = []
        self.tried = 0

    async def send(self, alert: Alert) -> None:
        self.tried += 1
        if self.how == "hangs":
            await anyio.sleep_forever()
        poisoned = self.how == "poisoned" and self.poison in " ".join((alert.title, *alert.lines))
        if self.how == "down" or poisoned:
            raise FundingArbError("502 Bad Gateway")
        self.got.append((anyio.current_time(), alert))

    @property
    def titles(self) -> list[str]:
        return [alert.title for _, alert in self.got]


class Post:
    """An outbox on a bus, with the hands to publish and to restart it."""

    def __init__(self, **sinks: AlertSink) -> None:
        self.store, self.clock, self.sinks = MemoryStore(), LoopClock(), sinks
        self.bus, self.answered = Bus(), 0

    def _stored(self) -> None:
        self.answered += 1

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Outbox]:
        """Leaving is a crash."""
        self.bus = Bus()
        outbox = Outbox(self.store, self.bus, self.clock, self.sinks, self._stored)
        async with anyio.create_task_group() as tasks:
            await tasks.start(outbox.run)
            yield outbox
            tasks.cancel_scope.cancel()

    def say(self, severity: Severity, title: str, *lines: str) -> None:
        self.bus.publish(Alert(severity, title, lines, self.clock.now()))

    @property
    def journal(self) -> list[str]:
        return [alert.title for batch in self.store.batches for alert in batch.alerts]

    @property
    def undelivered(self) -> list[tuple[str, str]]:
        rows = self.store.deliveries.values()
        return [(row.alert.title, row.sink) for row in rows if row.delivered_at is None]


async def test_a_sink_that_was_down_gets_what_it_missed_the_most_severe_first() -> None:
    sink = Sink("down")
    post = Post(telegram=sink)
    async with post.open():
        post.say(INFO, "opened")
        post.say(WARNING, "stream")
        await anyio.sleep(3)
        post.say(CRITICAL, "liquidated")
        await anyio.sleep(7)
        assert sink.got == []
        assert ("liquidated", "telegram") in post.undelivered
        sink.how = "up"
        await anyio.sleep(LONGEST_PAUSE)
        assert sink.titles == ["liquidated", "stream", "opened"]
        assert post.undelivered == []
    assert sink.tried < 40


async def test_a_critical_alert_of_a_liquidation_survives_ten_seconds_without_telegram() -> None:
    sink = Sink()
    made = floor(sinks={"telegram": sink})
    async with made.running():
        await opened(made)
        await booked(made)
        await anyio.sleep(5)
        sink.how = "down"
        made.beta.liquidate("BTC-USDT", "150")
        await anyio.sleep(10)
        assert made.position == (0, 0), "the unwind waits for no sink"
        sink.how = "up"
        await anyio.sleep(LONGEST_PAUSE)
        assert any("Liquidated: SHORT on beta" in alert.lines for _, alert in sink.got)


async def test_what_a_sink_never_takes_holds_up_nothing_else() -> None:
    sink = Sink("poisoned")
    sink.poison = "poison"
    post = Post(telegram=sink)
    async with post.open():
        post.say(CRITICAL, "poison")
        await anyio.sleep(20)
        for number in range(3):
            post.say(CRITICAL, f"critical {number}")
            post.say(WARNING, f"warning {number}")
            post.say(INFO, f"info {number}")
            await anyio.sleep(LONGEST_PAUSE + 1)
        assert len(sink.got) == 9
        assert post.undelivered == [("poison", "telegram")]


async def test_nor_when_it_is_one_of_many_that_waited() -> None:
    sink = Sink("down")
    sink.poison = "poison"
    post = Post(telegram=sink)
    async with post.open():
        for number in range(9):
            post.say(CRITICAL, "poison" if number == 4 else "fine", str(number))
        await anyio.sleep(5)
        sink.how = "poisoned"
        await anyio.sleep(10 * LONGEST_PAUSE)
        assert post.undelivered == [("poison", "telegram")]


async def test_one_that_hangs_delays_no_other_and_is_tried_again() -> None:
    hanging, other = Sink("hangs"), Sink()
    post = Post(hanging=hanging, other=other)
    async with post.open():
        began = anyio.current_time()
        post.say(CRITICAL, "one")
        post.say(CRITICAL, "two")
        await anyio.sleep(1)
        assert [at - began < 0.1 for at, _ in other.got] == [True, True]
        await anyio.sleep(2 * SEND_SECONDS)
        assert hanging.tried >= 2
        hanging.how = "up"
        await anyio.sleep(LONGEST_PAUSE + SEND_SECONDS)
        assert {"one", "two"} <= set(hanging.titles)
    assert other.titles.count("one") == 1


async def test_a_restart_delivers_what_was_not_once_and_not_for_ever() -> None:
    sink, other = Sink("down"), Sink()
    post = Post(telegram=sink, other=other)
    async with post.open():
        post.say(CRITICAL, "old")
        await anyio.sleep(1)
    await anyio.sleep(timedelta(hours=23).total_seconds())
    async with post.open():
        post.say(CRITICAL, "liquidated", "Pair: BTC-USDT")
        post.say(WARNING, "stream")
        post.say(INFO, "opened")
        await anyio.sleep(5)
    await anyio.sleep(timedelta(hours=2).total_seconds())
    sink.how, before = "up", list(other.got)
    async with post.open() as outbox:
        await outbox.flush()
        assert sink.titles == ["liquidated", "stream"], "not what is older than a day, and no news"
        assert sink.got[0][1].lines[0] == "Pair: BTC-USDT"
        assert sink.got[0][1].lines[1].startswith("Happened at 2026-01-06 06:38:")
        await outbox.flush()
    assert other.got == before, "the other one had them"
    async with post.open() as outbox:
        await outbox.flush()
    assert sink.titles == ["liquidated", "stream"]


async def test_many_that_waited_come_together_and_nothing_is_left_out() -> None:
    sink = Sink("down")
    post = Post(telegram=sink)
    async with post.open():
        for number in range(LISTED + 5):
            post.say(CRITICAL, "Liquidation", f"Pair: {number}-USDT")
        for _ in range(300):
            post.say(WARNING, "Stream Down", "reset")
            await anyio.sleep(0.1)
        await anyio.sleep(2 * LONGEST_PAUSE)
        tried = sink.tried
        sink.how = "up"
        await anyio.sleep(LONGEST_PAUSE)
        assert sink.tried - tried <= 12, "no flood"
        for number in range(LISTED + 5):
            wanted = f"Pair: {number}-USDT"
            assert any(wanted in line for _, a in sink.got for line in (*a.lines, a.title)), wanted
        assert any("Stream Down (" in line and " times)" in line for _, a in sink.got for line in a.lines)
        assert all(len(alert.lines) <= LISTED for _, alert in sink.got)
        severities = [alert.severity for _, alert in sink.got]
        assert severities == sorted(severities, key=[CRITICAL, WARNING].index)
        assert post.undelivered == []


@pytest.mark.parametrize("how", ["down", "hangs"])
async def test_the_other_sinks_are_told_once_within_thirty_seconds(how: str) -> None:
    sink, other, log = Sink(), Sink(), Sink()
    post = Post(telegram=sink, other=other, log=log)
    title = "Alert Sink telegram Cannot Deliver"
    async with post.open():
        for outage in (1, 2):
            sink.how = how
            post.say(CRITICAL, f"liquidated {outage}")
            begin = anyio.current_time()
            await anyio.sleep(600)
            for each in (other, log):
                times = [at - begin for at, alert in each.got if alert.title == title]
                assert len(times) == outage
                assert times[-1] <= 31
            sink.how = "up"
            await anyio.sleep(LONGEST_PAUSE + SEND_SECONDS)
            assert f"liquidated {outage}" in sink.titles
        assert title not in sink.titles
        assert title in post.journal
        reason = next(alert.lines[0] for _, alert in other.got if alert.title == title)
        assert reason == ("502 Bad Gateway" if how == "down" else "It does not answer within 10 s")


async def test_while_the_database_is_down_alerts_are_delivered_and_journalled_later() -> None:
    sink = Sink()
    post = Post(telegram=sink)
    post.store.failing = "disk full"
    async with post.open():
        post.say(CRITICAL, "Database Unavailable")
        await anyio.sleep(1)
        assert sink.titles == ["Database Unavailable"]
        assert post.answered == 0
        post.store.failing = None
        await anyio.sleep(2)
        assert post.journal == ["Database Unavailable"]
        assert post.answered >= 1
        assert post.undelivered == []
    async with post.open() as outbox:
        await outbox.flush()
    assert sink.titles == ["Database Unavailable"]


async def test_a_clean_end_waits_for_what_was_just_said() -> None:
    slow = Sink()
    made = floor(sinks={"telegram": slow})

    async def send(alert: Alert) -> None:
        await anyio.sleep(1.5)
        slow.got.append((anyio.current_time(), alert))

    slow.send = send  # type: ignore[method-assign]
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        await bot.close_hedge(HEDGE)
        await made.until(lambda: made.position == (0, 0))
        bot.bus.publish(Alert(CRITICAL, "Kill Switch", ("Flat",), made.clock.now()))
        bot.stop()
        await anyio.sleep(20)
        assert "Kill Switch" in slow.titles
