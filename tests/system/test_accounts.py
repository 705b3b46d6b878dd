"""Several accounts on one exchange, each with its limit; two bots on one account, which neither knows of the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from tests.conftest import RunCli
from tests.system.programs import Program, localnet, program, wait_for
from tests.system.test_control import ANY_SPREAD, NO_SPREAD, Town, fine

pytestmark = pytest.mark.slow

ALTERNATIVE = """\
accounts:
  binance: {exchange: binance}
  binance-alt: {exchange: binance}
  bybit: {exchange: bybit}
  bybit-alt: {exchange: bybit}
risk:
  total_notional: {accounts: {binance: 1}}
"""


def test_a_hedge_goes_to_accounts_that_have_room(tmp_path: Path, run_cli: RunCli) -> None:
    """One dollar on the first account of Binance: every hedge has its leg there on the other one."""
    with localnet(tmp_path, "--seed", "7", "--speed", "100") as (ready, control):
        town = Town(tmp_path, ready, control, run_cli, f"sqlite:///{tmp_path / 'bot.db'}", ANY_SPREAD)
        with town.config.open("a") as file:
            file.write(ALTERNATIVE)
        with town.bot() as bot:
            wait_for("open hedge", lambda: town.hedged() and "Position Opened" in bot.output, 120)
            said = fine(town.cli("status"))
            assert {line.split()[1] for line in said.splitlines() if line.startswith("account ")} == {
                "binance", "binance-alt", "bybit", "bybit-alt",
            }  # fmt: skip
            held = town.control.positions()
            assert "binance" not in {account for account, _ in held}
            assert "binance-alt" in {account for account, _ in held}
            assert bot.end(within=90) == 0, bot.output
        rows = [
            json.loads(line)
            for path in (tmp_path / "logs").glob("trades-*.jsonl")
            for line in path.read_text().splitlines()
        ]
        trades = [row for row in rows if row["event"] == "trade"]
        assert {row["account"] for row in trades} <= {"binance-alt", "bybit", "bybit-alt"}
        assert all(row["latency_ms"] is not None for row in trades)


@contextmanager
def second_bot(town: Town, database: str) -> Iterator[Program]:
    """Another bot on the same accounts, with a configuration and a database of its own."""
    other = town.folder / "other"
    other.mkdir()
    text = town.config.read_text()
    first_port = next(line for line in text.splitlines() if "port:" in line)
    text = text.replace(first_port, "    port: 0").replace("/bot.db", f"/{database}")
    (other / "fundingarb.yaml").write_text(text.replace(ANY_SPREAD, NO_SPREAD))
    with program(
        other, "second", "run", "--config", str(other / "fundingarb.yaml"), *town.where[2:]
    ) as running:
        yield running


def test_two_bots_on_one_account_one_trades_and_the_other_says_why_it_does_not(
    tmp_path: Path, run_cli: RunCli
) -> None:
    with localnet(tmp_path, "--seed", "7", "--speed", "100") as (ready, control):
        town = Town(tmp_path, ready, control, run_cli, f"sqlite:///{tmp_path / 'bot.db'}", ANY_SPREAD)
        with town.bot() as bot:
            wait_for("open hedge", lambda: town.hedged() and "Position Opened" in bot.output, 120)
            before = town.control.positions()
            with second_bot(town, "second.db") as other:
                where = ("--config", str(tmp_path / "other" / "fundingarb.yaml"), *town.where[2:])

                def halted() -> str:
                    assert other.process.poll() is None, other.output
                    said = run_cli("status", *where, timeout=90).stdout
                    lines = [line for line in said.splitlines() if "end that one" in line]
                    return said if len(lines) == 2 else ""

                said = wait_for("halt of both accounts", halted, 90)
                assert "RUNNING" in said
                assert "hedges: none open" in said
                assert "DIFFERS" in run_cli("reconcile", *where, timeout=90).stdout
                assert "entries off" not in fine(town.cli("status")), "the first one goes on"
                same = {leg: Decimal(quantity) for leg, quantity in town.control.positions().items()}
                assert same == {leg: Decimal(q) for leg, q in before.items()} or town.hedged() or town.flat()
                assert other.end(within=90) == 0, other.output
            assert bot.process.poll() is None
