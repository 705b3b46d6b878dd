"""Our exchanges as the conformance suite takes them, and what they lack."""

from __future__ import annotations

from fundingarb.testing.conformance import Subject

BINANCE = Subject("binance")
BYBIT = Subject("bybit", offline={"disconnect_protection": True})
