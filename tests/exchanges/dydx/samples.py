"""Answers and frames of dYdX's indexer and nodes in the documented format, written for these tests."""

from __future__ import annotations

import json
from typing import Any

from fundingarb.exchanges.parse import decode
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_dydx import messages, schema
from fundingarb_dydx.ids import OrderNames, number_of, subaccount_id

Json = dict[str, Any]

ADDRESS = "dydx1l3e9pgs3mmwuwrh95fecme0s0qtn2880qnulfw"
"""Of the key that the tests sign with, 32 times 0x11."""
NAME = "fatestabcdefghijle001"
NUMBER = number_of(NAME)


def market(ticker: str, clob: str, **changes: Any) -> Json:
    return {
        "ticker": ticker, "clobPairId": clob, "status": "ACTIVE", "oraclePrice": "43000.43", "priceChange24H": "659.9",
        "volume24H": "1292729.3605", "trades24H": 9387, "nextFundingRate": "0.0000125", "openInterest": "52.0691",
        "initialMarginFraction": "0.02", "maintenanceMarginFraction": "0.012", "atomicResolution": -10,
        "quantumConversionExponent": -9, "tickSize": "1", "stepSize": "0.0001", "stepBaseQuantums": 1000000,
        "subticksPerTick": 100000, "marketType": "CROSS", "openInterestLowerCap": "0", "openInterestUpperCap": "0",
        "baseOpenInterest": "50.3776", "defaultFundingRate1H": "0", **changes,
    }  # fmt: skip


ETH = market(
    "ETH-USD", "1", oraclePrice="2300.5", atomicResolution=-9, tickSize="0.1", stepSize="0.001", subticksPerTick=100000,
)  # fmt: skip
MARKETS: Json = {"markets": {"BTC-USD": market("BTC-USD", "0"), "ETH-USD": ETH}}
TIME: Json = {"iso": "2023-11-14T22:13:20.123Z", "epoch": 1700000000.123}
HEIGHT: Json = {"height": "66624132", "time": "2023-11-14T22:13:19.450Z"}
SETTLED: Json = {
    "historicalFunding": [
        {"ticker": "BTC-USD", "rate": "0.0000125", "price": "43000.5", "effectiveAtHeight": "44865196",
         "effectiveAt": "2023-11-14T22:00:00.513Z"},
        {"ticker": "BTC-USD", "rate": "-0.00002", "price": "42900", "effectiveAtHeight": "44861196",
         "effectiveAt": "2023-11-14T21:00:01.013Z"},
    ]
}  # fmt: skip
DEPTH: Json = {
    "bids": [{"price": "43000", "size": "1.5"}, {"price": "42999", "size": "0"}],
    "asks": [{"price": "43001", "size": "0.7"}, {"price": "43005", "size": "2"}],
}
ORDER: Json = {
    "id": "b1a30ab8-2a1c-5e0c-8a0f-6b9c4b2a6a11", "subaccountId": "8586bcf6-1f58-5ec9-a0bc-e53db273e7b0",
    "clientId": str(NUMBER.client_id), "clobPairId": "0", "side": "SELL", "size": "0.01", "totalFilled": "0.004",
    "price": "43000", "type": "LIMIT", "status": "OPEN", "timeInForce": "GTT", "reduceOnly": False, "orderFlags": "64",
    "goodTilBlockTime": "2023-11-15T22:13:20.000Z", "createdAtHeight": "45058325",
    "clientMetadata": str(NUMBER.metadata), "updatedAt": "2023-11-14T22:13:20.500Z", "updatedAtHeight": "45058326",
    "postOnly": True, "ticker": "BTC-USD", "subaccountNumber": 0,
}  # fmt: skip
SHORT_TERM: Json = {
    **{key: value for key, value in ORDER.items() if key not in ("goodTilBlockTime", "createdAtHeight")},
    "orderFlags": "0", "goodTilBlock": "1000", "timeInForce": "IOC", "status": "BEST_EFFORT_OPENED", "totalFilled": "0",
}  # fmt: skip
POSITION: Json = {
    "market": "BTC-USD", "status": "OPEN", "side": "SHORT", "size": "-0.25", "maxSize": "-0.25", "entryPrice": "43100",
    "exitPrice": None, "realizedPnl": "1.5", "unrealizedPnl": "24.8925", "createdAt": "2023-11-14T20:53:55.631Z",
    "createdAtHeight": "44140908", "closedAt": None, "sumOpen": "0.25", "sumClose": "0", "netFunding": "1.5",
    "subaccountNumber": 0,
}  # fmt: skip
LONG: Json = {
    **POSITION, "market": "ETH-USD", "side": "LONG", "size": "2", "entryPrice": "2400", "unrealizedPnl": "-199",
}  # fmt: skip
USDC: Json = {"size": "20000.5", "symbol": "USDC", "side": "LONG", "assetId": "0", "subaccountNumber": 0}
SUBACCOUNT: Json = {
    "subaccount": {
        "address": ADDRESS, "subaccountNumber": 0, "equity": "13851.3925", "freeCollateral": "13544.370",
        "openPerpetualPositions": {"BTC-USD": POSITION, "ETH-USD": LONG}, "assetPositions": {"USDC": USDC},
        "marginEnabled": True, "updatedAtHeight": "52228833", "latestProcessedBlockHeight": "52246761",
    }
}  # fmt: skip
FILL: Json = {
    "id": "6450e369-1dc3-5229-8dc2-fb3b5d1cf2ab", "side": "SELL", "liquidity": "MAKER", "type": "LIMIT",
    "market": "BTC-USD", "marketType": "PERPETUAL", "price": "43100", "size": "0.25", "fee": "-1.077500",
    "affiliateRevShare": "0", "createdAt": "2023-11-14T22:13:20.470Z", "createdAtHeight": "63049869",
    "orderId": "0f0981cb-152e-57d3-bea9-4d8e0dd5ed35", "clientMetadata": str(NUMBER.metadata), "subaccountNumber": 0,
}  # fmt: skip
PAYMENT: Json = {
    "createdAt": "2023-11-14T22:00:03.120Z", "createdAtHeight": "63040000", "perpetualId": "0", "ticker": "BTC-USD",
    "oraclePrice": "43000", "size": "-0.25", "side": "SHORT", "rate": "0.0000125", "payment": "0.134375",
    "subaccountNumber": "0", "fundingIndex": "1",
}  # fmt: skip
TRANSFER: Json = {
    "id": "6a6075bc-7183-5fd9-bc9d-894e238aa527", "sender": {"address": ADDRESS, "subaccountNumber": 0},
    "recipient": {"address": "dydx1slanxj8x9ntk9knwa6cvfv2tzlsq5gk3dshml0", "subaccountNumber": 1}, "size": "10.5",
    "createdAt": "2023-11-14T21:43:02.105Z", "createdAtHeight": "45116125", "symbol": "USDC", "type": "TRANSFER_OUT",
    "transactionHash": "92B4744BA1B783CF37C79A50BEBC47FFD59C8D5197D62A8485D3DCCE9AF220AF",
}  # fmt: skip
FEES: Json = {
    "index": 0,
    "tier": {"name": "1", "absolute_volume_requirement": "0", "maker_fee_ppm": -110, "taker_fee_ppm": 500},
}
ACCOUNT: Json = {
    "info": {
        "address": ADDRESS, "account_number": "1234", "sequence": "7",
        "pub_key": {"@type": "/cosmos.crypto.secp256k1.PubKey", "key": "A08+7O3LzD9uHPl4kEeVpDVMBXWx6CfFqH5oVR0FPPpF"},
    }
}  # fmt: skip
NODE: Json = {
    "jsonrpc": "2.0", "id": -1,
    "result": {"node_info": {"network": "dydx-mainnet-1", "version": "0.38.12", "moniker": "n"}, "sync_info": {}},
}  # fmt: skip
BROADCAST: Json = {
    "jsonrpc": "2.0", "id": -1,
    "result": {"code": 0, "data": "", "log": "[]", "codespace": "", "hash": "CBEDB0603E57E5CE21FA6954770A9403"},
}  # fmt: skip


def refused(codespace: str, code: int, log: str = "said") -> Json:
    result = {**BROADCAST["result"], "code": code, "codespace": codespace, "log": log}
    return {"jsonrpc": "2.0", "id": -1, "result": result}


def frame(channel: str, number: int, contents: Any, *, kind: str = "channel_data", name: str = "") -> Json:
    named = {"id": name} if name else {}
    return {
        "type": kind, "connection_id": "c-1", "message_id": number, "channel": channel, "version": "1.0.0", **named,
        "contents": contents,
    }  # fmt: skip


CONNECTED: Json = {"type": "connected", "connection_id": "c-1", "message_id": 0}
ALL_MARKETS = frame("v4_markets", 1, MARKETS, kind="subscribed")
TRADING = frame("v4_markets", 1, {"trading": {"BTC-USD": {"nextFundingRate": "-0.00001", "volume24H": "1"}}})
ORACLE = frame(
    "v4_markets", 1,
    {"oraclePrices": {"BTC-USD": {"oraclePrice": "43210.5", "effectiveAt": "2023-11-14T22:13:20.000Z",
                                  "effectiveAtHeight": "12345679", "marketId": 0}}},
)  # fmt: skip
SNAPSHOT = frame("v4_orderbook", 1, DEPTH, kind="subscribed", name="BTC-USD")
CHANGES = frame("v4_orderbook", 2, {"bids": [["43000", "1.2"]], "asks": [["43001", "0"]]}, name="BTC-USD")
BLOCK = frame(
    "v4_block_height",
    1,
    {"blockHeight": "12345679", "time": "2023-11-14T22:13:20.000Z"},
    name="v4_block_height",
)
SUBSCRIBED = frame(
    "v4_subaccounts", 1, {**SUBACCOUNT, "orders": [ORDER], "blockHeight": "100"}, kind="subscribed",
    name=f"{ADDRESS}/0",
)  # fmt: skip
UPDATE = frame(
    "v4_subaccounts", 1,
    {
        "orders": [SHORT_TERM],
        "fills": [{**{k: v for k, v in FILL.items() if k != "market"}, "ticker": "BTC-USD", "quoteAmount": "10775"}],
        "perpetualPositions": [{**POSITION, "address": ADDRESS, "positionId": "p"}],
        "assetPositions": [{**USDC, "positionId": "q"}], "blockHeight": "101",
    },
    name=f"{ADDRESS}/0",
)  # fmt: skip


def listed() -> dict[str, schema.Market]:
    """BTC and ETH as the indexer lists them."""
    answer = decode(schema.Markets, json.dumps(MARKETS).encode(), "markets")
    return {each.ticker: each for each in messages.markets(answer.markets)}


def known() -> InstrumentMap:
    """BTC and ETH as instruments."""
    return InstrumentMap(messages.instruments(listed().values()))


def names() -> OrderNames:
    """The names of an account whose order is ``NAME``."""
    found = OrderNames(subaccount_id(ADDRESS, 0))
    found.trade_on({"BTC-USDT": 0, "ETH-USDT": 1})
    found.remember({NAME: "BTC-USDT"})
    return found
