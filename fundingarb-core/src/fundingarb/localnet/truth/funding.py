"""Funding: the rate a venue shows, its settlements, and who pays what.

At a settlement every position held at that moment owes ``quantity x contract size x price x rate``: longs pay when
the rate is positive, shorts receive. "Held at that moment" is the state after everything that happened before the
settlement time; an order that arrives at the settlement time or later changes nothing for it. The rows are posted
``VenueRules.funding_delay`` later.
"""

from __future__ import annotations

import math
from decimal import Decimal

from fundingarb.localnet.truth.core import Core, PendingFunding
from fundingarb.localnet.truth.events import FundingPaid, FundingSettled, IntervalChanged
from fundingarb.localnet.truth.fills import account_changed
from fundingarb.localnet.truth.market import Market
from fundingarb.localnet.truth.money import from_float
from fundingarb.localnet.truth.types import ZERO, Cause, FundingPayment, LedgerKind, MarginMode
from fundingarb.localnet.truth.views import FundingView, SettledRate

__all__ = ["FundingTrack", "post_due", "settle"]

HISTORY = 90 * 86400.0
"""Seconds of funding history before the start."""


class FundingTrack:
    """The funding of one instrument: schedule, rate shown, overrides and history."""

    def __init__(self, market: Market, start: float) -> None:
        self.market = market
        self.start = start
        self.rate: Decimal | None = None
        """Rate override, per interval."""
        self.rate_left: int | None = None
        """Settlements the rate override still lasts; None for good."""
        self.interval_override: int | None = market.rules.funding_interval_hours
        self.settled: list[SettledRate] = []
        self.interval_hours, self.next_time = self._schedule(start)
        self._newest_before: list[SettledRate] | None = None

    def _schedule(self, time: float) -> tuple[int, float]:
        """Interval and the first settlement strictly after ``time``."""
        model = self._model_funding(time)
        hours = self.interval_override
        if hours is None or hours == model[1]:
            return model[1], model[2]
        length = hours * 3600.0
        return hours, (math.floor(time / length) + 1) * length

    def _model_funding(self, time: float) -> tuple[float, int, float]:
        found = self.market.model.funding(self.market.exchange, self.market.instrument.symbol, time)
        return found.rate, found.interval_hours, found.next_time

    def shown(self, time: float) -> Decimal:
        """The running rate for the coming settlement."""
        if self.rate is not None:
            return self.rate
        rate, hours, _next = self._model_funding(min(time, self.next_time - 1e-3))
        return self._published(rate * self.interval_hours / hours)

    def final(self, time: float) -> Decimal:
        """The rate at which the settlement at ``time`` happens."""
        if self.rate is not None:
            return self.rate
        model, symbol = self.market.model, self.market.instrument.symbol
        settlements = model.settlements(self.market.exchange, symbol, time - 0.5, time + 0.5)
        if settlements:
            last = settlements[-1]
            return self._published(last.rate * self.interval_hours / last.interval_hours)
        return self.shown(time)

    def _published(self, rate: float) -> Decimal:
        """Within cap and floor, with the venue's number of places."""
        instrument = self.market.instrument
        value = from_float(rate, self.market.rules.rate_decimals)
        return min(max(value, instrument.funding_floor), instrument.funding_cap)

    def override(self, rate: Decimal | None, settlements: int | None) -> None:
        self.rate = rate
        self.rate_left = settlements

    def set_interval(self, hours: int | None, now: float) -> bool:
        """Change the interval (None: back to the venue's); whether anything changed."""
        self.interval_override = hours if hours is not None else self.market.rules.funding_interval_hours
        before = (self.interval_hours, self.next_time)
        self.interval_hours, self.next_time = self._schedule(now)
        return before != (self.interval_hours, self.next_time)

    def settle(self, time: float) -> tuple[SettledRate, bool]:
        """Close the interval that ends at ``time``; the settlement, and whether the interval changed with it."""
        record = SettledRate(
            self.market.instrument.id,
            round(time * 1000),
            self.final(time),
            self.interval_hours,
            self.market.funding_price(time),
        )
        self.settled.append(record)
        if self.rate_left is not None:
            self.rate_left -= 1
            if self.rate_left <= 0:
                self.rate, self.rate_left = None, None
        hours = self.interval_hours
        self.interval_hours, self.next_time = self._schedule(time)
        return record, hours != self.interval_hours

    def history(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[SettledRate]:
        """Settlements in [start, end]; the model's before the localnet started, its own since."""
        start = self.start - HISTORY if start_ms is None else start_ms / 1000
        end = math.inf if end_ms is None else end_ms / 1000
        before = (
            self._before(max(start, self.start - HISTORY), min(end, self.start)) if start < self.start else []
        )
        after = [row for row in self.settled if start * 1000 <= row.time_ms <= end * 1000]
        rows = before + after
        return rows[-limit:] if start_ms is None else rows[:limit]

    def _before(self, start: float, end: float) -> list[SettledRate]:
        market = self.market
        hours = market.rules.funding_interval_hours
        rows = []
        # a venue with shorter intervals than the model has had part of the model's coming interval already
        until = end + 8 * 3600.0 if hours else end
        found = market.model.settlements(market.exchange, market.instrument.symbol, start - 1e-3, until)
        for one in found:
            pieces = one.interval_hours // hours if hours and one.interval_hours > hours else 1
            length = hours if hours is not None else one.interval_hours
            for number in range(pieces):
                at = one.time - (pieces - 1 - number) * length * 3600.0
                if not start <= at <= end:
                    continue
                rate = self._published(one.rate * length / one.interval_hours)
                rows.append(
                    SettledRate(market.instrument.id, round(at * 1000), rate, length, self._past_price(at))
                )
        return rows

    def _past_price(self, at: float) -> Decimal:
        prices = self.market.raw_prices(at)
        return self.market.as_mark(prices.mark if self.market.rules.funding_price == "mark" else prices.index)

    def _last_before(self) -> SettledRate | None:
        """The model's last settlement before the localnet started; looked up once, views are frequent."""
        if self._newest_before is None:
            self._newest_before = self._before(self.start - 2 * 86_400, self.start)[-1:]
        return next(iter(self._newest_before), None)

    def view(self, now: float) -> FundingView:
        last = self.settled[-1] if self.settled else self._last_before()
        instrument = self.market.instrument
        return FundingView(
            instrument=instrument.id,
            rate=self.shown(now),
            interval_hours=self.interval_hours,
            next_ms=round(self.next_time * 1000),
            last_rate=last.rate if last is not None else ZERO,
            last_ms=last.time_ms if last is not None else 0,
            cap=instrument.funding_cap,
            floor=instrument.funding_floor,
        )


def settle(core: Core, track: FundingTrack) -> None:
    """The settlement that is due now: fix the rate, note what every position owes."""
    time = core.now
    record, changed = track.settle(time)
    market = track.market
    instrument = market.instrument
    for account in core.accounts.values():
        for holding in account.held():
            if holding.instrument != instrument.id:
                continue
            owed = holding.quantity * instrument.contract_size * record.price * record.rate
            core.pending.append(
                PendingFunding(
                    due=time + core.rules.funding_delay,
                    account=account.name,
                    instrument=instrument.id,
                    side=holding.side,
                    quantity=holding.quantity,
                    price=record.price,
                    rate=record.rate,
                    amount=core.round_money(-owed),
                    interval_hours=record.interval_hours,
                    settlement_ms=record.time_ms,
                )
            )
    core.emit(
        FundingSettled(
            core.next_sequence(),
            core.now_ms,
            instrument.id,
            record.rate,
            record.price,
            record.interval_hours,
            record.time_ms,
        )
    )
    if changed:
        tell_interval(core, track)


def tell_interval(core: Core, track: FundingTrack) -> None:
    """Tell the subscribers about the interval as it is now."""
    core.emit(
        IntervalChanged(
            core.next_sequence(),
            core.now_ms,
            track.market.instrument.id,
            track.interval_hours,
            round(track.next_time * 1000),
        )
    )


def post_due(core: Core) -> None:
    """Post the payments whose time has come: one ledger row each, zero amounts included in the payments only."""
    due = [one for one in core.pending if one.due <= core.now]
    core.pending = [one for one in core.pending if one.due > core.now]
    for one in due:
        account = core.accounts[one.account]
        row = core.post(
            account,
            LedgerKind.FUNDING_FEE,
            one.amount,
            instrument=one.instrument,
            info=f"{one.rate:f}",
        )
        holding = account.holding(one.instrument, one.side)
        holding.cumulative += one.amount
        if holding.quantity:
            holding.costs -= one.amount
            if account.mode_of(one.instrument) is MarginMode.ISOLATED:
                holding.isolated += one.amount
        payment = FundingPayment(
            ledger_id=row.id,
            account=account.name,
            instrument=one.instrument,
            position_side=one.side,
            quantity=one.quantity,
            price=one.price,
            rate=one.rate,
            amount=one.amount,
            interval_hours=one.interval_hours,
            settlement_ms=one.settlement_ms,
            time_ms=core.now_ms,
        )
        account.payments.append(payment)
        core.emit(FundingPaid(core.next_sequence(), core.now_ms, payment))
        account_changed(core, account, Cause.FUNDING, [row], [holding])
