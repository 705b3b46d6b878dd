"""The switch from simulation to live (``ports.LiveDesk``): hours, review, master password, in that order."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import anyio
import anyio.to_thread

from fundingarb.config import Config
from fundingarb.config.digest import configuration_digest, setup_digest
from fundingarb.config.document import document_of
from fundingarb.config.edit import edited, replacement
from fundingarb.domain.control import AuditEntry, plain
from fundingarb.domain.events import Severity
from fundingarb.domain.pnl import HedgePnl, hedge_pnl
from fundingarb.errors import ConfigError, FundingArbError, StoreError
from fundingarb.ports import Clock, HedgeBooks, LiveReview, Secret, Store
from fundingarb.store.database import parse_url
from fundingarb.vault import LiveApproval, Vault, VaultError
from fundingarb.vault.journal import simulated

ENOUGH = 100_000
"""Rows of the audit that are looked through: years of simulation."""
PART = 500
TICKET_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Ticket:
    configuration: str
    until: float


class LiveSwitch:
    """A ``ports.LiveDesk`` over a database, a vault's file and the configuration in force.

    ``key`` authenticates the journal. ``config`` gives what is in force, whose file is changed.
    """

    def __init__(
        self, store: Store, clock: Clock, config: Callable[[], Config], vault: Path, key: Secret
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._vault = vault
        self._key = key
        self._tickets: dict[str, _Ticket] = {}
        self._turn = anyio.Lock()
        self._sent = ""

    async def review(self) -> LiveReview:
        """See ``ports.LiveDesk``."""
        config = self._config()
        audited = await self._store.audited(limit=ENOUGH)
        took = await anyio.to_thread.run_sync(simulated, audited, self._key, configuration_digest(config))
        hours = Decimal(int(took.total_seconds())) / 3600
        results = await self._results()
        alerts = await self._store.alerts(limit=10_000)
        obstacles = self._obstacles(config, hours)
        return LiveReview(
            network=config.network,
            at=self._clock.now(),
            hours=hours,
            needed=config.simulation.min_hours,
            hedges=len(results),
            result=sum((each.realized for each in results), Decimal(0)),
            funding=sum((each.funding for each in results), Decimal(0)),
            fees=sum((each.fees for each in results), Decimal(0)),
            critical_alerts=sum(alert.severity is Severity.CRITICAL for alert in alerts),
            obstacles=tuple(obstacles),
            ticket="" if obstacles else self._new_ticket(config),
            sent=self._sent,
        )

    def _obstacles(self, config: Config, hours: Decimal) -> list[str]:
        needed = config.simulation.min_hours
        if config.network != "testnet":
            return [f"network is {config.network}; going live starts from a simulation on testnet"]
        found = []
        if hours < needed:
            found.append(
                f"{hours:.1f} of {needed} hours were simulated with this configuration; run it on testnet for longer"
            )
        if config.plugins.allow is None:
            found.append("plugins.allow is not set; list the plugins that may load with real money")
        if not config.accounts:
            found.append("accounts is empty; name the accounts to trade on")
        return found

    async def _results(self) -> list[HedgePnl]:
        """The accounts of all hedges that are over."""
        found: list[HedgePnl] = []
        last: HedgeBooks | None = None
        while True:
            part: Sequence[HedgeBooks] = await self._store.closed(
                after=None if last is None else last.hedge.id, limit=PART
            )
            found += await anyio.to_thread.run_sync(_added_up, part)
            if len(part) < PART:
                return found
            last = part[-1]

    def _new_ticket(self, config: Config) -> str:
        now = time.monotonic()
        self._tickets = {key: one for key, one in self._tickets.items() if one.until > now}
        ticket = secrets.token_urlsafe(16)
        self._tickets[ticket] = _Ticket(configuration_digest(config), now + TICKET_SECONDS)
        return ticket

    async def go_live(self, password: Secret, ticket: str, actor: str) -> str:
        """See ``ports.LiveDesk``."""
        async with self._turn:
            try:
                text = await self._go_live(password, ticket, actor)
            except Exception as error:
                said = str(error) if isinstance(error, FundingArbError) else type(error).__name__
                await self._audit(actor, False, said)
                raise
            self._sent = f"{self._clock.now():%Y-%m-%d %H:%M} UTC: {text}"
            await self._audit(actor, True, text)
            return text

    async def _go_live(self, password: Secret, ticket: str, actor: str) -> str:
        known = self._tickets.pop(ticket, None)
        config = self._config()
        if (
            known is None
            or known.until < time.monotonic()
            or known.configuration != configuration_digest(config)
        ):
            raise ConfigError("the review is over, or the configuration has changed since; review it again")
        vault = await anyio.to_thread.run_sync(Vault.open, self._vault, password.reveal())
        if vault.journal_key.reveal() != self._key.reveal():
            raise VaultError(f"{self._vault} is another vault than the one that simulated; use that one")
        review = await self.review()
        missing = [
            f"the vault has no keys of {name} on mainnet; fundingarb vault add account {name} "
            f"--exchange {section.exchange} --network mainnet"
            for name, section in config.accounts.items()
            if (found := vault.account(name, "mainnet")) is None or found.exchange != section.exchange
        ]
        if review.obstacles or missing:
            raise ConfigError((*review.obstacles, *missing)[0])
        text = None if config.origin is None else live_text(config)
        origin = config.origin
        approval = LiveApproval(
            setup_digest(config),
            self._clock.now(),
            float(review.hours),
            plain(actor),
            simulation_database(config),
            "" if origin is None else str(origin.path.resolve()),
        )
        vault.approve(approval)
        if text is None or origin is None:
            await anyio.to_thread.run_sync(vault.save)
            return "approved; set network: mainnet and start the bot again"
        with replacement(origin.path, text) as put:
            await anyio.to_thread.run_sync(vault.save)
            try:
                put()
            except OSError as error:
                vault.withdraw(approval)
                await anyio.to_thread.run_sync(vault.save)
                raise ConfigError(f"{origin.path}: cannot be written: {error}; nothing was changed") from None
        where = "" if live_url(config) else ", after you have named an empty database in database.url"
        return f"{origin.path} says network: mainnet now; start the bot again to trade with real money{where}"

    async def _audit(self, actor: str, ok: bool, result: str) -> None:
        entry = AuditEntry(self._clock.now(), plain(actor), "GO_LIVE", {}, ok, plain(result, 500))
        try:
            await self._store.audit(entry)
        except StoreError:
            if ok:
                raise


def _added_up(part: Sequence[HedgeBooks]) -> list[HedgePnl]:
    """Not in the bot's loop, which has to trade meanwhile."""
    return [hedge_pnl(each.hedge, each.fills, each.payments, each.settlements) for each in part]


def simulation_database(config: Config) -> str:
    """The database of ``config`` by a name that is the same wherever the program starts."""
    return str(parse_url(config.database.url))


def live_url(config: Config) -> str | None:
    """A database for real money beside that of the simulation; None for a server, where somebody has to make one."""
    url = config.database.url
    if not url.startswith("sqlite") or url.endswith("-live.db"):
        return None
    return f"{url.removesuffix('.db')}-live.db"


def live_text(config: Config) -> str:
    """The configuration's file with ``network: mainnet`` and a database of its own, and nothing else changed.

    Raises ``ConfigError``.
    """
    origin = config.origin
    if origin is None:
        raise ConfigError("this configuration is not of a file")
    try:
        before = origin.path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{origin.path}: cannot be read: {error}; nothing was changed") from None
    wanted = document_of(config)
    wanted["network"] = "mainnet"
    paths = ["network"]
    if live_url(config) is not None:
        wanted["database"]["url"] = live_url(config)
        paths.append("database.url")
    for name, section in config.accounts.items():
        for key, given, live in (
            ("testnet", section.testnet, False),
            ("network", section.network, "mainnet"),
        ):
            if given is not None:
                wanted["accounts"][name][key] = live
                paths.append(f"accounts.{name}.{key}")
    text = edited(before, paths, wanted)
    after = origin.read(text)
    if after.network != "mainnet" or configuration_digest(after) != configuration_digest(config):
        raise ConfigError(
            f"{origin.path} cannot be switched by itself: the environment, the command line or an edit that was not "
            "loaded says otherwise; correct that and review it again"
        )
    return text
