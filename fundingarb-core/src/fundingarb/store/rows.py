"""Domain values to rows and back. A row is a mapping of column names to Python values; types do the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import CloseReason, Hedge, Intent, LegPlan, Mode, OrderRecord
from fundingarb.domain.instrument import Instrument, Side
from fundingarb.domain.order import (
    ZERO,
    Fill,
    FillKind,
    OrderSide,
    OrderState,
    Purpose,
    TimeInForce,
    order_side,
)
from fundingarb.domain.pnl import hedge_pnl
from fundingarb.domain.settlement import Settlement, SettlementStatus
from fundingarb.store.columns import Document

Row = Mapping[str, Any]

NAMESPACE = UUID("6f6d1f0a-54b5-5d3c-9d0c-3f0e6c1f7a11")
"""Keys of fills, payments and alerts are functions of what identifies them, so that a replay finds its own row."""


def key(*parts: str) -> UUID:
    """The UUID of whatever ``parts`` identify."""
    return uuid5(NAMESPACE, "\x1f".join(parts))


# instruments


@lru_cache(maxsize=4096)
def instrument_document(instrument: Instrument) -> Document:
    """An instrument as JSON can carry it: decimals as text, the interval in seconds."""
    return Document(
        {
            "exchange": instrument.exchange,
            "symbol": instrument.symbol,
            "exchange_id": instrument.exchange_id,
            "base": instrument.base,
            "settle": instrument.settle,
            "tick": str(instrument.tick),
            "lot": str(instrument.lot),
            "min_quantity": str(instrument.min_quantity),
            "min_notional": str(instrument.min_notional),
            "funding_interval": instrument.funding_interval.total_seconds(),
            "max_quantity": None if instrument.max_quantity is None else str(instrument.max_quantity),
            "max_market_quantity": None
            if instrument.max_market_quantity is None
            else str(instrument.max_market_quantity),
            "multiplier": str(instrument.multiplier),
            "delists_at": None if instrument.delists_at is None else instrument.delists_at.isoformat(),
            "funding_cap": None if instrument.funding_cap is None else str(instrument.funding_cap),
            "funding_floor": None if instrument.funding_floor is None else str(instrument.funding_floor),
        }
    )


def instrument(stored: Row) -> Instrument:
    """The instrument of a stored document."""
    maximum, market, delists = stored["max_quantity"], stored.get("max_market_quantity"), stored["delists_at"]
    cap, floor = stored.get("funding_cap"), stored.get("funding_floor")
    return Instrument(
        exchange=stored["exchange"],
        symbol=stored["symbol"],
        exchange_id=stored["exchange_id"],
        base=stored["base"],
        settle=stored["settle"],
        tick=Decimal(stored["tick"]),
        lot=Decimal(stored["lot"]),
        min_quantity=Decimal(stored["min_quantity"]),
        min_notional=Decimal(stored["min_notional"]),
        funding_interval=timedelta(seconds=stored["funding_interval"]),
        max_quantity=None if maximum is None else Decimal(maximum),
        max_market_quantity=None if market is None else Decimal(market),
        multiplier=Decimal(stored["multiplier"]),
        delists_at=None if delists is None else datetime.fromisoformat(delists),
        funding_cap=None if cap is None else Decimal(cap),
        funding_floor=None if floor is None else Decimal(floor),
    )


# hedges


def intent_row(intent: Intent) -> dict[str, Any]:
    """A row of ``positions``, without the columns that are computed from fills and payments."""
    long, short = intent.long, intent.short
    return {
        "id": intent.id,
        "pair": intent.symbol,
        "long_exchange": long.instrument.exchange,
        "short_exchange": short.instrument.exchange,
        "leverage_long": long.leverage,
        "leverage_short": short.leverage,
        "entry_timestamp": intent.opened_at,
        "entry_funding_spread": intent.entry_spread,
        "status": Hedge(intent).status.value,
        "close_timestamp": intent.closed_at,
        "instance": intent.instance,
        "mode": intent.mode.value,
        "version": intent.version,
        "quantity": intent.quantity,
        "long_account": long.account,
        "short_account": short.account,
        "long_instrument": instrument_document(long.instrument),
        "short_instrument": instrument_document(short.instrument),
        "first_side": intent.first.value,
        "deadline": intent.deadline,
        "tolerance": intent.tolerance,
        "close_reason": None if intent.close_reason is None else intent.close_reason.value,
        "liquidated": intent.liquidated,
        "origin": intent.origin,
        "config_revision": intent.config_revision,
        "created_at": intent.created_at,
        "number": intent.number,
    }


def intent(row: Row) -> Intent:
    """The intent of a row of ``positions``."""

    def leg(side: Side, name: str) -> LegPlan:
        return LegPlan(
            side=side,
            account=row[f"{name}_account"],
            instrument=instrument(row[f"{name}_instrument"]),
            leverage=row[f"leverage_{name}"],
        )

    reason = row["close_reason"]
    return Intent(
        id=row["id"],
        instance=row["instance"],
        symbol=row["pair"],
        mode=Mode(row["mode"]),
        quantity=row["quantity"],
        long=leg(Side.LONG, "long"),
        short=leg(Side.SHORT, "short"),
        first=Side(row["first_side"]),
        deadline=row["deadline"],
        tolerance=row["tolerance"],
        entry_spread=row["entry_funding_spread"],
        created_at=row["created_at"],
        config_revision=row["config_revision"],
        version=row["version"],
        close_reason=None if reason is None else CloseReason(reason),
        liquidated=row["liquidated"],
        opened_at=row["entry_timestamp"],
        closed_at=row["close_timestamp"],
        origin=row["origin"],
        number=row["number"],
    )


# orders


def order_row(order: OrderRecord, sequence: int) -> dict[str, Any]:
    """A row of ``orders``. ``booked`` is not stored: it is the sum of the order's rows in ``trades``."""
    return {
        "client_id": order.client_id,
        "position_id": order.hedge_id,
        "sequence": sequence,
        "leg": order.leg.value,
        "purpose": order.purpose.name,
        "attempt": order.attempt,
        "account": order.account,
        "side": order.side.value,
        "quantity": order.quantity,
        "price": order.price,
        "time_in_force": order.time_in_force.value,
        "reduce_only": order.reduce_only,
        "created_at": order.created_at,
        "state": order.state.value,
        "filled": order.filled,
        "average_price": order.average_price,
        "exchange_order_id": order.exchange_order_id,
        "reference": order.reference,
        "reason": order.reason,
        "acknowledged_at": order.acknowledged_at,
        "resolved_at": order.resolved_at,
        "latency_ms": order.latency_ms,
        "misses": order.misses,
        "cancel_requested": order.cancel_requested,
    }


def order(row: Row, booked: Decimal = ZERO) -> OrderRecord:
    """The registry row of a row of ``orders``."""
    return OrderRecord(
        client_id=row["client_id"],
        hedge_id=row["position_id"],
        leg=Side(row["leg"]),
        purpose=Purpose[row["purpose"]],
        attempt=row["attempt"],
        account=row["account"],
        side=OrderSide(row["side"]),
        quantity=row["quantity"],
        price=row["price"],
        time_in_force=TimeInForce(row["time_in_force"]),
        reduce_only=row["reduce_only"],
        created_at=row["created_at"],
        state=OrderState(row["state"]),
        filled=row["filled"],
        booked=booked,
        average_price=row["average_price"],
        exchange_order_id=row["exchange_order_id"],
        reference=row["reference"],
        reason=row["reason"],
        acknowledged_at=row["acknowledged_at"],
        resolved_at=row["resolved_at"],
        latency_ms=row["latency_ms"],
        misses=row["misses"],
        cancel_requested=row["cancel_requested"],
    )


# fills


def fill_row(fill: Fill, hedge_id: UUID | None, hedge: Hedge | None) -> dict[str, Any]:
    """A row of ``trades``. ``side`` and ``action`` come from the order it belongs to, else from the leg it touches."""
    record = order_of(fill, hedge)
    side, closing = _leg_of(fill, hedge, record)
    return {
        "id": key("fill", fill.account, fill.symbol, fill.trade_id),
        "position_id": hedge_id,
        "exchange": fill.exchange,
        "side": side.value,
        "action": "CLOSE" if closing else "OPEN",
        "order_type": "" if record is None else "MARKET" if record.price is None else "LIMIT",
        "price": fill.price,
        "size": fill.quantity,
        "fee": fill.fee,
        "timestamp": fill.at,
        "order_id": fill.exchange_order_id,
        "status": "FILLED",
        "account": fill.account,
        "symbol": fill.symbol,
        "trade_id": fill.trade_id,
        "client_id": fill.client_id,
        "order_side": fill.side.value,
        "realized_pnl": fill.realized_pnl,
        "maker": fill.maker,
        "kind": fill.kind.value,
    }


def fill(row: Row) -> Fill:
    """The fill of a row of ``trades``."""
    return Fill(
        exchange=row["exchange"],
        account=row["account"],
        symbol=row["symbol"],
        trade_id=row["trade_id"],
        exchange_order_id=row["order_id"],
        client_id=row["client_id"],
        side=OrderSide(row["order_side"]),
        quantity=row["size"],
        price=row["price"],
        fee=row["fee"],
        realized_pnl=row["realized_pnl"],
        at=row["timestamp"],
        maker=row["maker"],
        kind=FillKind(row["kind"]),
    )


def order_of(fill: Fill, hedge: Hedge | None) -> OrderRecord | None:
    """The order of ``hedge`` a fill belongs to: by client order id, else by the exchange's id on that account."""
    if hedge is None:
        return None
    for record in hedge.orders:
        if fill.client_id is not None:
            if record.client_id == fill.client_id:
                return record
        elif record.account == fill.account and record.exchange_order_id == fill.exchange_order_id != "":
            return record
    return None


def _leg_of(fill: Fill, hedge: Hedge | None, record: OrderRecord | None) -> tuple[Side, bool]:
    """The leg a fill belongs to, and whether it made it smaller."""
    if record is not None:
        return record.leg, record.purpose.reduces
    if hedge is not None:
        for side in Side:
            if hedge.intent.leg(side).account == fill.account:
                return side, fill.side is order_side(side, reduce=True)
    closing = fill.kind is not FillKind.TRADE or fill.realized_pnl != 0
    bought = fill.side is OrderSide.BUY
    return (Side.LONG if bought is not closing else Side.SHORT), closing


# funding payments


def payment_row(payment: FundingPayment, hedge_id: UUID | None) -> dict[str, Any]:
    """A row of ``funding_events``."""
    settlement = payment.settlement.timestamp()
    return {
        "id": key(
            "funding", payment.exchange, payment.account, payment.symbol, repr(settlement), payment.ledger_id
        ),
        "position_id": hedge_id,
        "exchange": payment.exchange,
        "pair": payment.symbol,
        "funding_rate": payment.rate,
        "payment_usd": payment.amount,
        "timestamp": payment.at,
        "account": payment.account,
        "settlement": payment.settlement,
        "currency": payment.currency,
        "ledger_id": payment.ledger_id,
    }


def payment(row: Row) -> FundingPayment:
    """The payment of a row of ``funding_events``."""
    return FundingPayment(
        exchange=row["exchange"],
        account=row["account"],
        symbol=row["pair"],
        settlement=row["settlement"],
        amount=row["payment_usd"],
        currency=row["currency"],
        at=row["timestamp"],
        rate=row["funding_rate"],
        ledger_id=row["ledger_id"],
    )


# expected settlements


def settlement_row(settlement: Settlement) -> dict[str, Any]:
    """A row of ``settlements``."""
    at = repr(settlement.at.timestamp())
    return {
        "id": key("settlement", settlement.exchange, settlement.account, settlement.symbol, at),
        "position_id": settlement.hedge_id,
        "exchange": settlement.exchange,
        "account": settlement.account,
        "pair": settlement.symbol,
        "settlement": settlement.at,
        "side": settlement.side.value,
        "quantity": settlement.quantity,
        "noted_at": settlement.noted_at,
        "status": settlement.status.value,
        "rate": settlement.rate,
        "mark": settlement.mark,
        "charged": settlement.charged,
        "amount": settlement.amount,
        "deviation": None if settlement.deviation is None else round(settlement.deviation, 6),
    }


def settlement(row: Row) -> Settlement:
    """The settlement of a row of ``settlements``."""
    return Settlement(
        hedge_id=row["position_id"],
        exchange=row["exchange"],
        account=row["account"],
        symbol=row["pair"],
        at=row["settlement"],
        side=Side(row["side"]),
        quantity=row["quantity"],
        noted_at=row["noted_at"],
        status=SettlementStatus(row["status"]),
        rate=row["rate"],
        mark=row["mark"],
        charged=row["charged"],
        amount=row["amount"],
        deviation=row["deviation"],
    )


def derived_row(hedge: Hedge, fills: list[Fill], funding: Decimal) -> dict[str, Any]:
    """The columns of ``positions`` that are computed: from the hedge's booked fills and its funding total.

    Prices and sizes are None before the first fill. ``realized_pnl`` = price + funding - fees, of ledger rows.
    """
    money = hedge_pnl(hedge, fills, ())
    long, short = money.long, money.short
    size = None
    if long.entry_price is not None and short.entry_price is not None:
        size = min(long.quantity, short.quantity) * (long.entry_price + short.entry_price) / 2
    return {
        "status": hedge.status.value,
        "long_entry_price": long.entry_price,
        "short_entry_price": short.entry_price,
        "long_exit_price": long.exit_price,
        "short_exit_price": short.exit_price,
        "size_usd": size,
        "price_pnl": money.price,
        "fees_paid": money.fees,
        "funding_collected": funding,
        "realized_pnl": money.price + funding - money.fees,
    }


def hedge(stored: Intent, order_rows: Iterable[Row], fill_rows: Iterable[Row]) -> Hedge:
    """A hedge with its orders. How much of each is booked, and what others took of the legs, comes from its fills."""
    order_rows = list(order_rows)
    client_ids = {row["client_id"] for row in order_rows}
    named = {
        (row["account"], row["exchange_order_id"]): row["client_id"]
        for row in order_rows
        if row["exchange_order_id"]
    }
    booked: dict[str, Decimal] = {}
    taken: dict[Side, Decimal] = {}
    for row in fill_rows:
        client_id: str = row["client_id"] or named.get((row["account"], row["order_id"]), "")
        if client_id in client_ids:
            booked[client_id] = booked.get(client_id, ZERO) + row["size"]
        else:
            side = Side.LONG if row["account"] == stored.long.account else Side.SHORT
            reduces = OrderSide(row["order_side"]) is order_side(side, reduce=True)
            taken[side] = taken.get(side, ZERO) + (row["size"] if reduces else -row["size"])
    records = [order(row, booked.get(row["client_id"], ZERO)) for row in order_rows]
    return Hedge(stored, tuple(records), taken)
