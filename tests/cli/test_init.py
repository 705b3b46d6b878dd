"""What ``fundingarb init`` writes for testnet: secrets into the vault, none of them into the configuration."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from fundingarb.cli.init import Answers, document, write_vault
from fundingarb.config import example_config, parse_config
from fundingarb.ports import Secret
from fundingarb.vault import Vault

PASSWORD = "correct horse battery staple"


def descriptor(folder: Path) -> int:
    path = folder / "password"
    path.write_text(PASSWORD)
    return os.open(path, os.O_RDONLY)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Answers:
    monkeypatch.setenv("HOME", str(tmp_path))
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

    write_vault(config, answers, descriptor(tmp_path))
    path = tmp_path / ".fundingarb" / "credentials.vault"
    vault = Vault.open(path, PASSWORD)
    assert vault.secrets["telegram-token"].reveal() == "canary:token"
    found = vault.account("bybit", "testnet")
    assert found is not None
    assert found.values["api_secret"].reveal() == "canary-secret-bybit"
    assert b"canary" not in path.read_bytes()


def test_a_vault_that_is_there_keeps_what_it_has(answers: Answers, tmp_path: Path) -> None:
    config = parse_config(example_config(document(answers)))
    write_vault(config, answers, descriptor(tmp_path))
    answers.keys = {"okx": {"api_key": Secret("another")}}
    answers.telegram_token = None
    write_vault(config, answers, descriptor(tmp_path))
    vault = Vault.open(tmp_path / ".fundingarb" / "credentials.vault", PASSWORD)
    assert {one.name for one in vault.accounts()} == {"binance", "bybit", "okx"}
    assert "telegram-token" in vault.secrets
