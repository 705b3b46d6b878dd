"""The risk rules that come with the core package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from fundingarb.domain.health import MAINTENANCE, entry_distance
from fundingarb.domain.hedge import CloseReason, Hedge, Mode, OrderRecord
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.order import ZERO, Purpose
from fundingarb.domain.peg import DOLLAR, PAR, deviation
from fundingarb.domain.risk import Portfolio, Usage, refuse


class Always:
    """A rule that was switched off."""

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        return None


@dataclass(frozen=True, slots=True)
class PairCap:
    """At most ``limit`` USD notional per symbol (specification 4.1)."""

    limit: Decimal

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        price = plan.notional / plan.quantity if plan.quantity else ZERO
        total = plan.notional + portfolio.notional(plan.symbol, price)
        if total > self.limit:
            return refuse(plan, "pair-cap", f"at most {self.limit} USD", f"{total:.2f} USD", now)
        return None


@dataclass(frozen=True, slots=True)
class MarginAvailable:
    """Each account can carry its leg with ``use`` of its free margin, entries under way included.

    ``reserve`` of the notional, for fees and some slack, is needed on top of the initial margin.
    """

    use: Decimal = Decimal("0.8")
    reserve: Decimal = Decimal("0.002")

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        for leg in (plan.long, plan.short):
            balance = portfolio.balances.get(leg.account)
            if balance is None:
                return refuse(plan, "margin", f"balance of {leg.account}", "not read yet", now)
            pending = portfolio.pending_margin(leg.account)
            opening = portfolio.legs_on(leg.account, mode=Mode.OPENING)
            if pending is None or opening is None:
                return refuse(plan, "margin", f"price of every entry on {leg.account}", "unknown", now)
            needed = plan.notional / leg.leverage + pending + (plan.notional + opening) * self.reserve
            if needed > balance.available * self.use:
                free = f"{balance.available * self.use:.2f} {balance.currency} on {leg.account}"
                return refuse(plan, "margin", f"{needed:.2f} {balance.currency}", free, now)
        return None


@dataclass(frozen=True, slots=True)
class LiquidationDistance:
    """With the hedge open, prices could still move ``distance`` (a fraction) against each account.

    ``maintenance`` is the maintenance margin per notional that the new leg is assumed to need.
    """

    distance: Decimal
    maintenance: Decimal = MAINTENANCE

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        for leg in (plan.long, plan.short):
            balance = portfolio.balances.get(leg.account)
            same = portfolio.legs_on(leg.account, leg.side)
            pending = portfolio.legs_on(leg.account, mode=Mode.OPENING)
            needed = f"{self.distance:.2%} to liquidation on {leg.account}"
            if balance is None or same is None or pending is None:
                return refuse(plan, "liquidation", needed, "unknown: a balance or price", now)
            left = entry_distance(balance, plan.notional, same, pending, self.maintenance)
            if left < self.distance:
                return refuse(plan, "liquidation", needed, f"{left:.2%}", now)
        return None


@dataclass(frozen=True, slots=True)
class Delisting:
    """Neither instrument is delisted within ``horizon``: there is time to earn what the hedge costs."""

    horizon: timedelta

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        for leg in (plan.long, plan.short):
            at = leg.instrument.delists_at
            if at is not None and at < now + self.horizon:
                needed = f"listed on {leg.instrument.exchange} until {now + self.horizon:%Y-%m-%d %H:%M}"
                return refuse(plan, "delisting", needed, f"until {at:%Y-%m-%d %H:%M}", now)
        return None


@dataclass(frozen=True, slots=True)
class OrderRate:
    """Runaway guard: no order that adds exposure leaves while ``per_minute`` orders left within the last minute.

    The last quarter is kept for hedging: entries stop before, so that what they filled can still be hedged. What only
    reduces is counted and never stopped.
    """

    per_minute: int
    gate: str = "order-rate"

    @property
    def for_entries(self) -> int:
        return self.per_minute - self.per_minute // 4

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        if portfolio.sent < self.for_entries:
            return None
        return refuse(plan, self.gate, self._limit(), f"{portfolio.sent}", now)

    def admit(self, order: OrderRecord, sent: int) -> str | None:
        limit = self.for_entries if order.purpose is Purpose.ENTRY else self.per_minute
        return f"{sent} orders within a minute, at most {limit} are allowed" if sent >= limit else None

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        return Usage(Decimal(portfolio.sent) / self.for_entries, f"{portfolio.sent}", self._limit())

    def _limit(self) -> str:
        return f"fewer than {self.for_entries} orders within a minute"


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Runaway guard: at most ``per_hour`` hedges of a symbol are opened and closed within an hour."""

    per_hour: int
    gate: str = "round-trips"

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        made = portfolio.round_trips(now).get(plan.symbol, 0)
        if made < self.per_hour:
            return None
        return refuse(plan, self.gate, self._limit(), f"{made}", now)

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        counts = portfolio.round_trips(now)
        if not counts:
            return Usage(ZERO, "0", self._limit())
        symbol = max(counts, key=lambda name: (counts[name], name))
        return Usage(Decimal(counts[symbol]) / self.per_hour, f"{counts[symbol]} of {symbol}", self._limit())

    def _limit(self) -> str:
        return f"fewer than {self.per_hour} round trips within an hour"


@dataclass(frozen=True, slots=True)
class DailyLoss:
    """Runaway guard: no entries once the UTC day has lost ``limit`` USD; with ``kill`` everything is closed as well.

    The day's result is what the ledgers booked since midnight (price results, funding, fees) plus the unrealised result
    of what is open.
    """

    limit: Decimal
    kill: bool = False
    gate: str = "daily-loss"

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        if portfolio.day_result is None:
            return refuse(plan, self.gate, self._limit(), "unknown", now)
        if portfolio.day_result > -self.limit:
            return None
        return refuse(plan, self.gate, self._limit(), f"{-portfolio.day_result:.2f} USD", now)

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        if portfolio.day_result is None:
            return None
        lost = max(-portfolio.day_result, ZERO)
        return Usage(lost / self.limit, f"{lost:.2f} USD", self._limit(), self.kill)

    def _limit(self) -> str:
        return f"a loss below {self.limit} USD today"


@dataclass(frozen=True)
class TotalNotional:
    """Runaway guard: at most ``total`` USD notional over all hedges, and ``per_account`` of legs on one account.

    A hedge counts once in the total, with each of its legs on the leg's account. ``accounts`` are limits of their own.
    """

    total: Decimal
    per_account: Decimal
    accounts: Mapping[str, Decimal] = field(default_factory=dict)
    gate: str = "total-notional"

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        for account in (None, plan.long.account, plan.short.account):
            limit, held = self._limit(account), _held(portfolio, account)
            needed = f"at most {limit} USD {_where(account)}"
            if held is None:
                return refuse(plan, self.gate, needed, "unknown: the price of an open hedge", now)
            if held + plan.notional > limit:
                return refuse(plan, self.gate, needed, f"{held + plan.notional:.2f} USD", now)
        return None

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        names = {leg.account for h in portfolio.hedges for leg in (h.intent.long, h.intent.short)}
        highest: Usage | None = None
        for account in (None, *sorted(names)):
            limit, held = self._limit(account), _held(portfolio, account)
            if held is None:
                return None
            if highest is None or held / limit > highest.share:
                where = _where(account)
                highest = Usage(held / limit, f"{held:.2f} USD {where}", f"at most {limit} USD {where}")
        return highest

    def _limit(self, account: str | None) -> Decimal:
        return self.total if account is None else self.accounts.get(account, self.per_account)


@dataclass(frozen=True, slots=True)
class Depeg:
    """The currencies in which the legs of a hedge settle are worth the same.

    Apart by ``warn`` (a fraction) or more, or by nobody knows how much, no hedge across them is opened; apart by
    ``close``, those that are open are closed. In between there is a warning.
    """

    warn: Decimal = Decimal("0.003")
    close: Decimal = Decimal("0.01")
    gate: str = "depeg"
    closes_as: CloseReason = CloseReason.DEPEG

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        pair = (plan.long.instrument.settle, plan.short.instrument.settle)
        apart = _apart(portfolio, *pair)
        if apart is not None and apart < self.warn:
            return None
        actual = "unknown" if apart is None else f"{apart:.2%}"
        return refuse(plan, self.gate, f"{' and '.join(pair)} less than {self.warn:.2%} apart", actual, now)

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        pairs = {
            (h.intent.long.instrument.settle, h.intent.short.instrument.settle) for h in portfolio.hedges
        }
        pairs |= {(currency, DOLLAR) for currency in portfolio.pegs}
        found = {pair: _apart(portfolio, *pair) for pair in sorted(pairs)}
        if any(apart is None for apart in found.values()):
            return None
        pair, apart = max(found.items(), key=lambda item: item[1] or ZERO, default=((DOLLAR, DOLLAR), ZERO))
        apart, limit = apart or ZERO, f"less than {self.close:.2%}; hedges across are closed there"
        return Usage(
            apart / self.close, f"{' and '.join(pair)} {apart:.2%} apart", limit, near=self.warn / self.close
        )

    def why_close(self, hedge: Hedge, portfolio: Portfolio, now: datetime) -> str | None:
        pair = (hedge.intent.long.instrument.settle, hedge.intent.short.instrument.settle)
        apart = _apart(portfolio, *pair)
        return None if apart is None or apart < self.close else f"{' and '.join(pair)} are {apart:.2%} apart"


def _apart(portfolio: Portfolio, one: str, other: str) -> Decimal | None:
    """How far two settle currencies are apart; None while that is unknown."""
    if one == other:
        return ZERO
    pegs = {DOLLAR: PAR, **portfolio.pegs}
    return deviation(pegs[one], pegs[other]) if one in pegs and other in pegs else None


def _held(portfolio: Portfolio, account: str | None) -> Decimal | None:
    return portfolio.total_notional() if account is None else portfolio.legs_on(account)


def _where(account: str | None) -> str:
    return "over all" if account is None else f"on {account}"
