"""Profit and loss of a hedge: realised = price + funding - fees, all from ledger rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, Fill, OrderSide
from fundingarb.domain.settlement import Settlement, SettlementStatus


@dataclass(frozen=True, slots=True)
class LegPnl:
    """One leg's money in settle currency. ``fees`` positive = paid; prices are fill averages, None before any fill.

    ``funding`` is what the ledger has booked and nothing else. Settlements that it has not posted yet are not 0 and no
    part of it: ``awaited`` are within the time a ledger may take, ``missing`` beyond it, ``outstanding`` what both are
    expected to bring (None while that is unknown of one). ``entry_slippage`` is what the entries' fills differed from
    the mid their decisions saw; negative is a cost.
    """

    side: Side
    account: str
    exchange: str
    quantity: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    price: Decimal
    funding: Decimal
    fees: Decimal
    awaited: int = 0
    missing: int = 0
    outstanding: Decimal | None = ZERO
    entry_slippage: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class HedgePnl:
    """A hedge's money: ``price`` is what the exchanges' ledgers booked as realised price result on both legs.

    ``slippage`` (fills against the mid each decision saw; negative is a cost) and ``basis`` (the rest) partition
    ``price``; they are parts of it and are never added to it.
    """

    long: LegPnl
    short: LegPnl
    slippage: Decimal

    @property
    def price(self) -> Decimal:
        return self.long.price + self.short.price

    @property
    def funding(self) -> Decimal:
        return self.long.funding + self.short.funding

    @property
    def fees(self) -> Decimal:
        return self.long.fees + self.short.fees

    @property
    def awaited(self) -> int:
        return self.long.awaited + self.short.awaited

    @property
    def missing(self) -> int:
        return self.long.missing + self.short.missing

    @property
    def outstanding(self) -> Decimal | None:
        long, short = self.long.outstanding, self.short.outstanding
        return None if long is None or short is None else long + short

    @property
    def realized(self) -> Decimal:
        return self.price + self.funding - self.fees

    @property
    def basis(self) -> Decimal:
        return self.price - self.slippage


def average_price(fills: Iterable[Fill]) -> Decimal | None:
    """Quantity-weighted price of ``fills``."""
    quantity = value = ZERO
    for fill in fills:
        quantity += fill.quantity
        value += fill.quantity * fill.price
    return value / quantity if quantity else None


def hedge_pnl(
    hedge: Hedge,
    fills: Iterable[Fill],
    payments: Iterable[FundingPayment],
    settlements: Iterable[Settlement] = (),
) -> HedgePnl:
    """The account of one hedge: fills and funding payments booked to it, settlements its legs went through."""
    fills, payments = list(fills), list(payments)
    unpaid = [row for row in settlements if row.unpaid]
    references = {order.client_id: order.reference for order in hedge.orders}
    return HedgePnl(
        long=_leg_pnl(hedge, Side.LONG, fills, payments, unpaid, references),
        short=_leg_pnl(hedge, Side.SHORT, fills, payments, unpaid, references),
        slippage=_slippage(fills, references),
    )


def _leg_pnl(
    hedge: Hedge, side: Side, fills: list[Fill], payments: list[FundingPayment], unpaid: list[Settlement],
    references: Mapping[str, Decimal | None],
) -> LegPnl:  # fmt: skip
    plan = hedge.intent.leg(side)
    unpaid = [row for row in unpaid if row.account == plan.account]
    missing = sum(row.status is SettlementStatus.MISSING for row in unpaid)
    due = [row.expected for row in unpaid]
    opening = OrderSide.BUY if side is Side.LONG else OrderSide.SELL
    own = [
        fill for fill in fills if fill.account == plan.account and fill.exchange == plan.instrument.exchange
    ]
    entries = [fill for fill in own if fill.side is opening]
    exits = [fill for fill in own if fill.side is not opening]
    return LegPnl(
        side=side,
        account=plan.account,
        exchange=plan.instrument.exchange,
        quantity=sum((fill.quantity for fill in entries), ZERO),
        entry_price=average_price(entries),
        exit_price=average_price(exits),
        price=sum((fill.realized_pnl for fill in own), ZERO),
        funding=sum((row.amount for row in payments if row.account == plan.account), ZERO),
        fees=sum((fill.fee for fill in own), ZERO),
        awaited=len(unpaid) - missing,
        missing=missing,
        outstanding=None if None in due else sum((amount for amount in due if amount is not None), ZERO),
        entry_slippage=_slippage(entries, references),
    )


def _slippage(fills: list[Fill], references: Mapping[str, Decimal | None]) -> Decimal:
    total = ZERO
    for fill in fills:
        reference = references.get(fill.client_id or "")
        if reference is not None:
            total += fill.side.sign * (reference - fill.price) * fill.quantity
    return total


def unrealized(
    hedge: Hedge, pnl: HedgePnl, long_mark: Decimal | None, short_mark: Decimal | None
) -> Decimal | None:
    """What closing at the marks would add, before fees; None while a mark or an entry price is unknown."""
    total = ZERO
    for leg, money, mark in ((hedge.long, pnl.long, long_mark), (hedge.short, pnl.short, short_mark)):
        if leg.filled <= 0:
            continue
        if mark is None or money.entry_price is None:
            return None
        total += leg.plan.side.sign * (mark - money.entry_price) * leg.filled
    return total


def open_slippage(hedge: Hedge, pnl: HedgePnl) -> Decimal:
    """The part of the slippage that is not in ``price`` yet: what entering the quantity that is still held took."""
    total = ZERO
    for leg, money in ((hedge.long, pnl.long), (hedge.short, pnl.short)):
        if leg.filled > 0 and money.quantity:
            total += money.entry_slippage * min(leg.filled / money.quantity, Decimal(1))
    return total
