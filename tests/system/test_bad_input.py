"""What goes wrong before trading: one line on standard error, exit status 2, what to do next."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.conftest import RunCli
from tests.store.samples import NOW, StillClock, intent
from tests.system.programs import localnet

from fundingarb.domain.hedge import Intent
from fundingarb.ports import Batch
from fundingarb.store import SqlLease, open_store, upgrade
from fundingarb.store.database import parse_url


@pytest.fixture(scope="module")
def ready_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with localnet(tmp_path_factory.mktemp("localnet")) as (ready, _):
        yield ready


def one_line(run_cli: RunCli, tmp_path: Path, config: str, ready: Path | None, *extra: str) -> str:
    """Run with this configuration; the one line it ends with."""
    path = tmp_path / "fundingarb.yaml"
    path.write_text(config)
    ready_arguments = ("--ready-file", str(ready)) if ready else ()
    result = run_cli("run", "--config", str(path), *ready_arguments, *extra)
    assert result.returncode == 2, result.stdout + result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_unknown_symbol(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    config = f"network: localnet\ndatabase: {{url: 'sqlite:///{tmp_path}/x.db'}}\ntrading: {{symbols: [NOPE-USDT]}}\n"
    assert "NOPE-USDT" in one_line(run_cli, tmp_path, config, ready_file)


def test_bad_yaml(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    assert "fundingarb.yaml:" in one_line(run_cli, tmp_path, "trading: {symbols: [\n", ready_file)


def test_unknown_key_suggests(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    line = one_line(run_cli, tmp_path, "trading:\n  simbols: [BTC-USDT]\n", ready_file)
    assert "symbols" in line


def test_missing_key(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    line = one_line(run_cli, tmp_path, "accounts:\n  main: {}\n", ready_file)
    assert "exchange" in line


def test_missing_ready_file(run_cli: RunCli, tmp_path: Path) -> None:
    assert "fundingarb localnet" in one_line(run_cli, tmp_path, "network: localnet\n", None)
    assert "fundingarb localnet" in one_line(run_cli, tmp_path, "network: localnet\n", tmp_path / "none.json")


def test_other_networks_wait_for_the_vault(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    assert "vault" in one_line(run_cli, tmp_path, "network: mainnet\n", ready_file)


def test_unreachable_database(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = f"network: localnet\ndatabase: {{url: 'postgresql://bot:hunter2@127.0.0.1:{port}/bot'}}\n"
    line = one_line(run_cli, tmp_path, config, ready_file)
    assert str(port) in line
    assert "hunter2" not in line


def test_database_of_another_localnet(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    """One with hedges is refused; one that never traded is simply used."""
    url = f"sqlite:///{tmp_path}/x.db"
    config = f"network: localnet\ndatabase: {{url: '{url}'}}\ntrading: {{symbols: [NOPE-USDT]}}\n"

    async def used_with(run: str, *intents: Intent) -> None:
        async with open_store(url, StillClock()) as store:
            assert await store.localnet_run(run, NOW) == run
            await store.commit(Batch(intents=intents))

    anyio.run(used_with, "one")
    anyio.run(used_with, "two")
    assert "NOPE-USDT" in one_line(run_cli, tmp_path, config, ready_file)
    anyio.run(used_with, "three", intent())
    line = one_line(run_cli, tmp_path, config, ready_file)
    assert "another run of the localnet; choose another one" in line


def test_port_in_use(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = (
            f"network: localnet\ndatabase: {{url: 'sqlite:///{tmp_path}/x.db'}}\n"
            f"trading: {{symbols: [BTC-USDT]}}\nservices: {{dashboard: {{port: {port}}}}}\n"
        )
        assert str(port) in one_line(run_cli, tmp_path, config, ready_file)


def test_unknown_exchange(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    line = one_line(run_cli, tmp_path, "accounts:\n  main: {exchange: kraken}\n", ready_file)
    assert "kraken" in line


def test_a_database_in_use(run_cli: RunCli, tmp_path: Path, ready_file: Path) -> None:
    """Two processes on one database are impossible; the second one says who has it."""
    url = f"sqlite:///{tmp_path}/x.db"
    config = f"network: localnet\ndatabase: {{url: '{url}'}}\ntrading: {{symbols: [BTC-USDT]}}\n"
    upgrade(url)
    lease = SqlLease(parse_url(url), ["binance", "bybit"], None)
    lease.take()
    try:
        line = one_line(run_cli, tmp_path, config, ready_file)
        assert f"is in use: process {os.getpid()} is trading binance, bybit; end that one first" in line
    finally:
        lease.give_back()
