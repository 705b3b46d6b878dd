"""Which parts of an account's ledger are read next: what was heard of or filled, until the ledger has it."""

from __future__ import annotations

from datetime import datetime, timedelta

from fundingarb.domain.order import SKEW, Fill, FillKind
from fundingarb.engine.account import Account
from fundingarb.engine.state import BotState
from fundingarb.ports import Clock

OVERLAP = timedelta(minutes=10)
#: Real seconds before the second look for a fill that the ledger does not have yet, and between looks at most.
FIRST_PAUSE = 0.05
LAST_PAUSE = 2.0
#: Real seconds for which a fill that was heard of is looked for.
HEARD = 30.0


class WantedFills:
    """The symbols of one account whose ledger is to be read soon; what it lags with is looked for ever less often."""

    def __init__(self, account: Account, state: BotState, clock: Clock) -> None:
        self._account = account
        self._state = state
        self._clock = clock
        self._wanted: dict[str, datetime] = {}
        self._heard: dict[tuple[str, str], tuple[Fill, float]] = {}
        self._patience = FIRST_PAUSE
        self._not_before = 0.0

    @property
    def pause(self) -> float:
        """Real seconds until something is to be read, if nothing happens."""
        return self._patience if self._wanted else LAST_PAUSE

    def want(self, symbol: str, since: datetime) -> bool:
        """An order of ``symbol`` made at ``since`` was filled; whether that changes what is to be read."""
        since -= SKEW
        known = self._wanted.get(symbol)
        if known is not None and known <= since:
            return False
        self._wanted[symbol] = since
        return True

    def hear(self, fill: Fill) -> None:
        """A stream told of a fill that is not of an order of ours.

        What the exchange took by itself makes a leg smaller by what only the ledger tells for sure.
        """
        self._heard[fill.symbol, fill.trade_id] = fill, self._clock.monotonic()
        self.want(fill.symbol, fill.at - OVERLAP)
        if fill.kind is not FillKind.TRADE and self._account.unread_since is None:
            self._account.unread_since = self._clock.monotonic()

    def found(self, fill: Fill) -> None:
        """The ledger has it."""
        self._heard.pop((fill.symbol, fill.trade_id), None)

    def found_new(self) -> None:
        """What was looked for is there: the next look is not to wait."""
        self._patience = FIRST_PAUSE

    def all_read(self, asked: float) -> bool:
        """The whole ledger was read, asked for then (monotonic); whether legs are known to be as it says since."""
        account, lacking = (
            self._account,
            any(fill.kind is not FillKind.TRADE for fill, _ in self._heard.values()),
        )
        if account.unread_since is None or account.unread_since > asked or lacking:
            return False
        account.unread_since = None
        return True

    def take(self) -> list[tuple[str, datetime]]:
        """The symbols to read now, each with since when. While nothing new is found the next look comes later."""
        if self._wanted and self._clock.monotonic() < self._not_before:
            return []
        wanted, self._wanted = list(self._wanted.items()), {}
        if wanted:
            self._patience = min(self._patience * 2, LAST_PAUSE)
            self._not_before = self._clock.monotonic() + self._patience
        return wanted

    def look_again(self) -> None:
        """What was filled or heard of and is not in the ledger yet is to be read again."""
        for hedge in self._state.unfinished():
            for order in hedge.orders:
                if order.account == self._account.name and order.booked < order.filled:
                    self.want(hedge.symbol, order.created_at)
        since = self._clock.monotonic() - HEARD
        self._heard = {key: heard for key, heard in self._heard.items() if heard[1] > since}
        for fill, _ in self._heard.values():
            self.want(fill.symbol, fill.at - OVERLAP)
