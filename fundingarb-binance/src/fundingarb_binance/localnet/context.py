"""What every part of the dialect works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from fundingarb.localnet.dialect import Venue
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb_binance.localnet.answers import BinanceError
from fundingarb_binance.localnet.contracts import Listing
from fundingarb_binance.localnet.keys import Keyring
from fundingarb_binance.localnet.numbers import fixed
from fundingarb_binance.localnet.params import Params

__all__ = ["Call", "Context"]


@dataclass(frozen=True, slots=True)
class Call:
    """A checked request: parameters, and the account it speaks for (empty on public endpoints)."""

    params: Params
    account: str = ""
    api_key: str = ""


@dataclass(slots=True)
class Context:
    """One localnet exchange as the handlers see it."""

    venue: Venue
    listings: dict[str, Listing]
    """By native id, in the order of the exchange's own lists."""
    keys: Keyring = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keyring(self.venue)

    @property
    def truth(self) -> Exchange:
        return self.venue.truth

    def listing(self, symbol: str) -> Listing:
        """The contract, or Binance's refusal of the symbol."""
        found = self.listings.get(symbol)
        if found is None:
            raise BinanceError(-1121, "Invalid symbol.")
        return found

    def asked(self, params: Params) -> list[Listing]:
        """The contract a request names, or all of them."""
        symbol = params.optional("symbol")
        return [self.listing(symbol)] if symbol else list(self.listings.values())

    def required(self, params: Params) -> Listing:
        """The contract a request must name."""
        return self.listing(params.required("symbol"))

    @staticmethod
    def price(listing: Listing, value: Decimal) -> str:
        return fixed(value, listing.price_precision)

    @staticmethod
    def quantity(listing: Listing, value: Decimal) -> str:
        return fixed(value, listing.quantity_precision)
