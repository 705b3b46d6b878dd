"""Approval: the only way from a plan to the executor. Every rule must agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from fundingarb.domain.hedge import Hedge, Mode, busy_instruments
from fundingarb.domain.instrument import Side, common_lot
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.order import ZERO, Balance

T = TypeVar("T")
_SEAL = object()
HOUR = timedelta(hours=1)


class Approved(Generic[T]):
    """A value that passed every risk rule. Only ``approve`` makes one, so the type checker guards the gate."""

    __slots__ = ("_value",)

    def __init__(self, value: T, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only fundingarb.domain.risk.approve makes an Approved")
        self._value = value

    @property
    def value(self) -> T:
        return self._value


@dataclass(frozen=True)
class Portfolio:
    """What risk rules may look at: live hedges, balances per account, halts and cooldowns.

    ``halted`` maps an account to why entries on it are off; ``cooldowns`` a symbol to when entries may resume;
    ``prices`` a symbol to about what one unit costs, ``pegs`` a settle currency other than USDT to what it is worth in
    USDT. ``over`` are hedges that ended within the last day, ``sent`` is
    how many orders left within the last minute, ``day_result`` what the UTC day has brought so far in USD: booked
    price results, funding and fees, plus all of the unrealised result of what is open; None while that is unknown.
    """

    hedges: tuple[Hedge, ...] = ()
    balances: Mapping[str, Balance] = field(default_factory=dict)
    halted: Mapping[str, str] = field(default_factory=dict)
    cooldowns: Mapping[str, datetime] = field(default_factory=dict)
    killed: bool = False
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    pegs: Mapping[str, Decimal] = field(default_factory=dict)
    over: tuple[Hedge, ...] = ()
    sent: int = 0
    day_result: Decimal | None = ZERO

    def pending_margin(self, account: str) -> Decimal | None:
        """What entries under way on ``account`` may still take of its margin (all of their target, as balances are
        read only now and then); None when the price of one is unknown."""
        total = ZERO
        for hedge in self.hedges:
            for leg in (hedge.intent.long, hedge.intent.short):
                if leg.account == account and hedge.intent.mode is Mode.OPENING:
                    price = self.prices.get(hedge.symbol)
                    if price is None:
                        return None
                    total += hedge.intent.quantity * price / leg.leverage
        return total

    def legs_on(self, account: str, side: Side | None = None, mode: Mode | None = None) -> Decimal | None:
        """USD notional of the live legs on ``account``, of one side and in one mode where given (targets while
        opening); None while the price of one is unknown."""
        total = ZERO
        for hedge in self.hedges:
            if not hedge.live or mode not in (None, hedge.intent.mode):
                continue
            for leg in (hedge.intent.long, hedge.intent.short):
                if leg.account == account and side in (None, leg.side):
                    price = self.prices.get(hedge.symbol)
                    if price is None:
                        return None
                    total += max(hedge.intent.quantity, hedge.hedged) * price
        return total

    def notional(self, symbol: str, price: Decimal) -> Decimal:
        """USD notional of the live hedges of ``symbol`` at ``price`` (the target while opening)."""
        return sum(
            (max(h.intent.quantity, h.hedged) * price for h in self.hedges if h.live and h.symbol == symbol),
            ZERO,
        )

    def total_notional(self) -> Decimal | None:
        """USD notional of all live hedges (targets while opening), each counted once; None while the price of one is
        unknown."""
        total = ZERO
        for hedge in self.hedges:
            price = self.prices.get(hedge.symbol)
            if price is None and hedge.live:
                return None
            total += max(hedge.intent.quantity, hedge.hedged) * (price or ZERO) if hedge.live else ZERO
        return total

    def round_trips(self, now: datetime) -> Mapping[str, int]:
        """Symbol -> how many of its hedges were closed within the last hour after they had held something."""
        counts: dict[str, int] = {}
        for hedge in self.over:
            closed = hedge.intent.closed_at
            if closed is not None and now - closed < HOUR and any(order.filled for order in hedge.orders):
                counts[hedge.symbol] = counts.get(hedge.symbol, 0) + 1
        return counts


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a guard's limit is used: ``share`` 1 is all of it. ``kill`` asks for the kill switch then.

    ``near`` is the share from which there is a warning.
    """

    share: Decimal
    actual: str
    limit: str
    kill: bool = False
    near: Decimal = Decimal("0.8")


class Rule(Protocol):
    """What ``approve`` asks of a rule."""

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None: ...


def approve(
    plan: HedgePlan, rules: Iterable[Rule], portfolio: Portfolio, now: datetime
) -> Approved[HedgePlan] | Refusal:
    """The plan, approved, or the first refusal. The built-in invariants come before any configured rule."""
    refusal = invariants(plan, portfolio, now)
    if refusal is not None:
        return refusal
    for rule in rules:
        refusal = rule.check(plan, portfolio, now)
        if refusal is not None:
            return refusal
    return Approved(plan, _SEAL)


def refuse(plan: HedgePlan, gate: str, needed: object, actual: object, now: datetime) -> Refusal:
    """A why-not row for ``plan``."""
    valuation = plan.valuation
    return Refusal(
        symbol=plan.symbol,
        long_exchange=plan.long.instrument.exchange,
        short_exchange=plan.short.instrument.exchange,
        gate=gate,
        needed=str(needed),
        actual=str(actual),
        at=now,
        spread_8h=valuation.spread_8h if valuation else None,
        net_usd=valuation.net if valuation else None,
    )


def invariants(plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
    """What no configuration can switch off: a plan that can be carried out, latch, halts, cooldown, one live hedge
    per symbol and instrument."""
    flaw = _flaw(plan)
    if flaw is not None:
        return refuse(plan, "plan", "a plan that can be carried out", flaw, now)
    if portfolio.killed:
        return refuse(plan, "killed", "kill switch released (fundingarb resume)", "latched", now)
    for leg in (plan.long, plan.short):
        if leg.account in portfolio.halted:
            return refuse(
                plan, "halted", f"account {leg.account} reconciled", portfolio.halted[leg.account], now
            )
    until = portfolio.cooldowns.get(plan.symbol)
    if until is not None and now < until:
        return refuse(plan, "cooldown", f"after {until:%H:%M:%S}", f"{now:%H:%M:%S}", now)
    live = [hedge for hedge in portfolio.hedges if hedge.live]
    if any(hedge.symbol == plan.symbol for hedge in live):
        return refuse(plan, "one-per-symbol", "no live hedge", "one is live", now)
    busy = busy_instruments(live) & {(plan.long.account, plan.symbol), (plan.short.account, plan.symbol)}
    if busy:
        return refuse(plan, "one-per-symbol", "instrument free", "in another hedge", now)
    return None


def _flaw(plan: HedgePlan) -> str | None:
    """Why no executor could carry out ``plan``, whoever proposed it; None when one can."""
    long, short, quantity = plan.long, plan.short, plan.quantity
    if (long.side, short.side) != (Side.LONG, Side.SHORT) or long.account == short.account:
        return "not one long and one short leg on two accounts"
    if {long.instrument.symbol, short.instrument.symbol} != {plan.symbol}:
        return f"a leg that does not trade {plan.symbol}"
    if min(long.leverage, short.leverage) < 1:
        return "leverage below 1"
    if not all(figure.is_finite() and figure > 0 for figure in (quantity, plan.notional)):
        return f"quantity {quantity}, notional {plan.notional}"
    if quantity % common_lot(long.instrument, short.instrument):
        return f"quantity {quantity} is not a multiple of a lot that both exchanges have"
    for leg in (long, short):
        where, most = leg.instrument, leg.instrument.max_quantity
        if not where.tradable(quantity, plan.notional / quantity) or (most is not None and quantity > most):
            return f"quantity {quantity} is outside the limits of {where.exchange}"
    return None
