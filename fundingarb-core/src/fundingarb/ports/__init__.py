"""The Protocols plugins implement, and the few values that pass between them and the engine."""

from __future__ import annotations

from fundingarb.ports.context import AccountCredentials, Clock, OpenContext, Secret
from fundingarb.ports.exchange import (
    AccountModes,
    AccountSink,
    BookSink,
    ExchangeAdapter,
    KeyPermissions,
    RateLimit,
    RateSink,
    RemembersOrders,
    StreamSink,
)
from fundingarb.ports.service import AccountStatus, AlertSink, BotHandle, BotStatus, Service
from fundingarb.ports.store import Batch, Checkpoint, Committed, Lease, Store
from fundingarb.ports.strategy import (
    ClosingRule,
    Exit,
    Guard,
    MarketView,
    OrderGuard,
    Proposals,
    RiskRule,
    Strategy,
)

__all__ = [
    "AccountCredentials",
    "AccountModes",
    "AccountSink",
    "AccountStatus",
    "AlertSink",
    "Batch",
    "BookSink",
    "BotHandle",
    "BotStatus",
    "Checkpoint",
    "Clock",
    "ClosingRule",
    "Committed",
    "ExchangeAdapter",
    "Exit",
    "Guard",
    "KeyPermissions",
    "Lease",
    "MarketView",
    "OpenContext",
    "OrderGuard",
    "Proposals",
    "RateLimit",
    "RateSink",
    "RemembersOrders",
    "RiskRule",
    "Secret",
    "Service",
    "Store",
    "Strategy",
    "StreamSink",
]
