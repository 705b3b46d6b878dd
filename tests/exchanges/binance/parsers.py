"""Every parser of the Binance adapter under the endpoint or stream it reads, with a sample it understands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.exchanges import wire
from tests.exchanges.binance import samples
from tests.exchanges.wire import Parser, Taken

from fundingarb.domain.market import RateBook
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import decode, moment
from fundingarb.exchanges.stream import StreamEnded
from fundingarb.testing import RecordingAccountSink, RecordingBookSink
from fundingarb_binance import messages as m
from fundingarb_binance import schema
from fundingarb_binance.account_stream import AccountDecoder
from fundingarb_binance.stream import MarkPriceDecoder, PartialBookDecoder

AT = datetime(2026, 1, 5, tzinfo=timezone.utc)
KNOWN = samples.known()
BTC = next(each for each in KNOWN if each.symbol == "BTC-USDT")


def of(kind: Any, convert: Callable[[Any], object]) -> Parser:
    return lambda body: convert(decode(kind, body, "message"))


def each(convert: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda rows: [convert(row) for row in rows]


REST: dict[str, tuple[Parser, Any]] = {
    "GET /fapi/v1/time": (
        of(schema.ServerTime, lambda a: moment(a.serverTime, "time")),
        {"serverTime": 1700000000000},
    ),
    "GET /fapi/v1/exchangeInfo": (
        of(schema.ExchangeInfo, lambda a: m.instruments(a, {})),
        samples.EXCHANGE_INFO,
    ),
    "GET /fapi/v1/fundingInfo": (of(list[schema.FundingInfo], m.funding_terms), samples.FUNDING_INFO),
    "GET /fapi/v1/premiumIndex": (
        of(schema.PremiumIndex, lambda a: m.funding_rate(a, BTC, AT)),
        samples.PREMIUM,
    ),
    "GET /fapi/v1/fundingRate": (
        of(list[schema.SettledFunding], lambda a: m.settled(a, "BTC-USDT")),
        samples.SETTLED,
    ),
    "GET /fapi/v1/depth": (
        of(schema.Depth, lambda a: values.order_book(BTC, a.bids, a.asks, AT, depth=20)),
        samples.DEPTH,
    ),
    "POST /fapi/v1/order": (of(schema.Order, lambda a: m.order_report(a, "x", BTC)), samples.ORDER),
    "DELETE /fapi/v1/order": (of(schema.Order, lambda a: m.order_report(a, "x", BTC)), samples.ORDER),
    "GET /fapi/v1/order": (of(schema.Order, lambda a: m.order_report(a, "x", BTC)), samples.ORDER),
    "GET /fapi/v1/openOrders": (
        of(list[schema.Order], each(lambda o: m.order_report(o, "x", BTC))),
        [samples.ORDER],
    ),
    "GET /fapi/v3/positionRisk": (
        of(list[schema.Position], each(lambda p: m.position(p, "x", KNOWN))),
        [samples.POSITION],
    ),
    "GET /fapi/v3/account": (of(schema.Account, lambda a: m.balance(a, "x")), samples.ACCOUNT),
    "GET /fapi/v1/userTrades": (
        of(list[schema.UserTrade], each(lambda t: m.fill(t, "x", BTC, "c"))),
        [samples.TRADE],
    ),
    "GET /fapi/v1/income": (
        of(list[schema.Income], each(lambda i: m.payment(i, "x", "BTC-USDT"))),
        [samples.INCOME],
    ),
    "GET /fapi/v1/commissionRate": (of(schema.CommissionRate, m.fee_tier), samples.COMMISSION),
    "GET /fapi/v1/symbolConfig": (of(list[schema.SymbolConfig], len), samples.SYMBOL_CONFIG),
    "GET /fapi/v1/accountConfig": (of(schema.AccountConfig, bool), {"dualSidePosition": True}),
    "POST /fapi/v1/listenKey": (of(schema.ListenKey, lambda a: a.listenKey), {"listenKey": "abc"}),
    "GET /sapi/v1/account/apiRestrictions": (of(schema.ApiRestrictions, m.permissions), samples.RESTRICTIONS),
}


def mark_prices(body: bytes) -> object:
    book = RateBook(KNOWN)
    rows = {each.exchange_id: number for number, each in enumerate(KNOWN)}
    refused: list[str] = []
    decoder = MarkPriceDecoder(book, rows, now=AT.timestamp, bad=lambda raw, why: refused.append(why))
    decoder.decode(body)
    return Taken([book.value(row) for row in range(len(rows))])


def books(body: bytes) -> object:
    sink = RecordingBookSink()
    PartialBookDecoder(KNOWN, sink.update, lambda: AT).decode(body)
    return Taken([*sink.books])


def account(body: bytes) -> object:
    sink = RecordingAccountSink()
    try:
        AccountDecoder("x", KNOWN, sink).decode(body)
    except StreamEnded:
        return Taken([])
    return Taken([*sink.orders, *sink.fills, *sink.payments, *sink.positions])


STREAMS: dict[str, tuple[Parser, Any]] = {
    "mark prices": (
        mark_prices,
        [samples.mark_price("BTCUSDT"), samples.mark_price("1000PEPEUSDT", "-0.0002")],
    ),
    "books": (books, samples.BOOK_FRAME),
    "orders": (account, samples.ORDER_FRAME),
    "account": (account, samples.FUNDING_FRAME),
}


def _answers(path: Path) -> Iterator[tuple[str, Any]]:
    """A list of all marks is asked for nowhere here."""
    for endpoint, answer in wire.answers(path):
        if not (endpoint == "GET /fapi/v1/premiumIndex" and isinstance(answer, list)):
            yield endpoint, answer


EVENTS = {
    "markPriceUpdate": "mark prices",
    "depthUpdate": "books",
    "ORDER_TRADE_UPDATE": "orders",
    "ACCOUNT_UPDATE": "account",
}


def _pushes(path: Path) -> Iterator[tuple[str, bytes]]:
    for frame in wire.frames(path):
        content = json.loads(frame)
        data = content.get("data", content) if isinstance(content, dict) else content
        event = data[0] if isinstance(data, list) and data else data
        if isinstance(event, dict) and event.get("e") in EVENTS:
            yield EVENTS[event["e"]], frame


DOCUMENTED = frozenset({"GET /sapi/v1/account/apiRestrictions", "account", "mark prices"})
UNREAD = frozenset(
    {
        "fapiPrivatePostCountdownCancelAll",
        "fapiPrivatePostLeverage",
        "fapiPrivatePostMarginType",
        "fapiPrivatePostPositionSideDual",
        "fapiPrivatePutListenKey",
    }
)
SUBJECT = wire.Subject(
    "binance", REST, STREAMS, _answers, wire.frames, _pushes, wire.FRAME, DOCUMENTED, UNREAD
)
