"""What people may have done to a bot, whoever asks and by whatever way: the deeds themselves, unrecorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from uuid import UUID

import anyio

from fundingarb.domain.events import HedgeChanged
from fundingarb.domain.hedge import CloseReason, Hedge
from fundingarb.domain.opportunity import PRESETS, HedgePlan, Refusal
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.asked import NotReady, accounts_named, check_listed
from fundingarb.engine.bus import Bus, Subscription
from fundingarb.engine.manual import manual_plan
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.engine.trading import TradingLoop
from fundingarb.engine.view import TradingSettings, View
from fundingarb.errors import ConfigError, VersionConflict
from fundingarb.ports import Clock

#: Real seconds for which a deed waits until it is on disk.
DURABLE_SECONDS = 5.0
#: Real seconds for which an opening waits for what it needs to know, such as a balance after a close.
READY_SECONDS = 5.0
#: The tolerances that may be set, in both directions.
MOST = Decimal("0.1")


@dataclass
class Deeds:
    """Edits intents and switches; the trading loop does the rest. ``settings`` gives those that are in force."""

    state: BotState
    markets: Markets
    loop: TradingLoop
    bus: Bus
    clock: Clock
    readers: Mapping[str, AccountReader]
    settings: Callable[[], TradingSettings]

    def entries(self, on: bool) -> None:
        """Switch the opening of hedges on or off; what is open is looked after as before."""
        self.state.paused = not on
        self.loop.wake()

    async def open(
        self, symbol: str, long: str, short: str, size_usd: Decimal, hedge_id: UUID | None = None
    ) -> UUID:
        """Open by hand: threshold and window are skipped, risk rules are not. Returns the hedge's id once it is stored.

        Raises ``ConfigError`` with what is in the way, ``ExchangeError`` when an account could not be set up.
        """
        plan = await self._planned(symbol, long, short, size_usd)
        approved = self.loop.entries.judge(plan, plan.at)
        if isinstance(approved, Refusal):
            raise ConfigError(
                f"{symbol}: {approved.gate} refuses: needs {approved.needed}, is {approved.actual}"
            )
        with self.bus.subscribe(100, HedgeChanged) as news:
            made = await self.loop.entries.open_approved(approved, hedge_id)
            self.loop.wake()
            await self._stored(news, made, 1)
        return made

    async def _planned(self, symbol: str, long: str, short: str, size_usd: Decimal) -> HedgePlan:
        accounts = accounts_named(self.state, long, short)
        names = [account.name for account in accounts]
        give_up = anyio.current_time() + READY_SECONDS
        while True:
            settings = self.settings()
            view = View(self.state, self.markets, settings)
            rules, forecast = settings.rules, settings.forecast
            try:
                check_listed(self.state, self.markets, settings, symbol, *names)
                return manual_plan(
                    view,
                    self.state,
                    self.markets,
                    symbol,
                    accounts,
                    size_usd,
                    rules,
                    forecast,
                    self.clock.now(),
                )
            except NotReady:
                if anyio.current_time() >= give_up:
                    raise
            await anyio.sleep(0.1)

    def close(
        self, hedge_id: UUID, reason: CloseReason = CloseReason.MANUAL, version: int | None = None
    ) -> Hedge:
        """Have a hedge closed. Raises ``ConfigError`` when it is not open, ``VersionConflict`` when it has changed."""
        hedge = self._live(hedge_id, version)
        self.loop.close(hedge_id, reason)
        return hedge

    async def tolerate(self, hedge_id: UUID, tolerance: str | Decimal, version: int | None = None) -> Hedge:
        """Keep a hedge down to another 8-hour spread: a fraction or the name of a preset. Returns it once it is stored.

        Raises ``ConfigError`` for a hedge that is not open or a value that is none, ``VersionConflict``.
        """
        value = tolerance_of(tolerance)
        hedge = self._live(hedge_id, version)
        with self.bus.subscribe(100, HedgeChanged) as news:
            changed = self.state.put_intent(hedge.intent.edit(tolerance=value))
            self.loop.wake()
            await self._stored(news, hedge_id, changed.intent.version)
        return self.state.hedges[hedge_id]

    def scan(self) -> None:
        """Have the strategy look at every symbol now."""
        self.loop.scan_now()

    def refresh(self) -> None:
        """Have every account read again: ledgers, positions and balances."""
        for reader in self.readers.values():
            reader.want(fills=True, payments=True, positions=True, balance=True)

    def _live(self, hedge_id: UUID, version: int | None) -> Hedge:
        hedge = self.state.hedges.get(hedge_id)
        if hedge is None or not hedge.live:
            raise ConfigError(f"hedge {hedge_id} is not open")
        if version is not None and version != hedge.intent.version:
            raise VersionConflict(
                f"{hedge.symbol} has changed meanwhile (version {hedge.intent.version}, not {version}); look again"
            )
        return hedge

    async def _stored(self, news: Subscription, hedge_id: UUID, version: int) -> None:
        """Wait until the hedge is stored in this version; not for ever: a database that is down gets it later."""
        with anyio.move_on_after(DURABLE_SECONDS):
            while True:
                event = await news.get()
                if (
                    isinstance(event, HedgeChanged)
                    and event.hedge.id == hedge_id
                    and event.hedge.intent.version >= version
                ):
                    return


def tolerance_of(value: str | Decimal) -> Decimal:
    """A tolerance as it was written. Raises ``ConfigError``."""
    if isinstance(value, str) and value.strip().lower() in PRESETS:
        return PRESETS[value.strip().lower()]
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > MOST:
        raise ConfigError(
            f"a tolerance is a fraction from -{MOST} to {MOST}, or one of {', '.join(PRESETS)}; write one of them"
        )
    return number
