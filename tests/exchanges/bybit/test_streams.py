"""Frames of Bybit's streams, into columns and values."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.bybit import samples
from tests.exchanges.bybit.parsers import AT, KNOWN

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.order import FillKind, OrderSide, OrderState
from fundingarb.errors import BadMessage
from fundingarb.testing import RecordingAccountSink
from fundingarb_bybit.account_stream import AccountDecoder
from fundingarb_bybit.stream import BookDecoder, TickerDecoder


class Rates:
    def __init__(self) -> None:
        self.book = RateBook(KNOWN)
        self.rows = {each.exchange_id: number for number, each in enumerate(KNOWN)}
        self.intervals: list[tuple[int, float]] = []
        self.decoder = TickerDecoder(
            self.book, self.rows, now=AT.timestamp, changed=lambda *change: self.intervals.append(change)
        )

    def take(self, frame: Any) -> list[str]:
        self.decoder.decode(json.dumps(frame).encode())
        return self.book.take_changed()

    def delta(self, symbol: str = "BTCUSDT", **fields: Any) -> list[str]:
        return self.take(samples.ticker_frame("delta", symbol, **fields))


@pytest.fixture
def rates() -> Rates:
    return Rates()


def test_a_snapshot_has_everything(rates: Rates) -> None:
    assert rates.take(samples.ticker_frame()) == ["BTC-USDT"]
    rate = rates.book.get("bybit", "BTC-USDT")
    assert rate is not None
    assert (rate.rate, rate.interval) == (Decimal("-0.000212"), timedelta(hours=4))
    assert rate.next_settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)
    assert (rate.mark, rate.index) == (Decimal("43000.43"), Decimal("42990.92"))
    assert rates.intervals == [(0, 4.0)]


def test_a_delta_keeps_what_it_leaves_out(rates: Rates) -> None:
    rates.take(samples.ticker_frame())
    assert rates.delta(markPrice="43100.5") == []
    assert rates.book.mark[0] == 43100.5
    assert rates.delta(fundingRate="0.0003") == ["BTC-USDT"]
    rate = rates.book.get("bybit", "BTC-USDT")
    assert rate is not None
    assert (rate.rate, rate.next_settlement) == (
        Decimal("0.0003"),
        datetime(2023, 11, 15, tzinfo=timezone.utc),
    )
    assert rates.delta(nextFundingTime="1700020800000") == ["BTC-USDT"]
    assert rates.book.next_settlement[0] == 1700020800.0
    assert rates.delta(fundingRate="0.0003") == []


def test_a_new_interval_alone_changes_the_hourly_rate(rates: Rates) -> None:
    rates.take(samples.ticker_frame())
    assert rates.delta(fundingIntervalHour="1") == ["BTC-USDT"]
    assert rates.book.hourly[0] == pytest.approx(-0.000212)
    assert rates.intervals[-1] == (0, 1.0)


def test_deltas_without_rate_or_price_are_passed_over(rates: Rates) -> None:
    rates.take(samples.ticker_frame())
    frame = json.dumps(samples.ticker_frame("delta", bid1Price="1", volume24h="2")).encode()
    assert rates.decoder.decode(frame) is False
    assert rates.decoder.decode(json.dumps(samples.ticker_frame("delta", markPrice="2")).encode()) is True


def test_a_delta_before_its_snapshot_gives_no_rate(rates: Rates) -> None:
    assert rates.delta(fundingRate="0.0003") == []
    assert rates.book.get("bybit", "BTC-USDT") is None
    rates.take(samples.ticker_frame())
    rates.decoder.reset()
    assert rates.delta(fundingRate="0.0004") == []


def test_after_the_book_dropped_the_rates_they_are_written_again(rates: Rates) -> None:
    rates.take(samples.ticker_frame())
    for symbol in rates.book.symbols:
        rates.book.forget("bybit", symbol)
    assert rates.delta(markPrice="43000.5") == ["BTC-USDT"]
    assert rates.book.get("bybit", "BTC-USDT") is not None


def test_prices_per_base_unit(rates: Rates) -> None:
    rates.take(samples.ticker_frame("snapshot", "1000PEPEUSDT", markPrice="0.0123", indexPrice="0.0122"))
    row = rates.rows["1000PEPEUSDT"]
    assert rates.book.mark[row] == pytest.approx(0.0000123)
    assert rates.book.index[row] == pytest.approx(0.0000122)


@pytest.mark.parametrize(
    "fields",
    [{"fundingRate": "NaN"}, {"fundingRate": "5"}, {"nextFundingTime": "soon"}, {"nextFundingTime": "0"},
     {"fundingIntervalHour": "0"}, {"fundingIntervalHour": "-1"}, {"markPrice": "x"}],
)  # fmt: skip
def test_values_that_cannot_be(rates: Rates, fields: dict[str, str]) -> None:
    rates.take(samples.ticker_frame())
    with pytest.raises((BadMessage, ValueError)):
        rates.delta(**fields)
    rate = rates.book.get("bybit", "BTC-USDT")
    assert rate is not None
    assert rate.rate == Decimal("-0.000212")


def test_symbols_without_a_snapshot_are_missing(rates: Rates) -> None:
    assert rates.decoder.missing() == ["BTCUSDT", "ETHUSDT", "1000PEPEUSDT"]
    rates.take(samples.ticker_frame())
    rates.delta("ETHUSDT", fundingRate="0.0001")
    assert rates.decoder.missing() == ["ETHUSDT", "1000PEPEUSDT"]
    rates.decoder.reset()
    assert len(rates.decoder.missing()) == 3


def test_replies_and_pongs(rates: Rates) -> None:
    for frame in ({"success": True, "ret_msg": "pong", "op": "ping"}, {"op": "pong", "args": ["1"]}):
        assert rates.decoder.decode(json.dumps(frame).encode()) is False
    with pytest.raises(BadMessage, match="handler not found"):
        rates.take({"success": False, "ret_msg": "error:handler not found", "op": "subscribe"})


class Books:
    def __init__(self) -> None:
        self.seen: list[OrderBook] = []
        self.gaps: list[str] = []
        self.now = AT
        self.decoder = BookDecoder(KNOWN, self.seen.append, lambda: self.now, self.gaps.append)

    def take(self, *frame: Any, **more: Any) -> None:
        self.decoder.decode(json.dumps(samples.book_frame(*frame, **more)).encode())

    @property
    def last(self) -> OrderBook:
        return self.seen[-1]


@pytest.fixture
def books() -> Books:
    return Books()


BIDS, ASKS = [["100.1", "2"], ["100.0", "1"]], [["100.2", "1"], ["100.4", "3"]]


def test_deltas_are_pieced_together(books: Books) -> None:
    books.take("snapshot", 7, BIDS, ASKS)
    books.take("delta", 8, [["100.05", "5"], ["100.1", "0"]], [["100.2", "9"]])
    assert books.last.bids == ((Decimal("100.05"), Decimal(5)), (Decimal("100.0"), Decimal(1)))
    assert books.last.asks[0] == (Decimal("100.2"), Decimal(9))
    assert (books.last.symbol, books.last.at) == ("BTC-USDT", AT)


@pytest.mark.parametrize("number", [7, 9, 100, 6])
def test_a_gap_drops_the_book_and_asks_for_another(books: Books, number: int) -> None:
    books.take("snapshot", 7, BIDS, ASKS)
    books.take("delta", number, [["99", "1"]], [])
    assert books.gaps == ["BTCUSDT"]
    books.take("delta", number + 1, [["98", "1"]], [])
    assert len(books.seen) == 1
    assert books.gaps == ["BTCUSDT"]
    assert not books.decoder.has("BTCUSDT")
    books.take("snapshot", 1, BIDS, ASKS)
    assert books.decoder.has("BTCUSDT")
    books.take("delta", 2, [["99", "1"]], [])
    assert len(books.seen) == 3


def test_a_snapshot_in_between_starts_over(books: Books) -> None:
    books.take("snapshot", 7, BIDS, ASKS)
    books.take("snapshot", 1, [["50", "1"]], [["51", "1"]])
    assert books.last.bids == ((Decimal(50), Decimal(1)),)


def test_a_crossed_book_is_no_book(books: Books) -> None:
    books.take("snapshot", 7, BIDS, ASKS)
    with pytest.raises(BadMessage, match="crossed"):
        books.take("delta", 8, [["100.3", "1"]], [])
    assert books.gaps == ["BTCUSDT"]
    assert len(books.seen) == 1


@pytest.mark.parametrize("level", [["NaN", "1"], ["1", "NaN"], ["-1", "1"], ["", "1"]])
def test_a_level_that_cannot_be_drops_the_book(books: Books, level: list[str]) -> None:
    books.take("snapshot", 7, BIDS, ASKS)
    with pytest.raises(BadMessage):
        books.take("delta", 8, [level], [])
    assert books.gaps == ["BTCUSDT"]


def test_before_a_snapshot_deltas_are_passed_over(books: Books) -> None:
    books.take("delta", 8, BIDS, ASKS)
    assert (books.seen, books.gaps) == ([], [])
    with pytest.raises(BadMessage, match="XUSDT"):
        books.take("snapshot", 1, BIDS, ASKS, symbol="XUSDT")


@pytest.mark.parametrize(
    "pong",
    [{"success": True, "ret_msg": "pong", "conn_id": "x", "op": "ping"}, {"op": "pong", "args": ["1"]}],
)
def test_a_pong_brings_quiet_books_up_to_date(books: Books, pong: samples.Json) -> None:
    books.take("snapshot", 7, BIDS, ASKS)
    before = books.last
    books.now += timedelta(seconds=5)
    books.decoder.decode(json.dumps(pong).encode())
    assert books.last == replace(before, at=books.now)
    books.decoder.reset()
    books.decoder.decode(json.dumps(pong).encode())
    assert len(books.seen) == 2


def test_a_book_is_what_its_changes_add_up_to(books: Books) -> None:
    rng = random.Random(3)
    bids: dict[Decimal, Decimal] = {}
    asks: dict[Decimal, Decimal] = {}
    books.take("snapshot", 1, [], [])
    for number in range(2, 300):
        changes: list[list[list[str]]] = [[], []]
        for side, (levels, low) in enumerate(((bids, 90), (asks, 100))):
            for _ in range(rng.randrange(4)):
                price, quantity = Decimal(low * 10 + rng.randrange(99)) / 10, Decimal(rng.randrange(4))
                changes[side].append([str(price), str(quantity)])
                levels.pop(price, None)
                if quantity:
                    levels[price] = quantity
        books.take("delta", number, *changes)
        assert books.last.bids == tuple(sorted(bids.items(), reverse=True))
        assert books.last.asks == tuple(sorted(asks.items()))


class TestAccount:
    def decode(self, frame: Any) -> RecordingAccountSink:
        sink = RecordingAccountSink()
        AccountDecoder("main", KNOWN, sink).decode(json.dumps(frame).encode())
        return sink

    def test_orders(self) -> None:
        (report,) = self.decode(samples.private("order", samples.ORDER)).orders
        assert (report.client_id, report.state) == ("faabcdefghijklmnopl1", OrderState.OPEN)

    def test_executions_are_exact_fills(self) -> None:
        (fill,) = self.decode(samples.private("execution", samples.EXECUTION)).fills
        assert (fill.realized_pnl, fill.fee, fill.side) == (
            Decimal("1.25"),
            Decimal("0.0190872"),
            OrderSide.SELL,
        )
        assert fill.maker
        assert fill.trade_id == samples.TRADE_ROW["tradeId"]

    @pytest.mark.parametrize(
        "change",
        [
            {"execPnl": ""},
            {"extraFees": [{"feeCoin": "USDT", "fee": "0.1"}]},
            {"execType": "BlockTrade"},
            {"symbol": "XUSDT"},
        ],
    )
    def test_what_cannot_be_booked_exactly_is_left_to_the_ledger(self, change: samples.Json) -> None:
        assert self.decode(samples.private("execution", {**samples.EXECUTION, **change})).fills == []

    @pytest.mark.parametrize(
        ("kind", "expected"), [("BustTrade", FillKind.LIQUIDATION), ("AdlTrade", FillKind.ADL)]
    )
    def test_liquidation_and_adl_are_told_as_position_changes(self, kind: str, expected: FillKind) -> None:
        sink = self.decode(samples.private("execution", {**samples.EXECUTION, "execType": kind}))
        assert [fill.kind for fill in sink.fills] == [expected]
        assert sink.positions == [("main", "BTC-USDT")]

    def test_funding_wakes_the_reader_of_the_ledger(self) -> None:
        sink = self.decode(samples.private("execution", {**samples.EXECUTION, "execType": "Funding"}))
        assert (sink.payments, sink.fills) == (["main"], [])

    def test_positions(self) -> None:
        assert self.decode(samples.private("position", samples.POSITION)).positions == [("main", "BTC-USDT")]

    def test_other_products_are_passed_over(self) -> None:
        row = {**samples.ORDER, "category": "option", "symbol": "ETH-30DEC22-1400-C"}
        assert self.decode(samples.private("order", row)).orders == []

    def test_one_bad_entry_spoils_no_other(self) -> None:
        sink = RecordingAccountSink()
        frame = samples.private("order", {**samples.ORDER, "qty": "NaN"}, samples.ORDER)
        with pytest.raises(BadMessage, match="order quantity"):
            AccountDecoder("main", KNOWN, sink).decode(json.dumps(frame).encode())
        assert len(sink.orders) == 1

    def test_replies(self) -> None:
        assert self.decode({"success": True, "op": "subscribe", "ret_msg": ""}) == RecordingAccountSink()
        assert self.decode({"topic": "wallet", "data": [{"coin": []}]}) == RecordingAccountSink()
        with pytest.raises(BadMessage, match="no right"):
            self.decode({"success": False, "op": "subscribe", "ret_msg": "no right"})


def test_columns_start_unknown(rates: Rates) -> None:
    assert all(math.isnan(rate) for rate in rates.book.rate)
