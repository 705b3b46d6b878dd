"""Frames of dYdX's streams, into columns and values."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.dydx import samples
from tests.exchanges.dydx.parsers import AT, KNOWN

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.order import OrderState
from fundingarb.errors import BadMessage
from fundingarb.exchanges.stream import StreamEnded
from fundingarb.testing import RecordingAccountSink
from fundingarb_dydx import ids
from fundingarb_dydx.account_stream import AccountDecoder
from fundingarb_dydx.stream import BookDecoder, MarketsDecoder

D = Decimal


def body(frame: Any, number: int | None = None) -> bytes:
    return json.dumps(frame if number is None else {**frame, "message_id": number}).encode()


class Rates:
    def __init__(self) -> None:
        self.book = RateBook(KNOWN)
        self.now = AT
        self.gaps = 0
        rows = {each.exchange_id: number for number, each in enumerate(KNOWN)}
        self.decoder = MarketsDecoder(self.book, rows, now=lambda: self.now.timestamp(), gap=self.gap)

    def gap(self) -> None:
        self.gaps += 1

    def take(self, frame: Any, number: int | None = None) -> list[str]:
        self.decoder.decode(body(frame, number))
        return self.book.take_changed()


@pytest.fixture
def rates() -> Rates:
    return Rates()


def test_the_first_frame_has_every_market(rates: Rates) -> None:
    assert rates.decoder.missing() == ["v4_markets"]
    assert rates.take(samples.ALL_MARKETS) == ["BTC-USDT", "ETH-USDT"]
    assert rates.decoder.missing() == []
    rate = rates.book.get("dydx", "BTC-USDT")
    assert rate is not None
    assert (rate.rate, rate.interval) == (D("0.0000125"), timedelta(hours=1))
    assert rate.next_settlement == datetime(2023, 11, 14, 23, tzinfo=timezone.utc)
    assert (rate.mark, rate.index) == (D("43000.43"), D("43000.43"))


def test_later_frames_have_what_changed(rates: Rates) -> None:
    rates.take(samples.ALL_MARKETS, 1)
    assert rates.take(samples.TRADING, 2) == ["BTC-USDT"]
    assert rates.take(samples.ORACLE, 3) == []
    rate = rates.book.get("dydx", "BTC-USDT")
    assert rate is not None
    assert (rate.rate, rate.mark) == (D("-0.00001"), D("43210.5"))


def test_batched_updates(rates: Rates) -> None:
    batch = {**samples.TRADING, "contents": [samples.TRADING["contents"], samples.ORACLE["contents"]]}
    rates.take(samples.ALL_MARKETS, 1)
    rates.take(batch, 2)
    rate = rates.book.get("dydx", "BTC-USDT")
    assert rate is not None
    assert (rate.rate, rate.mark) == (D("-0.00001"), D("43210.5"))


def test_a_new_hour_makes_every_rate_that_of_the_next_settlement(rates: Rates) -> None:
    """Rates are sent when they change, and some do not for hours."""
    rates.take(samples.ALL_MARKETS, 1)
    rates.now = AT + timedelta(hours=1)
    rates.take(samples.ORACLE, 2)
    for symbol in ("BTC-USDT", "ETH-USDT"):
        rate = rates.book.get("dydx", symbol)
        assert rate is not None
        assert rate.next_settlement == datetime(2023, 11, 15, tzinfo=timezone.utc)


@pytest.mark.parametrize("value", ["NaN", "1e400", "2", "x", "-1"])
def test_a_nonsensical_rate_spoils_no_other(rates: Rates, value: str) -> None:
    frame = copy.deepcopy(samples.ALL_MARKETS)
    frame["contents"]["markets"]["BTC-USD"]["nextFundingRate"] = value
    with pytest.raises(BadMessage, match="BTC-USD"):
        rates.take(frame)
    assert rates.book.get("dydx", "BTC-USDT") is None
    assert rates.book.get("dydx", "ETH-USDT") is not None


def test_frames_are_counted(rates: Rates) -> None:
    rates.take(samples.ALL_MARKETS, 5)
    rates.take(samples.TRADING, 6)
    assert (
        rates.take({**samples.TRADING, "contents": {"trading": {"BTC-USD": {"nextFundingRate": "0.5"}}}}, 6)
        == []
    )
    assert rates.gaps == 0
    rates.take(samples.ORACLE, 8)
    assert rates.gaps == 1
    assert rates.decoder.missing() == ["v4_markets"], "nobody knows what was in the seventh"
    rates.take(samples.ALL_MARKETS, 9)
    assert rates.decoder.missing() == []
    rates.decoder.reset()
    rates.take(samples.ALL_MARKETS, 1)
    assert rates.gaps == 1, "a new connection begins anew"


def test_a_refused_command_ends_the_connection(rates: Rates) -> None:
    with pytest.raises(StreamEnded, match="could not fetch"):
        rates.take({"type": "error", "message": "Internal error, could not fetch data", "message_id": 1})


class Books:
    def __init__(self) -> None:
        self.seen: list[OrderBook] = []
        self.gaps = 0
        self.decoder = BookDecoder(KNOWN, self.seen.append, lambda: AT, self.gap)
        self.number = 0

    def gap(self) -> None:
        self.gaps += 1

    def take(self, frame: Any) -> OrderBook | None:
        self.number += 1
        before = len(self.seen)
        self.decoder.decode(body(frame, self.number))
        return self.seen[-1] if len(self.seen) > before else None

    def change(self, bids: Any = (), asks: Any = ()) -> OrderBook | None:
        return self.take(samples.frame("v4_orderbook", 0, {"bids": bids, "asks": asks}, name="BTC-USD"))


@pytest.fixture
def books() -> Books:
    made = Books()
    made.take(samples.SNAPSHOT)
    return made


def test_a_snapshot_and_its_changes(books: Books) -> None:
    assert (books.seen[0].bids, books.seen[0].ask) == (((D(43000), D("1.5")),), D(43001))
    changed = books.change([["43000", "1.2"], ["42990", "3"]], [["43001", "0"], ["43002", "0.5", "17"]])
    assert changed is not None
    assert changed.bids == ((D(43000), D("1.2")), (D(42990), D(3)))
    assert changed.asks == ((D(43002), D("0.5")), (D(43005), D(2)))


def test_of_crossing_levels_the_older_one_is_stale(books: Books) -> None:
    crossed = books.change([["43003", "9"]])
    assert crossed is not None
    assert (crossed.bid, crossed.ask) == (D(43003), D(43005)), "the ask at 43001 is from before"
    healed = books.change([["43003", "0"]])
    assert healed is not None
    assert healed.ask == D(43001), "it was hidden, not forgotten"


def test_of_levels_that_cross_in_one_frame_the_sizes_cancel(books: Books) -> None:
    crossed = books.change([["43004", "2"]], [["43003", "0.5"]])
    assert crossed is not None
    assert (crossed.bids[0], crossed.asks[0]) == ((D(43004), D("1.5")), (D(43005), D(2)))


def test_a_missing_frame_drops_every_book(books: Books) -> None:
    books.number += 1
    assert books.change([["43000", "1"]]) is None
    assert books.gaps == 1
    assert not books.decoder.has("BTC-USD")
    assert books.take(samples.SNAPSHOT) is not None
    assert books.decoder.has("BTC-USD")


@pytest.mark.parametrize("level", [["x", "1"], ["43000", "NaN"], ["43000"], [43000, 1], ["-1", "1"]])
def test_a_bad_level_drops_its_book(books: Books, level: Any) -> None:
    with pytest.raises(BadMessage):
        books.change([level])
    assert not books.decoder.has("BTC-USD")
    assert books.gaps == 1
    assert books.change([["43000", "1"]]) is None, "nothing until the snapshot comes"


def test_a_block_shows_that_quiet_books_are_as_they_were(books: Books) -> None:
    before = books.seen[-1]
    again = books.take(samples.BLOCK)
    assert again == before
    assert len(books.seen) == 2


def test_a_book_of_something_unknown_is_told(books: Books) -> None:
    with pytest.raises(BadMessage, match="DOGE-USD"):
        books.take({**samples.SNAPSHOT, "id": "DOGE-USD"})


class Account:
    def __init__(self) -> None:
        self.sink = RecordingAccountSink()
        self.heights: list[int] = []
        self.names = samples.names()
        self.decoder = AccountDecoder("main", KNOWN, self.names, self.sink, self.heights.append)

    def take(self, frame: Any) -> None:
        self.decoder.decode(body({**frame, "message_id": -1}))


@pytest.fixture
def account() -> Account:
    made = Account()
    made.take(samples.BLOCK)
    return made


def test_orders_with_their_names(account: Account) -> None:
    account.take(samples.SUBSCRIBED)
    account.take(samples.UPDATE)
    first, second = account.sink.orders
    assert (first.client_id, first.state, first.filled) == (samples.NAME, OrderState.OPEN, D("0.004"))
    assert second.client_id == samples.NAME
    assert second.state is OrderState.OPEN, (
        "its last block, 1000, has passed, and its fills may still be told of"
    )


def test_the_name_of_an_order_that_is_over_may_go(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "KEPT", 0)
    for status, known in (("BEST_EFFORT_CANCELED", 1), ("FILLED", 0)):
        account.take({**samples.UPDATE, "contents": {"orders": [{**samples.SHORT_TERM, "status": status}]}})
        assert len(account.names) == known, status


def test_an_order_without_a_number_is_named_by_its_uuid(account: Account) -> None:
    uuid = samples.names().order_id(samples.NAME, 0, 0)
    short = {
        key: value for key, value in samples.SHORT_TERM.items() if key not in ("clientId", "clientMetadata")
    }
    frame = copy.deepcopy(samples.UPDATE)
    frame["contents"] = {"orders": [{**short, "id": uuid}, short]}
    account.take(frame)
    assert [report.client_id for report in account.sink.orders] == [samples.NAME, None]


def test_positions_and_fills_wake_the_reader(account: Account) -> None:
    account.take(samples.UPDATE)
    assert ("main", "BTC-USDT") in account.sink.positions
    assert account.sink.fills == [], "the ledger has the fees"


def test_one_bad_entry_spoils_no_other(account: Account) -> None:
    frame = copy.deepcopy(samples.UPDATE)
    frame["contents"]["orders"] = [{"id": "x"}, samples.SHORT_TERM]
    with pytest.raises(BadMessage, match="missing required field"):
        account.take(frame)
    assert len(account.sink.orders) == 1
    assert account.sink.positions


def test_heights_and_the_first_block_of_an_hour(account: Account) -> None:
    assert account.heights == [12345679]
    for height, time in (("12345680", "22:59:59.9"), ("12345681", "23:00:00.1"), ("12345682", "23:00:01.0")):
        contents = {"blockHeight": height, "time": f"2023-11-14T{time}00Z"}
        account.take({**samples.BLOCK, "contents": contents})
    assert account.heights[-1] == 12345682
    assert account.sink.payments == ["main"], "funding is settled with it, and is not announced"
