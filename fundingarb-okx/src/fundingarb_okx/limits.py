"""OKX's documented rate limits, endpoint by endpoint, and what the adapter's methods cost of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fundingarb.ports import RateLimit

LIMITS: Sequence[RateLimit] = (
    RateLimit("orders", 60, 2),
    RateLimit("cancels", 60, 2),
    RateLimit("queries", 60, 2),
    RateLimit("pending", 60, 2),
    RateLimit("positions", 10, 2),
    RateLimit("balance", 10, 2),
    RateLimit("bills", 5, 2),
    RateLimit("config", 5, 2),
    RateLimit("leverage", 20, 2),
    RateLimit("timer", 1, 1.25),  # one a second: two that are sent so may arrive closer together
    RateLimit("time", 10, 2),
    RateLimit("instruments", 20, 2),
    RateLimit("rates", 10, 2),
    RateLimit("prices", 10, 2),
    RateLimit("history", 10, 2),
    RateLimit("books", 40, 2),
)
"""Orders, cancels and queries are limited per instrument; here together, which leaves room for what others send."""

# Fees are asked for every ten seconds at most, whatever the number of symbols.
COSTS: Mapping[str, Mapping[str, float]] = {
    "get_server_time": {"time": 1},
    "get_instruments": {"instruments": 1, "rates": 1},
    "get_funding_rate": {"rates": 1, "prices": 1},
    "get_funding_rates": {"rates": 1, "prices": 1},
    "get_funding_history": {"history": 1},
    "get_orderbook": {"books": 1},
    "place_order": {"orders": 1},
    "cancel_order": {"cancels": 1},
    "cancel_foreign": {"cancels": 1},
    "find_order": {"queries": 1},
    "get_open_orders": {"pending": 1},
    "cancel_after": {"timer": 1},
    "get_positions": {"positions": 1},
    "get_balance": {"balance": 1},
    "get_fills": {"bills": 1},
    "get_symbol_fills": {"bills": 1},
    "get_funding_payments": {"bills": 1},
    "get_fee_tier": {},
    "get_modes": {"config": 1, "positions": 1, "leverage": 1},
    "set_leverage": {"leverage": 1},
    "set_margin_mode": {},
    "set_one_way_mode": {"config": 1},
    "get_key_permissions": {"config": 1},
}
