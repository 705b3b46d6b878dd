"""The examples of plugins, installed from wheels: a strategy, a risk rule, an alert sink and a fifth exchange act."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from tests.packaging.conftest import Fresh, clean
from tests.system.programs import Control, wait_for

pytestmark = pytest.mark.slow

PLUGINS = ("fundingarb-wide-spreads", "fundingarb-quiet-hours", "fundingarb-jsonl-alerts")
CONFIG = """\
network: localnet
database:
  url: sqlite:///bot.db
trading:
  symbols: [DOGE-USDT, LINK-USDT, BTC-USDT]
strategy:
  name: wide-spreads
  settings: {times: 200}
risk:
  quiet-hours: {hours: HOURS}
alerts:
  jsonl: {path: alerts.jsonl}
"""

FIFTH = """\
network: localnet
database:
  url: sqlite:///fifth.db
trading:
  symbols: [DOGE-USDT, BTC-USDT]
"""


def started(fresh: Fresh, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    with (fresh.folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [str(fresh.bin / "fundingarb"), *arguments],
            cwd=fresh.folder,
            env={**clean(), "HOME": str(fresh.folder), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def ended(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def gates(database: Path) -> dict[str, set[str]]:
    """Gate -> the symbols it refused, from the bot's why-not ledger."""
    found: dict[str, set[str]] = {}
    if database.exists():
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
        try:
            for gate, symbol in connection.execute("select gate, symbol from refusals"):
                found.setdefault(gate, set()).add(symbol)
        except sqlite3.OperationalError:
            return {}
        finally:
            connection.close()
    return found


@contextmanager
def running(fresh: Fresh, name: str, *arguments: str) -> Iterator[Path]:
    """A program in the fresh environment, ended with the block; yields its log."""
    process = started(fresh, name, *arguments)
    try:
        yield fresh.folder / f"{name}.log"
    finally:
        ended(process)


def test_every_example_acts(fresh: Fresh, wheels: dict[str, Path]) -> None:
    packages = ("fundingarb-core", "fundingarb-binance", "fundingarb-bybit", *PLUGINS)
    fresh.install(*(wheels[name] for name in packages))
    listed = fresh.fundingarb("plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    assert {*PLUGINS} <= {row["distribution"] for row in json.loads(listed.stdout)}
    config, ready = fresh.folder / "fundingarb.yaml", fresh.folder / "ready.json"
    database, alerts = fresh.folder / "bot.db", fresh.folder / "alerts.jsonl"
    market = ("--exchange", "binance", "--exchange", "bybit", "--seed", "7", "--speed", "120")
    bot = ("run", "--config", str(config), "--ready-file", str(ready))
    with running(fresh, "localnet", "localnet", *market, "--ready-file", str(ready)):
        wait_for("ready file", ready.exists, 120)
        for symbol, rate in (("DOGE-USDT", "0.01"), ("LINK-USDT", "0.002")):
            hourly = {"symbol": symbol, "exchange": "binance", "rate": rate, "interval_hours": 1}
            Control(ready).post("/funding", hourly)
        config.write_text(CONFIG.replace("HOURS", str(list(range(24)))))
        with running(fresh, "quiet", *bot) as log:
            both = {"quiet-hours", "wide-spreads"}
            wait_for("refusals of rule and strategy", lambda: both <= set(gates(database)), 400)
        assert Control(ready).order_count() == 0
        assert gates(database)["quiet-hours"] == {"DOGE-USDT"}
        assert "LINK-USDT" in gates(database)["wide-spreads"]
        assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
        config.write_text(CONFIG.replace("HOURS", "[]"))
        with running(fresh, "awake", *bot) as log:
            wait_for("alert", lambda: alerts.exists() and "Position Opened" in alerts.read_text(), 400)
        assert {symbol for _, symbol in Control(ready).positions()} == {"DOGE-USDT"}
        assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    rows = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert any(row["title"] == "Position Opened" and "Pair: DOGE-USDT" in row["lines"] for row in rows)


def test_the_fifth_exchange_carries_a_leg(fresh: Fresh, wheels: dict[str, Path]) -> None:
    fresh.install(wheels["fundingarb-core"], wheels["fundingarb-binance"], wheels["fundingarb-hyperliquid"])
    fresh.uninstall("fundingarb-bybit", *PLUGINS)
    config, ready = fresh.folder / "fifth.yaml", fresh.folder / "fifth.json"
    config.write_text(FIFTH)
    market = ("--exchange", "binance", "--exchange", "hyperliquid", "--seed", "7", "--speed", "120")
    with running(fresh, "fifth-net", "localnet", *market, "--ready-file", str(ready)):
        wait_for("ready file", ready.exists, 120)
        control = Control(ready)
        control.post("/funding", {"symbol": "DOGE-USDT", "exchange": "hyperliquid", "rate": "0.01"})
        with running(fresh, "fifth", "run", "--config", str(config), "--ready-file", str(ready)) as log:
            wait_for("open hedge", lambda: "Position Opened" in log.read_text(), 400)
        legs = {account: Decimal(quantity) for (account, _), quantity in control.positions().items()}
    assert set(legs) == {"binance", "hyperliquid"}
    assert legs["hyperliquid"] < 0, "a positive rate is received by shorts"
    assert sum(legs.values()) == 0
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
