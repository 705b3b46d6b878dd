"""The rate book: incremental best legs against a naive scan, changes, and messages that make no sense."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domain.make import NOW, D, T, book, instrument

from fundingarb.domain.market import RateBook

EXCHANGES = ("alpha", "beta", "gamma", "delta")
SYMBOLS = ("BTC-USDT", "ETH-USDT")
NEXT, AT = T.timestamp(), NOW.timestamp()

RATES = st.one_of(
    st.sampled_from((0.0, 0.0001, -0.0001, 0.0008, 0.00010000000000000002)),
    st.floats(-0.04, 0.04),
    st.sampled_from((math.nan, math.inf, -math.inf)),
)
INTERVALS = st.sampled_from((0.0, 3600.0, 4 * 3600.0, 8 * 3600.0))
BAD_INTERVALS = st.sampled_from((-3600.0, math.nan, math.inf))
UPDATE = st.tuples(
    st.just("update"), st.sampled_from(EXCHANGES), st.sampled_from(SYMBOLS), RATES, INTERVALS | BAD_INTERVALS
)
FORGET = st.tuples(st.just("forget"), st.sampled_from(EXCHANGES), st.sampled_from(SYMBOLS))
FRAME = st.tuples(
    st.just("frame"),
    st.sampled_from(EXCHANGES),
    st.dictionaries(st.sampled_from(SYMBOLS), RATES, min_size=1),
)
TAKE = st.tuples(st.just("take"))


def made() -> RateBook:
    return RateBook(instrument(exchange, symbol) for symbol in SYMBOLS for exchange in EXCHANGES)


def put(rates: RateBook, exchange: str, value: float, symbol: str = "BTC-USDT", interval: float = 0.0) -> int:
    row = rates.row(exchange, symbol)
    assert row is not None
    rates.update(row, value, NEXT, AT, interval)
    return row


@settings(max_examples=300, deadline=None)
@given(events=st.lists(UPDATE | FRAME | FORGET | TAKE, max_size=60))
def test_the_best_legs_are_those_of_a_scan_over_all_rows(events: list[tuple[object, ...]]) -> None:
    rates = made()
    hourly: dict[tuple[str, str], float] = {}
    interval: dict[tuple[str, str], float] = {}
    changed: set[str] = set()
    for event in events:
        if event[0] == "update":
            _, exchange, symbol, value, seconds = event
            assert isinstance(exchange, str)
            assert isinstance(symbol, str)
            assert isinstance(value, float)
            assert isinstance(seconds, float)
            before = rates.get(exchange, symbol)
            put(rates, exchange, value, symbol, seconds)
            if math.isfinite(value) and (math.isfinite(seconds) and seconds >= 0):
                key = (exchange, symbol)
                interval[key] = seconds or interval.get(key, 8 * 3600.0)
                hourly[key] = value / interval[key] * 3600
                if before != rates.get(exchange, symbol):
                    changed.add(symbol)
        elif event[0] == "frame":
            _, exchange, values = event
            assert isinstance(exchange, str)
            assert isinstance(values, dict)
            frame = [(rates.row(exchange, symbol), value) for symbol, value in values.items()]
            for row, _ in frame:
                assert row is not None
                rates.next_settlement[row] = NEXT
            rates.update_many([row for row, _ in frame if row is not None], [value for _, value in frame], AT)
            for symbol, value in values.items():
                if math.isfinite(value):
                    hourly[(exchange, symbol)] = value / interval.get((exchange, symbol), 8 * 3600.0) * 3600
                    changed.add(symbol)
        elif event[0] == "forget":
            gone = (str(event[1]), str(event[2]))
            rates.forget(*gone)
            if hourly.pop(gone, None) is not None:
                changed.add(gone[1])
        else:
            assert rates.take_changed() == [symbol for symbol in SYMBOLS if symbol in changed]
            changed.clear()
        for symbol in SYMBOLS:
            live = [value for key, value in hourly.items() if key[1] == symbol]
            best = rates.best(symbol)
            if best is None:
                assert len(live) < 2 or max(live) == min(live)
            else:
                long, short = best
                assert rates.hourly[long] == min(live)
                assert rates.hourly[short] == max(live)
                assert rates.spread(long, short) == max(live) - min(live)
    assert rates.take_changed() == [symbol for symbol in SYMBOLS if symbol in changed]
    assert rates.take_changed() == []


def test_best_needs_two_exchanges() -> None:
    rates = made()
    assert rates.best("BTC-USDT") is None
    assert rates.best("DOGE-USDT") is None
    put(rates, "alpha", 0.0001)
    assert rates.best("BTC-USDT") is None
    low, high = put(rates, "beta", -0.0002), rates.row("alpha", "BTC-USDT")
    assert rates.best("BTC-USDT") == (low, high)


def test_an_interval_change_alone_changes_the_order() -> None:
    rates = made()
    alpha, beta = put(rates, "alpha", 0.0004), put(rates, "beta", 0.0002)
    assert rates.best("BTC-USDT") == (beta, alpha)
    rates.take_changed()
    put(rates, "beta", 0.0002, interval=3600.0)  # the same rate, now every hour
    assert rates.best("BTC-USDT") == (alpha, beta)
    assert rates.take_changed() == ["BTC-USDT"]
    value = rates.get("beta", "BTC-USDT")
    assert value is not None
    assert value.interval == timedelta(hours=1)
    assert value.eight_hour == D("0.0016")


def test_the_same_rate_again_is_no_change() -> None:
    rates = made()
    put(rates, "alpha", 0.0004, interval=3600.0)
    assert rates.take_changed() == ["BTC-USDT"]
    put(rates, "alpha", 0.0004, interval=3600.0)
    assert rates.take_changed() == []


@pytest.mark.parametrize("interval", [-1.0, math.nan, math.inf, -math.inf])
def test_an_impossible_interval_is_ignored_with_its_rate(interval: float) -> None:
    rates = made()
    put(rates, "alpha", 0.0004)
    before = rates.get("alpha", "BTC-USDT")
    put(rates, "alpha", 0.0008, interval=interval)
    assert rates.get("alpha", "BTC-USDT") == before


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_impossible_rate_leaves_everything_as_it_was(value: float) -> None:
    rates = made()
    put(rates, "alpha", 0.0004)
    before = rates.get("alpha", "BTC-USDT")
    put(rates, "alpha", value, interval=3600.0)
    assert rates.get("alpha", "BTC-USDT") == before
    assert rates.hourly[0] == 0.0004 / 8


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, 1e300])
def test_a_rate_with_an_impossible_settlement_is_no_value(bad: float) -> None:
    rates = made()
    rates.update(0, 0.0004, bad, AT)
    assert rates.get("alpha", "BTC-USDT") is None


def test_a_rate_without_a_time_of_its_own() -> None:
    rates = made()
    rates.update(0, 0.0004, NEXT, math.nan)
    assert rates.get("alpha", "BTC-USDT") is None


def test_values_are_exact_and_carry_prices() -> None:
    rates = made()
    put(rates, "alpha", 0.00012345)
    rates.update_price(0, 42150.1, 42149.9)
    rates.update_price(0, math.nan, math.nan)
    value = rates.get("alpha", "BTC-USDT")
    assert value is not None
    assert (value.rate, value.mark, value.index) == (D("0.00012345"), D("42150.1"), D("42149.9"))
    assert (value.next_settlement, value.at, value.interval) == (T, NOW, timedelta(hours=8))
    assert rates.get("alpha", "ETH-USDT") is None
    assert rates.get("nowhere", "BTC-USDT") is None


def test_forgetting_an_instrument_leaves_the_next_best() -> None:
    rates = made()
    alpha, beta, gamma = (
        put(rates, name, value) for name, value in (("alpha", 0.003), ("beta", 0.001), ("gamma", 0.002))
    )
    rates.take_changed()
    rates.forget("alpha", "BTC-USDT")
    assert rates.best("BTC-USDT") == (beta, gamma)
    assert rates.take_changed() == ["BTC-USDT"]
    put(rates, "alpha", -0.001)
    assert rates.best("BTC-USDT") == (alpha, gamma)


def test_adding_an_instrument_again_keeps_its_row_and_rate() -> None:
    rates = made()
    put(rates, "alpha", 0.0004)
    finer = instrument("alpha", lot=D("0.0001"))
    assert rates.add(finer) == 0
    assert rates.instrument(0) is finer
    assert rates.get("alpha", "BTC-USDT") is not None
    assert list(rates.rows("BTC-USDT")) == [0, 1, 2, 3]
    assert list(rates.symbols) == list(SYMBOLS)
    assert rates.rows("DOGE-USDT") == []


def test_frames_note_when_an_exchange_was_heard() -> None:
    rates = made()
    rates.frame("alpha", 17.5)
    assert rates.seen == {"alpha": 17.5}


@pytest.mark.parametrize(
    ("bids", "asks", "mid"),
    [
        ([("99", "1")], [("101", "1")], "100"),
        ([("101", "1")], [("99", "1")], None),  # crossed
        ([("100", "1")], [("100", "1")], None),  # locked
        ([], [("101", "1")], None),
        ([("99", "1")], [], None),
    ],
)
def test_the_mid_of_a_book(bids: list[tuple[str, str]], asks: list[tuple[str, str]], mid: str | None) -> None:
    made_book = book(instrument(), bids, asks)
    assert made_book.mid == (None if mid is None else D(mid))


def test_pairs_are_sorted_by_spread_and_end_at_the_least() -> None:
    rates = made()
    assert rates.pairs("BTC-USDT", 0.0) == []
    assert rates.pairs("nowhere", 0.0) == []
    alpha, beta, gamma = (
        put(rates, name, value) for name, value in (("alpha", 0.008), ("beta", -0.008), ("gamma", 0.0))
    )
    assert rates.pairs("BTC-USDT", 0.00001)[0] == rates.best("BTC-USDT") == (beta, alpha)
    assert set(rates.pairs("BTC-USDT", 0.00001)[1:]) == {(gamma, alpha), (beta, gamma)}
    assert rates.pairs("BTC-USDT", 0.0015) == [(beta, alpha)]
