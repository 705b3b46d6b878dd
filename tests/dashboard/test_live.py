"""Going live over the API: what is in the way, the master password, once; and no trace of the password."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.dashboard.trading import Desk, trading
from tests.golive.test_going_live import PASSWORD, Stage, staged
from tests.system.test_secrets import forms

from fundingarb.errors import ConfigError, WrongPassword
from fundingarb.unlocking import VaultOwner
from fundingarb_dashboard.answers import Problem
from fundingarb_dashboard.replies import Key, Replies

pytestmark = pytest.mark.anyio

GUESS = "a guess that is quite wrong"


@dataclass
class Going:
    """A bot that simulates on testnet, with what it has on disk, and the browser beside it."""

    desk: Desk
    stage: Stage
    said: list[str] = field(default_factory=list)

    async def way(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.desk.browser.get("/api/live")
        self.said.append(json.dumps(found))
        return found

    async def go(self, ticket: str, password: str = PASSWORD, **more: Any) -> tuple[int, Any]:
        body = {"confirm": "LIVE", "ticket": ticket, "master_password": password}
        status, document = await self.desk.command("/api/live", {**body, **more.pop("body", {})}, **more)
        self.said.append(json.dumps(document))
        return status, document

    @property
    def network(self) -> str:
        """What the configuration's file says."""
        (line,) = (each for each in self.stage.file.read_text().splitlines() if each.startswith("network:"))
        return line.split()[1]


@asynccontextmanager
async def going(folder: Path, hours: int = 24) -> AsyncIterator[Going]:
    async with staged(folder) as stage, trading() as desk:
        await stage.simulate(hours)
        bot = desk.floor.bot
        bot.network, bot.live = "testnet", stage.switch
        yield Going(desk, stage)


async def test_what_is_in_the_way_is_said_and_nothing_gets_past_it(tmp_path: Path) -> None:
    async with going(tmp_path, hours=23) as found:
        way = await found.way()
        assert way["network"] == "testnet"
        assert way["obstacles"][0].startswith("23.0 of 24 hours were simulated with this configuration")
        assert (way["ticket"], way["sent"]) == (None, None)
        assert (way["review"]["hours"], way["review"]["needed"]) == ("23", "24")
        status, refused = await found.go("made up")
        assert (status, refused["error"]["code"]) == (409, "refused")
        assert "review it again" in refused["error"]["message"]
        assert found.network == "testnet"


async def test_the_word_the_ticket_and_the_master_password_switch_the_file(tmp_path: Path) -> None:
    async with going(tmp_path) as found:
        way = await found.way()
        assert way["obstacles"] == []
        for body, name in (
            ({"confirm": "yes"}, "confirm"),
            ({"master_password": None}, "master_password"),
            ({"master_password": ""}, "master_password"),
            ({"ticket": ""}, "ticket"),
            ({"more": 1}, "more"),
        ):
            status, wrong = await found.go(way["ticket"], body=body)
            assert (status, list(wrong["error"]["fields"])) == (400, [name])
        assert found.network == "testnet"
        status, done = await found.go(way["ticket"])
        assert (status, done["restart"]) == (200, True)
        assert "start the bot again to trade with real money" in done["said"]
        assert found.network == "mainnet"
        after = await found.way()
        assert after["sent"].endswith(done["said"])
        assert (await found.desk.browser.get("/api/status"))["network"] == "testnet"  # until it is restarted
        (row,) = [row for row in await found.stage.store.audited() if row.command == "GO_LIVE"]
        assert (row.actor, row.ok, row.result) == ("dashboard@127.0.0.1", True, done["said"])


async def test_a_wrong_password_is_said_at_its_field_and_uses_the_ticket_up(tmp_path: Path) -> None:
    async with going(tmp_path) as found:
        ticket = (await found.way())["ticket"]
        status, refused = await found.go(ticket, GUESS)
        assert (status, refused["error"]["code"]) == (403, "master_password")
        assert refused["error"]["fields"] == {"master_password": "is wrong"}
        status, refused = await found.go(ticket)
        assert (status, refused["error"]["code"]) == (409, "refused")
        assert found.network == "testnet"
        assert [ok for ok, _ in await found.stage.audited()] == [False, False]


async def test_a_request_that_is_sent_again_does_nothing(tmp_path: Path) -> None:
    async with going(tmp_path) as found:
        ticket = (await found.way())["ticket"]
        first = await found.go(ticket, key="the-same-key")
        assert first[0] == 200
        found.stage.file.write_text(found.stage.file.read_text().replace("mainnet", "testnet"))
        assert await found.go(ticket, key="the-same-key") == first  # told again, not done again
        assert found.network == "testnet"
        assert len(await found.stage.audited()) == 1
        status, _ = await found.go(ticket)
        assert (status, found.network) == (409, "testnet")
        await found.desk.browser.ask("POST", "/api/logout")
        await found.desk.browser.login()
        assert await found.go(ticket, key="the-same-key") == first
        status, _ = await found.go(ticket, key="another-key")
        assert (status, found.network) == (409, "testnet")


async def test_guesses_are_throttled_together_with_those_at_the_kill_switch(tmp_path: Path) -> None:
    async with going(tmp_path) as found:
        found.desk.floor.bot.owner = VaultOwner(found.stage.vault.path, found.stage.vault.journal_key)
        await found.desk.command("/api/engine/kill", {"confirm": "KILL"})
        await found.desk.until(lambda: found.desk.floor.bot.flattened)
        for _ in range(3):
            status, _ = await found.go((await found.way())["ticket"], GUESS)
            assert status == 403
        for _ in range(2):
            status, _ = await found.desk.command("/api/engine/resume", {"master_password": GUESS})
            assert status == 403
        ticket = (await found.way())["ticket"]
        for path in ("/api/live", "/api/engine/resume"):
            body = {"confirm": "LIVE", "ticket": ticket} if path == "/api/live" else {}
            status, late = await found.desk.command(path, {**body, "master_password": PASSWORD})
            assert (status, late["error"]["code"]) == (429, "too_many_requests")
        assert found.network == "testnet"
        assert found.desk.floor.bot.killed


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("localnet", "going live starts from a simulation on testnet"),
        ("testnet", "without a credentials vault"),
        ("mainnet", "trades with real money already"),
    ],
)
async def test_a_bot_that_cannot_go_live_says_why(network: str, said: str) -> None:
    async with trading() as desk:
        desk.floor.bot.network = network
        way = await desk.browser.get("/api/live")
        (obstacle,) = way["obstacles"]
        assert said in obstacle
        assert (way["review"], way["ticket"], way["network"]) == (None, None, network)
        body = {"confirm": "LIVE", "ticket": "made up", "master_password": PASSWORD}
        status, refused = await desk.command("/api/live", body)
        assert (status, refused["error"]["code"]) == (409, "refused")
        assert said in refused["error"]["message"]


async def test_a_refusal_that_is_kept_keeps_no_password() -> None:
    class Password(str):
        __slots__ = ("__weakref__",)

    known: list[weakref.ref[Password]] = []

    async def refuse() -> None:
        password = Password(GUESS)
        known.append(weakref.ref(password))
        try:
            raise ValueError(len(password))
        except ValueError:
            raise WrongPassword("that is not the master password") from None

    replies, key = Replies(), Key("me", b"asked", "durable")

    async def request(error: type[Exception]) -> None:
        with pytest.raises(error, match="not the master password"):
            await replies.once(key, refuse)

    for error in (WrongPassword, Problem, Problem):
        await asyncio.ensure_future(request(error))
    await asyncio.sleep(0)
    gc.collect()
    assert [found() for found in known] == [None]


async def test_a_refusal_leaves_whoever_handed_it_on_alone() -> None:
    """An exception that went through a task which goes on is only forgotten; the task is not touched."""
    handed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    may, ended = asyncio.Event(), list[bool]()

    async def worker() -> None:
        try:
            raise ConfigError("refused")
        except ConfigError as error:
            handed.set_exception(error)
        await may.wait()
        ended.append(True)

    async def ask() -> None:
        await handed

    working = asyncio.ensure_future(worker())
    with pytest.raises(ConfigError):
        await Replies().once(Key("me", b"asked", "durable"), ask)
    may.set()
    await asyncio.wait_for(working, 10)
    assert ended == [True]


async def test_the_master_password_is_found_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with going(tmp_path) as found:
        browser = found.desk.browser
        async with found.desk.watching() as stream:
            await stream.until("SNAPSHOT")
            for password in (GUESS, PASSWORD):
                await found.go((await found.way())["ticket"], password)
            await found.go("made up", body={"ticket": ["not a ticket"]})
            await found.go("made up", body={"confirm": GUESS})
            await stream.until("HEARTBEAT")
            found.said.append(json.dumps(stream.seen))
        for path in ("status", "audit", "alerts", "orders", "simulation", "openapi.json"):
            found.said.append(json.dumps(await browser.get(f"/api/{path}")))
        store = found.desk.floor.store
        found.said.append(repr((store.noted, store.commands, store.batches)))
        found.said += [record.getMessage() + str(record.exc_info) for record in caplog.records]
        assert found.network == "mainnet"
    found.said.append(caplog.text)
    written = everything_in(tmp_path)
    assert {"bot.db", "credentials.vault", "fundingarb.yaml"} <= set(written)
    everything = [*(text.encode() for text in found.said), *written.values()]
    assert any(b"dashboard@127.0.0.1" in text for text in everything)  # it is looked at in the right places
    for password in (PASSWORD, GUESS):
        for form in forms(password):
            assert not [text[:200] for text in everything if form in text], form


def everything_in(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
