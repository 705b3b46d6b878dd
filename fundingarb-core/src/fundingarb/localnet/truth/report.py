"""The truth as JSON: decimals as strings, times ISO 8601 in UTC, enums by name."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

from fundingarb.localnet.truth import margin
from fundingarb.localnet.truth.core import Account, Core
from fundingarb.localnet.truth.types import LedgerKind, PositionSide

__all__ = ["account_report", "iso", "plain"]


def iso(time_ms: int) -> str:
    """Unix milliseconds as ISO 8601 UTC with milliseconds."""
    moment = datetime.fromtimestamp(time_ms // 1000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1000:03d}Z"


def plain(value: Any) -> Any:
    """A record of the truth as JSON-ready data; fields that end in ``_ms`` become ISO times without the ending."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if is_dataclass(value) and not isinstance(value, type):
        result = {}
        for one in fields(value):
            content = getattr(value, one.name)
            if one.name.endswith("_ms"):
                result[one.name[:-3] + "_at" if not one.name.startswith("time") else "time"] = (
                    iso(content) if content is not None else None
                )
            else:
                result[one.name] = plain(content)
        return result
    if isinstance(value, dict):
        return {key: plain(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(content) for content in value]
    return value


def account_report(core: Core, account: Account) -> dict[str, Any]:
    """Everything about one account.

    Beside every ``instrument`` there are its ``symbol`` and its ``unit``: base units in one of the exchange's own.
    """
    totals = {
        kind.value: f"{sum((r.amount for r in account.ledger if r.kind is kind), Decimal(0)):f}"
        for kind in LedgerKind
    }
    sides = (PositionSide.LONG, PositionSide.SHORT) if account.hedge_mode else (PositionSide.NET,)
    positions = [
        margin.position(core, account, holding.instrument, holding.side)
        for holding in account.held()
        if holding.side in sides
    ]
    return {
        "asset": account.asset,
        "starting_balance": f"{account.starting:f}",
        "balance": f"{account.wallet:f}",
        "state": plain(margin.account_state(core, account)),
        "hedge_mode": account.hedge_mode,
        "margin_mode": account.margin_mode.value,
        "leverage": {key: f"{value:f}" for key, value in account.leverages.items()},
        "totals": totals,
        "positions": _rows(core, positions),
        "open_orders": _rows(core, list(account.open.values())),
        "orders": _rows(core, list(account.orders.values())),
        "fills": _rows(core, account.fills),
        "funding": _rows(core, account.payments),
        "ledger": _rows(core, account.ledger),
    }


def _rows(core: Core, records: list[Any]) -> list[dict[str, Any]]:
    rows = []
    for record in records:
        row = plain(record)
        market = core.markets.get(record.instrument)
        row["symbol"], row["unit"] = "", "1"
        if market is not None:
            listed = market.instrument
            row["symbol"], row["unit"] = listed.symbol, f"{listed.contract_size * listed.multiplier:f}"
        rows.append(row)
    return rows
