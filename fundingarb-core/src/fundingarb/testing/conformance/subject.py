"""What is put to the test: one exchange's adapter, the offline exchange it is run against, and what both lack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from fundingarb.domain.order import OrderSide
from fundingarb.engine.clock import SystemClock
from fundingarb.localnet.dialect import LocalnetDialect
from fundingarb.plugins import load_plugins, validate_settings
from fundingarb.ports import ExchangeAdapter, OpenContext

__all__ = ["SPEEDS", "Capability", "Subject"]

SPEEDS = (1.0, 60.0)
"""Every case runs at the exchange's own speed, and with a day that lasts 24 minutes."""


OpenAdapter = Callable[[Mapping[str, Any], OpenContext], AbstractAsyncContextManager[ExchangeAdapter]]


OpenDialect = Callable[[Mapping[str, Any], OpenContext], AbstractAsyncContextManager[LocalnetDialect]]


class Capability(str, Enum):
    """Something that not every exchange (or plugin) has, and that some cases are about."""

    PUBLIC_STREAMS = "public streams"
    """Rates and books are pushed over a websocket (a plugin may poll instead)."""
    ACCOUNT_STREAM = "account stream"
    """Account events are pushed over a websocket (a plugin may poll instead)."""
    BUNDLES = "bundles"
    """Contracts of a thousand base units (1000PEPE)."""
    INTERVALS = "intervals"
    """The funding interval of a contract may change."""
    SIGNED_READS = "signed reads"
    """Account data are shown to the holder of the key only."""
    REQUEST_CLOCK = "request clock"
    """Requests carry the time, and one with a wrong time is refused."""
    ORDER_EXPIRY = "order expiry"
    """An order that is late is not taken any more. Excluded by itself when ``order_expiry`` is None."""
    DEAD_MAN = "dead-man timer"
    """The exchange cancels orders when it is not asked again. Excluded by itself when ``dead_man`` is false."""
    LEVERAGE = "leverage"
    """Leverage is a setting."""
    MARGIN_MODE = "margin mode"
    """Margin mode is a setting."""
    POSITION_MODE = "position mode"
    """An account may hold a long and a short position of one contract (hedge mode)."""
    KEY_PERMISSIONS = "key permissions"
    """A key has permissions that can be asked for."""
    ACCOUNT_FEES = "account fees"
    """Fees depend on the account, and it can be asked for them."""
    FORCED_CLOSING = "forced closing"
    """Fills say whether they are a liquidation or an auto-deleveraging."""
    CLIENT_ID_REUSE = "client id is taken"
    """The exchange refuses a second order with the client order id of an open one."""
    RATE_LIMITS = "rate limits"
    """The exchange answers "too many requests" to orders."""


@dataclass(frozen=True)
class Subject:
    """One exchange under test. By default adapter and dialect are those that installed plugins register for it.

    ``open`` opens the adapter with a section of the configuration (``settings``) in a context; ``dialect`` opens the
    offline exchange with its section (``offline``). ``lacks`` says of each missing capability why it is missing: the
    cases that need it are reported as not applicable, with that reason. ``secrets`` are the credentials that prove
    who asks (the others only say it): another account's make a wrong key, unless ``forged`` gives one. ``somebody``
    gives the exchange a person's order at a desk (side, quantity, price or None), where an order cannot just be put
    into the offline exchange's books. ``quick`` are settings that make the adapter notice a silent stream within two
    seconds.
    """

    exchange: str
    open: OpenAdapter | None = None
    dialect: OpenDialect | None = None
    lacks: Mapping[Capability, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    offline: Mapping[str, Any] = field(default_factory=dict)
    somebody: Callable[[Any, OrderSide, Decimal, Decimal | None], Awaitable[None]] | None = None
    quick: Mapping[str, Any] = field(default_factory=lambda: {"stream_stale_seconds": 1.0})
    secrets: Sequence[str] = ("api_secret",)
    forged: Mapping[str, str] = field(default_factory=dict)
    speeds: Sequence[float] = SPEEDS

    def adapter(
        self, context: OpenContext, settings: Mapping[str, Any] | None = None
    ) -> AbstractAsyncContextManager[ExchangeAdapter]:
        """The adapter, not entered yet."""
        values = {**self.settings, **(settings or {})}
        if self.open is not None:
            return self.open(values, context)
        registered = load_plugins().exchanges[self.exchange]
        return registered.component.open(validate_settings(registered, values), context)

    def venue(self) -> AbstractAsyncContextManager[LocalnetDialect]:
        """The offline exchange, not entered yet."""
        context = OpenContext(name=self.exchange, clock=SystemClock(), network="localnet")
        if self.dialect is not None:
            return self.dialect(self.offline, context)
        registered = load_plugins().localnets[self.exchange]
        return registered.component.open(validate_settings(registered, self.offline), context)
