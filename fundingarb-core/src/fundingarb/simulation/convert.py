"""The truth's records as the bot's values. Native quantities and prices become base units here and nowhere else."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from fundingarb.domain import funding as domain_funding
from fundingarb.domain import instrument as domain_instrument
from fundingarb.domain import order as domain_order
from fundingarb.domain.market import OrderBook
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.types import (
    Fill,
    FundingPayment,
    LedgerRow,
    Order,
    OrderStatus,
    Position,
)
from fundingarb.localnet.truth.views import BookView

STATES = {
    OrderStatus.NEW: domain_order.OrderState.OPEN,
    OrderStatus.PARTIALLY_FILLED: domain_order.OrderState.OPEN,
    OrderStatus.FILLED: domain_order.OrderState.FILLED,
    OrderStatus.CANCELED: domain_order.OrderState.CANCELLED,
    OrderStatus.EXPIRED: domain_order.OrderState.CANCELLED,
    OrderStatus.REJECTED: domain_order.OrderState.REFUSED,
}


def moment(time_ms: float) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, timezone.utc)


def units(instrument: Instrument) -> Decimal:
    """Base units per native unit."""
    return instrument.contract_size * instrument.multiplier


def instrument(truth: Exchange, native: Instrument) -> domain_instrument.Instrument:
    return domain_instrument.Instrument(
        exchange=truth.name,
        symbol=native.symbol,
        exchange_id=native.id,
        base=native.base,
        settle=native.settle,
        tick=native.tick / native.multiplier,
        lot=native.lot * units(native),
        min_quantity=native.min_quantity * units(native),
        min_notional=native.min_notional,
        funding_interval=timedelta(hours=truth.funding(native.id).interval_hours),
        max_quantity=native.max_quantity * units(native),
        max_market_quantity=native.max_market_quantity * units(native),
        multiplier=native.multiplier,
        funding_cap=native.funding_cap,
        funding_floor=native.funding_floor,
    )


def report(native: Instrument, order: Order) -> domain_order.OrderReport:
    return domain_order.OrderReport(
        account=order.account,
        symbol=native.symbol,
        client_id=order.client_id or None,
        exchange_order_id=order.id,
        state=STATES[order.status],
        side=domain_order.OrderSide(order.side.value),
        quantity=order.quantity * units(native),
        filled=order.filled * units(native),
        price=None if order.price is None else order.price / native.multiplier,
        average_price=order.average_price / native.multiplier if order.filled else None,
        reduce_only=order.reduce_only,
        at=moment(order.updated_ms),
        reason=order.reason.value if order.reason else "",
    )


def taken_up(order: domain_order.NewOrder, account: str, at: datetime) -> domain_order.OrderReport:
    """An order of which nothing is known yet but that it is on its way into a block."""
    return domain_order.OrderReport(
        account=account,
        symbol=order.symbol,
        client_id=order.client_id,
        exchange_order_id="",
        state=domain_order.OrderState.OPEN,
        side=order.side,
        quantity=order.quantity,
        filled=Decimal(0),
        price=order.price,
        reduce_only=order.reduce_only,
        at=at,
    )


def fill(exchange: str, native: Instrument, one: Fill) -> domain_order.Fill:
    kinds = domain_order.FillKind
    return domain_order.Fill(
        exchange=exchange,
        account=one.account,
        symbol=native.symbol,
        trade_id=one.id,
        exchange_order_id=one.order_id,
        client_id=one.client_id or None,
        side=domain_order.OrderSide(one.side.value),
        quantity=one.quantity * units(native),
        price=one.price / native.multiplier,
        fee=one.fee,
        realized_pnl=one.realized,
        at=moment(one.time_ms),
        maker=one.maker,
        kind=kinds.LIQUIDATION if one.liquidation else kinds.ADL if one.adl else kinds.TRADE,
    )


def charge(exchange: str, native: Instrument, row: LedgerRow) -> domain_order.Fill:
    """What a liquidation costs beyond its trades (or the insurance fund's help): a fill of nothing with a fee."""
    return domain_order.Fill(
        exchange=exchange,
        account=row.account,
        symbol=native.symbol,
        trade_id=f"row{row.id}",
        exchange_order_id="",
        client_id=None,
        side=domain_order.OrderSide.SELL,
        quantity=Decimal(0),
        price=Decimal(0),
        fee=-row.amount,
        realized_pnl=Decimal(0),
        at=moment(row.time_ms),
        kind=domain_order.FillKind.LIQUIDATION,
    )


def payment(exchange: str, native: Instrument, row: FundingPayment) -> domain_funding.FundingPayment:
    return domain_funding.FundingPayment(
        exchange=exchange,
        account=row.account,
        symbol=native.symbol,
        settlement=moment(row.settlement_ms),
        amount=row.amount,
        currency=native.settle,
        at=moment(row.time_ms),
        rate=row.rate,
        ledger_id=str(row.ledger_id),
    )


def position(exchange: str, native: Instrument, held: Position) -> domain_order.ExchangePosition:
    liquidation = held.liquidation_price
    return domain_order.ExchangePosition(
        exchange=exchange,
        account=held.account,
        symbol=native.symbol,
        quantity=held.quantity * units(native),
        entry_price=held.entry_price / native.multiplier,
        mark=held.mark_price / native.multiplier,
        liquidation_price=None if liquidation is None else liquidation / native.multiplier,
        unrealized_pnl=held.unrealized,
        leverage=held.leverage,
        adl_rank=held.adl_rank + 1,
        maintenance_margin=held.maintenance_margin,
    )


def book(exchange: str, native: Instrument, view: BookView, at: datetime) -> OrderBook:
    size, multiplier = units(native), native.multiplier
    bids = tuple((price / multiplier, quantity * size) for price, quantity in view.bids)
    asks = tuple((price / multiplier, quantity * size) for price, quantity in view.asks)
    return OrderBook(exchange, native.symbol, bids, asks, at)
