"""Every parser of the dYdX adapter under the endpoint or stream it reads, with a sample it understands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.exchanges import wire
from tests.exchanges.dydx import samples
from tests.exchanges.wire import Parser, Taken

from fundingarb.domain.market import OrderBook, RateBook
from fundingarb.exchanges.parse import decode
from fundingarb.exchanges.stream import StreamEnded
from fundingarb.testing import RecordingAccountSink
from fundingarb_dydx import margin
from fundingarb_dydx import messages as m
from fundingarb_dydx import schema as s
from fundingarb_dydx.account_stream import AccountDecoder
from fundingarb_dydx.stream import BookDecoder, MarketsDecoder

AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
LISTED = samples.listed()
KNOWN = samples.known()
NAMES = samples.names()
BTC = next(each for each in KNOWN if each.symbol == "BTC-USDT")


def of(kind: Any, convert: Callable[[Any], object]) -> Parser:
    return lambda body: convert(decode(kind, body, "message"))


def order(row: s.Order) -> object:
    return m.order_report(row, "x", m.name_of(row, NAMES), KNOWN, 1000)


def markets(answer: s.Markets) -> object:
    found = m.markets(answer.markets)
    return m.instruments(found), m.funding_rates(found, KNOWN, {"BTC-USD", "ETH-USD"}, AT)


def subaccount(answer: s.SubaccountAnswer) -> object:
    found = answer.subaccount
    return margin.positions(found, "x", LISTED, KNOWN), margin.balance(found, "x", LISTED, KNOWN)


REST: dict[str, tuple[Parser, Any]] = {
    "GET /v4/time": (of(s.Time, lambda a: m.time_of(a.iso, "time")), samples.TIME),
    "GET /v4/height": (of(s.Height, lambda a: m.block(a.height, "height")), samples.HEIGHT),
    "GET /v4/perpetualMarkets": (of(s.Markets, markets), samples.MARKETS),
    "GET /v4/historicalFunding": (of(s.History, lambda a: m.settled(a.historicalFunding, "BTC-USDT")), samples.SETTLED),
    "GET /v4/orderbooks": (of(s.Depth, lambda a: m.order_book(a, BTC, AT, 5)), samples.DEPTH),
    "GET /v4/orders": (of(list[s.Order], lambda rows: [order(row) for row in rows]), [samples.ORDER]),
    "GET /v4/orders/{id}": (of(s.Order, order), samples.SHORT_TERM),
    "GET /v4/addresses": (of(s.SubaccountAnswer, subaccount), samples.SUBACCOUNT),
    "GET /v4/perpetualPositions": (
        of(s.Positions, lambda a: [margin.signed_size(row.side, row.size) for row in a.positions]),
        {"positions": [samples.POSITION]},
    ),
    "GET /v4/fills": (
        of(s.Fills, lambda a: [m.fill(row, "x", BTC, None, Decimal(0)) for row in a.fills]),
        {"fills": [samples.FILL]},
    ),
    "GET /v4/fundingPayments": (
        of(s.Payments, lambda a: [m.payment(row, "x", "BTC-USDT") for row in a.fundingPayments]),
        {"fundingPayments": [samples.PAYMENT]},
    ),
    "GET /v4/transfers": (
        of(s.Transfers, lambda a: [m.transfer(row, samples.ADDRESS, 0) for row in a.transfers]),
        {"transfers": [samples.TRANSFER]},
    ),
    "GET user_fee_tier": (of(s.FeeTierAnswer, m.fee_tier), samples.FEES),
    "GET account_info": (of(s.AccountAnswer, lambda a: m.block(a.info.account_number, "number")), samples.ACCOUNT),
    "GET status": (of(s.NodeAnswer, lambda a: a.result.node_info.network), samples.NODE),
    "GET broadcast_tx_sync": (of(s.BroadcastAnswer, lambda a: a.result.hash), samples.BROADCAST),
}  # fmt: skip


def rates(body: bytes) -> object:
    book = RateBook(KNOWN)
    rows = {each.exchange_id: number for number, each in enumerate(KNOWN)}
    decoder = MarketsDecoder(book, rows, now=AT.timestamp)
    decoder.decode(json.dumps(samples.ALL_MARKETS).encode())
    before = [book.value(row) for row in range(len(rows))]
    decoder.decode(body)
    return Taken(
        [value for row, value in enumerate(map(book.value, range(len(rows)))) if value != before[row]]
    )


def books(body: bytes) -> object:
    seen: list[OrderBook] = []
    BookDecoder(KNOWN, seen.append, lambda: AT).decode(body)
    return Taken([*seen])


def account(body: bytes) -> object:
    sink, heights = RecordingAccountSink(), list[int]()
    AccountDecoder("x", KNOWN, NAMES, sink, heights.append).decode(body)
    return Taken([*sink.orders, *sink.fills, *sink.payments, *sink.positions, *heights])


STREAMS: dict[str, tuple[Parser, Any]] = {
    "markets": (rates, samples.ALL_MARKETS),
    "trading": (rates, samples.TRADING),
    "oracle prices": (rates, samples.ORACLE),
    "books": (books, samples.SNAPSHOT),
    "subaccount": (account, samples.SUBSCRIBED),
    "updates": (account, samples.UPDATE),
    "blocks": (account, samples.BLOCK),
}


ANSWERS = {
    "http_get_time": "GET /v4/time",
    "http_get_block_height": "GET /v4/height",
    "http_get_perpetual_markets": "GET /v4/perpetualMarkets",
    "http_get_orderbook": "GET /v4/orderbooks",
    "http_get_fills": "GET /v4/fills",
    "old-http-fills": "GET /v4/fills",
    "old-http-v4_fills": "GET /v4/fills",
    "old-http-orders": "GET /v4/orders",
    "old-http-list_perpetual_positions": "GET /v4/perpetualPositions",
    "old-http-list_perpetual_markets_empty_oracle_price": "GET /v4/perpetualMarkets",
}
SAMPLES = {
    "fetch_time": "GET /v4/time",
    "fetch_markets": "GET /v4/perpetualMarkets",
    "fetch_funding_rate_history": "GET /v4/historicalFunding",
    "fetch_orders": "GET /v4/orders",
    "parse_order": "GET /v4/orders/{id}",
    "fetch_positions": "GET /v4/perpetualPositions",
    "fetch_balance": "GET /v4/addresses",
    "fetch_order_book": "GET /v4/orderbooks",
    "fetch_transactions_helper": "GET /v4/transfers",
    "create_order": "GET broadcast_tx_sync",
}
"""Of the samples in ccxt's comments, those of the endpoints read here."""


def _answers(path: Path) -> Iterator[tuple[str, Any]]:
    content = json.loads(path.read_text())
    if path.stem == "ccxt-docsamples-rest":
        for entry in content:
            if entry["method"] in SAMPLES:
                yield SAMPLES[entry["method"]], entry["sample"]
    named = path.stem.removeprefix("nautilus-")
    if named in ANSWERS:
        yield (
            ANSWERS[named],
            content["result"] if isinstance(content, dict) and "result" in content else content,
        )


def _frames(path: Path) -> Iterator[bytes]:
    content = json.loads(path.read_text())
    for frame in [each["sample"] for each in content] if path.stem == "ccxt-docsamples-ws" else [content]:
        if isinstance(frame, dict) and "connection_id" in frame:
            yield json.dumps(frame).encode()


def _stream(frame: dict[str, Any]) -> str | None:
    """Which stream a frame is of; None when of none that is read here."""
    channel, whole = frame.get("channel"), frame.get("type") == "subscribed"
    if channel == "v4_markets" and not whole:
        return "trading" if "trading" in frame["contents"] else "oracle prices"
    found = {
        "v4_markets": "markets",
        "v4_orderbook": "books",
        "v4_subaccounts": "subaccount" if whole else "updates",
        "v4_block_height": "blocks",
    }
    return found.get(str(channel))


_CHANGES = {"trading": "trading", "oracle prices": "oraclePrices"}


def _pushes(path: Path) -> Iterator[tuple[str, bytes]]:
    """Frames whose connection is called ``conn-...`` were written by hand. One market stands for another."""
    for frame in _frames(path):
        content = json.loads(frame)
        stream = _stream(content)
        if stream is not None and not content["connection_id"].startswith("conn-"):
            if stream in _CHANGES:
                _, change = next(iter(content["contents"][_CHANGES[stream]].items()))
                content["contents"][_CHANGES[stream]] = {BTC.exchange_id: change}
            yield stream, json.dumps(content).encode()


DOCUMENTED = frozenset(
    {"GET /v4/fundingPayments", "GET user_fee_tier", "GET account_info", "GET status", "markets"}
)
CALLS = {
    "indexerGetHistoricalFundingMarket": "GET /v4/historicalFunding",
    "indexerGetOrderbooksPerpetualMarketMarket": "GET /v4/orderbooks",
    "indexerGetOrdersOrderId": "GET /v4/orders/{id}",
    "indexerGetAddressesAddressSubaccountNumberSubaccountNumber": "GET /v4/addresses",
    "nodeRestGetCosmosAuthV1beta1AccountInfoDydxAddress": "GET account_info",
    "feeTier": "GET user_fee_tier",
    "nodeStatus": "GET status",
    "broadcast": "GET broadcast_tx_sync",
}
SUBJECT = wire.Subject(
    "dydx",
    REST,
    STREAMS,
    _answers,
    _frames,
    _pushes,
    (*wire.FRAME, StreamEnded),
    DOCUMENTED,
    aliases=CALLS,
)
"""A frame may also end its connection, with a reason: the next one starts with fresh snapshots."""
