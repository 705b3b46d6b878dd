"""What Hyperliquid answers, decoded and made ours. Pure functions; nothing here asks or waits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from fundingarb import (
    BadMessage,
    Balance,
    ExchangePosition,
    Fill,
    FillKind,
    FundingPayment,
    FundingRate,
    Instrument,
    NewOrder,
    OrderReport,
    OrderSide,
    OrderState,
    TimeInForce,
)
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import number, optional, plain, positive
from fundingarb.exchanges.symbols import InstrumentMap, in_base_units
from fundingarb_hyperliquid import schema

EXCHANGE = "hyperliquid"
HOUR = timedelta(hours=1)
TIF = {TimeInForce.GTC: "Gtc", TimeInForce.IOC: "Ioc", TimeInForce.POST_ONLY: "Alo"}
SIDES = {"B": OrderSide.BUY, "A": OrderSide.SELL}


def cloid(client_id: str) -> str:
    """Our name of an order as Hyperliquid's 128 bits: lower-case letters and digits are a number in base 36."""
    return f"0x{int(client_id, 36):032x}"


def client_id(name: str | None) -> str | None:
    """The way back; a name that somebody else gave comes out as whatever it spells."""
    rest, text = int(name or "0", 16), ""
    while rest:
        rest, digit = divmod(rest, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
    return text or None


def instruments(meta: schema.Meta, contexts: Sequence[schema.Context]) -> list[Instrument]:
    """Five significant figures make the tick (whole numbers are always allowed); kPEPE is a thousand PEPE."""
    found = []
    for asset, context in zip(meta.universe, contexts, strict=True):
        if asset.is_delisted:
            continue
        base = f"1000{asset.name[1:]}" if asset.name.startswith("k") else asset.name
        digits = positive(context.mark_px, f"{asset.name} mark").adjusted() - 4
        lot = Decimal(1).scaleb(-asset.sz_decimals)
        one = Instrument(
            exchange=EXCHANGE,
            symbol=f"{base}-USDT",
            exchange_id=asset.name,
            base=base,
            settle="USDC",
            tick=Decimal(1).scaleb(min(0, max(digits, asset.sz_decimals - 6))),
            lot=lot,
            min_quantity=lot,
            min_notional=Decimal(10),
            funding_interval=HOUR,
        )
        found.append(in_base_units(one))
    return found


def funding_rate(instrument: Instrument, context: schema.Context, now: datetime) -> FundingRate:
    """Paid every full hour; the rate shown is the one of the hour that is running."""
    hour = now.replace(minute=0, second=0, microsecond=0) + HOUR
    return values.funding_rate(
        instrument,
        rate=context.funding,
        next_settlement=round(hour.timestamp() * 1000),
        at=now,
        mark=context.mark_px,
        index=context.oracle_px,
    )


def state(status: str) -> OrderState:
    """``open``, ``filled``, and some twenty ways to be over."""
    if status in ("open", "triggered"):
        return OrderState.OPEN
    if status == "filled":
        return OrderState.FILLED
    if status.lower().endswith(("canceled", "rejected")):
        return OrderState.CANCELLED
    raise BadMessage(f"hyperliquid: order status {status!r} is not a documented one")


def order_report(
    order: schema.Order, status: str, account: str, known: InstrumentMap, fills: Iterable[Fill] = ()
) -> OrderReport:
    """``sz`` is what is left of ``origSz``; the average price is that of the fills, where they were read."""
    mine = [fill for fill in fills if fill.exchange_order_id == str(order.oid)]
    filled = sum((fill.quantity for fill in mine), Decimal(0))
    average = sum((fill.quantity * fill.price for fill in mine), Decimal(0)) / filled if filled else None
    instrument = known.by_id(order.coin)
    report = values.order_report(
        account,
        order.coin,
        instrument,
        client_id=client_id(order.cloid) or "",
        exchange_order_id=str(order.oid),
        state=state(status),
        side=SIDES[order.side],
        quantity=order.orig_sz,
        filled=Decimal(order.orig_sz) - Decimal(order.sz),
        price=order.limit_px,
        average="",
        reduce_only=order.reduce_only,
        at=order.timestamp,
        reason=status,
    )
    return replace(report, average_price=average)


def fill(row: schema.UserFill, account: str, instrument: Instrument) -> Fill:
    if row.liquidation is not None:
        kind = FillKind.LIQUIDATION
    else:
        kind = FillKind.ADL if row.dir == "Auto-Deleveraging" else FillKind.TRADE
    return values.fill(
        account,
        instrument,
        trade_id=str(row.tid),
        exchange_order_id=str(row.oid),
        client_id=client_id(row.cloid),
        side=SIDES[row.side],
        quantity=row.sz,
        price=row.px,
        fee=row.fee,
        realized_pnl=row.closed_pnl,
        at=row.time,
        kind=kind,
        maker=not row.crossed,
    )


def wire(order: NewOrder, instrument: Instrument, asset: int, mark: Decimal | None) -> dict[str, Any]:
    """An order as it is signed. There are no market orders: without a limit it goes through ``mark`` by 5 %."""
    price, tif = order.price, TIF[order.time_in_force]
    if price is None:
        through = (mark or Decimal(0)) * (1 + order.side.sign * Decimal("0.05"))
        price, tif = instrument.price_down(through), "Ioc"
    return {
        "a": asset,
        "b": order.side is OrderSide.BUY,
        "p": plain(price * instrument.multiplier),
        "s": plain(order.quantity / instrument.multiplier),
        "r": order.reduce_only,
        "t": {"limit": {"tif": tif}},
        "c": cloid(order.client_id),
    }


def placed(
    answer: schema.Placed, order: NewOrder, account: str, instrument: Instrument, now: datetime
) -> OrderReport:
    """What the answer to an order says of it: whether it rests, and what was filled at once."""
    (status,) = answer.response.data.statuses
    taken = status.resting or status.filled
    if taken is None:
        raise BadMessage("hyperliquid: the answer to an order says neither resting nor filled")
    filled = Decimal(status.filled.total_sz) * instrument.multiplier if status.filled else Decimal(0)
    over = OrderState.FILLED if filled == order.quantity else OrderState.OPEN
    average = Decimal(status.filled.avg_px) / instrument.multiplier if status.filled else None
    return OrderReport(
        account=account,
        symbol=order.symbol,
        client_id=order.client_id,
        exchange_order_id=str(taken.oid),
        state=over,
        side=order.side,
        quantity=order.quantity,
        filled=filled,
        price=order.price,
        average_price=average,
        reduce_only=order.reduce_only,
        at=now,
    )


def position(row: schema.Position, account: str, known: InstrumentMap) -> ExchangePosition:
    return values.position(
        EXCHANGE,
        account,
        row.coin,
        known.by_id(row.coin),
        quantity=row.szi,
        entry_price=row.entry_px,
        mark=Decimal(row.position_value) / abs(Decimal(row.szi)),
        liquidation_price=row.liquidation_px or "",
        unrealized_pnl=row.unrealized_pnl,
        leverage=str(row.leverage.value),
        maintenance_margin="",
        adl_rank=None,
    )


def balance(state: schema.Account, account: str) -> Balance:
    """The account's value less what is not realised yet is what the ledger made of it."""
    equity = number(state.margin_summary.account_value, "account value")
    unrealized = sum(
        (number(held.position.unrealized_pnl, "unrealised profit") for held in state.asset_positions),
        Decimal(0),
    )
    available = number(state.withdrawable, "withdrawable")
    margin = optional(state.cross_maintenance_margin_used, "maintenance margin")
    return Balance(account, "USDC", equity - unrealized, equity, available, margin)


def payment(row: schema.Funding, account: str, symbol: str) -> FundingPayment:
    """Its ``hash`` is zero for every payment, so coin and time name the row."""
    return values.payment(
        EXCHANGE,
        account,
        symbol,
        amount=row.delta.usdc,
        currency="USDC",
        at=row.time,
        ledger_id=f"{row.delta.coin}-{row.time}",
    )
