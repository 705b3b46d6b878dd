"""What the bot knows of the markets, and for how long it believes it."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import anyio
import pytest
from tests.domain.make import D, instrument
from tests.engine.rig import exchange

from fundingarb.domain.events import Event, IntervalChanged, StreamChanged
from fundingarb.domain.funding import SettledRate
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.markets import HISTORY, MarketFeed, Markets, load_feeds
from fundingarb.engine.supervisor import keep_running
from fundingarb.errors import ConfigError, ExchangeUnavailable
from fundingarb.simulation.virtual import START, LoopClock
from fundingarb.testing import FakeExchange, book

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)


class Desk:
    """One exchange's feed into markets of its own."""

    def __init__(self, symbols: tuple[str, ...] = ("BTC-USDT",)) -> None:
        self.clock = LoopClock()
        self.events: list[Event] = []
        self.woken = 0
        self.markets = Markets(self.clock, self.events.append, self.wake)
        self.alpha: FakeExchange = exchange("alpha", self.clock)
        gate = RequestGate("alpha", (), self.clock)
        self.failures: list[tuple[str, Exception]] = []
        self.feed = MarketFeed(
            self.alpha, gate, self.markets, symbols, self.clock, lambda *what: self.failures.append(what)
        )

    def wake(self) -> None:
        self.woken += 1

    def announce(self, rate: str = "0.0001") -> None:
        self.alpha.set_rate("BTC-USDT", rate, next_settlement=T, mark="100", index="99")


async def test_symbols_that_are_listed_and_those_that_are_not() -> None:
    desk = Desk(("BTC-USDT", "ETH-USDT"))
    assert await desk.feed.load() == ["BTC-USDT"]
    with pytest.raises(ConfigError, match="ETH-USDT is listed on none of alpha"):
        await load_feeds([desk.feed], ["BTC-USDT", "ETH-USDT"])


async def test_rates_and_books_are_believed_for_ten_seconds() -> None:
    desk = Desk()
    await desk.feed.load()
    desk.announce()
    assert desk.markets.fresh_rate("alpha", "BTC-USDT") is None  # nothing was heard yet
    desk.feed.take(desk.alpha.rates["BTC-USDT"])
    desk.markets.flush("alpha")
    desk.markets.update(desk.alpha.books["BTC-USDT"])
    assert desk.woken == 1
    await anyio.sleep(9.9)
    rate = desk.markets.fresh_rate("alpha", "BTC-USDT")
    assert rate is not None
    assert (rate.rate, rate.mark, rate.index, rate.next_settlement) == (D("0.0001"), D(100), D(99), T)
    assert desk.markets.fresh_book("alpha", "BTC-USDT") is not None
    assert desk.markets.fresh_mark("alpha", "BTC-USDT") == D(100)
    await anyio.sleep(0.2)
    assert desk.markets.fresh_rate("alpha", "BTC-USDT") is None
    assert desk.markets.fresh_book("alpha", "BTC-USDT") is None
    assert desk.markets.fresh_mark("alpha", "BTC-USDT") is None
    assert desk.markets.mark("alpha", "BTC-USDT") == D(100)
    assert desk.markets.prices() == {"BTC-USDT": D(100)}


async def test_about_what_a_unit_costs_is_the_last_mark_or_the_middle_of_the_book() -> None:
    desk = Desk()
    await desk.feed.load()
    assert desk.markets.about("alpha", "BTC-USDT") is None
    desk.markets.update(book("alpha", "BTC-USDT", "99", "103", START))
    assert desk.markets.about("alpha", "BTC-USDT") == 101
    desk.announce()
    desk.feed.take(desk.alpha.rates["BTC-USDT"])
    desk.markets.flush("alpha")
    await anyio.sleep(3600)  # an old price is better than none, where it is only to be shown
    assert desk.markets.about("alpha", "BTC-USDT") == 100
    assert desk.markets.about("alpha", "ETH-USDT") is None


async def test_a_rate_whose_settlement_has_passed_is_not_believed() -> None:
    desk = Desk()
    await desk.feed.load()
    desk.announce()
    desk.feed.take(desk.alpha.rates["BTC-USDT"])
    await anyio.sleep((T - desk.clock.now()).total_seconds() - 1)
    desk.markets.flush("alpha")
    assert desk.markets.fresh_rate("alpha", "BTC-USDT") is not None
    await anyio.sleep(1)
    desk.markets.flush("alpha")
    assert desk.markets.fresh_rate("alpha", "BTC-USDT") is None


async def test_a_silent_stream_is_replaced_by_polling() -> None:
    desk = Desk()
    await desk.feed.load()
    desk.announce()

    async def dead(symbols: object, sink: object) -> None:
        raise ExchangeUnavailable("no stream")

    desk.alpha.stream_rates = dead  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        await desk.feed.run(tasks)
        await anyio.sleep(4)
        for _ in range(60):
            assert desk.markets.fresh_rate("alpha", "BTC-USDT") is not None
            await anyio.sleep(1)
        polls = sum(1 for name, _ in desk.alpha.calls if name == "get_funding_rates")
        assert 9 <= polls <= 20  # once or twice in the time that a rate is believed
        assert ("alpha.rates", "no stream") in {(name, str(error)) for name, error in desk.failures}
        tasks.cancel_scope.cancel()


async def test_a_live_stream_is_not_polled_beside() -> None:
    desk = Desk()
    await desk.feed.load()
    async with anyio.create_task_group() as tasks:
        await desk.feed.run(tasks)
        for _ in range(30):
            desk.announce()
            await anyio.sleep(1)
        assert not [name for name, _ in desk.alpha.calls if name == "get_funding_rates"]
        tasks.cancel_scope.cancel()


async def test_the_median_of_a_week_per_hour() -> None:
    desk = Desk()
    await desk.feed.load()
    assert desk.markets.median_hourly("alpha", "BTC-USDT") == 0
    old = desk.clock.now() - HISTORY - timedelta(hours=1)
    rows = [SettledRate("alpha", "BTC-USDT", D(99), old)]
    rows += [
        SettledRate("alpha", "BTC-USDT", D(rate), T - timedelta(hours=8 * number))
        for number, rate in enumerate(("0.0008", "0.0016", "-0.0008"), 1)
    ]
    desk.markets.add_settled(rows)
    assert desk.markets.median_hourly("alpha", "BTC-USDT") == D("0.0001")
    assert len(desk.markets.settled("alpha", "BTC-USDT")) == 3  # what is older than a week is dropped
    # an interval that became one hour: a rate counts for the time it was charged for
    desk.markets.add_settled(
        [
            SettledRate("alpha", "BTC-USDT", D("0.0003"), T - timedelta(hours=8) + timedelta(hours=hour))
            for hour in range(1, 6)
        ]
    )
    assert desk.markets.median_hourly("alpha", "BTC-USDT") == D("0.0003")


async def test_history_is_read_from_where_it_ended() -> None:
    desk = Desk()
    await desk.feed.load()
    desk.alpha.history["BTC-USDT"] = [
        SettledRate("alpha", "BTC-USDT", D("0.0008"), START - timedelta(hours=7))
    ]
    async with anyio.create_task_group() as tasks:
        await desk.feed.run(tasks)
        await anyio.sleep(601)
        tasks.cancel_scope.cancel()
    since = [args[1] for name, args in desk.alpha.calls if name == "get_funding_history"]
    assert since == [START - HISTORY, START - timedelta(hours=7)]
    assert desk.markets.median_hourly("alpha", "BTC-USDT") == D("0.0001")


async def test_who_was_never_heard_is_named() -> None:
    desk = Desk()
    desk.markets.flush("alpha")
    with pytest.raises(ExchangeUnavailable, match="beta sent no rates in 5 s"):
        await desk.markets.heard_all(["alpha", "beta"], 5)
    await desk.markets.heard_all(["alpha"], 5)


async def test_what_is_quarantined_again_and_again_is_one_line_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()
    for _ in range(600):
        desk.markets.quarantined("alpha.books", b"{}", "an empty book")
        await anyio.sleep(0.25)
    desk.markets.quarantined("alpha.books", b"{", "no JSON")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "alpha.books: message quarantined: an empty book",
        "alpha.books: message quarantined: an empty book (239 more of these before)",
        "alpha.books: message quarantined: an empty book (239 more of these before)",
        "alpha.books: message quarantined: no JSON",
    ]
    assert len(desk.markets.quarantine) == 200


async def test_events_of_streams_and_intervals() -> None:
    desk = Desk()
    desk.markets.instruments[("alpha", "BTC-USDT")] = instrument("alpha")
    desk.markets.connected("alpha.rates")
    desk.markets.disconnected("alpha.rates", "gone")
    desk.markets.interval_changed("alpha", "BTC-USDT", 1.0)
    desk.markets.interval_changed("alpha", "DOGE-USDT", 1.0)
    desk.markets.quarantined("alpha.rates", b"{", "no JSON")
    up, down, changed = desk.events
    assert up == StreamChanged("alpha", "alpha.rates", True, "", START)
    assert down == StreamChanged("alpha", "alpha.rates", False, "gone", START)
    assert changed == IntervalChanged("alpha", "BTC-USDT", D(8), D("1.0"), START)
    assert desk.markets.streams == {"alpha.rates": False}
    assert list(desk.markets.quarantine) == [("alpha.rates", b"{", "no JSON")]
    assert book("alpha", "BTC-USDT", "99", "101", START).mid == D(100)


async def test_a_job_that_ends_is_started_again_ever_more_slowly() -> None:
    clock = LoopClock()
    starts: list[float] = []
    heard: list[str] = []

    async def job() -> None:
        starts.append(clock.monotonic())
        if len(starts) == 5:
            await anyio.sleep(60)  # it worked for a while
        raise KeyError("mistake") if len(starts) % 2 else ExchangeUnavailable("gone")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            keep_running, "job", job, clock, lambda name, error: heard.append(type(error).__name__)
        )
        await anyio.sleep(70)
        tasks.cancel_scope.cancel()
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert pauses[4] == pytest.approx(60.2)  # after good times the pause is short again
    assert heard[:2] == ["KeyError", "ExchangeUnavailable"]
