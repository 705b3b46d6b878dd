"""Trade history and transaction log: fills, funding payments and every change of the wallet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fundingarb.localnet.truth.types import FundingPayment, LedgerKind, LedgerRow
from fundingarb_bybit.localnet.desk import DAY, Desk
from fundingarb_bybit.localnet.journal import Record
from fundingarb_bybit.localnet.render import (
    CATEGORY,
    execution,
    funding_execution,
    funding_id,
    side_name,
    user_id,
)
from fundingarb_bybit.localnet.wire import ApiError, fixed, identifier, money, page, plain, text

__all__ = ["execution_list", "transaction_log"]

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Execution:
    """A fill or a funding payment, with what it is sorted and found by."""

    time_ms: int
    sequence: int
    id: str
    instrument: str
    order_id: str
    link_id: str
    kind: str
    record: Record | None = None
    payment: FundingPayment | None = None


def _executions(desk: Desk, account: str, start_ms: int = 0) -> list[_Execution]:
    """Everything since then, newest first."""
    found = [
        _Execution(
            record.fill.time_ms,
            record.fill.sequence,
            record.fill.id,
            record.fill.instrument,
            record.fill.order_id,
            record.fill.client_id,
            "BustTrade" if record.fill.liquidation else "AdlTrade" if record.fill.adl else "Trade",
            record=record,
        )
        for record in desk.journal.records(account, start_ms)
    ]
    found += [
        _Execution(
            payment.settlement_ms,
            payment.ledger_id,
            funding_id(payment),
            payment.instrument,
            identifier("settlement", payment.ledger_id),
            "",
            "Funding",
            payment=payment,
        )
        for payment in desk.truth.funding_payments(account)
        if payment.settlement_ms >= start_ms
    ]
    found.sort(key=lambda e: (e.time_ms, e.kind == "Funding", e.sequence), reverse=True)
    return found


def execution_list(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Fills and funding payments, newest first."""
    category = desk.category(params)
    if category != CATEGORY:
        return desk.nothing(category)
    order_id, link_id = text(params, "orderId"), text(params, "orderLinkId")
    kind = text(params, "execType")
    if order_id:
        found = [e for e in _executions(desk, account) if e.order_id == order_id]
    elif link_id:
        found = [e for e in _executions(desk, account) if e.link_id == link_id]
    else:
        start, end = desk.window(params, default=7 * DAY, longest=7 * DAY)
        found = [e for e in _executions(desk, account, start) if e.time_ms <= end]
        symbol, base = text(params, "symbol"), text(params, "baseCoin")
        if symbol:
            name = desk.instrument(params).id
            found = [e for e in found if e.instrument == name]
        elif base:
            found = [e for e in found if desk.truth.instruments[e.instrument].base == base]
    if kind:
        found = [e for e in found if e.kind == kind]
    taken, cursor = page(found, lambda e: e.id, params, limit=50, highest=100)
    rows = []
    for entry in taken:
        instrument = desk.truth.instruments[entry.instrument]
        if entry.record is not None:
            rows.append(execution(instrument, entry.record, stream=False))
        elif entry.payment is not None:
            rows.append(funding_execution(instrument, entry.payment, stream=False))
    return {"nextPageCursor": cursor, "category": CATEGORY, "list": rows}


@dataclass(slots=True)
class _Entry:
    """One row of the transaction log: everything that one fill, settlement or transfer did to the wallet."""

    row: LedgerRow
    """The last ledger row of the entry; its balance is the entry's."""
    kind: str
    time_ms: int
    cash_flow: Decimal = ZERO
    fee: Decimal = ZERO
    funding: Decimal | None = None
    record: Record | None = None
    payment: FundingPayment | None = None


def _entries(desk: Desk, account: str, start_ms: int) -> list[_Entry]:
    """Ledger rows joined as Bybit joins them: realised profit and fee of a fill are one row, ascending.

    change = cashFlow + funding - fee holds for each entry, and the changes add up to the balance. Rows posted before
    ``start_ms`` are left out; a settlement carries its own time, which is before its posting.
    """
    payments = {payment.ledger_id: payment for payment in desk.truth.funding_payments(account)}
    entries: list[_Entry] = []
    by_fill: dict[str, _Entry] = {}
    for row in desk.truth.ledger(account, start_ms=start_ms):
        entry = by_fill.get(row.fill_id) if row.fill_id else None
        if entry is None:
            record = desk.journal.record(account, row.fill_id) if row.fill_id else None
            entry = _Entry(row, _kind(row, record), row.time_ms, record=record)
            if row.fill_id:
                by_fill[row.fill_id] = entry
            entries.append(entry)
        entry.row = row
        if row.kind is LedgerKind.COMMISSION:
            entry.fee -= row.amount
        elif row.kind is LedgerKind.FUNDING_FEE:
            entry.funding = (entry.funding or ZERO) + row.amount
            entry.payment = payments.get(row.id)
            if entry.payment is not None:
                entry.time_ms = entry.payment.settlement_ms
        else:
            entry.cash_flow += row.amount
    return entries


def _kind(row: LedgerRow, record: Record | None) -> str:
    if record is not None and record.fill.liquidation:
        return "LIQUIDATION"
    if record is not None and record.fill.adl:
        return "ADL"
    if row.kind is LedgerKind.FUNDING_FEE:
        return "SETTLEMENT"
    if row.kind is LedgerKind.TRANSFER:
        return "TRANSFER_IN" if row.amount >= 0 else "TRANSFER_OUT"
    if row.kind in (LedgerKind.LIQUIDATION_FEE, LedgerKind.INSURANCE):
        return "LIQUIDATION"
    return "TRADE"


def _entry_id(account: str, entry: _Entry) -> str:
    return f"{user_id(account)}_{entry.row.instrument or entry.row.asset}_{entry.row.id}"


def _log_row(account: str, entry: _Entry) -> dict[str, Any]:
    row, record, payment = entry.row, entry.record, entry.payment
    change = entry.cash_flow + (entry.funding or ZERO) - entry.fee
    side, size, quantity, price, rate = "None", "", "", "", ""
    order_id, link_id, trade_id = row.order_id, "", row.fill_id
    if record is not None:
        fill = record.fill
        side, size, quantity = side_name(fill.side), plain(record.size), plain(fill.quantity)
        price, rate, link_id = plain(fill.price), plain(fill.fee_rate), fill.client_id
    elif payment is not None:
        side = "Buy" if payment.quantity > 0 else "Sell"
        size, quantity = plain(payment.quantity), plain(abs(payment.quantity))
        price, rate = plain(payment.price), plain(payment.rate)
        order_id, trade_id = identifier("settlement", payment.ledger_id), funding_id(payment)
    return {
        "id": _entry_id(account, entry),
        "symbol": row.instrument,
        "category": CATEGORY if row.instrument else "",
        "side": side,
        "transactionTime": str(entry.time_ms),
        "type": entry.kind,
        "transSubType": "",
        "qty": quantity,
        "size": size,
        "currency": row.asset,
        "tradePrice": price,
        "funding": "" if entry.funding is None else money(entry.funding),
        "fee": fixed(entry.fee, 8),
        "cashFlow": money(entry.cash_flow),
        "change": money(change),
        "cashBalance": fixed(row.balance, 8),
        "feeRate": rate,
        "bonusChange": "",
        "tradeId": trade_id,
        "orderId": order_id,
        "orderLinkId": link_id,
        "extraFees": "",
    }


def transaction_log(desk: Desk, account: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Every change of the wallet, newest first.

    ``funding`` is positive when received, ``fee`` positive when paid, change = cashFlow + funding - fee.
    """
    if text(params, "accountType") not in ("", "UNIFIED"):
        raise ApiError(10001, "accountType only support UNIFIED.")
    start, end = desk.window(params, default=DAY, longest=7 * DAY)
    kind, currency = text(params, "type"), text(params, "currency")
    category, base = text(params, "category"), text(params, "baseCoin")
    if category and category != CATEGORY:
        desk.category(params)
        return {"nextPageCursor": "", "list": []}
    found = []
    for entry in reversed(_entries(desk, account, start)):
        instrument = desk.truth.instruments.get(entry.row.instrument)
        if not start <= entry.time_ms <= end or (kind and entry.kind != kind):
            continue
        if (currency and entry.row.asset != currency) or (category and instrument is None):
            continue
        if base and (instrument is None or instrument.base != base):
            continue
        found.append(entry)
    taken, cursor = page(found, lambda entry: _entry_id(account, entry), params, limit=20, highest=50)
    return {"nextPageCursor": cursor, "list": [_log_row(account, entry) for entry in taken]}
