"""What runs beside the bot: alert sinks and services, and what services may do with a bot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable
from uuid import UUID

from fundingarb.domain.control import AuditEntry, OpenLeg
from fundingarb.domain.events import Alert, Event
from fundingarb.domain.funding import SettledRate
from fundingarb.domain.hedge import CloseReason, Hedge
from fundingarb.domain.market import RateBook
from fundingarb.domain.order import Balance
from fundingarb.ports.configuring import ConfigDesk
from fundingarb.ports.context import Clock
from fundingarb.ports.live import LiveDesk, Owner
from fundingarb.ports.rows import (
    Calculation,
    HedgeAccount,
    HedgeView,
    HistoryRow,
    MarketRows,
    Opportunities,
    OrderRow,
    Summary,
    Vitals,
)
from fundingarb.ports.store import Store


class AlertSink(Protocol):
    async def send(self, alert: Alert) -> None:
        """Deliver; raising means it was not delivered. Never called from the trading loop."""
        ...


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account as a person should see it; ``halted`` says why entries are off, None when they are on."""

    account: str
    exchange: str
    balance: Balance | None
    halted: str | None


@dataclass(frozen=True, slots=True)
class BotStatus:
    """The bot at a glance. ``state`` is RUNNING, PAUSED, KILLED or STARTING; ``waiting_for`` is one sentence.

    ``failed_services`` is service -> why it has ended by itself; the bot goes on without it."""

    state: str
    network: str
    started_at: datetime
    last_scan: datetime | None
    accounts: tuple[AccountStatus, ...]
    streams: Mapping[str, bool]
    pending_orders: int
    waiting_for: str
    failed_services: Mapping[str, str] = field(default_factory=dict)


class Events(Protocol):
    """A bounded queue of committed events. Whoever is slow loses the oldest; ``missed`` counts those."""

    missed: int

    async def get(self) -> Event:
        """The next event; waits for one."""
        ...

    def take(self) -> Event | None:
        """The next event; None when there is none."""
        ...


class BotHandle(Protocol):
    """What services and an embedding program may do with a running bot, from its own event loop only.

    What it returns are immutable values that may be handed to other threads, computed when they are asked for.
    """

    @property
    def clock(self) -> Clock: ...

    @property
    def rates(self) -> RateBook: ...

    @property
    def store(self) -> Store: ...

    @property
    def config(self) -> ConfigDesk | None:
        """Changing the configuration; None of a bot that was put together without one."""
        ...

    @property
    def live(self) -> LiveDesk | None:
        """Going live; None of a bot that does not simulate on testnet."""
        ...

    @property
    def owner(self) -> Owner | None:
        """Who a person has to prove to be to release the kill switch; None where no master password is in use."""
        ...

    def status(self) -> BotStatus: ...

    def events(self, size: int = 1000, *kinds: type) -> AbstractContextManager[Events]:
        """Events of ``kinds`` (all, when none is named) as they are committed; at most ``size`` wait."""
        ...

    def live_hedges(self) -> Sequence[Hedge]: ...

    async def hedge_view(self, hedge: Hedge) -> HedgeView:
        """``hedge`` as it is now. Raises ``StoreError`` while its account cannot be read."""
        ...

    def market_rows(self, cursor: int = 0, limit: int | None = None) -> MarketRows:
        """The rate table: every row, or those that have changed since ``cursor`` was handed out.

        2,000 rows take some milliseconds; with a ``limit`` the rest is had with the cursor that is handed out."""
        ...

    def vitals(self) -> Vitals: ...

    def opportunities(self) -> Opportunities:
        """The candidates of the last full scan, best first, those that were refused with the reason."""
        ...

    def account_named(self, name: str) -> str:
        """The account that ``name`` means: the one of that name, or the only one on the exchange of that name.

        Raises ``ConfigError`` with the names there are, or those that an exchange's name may mean."""
        ...

    def calculate(self, symbol: str, long: str, short: str, size_usd: Decimal) -> Calculation:
        """A hedge between two accounts, each by a name as ``account_named`` takes it, in numbers and without any gate.

        Raises ``ConfigError`` with what is not known yet, naming it."""
        ...

    async def summary(self) -> Summary:
        """What all hedges have brought. Raises ``StoreError``."""
        ...

    async def history(self, after: UUID | None = None, limit: int = 100) -> Sequence[HistoryRow]:
        """Hedges that are over, the last closed first; ``after`` goes on behind that one. Raises ``StoreError``."""
        ...

    async def account_of(self, hedge_id: UUID) -> HedgeAccount:
        """Everything of one hedge, live or over. Raises ``ConfigError`` when there is none, ``StoreError``."""
        ...

    async def funding_history(
        self, symbol: str, exchanges: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[SettledRate]]:
        """Exchange -> rates that were charged, oldest first. Raises ``ConfigError`` for what is not listed there, and
        ``ExchangeError`` when an exchange has to be asked and does not answer."""
        ...

    async def blotter(self, limit: int = 100) -> Sequence[OrderRow]:
        """The newest orders of all hedges. Raises ``StoreError``."""
        ...

    async def alerts(self, limit: int = 100) -> Sequence[Alert]:
        """The newest alerts. Raises ``StoreError``."""
        ...

    # Commands are stored before they are done and audited with their result. ``actor`` names who asks. The first with a
    # ``key`` is done, once; whoever repeats the key, also after a restart, gets its result. Each raises ``ConfigError``
    # with what is in the way, and ``StoreError`` when it cannot be stored: then repeat it with its key.

    async def open_hedge(
        self, symbol: str, long: str, short: str, size_usd: Decimal, actor: str = ..., key: str | None = None
    ) -> UUID:
        """Open by hand between two accounts, each by a name as ``account_named`` takes it, unless a risk rule says no;
        the hedge's id once it is stored."""
        ...

    async def close_hedge(
        self,
        hedge_id: UUID,
        reason: CloseReason = CloseReason.MANUAL,
        version: int | None = None,
        actor: str = ...,
        key: str | None = None,
    ) -> None:
        """Have a hedge closed, also while the database does not answer. ``VersionConflict`` when it is not at
        ``version`` any more."""
        ...

    async def set_tolerance(
        self,
        hedge_id: UUID,
        tolerance: str | Decimal,
        version: int | None = None,
        actor: str = ...,
        key: str | None = None,
    ) -> int:
        """Keep a hedge down to another 8-hour spread, a fraction or the name of a preset; the new version."""
        ...

    async def pause(self, actor: str = ..., key: str | None = None) -> None:
        """Entries off, also after a restart; open hedges are looked after as before."""
        ...

    async def resume(self, actor: str = ..., key: str | None = None) -> None:
        """Entries on again."""
        ...

    async def scan(self, actor: str = ..., key: str | None = None) -> None:
        """Have the strategy look at every symbol now."""
        ...

    async def refresh(self, actor: str = ..., key: str | None = None) -> None:
        """Have every account read again soon."""
        ...

    async def kill(self, actor: str, key: str | None = None) -> None:
        """Latch the kill switch: entries off, everything on every account cancelled and closed, until released.

        Returns when it is latched; its result is audited when everything is flat."""
        ...

    async def release(self, actor: str, key: str | None = None) -> None:
        """Release the kill switch; raises ``ConfigError`` while something is not flat, naming it."""
        ...

    async def audit(self, limit: int = 100) -> Sequence[AuditEntry]:
        """Who did what, the newest first. Raises ``StoreError``."""
        ...

    @property
    def killed(self) -> bool:
        """Whether the kill switch is latched."""
        ...

    @property
    def not_flat(self) -> Sequence[OpenLeg]:
        """What a latched kill switch has not closed yet, leg by leg with the reason."""
        ...

    @property
    def foreign(self) -> Sequence[OpenLeg]:
        """Positions on our accounts, as last read, that no hedge of ours holds: a kill closes them too."""
        ...

    @property
    def flattened(self) -> bool:
        """Whether the kill switch is latched and every account was seen flat."""
        ...


class Service(Protocol):
    """Something that runs beside the bot (the dashboard)."""

    async def start(self, bot: BotHandle) -> None:
        """Start serving; returns once it is up. Closing the component stops it.

        ``ConfigError`` refuses the bot's start. Whatever else fails, here or later in a task of the component, ends
        this service alone: the bot goes on, and says so."""
        ...

    @property
    def url(self) -> str | None: ...


@runtime_checkable
class ListeningSink(AlertSink, Protocol):
    """An alert sink from which people also command the bot (Telegram)."""

    async def listen(self, bot: BotHandle) -> None:
        """Take commands for ``bot`` until the sink is closed. Returns at once, also when nothing can be heard there."""
        ...


@runtime_checkable
class CheckableSink(AlertSink, Protocol):
    """An alert sink that can be asked whether it would deliver."""

    async def check(self) -> str | None:
        """Why an alert would not arrive, and what to do about it, in one line; None when it would. Sends nothing."""
        ...
