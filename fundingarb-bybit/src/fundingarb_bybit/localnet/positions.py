"""Positions and what is set for them; closed profit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fundingarb_bybit.localnet.desk import DAY, Desk
from fundingarb_bybit.localnet.journal import ClosedProfit
from fundingarb_bybit.localnet.render import CATEGORY, order_price, position_row, side_name
from fundingarb_bybit.localnet.wire import ApiError, money, number, page, plain, text, whole

__all__ = ["closed_pnl", "position_list", "set_leverage", "switch_isolated", "switch_mode", "trading_stop"]


def position_list(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Of a symbol: always, flat or not. Of a settle coin: what is not flat."""
    category = desk.category(params)
    if category != CATEGORY:
        return desk.nothing(category)
    truth = desk.truth
    if text(params, "symbol"):
        positions = truth.positions(account, desk.instrument(params).id, flat=True)
    elif text(params, "settleCoin"):
        settle = text(params, "settleCoin")
        positions = [
            position
            for position in truth.positions(account)
            if truth.instruments[position.instrument].settle == settle
        ]
    else:
        raise ApiError(10001, "Missing some parameters that must be filled in, symbol or settleCoin")
    taken, cursor = page(positions, lambda p: f"{p.instrument}-{p.side.value}", params, limit=20, highest=200)
    rows = [
        position_row(
            truth.instruments[position.instrument],
            position,
            desk.journal.sequence(account, position.instrument, position.side),
            stream=False,
        )
        for position in taken
    ]
    return {"list": rows, "nextPageCursor": cursor, "category": CATEGORY}


def set_leverage(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    desk.linear(params)
    instrument = desk.instrument(params)
    buy, sell = number(params, "buyLeverage"), number(params, "sellLeverage")
    if buy is None or sell is None or buy < 1 or sell < 1:
        raise ApiError(10001, "buyLeverage or sellLeverage invalid")
    if buy != sell:
        raise ApiError(10001, "buy leverage must be equal to sell leverage")
    desk.truth.set_leverage(account, instrument.id, buy)
    return {}


def switch_isolated(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Only classic accounts switch contract by contract."""
    raise ApiError(100028, "unified account is forbidden")


def switch_mode(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """One-way (0) or hedge mode (3). The truth keeps one mode for the account, whatever symbol or coin is named."""
    desk.linear(params)
    if text(params, "symbol"):
        desk.instrument(params)
    elif not text(params, "coin"):
        raise ApiError(10001, "params error: symbol or coin is required")
    mode = whole(params, "mode")
    if mode not in (0, 3):
        raise ApiError(10001, "params error: mode invalid")
    desk.truth.set_hedge_mode(account, mode == 3)
    return {}


def trading_stop(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Accepted for an open position; the offline exchange triggers nothing by it."""
    desk.linear(params)
    instrument = desk.instrument(params)
    if not desk.truth.positions(account, instrument.id):
        raise ApiError(10001, "can not set tp/sl/ts for zero position")
    return {}


def _closed_row(closed: ClosedProfit, kind: str) -> dict[str, Any]:
    order = closed.order
    return {
        "symbol": order.instrument,
        "orderId": order.id,
        "side": side_name(order.side),
        "qty": plain(order.quantity),
        "orderPrice": plain(order_price(order)),
        "orderType": kind,
        "execType": closed.kind,
        "closedSize": plain(closed.quantity),
        "cumEntryValue": money(closed.entry_value),
        "avgEntryPrice": money(closed.entry_value / closed.quantity),
        "cumExitValue": money(closed.exit_value),
        "avgExitPrice": money(closed.exit_value / closed.quantity),
        "closedPnl": money(closed.profit),
        "fillCount": str(closed.fills),
        "leverage": plain(closed.leverage),
        "createdTime": str(closed.created_ms),
        "updatedTime": str(closed.updated_ms),
    }


def closed_pnl(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What each closing order earned, fees of both sides included; newest first."""
    category = desk.category(params)
    if category != CATEGORY:
        return desk.nothing(category)
    start, end = desk.window(params, default=7 * DAY, longest=7 * DAY)
    symbol = desk.instrument(params).id if text(params, "symbol") else ""
    found = [
        closed
        for closed in reversed(desk.journal.closed(account))
        if start <= closed.updated_ms <= end and (not symbol or closed.order.instrument == symbol)
    ]
    taken, cursor = page(found, lambda closed: closed.order.id, params, limit=50, highest=100)
    rows = [_closed_row(closed, closed.order.type.value.capitalize()) for closed in taken]
    return {"list": rows, "nextPageCursor": cursor, "category": CATEGORY}
