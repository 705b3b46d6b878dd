"""The websocket: what arrives, in what form, and what ends it."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import Any

import aiohttp
import anyio
import pytest
from tests.dashboard.trading import SYMBOLS, Desk, trading

from fundingarb.engine.clock import SystemClock
from fundingarb.errors import StoreError
from fundingarb.ports import MarketRows
from fundingarb.privatefiles import write_private
from fundingarb_dashboard import hub as hub_module
from fundingarb_dashboard import stream as stream_module
from fundingarb_dashboard.board import Board, Change
from fundingarb_dashboard.feed import News
from fundingarb_dashboard.sessions import Sessions

pytestmark = pytest.mark.anyio

NAMES = {
    "SNAPSHOT", "POSITION_UPDATE", "FUNDING_RATE_UPDATE", "TRADE_EXECUTED", "ENGINE_STATUS", "ALERT",
    "SUMMARY_UPDATE", "ORDER_UPDATE", "HEARTBEAT",
}  # fmt: skip


async def test_a_snapshot_first_then_what_changes() -> None:
    async with trading() as desk, desk.watching() as stream:
        frame = await stream.frame()
        first = frame[0]
        assert first["type"] == "SNAPSHOT"
        assert set(first["data"]) == {"status", "summary", "rates", "positions", "alerts"}
        assert first["data"]["status"]["engine"]["state"] == "RUNNING"
        assert {row["pair"] for row in first["data"]["rates"]} == set(SYMBOLS)

        desk.floor.rates("-0.002", "0.005", desk.floor.clock.now().replace(microsecond=0, year=2030))
        rate = await stream.until("FUNDING_RATE_UPDATE", lambda data: data["exchange"] == "alpha")
        assert (rate["pair"], rate["rate"]) == ("BTC-USDT", -0.002)
        beat = await stream.until("HEARTBEAT")
        assert beat["at"].endswith("Z")
        assert beat["behind_s"] < 2
        status = await stream.until("ENGINE_STATUS")
        assert status["status"] == "RUNNING"
        assert set(status["connected_exchanges"]) == {"alpha", "beta"}


async def test_a_hedge_is_followed_from_open_to_gone() -> None:
    async with trading() as desk, desk.watching() as stream:
        opened = await desk.open()
        position = await stream.until("POSITION_UPDATE", lambda data: data.get("status") == "OPEN")
        assert (position["position_id"], position["pair"]) == (opened, "BTC-USDT")
        await desk.command(f"/api/positions/{opened}/close")
        trade = await stream.until("TRADE_EXECUTED")
        assert trade["position_id"] == opened
        gone = await stream.until("POSITION_UPDATE", lambda data: "legs" not in data)
        assert gone == {"position_id": opened, "status": "CLOSED"}
        orders = [event["data"] for event in stream.seen if event["type"] == "ORDER_UPDATE"]
        assert {(row["pair"], row["exchange"]) for row in orders} == {
            ("BTC-USDT", "alpha"),
            ("BTC-USDT", "beta"),
        }
        summary = await stream.until("SUMMARY_UPDATE", lambda data: data["trades"] == 1)
        assert summary["open"] == 0


async def test_events_have_the_names_that_the_specification_gives_them() -> None:
    names = {
        "POSITION_UPDATE": {"position_id", "status", "unrealized_pnl"},
        "FUNDING_RATE_UPDATE": {"exchange", "pair", "rate", "predicted", "next_funding_time"},
        "TRADE_EXECUTED": {"position_id", "exchange", "side", "price", "size", "fee"},
        "ENGINE_STATUS": {"status", "connected_exchanges", "last_scan", "error"},
        "ALERT": {"severity", "message", "timestamp"},
    }
    async with trading() as desk, desk.watching() as stream:
        await stream.until("SNAPSHOT")
        await desk.open()
        for number in range(3, 9):
            later = desk.floor.clock.now().replace(microsecond=0, year=2030)
            desk.floor.rates(f"-0.00{number}", "0.005", later)
        for kind, wanted in names.items():
            data = await stream.until(kind)
            assert wanted <= set(data), kind


async def test_a_bot_that_stalls_is_told_from_one_that_has_nothing_new() -> None:
    async with trading() as desk, desk.watching() as stream:
        await stream.until("SNAPSHOT")
        time.sleep(2.5)  # noqa: ASYNC251 - this is the stall
        await stream.until("HEARTBEAT", lambda data: data["behind_s"] > 1)
        stream.seen.clear()
        await stream.until("HEARTBEAT", lambda data: data["behind_s"] < 1)


async def test_a_database_that_is_down_keeps_back_nothing_else() -> None:
    async with trading() as desk, desk.watching() as stream:
        await stream.until("SNAPSHOT")

        async def broken(*args: object) -> None:
            raise StoreError("no route to the database")

        desk.floor.bot.summary = desk.floor.bot.hedge_view = broken  # type: ignore[method-assign,assignment]
        await asyncio.sleep(0.3)
        stream.seen.clear()
        await stream.until("ENGINE_STATUS")
        for number in range(2, 14):  # looks with and without the summary
            later = desk.floor.clock.now().replace(microsecond=0, year=2030)
            desk.floor.rates(f"-0.00{number}", "0.005", later)
            wanted = float(f"-0.00{number}")
            await stream.until("FUNDING_RATE_UPDATE", partial(_is_at, wanted))


def _is_at(rate: float, data: dict[str, Any]) -> bool:
    return bool(data["rate"] == rate)


def test_a_delisted_instrument_is_taken_off_every_page() -> None:
    board = Board()
    (change,) = board.take(News(markets=MarketRows(1, (), (), (("alpha", "BTC-USDT"),))))
    assert json.loads(change.body) == {
        "type": "FUNDING_RATE_UPDATE",
        "data": {"exchange": "alpha", "pair": "BTC-USDT", "gone": True},
    }


def test_a_session_does_not_remember_connections_that_are_over() -> None:
    clock = SystemClock()
    sessions = Sessions(time.monotonic, clock.now)
    hub = hub_module.Hub(sessions.alive, clock.now)
    _, session = sessions.start("someone")
    kept = hub.join(session)
    for _ in range(50):
        client = hub.join(session)
        assert client is not None
        hub.leave(client)
    assert len(session.when_over) == 1
    sessions.end(session)
    assert kept is not None
    assert (kept.over.is_set(), kept.code) == (True, 1008)


def test_a_session_that_is_over_takes_its_connections_along() -> None:
    moment = [0.0]
    clock = SystemClock()
    sessions = Sessions(lambda: moment[0], clock.now)
    hub = hub_module.Hub(sessions.alive, clock.now)
    client = hub.join(sessions.start("someone")[1])
    assert client is not None
    hub.flush()
    assert not client.over.is_set()
    moment[0] = 16 * 60.0  # nobody has asked for anything: watching alone does not keep it
    hub.flush()
    assert (client.over.is_set(), client.code) == (True, 1008)


def test_there_is_an_end_to_how_many_may_watch() -> None:
    clock = SystemClock()
    sessions = Sessions(time.monotonic, clock.now)
    hub = hub_module.Hub(sessions.alive, clock.now)
    _, session = sessions.start("someone")
    assert [hub.join(session) is None for _ in range(201)] == [False] * 200 + [True]


async def test_only_the_pairs_that_were_asked_for() -> None:
    async with trading() as desk, desk.watching() as stream:
        await stream.until("SNAPSHOT")
        stream.seen.clear()
        await stream.socket.send_str(json.dumps({"type": "SUBSCRIBE", "pairs": ["ETH-USDT"]}))
        await stream.until("SNAPSHOT")
        stream.seen.clear()
        later = desk.floor.clock.now().replace(microsecond=0, year=2030)
        for symbol in SYMBOLS:
            desk.floor.rates("-0.002", "0.005", later, symbol=symbol)
        await stream.until("FUNDING_RATE_UPDATE", lambda data: data["rate"] == 0.005)
        await stream.until("HEARTBEAT")
        pairs = {event["data"]["pair"] for event in stream.seen if event["type"] == "FUNDING_RATE_UPDATE"}
        assert pairs == {"ETH-USDT"}


async def test_frames_are_lists_of_known_events_ten_a_second_at_most() -> None:
    async with trading() as desk, desk.watching() as stream:
        await stream.until("SNAPSHOT")
        began = asyncio.get_running_loop().time()
        later = desk.floor.clock.now().replace(microsecond=0, year=2030)
        for number in range(30):
            desk.floor.rates(f"-0.00{number + 1}", "0.005", later)
            await asyncio.sleep(0.03)
        frames = 0
        while asyncio.get_running_loop().time() - began < 2:
            frame = await stream.frame()
            frames += 1
            assert frame
            assert {each["type"] for each in frame} <= NAMES
        assert frames <= 22


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 1008),
        ("[]", 1008),
        ("null", 1008),
        ('{"type": "KILL"}', 1008),
        ('{"type": "SUBSCRIBE", "pairs": "BTC"}', 1008),
        ('{"type": "SUBSCRIBE", "pairs": [1]}', 1008),
        ('{"type": "PING", "more": 1}', 1008),
        ('{"type": "PING", "x": NaN}', 1008),
        ("[" * 50_000, 1008),
        (b"\x00", 1003),
        ('{"type": "SUBSCRIBE", "pairs": ["' + "x" * 70_000 + '"]}', 1009),
    ],
)
async def test_what_it_does_not_know_ends_it(message: str | bytes, code: int) -> None:
    async with trading() as desk, desk.watching() as stream:
        await stream.until("SNAPSHOT")
        if isinstance(message, str):
            await stream.socket.send_str(message)
        else:
            await stream.socket.send_bytes(message)
        assert await stream.ended() == code
        await desk.browser.get("/api/status")


async def test_a_hundred_messages_a_minute() -> None:
    async with trading() as desk, desk.watching() as stream:
        for _ in range(100):
            await stream.socket.send_str('{"type": "PING"}')
        await stream.until("HEARTBEAT")
        await stream.socket.send_str('{"type": "PING"}')
        assert await stream.ended() == 1008


async def test_it_ends_with_the_session() -> None:
    async with trading() as desk, desk.watching() as stream:
        await stream.until("SNAPSHOT")
        status, _, _ = await desk.browser.ask("POST", "/api/logout")
        assert status == 200
        assert await stream.ended() == 1008


async def test_other_pages_get_no_connection() -> None:
    async with trading() as desk:
        url, port = desk.browser.url, desk.browser.port
        for headers in (
            {},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"https://127.0.0.1:{port}"},
            {"Origin": f"http://127.0.0.1:{port + 1}"},
            {"Origin": url, "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-origin"},
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await desk.browser.http.ws_connect(f"{url}/api/ws", headers=headers)
            assert refused.value.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as evil:
            await desk.browser.http.ws_connect(
                f"{url}/api/ws", headers={"Host": "evil.example", "Origin": url}
            )
        assert evil.value.status == 403


async def test_a_slow_client_is_cut_and_delays_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(stream_module, "PATIENCE", 5.0)  # whoever waits for the slow one waits so long
    big = "x" * 1_000_000

    def everything_is_large(kind: str, data: Any) -> bytes:
        return json.dumps({"type": kind, "data": big}).encode()

    token = tmp_path_factory.mktemp("metrics") / "token"
    write_private(token, "a-token-of-its-own", "it")
    async with trading(metrics_token_file=token) as desk, desk.watching() as quick:
        await quick.until("SNAPSHOT")
        async with await Silent(desk.browser.url, desk.browser.cookie):
            assert await _clients(desk) == 2
            monkeypatch.setattr("fundingarb_dashboard.board.event", everything_is_large)
            with anyio.fail_after(60):
                while await _clients(desk) == 2:
                    began = asyncio.get_running_loop().time()
                    await quick.frame()
                    assert asyncio.get_running_loop().time() - began < 4
            assert await _clients(desk) == 1


async def _clients(desk: Desk) -> float:
    headers = {"Authorization": "Bearer a-token-of-its-own"}
    async with desk.browser.http.get(f"{desk.browser.url}/metrics", headers=headers) as response:
        text = await response.text()
    (line,) = (line for line in text.splitlines() if line.startswith("fundingarb_dashboard_clients "))
    return float(line.split()[1])


class Silent:
    """A websocket client that does not read: a plain socket with a small buffer."""

    def __init__(self, url: str, cookie: str) -> None:
        self.url, self.cookie = url, cookie

    def __await__(self) -> Any:
        return self._open().__await__()

    async def _open(self) -> Silent:
        host, port = self.url.removeprefix("http://").split(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port), limit=1024)
        self.writer.write(
            (
                f"GET /api/ws HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {self.url}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                f"Cookie: fundingarb_{port}={self.cookie}\r\n\r\n"
            ).encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert b"101" in head.splitlines()[0]
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]
        return self

    async def __aenter__(self) -> Silent:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()


def test_the_last_of_every_key_and_every_one_without() -> None:
    change = Change
    found = hub_module.latest(
        [change("a", b"1"), change(None, b"2"), change("b", b"3"), change("a", b"4"), change(None, b"2")]
    )
    assert [each.body for each in found] == [b"2", b"3", b"4", b"2"]
    assert hub_module.framed([]) is None
    assert hub_module.framed([b"1", b"2"]) == "[1,2]"
