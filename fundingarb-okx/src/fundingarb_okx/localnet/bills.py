"""Bills: every change of the balance, with what caused it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import FundingPayment, LedgerKind, LedgerRow, MarginMode
from fundingarb_okx.localnet.desk import DAY, SWAP, Desk
from fundingarb_okx.localnet.journal import Record
from fundingarb_okx.localnet.render import bill_number, margin_mode, side_number
from fundingarb_okx.localnet.wire import money, page, plain, text, whole

__all__ = ["bills", "bills_archive"]

ZERO = Decimal(0)
TRANSFER, TRADE, LIQUIDATION, FUNDING, DELEVERAGING = "1", "2", "5", "8", "9"


@dataclass(slots=True)
class _Entry:
    """One bill: everything that one fill, settlement or transfer did to the balance."""

    row: LedgerRow
    """The last ledger row of the bill; its balance is the bill's."""
    kind: str
    subtype: str
    id: int
    change: Decimal = ZERO
    fee: Decimal = ZERO
    profit: Decimal = ZERO
    record: Record | None = None
    payment: FundingPayment | None = None


def _kind(row: LedgerRow, record: Record | None) -> tuple[str, str]:
    """Type and subtype."""
    if record is not None:
        fill = record.fill
        kind = LIQUIDATION if fill.liquidation else DELEVERAGING if fill.adl else TRADE
        return kind, side_number(fill)
    if row.kind is LedgerKind.FUNDING_FEE:
        return FUNDING, "174" if row.amount >= 0 else "173"
    if row.kind is LedgerKind.TRANSFER:
        return TRANSFER, "11" if row.amount >= 0 else "12"
    # the fee of a liquidation, and what the insurance fund makes good
    return LIQUIDATION, "108" if row.kind is LedgerKind.INSURANCE else "109"


def _entries(desk: Desk, account: str, start_ms: int) -> list[_Entry]:
    """Ledger rows joined as OKX joins them: profit and fee of a fill are one bill; ascending.

    balChg = pnl + fee for trades, and the changes add up to the balance.
    """
    payments = {payment.ledger_id: payment for payment in desk.truth.funding_payments(account)}
    entries: list[_Entry] = []
    by_fill: dict[str, _Entry] = {}
    for row in desk.truth.ledger(account, start_ms=start_ms):
        entry = by_fill.get(row.fill_id) if row.fill_id else None
        if entry is None:
            record = desk.journal.record(account, row.fill_id) if row.fill_id else None
            number = bill_number(row.time_ms, row.id)
            entry = _Entry(row, *_kind(row, record), number, record=record, payment=payments.get(row.id))
            if row.fill_id:
                by_fill[row.fill_id] = entry
            entries.append(entry)
        entry.row = row
        entry.change += row.amount
        if row.kind in (LedgerKind.COMMISSION, LedgerKind.LIQUIDATION_FEE):
            entry.fee += row.amount
        elif row.kind is not LedgerKind.TRANSFER:
            entry.profit += row.amount
    return entries


def _bill(desk: Desk, account: str, entry: _Entry) -> dict[str, Any]:
    row, record, payment = entry.row, entry.record, entry.payment
    fill = record.fill if record is not None else None
    size, price, filled = "", "", ""
    if fill is not None:
        size, price, filled = plain(fill.quantity), plain(fill.price), str(fill.time_ms)
    elif payment is not None:
        size, price = plain(abs(payment.quantity)), plain(payment.price)
    mode = desk.truth.margin_mode(account, row.instrument) if row.instrument else MarginMode.CROSS
    return {
        "bal": money(row.balance),
        "balChg": money(entry.change),
        "billId": str(entry.id),
        "ccy": row.asset,
        "clOrdId": fill.client_id if fill is not None else "",
        "earnAmt": "",
        "earnApr": "",
        "execType": "" if fill is None else "M" if fill.maker else "T",
        "fee": money(entry.fee),
        "fillFwdPx": "",
        "fillIdxPx": "" if record is None else plain(record.index),
        "fillMarkPx": "" if record is None else plain(record.mark),
        "fillMarkVol": "",
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillTime": filled,
        "from": "6" if entry.kind == TRANSFER and row.amount >= 0 else "",
        "instId": row.instrument,
        "instType": SWAP if row.instrument else "",
        "interest": "0",
        "mgnMode": margin_mode(mode) if row.instrument else "",
        "notes": "",
        "ordId": row.order_id,
        "pnl": money(entry.profit),
        "posBal": "0",
        "posBalChg": "0",
        "px": price,
        "subType": entry.subtype,
        "sz": size or money(abs(entry.change)),
        "tag": record.order.extra.get("tag", "") if record is not None else "",
        "to": "18" if entry.kind == TRANSFER and row.amount >= 0 else "",
        "tradeId": row.fill_id,
        "ts": str(row.time_ms),
        "type": entry.kind,
    }


def _list(desk: Desk, account: str, params: Mapping[str, Any], days: int) -> list[Any]:
    chosen = {instrument.id for instrument in desk.chosen(params)}
    filtered = any(text(params, name) for name in ("instType", "instId", "instFamily"))
    begin, end = whole(params, "begin"), whole(params, "end")
    start = max(begin or 0, desk.truth.now_ms - days * DAY)
    wanted = {name: text(params, name) for name in ("ccy", "mgnMode", "type", "subType", "ctType")}
    found = []
    for entry in _entries(desk, account, start):
        if end is not None and entry.row.time_ms > end:
            continue
        if filtered and entry.row.instrument not in chosen:
            continue
        if wanted["type"] not in ("", entry.kind) or wanted["subType"] not in ("", entry.subtype):
            continue
        if wanted["ccy"] not in ("", entry.row.asset) or wanted["ctType"] not in ("", "linear"):
            continue
        found.append(entry)
    taken = page(sorted(found, key=lambda entry: -entry.id), lambda entry: entry.id, params)
    rows = [_bill(desk, account, entry) for entry in taken]
    return [row for row in rows if wanted["mgnMode"] in ("", row["mgnMode"])]


def bills(desk: Desk, account: str, params: Mapping[str, Any]) -> list[Any]:
    """The last seven days, newest first."""
    return _list(desk, account, params, 7)


def bills_archive(desk: Desk, account: str, params: Mapping[str, Any]) -> list[Any]:
    """The last three months, newest first."""
    return _list(desk, account, params, 90)
