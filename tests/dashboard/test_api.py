"""The API against a real bot on fake exchanges: what it shows, and what its commands do."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.dashboard.trading import OPEN, SYMBOLS, trading
from tests.engine.rig import hedge_on

from fundingarb.domain.order import ExchangePosition, Fill, OrderSide
from fundingarb.errors import StoreError, WrongPassword
from fundingarb.ports import HedgeBooks, HeldLonger, MarketRow, Secret
from fundingarb.simulation.virtual import START, LoopClock
from fundingarb_dashboard import api_market, api_positions, api_review
from fundingarb_dashboard.api_history import longer_row
from fundingarb_dashboard.api_review import longest_unhedged
from fundingarb_dashboard.shared import Shared

pytestmark = pytest.mark.anyio


async def test_status_health_and_rates() -> None:
    async with trading() as desk:
        status = await desk.browser.get("/api/status")
        assert status["engine"]["state"] == "RUNNING"
        assert status["simulation"] is True
        assert {each["name"] for each in status["exchanges"]} == {"alpha", "beta"}
        assert {each["account"] for each in status["accounts"]} == {"alpha", "beta"}
        assert status["kill"] == {
            "latched": False,
            "flat": False,
            "not_flat": [],
            "foreign": [],
            "needs_password": False,
        }
        health = await desk.browser.get("/api/health")
        assert (health["status"], health["ready"], health["database"]) == ("ok", True, True)
        rates = await desk.browser.get("/api/rates")
        assert {(row["exchange"], row["pair"]) for row in rates["rows"]} == {
            (exchange, pair) for exchange in ("alpha", "beta") for pair in SYMBOLS
        }
        best = next(row for row in rates["spreads"] if row["pair"] == "BTC-USDT")
        assert (best["long"], best["short"]) == ("alpha", "beta")
        assert all(row["next_funding_time"].endswith("Z") for row in rates["rows"])


def test_a_rate_that_is_not_heard_makes_no_spread() -> None:
    def row(exchange: str, rate: float | None, stale: bool = False) -> MarketRow:
        return MarketRow(exchange, "BTC-USDT", rate, rate, None, 8.0, None, None, None, 1.0, stale)

    rows = [row("a", -0.01, stale=True), row("b", 0.001), row("c", 0.003), row("d", None)]
    (best,) = api_market.best_spreads(rows)
    assert (best.pair, best.long, best.short) == ("BTC-USDT", "b", "c")
    assert (best.spread_8h, best.apr) == pytest.approx((0.002, 2.19))
    assert api_market.best_spreads(rows[:2]) == []


async def test_a_hedge_by_hand_from_open_to_history() -> None:
    async with trading() as desk:
        opened = await desk.open()
        (row,) = (await desk.browser.get("/api/positions"))["rows"]
        assert (row["position_id"], row["pair"], row["status"]) == (opened, "BTC-USDT", "OPEN")
        assert row["number"] == desk.floor.bot.live_hedges()[0].number == 1
        assert {leg["side"] for leg in row["legs"]} == {"LONG", "SHORT"}
        assert isinstance(row["quantity"], str)
        full = await desk.browser.get(f"/api/positions/{opened}")
        assert len(full["orders"]) == 2
        assert len(full["fills"]) == 2
        blotter = (await desk.browser.get("/api/orders?limit=1"))["rows"]
        assert len(blotter) == 1
        assert blotter[0]["position_id"] == opened
        summary = await desk.browser.get("/api/summary")
        assert (summary["open"], summary["trades"]) == (1, 0)

        wrong = await desk.command(f"/api/positions/{opened}/close", {"version": row["version"] + 1})
        assert wrong[0] == 409
        assert wrong[1]["error"]["code"] == "version_moved"
        right = await desk.command(f"/api/positions/{opened}/close", {"version": row["version"]})
        assert right == (200, {"position_id": opened})
        await desk.until(lambda: not desk.floor.bot.live_hedges())
        status, _, _ = await desk.browser.ask("GET", f"/api/positions/{opened}")
        assert status == 404
        (closed,) = (await desk.browser.get("/api/history"))["rows"]
        assert (closed["position_id"], closed["close_reason"]) == (opened, "MANUAL")
        account = await desk.browser.get(f"/api/history/{opened}")
        assert len(account["orders"]) == 4
        longer = account["held_longer"]
        assert (longer["h1"], longer["h24"]) == (None, None)
        assert "once those hours are over" in longer["note"]
        old = longer_row(HeldLonger(None, None, None, too_old=True))
        assert old.note is not None
        assert "too long ago" in old.note
        assert longer_row(HeldLonger(Decimal(1), Decimal(2), Decimal(3))).note is None
        assert (await desk.browser.get("/api/summary"))["trades"] == 1
        assert {row["severity"] for row in (await desk.browser.get("/api/alerts"))["rows"]} <= {
            "INFO",
            "WARNING",
            "CRITICAL",
        }


async def test_a_double_click_opens_one_hedge() -> None:
    async with trading() as desk:
        both = await asyncio.gather(
            desk.command("/api/positions/open", OPEN, key="the-same-key"),
            desk.command("/api/positions/open", OPEN, key="the-same-key"),
        )
        assert both[0] == both[1]
        assert both[0][0] == 201
        assert len(desk.floor.bot.live_hedges()) == 1
        again = await desk.command("/api/positions/open", OPEN, key="the-same-key")
        assert again == both[0]
        other = await desk.command("/api/positions/open", {**OPEN, "size_usd": "2000"}, key="the-same-key")
        assert other[0] == 409
        assert other[1]["error"]["code"] == "key_reused"
        fresh = await desk.command("/api/positions/open", OPEN)
        assert fresh[0] == 409
        assert len(desk.floor.bot.live_hedges()) == 1


async def test_a_command_that_failed_for_the_database_is_done_when_it_is_sent_again() -> None:
    async with trading() as desk:
        submit = desk.floor.store.submit_command

        async def broken(*args: object) -> None:
            raise StoreError("no route to the database")

        desk.floor.store.submit_command = broken  # type: ignore[method-assign,assignment]
        status, document = await desk.command("/api/positions/open", OPEN, key="the-same-key")
        assert (status, document["error"]["code"]) == (503, "database")
        desk.floor.store.submit_command = submit  # type: ignore[method-assign]
        status, _ = await desk.command("/api/positions/open", OPEN, key="the-same-key")
        assert status == 201
        assert len(desk.floor.bot.live_hedges()) == 1


async def test_a_command_that_outlives_patience_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_positions, "PATIENCE", 0.2)
    async with trading() as desk:
        opening, may, ended = desk.floor.bot.open_hedge, asyncio.Event(), list[UUID]()

        async def slow(*arguments: Any) -> UUID:
            await may.wait()
            ended.append(await opening(*arguments))
            return ended[-1]

        desk.floor.bot.open_hedge = slow  # type: ignore[method-assign,assignment]
        status, document = await desk.command("/api/positions/open", OPEN, key="the-same-key")
        assert (status, document["error"]["code"]) == (503, "bot_silent")
        monkeypatch.setattr(api_positions, "PATIENCE", 30.0)
        may.set()  # both attempts go on
        status, document = await desk.command("/api/positions/open", OPEN, key="the-same-key")
        assert status == 201
        await desk.until(lambda: len(ended) == 2)
        (hedge,) = desk.floor.bot.live_hedges()
        assert str(hedge.id) == document["position_id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**OPEN, "size_usd": "-1"}, "size_usd"),
        ({**OPEN, "size_usd": "NaN"}, "size_usd"),
        ({**OPEN, "size_usd": "1e400"}, "size_usd"),
        ({**OPEN, "pair": "<script>"}, "pair"),
        ({**OPEN, "long": ""}, "long"),
        ({"pair": "BTC-USDT"}, "long"),
        ({**OPEN, "more": 1}, "more"),
    ],
)
async def test_what_is_wrong_is_named_by_field(body: dict[str, object], field: str) -> None:
    async with trading() as desk:
        status, document = await desk.command("/api/positions/open", body)
        assert status == 400
        assert field in document["error"]["fields"]
        assert "\n" not in document["error"]["message"]


SIZE = "write 1 to 999999999 USD, at most 8 decimals"
FRACTION = "write 0 or a fraction below 0.1 either way, e.g. -0.0001, at most 10 decimals"
EITHER = 'write either preset or value, such as {"preset": "moderate"}'


async def test_what_is_wrong_is_told_in_words() -> None:
    """No pattern, and no name of a class in here."""
    async with trading() as desk:
        for size in ("0.5", "5000.123456789123", "1000000000", "5,000", "5000\n", ""):
            status, document = await desk.command("/api/positions/open", {**OPEN, "size_usd": size})
            assert (status, document["error"]["fields"]) == (400, {"size_usd": SIZE}), size
            assert document["error"]["message"] == f"correct what is named (size_usd: {SIZE})"
        _, document = await desk.command("/api/positions/open", {**OPEN, "size_usd": 5000})
        assert document["error"]["fields"] == {"size_usd": f"{SIZE}; as text, in quotes"}
        _, document = await desk.command("/api/positions/open", {**OPEN, "pair": "btc"})
        assert document["error"]["fields"] == {"pair": "write a pair in capitals, such as BTC-USDT"}
        asked = "/api/calculator?pair=BTC-USDT&long=alpha&short=beta&size_usd=0.5"
        status, document, _ = await desk.browser.ask("GET", asked)
        assert (status, document["error"]["fields"]) == (400, {"size_usd": SIZE})
        path = f"/api/positions/{UUID(int=1)}/tolerance"
        for body, fields in (
            ({"value": "0.5"}, {"value": FRACTION}),
            ({"value": 0.5}, {"value": f"{FRACTION}; as text, in quotes"}),
            ({"preset": "bold"}, {"preset": "Input should be 'conservative', 'moderate' or 'aggressive'"}),
            ({}, {"body": EITHER}),
            ({"preset": "moderate", "value": "0"}, {"body": EITHER}),
        ):
            status, document = await desk.command(path, body)
            assert (status, document["error"]["fields"]) == (400, fields), body


async def test_the_document_describes_what_is_written_as_text() -> None:
    async with trading() as desk:
        paths = (await desk.browser.get("/api/openapi.json"))["paths"]
        opening, tolerance = (
            next(
                operations["post"]["requestBody"]["content"]["application/json"]["schema"]
                for path, operations in paths.items()
                if path.endswith(name)
            )
            for name in ("/open", "/tolerance")
        )
        size = opening["properties"]["size_usd"]
        assert (size["type"], size["pattern"]) == ("string", r"^[1-9][0-9]{0,8}(\.[0-9]{1,8})?$")
        assert tolerance["oneOf"] == [{"required": ["preset"]}, {"required": ["value"]}]
        (size,) = [
            each["schema"]
            for each in paths["/api/calculator"]["get"]["parameters"]
            if each["name"] == "size_usd" and each["required"]
        ]
        assert "pattern" in size


async def test_every_command_needs_a_key_and_the_document_says_so() -> None:
    async with trading() as desk:
        paths = (await desk.browser.get("/api/openapi.json"))["paths"]
        posted = {path: item["post"] for path, item in paths.items() if "post" in item}
        assert len(posted) > 10
        for path, operation in posted.items():
            required = {each["name"] for each in operation["parameters"] if each.get("required")}
            if path in ("/api/login", "/api/logout", "/api/config/check"):
                assert "Idempotency-Key" not in required, path
                continue
            assert "Idempotency-Key" in required, path
            body = {"/api/positions/open": OPEN, "/api/engine/kill": {"confirm": "KILL"}}.get(path, {})
            address = re.sub(r"[{<][^}>]*[}>]", str(UUID(int=1)), path)
            for key, said in ((None, "is missing"), ("short", "is malformed"), ("x" * 65, "is malformed")):
                headers = {"Idempotency-Key": key}
                status, document, _ = await desk.browser.ask("POST", address, body, headers=headers)
                assert (status, document["error"]["code"]) == (400, "idempotency_key"), path
                assert document["error"]["fields"] == {"Idempotency-Key": said}
                assert "Idempotency-Key" in document["error"]["message"]
        assert not desk.floor.bot.killed
        assert not desk.floor.bot.live_hedges()


SPECIFIED = """
    POST /api/positions/open
    POST /api/positions/{id}/close
    POST /api/engine/start
    POST /api/engine/stop
    POST /api/engine/kill
    POST /api/config/update
    GET /api/status
    GET /api/positions
    GET /api/history
"""


async def test_what_the_specification_names_is_there_under_its_paths() -> None:
    async with trading() as desk:
        paths = (await desk.browser.get("/api/openapi.json"))["paths"]
        _, _, response = await desk.browser.ask("GET", "/api/docs")
        assert (response.status, response.content_type) == (200, "text/html")
        known = {re.sub(r"[{<][^}>]*[}>]", "{id}", path): set(item) for path, item in paths.items()}
        for line in SPECIFIED.strip().splitlines():
            method, path = line.split()
            assert method.lower() in known[path], line


async def test_the_same_key_again_scans_once() -> None:
    async with trading() as desk:
        both = [await desk.command("/api/engine/scan", key="the-same-key") for _ in range(2)]
        assert [status for status, _ in both] == [200, 200]
        rows = (await desk.browser.get("/api/audit"))["rows"]
        assert [row["command"] for row in rows].count("SCAN") == 1


async def test_every_result_is_split() -> None:
    async with trading() as desk:
        opened = await desk.open()
        await desk.check_splits()
        await desk.command(f"/api/positions/{opened}/close")
        await desk.until(lambda: not desk.floor.bot.live_hedges())
        closed = await desk.check_splits()
        assert closed["splits"]["realized"]["slippage"] == closed["splits"]["net"]["slippage"]


async def test_an_account_that_is_not_there() -> None:
    async with trading() as desk:
        status, document = await desk.command("/api/positions/open", {**OPEN, "long": "gamma"})
        assert status == 409
        said = "account gamma is not configured; there are alpha, beta"
        assert (document["error"]["message"], document["error"]["fields"]) == (said, {"long": said})


async def test_releasing_takes_the_master_password_where_there_is_one() -> None:
    class Vaulted:
        async def confirm(self, password: Secret) -> None:
            if password.reveal() != "the master password":
                raise WrongPassword("that is not the master password")

    async with trading() as desk:
        desk.floor.bot.owner = Vaulted()
        await desk.command("/api/engine/kill", {"confirm": "KILL"})  # that takes none
        await desk.until(lambda: desk.floor.bot.flattened)
        assert (await desk.browser.get("/api/status"))["kill"]["needs_password"] is True
        for body, what in (({}, "is missing"), ({"master_password": "a guess"}, "is wrong")):
            status, refused = await desk.command("/api/engine/resume", body)
            assert (status, refused["error"]["fields"]) == (403, {"master_password": what})
            assert desk.floor.bot.killed
        right = {"master_password": "the master password"}
        status, _ = await desk.command("/api/engine/resume", right)
        assert (status, desk.floor.bot.killed) == (200, False)
        for _ in range(5):
            await desk.command("/api/engine/resume", {"master_password": "a guess"})
        status, _ = await desk.command("/api/engine/resume", right)
        assert status == 429
        audited = json.dumps((await desk.browser.get("/api/audit"))["rows"])
        assert "the master password" not in audited


async def test_what_is_not_of_this_bot_is_named_before_a_kill() -> None:
    async with trading() as desk:
        await desk.open()
        alpha = desk.floor.bot.state.accounts["alpha"]
        await desk.until(lambda: alpha.held.get("BTC-USDT"))
        own = alpha.held["BTC-USDT"]
        alpha.positions = {
            symbol: ExchangePosition("alpha", "alpha", symbol, quantity, Decimal(100))
            for symbol, quantity in (("BTC-USDT", own), ("ETH-USDT", Decimal(-3)))
        }
        kill = (await desk.browser.get("/api/status"))["kill"]
        (found,) = kill["foreign"]
        assert (found["account"], found["symbol"], found["quantity"]) == ("alpha", "ETH-USDT", "-3")
        alpha.positions["BTC-USDT"] = replace(alpha.positions["BTC-USDT"], quantity=own / 2)
        alpha.positions["ETH-USDT"] = replace(alpha.positions["ETH-USDT"], quantity=Decimal(0))
        assert (await desk.browser.get("/api/status"))["kill"]["foreign"] == []


async def test_everything_but_mainnet_is_a_simulation() -> None:
    async with trading() as desk:
        shown = {}
        for network in ("localnet", "testnet", "mainnet"):
            desk.floor.bot.network = network
            shown[network] = (await desk.browser.get("/api/status"))["simulation"]
        assert shown == {"localnet": True, "testnet": True, "mainnet": False}


async def test_automation_off_and_on() -> None:
    async with trading() as desk:
        status, document = await desk.command("/api/engine/stop")
        assert (status, document["status"]["engine"]["state"]) == (200, "PAUSED")
        status, document = await desk.command("/api/engine/start")
        assert (status, document["status"]["engine"]["state"]) == (200, "RUNNING")


async def test_kill_closes_everything_and_resume_releases() -> None:
    async with trading() as desk:
        await desk.open()
        refused = await desk.command("/api/engine/kill", {"confirm": "yes"})
        assert refused[0] == 400
        assert not desk.floor.bot.killed
        status, document = await desk.command("/api/engine/kill", {"confirm": "KILL"})
        assert status == 200
        assert document["status"]["kill"]["latched"] is True
        await desk.until(lambda: desk.floor.bot.flattened)
        assert desk.floor.position == (0, 0)
        assert (await desk.browser.get("/api/status"))["kill"]["flat"] is True
        status, document = await desk.command("/api/engine/resume")
        assert (status, document["status"]["kill"]["latched"]) == (200, False)


async def test_a_kill_gets_through_while_logins_are_throttled() -> None:
    async with trading() as desk:
        for _ in range(8):
            last, _, _ = await desk.browser.ask("POST", "/api/login", {"token": "x" * 43})
        assert last == 429
        status, _ = await desk.command("/api/engine/kill", {"confirm": "KILL"})
        assert status == 200


async def test_settled_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noted(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return series(*arguments)

    series = api_market._series
    monkeypatch.setattr(api_market, "_series", noted)
    async with trading() as desk:
        found = await desk.browser.get("/api/rates/history?pair=BTC-USDT&exchange=alpha&exchange=beta&days=1")
        assert {each["exchange"] for each in found["series"]} == {"alpha", "beta"}
        assert threads == ["fundingarb-dashboard"]  # thousands of points are nothing for the bot's loop
        status, _, _ = await desk.browser.ask("GET", "/api/rates/history")
        assert status == 400
        status, document, _ = await desk.browser.ask("GET", "/api/rates/history?pair=XRP-USDT&exchange=alpha")
        assert status == 409, document


async def test_metrics_have_a_token_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("metrics") / "token"
    file.write_text("a-token-of-its-own\n")
    file.chmod(0o600)
    async with trading(metrics_token_file=file) as desk:
        for given in ("", "Bearer", "Bearer wrong", "Basic a-token-of-its-own"):
            status, _, _ = await desk.browser.ask("GET", "/metrics", headers={"Authorization": given})
            assert status == 401
        right = {"Authorization": "Bearer a-token-of-its-own"}
        async with desk.browser.http.get(f"{desk.browser.url}/metrics", headers=right) as response:
            text = await response.text()
        assert response.status == 200
        assert 'fundingarb_state{state="RUNNING"} 1.0' in text
        assert 'fundingarb_exchange_up{exchange="alpha"} 1.0' in text
        assert "fundingarb_unhedged_usd 0.0" in text


async def test_a_database_that_is_down_is_said() -> None:
    async with trading() as desk:

        async def broken(*args: object, **options: object) -> None:
            raise StoreError("no route to the database")

        desk.floor.store.blotter = broken  # type: ignore[method-assign,assignment]
        status, document, _ = await desk.browser.ask("GET", "/api/orders")
        assert (status, document["error"]["code"]) == (503, "database")
        assert "no route to the database" in document["error"]["message"]


async def test_a_bug_tells_nothing_but_that_it_is_one() -> None:
    async with trading() as desk:

        async def broken() -> None:
            raise RuntimeError("postgresql://user:hunter2@host")

        desk.floor.bot.summary = broken  # type: ignore[method-assign,assignment]
        status, document, _ = await desk.browser.ask("GET", "/api/summary")
        assert (status, document["error"]["code"]) == (500, "internal")
        assert "hunter2" not in str(document)
        assert "the program's log" in document["error"]["message"]


async def test_the_audit_says_who_did_what() -> None:
    async with trading() as desk:
        await desk.command("/api/engine/stop")
        await desk.command("/api/engine/scan")
        await desk.command("/api/engine/refresh")
        rows = (await desk.browser.get("/api/audit"))["rows"]
        assert {row["actor"] for row in rows} == {"dashboard@127.0.0.1"}
        assert len(rows) == 3
        assert all(row["ok"] for row in rows)


async def test_a_tolerance_is_set_for_the_version_that_was_seen() -> None:
    async with trading() as desk:
        opened = await desk.open()
        (row,) = (await desk.browser.get("/api/positions"))["rows"]
        path = f"/api/positions/{opened}/tolerance"
        status, document = await desk.command(path, {"preset": "aggressive", "version": row["version"]})
        assert (status, document["version"] > row["version"]) == (200, True)
        (now,) = (await desk.browser.get("/api/positions"))["rows"]
        assert (now["tolerance_preset"], now["tolerance"]) == ("aggressive", "-0.0005")
        stale = await desk.command(path, {"value": "0", "version": row["version"]})
        assert stale[0] == 409
        assert stale[1]["error"]["code"] == "version_moved"
        for wrong in ({}, {"preset": "reckless"}, {"value": "0.5"}, {"value": "0", "preset": "moderate"}):
            assert (await desk.command(path, wrong))[0] == 400


async def test_the_calculator_adds_up() -> None:
    async with trading() as desk:
        found = await desk.browser.get("/api/calculator?pair=BTC-USDT&long=alpha&short=beta&size_usd=1000")
        assert (found["pair"], found["long"], found["short"]) == ("BTC-USDT", "alpha", "beta")
        fees = {name: Decimal(amount) for name, amount in found["fees"].items()}
        total = fees.pop("total")
        assert sum(fees.values()) == total
        funding = sum(Decimal(each["amount"]) for each in found["payments"])
        costs = total + Decimal(found["slippage"]) + Decimal(found["basis"])
        assert Decimal(found["net"]) == funding - costs
        for query in (
            "",
            "?pair=BTC-USDT&long=alpha&short=beta&size_usd=0",
            "?pair=x&long=a&short=b&size_usd=1",
        ):
            status, document, _ = await desk.browser.ask("GET", f"/api/calculator{query}")
            assert status == 400
            assert document["error"]["fields"]
        status, _, _ = await desk.browser.ask(
            "GET", "/api/calculator?pair=XRP-USDT&long=alpha&short=beta&size_usd=1000"
        )
        assert status == 409


async def test_opportunities() -> None:
    async with trading() as desk:
        found = await desk.browser.get("/api/opportunities")
        assert set(found) == {"scanned_at", "rows"}


async def test_the_review_of_a_simulation() -> None:
    async with trading() as desk:
        await desk.open()
        found = await desk.browser.get("/api/simulation")
        assert (found["simulation"], found["hedges"], found["open"]) == (True, 1, 1)
        assert 0 < found["worst_unhedged_s"] < 10
        assert set(found["alerts"]) <= {"INFO", "WARNING", "CRITICAL"}


async def test_what_many_look_at_is_asked_of_the_bot_once(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    made = api_review.review

    def noted(seen: api_review.Seen) -> api_review.Review:
        threads.append(threading.current_thread().name)
        return made(seen)

    monkeypatch.setattr(api_review, "review", noted)
    async with trading() as desk:
        bot, asked = desk.floor.bot, Counter[str]()
        for owner, name in ((bot.store, "closed"), (bot, "funding_history"), (bot, "market_rows")):
            counted(monkeypatch, owner, name, asked)
        history = "/api/rates/history?pair=BTC-USDT&exchange=alpha&days=1"
        asked.clear()
        await asyncio.gather(*(desk.browser.get("/api/simulation") for _ in range(20)))
        assert (asked["closed"], threads) == (1, ["fundingarb-dashboard"])
        await asyncio.gather(*(desk.browser.get(history) for _ in range(20)))
        assert (asked["closed"], asked["funding_history"]) == (2, 1)
        await desk.browser.get(history.replace("days=1", "days=2"))
        assert asked["funding_history"] == 2


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, asked: Counter[str]) -> None:
    """Have ``asked`` count the calls of a method."""
    method = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        asked[name] += 1
        return method(*arguments, **named)

    monkeypatch.setattr(owner, name, call)


async def test_shared_answers_grow_old_and_failures_are_not_kept() -> None:
    now, asked = [0.0], Counter[str]()
    shared = Shared(lambda: now[0])

    async def ask() -> int:
        asked["calls"] += 1
        await asyncio.sleep(0)
        if asked["calls"] == 1:
            raise StoreError("no route")
        return asked["calls"]

    outcomes = await asyncio.gather(*(shared.get("x", ask, 5) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [StoreError] * 3
    assert await asyncio.gather(*(shared.get("x", ask, 5) for _ in range(3))) == [2, 2, 2]
    now[0] = 5.0
    assert await shared.get("x", ask, 5) == 3
    for number in range(60):
        await shared.get(number, ask, 5)
    assert len(shared._known) == 50


async def test_the_longest_time_with_a_heavier_leg() -> None:
    hedge = hedge_on(LoopClock(START))
    sides = (OrderSide.BUY, OrderSide.SELL, OrderSide.SELL, OrderSide.BUY)
    fills = tuple(
        fill_of(side, START + timedelta(seconds=second))
        for side, second in zip(sides, (0, 7, 100, 103), strict=True)
    )
    now = START + timedelta(seconds=200)
    assert longest_unhedged(HedgeBooks(hedge, fills), now) == 7
    assert longest_unhedged(HedgeBooks(hedge, fills[:3]), now) == 100
    assert longest_unhedged(HedgeBooks(hedge), now) == 0


def fill_of(side: OrderSide, at: datetime) -> Fill:
    ten = Decimal(10)
    return Fill("alpha", "alpha", "BTC-USDT", f"{at}", "", None, side, ten, ten, Decimal(0), Decimal(0), at)
