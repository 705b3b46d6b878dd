"""Commands, audit, flattening, accepted differences, alerts and refusals, to rows and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fundingarb.domain.control import (
    Accepted,
    AuditEntry,
    Command,
    CommandKind,
    FlattenOrder,
    Subject,
    plain,
)
from fundingarb.domain.events import Alert, Delivery, Severity
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.order import OrderSide, OrderState
from fundingarb.store.columns import storable
from fundingarb.store.rows import Row, key


def refusal_row(refusal: Refusal, count: int = 1, first_at: datetime | None = None) -> dict[str, Any]:
    """A row of ``refusals`` that stands for ``count`` refusals, the last of which is ``refusal``."""
    return {
        "symbol": refusal.symbol,
        "long_exchange": refusal.long_exchange,
        "short_exchange": refusal.short_exchange,
        "gate": refusal.gate,
        "first_at": first_at or refusal.at,
        "last_at": refusal.at,
        "count": count,
        "needed": refusal.needed,
        "actual": refusal.actual,
        "spread_8h": refusal.spread_8h,
        "net_usd": refusal.net_usd,
    }


def refusal(row: Row) -> Refusal:
    """The last refusal a row of ``refusals`` stands for."""
    return Refusal(
        symbol=row["symbol"],
        long_exchange=row["long_exchange"],
        short_exchange=row["short_exchange"],
        gate=row["gate"],
        needed=row["needed"],
        actual=row["actual"],
        at=row["last_at"],
        spread_8h=row["spread_8h"],
        net_usd=row["net_usd"],
    )


def alert_row(alert: Alert) -> dict[str, Any]:
    """A row of ``alerts``."""
    hedge = "" if alert.hedge_id is None else alert.hedge_id.hex
    text = [storable(line) for line in (alert.title, *alert.lines)]
    return {
        "id": key("alert", alert.at.isoformat(), alert.severity.value, hedge, *text),
        "position_id": alert.hedge_id,
        "severity": alert.severity.value,
        "title": alert.title,
        "lines": text[1:],
        "at": alert.at,
    }


def alert(row: Row) -> Alert:
    """The alert of a row of ``alerts``."""
    return Alert(
        severity=Severity(row["severity"]),
        title=row["title"],
        lines=tuple(row["lines"]),
        at=row["at"],
        hedge_id=row["position_id"],
    )


def delivery_row(delivery: Delivery, instance: str) -> dict[str, Any]:
    """A row of ``deliveries``."""
    return {
        "instance": instance,
        "alert_id": alert_row(delivery.alert)["id"],
        "sink": delivery.sink,
        "delivered_at": delivery.delivered_at,
    }


def command_row(command: Command, instance: str) -> dict[str, Any]:
    """A row of ``commands``."""
    return {
        "id": command.id,
        "instance": instance,
        "key": command.key,
        "kind": command.kind.value,
        "arguments": dict(command.arguments),
        "actor": command.actor,
        "created_at": command.created_at,
        "taken_at": command.taken_at,
        "done_at": command.done_at,
        "result": None if command.result is None else dict(command.result),
    }


def command(row: Row) -> Command:
    """The command of a row of ``commands``."""
    return Command(
        id=row["id"],
        key=row["key"],
        kind=CommandKind(row["kind"]),
        actor=row["actor"],
        created_at=row["created_at"],
        arguments=row["arguments"],
        taken_at=row["taken_at"],
        done_at=row["done_at"],
        result=row["result"],
    )


def audit_row(entry: AuditEntry, instance: str, made_by: UUID | None = None) -> dict[str, Any]:
    """A row of ``audit``; ``made_by`` is the command it is of. What is written twice is one row."""
    what = (
        (str(made_by),)
        if made_by
        else (entry.at.isoformat(), entry.actor, repr(entry.arguments), entry.result)
    )
    return {
        "id": key("audit", instance, entry.command, *what),
        "instance": instance,
        "at": entry.at,
        "actor": plain(entry.actor),
        "command": entry.command,
        "arguments": dict(entry.arguments),
        "ok": entry.ok,
        "result": plain(entry.result, 1000),
    }


def audit_entry(row: Row) -> AuditEntry:
    """The entry of a row of ``audit``."""
    fields = ("at", "actor", "command", "arguments", "ok", "result")
    return AuditEntry(**{name: row[name] for name in fields})


def flatten_row(order: FlattenOrder, instance: str) -> dict[str, Any]:
    """A row of ``flatten_orders``."""
    return {
        "client_id": order.client_id,
        "instance": instance,
        "account": order.account,
        "symbol": order.symbol,
        "attempt": order.attempt,
        "side": order.side.value,
        "quantity": order.quantity,
        "created_at": order.created_at,
        "state": order.state.value,
        "filled": order.filled,
        "exchange_order_id": order.exchange_order_id,
        "reason": order.reason,
        "resolved_at": order.resolved_at,
        "position_id": order.hedge_id,
    }


def flatten_order(row: Row) -> FlattenOrder:
    """The order of a row of ``flatten_orders``."""
    return FlattenOrder(
        client_id=row["client_id"],
        account=row["account"],
        symbol=row["symbol"],
        attempt=row["attempt"],
        side=OrderSide(row["side"]),
        quantity=row["quantity"],
        created_at=row["created_at"],
        state=OrderState(row["state"]),
        filled=row["filled"],
        exchange_order_id=row["exchange_order_id"],
        reason=row["reason"],
        resolved_at=row["resolved_at"],
        hedge_id=row["position_id"],
    )


def accepted_row(accepted: Accepted, instance: str) -> dict[str, Any]:
    """A row of ``accepted``."""
    return {
        "instance": instance,
        "account": accepted.account,
        "subject": accepted.subject.value,
        "name": accepted.name,
        "quantity": accepted.quantity,
        "actor": accepted.actor,
        "at": accepted.at,
    }


def accepted(row: Row) -> Accepted:
    """The accepted difference of a row of ``accepted``."""
    return Accepted(
        account=row["account"],
        subject=Subject(row["subject"]),
        name=row["name"],
        quantity=row["quantity"],
        actor=row["actor"],
        at=row["at"],
    )
