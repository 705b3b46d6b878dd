"""A whole bot in simulation: keys of the vault, rates of mainnet, and whatever is signed in the test environments."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import anyio
import pytest
from tests.dashboard.serving import Browser
from tests.exchanges.recording import Front, front, point_dns_at
from tests.exchanges.test_guard import PLAY, REAL, permitted

import fundingarb.golive.hours
from fundingarb.app import Extras, Surroundings, open_bot
from fundingarb.config import Config, load_config
from fundingarb.config.digest import configuration_digest
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError
from fundingarb.exchanges import rest
from fundingarb.localnet.installed import installed_dialects
from fundingarb.localnet.run import Options, run_localnets
from fundingarb.panel import open_panel
from fundingarb.plugins import load_plugins
from fundingarb.ports import Secret
from fundingarb.testing.clock import START
from fundingarb.vault import LEAST_COSTS, StoredAccount, Vault
from fundingarb.vault.journal import Stretch, simulated

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
EXCHANGES = ("binance", "bybit")


@asynccontextmanager
async def exchanges(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Front, Vault]]:
    """Two exchanges under their own host names, and a vault with keys for their test environments."""
    os.chmod(folder, 0o700)
    vault = Vault.create(folder / "credentials.vault", PASSWORD, LEAST_COSTS)
    async with installed_dialects(EXCHANGES) as dialects, run_localnets(dialects, Options()) as localnet:
        routes: dict[str, str] = {}
        for name in EXCHANGES:
            ready = localnet.ready["exchanges"][name]
            account = ready["accounts"][0]
            keys = {field: Secret(account[field]) for field in ("api_key", "api_secret")}
            vault.put_account(StoredAccount(name, name, "testnet", keys))
            routes.update(dict.fromkeys(REAL[name] | PLAY[name], ready["rest"]))
        vault.save()
        async with front("http://127.0.0.1:1", sorted(routes), folder) as (made, ca):
            made.routes = routes
            point_dns_at(made.port, monkeypatch)
            trust = ssl.create_default_context(cafile=ca)
            monkeypatch.setattr(rest, "usual_authorities", lambda: trust)
            yield made, vault


def configuration(folder: Path, network: str = "testnet") -> Config:
    return load_config(
        None,
        {
            "network": network,
            "database.url": f"sqlite:///{folder}/bot.db",
            "vault": str(folder / "credentials.vault"),
            "accounts": {name: {"exchange": name} for name in EXCHANGES},
            "accounts.binance.accept_unknown_rights": True,
            "trading.symbols": ["BTC-USDT"],
            "plugins.allow": [f"fundingarb-{name}" for name in EXCHANGES],
            "backup.enabled": False,
        },
        {},
    )


async def test_a_simulation_without_a_list_of_plugins_says_at_once_that_it_is_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = configuration(tmp_path)
    unnamed = config.model_copy(update={"plugins": config.plugins.model_copy(update={"allow": None})})
    async with exchanges(tmp_path, monkeypatch) as (_, vault):
        around = Surroundings(unlock=lambda: Vault.open(vault.path, PASSWORD))
        for each, said in ((config, False), (unnamed, True)):
            async with open_bot(each, around, extras=Extras(services=False)):
                assert ("plugins.allow is not set" in caplog.text) is said


async def test_a_bot_simulates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fundingarb.golive.hours, "LOOK", 0.1)
    config = configuration(tmp_path)
    async with exchanges(tmp_path, monkeypatch) as (made, vault):
        around = Surroundings(unlock=lambda: Vault.open(vault.path, PASSWORD))
        async with (
            open_bot(config, around, extras=Extras(services=False)) as bot,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(bot.run)
            with anyio.fail_after(60):
                await bot.ready.wait()
                while not all(each.balance for each in bot.status().accounts):  # noqa: ASYNC110 - nobody says so
                    await anyio.sleep(0.1)
                await anyio.sleep(1.0)
            assert bot.status().network == "testnet"
            assert bot.parts.rights_accepted == {"binance"}
            assert bot.live is not None
            review = await bot.live.review()
            assert not review.ticket
            assert "of 24 hours were simulated" in review.obstacles[0]
            bot.stop()
        # the bot is over and has noted its time
        async with open_bot(config, around, extras=Extras(services=False)) as bot:
            took = simulated(await bot.store.audited(), vault.journal_key, configuration_digest(config))
        assert 0.5 < took.total_seconds() < 60
    exchange_of = {host: name for name in EXCHANGES for host in REAL[name] | PLAY[name]}
    assert {exchange_of[each.host] for each in made.signed} == set(EXCHANGES)
    assert [each for each in made.signed if not permitted(exchange_of[each.host], "testnet", each)] == []
    asked = {each.host for each in made.heard}
    assert asked & REAL["binance"], "rates are real"
    assert asked & REAL["bybit"], "rates are real"


async def test_a_bot_is_sent_live_at_its_dashboard_and_trades_so_from_its_next_start_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange_of = {host: name for name in EXCHANGES for host in REAL[name] | PLAY[name]}
    async with exchanges(tmp_path, monkeypatch) as (made, vault):
        for name in EXCHANGES:
            stored = vault.account(name, "testnet")
            assert stored is not None
            vault.put_account(replace(stored, network="mainnet"))
        vault.save()
        around = Surroundings(unlock=lambda: Vault.open(vault.path, PASSWORD))
        file = tmp_path / "fundingarb.yaml"
        file.write_text(FILE.format(folder=tmp_path))
        config = load_config(file, env={})
        async with running(config, around) as bot:
            for hour in range(24):
                since = START + timedelta(hours=hour)
                until = since + timedelta(hours=1)
                stretch = Stretch("testnet", configuration_digest(config), since, until)
                await bot.store.audit(stretch.entry(vault.journal_key))
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
                printed = capsys.readouterr().err.partition("dashboard: open ")[2]
                page = Browser(printed.partition("/#")[0], http, [printed])
                await page.login()
                way = await page.get("/api/live")
                assert way["obstacles"] == []
                body = {"confirm": "LIVE", "ticket": way["ticket"], "master_password": PASSWORD}
                status, done, _ = await page.ask(
                    "POST", "/api/live", body, headers={"Idempotency-Key": "golive-1"}
                )
                assert (status, done["restart"]) == (200, True)
                assert (await page.get("/api/status"))["network"] == "testnet"
        assert {exchange_of[each.host] for each in made.signed} == set(EXCHANGES)
        assert [each for each in made.signed if not permitted(exchange_of[each.host], "testnet", each)] == []
        made.heard.clear()
        live = load_config(file, env={})
        assert (live.network, live.database.url) == ("mainnet", f"sqlite:///{tmp_path}/bot-live.db")
        async with running(live, around) as bot:
            assert bot.status().network == "mainnet"
            assert bot.live is None
        assert {exchange_of[each.host] for each in made.signed} == set(EXCHANGES)
        assert [each for each in made.signed if not permitted(exchange_of[each.host], "mainnet", each)] == []
        approved = file.read_text()
        file.write_text(FILE.format(folder=tmp_path))
        async with running(load_config(file, env={}), around) as bot:
            (ended, *_) = [each.result for each in await bot.store.audited() if each.actor == "program"]
            assert "has ended: it is simulated again" in ended
        file.write_text(approved)
        with pytest.raises(ConfigError, match="never sent live"):
            async with open_bot(load_config(file, env={}), around):
                pass


FILE = """\
network: testnet
database: {{url: "sqlite:///{folder}/bot.db"}}
vault: {folder}/credentials.vault
accounts: {{binance: {{exchange: binance}}, bybit: {{exchange: bybit}}}}
plugins: {{allow: [fundingarb-binance, fundingarb-bybit, fundingarb-dashboard]}}
trading: {{symbols: [BTC-USDT]}}
backup: {{enabled: false}}
dashboard: {{port: 0, password_file: {folder}/dashboard.password}}
"""


@asynccontextmanager
async def running(config: Config, around: Surroundings) -> AsyncIterator[Bot]:
    """A bot that has read its accounts."""
    async with open_bot(config, around) as bot, anyio.create_task_group() as tasks:
        tasks.start_soon(bot.run)
        with anyio.fail_after(60):
            await bot.ready.wait()
            while not all(each.balance for each in bot.status().accounts):  # noqa: ASYNC110 - nobody says so
                await anyio.sleep(0.1)
        yield bot
        bot.stop()


async def test_real_money_wants_an_approval_and_keys_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exchanges(tmp_path, monkeypatch) as (made, vault):
        around = Surroundings(unlock=lambda: Vault.open(vault.path, PASSWORD))
        with pytest.raises(ConfigError, match="never sent live"):
            async with open_bot(configuration(tmp_path, "mainnet"), around):
                pass
        with pytest.raises(ConfigError, match=r"no credentials of that name .* fundingarb vault add"):
            async with open_bot(configuration(tmp_path, "mainnet"), around, extras=Extras(caretaker=print)):
                pass
    assert made.heard == []


async def test_a_kill_latches_without_the_password_and_asks_for_it_only_to_do_it_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration(tmp_path)
    asked: list[str] = []
    async with exchanges(tmp_path, monkeypatch) as (_, vault):

        def unlock() -> Vault:
            asked.append("password")
            return Vault.open(vault.path, PASSWORD)

        around, said = Surroundings(unlock=unlock), list[str]()
        async with (
            open_bot(config, around, extras=Extras(services=False)) as bot,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(bot.run)
            with anyio.fail_after(60):
                await bot.ready.wait()
                asked.clear()
                async with open_panel(config, around, load_plugins()) as panel:
                    await panel.kill(said.append)
            assert asked == []
            assert bot.killed
            bot.stop()
        assert said[0] == "kill switch latched"
        async with open_panel(config, around, load_plugins()) as panel:
            with anyio.fail_after(60):
                await panel.release(said.append)
                assert asked
                asked.clear()
                await panel.kill(said.append)
            latch = await panel.store.latch()
        assert asked
        assert latch is not None
        assert latch.on
        assert "no bot is running: closing everything from here" in said
