"""What is in the vault: accounts with their keys by network, named secrets, and what was approved for live trading."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fundingarb.ports import AccountCredentials, Secret
from fundingarb.vault.files import read_private, write_private
from fundingarb.vault.password import check_strength
from fundingarb.vault.seal import DEFAULT_COSTS, Costs, Lock, VaultError, unseal

FILE_NAME = "credentials.vault"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}")
LONGEST_VALUE = 8192
NETWORKS = ("testnet", "mainnet")
"""Networks whose keys are kept; those of a localnet are in its ready file."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """The keys of one account on one network. The same name may have keys on the other network too."""

    name: str
    exchange: str
    network: str
    values: Mapping[str, Secret]

    @property
    def credentials(self) -> AccountCredentials:
        return AccountCredentials(self.name, self.values)


@dataclass(frozen=True, slots=True)
class LiveApproval:
    """That somebody with the master password sent the set-up ``setup`` (a digest) live, after so many hours.

    ``simulation`` and ``file`` are the database and the configuration's file that were simulated with (empty: none);
    ``used`` whether a database has been traded on with it: it is good for that one from then on.
    """

    setup: str
    at: datetime
    hours: float
    actor: str
    simulation: str = ""
    file: str = ""
    used: bool = False

    def mark(self, key: Secret) -> str:
        """What the database that it is used for has of it; only who has the vault's ``key`` can make one."""
        text = json.dumps(["fundingarb live", self.setup, self.at.isoformat()]).encode()
        return hmac.new(bytes.fromhex(key.reveal()), text, hashlib.sha256).hexdigest()


class Vault:
    """An open vault. Nothing of it is written until ``save``."""

    def __init__(self, path: Path, lock: Lock, content: Mapping[str, Any], blob: bytes | None) -> None:
        self.path = path
        self._lock = lock
        self._blob = blob
        self._accounts = {
            (one["name"], one["network"]): StoredAccount(
                one["name"],
                one["exchange"],
                one["network"],
                {field: Secret(value) for field, value in one["values"].items()},
            )
            for one in content["accounts"]
        }
        self._secrets = {name: Secret(value) for name, value in content["secrets"].items()}
        self._approvals = [
            LiveApproval(**{**one, "at": datetime.fromisoformat(one["at"]), "hours": float(one["hours"])})
            for one in content["approvals"]
        ]
        self.journal_key = Secret(content["journal_key"])
        """What the journal of simulated hours is authenticated with; hexadecimal."""

    @classmethod
    def create(cls, path: Path, password: str, costs: Costs = DEFAULT_COSTS) -> Vault:
        """A new, empty vault in a file that does not exist yet. Raises ``VaultError``."""
        content = {"accounts": [], "secrets": {}, "approvals": [], "journal_key": os.urandom(32).hex()}
        vault = cls(path, Lock.new(check_strength(password), costs), content, None)
        vault.save()
        return vault

    @classmethod
    def open(cls, path: Path, password: str) -> Vault:
        """The vault in ``path``. Raises ``VaultError``, and ``WrongPassword``."""
        blob = read_private(path)
        lock, content = unseal(password, blob, path)
        document = json.loads(content)
        if document.get("format") != FORMAT:
            raise VaultError(
                f"{path} is a vault of another version; use the version of fundingarb that made it"
            )
        return cls(path, lock, document, blob)

    def save(self) -> None:
        """Write it, in place of what was read. Raises ``VaultError`` when that has changed meanwhile."""
        content = {
            "format": FORMAT,
            "journal_key": self.journal_key.reveal(),
            "accounts": [
                {
                    "name": one.name,
                    "exchange": one.exchange,
                    "network": one.network,
                    "values": {field: value.reveal() for field, value in one.values.items()},
                }
                for one in self.accounts()
            ],
            "secrets": {name: value.reveal() for name, value in self._secrets.items()},
            "approvals": [{**asdict(one), "at": one.at.isoformat()} for one in self._approvals],
        }
        blob = self._lock.seal(json.dumps(content).encode())
        write_private(self.path, blob, expected=self._blob)
        self._blob = blob

    def rekey(self, password: str, costs: Costs = DEFAULT_COSTS) -> None:
        """Write it under another password, with another salt and another key. Raises ``VaultError``."""
        self._lock = Lock.new(check_strength(password), costs)
        self.save()

    # accounts

    def accounts(self) -> Iterator[StoredAccount]:
        """Every account, sorted."""
        for key in sorted(self._accounts):
            yield self._accounts[key]

    def account(self, name: str, network: str) -> StoredAccount | None:
        return self._accounts.get((name, network))

    def put_account(self, account: StoredAccount) -> None:
        """Add an account, or replace its keys. Raises ``VaultError`` for what cannot be one."""
        _check_name(account.name)
        if account.network not in NETWORKS:
            raise VaultError(f"keys are kept for {' and '.join(NETWORKS)}, not for {account.network}")
        if not account.values:
            raise VaultError(f"{account.name}: an account needs keys; give them")
        for field, value in account.values.items():
            if not FIELD.fullmatch(field):
                raise VaultError(f"{account.name}: a key's name has lower-case letters, digits and _")
            _check_value(f"{account.name} {field}", value)
        self._accounts[account.name, account.network] = account

    def remove_account(self, name: str, network: str) -> None:
        """Raises ``VaultError`` when there is none."""
        if self._accounts.pop((name, network), None) is None:
            raise VaultError(f"the vault has no account {name} on {network}; see: fundingarb vault show")

    # other secrets

    @property
    def secrets(self) -> Mapping[str, Secret]:
        """The secrets that are no account's, by name."""
        return dict(self._secrets)

    def put_secret(self, name: str, value: Secret) -> None:
        _check_name(name)
        _check_value(name, value)
        self._secrets[name] = value

    def remove_secret(self, name: str) -> None:
        """Raises ``VaultError`` when there is none."""
        if self._secrets.pop(name, None) is None:
            raise VaultError(f"the vault has no secret {name}; see: fundingarb vault show")

    # live

    def approval(self, setup: str) -> LiveApproval | None:
        """The last approval of this set-up; None when it was never sent live."""
        return next((one for one in reversed(self._approvals) if one.setup == setup), None)

    def approvals(self) -> Sequence[LiveApproval]:
        """Every approval, the newest first."""
        return self._approvals[::-1]

    def withdraw(self, approval: LiveApproval) -> None:
        """It has never been given, from here on."""
        self._approvals = [one for one in self._approvals if one != approval]

    def use(self, approval: LiveApproval) -> None:
        """A database is traded on with it."""
        self._approvals = [replace(one, used=True) if one == approval else one for one in self._approvals]

    def approve(self, approval: LiveApproval) -> None:
        self._approvals = [*self._approvals[-19:], approval]


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise VaultError("a name has lower-case letters, digits, - and _, 40 at most; choose another one")


def _check_value(what: str, value: Secret) -> None:
    text = value.reveal()
    if not text.strip() or len(text) > LONGEST_VALUE or not text.replace("\n", "").isprintable():
        raise VaultError(f"{what} is empty, too long or not plain text; paste it again")
