"""Every parser of the OKX adapter under the endpoint or stream it reads, with a sample it understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from tests.exchanges import wire
from tests.exchanges.okx import samples
from tests.exchanges.wire import Parser

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


@dataclass
class Taken:
    """What a stream decoder passed on."""

    values: list[object]


def rates(body: bytes) -> object:
    book = RateBook(KNOWN)
    named = {each.exchange_id: number for number, each in enumerate(KNOWN)}
    indexes = {KNOWN.listed(each).index: number for number, each in enumerate(KNOWN)}
    RateDecoder(book, named, indexes, now=AT.timestamp).decode(body)
    return Taken([book.value(row) for row in range(len(named))])


def books(body: bytes) -> object:
    seen: list[OrderBook] = []
    BookDecoder(KNOWN, seen.append, lambda: AT, lambda name: None).decode(body)
    return Taken([*seen])


def account(body: bytes) -> object:
    sink = RecordingAccountSink()
    AccountDecoder("x", KNOWN, sink).decode(body)
    return Taken([*sink.orders, *sink.fills])


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


def _answers(path: Path) -> Iterator[tuple[str, Any]]:
    for endpoint, answer in wire.answers(path):
        if endpoint in REST and all(map(_swap, answer["data"])):
            yield endpoint, answer


SUBJECT = wire.Subject("okx", REST, STREAMS, _answers, wire.frames, wire.FRAME)
