"""Frames of Binance's streams, into columns and values."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.binance import samples
from tests.exchanges.binance.parsers import AT, KNOWN

from fundingarb.domain.market import RateBook
from fundingarb.domain.order import FillKind, OrderSide, OrderState
from fundingarb.errors import BadMessage
from fundingarb.exchanges.stream import StreamEnded
from fundingarb.testing import RecordingAccountSink, RecordingBookSink
from fundingarb_binance.account_stream import AccountDecoder
from fundingarb_binance.stream import MarkPriceDecoder, PartialBookDecoder

LATER = 1700006400000 + 8 * 3_600_000


class Rates:
    """A decoder on a book of BTC, ETH and PEPE, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.book = RateBook(KNOWN)
        self.rows = {each.exchange_id: number for number, each in enumerate(KNOWN)}
        self.now = 1700000000.0
        self.moves: list[tuple[int, float, float]] = []
        self.bad: list[str] = []
        self.decoder = MarkPriceDecoder(
            self.book,
            self.rows,
            now=lambda: self.now,
            moved=lambda *move: self.moves.append(move),
            bad=lambda raw, why: self.bad.append(why),
        )

    def take(self, *updates: Any) -> list[str]:
        """Decode one frame a second later; the symbols that changed."""
        self.now += 1.0
        self.decoder.decode(json.dumps(updates).encode())
        return self.book.take_changed()


@pytest.fixture
def rates() -> Rates:
    return Rates()


def test_rates_settlements_and_prices(rates: Rates) -> None:
    pepe = samples.mark_price("1000PEPEUSDT", "-0.00250000", p="0.0123", i="0.0122")
    assert rates.take(samples.mark_price("BTCUSDT"), pepe) == ["BTC-USDT", "PEPE-USDT"]
    btc, small = rates.book.get("binance", "BTC-USDT"), rates.book.get("binance", "PEPE-USDT")
    assert btc is not None
    assert small is not None
    assert (btc.rate, btc.next_settlement) == (Decimal("0.0001"), datetime(2023, 11, 15, tzinfo=timezone.utc))
    assert btc.mark == Decimal("43000.1")
    assert small.hourly == Decimal("-0.0025") / 4
    assert float(small.mark or 0) == pytest.approx(0.0000123)
    assert float(small.index or 0) == pytest.approx(0.0000122)
    assert rates.book.seen["binance"] == rates.now


def test_only_what_changed_is_passed_on(rates: Rates) -> None:
    rates.take(samples.mark_price("BTCUSDT"), samples.mark_price("ETHUSDT"))
    assert rates.take(samples.mark_price("BTCUSDT"), samples.mark_price("ETHUSDT")) == []
    assert rates.take(samples.mark_price("BTCUSDT"), samples.mark_price("ETHUSDT", "0.0002")) == ["ETH-USDT"]


def test_prices_are_taken_every_three_seconds(rates: Rates) -> None:
    rates.take(samples.mark_price("BTCUSDT", p="1"))
    seen = []
    for price in range(2, 9):
        rates.take(samples.mark_price("BTCUSDT", p=str(price)))
        seen.append(rates.book.mark[0])
    assert seen == [1.0, 1.0, 4.0, 4.0, 4.0, 7.0, 7.0]


def test_dated_futures_in_the_frame_spoil_nothing(rates: Rates) -> None:
    """They come with an empty rate and no settlement."""
    dated = samples.mark_price("BTCUSDT_240329", "", T=0)
    for _ in range(2):
        rates.take(dated, samples.mark_price("BTCUSDT"), dated)
    assert rates.book.get("binance", "BTC-USDT") is not None
    assert rates.bad == []


@pytest.mark.parametrize("rate", ["", "NaN", "inf", "1e400", "1.5", "-1", "text"])
def test_a_rate_that_cannot_be_is_refused_and_the_old_one_kept(rates: Rates, rate: str) -> None:
    rates.take(samples.mark_price("BTCUSDT"), samples.mark_price("ETHUSDT"))
    assert rates.take(samples.mark_price("BTCUSDT", rate), samples.mark_price("ETHUSDT", "0.0005")) == [
        "ETH-USDT"
    ]
    assert rates.book.rate[0] == 0.0001
    assert len(rates.bad) == 1
    assert "BTCUSDT" in rates.bad[0]


@pytest.mark.parametrize("broken", [{"p": ""}, {"i": None}, {"r": 5}, {"T": "soon"}, {"p": []}])
def test_one_entry_of_another_form_spoils_no_other(rates: Rates, broken: dict[str, Any]) -> None:
    assert "ETH-USDT" in rates.take(
        {**samples.mark_price("BTCUSDT"), **broken}, samples.mark_price("ETHUSDT")
    )
    assert rates.book.rate[1] == 0.0001
    assert rates.book.mark[1] == 43000.1


@pytest.mark.parametrize("price", ["NaN", "-1", "0", "1e300"])
def test_a_price_that_cannot_be_is_ignored(rates: Rates, price: str) -> None:
    rates.take(samples.mark_price("BTCUSDT", p=price))
    assert math.isnan(rates.book.mark[0])
    assert rates.book.rate[0] == 0.0001


def test_a_settlement_that_moves_is_told(rates: Rates) -> None:
    rates.take(samples.mark_price("BTCUSDT"))
    assert rates.moves == []
    assert rates.take(samples.mark_price("BTCUSDT", T=LATER)) == ["BTC-USDT"]
    assert rates.moves == [(0, 1700006400.0, LATER / 1000)]
    assert rates.book.next_settlement[0] == LATER / 1000


def test_after_the_book_dropped_the_rates_they_are_written_again(rates: Rates) -> None:
    rates.take(samples.mark_price("BTCUSDT"), samples.mark_price("ETHUSDT"))
    for symbol in rates.book.symbols:
        rates.book.forget("binance", symbol)
    assert rates.book.get("binance", "BTC-USDT") is None
    rates.take(samples.mark_price("BTCUSDT"), samples.mark_price("ETHUSDT"))
    for symbol in ("BTC-USDT", "ETH-USDT"):
        rate = rates.book.get("binance", symbol)
        assert rate is not None
        assert rate.next_settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)


def test_replies_to_commands(rates: Rates) -> None:
    rates.decoder.decode(b'{"result":null,"id":1}')
    with pytest.raises(BadMessage, match="Invalid"):
        rates.decoder.decode(b'{"error":{"code":2,"msg":"Invalid request"},"id":1}')
    for damaged in (b"", b"[", b"{", b"[1", b"null", b"\xff"):
        with pytest.raises((ValueError, BadMessage)):
            rates.decoder.decode(damaged)


def test_bulk_updates_are_what_single_updates_are() -> None:
    """``update_many`` is written out for speed; this keeps it the same as ``update``."""
    import random

    from fundingarb.testing import instrument

    rng = random.Random(5)
    for exchanges in (1, 2, 3):
        listed = [instrument(f"x{e}", f"S{s}-USDT") for s in range(6) for e in range(exchanges)]
        one, many = RateBook(listed), RateBook(listed)
        for book in (one, many):
            book.next_settlement[:] = [1.8e9] * len(listed)
        for turn in range(300):
            rows = rng.sample(range(len(listed)), rng.randrange(1, len(listed) + 1))
            values = [rng.choice([0.0, 0.0001, -0.0001, rng.uniform(-1e-3, 1e-3), math.nan]) for _ in rows]
            for row, value in zip(rows, values, strict=True):
                one.update(row, value, 1.8e9 + turn, 1.0)
            many.update_many(rows, values, 1.0)
            assert one.take_changed() == many.take_changed()
            for symbol in one.symbols:
                assert widest(one, symbol) == widest(many, symbol)


def widest(book: RateBook, symbol: str) -> float:
    """The spread of the best pair; with equal rates there may be none."""
    pair = book.best(symbol)
    return 0.0 if pair is None else book.spread(*pair)


class TestBooks:
    def decode(self, frame: Any) -> RecordingBookSink:
        sink = RecordingBookSink()
        PartialBookDecoder(KNOWN, sink.update, lambda: AT).decode(json.dumps(frame).encode())
        return sink

    def test_every_frame_is_a_whole_book(self) -> None:
        (book,) = self.decode(samples.BOOK_FRAME).books
        assert (book.symbol, book.bid, book.ask, book.at) == (
            "BTC-USDT",
            Decimal("7403.89"),
            Decimal("7405.96"),
            AT,
        )

    def test_prices_per_base_unit(self) -> None:
        data = {**samples.BOOK_FRAME["data"], "s": "1000PEPEUSDT", "b": [["0.0123", "5"]], "a": []}
        (book,) = self.decode({"stream": "1000pepeusdt@depth20@100ms", "data": data}).books
        assert book.bids == ((Decimal("0.0000123"), Decimal(5000)),)

    def test_a_book_of_something_else_is_refused(self) -> None:
        with pytest.raises(BadMessage, match="XUSDT"):
            self.decode({"stream": "x", "data": {**samples.BOOK_FRAME["data"], "s": "XUSDT"}})

    def test_a_reply_brings_quiet_books_up_to_date(self) -> None:
        sink, now = RecordingBookSink(), [AT]
        decoder = PartialBookDecoder(KNOWN, sink.update, lambda: now[0])
        reply = json.dumps({"result": ["btcusdt@depth20@100ms"], "id": 1}).encode()
        decoder.decode(reply)
        assert sink.books == []
        decoder.decode(json.dumps(samples.BOOK_FRAME).encode())
        now[0] += timedelta(seconds=5)
        decoder.decode(reply)
        assert sink.books[1] == replace(sink.books[0], at=now[0])
        decoder.reset()
        decoder.decode(reply)
        assert len(sink.books) == 2

    def test_replies(self) -> None:
        assert self.decode({"result": None, "id": 3}).books == []
        with pytest.raises(BadMessage):
            self.decode({"error": {"code": 2}, "id": 3})


class TestAccount:
    def decode(self, frame: Any) -> RecordingAccountSink:
        sink = RecordingAccountSink()
        AccountDecoder("main", KNOWN, sink).decode(json.dumps(frame).encode())
        return sink

    def order(self, **changes: Any) -> samples.Json:
        return {**samples.ORDER_FRAME, "o": {**samples.ORDER_FRAME["o"], **changes}}

    def test_an_execution_is_an_order_and_a_fill(self) -> None:
        sink = self.decode(samples.ORDER_FRAME)
        (report,), (fill,) = sink.orders, sink.fills
        assert (report.client_id, report.state, report.filled) == (
            "faabcdefghijklmnopl1",
            OrderState.OPEN,
            Decimal("0.004"),
        )
        assert (fill.trade_id, fill.side, fill.fee) == ("698759", OrderSide.SELL, Decimal("0.08600010"))
        assert (fill.realized_pnl, fill.maker, fill.kind) == (Decimal("-0.91539999"), True, FillKind.TRADE)
        assert sink.positions == []

    def test_a_new_order_is_no_fill(self) -> None:
        sink = self.decode(self.order(x="NEW", X="NEW", l="0", z="0", t=0, ap="0"))
        assert len(sink.orders) == 1
        assert sink.fills == []
        assert sink.orders[0].average_price is None

    def test_a_fee_in_another_coin_is_left_to_the_ledger(self) -> None:
        sink = self.decode(self.order(N="BNB", n="0.0001"))
        assert len(sink.orders) == 1
        assert sink.fills == []

    @pytest.mark.parametrize(
        ("name", "kind"), [("autoclose-17", FillKind.LIQUIDATION), ("adl_autoclose", FillKind.ADL)]
    )
    def test_liquidation_and_adl_are_told_as_position_changes(self, name: str, kind: FillKind) -> None:
        sink = self.decode(self.order(c=name))
        assert [fill.kind for fill in sink.fills] == [kind]
        assert sink.positions == [("main", "BTC-USDT")]

    def test_funding_wakes_the_reader_of_the_ledger(self) -> None:
        assert self.decode(samples.FUNDING_FRAME).payments == ["main"]

    def test_other_account_changes(self) -> None:
        def change(reason: str) -> samples.Json:
            return {"e": "ACCOUNT_UPDATE", "a": {"m": reason, "B": [], "P": [{"s": "BTCUSDT", "pa": "0"}]}}

        assert self.decode(change("ORDER")).positions == []
        assert self.decode(change("INSURANCE_CLEAR")).positions == [("main", "BTC-USDT")]
        call = {"e": "MARGIN_CALL", "p": [{"s": "ETHUSDT", "ps": "BOTH"}]}
        assert self.decode(call).positions == [("main", "ETH-USDT")]

    def test_an_expired_key_ends_the_connection(self) -> None:
        with pytest.raises(StreamEnded, match="expired"):
            self.decode({"e": "listenKeyExpired", "E": 1, "listenKey": "x"})

    def test_combined_streams_are_unwrapped(self) -> None:
        assert len(self.decode({"stream": "key", "data": samples.ORDER_FRAME}).orders) == 1

    def test_events_of_no_interest_pass(self) -> None:
        sink = self.decode({"e": "ACCOUNT_CONFIG_UPDATE", "ac": {"s": "BTCUSDT", "l": 25}})
        assert sink == RecordingAccountSink()

    def test_orders_are_remembered_by_number(self) -> None:
        noted: dict[str, str] = {}
        decoder = AccountDecoder("main", KNOWN, RecordingAccountSink(), noted.__setitem__)
        decoder.decode(json.dumps(samples.ORDER_FRAME).encode())
        assert noted == {"8389765": "faabcdefghijklmnopl1"}
