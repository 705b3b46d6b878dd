"""Books and exchange side by side, line for line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

import anyio

from fundingarb.app import open_accounts
from fundingarb.domain.funding import FundingPayment, same_row
from fundingarb.domain.hedge import Hedge, LegPlan, OrderRecord
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, ExchangePosition, OrderReport
from fundingarb.domain.reconcile import (
    Books,
    Difference,
    Modes,
    another_bot,
    compare,
    compare_modes,
    expected_positions,
)
from fundingarb.errors import ExchangeError
from fundingarb.panel.panel import Panel, patiently
from fundingarb.ports import Checkpoint, ExchangeAdapter

LOOKS = 4
PAUSE = 1.0
"""A difference counts when it is there in every look, so many (real) seconds apart: a bot may be trading."""
WINDOW = timedelta(hours=48)
"""How far back funding payments are compared."""

_Settlements: TypeAlias = "dict[datetime, list[FundingPayment]]"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what it is about, our figure, the exchange's, and whether they agree."""

    account: str
    what: str
    symbol: str
    local: str
    exchange: str
    agrees: bool


async def side_by_side(panel: Panel, account: str | None = None) -> list[Row]:
    """Orders, positions, modes and funding payments of every account (or one), ours against the exchange's."""
    async with open_accounts(panel.config, panel.around) as accounts:
        chosen = {name: adapter for name, adapter in accounts.items() if account in (None, name)}
        rows: list[Row] = []
        for look in range(LOOKS):
            if look:
                await anyio.sleep(PAUSE)
            rows = [
                row for name, adapter in sorted(chosen.items()) for row in await _look(panel, name, adapter)
            ]
            if all(row.agrees for row in rows):
                break
        return rows


async def _look(panel: Panel, account: str, adapter: ExchangeAdapter) -> list[Row]:
    checkpoint = await panel.store.glance()
    since = _since(await panel.store.hedges(), panel.around.clock.now())
    booked = [p for p in await panel.store.payments() if p.account == account]
    try:
        orders = await patiently(adapter.get_open_orders)
        positions = await patiently(adapter.get_positions)
        paid = [] if since is None else await adapter.get_funding_payments(since - timedelta(hours=1))
        modes = [
            row for leg, symbol in _legs(checkpoint, account) for row in await _modes(adapter, leg, symbol)
        ]
    except ExchangeError as error:
        return [Row(account, "everything", "", "", f"cannot be read: {error}", agrees=False)]
    hedges = checkpoint.hedges
    books = _books(checkpoint, account, hedges)
    differences = compare(account, hedges, positions, orders, books)
    return [
        *_positions(account, hedges, positions, books, differences),
        *_orders(account, hedges, orders, differences, books),
        *modes,
        *_funding(account, booked, paid, since),
    ]


def _books(checkpoint: Checkpoint, account: str, hedges: Sequence[Hedge]) -> Books:
    instances = {hedge.intent.instance for hedge in hedges}
    return Books(
        accepted=[each for each in checkpoint.accepted if each.account == account],
        own_orders={order.client_id for order in checkpoint.flatten_orders},
        instance=instances.pop() if len(instances) == 1 else "",
    )


def _legs(checkpoint: Checkpoint, account: str) -> list[tuple[LegPlan, str]]:
    return [
        (hedge.intent.leg(side), hedge.symbol)
        for hedge in checkpoint.hedges
        for side in Side
        if hedge.live and hedge.intent.leg(side).account == account
    ]


def _positions(
    account: str,
    hedges: Sequence[Hedge],
    positions: Sequence[ExchangePosition],
    books: Books,
    differences: Sequence[Difference],
) -> list[Row]:
    ours = expected_positions(account, hedges)
    held = {position.symbol: position.quantity for position in positions}
    foreign = {each.name for each in books.accepted if books.foreign(each.name)}
    differ = {(each.symbol, each.subject) for each in differences}
    rows = []
    for symbol in sorted({*ours, *held, *foreign}):
        local = ours.get(symbol, ZERO) + books.foreign(symbol)
        agrees = not {(symbol, "position"), (symbol, "foreign position")} & differ
        note = f" (accepted: {_text(books.foreign(symbol))})" if books.foreign(symbol) else ""
        rows.append(
            Row(account, "position", symbol, _text(local) + note, _text(held.get(symbol, ZERO)), agrees)
        )
    return rows


def _orders(
    account: str,
    hedges: Sequence[Hedge],
    orders: Sequence[OrderReport],
    differences: Sequence[Difference],
    books: Books,
) -> list[Row]:
    known = {
        order.client_id: (h.symbol, order) for h in hedges for order in h.orders if order.account == account
    }
    differ = {each.exchange for each in differences if each.subject == "open order"}
    rows = []
    for order in orders:
        name = order.client_id or order.exchange_order_id
        record = known.pop(order.client_id or "", None)
        over = record is not None and record[1].state.terminal
        stranger = books.stranger(order.client_id) if record is None and books.instance else None
        if stranger is not None:
            rows.append(_row(another_bot(account, order.symbol, stranger, name)))
        local = "not ours" if record is None else _order(record[1])
        rows.append(
            Row(account, f"order {name}", order.symbol, local, _order(order), name not in differ and not over)
        )
    rows += [
        Row(account, f"order {name}", symbol, _order(record), "not open", agrees=False)
        for name, (symbol, record) in known.items()
        if not record.state.terminal
    ]
    return rows


async def _modes(adapter: ExchangeAdapter, leg: LegPlan, symbol: str) -> list[Row]:
    found = await adapter.get_modes(symbol)
    recorded = Modes("one-way", "cross", Decimal(leg.leverage))
    differences = compare_modes(
        leg.account, symbol, recorded, Modes(found.position_mode, found.margin_mode, found.leverage)
    )
    text = f"{recorded.position_mode}, {recorded.margin_mode}, {leg.leverage}x"
    theirs = f"{found.position_mode}, {found.margin_mode}, {found.leverage}x"
    return [Row(leg.account, "modes", symbol, text, theirs, not differences)]


def _funding(
    account: str, booked: Iterable[FundingPayment], paid: Iterable[FundingPayment], since: datetime | None
) -> list[Row]:
    """Per symbol what was paid since ``since``: equal when every single settlement has the same ledger rows."""
    if since is None:
        return []
    ours, theirs = _by_settlement(booked, since), _by_settlement(paid, since)
    rows = []
    for symbol in sorted({*ours, *theirs}):
        local, exchange = ours.get(symbol, {}), theirs.get(symbol, {})
        agrees = {at: _amounts(read) for at, read in local.items()} == {
            at: _amounts(read) for at, read in exchange.items()
        }
        rows.append(Row(account, "funding", symbol, _payments(local), _payments(exchange), agrees))
    return rows


def _by_settlement(payments: Iterable[FundingPayment], since: datetime) -> dict[str, _Settlements]:
    """Symbol -> settlement -> its ledger rows: a correction is a row of its own, one that was read twice is not."""
    found: dict[str, _Settlements] = {}
    for payment in payments:
        if payment.settlement >= since:
            rows = found.setdefault(payment.symbol, {}).setdefault(payment.settlement, [])
            if not any(same_row(row, payment) for row in rows):
                rows.append(payment)
    return found


def _amounts(rows: Iterable[FundingPayment]) -> list[Decimal]:
    return sorted(row.amount for row in rows)


def _since(hedges: Sequence[Hedge], now: datetime) -> datetime | None:
    """From when on payments are compared: two days, but not before the first hedge; None when there was none."""
    first = min((hedge.intent.created_at for hedge in hedges), default=None)
    return None if first is None else max(first, now - WINDOW)


def _payments(settlements: _Settlements) -> str:
    amounts = [row.amount for rows in settlements.values() for row in rows]
    return f"{len(amounts)} payments, {_text(sum(amounts, ZERO))}"


def _order(order: OrderRecord | OrderReport) -> str:
    return f"{order.state.value} {order.side.value} {_text(order.filled)}/{_text(order.quantity)}"


def _row(difference: Difference) -> Row:
    return Row(
        difference.account,
        difference.subject,
        difference.symbol,
        difference.local,
        difference.exchange,
        False,
    )


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"
