"""At the end: the bot's books against the exchanges', row by row and to the last digit (I6), and what is still held."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.order import Fill
from fundingarb.domain.shares import row_of, whole
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import LedgerKind
from fundingarb.simulation.monitor import Breach
from fundingarb.simulation.rules import base_units

ZERO = Decimal(0)
_Amounts: TypeAlias = "defaultdict[tuple[str, int], Counter[Decimal]]"
"""(symbol, settlement in milliseconds) -> the amounts of its ledger rows."""


def check_money(
    exchanges: Mapping[str, Exchange],
    fills: Sequence[Fill],
    payments: Sequence[FundingPayment],
    at: datetime,
) -> list[Breach]:
    """The bot's fills and payments against the ledgers: same fills, same payments, same sums.

    ``fills`` and ``payments`` are everything in the store; the parts of a row that was divided count together.
    Transfers are nobody's profit and are left out.
    """
    found: list[Breach] = []
    payments = whole(payments)
    for exchange, truth in exchanges.items():
        for account in truth.accounts:
            own = [fill for fill in fills if fill.account == account and fill.exchange == exchange]
            paid = [row for row in payments if row.account == account and row.exchange == exchange]
            found += _fills(exchange, account, truth, own, at)
            found += _payments(exchange, account, truth, paid, at)
            booked = sum((f.realized_pnl - f.fee for f in own), ZERO) + sum((p.amount for p in paid), ZERO)
            rows = [r for r in truth.ledger(account) if r.kind is not LedgerKind.TRANSFER]
            real = sum((row.amount for row in rows), ZERO)
            if booked != real:
                text = f"{account}: the books add up to {booked}, the ledger of {exchange} to {real}"
                found.append(Breach("LEDGER", at, text))
    return found


def _fills(exchange: str, account: str, truth: Exchange, own: list[Fill], at: datetime) -> list[Breach]:
    breaches = []
    booked: dict[str, Fill] = {}
    names: set[str] = set()
    for fill in own:
        if fill.quantity and fill.trade_id in names:
            breaches.append(Breach("LEDGER", at, f"{account}: fill {fill.trade_id} is booked twice"))
        names.add(fill.trade_id)
        name = row_of(fill.trade_id)
        part = booked.get(name)
        booked[name] = fill if part is None else _together(part, fill)
    for real in truth.fills(account):
        mine = booked.pop(real.id, None)
        instrument = truth.instruments[real.instrument]
        factor = base_units(instrument)
        if mine is None:
            text = f"{account}: fill {real.id} of {real.client_id or 'no order of ours'} is not booked"
            breaches.append(Breach("LEDGER", at, text))
        elif (mine.quantity, mine.side.value) != (real.quantity * factor, real.side.value):
            text = f"{account}: fill {real.id} is booked as {mine.side.value} {mine.quantity}"
            breaches.append(Breach("LEDGER", at, f"{text}, the ledger has {real.side.value} {real.quantity}"))
        elif mine.fee != real.fee or mine.realized_pnl != real.realized:
            text = f"{account}: fill {real.id} is booked with fee {mine.fee}, result {mine.realized_pnl}"
            breaches.append(Breach("LEDGER", at, f"{text}; the ledger has {real.fee}, {real.realized}"))
    for left in booked.values():
        if left.quantity:
            text = f"{account}: fill {left.trade_id} is booked; {exchange} knows no such fill"
            breaches.append(Breach("LEDGER", at, text))
    return breaches


def _together(one: Fill, other: Fill) -> Fill:
    """Two parts of one row of the ledger."""
    return replace(
        one,
        quantity=one.quantity + other.quantity,
        fee=one.fee + other.fee,
        realized_pnl=one.realized_pnl + other.realized_pnl,
    )


def _payments(
    exchange: str, account: str, truth: Exchange, paid: list[FundingPayment], at: datetime
) -> list[Breach]:
    """Row for row: a settlement may have several, when the exchange corrected itself."""
    booked: _Amounts = defaultdict(Counter)
    posted: _Amounts = defaultdict(Counter)
    for row in paid:
        booked[row.symbol, round(row.settlement.timestamp() * 1000)][row.amount] += 1
    for real in truth.funding_payments(account):
        posted[truth.instruments[real.instrument].symbol, real.settlement_ms][real.amount] += 1
    breaches = []
    for key in sorted(booked.keys() | posted.keys()):
        surplus, lacking = booked[key] - posted[key], posted[key] - booked[key]
        when = datetime.fromtimestamp(key[1] / 1000, at.tzinfo)
        for amounts, verdict in ((surplus, "is booked, and never paid"), (lacking, "is not booked")):
            for amount in amounts.elements():
                text = f"{account}: {amount} of funding of {key[0]} at {when} {verdict} on {exchange}"
                breaches.append(Breach("I6", at, text))
    return breaches


def check_held(
    exchanges: Mapping[str, Exchange],
    hedges: Sequence[Hedge],
    at: datetime,
    beside: Mapping[tuple[str, str, str], Decimal] | None = None,
) -> list[Breach]:
    """What the accounts hold is exactly what the live hedges say, both legs even, and what is somebody else's
    ``beside`` them, by exchange, account and symbol; nothing rests."""
    found: list[Breach] = []
    expected: dict[tuple[str, str, str], Decimal] = dict(beside or {})
    for hedge in hedges:
        for leg in (hedge.long, hedge.short):
            key = (leg.plan.instrument.exchange, leg.plan.account, hedge.symbol)
            expected[key] = expected.get(key, ZERO) + leg.plan.side.sign * leg.filled
        if abs(hedge.unhedged) >= hedge.lot or (not hedge.live and hedge.hedged):
            text = (
                f"{hedge.symbol} ended {hedge.status.value} with {hedge.long.filled} / {hedge.short.filled}"
            )
            found.append(Breach("END", at, text))
    for exchange, truth in exchanges.items():
        for account in truth.accounts:
            for position in truth.positions(account):
                instrument = truth.instruments[position.instrument]
                held = position.quantity * base_units(instrument)
                known = expected.pop((exchange, account, instrument.symbol), ZERO)
                if known != held:
                    text = f"{account} holds {held} {instrument.symbol}, the hedges say {known}"
                    found.append(Breach("END", at, text))
            found += [
                Breach("END", at, f"{account}: {order.client_id} still rests on {exchange}")
                for order in truth.open_orders(account)
            ]
    for (_exchange, account, symbol), quantity in expected.items():
        if quantity:
            found.append(Breach("END", at, f"{account} holds no {symbol}, the hedges say {quantity}"))
    return found
