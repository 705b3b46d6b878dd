"""The chain itself: blocks, accounts, sequences and nonces."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

__all__ = ["Chain", "ChainAccount", "NonceRefused"]

FIRST_HEIGHT = 50_000_000
"""Height at the start of the localnet."""
FIRST_ACCOUNT = 4000
TIMESTAMP_NONCE = 1 << 40
"""From here on a sequence is a timestamp in milliseconds."""
NONCE_WINDOW_MS = 30_000
"""How far a timestamp nonce may be from the block time, both ways (real milliseconds)."""
NONCES_KEPT = 20


class NonceRefused(Exception):
    """A sequence the chain does not take; the text of the raw log."""


@dataclass(slots=True)
class ChainAccount:
    """An address with its key, number and what it has used up of its sequences."""

    name: str
    address: str
    public_key: bytes
    number: int
    sequence: int = 0
    nonces: list[int] = field(default_factory=list)
    """The newest timestamp nonces, ascending."""
    ejected: int = 0
    """The highest nonce that fell out of ``nonces``; nothing at or below it is taken any more."""
    stateful: deque[int] = field(default_factory=deque)
    """Heights at which long-term orders were placed or cancelled lately."""

    def check(self, sequence: int, age_ms: float) -> None:
        """Raise ``NonceRefused`` unless it may be used. ``age_ms``: how old it would be as a timestamp (real)."""
        if sequence < TIMESTAMP_NONCE:
            if sequence != self.sequence:
                raise NonceRefused(
                    f"account sequence mismatch, expected {self.sequence}, got {sequence}: "
                    "incorrect account sequence"
                )
            return
        if abs(age_ms) > NONCE_WINDOW_MS:
            raise NonceRefused(
                f"timestamp nonce {sequence} not within valid time window: incorrect account sequence"
            )
        if sequence <= self.ejected or sequence in self.nonces:
            raise NonceRefused(f"timestamp nonce {sequence} rejected: incorrect account sequence")
        if len(self.nonces) >= NONCES_KEPT and sequence < self.nonces[0]:
            raise NonceRefused(f"timestamp nonce {sequence} rejected: incorrect account sequence")

    def use(self, sequence: int) -> None:
        """Use up a sequence that was checked."""
        if sequence < TIMESTAMP_NONCE:
            self.sequence += 1
            return
        if len(self.nonces) >= NONCES_KEPT:
            self.ejected = self.nonces.pop(0)
        self.nonces.append(sequence)
        self.nonces.sort()


class Chain:
    """Blocks since the start. Before it a block a second is assumed, for heights of what is older."""

    def __init__(self, start_ms: int) -> None:
        self._times = [start_ms]
        self.accounts: dict[str, ChainAccount] = {}
        """By address."""

    @property
    def height(self) -> int:
        """Of the last block."""
        return FIRST_HEIGHT + len(self._times) - 1

    @property
    def time_ms(self) -> int:
        """Of the last block."""
        return self._times[-1]

    def extend(self, time_ms: int) -> int:
        """Add a block; its height."""
        self._times.append(max(time_ms, self._times[-1] + 1))
        return self.height

    def height_at(self, time_ms: int) -> int:
        """Of the block something belongs to that happened then: the first block not before it."""
        if time_ms <= self._times[0]:
            return FIRST_HEIGHT - (self._times[0] - time_ms) // 1000
        return FIRST_HEIGHT + bisect_right(self._times, time_ms - 1)

    def last_at(self, time_ms: int) -> int:
        """Height of the last block that was made by then."""
        return max(FIRST_HEIGHT, FIRST_HEIGHT + bisect_right(self._times, time_ms) - 1)

    def time_of(self, height: int) -> int:
        """Unix milliseconds of a block; the last one's for heights to come."""
        index = height - FIRST_HEIGHT
        if index < 0:
            return self._times[0] + index * 1000
        return self._times[min(index, len(self._times) - 1)]

    def add_account(self, name: str, address: str, public_key: bytes) -> None:
        number = FIRST_ACCOUNT + len(self.accounts)
        self.accounts[address] = ChainAccount(name, address, public_key, number)
