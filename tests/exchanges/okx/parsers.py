"""Every parser of the OKX adapter under the endpoint or stream it reads, with a sample it understands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from tests.exchanges import wire
from tests.exchanges.okx import samples
from tests.exchanges.wire import Parser, Taken

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.order import NewOrder, OrderSide, TimeInForce
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import decode, moment
from fundingarb.testing import RecordingAccountSink
from fundingarb_okx import messages as m
from fundingarb_okx import schema as s
from fundingarb_okx.account_stream import AccountDecoder
from fundingarb_okx.schema import Answer
from fundingarb_okx.stream import BookDecoder, RateDecoder

AT = datetime(2026, 1, 5, tzinfo=timezone.utc)
KNOWN = samples.known()
BTC = next(each for each in KNOWN if each.symbol == "BTC-USDT")
LISTED = KNOWN.listed(BTC)
SENT = NewOrder("c", "BTC-USDT", OrderSide.BUY, Decimal("0.01"), Decimal(1), TimeInForce.GTC, False)


def whole(kind: Any, convert: Callable[[Any], object]) -> Parser:
    return lambda body: convert(decode(Answer[kind], body, "message").data)


def rows(kind: Any, convert: Callable[[Any], object]) -> Parser:
    return whole(kind, lambda found: [convert(row) for row in found])


def bill(row: s.Bill) -> object:
    if row.type == m.FUNDING:
        return m.payment(row, "x", "BTC-USDT")
    return m.fill(row, "x", BTC, KNOWN) if m.is_fill(row) else None


def book(depth: s.Depth) -> object:
    bids, asks = ([(level[0], level[1]) for level in side] for side in (depth.bids, depth.asks))
    return values.order_book(BTC, bids, asks, AT, depth=20, units=KNOWN.units(BTC))


def listed(found: Any) -> object:
    return [(each.instrument, each.size) for each in m.contracts(found, {})]


REST: dict[str, tuple[Parser, Any]] = {
    "GET /api/v5/public/time": (rows(s.ServerTime, lambda r: moment(r.ts, "ts")), samples.TIME),
    "GET /api/v5/public/instruments": (whole(msgspec.Raw, listed), samples.CONTRACTS),
    "GET /api/v5/public/funding-rate": (
        rows(s.Funding, lambda r: m.funding_rate(r, LISTED, {}, {}, AT)), samples.RATES,
    ),
    "GET /api/v5/public/mark-price": (whole(s.MarkPrice, lambda r: m.prices(r, [])), samples.MARKS),
    "GET /api/v5/market/index-tickers": (whole(s.IndexPrice, lambda r: m.prices([], r)), samples.INDEXES),
    "GET /api/v5/public/funding-rate-history": (
        whole(s.SettledFunding, lambda r: m.settled(r, "BTC-USDT")), samples.SETTLED,
    ),
    "GET /api/v5/market/books": (rows(s.Depth, book), samples.DEPTH),
    "POST /api/v5/trade/order": (whole(s.Placed, lambda r: m.created(r, SENT, "x", AT)), samples.PLACED),
    "POST /api/v5/trade/cancel-order": (rows(s.Placed, lambda r: r.ordId), samples.PLACED),
    "GET /api/v5/trade/order": (rows(s.Order, lambda r: m.order_report(r, "x", KNOWN)), samples.answer(samples.ORDER)),
    "GET /api/v5/trade/orders-pending": (
        rows(s.Order, lambda r: m.order_report(r, "x", KNOWN)), samples.answer(samples.ORDER),
    ),
    "GET /api/v5/account/positions": (
        rows(s.Position, lambda r: m.position(r, "x", KNOWN)), samples.answer(samples.POSITION),
    ),
    "GET /api/v5/account/balance": (whole(s.Wallet, lambda r: m.balance(r, "x")), samples.WALLET),
    "GET /api/v5/account/bills": (rows(s.Bill, bill), samples.BILLS),
    "GET /api/v5/account/bills-archive": (rows(s.Bill, bill), samples.BILLS),
    "GET /api/v5/account/trade-fee": (rows(s.Fees, lambda r: m.fee_tier(r, "4")), samples.answer(samples.FEES)),
    "GET /api/v5/account/config": (rows(s.AccountConfig, m.permissions), samples.answer(samples.CONFIG)),
    "GET /api/v5/account/leverage-info": (rows(s.Leverage, lambda r: m.leverage(r)), samples.LEVERAGE),
}  # fmt: skip


def rates(body: bytes) -> object:
    book = RateBook(KNOWN)
    named = {each.exchange_id: number for number, each in enumerate(KNOWN)}
    indexes = {KNOWN.listed(each).index: number for number, each in enumerate(KNOWN)}
    decoder = RateDecoder(book, named, indexes, now=AT.timestamp)
    decoder.decode(json.dumps(samples.push("funding-rate", samples.funding(fundingRate="0.00001"))).encode())
    before = [book.value(row) for row in range(len(named))]
    decoder.decode(body)
    return Taken(
        [value for row, value in enumerate(map(book.value, range(len(named)))) if value != before[row]]
    )


def books(body: bytes) -> object:
    seen: list[OrderBook] = []
    BookDecoder(KNOWN, seen.append, lambda: AT, lambda name: None).decode(body)
    return Taken([*seen])


def account(body: bytes) -> object:
    sink = RecordingAccountSink()
    AccountDecoder("x", KNOWN, sink).decode(body)
    return Taken([*sink.orders, *sink.fills, *sink.payments, *sink.positions])


STREAMS: dict[str, tuple[Parser, Any]] = {
    "funding-rate": (rates, samples.push("funding-rate", samples.funding())),
    "mark-price": (rates, samples.mark_frame("43000.43")),
    "index-tickers": (rates, samples.index_frame("42990.92")),
    "books": (books, samples.book_frame("snapshot", -1, 7, [["100.1", "2"], ["100", "1"]], [["100.2", "1"]])),
    "orders": (account, samples.private("orders", samples.STREAM_ORDER)),
    "balance_and_position": (account, samples.change("funding_fee")),
}


def _swap(row: object) -> bool:
    """Whether a recorded row is of the kind this adapter asks for; others have fields of other forms."""
    return not isinstance(row, dict) or row.get("instType", "SWAP") == "SWAP"


SAMPLES = {"parse_position": "GET /api/v5/account/positions"}
"""Of the samples in ccxt's comments, those of a swap that show an endpoint of which nobody else has one."""


def _answers(path: Path) -> Iterator[tuple[str, Any]]:
    found = wire.answers(path)
    if path.stem == "ccxt-docsamples-rest":
        found = (
            (SAMPLES[entry["method"]], samples.answer(entry["sample"]))
            for entry in json.loads(path.read_text())
            if entry["method"] in SAMPLES and "pos" in entry["sample"]
        )
    for endpoint, answer in found:
        if endpoint in REST and all(map(_swap, answer["data"])):
            yield endpoint, answer


def _pushes(path: Path) -> Iterator[tuple[str, bytes]]:
    """An inverse swap's rates have the same form as those of a linear one, so that it may stand for one."""
    for frame in wire.frames(path):
        content = json.loads(frame)
        channel, rows = content.get("arg", {}).get("channel"), content.get("data")
        if channel in STREAMS and rows and all(map(_swap, rows)):
            if channel == "funding-rate":
                for row in rows:
                    row["instId"] = BTC.exchange_id
            yield channel, json.dumps(content).encode()


DOCUMENTED = frozenset(
    {
        "GET /api/v5/public/instruments",
        "GET /api/v5/trade/order",
        "GET /api/v5/trade/orders-pending",
        "GET /api/v5/account/bills",
        "GET /api/v5/account/bills-archive",
        "GET /api/v5/account/trade-fee",
        "books",
        "mark-price",
        "orders",
        "balance_and_position",
    }
)
UNREAD = frozenset(
    {"privatePostAccountSetLeverage", "privatePostAccountSetPositionMode", "privatePostTradeCancelAllAfter"}
)
SUBJECT = wire.Subject("okx", REST, STREAMS, _answers, wire.frames, _pushes, wire.FRAME, DOCUMENTED, UNREAD)
