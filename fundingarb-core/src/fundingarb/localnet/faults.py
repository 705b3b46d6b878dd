"""Injected faults: what goes wrong, when, and for whom.

A ``Fault`` is installed in the exchange's ``FaultBook`` (in process, or with ``POST /faults``) and fires when an
operation matches it. Dialects only name their operations (``order.place``, ``positions.read``, ``stream.push``) and
render a ``Failure`` in their exchange's words; everything else is done around them.

Operation names: ``time.read instruments.read rates.read funding.history book.read ticker.read trades.read
candles.read order.place order.amend order.cancel order.cancel_all order.query orders.open orders.history fills.read
ledger.read funding.payments positions.read balance.read account.read fees.read keys.read leverage.set leverage.read
margin_mode.set position_mode.set position_mode.read transfer dead_man stream.key stream.open stream.push``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from fundingarb.localnet.errors import LocalnetError

__all__ = ["Failure", "FailureKind", "Fault", "FaultBook", "FaultKind", "Outcome"]


class FaultKind(str, Enum):
    """What happens. In brackets the fields of ``Fault`` that matter beyond the matching ones."""

    LATENCY = "latency"
    """The reply comes ``seconds`` later (real time); the request is executed at once."""
    LOST_REPLY = "lost_reply"
    """Executed, then the connection drops without an answer."""
    LOST_REQUEST = "lost_request"
    """The connection drops; nothing was executed."""
    HTTP_ERROR = "http_error"
    """Not executed; HTTP ``status`` (503) with ``code``/``message`` or a proxy's HTML page."""
    UNKNOWN_ERROR = "unknown_error"
    """Executed, but answered with HTTP ``status`` (503): the outcome is unknown to the client."""
    RATE_LIMITED = "rate_limited"
    """Not executed; the exchange's too-many-requests answer with ``retry_after``."""
    BANNED = "banned"
    """Not executed, for every request during ``seconds`` (real): the exchange's IP-ban answer."""
    MAINTENANCE = "maintenance"
    """Not executed: the exchange's maintenance answer; streams close and refuse to open."""
    REJECT = "reject"
    """Not executed: the exchange's answer with ``code`` and ``message``."""
    PARTIAL_FILL = "partial_fill"
    """The order fills at most ``fraction``, ever; the rest stays in the book, or expires if it may not."""
    LATE_ACCEPT = "late_accept"
    """The connection drops at once; the request is executed ``seconds`` (simulated) later, signature window and all."""
    FRAME_DUPLICATE = "frame_duplicate"
    """The frame is sent twice."""
    FRAME_REORDER = "frame_reorder"
    """The frame is sent after the next one."""
    FRAME_MALFORMED = "frame_malformed"
    """The frame is cut in half, or replaced with ``message``."""
    FRAME_LOST = "frame_lost"
    """The frame is not sent."""
    STREAM_DISCONNECT = "stream_disconnect"
    """The connection is dropped without a close frame."""
    STREAM_STALL = "stream_stall"
    """The connection stays open but says nothing any more, for ``seconds`` (real; 0 = for good)."""
    CLOCK_SKEW = "clock_skew"
    """The exchange's own clock is ``seconds`` (real) ahead of the truth, as long as the fault is installed."""
    CHAIN_STALL = "chain_stall"
    """No block is made as long as the fault is installed: orders are taken and nothing comes of them (dYdX)."""
    INDEXER_LAG = "indexer_lag"
    """Reads of orders, fills, positions and heights answer what was true up to ``seconds`` (real) ago, each from a copy
    that is behind by an amount of its own, seeded (dYdX)."""
    PRICE_GAP = "price_gap"
    """At once: prices of ``symbol`` jump by ``factor``."""
    LIQUIDATION = "liquidation"
    """At once: the position of ``account`` in ``symbol`` is liquidated."""
    ADL = "adl"
    """At once: ``fraction`` of the position of ``account`` in ``symbol`` is auto-deleveraged."""
    FUNDING_INTERVAL = "funding_interval"
    """At once: the interval of ``symbol`` becomes ``hours``."""


IMMEDIATE = frozenset((FaultKind.PRICE_GAP, FaultKind.LIQUIDATION, FaultKind.ADL, FaultKind.FUNDING_INTERVAL))
"""Kinds that happen when they are installed and are not kept."""

FRAME_KINDS = frozenset(
    (
        FaultKind.FRAME_DUPLICATE,
        FaultKind.FRAME_REORDER,
        FaultKind.FRAME_MALFORMED,
        FaultKind.FRAME_LOST,
        FaultKind.STREAM_DISCONNECT,
        FaultKind.STREAM_STALL,
    )
)
"""Kinds that concern outgoing stream frames (operation ``stream.push``)."""


STATES = frozenset((FaultKind.CLOCK_SKEW, FaultKind.CHAIN_STALL, FaultKind.INDEXER_LAG))
"""Kinds that are so as long as they are installed, whatever is asked."""


class FailureKind(str, Enum):
    """What a dialect must be able to say in its exchange's words."""

    SERVER_ERROR = "server_error"
    UNKNOWN = "unknown"
    """Server error whose documentation says that the request may have been executed."""
    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    MAINTENANCE = "maintenance"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer to give instead of the real one. None fields take the exchange's usual value for the kind."""

    kind: FailureKind
    status: int | None = None
    code: str | None = None
    message: str | None = None
    retry_after: float = 1.0
    """Real seconds."""
    body: bytes | None = None
    """Answer literally this."""


@dataclass(slots=True)
class Fault:
    """A fault and what it matches; empty matching fields match everything."""

    kind: FaultKind
    exchange: str | None = None
    account: str | None = None
    symbol: str | None = None
    """Model symbol or native id."""
    operation: str | None = None
    """Shell pattern: ``order.place``, ``order.*``. Default: every operation, or ``stream.push`` for frame faults."""
    topic: str | None = None
    """Shell pattern over stream topics, frame faults only."""
    count: int | None = None
    """Fires so many times; None without end."""
    skip: int = 0
    """Lets so many matching operations pass first."""
    probability: float = 1.0
    seconds: float = 0.0
    jitter: float = 0.0
    """LATENCY: up to so many seconds more, seeded."""
    fraction: float = 0.5
    factor: float = 1.0
    hours: int = 8
    status: int | None = None
    code: str | None = None
    message: str | None = None
    retry_after: float = 1.0
    id: int = 0
    """Given by the book."""
    fired: int = 0
    _since: float | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.kind = FaultKind(self.kind)
        if not 0 <= self.probability <= 1:
            raise LocalnetError(f"fault {self.kind.value}: probability must be between 0 and 1")
        if self.operation is None:
            self.operation = "stream.push" if self.kind in FRAME_KINDS else "*"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """A fault from the body of ``POST /faults``; unknown or mistyped fields raise ``LocalnetError``."""
        known = {f.name for f in fields(cls) if not f.name.startswith("_")} - {"id", "fired"}
        unknown = sorted(set(data) - known)
        if unknown:
            raise LocalnetError(f"unknown fault field {unknown[0]!r}; known: {', '.join(sorted(known))}")
        if data.get("kind") not in {kind.value for kind in FaultKind}:
            kinds = ", ".join(kind.value for kind in FaultKind)
            raise LocalnetError(f"unknown fault kind {data.get('kind')!r}; known: {kinds}")
        values = dict(data)
        if isinstance(values.get("code"), int):
            values["code"] = str(values["code"])
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise LocalnetError(f"fault {data['kind']}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        return {
            f.name: value.value if isinstance(value := getattr(self, f.name), FaultKind) else value
            for f in fields(self)
            if not f.name.startswith("_")
        }


@dataclass(slots=True)
class Outcome:
    """What the faults that fired make of one operation; the default is that nothing happens to it."""

    drop_request: bool = False
    drop_reply: bool = False
    delay: float = 0.0
    """Real seconds before the reply."""
    late: float | None = None
    """Simulated seconds until the request is executed, unanswered."""
    failure: Failure | None = None
    """Answer with this; executed first only if ``execute``."""
    execute: bool = True
    fill_fraction: float | None = None

    @property
    def clean(self) -> bool:
        return (
            self.execute
            and not (self.drop_request or self.drop_reply or self.delay or self.failure)
            and self.late is None
            and self.fill_fraction is None
        )


_IDS = itertools.count(1)

CLEAN = Outcome()
"""Shared answer for the usual case; never changed."""


class FaultBook:
    """The faults installed on one exchange. Seeded: the same operations in the same order meet the same faults."""

    def __init__(self, exchange: str, *, seed: int = 0, same_symbol: Callable[[str, str], bool]) -> None:
        self.exchange = exchange
        self._random = random.Random(f"faults/{seed}/{exchange}")
        self._copies = random.Random(f"copies/{seed}/{exchange}")
        self._faults: list[Fault] = []
        self._same_symbol = same_symbol

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(self._faults)

    def install(self, fault: Fault) -> Fault:
        """Add a fault; the caller has dealt with the immediate kinds."""
        fault.id = next(_IDS)
        self._faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Remove one fault, or all; how many there were."""
        before = len(self._faults)
        self._faults = [f for f in self._faults if fault_id is not None and f.id != fault_id]
        return before - len(self._faults)

    @property
    def skew(self) -> float:
        """Real seconds the exchange's clock is ahead."""
        return sum(f.seconds for f in self._faults if f.kind is FaultKind.CLOCK_SKEW)

    @property
    def chain_stalled(self) -> bool:
        """Whether no blocks are made."""
        return any(f.kind is FaultKind.CHAIN_STALL for f in self._faults)

    def lag(self) -> float:
        """Real seconds that one read is behind: drawn anew for each, as if every request met another copy."""
        longest = max((f.seconds for f in self._faults if f.kind is FaultKind.INDEXER_LAG), default=0.0)
        return self._copies.uniform(0.0, longest) if longest else 0.0

    @property
    def in_maintenance(self) -> bool:
        return any(f.kind is FaultKind.MAINTENANCE and not self._spent(f) for f in self._faults)

    def plan(
        self, operation: str, *, account: str | None = None, symbol: str | None = None, real: float = 0.0
    ) -> Outcome:
        """What happens to this operation. ``real`` is a monotonic real time, for faults that last."""
        if not self._faults:
            return CLEAN
        outcome = Outcome()
        for fault in list(self._faults):
            if fault.kind in FRAME_KINDS or fault.kind in STATES:
                continue
            if self._fires(fault, operation, account, symbol, real):
                self._apply(fault, outcome, real)
        return outcome

    def frame(self, topic: str, *, account: str | None = None, real: float = 0.0) -> list[Fault]:
        """The frame faults that fire for an outgoing frame."""
        if not self._faults:
            return []
        return [
            fault
            for fault in list(self._faults)
            if fault.kind in FRAME_KINDS
            and (fault.topic is None or fnmatchcase(topic, fault.topic))
            and self._fires(fault, "stream.push", account, None, real)
        ]

    def _spent(self, fault: Fault) -> bool:
        return fault.count is not None and fault.fired >= fault.count

    def _fires(
        self, fault: Fault, operation: str, account: str | None, symbol: str | None, real: float
    ) -> bool:
        if fault.kind is FaultKind.BANNED and fault._since is not None:
            # A ban, once it has begun, hits everything until it is over.
            if real < fault._since + fault.seconds:
                return True
            if self._spent(fault):
                return False
        if self._spent(fault) or not fnmatchcase(operation, fault.operation or "*"):
            return False
        if fault.exchange is not None and fault.exchange != self.exchange:
            return False
        if fault.account is not None and fault.account != account:
            return False
        if fault.symbol is not None and (symbol is None or not self._same_symbol(fault.symbol, symbol)):
            return False
        if fault.skip > 0:
            fault.skip -= 1
            return False
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return False
        fault.fired += 1
        fault._since = real
        return True

    def _apply(self, fault: Fault, outcome: Outcome, real: float) -> None:
        kind = fault.kind
        if kind is FaultKind.LATENCY:
            outcome.delay += fault.seconds + (self._random.random() * fault.jitter if fault.jitter else 0.0)
        elif kind is FaultKind.LOST_REPLY:
            outcome.drop_reply = True
        elif kind is FaultKind.LOST_REQUEST:
            outcome.drop_request, outcome.execute = True, False
        elif kind is FaultKind.LATE_ACCEPT:
            outcome.late, outcome.execute = fault.seconds, False
        elif kind is FaultKind.PARTIAL_FILL:
            outcome.fill_fraction = fault.fraction
        else:
            failure = _FAILURES[kind]
            retry_after = fault.retry_after
            if kind is FaultKind.BANNED and fault._since is not None:  # what is left of it
                retry_after = fault._since + fault.seconds - real
            outcome.failure = Failure(failure, fault.status, fault.code, fault.message, retry_after)
            outcome.execute = kind is FaultKind.UNKNOWN_ERROR


_FAILURES = {
    FaultKind.HTTP_ERROR: FailureKind.SERVER_ERROR,
    FaultKind.UNKNOWN_ERROR: FailureKind.UNKNOWN,
    FaultKind.RATE_LIMITED: FailureKind.RATE_LIMITED,
    FaultKind.BANNED: FailureKind.BANNED,
    FaultKind.MAINTENANCE: FailureKind.MAINTENANCE,
    FaultKind.REJECT: FailureKind.REJECTED,
}
