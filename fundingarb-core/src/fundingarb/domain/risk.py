"""Approval: the only way from a plan to the executor. Every rule must agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from fundingarb.domain.hedge import Hedge, busy_instruments
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.order import ZERO, Balance

T = TypeVar("T")
_SEAL = object()


class Approved(Generic[T]):
    """A value that passed every risk rule. Only ``approve`` makes one, so the type checker guards the gate."""

    __slots__ = ("value",)

    def __init__(self, value: T, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only fundingarb.domain.risk.approve makes an Approved")
        self.value = value


@dataclass(frozen=True)
class Portfolio:
    """What risk rules may look at: live hedges, balances per account, halts and cooldowns.

    ``halted`` maps an account to why entries on it are off; ``cooldowns`` a symbol to when entries may resume.
    """

    hedges: tuple[Hedge, ...] = ()
    balances: Mapping[str, Balance] = field(default_factory=dict)
    halted: Mapping[str, str] = field(default_factory=dict)
    cooldowns: Mapping[str, datetime] = field(default_factory=dict)
    killed: bool = False

    def notional(self, symbol: str, price: Decimal) -> Decimal:
        """USD notional of the live hedges of ``symbol`` at ``price`` (the target while opening)."""
        return sum(
            (max(h.intent.quantity, h.hedged) * price for h in self.hedges if h.live and h.symbol == symbol),
            ZERO,
        )


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
    """What no configuration can switch off: latch, halts, cooldown, one live hedge per symbol and instrument."""
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
