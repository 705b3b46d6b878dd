"""Answers and frames of Binance USD-M in the documented format, written for these tests."""

from __future__ import annotations

import json
from typing import Any

from fundingarb.exchanges.parse import decode
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_binance import messages, schema

Json = dict[str, Any]


def contract(symbol: str, base: str, **changes: Any) -> Json:
    return {
        "symbol": symbol, "pair": symbol, "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000, "status": "TRADING", "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000", "baseAsset": base, "quoteAsset": "USDT", "marginAsset": "USDT",
        "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8, "quotePrecision": 8,
        "underlyingType": "COIN", "underlyingSubType": ["PoW"], "triggerProtect": "0.0500",
        "liquidationFee": "0.012500", "marketTakeBound": "0.05",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": "100"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95", "multiplierDecimal": "4"},
        ],
        "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"], **changes,
    }  # fmt: skip


PEPE_FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.0000001", "maxPrice": "200", "tickSize": "0.0000001"},
    {"filterType": "LOT_SIZE", "minQty": "1", "maxQty": "36000000", "stepSize": "1"},
    {"filterType": "MIN_NOTIONAL", "notional": "5"},
]

EXCHANGE_INFO: Json = {
    "timezone": "UTC",
    "serverTime": 1700000000000,
    "rateLimits": [],
    "exchangeFilters": [],
    "assets": [],
    "symbols": [
        contract("BTCUSDT", "BTC"),
        contract("ETHUSDT", "ETH"),
        contract("1000PEPEUSDT", "1000PEPE", filters=PEPE_FILTERS),
    ],
}
FUNDING_INFO: list[Json] = [
    {"symbol": "1000PEPEUSDT", "adjustedFundingRateCap": "0.02", "adjustedFundingRateFloor": "-0.02",
     "fundingIntervalHours": 4, "disclaimer": False},
]  # fmt: skip
PREMIUM: Json = {
    "symbol": "BTCUSDT", "markPrice": "43000.10000000", "indexPrice": "42990.05000000",
    "estimatedSettlePrice": "42980.00000000", "lastFundingRate": "-0.00012345", "interestRate": "0.00010000",
    "nextFundingTime": 1700006400000, "time": 1700000000123,
}  # fmt: skip
SETTLED: list[Json] = [
    {"symbol": "BTCUSDT", "fundingTime": 1699977600001, "fundingRate": "0.00010000", "markPrice": "42000.10"},
    {
        "symbol": "BTCUSDT",
        "fundingTime": 1699948800000,
        "fundingRate": "-0.00005000",
        "markPrice": "41000.10",
    },
]
DEPTH: Json = {
    "lastUpdateId": 1027024, "E": 1589436922972, "T": 1589436922959,
    "bids": [["43000.10", "1.500"], ["43000.00", "0.000"], ["42999.90", "2.000"]],
    "asks": [["43000.20", "0.700"], ["43000.30", "3.000"]],
}  # fmt: skip
ORDER: Json = {
    "orderId": 8389765, "symbol": "BTCUSDT", "status": "PARTIALLY_FILLED", "clientOrderId": "faabcdefghijklmnopl1",
    "price": "43000.10", "avgPrice": "43000.05000", "origQty": "0.010", "executedQty": "0.004", "cumQuote": "172.0002",
    "timeInForce": "GTC", "type": "LIMIT", "reduceOnly": True, "closePosition": False, "side": "SELL",
    "positionSide": "BOTH", "stopPrice": "0.00", "workingType": "CONTRACT_PRICE", "priceProtect": False,
    "origType": "LIMIT", "priceMatch": "NONE", "selfTradePreventionMode": "NONE", "goodTillDate": 0,
    "time": 1700000000000, "updateTime": 1700000000500,
}  # fmt: skip
POSITION: Json = {
    "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.250", "entryPrice": "43000.0",
    "breakEvenPrice": "42990.1", "markPrice": "43100.00000000", "unRealizedProfit": "-25.00000000",
    "liquidationPrice": "51000.5", "isolatedMargin": "0.00000000", "notional": "-10775.00000000",
    "marginAsset": "USDT", "isolatedWallet": "0", "initialMargin": "2155", "maintMargin": "43.1", "adl": 2,
    "bidNotional": "0", "askNotional": "0", "updateTime": 1700000000000,
}  # fmt: skip
ACCOUNT: Json = {
    "totalInitialMargin": "10", "totalMaintMargin": "1", "totalWalletBalance": "1000", "availableBalance": "990",
    "assets": [
        {"asset": "BNB", "walletBalance": "1", "unrealizedProfit": "0", "marginBalance": "1", "maintMargin": "0",
         "initialMargin": "0", "availableBalance": "1", "updateTime": 1},
        {"asset": "USDT", "walletBalance": "1000.12345678", "unrealizedProfit": "-25.00000000",
         "marginBalance": "975.12345678", "maintMargin": "43.10000000", "initialMargin": "2155.00000000",
         "availableBalance": "500.00000000", "updateTime": 1700000000000},
    ],
    "positions": [],
}  # fmt: skip
TRADE: Json = {
    "buyer": False, "commission": "0.07819010", "commissionAsset": "USDT", "id": 698759, "maker": True,
    "orderId": 25851813, "price": "7819.01", "qty": "0.002", "quoteQty": "15.63802", "realizedPnl": "-0.91539999",
    "side": "SELL", "positionSide": "BOTH", "symbol": "BTCUSDT", "time": 1700000000500,
}  # fmt: skip
INCOME: Json = {
    "symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.37500000", "asset": "USDT", "info": "FUNDING_FEE",
    "time": 1700006401000, "tranId": 9689322392, "tradeId": "",
}  # fmt: skip
COMMISSION: Json = {"symbol": "BTCUSDT", "makerCommissionRate": "0.000200", "takerCommissionRate": "0.000500"}
SYMBOL_CONFIG: list[Json] = [
    {
        "symbol": "BTCUSDT",
        "marginType": "CROSSED",
        "isAutoAddMargin": False,
        "leverage": 21,
        "maxNotionalValue": "1000000",
    },
]
RESTRICTIONS: Json = {
    "ipRestrict": True, "createTime": 1623840271000, "enableReading": True, "enableWithdrawals": False,
    "enableInternalTransfer": False, "enableMargin": False, "enableFutures": True, "enableSpotAndMarginTrading": False,
}  # fmt: skip


def mark_price(symbol: str, rate: str = "0.00010000", **changes: Any) -> Json:
    return {
        "e": "markPriceUpdate", "E": 1700000000000, "s": symbol, "p": "43000.10000000", "P": "42980.00000000",
        "i": "42990.00000000", "r": rate, "T": 1700006400000, **changes,
    }  # fmt: skip


BOOK_FRAME: Json = {
    "stream": "btcusdt@depth20@100ms",
    "data": {
        "e": "depthUpdate", "E": 1571889248277, "T": 1571889248276, "s": "BTCUSDT", "U": 390497796, "u": 390497878,
        "pu": 390497794, "b": [["7403.89", "0.002"], ["7403.00", "3.906"]], "a": [["7405.96", "3.340"]],
    },
}  # fmt: skip
ORDER_FRAME: Json = {
    "e": "ORDER_TRADE_UPDATE", "E": 1700000000600, "T": 1700000000500,
    "o": {
        "s": "BTCUSDT", "c": "faabcdefghijklmnopl1", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.010",
        "p": "43000.10", "ap": "43000.05", "sp": "0", "x": "TRADE", "X": "PARTIALLY_FILLED", "i": 8389765,
        "l": "0.004", "z": "0.004", "L": "43000.05", "n": "0.08600010", "N": "USDT", "T": 1700000000500, "t": 698759,
        "b": "0", "a": "9.91", "m": True, "R": True, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False,
        "rp": "-0.91539999", "pP": False, "si": 0, "ss": 0, "V": "NONE", "pm": "NONE", "gtd": 0,
    },
}  # fmt: skip
FUNDING_FRAME: Json = {
    "e": "ACCOUNT_UPDATE", "E": 1700006400100, "T": 1700006400099,
    "a": {"m": "FUNDING_FEE", "B": [{"a": "USDT", "wb": "999.5", "cw": "999.5", "bc": "-0.5"}]},
}  # fmt: skip


def known() -> InstrumentMap:
    """BTC, ETH and the thousand-fold PEPE."""
    info = decode(schema.ExchangeInfo, json.dumps(EXCHANGE_INFO).encode(), "info")
    rows = decode(list[schema.FundingInfo], json.dumps(FUNDING_INFO).encode(), "intervals")
    return InstrumentMap(messages.instruments(info, messages.funding_terms(rows)))
