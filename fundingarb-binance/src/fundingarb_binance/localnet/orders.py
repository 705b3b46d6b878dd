"""Placing, changing, cancelling and looking up orders; shared by REST and the websocket API."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

from fundingarb.localnet.truth.types import Order, OrderStatus, Reason, Refused, TimeInForce
from fundingarb_binance.localnet.answers import BinanceError, refusal
from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.gateway import Endpoint
from fundingarb_binance.localnet.intake import check_id, order_request, refused_order
from fundingarb_binance.localnet.order_views import acknowledged, order_answer, order_row
from fundingarb_binance.localnet.params import Params
from fundingarb_binance.localnet.user_data import UserData

__all__ = ["Orders", "recorded"]

DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}


def recorded(order: Order) -> bool:
    """Whether Binance remembers the order: one refused as fill-or-kill leaves no trace."""
    return not (order.time_in_force is TimeInForce.FOK and order.reason is Reason.NOT_FILLABLE)


class Orders:
    """Handlers of order endpoints."""

    def __init__(self, context: Context, user_data: UserData) -> None:
        self.context = context
        self.user_data = user_data
        self._ids = random.Random(f"binance client ids/{context.venue.name}")

    def endpoints(self) -> list[Endpoint]:
        def signed(
            method: str,
            path: str,
            work: Callable[[Call], Any],
            operation: str,
            weight: Any = 1,
            orders: Any = 0,
        ) -> Endpoint:
            return Endpoint(method, path, work, operation, weight, orders, "signed")

        listed = _weight_of_listing
        return [
            signed("POST", "/fapi/v1/order", self.place, "order.place", 0, 1),
            signed("POST", "/fapi/v1/order/test", self.test, "order.place"),
            signed("PUT", "/fapi/v1/order", self.amend, "order.amend", 1, 1),
            signed("DELETE", "/fapi/v1/order", self.cancel, "order.cancel"),
            signed("GET", "/fapi/v1/order", self.query, "order.query"),
            signed("POST", "/fapi/v1/batchOrders", self.place_batch, "order.place", 5, _batch_size),
            signed("DELETE", "/fapi/v1/batchOrders", self.cancel_batch, "order.cancel"),
            signed("DELETE", "/fapi/v1/allOpenOrders", self.cancel_all, "order.cancel_all"),
            signed("GET", "/fapi/v1/openOrder", self.query_open, "order.query"),
            signed("GET", "/fapi/v1/openOrders", self.open_orders, "orders.open", listed),
            signed("POST", "/fapi/v1/countdownCancelAll", self.countdown, "dead_man", 10),
            signed("GET", "/fapi/v1/openAlgoOrders", lambda call: [], "orders.open", listed),
            signed("GET", "/fapi/v1/allAlgoOrders", lambda call: [], "orders.history", 5),
            signed("POST", "/fapi/v1/algoOrder", _no_algo, "order.place", 0, 1),
            signed("DELETE", "/fapi/v1/algoOrder", _no_algo_order, "order.cancel"),
            signed("GET", "/fapi/v1/algoOrder", _no_algo_order, "order.query"),
            signed("DELETE", "/fapi/v1/algoOpenOrders", lambda call: dict(DONE), "order.cancel_all"),
        ]

    # -- placing ---------------------------------------------------------------------------------------------

    def place(self, call: Call) -> dict[str, Any]:
        kind = call.params.choice(
            "newOrderRespType", ("ACK", "RESULT"), BinanceError(-1136, "Invalid newOrderRespType.")
        )
        order = self._place(call.account, call.params)
        return order_answer(self.context, order) if kind == "RESULT" else acknowledged(self.context, order)

    def _place(self, account: str, params: Params) -> Order:
        context = self.context
        request = order_request(context, account, params, self._ids)
        with self.user_data.holding() as held:
            try:
                order = context.truth.place(account, request)
            except Refused as refused:
                raise refused_order(context, context.listings[request.instrument], refused) from None
            if not recorded(order):
                held.discard(order.id)
                raise refusal(Refused(Reason.NOT_FILLABLE))
        return order

    def test(self, call: Call) -> dict[str, Any]:
        context = self.context
        request = order_request(context, call.account, call.params, self._ids)
        try:
            context.truth.check(call.account, request)
        except Refused as refused:
            raise refused_order(context, context.listings[request.instrument], refused) from None
        now = context.truth.now_ms
        order = Order(
            id="0",
            account=call.account,
            instrument=request.instrument,
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            quantity=request.quantity,
            price=request.price,
            client_id=request.client_id,
            reduce_only=request.reduce_only,
            position_side=request.position_side,
            created_ms=now,
            updated_ms=now,
        )
        return order_answer(context, order)

    def place_batch(self, call: Call) -> list[dict[str, Any]]:
        wanted = _json_list(call.params, "batchOrders")
        if not 1 <= len(wanted) <= 5:
            raise BinanceError(-4082, "Invalid number of batch place orders.")
        return [self._one(call, order) for order in wanted]

    def _one(self, call: Call, wanted: Any) -> dict[str, Any]:
        if not isinstance(wanted, dict):
            raise BinanceError(-1130, "Data sent for parameter 'batchOrders' is not valid.")
        try:
            return self.place(
                Call(Params({key: _text(value) for key, value in wanted.items()}), call.account)
            )
        except BinanceError as error:
            return error.body()
        except Refused as refused:
            return refusal(refused).body()

    # -- changing and cancelling -----------------------------------------------------------------------------

    def amend(self, call: Call) -> dict[str, Any]:
        context, params = self.context, call.params
        order = self._found(call, -2013, "Order does not exist.")
        if not order.status.open:
            raise BinanceError(-2013, "Order does not exist.")
        price, quantity = params.decimal("price"), params.decimal("quantity")
        if price == order.price and quantity == order.quantity:
            raise BinanceError(-5027, "No need to modify the order.")
        try:
            changed = context.truth.amend(
                call.account, order.instrument, order_id=order.id, price=price, quantity=quantity
            )
        except Refused as refused:
            raise refused_order(context, context.listings[order.instrument], refused) from None
        return {**order_answer(context, changed), "pair": changed.instrument}

    def cancel(self, call: Call) -> dict[str, Any]:
        order = self._found(call, -2011, "Unknown order sent.")
        return order_answer(
            self.context, self.context.truth.cancel(call.account, order.instrument, order_id=order.id)
        )

    def cancel_batch(self, call: Call) -> list[dict[str, Any]]:
        symbol = self.context.required(call.params).id
        by_client = "origClientOrderIdList" in call.params
        name = "origClientOrderIdList" if by_client else "orderIdList"
        ids = _json_list(call.params, name)
        if not 1 <= len(ids) <= 10:
            raise BinanceError(-4032, "Exceed maximum cancel order size.")
        field = "origClientOrderId" if by_client else "orderId"
        answers = []
        for one in ids:
            try:
                answers.append(self.cancel(Call(Params({"symbol": symbol, field: _text(one)}), call.account)))
            except BinanceError as error:
                answers.append(error.body())
            except Refused as refused:
                answers.append(refusal(refused).body())
        return answers

    def cancel_all(self, call: Call) -> dict[str, Any]:
        self.context.truth.cancel_all(call.account, self.context.required(call.params).id)
        return dict(DONE)

    def countdown(self, call: Call) -> dict[str, Any]:
        """The dead-man timer of one contract, in real time as every network deadline; 0 stops it."""
        symbol = self.context.required(call.params).id
        milliseconds = call.params.integer("countdownTime")
        if milliseconds is None or milliseconds < 0:
            raise BinanceError(
                -1102, "Mandatory parameter 'countdownTime' was not sent, was empty/null, or malformed."
            )
        seconds = milliseconds / 1000 * self.context.venue.clock.speed if milliseconds else None
        self.context.truth.cancel_after(call.account, symbol, seconds)
        return {"symbol": symbol, "countdownTime": str(milliseconds)}

    # -- looking up ------------------------------------------------------------------------------------------

    def _found(self, call: Call, code: int, message: str) -> Order:
        """The order a request names, or an error with that code."""
        listing = self.context.required(call.params)
        order_id = call.params.integer("orderId")
        client_id = call.params.optional("origClientOrderId")
        if order_id is None and client_id is None:
            raise BinanceError(
                -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            )
        order = self.context.truth.order(
            call.account,
            order_id=None if order_id is None else str(order_id),
            client_id=client_id,
            instrument=listing.id,
        )
        if order is None or not recorded(order):
            raise BinanceError(code, message)
        return order

    def query(self, call: Call) -> dict[str, Any]:
        return order_row(self.context, self._found(call, -2013, "Order does not exist."))

    def query_open(self, call: Call) -> dict[str, Any]:
        order = self._found(call, -2013, "Order does not exist.")
        if not order.status.open:
            raise BinanceError(-2013, "Order does not exist.")
        return order_row(self.context, order)

    def open_orders(self, call: Call) -> list[dict[str, Any]]:
        symbol = call.params.optional("symbol")
        listing = self.context.listing(symbol) if symbol else None
        check_id(call.params, "origClientOrderId")
        orders = self.context.truth.open_orders(call.account, listing.id if listing else None)
        return rows(self.context, orders)


def rows(context: Context, orders: Iterable[Order]) -> list[dict[str, Any]]:
    """Orders as lists show them."""
    return [order_row(context, order) for order in orders if order.status is not OrderStatus.REJECTED]


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _json_list(params: Params, name: str) -> list[Any]:
    try:
        found = json.loads(params.required(name))
    except ValueError:
        raise BinanceError(-1130, f"Data sent for parameter '{name}' is not valid.") from None
    if not isinstance(found, list):
        raise BinanceError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return found


def _batch_size(params: Params) -> int:
    try:
        return max(1, len(json.loads(params.get("batchOrders") or "[]")))
    except (TypeError, ValueError):
        return 1


def _weight_of_listing(params: Params) -> int:
    return 1 if params.optional("symbol") else 40


def _no_algo(call: Call) -> Any:
    raise BinanceError(-4084, "Method is not allowed currently. Upcoming soon.")


def _no_algo_order(call: Call) -> Any:
    raise BinanceError(-2013, "Order does not exist.")
