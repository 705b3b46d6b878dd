"""/ws/v5/public and /ws/v5/business: acknowledgements, snapshots, changes, rhythm, idle connections."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import anyio
import pytest
from tests.exchanges.okx.localnet.venue import SWAP, Okx, Socket, serve
from tests.localnet.still import BOUNDARY

from fundingarb.localnet.venue import Venue
from fundingarb_okx.localnet import stream

pytestmark = pytest.mark.anyio

D = Decimal


def channel(name: str, **more: str) -> dict[str, Any]:
    return {"channel": name, **(more or {"instId": SWAP})}


async def test_subscriptions_are_acknowledged_one_by_one(okx: Okx) -> None:
    socket = await okx.connect()
    args = [channel("tickers"), channel("nothing"), channel("mark-price")]
    await socket.send(op="subscribe", id="7", args=args)
    replies = [await socket.next() for _ in range(5)]
    events = [reply for reply in replies if "event" in reply]
    assert [(one["event"], one.get("arg"), one.get("code")) for one in events] == [
        ("subscribe", args[0], None),
        ("error", None, "60018"),
        ("subscribe", args[2], None),
    ]
    assert events[0]["id"] == "7"
    assert len({one["connId"] for one in events}) == 1
    await socket.send(op="unsubscribe", args=[args[0]])
    while (reply := await socket.next()).get("event") != "unsubscribe":
        pass
    assert reply["arg"] == args[0]
    assert okx.venue.hub.topics() == [f"mark-price:{SWAP}"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hello", "60012"),
        ("{}", "60012"),
        ('{"op":"fly"}', "60012"),
        ('{"op":"subscribe"}', "60012"),
        ('{"op":"subscribe","args":[{"channel":"books-l2-tbt","instId":"BTC-USDT-SWAP"}]}', "64003"),
        ('{"op":"subscribe","args":[{"channel":"tickers","instId":"NO-USDT-SWAP"}]}', "60018"),
        ('{"op":"subscribe","args":[{"channel":"orders","instType":"SWAP"}]}', "60018"),
        ('{"op":"subscribe","args":[' + ",".join(['{"channel":"tickers"}'] * 4000) + "]}", "60013"),
    ],
)
async def test_what_cannot_be_done(okx: Okx, text: str, code: str) -> None:
    socket = await okx.connect()
    await socket.raw.send_str(text)
    reply = await socket.next()
    assert (reply["event"], reply["code"]) == ("error", code)
    assert await socket.rest() == []


async def test_a_funding_rate_comes_every_half_minute_and_with_each_settlement(okx: Okx) -> None:
    socket = await okx.connect()
    (first,) = await socket.subscribe(channel("funding-rate"))
    (row,) = first["data"]
    assert (row["fundingTime"], row["nextFundingTime"]) == (
        str(int(BOUNDARY * 1000)),
        str(int(BOUNDARY * 1000) + 28_800_000),
    )
    assert (row["fundingRate"], row["method"], row["nextFundingRate"]) == ("0.0001", "current_period", "")
    for _ in range(29):
        okx.wait(1)
    assert await socket.rest() == []
    okx.model.rate = 0.0002
    okx.wait(1)
    (again,) = await socket.rest()
    assert again["data"][0]["fundingRate"] == "0.0002"
    okx.wait(BOUNDARY - okx.clock.now() - 1)
    await socket.rest()
    okx.wait(2)
    (settled,) = await socket.rest()
    (row,) = settled["data"]
    assert (row["settFundingRate"], row["settState"], row["prevFundingTime"]) == (
        "0.0002",
        "settled",
        str(int(BOUNDARY * 1000)),
    )
    okx.truth.set_funding(SWAP, interval_hours=4)
    okx.wait(1)
    (changed,) = await socket.rest()
    (row,) = changed["data"]
    assert int(row["nextFundingTime"]) - int(row["fundingTime"]) == 4 * 3_600_000


async def test_prices_come_when_they_change(okx: Okx) -> None:
    socket = await okx.connect()
    firsts = await socket.subscribe(
        channel("mark-price"), channel("tickers"), channel("index-tickers", instId="BTC-USDT")
    )
    assert [one["arg"]["channel"] for one in firsts] == ["mark-price", "tickers", "index-tickers"]
    okx.wait(2)
    assert "mark-price" not in [one["arg"]["channel"] for one in await socket.rest()]
    okx.model.price = 1010.0
    okx.wait(1)
    pushed = {one["arg"]["channel"]: one["data"][0] for one in await socket.rest()}
    assert pushed["mark-price"]["markPx"] == "1010"
    assert pushed["index-tickers"]["idxPx"] == "1010"
    assert D(pushed["tickers"]["bidPx"]) < 1010 < D(pushed["tickers"]["askPx"])
    okx.wait(10)
    repeated = [one for one in await socket.rest() if one["arg"]["channel"] == "mark-price"]
    assert len(repeated) == 1, "repeated after ten seconds"


def total(book: dict[str, dict[str, str]]) -> int:
    """The checksum a client computes over what it holds."""
    bids = sorted(book["bids"].items(), key=lambda level: -D(level[0]))[:25]
    asks = sorted(book["asks"].items(), key=lambda level: D(level[0]))[:25]
    parts: list[str] = []
    for number in range(25):
        for side in (bids, asks):
            if number < len(side):
                parts += side[number]
    value = zlib.crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


def merge(book: dict[str, dict[str, str]], row: dict[str, Any]) -> None:
    for side in ("asks", "bids"):
        for price, size, zero, orders in row[side]:
            assert zero == "0"
            if size == "0":
                assert orders == "0"
                del book[side][price]
            else:
                book[side][price] = size


async def test_a_book_that_clients_keep(okx: Okx) -> None:
    """Changes follow the snapshot without a gap, and the checksum fits what a client holds."""
    socket = await okx.connect()
    (snapshot,) = await socket.subscribe(channel("books"))
    assert (snapshot["action"], snapshot["data"][0]["prevSeqId"]) == ("snapshot", -1)
    book: dict[str, dict[str, str]] = {"asks": {}, "bids": {}}
    merge(book, snapshot["data"][0])
    assert total(book) == snapshot["data"][0]["checksum"]
    last = snapshot["data"][0]["seqId"]
    for price in (1000.5, 1003.0, 999.0, 999.0):
        okx.model.price = price
        okx.wait(1)
        await okx.order("buy", "7")
        okx.publish()
        for update in await socket.rest():
            (row,) = update["data"]
            assert (update["action"], row["prevSeqId"]) == ("update", last)
            assert row["seqId"] > last
            merge(book, row)
            assert total(book) == row["checksum"]
            last = row["seqId"]
    shown = (await okx.public("/market/books", instId=SWAP, sz=400)).row
    assert {price: size for price, size, *_ in shown["bids"]} == book["bids"]
    # whoever comes later starts from where the others are
    (late,) = await (await okx.connect()).subscribe(channel("books"))
    assert late["data"][0]["seqId"] == last


async def test_a_book_that_starts_from_rest() -> None:
    """Changes name the one before; REST's number says where in their row it stands."""
    async with serve(book_snapshots=False) as okx:
        socket = await okx.connect()
        assert await socket.subscribe(channel("books")) == []
        okx.model.price = 1001.0
        okx.wait(1)
        shown = (await okx.public("/market/books", instId=SWAP, sz=400)).row
        held = {side: {price: size for price, size, *_ in shown[side]} for side in ("asks", "bids")}
        (update,) = await socket.rest()
        assert update["data"][0]["seqId"] == shown["seqId"]
        assert "checksum" not in update["data"][0]
        okx.model.price = 1003.0
        okx.wait(1)
        (update,) = await socket.rest()
        assert update["data"][0]["prevSeqId"] == shown["seqId"]
        merge(held, update["data"][0])
        now = (await okx.public("/market/books", instId=SWAP, sz=400)).row
        assert {price: size for price, size, *_ in now["bids"]} == held["bids"]


async def test_a_quiet_book_says_so_after_a_minute(okx: Okx) -> None:
    okx.book([("999", "5")], [("1000", "5")])
    socket = await okx.connect()
    (snapshot,) = await socket.subscribe(channel("books"))
    okx.wait(61)
    (quiet,) = await socket.rest()
    (row,) = quiet["data"]
    assert (row["asks"], row["bids"]) == ([], [])
    assert row["seqId"] == row["prevSeqId"] == snapshot["data"][0]["seqId"]


@pytest.mark.parametrize(("name", "depth"), [("bbo-tbt", 1), ("books5", 5)])
async def test_small_books_are_whole_every_time(okx: Okx, name: str, depth: int) -> None:
    socket = await okx.connect()
    (first,) = await socket.subscribe(channel(name))
    okx.model.price = 1005.0
    okx.wait(1)
    (again,) = await socket.rest()
    for frame in (first, again):
        assert "action" not in frame
        (row,) = frame["data"]
        assert len(row["asks"]) == len(row["bids"]) == depth
    assert again["data"][0]["seqId"] > first["data"][0]["seqId"]


async def test_contracts_are_listed_on_subscribing(okx: Okx) -> None:
    socket = await okx.connect()
    (listed,) = await socket.subscribe(channel("instruments", instType="SWAP"))
    assert listed["arg"] == {"channel": "instruments", "instType": "SWAP"}
    assert [row["instId"] for row in listed["data"]] == [SWAP, "PEPE-USDT-SWAP"]
    assert await socket.subscribe(channel("instruments", instType="SPOT"), {"channel": "status"}) == []


async def test_trades(okx: Okx) -> None:
    okx.book([("999", "50")], [("1000", "50")])
    socket = await okx.connect()
    assert await socket.subscribe(channel("trades")) == []
    await okx.order("buy", "3")
    okx.publish()
    (pushed,) = await socket.rest()
    (row,) = pushed["data"]
    assert (row["px"], row["sz"], row["side"], row["instId"]) == ("1000", "3", "buy", SWAP)


async def test_liquidations(okx: Okx) -> None:
    socket = await okx.connect()
    await socket.subscribe(channel("liquidation-orders", instType="SWAP"))
    await okx.order("buy", "5")
    okx.truth.liquidate("main", SWAP)
    (pushed,) = await socket.rest()
    (row,) = pushed["data"]
    (detail,) = row["details"]
    assert (row["instId"], detail["side"], detail["posSide"], detail["sz"]) == (SWAP, "sell", "long", "5")


async def test_a_connection_that_will_be_closed_is_told(okx: Okx) -> None:
    socket = await okx.connect()
    (session,) = okx.venue.hub.sessions
    session.close(1012, "Service restart")
    notice = await socket.next()
    assert (notice["event"], notice["code"]) == ("notice", "64008")
    assert (await socket.raw.receive(timeout=5)).data == 1012


async def test_candles_are_on_the_business_socket(okx: Okx) -> None:
    okx.wait(62 - okx.clock.now() % 60)
    socket = await okx.connect("/ws/v5/business")
    assert (await socket.ask(op="login", args=[okx.login_args()]))["event"] == "login"
    reply = await socket.ask(op="subscribe", args=[channel("tickers")])
    assert (reply["event"], reply["code"]) == ("error", "60018")
    marks = channel("mark-price-candle1m")
    first = await socket.subscribe(channel("candle1m"), marks, channel("index-candle5m", instId="BTC-USDT"))
    assert [len(one["data"][0]) for one in first] == [9, 6, 6]
    okx.model.price = 1010.0
    okx.wait(5)
    running = [one["data"][0] for one in await socket.rest() if one["arg"] == marks]
    assert [(row[2], row[4], row[5]) for row in running] == [("1010", "1010", "0")]
    okx.wait(60)
    ended, begun = (one["data"][0] for one in await socket.rest() if one["arg"] == marks)
    assert (ended[5], begun[5]) == ("1", "0")
    assert int(begun[0]) - int(ended[0]) == 60_000
    other = await (await okx.connect()).ask(op="subscribe", args=[channel("candle1m")])
    assert other["code"] == "60018", "not on the public one"


@pytest.mark.parametrize("path", ["/ws/v5/public", "/ws/v5/private", "/ws/v5/business"])
async def test_thirty_seconds_of_silence_end_a_connection(
    okx: Okx, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A ping keeps it; the pong is something that was said."""
    monkeypatch.setattr(stream, "IDLE", 0.3)
    kept: Socket = await okx.connect(path)
    silent = await okx.connect(path)
    with anyio.fail_after(30):
        closing = False
        while not closing:
            assert await kept.rest() == []
            await anyio.sleep(0.05)
            with anyio.move_on_after(0.01):
                message = await silent.raw.receive()
                assert message.data == 4004
                closing = True
    assert not kept.raw.closed
    assert Venue.real() > 0
