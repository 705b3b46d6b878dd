"""The indexer's answers about addresses: subaccounts, positions, orders, fills, funding payments, transfers.

Nothing here is secret on a public chain: whoever knows an address may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import LedgerKind
from fundingarb_dydx.localnet.desk import SUBACCOUNT, Desk
from fundingarb_dydx.localnet.orders import Record
from fundingarb_dydx.localnet.positions import PositionRow
from fundingarb_dydx.localnet.render import (
    asset_position,
    fill_row,
    funding_row,
    order_row,
    position_row,
    subaccount,
    transfer_row,
)
from fundingarb_dydx.localnet.wire import (
    ApiError,
    iso,
    limit_of,
    milliseconds_of,
    page,
    plain,
    rounded,
    whole,
)

__all__ = [
    "address",
    "asset_positions",
    "compliance",
    "fills",
    "funding_payments",
    "historical_pnl",
    "order",
    "orders",
    "orders_of_parent",
    "parent_subaccount",
    "perpetual_positions",
    "screen",
    "subaccount_of",
    "transfers",
]

CHILDREN = 128
"""Subaccounts 0, 128, 256, ... belong to parent 0."""
_POSITIONS = ("OPEN", "CLOSED", "LIQUIDATED")
_STATUSES = (
    "OPEN",
    "FILLED",
    "CANCELED",
    "BEST_EFFORT_CANCELED",
    "UNTRIGGERED",
    "ERROR",
    "BEST_EFFORT_OPENED",
)
_HOUR = 3_600_000

Params = Mapping[str, str]


def _account(desk: Desk, params: Params, number: str = "subaccountNumber") -> str | None:
    """The account with collateral that the address and number name; None for any other subaccount."""
    shown = params.get("address", "")
    if not shown:
        raise ApiError(400, "address must be a valid dydx address", "address")
    wanted = whole(params, number)
    if wanted is None:
        raise ApiError(400, f"{number} must be a non-negative integer", number)
    known = desk.chain.accounts.get(shown)
    return known.name if known is not None and wanted == SUBACCOUNT else None


def _existing(desk: Desk, params: Params, number: str = "subaccountNumber") -> str:
    account = _account(desk, params, number)
    if account is None:
        shown, wanted = params.get("address"), params.get(number)
        raise ApiError(404, f"No subaccount found with address {shown} and {number} {wanted}")
    return account


def _until(desk: Desk, params: Params) -> int | None:
    """``createdBeforeOrAt``, as a time or a block, or where the indexer is; unix milliseconds."""
    end, block = milliseconds_of(params, "createdBeforeOrAt"), whole(params, "createdBeforeOrAtHeight")
    last = desk.chain.time_of(block) if block is not None else None
    return min((one for one in (end, last, desk.as_of) if one is not None), default=None)


# -- subaccounts -------------------------------------------------------------------------------------------------


def address(desk: Desk, params: Params) -> dict[str, Any]:
    known = desk.chain.accounts.get(params["address"])
    if known is None:
        raise ApiError(404, f"No subaccounts found for address {params['address']}")
    return {"subaccounts": [subaccount(desk, known.name)], "totalTradingRewards": "0"}


def subaccount_of(desk: Desk, params: Params) -> dict[str, Any]:
    return {"subaccount": subaccount(desk, _existing(desk, params))}


def parent_subaccount(desk: Desk, params: Params) -> dict[str, Any]:
    """The parent with its children, of which only the one without a number of its own exists."""
    child = subaccount(desk, _existing(desk, params, "parentSubaccountNumber"))
    return {
        "subaccount": {
            "address": child["address"],
            "parentSubaccountNumber": SUBACCOUNT,
            "equity": child["equity"],
            "freeCollateral": child["freeCollateral"],
            "childSubaccounts": [child],
        }
    }


def asset_positions(desk: Desk, params: Params) -> dict[str, Any]:
    account = _account(desk, params)
    return {"positions": [asset_position(desk, account)] if account is not None else []}


def perpetual_positions(desk: Desk, params: Params) -> dict[str, Any]:
    """Open and closed ones unless ``status`` asks for some, newest first."""
    account = _account(desk, params)
    wanted = _listed(params, "status", _POSITIONS)
    end = _until(desk, params)
    rows: list[PositionRow] = []
    if account is not None:
        rows = [
            row
            for row in desk.held(account)
            if (not wanted or row.status in wanted) and (end is None or row.created_ms <= end)
        ]
    return {"positions": [position_row(desk, row, stream=False) for row in rows[: limit_of(params)]]}


def _listed(params: Params, name: str, allowed: tuple[str, ...]) -> list[str]:
    """A list with commas."""
    found = [one.strip() for one in params.get(name, "").split(",") if one.strip()]
    if any(one not in allowed for one in found):
        raise ApiError(400, f"{name} must be one of {','.join(allowed)}", name)
    return found


# -- orders ------------------------------------------------------------------------------------------------------


def order(desk: Desk, params: Params) -> dict[str, Any]:
    found = desk.order(params["orderId"])
    if found is None:
        raise ApiError(404, f"Unable to find order id {params['orderId']}")
    return order_row(desk, found, stream=False)


def orders(desk: Desk, params: Params) -> list[dict[str, Any]]:
    """Orders that pass the filters: by default those good for longest first, with ``returnLatestOrders`` the newest."""
    return _orders(desk, _account(desk, params), params)


def orders_of_parent(desk: Desk, params: Params) -> list[dict[str, Any]]:
    return _orders(desk, _account(desk, params, "parentSubaccountNumber"), params)


def _orders(desk: Desk, account: str | None, params: Params) -> list[dict[str, Any]]:
    limit = limit_of(params)
    if account is None:
        return []
    tests = _order_tests(desk, params)
    known = [desk.shown(record) for record in desk.orders.of(account)]
    found = [record for record in known if record is not None and all(test(record) for test in tests)]
    if params.get("returnLatestOrders") in (None, "", "false"):
        found.sort(key=lambda record: (record.short_term, -record.message.good_til))
    else:
        found.sort(key=lambda record: record.updated_ms, reverse=True)
    return [order_row(desk, record, stream=False) for record in found[:limit]]


def _order_tests(desk: Desk, params: Params) -> list[Callable[[Record], bool]]:
    tests: list[Callable[[Record], bool]] = []
    ticker, side = params.get("ticker"), params.get("side")
    if ticker:
        desk.perpetual(ticker)
        tests.append(lambda record: record.perpetual.ticker == ticker)
    if side:
        if side not in ("BUY", "SELL"):
            raise ApiError(400, "side must be one of BUY,SELL", "side")
        tests.append(lambda record: record.side.value == side)
    if params.get("type"):
        tests.append(lambda record: params["type"] == "LIMIT")
    statuses = _listed(params, "status", _STATUSES)
    if statuses:
        tests.append(lambda record: record.status in statuses)
    until_block, after_block = whole(params, "goodTilBlockBeforeOrAt"), whole(params, "goodTilBlockAfter")
    if until_block is not None:
        tests.append(lambda record: record.short_term and record.message.good_til <= until_block)
    if after_block is not None:
        tests.append(lambda record: record.short_term and record.message.good_til > after_block)
    until, after = (milliseconds_of(params, f"goodTilBlockTime{end}") for end in ("BeforeOrAt", "After"))
    if until is not None:
        tests.append(lambda record: not record.short_term and record.message.good_til * 1000 <= until)
    if after is not None:
        tests.append(lambda record: not record.short_term and record.message.good_til * 1000 > after)
    return tests


def fills(desk: Desk, params: Params, number: str = "subaccountNumber") -> dict[str, Any]:
    """Newest first."""
    account, end = _account(desk, params, number), _until(desk, params)
    market = params.get("market")
    if market:
        desk.perpetual(market)
        if params.get("marketType") not in (None, "", "PERPETUAL"):
            raise ApiError(400, "market and marketType must both be provided if one is provided", "market")
    rows = [] if account is None else desk.truth.fills(account, market or None, end_ms=end)[::-1]
    return page(
        rows,
        params,
        lambda fill: fill_row(desk, fill, desk.orders.get(fill.order_id), stream=False),
        "fills",
    )


# -- money -------------------------------------------------------------------------------------------------------


def funding_payments(desk: Desk, params: Params, number: str = "subaccountNumber") -> dict[str, Any]:
    """Newest first; those of nothing are left out unless ``zeroPayments`` asks for them."""
    account, start = _account(desk, params, number), milliseconds_of(params, "afterOrAt")
    ticker, zeros = params.get("ticker"), params.get("zeroPayments") == "true"
    rows = []
    if account is not None:
        rows = [
            payment
            for payment in reversed(desk.truth.funding_payments(account, instrument=ticker or None))
            if (zeros or payment.amount) and (start is None or payment.time_ms >= start)
        ]
    return page(rows, params, lambda payment: funding_row(desk, payment), "fundingPayments")


def transfers(desk: Desk, params: Params, number: str = "subaccountNumber") -> dict[str, Any]:
    """Deposits and withdrawals, newest first. The starting balance is not one of them."""
    account, end = _account(desk, params, number), _until(desk, params)
    rows = []
    if account is not None:
        ledger = desk.truth.ledger(account, end_ms=end)
        rows = [row for row in reversed(ledger) if row.kind is LedgerKind.TRANSFER]
    return page(rows, params, lambda row: transfer_row(desk, row), "transfers")


def historical_pnl(desk: Desk, params: Params, number: str = "subaccountNumber") -> dict[str, Any]:
    """What the account has now. The truth keeps no record of its equity hour by hour."""
    account = _account(desk, params, number)
    rows = [account] if account is not None else []
    return page(rows, params, lambda name: _pnl_row(desk, name), "historicalPnl")


def _pnl_row(desk: Desk, account: str) -> dict[str, Any]:
    truth = desk.truth
    equity = truth.state(account).equity
    moved = sum((row.amount for row in truth.ledger(account) if row.kind is LedgerKind.TRANSFER), Decimal(0))
    net = moved + truth.starting_balance(account)
    at = desk.chain.time_ms // _HOUR * _HOUR
    return {
        "equity": plain(equity),
        "totalPnl": rounded(equity - net, 6),
        "netTransfers": plain(net),
        "createdAt": iso(at),
        "blockHeight": str(desk.chain.height_at(at)),
        "blockTime": iso(at),
    }


# -- compliance --------------------------------------------------------------------------------------------------


def screen(desk: Desk, params: Params) -> dict[str, Any]:
    return {"restricted": False}


def compliance(desk: Desk, params: Params) -> dict[str, Any]:
    return {"status": "COMPLIANT", "updatedAt": iso(desk.chain.time_ms)}
