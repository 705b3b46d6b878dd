"""Every parser of the Bybit adapter under the endpoint or stream it reads, with a sample it understands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from tests.exchanges import wire
from tests.exchanges.bybit import samples
from tests.exchanges.wire import Parser, Taken

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.domain.order import NewOrder, OrderSide, TimeInForce
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import decode, moment
from fundingarb.testing import RecordingAccountSink
from fundingarb_bybit import messages as m
from fundingarb_bybit import schema as s
from fundingarb_bybit.account_stream import AccountDecoder
from fundingarb_bybit.schema import Answer, Page
from fundingarb_bybit.stream import BookDecoder, TickerDecoder

AT = datetime(2026, 1, 5, tzinfo=timezone.utc)
KNOWN = samples.known()
BTC = next(each for each in KNOWN if each.symbol == "BTC-USDT")
SENT = NewOrder("c", "BTC-USDT", OrderSide.BUY, Decimal("0.01"), Decimal(1), TimeInForce.GTC, False)


def of(kind: Any, convert: Callable[[Any], object]) -> Parser:
    return lambda body: convert(decode(Answer[kind], body, "message").result)


def rows(kind: Any, convert: Callable[[Any], object]) -> Parser:
    return of(Page[kind], lambda page: [convert(row) for row in page.rows])


def whole(kind: Any, convert: Callable[[Any], object]) -> Parser:
    return of(Page[kind], lambda page: convert(page.rows))


def ledger_row(row: s.LedgerRow) -> object:
    if row.type == "SETTLEMENT":
        return m.payment(row, "x", "BTC-USDT")
    return m.fill(row, "x", BTC) if m.is_fill(row) else None


def server_time(answer: s.ServerTime) -> object:
    return moment(answer.timeNano[:-6], "timeNano")


REST: dict[str, tuple[Parser, Any]] = {
    "GET /v5/market/time": (of(s.ServerTime, server_time), samples.TIME),
    "GET /v5/market/instruments-info": (whole(msgspec.Raw, m.instruments), samples.CONTRACTS),
    "GET /v5/market/tickers": (rows(s.Ticker, lambda r: m.funding_rate(r, BTC, AT)), samples.page(samples.TICKER)),
    "GET /v5/market/funding/history": (whole(s.SettledFunding, lambda r: m.settled(r, "BTC-USDT")), samples.SETTLED),
    "GET /v5/market/orderbook": (of(s.Depth, lambda a: values.order_book(BTC, a.b, a.a, AT, depth=20)), samples.DEPTH),
    "POST /v5/order/create": (of(s.Created, lambda a: m.created(a, SENT, "x", AT)), samples.CREATED),
    "POST /v5/order/cancel": (of(s.Created, lambda a: a.orderId), samples.CREATED),
    "GET /v5/order/realtime": (rows(s.Order, lambda r: m.order_report(r, "x", KNOWN)), samples.page(samples.ORDER)),
    "GET /v5/order/history": (rows(s.Order, lambda r: m.order_report(r, "x", KNOWN)), samples.page(samples.ORDER)),
    "GET /v5/position/list": (rows(s.Position, lambda r: m.position(r, "x", KNOWN)), samples.page(samples.POSITION)),
    "GET /v5/account/wallet-balance": (whole(s.Wallet, lambda r: m.balance(r, "x")), samples.WALLET),
    "GET /v5/account/transaction-log": (rows(s.LedgerRow, ledger_row), samples.LEDGER),
    "GET /v5/account/fee-rate": (rows(s.FeeRate, m.fee_tier), samples.FEES),
    "GET /v5/account/info": (of(s.AccountInfo, lambda a: a.marginMode), samples.ACCOUNT),
    "GET /v5/account/query-dcp-info": (
        of(s.Protections, lambda a: [(row.product, row.dcpStatus, row.timeWindow) for row in a.dcpInfos]),
        samples.PROTECTION,
    ),
    "GET /v5/user/query-api": (of(s.ApiKey, m.permissions), samples.answer(samples.KEY)),
}  # fmt: skip


def tickers(body: bytes) -> object:
    book = RateBook(KNOWN)
    named = {each.exchange_id: number for number, each in enumerate(KNOWN)}
    TickerDecoder(book, named, now=AT.timestamp).decode(body)
    return Taken([book.value(row) for row in range(len(named))])


def books(body: bytes) -> object:
    seen: list[OrderBook] = []
    BookDecoder(KNOWN, seen.append, lambda: AT, lambda symbol: None).decode(body)
    return Taken([*seen])


def account(body: bytes) -> object:
    sink = RecordingAccountSink()
    AccountDecoder("x", KNOWN, sink).decode(body)
    return Taken([*sink.orders, *sink.fills, *sink.payments, *sink.positions])


STREAMS: dict[str, tuple[Parser, Any]] = {
    "tickers": (tickers, samples.ticker_frame()),
    "books": (books, samples.book_frame("snapshot", 7, [["100.1", "2"], ["100", "1"]], [["100.2", "1"]])),
    "orders": (account, samples.private("order", samples.ORDER)),
    "executions": (account, samples.private("execution", samples.EXECUTION)),
    "positions": (account, samples.private("position", samples.POSITION)),
}


def _answers(path: Path) -> Iterator[tuple[str, Any]]:
    for endpoint, answer in wire.answers(path):
        if endpoint in REST and answer["result"].get("category") not in ("spot", "option"):
            yield endpoint, answer


TOPICS = {
    "tickers": "tickers",
    "orderbook": "books",
    "order": "orders",
    "execution": "executions",
    "position": "positions",
}


def _pushes(path: Path) -> Iterator[tuple[str, bytes]]:
    for frame in wire.frames(path):
        topic = json.loads(frame).get("topic", "")
        if topic.split(".")[0] in TOPICS:
            yield TOPICS[topic.split(".")[0]], frame


DOCUMENTED = frozenset(
    {"GET /v5/account/query-dcp-info", "GET /v5/user/query-api", "books", "executions", "orders"}
)
UNREAD = frozenset(
    {
        "privatePostV5AccountSetMarginMode",
        "privatePostV5OrderDisconnectedCancelAll",
        "privatePostV5PositionSetLeverage",
        "privatePostV5PositionSwitchMode",
    }
)
SUBJECT = wire.Subject("bybit", REST, STREAMS, _answers, wire.frames, _pushes, wire.FRAME, DOCUMENTED, UNREAD)
