"""Field by field: what the localnet answers against what others recorded of Binance, or found in its documents.

Every field of a sample must be there, with the sample's JSON type. What is left out stands in a table with its reason,
and a file that is not compared does too.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.exchanges.binance.localnet.desk import open_desk
from tests.exchanges.binance.localnet.scenario import play

pytestmark = pytest.mark.anyio

TRAILING = "only a trailing stop has it; conditional orders are the algo service's"
COIN = "a field of coin-margined contracts in a shared sample"
SPELLING = "the sources disagree on the spelling; as the official SDK has it"
DISAGREE = "the sources disagree on the type; as the official SDK has it"
SECOND = "the sample of version 3 shows version 2; the documented version 3 has it not"

ALLOWED: dict[str, str] = {
    # path of a field (list items have no index) or ENDPOINT:path -> reason
    "activatePrice": TRAILING,
    "priceRate": TRAILING,
    "o.AP": TRAILING,
    "o.cr": TRAILING,
    "result.activatePrice": TRAILING,
    "result.priceRate": TRAILING,
    "cumBase": COIN,
    "modifyId": "only when the request carried one",
    "result.modifyId": "only when the request carried one",
    "GET /fapi/v1/income:tranId": DISAGREE,
    "GET /fapi/v1/symbolConfig:isAutoAddMargin": DISAGREE,
    "GET /fapi/v1/exchangeInfo:assets.autoAssetExchange": DISAGREE,
    "GET /fapi/v1/exchangeInfo:symbols.filters.multiplierDecimal": DISAGREE,
    "GET /fapi/v1/adlQuantile:adlQuantile.HEDGE": "only for a crossed position in hedge mode",
    "GET /fapi/v1/apiTradingStatus:indicators.BTCUSDT": "only for an account that broke a rule",
    "GET /fapi/v1/apiTradingStatus:indicators.ETHUSDT": "only for an account that broke a rule",
    "GET /fapi/v1/apiTradingStatus:indicators.ACCOUNT": "only for an account that broke a rule",
    "GET /fapi/v3/positionRisk:leverage": SECOND,
    "GET /fapi/v3/positionRisk:maxNotionalValue": SECOND,
    "GET /fapi/v3/positionRisk:marginType": SECOND,
    "GET /fapi/v3/positionRisk:isAutoAddMargin": SECOND,
    "ws v2/account.position:result.unrealizedProfit": SPELLING,
    "ws depth:bids": "the fixture has the book outside of its result",
    "ws depth:asks": "the fixture has the book outside of its result",
}

NOT_SERVED = "not served: no client needs it to trade"
CONDITIONAL = "conditional orders are not served; the lists of them are empty"
STATISTICS = "statistics, not served"

LEFT_OUT: dict[str, str] = {
    "jkorf-endpoints-Account-GetDownload": NOT_SERVED,
    "jkorf-endpoints-Account-GetMarginChangeHistory": NOT_SERVED,
    "jkorf-endpoints-Account-ModifyPositionMargin": NOT_SERVED,
    "jkorf-endpoints-Account-SetMultiAssetsMode": "only single-asset mode exists here, so the change is refused",
    "jkorf-endpoints-ExchangeData-GetAssetIndexes": NOT_SERVED,
    "jkorf-endpoints-ExchangeData-GetBasis": STATISTICS,
    "jkorf-endpoints-ExchangeData-GetCompositeIndexInfo": NOT_SERVED,
    "jkorf-endpoints-ExchangeData-GetGlobalLongShort": STATISTICS,
    "jkorf-endpoints-ExchangeData-GetInsuranceFundBalances": NOT_SERVED,
    "jkorf-endpoints-ExchangeData-GetOpenInterestHistory": STATISTICS,
    "jkorf-endpoints-ExchangeData-GetPremiumIndexKlines": NOT_SERVED,
    "jkorf-endpoints-ExchangeData-GetTakerBuySellVolumeRatio": STATISTICS,
    "jkorf-endpoints-ExchangeData-GetTopLongShort": STATISTICS,
    "jkorf-endpoints-ExchangeData-GetTradeHistory": NOT_SERVED,
    "jkorf-endpoints-Trading-CancelAlgoOrder": CONDITIONAL,
    "jkorf-endpoints-Trading-CancelAllConditionalOrders": CONDITIONAL,
    "jkorf-endpoints-Trading-CancelConditionalOrder": CONDITIONAL,
    "jkorf-endpoints-Trading-EditMultipleOrders": NOT_SERVED,
    "jkorf-endpoints-Trading-GetAlgoSubOrders": CONDITIONAL,
    "jkorf-endpoints-Trading-GetClosedAlgoOrders": CONDITIONAL,
    "jkorf-endpoints-Trading-GetConditionalOrder": CONDITIONAL,
    "jkorf-endpoints-Trading-GetOpenAlgoOrders": CONDITIONAL,
    "jkorf-endpoints-Trading-GetOpenConditionalOrders": CONDITIONAL,
    "jkorf-endpoints-Trading-GetOrderEditHistory": NOT_SERVED,
    "jkorf-endpoints-Trading-PlaceConditionalOrder": CONDITIONAL,
    "jkorf-endpoints-Trading-PlaceTimeWeightedAveragePriceOrder": NOT_SERVED,
    "jkorf-endpoints-Trading-PlaceVolumeParticipationOrder": NOT_SERVED,
    "jkorf-socket-Trading-CancelConditionalOrder": CONDITIONAL,
    "jkorf-socket-Trading-PlaceConditionalOrder": CONDITIONAL,
    "jkorf-subscriptions-AlgoOrderUpdate": CONDITIONAL,
    "jkorf-subscriptions-AssetIndex": NOT_SERVED,
    "jkorf-subscriptions-CompositIndex": NOT_SERVED,
    "jkorf-subscriptions-Concurrent": "a test of a client's bookkeeping with cut-down messages",
    "jkorf-subscriptions-ConditionalTrigger": CONDITIONAL,
    "jkorf-subscriptions-ContKlines": NOT_SERVED,
    "jkorf-subscriptions-GridUpdate": NOT_SERVED,
    "jkorf-subscriptions-MarginUpdate": "compared in test_streams, where an account is close to liquidation",
    "jkorf-subscriptions-MultiAssetMode": "only single-asset mode exists here",
    "jkorf-subscriptions-StrategyUpdate": NOT_SERVED,
}

EVENTS = {
    "AccountUpdate": "user ACCOUNT_UPDATE ORDER",
    "Leverage": "user ACCOUNT_CONFIG_UPDATE",
    "OrderUpdate": "user ORDER_TRADE_UPDATE",
    "TradeUpdate": "user TRADE_LITE",
    "AggTrades": "stream btcusdt@aggTrade",
    "Book": "stream btcusdt@depth@100ms",
    "BookTicker": "stream btcusdt@bookTicker",
    "Klines": "stream btcusdt@kline_1m",
    "Liquidations": "stream !forceOrder@arr",
    "MarkPrice": "stream btcusdt@markPrice@1s",
    "MiniTicker": "stream btcusdt@miniTicker",
    "PartialBook": "stream btcusdt@depth5@100ms",
    "SymbolUpdates": "stream !contractInfo",
    "Ticker": "stream btcusdt@ticker",
}

FIXTURES: dict[str, dict[str, str]] = {
    "connectorjs-rest-api-Account": {
        "accountInformationV2": "GET /fapi/v2/account",
        "accountInformationV3": "GET /fapi/v3/account",
        "futuresAccountBalanceV2": "GET /fapi/v2/balance",
        "futuresAccountBalanceV3": "GET /fapi/v3/balance",
        "futuresAccountConfiguration": "GET /fapi/v1/accountConfig",
        "futuresTradingQuantitativeRulesIndicators": "GET /fapi/v1/apiTradingStatus",
        "getBnbBurnStatus": "GET /fapi/v1/feeBurn",
        "getCurrentMultiAssetsMode": "GET /fapi/v1/multiAssetsMargin",
        "getCurrentPositionMode": "GET /fapi/v1/positionSide/dual",
        "getIncomeHistory": "GET /fapi/v1/income",
        "notionalAndLeverageBrackets": "GET /fapi/v1/leverageBracket",
        "queryUserRateLimit": "GET /fapi/v1/rateLimit/order",
        "symbolConfiguration": "GET /fapi/v1/symbolConfig",
        "toggleBnbBurnOnFuturesTrade": "POST /fapi/v1/feeBurn",
        "userCommissionRate": "GET /fapi/v1/commissionRate",
    },
    "connectorjs-rest-api-MarketData": {
        "adlRisk": "GET /fapi/v1/symbolAdlRisk",
        "checkServerTime": "GET /fapi/v1/time",
        "compressedAggregateTradesList": "GET /fapi/v1/aggTrades",
        "continuousContractKlineCandlestickData": "GET /fapi/v1/continuousKlines",
        "getFundingRateHistory": "GET /fapi/v1/fundingRate",
        "getFundingRateInfo": "GET /fapi/v1/fundingInfo",
        "indexPriceKlineCandlestickData": "GET /fapi/v1/indexPriceKlines",
        "klineCandlestickData": "GET /fapi/v1/klines",
        "markPrice": "GET /fapi/v1/premiumIndex",
        "markPriceKlineCandlestickData": "GET /fapi/v1/markPriceKlines",
        "openInterest": "GET /fapi/v1/openInterest",
        "orderBook": "GET /fapi/v1/depth",
        "queryIndexPriceConstituents": "GET /fapi/v1/constituents",
        "recentTradesList": "GET /fapi/v1/trades",
        "symbolOrderBookTicker": "GET /fapi/v1/ticker/bookTicker",
        "symbolPriceTicker": "GET /fapi/v1/ticker/price",
        "symbolPriceTickerV2": "GET /fapi/v2/ticker/price",
        "ticker24hrPriceChangeStatistics": "GET /fapi/v1/ticker/24hr",
    },
    "connectorjs-rest-api-Trade": {
        "accountTradeList": "GET /fapi/v1/userTrades",
        "allOrders": "GET /fapi/v1/allOrders",
        "autoCancelAllOpenOrders": "POST /fapi/v1/countdownCancelAll",
        "cancelAllOpenOrders": "DELETE /fapi/v1/allOpenOrders",
        "cancelMultipleOrders": "DELETE /fapi/v1/batchOrders",
        "cancelOrder": "DELETE /fapi/v1/order",
        "changeInitialLeverage": "POST /fapi/v1/leverage",
        "changeMarginType": "POST /fapi/v1/marginType",
        "changePositionMode": "POST /fapi/v1/positionSide/dual",
        "currentAllOpenOrders": "GET /fapi/v1/openOrders",
        "modifyOrder": "PUT /fapi/v1/order",
        "newOrder": "POST /fapi/v1/order",
        "placeMultipleOrders": "POST /fapi/v1/batchOrders",
        "positionAdlQuantileEstimation": "GET /fapi/v1/adlQuantile",
        "positionInformationV2": "GET /fapi/v2/positionRisk",
        "positionInformationV3": "GET /fapi/v3/positionRisk",
        "queryCurrentOpenOrder": "GET /fapi/v1/openOrder",
        "queryOrder": "GET /fapi/v1/order",
        "testOrder": "POST /fapi/v1/order/test",
        "usersForceOrders": "GET /fapi/v1/forceOrders",
    },
    "connectorjs-rest-api-UserDataStreams": {
        "keepaliveUserDataStream": "PUT /fapi/v1/listenKey",
        "startUserDataStream": "POST /fapi/v1/listenKey",
    },
    "connectorjs-websocket-api-Account": {
        "accountInformation": "ws account.status",
        "accountInformationV2": "ws v2/account.status",
        "futuresAccountBalance": "ws account.balance",
        "futuresAccountBalanceV2": "ws v2/account.balance",
    },
    "connectorjs-websocket-api-MarketData": {
        "orderBook": "ws depth",
        "symbolOrderBookTicker": "ws ticker.book one",
        "symbolPriceTicker": "ws ticker.price one",
    },
    "connectorjs-websocket-api-Trade": {
        "cancelOrder": "ws order.cancel",
        "modifyOrder": "ws order.modify",
        "newOrder": "ws order.place",
        "positionInformation": "ws account.position",
        "positionInformationV2": "ws v2/account.position",
        "queryOrder": "ws order.status",
    },
    "connectorjs-websocket-api-UserDataStreams": {
        "closeUserDataStream": "ws userDataStream.stop",
        "keepaliveUserDataStream": "ws userDataStream.ping",
        "startUserDataStream": "ws userDataStream.start",
    },
    "connectorjs-websocket-streams-Market": {
        "aggregateTradeStreams": "stream btcusdt@aggTrade",
        "allMarketLiquidationOrderStreams": "stream !forceOrder@arr",
        "allMarketMiniTickersStream": "stream !miniTicker@arr",
        "allMarketTickersStreams": "stream !ticker@arr",
        "contractInfoStream": "stream !contractInfo",
        "individualSymbolMiniTickerStream": "stream btcusdt@miniTicker",
        "individualSymbolTickerStreams": "stream btcusdt@ticker",
        "klineCandlestickStreams": "stream btcusdt@kline_1m",
        "markPriceStream": "stream btcusdt@markPrice@1s",
        "markPriceStreamForAllMarket": "stream !markPrice@arr@1s",
    },
    "connectorjs-websocket-streams-Public": {
        "allBookTickersStream": "stream btcusdt@bookTicker",
        "diffBookDepthStreams": "stream btcusdt@depth@100ms",
        "individualSymbolBookTickerStreams": "stream btcusdt@bookTicker",
        "partialBookDepthStreams": "stream btcusdt@depth5@100ms",
    },
}


@pytest.fixture(scope="module")
async def answers() -> AsyncIterator[Mapping[str, Any]]:
    async with open_desk() as desk:
        yield await play(desk)


@pytest.fixture(scope="module")
def samples(wire_dir: Path) -> Path:
    return wire_dir / "binance"


def kind(value: Any) -> str:
    """JSON's own types; whole numbers and fractions are both numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    names: dict[type, str] = {str: "string", list: "list", dict: "object"}
    return names[type(value)]


def merged(rows: list[Any]) -> Any:
    """One object with the fields of all of them; other items are represented by the first."""
    if rows and all(isinstance(row, dict) for row in rows):
        return {name: value for row in reversed(rows) for name, value in row.items()}
    return rows[0] if rows else None


def differences(sample: Any, ours: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Fields of the sample that ours lacks or has with another type."""
    if sample is None:
        return
    if kind(sample) != kind(ours):
        yield path, f"is {kind(ours)} {ours!r}, recorded as {kind(sample)} {sample!r}"
    elif isinstance(sample, dict):
        for name, value in sample.items():
            inner = f"{path}.{name}" if path else name
            if name in ours:
                yield from differences(value, ours[name], inner)
            else:
                yield inner, "is missing"
    elif isinstance(sample, list) and sample:
        if not ours:
            yield path, "is empty"
        elif isinstance(sample[0], list | dict):
            yield from differences(merged(sample), merged(ours), path)
        else:
            # a candle or a level: as many items, of the same kinds
            yield from differences(numbered(sample), numbered(ours), path)


def numbered(row: list[Any]) -> dict[str, Any]:
    return {str(number): value for number, value in enumerate(row)}


@dataclass(frozen=True)
class Case:
    """A sample and the answer it is compared with."""

    file: str
    endpoint: str
    sample: Any

    def found(self, answers: Mapping[str, Any]) -> list[tuple[str, str]]:
        endpoint, _, inner = self.endpoint.partition(" > ")
        assert endpoint in answers, f"{self.file}: {endpoint} is neither asked for nor left out"
        ours = answers[endpoint]
        for name in filter(None, inner.split(".")):
            ours = ours[name]
        if isinstance(self.sample, dict) and isinstance(ours, list):
            ours = merged(ours)
        return list(differences(self.sample, ours))

    def allowed(self, path: str) -> str | None:
        """The key under which the table allows the difference."""
        return next((key for key in (path, f"{self.endpoint}:{path}") if key in ALLOWED), None)


def files(samples: Path, prefix: str, *, everything: bool = False) -> list[Path]:
    return [
        path
        for path in sorted(samples.glob(f"{prefix}*.json"))
        if everything or not any(path.name.startswith(left) for left in LEFT_OUT)
    ]


def rest_cases(samples: Path) -> Iterator[Case]:
    for path in files(samples, "jkorf-endpoints-"):
        recorded = json.loads(path.read_text())
        yield Case(path.name, f"{recorded['method']} {recorded['path']}", recorded["response"])


def stream_cases(samples: Path) -> Iterator[Case]:
    for path in files(samples, "jkorf-subscriptions-"):
        name = path.name.removeprefix("jkorf-subscriptions-").removesuffix(".json")
        recorded = json.loads(path.read_text())
        yield Case(path.name, EVENTS[name], recorded["frames"][-1]["msg"]["data"])


def request_cases(samples: Path) -> Iterator[Case]:
    for path in files(samples, "jkorf-socket-"):
        frames = json.loads(path.read_text())["frames"]
        method, reply = frames[0]["msg"]["method"], frames[-1]["msg"]
        one = isinstance(reply["result"], dict) and method.startswith("ticker.")
        yield Case(path.name, f"ws {method} one" if one else f"ws {method}", reply)


def fixture_cases(samples: Path) -> Iterator[Case]:
    for name, operations in FIXTURES.items():
        recorded = json.loads((samples / f"{name}.json").read_text())
        for operation, endpoint in operations.items():
            response = recorded[operation]["response"]
            if response and isinstance(response, list) and isinstance(response[0], list):
                continue  # a candle cut to its first number
            yield Case(f"{name} {operation}", endpoint, shortened(response))


def shortened(value: Any) -> Any:
    """Without the levels of a book, which the fixtures cut to the price."""
    if isinstance(value, dict):
        return {
            name: None if name in ("b", "a") and isinstance(one, list) else shortened(one)
            for name, one in value.items()
        }
    return [shortened(one) for one in value] if isinstance(value, list) else value


def live_cases(samples: Path) -> Iterator[Case]:
    known = {
        "bookTicker": "stream btcusdt@bookTicker",
        "depthUpdate": "stream btcusdt@depth@100ms",
        "kline": "stream btcusdt@kline_1m",
        "aggTrade": "stream btcusdt@aggTrade",
    }
    for frame in json.loads((samples / "cryptofeed-recorded-ws.json").read_text())["frames"]:
        data = frame["msg"]["data"]
        yield Case("cryptofeed-recorded-ws", known[data["e"]], data)


CCXT: list[tuple[str, set[str], str]] = [
    # method of ccxt, fields that tell the USD-M sample from the others, endpoint (and field in it)
    ("fetch_balance", {"feeTier", "totalInitialMargin"}, "GET /fapi/v2/account"),
    ("fetch_order_book", {"lastUpdateId", "E"}, "GET /fapi/v1/depth"),
    ("parse_ticker", {"markPrice", "estimatedSettlePrice"}, "GET /fapi/v1/premiumIndex"),
    ("parse_last_price", {"time", "price"}, "GET /fapi/v1/ticker/price"),
    ("parse_trade", {"realizedPnl", "positionSide", "quoteQty"}, "GET /fapi/v1/userTrades"),
    ("edit_contract_order", {"cumQuote"}, "PUT /fapi/v1/order"),
    ("parse_order", {"cumQty", "cumQuote"}, "POST /fapi/v1/order"),
    ("parse_order", {"cumQuote", "origType", "time"}, "GET /fapi/v1/order"),
    ("parse_ledger_entry", {"incomeType"}, "GET /fapi/v1/income"),
    ("parse_account_position", {"bidNotional"}, "GET /fapi/v2/account > positions"),
    ("fetch_account_positions", {"marginAvailable"}, "GET /fapi/v2/account > assets"),
    ("fetch_positions_risk", {"maxNotionalValue"}, "GET /fapi/v2/positionRisk"),
    ("fetch_leverage_tiers", {"brackets"}, "GET /fapi/v1/leverageBracket"),
    ("set_margin_mode", {"code"}, "POST /fapi/v1/marginType"),
    ("set_position_mode", {"code"}, "POST /fapi/v1/positionSide/dual"),
    ("fetch_open_interest", {"openInterest"}, "GET /fapi/v1/openInterest"),
    ("fetch_my_liquidations", {"workingType"}, "GET /fapi/v1/forceOrders"),
    ("fetch_margin_modes", {"marginType"}, "GET /fapi/v1/symbolConfig"),
    ("fetch_funding_intervals", {"fundingIntervalHours"}, "GET /fapi/v1/fundingInfo"),
    ("parse_adl_rank", {"adlRisk"}, "GET /fapi/v1/symbolAdlRisk"),
    ("parse_adl_rank", {"adlQuantile"}, "GET /fapi/v1/adlQuantile"),
    ("handle_liquidation", {"o"}, "stream !forceOrder@arr"),
    ("parse_ws_ticker", {"P", "i", "r"}, "stream btcusdt@markPrice@1s"),
    ("handle_order_update", {"o", "T"}, "user ORDER_TRADE_UPDATE"),
    ("parse_ws_position", {"pa"}, "user ACCOUNT_UPDATE ORDER > a.P"),
]
COIN_MARGINED = ("pair", "cumBase", "baseQty", "qtyCap", "notionalValue")


def ccxt_cases(samples: Path) -> Iterator[Case]:
    """The messages ccxt's authors parsed: those of USD-M, told from the rest by their fields."""
    rows = [
        row
        for name in ("ccxt-docsamples-rest", "ccxt-docsamples-ws")
        for row in json.loads((samples / f"{name}.json").read_text())
    ]
    for method, fields, endpoint in CCXT:
        for row in rows:
            sample = row["sample"][0] if isinstance(row["sample"], list) else row["sample"]
            text = json.dumps(sample)
            if (
                row["method"] == method
                and isinstance(sample, dict)
                and fields <= set(sample)
                and not any(f'"{name}"' in text for name in COIN_MARGINED)
                and "USD_" not in text
                and sample.get("e") not in ("ALGO_UPDATE", "balanceUpdate")
                and not isinstance(sample.get("o"), list)
            ):
                yield Case(f"ccxt {method}", endpoint, unstamped(sample))


def unstamped(value: Any) -> Any:
    """ccxt's samples give some times and ids as strings: those are not compared."""
    if isinstance(value, dict):
        return {
            name: None if name.lower().endswith("time") or name in ("tranId", "T", "E") else unstamped(one)
            for name, one in value.items()
        }
    return [unstamped(one) for one in value] if isinstance(value, list) else value


GROUPS: dict[str, tuple[Callable[[Path], Iterator[Case]], int]] = {
    "REST": (rest_cases, 45),
    "streams": (stream_cases, 14),
    "websocket requests": (request_cases, 10),
    "the official SDK's fixtures": (fixture_cases, 70),
    "recorded live": (live_cases, 40),
    "ccxt's samples": (ccxt_cases, 26),
}
"""Cases, and how many there are at least."""


@pytest.mark.parametrize("group", GROUPS)
async def test_every_recorded_field_is_there(samples: Path, answers: Mapping[str, Any], group: str) -> None:
    cases, least = GROUPS[group]
    compared = list(cases(samples))
    wrong = [
        f"{case.file}, {case.endpoint}: {path} {what}"
        for case in compared
        for path, what in case.found(answers)
        if case.allowed(path) is None
    ]
    assert wrong == []
    assert len(compared) >= least


async def test_every_exception_is_needed(samples: Path, answers: Mapping[str, Any]) -> None:
    used = {
        case.allowed(path)
        for cases, _least in GROUPS.values()
        for case in cases(samples)
        for path, _what in case.found(answers)
    }
    assert set(ALLOWED) - used == set()
    names = [path.name for path in files(samples, "jkorf-", everything=True)]
    assert [left for left in LEFT_OUT if not any(name.startswith(left) for name in names)] == []


async def test_the_comparison_notices(answers: Mapping[str, Any]) -> None:
    """The comparison itself: a field that goes missing or changes its type is found, however deep."""
    ours = answers["GET /fapi/v3/account"]
    assert list(differences(ours, ours)) == []
    asset = {name: value for name, value in ours["assets"][0].items() if name != "updateTime"}
    assert list(differences(ours, {**ours, "assets": [asset]})) == [("assets.updateTime", "is missing")]
    wrong = {**ours, "assets": [{**ours["assets"][0], "walletBalance": 1.5}]}
    assert [path for path, _what in differences(ours, wrong)] == ["assets.walletBalance"]
    candle = answers["GET /fapi/v1/klines"]
    assert [path for path, _what in differences(candle, [[*candle[0][:7], 1.5]])] == [
        "7",
        "8",
        "9",
        "10",
        "11",
    ]
