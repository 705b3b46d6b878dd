"""Whose commands are taken: one person, who has proved with a code from this machine that the chat is theirs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from fundingarb.builtin.telegram.files import read_document, write_document
from fundingarb.domain.control import plain
from fundingarb.errors import ConfigError

ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
LENGTH = 10
LIFE = timedelta(minutes=10)
"""How long a code may be used."""
TRIES = 3
"""Wrong codes of one person after which nothing more of them is looked at, until there is a new code."""
ALL_TRIES = 50
"""Wrong codes of everybody after which the code is withdrawn."""

WHAT = "the Telegram pairing"


class Claim(Enum):
    """What became of a code that was sent."""

    PAIRED = "paired"
    WRONG = "wrong code"
    IGNORED = "no code is open"


@dataclass(frozen=True, slots=True)
class Owner:
    """The one person who is served, by Telegram's number for them; ``name`` is only for people."""

    user_id: int
    name: str
    paired_at: datetime


class Pairing:
    """The file that says who is served, and which code makes somebody the one who is.

    The code itself is not in it. Every method reads the file anew: the command line writes it too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def owner(self) -> Owner | None:
        """Raises ``ConfigError`` when the file cannot be trusted."""
        found = read_document(self.path, WHAT).get("owner")
        if found is None:
            return None
        try:
            user_id, name = int(found["user_id"]), str(found["name"])
            return Owner(user_id, name, datetime.fromisoformat(found["paired_at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{WHAT} {self.path} lacks {error}; pair again") from error

    @property
    def wrong_codes(self) -> int:
        """How many wrong codes have come in since there is a code."""
        return sum(self._tries(self._offer()).values())

    def offer(self, now: datetime) -> str:
        """A new code, which is the only one from now on; who is served stays until it is used."""
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        salt = secrets.token_hex(16)
        offer = {"salt": salt, "digest": _digest(salt, code), "until": (now + LIFE).isoformat(), "tries": {}}
        self._write(offer=offer)
        return code

    def withdraw(self) -> None:
        """No code is open any more."""
        if self._offer():
            self._write(offer=None)

    def forget(self) -> None:
        """Nobody is served any more, and no code is open."""
        self._write(offer=None, owner=None)

    def claim(self, code: str, user_id: int, name: str, now: datetime) -> Claim:
        """Somebody sends a code, in a private chat. The right one is used up with that."""
        offer = self._offer()
        tries = self._tries(offer)
        if not offer or now > datetime.fromisoformat(str(offer["until"])):
            return Claim.IGNORED
        if tries.get(str(user_id), 0) >= TRIES:
            return Claim.IGNORED
        if hmac.compare_digest(_digest(str(offer["salt"]), _tidy(code)), str(offer["digest"])):
            owner = {"user_id": user_id, "name": plain(name, 64), "paired_at": now.isoformat()}
            self._write(offer=None, owner=owner)
            return Claim.PAIRED
        tries[str(user_id)] = tries.get(str(user_id), 0) + 1
        self._write(offer=None if sum(tries.values()) >= ALL_TRIES else {**offer, "tries": tries})
        return Claim.WRONG

    @property
    def open(self) -> bool:
        """Whether there is a code."""
        return bool(self._offer())

    def _offer(self) -> Mapping[str, Any]:
        return read_document(self.path, WHAT).get("offer") or {}

    @staticmethod
    def _tries(offer: Mapping[str, Any]) -> dict[str, int]:
        return {str(who): int(count) for who, count in dict(offer.get("tries", {})).items()}

    def _write(self, **changed: Any) -> None:
        write_document(self.path, {**read_document(self.path, WHAT), **changed}, WHAT)


def shown(code: str) -> str:
    """The code as people copy it: in two halves."""
    return f"{code[: LENGTH // 2]}-{code[LENGTH // 2 :]}"


def utc_now() -> datetime:
    """The wall clock: Telegram's messages have its time, also where the bot's own clock runs faster."""
    return datetime.now(timezone.utc)


def _tidy(code: str) -> str:
    return "".join(char for char in code.upper() if char.isalnum())[: 4 * LENGTH]


def _digest(salt: str, code: str) -> str:
    return hashlib.scrypt(code.encode(), salt=bytes.fromhex(salt), n=2**12, r=8, p=1).hex()
