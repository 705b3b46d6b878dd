"""What an account holds of contracts that are not traded here is read, and closed under the exchange's own name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.binance import samples as binance
from tests.exchanges.bybit import samples as bybit
from tests.exchanges.okx import samples as okx

from fundingarb.domain.order import NewOrder, OrderReport, OrderSide, OrderState, TimeInForce
from fundingarb.errors import OrderRefused
from fundingarb.exchanges.base import RestAdapter
from fundingarb.exchanges.parse import decode
from fundingarb.ports import AccountCredentials, OpenContext, SaysWhatItReads, Secret
from fundingarb.testing import FakeClock
from fundingarb_binance.adapter import BinanceAdapter
from fundingarb_binance.settings import BinanceSettings
from fundingarb_bybit.adapter import BybitAdapter
from fundingarb_bybit.settings import BybitSettings
from fundingarb_okx.adapter import OkxAdapter
from fundingarb_okx.settings import OkxSettings

pytestmark = pytest.mark.anyio

Opening = Callable[[OpenContext], RestAdapter]
#: exchange -> how it is opened, what it knows, its positions, its answer to an order, the name of what is held, what
#: the order has to ask for.
CASES: dict[str, tuple[Any, ...]] = {
    "binance": (
        lambda context: BinanceAdapter(BinanceSettings.model_validate({}), context), binance.known(),
        [{**binance.POSITION, "symbol": "BTCUSDC"}], {**binance.ORDER, "symbol": "BTCUSDC"}, "BTCUSDC",
        {"symbol": "BTCUSDC", "quantity": "0.25", "reduceOnly": "true", "type": "MARKET"},
    ),
    "bybit": (
        lambda context: BybitAdapter(BybitSettings.model_validate({}), context), bybit.known(),
        bybit.page({**bybit.POSITION, "symbol": "BTCUSDT-26DEC25"}), bybit.CREATED, "BTCUSDT-26DEC25",
        {"symbol": "BTCUSDT-26DEC25", "qty": "0.25", "reduceOnly": True, "category": "linear"},
    ),
    "okx": (
        lambda context: OkxAdapter(OkxSettings.model_validate({}), context), okx.known(),
        okx.answer({**okx.POSITION, "instId": "BTC-USD-SWAP", "pos": "-0.25", "mgnMode": "isolated"}), okx.PLACED,
        "BTC-USD-SWAP", {"instId": "BTC-USD-SWAP", "sz": "0.25", "reduceOnly": True, "tdMode": "isolated"},
    ),
}  # fmt: skip


@pytest.fixture(params=list(CASES))
async def case(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RestAdapter, tuple[Any, ...]]]:
    name = request.param
    keys = {key: Secret("k") for key in ("api_key", "api_secret", "api_passphrase")}
    endpoints = dict.fromkeys(("fapi", "rest"), "http://127.0.0.1:9")
    endpoints |= dict.fromkeys(("stream", "public", "private"), "ws://127.0.0.1:9")
    context = OpenContext(name, FakeClock(), "localnet", AccountCredentials(name, keys), endpoints=endpoints)
    opening, known = CASES[name][:2]
    async with opening(context) as adapter:
        adapter._instruments = adapter.contracts = known
        yield adapter, CASES[name][2:]


def answered(adapter: Any, monkeypatch: pytest.MonkeyPatch, positions: Any, placed: Any) -> list[Any]:
    """Reads are answered with positions, writes with an order; what was written."""
    written: list[Any] = []

    async def read(endpoint: str, kind: Any, params: Any = None) -> Any:
        return decode(kind, json.dumps(positions).encode(), endpoint)

    async def write(endpoint: str, kind: Any, params: Any, headers: Any = None) -> Any:
        written.append(params)
        return decode(kind, json.dumps(placed).encode(), endpoint)

    monkeypatch.setattr(adapter, "read", read)
    monkeypatch.setattr(adapter, "write", write)
    return written


def order(symbol: str, *, reduce_only: bool = True) -> NewOrder:
    return NewOrder(
        "faabcdefghijklmnopl1", symbol, OrderSide.BUY, Decimal("0.25"), None, TimeInForce.IOC, reduce_only
    )


async def test_it_is_read_and_closed(
    case: tuple[Any, tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, (positions, placed, name, asked) = case
    written = answered(adapter, monkeypatch, positions, placed)
    with pytest.raises(OrderRefused, match="lists no USDT perpetual"):
        await adapter.place_order(order(name))  # nobody has told of it
    (position,) = await adapter.get_positions()
    assert position.symbol == name
    assert abs(position.quantity) == Decimal("0.25")
    await adapter.place_order(order(name))
    assert asked.items() <= written[0].items()
    with pytest.raises(OrderRefused, match="lists no USDT perpetual"):
        await adapter.place_order(order(name, reduce_only=False))
    resting = OrderReport(
        adapter.account, name, None, "77", OrderState.OPEN, OrderSide.BUY, Decimal(1), Decimal(0)
    )
    assert await adapter.cancel_foreign(resting)
    assert name in written[1].values()


async def test_it_says_what_its_positions_are_of(case: tuple[Any, tuple[Any, ...]]) -> None:
    assert isinstance(case[0], SaysWhatItReads)
