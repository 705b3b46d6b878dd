"""From simulation to live: hours that count, a review, the master password, and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

import fundingarb.golive.hours
from fundingarb.app import Surroundings
from fundingarb.config import Config, load_config
from fundingarb.config.digest import configuration_digest, setup_digest
from fundingarb.domain.control import AuditEntry
from fundingarb.errors import ConfigError, WrongPassword
from fundingarb.golive import LiveSwitch, SimulatedHours
from fundingarb.ports import Secret
from fundingarb.store import SqlStore, open_store
from fundingarb.testing import FakeClock
from fundingarb.testing.clock import START
from fundingarb.unlocking import VaultOwner, bind_approval, end_approvals, refuse_unapproved, unlocked
from fundingarb.vault import LEAST_COSTS, StoredAccount, Vault, VaultError
from fundingarb.vault.journal import LONGEST, Stretch, simulated

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
KEYS = {"api_key": Secret("the-key-of-somebody"), "api_secret": Secret("the-secret-of-somebody")}
TEXT = """\
# mine
network: testnet  # for now
database: {{url: "sqlite:///{folder}/bot.db"}}
vault: {folder}/credentials.vault
accounts:
  binance: {{exchange: binance, testnet: true}}
  bybit: {{exchange: bybit}}
plugins: {{allow: [fundingarb-binance, fundingarb-bybit]}}
trading: {{symbols: [BTC-USDT]}}
"""
HOUR = timedelta(hours=1)


@dataclass
class Stage:
    """A simulation: its file, vault, database and switch."""

    file: Path
    vault: Vault
    store: SqlStore
    clock: FakeClock
    config: Config

    @property
    def switch(self) -> LiveSwitch:
        return LiveSwitch(
            self.store, self.clock, lambda: self.config, self.vault.path, self.vault.journal_key
        )

    async def simulate(self, hours: int, config: Config | None = None, since: datetime = START) -> None:
        digest = configuration_digest(config or self.config)
        for number in range(hours):
            stretch = Stretch("testnet", digest, since + number * HOUR, since + (number + 1) * HOUR)
            await self.store.audit(stretch.entry(self.vault.journal_key))

    async def go(self, password: str = PASSWORD) -> str:
        switch = self.switch
        return await switch.go_live(Secret(password), (await switch.review()).ticket, "cli:me")

    async def audited(self) -> list[tuple[bool, str]]:
        return [(row.ok, row.result) for row in await self.store.audited() if row.command == "GO_LIVE"]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as made:
        yield made


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    os.chmod(folder, 0o700)
    file = folder / "fundingarb.yaml"
    file.write_text(TEXT.format(folder=folder))
    vault = Vault.create(folder / "credentials.vault", PASSWORD, LEAST_COSTS)
    for name in ("binance", "bybit"):
        vault.put_account(StoredAccount(name, name, "testnet", KEYS))
        vault.put_account(StoredAccount(name, name, "mainnet", KEYS))
    vault.save()
    config, clock = load_config(file, env={}), FakeClock()
    async with open_store(config.database.url, clock) as store:
        yield Stage(file, vault, store, clock, config)


async def refused(stage: Stage, match: str, password: str = PASSWORD) -> None:
    """Going live fails, and leaves file and vault as they were, and a trace."""
    before = stage.file.read_text(), stage.vault.path.read_bytes()
    with pytest.raises(ConfigError, match=match):
        await stage.go(password)
    assert (stage.file.read_text(), stage.vault.path.read_bytes()) == before
    assert (await stage.audited())[0][0] is False


async def test_after_the_hours_the_password_switches_the_file(stage: Stage) -> None:
    await stage.simulate(24)
    review = await stage.switch.review()
    assert review.hours == review.needed == 24
    assert review.network == "testnet"
    assert not review.obstacles
    assert review.sent == ""
    assert "start the bot again" in await stage.go()
    text = stage.file.read_text()
    assert "network: mainnet  # for now" in text
    assert "# mine" in text
    config = load_config(stage.file, env={})
    assert config.network == "mainnet"
    assert config.database.url.endswith("/bot-live.db")
    assert config.trading == stage.config.trading
    assert stat.S_IMODE(os.stat(stage.vault.path).st_mode) == 0o600
    assert (await stage.audited())[0][0]
    opened = await unlocked(config, Surroundings(unlock=lambda: Vault.open(stage.vault.path, PASSWORD)))
    refuse_unapproved(config, opened.approval)
    assert sorted(opened.around.venues) == ["binance", "bybit"]


async def test_without_the_hours_nobody_goes_live(stage: Stage) -> None:
    await stage.simulate(23)
    review = await stage.switch.review()
    assert review.ticket == ""
    assert review.obstacles[0].startswith("23.0 of 24 hours")
    await refused(stage, "review it again")


async def test_the_wrong_password_goes_nowhere_and_uses_the_ticket_up(stage: Stage) -> None:
    await stage.simulate(24)
    switch = stage.switch
    ticket = (await switch.review()).ticket
    with pytest.raises(WrongPassword):
        await switch.go_live(Secret(PASSWORD + "x"), ticket, "dashboard:me")
    with pytest.raises(ConfigError, match="review it again"):
        await switch.go_live(Secret(PASSWORD), ticket, "dashboard:me")
    assert "network: testnet" in stage.file.read_text()
    assert [ok for ok, _ in await stage.audited()] == [False, False]
    assert not any(PASSWORD in result for _, result in await stage.audited())


async def test_a_request_that_is_replayed_does_nothing(stage: Stage) -> None:
    await stage.simulate(24)
    switch = stage.switch
    ticket = (await switch.review()).ticket
    said = await switch.go_live(Secret(PASSWORD), ticket, "dashboard:me")
    assert (await switch.review()).sent == f"2026-01-05 07:38 UTC: {said}"
    stage.file.write_text(TEXT.format(folder=stage.file.parent))
    for again in (ticket, "", "made up"):
        with pytest.raises(ConfigError, match="review it again"):
            await switch.go_live(Secret(PASSWORD), again, "dashboard:me")
    assert "network: testnet" in stage.file.read_text()


async def test_another_configuration_has_its_own_hours(stage: Stage) -> None:
    await stage.simulate(24)
    stage.file.write_text(stage.file.read_text().replace("[BTC-USDT]", "[BTC-USDT, ETH-USDT]"))
    ticket = (await stage.switch.review()).ticket
    switch = stage.switch
    ticket = (await switch.review()).ticket
    stage.config = load_config(stage.file, env={})
    with pytest.raises(ConfigError, match="review it again"):
        await switch.go_live(Secret(PASSWORD), ticket, "cli:me")
    assert (await stage.switch.review()).hours == 0


@pytest.mark.parametrize(
    ("name", "without", "said"),
    [
        ("bybit", "mainnet", "no keys of bybit on mainnet"),
        ("binance", "mainnet", "no keys of binance on mainnet"),
    ],
)
async def test_without_live_keys_nobody_goes_live(stage: Stage, name: str, without: str, said: str) -> None:
    stage.vault.remove_account(name, without)
    stage.vault.save()
    await stage.simulate(24)
    await refused(stage, said)


async def test_plugins_have_to_be_named(stage: Stage) -> None:
    stage.file.write_text(stage.file.read_text().replace("plugins:", "#"))
    stage.config = load_config(stage.file, env={})
    await stage.simulate(24)
    assert "plugins.allow" in (await stage.switch.review()).obstacles[0]


async def test_what_the_environment_says_is_not_switched_in_the_file(stage: Stage) -> None:
    stage.config = load_config(stage.file, env={"FUNDINGARB__NETWORK": "testnet"})
    await stage.simulate(24)
    await refused(stage, "contradicts network testnet|cannot be switched by itself")


# the database


async def test_rows_that_were_made_up_do_not_count(stage: Stage) -> None:
    """Whoever writes the database cannot write what only the vault's key makes."""
    await stage.simulate(2)
    digest = configuration_digest(stage.config)
    entry = Stretch("testnet", digest, START, START + 2 * HOUR).entry(Secret(os.urandom(32).hex()))
    await stage.store.audit(entry)
    good = next(row for row in await stage.store.audited() if row.command == "SIMULATED")
    for change in (
        {"until": (START + 30 * HOUR).isoformat()}, {"since": (START - HOUR).isoformat()}, {"mac": ""},
        {"configuration": "x"}, {"network": "mainnet"}, {"mac": None}, {"since": 5},
    ):  # fmt: skip
        await stage.store.audit(replace(good, arguments={**good.arguments, **change}, result=str(change)))
    assert (await stage.switch.review()).hours == 2


async def test_rows_that_were_copied_count_once(stage: Stage) -> None:
    await stage.simulate(3)
    rows = [row for row in await stage.store.audited() if row.command == "SIMULATED"]
    for number in range(20):
        for row in rows:
            await stage.store.audit(replace(row, result=f"copy {number}", at=row.at + number * HOUR))
    assert (await stage.switch.review()).hours == 3


def test_a_stretch_is_no_longer_than_a_bot_writes_one() -> None:
    key = Secret(os.urandom(32).hex())
    for length, counted in ((LONGEST, LONGEST), (LONGEST + HOUR, timedelta(0)), (-HOUR, timedelta(0))):
        entry = Stretch("testnet", "x", START, START + length).entry(key)
        assert simulated([entry], key, "x") == counted


async def test_an_edited_database_or_file_is_not_live(stage: Stage) -> None:
    """No row makes anything live: a start on mainnet asks the vault, which only the master password writes."""
    await stage.simulate(30)
    await stage.store.audit(AuditEntry(START, "cli:me", "GO_LIVE", {}, True, "approved"))
    stage.file.write_text(
        stage.file.read_text().replace("testnet  #", "mainnet  #").replace(", testnet: true", "")
    )
    config = load_config(stage.file, env={})
    opened = await unlocked(config, Surroundings(unlock=lambda: Vault.open(stage.vault.path, PASSWORD)))
    assert opened.approval is None
    with pytest.raises(ConfigError, match="were never sent live"):
        refuse_unapproved(config, opened.approval)


async def test_an_approval_is_of_accounts_strategy_and_plugins(stage: Stage) -> None:
    await stage.simulate(24)
    await stage.go()
    live = load_config(stage.file, env={})
    digest = setup_digest(live)
    for old, new, same in (
        ("[BTC-USDT]", "[ETH-USDT]", True),
        ("{exchange: bybit}", "{exchange: okx}", False),
        ("[fundingarb-binance, ", "[fundingarb-binance, stranger, ", False),
    ):
        stage.file.write_text(stage.file.read_text().replace(old, new))
        assert (setup_digest(load_config(stage.file, env={})) == digest) is same
        stage.file.write_text(stage.file.read_text().replace(new, old))


async def test_an_approval_is_good_for_one_database_wherever_that_is(stage: Stage, tmp_path: Path) -> None:
    await stage.simulate(24)
    await stage.go()
    live = load_config(stage.file, env={})

    async def start(url: str) -> None:
        async with open_store(url, stage.clock) as store:
            await bind_approval(live, Vault.open(stage.vault.path, PASSWORD), store, stage.clock)

    for _ in range(2):
        await start(f"sqlite:///{tmp_path}/live.db")
    (approval,) = Vault.open(stage.vault.path, PASSWORD).approvals()
    assert approval.used
    with pytest.raises(ConfigError, match="with another database; name that one"):
        await start(f"sqlite:///{tmp_path}/other.db")
    os.rename(tmp_path / "live.db", tmp_path / "moved.db")
    await start(f"sqlite:///{tmp_path}/moved.db")
    other = "".join(reversed(approval.mark(stage.vault.journal_key)))
    async with open_store(f"sqlite:///{tmp_path}/other.db", stage.clock) as store:
        await store.set_live_mark(other, stage.clock.now())  # whoever writes the database cannot make one
    with pytest.raises(ConfigError, match="with another database"):
        await start(f"sqlite:///{tmp_path}/other.db")


@pytest.mark.parametrize(
    ("old", "new", "env", "ends"),
    [
        ("[BTC-USDT]", "[ETH-USDT]", {}, True),
        ("/bot.db", "/another.db", {}, True),  # the same file
        (", testnet: false", "", {"FUNDINGARB__NETWORK": "testnet"}, False),
    ],
)
async def test_a_simulation_that_starts_again_ends_its_approval(
    stage: Stage, old: str, new: str, env: dict[str, str], ends: bool
) -> None:
    """Not that of a live bot which it is only beside: that has to come up again after a crash."""
    await stage.simulate(24)
    await stage.go()
    text = stage.file.read_text() if env else TEXT.format(folder=stage.file.parent)
    stage.file.write_text(text.replace(old, new))
    config = load_config(stage.file, env=env)
    assert config.network == "testnet"
    ended = await end_approvals(config, Vault.open(stage.vault.path, PASSWORD))
    assert bool(ended) is ends
    assert bool(Vault.open(stage.vault.path, PASSWORD).approvals()) is not ends


async def test_another_simulation_with_the_same_set_up_ends_nothing(stage: Stage, tmp_path: Path) -> None:
    await stage.simulate(24)
    await stage.go()
    (tmp_path / "beside.yaml").write_text(TEXT.format(folder=tmp_path).replace("/bot.db", "/beside.db"))
    config = load_config(tmp_path / "beside.yaml", env={})
    assert setup_digest(config) == setup_digest(stage.config)
    assert await end_approvals(config, Vault.open(stage.vault.path, PASSWORD)) == []


async def test_neither_the_command_line_nor_the_environment_goes_live(stage: Stage) -> None:
    await stage.simulate(24)
    await stage.go()
    approval = Vault.open(stage.vault.path, PASSWORD).approval(setup_digest(stage.config))
    refuse_unapproved(load_config(stage.file, env={}), approval)
    stage.file.write_text(TEXT.format(folder=stage.file.parent).replace(", testnet: true", ""))
    for over, env in (({"network": "mainnet"}, {}), ({}, {"FUNDINGARB__NETWORK": "mainnet"})):
        for text in (stage.file.read_text(), stage.file.read_text().replace("network: testnet", "#")):
            stage.file.write_text(text)
            with pytest.raises(ConfigError, match="neither --set nor the environment goes live"):
                refuse_unapproved(load_config(stage.file, over, env), approval)


async def test_a_file_that_cannot_be_replaced_leaves_no_approval(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.simulate(24)
    really = os.replace

    def full(source: Any, target: Any, **named: Any) -> None:
        if Path(target).name == stage.file.name:
            raise OSError(30, "Read-only file system")
        really(source, target, **named)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigError, match=r"cannot be written: .* nothing was changed"):
        await stage.go()
    assert "network: testnet" in stage.file.read_text()
    assert not Vault.open(stage.vault.path, PASSWORD).approvals()


# the hours


@dataclass
class Simulating:
    """The part of a bot that the journal looks at."""

    store: SqlStore
    clock: FakeClock
    state: str = "RUNNING"
    network: str = "testnet"

    def status(self) -> Any:
        return self


async def counted(stage: Stage, *states: tuple[str, int], step: float = 15.0) -> timedelta:
    """What is in the journal after a bot was in these states for so many looks each."""
    bot = cast(Any, Simulating(stage.store, stage.clock))
    hours = SimulatedHours(
        cast(Any, None), stage.vault.journal_key, lambda: configuration_digest(stage.config)
    )
    for state, looks in states:
        bot.state = state
        for _ in range(looks):
            stage.clock.advance(step)
            await hours.look(bot, step)
    await hours._write(bot)
    return simulated(
        await stage.store.audited(limit=10_000), stage.vault.journal_key, configuration_digest(stage.config)
    )


async def test_only_time_in_which_it_runs_counts(stage: Stage) -> None:
    took = await counted(
        stage, ("STARTING", 40), ("RUNNING", 241), ("PAUSED", 100), ("RUNNING", 5), ("KILLED", 9)
    )
    assert took == timedelta(seconds=(240 + 4) * 15)


async def test_a_journal_that_fails_takes_no_bot_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise RuntimeError("a bug")

    monkeypatch.setattr(fundingarb.golive.hours, "LOOK", 0.01)
    async with SimulatedHours.opened(stage.vault.journal_key, broken) as hours:
        await hours.start(cast(Any, Simulating(stage.store, stage.clock)))
        await anyio.sleep(0.05)
    assert "simulated hours are not counted" in caplog.text


async def test_time_that_was_slept_through_does_not_count(stage: Stage) -> None:
    assert await counted(stage, ("RUNNING", 10), step=3600.0) == timedelta(0)


async def test_releasing_the_kill_switch_is_for_whoever_has_the_master_password(tmp_path: Path) -> None:
    path = tmp_path / "credentials.vault"
    owner = VaultOwner(path, Vault.create(path, PASSWORD, LEAST_COSTS).journal_key)
    await owner.confirm(Secret(PASSWORD))
    with pytest.raises(WrongPassword):
        await owner.confirm(Secret("not that one at all"))
    path.unlink()
    Vault.create(path, PASSWORD, LEAST_COSTS)
    with pytest.raises(VaultError, match="another vault"):
        await owner.confirm(Secret(PASSWORD))
