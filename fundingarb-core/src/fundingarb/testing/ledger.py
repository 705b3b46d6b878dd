"""The books of one fake account: orders, fills, positions, wallet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from fundingarb.domain.funding import FundingPayment, snap
from fundingarb.domain.order import (
    ZERO,
    ExchangePosition,
    FeeTier,
    Fill,
    FillKind,
    NewOrder,
    OrderReport,
    OrderSide,
    OrderState,
)


@dataclass
class FakePosition:
    """Signed base quantity and its average entry price."""

    quantity: Decimal = ZERO
    entry: Decimal = ZERO

    def trade(self, signed: Decimal, price: Decimal) -> Decimal:
        """Take an execution; returns the realised result of the part it closed."""
        realized = ZERO
        if self.quantity and (self.quantity > 0) != (signed > 0):
            closed = min(abs(self.quantity), abs(signed))
            direction = 1 if self.quantity > 0 else -1
            realized = closed * (price - self.entry) * direction
            rest = signed + direction * closed
            self.quantity -= direction * closed
            if rest:
                self.quantity, self.entry = rest, price
            return realized
        total = abs(self.quantity) + abs(signed)
        self.entry = (abs(self.quantity) * self.entry + abs(signed) * price) / total
        self.quantity += signed
        return realized


@dataclass
class FakeLedger:
    """What an exchange would know of one account. ``wallet`` moves by result, fee and funding, nothing else."""

    exchange: str
    account: str
    wallet: Decimal
    fees: FeeTier
    orders: dict[str, OrderReport] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    payments: list[FundingPayment] = field(default_factory=list)
    positions: dict[str, FakePosition] = field(default_factory=dict)

    def accept(self, order: NewOrder, at: datetime) -> OrderReport:
        report = OrderReport(
            account=self.account,
            symbol=order.symbol,
            client_id=order.client_id,
            exchange_order_id=f"x{len(self.orders) + 1}",
            state=OrderState.OPEN,
            side=order.side,
            quantity=order.quantity,
            filled=ZERO,
            price=order.price,
            reduce_only=order.reduce_only,
            at=at,
        )
        self.orders[order.client_id] = report
        return report

    def execute(
        self, client_id: str, quantity: Decimal, price: Decimal, at: datetime, *, maker: bool
    ) -> tuple[OrderReport, Fill]:
        """Fill ``quantity`` of an open order at ``price``."""
        order = self.orders[client_id]
        fill = self._book(
            order.symbol, order.side, quantity, price, at, maker, client_id, order.exchange_order_id
        )
        filled = order.filled + quantity
        value = (order.average_price or ZERO) * order.filled + price * quantity
        state = OrderState.FILLED if filled >= order.quantity else order.state
        order = replace(order, filled=filled, average_price=value / filled, state=state, at=at)
        self.orders[client_id] = order
        return order, fill

    def take(
        self, symbol: str, side: OrderSide, quantity: Decimal, price: Decimal, at: datetime, kind: FillKind
    ) -> Fill:
        """The exchange itself reduces a position (liquidation, ADL)."""
        return self._book(symbol, side, quantity, price, at, False, None, f"auto{len(self.fills) + 1}", kind)

    def _book(
        self,
        symbol: str,
        side: OrderSide,
        quantity: Decimal,
        price: Decimal,
        at: datetime,
        maker: bool,
        client_id: str | None,
        order_id: str,
        kind: FillKind = FillKind.TRADE,
    ) -> Fill:
        position = self.positions.setdefault(symbol, FakePosition())
        realized = position.trade(side.sign * quantity, price)
        fee = quantity * price * (self.fees.maker if maker else self.fees.taker)
        self.wallet += realized - fee
        fill = Fill(
            exchange=self.exchange,
            account=self.account,
            symbol=symbol,
            trade_id=f"t{len(self.fills) + 1}",
            exchange_order_id=order_id,
            client_id=client_id,
            side=side,
            quantity=quantity,
            price=price,
            fee=fee,
            realized_pnl=realized,
            at=at,
            maker=maker,
            kind=kind,
        )
        self.fills.append(fill)
        return fill

    def settle(self, symbol: str, rate: Decimal, mark: Decimal, at: datetime) -> FundingPayment | None:
        """Charge one settlement: a long pays a positive rate. None without a position."""
        position = self.positions.get(symbol)
        if position is None or not position.quantity:
            return None
        amount = -position.quantity * mark * rate
        self.wallet += amount
        payment = FundingPayment(
            exchange=self.exchange,
            account=self.account,
            symbol=symbol,
            settlement=snap(at),
            amount=amount,
            currency="USDT",
            at=at,
            rate=rate,
            ledger_id=f"f{len(self.payments) + 1}",
        )
        self.payments.append(payment)
        return payment

    def open_positions(self, marks: dict[str, Decimal]) -> list[ExchangePosition]:
        return [
            ExchangePosition(
                exchange=self.exchange,
                account=self.account,
                symbol=symbol,
                quantity=position.quantity,
                entry_price=position.entry,
                mark=marks.get(symbol),
                unrealized_pnl=position.quantity * (marks.get(symbol, position.entry) - position.entry),
            )
            for symbol, position in self.positions.items()
            if position.quantity
        ]
