"""Clients nobody here wrote trade on the Binance localnet, with nothing changed but where it is."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from tests.clients.conftest import Running
from tests.needs import need

from fundingarb.localnet.truth.types import LedgerKind

pytestmark = [
    pytest.mark.anyio,
    # the clients' own imports and sockets warn, which is not ours to mend
    pytest.mark.filterwarnings("ignore"),
]

SDK = "binance_sdk_derivatives_trading_usds_futures"
INSTALL = "pip install binance-sdk-derivatives-trading-usds-futures python-binance"
SYMBOL = "BTCUSDT"
SECONDS = 15.0
"""Longest wait for a stream message."""


@pytest.fixture(scope="module")
def exchange(localnets: Running) -> Any:
    return localnets.exchange("binance")


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK logs a warning for every field whose type is not the documented one; there must be none."""
    yield
    warnings = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= 30]
    assert warnings == []


async def until(found: Callable[[], bool]) -> None:
    """Wait for a stream to bring what a test waits for."""
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline, "the stream did not bring it"
        await asyncio.sleep(0.05)


# -- the official SDK ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdk(exchange: Any) -> Any:
    """``DerivativesTradingUsdsFutures`` of the first account."""
    need(importlib.util.find_spec(SDK), "Binance's official SDK", INSTALL)
    return make_sdk(exchange, exchange["accounts"][0])


def make_sdk(exchange: Any, account: Any, private_key: str | None = None) -> Any:
    from binance_common.configuration import (
        ConfigurationRestAPI,
        ConfigurationWebSocketAPI,
        ConfigurationWebSocketStreams,
    )
    from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
        DerivativesTradingUsdsFutures,
    )

    keys = {"api_key": account["api_key"], "api_secret": account["api_secret"]}
    if private_key is not None:
        keys = {"api_key": account["credentials"]["ed25519_api_key"], "private_key": private_key}
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(base_path=exchange["rest"], **keys),
        config_ws_api=ConfigurationWebSocketAPI(stream_url=exchange["endpoints"]["ws_api"], **keys),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=exchange["ws"]),
    )


def mid(rest: Any) -> Decimal:
    book = rest.order_book(symbol=SYMBOL, limit=5).data()
    return (Decimal(book.bids[0][0]) + Decimal(book.asks[0][0])) / 2


def below(rest: Any) -> float:
    """A price that rests and does not trade."""
    return float((mid(rest) * Decimal("0.98")).quantize(Decimal("0.1")))


def test_sdk_reads_instruments_and_rates(sdk: Any, quiet: None) -> None:
    rest = sdk.rest_api
    info = rest.exchange_information().data()
    btc = next(one for one in info.symbols if one.symbol == SYMBOL)
    filters = {one.filter_type: one for one in btc.filters}
    assert btc.status == "TRADING"
    assert Decimal(filters["PRICE_FILTER"].tick_size) == Decimal("0.1")
    assert Decimal(filters["LOT_SIZE"].step_size) == Decimal("0.001")
    assert Decimal(filters["MIN_NOTIONAL"].notional) == 100

    prices = rest.mark_price().data().actual_instance
    assert {one.symbol for one in prices} == {one.symbol for one in info.symbols}
    one = rest.mark_price(symbol=SYMBOL).data().actual_instance
    assert abs(Decimal(one.last_funding_rate)) < Decimal("0.003")
    assert one.next_funding_time > one.time

    adjusted = rest.get_funding_rate_info().data()
    assert adjusted
    assert SYMBOL not in {one.symbol for one in adjusted}
    assert {one.funding_interval_hours for one in adjusted} <= {1, 2, 4}


def test_sdk_reads_history_and_book(sdk: Any, quiet: None) -> None:
    rest = sdk.rest_api
    rows = rest.get_funding_rate_history(symbol=SYMBOL, limit=10).data()
    times = [row.funding_time for row in rows]
    assert times == sorted(times)
    assert len(times) == 10
    assert {later - earlier for earlier, later in pairwise(times)} == {8 * 3_600_000}

    book = rest.order_book(symbol=SYMBOL, limit=20).data()
    bids = [Decimal(price) for price, _ in book.bids]
    asks = [Decimal(price) for price, _ in book.asks]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert len(rest.kline_candlestick_data(symbol=SYMBOL, interval="1m", limit=5).data()) == 5


def test_sdk_reads_the_account(sdk: Any, localnets: Running, exchange: Any, quiet: None) -> None:
    rest = sdk.rest_api
    name = exchange["accounts"][0]["name"]
    wallet = localnets.inside(lambda net: net.truth("binance").state(name).wallet)
    assert Decimal(rest.futures_account_balance_v3().data()[0].balance) == wallet
    assert Decimal(rest.account_information_v3().data().total_wallet_balance) == wallet
    assert Decimal(rest.account_information_v2().data().total_wallet_balance) == wallet
    assert rest.get_current_position_mode().data().dual_side_position is False
    assert rest.user_commission_rate(symbol=SYMBOL).data().taker_commission_rate == "0.0005"
    brackets = rest.notional_and_leverage_brackets(symbol=SYMBOL).data().actual_instance[0].brackets
    assert [one.bracket for one in brackets] == list(range(1, len(brackets) + 1))


def test_sdk_sets_leverage(sdk: Any, quiet: None) -> None:
    rest = sdk.rest_api
    assert rest.change_initial_leverage(symbol=SYMBOL, leverage=7).data().leverage == 7
    assert rest.symbol_configuration(symbol=SYMBOL).data()[0].leverage == 7
    assert rest.change_initial_leverage(symbol=SYMBOL, leverage=7).data().leverage == 7


def test_sdk_limit_order(sdk: Any, quiet: None) -> None:
    from binance_common.errors import BadRequestError

    rest = sdk.rest_api
    placed = rest.new_order(
        symbol=SYMBOL,
        side="BUY",
        type="LIMIT",
        time_in_force="GTC",
        quantity=0.01,
        price=below(rest),
        new_client_order_id="sdk-limit",
    ).data()
    assert (placed.status, placed.orig_qty) == ("NEW", "0.010")
    found = rest.query_order(symbol=SYMBOL, orig_client_order_id="sdk-limit").data()
    assert found.order_id == placed.order_id
    assert [one.order_id for one in rest.current_all_open_orders(symbol=SYMBOL).data()] == [placed.order_id]
    cancelled = rest.cancel_order(symbol=SYMBOL, order_id=placed.order_id).data()
    assert cancelled.status == "CANCELED"
    with pytest.raises(BadRequestError) as refused:
        rest.cancel_order(symbol=SYMBOL, order_id=placed.order_id)
    assert refused.value.status_code == -2011


def test_sdk_market_orders_positions_and_fills(sdk: Any, quiet: None) -> None:
    rest = sdk.rest_api
    bought = rest.new_order(
        symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.02, new_order_resp_type="RESULT"
    ).data()
    assert (bought.status, bought.executed_qty) == ("FILLED", "0.020")
    position = rest.position_information_v3(symbol=SYMBOL).data()[0]
    assert position.position_amt == "0.020"
    assert rest.position_information_v2(symbol=SYMBOL).data()[0].position_amt == "0.020"
    sold = rest.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.02, reduce_only="true").data()
    assert sold.status == "NEW"  # an ACK tells nothing of the fill
    assert rest.query_order(symbol=SYMBOL, order_id=sold.order_id).data().status == "FILLED"
    assert rest.position_information_v3(symbol=SYMBOL).data() == []

    fills = rest.account_trade_list(symbol=SYMBOL).data()
    mine = [one for one in fills if one.order_id in (bought.order_id, sold.order_id)]
    assert sum(Decimal(one.qty) for one in mine) == Decimal("0.04")
    rows = rest.get_income_history(symbol=SYMBOL, limit=1000).data()
    ids = {str(one.id) for one in mine}
    paid = sum(Decimal(row.income) for row in rows if row.trade_id in ids and row.income_type == "COMMISSION")
    made = sum(
        Decimal(row.income) for row in rows if row.trade_id in ids and row.income_type == "REALIZED_PNL"
    )
    assert paid == -sum(Decimal(one.commission) for one in mine)
    assert made == sum(Decimal(one.realized_pnl) for one in mine)


CONDITIONAL = "only on conditional orders, which are the algo service's"
COIN = "only on coin-margined contracts"
UNSET = {
    # field of the SDK's models that no answer fills -> reason
    **{
        f"{model}Response.{field}": CONDITIONAL
        for model in ("CancelOrder", "QueryOrder", "AllOrders", "CurrentAllOpenOrders")
        for field in ("activatePrice", "priceRate")
    },
    "OrderTradeUpdate.o.AP": CONDITIONAL,
    "OrderTradeUpdate.o.cr": CONDITIONAL,
    "AllOrdersResponse.cumBase": COIN,
    "AllOrdersResponse.pair": COIN,
    "AccountTradeListResponse.baseQty": COIN,
    "AccountTradeListResponse.pair": COIN,
    "PositionAdlQuantileEstimationResponse.adlQuantile.HEDGE": "only for a crossed position in hedge mode",
    "OrderTradeUpdate.o.M": "only when the request carried a modifyId",
    "AccountUpdate.a.S": "only with funding",
}


def unset(models: Any, path: str) -> Iterator[str]:
    """Fields of a pydantic model (or of every one in a list) that nothing fills."""
    rows = models if isinstance(models, list) else [models]
    for name, declared in type(rows[0]).model_fields.items():
        if name == "additional_properties":
            continue
        inner = f"{path}.{declared.alias or name}"
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        values = [one for value in values for one in (value if isinstance(value, list) else [value])]
        if not values and all(getattr(row, name) is None for row in rows):
            yield inner
        elif values and hasattr(values[0], "model_fields"):
            yield from unset(values, inner)


def incomplete(models: Any) -> set[str]:
    found = models if isinstance(models, list) else [models]
    found = [getattr(one, "actual_instance", None) or one for one in found]
    found = found[0] if isinstance(found[0], list) else found
    return set(unset(found, type(found[0]).__name__)) - set(UNSET)


def test_sdk_models_are_filled(sdk: Any) -> None:
    """No field that the SDK declares stays empty, but for those with a reason."""
    rest = sdk.rest_api
    resting = rest.new_order(
        symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01, price=below(rest)
    ).data()
    rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    named = {"symbol": SYMBOL, "order_id": resting.order_id}
    answers = [
        resting,
        rest.query_order(**named).data(),
        rest.current_all_open_orders(symbol=SYMBOL).data(),
        rest.all_orders(symbol=SYMBOL).data(),
        rest.account_trade_list(symbol=SYMBOL).data(),
        rest.get_income_history().data(),
        rest.position_information_v2(symbol=SYMBOL).data(),
        rest.position_information_v3(symbol=SYMBOL).data(),
        rest.position_adl_quantile_estimation(symbol=SYMBOL).data(),
        rest.account_information_v2().data(),
        rest.account_information_v3().data(),
        rest.futures_account_balance_v3().data(),
        rest.futures_account_configuration().data(),
        rest.symbol_configuration(symbol=SYMBOL).data(),
        rest.user_commission_rate(symbol=SYMBOL).data(),
        rest.notional_and_leverage_brackets(symbol=SYMBOL).data(),
        rest.mark_price(symbol=SYMBOL).data(),
        rest.get_funding_rate_history(symbol=SYMBOL).data(),
        rest.get_funding_rate_info().data(),
        rest.order_book(symbol=SYMBOL).data(),
        rest.symbol_order_book_ticker(symbol=SYMBOL).data(),
        rest.ticker24hr_price_change_statistics(symbol=SYMBOL).data(),
        rest.recent_trades_list(symbol=SYMBOL).data(),
        rest.adl_risk(symbol=SYMBOL).data(),
        rest.cancel_order(**named).data(),
    ]
    rest.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01, reduce_only="true")
    assert set().union(*(incomplete(answer) for answer in answers)) == set()
    info = rest.exchange_information().data()
    assert incomplete(info.symbols) == set()
    assert incomplete(info.assets) == set()


async def test_sdk_streams(sdk: Any, quiet: None) -> None:
    from binance_sdk_derivatives_trading_usds_futures.websocket_streams.models import (
        AccountUpdate,
        OrderTradeUpdate,
        TradeLite,
    )

    streams, rest = sdk.websocket_streams, sdk.rest_api
    listen_key = (await asyncio.to_thread(rest.start_user_data_stream)).data().listen_key
    got: dict[str, list[Any]] = {}

    def keep(name: str) -> Callable[[Any], None]:
        return lambda message: got.setdefault(name, []).append(message)

    await streams.create_connection()
    try:
        for name, handle in (
            ("mark", streams.mark_price_stream(symbol="btcusdt", update_speed="1s")),
            ("marks", streams.mark_price_stream_for_all_market(update_speed="1s")),
            ("quote", streams.individual_symbol_book_ticker_streams(symbol="btcusdt")),
            ("changes", streams.diff_book_depth_streams(symbol="btcusdt", update_speed="100ms")),
            ("top", streams.partial_book_depth_streams(symbol="btcusdt", levels=20, update_speed="100ms")),
            ("candle", streams.kline_candlestick_streams(symbol="btcusdt", interval="1m")),
            ("trade", streams.aggregate_trade_streams(symbol="btcusdt")),
            ("user", streams.user_data(listen_key)),
        ):
            (await handle).on("message", keep(name))
        await asyncio.to_thread(
            rest.new_order, symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01, reduce_only="false"
        )
        await asyncio.to_thread(
            rest.new_order, symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01, reduce_only="true"
        )
        await until(lambda: len(got) == 8 and len(got["user"]) >= 8)
    finally:
        await streams.close_connection(close_session=True)

    assert abs(float(got["mark"][0].r)) < 0.003
    assert len(got["marks"][0]) > 5
    assert Decimal(got["quote"][0].b) < Decimal(got["quote"][0].a)
    assert len(got["top"][0].b) == 20
    chain = got["changes"]
    assert all(later.pu == earlier.u for earlier, later in pairwise(chain))
    events = [message.actual_instance for message in got["user"]]
    assert {type(event) for event in events} == {OrderTradeUpdate, AccountUpdate, TradeLite}
    for name, messages in got.items():
        if name != "user":
            assert incomplete(messages[0]) == set(), name
    for kind in (OrderTradeUpdate, AccountUpdate, TradeLite):
        assert incomplete([event for event in events if isinstance(event, kind)]) == set()
    orders = [event.o for event in events if isinstance(event, OrderTradeUpdate)]
    assert [(one.x, one.X) for one in orders] == [("NEW", "NEW"), ("TRADE", "FILLED")] * 2


@asynccontextmanager
async def ws_api(client: Any) -> AsyncIterator[Any]:
    api = client.websocket_api
    await api.create_connection()
    try:
        yield api
    finally:
        await api.close_connection(close_session=True)


async def test_sdk_websocket_orders(sdk: Any, quiet: None) -> None:
    price = below(sdk.rest_api)
    async with ws_api(sdk) as api:
        placed = (
            await api.new_order(
                symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01, price=price
            )
        ).data()
        assert placed.result.status == "NEW"
        assert [one.count for one in placed.rate_limits if one.rate_limit_type == "ORDERS"]
        order_id = placed.result.order_id
        assert (await api.query_order(symbol=SYMBOL, order_id=order_id)).data().result.order_id == order_id
        cancelled = (await api.cancel_order(symbol=SYMBOL, order_id=order_id)).data()
        assert cancelled.result.status == "CANCELED"
        assert (await api.account_information_v2()).data().result.assets[0].asset == "USDT"


async def test_sdk_signs_with_an_ed25519_key(exchange: Any, sdk: Any, tmp_path: Any, quiet: None) -> None:
    account = exchange["accounts"][1]
    pem = tmp_path / "key.pem"
    pem.write_text(account["credentials"]["ed25519_private_key"])
    client = make_sdk(exchange, account, str(pem))
    assert client.rest_api.futures_account_balance_v3().data()[0].asset == "USDT"
    async with ws_api(client) as api:
        placed = (await api.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)).data()
        assert placed.result.symbol == SYMBOL


# -- python-binance ------------------------------------------------------------------------------------------------


@pytest.fixture
async def community(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """python-binance's ``AsyncClient`` of the second account."""
    need(importlib.util.find_spec("binance"), "python-binance", INSTALL)
    from binance import AsyncClient, BinanceSocketManager

    rest, ws = exchange["rest"], exchange["ws"]
    monkeypatch.setattr(AsyncClient, "API_URL", f"{rest}/api")
    monkeypatch.setattr(AsyncClient, "FUTURES_URL", f"{rest}/fapi")
    monkeypatch.setattr(AsyncClient, "FUTURES_DATA_URL", f"{rest}/futures/data")
    monkeypatch.setattr(AsyncClient, "WS_FUTURES_URL", exchange["endpoints"]["ws_api"])
    monkeypatch.setattr(BinanceSocketManager, "FSTREAM_URL", f"{ws}/")
    account = exchange["accounts"][1]
    client = await AsyncClient.create(account["api_key"], account["api_secret"])
    try:
        yield client
    finally:
        await client.close_connection()


async def resting_price(client: Any) -> str:
    book = await client.futures_order_book(symbol=SYMBOL, limit=5)
    return str((Decimal(book["bids"][0][0]) * Decimal("0.98")).quantize(Decimal("0.1")))


async def test_python_binance_reads_the_market(community: Any) -> None:
    info = await community.futures_exchange_info()
    btc = next(one for one in info["symbols"] if one["symbol"] == SYMBOL)
    assert btc["contractType"] == "PERPETUAL"
    mark = await community.futures_mark_price(symbol=SYMBOL)
    assert abs(Decimal(mark["lastFundingRate"])) < Decimal("0.003")
    rows = await community.futures_funding_rate(symbol=SYMBOL, limit=3)
    assert [row["symbol"] for row in rows] == [SYMBOL] * 3
    book = await community.futures_order_book(symbol=SYMBOL, limit=10)
    assert len(book["bids"]) == len(book["asks"]) == 10


async def test_python_binance_trades(community: Any) -> None:
    from binance.exceptions import BinanceAPIException

    changed = await community.futures_change_leverage(symbol=SYMBOL, leverage=5)
    assert changed["leverage"] == 5
    placed = await community.futures_create_order(
        symbol=SYMBOL,
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.01",
        price=await resting_price(community),
    )
    wanted = {"symbol": SYMBOL, "orderId": placed["orderId"]}
    assert (await community.futures_get_order(**wanted))["status"] == "NEW"
    assert [one["orderId"] for one in await community.futures_get_open_orders(symbol=SYMBOL)] == [
        placed["orderId"]
    ]
    assert (await community.futures_cancel_order(**wanted))["status"] == "CANCELED"
    with pytest.raises(BinanceAPIException) as refused:
        await community.futures_cancel_order(**wanted)
    assert refused.value.code == -2011

    before = await held(community)
    bought = await community.futures_create_order(
        symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.03", newOrderRespType="RESULT"
    )
    assert bought["status"] == "FILLED"
    assert await held(community) - before == Decimal("0.030")
    fills = await community.futures_account_trades(symbol=SYMBOL)
    assert sum(Decimal(one["qty"]) for one in fills if one["orderId"] == bought["orderId"]) == Decimal("0.03")
    balance = await community.futures_account_balance()
    wallet = (await community.futures_account())["totalWalletBalance"]
    assert balance[0]["balance"] == wallet


async def held(client: Any) -> Decimal:
    rows = await client.futures_position_information(symbol=SYMBOL)
    return sum((Decimal(row["positionAmt"]) for row in rows), start=Decimal(0))


async def test_python_binance_streams(community: Any) -> None:
    from binance import BinanceSocketManager

    manager = BinanceSocketManager(community)
    async with manager.symbol_mark_price_socket(SYMBOL) as prices:
        message = await asyncio.wait_for(prices.recv(), SECONDS)
        assert message["data"]["s"] == SYMBOL
    async with manager.symbol_ticker_futures_socket(SYMBOL) as quotes:
        message = await asyncio.wait_for(quotes.recv(), SECONDS)
        assert Decimal(message["data"]["b"]) < Decimal(message["data"]["a"])
    async with manager.futures_user_socket() as user:
        await community.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01")
        kinds = [(await asyncio.wait_for(user.recv(), SECONDS))["e"] for _ in range(4)]
    assert kinds == ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"]


async def test_python_binance_websocket_orders(community: Any) -> None:
    placed = await community.ws_futures_create_order(
        symbol=SYMBOL,
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.01",
        price=await resting_price(community),
    )
    assert placed["status"] == "NEW"
    found = await community.ws_futures_get_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert found["clientOrderId"] == placed["clientOrderId"]
    cancelled = await community.ws_futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert cancelled["status"] == "CANCELED"


# -- funding: last, because the exchange runs ahead of the wall clock afterwards --------------------------------------


def test_sdk_reads_funding_income(sdk: Any, localnets: Running, exchange: Any, quiet: None) -> None:
    rest = sdk.rest_api
    rest.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.05)
    localnets.settle("binance", SYMBOL)
    rows = rest.get_income_history(income_type="FUNDING_FEE").data()
    name = exchange["accounts"][0]["name"]
    posted = localnets.inside(lambda net: net.truth("binance").ledger(name, kinds=[LedgerKind.FUNDING_FEE]))
    assert [(row.symbol, Decimal(row.income)) for row in rows] == [
        (row.instrument, row.amount) for row in posted
    ]
    assert len(rows) == 1
    history = rest.get_funding_rate_history(symbol=SYMBOL, limit=1).data()[0]
    # the short received: quantity x mark x rate
    expected = Decimal("0.05") * Decimal(history.mark_price) * Decimal(history.funding_rate)
    assert abs(Decimal(rows[0].income) - expected) < Decimal("0.00000002")
    rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.05, reduce_only="true")


async def test_python_binance_reads_funding_income(community: Any, localnets: Running, exchange: Any) -> None:
    await community.futures_create_order(symbol="ETHUSDT", side="SELL", type="MARKET", quantity="0.5")
    localnets.settle("binance", "ETHUSDT")
    rows = await community.futures_income_history(symbol="ETHUSDT", incomeType="FUNDING_FEE")
    name = exchange["accounts"][1]["name"]
    posted = localnets.inside(lambda net: net.truth("binance").funding_payments(name, instrument="ETHUSDT"))
    assert [Decimal(row["income"]) for row in rows] == [one.amount for one in posted]
    assert len(rows) == 1
