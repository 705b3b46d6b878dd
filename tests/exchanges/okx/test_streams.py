"""Frames of OKX's streams, into columns and values."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.okx import samples
from tests.exchanges.okx.parsers import AT, KNOWN

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.order import FillKind, OrderSide, OrderState
from fundingarb.errors import BadMessage
from fundingarb.exchanges.stream import StreamEnded
from fundingarb.testing import RecordingAccountSink
from fundingarb_okx.account_stream import AccountDecoder
from fundingarb_okx.schema import Depth
from fundingarb_okx.stream import BookDecoder, RateDecoder

SETTLEMENT = datetime(2023, 11, 15, tzinfo=timezone.utc)
ERROR = {"event": "error", "code": "60018", "msg": "channel books doesn't exist", "connId": "a4d3ae55"}
NOTICE = {
    "event": "notice",
    "code": "64008",
    "msg": "The connection will soon be closed",
    "connId": "a4d3ae55",
}
FINE = {"event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "connId": "a4d3ae55"}


class Rates:
    def __init__(self) -> None:
        self.book = RateBook(KNOWN)
        self.rows = {each.exchange_id: number for number, each in enumerate(KNOWN)}
        indexes = {KNOWN.listed(each).index: number for number, each in enumerate(KNOWN)}
        self.intervals: list[tuple[int, float]] = []
        self.decoder = RateDecoder(
            self.book,
            self.rows,
            indexes,
            now=AT.timestamp,
            changed=lambda *change: self.intervals.append(change),
        )

    def take(self, frame: Any) -> list[str]:
        self.decoder.decode(json.dumps(frame).encode())
        return self.book.take_changed()

    def rate(self, name: str = "BTC-USDT-SWAP", **changes: Any) -> list[str]:
        return self.take(samples.push("funding-rate", samples.funding(name, **changes), name))


@pytest.fixture
def rates() -> Rates:
    return Rates()


def test_three_channels_make_a_rate(rates: Rates) -> None:
    assert rates.rate() == ["BTC-USDT"]
    rates.take(samples.mark_frame("43000.43"))
    rates.take(samples.index_frame("42990.92"))
    rate = rates.book.get("okx", "BTC-USDT")
    assert rate is not None
    assert (rate.rate, rate.interval) == (Decimal("-0.000212"), timedelta(hours=4))
    assert rate.next_settlement == SETTLEMENT
    assert (rate.mark, rate.index) == (Decimal("43000.43"), Decimal("42990.92"))


def test_the_interval_shrinks_one_level_at_a_time(rates: Rates) -> None:
    """8 -> 4 -> 2 -> 1 hours, each step seen by the two next settlements and told once; it comes back at once."""
    rates.rate("ETH-USDT-SWAP", nextFundingTime="1700035200000")
    assert rates.intervals == []
    row = rates.rows["ETH-USDT-SWAP"]
    settlement = 1700006400000
    for hours in (4, 4, 2, 1, 8):
        settlement += 3600_000
        changed = rates.rate(
            "ETH-USDT-SWAP", fundingTime=str(settlement), nextFundingTime=str(settlement + hours * 3600_000)
        )
        assert changed == ["ETH-USDT"]
        assert rates.book.interval[row] == hours * 3600.0
    assert rates.intervals == [(row, 4.0), (row, 2.0), (row, 1.0), (row, 8.0)]


def test_a_rate_without_the_settlement_after_keeps_its_interval(rates: Rates) -> None:
    rates.rate()
    assert rates.rate(fundingRate="0.0003", nextFundingTime="") == ["BTC-USDT"]
    assert rates.book.interval[0] == 4 * 3600.0


def test_the_settled_rate_is_not_taken_for_the_coming_one(rates: Rates) -> None:
    rates.rate(settFundingRate="0.003", settState="processing")
    assert rates.book.rate[0] == -0.000212


def test_what_was_sent_before_changes_nothing(rates: Rates) -> None:
    rates.rate()
    assert rates.rate() == []
    for symbol in rates.book.symbols:
        rates.book.forget("okx", symbol)
    rates.book.take_changed()
    assert rates.rate() == ["BTC-USDT"], "the book dropped it, so it is written again"


def test_prices_per_base_unit(rates: Rates) -> None:
    rates.take(samples.mark_frame("0.5", "1000SATS-USDT-SWAP"))
    rates.take(samples.index_frame("0.4", "1000SATS-USDT"))
    row = rates.rows["1000SATS-USDT-SWAP"]
    assert rates.book.mark[row] == pytest.approx(0.0005)
    assert rates.book.index[row] == pytest.approx(0.0004)


@pytest.mark.parametrize(
    "changes",
    [{"fundingRate": "NaN"}, {"fundingRate": "5"}, {"fundingTime": "soon"}, {"fundingTime": "0"},
     {"nextFundingTime": "1700006400000"}, {"nextFundingTime": "1900000000000"}],
)  # fmt: skip
def test_values_that_cannot_be(rates: Rates, changes: dict[str, str]) -> None:
    rates.rate()
    with pytest.raises((BadMessage, ValueError)):
        rates.rate(**changes)
    rate = rates.book.get("okx", "BTC-USDT")
    assert rate is not None
    assert (rate.rate, rate.next_settlement) == (Decimal("-0.000212"), SETTLEMENT)
    assert rates.intervals == []


def test_other_instruments_and_answers_are_passed_over(rates: Rates) -> None:
    assert rates.rate("BTC-USD-SWAP") == []
    for frame in (b"pong", json.dumps(FINE).encode()):
        assert rates.decoder.decode(frame) is False
    with pytest.raises(BadMessage, match="60018"):
        rates.take(ERROR)
    with pytest.raises(StreamEnded, match="upgrade"):
        rates.take(NOTICE)


class Books:
    def __init__(self) -> None:
        self.seen: list[OrderBook] = []
        self.gaps: list[str] = []
        self.now = AT
        self.decoder = BookDecoder(KNOWN, self.seen.append, lambda: self.now, self.gaps.append)

    def take(self, *frame: Any, **more: Any) -> None:
        self.decoder.decode(json.dumps(samples.book_frame(*frame, **more)).encode())

    def update(self, before: int, number: int, bids: Any = (), asks: Any = ()) -> None:
        self.take("update", before, number, bids, asks)

    def fetched(self, number: int | None, bids: Any = (), asks: Any = ()) -> None:
        rows = [[(price, size, "0", "1") for price, size in side] for side in (bids, asks)]
        self.decoder.snapshot(NAME, Depth(rows[0], rows[1], number))

    @property
    def last(self) -> OrderBook:
        return self.seen[-1]


@pytest.fixture
def books() -> Books:
    return Books()


NAME = "BTC-USDT-SWAP"
BIDS, ASKS = [("100.1", "200"), ("100.0", "100")], [("100.2", "100"), ("100.4", "300")]


def bids(*rows: tuple[str, str]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(price), Decimal(size)) for price, size in rows)


def test_changes_are_pieced_together_in_base_units(books: Books) -> None:
    books.take("snapshot", -1, 7, BIDS, ASKS)
    books.update(7, 9, [("100.05", "500"), ("100.1", "0")], [("100.2", "900")])
    assert books.last.bids == bids(("100.05", "5"), ("100.0", "1"))
    assert books.last.asks[0] == (Decimal("100.2"), Decimal(9))
    assert (books.last.symbol, books.last.at) == ("BTC-USDT", AT)
    books.update(9, 9)
    assert books.gaps == []


def test_without_a_snapshot_changes_wait_for_one(books: Books) -> None:
    """As OKX describes: what is older than the snapshot is left out, the first change may begin before it."""
    books.update(3, 5, [("99", "100")])
    books.update(5, 8, [("99.5", "100")])
    books.update(8, 9, [("99.6", "100")])
    assert (books.seen, books.gaps) == ([], [NAME]), "asked for once"
    books.fetched(6, BIDS, ASKS)
    assert books.last.bids == bids(("100.1", "2"), ("100.0", "1"), ("99.6", "1"), ("99.5", "1"))
    books.update(9, 10, [("99.6", "0")])
    assert len(books.last.bids) == 3
    assert books.gaps == [NAME]


def test_what_came_and_went_around_a_snapshot_crosses_the_book_and_is_fetched_again(books: Books) -> None:
    """A bid that was there only while the snapshot was taken is in no change: nothing was wrong with the message."""
    books.fetched(6, [("100.3", "1"), *BIDS], [("100.4", "300")])
    books.update(5, 8, [], [("100.2", "100")])
    assert books.decoder.has(NAME) is False
    assert books.gaps == [NAME]
    books.fetched(7, BIDS, ASKS)
    assert books.last.asks[0] == (Decimal("100.2"), Decimal(1))
    books.update(8, 9, [("100.1", "0")])
    assert books.last.bids == bids(("100.0", "1"))


def test_a_crossed_book_elsewhere_is_a_bad_message(books: Books) -> None:
    books.take("snapshot", -1, 7, BIDS, ASKS)
    with pytest.raises(BadMessage, match="crossed"):
        books.update(7, 9, [("100.3", "1")])


def test_a_snapshot_that_is_too_old_is_left_out(books: Books) -> None:
    books.update(5, 8, [("99.5", "100")])
    books.fetched(4, BIDS, ASKS)
    assert books.seen == []
    books.fetched(5, BIDS, ASKS)
    assert books.decoder.has(NAME)
    assert books.last.bids[-1] == (Decimal("99.5"), Decimal(1))


def test_a_snapshot_ahead_of_the_stream(books: Books) -> None:
    books.update(5, 6)
    books.fetched(10, BIDS, ASKS)
    books.update(6, 8, [("1", "1")])
    books.update(8, 10, [("2", "1")])
    assert books.last.bids == bids(("100.1", "2"), ("100.0", "1")), "it has them already"
    books.update(10, 11, [("99.5", "100")])
    assert books.last.bids[-1] == (Decimal("99.5"), Decimal(1))
    books.update(8, 10, [("2", "1")])
    assert books.gaps == [NAME, NAME], "from then on nothing may be missing or come twice"


def test_numbers_that_begin_anew_do_not_leave_an_old_book_standing(books: Books) -> None:
    books.update(5, 6)
    books.fetched(1_000_000, BIDS, ASKS)
    for number in range(200):
        books.update(number, number + 1)
    assert books.decoder.has(NAME) is False
    assert len(books.gaps) == 2


def test_numbering_may_begin_anew_when_it_says_so(books: Books) -> None:
    books.take("snapshot", -1, 700, BIDS, ASKS)
    books.update(700, 3, [("99.5", "100")])
    books.update(3, 5)
    assert (len(books.last.bids), books.gaps) == (3, [])


@pytest.mark.parametrize(("before", "number"), [(9, 10), (6, 8), (6, 7), (100, 101)])
def test_a_gap_drops_the_book_and_asks_for_another(books: Books, before: int, number: int) -> None:
    books.take("snapshot", -1, 7, BIDS, ASKS)
    books.update(before, number, [("99", "100")])
    assert books.gaps == [NAME]
    assert not books.decoder.has(NAME)
    books.update(number, number + 1, [("98", "100")])
    assert len(books.seen) == 1
    books.fetched(number, BIDS, ASKS)
    assert books.last.bids[-1] == (Decimal(98), Decimal(1))


def test_a_crossed_book_is_no_book(books: Books) -> None:
    books.take("snapshot", -1, 7, BIDS, ASKS)
    with pytest.raises(BadMessage, match="crossed"):
        books.update(7, 8, [("100.3", "1")])
    assert books.gaps == [NAME]
    assert len(books.seen) == 1


@pytest.mark.parametrize("level", [("NaN", "1"), ("1", "NaN"), ("-1", "1"), ("", "1")])
def test_a_level_that_cannot_be_drops_the_book(books: Books, level: tuple[str, str]) -> None:
    books.take("snapshot", -1, 7, BIDS, ASKS)
    with pytest.raises(BadMessage):
        books.update(7, 8, [level])
    assert books.gaps == [NAME]


def test_a_snapshot_without_its_number_is_no_snapshot(books: Books) -> None:
    with pytest.raises(BadMessage, match="without its number"):
        books.fetched(None, BIDS, ASKS)


def test_what_is_not_a_known_instrument(books: Books) -> None:
    with pytest.raises(BadMessage, match="BTC-USD-SWAP"):
        books.take("snapshot", -1, 7, BIDS, ASKS, name="BTC-USD-SWAP")


def test_a_pong_brings_quiet_books_up_to_date(books: Books) -> None:
    books.take("snapshot", -1, 7, BIDS, ASKS)
    before = books.last
    books.now += timedelta(seconds=5)
    books.decoder.decode(b"pong")
    assert (books.last.bids, books.last.at) == (before.bids, books.now)
    books.decoder.reset()
    books.decoder.decode(b"pong")
    assert len(books.seen) == 2


def test_answers_on_the_book_stream(books: Books) -> None:
    books.decoder.decode(json.dumps(FINE).encode())
    with pytest.raises(BadMessage, match="60018"):
        books.decoder.decode(json.dumps(ERROR).encode())
    with pytest.raises(StreamEnded):
        books.decoder.decode(json.dumps(NOTICE).encode())


class TestAccount:
    def decode(self, frame: Any) -> RecordingAccountSink:
        sink = RecordingAccountSink()
        AccountDecoder("main", KNOWN, sink).decode(json.dumps(frame).encode())
        return sink

    def test_orders_and_their_executions(self) -> None:
        sink = self.decode(samples.private("orders", samples.STREAM_ORDER))
        (report,), (fill,) = sink.orders, sink.fills
        assert (report.client_id, report.state, report.filled) == (
            "faabcdefghijklmnopl1", OrderState.OPEN, Decimal("0.004"),
        )  # fmt: skip
        assert (fill.realized_pnl, fill.fee, fill.side) == (
            Decimal("1.25"),
            Decimal("0.0190872"),
            OrderSide.SELL,
        )
        assert (fill.quantity, fill.price, fill.maker) == (Decimal("0.004"), Decimal("43000.45"), True)
        assert fill.trade_id == samples.TRADE_BILL["tradeId"]
        assert sink.positions == []

    @pytest.mark.parametrize("changes", [{"tradeId": ""}, {"fillPnl": ""}, {"fillFeeCcy": "OKB"}])
    def test_what_is_no_execution_or_cannot_be_booked_exactly(self, changes: samples.Json) -> None:
        sink = self.decode(samples.private("orders", {**samples.STREAM_ORDER, **changes}))
        assert (len(sink.orders), sink.fills) == (1, [])

    @pytest.mark.parametrize(
        ("category", "expected"),
        [
            ("full_liquidation", FillKind.LIQUIDATION),
            ("partial_liquidation", FillKind.LIQUIDATION),
            ("adl", FillKind.ADL),
        ],
    )
    def test_what_the_exchange_closes_by_itself(self, category: str, expected: FillKind) -> None:
        sink = self.decode(samples.private("orders", {**samples.STREAM_ORDER, "category": category}))
        assert [fill.kind for fill in sink.fills] == [expected]
        assert sink.positions == [("main", "BTC-USDT")]

    def test_funding_wakes_the_reader_of_the_ledger(self) -> None:
        sink = self.decode(samples.change("funding_fee"))
        assert (sink.payments, sink.positions) == (["main"], [])

    @pytest.mark.parametrize("event", ["liquidation", "adl", "claw_back", "delivered"])
    def test_positions_that_change_by_themselves(self, event: str) -> None:
        assert self.decode(samples.change(event)).positions == [("main", "BTC-USDT")]

    @pytest.mark.parametrize("event", ["snapshot", "filled", "transferred", "set_leverage"])
    def test_what_our_own_doing_is(self, event: str) -> None:
        assert self.decode(samples.change(event)) == RecordingAccountSink()

    def test_one_bad_entry_spoils_no_other(self) -> None:
        sink = RecordingAccountSink()
        frame = samples.private("orders", {**samples.STREAM_ORDER, "sz": "NaN"}, samples.STREAM_ORDER)
        with pytest.raises(BadMessage, match="order quantity"):
            AccountDecoder("main", KNOWN, sink).decode(json.dumps(frame).encode())
        assert (len(sink.orders), len(sink.fills)) == (1, 1)

    def test_answers(self) -> None:
        assert (
            self.decode({"event": "login", "code": "0", "msg": "", "connId": "x"}) == RecordingAccountSink()
        )
        assert (
            self.decode({"event": "channel-conn-count", "channel": "orders", "connCount": "2"}).orders == []
        )
        with pytest.raises(BadMessage, match="60018"):
            self.decode(ERROR)
