"""What of the vault a bot needs: keys of its network, other secrets, and whether it was ever sent live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from fundingarb.config import Config
from fundingarb.config.digest import setup_digest
from fundingarb.errors import ConfigError
from fundingarb.golive.switch import simulation_database
from fundingarb.ports import Clock, Secret
from fundingarb.store import SqlStore, remember_password
from fundingarb.surroundings import Surroundings, Venue
from fundingarb.vault import LiveApproval, Vault, VaultError


class Unlocked(NamedTuple):
    """What the vault gives for one network. ``approval`` is that of this set-up for live trading."""

    around: Surroundings
    secrets: Mapping[str, Secret]
    journal_key: Secret | None = None
    approval: LiveApproval | None = None
    vault: Vault | None = None


async def unlocked(config: Config, around: Surroundings) -> Unlocked:
    """``around`` with the accounts that the vault has for this network, and what else of the vault a bot needs.

    Raises ``ConfigError`` for a network that needs a vault when there is none.
    """
    local = config.network == "localnet"
    if around.unlock is None:
        if local:
            return Unlocked(around, {})
        raise ConfigError(
            f"network {config.network} needs the credentials vault; give the program a way to open it"
        )
    vault = await anyio.to_thread.run_sync(around.unlock, abandon_on_cancel=True)
    if local:
        return Unlocked(around, vault.secrets)
    venues: dict[str, Venue] = {}
    for one in vault.accounts():
        if one.network == config.network:
            known = venues.get(one.exchange, Venue())
            venues[one.exchange] = Venue(accounts={**known.accounts, one.name: one.credentials})
    found = replace(around, venues=venues, ca_file=None, run=None)
    return Unlocked(found, vault.secrets, vault.journal_key, vault.approval(setup_digest(config)), vault)


def take_database_password(config: Config, unlock: Callable[[], Vault]) -> None:
    """Have this process connect with the vault's database password, where the configuration says so.

    Raises ``ConfigError`` when the vault has none.
    """
    if not config.database.password_in_vault:
        return
    found = unlock().secrets.get("database-password")
    if found is None:
        raise ConfigError(
            "database.password_in_vault: the vault has no database-password; add it with: "
            "fundingarb vault add secret database-password"
        )
    remember_password(found)


def refuse_unapproved(config: Config, approval: LiveApproval | None) -> None:
    """Raise ``ConfigError`` for a bot that would trade with real money without ever having been sent live."""
    if config.network != "mainnet":
        return
    if config.origin is not None and config.origin.network != "mainnet":
        said = config.origin.network or "nothing of it"
        raise ConfigError(
            f"network mainnet: {config.origin.path} says {said}; neither --set nor the environment goes live: "
            "fundingarb go-live writes it there"
        )
    if approval is None:
        raise ConfigError(
            "network mainnet: these accounts, this strategy and these plugins were never sent live; run them on "
            f"testnet for {config.simulation.min_hours} hours, then: fundingarb go-live"
        )
    if config.plugins.allow is None:
        raise ConfigError("plugins.allow: with real money only plugins that are named may load; name them")


async def bind_approval(config: Config, vault: Vault, store: SqlStore, clock: Clock) -> None:
    """Have the set-up's approval be good for this database and no other, however that is moved or restored.

    Raises ``ConfigError`` when it was used for another one, and ``VaultError`` when its use cannot be noted.
    """
    found = [one for one in vault.approvals() if one.setup == setup_digest(config)]
    known = await store.live_mark()
    chosen = next((one for one in found if one.mark(vault.journal_key) == known), None)
    if chosen is None:
        chosen = next((one for one in found if not one.used), None)
        if chosen is None:
            raise ConfigError(
                "database.url: this set-up was sent live with another database; name that one (or a backup that was "
                "restored), or simulate and go live again"
            )
        await store.set_live_mark(chosen.mark(vault.journal_key), clock.now())
    if not chosen.used:
        vault.use(chosen)
        await anyio.to_thread.run_sync(vault.save)


async def end_approvals(config: Config, vault: Vault) -> Sequence[LiveApproval]:
    """Take back what a simulation was sent live with that starts again, and save the vault; what that is.

    A simulation is known by its database, and by its file as long as that says so itself. Raises ``VaultError``.
    """
    database = simulation_database(config)
    origin = config.origin
    file = "" if origin is None or origin.network == "mainnet" else str(origin.path.resolve())
    ended = [one for one in vault.approvals() if one.simulation == database or (file and one.file == file)]
    for one in ended:
        vault.withdraw(one)
    if ended:
        await anyio.to_thread.run_sync(vault.save)
    return ended


@dataclass(frozen=True)
class VaultOwner:
    """A ``ports.Owner``: opens the bot's vault with the password. One attempt at a time, each takes its memory."""

    vault: Path
    key: Secret
    turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def confirm(self, password: Secret) -> None:
        async with self.turn:
            opened = await anyio.to_thread.run_sync(Vault.open, self.vault, password.reveal())
        if opened.journal_key.reveal() != self.key.reveal():
            raise VaultError(f"{self.vault} is another vault than the bot was started with; restart the bot")
