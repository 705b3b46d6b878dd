"""``fundingarb run`` killed with a hedge open, and started again: it finds the hedge and goes on with it."""

from __future__ import annotations

import signal
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from tests.system.programs import Control, localnet, program, wait_for

CONFIG = """\
network: localnet
database:
  url: {database}
trading:
  symbols: [PEPE-USDT, WIF-USDT, ORDI-USDT, DOGE-USDT, LINK-USDT, AVAX-USDT]
"""


def run_and_kill(folder: Path, database: str) -> None:
    config = folder / "fundingarb.yaml"
    config.write_text(CONFIG.format(database=database))
    with localnet(folder, "--seed", "7", "--speed", "240") as (ready, control):
        arguments = ("run", "--config", str(config), "--ready-file", str(ready))
        with program(folder, "first", *arguments) as first:
            wait_for("open hedge", lambda: hedged(control) and "Position Opened" in first.output, 120)
            first.end(signal.SIGKILL)
        before, orders = hedged(control), control.order_count()
        assert before
        wait_for("settlement while the bot is down", lambda: settled(control), 60)
        with program(folder, "second", *arguments) as second:
            symbols = {symbol for _, symbol in before}
            wait_for("close of a hedge opened before", lambda: closed_one(control, symbols), 240)
            assert "does not match" not in second.output
            assert second.end(signal.SIGTERM) == 0, second.output
        compare_money(control, database)
        assert control.order_count() > orders
        for symbol in symbols:
            legs = [float(quantity) for (_, name), quantity in control.positions().items() if name == symbol]
            assert sum(legs) == pytest.approx(0), f"{symbol} is hedged or flat"


def compare_money(control: Control, database: str) -> None:
    """What is booked equals the change of every account's balance: nothing was lost while the bot was down."""
    url = database.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    with engine.connect() as connection:
        trades = connection.execute(text("select account, realized_pnl, fee from trades")).all()
        payments = connection.execute(text("select account, payment_usd from funding_events")).all()
    engine.dispose()
    for name, account in control.get("/truth")["accounts"].items():
        booked = sum(
            (Decimal(str(pnl)) - Decimal(str(fee)) for own, pnl, fee in trades if own == name), Decimal(0)
        )
        booked += sum((Decimal(str(amount)) for own, amount in payments if own == name), Decimal(0))
        assert booked == Decimal(account["balance"]) - Decimal(account["starting_balance"]), name


def hedged(control: Control) -> dict[tuple[str, str], str]:
    """Positions of symbols that are held with equal size on two accounts."""
    positions = control.positions()
    totals: dict[str, list[float]] = {}
    for (_, symbol), quantity in positions.items():
        totals.setdefault(symbol, []).append(float(quantity))
    done = {symbol for symbol, legs in totals.items() if len(legs) == 2 and abs(sum(legs)) < 1e-9}
    return {key: quantity for key, quantity in positions.items() if key[1] in done}


def settled(control: Control) -> bool:
    return any(account["funding"] for account in control.get("/truth")["accounts"].values())


def closed_one(control: Control, symbols: set[str]) -> bool:
    return bool(symbols - {symbol for _, symbol in control.positions()})


@pytest.mark.slow
def test_sqlite(tmp_path: Path) -> None:
    run_and_kill(tmp_path, f"sqlite:///{tmp_path / 'bot.db'}")


@pytest.mark.slow
def test_postgresql(tmp_path: Path, postgres_url: str) -> None:
    run_and_kill(tmp_path, postgres_url)
