"""Small makers of domain values for the tests of the domain."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from fundingarb.domain.decide import HedgeMarket, LegMarket
from fundingarb.domain.funding import FundingRate
from fundingarb.domain.hedge import Hedge, Intent, LegPlan, Mode, OrderRecord, next_order
from fundingarb.domain.instrument import Instrument, Side
from fundingarb.domain.market import OrderBook
from fundingarb.domain.opportunity import HedgePlan, Quote
from fundingarb.domain.order import FeeTier, Fill, FillKind, OrderSide, OrderState, Purpose, TimeInForce

NOW = datetime(2026, 1, 5, 7, 41, tzinfo=timezone.utc)
"""19 minutes before an 8-hour settlement: inside the default entry window."""
T = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)
HEDGE_ID = UUID("00000000-0000-4000-8000-000000000001")


def D(value: str | int | Decimal) -> Decimal:  # noqa: N802 - reads like the literal it stands for
    return Decimal(value)


def instrument(exchange: str = "alpha", symbol: str = "BTC-USDT", **changes: Any) -> Instrument:
    """Tick 0.1, lot 0.001, at least 0.001 and 5 USDT, settled every eight hours."""
    base, settle = symbol.split("-")
    values: dict[str, Any] = {
        "exchange": exchange,
        "symbol": symbol,
        "exchange_id": base + settle,
        "base": base,
        "settle": settle,
        "tick": Decimal("0.1"),
        "lot": Decimal("0.001"),
        "min_quantity": Decimal("0.001"),
        "min_notional": Decimal(5),
        "funding_interval": timedelta(hours=8),
    }
    return Instrument(**{**values, **changes})


def rate(
    where: Instrument,
    value: str | Decimal,
    hours: int = 8,
    *,
    next_settlement: datetime = T,
    at: datetime = NOW,
    mark: str | None = "100",
    index: str | None = "100",
) -> FundingRate:
    return FundingRate(
        instrument=where,
        rate=Decimal(value),
        interval=timedelta(hours=hours),
        next_settlement=next_settlement,
        at=at,
        mark=None if mark is None else Decimal(mark),
        index=None if index is None else Decimal(index),
    )


def book(
    where: Instrument,
    bids: list[tuple[str, str]],
    asks: list[tuple[str, str]],
    at: datetime = NOW,
) -> OrderBook:
    def side(levels: list[tuple[str, str]]) -> tuple[tuple[Decimal, Decimal], ...]:
        return tuple((Decimal(price), Decimal(quantity)) for price, quantity in levels)

    return OrderBook(where.exchange, where.symbol, side(bids), side(asks), at)


def quote(
    exchange: str,
    value: str,
    hours: int = 8,
    *,
    bids: list[tuple[str, str]] | None = None,
    asks: list[tuple[str, str]] | None = None,
    fee: tuple[str, str] = ("0.0002", "0.0005"),
    margin: str = "1000000",
    leverage: int = 5,
    median: str = "0",
    next_settlement: datetime = T,
    index: str | None = "100",
    mark: str | None = "100",
    account: str | None = None,
    **changes: Any,
) -> Quote:
    """A quote around 100 USDT with a tight and deep book."""
    where = instrument(exchange, **changes)
    return Quote(
        account=account or exchange,
        rate=rate(where, value, hours, next_settlement=next_settlement, index=index, mark=mark),
        book=book(where, bids or [("99.95", "10000")], asks or [("100.05", "10000")]),
        fee=FeeTier(Decimal(fee[0]), Decimal(fee[1])),
        free_margin=Decimal(margin),
        leverage=leverage,
        median_hourly=Decimal(median),
    )


def intent(**changes: Any) -> Intent:
    """Ten units long on alpha (filled first) against short on beta, opening, with half a minute to go."""
    values: dict[str, Any] = {
        "id": HEDGE_ID,
        "instance": "t3st",
        "symbol": "BTC-USDT",
        "mode": Mode.OPENING,
        "quantity": Decimal(10),
        "long": LegPlan(Side.LONG, "alpha", changes.pop("long_instrument", instrument("alpha")), 5),
        "short": LegPlan(Side.SHORT, "beta", changes.pop("short_instrument", instrument("beta")), 5),
        "first": Side.LONG,
        "deadline": NOW + timedelta(seconds=30),
        "tolerance": Decimal("-0.0001"),
        "entry_spread": Decimal("0.001"),
        "created_at": NOW,
    }
    return Intent(**{**values, **changes})


def order(
    hedge: Hedge,
    leg: Side,
    purpose: Purpose,
    quantity: str,
    *,
    state: OrderState = OrderState.OPEN,
    filled: str | None = None,
    booked: str | None = None,
    price: str | None = "100",
    at: datetime = NOW,
    **changes: Any,
) -> OrderRecord:
    """The next registry row for this leg and purpose; a FILLED one is filled and booked in full by default."""
    resting = purpose is Purpose.ENTRY
    record = next_order(
        hedge,
        leg,
        purpose,
        Decimal(quantity),
        None if price is None else Decimal(price),
        TimeInForce.GTC if resting else TimeInForce.IOC,
        Decimal(100),
        at,
    )
    done = Decimal(filled) if filled is not None else Decimal(quantity if state is OrderState.FILLED else 0)
    return replace(
        record,
        state=state,
        filled=done,
        booked=done if booked is None else Decimal(booked),
        acknowledged_at=at,
        resolved_at=at if state.terminal else None,
        **changes,
    )


def hedge(*rows: tuple[Side, Purpose, str, dict[str, Any]], **changes: Any) -> Hedge:
    """A hedge with an intent as ``intent(**changes)`` and one order per row."""
    taken = changes.pop("taken", {})
    made = Hedge(intent(**changes), (), taken)
    for leg, purpose, quantity, details in rows:
        made = made.with_order(order(made, leg, purpose, quantity, **details))
    return made


def filled(
    leg: Side, purpose: Purpose, quantity: str, **details: Any
) -> tuple[Side, Purpose, str, dict[str, Any]]:
    return leg, purpose, quantity, {"state": OrderState.FILLED, **details}


def market(
    long: LegMarket | None = None, short: LegMarket | None = None, *, entries: bool = True
) -> HedgeMarket:
    """Both books at 99.9 / 100.1 unless said otherwise."""
    plain = LegMarket(Decimal("99.9"), Decimal("100.1"), Decimal(100))
    return HedgeMarket(long or plain, short or plain, entries)


def plan(**changes: Any) -> HedgePlan:
    values: dict[str, Any] = {
        "symbol": "BTC-USDT",
        "long": LegPlan(Side.LONG, "alpha", instrument("alpha"), 5),
        "short": LegPlan(Side.SHORT, "beta", instrument("beta"), 5),
        "quantity": Decimal(10),
        "notional": Decimal(1000),
        "first": Side.LONG,
        "tolerance": Decimal("-0.0001"),
        "entry_spread": Decimal("0.001"),
        "settlement": T,
        "at": NOW,
    }
    return HedgePlan(**{**values, **changes})


def fill(
    account: str,
    side: OrderSide,
    quantity: str,
    price: str,
    *,
    trade_id: str = "1",
    client_id: str | None = None,
    order_id: str = "x1",
    fee: str = "0",
    realized: str = "0",
    symbol: str = "BTC-USDT",
    kind: FillKind = FillKind.TRADE,
    at: datetime = NOW,
) -> Fill:
    return Fill(
        exchange=account,
        account=account,
        symbol=symbol,
        trade_id=trade_id,
        exchange_order_id=order_id,
        client_id=client_id,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        realized_pnl=Decimal(realized),
        at=at,
        kind=kind,
    )
