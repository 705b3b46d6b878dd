"""The messages of a user data stream."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.events import (
    AccountChanged,
    Event,
    Execution,
    OrderChanged,
    SettingsChanged,
)
from fundingarb.localnet.truth.types import (
    AccountState,
    Cause,
    Fill,
    LedgerKind,
    MarginMode,
    Order,
    Position,
    PositionSide,
    Reason,
)
from fundingarb_binance.localnet.context import Context
from fundingarb_binance.localnet.numbers import money, plain
from fundingarb_binance.localnet.order_views import average, client_order_id, side_of, tif_of

__all__ = ["margin_call", "render"]

_CAUSES = {
    Cause.ORDER: "ORDER",
    Cause.FUNDING: "FUNDING_FEE",
    Cause.LIQUIDATION: "ORDER",
    Cause.ADL: "ORDER",
    Cause.MARGIN: "MARGIN_TRANSFER",
}
_PROFIT_AND_FEES = (LedgerKind.REALIZED_PNL, LedgerKind.COMMISSION)
_EXECUTIONS: dict[Execution, str] = {
    "NEW": "NEW",
    "TRADE": "TRADE",
    "CANCELED": "CANCELED",
    "EXPIRED": "EXPIRED",
    "REJECTED": "EXPIRED",
    "AMENDED": "AMENDMENT",
}


def render(context: Context, event: Event) -> list[dict[str, Any]]:
    """The messages one event of the truth makes, in the order they are sent."""
    if isinstance(event, OrderChanged):
        order = order_update(context, event)
        return [order] if event.fill is None else [trade_lite(context, event, event.fill), order]
    if isinstance(event, AccountChanged):
        return [account_update(context, event)]
    if isinstance(event, SettingsChanged):
        return settings_update(context, event)
    return []


def _stamps(context: Context, kind: str, time_ms: int) -> dict[str, Any]:
    return {"e": kind, "T": time_ms, "E": context.venue.server_ms()}


def order_update(context: Context, event: OrderChanged) -> dict[str, Any]:
    """``ORDER_TRADE_UPDATE``."""
    order, fill = event.order, event.fill
    listing = context.listings[order.instrument]
    price, quantity = context.price, context.quantity
    nothing = Decimal(0)
    execution = "CALCULATED" if fill is not None and order.liquidation else _EXECUTIONS[event.execution]
    body: dict[str, Any] = {
        "s": order.instrument,
        "c": client_order_id(order),
        "S": order.side.value,
        "o": "LIQUIDATION" if order.liquidation else order.type.value,
        "f": tif_of(order),
        "q": quantity(listing, order.quantity),
        "p": price(listing, order.price or nothing),
        "ap": average(listing, order) if order.filled else "0",
        "sp": "0",
        "x": execution,
        "X": order.status.value,
        "i": int(order.id),
        "l": quantity(listing, fill.quantity if fill else nothing),
        "z": quantity(listing, order.filled),
        "L": price(listing, fill.price if fill else nothing),
        "n": money(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else listing.instrument.settle,
        "T": event.time_ms,
        "t": int(fill.id) if fill else 0,
        **_resting_value(context, order),
        "m": bool(fill and fill.maker),
        "R": order.reduce_only and order.position_side is PositionSide.NET,
        "wt": "CONTRACT_PRICE",
        "ot": order.type.value,
        "ps": side_of(order.position_side),
        "cp": order.close_position,
        "rp": money(fill.realized) if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": order.extra.get("selfTradePreventionMode", "EXPIRE_MAKER"),
        "pm": "NONE",
        "gtd": int(order.extra.get("goodTillDate", "0")),
        "er": "0" if event.reason in (None, Reason.CANCELLED_BY_USER) else "1",
    }
    return {**_stamps(context, "ORDER_TRADE_UPDATE", event.time_ms), "o": body}


def _resting_value(context: Context, order: Order) -> dict[str, str]:
    """``b`` and ``a``: what the account's open orders of this contract would buy and sell for."""
    totals = {"BUY": Decimal(0), "SELL": Decimal(0)}
    for open_order in context.truth.open_orders(order.account, order.instrument):
        totals[open_order.side.value] += open_order.remaining * (open_order.price or Decimal(0))
    return {"b": plain(totals["BUY"], least=0), "a": plain(totals["SELL"], least=0)}


def trade_lite(context: Context, event: OrderChanged, fill: Fill) -> dict[str, Any]:
    """``TRADE_LITE``: the fill alone, ahead of the full order update."""
    order = event.order
    listing = context.listings[order.instrument]
    return {
        **_stamps(context, "TRADE_LITE", event.time_ms),
        "s": order.instrument,
        "q": context.quantity(listing, order.quantity),
        "p": context.price(listing, order.price or Decimal(0)),
        "m": fill.maker,
        "c": client_order_id(order),
        "S": order.side.value,
        "L": context.price(listing, fill.price),
        "l": context.quantity(listing, fill.quantity),
        "t": int(fill.id),
        "i": int(order.id),
    }


def account_update(context: Context, event: AccountChanged) -> dict[str, Any]:
    """``ACCOUNT_UPDATE``. Funding of a cross position comes without its position."""
    positions = event.positions
    if event.cause is Cause.FUNDING:
        positions = tuple(p for p in positions if p.margin_mode is MarginMode.ISOLATED)
    other = sum((row.amount for row in event.rows if row.kind not in _PROFIT_AND_FEES), start=Decimal(0))
    isolated = _isolated_total(context, event.account)
    body: dict[str, Any] = {
        "m": _reason(event, other),
        "B": [
            {
                "a": balance.asset,
                "wb": money(balance.wallet),
                "cw": money(balance.wallet - isolated),
                "bc": plain(other, least=0) if not other else money(other),
            }
            for balance in event.balances
        ],
        "P": [_position(context, position) for position in positions],
    }
    if event.cause is Cause.FUNDING and event.rows:
        body["S"] = event.rows[0].instrument
    return {**_stamps(context, "ACCOUNT_UPDATE", event.time_ms), "a": body}


def _reason(event: AccountChanged, other: Decimal) -> str:
    if event.cause is Cause.TRANSFER:
        return "DEPOSIT" if other >= 0 else "WITHDRAW"
    return _CAUSES[event.cause]


def _isolated_total(context: Context, account: str) -> Decimal:
    return sum((p.isolated_margin for p in context.truth.positions(account)), start=Decimal(0))


def _position(context: Context, position: Position) -> dict[str, Any]:
    listing = context.listings[position.instrument]
    return {
        "s": position.instrument,
        "pa": context.quantity(listing, position.quantity),
        "ep": plain(position.entry_price, 8),
        "cr": money(position.realized),
        "up": money(position.unrealized),
        "mt": "isolated" if position.margin_mode is MarginMode.ISOLATED else "cross",
        "iw": money(position.isolated_margin),
        "ps": side_of(position.side),
        "ma": listing.instrument.settle,
        "bep": plain(position.break_even_price, 8),
    }


def settings_update(context: Context, event: SettingsChanged) -> list[dict[str, Any]]:
    """``ACCOUNT_CONFIG_UPDATE`` for a leverage; a margin mode is told as an account update."""
    if event.setting == "leverage":
        change = {"s": event.instrument, "l": int(Decimal(event.value))}
        return [{**_stamps(context, "ACCOUNT_CONFIG_UPDATE", event.time_ms), "ac": change}]
    if event.setting == "margin_mode" and event.instrument:
        positions = context.truth.positions(event.account, event.instrument, flat=True)
        body = {"m": "MARGIN_TYPE_CHANGE", "B": [], "P": [_position(context, p) for p in positions]}
        return [{**_stamps(context, "ACCOUNT_UPDATE", event.time_ms), "a": body}]
    return []


def margin_call(context: Context, account: str, state: AccountState) -> dict[str, Any]:
    """``MARGIN_CALL``: the positions of an account that is close to liquidation."""
    return {
        "e": "MARGIN_CALL",
        "E": context.venue.server_ms(),
        "cw": money(state.wallet - _isolated_total(context, account)),
        "p": [
            {
                "s": position.instrument,
                "ps": side_of(position.side),
                "pa": context.quantity(context.listings[position.instrument], position.quantity),
                "mt": "ISOLATED" if position.margin_mode is MarginMode.ISOLATED else "CROSSED",
                "iw": plain(position.isolated_margin, least=0),
                "mp": plain(position.mark_price, 8),
                "up": plain(position.unrealized, 8),
                "mm": plain(position.maintenance_margin, 8),
            }
            for position in context.truth.positions(account)
        ],
    }
