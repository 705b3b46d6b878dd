"""What one transaction writes for the batches that share it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import localcontext
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fundingarb.domain.funding import FundingPayment, same_row
from fundingarb.domain.hedge import Mode
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.shares import row_of, whole
from fundingarb.ports import Batch, Committed
from fundingarb.store import control_rows, reading, rows
from fundingarb.store.columns import EXACT
from fundingarb.store.drivers import Driver
from fundingarb.store.statements import Statements


class Write:
    """The work of one transaction.

    Afterwards ``new`` has the keys of the fills and payments that were stored for the first time (or that were in
    ``unconfirmed``: stored by a transaction whose end nobody saw), and ``sequence`` the last number given to an order.
    """

    def __init__(
        self,
        connection: Connection,
        driver: Driver,
        statements: Statements,
        sequence: int,
        unconfirmed: set[UUID],
        instance: str,
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements
        self._unconfirmed = unconfirmed
        self._instance = instance
        self.sequence = sequence
        self.new: set[UUID] = set()

    def run(self, batches: Sequence[Batch]) -> list[Committed]:
        """Write everything; the transaction is begun and ended by the caller."""
        finished: set[UUID] = set()
        booking = False
        for batch in batches:
            self._decide(batch)
            finished |= {intent.id for intent in batch.intents if intent.mode is Mode.DONE}
            booking = booking or bool(batch.fills or batch.payments)
        for row in conflate(refusal for batch in batches for refusal in batch.refusals):
            self._driver.execute(self._statements.refusal, row)
        if not finished and not booking:
            return [Committed() for _ in batches]
        self._driver.sync()
        results = [self._book(batch) for batch in batches]
        touched = {hedge for result in results for _, hedge in (*result.fills, *result.payments)}
        self._derive({hedge for hedge in touched if hedge is not None} | finished)
        return results

    def _decide(self, batch: Batch) -> None:
        """Intents with the instruments they occupy, orders, alerts: all that the hot path writes."""
        execute, statements = self._driver.execute, self._statements
        for intent in batch.intents:
            execute(statements.intent, rows.intent_row(intent))
            if intent.mode is Mode.DONE:
                execute(statements.release, {"id": intent.id})
                continue
            for leg in (intent.long, intent.short):
                row = {"account": leg.account, "symbol": intent.symbol, "position_id": intent.id}
                execute(statements.occupy, row)
        for order in batch.orders:
            self.sequence += 1
            execute(statements.order, rows.order_row(order, self.sequence))
        for flatten in batch.flatten_orders:
            execute(statements.flatten, control_rows.flatten_row(flatten, self._instance))
        for accepted in batch.accepted:
            execute(statements.accepted, control_rows.accepted_row(accepted, self._instance))
        for alert in batch.alerts:
            execute(statements.alert, control_rows.alert_row(alert))
        for delivery in batch.deliveries:
            execute(statements.delivery, control_rows.delivery_row(delivery, self._instance))
        for settlement in batch.settlements:
            execute(statements.settlement, rows.settlement_row(settlement))

    def _book(self, batch: Batch) -> Committed:
        """Fills and payments; which of them were not booked before."""
        execute, statements = self._driver.execute, self._statements
        self._driver.sync()
        hedges = reading.hedges_by_id(
            self._connection, {hedge for _, hedge in batch.fills if hedge is not None}
        )
        fills = []
        for fill, hedge_id in batch.fills:
            row = rows.fill_row(fill, hedge_id, hedges.get(hedge_id) if hedge_id is not None else None)
            fills.append(((fill, hedge_id), row["id"], execute(statements.fill, row)))
        payments = []
        for payment, hedge_id in self._named(batch.payments):
            row = rows.payment_row(payment, hedge_id)
            payments.append(((payment, hedge_id), row["id"], execute(statements.payment, row)))
        self._driver.sync()
        return Committed(
            fills=tuple(item for item, key, cursor in fills if self._is_new(key, cursor)),
            payments=tuple(item for item, key, cursor in payments if self._is_new(key, cursor)),
        )

    def _named(
        self, read: Sequence[tuple[FundingPayment, UUID | None]]
    ) -> list[tuple[FundingPayment, UUID | None]]:
        """``read`` with the ledger ids under which rows are booked already: one row is one row, whatever its id."""
        if not read:
            return []
        booked: dict[tuple[str, str, str, datetime], list[FundingPayment]] = {}
        for row in whole(reading.booked_beside(self._connection, [payment for payment, _ in read])):
            booked.setdefault(_settlement_key(row), []).append(row)
        divided: dict[
            tuple[tuple[str, str, str, datetime], str], list[tuple[FundingPayment, UUID | None]]
        ] = {}
        for payment, hedge_id in read:
            key = _settlement_key(payment), row_of(payment.ledger_id)
            divided.setdefault(key, []).append((payment, hedge_id))
        named = []
        for (settlement, _), parts in divided.items():
            row = whole(payment for payment, _ in parts)[0]
            known = booked.setdefault(settlement, [])
            # its own id first: beside a correction, time and amount alone could point to the other row
            known.sort(key=lambda one: one.ledger_id != row.ledger_id)
            same = next((one for one in known if same_row(one, row)), None)
            if same is None:
                known.append(row)
                named += parts
            else:  # booked already, divided as it was then
                named.append((replace(parts[0][0], ledger_id=same.ledger_id), parts[0][1]))
        return named

    def _is_new(self, key: UUID, cursor: Any) -> bool:
        if cursor.rowcount != 1 and (key not in self._unconfirmed or key in self.new):
            return False
        self.new.add(key)
        return True

    def _derive(self, wanted: Iterable[UUID]) -> None:
        """Bring the computed columns of these hedges up to date."""
        self._driver.sync()
        for hedge_id, hedge in reading.hedges_by_id(self._connection, wanted).items():
            fills = reading.fills(self._connection, hedge_id)
            with localcontext(EXACT):  # 28 digits, the default, may be too few for a sum
                row = rows.derived_row(hedge, fills, reading.funding_total(self._connection, hedge_id))
            self._driver.execute(self._statements.derived, {**row, "key": hedge_id})
            self._driver.sync()


def _settlement_key(payment: FundingPayment) -> tuple[str, str, str, datetime]:
    return payment.exchange, payment.account, payment.symbol, payment.settlement


def conflate(refusals: Iterable[Refusal]) -> list[dict[str, Any]]:
    """One row per candidate and gate: how many there were, when the first was, and the last one's numbers."""
    merged: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for refusal in refusals:
        identity = (refusal.symbol, refusal.long_exchange, refusal.short_exchange, refusal.gate)
        before = merged.get(identity)
        if before is None:
            merged[identity] = control_rows.refusal_row(refusal)
        elif refusal.at >= before["last_at"]:
            merged[identity] = control_rows.refusal_row(refusal, before["count"] + 1, before["first_at"])
        else:
            before["count"] += 1
            before["first_at"] = min(before["first_at"], refusal.at)
    return list(merged.values())
