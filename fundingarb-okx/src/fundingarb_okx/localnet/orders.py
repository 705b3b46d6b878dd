"""Reading orders and fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fundingarb.localnet.truth.types import Order, OrderStatus
from fundingarb_okx.localnet.desk import DAY, SWAP, Desk
from fundingarb_okx.localnet.journal import Record
from fundingarb_okx.localnet.render import fill_bill, fill_row, order_row, side_number
from fundingarb_okx.localnet.wire import ApiError, page, parameter_error, text, whole

__all__ = ["fills", "fills_history", "order", "orders_archive", "orders_history", "orders_pending"]

Rows = list[Any]
FORGOTTEN = 2 * 3_600_000
"""Simulated milliseconds for which an order that was cancelled without a fill can be found."""


def _remembered(desk: Desk, order: Order) -> bool:
    """OKX forgets orders that ended without a fill two hours later."""
    ended = order.status in (OrderStatus.CANCELED, OrderStatus.EXPIRED) and not order.filled
    return not ended or order.updated_ms + FORGOTTEN > desk.truth.now_ms


def order(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """One order in any state, by ``ordId`` or ``clOrdId``; the newest that carried the client id."""
    instrument = desk.instrument(params)
    order_id, client_id = text(params, "ordId"), text(params, "clOrdId")
    if not order_id and not client_id:
        raise ApiError(51003, "Either client order ID or order ID is required.")
    found = desk.truth.order(
        account,
        order_id=order_id or None,
        client_id=None if order_id else client_id,
        instrument=instrument.id,
    )
    if found is None or not _remembered(desk, found):
        raise ApiError(51603, "Order does not exist.")
    return [order_row(desk, found)]


def _matching(desk: Desk, orders: Sequence[Order], params: Mapping[str, Any]) -> Rows:
    """One page of those that the filters leave, newest first."""
    chosen = {instrument.id for instrument in desk.chosen(params)}
    kind, state = text(params, "ordType"), text(params, "state")
    begin, end = whole(params, "begin"), whole(params, "end")
    kinds = {one for one in kind.split(",") if one}
    rows = []
    for one in sorted(orders, key=lambda order: order.sequence, reverse=True):
        if one.instrument not in chosen:
            continue
        if (begin is not None and one.created_ms < begin) or (end is not None and one.created_ms > end):
            continue
        row = order_row(desk, one)
        if (not kinds or row["ordType"] in kinds) and (not state or row["state"] == state):
            rows.append(row)
    return page(rows, lambda row: int(row["ordId"]), params)


def orders_pending(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """Open orders."""
    return _matching(desk, desk.truth.open_orders(account), params)


def _ended(desk: Desk, account: str, params: Mapping[str, Any], days: int) -> Rows:
    desk.kind(params, required=True)
    since = desk.truth.now_ms - days * DAY
    orders = [
        one
        for one in desk.truth.orders(account)
        if not one.status.open and one.updated_ms >= since and _remembered(desk, one)
    ]
    return _matching(desk, orders, params)


def orders_history(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """What ended in the last seven days."""
    return _ended(desk, account, params, 7)


def orders_archive(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """What ended in the last three months."""
    return _ended(desk, account, params, 90)


def _fills(desk: Desk, account: str, params: Mapping[str, Any], days: int) -> Rows:
    chosen = {instrument.id for instrument in desk.chosen(params)}
    order_id, kind = text(params, "ordId"), text(params, "subType")
    begin, end = whole(params, "begin"), whole(params, "end")
    since = max(begin or 0, desk.truth.now_ms - days * DAY)

    def wanted(record: Record) -> bool:
        fill = record.fill
        return (
            fill.instrument in chosen
            and since <= fill.time_ms
            and (end is None or fill.time_ms <= end)
            and (not order_id or fill.order_id == order_id)
            and (not kind or side_number(fill) == kind)
        )

    found = [record for record in reversed(desk.journal.records(account)) if wanted(record)]
    taken = page(found, fill_bill, params)
    return [fill_row(record) for record in taken]


def fills(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """Fills of the last three days, newest first."""
    return _fills(desk, account, params, 3)


def fills_history(desk: Desk, account: str, params: Mapping[str, Any]) -> Rows:
    """Fills of the last three months, newest first."""
    if desk.kind(params, required=True) != SWAP:
        return []
    if text(params, "limit") == "0":
        raise parameter_error("limit")
    return _fills(desk, account, params, 90)
