"""The exchange's own timer: what rests is cancelled by the exchange when the bot falls silent."""

from __future__ import annotations

import logging

import anyio

from fundingarb.domain.order import TimeInForce
from fundingarb.engine.account import Account
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeError
from fundingarb.ports import Clock

log = logging.getLogger("fundingarb.deadman")

#: Real seconds of silence after which the exchange cancels, between renewals, and between looks at what rests.
TIMER = 20.0
RENEWAL = 6.0
LOOK = 0.5
#: A timer that could not be set is tried again after so many real seconds, then ever later, up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0


class DeadMan:
    """Keeps a timer armed on every symbol of an account while an order of ours that adds exposure may rest there.

    It is an extra: nothing waits for it and nothing depends on it. Exchanges cancel every order of the symbol, so it is
    taken off when nothing of ours rests any more.
    """

    def __init__(self, account: Account, state: BotState, gate: RequestGate, clock: Clock) -> None:
        self._account = account
        self._state = state
        self._gate = gate
        self._clock = clock
        self._armed: dict[str, float] = {}
        self._not_before = 0.0
        self._pause = FIRST_PAUSE
        self._said: str | None = None

    async def run(self) -> None:
        """Look until cancelled. In the end timers of symbols where nothing rests are taken off; the others stay."""
        try:
            while True:
                await self.look()
                await anyio.sleep(LOOK)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(3):
                self._not_before = 0.0
                await self._disarm(self._armed.keys() - self._resting())

    async def look(self) -> None:
        """Arm, renew and take off what is due."""
        if self._clock.monotonic() < self._not_before:
            return
        resting = self._resting()
        for symbol in sorted(resting):
            if self._clock.monotonic() - self._armed.get(symbol, float("-inf")) < RENEWAL:
                continue
            if not await self._set(symbol, TIMER):
                return
            self._armed[symbol] = self._clock.monotonic()
        await self._disarm(self._armed.keys() - resting)

    def _resting(self) -> set[str]:
        return {
            hedge.symbol
            for hedge in self._state.unfinished()
            for order in hedge.orders
            if order.account == self._account.name
            and not order.state.terminal
            and not order.reduce_only
            and order.time_in_force is not TimeInForce.IOC
        }

    async def _disarm(self, symbols: set[str]) -> None:
        for symbol in sorted(symbols):
            if not await self._set(symbol, None):
                return
            del self._armed[symbol]

    async def _set(self, symbol: str, seconds: float | None) -> bool:
        """Set one timer; False when it failed, which is logged once per reason."""
        adapter = self._account.adapter
        try:
            await self._gate.call(
                Priority.OPEN, adapter.cost("cancel_after"), lambda: adapter.cancel_after([symbol], seconds)
            )
        except ExchangeError as error:
            if str(error) != self._said:
                log.warning("%s: the exchange's own timer is not set: %s", self._account.name, error)
            self._said = str(error)
            self._not_before = self._clock.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return False
        self._said, self._pause = None, FIRST_PAUSE
        return True
