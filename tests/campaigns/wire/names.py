"""The names of our orders on exchanges that keep numbers instead: dYdX's ``clientId`` and ``clientMetadata``.

The rule is written down here a second time, apart from the adapter, so that a mistake in the adapter's shows: the
number is the first 32 bits of the SHA-256 of the name; the metadata are the mark fa1 (hexadecimal, 12 bits) and the
four characters of the bot (base 32, 20 bits).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
MARK = 0xFA1


def numbers(name: str) -> tuple[int, int]:
    """``clientId`` and ``clientMetadata`` that an order of this name must have."""
    instance, value = name[2:6], 0
    if not name.startswith("fa") or not set(instance) <= set(ALPHABET) or len(name) != 21:
        return _number(name), 0
    for letter in instance:
        value = value * 32 + ALPHABET.index(letter)
    return _number(name), MARK * 2**20 + value


def _number(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


class Names:
    """Finds the name behind an order's numbers among ``known()``, which is asked again for numbers it did not have."""

    def __init__(self, known: Callable[[], Iterable[str]]) -> None:
        self._known = known
        self._names: dict[tuple[int, int], str] = {}

    def of(self, client_id: str, extra: Mapping[str, str]) -> str:
        """``client_id``, or what stands for the numbers; ``fa?NUMBER`` for an order with our mark and no known name."""
        if "clientId" not in extra:
            return client_id
        key = int(extra["clientId"]), int(extra["clientMetadata"])
        if key not in self._names:
            self._names = {numbers(name): name for name in self._known()}
        unknown = f"fa?{key[0]}" if key[1] >> 20 == MARK else ""
        return self._names.get(key, unknown)

    def put_into(self, accounts: Mapping[str, Mapping[str, Any]]) -> None:
        """Name the orders and fills of every account of ``GET /truth``."""
        for account in accounts.values():
            of_id = {}
            for row in (*account["orders"], *account["open_orders"]):
                row["client_id"] = of_id[row["id"]] = self.of(row["client_id"], row["extra"])
            for fill in account["fills"]:
                fill["client_id"] = of_id.get(fill["order_id"], fill["client_id"])
