"""What a configuration means."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.config.samples import FULL

from fundingarb.config import Config, example_config, leverage_for, load_config, parse_config
from fundingarb.config.reader import read_text, scalar
from fundingarb.config.schema import hide_password
from fundingarb.config.sections import AccountSection, PluginsSection, TradingSection
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.opportunity import EntryRules
from fundingarb.errors import ConfigError


@pytest.fixture
def full() -> Config:
    return parse_config(FULL)


def test_defaults_are_the_specification_s_and_the_decisions_on_the_formulas() -> None:
    config = load_config(env={})
    assert config.network == "localnet"
    assert config.trading.symbols == ("BTC-USDT", "ETH-USDT", "SOL-USDT")
    assert config.entry_rules() == EntryRules()
    assert config.execution_policy() == ExecutionPolicy()
    assert config.tolerance_for(None) == config.tolerance_for("BTC-USDT") == Decimal("-0.0001")
    assert config.leverage_for("binance", "binance", "BTC-USDT") == 5
    assert config.plugins.allow is None
    assert config.trading.order_fill_timeout_seconds == 30
    assert config.trading.settlement_guard_seconds == 60
    assert config.trading.cooldown_minutes == 60


def test_a_whole_file(full: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert full.trading.symbols == ("BTC-USDT", "ETH-USDT", "SOL-USDT")
    assert full.accounts == {
        "binance": AccountSection(exchange="binance"),
        "binance-alt": AccountSection(exchange="binance"),
        "bybit": AccountSection(exchange="bybit", testnet=False),
    }
    assert full.exchanges == {"binance": {"recv_window": 5000}, "bybit": {}}
    assert full.services == {"dashboard": {"port": 8080}}
    assert full.risk == {"margin": {"enabled": False}}
    assert full.alerts["telegram"]["chat_id"] == 42
    assert full.plugins == PluginsSection(allow=("fundingarb-binance", "fundingarb-bybit"))
    assert full.logging.file == Path.home() / "bot.log"
    assert full.ready_file == Path("/run/fundingarb/ready.json")
    assert full.entry_rules() == EntryRules(
        min_spread_base=Decimal("0.0001"),
        min_spread_per_10k=Decimal("0.00001"),
        horizon=timedelta(hours=48),
        min_net_usd=Decimal("-2.50"),
        max_position_per_pair_usd=Decimal(50000),
        target_size_usd=Decimal(25000),
        buffer=timedelta(minutes=20),
        cutoff=timedelta(minutes=12, seconds=30),
        post_only=True,
    )
    assert full.execution_policy().post_only


def test_every_entry_rule_can_be_set() -> None:
    values = {
        "min_spread_base": "0.002", "min_spread_per_10k": "0.003", "horizon_hours": 5, "min_net_usd": 6,
        "max_slippage": "0.007", "max_position_per_pair_usd": 8, "target_size_usd": 9, "margin_use": "0.11",
        "entry_buffer_minutes": 29, "entry_cutoff_minutes": 3, "basis_convergence": "0.12",
        "post_only_first_leg": True, "max_index_deviation": "0.13", "fee_reserve": "0.01",
    }  # fmt: skip
    plain, changed = EntryRules(), load_config(None, {"trading": values}, {}).entry_rules()
    assert [
        one.name for one in fields(EntryRules) if getattr(plain, one.name) == getattr(changed, one.name)
    ] == []


@pytest.mark.parametrize(
    ("buffer", "cutoff"), [(None, 15), (15, 10), ("15.5", "10.5"), (18, 13), (20, 15), (30, 15)]
)
def test_every_entry_buffer_of_the_specification_works_without_a_cutoff(
    buffer: object, cutoff: object
) -> None:
    values = {} if buffer is None else {"trading": {"entry_buffer_minutes": buffer}}
    rules = load_config(None, values, {}).entry_rules()
    assert rules.cutoff == timedelta(minutes=float(str(cutoff)))
    assert rules.cutoff < rules.buffer


def test_slippage_caps_reach_the_execution_policy() -> None:
    values = {"reprice_cap": "0.003", "order_slippage_cap": "0.004"}
    policy = load_config(None, {"trading": values}, {}).execution_policy()
    assert (policy.reprice_cap, policy.slippage) == (Decimal("0.003"), Decimal("0.004"))


@pytest.mark.parametrize(
    ("symbol", "tolerance"),
    [("BTC-USDT", "0"), ("ETH-USDT", "-0.0003"), ("SOL-USDT", "-0.0005"), (None, "0"), ("XRP-USDT", "0")],
)
def test_tolerance_by_symbol_and_preset(full: Config, symbol: str | None, tolerance: str) -> None:
    assert full.tolerance_for(symbol) == Decimal(tolerance)


@pytest.mark.parametrize(
    ("written", "tolerance"),
    [
        ("conservative", "0"),
        ("Moderate", "-0.0001"),
        ("aggressive", "-0.0005"),
        ("-0.00025", "-0.00025"),
        ("0.0001", "0.0001"),
    ],
)
def test_presets(written: str, tolerance: str) -> None:
    config = parse_config(f"trading: {{negative_spread_tolerance: {written}}}")
    assert config.tolerance_for("BTC-USDT") == Decimal(tolerance)


@pytest.mark.parametrize(
    ("account", "exchange", "symbol", "leverage"),
    [
        ("alt", "binance", "BTC-USDT", 1),  # account.symbol
        ("alt", "binance", "SOL-USDT", 2),  # account
        ("main", "binance", "BTC-USDT", 3),  # exchange.symbol
        ("main", "binance", "SOL-USDT", 4),  # exchange
        ("other", "bybit", "BTC-USDT", 5),  # trading.symbol
        ("other", "bybit", "SOL-USDT", 6),  # trading.default
        ("binance", "binance", "BTC-USDT", 3),  # named like its exchange
        ("sym", "bybit", "SOL-USDT", 6),  # a table without a default for this symbol
        ("sym", "bybit", "ETH-USDT", 7),
    ],
)
def test_precedence_of_leverage(account: str, exchange: str, symbol: str, leverage: int) -> None:
    by_name = {
        "alt": {"BTC-USDT": 1, "default": 2},
        "binance": {"BTC-USDT": 3, "default": 4},
        "sym": {"ETH-USDT": 7},
    }
    assert leverage_for(account, exchange, symbol, by_name, {"BTC-USDT": 5, "default": 6}) == leverage
    overrides = {"leverage": by_name, "trading.leverage": {"BTC-USDT": 5, "default": 6}}
    config = load_config(None, overrides, {})
    assert config.leverage_for(account, exchange, symbol) == leverage


def test_without_any_table_there_is_no_leverage() -> None:
    assert leverage_for("a", "b", "BTC-USDT", {}, {}) == 1


def test_the_specification_s_leverage_example(full: Config) -> None:
    assert [full.leverage_for("bybit", "bybit", s) for s in ("BTC-USDT", "SOL-USDT")] == [6, 6]
    assert [full.leverage_for("binance-alt", "binance", s) for s in ("BTC-USDT", "SOL-USDT")] == [2, 4]
    assert parse_config("trading: {leverage: 3}").leverage_for("a", "b", "BTC-USDT") == 3


def test_precedence_of_sources(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("trading: {min_net_usd: 1.1, max_slippage: 0.01, horizon_hours: 11, leverage: 2}\n")
    env = {"FUNDINGARB__TRADING__MAX_SLIPPAGE": "0.02", "FUNDINGARB__TRADING__HORIZON_HOURS": "22"}
    config = load_config(path, {"trading.horizon_hours": "33"}, env)
    trading = config.trading
    assert (trading.min_net_usd, trading.max_slippage, trading.horizon_hours) == (
        Decimal("1.1"),
        Decimal("0.02"),
        Decimal(33),
    )
    assert trading.leverage == {"default": 2}
    assert trading.margin_use == Decimal("0.8")


def test_one_value_of_a_section_may_come_from_elsewhere() -> None:
    env = {"FUNDINGARB__TRADING__LEVERAGE__BTC-USDT": "9", "fundingarb__exchanges__bybit__testnet": "false"}
    config = load_config(None, {"trading": {"leverage": {"default": 7}}, "trading.symbols": ["A-USDT"]}, env)
    assert config.trading.leverage == {"default": 7, "BTC-USDT": 9}
    assert config.trading.symbols == ("A-USDT",)


@pytest.mark.parametrize("written", ["BTC-USDT,ETH-USDT", "[BTC-USDT, ETH-USDT]", '["btc-usdt", "ETH-USDT"]'])
def test_lists_in_the_environment(written: str) -> None:
    config = load_config(None, env={"FUNDINGARB__TRADING__SYMBOLS": written})
    assert config.trading.symbols == ("BTC-USDT", "ETH-USDT")


def test_the_process_environment_counts_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNDINGARB__TRADING__MIN_NET_USD", "77")
    monkeypatch.setenv("TRADING", "{}")
    monkeypatch.setenv("NETWORK", "mainnet")
    assert load_config().trading.min_net_usd == 77
    assert load_config(env={}).trading.min_net_usd == 1
    assert Config().trading.min_net_usd == 1
    assert load_config().network == "localnet"


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("accounts: {a: {exchange: binance, testnet: true}}", "testnet"),
        ("accounts: {a: {exchange: binance, testnet: true}}\nnetwork: testnet", "testnet"),
        ("exchanges: {binance: {testnet: true}, bybit: {}}", "testnet"),
        ("exchanges: {binance: {testnet: false}}", "localnet"),
        ("exchanges: {binance: {testnet: false}}\nnetwork: mainnet", "mainnet"),
    ],
)
def test_testnet_of_an_account_is_a_network(text: str, network: str) -> None:
    config = parse_config(text)
    assert config.network == network
    assert all("testnet" not in section for section in config.exchanges.values())


def test_numbers_are_exact_and_words_are_words() -> None:
    source = read_text(
        "a: 0.1\nb: 1e-4\nc: 010\nd: 1_000\ne: 12:30\nf: yes\ng: 2026-01-01\n"
        "h: true\ni:\nj: '5'\nk: .5\nl: 0x10\nm: .nan\n",
        "x",
    )
    assert source.data == {
        "a": Decimal("0.1"), "b": Decimal("0.0001"), "c": 10, "d": 1000, "e": "12:30", "f": "yes", "g": "2026-01-01",
        "h": True, "i": None, "j": "5", "k": Decimal("0.5"), "l": "0x10", "m": ".nan",
    }  # fmt: skip
    assert not any(isinstance(value, float) for value in source.data.values())
    assert parse_config(
        "trading: {min_spread_base: 0.012345678901234567890123}"
    ).trading.min_spread_base == Decimal("0.012345678901234567890123")


@given(st.decimals(allow_nan=False, allow_infinity=False, max_value=10**30, min_value=-(10**30)))
def test_any_number_is_read_as_it_is_written(value: Decimal) -> None:
    found = scalar(str(value))
    assert found == value
    assert isinstance(found, Decimal | int)


def test_the_example_is_the_defaults_and_every_line_of_it_works() -> None:
    example = example_config()
    assert parse_config(example) == load_config(env={})
    uncommented = [
        line.replace("# ", "", 1) if line.strip().startswith("# ") and is_setting(line) else line
        for line in example.splitlines()
    ]
    assert parse_config("\n".join(uncommented)).trading == load_config(env={}).trading
    for name in Config.model_fields:
        assert f"{name}:" in example
    assert max(len(line) for line in example.splitlines()) <= 110


def is_setting(line: str) -> bool:
    """Whether a commented line is a setting (and not its explanation)."""
    words = line.strip().removeprefix("# ").split(" ")
    return words[0].endswith(":") and words[0][:-1].replace("_", "").isalnum() and words[0].islower()


def test_a_document_can_be_stored_and_has_no_password(full: Config) -> None:
    config = load_config(None, {"database.url": "postgresql://bot:hunter2@db/x?password=hunter2"}, {})
    document = config.document()
    assert "hunter2" not in json.dumps(document)
    assert document["database"]["url"] == "postgresql://bot:***@db/x?password=***"
    stored = json.loads(json.dumps(full.document()))
    assert stored["trading"]["min_spread_base"] == "0.0001"
    assert Config(**stored) == full


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:p:q@h/d", "postgresql://u:***@h/d"),
        ("postgresql:///d?host=/run&password=x&port=1", "postgresql:///d?host=/run&password=***&port=1"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    assert hide_password(url) == shown


def test_a_configuration_does_not_change(full: Config) -> None:
    with pytest.raises(ValidationError):
        full.network = "mainnet"
    with pytest.raises(ValidationError):
        full.trading.min_net_usd = Decimal(0)


def test_a_configuration_in_python() -> None:
    trading = TradingSection(symbols=("BTC-USDT",), min_net_usd=Decimal("0.1"))
    config = Config(trading=trading, network="mainnet")
    assert config.entry_rules().min_net_usd == Decimal("0.1")
    assert load_config(None, {"network": "mainnet", "trading": trading.model_dump()}, {}) == config
    with pytest.raises(ValidationError):
        Config(tradng={})  # type: ignore[call-arg]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "{}", "null", "trading:\n", "~"])
def test_an_empty_file_is_the_defaults(text: str) -> None:
    assert parse_config(text) == load_config(env={})


def test_overrides_that_contradict_each_other_are_refused() -> None:
    overrides: dict[str, Any] = {"trading": 5, "trading.min_net_usd": 1}
    with pytest.raises(ConfigError, match="contradicts another one"):
        load_config(None, overrides, {})


def test_an_account_may_say_its_network_but_no_other_one() -> None:
    config = parse_config("accounts:\n  a: {exchange: binance, network: testnet}\n")
    assert config.network == "testnet"
    for text in ("network: mainnet\n", "accounts:\n  b: {exchange: okx, network: mainnet}\n"):
        clash = text if "accounts" not in text else ""
        more = text.partition("accounts:\n")[2]
        with pytest.raises(ConfigError, match="all accounts of a bot are on one network"):
            parse_config(f"{clash}accounts:\n  a: {{exchange: binance, network: testnet}}\n{more}")
