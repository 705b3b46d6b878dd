"""What ``fundingarb init`` writes for testnet: secrets into the vault, none of them into the configuration."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.conftest import RunCli

from fundingarb.app import Surroundings
from fundingarb.builtin.settings import TelegramSettings
from fundingarb.cli import run, telegram
from fundingarb.cli.init import Answers, check_and_start, document, init_command, pair, used, write_vault
from fundingarb.cli.questions import Questions
from fundingarb.config import Config, example_config, parse_config
from fundingarb.errors import ConfigError
from fundingarb.panel import doctor
from fundingarb.panel.doctor import Finding, Verdict
from fundingarb.plugins import Plugins, load_plugins
from fundingarb.ports import Secret
from fundingarb.unlocking import unlocked
from fundingarb.vault import Vault, hardening

PASSWORD = "correct horse battery staple"


def descriptor(folder: Path) -> int:
    path = folder / "password"
    path.write_text(PASSWORD)
    return os.open(path, os.O_RDONLY)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Answers:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(hardening, "harden", lambda: None)  # it could not be undone for the other tests
    (tmp_path / ".fundingarb").mkdir(mode=0o700)
    return Answers(
        network="testnet",
        exchanges=["binance", "bybit"],
        symbols=["BTC-USDT"],
        size=Decimal(2000),
        total=Decimal(10_000),
        loss=Decimal(100),
        telegram_token=Secret("canary:token"),
        keys={
            name: {"api_key": Secret(f"canary-key-{name}"), "api_secret": Secret(f"canary-secret-{name}")}
            for name in ("binance", "bybit")
        },
    )


def test_secrets_are_in_the_vault_only(answers: Answers, tmp_path: Path) -> None:
    text = example_config(document(answers))
    config = parse_config(text)
    assert config.network == "testnet"
    assert config.accounts["bybit"].exchange == "bybit"
    assert config.alerts == {"telegram": {}}
    assert config.risk["daily_loss"] == {"max_usd": Decimal(100)}
    assert config.trading.target_size_usd == 2000
    assert "canary" not in text

    made = write_vault(config, answers, descriptor(tmp_path))
    path = tmp_path / ".fundingarb" / "credentials.vault"
    vault = Vault.open(path, PASSWORD)
    assert made.journal_key.reveal() == vault.journal_key.reveal()
    assert vault.secrets["telegram-token"].reveal() == "canary:token"
    found = vault.account("bybit", "testnet")
    assert found is not None
    assert found.values["api_secret"].reveal() == "canary-secret-bybit"
    assert b"canary" not in path.read_bytes()


def test_the_plugins_that_are_used_are_named_as_real_money_wants_it(answers: Answers) -> None:
    """Naming them after the simulation would be another configuration, whose hours begin with nothing."""
    answers.allow = used(load_plugins(), answers.exchanges)
    config = parse_config(example_config(document(answers)))
    assert config.plugins.allow == ("fundingarb-binance", "fundingarb-bybit", "fundingarb-dashboard")
    assert set(load_plugins(config.plugins.allow).exchanges) == {"binance", "bybit"}
    answers.allow = None
    assert parse_config(example_config(document(answers))).plugins.allow is None


def test_a_vault_that_is_there_keeps_what_it_has(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardened: list[bool] = []
    monkeypatch.setattr(hardening, "harden", lambda: hardened.append(True))
    config = parse_config(example_config(document(answers)))
    write_vault(config, answers, descriptor(tmp_path))
    answers.keys = {"okx": {"api_key": Secret("another")}}
    answers.telegram_token = None
    write_vault(config, answers, descriptor(tmp_path))
    vault = Vault.open(tmp_path / ".fundingarb" / "credentials.vault", PASSWORD)
    assert len(hardened) == 1
    assert {one.name for one in vault.accounts()} == {"binance", "bybit", "okx"}
    assert "telegram-token" in vault.secrets


def failing(*_arguments: Any, **_named: Any) -> AsyncIterator[Finding]:
    async def findings() -> AsyncIterator[Finding]:
        yield Finding("account binance", "key", Verdict.FAILED, "may withdraw", "make another key")

    return findings()


def test_the_vault_is_not_opened_again_for_the_start(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody types the master password twice: checks and bot get the vault that is open."""
    config = parse_config(example_config(document(answers)))
    vault = write_vault(config, answers, descriptor(tmp_path))
    seen: list[Surroundings] = []

    def well(
        _config: Config, around: Surroundings, _plugins: Plugins, **_named: Any
    ) -> AsyncIterator[Finding]:
        async def findings() -> AsyncIterator[Finding]:
            seen.append(around)
            yield Finding("account binance", "key", Verdict.OK, "may trade")

        return findings()

    monkeypatch.setattr(doctor, "examine", well)
    check_and_start(config, tmp_path / "x.yaml", load_plugins(), Questions(True), vault, start=False, speed=1)
    (around,) = seen
    assert around.unlock is not None
    assert around.unlock() is vault


def test_a_set_up_that_is_not_well_is_not_started(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse_config(example_config(document(answers)))
    vault = write_vault(config, answers, descriptor(tmp_path))
    monkeypatch.setattr(doctor, "examine", failing)
    with pytest.raises(SystemExit) as ended:
        check_and_start(
            config, tmp_path / "x.yaml", load_plugins(), Questions(True), vault, start=True, speed=1
        )
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "do: make another key" in said
    assert f"Not started. When it is mended: fundingarb run --config {tmp_path / 'x.yaml'}" in said
    assert "Starting the bot" not in said


def test_telegram_is_paired_with_the_token_at_hand(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token was just typed: the vault is not asked for it. A pairing that fails does not end the set-up."""
    config = parse_config(example_config(document(answers)))
    token = Secret("123456:canary")
    seen: list[Secret] = []

    async def nobody(_settings: TelegramSettings, given: Secret) -> None:
        seen.append(given)
        raise ConfigError("nobody has sent the code in time")

    monkeypatch.setattr(telegram, "pair", nobody)
    pair(config, tmp_path / "x.yaml", load_plugins(), token)
    assert seen == [token]
    assert "in time; later: fundingarb telegram pair --config" in capsys.readouterr().out


def test_what_is_no_token_of_telegram_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match="is no token of a Telegram bot"):
        telegram.typed_token("canary")
    assert telegram.typed_token("123456:ABC-def_1").reveal() == "123456:ABC-def_1"


def test_a_simulation_on_testnet_from_questions_to_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but the exchanges, which are not asked here, and the bot: what is typed ends up in the vault alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(hardening, "harden", lambda: None)
    seen: list[tuple[Config, Surroundings]] = []

    async def trade(config: Config, around: Surroundings) -> None:
        seen.append((config, around))

    async def nobody(_settings: TelegramSettings, _token: Secret) -> None:
        raise ConfigError("nobody has sent the code in time")

    def well(config: Config, around: Surroundings, *_rest: Any, **_named: Any) -> AsyncIterator[Finding]:
        async def findings() -> AsyncIterator[Finding]:
            found = await unlocked(config, around)
            keys = found.around.venues["bybit"].accounts["bybit"].values
            yield Finding("account bybit", "key", Verdict.OK, f"{len(keys)} values")

        return findings()

    monkeypatch.setattr(run, "trade", trade)
    monkeypatch.setattr(telegram, "pair", nobody)
    monkeypatch.setattr(doctor, "examine", well)
    typed = ["testnet", "binance,bybit", "BTC-USDT", "1000", "", ""]
    typed += ["canary-binance-key", "canary-binance-secret", "", "", "canary-bybit-key"]
    typed += ["canary-bybit-secret", "canary-no-token", "654321:canary-token", "n", ""]
    file = tmp_path / "fundingarb.yaml"
    arguments = ["--config", str(file), "--password-fd", str(descriptor(tmp_path))]
    result = CliRunner().invoke(init_command, arguments, input="\n".join(typed))
    assert result.exit_code == 0, result.output
    assert "canary" not in result.output
    assert re.search(r"^ok +account bybit +key +2 values$", result.output, re.MULTILINE)
    assert "that is no token of a Telegram bot" in result.output
    assert "in time; later: fundingarb telegram pair" in result.output
    assert f"fundingarb run --config {file} starts it again" in result.output
    ((config, around),) = seen
    assert config.network == "testnet"
    assert around.unlock is not None
    vault = around.unlock()
    assert vault.secrets["telegram-token"].reveal() == "654321:canary-token"
    assert config.plugins.allow == ("fundingarb-binance", "fundingarb-bybit", "fundingarb-dashboard")
    account = vault.account("binance", "testnet")
    assert account is not None
    assert account.values["api_secret"].reveal() == "canary-binance-secret"
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "password"]
    assert {path.name for path in written} >= {"fundingarb.yaml", "credentials.vault"}
    assert not [path for path in written if b"canary" in path.read_bytes()]
    assert "#" in file.read_text(), "with comments"


def test_a_configuration_that_cannot_be_written_leaves_nothing_of_it(tmp_path: Path) -> None:
    """A disk that is full, here of a file size that is not allowed, in the middle."""
    file = tmp_path / "x.yaml"
    script = (
        "import resource, signal, sys; from pathlib import Path; from fundingarb.cli.fresh import write_fresh\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_fresh(Path(sys.argv[1]), 'x' * 100_000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert f"ConfigError: {file}: File too large; name a file that can be written" in done.stderr
    assert not file.exists()


def test_a_home_that_cannot_be_written_is_said(run_cli: RunCli) -> None:
    done = run_cli("init", "--no-input", "--no-start", env={"HOME": "/proc/x"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: /proc/x/.fundingarb: No such file or directory; make it yours")
    assert done.stderr.count("\n") == 1
