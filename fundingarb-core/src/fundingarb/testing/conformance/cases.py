"""Every case, in order: importing the modules registers them."""

from __future__ import annotations

from fundingarb.testing.conformance import (
    account,
    account_stream,
    lifecycle,
    market_data,
    outcomes,
    streams,
    trading,
)
from fundingarb.testing.conformance.registry import registered

__all__ = ["CASES"]

_MODULES = (market_data, streams, trading, outcomes, account, account_stream, lifecycle)

CASES = {number: registered[number] for number in sorted(registered)}
"""By number."""
