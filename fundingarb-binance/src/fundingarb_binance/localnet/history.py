"""What happened on an account: orders, fills, income, forced orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fundingarb.localnet.truth.types import LedgerKind, LedgerRow
from fundingarb_binance.localnet.answers import BinanceError
from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.gateway import Endpoint
from fundingarb_binance.localnet.numbers import money
from fundingarb_binance.localnet.order_views import order_row, trade_row
from fundingarb_binance.localnet.orders import recorded
from fundingarb_binance.localnet.params import Params

__all__ = ["History"]

T = TypeVar("T")

_WEEK_MS = 7 * 86_400_000
_INCOME = {
    LedgerKind.REALIZED_PNL: "REALIZED_PNL",
    LedgerKind.COMMISSION: "COMMISSION",
    LedgerKind.FUNDING_FEE: "FUNDING_FEE",
    LedgerKind.TRANSFER: "TRANSFER",
    LedgerKind.LIQUIDATION_FEE: "INSURANCE_CLEAR",
    LedgerKind.INSURANCE: "INSURANCE_CLEAR",
}
_INCOME_TYPES = frozenset(
    (
        *_INCOME.values(),
        "WELCOME_BONUS",
        "REFERRAL_KICKBACK",
        "COMMISSION_REBATE",
        "API_REBATE",
        "CONTEST_REWARD",
        "CROSS_COLLATERAL_TRANSFER",
        "OPTIONS_PREMIUM_FEE",
        "OPTIONS_SETTLE_PROFIT",
        "INTERNAL_TRANSFER",
        "AUTO_EXCHANGE",
        "DELIVERED_SETTELMENT",
        "COIN_SWAP_DEPOSIT",
        "COIN_SWAP_WITHDRAW",
        "POSITION_LIMIT_INCREASE_FEE",
        "STRATEGY_UMFUTURES_TRANSFER",
        "FEE_RETURN",
        "BFUSD_REWARD",
    )
)
_FIRST_TRANSACTION = 9_689_000_000_000


class History:
    """Handlers of history endpoints."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def endpoints(self) -> list[Endpoint]:
        def signed(path: str, work: Callable[[Call], Any], operation: str, weight: Any) -> Endpoint:
            return Endpoint("GET", f"/fapi/v1/{path}", work, operation, weight, 0, "signed")

        return [
            signed("allOrders", self.all_orders, "orders.history", 5),
            signed("userTrades", self.user_trades, "fills.read", 5),
            signed("income", self.income, "ledger.read", 30),
            signed(
                "forceOrders",
                self.force_orders,
                "orders.history",
                lambda params: 20 if params.optional("symbol") else 50,
            ),
        ]

    def _span(self, params: Params, longest: int | None = _WEEK_MS) -> tuple[int | None, int | None]:
        """The time asked for, at most ``longest``; without one the last week."""
        start, end = params.integer("startTime"), params.integer("endTime")
        if start is not None and end is not None:
            if start > end:
                raise BinanceError(-1023, "Start time is greater than end time.")
            if longest is not None and end - start > longest:
                raise BinanceError(-4166, "Maximum time interval is 7 days.")
        if longest is not None:
            if start is not None and end is None:
                end = start + longest
            elif start is None:
                start = (end if end is not None else self.context.truth.now_ms) - longest
        return start, end

    def all_orders(self, call: Call) -> list[dict[str, Any]]:
        params = call.params
        symbol = self.context.required(params).id
        first = params.integer("orderId")
        limit = params.limit(500, 1000)
        started = params.optional("startTime") is not None
        start, end = (None, None) if first is not None else self._span(params)
        found = [
            order
            for order in self.context.truth.orders(call.account, symbol, start_ms=start, end_ms=end)
            if recorded(order) and (first is None or int(order.id) >= first)
        ]
        return [order_row(self.context, order) for order in _page(found, limit, started or first is not None)]

    def user_trades(self, call: Call) -> list[dict[str, Any]]:
        params = call.params
        symbol = self.context.required(params).id
        first, order_id = params.integer("fromId"), params.integer("orderId")
        limit = params.limit(500, 1000)
        started = params.optional("startTime") is not None
        if first is not None and (started or params.optional("endTime") is not None):
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        start, end = (None, None) if first is not None or order_id is not None else self._span(params)
        found = [
            fill
            for fill in self.context.truth.fills(
                call.account,
                symbol,
                order_id=None if order_id is None else str(order_id),
                start_ms=start,
                end_ms=end,
            )
            if first is None or int(fill.id) >= first
        ]
        return [trade_row(self.context, fill) for fill in _page(found, limit, started or first is not None)]

    def income(self, call: Call) -> list[dict[str, Any]]:
        params = call.params
        symbol = params.optional("symbol")
        if symbol:
            self.context.listing(symbol)
        wanted = params.choice(
            "incomeType",
            _INCOME_TYPES,
            BinanceError(-1130, "Data sent for parameter 'incomeType' is not valid."),
        )
        limit = params.limit(100, 1000)
        page = params.limit(1, 1_000_000, "page")
        started = params.optional("startTime") is not None
        start, end = params.integer("startTime"), params.integer("endTime")
        if start is None and end is None:
            start = self.context.truth.now_ms - _WEEK_MS
        if start is not None and end is not None and start > end:
            raise BinanceError(-1023, "Start time is greater than end time.")
        rows = [
            row
            for row in self.context.truth.ledger(call.account, instrument=symbol, start_ms=start, end_ms=end)
            if wanted is None or _INCOME[row.kind] == wanted
        ]
        if params.optional("page"):
            rows = rows[(page - 1) * limit : page * limit]
        return [_income_row(row) for row in _page(rows, limit, started or bool(params.optional("page")))]

    def force_orders(self, call: Call) -> list[dict[str, Any]]:
        params = call.params
        symbol = params.optional("symbol")
        listing = self.context.listing(symbol) if symbol else None
        kind = params.choice(
            "autoCloseType",
            ("LIQUIDATION", "ADL"),
            BinanceError(-1130, "Data sent for parameter 'autoCloseType' is not valid."),
        )
        start, end = params.integer("startTime"), params.integer("endTime")
        found = [
            order
            for order in self.context.truth.orders(
                call.account, listing.id if listing else None, start_ms=start, end_ms=end
            )
            if (order.liquidation and kind != "ADL") or (order.adl and kind != "LIQUIDATION")
        ]
        return [order_row(self.context, order) for order in _page(found, params.limit(50, 100), False)]


def _income_row(row: LedgerRow) -> dict[str, Any]:
    kind = _INCOME[row.kind]
    return {
        "symbol": row.instrument,
        "incomeType": kind,
        "income": money(row.amount),
        "asset": row.asset,
        "info": kind,
        "time": row.time_ms,
        "tranId": _FIRST_TRANSACTION + row.id,
        "tradeId": row.fill_id,
    }


def _page(rows: Sequence[T], limit: int, from_start: bool) -> Sequence[T]:
    """The first rows where a start was given, otherwise the newest; ascending either way."""
    return rows[:limit] if from_start else rows[-limit:]
