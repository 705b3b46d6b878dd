"""Our client order ids and dYdX's: 32 bits of a hash, 32 bits that say which bot it was, and a UUID made of them.

dYdX keeps two numbers of a client with an order: ``clientId``, part of the order's identity, and ``clientMetadata``,
which it only echoes. A client order id of ours is longer than both together, so that the number is a hash of it and the
way back leads through the names this process knows: those it has used, and those it was told of on start.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterable
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


class OrderNames:
    """The names that stand behind numbers on one subaccount, and what kind of order each is."""

    def __init__(self, subaccount: str) -> None:
        self.subaccount = subaccount
        self._names: dict[int, str] = {}
        self._flags: dict[str, int] = {}
        self._by_id: dict[str, str] = {}
        self._indexed: dict[int, int] = {}

    def trade_on(self, clob_pair_ids: Iterable[int]) -> None:
        """Orders of the known names may be on these order books."""
        for clob_pair_id in clob_pair_ids:
            self._indexed.setdefault(clob_pair_id, 0)

    def remember(self, names: Iterable[str]) -> None:
        """Orders of these names were sent, or may have been. The first of two with one number is kept."""
        for name in names:
            self._names.setdefault(number_of(name).client_id, name)

    def claim(self, name: str) -> OrderNumber | None:
        """The numbers to send ``name`` with; None when its number stands for another name."""
        number = number_of(name)
        return number if self._names.setdefault(number.client_id, name) == name else None

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
        """The known name whose order has this UUID, whatever the market and the kind of order."""
        for clob_pair_id, indexed in self._indexed.items():
            if indexed < len(self._names):
                for name in list(self._names.values())[indexed:]:
                    for flags in (SHORT_TERM, LONG_TERM):
                        self._by_id[self.order_id(name, clob_pair_id, flags)] = name
                self._indexed[clob_pair_id] = len(self._names)
        return self._by_id.get(exchange_order_id)
