"""Plain values for tests, and the script of what a fake exchange does with an order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook

EIGHT_HOURS = timedelta(hours=8)


def instrument(exchange: str, symbol: str = "BTC-USDT", **changes: object) -> Instrument:
    """A plain instrument: tick 0.1, lot 0.001, minimum 0.001 and 5 USDT, eight hours."""
    base, settle = symbol.split("-")
    plain = Instrument(
        exchange=exchange,
        symbol=symbol,
        exchange_id=base + settle,
        base=base,
        settle=settle,
        tick=Decimal("0.1"),
        lot=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        min_notional=Decimal(5),
        funding_interval=EIGHT_HOURS,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def book(
    exchange: str,
    symbol: str,
    bid: str | Decimal,
    ask: str | Decimal,
    at: datetime,
    size: str | Decimal = "100",
) -> OrderBook:
    """An order book of one level on each side."""
    quantity = Decimal(size)
    return OrderBook(exchange, symbol, ((Decimal(bid), quantity),), ((Decimal(ask), quantity),), at)


@dataclass(frozen=True, slots=True)
class Script:
    """What happens to one ``place_order`` or ``cancel_order``.

    ``accept``: the exchange takes it. ``reply``: the answer arrives (otherwise ``OutcomeUnknown``). ``fill``: how
    much fills at once (None: what the book allows). ``refusal``: it is refused with this code. ``late``: the
    exchange takes it only when the test calls ``deliver_late``. ``delay`` is seconds of the clock before the answer.
    """

    accept: bool = True
    reply: bool = True
    fill: Decimal | None = None
    refusal: str | None = None
    late: bool = False
    delay: float = 0.0

    @classmethod
    def refuse(cls, code: str = "refused") -> Script:
        return cls(accept=False, refusal=code)

    @classmethod
    def lost_reply(cls, fill: str | Decimal | None = None) -> Script:
        """Taken, but nobody hears of it."""
        return cls(reply=False, fill=None if fill is None else Decimal(fill))

    @classmethod
    def lost_request(cls) -> Script:
        """Never arrives, and nobody knows that."""
        return cls(accept=False, reply=False)

    @classmethod
    def arrives_late(cls) -> Script:
        return cls(accept=False, reply=False, late=True)

    @classmethod
    def partial(cls, quantity: str | Decimal) -> Script:
        return cls(fill=Decimal(quantity))

    @classmethod
    def rests(cls) -> Script:
        return cls(fill=Decimal(0))
