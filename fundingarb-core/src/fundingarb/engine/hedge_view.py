"""Hedges as a person wants to see them: both legs, what is unhedged, what they earn, how far they are from harm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice

from fundingarb.domain.funding import FundingRate
from fundingarb.domain.hedge import CloseReason, Hedge, LegState, Mode
from fundingarb.domain.opportunity import PRESETS, Payment, expected_payments
from fundingarb.domain.order import ZERO, Balance
from fundingarb.domain.pnl import HedgePnl, LegPnl, unrealized
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.engine.view import TradingSettings
from fundingarb.ports.rows import HedgeView, LegView, WatchedExit

#: Settlements of a leg that are shown, within this time.
NEXT, WITHIN = 3, timedelta(hours=24)


@dataclass(frozen=True)
class HedgeLook:
    """Reads the state and the markets; computes on demand."""

    state: BotState
    markets: Markets
    settings: TradingSettings

    def view(self, hedge: Hedge, pnl: HedgePnl, unhedged_seconds: float, now: datetime) -> HedgeView:
        """``hedge`` with what is booked (``pnl``) at the present marks."""
        intent = hedge.intent
        marks = self._mark(hedge.long), self._mark(hedge.short)
        prices = [mark or money.entry_price for mark, money in zip(marks, (pnl.long, pnl.short), strict=True)]
        known = [price for price in prices if price is not None]
        price = sum(known, ZERO) / len(known) if known else None
        quantity = hedge.hedged if intent.mode in (Mode.HOLDING, Mode.CLOSING) else intent.quantity
        rates = self._rate(hedge.long), self._rate(hedge.short)
        spread = None if rates[0] is None or rates[1] is None else rates[1].eight_hour - rates[0].eight_hour
        open_result = unrealized(hedge, pnl, *marks)
        return HedgeView(
            hedge_id=hedge.id,
            number=hedge.number,
            version=intent.version,
            symbol=hedge.symbol,
            status=hedge.status,
            size_usd=None if price is None else quantity * price,
            quantity=quantity,
            created_at=intent.created_at,
            opened_at=intent.opened_at,
            closed_at=intent.closed_at,
            entry_spread_8h=intent.entry_spread,
            spread_8h=spread,
            unhedged=hedge.unhedged,
            unhedged_usd=None if price is None else abs(hedge.unhedged) * price,
            unhedged_seconds=unhedged_seconds,
            price=pnl.price,
            funding=pnl.funding,
            fees=pnl.fees,
            unrealized=open_result,
            net=None if open_result is None else pnl.realized + open_result,
            awaited=pnl.awaited,
            missing=pnl.missing,
            tolerance=intent.tolerance,
            preset=preset_of(intent.tolerance),
            close_reason=intent.close_reason,
            origin=intent.origin,
            exits=tuple(self._exits(hedge, spread)) if hedge.live else (),
            legs=(
                self._leg(hedge, hedge.long, pnl.long, rates[0], now),
                self._leg(hedge, hedge.short, pnl.short, rates[1], now),
            ),
        )

    def _mark(self, leg: LegState) -> Decimal | None:
        return self.markets.mark(leg.plan.instrument.exchange, leg.plan.instrument.symbol)

    def _rate(self, leg: LegState) -> FundingRate | None:
        return self.markets.fresh_rate(leg.plan.instrument.exchange, leg.plan.instrument.symbol)

    def _leg(
        self, hedge: Hedge, leg: LegState, money: LegPnl, rate: FundingRate | None, now: datetime
    ) -> LegView:
        plan, mark = leg.plan, self._mark(leg)
        account = self.state.accounts.get(plan.account)
        position = None if account is None else account.positions.get(hedge.symbol)
        gain = None
        if not leg.filled:
            gain = ZERO
        elif mark is not None and money.entry_price is not None:
            gain = plan.side.sign * (mark - money.entry_price) * leg.filled
        return LegView(
            side=plan.side,
            account=plan.account,
            exchange=plan.instrument.exchange,
            quantity=hedge.intent.quantity,
            filled=leg.filled,
            entry=money.entry_price,
            mark=mark,
            unrealized=gain,
            funding=money.funding,
            fees=money.fees,
            leverage=plan.leverage,
            next_payments=self._payments(leg, rate, mark, now),
            liquidation_price=None if position is None else position.liquidation_price,
            liquidation_distance=self.state.distances.get((plan.account, hedge.symbol)),
            margin_ratio=None if account is None else margin_ratio(account.balance),
            adl_rank=None if position is None else position.adl_rank,
        )

    def _payments(
        self, leg: LegState, rate: FundingRate | None, mark: Decimal | None, now: datetime
    ) -> tuple[Payment, ...]:
        """What the next settlements should bring for what is held."""
        if rate is None or mark is None or leg.filled <= 0:
            return ()
        median = self.markets.median_hourly(leg.plan.instrument.exchange, leg.plan.instrument.symbol)
        found = expected_payments(
            leg.plan.side, rate, median, leg.filled, mark, now + WITHIN, self.settings.forecast
        )
        return tuple(islice(found, NEXT))

    def _exits(self, hedge: Hedge, spread: Decimal | None) -> Iterator[WatchedExit]:
        """What would close or reduce the hedge, with the figures it is decided by."""
        at_least = f"8-hour spread below {hedge.intent.tolerance:.4%}"
        yield WatchedExit(CloseReason.SPREAD, at_least, "unknown" if spread is None else f"{spread:+.4%}")
        for leg in (hedge.intent.long, hedge.intent.short):
            distance = self.state.distances.get((leg.account, hedge.symbol))
            needed = f"{leg.account} nearer than {self.settings.margin.act:.1%} to liquidation"
            yield WatchedExit(
                CloseReason.MARGIN, needed, "unknown" if distance is None else f"{distance:.1%}"
            )
            key = (leg.instrument.exchange, hedge.symbol)
            if key in self.markets.gone:
                told = f"{key[0]} does not trade it: halted or delisted"
                yield WatchedExit(CloseReason.DELISTING, "traded again, or a kill", told)
                continue
            listed = self.markets.instruments.get(key, leg.instrument)
            if listed.delists_at is not None:
                closes = listed.delists_at - self.settings.delisting_close
                needed = f"{closes:%Y-%m-%d %H:%M} UTC"
                told = f"{leg.instrument.exchange} delists it {listed.delists_at:%Y-%m-%d %H:%M} UTC"
                yield WatchedExit(CloseReason.DELISTING, needed, told)


def preset_of(tolerance: Decimal) -> str | None:
    """The name of a tolerance; None when it has none."""
    return next((name for name, value in PRESETS.items() if value == tolerance), None)


def margin_ratio(balance: Balance | None) -> Decimal | None:
    """Maintenance margin as a fraction of equity (1 is liquidation); None while the exchange does not tell."""
    if balance is None or balance.maintenance_margin is None or balance.equity <= 0:
        return None
    return balance.maintenance_margin / balance.equity
