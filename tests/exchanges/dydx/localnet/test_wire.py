"""Field by field: what the offline dYdX says beside what others recorded and what the documents name.

No field of a sample may be missing and none may have another JSON type, apart from the reasoned exceptions below.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest
from tests.exchanges.dydx.localnet.venue import BUY, IOC, Dydx, Socket, serve

pytestmark = pytest.mark.anyio

LEFT_OUT = {
    "v4_markets.contents.trading.*.*": "a message has the fields that changed; recorded ones name what never does",
    "v4_subaccounts.contents.fills[].eventId": "was a buffer in 2023, is hexadecimal since",
    "v4_subaccounts.contents.tradingReward": "rewards are not offered",
}
"""Path of a field (``*``: all of them) that samples have and the localnet does not send -> why."""
NAMES = ("id", "orderId", "connection_id", "last_block_app_hash", "hash")
"""Strings that may look like a number."""
KEYED = ("markets", "oraclePrices", "trading", "openPerpetualPositions", "assetPositions")
"""Objects that have a ticker or an asset for a key."""

REST: dict[str, list[str]] = {
    "GET /v4/time": ["nautilus-http_get_time", "fetch_time"],
    "GET /v4/height": ["nautilus-http_get_block_height"],
    "GET /v4/perpetualMarkets": [
        "nautilus-http_get_perpetual_markets",
        "nautilus-old-http-list_perpetual_markets_empty_oracle_price",
        "fetch_markets",
    ],
    "GET /v4/orderbooks/perpetualMarket/BTC-USD": ["nautilus-http_get_orderbook", "fetch_order_book"],
    "GET /v4/historicalFunding/BTC-USD": ["fetch_funding_rate_history"],
    "GET /v4/trades/perpetualMarket/BTC-USD": ["fetch_trades"],
    "GET /v4/candles/perpetualMarkets/BTC-USD": ["fetch_ohlcv"],
    "GET /v4/fills": ["nautilus-http_get_fills", "nautilus-old-http-fills", "nautilus-old-http-v4_fills"],
    "GET /v4/orders long": ["fetch_orders"],
    "GET /v4/orders short": ["nautilus-old-http-orders"],
    "GET /v4/perpetualPositions": ["fetch_positions", "nautilus-old-http-list_perpetual_positions"],
    "GET /v4/assetPositions": ["nautilus-old-http-asset_positions"],
    "GET /v4/addresses": ["fetch_accounts"],
    "GET /v4/addresses/subaccountNumber": ["fetch_balance"],
    "GET /abci_info": ["fetch_latest_block_height"],
    "GET /cosmos/auth/v1beta1/account_info": [],
    "broadcast_tx_sync": ["create_order", "cancel_order"],
}
STREAMS: dict[str, list[str]] = {
    "v4_subaccounts opened": ["nautilus-old-websocket-v4_accounts_channel_data_order_opened"],
    "v4_subaccounts order": ["nautilus-old-websocket-v4_accounts_channel_data_order"],
    "v4_subaccounts canceled": ["nautilus-old-websocket-v4_accounts_channel_data_order_canceled"],
    "v4_subaccounts fills": ["nautilus-old-websocket-v4_accounts_channel_data"],
    "v4_subaccounts transfers": ["nautilus-old-websocket-v4_accounts_channel_data_transfers"],
    "v4_markets oracle": ["nautilus-ws_markets_update", "nautilus-old-websocket-v4_markets_oracle_price"],
    "v4_markets trading": ["nautilus-ws_markets_status_update"],
    "v4_orderbook": ["nautilus-ws_orderbook_update"],
    "v4_orderbook batched": ["nautilus-old-websocket-v4_orderbook_batched_data"],
    "v4_trades": ["nautilus-old-websocket-v4_trades", "nautilus-ws_trades_update"],
    "v4_block_height": [
        "nautilus-ws_block_height_update",
        "nautilus-old-websocket-v4_block_height_channel_data",
    ],
    "v4_candles": ["handle_ohlcv"],
    "unsubscribed": ["nautilus-old-websocket-unsubscribed"],
    "error": ["nautilus-old-websocket-error", "handle_error_message"],
}


# -- samples -----------------------------------------------------------------------------------------------------


def samples(wire: Path, name: str) -> list[Any]:
    """A recorded file, or the samples that ccxt has under a method's name."""
    if name.startswith("nautilus"):
        found = json.loads((wire / "dydx" / f"{name}.json").read_text())
        return [found["result"] if isinstance(found, dict) and "requestId" in found else found]
    both = [
        one
        for kind in ("rest", "ws")
        for one in json.loads((wire / "dydx" / f"ccxt-docsamples-{kind}.json").read_text())
    ]
    chosen = [one["sample"] for one in both if one["method"] == name]
    # the first message of a channel is another matter than the changes
    return [one for one in chosen if not isinstance(one, dict) or one.get("type") != "subscribed"]


# -- comparing ---------------------------------------------------------------------------------------------------


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", dict: "object", list: "array", type(None): "null"}[type(value)]


def is_decimal(value: str) -> bool:
    try:
        Decimal(value)
    except InvalidOperation:
        return False
    return True


def excused(path: str) -> bool:
    return path in LEFT_OUT or f"{path.rpartition('.')[0]}.*" in LEFT_OUT


def like(sample: Any, ours: list[Any]) -> Any:
    """The first of ours that has everything the sample has, or the first."""
    if not isinstance(sample, dict):
        return ours[0]
    return next((one for one in ours if set(sample) <= set(one)), ours[0])


def differences(sample: Any, ours: Any, path: str) -> Iterator[str]:
    """What a reader of the sample would miss in ours."""
    if "null" in (kind(sample), kind(ours)) or excused(path):
        return
    if kind(sample) != kind(ours):
        yield f"{path}: {kind(sample)} in the sample, {kind(ours)} here"
    elif isinstance(sample, dict) and path.rpartition(".")[2] in KEYED:
        if sample and ours:
            yield from differences(next(iter(sample.values())), next(iter(ours.values())), f"{path}.*")
    elif isinstance(sample, dict):
        for key, value in sample.items():
            if key in ours:
                yield from differences(value, ours[key], f"{path}.{key}")
            elif value is not None and not excused(f"{path}.{key}"):
                yield f"{path}.{key}: missing"
    elif isinstance(sample, list):
        if sample and not ours:
            yield f"{path}: empty here"
        elif sample:
            yield from differences(sample[0], like(sample[0], ours), f"{path}[]")
    elif (
        isinstance(sample, str)
        and path.rpartition(".")[2] not in NAMES
        and is_decimal(sample) != is_decimal(ours)
    ):
        yield f"{path}: {sample!r} in the sample, {ours!r} here"


def check(where: str, sample: Any, ours: Any) -> None:
    found = list(differences(sample, ours, where))
    assert found == [], "\n".join(found)


# -- our side ----------------------------------------------------------------------------------------------------


class Said:
    """Everything the localnet said in the story below."""

    def __init__(self) -> None:
        self.rest: dict[str, Any] = {}
        self.stream: list[dict[str, Any]] = []

    def message(self, test: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return next(message for message in self.stream if test(message))

    def about(self, name: str) -> dict[str, Any]:
        """The message that shows what a name of ``STREAMS`` asks for."""
        channel, _, what = name.partition(" ")
        if channel in ("unsubscribed", "error"):
            return self.message(lambda m: m["type"] == channel)
        statuses = {"opened": "BEST_EFFORT_OPENED", "order": "OPEN", "canceled": "CANCELED"}
        keys = {"fills": "fills", "transfers": "transfers", "oracle": "oraclePrices", "trading": "trading"}

        def fits(message: dict[str, Any]) -> bool:
            if message.get("channel") != channel or message["type"] == "subscribed":
                return False
            contents: Any = message.get("contents")
            if what in statuses:
                orders = contents.get("orders", [{}]) if isinstance(contents, dict) else [{}]
                return bool(orders[0].get("status") == statuses[what] and "fills" not in contents)
            if what in keys:
                return bool(keys[what] in contents)
            if what == "batched":
                batched = message["type"] == "channel_batch_data"
                return batched and any("bids" in one for one in contents)
            if channel == "v4_orderbook":
                return bool(message["type"] == "channel_data" and "bids" in contents)
            return bool(message["type"] == "channel_data")

        found = self.message(fits)
        if channel == "v4_orderbook" and not what:
            # sides come one by one
            asks = self.message(
                lambda m: m.get("channel") == channel and "asks" in m["contents"] and m is not found
            )
            return found | {"contents": found["contents"] | asks["contents"]}
        return found


async def drain(said: Said, *sockets: Socket) -> None:
    """Everything that has been sent up to a pong."""
    for socket in sockets:
        await socket.send(type="ping", id=9)
        while (message := await socket.next())["type"] != "pong":
            said.stream.append(message)


async def story(dydx: Dydx, said: Said) -> None:
    async def read(name: str, path: str, *, own: bool = False, **params: Any) -> None:
        said.rest[name] = await (dydx.mine(path, **params) if own else dydx.get(path, **params))

    address = dydx.main.address
    await dydx.order(1, BUY, "2", "1010", tif=IOC, metadata=1)
    dydx.block()
    first, second = await dydx.connect(), await dydx.connect()
    await first.subscribe("v4_markets")
    for channel, name in (
        ("v4_subaccounts", f"{address}/0"),
        ("v4_orderbook", "BTC-USD"),
        ("v4_trades", "BTC-USD"),
        ("v4_candles", "BTC-USD/1MIN"),
        ("v4_block_height", "v4_block_height"),
    ):
        await first.subscribe(channel, name)
    await second.subscribe("v4_orderbook", "BTC-USD", batched=True)
    await dydx.order(2, BUY, "1", "1010", tif=IOC)
    dydx.block()
    await dydx.order(3, BUY, "1", "950", time=dydx.now + 600)
    dydx.block()
    cancel = dydx.main.cancel(3, time=dydx.now + 700)
    said.rest["broadcast_tx_sync"] = {
        "jsonrpc": "2.0",
        "id": -1,
        "result": await dydx.broadcast(dydx.main.sign(cancel, sequence=dydx.sequence())),
    }
    dydx.truth.transfer("main", Decimal(-10))
    dydx.model.price = 1001.0
    dydx.model.rate = 0.0009
    dydx.wait(6)
    await drain(said, first, second)
    said.stream.append(await first.ask(type="unsubscribe", channel="v4_trades", id="BTC-USD"))
    said.stream.append(await first.ask(type="subscribe", channel="v4_nothing"))
    for name, path in (
        ("GET /v4/time", "/v4/time"),
        ("GET /v4/height", "/v4/height"),
        ("GET /v4/perpetualMarkets", "/v4/perpetualMarkets"),
        ("GET /v4/orderbooks/perpetualMarket/BTC-USD", "/v4/orderbooks/perpetualMarket/BTC-USD"),
        ("GET /v4/historicalFunding/BTC-USD", "/v4/historicalFunding/BTC-USD"),
        ("GET /v4/trades/perpetualMarket/BTC-USD", "/v4/trades/perpetualMarket/BTC-USD"),
        ("GET /v4/addresses", f"/v4/addresses/{address}"),
        ("GET /v4/addresses/subaccountNumber", f"/v4/addresses/{address}/subaccountNumber/0"),
        ("GET /abci_info", "/abci_info"),
        ("GET /cosmos/auth/v1beta1/account_info", f"/cosmos/auth/v1beta1/account_info/{address}"),
    ):
        await read(name, path)
    candles = "/v4/candles/perpetualMarkets/BTC-USD"
    await read("GET /v4/candles/perpetualMarkets/BTC-USD", candles, resolution="1MIN")
    for name in ("fills", "perpetualPositions", "assetPositions"):
        await read(f"GET /v4/{name}", f"/v4/{name}", own=True)
    rows = await dydx.orders()
    said.rest["GET /v4/orders long"] = [row for row in rows if row["orderFlags"] == "64"]
    said.rest["GET /v4/orders short"] = [row for row in rows if row["orderFlags"] == "0"]


@pytest.fixture(scope="module")
async def said() -> Said:
    found = Said()
    async with serve() as dydx:
        dydx.book([("990", "500")], [("1010", "500")])
        await story(dydx, found)
    return found


@pytest.mark.parametrize(
    ("where", "name"), [(where, name) for where, names in REST.items() for name in names]
)
async def test_rest(wire_dir: Path, said: Said, where: str, name: str) -> None:
    found = samples(wire_dir, name)
    assert found, f"no sample {name}"
    for sample in found:
        check(where, sample, said.rest[where])


@pytest.mark.parametrize(
    ("where", "name"), [(where, name) for where, names in STREAMS.items() for name in names]
)
async def test_streams(wire_dir: Path, said: Said, where: str, name: str) -> None:
    found = samples(wire_dir, name)
    assert found, f"no sample {name}"
    for sample in found:
        check(where.partition(" ")[0], sample, said.about(where))


RESPONSES = {
    "GET /v4/time": "TimeResponse",
    "GET /v4/height": "HeightResponse",
    "GET /v4/orderbooks/perpetualMarket/BTC-USD": "OrderbookResponseObject",
    "GET /v4/historicalFunding/BTC-USD": "HistoricalFundingResponse",
    "GET /v4/trades/perpetualMarket/BTC-USD": "TradeResponse",
    "GET /v4/candles/perpetualMarkets/BTC-USD": "CandleResponse",
    "GET /v4/fills": "FillResponse",
    "GET /v4/perpetualPositions": "PerpetualPositionResponse",
    "GET /v4/assetPositions": "AssetPositionResponse",
    "GET /v4/addresses": "AddressResponse",
}
"""Answers and their schemas in the indexer's own OpenAPI document."""


def violations(schema: dict[str, Any], value: Any, schemas: dict[str, Any], path: str) -> Iterator[str]:
    """Required fields that are missing, types and words that do not fit."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for part in schema.get("allOf", []):
        if value is not None:
            yield from violations(part, value, schemas, path)
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    wanted = schema.get("type")
    if wanted == "array":
        for one in value:
            yield from violations(schema["items"], one, schemas, f"{path}[]")
    elif wanted == "object":
        for name in schema.get("required", []):
            if name not in value:
                yield f"{path}.{name}: missing"
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from violations(inner, value[name], schemas, f"{path}.{name}")
    elif wanted in ("string", "number", "integer", "boolean") and value is not None:
        kinds = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}
        if kind(value) != kinds[wanted]:
            yield f"{path}: {kind(value)} where the schema has {wanted}"


@pytest.mark.parametrize(("where", "schema"), RESPONSES.items())
async def test_schemas(wire_dir: Path, said: Said, where: str, schema: str) -> None:
    document = json.loads((wire_dir / "dydx" / "v4chain-indexer-swagger.json").read_text())
    schemas = document["components"]["schemas"]
    found = list(violations({"$ref": f"#/{schema}"}, said.rest[where], schemas, where))
    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    ("where", "schema"),
    [
        ("GET /v4/orders long", "OrderResponseObject"),
        ("GET /v4/orders short", "OrderResponseObject"),
        ("GET /v4/perpetualMarkets", "PerpetualMarketResponseObject"),
    ],
)
async def test_rows(wire_dir: Path, said: Said, where: str, schema: str) -> None:
    document = json.loads((wire_dir / "dydx" / "v4chain-indexer-swagger.json").read_text())
    schemas = document["components"]["schemas"]
    answer = said.rest[where]
    rows = answer if isinstance(answer, list) else list(answer["markets"].values())
    assert rows
    for row in rows:
        assert list(violations({"$ref": f"#/{schema}"}, row, schemas, where)) == []


def test_codes_are_those_of_the_chain(wire_dir: Path) -> None:
    """Numbers and texts of the order book's refusals."""
    from fundingarb_dydx.localnet.codes import _CLOB

    table = json.loads((wire_dir / "dydx" / "v4chain-tx-error-codes.json").read_text())
    known = {row["code"]: row["message"] for row in table if row["codespace"] == "clob"}
    assert {code: known[code] for code in _CLOB} == _CLOB


def test_removal_reasons_are_those_of_the_indexer(wire_dir: Path) -> None:
    from fundingarb_dydx.localnet.orders import _REMOVALS

    found = json.loads((wire_dir / "dydx" / "v4chain-order-removal-reasons.json").read_text())
    known = {name.removeprefix("ORDER_REMOVAL_REASON_") for name, _ in found["enum"]}
    assert set(_REMOVALS.values()) <= known
