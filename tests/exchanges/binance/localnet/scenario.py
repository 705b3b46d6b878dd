"""A day on the Binance localnet: one answer of every kind it gives, for comparison with recorded ones."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import anyio
from anyio.abc import TaskGroup
from tests.exchanges.binance.localnet.desk import Desk, Stream

__all__ = ["play"]

PUBLIC: dict[str, dict[str, Any]] = {
    "time": {},
    "exchangeInfo": {},
    "premiumIndex": {"symbol": "BTCUSDT"},
    "fundingInfo": {},
    "fundingRate": {"symbol": "BTCUSDT", "limit": 5},
    "depth": {"symbol": "BTCUSDT", "limit": 5},
    "ticker/bookTicker": {"symbol": "BTCUSDT"},
    "ticker/price": {"symbol": "BTCUSDT"},
    "/fapi/v2/ticker/price": {"symbol": "BTCUSDT"},
    "ticker/24hr": {"symbol": "BTCUSDT"},
    "trades": {"symbol": "BTCUSDT", "limit": 5},
    "aggTrades": {"symbol": "BTCUSDT", "limit": 5},
    "klines": {"symbol": "BTCUSDT", "interval": "1m", "limit": 5},
    "continuousKlines": {"pair": "BTCUSDT", "contractType": "PERPETUAL", "interval": "1m", "limit": 5},
    "markPriceKlines": {"symbol": "BTCUSDT", "interval": "1m", "limit": 5},
    "indexPriceKlines": {"pair": "BTCUSDT", "interval": "1m", "limit": 5},
    "openInterest": {"symbol": "BTCUSDT"},
    "constituents": {"symbol": "BTCUSDT"},
    "symbolAdlRisk": {"symbol": "BTCUSDT"},
}
SIGNED: dict[str, dict[str, Any]] = {
    "order": {"symbol": "BTCUSDT", "origClientOrderId": "rests"},
    "openOrder": {"symbol": "BTCUSDT", "origClientOrderId": "rests"},
    "openOrders": {"symbol": "BTCUSDT"},
    "allOrders": {"symbol": "BTCUSDT"},
    "openAlgoOrders": {},
    "userTrades": {"symbol": "BTCUSDT"},
    "income": {},
    "forceOrders": {},
    "/fapi/v2/account": {},
    "/fapi/v3/account": {},
    "/fapi/v2/balance": {},
    "/fapi/v3/balance": {},
    "/fapi/v2/positionRisk": {"symbol": "BTCUSDT"},
    "/fapi/v3/positionRisk": {"symbol": "BTCUSDT"},
    "adlQuantile": {"symbol": "BTCUSDT"},
    "positionSide/dual": {},
    "multiAssetsMargin": {},
    "leverageBracket": {"symbol": "BTCUSDT"},
    "symbolConfig": {"symbol": "BTCUSDT"},
    "accountConfig": {},
    "commissionRate": {"symbol": "BTCUSDT"},
    "apiTradingStatus": {},
    "rateLimit/order": {},
    "feeBurn": {},
}
STREAMS = [
    "btcusdt@markPrice@1s",
    "!markPrice@arr@1s",
    "btcusdt@bookTicker",
    "btcusdt@depth5@100ms",
    "btcusdt@depth@100ms",
    "btcusdt@aggTrade",
    "btcusdt@miniTicker",
    "!miniTicker@arr",
    "btcusdt@ticker",
    "!ticker@arr",
    "btcusdt@kline_1m",
    "!contractInfo",
    "!forceOrder@arr",
]
REQUESTS = [
    "depth",
    "ticker.price",
    "ticker.book",
    "account.status",
    "v2/account.status",
    "account.balance",
    "v2/account.balance",
    "account.position",
    "v2/account.position",
    "userDataStream.start",
    "userDataStream.ping",
    "userDataStream.stop",
]
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}


def _key(method: str, path: str) -> str:
    return f"{method} {path if path.startswith('/') else f'/fapi/v1/{path}'}"


async def play(desk: Desk) -> dict[str, Any]:
    """Answers by ``METHOD path``, ``stream NAME``, ``user EVENT`` and ``ws METHOD``."""
    answers: dict[str, Any] = {}

    async def ask(method: str, path: str, **params: Any) -> Any:
        answers[_key(method, path)] = found = await desk.good(method, path, **params)
        return found

    complete = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await _listen(desk, answers, tasks, complete)
        await _trade(desk, ask)
        for path, params in PUBLIC.items():
            answers[_key("GET", path)] = await desk.public(path, **params)
        for path, params in SIGNED.items():
            await ask("GET", path, **params)
        await _change(desk, ask)
        await _end(desk, answers)
        with anyio.fail_after(30):
            await complete.wait()
        tasks.cancel_scope.cancel()
    await _websocket_requests(desk, answers)
    return answers


async def _listen(
    desk: Desk,
    answers: dict[str, Any],
    tasks: TaskGroup,
    complete: anyio.Event,
) -> None:
    key = await desk.listen_key()
    missing = set(STREAMS)

    async def market() -> None:
        async with desk.stream("/stream?streams=" + "/".join(STREAMS)) as stream:
            async for frame in stream.socket:
                message = json.loads(frame.data)
                data = message["data"]
                if message["stream"] == "btcusdt@depth@100ms" and not (data["b"] and data["a"]):
                    continue
                answers[f"stream {message['stream']}"] = data
                missing.discard(message["stream"])
                if not missing:
                    complete.set()

    async def user() -> None:
        async with desk.stream(f"/private/ws?listenKey={key}") as stream:
            async for frame in stream.socket:
                message = json.loads(frame.data)
                answers[f"user {message['e']}"] = message
                if message["e"] == "ACCOUNT_UPDATE":
                    answers[f"user ACCOUNT_UPDATE {message['a']['m']}"] = message

    tasks.start_soon(market)
    tasks.start_soon(user)
    await anyio.sleep(0.1)


async def _trade(desk: Desk, ask: Callable[..., Awaitable[Any]]) -> None:
    await ask("POST", "leverage", symbol="BTCUSDT", leverage=19)
    await ask("POST", "marginType", symbol="ETHUSDT", marginType="ISOLATED")
    await ask("POST", "order", price="49000.0", newClientOrderId="rests", **LIMIT)
    await ask("POST", "order/test", price="49000.0", **LIMIT)
    await desk.market("BUY", "0.5")
    desk.truth.move_price("BTCUSDT", factor=1.001)
    await desk.market("SELL", "0.1")
    await desk.market("BUY", "1", symbol="ETHUSDT")
    desk.truth.liquidate(desk.name, "ETHUSDT")
    desk.truth.transfer(desk.name, Decimal(-10))
    desk.truth.set_funding("ETHUSDT", interval_hours=4)


async def _change(desk: Desk, ask: Callable[..., Awaitable[Any]]) -> None:
    wanted = [{**LIMIT, "price": "48000.0", "newClientOrderId": "batch"}, {**LIMIT, "price": "48000.05"}]
    await ask("POST", "batchOrders", batchOrders=json.dumps(wanted))
    await ask(
        "DELETE",
        "batchOrders",
        symbol="BTCUSDT",
        origClientOrderIdList=json.dumps(["batch", "unknown"]),
    )
    named = {"symbol": "BTCUSDT", "origClientOrderId": "rests"}
    await ask("PUT", "order", side="BUY", price="48500.0", quantity="0.010", **named)
    await ask("DELETE", "order", **named)
    await ask("POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=100_000)
    await ask("DELETE", "allOpenOrders", symbol="BTCUSDT")
    await ask("POST", "feeBurn", feeBurn="false")


async def _end(desk: Desk, answers: dict[str, Any]) -> None:
    answers[_key("POST", "listenKey")] = (await desk.send("POST", "listenKey")).body
    answers[_key("PUT", "listenKey")] = (await desk.send("PUT", "listenKey")).body
    desk.settle("BTCUSDT")
    await anyio.sleep(0.1)
    await desk.market("SELL", "0.4", reduceOnly="true")
    answers[_key("POST", "positionSide/dual")] = await desk.good(
        "POST", "positionSide/dual", dualSidePosition="true"
    )
    await desk.good("POST", "positionSide/dual", dualSidePosition="false")
    answers[_key("DELETE", "listenKey")] = (await desk.send("DELETE", "listenKey")).body


async def _websocket_requests(desk: Desk, answers: dict[str, Any]) -> None:
    await desk.market("BUY", "0.01")
    async with desk.stream("/ws-fapi/v1") as api:

        async def ask(method: str, **params: Any) -> Any:
            answers[f"ws {method}"] = found = await api.command(method, _signed(desk, params), method)
            assert found["status"] == 200, found
            return found["result"]

        for method in REQUESTS:
            await ask(method, **({"symbol": "BTCUSDT"} if method == "depth" else {}))
        placed = await ask("order.place", price="49000.0", **LIMIT)
        named = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
        await ask("order.status", **named)
        await ask("order.modify", side="BUY", price="48000.0", quantity="0.010", **named)
        await ask("order.cancel", **named)
        await _bare(api, answers)


async def _bare(api: Stream, answers: dict[str, Any]) -> None:
    """One ticker of all: what requests without a symbol give."""
    answers["ws ticker.book one"] = await api.command("ticker.book", {"symbol": "BTCUSDT"}, "a")
    answers["ws ticker.price one"] = await api.command("ticker.price", {"symbol": "BTCUSDT"}, "b")


def _signed(desk: Desk, params: dict[str, Any]) -> dict[str, Any]:
    full = {"apiKey": desk.account["api_key"], "timestamp": round(time.time() * 1000), **params}
    payload = "&".join(f"{name}={full[name]}" for name in sorted(full))
    return {**full, "signature": desk.sign(payload)}
