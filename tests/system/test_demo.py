"""The whole program by its main command: offline exchanges, the bot, a report that has to add up."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import RunCli

ZERO = Decimal(0)


def check_report(report: dict[str, Any], cycles: int) -> None:
    """Everything that must hold of a finished demo, recomputed here from the report's own parts."""
    assert report["reconciled"] is True
    hedges = report["hedges"]
    closed = [hedge for hedge in hedges if hedge["status"] == "CLOSED"]
    assert len(closed) >= cycles
    for hedge in hedges:
        funding, fees, price = (Decimal(hedge[key]) for key in ("funding_usd", "fees_usd", "price_pnl_usd"))
        assert Decimal(hedge["realized_pnl_usd"]) == price + funding - fees
        assert Decimal(hedge["basis_usd"]) + Decimal(hedge["slippage_usd"]) == price
        long, short = hedge["legs"]
        assert (long["side"], short["side"]) == ("LONG", "SHORT")
        assert long["account"] != short["account"]
    for hedge in closed[:cycles]:
        long, short = hedge["legs"]
        entered = sorted(Decimal(leg["qty"]) for leg in (long, short))
        assert entered[0] == Decimal(hedge["qty"]) > 0, "equal size on both legs"
        # what one leg entered beyond the other's lots was given back at once
        assert entered[1] - entered[0] < entered[0] / 1000
        assert Decimal(long["funding_usd"]) != 0, "funding on the long leg"
        assert Decimal(short["funding_usd"]) != 0, "funding on the short leg"
    for name, account in report["truth"].items():
        legs = [leg for hedge in hedges for leg in hedge["legs"] if leg["account"] == name]
        booked = sum(
            (
                Decimal(leg["price_pnl_usd"]) + Decimal(leg["funding_usd"]) - Decimal(leg["fees_usd"])
                for leg in legs
            ),
            ZERO,
        )
        change = Decimal(account["final_balance"]) - Decimal(account["starting_balance"])
        assert change == booked, f"{name}: the balance changed by exactly what the hedges booked"
        assert sum((Decimal(leg["fees_usd"]) for leg in legs), ZERO) == Decimal(account["fees"])
        assert sum((Decimal(leg["funding_usd"]) for leg in legs), ZERO) == Decimal(account["funding"])


@pytest.mark.slow
def test_two_cycles_reconcile(run_cli: RunCli, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = run_cli(
        "demo", "--headless", "--cycles", "2", "--seed", "7", "--speed", "240", "--report", str(report), timeout=300
    )  # fmt: skip
    assert result.returncode == 0, result.stderr + result.stdout
    check_report(json.loads(report.read_text()), cycles=2)


@pytest.mark.slow
def test_replay_of_recorded_history(run_cli: RunCli, tmp_path: Path, data_dir: Path) -> None:
    report = tmp_path / "report.json"
    result = run_cli(
        "demo", "--headless", "--cycles", "2", "--seed", "7", "--replay", str(data_dir), "--report", str(report),
        timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr + result.stdout
    check_report(json.loads(report.read_text()), cycles=2)


def test_a_wrong_figure_is_not_reconciled() -> None:
    """The check that ends the demo can fail: one cent too much and it does."""
    from fundingarb.demo.report import Books, reconciled, unexplained

    books = Books([], [], [], {}, {})
    truth = {"binance": {"starting_balance": "100", "final_balance": "100", "changes": {}}}
    assert reconciled(books, truth)
    assert not unexplained(books, truth)
    truth["binance"] |= {"final_balance": "100.01", "changes": {"BTC-USDT": "0.01"}}
    assert not reconciled(books, truth)
    assert unexplained(books, truth) == ["binance BTC-USDT: the ledger says 0.01, booked is 0"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--replay", "no/such/folder"), "no/such/folder"),
        (("--cycles", "0"), "--cycles"),
        (("--report", "no/such/folder/r.json"), "does not exist"),
        (("--from", "yesterday"), "yesterday"),
    ],
)
def test_bad_arguments(run_cli: RunCli, arguments: tuple[str, ...], says: str) -> None:
    result = run_cli("demo", "--headless", *arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
