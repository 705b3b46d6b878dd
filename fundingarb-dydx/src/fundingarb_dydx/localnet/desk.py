"""What every handler works with: the truth, the chain, the markets by every name, orders and positions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.venue import Venue
from fundingarb_dydx.localnet.chain import Chain
from fundingarb_dydx.localnet.contracts import Perpetual, perpetuals, subaccount_uuid
from fundingarb_dydx.localnet.keys import public_key_of
from fundingarb_dydx.localnet.orders import BEST_EFFORT_OPENED, OPEN, Orders, Record
from fundingarb_dydx.localnet.positions import PositionRow, Positions
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
        self.as_of: int | None = None
        """Where the indexer is while it answers (unix milliseconds); None: where the chain is."""
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

    @contextmanager
    def behind(self, seconds: float) -> Iterator[None]:
        """While entered, the indexer answers what was true so many real seconds ago."""
        if seconds:
            self.as_of = round(self.truth.now_ms - seconds * 1000 * self.venue.clock.speed)
        try:
            yield
        finally:
            self.as_of = None

    @property
    def height(self) -> int:
        """Of the last block that the indexer has."""
        return self.chain.height if self.as_of is None else self.chain.last_at(self.as_of)

    def order(self, order_id: str) -> Record | None:
        """An order as the indexer shows it; None when it does not."""
        found = self.orders.get(order_id)
        return None if found is None else self.shown(found)

    def shown(self, record: Record) -> Record | None:
        """An order as the indexer has it."""
        if self.as_of is not None and record.updated_ms > self.as_of:
            if self.chain.time_of(record.created_height) > self.as_of:
                return None
            before = self.truth.fills(record.account, record.perpetual.ticker, end_ms=self.as_of)
            filled = sum((one.quantity for one in before if one.order_id == record.id), Decimal(0))
            status = BEST_EFFORT_OPENED if record.short_term and not filled else OPEN
            record = replace(record, filled=filled, status=status, removal=None)
        return record if record.visible else None

    def held(self, account: str) -> list[PositionRow]:
        """Positions as the indexer has them, newest first."""
        if self.as_of is None:
            return self.positions.rows(account)
        found = Positions()
        for fill in self.truth.fills(account, end_ms=self.as_of):
            found.filled(fill)
        for payment in self.truth.funding_payments(account):
            if payment.time_ms <= self.as_of:
                found.paid(payment)
        return found.rows(account)

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
