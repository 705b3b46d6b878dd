"""What a candidate hedge is worth: size, settlement calendar, costs, gates. Pure functions of what is known now.

Decisions on the formulas: two entry gates (the specification's threshold on the 8-hour-equivalent spread *and*
the expected net over the horizon), discrete payments, four fees, depth-measured slippage, and an adverse entry
basis charged while a favourable one is never credited.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from fundingarb.domain.funding import FundingRate, expected_payment, settlements
from fundingarb.domain.hedge import LegPlan
from fundingarb.domain.instrument import Instrument, Side, common_lot, floor_to
from fundingarb.domain.market import OrderBook
from fundingarb.domain.order import ZERO, FeeTier

PRESETS = {
    "conservative": Decimal(0),
    "moderate": Decimal("-0.0001"),
    "aggressive": Decimal("-0.0005"),
}
"""Names for the lowest 8-hour spread that an open hedge tolerates."""


@dataclass(frozen=True, slots=True)
class EntryRules:
    """The gates. Spreads are 8-hour-equivalent fractions, amounts USD, ``max_slippage`` a fraction of price.

    A leg may take ``margin_use`` of its account's free margin; ``fee_reserve`` of its notional belongs to that.
    """

    min_spread_base: Decimal = Decimal("0.0001")
    min_spread_per_10k: Decimal = Decimal("0.00001")
    horizon: timedelta = timedelta(hours=72)
    min_net_usd: Decimal = Decimal(1)
    max_slippage: Decimal = Decimal("0.001")
    max_position_per_pair_usd: Decimal = Decimal(50_000)
    target_size_usd: Decimal | None = None
    margin_use: Decimal = Decimal("0.8")
    fee_reserve: Decimal = Decimal("0.002")
    buffer: timedelta = timedelta(minutes=20)
    cutoff: timedelta = timedelta(minutes=15)
    basis_convergence: Decimal = Decimal(1)
    post_only: bool = False
    max_index_deviation: Decimal = Decimal("0.01")

    def margin_for(self, notional: Decimal, leverage: int) -> Decimal:
        """What a leg of ``notional`` USD takes of its account's margin: initial margin, fees and some slack."""
        return notional / leverage + notional * self.fee_reserve

    def threshold(self, notional: Decimal) -> Decimal:
        """Smallest acceptable 8-hour spread for a position of ``notional`` USD (specification 3.1)."""
        return self.min_spread_base + self.min_spread_per_10k * (notional / 10_000)


@dataclass(frozen=True, slots=True)
class Quote:
    """One side of a candidate: everything the valuation needs of an account on an exchange.

    ``median_hourly`` is the trailing median of settled rates per hour (0 while unknown); ``free_margin`` is settle
    currency the account may still commit.
    """

    account: str
    rate: FundingRate
    book: OrderBook
    fee: FeeTier
    free_margin: Decimal
    leverage: int
    median_hourly: Decimal = ZERO

    @property
    def instrument(self) -> Instrument:
        return self.rate.instrument

    @property
    def exchange(self) -> str:
        return self.rate.instrument.exchange


class SlippageModel(Protocol):
    """What filling a quantity costs beyond the touch, and how much fits within a limit."""

    def depth(self, book: OrderBook, buying: bool, limit: Decimal) -> Decimal:
        """Base quantity that fits within ``limit`` (fraction of the touch)."""
        ...

    def slippage(self, book: OrderBook, buying: bool, quantity: Decimal) -> Decimal | None:
        """Average price beyond the touch as a fraction of it; None when the book is too thin."""
        ...


class RateForecast(Protocol):
    """What a rate is expected to be at a later settlement."""

    def expected(self, rate: FundingRate, median_hourly: Decimal, settlement: datetime) -> Decimal:
        """Fraction of notional per interval at ``settlement``."""
        ...


@dataclass(frozen=True, slots=True)
class DepthSlippage:
    """Slippage measured by walking the order book as it stands."""

    def depth(self, book: OrderBook, buying: bool, limit: Decimal) -> Decimal:
        levels = book.asks if buying else book.bids
        if not levels:
            return ZERO
        worst = levels[0][0] * (1 + limit if buying else 1 - limit)
        total = ZERO
        for price, quantity in levels:
            if (price > worst) if buying else (price < worst):
                break
            total += quantity
        return total

    def slippage(self, book: OrderBook, buying: bool, quantity: Decimal) -> Decimal | None:
        levels = book.asks if buying else book.bids
        left, value = quantity, ZERO
        for price, size in levels:
            taken = min(left, size)
            value += taken * price
            left -= taken
            if left <= 0:
                touch = levels[0][0]
                return abs(value / quantity - touch) / touch
        return None


@dataclass(frozen=True, slots=True)
class DecayToMedian:
    """Today's rate for the coming settlement, then decaying to the trailing median with ``half_life``."""

    half_life: timedelta = timedelta(hours=8)

    def expected(self, rate: FundingRate, median_hourly: Decimal, settlement: datetime) -> Decimal:
        ahead = (settlement - rate.next_settlement) / self.half_life
        if ahead <= 0:
            return rate.rate
        hours = Decimal(int(rate.interval.total_seconds())) / 3600
        median = median_hourly * hours
        expected = median + (rate.rate - median) * Decimal(repr(0.5**ahead))
        return rate.instrument.bounded(expected)


@dataclass(frozen=True, slots=True)
class Payment:
    """One expected settlement of one leg; ``amount`` USD, positive received."""

    side: Side
    at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Valuation:
    """A candidate in numbers. Costs are positive USD; ``net`` = funding - fees - slippage - basis over the horizon.

    ``spread`` is per hour, ``spread_8h`` its 8-hour equivalent. ``settlement`` is T, the next settlement of the leg
    that contributes most of the expected funding; the entry window ends before it.
    """

    symbol: str
    long: Quote
    short: Quote
    quantity: Decimal
    notional: Decimal
    spread: Decimal
    threshold: Decimal
    payments: tuple[Payment, ...]
    fees: Decimal
    slippage: Decimal
    basis: Decimal
    settlement: datetime
    first: Side
    at: datetime

    @property
    def spread_8h(self) -> Decimal:
        return self.spread * 8

    @property
    def funding(self) -> Decimal:
        return sum((payment.amount for payment in self.payments), ZERO)

    @property
    def cost(self) -> Decimal:
        return self.fees + self.slippage + self.basis

    @property
    def net(self) -> Decimal:
        return self.funding - self.cost

    @property
    def break_even_hours(self) -> Decimal | None:
        """Hours until the present spread has paid the cost; None when it never does."""
        per_hour = self.spread * self.notional
        return self.cost / per_hour if per_hour > 0 else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row of the why-not ledger: a candidate that was looked at, the gate that refused it, and its numbers.

    ``actual`` fell short of ``needed``, both in the gate's own unit.
    """

    symbol: str
    long_exchange: str
    short_exchange: str
    gate: str
    needed: str
    actual: str
    at: datetime
    spread_8h: Decimal | None = None
    net_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class HedgePlan:
    """A hedge somebody wants opened: what risk rules judge and the executor takes once approved."""

    symbol: str
    long: LegPlan
    short: LegPlan
    quantity: Decimal
    notional: Decimal
    first: Side
    tolerance: Decimal
    entry_spread: Decimal
    settlement: datetime
    at: datetime
    origin: str = "strategy"
    valuation: Valuation | None = None


def index_deviation(long: FundingRate, short: FundingRate) -> Decimal | None:
    """How far two instruments' index (or else mark) prices are apart, as a fraction: the identity guard's figure."""
    one, other = long.index or long.mark, short.index or short.mark
    if not one or not other:
        return None
    return abs(one - other) / min(one, other)


def size(long: Quote, short: Quote, rules: EntryRules, model: SlippageModel) -> Decimal:
    """The largest common lot both legs can be filled with: depth, margin, pair cap and target size all hold."""
    mid = _mid(long, short)
    if mid is None:
        return ZERO
    limits = [
        model.depth(long.book, True, rules.max_slippage),
        model.depth(short.book, False, rules.max_slippage),
        rules.max_position_per_pair_usd / mid,
        long.free_margin * rules.margin_use / rules.margin_for(mid, long.leverage),
        short.free_margin * rules.margin_use / rules.margin_for(mid, short.leverage),
    ]
    limits += [rules.target_size_usd / mid] if rules.target_size_usd else []
    limits += [q.instrument.max_quantity for q in (long, short) if q.instrument.max_quantity]
    return max(floor_to(min(limits), common_lot(long.instrument, short.instrument)), ZERO)


def expected_payments(
    side: Side,
    rate: FundingRate,
    median_hourly: Decimal,
    quantity: Decimal,
    price: Decimal,
    until: datetime,
    forecast: RateForecast,
) -> list[Payment]:
    """Every settlement of one leg up to ``until``, on the exchange's own calendar, with what it should bring."""
    return [
        Payment(side, at, expected_payment(side, quantity, price, forecast.expected(rate, median_hourly, at)))
        for at in settlements(rate, until)
    ]


def value(
    long: Quote,
    short: Quote,
    quantity: Decimal,
    rules: EntryRules,
    model: SlippageModel,
    forecast: RateForecast,
    now: datetime,
) -> Valuation | None:
    """The candidate's numbers at ``quantity``; None when a book is too thin to price it."""
    mid = _mid(long, short)
    if mid is None or quantity <= 0:
        return None
    notional = quantity * mid
    payments = [
        payment
        for side, quote in ((Side.LONG, long), (Side.SHORT, short))
        for payment in expected_payments(
            side, quote.rate, quote.median_hourly, quantity, mid, now + rules.horizon, forecast
        )
    ]
    crossing = ZERO
    for quote in (long, short):
        book_mid = quote.book.mid
        bid, ask = quote.book.bid, quote.book.ask
        buy = model.slippage(quote.book, True, quantity)
        sell = model.slippage(quote.book, False, quantity)
        if book_mid is None or bid is None or ask is None or buy is None or sell is None:
            return None
        crossing += (ask - bid) / book_mid + buy + sell
    first = _less_liquid(long, short, rules, model)
    long_mid, short_mid = long.book.mid or mid, short.book.mid or mid
    basis = max(ZERO, (long_mid - short_mid) / mid * rules.basis_convergence)
    return Valuation(
        symbol=long.instrument.symbol,
        long=long,
        short=short,
        quantity=quantity,
        notional=notional,
        spread=short.rate.hourly - long.rate.hourly,
        threshold=rules.threshold(notional),
        payments=tuple(sorted(payments, key=lambda payment: payment.at)),
        fees=notional * _fee_fraction(long, short, first, rules),
        slippage=notional * crossing,
        basis=notional * basis,
        settlement=_main_settlement(long, short, payments),
        first=first,
        at=now,
    )


def gates(valuation: Valuation, rules: EntryRules, now: datetime) -> Refusal | None:
    """The first gate that refuses the candidate, None when it may be entered now."""

    def refuse(gate: str, needed: object, actual: object) -> Refusal:
        return Refusal(
            symbol=valuation.symbol,
            long_exchange=valuation.long.exchange,
            short_exchange=valuation.short.exchange,
            gate=gate,
            needed=str(needed),
            actual=str(actual),
            at=now,
            spread_8h=valuation.spread_8h,
            net_usd=valuation.net,
        )

    deviation = index_deviation(valuation.long.rate, valuation.short.rate)
    if deviation is None or deviation > rules.max_index_deviation:
        actual = "unknown" if deviation is None else f"{deviation:.6f}"
        return refuse("identity", f"index prices within {rules.max_index_deviation}", actual)
    for quote in (valuation.long, valuation.short):
        price = quote.book.mid or ZERO
        if not quote.instrument.tradable(valuation.quantity, price):
            minimum = max(quote.instrument.min_notional, quote.instrument.min_quantity * price)
            return refuse(
                "size", f"{minimum:.2f} USD on {quote.exchange}", f"{valuation.quantity * price:.2f}"
            )
    if valuation.spread_8h < valuation.threshold:
        return refuse("spread", f"{valuation.threshold:.8f}", f"{valuation.spread_8h:.8f}")
    if valuation.net < rules.min_net_usd:
        return refuse("net", f"{rules.min_net_usd} USD over {rules.horizon}", f"{valuation.net:.4f}")
    opens, closes = valuation.settlement - rules.buffer, valuation.settlement - rules.cutoff
    if not opens <= now <= closes:
        return refuse("window", f"{opens:%Y-%m-%d %H:%M:%S} to {closes:%H:%M:%S}", f"{now:%Y-%m-%d %H:%M:%S}")
    return None


def largest_passing(
    long: Quote, short: Quote, rules: EntryRules, model: SlippageModel, forecast: RateForecast, now: datetime
) -> Valuation | None:
    """The valuation at the largest size that passes the threshold *at that size*, else at the largest size at all."""
    quantity = size(long, short, rules, model)
    valuation = value(long, short, quantity, rules, model, forecast, now)
    if valuation is None or valuation.spread_8h >= valuation.threshold or rules.min_spread_per_10k <= 0:
        return valuation
    affordable = (valuation.spread_8h - rules.min_spread_base) / rules.min_spread_per_10k * 10_000
    mid = _mid(long, short)
    if affordable <= 0 or mid is None:
        return valuation
    smaller = floor_to(affordable / mid, common_lot(long.instrument, short.instrument))
    return value(long, short, smaller, rules, model, forecast, now) or valuation


def plan_of(valuation: Valuation, tolerance: Decimal, origin: str = "strategy") -> HedgePlan:
    """The plan that a valuation stands for."""

    def leg(side: Side, quote: Quote) -> LegPlan:
        return LegPlan(side, quote.account, quote.instrument, quote.leverage)

    return HedgePlan(
        symbol=valuation.symbol,
        long=leg(Side.LONG, valuation.long),
        short=leg(Side.SHORT, valuation.short),
        quantity=valuation.quantity,
        notional=valuation.notional,
        first=valuation.first,
        tolerance=tolerance,
        entry_spread=valuation.spread_8h,
        settlement=valuation.settlement,
        at=valuation.at,
        origin=origin,
        valuation=valuation,
    )


def should_exit(spread_8h: Decimal, tolerance: Decimal) -> bool:
    """Whether the spread is below what this hedge tolerates (``PRESETS`` has names for it)."""
    return spread_8h < tolerance


def _mid(long: Quote, short: Quote) -> Decimal | None:
    one, other = long.book.mid, short.book.mid
    return None if one is None or other is None else (one + other) / 2


def _less_liquid(long: Quote, short: Quote, rules: EntryRules, model: SlippageModel) -> Side:
    long_depth = model.depth(long.book, True, rules.max_slippage)
    short_depth = model.depth(short.book, False, rules.max_slippage)
    return Side.LONG if long_depth <= short_depth else Side.SHORT


def _fee_fraction(long: Quote, short: Quote, first: Side, rules: EntryRules) -> Decimal:
    """Four fees; the first leg's entry is a maker fill only when it is post-only."""
    total = 2 * (long.fee.taker + short.fee.taker)
    if rules.post_only:
        quote = long if first is Side.LONG else short
        total += quote.fee.maker - quote.fee.taker
    return total


def _main_settlement(long: Quote, short: Quote, payments: list[Payment]) -> datetime:
    """Next settlement of the leg that contributes most of the expected funding."""
    totals = {side: sum((p.amount for p in payments if p.side is side), ZERO) for side in Side}
    best = long if totals[Side.LONG] > totals[Side.SHORT] else short
    return best.rate.next_settlement
