"""Setting accounts up for a symbol before the first order on it: one-way, margin mode, leverage.

What somebody else holds or has resting on the account stays as it is, accepted or not: where it would have to be
changed, nothing is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TypeVar

import anyio
import anyio.abc

from fundingarb.domain.hedge import LegPlan
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.reconcile import Modes, compare_modes
from fundingarb.domain.risk import refuse
from fundingarb.engine.account import Account
from fundingarb.engine.gate import GateClosed, Priority, RequestGate
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeError
from fundingarb.ports import Clock

log = logging.getLogger("fundingarb.preflight")
T = TypeVar("T")

#: Real seconds for which a plan stands back whose account could not be set up.
STUCK = 2.0
#: Real seconds for which a reading of what is held is recent enough to change modes by, before it is first looked for
#: one (then ever longer), and for which a plan waits for one.
RECENT, LOOK, LOOK_SECONDS = 2.0, 0.1, 10.0
#: How many symbols a refusal names.
LISTED = 5


@dataclass
class Preflight:
    """Sets accounts up, each for a symbol at a leverage, in tasks of their own; ``refused`` hears of what does not go.

    ``wake`` is called whenever a plan may have become possible, or another one has its turn; ``look`` has an account's
    open orders and positions read soon.
    """

    state: BotState
    gates: Mapping[str, RequestGate]
    clock: Clock
    tasks: anyio.abc.TaskGroup
    margin_mode: str
    refused: Callable[[Refusal], None]
    wake: Callable[[], None]
    look: Callable[[str], None]
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
        """Set ``account`` up for ``symbol`` before it is needed; a change waits until it is known what is held."""
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
            await self._set_up(account, symbol, leverage, patience=None)
        except ExchangeError as error:
            log.info("%s %s not prepared yet: %s", account, symbol, error)

    async def _set_up(
        self, name: str, symbol: str, leverage: int, patience: float | None = LOOK_SECONDS
    ) -> None:
        """Raises ``ExchangeError``, whatever the adapter raises. ``patience``: real seconds for ``_looked_at``."""
        account = self.state.accounts[name]
        gate, now = self.gates[account.exchange], self.clock.monotonic()

        async def look() -> None:
            with anyio.move_on_after(patience):
                await self._looked_at(account, self.clock.monotonic() - RECENT)
                return
            raise ExchangeError(
                f"{name} {symbol}: its modes have to be set, and whether somebody else holds something there could "
                f"not be read for {LOOK_SECONDS:g} s"
            )

        try:
            await prepare(account, symbol, leverage, self.margin_mode, gate, now, look)
        except ExchangeError:
            raise
        except Exception as error:
            log.exception("setting up %s for %s", name, symbol)
            raise ExchangeError(
                f"{name} {symbol}: the adapter failed: {type(error).__name__}: {error}"
            ) from error

    async def _looked_at(self, account: Account, since: float) -> None:
        """Wait until open orders and positions of ``account`` were read that were asked for at ``since`` or later."""
        if account.looked_at is not None and account.looked_at < since:
            self.look(account.name)
        pause = LOOK
        while True:
            if account.looked_at is not None and account.looked_at >= since:
                return
            await anyio.sleep(pause)
            pause = min(2 * pause, RECENT)


@dataclass(frozen=True, slots=True)
class _Change:
    """A setting to be changed; ``shared`` when that touches every symbol of the account. ``found`` None is unknown."""

    what: str
    found: str | Decimal | None
    wanted: str | Decimal
    shared: bool
    operation: str
    request: Callable[[], Awaitable[None]]

    def touched(self, account: Account, symbol: str) -> list[str]:
        """The symbols in which it would change what is somebody else's."""
        return [other for other in account.others if self.shared or other == symbol]

    def check(self, account: Account, symbol: str) -> None:
        """Raise ``GateClosed`` when it would change what is somebody else's, accepted or not."""
        if others := self.touched(account, symbol):
            because = "it counts for the whole account and " if self.shared else ""
            raise GateClosed(
                f"{account.name} {symbol}: {self.what} is {self.found}, needs {self.wanted}, and is left as it is "
                f"because {because}what is held or rests in {', '.join(others[:LISTED])} is not the bot's. "
                "Close that, or set it on the exchange yourself."
            )


async def prepare(
    account: Account,
    symbol: str,
    leverage: int,
    margin_mode: str,
    gate: RequestGate,
    now: float,
    look: Callable[[], Awaitable[None]],
) -> None:
    """Make ``account`` one-way, in ``margin_mode`` and at ``leverage`` for ``symbol``; raises when it cannot be.

    Position mode cannot change while anything is open, so it is checked before the first order, never after. Nothing is
    changed under what somebody else holds or has resting: before the first change ``look`` has that read.
    """
    adapter = account.adapter

    async def call(operation: str, request: Callable[[], Awaitable[T]]) -> T:
        return await gate.call(Priority.OPEN, adapter.cost(operation), request)

    async def apply(change: _Change) -> None:
        change.check(account, symbol)  # again: it may have waited for its place
        await change.request()

    modes = await call("get_modes", lambda: adapter.get_modes(symbol))
    changes = [
        change
        for change in (
            _Change(
                "position mode", modes.position_mode, "one-way", True,
                "set_one_way_mode", adapter.set_one_way_mode,
            ),
            _Change(
                "margin mode", modes.margin_mode, margin_mode, adapter.shared_margin_mode,
                "set_margin_mode", lambda: adapter.set_margin_mode(symbol, margin_mode),
            ),
            _Change(
                "leverage", modes.leverage, Decimal(leverage), False,
                "set_leverage", lambda: adapter.set_leverage(symbol, leverage),
            ),
        )
        if change.found != change.wanted
    ]  # fmt: skip
    if changes:
        for change in changes:
            if change.found is not None:
                change.check(account, symbol)
        await look()
        for change in changes:
            if change.found is not None or not change.touched(account, symbol):
                await call(change.operation, partial(apply, change))
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
