"""What every handler works with: the truth, its clock, the rate limits and the names of the contracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fundingarb.localnet.limits import LimitRule, LimitState, RateLimiter
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.venue import Venue
from fundingarb_okx.localnet.contracts import FIRST_CODE, family
from fundingarb_okx.localnet.journal import Journal
from fundingarb_okx.localnet.settings import OkxLocalnetSettings
from fundingarb_okx.localnet.wire import ApiError, parameter_error, plain, text

__all__ = ["DAY", "KINDS", "SWAP", "Desk", "price_limits"]

DAY = 86_400_000
SWAP = "SWAP"
KINDS = ("SPOT", "MARGIN", SWAP, "FUTURES", "OPTION", "EVENTS")
"""Instrument types OKX knows."""
_UNKNOWN = "Instrument ID, Instrument ID code or Spread ID doesn't exist."

LIMITS = tuple(
    LimitRule(f"{limit}/{seconds}", limit, float(seconds))
    for limit, seconds in ((1, 1), (5, 1), (6, 1), (1, 5), *((n, 2) for n in (5, 10, 20, 40, 60, 300)))
)
"""``60/2``: sixty requests in two seconds. Public paths count by address, private ones by account, orders by account
and contract."""


@dataclass(slots=True)
class Desk:
    """One offline OKX, for its handlers."""

    venue: Venue
    journal: Journal
    settings: OkxLocalnetSettings
    limiter: RateLimiter = field(default_factory=lambda: RateLimiter(LIMITS))
    codes: dict[str, int] = field(default_factory=dict)
    by_code: dict[str, str] = field(default_factory=dict)
    by_family: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for code, instrument in enumerate(self.truth.instruments.values(), FIRST_CODE):
            self.codes[instrument.id] = code
            self.by_code[str(code)] = instrument.id
            self.by_family[family(instrument)] = instrument.id

    @property
    def truth(self) -> Exchange:
        return self.venue.truth

    def now_ms(self) -> int:
        """What OKX's clock shows."""
        return self.venue.server_ms()

    def stamp(self) -> str:
        """The clock as OKX writes it."""
        return str(self.venue.server_ms())

    def find(self, name: str) -> Instrument:
        """A contract by ``instId``; ``ApiError`` 51001 when it is not listed."""
        found = self.truth.instruments.get(name)
        if found is None:
            raise ApiError(51001, _UNKNOWN)
        return found

    def instrument(self, params: Mapping[str, Any]) -> Instrument:
        """The contract that ``instId`` or ``instIdCode`` names, which must be there and listed."""
        name = text(params, "instId")
        if not name:
            code = text(params, "instIdCode")
            if not code:
                raise parameter_error("instId")
            name = self.by_code.get(code, "")
        return self.find(name)

    def kind(self, params: Mapping[str, Any], *, required: bool = False) -> str:
        """The instrument type asked for, '' when none is; only those OKX knows pass."""
        kind = text(params, "instType")
        if (not kind and required) or (kind and kind not in KINDS):
            raise parameter_error("instType")
        return kind

    def chosen(self, params: Mapping[str, Any], *, required: bool = False) -> list[Instrument]:
        """The contracts that ``instType``, ``uly``, ``instFamily`` and ``instId`` leave."""
        kind = self.kind(params, required=required)
        if kind not in ("", SWAP):
            return []
        underlying = text(params, "instFamily") or text(params, "uly")
        name = text(params, "instId")
        if name:
            return [self.find(name)]
        return [
            instrument
            for instrument in self.truth.instruments.values()
            if not underlying or family(instrument) == underlying
        ]

    def charge(self, rule: str, key: str, weight: int = 1) -> LimitState:
        """Count a request."""
        return self.limiter.charge(rule, key, weight, self.venue.real())


def price_limits(desk: Desk, instrument: Instrument) -> tuple[str, str]:
    """The highest price a purchase and the lowest a sale may have."""
    mark, tick = desk.truth.mark(instrument.id), instrument.tick
    high = mark * (1 + instrument.price_band) // tick * tick
    low = -(-mark * (1 - instrument.price_band) // tick) * tick
    return plain(high), plain(max(low, Decimal(0)))
