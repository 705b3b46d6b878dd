"""Margin: what positions and orders need, what is left, and where a position is liquidated.

Formulas follow the exchanges' documentation of cross and isolated margin. Per instrument and position side, orders
that reduce need no margin, so a one-way position with orders on both sides needs margin for the worse outcome only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from fundingarb.localnet.truth.core import Account, Core, Holding
from fundingarb.localnet.truth.money import rounded
from fundingarb.localnet.truth.rules import Instrument, MarginTier
from fundingarb.localnet.truth.types import (
    ZERO,
    AccountState,
    MarginMode,
    Order,
    Position,
    PositionSide,
    Side,
)

__all__ = ["Need", "account_state", "adl_rank", "max_value", "need", "position", "tier_of", "unrealized"]


def tier_of(instrument: Instrument, value: Decimal) -> MarginTier:
    """The margin tier of a position notional."""
    for tier in instrument.tiers:
        if value <= tier.max_value:
            return tier
    return instrument.tiers[-1]


def max_value(instrument: Instrument, leverage: Decimal) -> Decimal:
    """The largest position notional that is allowed at a leverage."""
    allowed = [tier.max_value for tier in instrument.tiers if tier.max_leverage >= leverage]
    return max(allowed) if allowed else ZERO


def maintenance(instrument: Instrument, value: Decimal) -> Decimal:
    tier = tier_of(instrument, value)
    return max(ZERO, value * tier.maintenance_rate - tier.deduction)


def value_of(instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
    """Notional, never negative."""
    return abs(quantity) * instrument.contract_size * price


def unrealized(instrument: Instrument, holding: Holding, mark: Decimal) -> Decimal:
    """Profit of a position if it were closed at ``mark``."""
    if not holding.quantity:
        return ZERO
    value = value_of(instrument, holding.quantity, mark)
    return value - holding.cost if holding.quantity > 0 else holding.cost - value


@dataclass(frozen=True, slots=True)
class Need:
    """Initial margin of one instrument of one account."""

    position: Decimal
    """For what is held."""
    total: Decimal
    """For what is held and every open order; never less."""

    @property
    def orders(self) -> Decimal:
        return self.total - self.position


def need(core: Core, account: Account, instrument_id: str, extra: Iterable[Order] = ()) -> Need:
    """Initial margin for an instrument at the account's leverage, as if ``extra`` orders were open too."""
    market = core.markets[instrument_id]
    mark = market.mark(core.now)
    leverage = core.leverage(account, instrument_id)
    orders = [order for order in account.open.values() if order.instrument == instrument_id]
    orders.extend(extra)
    position_total = total = ZERO
    sides = (PositionSide.LONG, PositionSide.SHORT) if account.hedge_mode else (PositionSide.NET,)
    for side in sides:
        holding = account.holdings.get((instrument_id, side))
        held = holding.quantity * market.instrument.contract_size * mark if holding is not None else ZERO
        buys = sells = ZERO
        for order in orders:
            if order.position_side is not side or order.reduce_only:
                continue
            value = value_of(market.instrument, order.remaining, order.price or mark)
            if order.side is Side.BUY:
                buys += value
            else:
                sells += value
        if side is PositionSide.LONG:
            sells = ZERO
        elif side is PositionSide.SHORT:
            buys = ZERO
        position_total += abs(held) / leverage
        total += max(abs(held), held + buys, sells - held) / leverage
    return Need(position_total, total)


def account_state(core: Core, account: Account) -> AccountState:
    """Balance and margin of an account now, rounded to the ledger's precision."""
    unrealized_all = unrealized_cross = ZERO
    margin_positions = margin_orders = maintenance_all = ZERO
    cross_need = isolated = ZERO
    instruments = {holding.instrument for holding in account.held()}
    instruments.update(order.instrument for order in account.open.values())
    for instrument_id in sorted(instruments):
        market = core.markets[instrument_id]
        mark = market.mark(core.now)
        mode = account.mode_of(instrument_id)
        wanted = need(core, account, instrument_id)
        locked = ZERO
        for side in PositionSide:
            holding = account.holdings.get((instrument_id, side))
            if holding is None or not holding.quantity:
                continue
            profit = unrealized(market.instrument, holding, mark)
            unrealized_all += profit
            maintenance_all += maintenance(
                market.instrument, value_of(market.instrument, holding.quantity, mark)
            )
            locked += holding.isolated
            if mode is MarginMode.CROSS:
                unrealized_cross += profit
        if mode is MarginMode.CROSS:
            margin_positions += wanted.position
            cross_need += wanted.total
        else:
            margin_positions += locked
            isolated += locked + wanted.orders
        margin_orders += wanted.orders
    credit = unrealized_cross
    if not core.rules.mark_unrealized_margin:
        credit = min(ZERO, unrealized_cross)
    available = account.wallet - isolated - cross_need + credit
    places, rounding = core.rules.ledger_decimals, core.rules.rounding
    profit_shown = rounded(unrealized_all, places, rounding)
    return AccountState(
        account=account.name,
        asset=account.asset,
        wallet=account.wallet,
        unrealized=profit_shown,
        equity=account.wallet + profit_shown,
        position_margin=rounded(margin_positions, places, rounding),
        order_margin=rounded(margin_orders, places, rounding),
        maintenance_margin=rounded(maintenance_all, places, rounding),
        available=rounded(max(ZERO, available), places, rounding),
        updated_ms=account.updated_ms,
    )


def available(core: Core, account: Account) -> Decimal:
    return account_state(core, account).available


def liquidation_price(core: Core, account: Account, holding: Holding) -> Decimal | None:
    """Mark at which the position is liquidated, other things unchanged; None when no price does that."""
    if not holding.quantity:
        return None
    market = core.markets[holding.instrument]
    instrument = market.instrument
    size = abs(holding.quantity) * instrument.contract_size
    sign = 1 if holding.quantity > 0 else -1
    tier = tier_of(instrument, size * market.mark(core.now))
    if account.mode_of(holding.instrument) is MarginMode.ISOLATED:
        collateral = holding.isolated
    else:
        collateral = account.wallet
        for other in account.held():
            if other is holding:
                continue
            if account.mode_of(other.instrument) is MarginMode.ISOLATED:
                collateral -= other.isolated
                continue
            rules = core.markets[other.instrument].instrument
            mark = core.markets[other.instrument].mark(core.now)
            collateral += unrealized(rules, other, mark)
            collateral -= maintenance(rules, value_of(rules, other.quantity, mark))
    # collateral + sign x (size x price - cost) = size x price x rate - deduction
    divisor = size * (tier.maintenance_rate - sign)
    price = (collateral + tier.deduction - sign * holding.cost) / divisor
    return price if price > 0 else None


def adl_rank(core: Core, account: Account, holding: Holding) -> int:
    """Place in the deleveraging queue, 0 to 4: profit as a share of margin, times leverage."""
    market = core.markets[holding.instrument]
    mark = market.mark(core.now)
    value = value_of(market.instrument, holding.quantity, mark)
    profit = unrealized(market.instrument, holding, mark)
    if not value or profit <= 0:
        return 0
    score = profit / value * core.leverage(account, holding.instrument)
    return 1 + sum(score > limit for limit in (Decimal("0.05"), Decimal("0.2"), Decimal("0.5")))


def position(core: Core, account: Account, instrument_id: str, side: PositionSide) -> Position:
    """A position as the venue reports it now, flat or not."""
    market = core.markets[instrument_id]
    instrument = market.instrument
    holding = account.holdings.get((instrument_id, side)) or Holding(instrument_id, side)
    mark = market.mark(core.now)
    size = abs(holding.quantity) * instrument.contract_size
    value = size * mark
    leverage = core.leverage(account, instrument_id)
    mode = account.mode_of(instrument_id)
    places, rounding = core.rules.ledger_decimals, core.rules.rounding
    entry = even = ZERO
    if size:
        sign = 1 if holding.quantity > 0 else -1
        entry = rounded(holding.cost / size, 10, rounding)
        even = rounded((holding.cost + sign * holding.costs) / size, 10, rounding)
    liquidation = liquidation_price(core, account, holding)
    return Position(
        account=account.name,
        instrument=instrument_id,
        side=side,
        quantity=holding.quantity,
        entry_price=entry,
        break_even_price=even,
        mark_price=mark,
        value=rounded(value, places, rounding),
        unrealized=rounded(unrealized(instrument, holding, mark), places, rounding),
        realized=holding.realized,
        cumulative_realized=holding.cumulative,
        leverage=leverage,
        margin_mode=mode,
        initial_margin=rounded(value / leverage, places, rounding),
        maintenance_margin=rounded(maintenance(instrument, value), places, rounding),
        isolated_margin=holding.isolated,
        liquidation_price=rounded(liquidation, 10, rounding) if liquidation is not None else None,
        adl_rank=adl_rank(core, account, holding),
        created_ms=holding.created_ms,
        updated_ms=holding.updated_ms,
    )
