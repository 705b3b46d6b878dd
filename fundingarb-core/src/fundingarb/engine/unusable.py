"""The account of an exchange whose plugin cannot be used: everything asked of it fails with the reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fundingarb.errors import ExchangeUnavailable

if TYPE_CHECKING:
    from fundingarb.ports import ExchangeAdapter, RateLimit

__all__ = ["unusable"]


def unusable(exchange: str, reason: str) -> ExchangeAdapter:
    """An adapter that raises ``ExchangeUnavailable`` with ``reason``, so that whatever is on other exchanges can be
    seen to, and this one is named."""
    adapter: Any = _Unusable(exchange, reason)
    return adapter  # type: ignore[no-any-return]


class _Unusable:
    limits: Sequence[RateLimit] = ()
    dead_man = False
    shared_margin_mode = False
    order_expiry: timedelta | None = None
    clock_offset: timedelta | None = None

    def __init__(self, exchange: str, reason: str) -> None:
        self.name = exchange
        self._reason = reason

    def cost(self, operation: str) -> Mapping[str, float]:
        return {}

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        if method.startswith("_") or method in ("remember_orders", "remember_instruments"):
            raise AttributeError(method)

        async def refuse(*_: object, **__: object) -> None:
            raise ExchangeUnavailable(f"{self.name}: {self._reason}")

        return refuse
