"""pybit, Bybit's own SDK, trades on the Bybit localnet, with nothing changed but where it is."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from tests.clients.conftest import Running
from tests.needs import need

from fundingarb.localnet.faults import Fault, FaultKind
from fundingarb.localnet.run import Localnet

pytestmark = [
    # the client's own threads and sockets warn, which is not ours to mend
    pytest.mark.filterwarnings("ignore"),
]

SYMBOL = "BTCUSDT"
LINEAR = {"category": "linear", "symbol": SYMBOL}
SECONDS = 15.0
"""Longest wait for a stream message."""
D = Decimal


@pytest.fixture(scope="module")
def exchange(localnets: Running) -> Any:
    return localnets.exchange("bybit")


@pytest.fixture(scope="module", autouse=True)
def pointed(exchange: Any) -> Iterator[None]:
    """pybit's addresses, which are constants of its modules."""
    need(importlib.util.find_spec("pybit"), "Bybit's official SDK", "pip install pybit")
    import pybit._http_manager
    import pybit._websocket_trading
    import pybit.unified_trading

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pybit._http_manager, "HTTP_URL", exchange["rest"])
        patch.setattr(pybit.unified_trading, "PUBLIC_WSS", f"{exchange['ws']}/v5/public/{{CHANNEL_TYPE}}")
        patch.setattr(pybit.unified_trading, "PRIVATE_WSS", f"{exchange['ws']}/v5/private")
        patch.setattr(pybit._websocket_trading, "TRADE_WSS", f"{exchange['ws']}/v5/trade")
        yield


def keys(exchange: Any, number: int = 0) -> dict[str, str]:
    account = exchange["accounts"][number]
    return {"api_key": account["api_key"], "api_secret": account["api_secret"]}


@pytest.fixture(scope="module")
def http(pointed: None, exchange: Any) -> Any:
    """``pybit.unified_trading.HTTP`` of the first account."""
    from pybit.unified_trading import HTTP

    return HTTP(**keys(exchange))


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    assert answer["retCode"] == 0
    found: list[dict[str, Any]] = answer["result"]["list"]
    return found


def wallet(http: Any) -> dict[str, Any]:
    return rows(http.get_wallet_balance(accountType="UNIFIED"))[0]


def balance(account: dict[str, Any]) -> Decimal:
    """USDT of a unified account, from REST or the stream."""
    return D(account["coin"][0]["walletBalance"])


def until(found: Callable[[], Any]) -> Any:
    """Wait for a stream to bring what a test waits for."""
    deadline = time.monotonic() + SECONDS
    while not (result := found()):
        assert time.monotonic() < deadline, "the stream did not bring it"
        time.sleep(0.02)
    return result


def away(http: Any, factor: str) -> str:
    """A price that far from the best bid, on the tick."""
    bid = D(rows(http.get_tickers(**LINEAR))[0]["bid1Price"])
    return str((bid * D(factor)).quantize(D("0.1")))


# -- reading -----------------------------------------------------------------------------------------------------


def test_instruments_and_rates(http: Any) -> None:
    instruments = {row["symbol"]: row for row in rows(http.get_instruments_info(category="linear"))}
    assert {"BTCUSDT", "ETHUSDT", "1000PEPEUSDT"} <= set(instruments)
    assert instruments[SYMBOL]["lotSizeFilter"]["qtyStep"] == "0.001"
    tickers = {row["symbol"]: row for row in rows(http.get_tickers(category="linear"))}
    assert set(tickers) == set(instruments)
    for symbol, ticker in tickers.items():
        assert abs(D(ticker["fundingRate"])) <= D(instruments[symbol]["upperFundingRate"])
        assert int(ticker["fundingIntervalHour"]) * 60 == instruments[symbol]["fundingInterval"]
        assert int(ticker["nextFundingTime"]) > time.time() * 1000 - 1000


def test_funding_history(http: Any) -> None:
    history = rows(http.get_funding_rate_history(**LINEAR, limit=5))
    times = [int(row["fundingRateTimestamp"]) for row in history]
    assert len(times) == 5
    assert times == sorted(times, reverse=True)
    assert all(earlier - later == 8 * 3_600_000 for earlier, later in pairwise(times))


def test_order_book_and_candles(http: Any) -> None:
    book = http.get_orderbook(**LINEAR, limit=50)["result"]
    bids, asks = [D(price) for price, _ in book["b"]], [D(price) for price, _ in book["a"]]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    candles = rows(http.get_kline(**LINEAR, interval="5", limit=3))
    assert [len(row) for row in candles] == [7, 7, 7]
    assert len(rows(http.get_mark_price_kline(**LINEAR, interval="5", limit=3))[0]) == 5
    assert rows(http.get_public_trade_history(**LINEAR, limit=5))
    assert rows(http.get_open_interest(**LINEAR, intervalTime="1h"))
    assert rows(http.get_risk_limit(**LINEAR))


def test_account(http: Any, exchange: Any) -> None:
    assert balance(wallet(http)) == D(100_000)
    assert http.get_account_info()["result"]["marginMode"] == "REGULAR_MARGIN"
    fees = rows(http.get_fee_rates(**LINEAR))
    assert fees == [{"symbol": SYMBOL, "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"}]
    key = http.get_api_key_information()["result"]
    assert (key["apiKey"], key["uta"], key["permissions"]["Wallet"]) == (keys(exchange)["api_key"], 1, [])
    assert int(http.get_server_time()["result"]["timeSecond"]) == pytest.approx(time.time(), abs=5)


# -- trading -----------------------------------------------------------------------------------------------------


def test_leverage_and_modes(http: Any) -> None:
    from pybit.exceptions import InvalidRequestError

    assert http.set_leverage(**LINEAR, buyLeverage="7", sellLeverage="7")["retMsg"] == "OK"
    assert rows(http.get_positions(**LINEAR))[0]["leverage"] == "7"
    with pytest.raises(InvalidRequestError) as refused:
        http.set_leverage(**LINEAR, buyLeverage="7", sellLeverage="7")
    assert refused.value.status_code == 110043
    with pytest.raises(InvalidRequestError) as refused:
        http.switch_position_mode(category="linear", coin="USDT", mode=0)
    assert refused.value.status_code == 110025


def test_a_limit_order_is_placed_found_amended_and_cancelled(http: Any) -> None:
    order = {"side": "Buy", "orderType": "Limit", "qty": 0.01, "timeInForce": "PostOnly"}
    placed = http.place_order(**LINEAR, **order, price=away(http, "0.995"), orderLinkId="pybit-1")["result"]
    (found,) = rows(http.get_open_orders(**LINEAR, orderLinkId="pybit-1"))
    assert (found["orderId"], found["orderStatus"], found["timeInForce"]) == (
        placed["orderId"],
        "New",
        "PostOnly",
    )
    http.amend_order(**LINEAR, orderId=placed["orderId"], qty="0.02")
    assert rows(http.get_open_orders(**LINEAR))[0]["qty"] == "0.020"
    cancelled = http.cancel_order(**LINEAR, orderLinkId="pybit-1")["result"]
    assert cancelled == placed
    assert rows(http.get_open_orders(**LINEAR)) == []
    (ended,) = rows(http.get_order_history(**LINEAR, orderId=placed["orderId"]))
    assert (ended["orderStatus"], ended["cancelType"]) == ("Cancelled", "CancelByUser")


def test_a_batch_and_cancel_all(http: Any) -> None:
    price = away(http, "0.995")
    order = {"symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": price}
    placed = http.place_batch_order(category="linear", request=[order, order])
    assert [one["code"] for one in placed["retExtInfo"]["list"]] == [0, 0]
    cancelled = http.cancel_all_orders(category="linear", settleCoin="USDT")
    assert {row["orderId"] for row in rows(cancelled)} == {row["orderId"] for row in rows(placed)}


def test_a_market_order_its_position_and_its_fills(http: Any) -> None:
    placed = http.place_order(**LINEAR, side="Buy", orderType="Market", qty=0.05)["result"]
    (position,) = rows(http.get_positions(category="linear", settleCoin="USDT"))
    assert (position["symbol"], position["side"], D(position["size"])) == (SYMBOL, "Buy", D("0.05"))
    fills = rows(http.get_executions(category="linear", orderId=placed["orderId"]))
    assert sum(D(fill["execQty"]) for fill in fills) == D("0.05")
    log = rows(http.get_transaction_log(accountType="UNIFIED", category="linear", type="TRADE"))
    assert sum(D(fill["execFee"]) for fill in fills) == sum(D(row["fee"]) for row in log)
    assert balance(wallet(http)) == D(log[0]["cashBalance"])
    http.place_order(**LINEAR, side="Sell", orderType="Market", qty=0.02, reduceOnly=True)
    (closed,) = rows(http.get_closed_pnl(**LINEAR))
    assert D(closed["closedSize"]) == D("0.02")
    assert D(rows(http.get_positions(**LINEAR))[0]["size"]) == D("0.03")


def test_refusals_carry_bybits_codes(http: Any, exchange: Any) -> None:
    from pybit.exceptions import InvalidRequestError
    from pybit.unified_trading import HTTP

    def code(work: Callable[[], Any]) -> int:
        with pytest.raises(InvalidRequestError) as refused:
            work()
        return int(refused.value.status_code)

    assert code(lambda: http.cancel_order(**LINEAR, orderId="nope")) == 110001
    order: dict[str, Any] = {"side": "Buy", "orderType": "Limit", "price": "1", "qty": "1"}
    assert code(lambda: http.place_order(**LINEAR, **order | {"qty": "0.0005"})) == 10001
    assert (
        code(lambda: http.place_order(**LINEAR, side="Buy", orderType="Market", qty="0.05", reduceOnly=True))
        == 110017
    )
    assert code(lambda: http.place_order(**LINEAR, side="Buy", orderType="Market", qty="100")) == 110007
    wrong = HTTP(api_key=keys(exchange)["api_key"], api_secret="wrong")
    assert code(wrong.get_account_info) == 10004
    assert code(HTTP(api_key="nobody", api_secret="x").get_account_info) == 10003


# -- streams -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sockets() -> Iterator[list[Any]]:
    """Connections to close at the end."""
    opened: list[Any] = []
    yield opened
    for socket in opened:
        socket.exit()


def test_public_streams(http: Any, sockets: list[Any]) -> None:
    from pybit.unified_trading import WebSocket

    socket = WebSocket(testnet=False, channel_type="linear")
    sockets.append(socket)
    tickers: list[Any] = []
    books: list[Any] = []
    trades: list[Any] = []
    candles: list[Any] = []
    socket.ticker_stream(SYMBOL, tickers.append)
    socket.orderbook_stream(50, SYMBOL, books.append)
    socket.trade_stream([SYMBOL, "ETHUSDT"], trades.append)
    socket.kline_stream(1, SYMBOL, candles.append)
    until(lambda: len(tickers) >= 3 and len(books) >= 3 and trades and candles)
    # pybit merges the changes into the snapshot it was sent first.
    ticker = tickers[-1]["data"]
    assert {"fundingRate", "nextFundingTime", "markPrice", "bid1Price", "ask1Price"} <= set(ticker)
    book = books[-1]["data"]
    bids, asks = [D(price) for price, _ in book["b"]], [D(price) for price, _ in book["a"]]
    assert max(bids) < min(asks)
    assert len(bids) == len(set(bids)) <= 50
    assert trades[0]["data"][0]["S"] in ("Buy", "Sell")
    assert candles[0]["data"][0]["interval"] == "1"


def test_private_streams(http: Any, exchange: Any, sockets: list[Any]) -> None:
    from pybit.unified_trading import WebSocket

    socket = WebSocket(testnet=False, channel_type="private", **keys(exchange))
    sockets.append(socket)
    heard: dict[str, list[Any]] = {name: [] for name in ("order", "execution", "position", "wallet")}
    for name, messages in heard.items():
        getattr(socket, f"{name}_stream")(messages.append)
    until(lambda: socket.auth)
    time.sleep(0.2)
    order = http.place_order(**LINEAR, side="Buy", orderType="Market", qty="0.01")["result"]
    until(lambda: all(heard.values()))
    assert (
        heard["order"][-1]["data"][0] | {"orderId": order["orderId"], "orderStatus": "Filled"}
        == (heard["order"][-1]["data"][0])
    )
    fills = [row for message in heard["execution"] for row in message["data"]]
    assert {row["orderId"] for row in fills} == {order["orderId"]}
    position = heard["position"][-1]["data"][0]
    assert position["size"] == rows(http.get_positions(**LINEAR))[0]["size"]
    wallet = heard["wallet"][-1]["data"][0]["coin"][0]
    assert (
        wallet["walletBalance"]
        == rows(http.get_wallet_balance(accountType="UNIFIED"))[0]["coin"][0]["walletBalance"]
    )


def test_orders_over_the_websocket(localnets: Running, http: Any, exchange: Any, sockets: list[Any]) -> None:
    from pybit.unified_trading import WebSocketTrading

    # pybit notes a request only after sending it, so an answer within the same instant would be lost to it.
    localnets.net.inject(Fault(FaultKind.LATENCY, exchange="bybit", operation="order.*", seconds=0.05))
    socket = WebSocketTrading(testnet=False, **keys(exchange))
    sockets.append(socket)
    until(lambda: socket.auth)
    answers: list[Any] = []
    errors: list[Any] = []
    price = away(http, "0.995")
    order = {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": price, "orderLinkId": "pybit-ws"}
    socket.place_order(answers.append, **LINEAR, **order)
    until(lambda: len(answers) == 1)
    assert answers[0]["data"]["orderLinkId"] == "pybit-ws"
    assert [row["orderLinkId"] for row in rows(http.get_open_orders(**LINEAR))] == ["pybit-ws"]
    socket.amend_order(answers.append, **LINEAR, orderLinkId="pybit-ws", qty="0.02")
    until(lambda: len(answers) == 2)
    socket.cancel_order(answers.append, **LINEAR, orderLinkId="pybit-ws")
    until(lambda: len(answers) == 3)
    socket.cancel_order(answers.append, errors.append, **LINEAR, orderLinkId="pybit-ws")
    assert until(lambda: errors)[0]["retCode"] == 110001
    assert rows(http.get_open_orders(**LINEAR)) == []
    localnets.inside(_no_faults)


def _no_faults(net: Localnet) -> None:
    net.venues["bybit"].faults.clear()


# -- funding, at the end because the truth then runs ahead of the clock --------------------------------------------


def test_funding_income(localnets: Running, http: Any) -> None:
    size = D(rows(http.get_positions(**LINEAR))[0]["size"])
    assert size > 0
    before = balance(wallet(http))
    localnets.settle("bybit", SYMBOL)
    (paid,) = rows(http.get_executions(**LINEAR, execType="Funding"))
    (logged,) = rows(http.get_transaction_log(accountType="UNIFIED", category="linear", type="SETTLEMENT"))
    after = balance(wallet(http))
    (settled,) = rows(http.get_funding_rate_history(**LINEAR, limit=1))
    assert (paid["feeRate"], paid["execTime"]) == (settled["fundingRate"], settled["fundingRateTimestamp"])
    assert D(paid["execQty"]) == size
    assert D(paid["execFee"]) == -D(logged["funding"]) == before - after
    assert (D(paid["execFee"]) > 0) == (D(paid["feeRate"]) > 0)
