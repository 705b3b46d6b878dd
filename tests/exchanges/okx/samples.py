"""Answers and frames of OKX v5 in the documented format, written for these tests."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from fundingarb.exchanges.parse import decode
from fundingarb_okx import messages, schema
from fundingarb_okx.contracts import Contracts

Json = dict[str, Any]


def answer(*rows: Any, code: str = "0", message: str = "") -> Json:
    return {"code": code, "msg": message, "data": list(rows)}


def contract(base: str, **changes: Any) -> Json:
    return {
        "alias": "", "auctionEndTime": "", "baseCcy": "", "category": "1", "contTdSwTime": "", "ctMult": "1",
        "ctType": "linear", "ctVal": "0.01", "ctValCcy": base, "expTime": "", "futureSettlement": False, "groupId": "4",
        "instFamily": f"{base}-USDT", "instId": f"{base}-USDT-SWAP", "instIdCode": 10458, "instType": "SWAP",
        "lever": "100", "listTime": "1606468572000", "lotSz": "0.1", "maxLmtSz": "100000000", "maxMktSz": "12000",
        "minSz": "0.1", "optType": "", "quoteCcy": "", "ruleType": "normal", "settleCcy": "USDT", "state": "live",
        "stk": "", "tickSz": "0.1", "uly": f"{base}-USDT", **changes,
    }  # fmt: skip


PEPE = contract("PEPE", ctVal="10000000", lotSz="0.1", minSz="0.1", tickSz="0.000000001", groupId="")
SATS = contract("1000SATS", ctVal="100", ctMult="10", lotSz="1", minSz="1", tickSz="0.0000001")
CONTRACTS = answer(contract("BTC"), contract("ETH", ctVal="0.1"), PEPE, SATS)


def funding(name: str = "BTC-USDT-SWAP", **changes: Any) -> Json:
    return {
        "formulaType": "noRate", "fundingRate": "-0.000212", "fundingTime": "1700006400000", "impactValue": "",
        "instId": name, "instType": "SWAP", "interestRate": "", "method": "current_period",
        "maxFundingRate": "0.00375", "minFundingRate": "-0.00375", "nextFundingRate": "",
        "nextFundingTime": "1700020800000", "premium": "0.0001233824646391", "settFundingRate": "0.0001418433662153",
        "settState": "settled", "ts": "1700000000309", **changes,
    }  # fmt: skip


RATES = answer(
    funding(),
    funding("ETH-USDT-SWAP", nextFundingTime="1700035200000"),
    funding("PEPE-USDT-SWAP"),
    funding("1000SATS-USDT-SWAP", nextFundingTime="1700010000000"),
    funding("BTC-USD-SWAP"),
)
MARKS = answer({"instType": "SWAP", "instId": "BTC-USDT-SWAP", "markPx": "43000.43", "ts": "1700000000085"})
INDEXES = answer(
    {"instId": "BTC-USDT", "idxPx": "42990.92", "high24h": "43649.7", "sodUtc0": "43444.1", "open24h": "43640.8",
     "low24h": "43261.9", "sodUtc8": "43328.7", "ts": "1700000000492"}
)  # fmt: skip
SETTLED = answer(
    {"fundingRate": "0.0000746604960499", "fundingTime": "1699977600000", "instId": "BTC-USDT-SWAP",
     "instType": "SWAP", "method": "current_period", "realizedRate": "0.0001"},
    {"fundingRate": "0.000227985782722", "fundingTime": "1699948800000", "instId": "BTC-USDT-SWAP",
     "instType": "SWAP", "method": "current_period", "realizedRate": "-0.0002"},
)  # fmt: skip
DEPTH = answer(
    {"asks": [["43000.5", "70", "0", "3"], ["43000.9", "200", "0", "1"]],
     "bids": [["43000.4", "150", "0", "12"], ["43000.3", "0", "0", "0"]], "ts": "1700000000396", "seqId": 7}
)  # fmt: skip
PLACED = answer(
    {"clOrdId": "faabcdefghijklmnopl1", "ordId": "312269865356374016", "tag": "", "ts": "1695190491421",
     "sCode": "0", "sMsg": "", "subCode": ""}
)  # fmt: skip
ORDER: Json = {
    "accFillSz": "0.4", "algoClOrdId": "", "algoId": "", "attachAlgoOrds": [], "avgPx": "43000.45",
    "cTime": "1700000000000", "cancelSource": "", "cancelSourceReason": "", "category": "normal", "ccy": "",
    "clOrdId": "faabcdefghijklmnopl1", "fee": "-0.0946", "feeCcy": "USDT", "fillPx": "43000.45", "fillSz": "0.4",
    "fillTime": "1700000000490", "instId": "BTC-USDT-SWAP", "instType": "SWAP", "isTpLimit": "false", "lever": "3",
    "ordId": "680800019749904384", "ordType": "limit", "pnl": "1.25", "posSide": "net", "px": "43000.4",
    "rebate": "0", "rebateCcy": "USDT", "reduceOnly": "true", "side": "sell", "source": "",
    "state": "partially_filled", "stpMode": "cancel_maker", "sz": "1", "tag": "", "tdMode": "cross", "tgtCcy": "",
    "tradeId": "744876980", "uTime": "1700000000500",
}  # fmt: skip
STREAM_ORDER: Json = {
    **ORDER, "execType": "M", "fillFee": "-0.0190872", "fillFeeCcy": "USDT", "fillNotionalUsd": "172.0018",
    "fillPnl": "1.25", "fillMarkPx": "43000", "code": "0", "msg": "", "amendResult": "", "reqId": "",
    "notionalUsd": "430", "lastPx": "43000.4",
}  # fmt: skip
POSITION: Json = {
    "adl": "2", "availPos": "", "avgPx": "43000.4", "bePx": "43020", "cTime": "1676538056258", "ccy": "USDT",
    "fee": "-0.1", "fundingFee": "0", "idxPx": "43099", "imr": "358.4", "instId": "BTC-USDT-SWAP",
    "instType": "SWAP", "interest": "", "last": "43100", "lever": "3", "liab": "", "liqPenalty": "0",
    "liqPx": "51000.5", "margin": "", "markPx": "43100", "mgnMode": "cross", "mgnRatio": "140.49", "mmr": "53",
    "notionalUsd": "10775", "pnl": "0", "pos": "-25", "posCcy": "", "posId": "339552508062380036",
    "posSide": "net", "realizedPnl": "0", "tradeId": "98617799", "uTime": "1697673600012", "upl": "-24.9",
}  # fmt: skip
COIN: Json = {
    "availBal": "970.1", "availEq": "500.25", "cashBal": "1000.12", "ccy": "USDT", "crossLiab": "", "disEq": "975",
    "eq": "975.12", "eqUsd": "975.1", "frozenBal": "475", "imr": "474.8", "isoEq": "0", "mgnRatio": "18.3",
    "mmr": "53.1", "notionalLever": "4.4", "ordFrozen": "0", "uTime": "1700000000000", "upl": "-25",
}  # fmt: skip
WALLET = answer(
    {"adjEq": "", "availEq": "", "details": [COIN], "imr": "", "isoEq": "0", "mgnRatio": "", "mmr": "",
     "notionalUsd": "", "ordFroz": "", "totalEq": "975.1", "uTime": "1700000000000", "upl": ""}
)  # fmt: skip
FUNDING_BILL: Json = {
    "bal": "5086.55825002", "balChg": "-0.003676", "billId": "623950854533513220", "ccy": "USDT", "clOrdId": "",
    "execType": "", "fee": "0", "fillIdxPx": "", "fillTime": "", "from": "", "instId": "BTC-USDT-SWAP",
    "instType": "SWAP", "interest": "0", "mgnMode": "cross", "notes": "", "ordId": "", "pnl": "-0.003676",
    "posBal": "0", "posBalChg": "0", "px": "43000.5", "subType": "173", "sz": "1", "tag": "", "to": "",
    "tradeId": "", "ts": "1700006400312", "type": "8",
}  # fmt: skip
TRADE_BILL: Json = {
    **FUNDING_BILL, "balChg": "1.2309128", "billId": "623950854533513219", "clOrdId": "faabcdefghijklmnopl1",
    "execType": "M", "fee": "-0.0190872", "fillTime": "1700000000490", "ordId": "680800019749904384",
    "pnl": "1.25", "px": "43000.45", "subType": "2", "sz": "0.4", "tradeId": "744876980",
    "ts": "1700000000500", "type": "2",
}  # fmt: skip
BILLS = answer(FUNDING_BILL, TRADE_BILL)
TIME = answer({"ts": "1700000000123"})
FEES: Json = {
    "category": "1", "delivery": "", "exercise": "", "feeGroup": [
        {"groupId": "2", "maker": "-0.0002", "taker": "-0.0005"},
        {"groupId": "4", "maker": "0.00005", "taker": "-0.0006"},
    ], "fiat": [], "instType": "SWAP", "level": "Lv1", "maker": "-0.0003", "makerU": "-0.0002", "makerUSDC": "-0.0002",
    "taker": "-0.0007", "takerU": "-0.0005", "takerUSDC": "-0.0005", "ts": "1700000000857",
}  # fmt: skip
CONFIG: Json = {
    "acctLv": "2", "acctStpMode": "cancel_maker", "autoLoan": False, "ctIsoMode": "automatic", "greeksType": "PA",
    "ip": "203.0.113.7,203.0.113.8", "kycLv": "3", "label": "bot", "level": "Lv1", "levelTmp": "",
    "mainUid": "44705892343619584", "mgnIsoMode": "automatic", "opAuth": "0", "perm": "read_only,trade",
    "posMode": "net_mode", "roleType": "0", "settleCcy": "USDT", "type": "1", "uid": "44705892343619585",
}  # fmt: skip
LEVERAGE = answer({"instId": "BTC-USDT-SWAP", "lever": "3", "mgnMode": "cross", "posSide": "net"})


def push(channel: str, row: Json, name: str = "BTC-USDT-SWAP", **more: Any) -> Json:
    return {"arg": {"channel": channel, "instId": name}, **more, "data": [row]}


def mark_frame(price: str, name: str = "BTC-USDT-SWAP") -> Json:
    return push(
        "mark-price", {"instType": "SWAP", "instId": name, "markPx": price, "ts": "1700000000085"}, name
    )


def index_frame(price: str, name: str = "BTC-USDT") -> Json:
    row = {
        "instId": name,
        "idxPx": price,
        "high24h": "0.5",
        "low24h": "0.1",
        "open24h": "0.1",
        "ts": "1700000000085",
    }
    return push("index-tickers", row, name)


def levels(rows: Any) -> list[list[str]]:
    return [[price, size, "0", "1"] for price, size in rows]


def book_frame(
    action: str, before: int, number: int, bids: Any, asks: Any, name: str = "BTC-USDT-SWAP"
) -> Json:
    row = {"asks": levels(asks), "bids": levels(bids), "ts": "1700000000085", "checksum": -855196043,
           "prevSeqId": before, "seqId": number}  # fmt: skip
    return push("books", row, name, action=action)


def private(channel: str, *rows: Json) -> Json:
    return {"arg": {"channel": channel, "instType": "SWAP", "uid": "77982378738415879"}, "data": list(rows)}


def change(event: str) -> Json:
    position = {
        "posId": "1", "tradeId": "2", "instId": "BTC-USDT-SWAP", "instType": "SWAP", "mgnMode": "cross",
        "posSide": "net", "pos": "0", "ccy": "USDT", "avgPx": "", "uTime": "1700000000085",
    }  # fmt: skip
    balance = {"ccy": "USDT", "cashBal": "1000.12", "uTime": "1700000000085"}
    row = {
        "pTime": "1700000000085",
        "eventType": event,
        "trades": [],
        "balData": [balance],
        "posData": [position],
    }
    return private("balance_and_position", row)


def known() -> Contracts:
    """BTC, ETH, PEPE with a large contract, and the thousand-fold SATS."""
    rows = decode(schema.Answer[msgspec.Raw], json.dumps(CONTRACTS).encode(), "contracts").data
    rates = decode(schema.Answer[msgspec.Raw], json.dumps(RATES).encode(), "rates").data
    return Contracts(messages.contracts(rows, messages.intervals(rates)))
