"""What every handler works with: the truth, the chain, the markets by every name, orders and positions."""

from __future__ import annotations

from decimal import Decimal

from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.venue import Venue
from fundingarb_dydx.localnet.chain import Chain
from fundingarb_dydx.localnet.contracts import Perpetual, perpetuals, subaccount_uuid
from fundingarb_dydx.localnet.keys import public_key_of
from fundingarb_dydx.localnet.orders import Orders
from fundingarb_dydx.localnet.positions import Positions
from fundingarb_dydx.localnet.wire import ApiError

__all__ = ["SUBACCOUNT", "Desk"]

SUBACCOUNT = 0
"""The one subaccount of an address that has collateral."""


class Desk:
    """One offline dYdX, for its handlers."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.chain = Chain(venue.truth.now_ms)
        self.orders = Orders()
        self.positions = Positions()
        self.perpetuals = {one.ticker: one for one in perpetuals(venue.truth.instruments)}
        self.pairs = {one.clob_pair: one for one in self.perpetuals.values()}
        for name in venue.truth.accounts:
            credentials = venue.truth.credentials(name)
            public = public_key_of(int(credentials.api_secret, 16))
            self.chain.add_account(name, credentials.api_key, public)

    @property
    def truth(self) -> Exchange:
        return self.venue.truth

    def now_ms(self) -> int:
        """What the indexer's clock shows."""
        return self.venue.server_ms()

    def address(self, account: str) -> str:
        return self.truth.credentials(account).api_key

    def subaccount_id(self, account: str) -> str:
        return subaccount_uuid(self.address(account), SUBACCOUNT)

    def oracle(self, ticker: str) -> Decimal:
        """The oracle price: what margin, profit and funding are reckoned with."""
        return self.truth.mark(ticker)

    def perpetual(self, ticker: str) -> Perpetual:
        """A market by name. Raises ``ApiError``."""
        found = self.perpetuals.get(ticker)
        if found is None:
            raise ApiError(400, "ticker must be a valid ticker (BTC-USD, etc)", "ticker")
        return found
