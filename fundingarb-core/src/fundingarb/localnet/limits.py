"""Request weights, as exchanges count them: fixed windows per address or per account, in real time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["LimitRule", "LimitState", "RateLimiter"]


@dataclass(frozen=True, slots=True)
class LimitRule:
    """At most ``limit`` weight in each window of ``seconds`` (real), per address or per account."""

    name: str
    limit: int
    seconds: float
    scope: Literal["ip", "account"] = "ip"


@dataclass(frozen=True, slots=True)
class LimitState:
    """Where a caller stands under one rule after a charge."""

    rule: LimitRule
    used: int
    exceeded: bool
    retry_after: float
    """Real seconds until the window ends."""

    @property
    def remaining(self) -> int:
        return max(0, self.rule.limit - self.used)


@dataclass(slots=True)
class RateLimiter:
    """Counts weights per rule and caller. ``key`` is the caller: an address, an account, an account and a path."""

    rules: tuple[LimitRule, ...]
    _windows: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def charge(self, name: str, key: str, weight: int, real: float) -> LimitState:
        """Count ``weight`` at the monotonic time ``real`` (seconds); over the limit it is counted all the same."""
        rule = next(rule for rule in self.rules if rule.name == name)
        window = int(real // rule.seconds)
        current, used = self._windows.get((name, key), (window, 0))
        used = weight if current != window else used + weight
        self._windows[name, key] = (window, used)
        return LimitState(rule, used, used > rule.limit, (window + 1) * rule.seconds - real)
