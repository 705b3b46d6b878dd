"""Field by field: what the offline OKX says beside what OKX documents and others recorded.

No field of a sample may be missing and none may have another JSON type, apart from the reasoned exceptions below.
Most samples are about spot or coin-margined contracts; fields are the same for all, values are not compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest
from tests.exchanges.okx.localnet.venue import SWAP, Okx, serve
from tests.localnet.still import BOUNDARY

from fundingarb.localnet.limits import LimitRule, LimitState
from fundingarb_okx.localnet.desk import Desk

pytestmark = pytest.mark.anyio

LEFT_OUT: dict[str, str] = {
    "GET /api/v5/account/positions.data[].closeOrderAlgo": "stop orders of a position; there are none here",
    "positions.data[].closeOrderAlgo": "stop orders of a position; there are none here",
    "balance_and_position.data[].posData": "empty where no position changed",
    "balance_and_position.data[].trades": "empty where nothing was traded",
}
"""Path of a field that samples have and the localnet does not send -> why."""

OTHER_TYPE: dict[str, str] = {}
"""Path of a field that has another JSON type here -> why."""

REST: dict[str, list[str]] = {
    "GET /api/v5/public/time": ["GetServerTime"],
    "GET /api/v5/public/instruments": ["GetSymbols"],
    "GET /api/v5/public/funding-rate": ["GetFundingRates"],
    "GET /api/v5/public/funding-rate-history": ["GetFundingRateHistory"],
    "GET /api/v5/public/mark-price": ["GetMarkPrices"],
    "GET /api/v5/public/open-interest": ["GetOpenInterests"],
    "GET /api/v5/public/price-limit": ["GetLimitPrice"],
    "GET /api/v5/public/position-tiers": ["GetPositionTiers"],
    "GET /api/v5/market/tickers": ["GetTickers", "GetTicker"],
    "GET /api/v5/market/index-tickers": ["GetIndexTickers"],
    "GET /api/v5/market/books": ["GetOrderBook"],
    "GET /api/v5/market/trades": ["GetRecentTrades"],
    "GET /api/v5/market/candles": ["GetKlines"],
    "GET /api/v5/market/mark-price-candles": ["GetMarkPriceKlines"],
    "GET /api/v5/market/index-candles": ["GetIndexKlines"],
    "GET /api/v5/account/config": ["GetAccountConfiguration"],
    "GET /api/v5/account/balance": ["GetAccountBalance"],
    "GET /api/v5/account/positions": ["GetAccountPositions"],
    "GET /api/v5/account/positions-history": ["GetAccountPositionHistory"],
    "GET /api/v5/account/leverage-info": ["GetAccountLeverage"],
    "POST /api/v5/account/set-leverage": ["SetAccountLeverage"],
    "POST /api/v5/account/set-position-mode": ["SetAccountPositionMode"],
    "GET /api/v5/account/trade-fee": ["GetFeeRates"],
    "GET /api/v5/account/max-size": ["GetMaximumAmount"],
    "GET /api/v5/account/bills": ["GetBillHistory"],
    "GET /api/v5/account/bills-archive": ["GetBillArchive"],
    "GET /api/v5/asset/currencies": ["GetAssets"],
    "POST /api/v5/trade/order": ["PlaceOrder"],
    "POST /api/v5/trade/batch-orders": ["PlaceMultipleOrders"],
    "POST /api/v5/trade/cancel-order": ["CancelOrder"],
    "POST /api/v5/trade/cancel-batch-orders": ["CancelMultipleOrders"],
    "POST /api/v5/trade/amend-order": ["AmendOrder"],
    "POST /api/v5/trade/amend-batch-orders": ["AmendMultipleOrders"],
    "POST /api/v5/trade/cancel-all-after": ["CancelAllAfter"],
    "POST /api/v5/trade/close-position": ["ClosePosition"],
    "GET /api/v5/trade/order": ["GetOrderDetails"],
    "GET /api/v5/trade/orders-pending": ["GetOrders"],
    "GET /api/v5/trade/orders-history": ["GetOrderHistory"],
    "GET /api/v5/trade/orders-history-archive": ["GetOrderArchive"],
    "GET /api/v5/trade/fills": ["GetUserTrades"],
    "GET /api/v5/trade/fills-history": ["GetUserTradesArchive"],
}
"""Answer of the localnet -> recorded answers to the same question."""

STREAM: dict[str, list[str]] = {
    "funding-rate": ["ExchangeData-FundingRate"],
    "mark-price": ["ExchangeData-MarkPrice"],
    "index-tickers": ["ExchangeData-IndexTicker"],
    "tickers": ["ExchangeData-Ticker"],
    "books": ["ExchangeData-OrderBook"],
    "trades": ["ExchangeData-Trades"],
    "open-interest": ["ExchangeData-Interest"],
    "price-limit": ["ExchangeData-PriceLimit"],
    "instruments": ["ExchangeData-Symbol"],
    "orders": ["Trading-Order"],
    "positions": ["Trading-Position"],
    "liquidation-warning": ["Trading-LiquidationWarning"],
    "account": ["Account-Balance"],
    "balance_and_position": ["Account-BalanceAndPosition"],
}
SOCKET: dict[str, str] = {
    "order": "PlaceOrder",
    "batch-orders": "PlaceMultipleOrders",
    "cancel-order": "CancelOrder",
    "batch-cancel-orders": "CancelMultipleOrders",
    "amend-order": "AmendOrder",
    "batch-amend-orders": "AmendMultipleOrders",
}
CCXT: dict[str, str] = {
    "parse_funding_rate": "GET /api/v5/public/funding-rate",
    "fetch_funding_rate": "GET /api/v5/public/funding-rate",
    "fetch_funding_rate_history": "GET /api/v5/public/funding-rate-history",
    "parse_position": "GET /api/v5/account/positions",
    "fetch_positions": "GET /api/v5/account/positions",
    "fetch_leverage": "GET /api/v5/account/leverage-info",
    "fetch_order": "GET /api/v5/trade/order",
    "fetch_my_trades": "GET /api/v5/trade/fills-history",
    "fetch_funding_history": "GET /api/v5/account/bills",
    "parse_ledger_entry": "GET /api/v5/account/bills",
    "fetch_market_leverage_tiers": "GET /api/v5/public/position-tiers",
}
"""Samples in the comments of ccxt's source, which its parsers were written for."""


OTHERS = {"activePx", "closeAvgPx"}
"""Fields of samples about something else: algo orders, positions that are over."""


def row(sample: dict[str, Any]) -> dict[str, Any]:
    """The first row of a sample that may be a whole reply."""
    rows = sample.get("data", [sample])
    found: dict[str, Any] = rows[0]
    return found


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
            if key in ours:
                yield from differences(value, ours[key], inner)
            elif inner not in LEFT_OUT:
                yield f"{inner}: missing"
    elif isinstance(sample, list):
        if sample and not ours and path not in LEFT_OUT:
            yield f"{path}: empty here"
        elif sample and ours:
            yield from differences(sample[0], ours[0], f"{path}[]")
            if isinstance(sample[0], str) and len(sample) != len(ours):
                yield f"{path}: {len(sample)} elements in the sample, {len(ours)} here"
    elif (
        isinstance(sample, str) and not path.endswith("Id") and decimal(sample) and ours and not decimal(ours)
    ):
        yield f"{path}: the sample has the number {sample!r}, here it is {ours!r}"


def check(where: str, sample: Any, ours: Any) -> None:
    found = list(differences(sample, ours, where))
    assert found == [], "\n".join(found)


# -- our side ----------------------------------------------------------------------------------------------------


class Said:
    """Everything the localnet said, by ``METHOD path``, by channel and by operation."""

    def __init__(self) -> None:
        self.rest: dict[str, list[dict[str, Any]]] = {}
        self.stream: dict[str, list[dict[str, Any]]] = {}
        self.socket: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []


async def _scenario(okx: Okx, said: Said) -> None:
    async def get(path: str, **params: Any) -> None:
        private = path.split("/")[1] in ("account", "asset", "trade")
        answer = await (okx.get(path, **params) if private else okx.public(path, **params))
        assert answer.data, path
        said.rest.setdefault(f"GET /api/v5{path}", []).append(answer.body)

    async def post(path: str, body: Any) -> None:
        answer = await okx.post(path, body)
        assert answer.data, path
        said.rest.setdefault(f"POST /api/v5{path}", []).append(answer.body)

    name = {"instId": SWAP}
    okx.model.flow = 1.0
    public = await okx.connect()
    private = await okx.login()
    first = await public.subscribe(
        *(
            {"channel": channel, **name}
            for channel in STREAM
            if channel not in _PRIVATE | {"instruments", "index-tickers"}
        ),
        {"channel": "index-tickers", "instId": "BTC-USDT"},
        {"channel": "instruments", "instType": "SWAP"},
    )
    first += await private.subscribe(
        *({"channel": channel, "instType": "SWAP"} for channel in sorted(_PRIVATE)),
    )
    await post("/account/set-position-mode", {"posMode": "net_mode"})
    await post("/account/set-leverage", name | {"lever": "50", "mgnMode": "cross"})
    limit = okx.request("buy", "2", "990")
    await post("/trade/order", limit | {"clOrdId": "w1"})
    await post("/trade/amend-order", name | {"clOrdId": "w1", "newPx": "991"})
    await get("/trade/orders-pending", instType="SWAP")
    await post("/trade/cancel-order", name | {"clOrdId": "w1"})
    await post("/trade/batch-orders", [limit | {"clOrdId": "w2"}])
    await post("/trade/amend-batch-orders", [name | {"clOrdId": "w2", "newSz": "3"}])
    await post("/trade/cancel-batch-orders", [name | {"clOrdId": "w2"}])
    for op, body in (
        ("order", limit | {"clOrdId": "w3"}),
        ("amend-order", name | {"clOrdId": "w3", "newSz": "3"}),
        ("cancel-order", name | {"clOrdId": "w3"}),
        ("batch-orders", limit | {"clOrdId": "w4"}),
        ("batch-amend-orders", name | {"clOrdId": "w4", "newSz": "3"}),
        ("batch-cancel-orders", name | {"clOrdId": "w4"}),
    ):
        await private.send(id=op, op=op, args=[body])
        while (message := await private.next()).get("id") != op:
            first.append(message)
        said.socket[op] = message
    await okx.order("buy", "400000", "1020", clOrdId="w5")
    await get("/account/positions", **name)
    await get("/trade/order", **name, clOrdId="w5")
    okx.wait(BOUNDARY - okx.clock.now() + 5)
    await get("/account/bills", type="8")
    okx.model.price = 988.0
    okx.wait(1)
    await post("/trade/cancel-all-after", {"timeOut": "60"})
    await okx.order("sell", "399999", "975")
    await post("/trade/close-position", name | {"mgnMode": "cross"})
    okx.wait(5)
    await get("/account/config")
    await get("/account/balance")
    await get("/account/positions-history", instType="SWAP")
    await get("/account/leverage-info", **name, mgnMode="cross")
    await get("/account/trade-fee", instType="SWAP")
    await get("/account/max-size", **name, tdMode="cross")
    await get("/account/bills", type="2")
    await get("/account/bills-archive", type="2")
    await get("/asset/currencies")
    for path in ("orders-history", "orders-history-archive", "fills", "fills-history"):
        await get(f"/trade/{path}", instType="SWAP")
    await get("/public/time")
    for path in ("/public/instruments", "/public/mark-price", "/public/open-interest", "/market/tickers"):
        await get(path, instType="SWAP")
    for path in ("/public/funding-rate", "/public/funding-rate-history", "/public/price-limit"):
        await get(path, **name)
    for path in ("books", "trades", "candles", "mark-price-candles"):
        await get(f"/market/{path}", **name)
    for path in ("index-tickers", "index-candles"):
        await get(f"/market/{path}", instId="BTC-USDT")
    await get("/public/position-tiers", instType="SWAP", tdMode="cross", instFamily="BTC-USDT")
    for message in [*first, *await public.rest(), *await private.rest()]:
        if "data" in message:
            said.stream.setdefault(message["arg"]["channel"], []).append(message)


_PRIVATE = {"orders", "positions", "liquidation-warning", "account", "balance_and_position"}


@pytest.fixture(scope="module")
async def said() -> Said:
    found = Said()
    free = LimitState(LimitRule("free", 10_000, 1.0), 1, False, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "charge", lambda self, rule, key, weight=1: free)
        async with serve() as okx:
            await _scenario(okx, found)
    return found


# -- tests -------------------------------------------------------------------------------------------------------


def recorded(wire: Path, name: str) -> Any:
    return json.loads((wire / "okx" / f"jkorf-{name}.json").read_text())


@pytest.mark.parametrize(
    ("where", "name"), [(where, name) for where, names in REST.items() for name in names]
)
async def test_rest(said: Said, wire_dir: Path, where: str, name: str) -> None:
    content = recorded(wire_dir, f"endpoints-{name}")
    for ours in said.rest[where]:
        check(where, content["response"], ours)


@pytest.mark.parametrize(
    ("channel", "name"), [(channel, name) for channel, names in STREAM.items() for name in names]
)
async def test_stream(said: Said, wire_dir: Path, channel: str, name: str) -> None:
    frames = recorded(wire_dir, f"subscriptions-{name}")["frames"]
    samples = [frame["msg"] for frame in frames if "data" in frame["msg"]]
    assert samples
    for sample in samples:
        sample["arg"] = {"channel": channel}
        for ours in said.stream[channel]:
            if ours.get("action") != "update" and ours["data"]:
                check(channel, sample, ours)


@pytest.mark.parametrize(("op", "name"), SOCKET.items())
async def test_order_entry(said: Said, wire_dir: Path, op: str, name: str) -> None:
    frames = recorded(wire_dir, f"socket-{name}")["frames"]
    check(op, frames[-1]["msg"], said.socket[op])


async def test_logins_and_acknowledgements(okx: Okx, wire_dir: Path) -> None:
    frames = [frame["msg"] for frame in recorded(wire_dir, "subscriptions-Account-Balance")["frames"]]
    samples = {frame["event"]: frame for frame in frames if "event" in frame}
    socket = await okx.connect("/ws/v5/private")
    check("login", samples["login"], await socket.ask(op="login", args=[okx.login_args()]))
    reply = await socket.ask(op="subscribe", args=[{"channel": "account"}])
    check("subscribe", samples["subscribe"], reply)


@pytest.mark.parametrize(("method", "where"), CCXT.items())
async def test_what_ccxt_quotes(said: Said, wire_dir: Path, method: str, where: str) -> None:
    quoted = json.loads((wire_dir / "okx" / "ccxt-docsamples-rest.json").read_text())
    samples = [
        q["sample"]
        for q in quoted
        if q["method"] == method and isinstance(q["sample"], dict) and not OTHERS & set(row(q["sample"]))
    ]
    assert samples
    for sample in samples:
        for ours in said.rest[where][:1]:
            check(where, sample, ours if "data" in sample else ours["data"][0])


async def test_recorded_frames_of_the_public_channels(said: Said, wire_dir: Path) -> None:
    """Captured live: tickers, trades and books."""
    content = json.loads((wire_dir / "okx" / "cryptofeed-recorded-ws.json").read_text())
    compared = set()
    for frame in content["frames"]:
        message = frame["msg"]
        if not str(frame["dir"]).startswith("server") or "data" not in message:
            continue
        channel, action = message["arg"]["channel"], message.get("action")
        ours = [one for one in said.stream[channel] if one.get("action") == action and one["data"]]
        assert ours
        message["arg"].pop("instId")
        for one in ours[:1]:
            changes = {"asks", "bids"} if action == "update" else set()
            kept = {key: value for key, value in message["data"][0].items() if key not in changes}
            check(channel, message | {"data": [kept]}, one)
        compared.add((channel, action))
    assert {channel for channel, _ in compared} == {"tickers", "trades", "books"}


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
