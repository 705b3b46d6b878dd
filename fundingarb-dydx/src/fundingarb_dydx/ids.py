"""Our client order ids and dYdX's: 32 bits of a hash, 32 bits that say which bot it was, and a UUID made of them.

dYdX keeps two numbers of a client with an order: ``clientId``, part of the order's identity, and ``clientMetadata``,
which it only echoes. A client order id of ours is longer than both together, so that the number is a hash of it and the
way back leads through the names this process knows: those it has used, and those it was told of on start.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from fundingarb.domain.control import instance_of

SHORT_TERM, LONG_TERM = 0, 64
"""Order flags: on the book of the validators for a few blocks, or in the state of the chain."""

_NAMESPACE = uuid.UUID("0f9da948-a6fb-4c45-9edc-4685c3f3317d")  # the indexer's, for every UUID it makes
_MARK = 0xFA1  # the upper 12 bits of the metadata of our orders; the lower 20 are the instance


@dataclass(frozen=True, slots=True)
class OrderNumber:
    """What dYdX keeps of a client order id."""

    client_id: int
    metadata: int


def number_of(name: str) -> OrderNumber:
    """The numbers of a client order id: always the same, so that they survive a restart."""
    digest = hashlib.sha256(name.encode()).digest()
    return OrderNumber(int.from_bytes(digest[:4], "big"), _metadata(instance_of(name)))


def _metadata(instance: str | None) -> int:
    """The mark with the bot's four characters (base 32, five bits each); 0 for an order that has none of ours."""
    if instance is None:
        return 0
    try:
        decoded = base64.b32decode((instance + "aaaa").upper())
    except ValueError:
        return 0
    return _MARK << 20 | int.from_bytes(decoded, "big") >> 20


def instance_in(metadata: int) -> str | None:
    """The four characters of the bot that made an order; None when the metadata is not ours."""
    if metadata >> 20 != _MARK:
        return None
    bits = ((metadata & 0xFFFFF) << 20).to_bytes(5, "big")
    return base64.b32encode(bits).decode().lower()[:4]


def subaccount_id(address: str, subaccount: int) -> str:
    """The indexer's UUID of a subaccount."""
    return str(uuid.uuid5(_NAMESPACE, f"{address}-{subaccount}"))


def order_id(subaccount: str, client_id: int, clob_pair_id: int, flags: int) -> str:
    """The indexer's UUID of an order, made of the subaccount's: known before the order is sent."""
    return str(uuid.uuid5(_NAMESPACE, f"{subaccount}-{client_id}-{clob_pair_id}-{flags}"))


KEPT = 10_000
"""So many names of finished orders are kept: fills may be read long after an order's end."""


class OrderNames:
    """The names that stand behind numbers on one subaccount, and what kind of order each is.

    A name is hashed when it becomes known, for its own market and both kinds of order, so that reading looks up and
    hashes nothing. It is forgotten only once its order is known to be over and ``KEPT`` others have ended since.
    """

    def __init__(self, subaccount: str) -> None:
        self.subaccount = subaccount
        self._markets: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._flags: dict[str, int] = {}
        self._symbols: dict[str, str] = {}
        self._unlisted: set[str] = set()
        self._ids: dict[str, tuple[str, ...]] = {}
        self._by_id: dict[str, str] = {}
        self._finished: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._symbols)

    def trade_on(self, clob_pair_ids: Mapping[str, int]) -> None:
        """The numbers of the order books, by symbol: where the orders of names are."""
        self._markets.update(clob_pair_ids)
        for name in [each for each in self._unlisted if self._symbols[each] in self._markets]:
            self._index(name)

    def remember(self, orders: Mapping[str, str]) -> None:
        """Orders of these names (with their symbols) were sent, or may have been. The first of two with one number is
        kept."""
        for name, symbol in orders.items():
            if self._names.setdefault(number_of(name).client_id, name) == name:
                self._take(name, symbol)

    def claim(self, name: str, symbol: str) -> OrderNumber | None:
        """The numbers to send ``name`` with; None when its number stands for another name."""
        number = number_of(name)
        if self._names.setdefault(number.client_id, name) != name:
            return None
        self._take(name, symbol)
        self._finished.pop(name, None)
        return number

    def finish(self, name: str) -> None:
        """Nothing more becomes of the order of ``name``."""
        if name not in self._symbols:
            return
        self._finished.pop(name, None)
        self._finished[name] = None
        if len(self._finished) > KEPT:
            self._forget(next(iter(self._finished)))

    def _take(self, name: str, symbol: str) -> None:
        if name in self._finished:
            self._finished[name] = self._finished.pop(name)  # somebody asks for it: it is the last to go
        elif name not in self._symbols:
            self._symbols[name] = symbol
            self._index(name)

    def _index(self, name: str) -> None:
        clob_pair_id = self._markets.get(self._symbols[name])
        if clob_pair_id is None:
            self._unlisted.add(name)
            return
        self._unlisted.discard(name)
        self._ids[name] = tuple(self.order_id(name, clob_pair_id, flags) for flags in (SHORT_TERM, LONG_TERM))
        for one in self._ids[name]:
            self._by_id.setdefault(one, name)

    def _forget(self, name: str) -> None:
        del self._finished[name], self._symbols[name], self._names[number_of(name).client_id]
        self._flags.pop(name, None)
        self._unlisted.discard(name)
        for one in self._ids.pop(name, ()):
            self._by_id.pop(one, None)

    def note_flags(self, name: str, flags: int) -> None:
        """``name`` was sent as an order of this kind."""
        self._flags[name] = flags

    def flags(self, name: str) -> tuple[int, ...]:
        """The kinds of order that ``name`` may be, the likelier first."""
        known = self._flags.get(name)
        return (LONG_TERM, SHORT_TERM) if known is None else (known,)

    def order_id(self, name: str, clob_pair_id: int, flags: int) -> str:
        """The exchange's id of the order that ``name`` is or would be."""
        return order_id(self.subaccount, number_of(name).client_id, clob_pair_id, flags)

    def name_of(self, client_id: int, metadata: int) -> str | None:
        """The name of an order; None for one of somebody else.

        An order that bears our mark and is not known (its row is gone, or another bot made it) gets a name that says
        which bot it was, so that it is told apart from a person's.
        """
        name = self._names.get(client_id)
        if name is not None and number_of(name).metadata == metadata:
            return name
        instance = instance_in(metadata)
        return None if instance is None else f"fa{instance}n{client_id:014d}"

    def name_of_fill(self, exchange_order_id: str, metadata: int) -> str | None:
        """The name of the order that a fill belongs to: fills carry the order's UUID, not its number."""
        name = self.name_of_id(exchange_order_id)
        if name is not None and number_of(name).metadata == metadata:
            return name
        instance = instance_in(metadata)
        return None if instance is None else f"fa{instance}n{exchange_order_id.replace('-', '')[:14]}"

    def name_of_id(self, exchange_order_id: str) -> str | None:
        """The known name whose order has this UUID, whatever the kind of order."""
        return self._by_id.get(exchange_order_id)
