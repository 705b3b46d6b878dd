"""An exchange of the localnet with one instrument in a market that stands still."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.localnet.toy import RULES, TIERS

from fundingarb.localnet.truth.events import Event
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.rules import Instrument, VenueRules
from fundingarb.localnet.truth.types import (
    Credentials,
    Order,
    OrderRequest,
    OrderType,
    Side,
    TimeInForce,
)
from fundingarb.testing.market import BTC, START, StillModel

__all__ = ["BOUNDARY", "BTC", "START", "Desk", "StillModel", "instrument"]

BOUNDARY = 1_767_600_000.0
"""2026-01-05 08:00 UTC."""


def instrument(**changes: Any) -> Instrument:
    """BTCUSDT at about 1000: tick 0.1, lot 0.001."""
    fields: dict[str, Any] = {
        "id": "BTCUSDT",
        "symbol": "BTC-USDT",
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "tick": Decimal("0.1"),
        "lot": Decimal("0.001"),
        "min_quantity": Decimal("0.001"),
        "max_quantity": Decimal(1000),
        "max_market_quantity": Decimal(500),
        "min_notional": Decimal(5),
        "funding_cap": Decimal("0.02"),
        "funding_floor": Decimal("-0.02"),
        "tiers": TIERS,
    }
    return Instrument(**{**fields, **changes})


class Desk:
    """An exchange with one instrument and two accounts, and short words for what tests do with it."""

    def __init__(
        self,
        model: StillModel | None = None,
        *,
        rules: VenueRules = RULES,
        balance: Decimal = Decimal(100_000),
        start: float = START,
        seed: int = 1,
        **changes: Any,
    ) -> None:
        self.model = model if model is not None else StillModel()
        self.exchange = Exchange("toy", rules, [instrument(**changes)], self.model, start=start, seed=seed)
        self.id = "BTCUSDT"
        self.events: list[Event] = []
        self.exchange.subscribe(self.events.append)
        for name in ("a", "b"):
            self.exchange.add_account(name, Credentials(f"key-{name}", "secret"), balance)

    def order(
        self,
        side: str,
        quantity: str,
        price: str | None = None,
        *,
        account: str = "a",
        tif: str = "GTC",
        **fields: Any,
    ) -> Order:
        """Place an order: a limit with a price, a market order without."""
        return self.exchange.place(
            account,
            OrderRequest(
                self.id,
                Side(side),
                Decimal(quantity),
                OrderType.MARKET if price is None else OrderType.LIMIT,
                Decimal(price) if price is not None else None,
                TimeInForce(tif),
                **fields,
            ),
        )

    def book(self, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> None:
        """Freeze the book at these prices and quantities."""
        self.exchange.set_book(
            self.id,
            [(Decimal(price), Decimal(quantity)) for price, quantity in bids],
            [(Decimal(price), Decimal(quantity)) for price, quantity in asks],
        )

    def quantity(self, account: str = "a") -> Decimal:
        """Signed position of a one-way account."""
        return sum((one.quantity for one in self.exchange.positions(account)), Decimal(0))

    def wallet(self, account: str = "a") -> Decimal:
        return self.exchange.state(account).wallet

    def rows(self, account: str = "a") -> Decimal:
        """Sum of the ledger."""
        return sum((row.amount for row in self.exchange.ledger(account)), Decimal(0))

    def to(self, time: float) -> None:
        self.exchange.advance(time)

    def wait(self, seconds: float) -> None:
        self.exchange.advance(self.exchange.now + seconds)

    def of(self, kind: type[Any]) -> list[Any]:
        """Events of a type."""
        return [event for event in self.events if isinstance(event, kind)]
