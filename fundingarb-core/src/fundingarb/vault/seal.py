"""Bytes under a password: Argon2id makes a key of it, that key wraps a random one, and AES-GCM seals with that.

The file is a header of fixed size, the wrapped data key and the sealed content. The whole header (costs, salt, nonces,
length) is associated data of both, so that no byte of it can be changed. Costs out of bounds are refused before
anything is derived: less would make guessing cheap, more would let a file of somebody else's take all memory.
"""

from __future__ import annotations

import os
import struct
import unicodedata
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from fundingarb.errors import ConfigError, WrongPassword

MAGIC = b"fundarb\x00"
VERSION = 1
ARGON2ID = 1
HEADER = struct.Struct(">8sBBIII16s12s12sI")
"""Magic, version, kdf, memory (KiB), passes, lanes, salt, nonces of key and content, length of the rest."""
KEY_BYTES = 32
TAG_BYTES = 16
WRAPPED = KEY_BYTES + TAG_BYTES
LARGEST = 1_000_000
"""Bytes of a vault; more than this is some other file."""


class VaultError(ConfigError):
    """The vault cannot be used. Nothing starts; of a command: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one guess of the password costs: memory in KiB, passes over it, lanes."""

    memory: int
    passes: int
    lanes: int

    def within(self, least: Costs, most: Costs) -> bool:
        return (
            least.memory <= self.memory <= most.memory
            and least.passes <= self.passes <= most.passes
            and least.lanes <= self.lanes <= most.lanes
            and self.memory >= 8 * self.lanes
        )


DEFAULT_COSTS = Costs(64 * 1024, 3, 4)
LEAST_COSTS = Costs(19 * 1024, 2, 1)
"""The least that OWASP recommends; whatever asks for less was not made by this program."""
MOST_COSTS = Costs(1024 * 1024, 10, 8)


@dataclass(frozen=True, slots=True)
class Lock:
    """The key that a password gives with a salt. Content is sealed with it as often as wanted."""

    costs: Costs
    salt: bytes
    key: bytes

    @classmethod
    def new(cls, password: str, costs: Costs = DEFAULT_COSTS) -> Lock:
        """A lock with a fresh salt. Raises ``VaultError`` for costs out of bounds."""
        return cls.derived(password, costs, os.urandom(16))

    @classmethod
    def derived(cls, password: str, costs: Costs, salt: bytes) -> Lock:
        if not costs.within(LEAST_COSTS, MOST_COSTS):
            raise VaultError(
                "the vault asks for key-derivation costs that are out of bounds; restore a backup"
            )
        kdf = Argon2id(
            salt=salt, length=KEY_BYTES, iterations=costs.passes, lanes=costs.lanes, memory_cost=costs.memory
        )
        try:
            return cls(costs, salt, kdf.derive(_bytes(password)))
        except MemoryError:
            raise VaultError(f"opening the vault takes {costs.memory // 1024} MiB of memory") from None

    def seal(self, content: bytes) -> bytes:
        """``content`` under a fresh key and fresh nonces."""
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        key_nonce, nonce = os.urandom(12), os.urandom(12)
        costs = self.costs
        header = HEADER.pack(
            MAGIC, VERSION, ARGON2ID, costs.memory, costs.passes, costs.lanes, self.salt, key_nonce, nonce,
            WRAPPED + len(content) + TAG_BYTES,
        )  # fmt: skip
        wrapped = AESGCM(self.key).encrypt(key_nonce, data_key, header)
        return header + wrapped + AESGCM(data_key).encrypt(nonce, content, header)


def unseal(password: str, blob: bytes, where: object) -> tuple[Lock, bytes]:
    """What is in ``blob``, and the lock that it was sealed with.

    Raises ``VaultError`` for what is no vault of this version, and ``WrongPassword``.
    """
    header, costs, salt, key_nonce, nonce = _parsed(blob, where)
    lock = Lock.derived(password, costs, salt)
    rest = blob[HEADER.size :]
    try:
        data_key = AESGCM(lock.key).decrypt(key_nonce, rest[:WRAPPED], header)
        return lock, AESGCM(data_key).decrypt(nonce, rest[WRAPPED:], header)
    except InvalidTag:
        raise WrongPassword(
            f"{where}: the password does not open it (or the file was changed); try again, or restore a backup"
        ) from None


def _parsed(blob: bytes, where: object) -> tuple[bytes, Costs, bytes, bytes, bytes]:
    """Header, costs, salt and nonces, after every check that needs no key."""
    if len(blob) < HEADER.size or not blob.startswith(MAGIC):
        raise VaultError(f"{where} is not a vault; make one with: fundingarb vault create")
    header = blob[: HEADER.size]
    _, version, kdf, memory, passes, lanes, salt, key_nonce, nonce, length = HEADER.unpack(header)
    if version != VERSION or kdf != ARGON2ID:
        raise VaultError(f"{where} is a vault of another version; use the version of fundingarb that made it")
    costs = Costs(memory, passes, lanes)
    if not costs.within(LEAST_COSTS, MOST_COSTS):
        raise VaultError(
            f"{where} asks for key-derivation costs that are out of bounds, so it was changed; restore a backup"
        )
    if length != len(blob) - HEADER.size or length < WRAPPED + TAG_BYTES:
        raise VaultError(f"{where} is not complete; restore a backup")
    return header, costs, salt, key_nonce, nonce


def _bytes(password: str) -> bytes:
    """The password as bytes: the same however the keyboard composes accents."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
