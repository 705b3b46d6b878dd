"""The trade log: a line for every step of every order, every fill and every funding payment."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from fundingarb.domain.events import Event, FillBooked, OrderChanged, PaymentBooked
from fundingarb.domain.hedge import Hedge, OrderRecord
from fundingarb.domain.order import Purpose
from fundingarb.engine.bus import Bus
from fundingarb.engine.state import BotState
from fundingarb.logs.setup import TRADES

log = logging.getLogger("fundingarb.logs")

REMEMBERED = 4096
"""Orders whose last line is remembered, so that what says nothing new is not repeated."""
NAMES = {Purpose.ENTRY: "open", Purpose.HEDGE: "open", Purpose.UNWIND: "close", Purpose.CLOSE: "close"}


class TradeLog:
    """Listens to the bus. A fill whose order's answer is still on its way waits for it: its latency belongs there."""

    def __init__(self, state: BotState) -> None:
        self._state = state
        self._log = structlog.wrap_logger(
            logging.getLogger(TRADES),
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        self._said: OrderedDict[str, tuple[object, ...]] = OrderedDict()
        self._held: dict[str, list[FillBooked]] = {}

    def put(self, event: Event) -> None:
        """Take an event of the bus. Never raises: nothing that is logged is worth a trade."""
        try:
            if isinstance(event, OrderChanged):
                self._order(event)
            elif isinstance(event, FillBooked):
                self._fill(event)
            elif isinstance(event, PaymentBooked):
                self._payment(event)
        except Exception:
            log.exception("the trade log failed")

    def close(self) -> None:
        """Write what waits."""
        for held in self._held.values():
            for event in held:
                self._say_fill(event)
        self._held.clear()

    def _order(self, event: OrderChanged) -> None:
        order = event.order
        news = (order.state, order.filled, order.latency_ms)
        if self._said.get(order.client_id) != news:
            self._said[order.client_id] = news
            self._said.move_to_end(order.client_id)
            while len(self._said) > REMEMBERED:
                self._said.popitem(last=False)
            hedge = self._state.hedges.get(order.hedge_id)
            self._log.info(
                "order",
                **self._of_order(order, hedge),
                timestamp=event.at,
                price=order.average_price if order.filled else order.price,
                size=order.quantity,
                filled=order.filled,
                fee=None,
                reason=order.reason or None,
            )
        if order.client_id not in self._state.in_flight:
            for held in self._held.pop(order.client_id, ()):
                self._say_fill(held)

    def _fill(self, event: FillBooked) -> None:
        name = event.fill.client_id
        if name is not None and name in self._state.in_flight:
            self._held.setdefault(name, []).append(event)
        else:
            self._say_fill(event)

    def _say_fill(self, event: FillBooked) -> None:
        fill = event.fill
        hedge = self._state.hedges.get(event.hedge_id) if event.hedge_id else None
        order = hedge.order(fill.client_id) if hedge is not None and fill.client_id else None
        known = self._of_order(order, hedge) if order is not None else _of_stranger(event, hedge)
        self._log.info(
            "trade",
            **{**known, "exchange": fill.exchange, "order_id": fill.exchange_order_id or known["order_id"]},
            timestamp=fill.at,
            price=fill.price,
            size=fill.quantity,
            fee=fill.fee,
            realized_pnl=fill.realized_pnl,
            trade_id=fill.trade_id,
            kind=fill.kind.value,
        )

    def _payment(self, event: PaymentBooked) -> None:
        payment = event.payment
        hedge = self._state.hedges.get(event.hedge_id) if event.hedge_id else None
        self._log.info(
            "funding",
            position_id=event.hedge_id,
            exchange=payment.exchange,
            account=payment.account,
            pair=payment.symbol,
            side=_side(hedge, payment.account),
            timestamp=payment.settlement,
            amount=payment.amount,
            currency=payment.currency,
            rate=payment.rate,
        )

    def _of_order(self, order: OrderRecord, hedge: Hedge | None) -> dict[str, Any]:
        account = self._state.accounts.get(order.account)
        return {
            "position_id": order.hedge_id,
            "exchange": account.exchange if account else None,
            "account": order.account,
            "pair": hedge.symbol if hedge else None,
            "side": order.leg.value,
            "action": NAMES[order.purpose],
            "order_type": "market" if order.price is None else f"limit {order.time_in_force.value}",
            "order_id": order.exchange_order_id or None,
            "client_order_id": order.client_id,
            "status": order.state.value,
            "latency_ms": order.latency_ms,
        }


def _of_stranger(event: FillBooked, hedge: Hedge | None) -> dict[str, Any]:
    """What is known of a fill without an order of ours: the exchange's doing, a person's, or a kill's."""
    return {
        "position_id": event.hedge_id,
        "account": event.fill.account,
        "pair": event.fill.symbol,
        "side": _side(hedge, event.fill.account),
        "action": "close" if hedge is not None else None,
        "order_type": None,
        "order_id": None,
        "client_order_id": event.fill.client_id,
        "status": "FILLED",
        "latency_ms": None,
    }


def _side(hedge: Hedge | None, account: str) -> str | None:
    if hedge is None:
        return None
    legs = (hedge.intent.long, hedge.intent.short)
    return next((leg.side.value for leg in legs if leg.account == account), None)


@contextmanager
def log_trades(bus: Bus, state: BotState) -> Iterator[None]:
    """Keep the trade log of a bot until the block is left."""
    trades = TradeLog(state)
    bus.attach(trades)
    try:
        yield
    finally:
        bus.detach(trades)
        trades.close()
