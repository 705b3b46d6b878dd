"""``fundingarb doctor`` against the offline exchanges: what is well, and what is said of what is not."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.conftest import RunCli
from tests.system.programs import localnet

from fundingarb.config import load_config
from fundingarb.panel import doctor
from fundingarb.ports import KeyPermissions
from fundingarb.store import upgrade
from fundingarb.testing import FakeExchange


@pytest.fixture(scope="module")
def ready_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with localnet(tmp_path_factory.mktemp("localnet")) as (ready, _):
        yield ready


def examined(
    run_cli: RunCli, folder: Path, ready: Path, settings: str = "", *options: str
) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """The exit status, and the findings by subject and check."""
    config = folder / "fundingarb.yaml"
    config.write_text(f"network: localnet\ndatabase: {{url: 'sqlite:///{folder}/x.db'}}\n{settings}")
    result = run_cli("doctor", "--json", "--config", str(config), "--ready-file", str(ready), *options)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return result.returncode, {(row["subject"], row["check"]): row for row in rows}


def test_all_is_well(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    status, found = examined(run_cli, tmp_path, ready_file)
    assert status == 0
    for exchange in ("binance", "bybit"):
        for check in ("clock", "key", "balance", "modes", "symbols"):
            assert found[f"account {exchange}", check]["verdict"] == "ok"
        assert found[f"exchange {exchange}", "stream"]["verdict"] == "ok"
    assert found["database", "schema"]["verdict"] == "ok"
    assert found["disk", "database"]["verdict"] == "ok"
    assert found["alerts", "sinks"]["verdict"] == "warning"
    assert not (tmp_path / "x.db").exists()


def test_an_exchange_that_does_not_answer(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    ready = json.loads(ready_file.read_text())
    bybit = ready["exchanges"]["bybit"]
    bybit["rest"] = f"http://127.0.0.1:{port}"
    bybit["endpoints"] = dict.fromkeys(bybit["endpoints"], bybit["rest"])
    elsewhere = tmp_path / "ready.json"
    elsewhere.write_text(json.dumps(ready))

    status, found = examined(run_cli, tmp_path, elsewhere)
    assert status == 1
    assert found["account binance", "clock"]["verdict"] == "ok"
    assert found["account bybit", "clock"]["verdict"] == "failed"
    assert "connection" in found["account bybit", "clock"]["remedy"]
    assert ("account bybit", "key") not in found
    assert ("exchange bybit", "stream") not in found


def test_symbols_nobody_lists(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    status, found = examined(run_cli, tmp_path, ready_file, "trading: {symbols: [BTC-USDT, NOPE-USDT]}\n")
    assert status == 0
    assert found["account bybit", "symbols"]["verdict"] == "warning"
    assert "NOPE-USDT" in found["account bybit", "symbols"]["detail"]

    status, found = examined(run_cli, tmp_path, ready_file, "trading: {symbols: [NOPE-USDT]}\n")
    assert status == 1
    assert found["account bybit", "symbols"]["verdict"] == "failed"


def test_a_database_of_a_newer_version(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/x.db")
    with closing(sqlite3.connect(tmp_path / "x.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    status, found = examined(run_cli, tmp_path, ready_file)
    assert status == 1
    assert found["database", "schema"]["verdict"] == "failed"
    assert "newer fundingarb" in found["database", "schema"]["remedy"]


def test_a_sink_that_cannot_be_opened(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    settings = f"alerts: {{telegram: {{chat_id: 1, token_file: {tmp_path}/none}}}}\n"
    status, found = examined(run_cli, tmp_path, ready_file, settings)
    assert status == 1
    assert found["alerts", "telegram"]["verdict"] == "failed"
    assert str(tmp_path) in found["alerts", "telegram"]["detail"]


def test_a_sink_that_would_not_deliver(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    mail = f"{{host: 127.0.0.1, port: {port}, tls: none, sender: bot@example.org, to: [me@example.org]}}"
    status, found = examined(run_cli, tmp_path, ready_file, f"alerts: {{mail: {mail}}}\n")
    assert status == 0
    assert found["alerts", "mail"]["verdict"] == "warning"
    assert "the mail server 127.0.0.1 did not take an alert" in found["alerts", "mail"]["remedy"]
    status, found = examined(run_cli, tmp_path, ready_file, f"alerts: {{mail: {mail}}}\n", "--alert")
    assert status == 1
    assert found["alerts", "mail"]["verdict"] == "failed"


def test_a_table_for_people(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    config = tmp_path / "fundingarb.yaml"
    config.write_text("network: localnet\ntrading: {symbols: [BTC-USDT, NOPE-USDT]}\n")
    result = run_cli("doctor", "--config", str(config), "--ready-file", str(ready_file))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    row = lines.index("warning  account binance      symbols    1 of 2 listed, not NOPE-USDT")
    assert lines[row + 1].strip().startswith("do: correct trading.symbols")
    assert lines[-1].endswith("0 failed, 3 warnings")


@pytest.mark.parametrize(("accepted", "verdict"), [(False, doctor.Verdict.FAILED), (True, doctor.Verdict.OK)])
def test_a_live_key_of_unknown_rights_is_accepted_by_name(accepted: bool, verdict: doctor.Verdict) -> None:
    async def look() -> doctor.Finding:
        exchange = FakeExchange("bybit")
        exchange.permissions = KeyPermissions(trade=None, withdraw=None, ip_restricted=None)
        main = {"exchange": "bybit", "accept_unknown_rights": accepted}
        config = load_config(None, {"network": "mainnet", "accounts": {"main": main}}, {})
        return await doctor._key("account main", "main", exchange, config)

    found = anyio.run(look)
    assert found.verdict is verdict
    assert ("accounts.main.accept_unknown_rights: true" in found.remedy) is not accepted
