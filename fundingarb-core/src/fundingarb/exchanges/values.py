"""What exchanges say, in their own units and as text, made ours. Pure functions; a surprise is a ``BadMessage``.

An adapter names the fields, these functions do the rest: units, times, zero and the empty string for "none".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate, snap
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    Fill,
    FillKind,
    OrderReport,
    OrderSide,
    OrderState,
)
from fundingarb.exchanges.parse import (
    decode,
    each,
    fraction,
    moment,
    number,
    optional,
    optional_positive,
    positive,
)
from fundingarb.exchanges.symbols import InstrumentMap

T = TypeVar("T")
Text = str | Decimal

ZERO, ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class Units:
    """Base units in one unit of the exchange's quantities, and in the unit its prices are for."""

    quantity: Decimal = ONE
    price: Decimal = ONE


def units_of(instrument: Instrument | None) -> Units:
    """The units of an exchange that counts both in its own multiple of the base asset (1000PEPE)."""
    return Units() if instrument is None else Units(instrument.multiplier, instrument.multiplier)


def funding_rate(
    instrument: Instrument,
    *,
    rate: Text,
    next_settlement: int | str,
    at: datetime,
    interval: timedelta | None = None,
    mark: Text = "",
    index: Text = "",
    predicted: Text = "",
    units: Units | None = None,
) -> FundingRate:
    """The rate for ``next_settlement`` (unix ms); the instrument's interval unless another is given.

    ``predicted`` is the rate of the settlement after that, where the exchange names one.
    """
    name, price_unit = instrument.exchange_id, (units or units_of(instrument)).price
    mark_price, index_price = (
        optional_positive(mark, f"{name} mark"),
        optional_positive(index, f"{name} index"),
    )
    return FundingRate(
        instrument=instrument,
        rate=fraction(rate, f"{name} funding rate"),
        interval=interval or instrument.funding_interval,
        next_settlement=moment(next_settlement, f"{name} next funding"),
        at=at,
        mark=None if mark_price is None else mark_price / price_unit,
        index=None if index_price is None else index_price / price_unit,
        predicted=fraction(predicted, f"{name} predicted rate") if predicted else None,
    )


def funding_rates(
    rows: Iterable[msgspec.Raw],
    kind: type[T],
    named: Callable[[T], str],
    convert: Callable[[T, Instrument, datetime], FundingRate],
    known: InstrumentMap,
    wanted: Collection[str],
    at: datetime,
) -> list[FundingRate]:
    """The rates of the ``wanted`` exchange ids among raw rows of ``kind``; one that cannot be used is left out."""

    def take(body: bytes) -> FundingRate | None:
        row = decode(kind, body, "rate")
        instrument = known.by_id(named(row)) if named(row) in wanted else None
        return None if instrument is None else convert(row, instrument, at)

    return each(rows, take)


def settled_rates(exchange: str, symbol: str, rows: Iterable[tuple[int | str, Text]]) -> list[SettledRate]:
    """Settled rates, oldest first, of (unix ms, rate) in any order."""
    found = [
        SettledRate(
            exchange=exchange,
            symbol=symbol,
            rate=fraction(rate, "funding rate"),
            settled_at=snap(moment(at, "funding time")),
        )
        for at, rate in rows
    ]
    return sorted(found, key=lambda row: row.settled_at)


def levels(rows: Iterable[tuple[str, str]], units: Units) -> list[tuple[Decimal, Decimal]]:
    """(price, quantity) pairs per base unit; empty levels are left out."""
    sizes = ((price, number(quantity, "book quantity")) for price, quantity in rows)
    return [
        (positive(price, "book price") / units.price, size * units.quantity)
        for price, size in sizes
        if size > 0
    ]


def order_book(
    instrument: Instrument,
    bids: Iterable[tuple[str, str]],
    asks: Iterable[tuple[str, str]],
    at: datetime,
    *,
    depth: int | None = None,
    units: Units | None = None,
) -> OrderBook:
    """Exchanges send both sides best first; sorted all the same, because a book out of order would misprice."""
    scale = units or units_of(instrument)
    return OrderBook(
        exchange=instrument.exchange,
        symbol=instrument.symbol,
        bids=tuple(sorted(levels(bids, scale), reverse=True)[:depth]),
        asks=tuple(sorted(levels(asks, scale))[:depth]),
        at=at,
    )


def order_report(
    account: str,
    exchange_id: str,
    instrument: Instrument | None,
    *,
    client_id: str,
    exchange_order_id: str,
    state: OrderState,
    side: OrderSide,
    quantity: Text,
    filled: Text,
    price: Text,
    average: Text,
    reduce_only: bool,
    at: int | str,
    reason: str = "",
    units: Units | None = None,
) -> OrderReport:
    """An order; of a contract we do not trade it carries the exchange's own id as its symbol."""
    scale = units or units_of(instrument)
    limit, mean = optional_positive(price, "order price"), optional_positive(average, "average price")
    return OrderReport(
        account=account,
        symbol=exchange_id if instrument is None else instrument.symbol,
        client_id=client_id or None,
        exchange_order_id=exchange_order_id,
        state=state,
        side=side,
        quantity=number(quantity, "order quantity") * scale.quantity,
        filled=(optional(filled, "filled quantity") or ZERO) * scale.quantity,
        price=None if limit is None else limit / scale.price,
        average_price=None if mean is None else mean / scale.price,
        reduce_only=reduce_only,
        at=moment(at, "order time") if at else None,
        reason=reason,
    )


def position(
    exchange: str,
    account: str,
    exchange_id: str,
    instrument: Instrument | None,
    *,
    quantity: Text,
    entry_price: Text,
    mark: Text,
    liquidation_price: Text,
    unrealized_pnl: Text,
    leverage: Text,
    maintenance_margin: Text,
    adl_rank: int | None,
    units: Units | None = None,
) -> ExchangePosition:
    """One position (``quantity`` signed); of a contract we do not trade it carries the exchange's own id."""
    scale = units or units_of(instrument)
    mark_price = optional_positive(mark, "mark price")
    liquidation = optional_positive(liquidation_price, "liquidation price")
    return ExchangePosition(
        exchange=exchange,
        account=account,
        symbol=exchange_id if instrument is None else instrument.symbol,
        quantity=(optional(quantity, "position quantity") or ZERO) * scale.quantity,
        entry_price=(optional(entry_price, "entry price") or ZERO) / scale.price,
        mark=None if mark_price is None else mark_price / scale.price,
        liquidation_price=None if liquidation is None else liquidation / scale.price,
        unrealized_pnl=optional(unrealized_pnl, "unrealised profit") or ZERO,
        leverage=optional_positive(leverage, "leverage"),
        maintenance_margin=optional(maintenance_margin, "maintenance margin"),
        adl_rank=adl_rank,
    )


def fill(
    account: str,
    instrument: Instrument,
    *,
    trade_id: str,
    exchange_order_id: str,
    client_id: str | None,
    side: OrderSide,
    quantity: Text,
    price: Text,
    fee: Text,
    realized_pnl: Text,
    at: int | str,
    kind: FillKind,
    maker: bool = False,
    units: Units | None = None,
) -> Fill:
    """One execution. ``fee`` is positive when paid."""
    scale = units or units_of(instrument)
    return Fill(
        exchange=instrument.exchange,
        account=account,
        symbol=instrument.symbol,
        trade_id=trade_id,
        exchange_order_id=exchange_order_id,
        client_id=client_id or None,
        side=side,
        quantity=positive(quantity, "fill quantity") * scale.quantity,
        price=positive(price, "fill price") / scale.price,
        fee=number(fee, "fee"),
        realized_pnl=number(realized_pnl, "realised profit"),
        at=moment(at, "fill time"),
        maker=maker,
        kind=kind,
    )


def charge(
    account: str, instrument: Instrument, *, ledger_id: str, order_id: str, amount: Text, at: int | str,
    kind: FillKind,
) -> Fill:  # fmt: skip
    """What a ledger charges beyond the trades (a liquidation's fee): a fill of nothing whose fee is -``amount``."""
    return Fill(
        exchange=instrument.exchange,
        account=account,
        symbol=instrument.symbol,
        trade_id=ledger_id,
        exchange_order_id=order_id,
        client_id=None,
        side=OrderSide.SELL,
        quantity=ZERO,
        price=ZERO,
        fee=-number(amount, "charge"),
        realized_pnl=ZERO,
        at=moment(at, "charge time"),
        kind=kind,
    )


def payment(
    exchange: str, account: str, symbol: str, *, amount: Text, currency: str, at: int | str, ledger_id: str
) -> FundingPayment:
    """One funding row of a ledger: ``amount`` is what the balance changed by, so negative means paid."""
    posted = moment(at, "payment time")
    return FundingPayment(
        exchange=exchange,
        account=account,
        symbol=symbol,
        settlement=snap(posted),
        amount=number(amount, "payment"),
        currency=currency,
        at=posted,
        ledger_id=ledger_id,
    )


def no_balance(account: str, currency: str) -> Balance:
    """The balance of an account that never held any ``currency``."""
    return Balance(account, currency, ZERO, ZERO, ZERO, ZERO)
