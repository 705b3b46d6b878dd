"""Market and user data streams: routes, subscriptions, books that can be kept, and what an account is told."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.binance.localnet.desk import Desk, FlatModel, open_desk

from fundingarb_binance.localnet.settings import BinanceLocalnetSettings

pytestmark = pytest.mark.anyio


# -- routes and subscriptions --------------------------------------------------------------------------------------


async def test_raw_and_combined_frames(desk: Desk) -> None:
    async with desk.stream("/market/ws/btcusdt@markPrice@1s") as raw:
        message = await raw.next()
    assert (message["e"], message["s"]) == ("markPriceUpdate", "BTCUSDT")
    streams = "btcusdt@markPrice@1s/!markPrice@arr@1s"
    async with desk.stream(f"/market/stream?streams={streams}") as combined:
        every = await combined.next(lambda found: found["stream"] == "!markPrice@arr@1s")
        one = await combined.next(lambda found: found["stream"] == "btcusdt@markPrice@1s")
    assert [row["s"] for row in every["data"]] == ["BTCUSDT", "ETHUSDT", "1000PEPEUSDT"]
    assert one["data"]["s"] == "BTCUSDT"
    assert one["data"]["r"] == "0.00010000"
    assert one["data"]["T"] == desk.truth.funding("BTCUSDT").next_ms


async def test_commands_on_a_connection(desk: Desk) -> None:
    async with desk.stream("/market/ws/0") as stream:
        assert await stream.command("SUBSCRIBE", ["btcusdt@markPrice@1s"], 7) == {"result": None, "id": 7}
        assert (await stream.event("markPriceUpdate"))["s"] == "BTCUSDT"
        listed = await stream.command("LIST_SUBSCRIPTIONS", request_id="abc")
        assert listed == {"result": ["btcusdt@markPrice@1s"], "id": "abc"}
        await stream.command("SET_PROPERTY", ["combined", True], 2)
        assert (await stream.command("GET_PROPERTY", ["combined"], 3))["result"] is True
        assert (await stream.next())["stream"] == "btcusdt@markPrice@1s"
        await stream.command("UNSUBSCRIBE", ["btcusdt@markPrice@1s"], 4)
        assert (await stream.command("LIST_SUBSCRIPTIONS", request_id=5))["result"] == []
        assert await stream.silent(1.2)


async def test_bad_commands_are_answered(desk: Desk) -> None:
    async with desk.stream("/ws") as stream:
        await stream.socket.send_str("{nonsense")
        assert (await stream.next())["error"]["code"] == 3
        assert (await stream.command("DANCE"))["error"]["code"] == 2
        assert (await stream.command("SUBSCRIBE", "btcusdt@trade", 2))["error"]["code"] == 2
        assert (await stream.command("SET_PROPERTY", ["speed", 1], 3))["error"]["code"] == 0


@pytest.mark.parametrize(
    ("path", "stream", "heard"),
    [
        ("/market", "btcusdt@markPrice@1s", True),
        ("/public", "btcusdt@markPrice@1s", False),
        ("/private", "btcusdt@markPrice@1s", False),
        ("", "btcusdt@markPrice@1s", True),
        ("/public", "btcusdt@bookTicker", True),
        ("/market", "btcusdt@bookTicker", False),
        ("/public", "btcusdt@depth20@100ms", True),
        ("/market", "btcusdt@depth20@100ms", False),
        ("/market", "btcusdt@kline_1m", True),
        ("/market", "btcusdt@nonsense", False),
        ("/market", "nopeusdt@markPrice@1s", False),
    ],
)
async def test_a_routed_path_carries_only_its_own_streams(
    desk: Desk, path: str, stream: str, heard: bool
) -> None:
    async with desk.stream(f"{path}/ws") as connection:
        assert (await connection.command("SUBSCRIBE", [stream]))["result"] is None
        if heard:
            assert (await connection.next())["s"] == "BTCUSDT"
        else:
            assert await connection.silent(1.2 if "markPrice" in stream else 0.4)


async def test_a_client_that_talks_too_much_is_cut_off(desk: Desk) -> None:
    async with desk.stream("/ws") as stream:
        for number in range(11):
            await stream.socket.send_str(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        for _ in range(10):
            assert (await stream.next())["result"] == []
        message = await stream.socket.receive()
    assert (message.data, message.extra) == (1008, "Too many requests")


# -- market data ---------------------------------------------------------------------------------------------------


async def test_a_book_can_be_kept_from_changes_and_a_snapshot(desk: Desk) -> None:
    """By the exchange's own recipe: buffer, snapshot, drop what is older, and then every ``pu`` is the last ``u``."""
    async with desk.stream("/public/ws/btcusdt@depth@100ms") as stream:
        snapshot = await desk.public("depth", symbol="BTCUSDT", limit=1000)
        sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        last: int | None = None
        for step in range(4):
            # more than the best level holds, so that prices vanish from the book
            await desk.market("BUY" if step % 2 else "SELL", "3.3")
            change = await stream.event("depthUpdate")
            if change["u"] < snapshot["lastUpdateId"]:
                continue
            if last is None:
                assert change["U"] <= snapshot["lastUpdateId"] <= change["u"]
            else:
                assert change["pu"] == last
            last = change["u"]
            for side, levels in sides.items():
                for price, quantity in change[side]:
                    if Decimal(quantity):
                        levels[price] = quantity
                    else:
                        levels.pop(price, None)
            assert change["U"] > change["pu"]
        book = desk.truth.book("BTCUSDT", 1000)
    assert last is not None
    for side, rows in (("b", book.bids), ("a", book.asks)):
        kept = {Decimal(price): Decimal(quantity) for price, quantity in sides[side].items()}
        assert kept == dict(rows)


async def test_a_snapshot_between_two_changes_joins_them(desk: Desk) -> None:
    async with desk.stream("/public/ws/btcusdt@depth@100ms") as stream:
        await stream.command("LIST_SUBSCRIPTIONS")
        await desk.market("BUY", "0.3")
        first = await stream.event("depthUpdate")
        snapshot = await desk.public("depth", symbol="BTCUSDT")
        await desk.market("BUY", "0.3")
        second = await stream.event("depthUpdate")
    assert first["u"] < snapshot["lastUpdateId"]
    assert second["U"] <= snapshot["lastUpdateId"] <= second["u"]
    assert second["pu"] == first["u"]


async def test_quotes_and_tops_follow_the_book(desk: Desk) -> None:
    path = "/public/stream?streams=btcusdt@bookTicker/btcusdt@depth5@100ms/!bookTicker"
    async with desk.stream(path) as stream:
        found: dict[tuple[str, str], Any] = {}
        while len(found) < 5:
            message = await stream.next()
            found[message["stream"], message["data"]["s"]] = message["data"]
        quote, top = found["btcusdt@bookTicker", "BTCUSDT"], found["btcusdt@depth5@100ms", "BTCUSDT"]
        assert found["!bookTicker", "1000PEPEUSDT"]["e"] == "bookTicker"
        book = await desk.public("ticker/bookTicker", symbol="BTCUSDT")
        assert (quote["b"], quote["a"]) == (book["bidPrice"], book["askPrice"])
        assert len(top["b"]) == len(top["a"]) == 5
        assert top["b"][0] == [quote["b"], quote["B"]]
        desk.truth.move_price("BTCUSDT", factor=1.01)
        moved = (await stream.next(lambda found: found["stream"] == "btcusdt@bookTicker"))["data"]
    assert Decimal(moved["b"]) > Decimal(quote["a"])
    assert moved["u"] > quote["u"]


async def test_trades_tickers_and_candles(desk: Desk) -> None:
    names = ["aggTrade", "trade", "miniTicker", "ticker", "kline_1m"]
    kinds = {"aggTrade", "trade", "24hrMiniTicker", "24hrTicker", "kline"}
    async with desk.stream("/stream?streams=" + "/".join(f"btcusdt@{name}" for name in names)) as stream:
        await desk.market("BUY", "0.123")
        found: dict[str, Any] = {}
        while set(found) != kinds or found["aggTrade"]["q"] != "0.123":
            message = (await stream.next())["data"]
            found[message["e"]] = message
    assert found["aggTrade"]["m"] is False
    assert found["kline"]["k"]["i"] == "1m"
    recent = await desk.public("trades", symbol="BTCUSDT")
    assert found["aggTrade"]["a"] in {one["id"] for one in recent}
    assert [one["id"] for one in recent] == sorted(one["id"] for one in recent)


async def test_a_new_interval_is_announced_and_listed(desk: Desk) -> None:
    async with desk.stream("/market/ws/!contractInfo") as stream:
        await stream.command("LIST_SUBSCRIPTIONS")
        assert [row["symbol"] for row in await desk.public("fundingInfo")] == ["1000PEPEUSDT"]
        desk.truth.set_funding("ETHUSDT", interval_hours=1)
        assert (await stream.event("contractInfo"))["s"] == "ETHUSDT"
    rows = {row["symbol"]: row["fundingIntervalHours"] for row in await desk.public("fundingInfo")}
    assert rows == {"1000PEPEUSDT": 4, "ETHUSDT": 1}
    desk.truth.set_funding("ETHUSDT", interval_hours=8)
    rows = {row["symbol"]: row["fundingIntervalHours"] for row in await desk.public("fundingInfo")}
    assert rows["ETHUSDT"] == 8


# -- user data -----------------------------------------------------------------------------------------------------


async def test_an_account_is_told_of_its_orders(desk: Desk) -> None:
    async with desk.stream(f"/private/ws?listenKey={await desk.listen_key()}") as user:
        placed = (await desk.limit("49000.0", newClientOrderId="mine")).body
        new = (await user.next())["o"]
        assert (new["x"], new["X"], new["c"], new["i"]) == ("NEW", "NEW", "mine", placed["orderId"])
        assert (new["b"], new["a"]) == ("490", "0")
        await desk.good("DELETE", "order", symbol="BTCUSDT", orderId=placed["orderId"])
        assert (await user.next())["o"]["X"] == "CANCELED"
        await desk.market("BUY", "0.1")
        assert (await user.next())["o"]["x"] == "NEW"
        lite = await user.event("TRADE_LITE")
        trade = (await user.event("ORDER_TRADE_UPDATE"))["o"]
        account = (await user.event("ACCOUNT_UPDATE"))["a"]
    fill = (await desk.good("GET", "userTrades", symbol="BTCUSDT"))[0]
    assert lite["t"] == trade["t"] == fill["id"]
    assert (trade["L"], trade["n"], trade["N"]) == (fill["price"], fill["commission"], "USDT")
    assert trade["rp"] == fill["realizedPnl"]
    assert account["m"] == "ORDER"
    assert account["B"][0]["bc"] == "0"
    assert account["B"][0]["wb"] == (await desk.good("GET", "/fapi/v3/balance"))[0]["balance"]
    assert (account["P"][0]["s"], account["P"][0]["pa"]) == ("BTCUSDT", "0.100")


async def test_funding_is_told_without_the_cross_position(desk: Desk) -> None:
    await desk.market("SELL", "0.2")
    async with desk.stream(f"/private/ws?listenKey={await desk.listen_key()}") as user:
        await user.command("LIST_SUBSCRIPTIONS")
        desk.settle("BTCUSDT")
        update = (await user.event("ACCOUNT_UPDATE"))["a"]
    income = (await desk.good("GET", "income", incomeType="FUNDING_FEE"))[0]["income"]
    assert (update["m"], update["P"], update["S"]) == ("FUNDING_FEE", [], "BTCUSDT")
    assert update["B"][0]["bc"] == income


async def test_settings_and_forced_closes_are_told(desk: Desk) -> None:
    key = await desk.listen_key()
    async with (
        desk.stream(f"/private/ws?listenKey={key}") as user,
        desk.stream("/market/ws/!forceOrder@arr") as market,
    ):
        await market.command("LIST_SUBSCRIPTIONS")
        await desk.good("POST", "leverage", symbol="BTCUSDT", leverage=3)
        assert (await user.event("ACCOUNT_CONFIG_UPDATE"))["ac"] == {"s": "BTCUSDT", "l": 3}
        await desk.good("POST", "marginType", symbol="ETHUSDT", marginType="ISOLATED")
        assert (await user.event("ACCOUNT_UPDATE"))["a"]["m"] == "MARGIN_TYPE_CHANGE"
        await desk.market("BUY", "0.1")
        await user.event("ACCOUNT_UPDATE")
        desk.truth.liquidate(desk.name, "BTCUSDT")
        order = await user.next(lambda found: found["e"] == "ORDER_TRADE_UPDATE" and found["o"]["x"] != "NEW")
        assert order["o"]["c"].startswith("autoclose-")
        assert (order["o"]["x"], order["o"]["o"]) == ("CALCULATED", "LIQUIDATION")
        assert (await market.event("forceOrder"))["o"]["s"] == "BTCUSDT"


async def test_a_margin_call_comes_before_the_liquidation() -> None:
    async with open_desk(FlatModel()) as desk:
        await desk.good("POST", "leverage", symbol="BTCUSDT", leverage=100)
        await desk.market("BUY", "5")
        async with desk.stream(f"/private/ws?listenKey={await desk.listen_key()}") as user:
            await user.command("LIST_SUBSCRIPTIONS")
            position = desk.truth.positions(desk.name)[0]
            wallet = desk.truth.state(desk.name).wallet
            # where the equity is 1.1 times the maintenance margin of 0.4 %
            left = Decimal(1) - Decimal("0.0044")
            price = (position.entry_price * 5 - wallet) / (5 * left)
            desk.truth.move_price("BTCUSDT", price=price)
            call = await user.event("MARGIN_CALL")
    assert (call["p"][0]["s"], call["p"][0]["pa"]) == ("BTCUSDT", "5.000")


async def test_every_way_to_the_user_data(desk: Desk) -> None:
    key = await desk.listen_key()
    assert await desk.listen_key() == key
    paths = (
        f"/private/ws?listenKey={key}",
        f"/private/ws/{key}",
        f"/ws/{key}",
        f"/private/stream?listenKey={key}",
        f"/stream?streams={key}",
        f"/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE/TRADE_LITE",
        f"/market/ws/{key}",
        "/private/ws?listenKey=unknown",
    )
    heard = []
    for path in paths:
        async with desk.stream(path) as user:
            await desk.market("BUY", "0.01")
            messages: list[int] = []
            while not await user.silent(0.0 if not messages else 0.05):
                messages.append(1)
                if len(messages) > 20:
                    break
            heard.append(len(messages))
    assert [bool(count) for count in heard] == [True] * 6 + [False] * 2
    assert heard[5] < heard[0]


async def test_a_subscription_by_listen_key(desk: Desk) -> None:
    key = await desk.listen_key()
    async with desk.stream("/private/stream") as user:
        assert (await user.command("SUBSCRIBE", [key]))["result"] is None
        await desk.limit("49000.0")
        message = await user.next()
    assert message["stream"] == key
    assert message["data"]["e"] == "ORDER_TRADE_UPDATE"


async def test_accounts_hear_only_of_themselves(desk: Desk) -> None:
    other = desk.alternative()
    async with desk.stream(f"/private/ws?listenKey={await other.listen_key()}") as theirs:
        await theirs.command("LIST_SUBSCRIPTIONS")
        await desk.limit("49000.0")
        assert await theirs.silent()


async def test_an_expired_listen_key_is_announced_and_falls_silent() -> None:
    async with open_desk(settings=BinanceLocalnetSettings(listen_key_seconds=0.4)) as desk:
        key = await desk.listen_key()
        async with desk.stream(f"/private/ws?listenKey={key}") as user:
            assert (await user.event("listenKeyExpired"))["listenKey"] == key
            await desk.limit("49000.0")
            assert await user.silent()
        assert (await desk.send("PUT", "listenKey")).code == -1125
        assert await desk.listen_key() != key


async def test_a_listen_key_lives_on_while_it_is_kept_alive(desk: Desk, clock: list[float]) -> None:
    key = await desk.listen_key()
    for _ in range(3):
        clock[0] += 3500
        assert (await desk.send("PUT", "listenKey")).body == {"listenKey": key}
    clock[0] += 3600
    assert (await desk.send("PUT", "listenKey")).code == -1125
    assert await desk.listen_key() != key
    assert (await desk.send("DELETE", "listenKey")).body == {}
    assert (await desk.send("PUT", "listenKey")).code == -1125


async def test_closing_the_listen_key_closes_the_stream(desk: Desk) -> None:
    async with desk.stream(f"/private/ws?listenKey={await desk.listen_key()}") as user:
        await user.command("LIST_SUBSCRIPTIONS")
        await desk.send("DELETE", "listenKey")
        assert (await user.socket.receive()).data == 1000
