"""Hedges, orders, fills and payments for the store's tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from alembic import command
from alembic.config import Config

from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, Intent, LegPlan, Mode, OrderRecord, next_order
from fundingarb.domain.instrument import Instrument, Side
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.order import Fill, FillKind, OrderSide, OrderState, Purpose, TimeInForce
from fundingarb.store import schema
from fundingarb.store.database import make_engine, parse_url

NOW = datetime(2026, 3, 1, 7, 40, tzinfo=timezone.utc)


class StillClock:
    """A clock that stands where it is put."""

    speed = 1.0

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def time(self) -> float:
        return self.at.timestamp()

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def instrument(exchange: str, symbol: str = "BTC-USDT", **changes: Any) -> Instrument:
    base, settle = symbol.split("-")
    plain = Instrument(
        exchange=exchange,
        symbol=symbol,
        exchange_id=base + settle,
        base=base,
        settle=settle,
        tick=Decimal("0.1"),
        lot=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        min_notional=Decimal(5),
        funding_interval=timedelta(hours=8),
    )
    return replace(plain, **changes)


def intent(number: int = 1, symbol: str = "BTC-USDT", **changes: Any) -> Intent:
    plain = Intent(
        id=UUID(int=(number << 64) + 7),
        instance="test",
        symbol=symbol,
        mode=Mode.OPENING,
        quantity=Decimal("0.250"),
        long=LegPlan(Side.LONG, "binance", instrument("binance", symbol), 5),
        short=LegPlan(Side.SHORT, "bybit", instrument("bybit", symbol), 3),
        first=Side.SHORT,
        deadline=NOW + timedelta(seconds=30),
        tolerance=Decimal("-0.0001"),
        entry_spread=Decimal("0.00023"),
        created_at=NOW,
        config_revision=1,
    )
    return replace(plain, **changes)


def order(
    of: Intent,
    side: Side = Side.LONG,
    purpose: Purpose = Purpose.ENTRY,
    orders: tuple[OrderRecord, ...] = (),
    **changes: Any,
) -> OrderRecord:
    hedge = Hedge(of, orders)
    record = next_order(
        hedge, side, purpose, of.quantity, Decimal("60000.1"), TimeInForce.IOC, Decimal("60000.05"), NOW
    )
    return replace(record, **changes)


def filled(record: OrderRecord, exchange_order_id: str = "") -> OrderRecord:
    return replace(
        record,
        state=OrderState.FILLED,
        filled=record.quantity,
        average_price=record.price,
        exchange_order_id=exchange_order_id or record.client_id[::-1],
        acknowledged_at=NOW,
        resolved_at=NOW,
        latency_ms=1.25,
    )


def fill(
    record: OrderRecord, exchange: str, symbol: str = "BTC-USDT", number: int = 1, **changes: Any
) -> Fill:
    plain = Fill(
        exchange=exchange,
        account=record.account,
        symbol=symbol,
        trade_id=f"{record.client_id}-{number}",
        exchange_order_id=record.exchange_order_id or record.client_id[::-1],
        client_id=record.client_id,
        side=record.side,
        quantity=record.quantity,
        price=record.price or Decimal(60000),
        fee=Decimal("7.5"),
        realized_pnl=Decimal(0),
        at=NOW,
    )
    return replace(plain, **changes)


def liquidation(
    account: str, exchange: str, side: OrderSide, quantity: str, symbol: str = "BTC-USDT"
) -> Fill:
    return Fill(
        exchange=exchange,
        account=account,
        symbol=symbol,
        trade_id=f"liquidation-{account}",
        exchange_order_id="autoclose-1",
        client_id=None,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(50000),
        fee=Decimal("1.25"),
        realized_pnl=Decimal("-2500"),
        at=NOW,
        kind=FillKind.LIQUIDATION,
    )


def payment(
    account: str, exchange: str, amount: str, hours: int = 0, symbol: str = "BTC-USDT"
) -> FundingPayment:
    settlement = datetime(2026, 3, 1, 8, tzinfo=timezone.utc) + timedelta(hours=hours)
    return FundingPayment(
        exchange=exchange,
        account=account,
        symbol=symbol,
        settlement=settlement,
        amount=Decimal(amount),
        currency="USDT",
        at=settlement + timedelta(seconds=3),
        rate=Decimal("0.0001"),
        ledger_id=f"l{hours}",
    )


def refusal(gate: str = "net", seconds: int = 0, actual: str = "0.41", symbol: str = "BTC-USDT") -> Refusal:
    return Refusal(
        symbol=symbol,
        long_exchange="binance",
        short_exchange="bybit",
        gate=gate,
        needed="1 USD over 3 days",
        actual=actual,
        at=NOW + timedelta(seconds=seconds),
        spread_8h=Decimal("0.00012"),
        net_usd=Decimal(actual),
    )


def alert(title: str = "Position opened", hedge_id: UUID | None = None) -> Alert:
    return Alert(Severity.INFO, title, ("Pair: BTC-USDT", "Size: $25,000"), NOW, hedge_id)


def go_back(url: str, revision: str) -> None:
    """Have the database be one of an earlier version, with what it holds."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).with_name("migrations")))
    engine = make_engine(parse_url(url))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine.dispose()
