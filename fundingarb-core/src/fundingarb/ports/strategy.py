"""What proposes hedges and exits, and what refuses them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable
from uuid import UUID

from fundingarb.domain.funding import FundingRate
from fundingarb.domain.hedge import CloseReason, Hedge, OrderRecord
from fundingarb.domain.market import RateBook
from fundingarb.domain.opportunity import HedgePlan, Quote, Refusal
from fundingarb.domain.risk import Portfolio, Usage


@dataclass(frozen=True, slots=True)
class Exit:
    """A strategy wants ``hedge_id`` closed."""

    hedge_id: UUID
    reason: CloseReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proposals:
    """What a strategy answers: plans, exits, and why the other candidates were refused.

    Plans are best first; of one symbol the first that no risk rule refuses is opened, the others are for the case that
    it is refused.
    """

    plans: tuple[HedgePlan, ...] = ()
    exits: tuple[Exit, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class MarketView(Protocol):
    """What a strategy may look at. Reading is free of side effects and never waits."""

    @property
    def rates(self) -> RateBook: ...

    @property
    def hedges(self) -> Sequence[Hedge]:
        """Live hedges."""
        ...

    def rate(self, exchange: str, symbol: str) -> FundingRate | None:
        """The rate while it is fresh; None when it is too old to act on."""
        ...

    def quotes(self, exchange: str, symbol: str) -> Sequence[Quote]:
        """One quote per account on ``exchange`` that could trade ``symbol`` now; empty while something is stale."""
        ...

    def tolerance(self, symbol: str) -> Decimal:
        """Negative-spread tolerance for new hedges of ``symbol``."""
        ...


class Strategy(Protocol):
    """Proposes entries and exits. Synchronous and pure: the same strategy runs live and over history."""

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        """``symbols`` are those whose rates changed, plus those whose entry window is open."""
        ...


class RiskRule(Protocol):
    """One reason not to open. All rules must agree."""

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None: ...


@runtime_checkable
class ClosingRule(RiskRule, Protocol):
    """A risk rule that may also want an open hedge closed: what speaks against opening may begin while it is open.

    ``closes_as`` is the reason that is written down.
    """

    closes_as: CloseReason

    def why_close(self, hedge: Hedge, portfolio: Portfolio, now: datetime) -> str | None:
        """Why ``hedge`` is to be closed, None when it is not. Asked every second of every live hedge."""
        ...


@runtime_checkable
class Guard(RiskRule, Protocol):
    """A risk rule that is also watched while nothing is proposed: alerts from 80 % of its limit, and at the limit."""

    gate: str

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        """How much of the limit is used, of the symbol or account that is nearest to it; None while unknown."""
        ...


@runtime_checkable
class OrderGuard(RiskRule, Protocol):
    """A risk rule with the last word on every order that adds exposure, right before it leaves."""

    def admit(self, order: OrderRecord, sent: int) -> str | None:
        """Why it must not be sent, None when it may; ``sent`` orders of any kind left within the last minute."""
        ...
