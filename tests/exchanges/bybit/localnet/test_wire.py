"""Field by field: what the offline Bybit says beside what Bybit documents and others recorded.

No field of a sample may be missing and none may have another JSON type, apart from the reasoned exceptions below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit, serve
from tests.localnet.still import BOUNDARY

pytestmark = pytest.mark.anyio

LEFT_OUT: dict[str, str] = {
    "execution.data[].extraFees": "taxes of Indian and Indonesian customers; empty for everybody else",
    "GET /v5/market/tickers.result.list[].bidPrice": "called bid1Price since v5, which ccxt reads",
    "GET /v5/market/tickers.result.list[].askPrice": "called ask1Price since v5, which ccxt reads",
    "GET /v5/market/tickers.result.list[].lastTickDirection": "gone since v5; the stream has tickDirection",
    **{
        f"GET /v5/user/query-api.result.permissions.{name}": "the localnet's keys may trade contracts only"
        for name in (
            "ContractTrade",
            "Spot",
            "Wallet",
            "Options",
            "CopyTrading",
            "BlockTrade",
            "Exchange",
            "NFT",
        )
    },
}
"""Path of a field that samples have and the localnet does not send -> why."""

OTHER_TYPE: dict[str, str] = {
    "GET /v5/execution/list funding.seq": "documented and sampled as a number; ccxt's copy has passed its own reader",
}
"""Path of a field that has another JSON type here -> why."""

REST: dict[str, list[str]] = {
    "GET /v5/market/time": ["bybitdocs-market-time"],
    "GET /v5/market/instruments-info": [
        "bybitdocs-market-instrument",
        "jkorf-endpoints-GetLinearInverseSymbols",
    ],
    "GET /v5/market/tickers": ["bybitdocs-market-tickers", "jkorf-endpoints-GetLinearInverseTickers"],
    "GET /v5/market/orderbook": ["bybitdocs-market-orderbook", "jkorf-endpoints-GetOrderbook"],
    "GET /v5/market/funding/history": [
        "bybitdocs-market-history-fund-rate",
        "jkorf-endpoints-GetFundingRateHistory",
    ],
    "GET /v5/market/kline": ["bybitdocs-market-kline", "jkorf-endpoints-GetKlines"],
    "GET /v5/market/mark-price-kline": ["bybitdocs-market-mark-kline", "jkorf-endpoints-GetMarkPriceKlines"],
    "GET /v5/market/index-price-kline": [
        "bybitdocs-market-index-kline",
        "jkorf-endpoints-GetIndexPriceKlines",
    ],
    "GET /v5/market/recent-trade": ["bybitdocs-market-recent-trade", "jkorf-endpoints-GetTradeHistory"],
    "GET /v5/market/open-interest": ["bybitdocs-market-open-interest", "jkorf-endpoints-GetOpenInterest"],
    "GET /v5/market/risk-limit": ["jkorf-endpoints-GetRiskLimit"],
    "GET /v5/market/price-limit": [
        "bybitdocs-market-order-price-limit",
        "jkorf-endpoints-GetOrderPriceLimit",
    ],
    "POST /v5/order/create": ["bybitdocs-order-create-order", "jkorf-endpoints-PlaceOrder"],
    "POST /v5/order/amend": ["bybitdocs-order-amend-order", "jkorf-endpoints-EditOrder"],
    "POST /v5/order/cancel": ["bybitdocs-order-cancel-order", "jkorf-endpoints-CancelOrder"],
    "POST /v5/order/cancel-all": ["bybitdocs-order-cancel-all", "jkorf-endpoints-CancelAllOrder"],
    "POST /v5/order/create-batch": ["bybitdocs-order-batch-place", "jkorf-endpoints-PlaceMultipleOrders"],
    "POST /v5/order/amend-batch": ["bybitdocs-order-batch-amend", "jkorf-endpoints-EditMultipleOrders"],
    "POST /v5/order/cancel-batch": ["bybitdocs-order-batch-cancel", "jkorf-endpoints-CancelMultipleOrders"],
    "POST /v5/order/disconnected-cancel-all": [
        "bybitdocs-order-dcp",
        "jkorf-endpoints-SetDisconnectCancelAll",
    ],
    "GET /v5/order/realtime": ["bybitdocs-order-open-order", "jkorf-endpoints-GetOrders"],
    "GET /v5/order/history": ["bybitdocs-order-order-list", "jkorf-endpoints-GetOrderHistory"],
    "GET /v5/execution/list": ["bybitdocs-order-execution", "jkorf-endpoints-GetUserTrades"],
    "GET /v5/position/list": ["bybitdocs-position-position", "jkorf-endpoints-GetPositions"],
    "GET /v5/position/closed-pnl": ["bybitdocs-position-close-pnl", "jkorf-endpoints-GetClosedProfitLoss"],
    "POST /v5/position/set-leverage": ["bybitdocs-position-leverage", "jkorf-endpoints-SetLeverage"],
    "POST /v5/position/switch-mode": [
        "bybitdocs-position-position-mode",
        "jkorf-endpoints-SwitchPositionMode",
    ],
    "POST /v5/position/trading-stop": ["bybitdocs-position-trading-stop", "jkorf-endpoints-SetTradingStop"],
    "GET /v5/account/wallet-balance": ["bybitdocs-account-wallet-balance", "jkorf-endpoints-GetBalances"],
    "GET /v5/account/fee-rate": ["bybitdocs-account-fee-rate", "jkorf-endpoints-GetFeeRate"],
    "GET /v5/account/info": ["bybitdocs-account-account-info", "jkorf-endpoints-GetMarginAccountInfo"],
    "GET /v5/account/instruments-info": ["bybitdocs-account-instrument"],
    "GET /v5/account/transaction-log": [
        "bybitdocs-account-transaction-log",
        "jkorf-endpoints-GetTransactionHistory",
    ],
    "GET /v5/asset/coin/query-info": ["jkorf-endpoints-GetAssetInfo"],
}
STREAM: dict[str, list[str]] = {
    "tickers": ["bybitdocs-websocket-public_ticker", "jkorf-subscriptions-Ticker"],
    "orderbook": ["bybitdocs-websocket-public_orderbook"],
    "publicTrade": ["bybitdocs-websocket-public_trade", "jkorf-subscriptions-Trades"],
    "kline": ["bybitdocs-websocket-public_kline"],
    "allLiquidation": ["bybitdocs-websocket-public_all-liquidation", "jkorf-subscriptions-Liquidations"],
    "order": ["bybitdocs-websocket-private_order", "jkorf-subscriptions-Order"],
    "execution": ["bybitdocs-websocket-private_execution", "jkorf-subscriptions-UserTrades"],
    "execution.fast": [
        "bybitdocs-websocket-private_fast-execution",
        "jkorf-subscriptions-MinimalUserTrades",
    ],
    "position": ["bybitdocs-websocket-private_position", "jkorf-subscriptions-Position"],
    "wallet": ["bybitdocs-websocket-private_wallet", "jkorf-subscriptions-Balance"],
    "order.create": ["bybitdocs-websocket-trade_guideline", "jkorf-socket-PlaceOrder"],
    "order.cancel": ["jkorf-socket-CancelOrder"],
}
CCXT: dict[str, str] = {
    "fetch_future_markets": "GET /v5/market/instruments-info",
    "fetch_funding_rates": "GET /v5/market/tickers",
    "fetch_funding_rate_history": "GET /v5/market/funding/history",
    "fetch_order_book": "GET /v5/market/orderbook",
    "fetch_derivatives_open_interest_history": "GET /v5/market/open-interest",
    "create_order": "POST /v5/order/create",
    "edit_order": "POST /v5/order/amend",
    "cancel_order": "POST /v5/order/cancel",
    "fetch_open_orders": "GET /v5/order/realtime",
    "fetch_canceled_and_closed_orders": "GET /v5/order/history",
    "fetch_my_trades": "GET /v5/execution/list",
    "fetch_trading_fee": "GET /v5/account/fee-rate",
    "fetch_ledger": "GET /v5/account/transaction-log",
    "fetch_currencies": "GET /v5/asset/coin/query-info",
    "is_unified_enabled": "GET /v5/user/query-api",
}


# -- samples -----------------------------------------------------------------------------------------------------


def objects(found: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object of a sample file that is a whole message."""
    if isinstance(found, list):
        for one in found:
            yield from objects(one)
    elif isinstance(found, dict):
        if "text" in found and set(found) == {"text"}:
            for piece in found["text"].split("\nLinearFutures"):
                try:
                    yield from objects(json.loads(piece))
                except ValueError:
                    continue
        elif "blocks" in found:
            yield from objects(found["blocks"])
        elif "frames" in found:
            yield from objects(
                [frame["msg"] for frame in found["frames"] if frame["dir"].startswith("server")]
            )
        elif set(found) & {"json", "json_multi", "response"}:
            for key in ("json", "json_multi", "response"):
                yield from objects(found.get(key, []))
        elif "http" not in found:
            yield found


def linear(message: dict[str, Any], *others: str) -> bool:
    """Whether a REST sample is an answer about contracts like ours (or of another category)."""
    result = message.get("result")
    category = result.get("category") if isinstance(result, dict) else None
    return message.get("retCode") == 0 and category in (None, "linear", "inverse", *others)


def rest_samples(wire: Path, name: str) -> list[dict[str, Any]]:
    text = json.loads((wire / "bybit" / f"{name}.json").read_text())
    # Public trades are documented with a spot sample; its fields are those of all categories.
    others = ("spot",) if ("rade" in name and "market" in name) or name.endswith("GetTradeHistory") else ()
    return [message for message in objects(text) if linear(message, *others)]


def stream_samples(wire: Path, name: str, topic: str) -> list[dict[str, Any]]:
    text = json.loads((wire / "bybit" / f"{name}.json").read_text())
    return [
        message
        for message in objects(text)
        if str(message.get("topic", "")).split(".")[0] == topic.split(".")[0]
        or (message.get("op") == topic and "retCode" in message)
    ]


# -- comparing ---------------------------------------------------------------------------------------------------


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", dict: "object", list: "array", type(None): "null"}[type(value)]


def decimal(value: str) -> bool:
    try:
        Decimal(value)
    except InvalidOperation:
        return False
    return True


def differences(sample: Any, ours: Any, path: str) -> Iterator[str]:
    """What a reader of the sample would miss in ours."""
    if "null" in (kind(sample), kind(ours)):
        return
    if kind(sample) != kind(ours):
        if path not in OTHER_TYPE:
            yield f"{path}: {kind(sample)} in the sample, {kind(ours)} here"
    elif isinstance(sample, dict):
        for key, value in sample.items():
            inner = f"{path}.{key}"
            if path.endswith("cumFeeDetail"):
                continue
            if key in ours:
                yield from differences(value, ours[key], inner)
            elif inner not in LEFT_OUT:
                yield f"{inner}: missing"
    elif isinstance(sample, list):
        if sample and not ours and path not in LEFT_OUT:
            yield f"{path}: empty here"
        elif sample and ours:
            yield from differences(sample[0], ours[0], f"{path}[]")
            if isinstance(sample[0], str) and len(sample) != len(ours) and path not in LEFT_OUT:
                yield f"{path}: {len(sample)} elements in the sample, {len(ours)} here"
    elif (
        isinstance(sample, str) and not path.endswith("Id") and decimal(sample) and ours and not decimal(ours)
    ):
        yield f"{path}: the sample has the number {sample!r}, here it is {ours!r}"


def check(where: str, sample: dict[str, Any], ours: dict[str, Any]) -> None:
    found = list(differences(sample, ours, where))
    assert found == [], "\n".join(found)


# -- our side ----------------------------------------------------------------------------------------------------


class Said:
    """Everything the localnet said, by ``METHOD path`` and by topic."""

    def __init__(self) -> None:
        self.rest: dict[str, list[dict[str, Any]]] = {}
        self.stream: dict[str, list[dict[str, Any]]] = {}

    def row(self, where: str, **wanted: Any) -> dict[str, Any]:
        """The answer that has a row with these values."""
        for body in self.rest[where]:
            rows = body["result"].get("list") or [body["result"]]
            if all(rows[0].get(key) == value for key, value in wanted.items()):
                return body
        raise LookupError(f"{where} has no answer with {wanted}")


async def _scenario(bybit: Bybit, said: Said) -> None:
    async def get(path: str, **params: Any) -> None:
        private = not path.startswith("/v5/market")
        answer = await (bybit.get(path, **params) if private else bybit.public(path, **params))
        assert answer.code == 0, answer.text
        said.rest.setdefault(f"GET {path}", []).append(answer.body)

    async def post(path: str, **body: Any) -> Any:
        answer = await bybit.post(path, **body)
        assert answer.code == 0, answer.text
        said.rest.setdefault(f"POST {path}", []).append(answer.body)
        return answer.body["result"]

    name = {"category": "linear", "symbol": "BTCUSDT"}
    bybit.model.flow = 1.0
    public = await bybit.connect("/v5/public/linear")
    await public.subscribe(
        "tickers.BTCUSDT",
        "orderbook.50.BTCUSDT",
        "publicTrade.BTCUSDT",
        "kline.5.BTCUSDT",
        "allLiquidation.BTCUSDT",
    )
    private = await bybit.login()
    await private.subscribe("order", "execution", "execution.fast", "position", "wallet")
    await post("/v5/position/set-leverage", **name, buyLeverage="5", sellLeverage="5")
    await post("/v5/position/switch-mode", **name, mode=3)
    await post("/v5/position/switch-mode", **name, mode=0)
    limit = name | {"side": "Buy", "orderType": "Limit", "qty": "1", "price": "990"}
    order = await post("/v5/order/create", **limit, orderLinkId="w-1")
    await post("/v5/order/amend", **name, orderId=order["orderId"], price="991")
    await get("/v5/order/realtime", **name, limit=1)
    await post("/v5/order/cancel", **name, orderId=order["orderId"])
    entry = {key: value for key, value in limit.items() if key != "category"}
    batch = await post("/v5/order/create-batch", category="linear", request=[entry | {"orderLinkId": "w-2"}])
    assert batch["list"][0]["orderId"]
    named = {"symbol": "BTCUSDT", "orderLinkId": "w-2"}
    await post("/v5/order/amend-batch", category="linear", request=[named | {"price": "991"}])
    await post("/v5/order/cancel-batch", category="linear", request=[named])
    await post("/v5/order/create", **limit)
    await post("/v5/order/cancel-all", category="linear", settleCoin="USDT")
    await post("/v5/order/disconnected-cancel-all", timeWindow=40)
    await post("/v5/order/create", **name, side="Buy", orderType="Market", qty="2")
    await post("/v5/position/trading-stop", **name, stopLoss="900")
    await get("/v5/position/list", **name)
    bybit.wait(BOUNDARY - bybit.clock.now() + 5)
    await get("/v5/account/transaction-log", type="SETTLEMENT")
    await get("/v5/execution/list", **name, execType="Funding")
    await post("/v5/order/create", **name, side="Sell", orderType="Market", qty="1", reduceOnly=True)
    bybit.truth.liquidate("main", "BTCUSDT")
    bybit.wait(5)
    await get("/v5/order/history", **name)
    await get("/v5/execution/list", **name, execType="Trade")
    await get("/v5/position/closed-pnl", **name)
    await get("/v5/account/transaction-log", type="TRADE")
    await get("/v5/account/wallet-balance", accountType="UNIFIED")
    await get("/v5/account/fee-rate", **name)
    await get("/v5/account/info")
    await get("/v5/account/instruments-info", **name)
    await get("/v5/asset/coin/query-info")
    await get("/v5/user/query-api")
    for path in ("time", "instruments-info", "tickers", "orderbook", "funding/history", "recent-trade"):
        await get(f"/v5/market/{path}", **name)
    for path in ("kline", "mark-price-kline", "index-price-kline"):
        await get(f"/v5/market/{path}", **name, interval="5")
    await get("/v5/market/open-interest", **name, intervalTime="1h")
    await get("/v5/market/risk-limit", **name)
    await get("/v5/market/price-limit", **name)
    trade = await bybit.login(path="/v5/trade")
    header = {"X-BAPI-TIMESTAMP": str(bybit.now_ms)}
    for op, args in (
        ("order.create", limit | {"orderLinkId": "w-9"}),
        ("order.cancel", name | {"orderLinkId": "w-9"}),
    ):
        said.stream[op] = [await trade.ask(reqId=op, op=op, header=header, args=[args])]
    for socket in (public, private):
        await socket.send(op="ping", req_id="end")
        while (message := await socket.next()).get("req_id") != "end":
            topic = message["topic"]
            key = topic if topic in STREAM else topic.split(".")[0]
            said.stream.setdefault(key, []).append(message)


@pytest.fixture(scope="module")
async def said() -> Said:
    found = Said()
    async with serve(protected=True) as bybit:
        await _scenario(bybit, found)
    return found


# -- tests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "name"), [(where, name) for where, names in REST.items() for name in names]
)
async def test_rest(said: Said, wire_dir: Path, where: str, name: str) -> None:
    samples = rest_samples(wire_dir, name)
    assert samples
    for sample in samples:
        for ours in said.rest[where]:
            if "contractType" in json.dumps(sample) and '"PreLaunch"' in json.dumps(sample):
                continue
            check(where, sample, ours)


@pytest.mark.parametrize(
    ("topic", "name"), [(topic, name) for topic, names in STREAM.items() for name in names]
)
async def test_stream(said: Said, wire_dir: Path, topic: str, name: str) -> None:
    samples = [
        sample
        for sample in stream_samples(wire_dir, name, topic)
        if not isinstance(sample.get("data"), dict)
        # Tickers of futures with a delivery date, of options and of spot have fields of their own.
        or not {"deliveryTime", "markPriceIv", "usdIndexPrice"} & set(sample["data"])
    ]
    assert samples
    for sample in samples:
        for ours in said.stream[topic]:
            if sample.get("type") == ours.get("type"):
                check(topic, sample, ours)


@pytest.mark.parametrize(("method", "where"), CCXT.items())
async def test_what_ccxt_quotes(said: Said, wire_dir: Path, method: str, where: str) -> None:
    """The samples in ccxt's source, which its parsers were written for."""
    quoted = json.loads((wire_dir / "bybit" / "ccxt-docsamples-rest.json").read_text())
    samples = [q["sample"] for q in quoted if q["method"] == method and isinstance(q["sample"], dict)]
    samples = [sample for sample in samples if linear(sample)]
    if method == "is_unified_enabled":
        # Two answers are quoted there; the other one is that of /v5/account/info.
        samples = [sample for sample in samples if "apiKey" in sample["result"]]
    assert samples
    for sample in samples:
        check(where, sample, said.rest[where][0])


async def test_the_funding_payment_ccxt_quotes(said: Said, wire_dir: Path) -> None:
    quoted = json.loads((wire_dir / "bybit" / "ccxt-docsamples-rest.json").read_text())
    (sample,) = [q["sample"] for q in quoted if q["method"] == "parse_income"]
    where = "GET /v5/execution/list"
    ours = said.row(where, execType="Funding")
    flattened = ours["result"]["list"][0] | {"nextPageCursor": ours["result"]["nextPageCursor"]}
    check(f"{where} funding", sample, flattened)
    for key in (
        "orderType",
        "orderQty",
        "orderPrice",
        "closedSize",
        "createType",
        "stopOrderType",
        "leavesQty",
    ):
        assert flattened[key] == sample[key]


def test_a_missing_or_mistyped_field_is_found() -> None:
    """The comparison itself."""
    sample = {"a": "1", "b": {"c": 1}, "d": [{"e": True}]}
    ours: dict[str, Any] = {"a": 1, "b": {}, "d": [{"e": "x"}]}
    assert sorted(differences(sample, ours, "x")) == [
        "x.a: string in the sample, number here",
        "x.b.c: missing",
        "x.d[].e: boolean in the sample, string here",
    ]
    assert list(differences({"a": "1.5"}, {"a": "many"}, "x")) == [
        "x.a: the sample has the number '1.5', here it is 'many'"
    ]
    assert list(differences(sample, sample, "x")) == []
