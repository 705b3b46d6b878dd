"""Answers and frames of Bybit v5 in the documented format, written for these tests."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from fundingarb.exchanges.parse import decode
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_bybit import messages, schema

Json = dict[str, Any]


def answer(result: Any) -> Json:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1700000000123}


def page(*rows: Json, cursor: str = "") -> Json:
    return answer({"category": "linear", "list": list(rows), "nextPageCursor": cursor})


def contract(symbol: str, base: str, **changes: Any) -> Json:
    return {
        "symbol": symbol, "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": base, "quoteCoin": "USDT",
        "launchTime": "1585526400000", "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {"maxOrderQty": "1190.000", "minOrderQty": "0.001", "qtyStep": "0.001",
                          "postOnlyMaxOrderQty": "1190.000", "maxMktOrderQty": "500.000", "minNotionalValue": "5"},
        "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": "USDT", "copyTrading": "both",
        "upperFundingRate": "0.00375", "lowerFundingRate": "-0.00375", "isPreListing": False, "preListingInfo": None,
        **changes,
    }  # fmt: skip


PEPE = contract(
    "1000PEPEUSDT", "1000PEPE", fundingInterval=240,
    priceFilter={"minPrice": "0.0000001", "maxPrice": "0.1999998", "tickSize": "0.0000001"},
    lotSizeFilter={"maxOrderQty": "170000000", "minOrderQty": "100", "qtyStep": "100", "minNotionalValue": "5"},
)  # fmt: skip
CONTRACTS = page(contract("BTCUSDT", "BTC"), contract("ETHUSDT", "ETH"), PEPE)
TICKER: Json = {
    "symbol": "BTCUSDT", "lastPrice": "43000.50", "indexPrice": "42990.92", "markPrice": "43000.43",
    "prevPrice24h": "42000", "openInterest": "240113", "fundingRate": "-0.000212", "nextFundingTime": "1700006400000",
    "fundingIntervalHour": "4", "fundingCap": "0.005", "bid1Price": "43000.4", "ask1Price": "43000.5",
}  # fmt: skip
SETTLED = page(
    {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": "1699977600000"},
    {"symbol": "BTCUSDT", "fundingRate": "-0.0002", "fundingRateTimestamp": "1699948800000"},
)
DEPTH = answer(
    {"s": "BTCUSDT", "b": [["43000.4", "1.5"], ["43000.3", "0"]], "a": [["43000.5", "0.7"], ["43000.9", "2"]],
     "ts": 1700000000100, "u": 230704, "seq": 1432604333, "cts": 1700000000090}
)  # fmt: skip
CREATED = answer({"orderId": "c6f055d9-7f21-4079-913d-e6523a9cfffa", "orderLinkId": "faabcdefghijklmnopl1"})
ORDER: Json = {
    "orderId": "fd4300ae-7847-404e-b947-b46980a4d140", "orderLinkId": "faabcdefghijklmnopl1", "symbol": "BTCUSDT",
    "price": "43000.40", "qty": "0.010", "side": "Sell", "positionIdx": 0, "orderStatus": "PartiallyFilled",
    "cancelType": "UNKNOWN", "rejectReason": "EC_NoError", "avgPrice": "43000.45", "leavesQty": "0.006",
    "cumExecQty": "0.004", "cumExecValue": "172.0018", "cumExecFee": "0.0946", "timeInForce": "GTC",
    "orderType": "Limit", "reduceOnly": True, "closeOnTrigger": False, "tpslMode": "Full",
    "createdTime": "1700000000000", "updatedTime": "1700000000500", "category": "linear",
}  # fmt: skip
POSITION: Json = {
    "positionIdx": 0, "riskId": 1, "symbol": "BTCUSDT", "side": "Sell", "size": "0.25", "avgPrice": "43000.4",
    "positionValue": "10750.1", "tradeMode": 0, "positionStatus": "Normal", "adlRankIndicator": 2, "leverage": "5",
    "markPrice": "43100", "liqPrice": "51000.5", "unrealisedPnl": "-24.9", "positionIM": "2150", "positionMM": "53",
    "createdTime": "1676538056258", "updatedTime": "1697673600012", "category": "linear",
}  # fmt: skip
WALLET = page(
    {
        "accountType": "UNIFIED", "totalEquity": "975.1", "totalAvailableBalance": "500.25",
        "coin": [
            {"coin": "USDT", "equity": "975.12", "walletBalance": "1000.12", "unrealisedPnl": "-25",
             "totalPositionMM": "53.1", "totalPositionIM": "2150", "totalOrderIM": "10", "availableToWithdraw": ""},
        ],
    }
)  # fmt: skip
FUNDING_ROW: Json = {
    "id": "592324_XRPUSDT_161440249321", "symbol": "BTCUSDT", "side": "Buy", "funding": "-0.003676", "orderLinkId": "",
    "orderId": "1700006400-8-592324-1-2", "fee": "0.00000000", "change": "-0.003676", "cashFlow": "0",
    "transactionTime": "1700006400000", "type": "SETTLEMENT", "feeRate": "0.0001", "size": "100", "qty": "100",
    "cashBalance": "5086.55825002", "currency": "USDT", "category": "linear", "tradePrice": "0.3676",
    "tradeId": "534c0003-4bf7-486f-aa02-78cee36825e4", "bonusChange": "", "transSubType": "", "extraFees": "",
}  # fmt: skip
TRADE_ROW: Json = {
    **FUNDING_ROW, "type": "TRADE", "side": "Sell", "funding": "", "orderLinkId": "faabcdefghijklmnopl1",
    "orderId": "592b7e41-78fd-42e2-9aa3-91e1835ef3e1", "fee": "0.0190872", "cashFlow": "1.25", "change": "1.2309128",
    "transactionTime": "1700000000500", "feeRate": "0.0006", "size": "-1", "qty": "0.004", "tradePrice": "43000.45",
    "tradeId": "5184f079-88ec-54c7-8774-5173cafd2b4e",
}  # fmt: skip
LEDGER = page(FUNDING_ROW, TRADE_ROW)
TIME = answer({"timeSecond": "1700000000", "timeNano": "1700000000123456789"})
FEES = page({"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"})
ACCOUNT = answer({"marginMode": "REGULAR_MARGIN", "updatedTime": "1697078946000", "unifiedMarginStatus": 6})
PROTECTION = answer({"dcpInfos": [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "10"}]})
KEY: Json = {
    "id": "13770661", "note": "bot", "apiKey": "XXXXXX", "readOnly": 0, "secret": "",
    "permissions": {"ContractTrade": ["Order", "Position"], "Spot": [], "Wallet": [], "Options": [], "Derivatives": [],
                    "CopyTrading": [], "BlockTrade": [], "Exchange": [], "NFT": [], "Affiliate": []},
    "ips": ["203.0.113.7"], "type": 1, "uta": 1,
}  # fmt: skip


def ticker_frame(kind: str = "snapshot", symbol: str = "BTCUSDT", **fields: Any) -> Json:
    data = {**TICKER, "symbol": symbol} if kind == "snapshot" else {"symbol": symbol}
    return {
        "topic": f"tickers.{symbol}",
        "type": kind,
        "data": {**data, **fields},
        "cs": 24987956059,
        "ts": 1700000000,
    }


def book_frame(kind: str, number: int, bids: Any, asks: Any, symbol: str = "BTCUSDT") -> Json:
    data = {"s": symbol, "b": bids, "a": asks, "u": number, "seq": 7961638724}
    return {
        "topic": f"orderbook.50.{symbol}",
        "type": kind,
        "ts": 1672304484978,
        "data": data,
        "cs": 1672304484976,
    }


def private(topic: str, *rows: Json) -> Json:
    return {"id": "592324", "topic": topic, "creationTime": 1700000000500, "data": list(rows)}


EXECUTION: Json = {
    "category": "linear", "symbol": "BTCUSDT", "closedSize": "0.004", "execFee": "0.0190872",
    "execId": "5184f079-88ec-54c7-8774-5173cafd2b4e", "execPrice": "43000.45", "execQty": "0.004", "execType": "Trade",
    "execValue": "172.0018", "feeRate": "0.00055", "leavesQty": "0.006", "isMaker": True, "side": "Sell",
    "orderId": "592b7e41-78fd-42e2-9aa3-91e1835ef3e1", "orderLinkId": "faabcdefghijklmnopl1", "orderPrice": "43000",
    "orderQty": "0.010", "orderType": "Limit", "execTime": "1700000000500", "execPnl": "1.25", "seq": 140612148849382,
    "createType": "CreateByUser", "extraFees": "", "feeCurrency": "USDT",
}  # fmt: skip


def known() -> InstrumentMap:
    """BTC, ETH and the thousand-fold PEPE."""
    listed = decode(schema.Answer[schema.Page[msgspec.Raw]], json.dumps(CONTRACTS).encode(), "contracts")
    return InstrumentMap(messages.instruments(listed.result.rows))
