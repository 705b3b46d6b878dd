"""How much processor time the truth needs at high speed."""

from __future__ import annotations

import time
from decimal import Decimal

from tests.localnet.toy import RULES, contract

from fundingarb.localnet.models.seeded import SeededModel
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Credentials, OrderRequest, OrderType, Side

SPEED = 2000
REAL = 5.0
"""Seconds that are simulated; half a core would be half of it."""


def test_two_exchanges_with_positions_and_orders_at_speed_2000() -> None:
    """Twenty instruments, stepped every 20 ms of real time, two positions and a resting order on each exchange."""
    model = SeededModel(7, exchanges=("a", "b"))
    exchanges = []
    for name in ("a", "b"):
        contracts = [contract(one) for one in model.symbols]
        exchange = Exchange(name, RULES, contracts, model, start=model.start, seed=7)
        exchange.add_account(name, Credentials(name, name), Decimal(100_000))
        for key in ("BTCUSDT", "WIFUSDT"):
            quantity = Decimal(1) if key == "BTCUSDT" else Decimal(5000)
            exchange.place(name, OrderRequest(key, Side.BUY, quantity, OrderType.MARKET))
        price = exchange.book("ETHUSDT").bids[-1][0]
        exchange.place(name, OrderRequest("ETHUSDT", Side.BUY, Decimal(1), price=price))
        exchanges.append(exchange)
    begun = time.process_time()
    for step in range(round(REAL / 0.02)):
        for exchange in exchanges:
            exchange.advance(model.start + (step + 1) * 0.02 * SPEED)
            exchange.book("BTCUSDT", 20)
            for key in exchange.instruments:
                exchange.funding(key)
                exchange.mark(key)
    used = time.process_time() - begun
    assert used < REAL / 2, f"{used / REAL:.0%} of a core"
