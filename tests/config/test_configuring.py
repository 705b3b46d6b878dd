"""The configuration of a running bot: described, checked, put in force at once, written, stored, taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.domain.make import D, instrument, plan
from tests.engine.rig import Floor, Proposing
from tests.engine.stage import opened

from fundingarb.builtin.strategy import FundingSpread
from fundingarb.config import Config, load_config
from fundingarb.config.document import document_of
from fundingarb.configuring import ConfigKeeper
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import Mode
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.opportunity import EntryRules, HedgePlan, Refusal
from fundingarb.domain.risk import Portfolio, refuse
from fundingarb.engine.bot import Bot
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError, ConfigRefused, ExchangeUnavailable, StoreError, VersionConflict
from fundingarb.plugins import load_plugins
from fundingarb.ports import BotHandle, RiskRule, Strategy
from fundingarb.simulation.virtual import START, VirtualLoop
from fundingarb.testing import FakeExchange

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)
ME = "dashboard:7"
FILE = "# mine\ntrading:\n  min_net_usd: 5  # five\n  target_size_usd: 1000\n"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


@dataclass
class Listed:
    """An alert sink that listens."""

    name: str
    section: dict[str, Any]
    open: bool = True
    alerts: list[str] = field(default_factory=list)
    bot: BotHandle | None = None
    slow: bool = False

    async def send(self, alert: Alert) -> None:
        if self.slow:
            await anyio.sleep(1)
        assert self.open
        self.alerts.append(alert.title)

    async def listen(self, bot: BotHandle) -> None:
        self.bot = bot


class Desk:
    """A floor with a configuration desk. ``opened`` and ``closed`` name the generations by their ``min_net_usd``."""

    def __init__(self, file: Path, deciding: bool = False, more: str = "", **env: str) -> None:
        file.write_text(FILE + more)
        self.file = file
        self.config = load_config(file, env=env)
        self.floor = Floor(FundingSpread(EntryRules(target_size_usd=D(1000))) if deciding else Proposing())
        self.floor.prices()
        self.floor.rates("-0.001", "0.004", T)
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.fail: str | None = None
        self.rules: list[RiskRule] = []
        self.keeper = ConfigKeeper(
            self.config, 0, load_plugins(), self.floor.store, self.floor.clock, self.judging, self.settings,
            self.sink,
        )  # fmt: skip
        self.sinks: list[Listed] = []

    @asynccontextmanager
    async def judging(self, config: Config) -> AsyncIterator[tuple[Strategy, Sequence[RiskRule]]]:
        if self.fail:
            raise ConfigError(self.fail)
        name = str(config.trading.min_net_usd)
        self.opened.append(name)
        async with anyio.create_task_group() as tasks:  # as a component with a task of its own has it
            tasks.start_soon(anyio.sleep_forever)
            yield self.floor.strategy, list(self.rules)
            tasks.cancel_scope.cancel()
        self.closed.append(name)

    @asynccontextmanager
    async def sink(self, name: str, section: Mapping[str, Any]) -> AsyncIterator[Listed]:
        if section.get("chat_id") == 13:
            raise RuntimeError("that chat is not there")
        made = Listed(name, dict(section))
        self.sinks.append(made)
        yield made
        made.open = False

    def settings(self, config: Config, revision: int) -> TradingSettings:
        rules = config.entry_rules()
        return replace(
            self.floor.settings, rules=rules, config_revision=revision, symbols=config.trading.symbols
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bot]:
        async with self.keeper.open(), self.floor.running() as bot:
            self.keeper.attach(bot.adopt, bot.ready.is_set, bot.unlisted)
            yield bot

    def changed(self, **trading: Any) -> dict[str, Any]:
        document = dict(self.keeper.document())
        return {**document, "trading": {**document["trading"], **trading}}


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "fundingarb.yaml")


async def test_a_change_is_in_force_at_once_written_and_stored(desk: Desk) -> None:
    async with desk.running() as bot:
        changed = desk.changed(min_net_usd="7", symbols=["BTC-USDT", "SOL-USDT"])
        check = desk.keeper.check(changed)
        assert check.errors == {}
        assert [(one.path, one.before, one.after, one.restart) for one in check.changes] == [
            ("trading.symbols", ["BTC-USDT", "ETH-USDT", "SOL-USDT"], ["BTC-USDT", "SOL-USDT"], False),
            ("trading.min_net_usd", "5", "7", False),
        ]
        applied = await desk.keeper.apply(changed, ME, 0)
        assert (applied.revision, applied.restart) == (1, ())
        assert bot.loop.settings.rules.min_net_usd == bot.settings.rules.min_net_usd == D(7)
        assert bot.settings.config_revision == desk.keeper.revision == 1
        assert bot.vitals().config_revision == 1
        text = desk.file.read_text()
        assert text.startswith("# mine\ntrading:\n  min_net_usd: 7  # five\n")
        assert load_config(desk.file, env={}).trading.symbols == ("BTC-USDT", "SOL-USDT")
        await anyio.sleep(0.1)
        assert (desk.opened, desk.closed) == (["5", "7"], ["5"])
        (noted,) = desk.floor.store.noted
        assert (noted.actor, noted.command, noted.ok) == (ME, "CONFIG", True)
        assert noted.arguments["changes"]["trading.min_net_usd"] == ["5", "7"]
    await anyio.sleep(0.1)
    assert desk.closed == ["5", "7"]


async def test_new_rules_judge_the_next_plan(desk: Desk) -> None:
    class Never:
        def check(self, asked: HedgePlan, portfolio: Portfolio, now: Any) -> Refusal:
            return refuse(asked, "never", "another day", "today", now)

    async with desk.running() as bot:
        desk.rules = [Never()]
        await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)
        strategy = desk.floor.strategy
        assert isinstance(strategy, Proposing)
        strategy.plans.append(plan(at=START, settlement=T))
        await desk.floor.until(lambda: bot.loop.entries.refusals.waiting)
        assert bot.loop.entries.refusals.waiting["BTC-USDT"].gate == "never"
        desk.rules = []
        await desk.keeper.apply(desk.changed(min_net_usd="6"), ME, 1)
        await desk.floor.until(lambda: desk.floor.mode() is Mode.OPENING)
        assert desk.floor.hedge.intent.config_revision == 2


async def test_a_symbol_that_is_taken_out_is_not_opened_until_it_is_in_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "fundingarb.yaml", deciding=True)
    async with desk.running() as bot:
        out = await desk.keeper.apply(desk.changed(symbols=["ETH-USDT"]), ME, 0)
        assert out.restart == ()
        await anyio.sleep(180)  # the entry window of BTC-USDT is open
        assert bot.opportunities().rows == ()
        assert not bot.state.hedges
        back = await desk.keeper.apply(desk.changed(symbols=["ETH-USDT", "BTC-USDT"]), ME, 1)
        assert back.restart == ()
        await desk.floor.until(lambda: bot.state.hedges)
        assert desk.floor.hedge.symbol == "BTC-USDT"


async def test_mistakes_are_named_by_path_and_nothing_happens(desk: Desk) -> None:
    document = desk.changed(min_net_usd="many", hurry=True)
    document["margin"] = {**document["margin"], "adl_rank": 9}
    document["risk"] = {"total_notional": {"nonsense": 1}, "astrology": {}}
    document["services"] = {"dashboard": {"port": 70000}}
    document["alerts"] = {"log": {"api_key": "s3cret"}}
    async with desk.running():
        errors = desk.keeper.check(document).errors
        assert errors.keys() >= {
            "trading.min_net_usd",
            "trading.hurry",
            "margin.adl_rank",
            "risk.total_notional.nonsense",
            "risk.astrology",
            "services.dashboard.port",
            "alerts.log.api_key",
        }
        assert "at most 5" in errors["margin.adl_rank"]
        assert "s3cret" not in str(errors)
        with pytest.raises(ConfigRefused) as refused:
            await desk.keeper.apply(document, ME, 0)
        assert refused.value.errors == errors
        assert (desk.keeper.revision, desk.opened, desk.file.read_text()) == (0, ["5"], FILE)
        assert [one.ok for one in desk.floor.store.noted] == [False]


@pytest.mark.parametrize("what", ["open", "store", "file"])
async def test_what_cannot_be_done_whole_is_not_done(desk: Desk, what: str) -> None:
    async with desk.running() as bot:
        raised: type[Exception] = ConfigError
        if what == "open":
            desk.fail = "the strategy does not open"
        elif what == "store":
            desk.floor.store.failing, raised = "disk full", StoreError
        else:
            desk.file.unlink()
        with pytest.raises(raised):
            await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)
        desk.floor.store.failing = None
        await anyio.sleep(0.1)
        assert bot.loop.settings.rules.min_net_usd != D(7)
        assert desk.keeper.revision == 0
        assert desk.floor.store.revisions == []
        assert "5" not in desk.closed
        if what != "file":
            assert desk.file.read_text() == FILE


async def test_a_plugin_that_ends_badly_takes_no_bot_with_it(desk: Desk) -> None:
    judging = desk.keeper._judging

    @asynccontextmanager
    async def bad(config: Config) -> AsyncIterator[tuple[Strategy, Sequence[RiskRule]]]:
        async with judging(config) as judgement:
            yield judgement
        if config.trading.min_net_usd == D(7):
            raise RuntimeError("its socket was closed already")

    desk.keeper._judging = bad
    async with desk.running() as bot:
        await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)
        await desk.keeper.apply(desk.changed(min_net_usd="8"), ME, 1)
        await anyio.sleep(1)
        assert bot.settings.rules.min_net_usd == D(8)
        assert bot.vitals().state == "RUNNING"


@pytest.mark.parametrize("what", ["plugin", "settings"])
async def test_whatever_fails_nothing_is_half_done_and_it_is_noted(
    desk: Desk, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Any:
        raise ZeroDivisionError("no lots")

    async with desk.running() as bot:
        monkeypatch.setattr(desk.keeper, "_judging" if what == "plugin" else "_settings", fails)
        with pytest.raises((ConfigError, ZeroDivisionError), match="no lots"):
            await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)
        await anyio.sleep(0.1)
        assert (desk.keeper.revision, bot.settings.rules.min_net_usd != D(7)) == (0, True)
        assert (desk.floor.store.revisions, desk.file.read_text()) == ([], FILE)
        assert "5" not in desk.closed
        (noted,) = desk.floor.store.noted
        assert (noted.ok, "no lots" in noted.result) == (False, True)


async def test_a_database_that_hangs_is_one_that_fails(desk: Desk) -> None:
    async def hangs(*_: object) -> Any:
        await anyio.sleep_forever()

    async with desk.running() as bot:
        save = desk.floor.store.save_config
        desk.floor.store.save_config = hangs  # type: ignore[method-assign, assignment]
        with anyio.fail_after(30), pytest.raises(StoreError, match="did not answer"):
            await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)
        assert (bot.settings.rules.min_net_usd != D(7), desk.file.read_text()) == (True, FILE)
        desk.floor.store.save_config = save  # type: ignore[method-assign]
        await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)


async def test_going_back_writes_no_password_that_nobody_knows(desk: Desk) -> None:
    async with desk.running():
        await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)
        stored = desk.floor.store.revisions
        other = {**stored[0].document, "database": {"url": "postgresql://me:***@host/name"}}
        stored[0] = replace(stored[0], document=other)
        with pytest.raises(ConfigRefused, match=r"database\.url: its password is hidden"):
            await desk.keeper.rollback(1, ME)
        assert "***" not in desk.file.read_text()
        assert desk.floor.store.noted[-1].arguments["rollback"] == 1
        with pytest.raises(ConfigError, match="no revision"):
            await desk.keeper.rollback(9, ME)
        assert (desk.floor.store.noted[-1].ok, desk.floor.store.noted[-1].actor) == (False, ME)


async def test_two_editors_and_going_back(desk: Desk) -> None:
    async with desk.running() as bot:
        first = await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)
        with pytest.raises(VersionConflict, match="revision 1 now, not 0"):
            await desk.keeper.apply(desk.changed(min_net_usd="9"), "somebody else", 0)
        await desk.keeper.apply(desk.changed(min_net_usd="9"), ME, first.revision)
        assert [one.revision for one in await desk.keeper.revisions()] == [2, 1]
        back = await desk.keeper.rollback(1, ME)
        assert back.revision == 3
        assert bot.settings.rules.min_net_usd == D(7)
        assert load_config(desk.file, env={}).trading.min_net_usd == D(7)
        with pytest.raises(ConfigError, match="there is no revision 9"):
            await desk.keeper.rollback(9, ME)
        same = await desk.keeper.apply(desk.keeper.document(), ME, 3)
        assert (same.revision, same.changes) == (3, ())


async def test_what_the_environment_says_cannot_be_changed_in_the_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "fundingarb.yaml", FUNDINGARB__TRADING__HORIZON_HOURS="24")
    async with desk.running():
        with pytest.raises(ConfigError, match=r"trading\.horizon_hours is set by the environment"):
            await desk.keeper.apply(desk.changed(horizon_hours="48"), ME, 0)
        assert (await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 0)).revision == 1
        assert load_config(desk.file, env={}).trading.horizon_hours == D(72)


async def test_a_document_has_no_secret_and_gives_none_away(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("database:\n  url: postgresql://me:s3cret@host/name\n")
    config = load_config(path, env={})
    assert "s3cret" not in str(document_of(config))
    store, clock = desk.floor.store, desk.floor.clock
    keeper = ConfigKeeper(config, 1, load_plugins(), store, clock, desk.judging, desk.settings, desk.sink)
    assert keeper.check(keeper.document()).changes == ()


async def test_the_schema_describes_every_section_and_the_plugins_own(desk: Desk) -> None:
    schema = desk.keeper.schema()
    assert schema["properties"].keys() == Config.model_fields.keys()
    trading = schema["$defs"]["TradingSection"]["properties"]
    assert all("description" in setting for setting in trading.values())
    assert "port" in schema["properties"]["services"]["properties"]["dashboard"]["properties"]
    assert "total_notional" in schema["properties"]["risk"]["properties"]


async def test_real_money_is_no_setting(desk: Desk) -> None:
    """Neither a change nor an earlier revision goes live: that takes a review and the master password."""
    async with desk.running():
        live = {**desk.keeper.document(), "network": "mainnet"}
        assert list(desk.keeper.check(live).errors) == ["network"]
        with pytest.raises(ConfigRefused, match="fundingarb go-live"):
            await desk.keeper.apply(live, ME, 0)
        await desk.floor.store.save_config(live, desk.floor.clock.now())
        number = (await desk.keeper.revisions())[0].revision
        with pytest.raises(ConfigRefused, match="fundingarb go-live"):
            await desk.keeper.rollback(number, ME)
        assert "mainnet" not in desk.file.read_text()


async def test_what_the_bot_is_found_by_is_no_setting_while_it_runs(tmp_path: Path) -> None:
    """Kill and status look into the database that the file names: it stays that of the bot that runs."""
    more = "accounts: {a: {exchange: binance}, b: {exchange: bybit}}\n"
    desk = Desk(tmp_path / "fundingarb.yaml", more=more)
    async with desk.running():
        before = desk.keeper.document()
        first = before["accounts"]["a"]
        for path, change in (
            ("network", {"network": "testnet"}),
            ("database.url", {"database": {**before["database"], "url": "sqlite:///other.db"}}),
            ("accounts.b", {"accounts": {"a": first}}),
            ("accounts.a.exchange", {"accounts": {**before["accounts"], "a": {**first, "exchange": "okx"}}}),
        ):
            errors = desk.keeper.check({**before, **change}).errors
            assert list(errors) == [path]
            assert "stop the bot first" in errors[path]
            with pytest.raises(ConfigRefused, match="stop the bot first"):
                await desk.keeper.apply({**before, **change}, ME, 0)
        desk.file.write_text(f"{FILE}{more}database: {{url: sqlite:///other.db}}\n")
        with pytest.raises(ConfigRefused, match="stop the bot first"):
            await desk.keeper.reload(ME)
        desk.file.write_text(FILE + more)
        another = {**before["accounts"], "c": {**first, "exchange": "okx"}}
        assert (await desk.keeper.apply({**before, "accounts": another}, ME, 0)).restart, (
            "that one is not traded yet"
        )


# symbols that come


def list_xrp(floor: Floor, *exchanges: FakeExchange) -> None:
    for made in exchanges:
        made.instruments["XRP-USDT"] = instrument(made.name, "XRP-USDT")
    floor.prices(symbol="XRP-USDT")


async def test_a_symbol_that_is_added_is_streamed_set_up_and_traded_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "fundingarb.yaml", deciding=True)
    floor = desk.floor
    list_xrp(floor, floor.alpha, floor.beta)
    floor.rates("-0.001", "0.004", T, symbol="XRP-USDT")
    async with desk.running() as bot:
        await desk.keeper.apply(desk.changed(symbols=["ETH-USDT"]), ME, 0)
        before = len(floor.alpha.calls)
        applied = await desk.keeper.apply(desk.changed(symbols=["XRP-USDT"]), ME, 1)
        assert applied.restart == ()
        await floor.until(lambda: bot.state.hedges, within=300)
        assert [hedge.symbol for hedge in bot.state.hedges.values()] == ["XRP-USDT"]
        asked = {(name, str(args[0])) for name, args in floor.alpha.calls[before:] if args}
        assert {("get_fee_tier", "XRP-USDT"), ("set_leverage", "XRP-USDT")} <= asked
        assert not {("get_fee_tier", "BTC-USDT"), ("set_leverage", "BTC-USDT")} & asked


async def test_a_symbol_that_no_exchange_lists_is_refused(desk: Desk) -> None:
    async with desk.running():
        text = "trading.symbols: XPR-USDT is listed on no exchange that has an account; leave it out"
        with pytest.raises(ConfigRefused, match=text):
            await desk.keeper.apply(desk.changed(symbols=["BTC-USDT", "XPR-USDT"]), ME, 0)
        assert desk.keeper.revision == 0


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_symbol_is_looked_for_until_the_exchange_answers(desk: Desk, hangs: bool) -> None:
    floor = desk.floor
    list_xrp(floor, floor.beta)
    floor.rates("-0.001", "0.004", T)
    floor.beta.set_rate("XRP-USDT", "0.001", next_settlement=T, mark="100", index="100")
    async with desk.running() as bot:
        listing = floor.beta.get_instruments

        async def hang() -> Sequence[Instrument]:
            await anyio.sleep(60)
            return await listing()

        if hangs:
            floor.beta.get_instruments = hang  # type: ignore[method-assign]
        else:
            floor.beta.fail("get_instruments", ExchangeUnavailable("beta: maintenance"), times=4)
        begin = anyio.current_time()
        await desk.keeper.apply(desk.changed(symbols=["BTC-USDT", "XRP-USDT"]), ME, 0)
        assert anyio.current_time() - begin < 6
        assert bot.markets.fresh_rate("beta", "XRP-USDT") is None
        await floor.until(lambda: bot.markets.fresh_rate("beta", "XRP-USDT"), within=90)
        assert bot.markets.fresh_book("beta", "XRP-USDT") is not None
        assert bot.markets.fresh_rate("beta", "BTC-USDT") is not None
        if hangs:
            return
        floor.alpha.instruments["XRP-USDT"] = instrument("alpha", "XRP-USDT")  # and where it is listed later
        floor.prices(symbol="XRP-USDT")
        await floor.until(lambda: bot.markets.fresh_book("alpha", "XRP-USDT"), within=3700)


async def test_what_is_held_is_watched_when_its_symbol_was_taken_out_before_a_restart(tmp_path: Path) -> None:
    floor = Desk(tmp_path / "fundingarb.yaml", deciding=True).floor
    async with floor.running():
        await floor.until(lambda: floor.sent(floor.alpha), within=300)  # its window is not open yet
        await opened(floor)
    floor.settings = replace(floor.settings, symbols=("ETH-USDT",))
    for made in (floor.alpha, floor.beta):
        made.instruments["ETH-USDT"] = instrument(made.name, "ETH-USDT")
    async with floor.running() as bot:
        await anyio.sleep(5)
        assert bot.markets.fresh_rate("alpha", "BTC-USDT") is not None
        floor.rates("0.004", "-0.001", T)
        await floor.until(lambda: floor.hedge.finished, within=300)
        await anyio.sleep(600)
        assert len(bot.state.hedges) == 1


# alert sinks


@asynccontextmanager
async def alerting(tmp_path: Path) -> AsyncIterator[tuple[Desk, Bot]]:
    desk = Desk(tmp_path / "fundingarb.yaml", more="alerts: {telegram: {repeat_minutes: 5}}\n")
    async with desk.keeper.open():
        desk.floor.sinks = await desk.keeper.open_sinks()
        async with desk.floor.running() as bot:
            desk.keeper.attach(bot.adopt, bot.ready.is_set, bot.unlisted)
            yield desk, bot
    assert not any(sink.open for sink in desk.sinks)


def with_alerts(desk: Desk, **alerts: Any) -> dict[str, Any]:
    return {**desk.keeper.document(), "alerts": alerts}


async def test_how_alerts_are_sent_is_in_force_at_once(tmp_path: Path) -> None:
    async with alerting(tmp_path) as (desk, bot):
        log, first = desk.sinks
        assert (log.name, first.name, first.bot) == ("log", "telegram", bot)
        first.slow = True
        bot.bus.publish(Alert(Severity.CRITICAL, "One", (), START))
        await anyio.sleep(0.5)
        applied = await desk.keeper.apply(with_alerts(desk, telegram={"repeat_minutes": "9"}), ME, 0)
        assert [(one.path, one.restart) for one in applied.changes] == [
            ("alerts.telegram.repeat_minutes", False)
        ]
        log, first, second = desk.sinks
        assert second.section == {"repeat_minutes": "9"}
        assert [sink.bot for sink in desk.sinks[1:]] == [bot, None], "one at a time takes commands"
        bot.bus.publish(Alert(Severity.WARNING, "Two", (), START))
        await anyio.sleep(5)
        assert "One" in first.alerts, "what is under way is finished"
        assert "One" not in second.alerts
        assert "Two" in second.alerts
        assert [sink.bot for sink in desk.sinks[1:]] == [bot, bot]
        assert (log.open, first.open, second.open) == (True, False, True)
        await desk.keeper.apply(desk.changed(min_net_usd="7"), ME, 1)
        assert len(desk.sinks) == 3, "only what has changed is opened again"


async def test_a_sink_that_does_not_open_changes_nothing(tmp_path: Path) -> None:
    async with alerting(tmp_path) as (desk, bot):
        document = with_alerts(desk, telegram={"chat_id": 13})
        document["trading"] = desk.changed(min_net_usd="7")["trading"]
        with pytest.raises(
            ConfigError, match="telegram: it does not open: RuntimeError: that chat is not there"
        ):
            await desk.keeper.apply(document, ME, 0)
        assert desk.keeper.revision == 0
        assert desk.keeper.document()["trading"]["min_net_usd"] == "5"
        bot.bus.publish(Alert(Severity.WARNING, "Two", (), START))
        await anyio.sleep(5)
        assert "Two" in desk.sinks[1].alerts


async def test_sinks_come_and_go_with_a_restart(tmp_path: Path) -> None:
    mail = {"host": "localhost", "tls": "none", "sender": "a@example.org", "to": ["b@example.org"]}
    async with alerting(tmp_path) as (desk, _):
        applied = await desk.keeper.apply(with_alerts(desk, mail=mail), ME, 0)
        assert set(applied.restart) == {change.path for change in applied.changes}
        assert len(desk.sinks) == 2
        assert desk.sinks[1].open
