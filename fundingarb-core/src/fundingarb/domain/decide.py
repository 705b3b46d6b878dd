"""The one decision function of the executor: hedge, market and time in, actions out.

``decide`` is level-triggered: it looks at where a hedge is and where its intent wants it, and says what to do next. It
never remembers anything, so the first call after a crash is a call like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from fundingarb.domain.hedge import CloseReason, Hedge, LegState, Mode, OrderRecord, next_order
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, OrderState, Purpose, TimeInForce


@dataclass(frozen=True, slots=True)
class LegMarket:
    """What is known of a leg's market: best bid and ask while the book is fresh, the mark price, reachability."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    mark: Decimal | None = None
    reachable: bool = True

    @property
    def mid(self) -> Decimal | None:
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class HedgeMarket:
    """Both legs' markets, and whether orders that add exposure may be sent at all."""

    long: LegMarket
    short: LegMarket
    entries: bool = True

    def leg(self, side: Side) -> LegMarket:
        return self.long if side is Side.LONG else self.short


@dataclass(frozen=True, slots=True)
class ExecutionPolicy:
    """How orders are worked. Fractions are of price.

    ``slippage`` caps a marketable order beyond the touch, ``reprice`` is how far the mid may leave a resting order,
    ``reprice_after`` how long an order rests at least, ``hedge_attempts`` how often the second leg is tried without
    a fill before the first is unwound, ``naked_budget`` how long a surplus may wait for its hedge.
    """

    slippage: Decimal = Decimal("0.002")
    reprice: Decimal = Decimal("0.0002")
    reprice_after: timedelta = timedelta(seconds=3)
    hedge_attempts: int = 3
    entry_attempts: int = 20
    naked_budget: timedelta = timedelta(seconds=5)
    post_only: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Commit this registry row, then send it."""

    order: OrderRecord


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask the exchange to cancel this order."""

    order: OrderRecord


@dataclass(frozen=True, slots=True)
class Resolve:
    """Ask the exchange what became of this order."""

    order: OrderRecord


@dataclass(frozen=True, slots=True)
class CollectFills:
    """Read this account's ledger fills: some that were reported have not arrived."""

    account: str


@dataclass(frozen=True, slots=True)
class Retarget:
    """Lower the intent's quantity. ``second_failed``: because the second leg cannot be completed."""

    quantity: Decimal
    reason: str
    second_failed: bool = False


@dataclass(frozen=True, slots=True)
class SetMode:
    """Move the intent to another mode."""

    mode: Mode
    reason: CloseReason | None = None


Action: TypeAlias = Place | Cancel | Resolve | CollectFills | Retarget | SetMode


def decide(hedge: Hedge, market: HedgeMarket, policy: ExecutionPolicy, now: datetime) -> Sequence[Action]:
    """What to do next for ``hedge``; nothing when it is where its intent wants it or has to wait."""
    actions: list[Action] = [Resolve(order) for leg in (hedge.long, hedge.short) for order in leg.unresolved]
    mode = hedge.intent.mode
    if mode is Mode.OPENING:
        actions += _open(hedge, market, policy, now)
    elif mode is Mode.HOLDING:
        actions += _hold(hedge, market, policy, now)
    else:
        actions += _close(hedge, market, policy, now)
    return actions


def _open(hedge: Hedge, market: HedgeMarket, policy: ExecutionPolicy, now: datetime) -> list[Action]:
    """Fill the first leg, hedge every fill of it at once, give up at the deadline or when hedging fails."""
    first, second = hedge.leg(hedge.intent.first), hedge.leg(hedge.intent.first.opposite)
    target = hedge.intent.quantity
    actions: list[Action] = []

    given_up = now >= hedge.intent.deadline or not market.entries
    if given_up and target > first.filled + first.adding:
        return [Retarget(first.filled + first.adding, "entry deadline passed")]

    wanted = min(first.filled, target)
    missing = wanted - second.filled - second.adding
    if missing > 0 and not second.frozen:
        actions += _hedge_surplus(hedge, first, second, missing, market, policy, now)
    if any(isinstance(action, Retarget) for action in actions):
        return actions

    if first.live and (given_up or first.filled >= target):
        actions += _cancel_all(first)
    elif first.live:
        actions += [Cancel(order) for order in first.live if _should_reprice(order, market, policy, now)]
    elif not first.frozen:
        actions += _fill_first(hedge, first, second, market, policy, now)
    return actions


def _fill_first(
    hedge: Hedge,
    first: LegState,
    second: LegState,
    market: HedgeMarket,
    policy: ExecutionPolicy,
    now: datetime,
) -> list[Action]:
    target = hedge.intent.quantity
    if first.filled > max(target, second.filled + second.adding):
        return _reduce(
            hedge, first, first.filled - max(target, second.filled), Purpose.UNWIND, market, policy, now
        )
    if second.filled > first.filled and second.idle:
        return _reduce(hedge, second, second.filled - first.filled, Purpose.UNWIND, market, policy, now)
    remaining = target - first.filled
    if remaining >= first.plan.instrument.lot and market.entries:
        return _enter(hedge, first, remaining, market, policy, now)
    if not second.idle or first.filled != second.filled:
        return []
    return [SetMode(Mode.HOLDING)] if hedge.hedged > 0 else [SetMode(Mode.CLOSING, CloseReason.INCOMPLETE)]


def _enter(
    hedge: Hedge,
    leg: LegState,
    quantity: Decimal,
    market: HedgeMarket,
    policy: ExecutionPolicy,
    now: datetime,
) -> list[Action]:
    """A limit at mid, rounded passively to the tick; nothing while the book is not fresh."""
    side, instrument = leg.plan.side, leg.plan.instrument
    mid = market.leg(side).mid
    entries = [order for order in hedge.orders if order.leg is side and order.purpose is Purpose.ENTRY]
    refused = any(order.state is OrderState.REFUSED for order in entries)
    if (refused and not policy.post_only) or len(entries) >= policy.entry_attempts:
        return [Retarget(leg.filled, "first leg refused" if refused else "first leg not filled")]
    if mid is None:
        return []
    price = instrument.price_down(mid) if side is Side.LONG else instrument.price_up(mid)
    if not instrument.tradable(quantity, price):
        return [Retarget(leg.filled, "remainder below the exchange's minimum")]
    rest = TimeInForce.POST_ONLY if policy.post_only else TimeInForce.GTC
    return [Place(next_order(hedge, side, Purpose.ENTRY, quantity, price, rest, mid, now))]


def _hedge_surplus(
    hedge: Hedge,
    first: LegState,
    second: LegState,
    missing: Decimal,
    market: HedgeMarket,
    policy: ExecutionPolicy,
    now: datetime,
) -> list[Action]:
    """A marketable capped limit for what the first leg has filled and the second has not; else unwind the surplus."""
    instrument = second.plan.instrument
    quantity = instrument.floor_quantity(missing)
    quote = market.leg(second.plan.side)
    price = _marketable(second, Purpose.HEDGE, quote, policy.slippage)
    tries = [
        order for order in hedge.orders if order.leg is second.plan.side and order.purpose is Purpose.HEDGE
    ]
    failed = 0
    for order in reversed(tries):
        if order.filled > 0 or not order.state.terminal:
            break
        failed += 1
    refused = bool(tries) and tries[-1].state is OrderState.REFUSED
    started = tries[-failed].created_at if failed else now
    if refused or failed >= policy.hedge_attempts or (failed and now - started > policy.naked_budget):
        return [Retarget(second.filled, "second leg refused" if refused else "second leg not filled", True)]
    if price is None:
        return [] if quote.reachable else [Retarget(second.filled, "second exchange unreachable", True)]
    if not instrument.tradable(quantity, price):
        done = first.idle and (first.filled >= hedge.intent.quantity or now >= hedge.intent.deadline)
        return [Retarget(second.filled, "residual below the second exchange's minimum")] if done else []
    order = next_order(
        hedge, second.plan.side, Purpose.HEDGE, quantity, price, TimeInForce.IOC, quote.mid, now
    )
    return [Place(order)]


def _hold(hedge: Hedge, market: HedgeMarket, policy: ExecutionPolicy, now: datetime) -> list[Action]:
    """Keep both legs equal: whatever made one heavier (late fill, ADL), the heavier one is reduced."""
    actions: list[Action] = [*_cancel_all(hedge.long), *_cancel_all(hedge.short)]
    surplus = hedge.unhedged
    if surplus == 0 or actions or hedge.long.frozen or hedge.short.frozen:
        return actions
    heavier = hedge.long if surplus > 0 else hedge.short
    if hedge.hedged <= 0:
        return [SetMode(Mode.CLOSING, CloseReason.INCOMPLETE)]
    return _reduce(hedge, heavier, abs(surplus), Purpose.UNWIND, market, policy, now)


def _close(hedge: Hedge, market: HedgeMarket, policy: ExecutionPolicy, now: datetime) -> list[Action]:
    """Drive each leg to flat on its own, reduce-only; finished when both are and every fill has been booked."""
    actions: list[Action] = []
    for leg in (hedge.long, hedge.short):
        adding = [order for order in leg.live if not order.reduce_only]
        actions += [Cancel(order) for order in adding if not order.cancel_requested]
        if not adding and leg.idle and leg.filled > 0:
            actions += _reduce(hedge, leg, leg.filled, Purpose.CLOSE, market, policy, now)
    if actions or not (hedge.long.idle and hedge.short.idle):
        return actions
    if hedge.long.filled > 0 or hedge.short.filled > 0:
        return actions
    if not hedge.complete_fills:
        late = {order.account: None for order in hedge.orders if order.booked < order.filled}
        return [CollectFills(account) for account in late]
    return [] if hedge.intent.mode is Mode.DONE else [SetMode(Mode.DONE)]


def _reduce(
    hedge: Hedge,
    leg: LegState,
    quantity: Decimal,
    purpose: Purpose,
    market: HedgeMarket,
    policy: ExecutionPolicy,
    now: datetime,
) -> list[Action]:
    """A reduce-only marketable order; its price cap doubles with every attempt that filled nothing."""
    quote = market.leg(leg.plan.side)
    if not leg.idle or quantity <= 0 or not quote.reachable:
        return []
    failed = 0
    for order in reversed(hedge.orders):
        if order.leg is leg.plan.side and order.purpose.reduces:
            if order.filled > 0:
                break
            failed += 1
    cap = min(policy.slippage * (2 ** min(failed, 5)), Decimal("0.05"))
    price = _marketable(leg, purpose, quote, cap)
    return [
        Place(next_order(hedge, leg.plan.side, purpose, quantity, price, TimeInForce.IOC, quote.mid, now))
    ]


def _marketable(leg: LegState, purpose: Purpose, quote: LegMarket, cap: Decimal) -> Decimal | None:
    """The worst price to accept: ``cap`` beyond the far touch; from the mark when the book is not fresh."""
    buying = (leg.plan.side is Side.LONG) is not purpose.reduces
    touch = quote.ask if buying else quote.bid
    if touch is None:
        touch = quote.mark if purpose.reduces else None
    if touch is None or touch <= ZERO:
        return None
    if buying:
        return leg.plan.instrument.price_up(touch * (1 + cap))
    return leg.plan.instrument.price_down(touch * (1 - cap))


def _should_reprice(order: OrderRecord, market: HedgeMarket, policy: ExecutionPolicy, now: datetime) -> bool:
    if order.cancel_requested or order.price is None or order.time_in_force is TimeInForce.IOC:
        return False
    mid = market.leg(order.leg).mid
    if mid is None or now - order.created_at < policy.reprice_after:
        return False
    return abs(mid - order.price) > policy.reprice * mid


def _cancel_all(leg: LegState) -> list[Action]:
    return [Cancel(order) for order in leg.live if not order.cancel_requested]
