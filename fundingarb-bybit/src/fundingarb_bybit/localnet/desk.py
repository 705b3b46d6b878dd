"""What every handler works with: the truth, its clock, the rate limits and the disconnect protection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fundingarb.localnet.limits import LimitRule, LimitState, RateLimiter
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.types import Reason, Refused
from fundingarb.localnet.venue import Venue
from fundingarb_bybit.localnet.codes import refusal
from fundingarb_bybit.localnet.journal import Journal
from fundingarb_bybit.localnet.render import CATEGORY
from fundingarb_bybit.localnet.wire import ApiError, text, whole

__all__ = ["ACKNOWLEDGE", "CATEGORIES", "DAY", "Desk", "DisconnectProtection", "Reply", "translate"]

CATEGORIES = ("linear", "inverse", "spot", "option")
DAY = 86_400_000

ACKNOWLEDGE = 0.005
"""Real seconds until a subscription is acknowledged: pybit notes what it asked for only after it has sent it."""

LIMITS = (
    # "600 requests within a 5-second window per IP"
    LimitRule("ip", 600, 5.0, "ip"),
    *(
        LimitRule(name, limit, 1.0, "account")
        for name, limit in (
            ("create", 10),
            ("amend", 10),
            ("cancel", 10),
            ("cancel_all", 10),
            ("order_read", 50),
            ("position_read", 50),
            ("account_read", 50),
            ("setting", 10),
            ("fee_rate", 10),
            ("asset", 5),
            ("user", 10),
        )
    ),
)
"""Requests a second and account, by group of paths, for accounts without VIP level."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's answer where ``retMsg`` or ``retExtInfo`` are not the usual ones."""

    result: Any
    message: str = "OK"
    ext: Mapping[str, Any] | None = None


@dataclass(slots=True)
class DisconnectProtection:
    """Bybit's DCP: cancels everything when a private connection with the ``dcp`` topic stays away too long."""

    window: float = 10.0
    """Real seconds."""
    enabled: bool = False
    connections: int = 0


@dataclass(slots=True)
class Desk:
    """One offline Bybit, for its handlers."""

    venue: Venue
    journal: Journal
    disconnect_protection: bool = False
    """Whether accounts were granted DCP."""
    limiter: RateLimiter = field(default_factory=lambda: RateLimiter(LIMITS))
    protections: dict[str, DisconnectProtection] = field(default_factory=dict)
    hour_ago: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    """Minute and price; a price of the past does not change."""

    @property
    def truth(self) -> Exchange:
        return self.venue.truth

    def now_ms(self) -> int:
        """What Bybit's clock shows."""
        return self.venue.server_ms()

    def instrument(self, params: Mapping[str, Any], name: str = "symbol") -> Instrument:
        """The contract a parameter names, which must be there and listed."""
        symbol = text(params, name)
        if not symbol:
            raise ApiError(10001, "params error: symbol invalid")
        found = self.truth.instruments.get(symbol)
        if found is None:
            raise ApiError(10001, f"params error: symbol invalid {symbol}")
        return found

    def category(self, params: Mapping[str, Any], *, default: str = "") -> str:
        """The product type; only those Bybit knows pass."""
        category = text(params, "category") or default
        if category not in CATEGORIES:
            raise ApiError(10001, "Illegal category")
        return category

    def linear(self, params: Mapping[str, Any]) -> None:
        """Refuse what is not about linear contracts: nothing else is traded here."""
        if self.category(params) != CATEGORY:
            raise ApiError(10001, "params error: this account trades linear contracts only")

    @staticmethod
    def nothing(category: str) -> dict[str, Any]:
        """An empty page: what an account that trades linear contracts has elsewhere."""
        return {"category": category, "list": [], "nextPageCursor": ""}

    def charge(self, rule: str, key: str) -> LimitState:
        """Count a request."""
        return self.limiter.charge(rule, key, 1, self.venue.real())

    def protection(self, account: str) -> DisconnectProtection:
        return self.protections.setdefault(account, DisconnectProtection(enabled=self.disconnect_protection))

    def window(
        self, params: Mapping[str, Any], *, default: int, longest: int | None = None
    ) -> tuple[int, int]:
        """Start and end of a query by Bybit's rules: with one bound the default span beside it, with both at most
        ``longest`` between them, with none the default span until now. Milliseconds."""
        start, end = whole(params, "startTime"), whole(params, "endTime")
        if start is None:
            # What has happened counts, even where the truth was taken ahead of the clock.
            end = end if end is not None else max(self.now_ms(), self.truth.now_ms)
            return end - default, end
        if end is None:
            return start, start + default
        if end < start:
            raise ApiError(10001, "The start time cannot be later than the end time")
        if longest is not None and end - start > longest:
            raise ApiError(10001, f"The time range cannot exceed {longest // DAY} days")
        return start, end


def translate(desk: Desk, refused: Refused, path: str, account: str | None) -> ApiError:
    """Bybit's answer to something the truth refused."""
    has_orders = empty = False
    if account is not None:
        if refused.reason is Reason.POSITION_MODE_LOCKED:
            has_orders = bool(desk.truth.open_orders(account)) and not desk.truth.positions(account)
        elif refused.reason is Reason.INSUFFICIENT_MARGIN:
            empty = desk.truth.state(account).wallet <= 0
    return refusal(refused, path, has_orders=has_orders, empty=empty)
