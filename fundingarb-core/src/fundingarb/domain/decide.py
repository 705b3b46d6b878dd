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
from fundingarb.domain.instrument import Side, floor_to
from fundingarb.domain.order import ZERO, OrderState, Purpose, TimeInForce

#: Reasons that do not wait for an exchange that cannot be reached: the other leg is flattened all the same.
URGENT = frozenset({CloseReason.LIQUIDATION, CloseReason.KILL, CloseReason.INCOMPLETE})

#: Real seconds for which a reduction waits until the ledger of its account is read: one that presses, and any other.
READ_FIRST = 3.0
PATIENCE = 10.0
#: A moment that lies farther ahead than this was written before the clock was set back.
CLOCK_SET_BACK = timedelta(seconds=1)
#: After every so many refusals in a row of a reduction that presses, one goes out without a price.
UNPRICED_EVERY = 4


@dataclass(frozen=True, slots=True)
class LegMarket:
    """What is known of a leg's market: best bid and ask while the book is fresh, the mark price, reachability.

    ``traded`` is false while the exchange may have halted it: nothing is heard of its book, and it is not known why.

    ``unread_for`` is for how many real seconds the account's ledger has not been read since the bot started, since the
    exchange was unavailable, or since it was heard to have taken something there; None when it has been. Until then
    the leg may be smaller than it is believed to be. ``shared``, of a leg that no order can ask for exactly: the
    position there may be larger, by what is somebody else's or another hedge's.
    """

    bid: Decimal | None = None
    ask: Decimal | None = None
    mark: Decimal | None = None
    reachable: bool = True
    traded: bool = True
    unread_for: float | None = None
    shared: bool = False

    def awaits_ledger(self, patience: float) -> bool:
        """Whether the ledger is still waited for by what has so many real seconds of patience."""
        return self.unread_for is not None and self.unread_for < patience

    @property
    def mid(self) -> Decimal | None:
        """Half-way between bid and ask; None while one is unknown or the book is crossed."""
        if self.bid is None or self.ask is None or self.bid >= self.ask:
            return None
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class HedgeMarket:
    """Both legs' markets, and what may be sent: ``entries`` new exposure, ``hedging`` what completes a hedge.

    Without ``hedging`` (the database is down, so no row can be committed first) only orders that reduce go out.
    ``naked_for`` is how long the hedge has been unhedged by a lot or more.
    """

    long: LegMarket
    short: LegMarket
    entries: bool = True
    hedging: bool = True
    naked_for: timedelta = timedelta(0)

    @property
    def both_in_sight(self) -> bool:
        """Whether what nothing presses may be sent: both legs can be reached and closed, and are as large as they are
        believed."""
        legs = (self.long, self.short)
        return all(leg.reachable and leg.traded and not leg.awaits_ledger(PATIENCE) for leg in legs)

    def leg(self, side: Side) -> LegMarket:
        return self.long if side is Side.LONG else self.short


@dataclass(frozen=True, slots=True)
class ExecutionPolicy:
    """How orders are worked. Fractions are of price.

    ``slippage`` caps a marketable order beyond the touch, ``reprice`` is how far the mid may leave a resting order,
    ``reprice_after`` how long an order rests at least, ``reprice_cap`` how far the mid may move against the first
    leg from where its first order saw it before the rest of the entry is given up, ``hedge_attempts`` how often the
    second leg is tried without a fill before the first is unwound, ``naked_budget`` how long a surplus may wait for
    its hedge, ``stale_after`` how long after the deadline a fill that turns up (the bot was down) is hedged rather than
    unwound, ``retry_after`` the first pause between reductions that come to nothing.
    """

    slippage: Decimal = Decimal("0.002")
    reprice: Decimal = Decimal("0.0002")
    reprice_after: timedelta = timedelta(seconds=3)
    reprice_cap: Decimal = Decimal("0.002")
    hedge_attempts: int = 3
    entry_attempts: int = 20
    naked_budget: timedelta = timedelta(seconds=5)
    stale_after: timedelta = timedelta(seconds=60)
    retry_after: timedelta = timedelta(milliseconds=250)
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
    """Read this account's ledger fills: some that were reported have not arrived.

    ``positions``: read the positions too, because a reduction was refused; there may be nothing left to reduce.
    """

    account: str
    positions: bool = False


@dataclass(frozen=True, slots=True)
class Retarget:
    """Lower the intent's quantity (it is never raised). ``second_failed``: the second leg cannot be completed."""

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
    given_up = now >= hedge.intent.deadline or not market.entries
    if given_up and target > first.filled + first.adding:
        reason = "entry deadline passed" if now >= hedge.intent.deadline else "entries are off"
        return [Retarget(first.filled + first.adding, reason)]

    actions: list[Action] = []
    missing = min(first.filled, target) - second.filled
    if missing > 0 and second.idle:
        actions += _hedge_surplus(hedge, first, second, missing, market, policy, now)
        if any(isinstance(action, Retarget) for action in actions):
            return actions

    hedgeable = _hedgeable(second, market, policy)
    if first.live and (given_up or first.filled >= target or not hedgeable):
        actions += _cancel_resting(first)
    elif first.live:
        actions += [Cancel(order) for order in first.live if _should_reprice(order, market, policy, now)]
    elif first.idle and second.idle and not actions:
        return _advance(hedge, first, second, hedgeable, market, policy, now)
    return actions


def _advance(
    hedge: Hedge,
    first: LegState,
    second: LegState,
    hedgeable: bool,
    market: HedgeMarket,
    policy: ExecutionPolicy,
    now: datetime,
) -> list[Action]:
    """Both legs are quiet: even out what will not be hedged, enter what is left of the target, or be done."""
    target = hedge.intent.quantity
    level = floor_to(max(hedge.hedged, ZERO), hedge.lot)
    uneven = first.filled != second.filled and any(
        _to_reduce(leg, leg.filled - level, market) > 0 for leg in (first, second)
    )
    if uneven and (second.filled > first.filled or first.filled > max(target, second.filled)):
        return _even_out(hedge, hedge.hedged, market, policy, now)
    remaining = target - first.filled
    if remaining >= first.plan.instrument.lot:
        return _enter(hedge, first, remaining, market, policy, now) if hedgeable else []
    if uneven:
        return []
    return [SetMode(Mode.HOLDING)] if hedge.hedged > 0 else [SetMode(Mode.CLOSING, CloseReason.INCOMPLETE)]


def _hedgeable(second: LegState, market: HedgeMarket, policy: ExecutionPolicy) -> bool:
    """Whether a fill of the first leg could be hedged now: otherwise none is asked for, and none is waited for."""
    quote = market.leg(second.plan.side)
    if any(order.state is OrderState.UNKNOWN for order in second.unresolved):
        return False
    return quote.reachable and _marketable(second, Purpose.HEDGE, quote, policy.slippage) is not None


def _enter(
    hedge: Hedge,
    leg: LegState,
    quantity: Decimal,
    market: HedgeMarket,
    policy: ExecutionPolicy,
    now: datetime,
) -> list[Action]:
    """A limit at mid, rounded passively to the tick; nothing while the book is not fresh."""
    side, instrument, quote = leg.plan.side, leg.plan.instrument, market.leg(leg.plan.side)
    entries = [order for order in hedge.orders if order.leg is side and order.purpose is Purpose.ENTRY]
    refused = bool(entries) and entries[-1].state is OrderState.REFUSED
    if (refused and not policy.post_only) or len(entries) >= policy.entry_attempts:
        return [Retarget(leg.filled, "first leg refused" if refused else "first leg not filled")]
    if entries and _ended_by_itself(entries[-1]) and now - entries[-1].created_at < policy.reprice_after:
        return []
    mid = quote.mid
    if mid is None or not quote.reachable:
        return []
    first = entries[0].reference if entries else None
    if first is not None and side.sign * (mid - first) > policy.reprice_cap * first:
        return [Retarget(leg.filled, "the price has left the slippage cap")]
    price = instrument.price_down(mid) if side is Side.LONG else instrument.price_up(mid)
    if not instrument.tradable(quantity, price):
        return [Retarget(leg.filled, "remainder below the exchange's minimum")]
    rest = TimeInForce.POST_ONLY if policy.post_only else TimeInForce.GTC
    return [Place(next_order(hedge, side, Purpose.ENTRY, quantity, price, rest, mid, now))]


def _ended_by_itself(order: OrderRecord) -> bool:
    """Whether the exchange did not let it rest: refused, or cancelled because it would have taken liquidity."""
    return order.state.terminal and order.filled == 0 and not order.cancel_requested


def _hedge_surplus(
    hedge: Hedge,
    first: LegState,
    second: LegState,
    missing: Decimal,
    market: HedgeMarket,
    policy: ExecutionPolicy,
    now: datetime,
) -> list[Action]:
    """A marketable capped limit for what the first leg has filled and the second has not; else give the surplus up."""
    instrument, quote = second.plan.instrument, market.leg(second.plan.side)
    quantity = instrument.floor_quantity(missing)
    price = _marketable(second, Purpose.HEDGE, quote, policy.slippage)

    def give_up(reason: str, *, failed: bool = True) -> list[Action]:
        """The surplus is evened out next, to a size that both legs can have."""
        return [Retarget(floor_to(max(second.filled, ZERO), hedge.lot), reason, failed)]

    tries = _fruitless(hedge, second.plan.side, reduces=False)
    if tries and tries[0].state is OrderState.REFUSED:
        return give_up("second leg refused")
    if now - hedge.intent.deadline > policy.stale_after:
        return give_up("the entry is stale: it was filled long ago")
    if len(tries) >= policy.hedge_attempts or (
        tries and _ago(tries[-1].created_at, now) > policy.naked_budget
    ):
        return give_up("second leg not filled")
    if not quote.reachable:
        return give_up("second exchange unreachable")
    if price is None or not market.hedging:
        waited = _ago(_last_fill(hedge, first, now), now)
        reason = (
            "second exchange without a price" if price is None else "no order that adds exposure may be sent"
        )
        return give_up(reason) if waited > policy.naked_budget else []
    if not instrument.tradable(quantity, price):
        over = first.idle and hedge.intent.quantity - first.filled < first.plan.instrument.lot
        over |= market.naked_for > policy.naked_budget
        return give_up("residual below the second exchange's minimum", failed=False) if over else []
    order = next_order(
        hedge, second.plan.side, Purpose.HEDGE, quantity, price, TimeInForce.IOC, quote.mid, now
    )
    return [Place(order)]


def _hold(hedge: Hedge, market: HedgeMarket, policy: ExecutionPolicy, now: datetime) -> list[Action]:
    """Keep both legs equal, whatever made one heavier (late fill, ADL); a hedge that holds nothing is over.

    Where less is wanted than is hedged (margin), both legs are reduced at once, unless one is out of sight.
    """
    if not (hedge.long.idle and hedge.short.idle):
        return [*_cancel_resting(hedge.long), *_cancel_resting(hedge.short)]
    if hedge.hedged <= 0:
        return [SetMode(Mode.CLOSING, CloseReason.INCOMPLETE)]
    wanted = min(hedge.hedged, hedge.intent.quantity) if market.both_in_sight else hedge.hedged
    if hedge.unhedged or wanted < hedge.hedged:
        return _even_out(hedge, wanted, market, policy, now)
    return []


def _even_out(
    hedge: Hedge, wanted: Decimal, market: HedgeMarket, policy: ExecutionPolicy, now: datetime
) -> list[Action]:
    """Reduce both to ``wanted`` or the next smaller size that both legs can have, where their lots differ."""
    level = floor_to(max(wanted, ZERO), hedge.lot)
    actions: list[Action] = []
    for leg in (hedge.long, hedge.short):
        actions += _reduce(hedge, leg, leg.filled - level, Purpose.UNWIND, market, policy, now)
    return actions


def _close(hedge: Hedge, market: HedgeMarket, policy: ExecutionPolicy, now: datetime) -> list[Action]:
    """Drive each leg to flat on its own, reduce-only; finished when both are and every fill has been booked. What is
    less than a lot beside somebody else's position cannot be closed alone and is left.

    Unless it is urgent, both legs are only evened out while one is out of sight: it cannot be reached, may be halted
    (the other leg would be closed alone), or may have been reduced since it was seen (what is closed beyond that would
    be somebody else's).
    """
    actions: list[Action] = []
    urgent = hedge.intent.close_reason in URGENT
    for leg, partner in ((hedge.long, hedge.short), (hedge.short, hedge.long)):
        adding = [order for order in leg.live if not order.reduce_only]
        actions += [Cancel(order) for order in adding if not order.cancel_requested]
        if not leg.idle:
            continue
        quantity = leg.filled
        if not urgent and not market.both_in_sight:
            quantity = leg.plan.instrument.floor_quantity(leg.filled - max(partner.filled, ZERO))
        actions += _reduce(hedge, leg, quantity, Purpose.CLOSE, market, policy, now)
    if actions or not (hedge.long.idle and hedge.short.idle):
        return actions
    if any(_to_reduce(leg, leg.filled, market) > 0 for leg in (hedge.long, hedge.short)):
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
    """A reduce-only marketable order; its price cap doubles with every attempt that filled nothing, and is narrower by
    as many steps as it has been refused since.

    From the third on there is a pause that doubles up to 8-fold; after refusals at once, and up to 64-fold where
    nothing presses, and ledger and position are read meanwhile: perhaps the exchange, or a person, has closed it.
    """
    quote, urgent = market.leg(leg.plan.side), hedge.intent.close_reason in URGENT
    pressing = urgent or leg.plan.side.sign * hedge.unhedged > 0
    if not leg.idle or _to_reduce(leg, quantity, market) <= 0 or quote.awaits_ledger(READ_FIRST):
        return []
    if not (quote.reachable or pressing):
        return []  # what presses is tried all the same: order entry may work where readings do not
    tries = _fruitless(hedge, leg.plan.side, reduces=True)
    refused = bool(tries) and tries[0].state is OrderState.REFUSED
    doublings = min(len(tries) - 1, 3 if pressing else 6) if refused else min(len(tries) - 3, 3)
    if doublings >= 0:
        over = tries[0].resolved_at or tries[0].created_at
        if _ago(over, now) < policy.retry_after * 2**doublings:
            return [CollectFills(leg.plan.account, positions=True)] if refused else []
    unfilled = sum(1 for order in tries if order.state is not OrderState.REFUSED)
    refusals = next((n for n, order in enumerate(tries) if order.state is not OrderState.REFUSED), len(tries))
    wider = max(0, min(unfilled, 5) - refusals)  # perhaps it was beyond what the exchange lets a price be
    cap = min(policy.slippage * 2**wider, Decimal("0.05"))
    price = _marketable(leg, purpose, quote, cap)
    if pressing and refusals and refusals % UNPRICED_EVERY == 0:
        price = None
    if price is None and not urgent and hedge.unhedged == 0:
        return []  # hedged and in no hurry: wait for a price rather than take any
    quantity = _to_reduce(leg, quantity, market, unpriced=price is None)
    order = next_order(hedge, leg.plan.side, purpose, quantity, price, TimeInForce.IOC, quote.mid, now)
    return [Place(order)]


def _to_reduce(leg: LegState, quantity: Decimal, market: HedgeMarket, *, unpriced: bool = False) -> Decimal:
    """What an order asks for to take ``quantity`` off the leg: rounded up to the lot where that leaves nothing and
    nothing else is held beside it, else down. A leg may be of a size that its lot, since it grew, does not divide.
    """
    whole = quantity >= leg.filled and not market.leg(leg.plan.side).shared
    return leg.plan.instrument.to_reduce(quantity, whole=whole, market=unpriced)


def _fruitless(hedge: Hedge, side: Side, *, reduces: bool) -> list[OrderRecord]:
    """The newest orders of a leg that are over without a fill, newest first, up to the last one that had any."""
    kinds = (Purpose.UNWIND, Purpose.CLOSE) if reduces else (Purpose.HEDGE,)
    found: list[OrderRecord] = []
    for order in reversed(hedge.orders):
        if order.leg is side and order.purpose in kinds:
            if order.filled > 0 or not order.state.terminal:
                break
            found.append(order)
    return found


def _ago(then: datetime, now: datetime) -> timedelta:
    """How long ago ``then`` was. A clock that was set back keeps nothing waiting that is naked: then it is long ago."""
    return now - then if now - then > -CLOCK_SET_BACK else timedelta.max


def _last_fill(hedge: Hedge, leg: LegState, now: datetime) -> datetime:
    """The latest moment an order of this leg that has filled is known to have changed."""
    return max(
        (
            order.resolved_at or order.acknowledged_at or order.created_at
            for order in hedge.orders
            if order.leg is leg.plan.side and order.filled > 0
        ),
        default=now,
    )


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
    price = leg.plan.instrument.price_down(touch * (1 - cap))
    return price if price > ZERO else None


def _should_reprice(order: OrderRecord, market: HedgeMarket, policy: ExecutionPolicy, now: datetime) -> bool:
    if order.cancel_requested or order.price is None or order.time_in_force is TimeInForce.IOC:
        return False
    mid = market.leg(order.leg).mid
    if mid is None or now - order.created_at < policy.reprice_after:
        return False
    return abs(mid - order.price) > policy.reprice * mid


def _cancel_resting(leg: LegState) -> list[Action]:
    """Cancels for what rests; an immediate-or-cancel order ends by itself."""
    return [
        Cancel(order)
        for order in leg.live
        if not order.cancel_requested and order.time_in_force is not TimeInForce.IOC
    ]
