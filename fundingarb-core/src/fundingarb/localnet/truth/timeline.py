"""Time passing: what falls due between two moments, in order."""

from __future__ import annotations

import math

from fundingarb.localnet.truth import funding, liquidation, matching
from fundingarb.localnet.truth.core import Core
from fundingarb.localnet.truth.funding import FundingTrack

__all__ = ["Timeline"]

MARGIN_STEPS = 5
"""Margin is checked every so many grid steps ..."""
RARE_STEPS = 60
"""... or only every so many, while no account is within ``FAR`` of liquidation and nothing but time passes."""
FAR = 0.04


class Timeline:
    """Walks the exchange through time.

    Markets in which nobody has an order and accounts without a position cost nothing: their state is a function of
    time. At one moment the order is: settlements, postings, expiries, matching, margin.
    """

    def __init__(self, core: Core, tracks: dict[str, FundingTrack], grid: float) -> None:
        self._core = core
        self._tracks = tracks
        self._grid = grid
        self._margin_steps = MARGIN_STEPS
        self.reschedule()

    def reschedule(self) -> None:
        """Look again when the next settlement is; after an interval changed."""
        self._settlement = min((track.next_time for track in self._tracks.values()), default=math.inf)

    def advance(self, now: float) -> None:
        core = self._core
        if now <= core.now:
            return
        while (at := self._next()) <= now:
            core.set_time(max(at, core.now))
            self._work()
        core.set_time(now)

    def _next(self) -> float:
        """The next moment at which anything has to be done."""
        core = self._core
        at = self._settlement
        for one in core.pending:
            at = min(at, one.due)
        resting = holding = False
        for account in core.accounts.values():
            if account.open:
                resting = True
                for order in account.open.values():
                    if order.expires_ms is not None:
                        at = min(at, order.expires_ms / 1000)
            for deadline in account.dead_man.values():
                at = min(at, deadline)
            holding = holding or any(one.quantity for one in account.holdings.values())
        if resting:
            at = min(at, self._point_after(core.now, self._grid))
        if holding:
            steps = MARGIN_STEPS if core.margin_stale else self._margin_steps
            at = min(at, self._point_after(core.now, self._grid * steps))
        return at

    @staticmethod
    def _point_after(now: float, grid: float) -> float:
        return (math.floor(now / grid) + 1) * grid

    def _work(self) -> None:
        core = self._core
        now = core.now
        if self._settlement <= now:
            for track in self._tracks.values():
                if track.next_time <= now:
                    funding.settle(core, track)
            self.reschedule()
        if core.pending:
            funding.post_due(core)
        matching.expire_due(core)
        step = round(now / self._grid)
        if step * self._grid != now:
            return
        for market in core.markets.values():
            if market.resting:
                matching.flow_step(core, market, step)
        if step % (MARGIN_STEPS if core.margin_stale else self._margin_steps) == 0:
            self._margin_steps = RARE_STEPS if liquidation.check(core) > FAR else MARGIN_STEPS
