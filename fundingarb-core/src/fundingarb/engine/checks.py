"""What has to hold of an account besides its figures: its exchange's clock agrees with ours, its key may only trade.

Each check halts entries on the account while it fails or was not made yet, and clears its own halt when it passes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeVar

import anyio

from fundingarb.domain.events import Alert, Severity
from fundingarb.engine.account import Account
from fundingarb.engine.bus import Bus
from fundingarb.engine.clock import elapsed
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.ports import Clock, KeyPermissions

T = TypeVar("T")

#: Real seconds by which the clocks may differ before it is a warning, and before entries are off (fault 14).
WARN, MOST = 0.5, 1.0
#: Real seconds between two measurements, between two while the clocks are apart, and after one that says nothing.
EVERY, WHILE_APART, AGAIN = 60.0, 10.0, 5.0
#: A measurement whose half round trip is longer than this (real seconds) says too little to begin with.
VAGUE = 1.0
#: Seconds of the bot's time between two looks at the key's permissions.
DAY = 24 * 3600.0


@dataclass
class AccountChecks:
    """The checks of one account. ``wake`` runs the trading loop when entries are on or off again; ``rights_accepted``
    as in ``key_flaw``."""

    account: Account
    gate: RequestGate
    bus: Bus
    clock: Clock
    network: str
    wake: Callable[[], None]
    rights_accepted: bool = False
    _warned: bool = False
    _dangerous: bool = False
    _unknown: bool = False

    def __post_init__(self) -> None:
        self.account.halt("clock", "the exchange's clock was not measured yet")
        self.account.halt("key", "the key's permissions were not read yet")

    # the clock

    async def watch_clock(self) -> None:
        """Measure every minute, and when this computer's time was set, for as long as the bot runs."""
        while True:
            pause, ahead = await self.measure_clock(), self._ahead()
            for _ in range(round(pause)):
                await anyio.sleep(1.0)
                if abs(self._ahead() - ahead) > MOST:
                    break

    def _ahead(self) -> float:
        """The time of day less the time that has passed, in real seconds: it changes only when the time is set."""
        return (self.clock.time() - elapsed(self.clock)) / self.clock.speed

    async def measure_clock(self) -> float:
        """Measure once; returns the real seconds until the next time.

        The offset may be off by half the round trip: only what is beyond a limit for certain is acted on.
        """

        async def ask() -> tuple[float, datetime, float]:
            asked = self.clock.time()
            server = await self.account.adapter.get_server_time()
            return asked, server, self.clock.time()

        asked, server, answered = await self._call("get_server_time", ask)
        offset = (server.astimezone(timezone.utc).timestamp() - (asked + answered) / 2) / self.clock.speed
        vague = (answered - asked) / 2 / self.clock.speed
        apart = max(abs(offset) - vague, 0.0)
        if apart <= MOST and vague > VAGUE:
            return AGAIN
        self.account.clock_offset = offset
        self._judge_clock(apart, offset)
        return EVERY if apart <= WARN else WHILE_APART

    def _judge_clock(self, apart: float, offset: float) -> None:
        name, told = self.account.name, f"The exchange's clock is {offset * 1000:+.0f} ms from ours."
        before = self.account.halt("clock", f"clock {offset:+.2f} s apart" if apart > MOST else None)
        was_apart = before is not None and before.startswith("clock ")
        if apart > MOST and not was_apart:
            lines = (told, "Entries are off until the clocks agree; look at this computer's time service.")
            self._alert(Severity.CRITICAL, f"Clock Of {name} Is Apart", lines)
        elif apart <= MOST and was_apart:
            self._alert(Severity.INFO, f"Clock Of {name} Agrees Again", (told, "Entries are on."))
        elif WARN < apart <= MOST and not self._warned:
            lines = (told, "Entries are off from 1,000 ms; look at this computer's time service.")
            self._alert(Severity.WARNING, f"Clock Of {name} Drifts", lines)
        self._warned = apart > WARN
        self.wake()

    # the key

    async def watch_key(self) -> None:
        """Look at the key's permissions every day, for as long as the bot runs."""
        while True:
            may = await self._call("get_key_permissions", self.account.adapter.get_key_permissions)
            self._judge_key(may)
            await self.clock.sleep(max(DAY, EVERY * self.clock.speed))

    def _judge_key(self, may: KeyPermissions) -> None:
        live, name = self.network == "mainnet", self.account.name
        flaw = key_flaw(may, name, live=live, rights_accepted=self.rights_accepted)
        before = self.account.halt("key", flaw)
        if flaw is not None and before != flaw:
            self._alert(Severity.CRITICAL, f"Key Of {name} Is Refused", (flaw, "Entries are off."))
        if may.withdraw and flaw is None and not self._dangerous:
            told = f"The key may withdraw. With real money it would be refused; {may.remedy}."
            if may.accepted:
                told = "The key may withdraw, as every key of this exchange; the configuration accepts it."
            self._alert(Severity.WARNING, f"Key Of {name} May Withdraw", (told,))
        self._dangerous = bool(may.withdraw)
        unknown = live and flaw is None and _unknown(may)
        if unknown and not self._unknown:
            told = "The exchange does not tell what the key may do; the configuration accepts it."
            self._alert(Severity.WARNING, f"Rights Of The Key Of {name} Are Unknown", (told,))
        self._unknown = unknown
        self.wake()

    def _alert(self, severity: Severity, title: str, lines: tuple[str, ...]) -> None:
        self.bus.publish(Alert(severity, title, lines, self.clock.now()))

    async def _call(self, operation: str, request: Callable[[], Awaitable[T]]) -> T:
        return await self.gate.call(Priority.READ, self.account.adapter.cost(operation), request)


def key_flaw(may: KeyPermissions, account: str, *, live: bool, rights_accepted: bool) -> str | None:
    """Why the key of ``account`` is not used; None when it is.

    With real money (``live``) it must be known to trade and not to withdraw, unless its owner accepted that it may
    withdraw or, where the exchange does not tell (``rights_accepted``), answers for its rights.
    """
    if may.trade is False:
        return "the key may not trade; give it that permission"
    if live and may.withdraw and not may.accepted:
        return f"the key may withdraw; {may.remedy}"
    if live and _unknown(may) and not rights_accepted:
        return (
            "the exchange does not tell what the key may do; look there that it may trade and not withdraw, then set "
            f"accounts.{account}.accept_unknown_rights: true and restart"
        )
    return None


def _unknown(may: KeyPermissions) -> bool:
    return may.trade is None or may.withdraw is None
