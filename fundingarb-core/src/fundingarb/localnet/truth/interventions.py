"""What control API, faults and tests do to an exchange: move markets, override funding, close by force."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from fundingarb.localnet.truth import liquidation
from fundingarb.localnet.truth.core import Account, Core, Holding
from fundingarb.localnet.truth.funding import FundingTrack, tell_interval
from fundingarb.localnet.truth.money import ceil_to, exact
from fundingarb.localnet.truth.timeline import Timeline
from fundingarb.localnet.truth.types import OrderStatus, PositionSide, Reason, Refused, Side

__all__ = ["Interventions"]


class Interventions:
    """The part of ``Exchange`` that no exchange offers to its customers."""

    _core: Core
    _tracks: dict[str, FundingTrack]
    _timeline: Timeline

    def move_price(
        self, instrument: str, *, factor: float | None = None, price: Decimal | None = None
    ) -> None:
        """Shift index, mark and book from now on: by a factor, or so that the mark is at ``price`` now."""
        market = self._core.market(instrument)
        if price is not None:
            factor = float(price) / market.prices(self._core.now).mark
        if factor is None or not (math.isfinite(factor) and factor > 0):
            raise ValueError("a price move needs a positive factor or price")
        market.scale_price(factor)
        self._core.margin_stale = True

    def set_liquidity(
        self, instrument: str, *, spread_bps: float | None = None, depth: float | None = None
    ) -> None:
        """Override the spread (bid to ask, in basis points), or scale the depth (1 is the model's own)."""
        market = self._core.market(instrument)
        if spread_bps is not None:
            market.spread = spread_bps / 20_000
        if depth is not None:
            market.depth = depth
        market.changed()

    def set_book(
        self,
        instrument: str,
        bids: Sequence[tuple[Decimal, Decimal]] | None,
        asks: Sequence[tuple[Decimal, Decimal]] | None,
    ) -> None:
        """Freeze a side of the book at these levels; None gives the side back to the model."""
        market = self._core.market(instrument)
        market.fix_side(Side.BUY, bids)
        market.fix_side(Side.SELL, asks)

    def halt(self, instrument: str, halted: bool = True) -> None:
        """Trade nothing in it until it is taken back: resting orders end, positions stay and go on being funded."""
        core = self._core
        market = core.market(instrument)
        market.halted = halted
        market.changed()
        if halted:
            for order in list(market.resting.values()):
                core.end_order(core.account(order.account), order, OrderStatus.CANCELED, Reason.NOT_TRADING)

    def set_funding(
        self,
        instrument: str,
        *,
        rate: Decimal | None = None,
        interval_hours: int | None = None,
        settlements: int | None = None,
    ) -> None:
        """Override the rate (for so many settlements, or for good) and/or change the interval."""
        track = self._track(instrument)
        if rate is not None:
            track.override(rate, settlements)
        if interval_hours is not None:
            self._set_interval(track, interval_hours)

    def clear_market(self, instrument: str | None = None) -> None:
        """Take back every override of price, liquidity, book, rate and interval."""
        for key, market in self._core.markets.items():
            if instrument is None or key == self._core.market(instrument).instrument.id:
                market.clear()
                self._core.margin_stale = True
                track = self._tracks[key]
                track.override(None, None)
                self._set_interval(track, None)

    def limit_next_fill(self, account: str, fraction: Decimal) -> None:
        """The account's next order fills at most this fraction, ever; the rest rests or, if it may not, expires."""
        self._core.account(account).fill_limit = fraction

    @exact
    def liquidate(self, account: str, instrument: str, side: PositionSide = PositionSide.NET) -> None:
        """Close the position by force as the liquidation engine would."""
        core, owner = self._core, self._core.account(account)
        holding = self._held(owner, instrument, side)
        liquidation.liquidate(core, owner, holding)

    @exact
    def deleverage(
        self,
        account: str,
        instrument: str,
        quantity: Decimal | None = None,
        side: PositionSide = PositionSide.NET,
    ) -> None:
        """Auto-deleverage: close (part of) the position at the mark without a fee."""
        core, owner = self._core, self._core.account(account)
        holding = self._held(owner, instrument, side)
        held = abs(holding.quantity)
        lot = core.markets[holding.instrument].instrument.lot
        if quantity is not None and quantity <= 0:
            raise ValueError(f"the quantity to deleverage must be positive, not {quantity}")
        wanted = held if quantity is None else min(held, ceil_to(quantity, lot))
        liquidation.deleverage(core, owner, holding, wanted)

    # -- inside ----------------------------------------------------------------------------------------------

    def _track(self, instrument: str) -> FundingTrack:
        return self._tracks[self._core.market(instrument).instrument.id]

    def _held(self, owner: Account, instrument: str, side: PositionSide) -> Holding:
        key = self._core.named(instrument).instrument.id
        wanted = [
            one for one in owner.held() if one.instrument == key and side in (one.side, PositionSide.NET)
        ]
        if not wanted:
            raise Refused(Reason.REDUCE_ONLY, f"{owner.name} has no position in {instrument}")
        return wanted[0]

    def _set_interval(self, track: FundingTrack, hours: int | None) -> None:
        if track.set_interval(hours, self._core.now):
            self._timeline.reschedule()
            tell_interval(self._core, track)
