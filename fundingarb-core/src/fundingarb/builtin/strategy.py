"""The default strategy: short where the rate is high, long where it is low, while it pays after every cost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from fundingarb.domain.hedge import CloseReason, Hedge, Mode
from fundingarb.domain.instrument import common_lot
from fundingarb.domain.opportunity import (
    DecayToMedian,
    DepthSlippage,
    EntryRules,
    HedgePlan,
    Quote,
    RateForecast,
    Refusal,
    SlippageModel,
    gates,
    largest_passing,
    plan_of,
    should_exit,
    size,
)
from fundingarb.ports import Exit, MarketView, Proposals

#: How many pairs of exchanges after the best one are valued for a symbol.
ALTERNATIVES = 4


@dataclass(frozen=True)
class FundingSpread:
    """Enters the best pair of exchanges of a symbol that passes every gate of ``rules``; exits on inversion.

    ``settlement_guard`` keeps exits away from the settlement itself: a leg has to be held *through* it.
    """

    rules: EntryRules
    settlement_guard: timedelta = timedelta(seconds=60)
    slippage: SlippageModel = field(default_factory=DepthSlippage)
    forecast: RateForecast = field(default_factory=DecayToMedian)

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        live = {hedge.symbol: hedge for hedge in view.hedges}
        exits = [found for hedge in live.values() if (found := self._exit(view, hedge, now)) is not None]
        plans: list[HedgePlan] = []
        refusals: list[Refusal] = []
        for symbol in symbols:
            best = None if symbol in live else view.rates.best(symbol)
            if best is None:
                continue
            judged = self._judge(view, symbol, best, now)
            if isinstance(judged, Refusal):
                refusals.append(judged)
            else:
                plans.append(judged)
                plans += self._other_accounts(view, symbol, best, judged, now)
            if len(view.rates.rows(symbol)) > 2:
                plans += self._next_best(view, symbol, best, now)
        plans.sort(key=lambda plan: plan.entry_spread, reverse=True)
        return Proposals(tuple(plans), tuple(exits), tuple(refusals))

    def _next_best(
        self, view: MarketView, symbol: str, best: tuple[int, int], now: datetime
    ) -> list[HedgePlan]:
        """Plans for the pairs after the best one: for when it is refused here, or by a risk rule later.

        Only a few are valued, and none that cannot be in its entry window: this runs at every change of a rate.
        """
        rates, found, looked = view.rates, list[HedgePlan](), 0
        opens = (now + self.rules.cutoff).timestamp(), (now + self.rules.buffer).timestamp()
        if not any(opens[0] <= rates.next_settlement[row] <= opens[1] for row in rates.rows(symbol)):
            return found
        for pair in rates.pairs(symbol, float(self.rules.min_spread_base) / 8):
            in_window = any(opens[0] <= rates.next_settlement[row] <= opens[1] for row in pair)
            if pair == best or not in_window:
                continue
            judged = self._judge(view, symbol, pair, now)
            if isinstance(judged, HedgePlan):
                found.append(judged)
            elif judged.gate == "data":
                continue  # nothing was valued
            looked += 1
            if looked == ALTERNATIVES:
                break
        return found

    def _other_accounts(
        self, view: MarketView, symbol: str, pair: tuple[int, int], first: HedgePlan, now: datetime
    ) -> list[HedgePlan]:
        """Plans between other accounts of the same exchanges: for when a limit of an account refuses the first.

        Those with the most free margin come first; only a few are valued."""
        longs, shorts = (view.quotes(view.rates.instrument(row).exchange, symbol) for row in pair)
        if len(longs) < 2 and len(shorts) < 2:
            return []
        between = [(long, short) for long in longs for short in shorts]
        between.sort(key=lambda both: min(_room(both[0]), _room(both[1])), reverse=True)
        found: list[HedgePlan] = []
        for long, short in between[: ALTERNATIVES + 1]:
            if (long.account, short.account) == (first.long.account, first.short.account):
                continue
            valuation = largest_passing(long, short, self.rules, self.slippage, self.forecast, now)
            if valuation is not None and gates(valuation, self.rules, now) is None:
                found.append(plan_of(valuation, view.tolerance(symbol)))
        return found

    def _judge(
        self, view: MarketView, symbol: str, pair: tuple[int, int], now: datetime
    ) -> HedgePlan | Refusal:
        """The plan for a pair of exchanges, or the first gate that refuses it."""
        long_row, short_row = pair
        long_exchange = view.rates.instrument(long_row).exchange
        short_exchange = view.rates.instrument(short_row).exchange
        spread_8h = view.rates.spread(long_row, short_row) * 8

        def refuse(gate: str, needed: str, actual: str) -> Refusal:
            shown = Decimal(repr(spread_8h))
            return Refusal(symbol, long_exchange, short_exchange, gate, needed, actual, now, shown)

        if spread_8h < float(self.rules.min_spread_base):
            return refuse("spread", f"{self.rules.min_spread_base:.8f}", f"{spread_8h:.8f}")
        longs, shorts = view.quotes(long_exchange, symbol), view.quotes(short_exchange, symbol)
        if not longs or not shorts:
            missing = long_exchange if not longs else short_exchange
            return refuse("data", "fresh rate, order book, fee tier and balance", f"missing on {missing}")
        long, short = max(longs, key=_room), max(shorts, key=_room)
        valuation = largest_passing(long, short, self.rules, self.slippage, self.forecast, now)
        if valuation is None:
            return refuse(*self._shortfall(long, short))
        refusal = gates(valuation, self.rules, now)
        return refusal if refusal is not None else plan_of(valuation, view.tolerance(symbol))

    def _shortfall(self, long: Quote, short: Quote) -> tuple[str, str, str]:
        """Gate, need and actual figure of a candidate that cannot be valued at any size."""
        for quote in (long, short):
            if quote.book.mid is None:
                return "book", "bids below asks", f"none on {quote.exchange}"
        lot = common_lot(long.instrument, short.instrument)
        depths = {
            long.exchange: self.slippage.depth(long.book, True, self.rules.max_slippage),
            short.exchange: self.slippage.depth(short.book, False, self.rules.max_slippage),
        }
        thinnest = min(depths, key=depths.__getitem__)
        if depths[thinnest] < lot:
            needed = f"{lot} {long.instrument.base} within {self.rules.max_slippage}"
            return "depth", needed, f"{depths[thinnest]} on {thinnest}"
        if size(long, short, self.rules, self.slippage) <= 0:
            margins = ", ".join(f"{quote.free_margin:.2f} on {quote.account}" for quote in (long, short))
            return "size", f"{lot} {long.instrument.base}", f"less, with free margin {margins}"
        return "depth", "the way out priced in both books", "too thin on the other side"

    def _exit(self, view: MarketView, hedge: Hedge, now: datetime) -> Exit | None:
        if hedge.intent.mode is not Mode.HOLDING:
            return None
        long, short = (
            view.rate(leg.instrument.exchange, hedge.symbol)
            for leg in (hedge.intent.long, hedge.intent.short)
        )
        if long is None or short is None:
            return None
        for rate in (long, short):
            if abs(rate.next_settlement - now) <= self.settlement_guard or rate.next_settlement <= now:
                return None
            if now - (rate.next_settlement - rate.interval) <= self.settlement_guard:
                return None
        spread_8h = short.eight_hour - long.eight_hour
        if not should_exit(spread_8h, hedge.intent.tolerance):
            return None
        detail = f"8-hour spread {spread_8h:.6%} below {hedge.intent.tolerance:.6%}"
        return Exit(hedge.id, CloseReason.SPREAD, detail)


def _room(quote: Quote) -> Decimal:
    """The notional that an account's free margin carries."""
    return quote.free_margin * quote.leverage
