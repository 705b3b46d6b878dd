"""Setting accounts up for a symbol before the first order on it: one-way, margin mode, leverage."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

import anyio
import anyio.abc

from fundingarb.domain.hedge import LegPlan
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.reconcile import Modes, compare_modes
from fundingarb.domain.risk import refuse
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.engine.state import Account, BotState
from fundingarb.errors import ExchangeError
from fundingarb.ports import Clock

log = logging.getLogger("fundingarb.preflight")
T = TypeVar("T")

#: Real seconds for which a plan stands back whose account could not be set up.
STUCK = 2.0


@dataclass
class Preflight:
    """Sets accounts up, each for a symbol at a leverage, in tasks of their own; ``refused`` hears of what does not go.

    ``wake`` is called whenever a plan may have become possible, or another one has its turn.
    """

    state: BotState
    gates: Mapping[str, RequestGate]
    clock: Clock
    tasks: anyio.abc.TaskGroup
    margin_mode: str
    refused: Callable[[Refusal], None]
    wake: Callable[[], None]
    _under_way: set[str] = field(default_factory=set)
    _stuck: set[tuple[str, str, int]] = field(default_factory=set)

    def stuck(self, plan: HedgePlan) -> bool:
        """Setting up one of its accounts has just failed: the next best plan of the symbol has its turn."""
        return any((leg.account, plan.symbol, leg.leverage) in self._stuck for leg in (plan.long, plan.short))

    def done(self, plan: HedgePlan) -> bool:
        """Both accounts are set up for the symbol; if not, it is seen to, and ``wake`` called."""
        ready = True
        for leg in (plan.long, plan.short):
            if self._is_done(leg.account, plan.symbol, leg.leverage):
                continue
            ready = False
            name = f"{leg.account}/{plan.symbol}"
            if name not in self._under_way:
                self._under_way.add(name)
                self.tasks.start_soon(self._for_plan, name, leg, plan)
        return ready

    def soon(self, account: str, symbol: str, leverage: int) -> None:
        """Set ``account`` up for ``symbol`` before it is needed."""
        self.tasks.start_soon(self._early, account, symbol, leverage)

    async def see_to(self, account: str, symbol: str, leverage: int) -> None:
        """Set ``account`` up unless that was done shortly before. Raises ``ExchangeError``."""
        if not self._is_done(account, symbol, leverage):
            await self._set_up(account, symbol, leverage)

    def _is_done(self, account: str, symbol: str, leverage: int) -> bool:
        return self.state.accounts[account].is_prepared(symbol, leverage, self.clock.monotonic())

    async def _for_plan(self, name: str, leg: LegPlan, plan: HedgePlan) -> None:
        failed = (leg.account, plan.symbol, leg.leverage)
        try:
            await self._set_up(*failed)
        except ExchangeError as error:
            self.refused(refuse(plan, "preflight", "account ready", str(error), self.clock.now()))
            self._stuck.add(failed)
        finally:
            self._under_way.discard(name)
            self.wake()
        if failed in self._stuck:
            await anyio.sleep(STUCK)
            self._stuck.discard(failed)
            self.wake()

    async def _early(self, account: str, symbol: str, leverage: int) -> None:
        try:
            await self._set_up(account, symbol, leverage)
        except ExchangeError as error:
            log.info("%s %s not prepared yet: %s", account, symbol, error)

    async def _set_up(self, name: str, symbol: str, leverage: int) -> None:
        account = self.state.accounts[name]
        now = self.clock.monotonic()
        await prepare(account, symbol, leverage, self.margin_mode, self.gates[account.exchange], now)


async def prepare(
    account: Account, symbol: str, leverage: int, margin_mode: str, gate: RequestGate, now: float
) -> None:
    """Make ``account`` one-way, in ``margin_mode`` and at ``leverage`` for ``symbol``; raises when it cannot be.

    Position mode cannot change while anything is open, so it is checked before the first order, never after.
    """
    adapter = account.adapter

    async def call(operation: str, request: Callable[[], Awaitable[T]]) -> T:
        return await gate.call(Priority.OPEN, adapter.cost(operation), request)

    modes = await call("get_modes", lambda: adapter.get_modes(symbol))
    if (modes.position_mode, modes.margin_mode) != ("one-way", margin_mode) or modes.leverage != leverage:
        if modes.position_mode != "one-way":
            await call("set_one_way_mode", adapter.set_one_way_mode)
        if modes.margin_mode != margin_mode:
            await call("set_margin_mode", lambda: adapter.set_margin_mode(symbol, margin_mode))
        if modes.leverage != leverage:
            await call("set_leverage", lambda: adapter.set_leverage(symbol, leverage))
        modes = await call("get_modes", lambda: adapter.get_modes(symbol))
    wanted = Modes("one-way", margin_mode, Decimal(leverage))
    found = Modes(modes.position_mode, modes.margin_mode, modes.leverage)
    differences = compare_modes(account.name, symbol, wanted, found)
    if differences or modes.position_mode is None:
        told = ", ".join(f"{each.subject} {each.exchange}, wanted {each.local}" for each in differences)
        raise ExchangeError(
            f"{account.name} {symbol}: {told or 'position mode unknown'}. Set it on the exchange while nothing is open."
        )
    account.leverage[symbol] = leverage
    account.prepared[symbol] = now
