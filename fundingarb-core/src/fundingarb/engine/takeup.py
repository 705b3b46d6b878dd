"""A start goes on from what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fundingarb.domain.hedge import Hedge, LegState
from fundingarb.engine.account import Account
from fundingarb.engine.clock import elapsed
from fundingarb.engine.state import BotState
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError
from fundingarb.ports import Checkpoint, Clock, ExchangeAdapter, RemembersInstruments, RemembersOrders


def take_up(
    checkpoint: Checkpoint,
    state: BotState,
    accounts: Mapping[str, ExchangeAdapter],
    settings: TradingSettings,
    clock: Clock,
) -> None:
    """Fill ``state``, which is new. Raises ``ConfigError`` when a hedge needs an account that is not there."""
    state.adopt(checkpoint.hedges)
    state.last_number = checkpoint.last_number
    state.killed, state.released_at = checkpoint.killed, checkpoint.released_at
    state.thrown = dict(checkpoint.thrown)
    state.paused |= checkpoint.paused
    state.accepted = {(each.account, each.subject, each.name): each for each in checkpoint.accepted}
    state.flatten_orders = {order.client_id: order for order in checkpoint.flatten_orders}
    for hedge in checkpoint.hedges:
        if hedge.intent.closed_at is not None:
            state.cool_down(hedge.symbol, hedge.intent.closed_at + settings.pause_after(hedge))
    for symbol, closed_at in checkpoint.liquidated.items():
        state.cool_down(symbol, closed_at + settings.cooldown)
    _count_sent(checkpoint.hedges, state, clock)
    for name, adapter in accounts.items():
        account = Account(name, adapter, unread_since=clock.monotonic())
        account.fills_since = checkpoint.fills_since.get(name)
        account.payments_since = checkpoint.payments_since.get(name)
        state.accounts[name] = account
        if isinstance(adapter, RemembersOrders):
            adapter.remember_orders(state.orders_on(name))
        if isinstance(adapter, RemembersInstruments):
            adapter.remember_instruments(state.instruments_of(name))
    _refuse_without_account(state)


def _count_sent(hedges: Sequence[Hedge], state: BotState, clock: Clock) -> None:
    """Orders of the last minute count over a restart."""
    now, moment = clock.now(), elapsed(clock)
    ages = [(now - order.created_at).total_seconds() for hedge in hedges for order in hedge.orders]
    state.sent_at.extend(moment - age for age in sorted(ages, reverse=True) if age < 60)


def _refuse_without_account(state: BotState) -> None:
    for hedge in state.unfinished():
        for leg in (hedge.long, hedge.short):
            if leg.plan.account not in state.accounts and _needed(hedge, leg):
                over = "is over and not done with (something held, or not booked)"
                raise ConfigError(
                    f"a hedge of {hedge.symbol} {'is open' if hedge.live else over} on account {leg.plan.account}, "
                    "which is not configured; add it to accounts, or to the ready file it came from"
                )


def _needed(hedge: Hedge, leg: LegState) -> bool:
    """Whether something is or may be still to be done on the account of ``leg``."""
    orders = [order for order in hedge.orders if order.leg is leg.plan.side]
    unbooked = any(order.filled > order.booked for order in orders)
    return hedge.live or bool(leg.filled) or not leg.idle or unbooked
