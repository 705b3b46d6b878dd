"""Comparing what we believe with what the exchange says. Free functions, values in, differences out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from fundingarb.domain.hedge import Hedge
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, ExchangePosition, OrderReport


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement on one account: what it is about, our figure, the exchange's."""

    account: str
    symbol: str
    subject: str
    local: str
    exchange: str

    def __str__(self) -> str:
        return f"{self.account} {self.symbol}: {self.subject} is {self.local} here, {self.exchange} on the exchange"


def expected_positions(account: str, hedges: Iterable[Hedge]) -> Mapping[str, Decimal]:
    """Signed base quantity per symbol that our hedges should hold on ``account``."""
    expected: dict[str, Decimal] = {}
    for hedge in hedges:
        for leg in (hedge.long, hedge.short):
            if leg.plan.account == account and leg.filled:
                sign = leg.plan.side.sign
                expected[hedge.symbol] = expected.get(hedge.symbol, ZERO) + sign * leg.filled
    return expected


def compare(
    account: str,
    hedges: Iterable[Hedge],
    positions: Iterable[ExchangePosition],
    open_orders: Iterable[OrderReport],
) -> list[Difference]:
    """Every difference on ``account``; empty means it matches. Call it only while no own order is unresolved there."""
    hedges = list(hedges)
    differences: list[Difference] = []
    expected = dict(expected_positions(account, hedges))
    legs = [(h.symbol, h.intent.leg(side)) for h in hedges for side in Side]
    steps = {symbol: leg.instrument.lot for symbol, leg in legs if leg.account == account}
    for position in positions:
        wanted = expected.pop(position.symbol, ZERO)
        if abs(wanted - position.quantity) >= steps.get(position.symbol, Decimal("1e-18")):
            subject = "position" if wanted else "foreign position"
            differences.append(
                Difference(account, position.symbol, subject, str(wanted), str(position.quantity))
            )
    for symbol, wanted in expected.items():
        if wanted:
            differences.append(Difference(account, symbol, "position", str(wanted), "0"))
    ours = {o.client_id: o for h in hedges for o in h.orders if o.account == account}
    for order in open_orders:
        known = ours.get(order.client_id or "")
        if known is None:
            name = order.client_id or order.exchange_order_id
            differences.append(Difference(account, order.symbol, "open order", "unknown", name))
        elif known.state.terminal:
            differences.append(Difference(account, order.symbol, "open order", known.state.value, "open"))
    return differences
