"""What people command, and what is done outside the hedges: commands, accepted differences, flatten orders."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from fundingarb.domain.order import ZERO, OrderSide, OrderState


class CommandKind(str, Enum):
    """What a person may ask of a bot through the database. ``RELEASE`` undoes ``KILL``, ``UNPAUSE`` ``PAUSE``."""

    KILL = "KILL"
    RELEASE = "RELEASE"
    PAUSE = "PAUSE"
    UNPAUSE = "UNPAUSE"
    CLOSE = "CLOSE"
    ACCEPT = "ACCEPT"
    FLATTEN = "FLATTEN"
    STATUS = "STATUS"
    OPEN = "OPEN"
    TOLERANCE = "TOLERANCE"
    SCAN = "SCAN"
    REFRESH = "REFRESH"
    CONFIGURE = "CONFIGURE"


@dataclass(frozen=True, slots=True)
class Command:
    """One command. The first with a ``key`` is executed, once; whoever repeats the key gets its result.

    ``result`` has ``ok`` and ``text`` once it is done (``done_at``); before that what is known of its progress.
    """

    id: UUID
    key: str
    kind: CommandKind
    actor: str
    created_at: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)
    taken_at: datetime | None = None
    done_at: datetime | None = None
    result: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether it is done and did what was asked."""
        return self.done_at is not None and bool((self.result or {}).get("ok"))

    @property
    def entry(self) -> AuditEntry:
        """What the audit says of it once it is done."""
        told = str((self.result or {}).get("text", ""))
        return AuditEntry(
            self.done_at or self.created_at, self.actor, self.kind.value, self.arguments, self.ok, told
        )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what when, and what came of it; append-only. ``actor`` names a dashboard session, a Telegram id, a user
    of the command line or the program; never a secret."""

    at: datetime
    actor: str
    command: str
    arguments: Mapping[str, Any]
    ok: bool
    result: str


def plain(text: str, most: int = 200) -> str:
    """``text`` on one line without control characters (they are shown escaped), cut to ``most`` characters: whatever
    reads it in a terminal or a log reads one line and no more."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[:most]
    )
    return shown[:most]


@dataclass(frozen=True, slots=True)
class ControlState:
    """What the database says of switches and commands: the kill latch and the commands that are not done."""

    killed: bool
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True)
class Latch:
    """A switch (of kill, of pause) as it was last set or released."""

    on: bool
    actor: str
    at: datetime


class Subject(str, Enum):
    """What an accepted difference is about.

    ``POSITION`` (name: symbol) is held beside our hedges and is somebody else's. ``ORDER`` (name: the exchange's order
    id) is somebody else's open order. ``LEG`` (name: hedge id) is what is gone from a leg of ours without an order of
    ours. ``INSTANCE`` (name: prefix) is another bot whose orders are known to have been there.
    """

    POSITION = "POSITION"
    ORDER = "ORDER"
    LEG = "LEG"
    INSTANCE = "INSTANCE"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A difference on ``account`` that a person accepted, so that it no longer halts entries.

    ``quantity``: of a POSITION the signed base quantity that is not ours, of a LEG what is gone (positive) or was
    wrongly taken for gone (negative), else 0.
    A quantity of 0 takes an accepted position back.
    """

    account: str
    subject: Subject
    name: str
    quantity: Decimal
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FlattenOrder:
    """A reduce-only order that closes what no order of a hedge closes; committed before it is sent.

    ``quantity`` is base units. A kill repeats it against the position as it is read again, whatever became of it.
    ``hedge_id`` is the hedge whose leg it closes, None when what it closes belongs to none.
    """

    client_id: str
    account: str
    symbol: str
    attempt: int
    side: OrderSide
    quantity: Decimal
    created_at: datetime
    state: OrderState = OrderState.INTENDED
    filled: Decimal = ZERO
    exchange_order_id: str = ""
    reason: str = ""
    resolved_at: datetime | None = None
    hedge_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """Something that a kill has not closed yet. ``symbol`` and ``quantity`` (signed base units) are None where the
    exchange did not say what there is."""

    exchange: str
    account: str
    symbol: str | None
    quantity: Decimal | None
    reason: str

    def __str__(self) -> str:
        what = "positions and orders unknown" if self.symbol is None else f"{self.symbol} {self.quantity}"
        return f"{self.exchange} ({self.account}) {what}: {self.reason}"


def flatten_order_id(instance: str, account: str, symbol: str, attempt: int) -> str:
    """The name of a flatten order, a function of what it is for; of another form than those of hedges' orders."""
    digest = hashlib.sha256(f"{account}\n{symbol}".encode()).digest()
    return f"fa{instance}x{base64.b32encode(digest)[:10].decode().lower()}{attempt:04d}"


_OURS = re.compile(r"fa([a-z0-9]{4})[a-z0-9]{15}")


def instance_of(client_id: str | None) -> str | None:
    """The four characters that name the bot which made an order; None when no bot of this program did."""
    found = _OURS.fullmatch(client_id or "")
    return None if found is None else found[1]
