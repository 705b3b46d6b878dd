"""Whatever is wrong with a configuration is one line: where, what, and what to do."""

# ruff: noqa: E501 - a table of messages reads best with one case per line

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.config.samples import FULL
from tests.conftest import RunCli

from fundingarb.config import Config, load_config, load_essentials, parse_config
from fundingarb.config.sections import TradingSection
from fundingarb.errors import ConfigError

MUTATIONS = 2000


def message(
    text: str | bytes, overrides: dict[str, Any] | None = None, env: dict[str, str] | None = None
) -> str:
    """What is said of a file ``c.yaml`` with this text."""
    with pytest.raises(ConfigError) as caught:
        load(text, overrides, env)
    said = str(caught.value)
    check(said)
    return said


def load(
    text: str | bytes, overrides: dict[str, Any] | None = None, env: dict[str, str] | None = None
) -> Config:
    if isinstance(text, str) and not overrides and not env:
        return parse_config(text, "c.yaml")
    from fundingarb.config.loader import _environment, _load, _overrides
    from fundingarb.config.reader import read_text

    return _load([_overrides(overrides or {}), _environment(env or {}), read_text(text, "c.yaml")])


def check(said: str) -> None:
    assert said.isprintable(), said
    assert len(said) < 1000
    assert "Traceback" not in said
    assert "pydantic" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trading:\n  min_spred_base: 0.1", "c.yaml:2: trading.min_spred_base: there is no such setting; did you mean min_spread_base?"),
        ("tradng: {}", "c.yaml:1: tradng: there is no such setting; did you mean trading?"),
        ("\n\nmin_net_usd: 5", "c.yaml:3: min_net_usd: there is no such setting; did you mean trading.min_net_usd?"),
        ("database:\n  path: x", "c.yaml:2: database.path: there is no such setting; known here: password_in_vault, url"),
        ("accounts:\n  a:\n    exchange: binance\n    testnett: 1", "c.yaml:4: accounts.a.testnett: there is no such setting; did you mean testnet?"),
        ("trading:\n  min_spread_base: abc", "c.yaml:2: trading.min_spread_base: 'abc' is not a number; write a value such as 0.0001"),
        ("trading:\n  min_spread_base: .nan", "c.yaml:2: trading.min_spread_base: '.nan' is not a number; write a value such as 0.0001"),
        ("trading:\n  min_spread_base: {a: 1}", "c.yaml:2: trading.min_spread_base: is not a number; write a value such as 0.0001"),
        ("trading: {margin_use: 1.5}", "c.yaml:1: trading.margin_use: '1.5' must be at most 1; write a value such as 0.8"),
        ("trading: {margin_use: 0}", "c.yaml:1: trading.margin_use: '0' must be more than 0; write a value such as 0.8"),
        ("trading:\n  entry_buffer_minutes: 45", "c.yaml:2: trading.entry_buffer_minutes: '45' must be at most 30; write a value such as 20"),
        ("trading:\n  entry_buffer_minutes: 14.9", "c.yaml:2: trading.entry_buffer_minutes: '14.9' must be at least 15; write a value such as 20"),
        ("trading:\n  a: 1\n  entry_cutoff_minutes: 25", "c.yaml:2: trading.a: there is no such setting; "),
        ("trading:\n  entry_cutoff_minutes: 25", "c.yaml:2: trading.entry_cutoff_minutes: must be less than entry_buffer_minutes (20); lower it"),
        ("trading:\n  symbols: [BTCUSDT]", "c.yaml:2: trading.symbols[0]: 'BTCUSDT' is not a symbol; did you mean BTC-USDT?"),
        ("trading:\n  symbols:\n    - BTC-USDT\n    - eth/usdt", "c.yaml:4: trading.symbols[1]: 'eth/usdt' is not a symbol; did you mean ETH-USDT?"),
        ("trading:\n  symbols: [BTC-USDT, 5]", "c.yaml:2: trading.symbols[1]: '5' is not text; "),
        ("trading: {symbols: []}", "c.yaml:1: trading.symbols: is empty; name at least one symbol"),
        ("trading: {symbols: [A-USDT, a-usdt]}", "c.yaml:1: trading.symbols: has A-USDT twice; remove one"),
        ("trading: {symbols: 7}", "c.yaml:1: trading.symbols: '7' is not a list; write a value such as [BTC-USDT, ETH-USDT, SOL-USDT]"),
        ("trading: 5", "c.yaml:1: trading: '5' is not a section; correct it"),
        ("trading:\n  leverage: 1.5", "c.yaml:2: trading.leverage: '1.5' is not a whole number; correct it"),
        ("trading:\n  leverage: {default: 5, FOO: 3}", "c.yaml:2: trading.leverage.FOO: is neither a symbol (such as BTC-USDT) nor `default`"),
        ("trading:\n  leverage:\n    btc-usdt: 126", "c.yaml:3: trading.leverage.BTC-USDT: '126' must be at most 125"),
        ("leverage:\n  binance:\n    default: 0", "c.yaml:3: leverage.binance.default: '0' must be at least 1"),
        ("trading:\n  negative_spread_tolerance: agressive", "c.yaml:2: trading.negative_spread_tolerance: 'agressive' is neither a number nor one of conservative, moderate, aggressive"),
        ("trading:\n  negative_spread_tolerance:\n    BTC-USDT: -5", "c.yaml:3: trading.negative_spread_tolerance.BTC-USDT: '-5' must be at least -0.1"),
        ("trading: {post_only_first_leg: maybe}", "c.yaml:1: trading.post_only_first_leg: 'maybe' is not true or false; write a value such as false"),
        ("network: moonnet", "c.yaml:1: network: 'moonnet' must be one of localnet, testnet or mainnet; write a value such as localnet"),
        ("accounts:\n  a: {}", "c.yaml:2: accounts.a.exchange: is missing; add it"),
        ("accounts:\n  A b: {exchange: x}", "c.yaml:2: accounts.A b: 'A b' is not a name; use lower-case letters"),
        ("accounts: [a]", "c.yaml:1: accounts: is not a section; correct it"),
        ("accounts:\n  a: {exchange: x, testnet: true}\nnetwork: mainnet", "c.yaml:2: accounts.a.testnet: contradicts network mainnet"),
        ("accounts:\n  a: {exchange: x, testnet: true}\n  b: {exchange: x, testnet: false}", "c.yaml:3: accounts.b.testnet: contradicts network testnet"),
        ("exchanges:\n  a: {testnet: 7}", "c.yaml:2: exchanges.a.testnet: is neither true nor false"),
        ("database: {url: 'mysql://u:hunter2@h/d'}", "c.yaml:1: database.url: is not a database URL; write sqlite:///FILE or postgresql://"),
        ("services: {dashboard: {}}\ndashboard: {}", "c.yaml:2: dashboard: is there twice, here and in services; remove one"),
        ("logging: {level: LOUD}", "c.yaml:1: logging.level: 'LOUD' must be one of DEBUG, INFO, WARNING or ERROR"),
        ("a: [1\n", "c.yaml:2: is not valid YAML: "),
        ("a: b: c", "c.yaml:1: is not valid YAML: mapping values are not allowed here; correct the line"),
        ("a:\n\t- 1", "c.yaml:2: is not valid YAML: "),
        ("- 1", "c.yaml:1: is not a set of sections; write lines such as `network: localnet`"),
        ("just words", "c.yaml:1: is not a set of sections"),
        ("x: 1\ny: 2\nx: 3", "c.yaml:3: x: is there twice, first on line 1; remove one"),
        ("trading: &t {}\nrisk: *t", "c.yaml:1: risk: aliases are not supported; write the value out"),
        ("a: &a [*a]", "c.yaml:1: a[0]: aliases are not supported; write the value out"),
        ("a: !!python/object:os.system x", "c.yaml:1: a: tags are not supported; write the plain value"),
        ("a: !secret x", "c.yaml:1: a: tags are not supported; write the plain value"),
        ("? [a]\n: b", "c.yaml:1: has a key that is not a word; correct the line"),
        ("a: 1\n---\nb: 2", "c.yaml:2: is not valid YAML: "),
        ("\x01", "c.yaml:1: holds a character YAML does not allow; remove it"),
        ("a: 1\n\x07", "c.yaml:2: holds a character YAML does not allow; remove it"),
        ("[" * 5000, "c.yaml: is nested too deeply; correct the file"),
        ("a: " + "[" * 60 + "]" * 60, "c.yaml:1: a[0][0]: is nested too deeply; correct the file"),
        ("a" * 500 + ": 1", "c.yaml:1: " + "a" * 77 + "...: there is no such setting"),
        ('"a\\nb": 1', "c.yaml:1: a\\nb: there is no such setting"),
        ("network: \"\\e[31m\"", "c.yaml:1: network: '\\\\x1b[31m' must be one of"),
        ("ready_file: ~nobody-here/x", "c.yaml:1: ready_file: '~nobody-here/x' is in the home folder of nobody"),
        ("ready_file: \"a\\0b\"", "c.yaml:1: ready_file: 'a\\\\x00b' is not a file name"),
        ("database: {url: \"sqlite:///a\\0b\"}", "c.yaml:1: database.url: is not a database URL"),
        ("trading: {cooldown_minutes: " + "9" * 9000 + "}", "c.yaml:1: trading.cooldown_minutes: '99999999"),
        ("trading: {cooldown_minutes: 1e999999}", "c.yaml:1: trading.cooldown_minutes: '1E+999999' must be at most 10080"),
    ],
)  # fmt: skip
def test_what_is_said(text: str, said: str) -> None:
    assert message(text).startswith(said)


def test_bytes_that_are_no_text() -> None:
    assert message(b"a: 1\nb: \xff") == "c.yaml:2: is not UTF-8 text; save the file as UTF-8"
    assert message(b"a: 1\n", {}).startswith("c.yaml:1: a: there is no such setting")
    assert load(b"\xef\xbb\xbfnetwork: mainnet").network == "mainnet"


def test_the_first_problem_of_the_file_is_the_one_that_is_named() -> None:
    text = "trading:\n  max_slippage: 7\n  margin_use: 8\n  horizon_hours: x\nnetwork: y\n"
    assert message(text).startswith("c.yaml:2: trading.max_slippage")
    assert message("network: y\n" + text).startswith("c.yaml:6: network: is there twice")


@pytest.mark.parametrize("field", list(TradingSection.model_fields))
def test_every_setting_is_found_on_its_line(field: str) -> None:
    rest = [name for name in TradingSection.model_fields if name not in (field, "entry_cutoff_minutes")]
    random.Random(field).shuffle(rest)
    for before in (0, 3, len(rest)):
        lines = [f"  # {name}" for name in rest[:before]]
        text = "\n".join(["trading:", *lines, f"  {field}: [[]]", *(f"  # {n}" for n in rest[before:])])
        assert message(text).startswith(f"c.yaml:{before + 2}: trading.{field}")


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("api_key", "exchanges.binance"),
        ("apiKey", "exchanges.binance"),
        ("API-SECRET", "exchanges.binance"),
        ("secret", "exchanges.okx"),
        ("passphrase", "exchanges.okx"),
        ("mnemonic", "exchanges.dydx"),
        ("private_key", "accounts.a"),
        ("credentials", "accounts.a"),
        ("token", "alerts.telegram"),
        ("bot_token", "alerts.telegram"),
        ("password", "services.dashboard"),
    ],
)
def test_credentials_are_refused_wherever_they_come_from(key: str, section: str) -> None:
    outer, inner = section.split(".")
    told = f"{section}.{key}: credentials are not read from here; remove it"
    in_file = message(f"{outer}:\n  {inner}:\n    {key}: hunter2")
    assert in_file.startswith(f"c.yaml:3: {told}")
    overridden = message("", {section: {key: "hunter2"}})
    assert overridden.startswith(f"command line: {told}")
    variable = f"FUNDINGARB__{section}__{key}".replace(".", "__").upper()
    exported = message("", {}, {variable: "hunter2"})
    assert exported.startswith(f"environment variable {variable}: ")
    assert "hunter2" not in in_file + overridden + exported


def test_the_name_of_a_file_with_a_secret_is_none() -> None:
    assert parse_config("alerts: {telegram: {token_file: x}}").alerts == {"telegram": {"token_file": "x"}}


def test_the_source_of_a_wrong_value_is_named() -> None:
    text = "trading:\n  margin_use: 0.5\n"
    env = {"FUNDINGARB__TRADING__MARGIN_USE": "7"}
    assert message(text, {}, env).startswith(
        "environment variable FUNDINGARB__TRADING__MARGIN_USE: trading.margin_use: '7'"
    )
    assert message(text, {"trading.margin_use": "8"}, env).startswith("command line: trading.margin_use: '8'")
    assert load(text, {"trading.margin_use": "0.9"}, env).trading.margin_use
    assert message("", {}, {"FUNDINGARB__TRADNG": "1"}).startswith(
        "environment variable FUNDINGARB__TRADNG: tradng: "
    )
    assert message("", {}, {"FUNDINGARB__TRADING____X": "1"}).endswith("names no setting; unset it")
    assert message("", {}, {"FUNDINGARB__TRADING__SYMBOLS": "[BTC"}).startswith(
        "environment variable FUNDINGARB__TRADING__SYMBOLS:"
    )
    contradicting = {"FUNDINGARB__TRADING": "1", "FUNDINGARB__TRADING__MARGIN_USE": "1"}
    assert "contradicts another one" in message("", {}, contradicting)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * 1_000_001)
    for path, problem in {
        tmp_path / "none.yaml": "there is no such file; correct --config",
        tmp_path: "cannot be read: is a directory; correct --config",
        big: "is larger than 1,000,000 bytes; correct --config",
    }.items():
        with pytest.raises(ConfigError) as caught:
            load_config(path, env={})
        assert str(caught.value) == f"{path}: {problem}"


def test_on_the_command_line_it_is_one_line_and_status_2(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text, said in (
        ("a: [", f"error: {path}:1: is not valid YAML"),
        (
            "trading:\n  symbls: []",
            f"error: {path}:2: trading.symbls: there is no such setting; did you mean symbols?",
        ),
        ("accounts:\n  a: {}", f"error: {path}:2: accounts.a.exchange: is missing"),
    ):
        path.write_text(text)
        done = run_cli("db", "current", "--config", str(path))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(said)
        assert done.stderr.count("\n") == 1


def mutate(text: str, source: random.Random) -> bytes:
    """``text`` after one to four accidents."""
    junk = ["", " ", "\t", ":", "- ", "{", "}", "[", "]", "'", '"', "#", "&a ", "*a", "!", "!!int ", "|", ">", "%", "@",
            "\0", "\x1b[0m", "\u2028", "é", "0", "-1", "1e400", ".inf", "nan", "null", "true", "<<: ", "? ", "---\n", "...\n",
            "BTC", "x" * 200, "\r", "9" * 40, "0.00000000000000000001"]  # fmt: skip
    for _ in range(source.randint(1, 4)):
        lines = text.split("\n")
        at, other = source.randrange(len(lines)), source.randrange(len(lines))
        position = source.randrange(len(text) + 1)
        kind = source.randrange(10)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(other, lines[at])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            lines[at] = source.choice(["", " ", "  ", "      "]) + lines[at].lstrip()
        elif kind == 4:
            lines[at] = lines[at].partition(":")[0] + ": " + source.choice(junk)
        elif kind == 5:
            lines[at] = lines[at].replace(source.choice("abcdeilmnorst_:-"), source.choice(junk), 1)
        if kind <= 5:
            text = "\n".join(lines) or " "
        elif kind == 6:
            text = text[:position] + source.choice(junk) + text[position:]
        elif kind == 7:
            text = text[:position] + text[position + source.randint(1, 12) :] or " "
        elif kind == 8:
            text = text[:position] + chr(source.randrange(1, 0xD7FF)) + text[position + 1 :]
        else:
            text = text[:position] or " "
    raw = text.encode()
    if source.random() < 0.03:
        position = source.randrange(len(raw))
        raw = raw[:position] + bytes([source.randrange(256)]) + raw[position + 1 :]
    return raw


def test_two_thousand_mutated_files_load_or_are_refused_in_one_line() -> None:
    loaded: list[int] = []
    said: dict[str, int] = {}
    for seed in range(MUTATIONS):
        raw = mutate(FULL, random.Random(seed))
        try:
            load(raw)
        except ConfigError as error:
            text = str(error)
            check(text)
            assert re.match(r"c\.yaml(:\d+)?: ", text), text
            number = re.match(r"c\.yaml:(\d+): ", text)
            if number is not None:
                assert (
                    1
                    <= int(number[1])
                    <= len(re.split(rb"\r\n|\r|\n|\xe2\x80\xa8|\xc2\x85|\xe2\x80\xa9", raw)) + 1
                ), text
            said[re.sub(r"\d+|'.*'", "", text)] = seed
        else:
            loaded.append(seed)
    assert 0.05 * MUTATIONS < len(loaded) < 0.7 * MUTATIONS
    assert len(said) > 100


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(sorted(Config.model_fields)) | st.sampled_from(
    [f"trading.{name}" for name in TradingSection.model_fields]
    + [
        "database.url",
        "accounts.a.exchange",
        "accounts.a.testnet",
        "strategy.name",
        "logging.file",
        "dashboard",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(keys, anything, max_size=3))
def test_any_value_anywhere_is_taken_or_refused_in_one_line(overrides: dict[str, Any]) -> None:
    try:
        config = load_config(None, overrides, {})
    except ConfigError as error:
        check(str(error))
    else:
        assert Config(**config.document()).trading == config.trading


WRONG = """\
network: localnet
accounts:
  one: {exchange: binance}
  two: {exchange: bybit}
database:
  url: sqlite:///here.db
trading:
  symbols: [BTC-USDT, 5]
  entry_buffer_minutes: 18
  entry_cutoff_minutes: 20
  margin_use: 7
no_such_section: 1
strategy: nonsense
alerts:
  telegram: {bot_token: "1:x"}
services: [dashboard]
"""


def test_what_accounts_and_database_do_not_need_is_left_out_in_an_emergency(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(WRONG)
    with pytest.raises(ConfigError):
        load_config(path, env={})
    config, left_out = load_essentials(path, env={"FUNDINGARB__MARGIN__ACT_DISTANCE": "9"})
    assert set(config.accounts) == {"one", "two"}
    assert config.database.url == "sqlite:///here.db"
    assert config.trading.entry_buffer_minutes == 18
    assert config.trading.symbols == load_config(env={}).trading.symbols
    for said in (
        "symbols[1]",
        "margin_use",
        "no_such_section",
        "strategy",
        "bot_token",
        "act_distance",
        "cutoff",
    ):
        assert [line for line in left_out if said in line], said
    assert len(left_out) == 8
    assert not [line for line in left_out if "\n" in line]


@pytest.mark.parametrize(
    "text",
    [
        "network: nowhere",
        "database: {url: nonsense}",
        "accounts: {one: {exchange: binance, api_key: x}}",
        "accounts: {one: 5}",
        "exchanges: {binance: 5}",
        "trading: [",
    ],
)
def test_what_they_need_is_never_left_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"trading: {{margin_use: 7}}\n{text}\n" if "trading" not in text else text)
    with pytest.raises(ConfigError):
        load_essentials(path, env={})
