"""Transactions as they are broadcast: ``TxRaw`` with its signer, and the order messages in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fundingarb_dydx.localnet.protobuf import DecodeError, Message, blob, decode, number, text

__all__ = [
    "Admitted",
    "BatchCancel",
    "CancelOrder",
    "OrderId",
    "PlaceOrder",
    "Transaction",
    "clob_messages",
    "decode_transaction",
    "sign_document",
]

LONG_TERM, CONDITIONAL, SHORT_TERM = 64, 32, 0
"""Order flags."""
IOC, POST_ONLY, FOK = 1, 2, 3
"""Times in force."""
PUBLIC_KEY = "/cosmos.crypto.secp256k1.PubKey"
DIRECT = 1
"""SIGN_MODE_DIRECT."""


@dataclass(frozen=True, slots=True)
class OrderId:
    """What names an order on the chain."""

    owner: str
    subaccount: int
    client_id: int
    flags: int
    clob_pair: int

    @property
    def short_term(self) -> bool:
        return self.flags == SHORT_TERM


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """``MsgPlaceOrder``. ``good_til`` is a block for short-term orders, unix seconds for the others."""

    id: OrderId
    side: int
    """1 buy, 2 sell."""
    quantums: int
    subticks: int
    good_til: int
    time_in_force: int
    """0 rests, 1 immediate or cancel, 2 post only, 3 fill or kill."""
    reduce_only: bool
    metadata: int
    router: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """``MsgCancelOrder``."""

    id: OrderId
    good_til: int


@dataclass(frozen=True, slots=True)
class BatchCancel:
    """``MsgBatchCancel``: short-term orders of one subaccount."""

    ids: tuple[OrderId, ...]
    owner: str
    good_til: int


ClobMessage = PlaceOrder | CancelOrder | BatchCancel


@dataclass(frozen=True, slots=True)
class Admitted:
    """A transaction that a node takes: who signed it, what it says, the last block that may have it (0: any)."""

    account: str
    message: ClobMessage
    timeout_height: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A decoded transaction; ``messages`` are (type URL, bytes)."""

    body: bytes
    auth_info: bytes
    signature: bytes
    public_key: bytes
    """Empty when the transaction names none."""
    sequence: int
    messages: tuple[tuple[str, bytes], ...]
    timeout_height: int = 0
    """The last block that may have it; 0: any."""


def decode_transaction(data: bytes) -> Transaction:
    """Read a ``TxRaw`` (or ``Tx``, whose encoding is the same). Raises ``DecodeError``."""
    raw = decode(data).only(1, 2, 3)
    body, auth_info = raw.blob(1), raw.blob(2)
    decoded = decode(body)
    messages = tuple(_any(part) for part in decoded.blobs(1))
    signers = decode(auth_info).only(1, 2, 3).blobs(1)
    signatures = raw.blobs(3)
    if not messages:
        raise DecodeError("no messages")
    if len(signers) != 1 or len(signatures) != 1:
        raise DecodeError("one signer is expected")
    signer = decode(signers[0]).only(1, 2, 3)
    public_key = b""
    if signer.has(1):
        kind, value = _any(signer.blob(1))
        if kind != PUBLIC_KEY:
            raise DecodeError(f"unable to resolve type URL {kind}")
        public_key = decode(value).blob(1)
    return Transaction(
        body, auth_info, signatures[0], public_key, signer.number(3), messages, decoded.number(3)
    )


def sign_document(transaction: Transaction, chain_id: str, account_number: int) -> bytes:
    """What the signature is over (``SignDoc``)."""
    return (
        blob(1, transaction.body)
        + blob(2, transaction.auth_info)
        + text(3, chain_id)
        + number(4, account_number)
    )


def _any(data: bytes) -> tuple[str, bytes]:
    wrapped = decode(data)
    return wrapped.text(1), wrapped.blob(2)


# -- order messages ----------------------------------------------------------------------------------------------


def _order_id(message: Message) -> OrderId:
    owner = message.only(1, 2, 3, 4).message(1).only(1, 2)
    return OrderId(owner.text(1), owner.number(2), message.number(2), message.number(3), message.number(4))


def _good_til(message: Message, order: OrderId, block: int, time: int) -> int:
    """The block of a short-term message, the time of another; 0 where the one that belongs to it is missing."""
    return message.number(block) if order.short_term else message.number(time)


def _place(message: Message) -> PlaceOrder:
    order = message.only(1).message(1).only(*range(1, 15))
    found = _order_id(order.message(1))
    return PlaceOrder(
        id=found,
        side=order.number(2),
        quantums=order.number(3),
        subticks=order.number(4),
        good_til=_good_til(order, found, 5, 6),
        time_in_force=order.number(7),
        reduce_only=bool(order.number(8)),
        metadata=order.number(9),
        router=order.text(14),
    )


def _cancel(message: Message) -> CancelOrder:
    found = _order_id(message.only(1, 2, 3).message(1))
    return CancelOrder(found, _good_til(message, found, 2, 3))


def _batch_cancel(message: Message) -> BatchCancel:
    owner = message.only(1, 2, 3).message(1).only(1, 2)
    ids = []
    for part in message.blobs(2):
        batch = decode(part).only(1, 2)
        ids += [
            OrderId(owner.text(1), owner.number(2), client_id, SHORT_TERM, batch.number(1))
            for client_id in batch.numbers(2)
        ]
    return BatchCancel(tuple(ids), owner.text(1), message.number(3))


_READERS: Mapping[str, Callable[[Message], ClobMessage]] = {
    "/dydxprotocol.clob.MsgPlaceOrder": _place,
    "/dydxprotocol.clob.MsgCancelOrder": _cancel,
    "/dydxprotocol.clob.MsgBatchCancel": _batch_cancel,
}


def clob_messages(transaction: Transaction) -> tuple[ClobMessage, ...]:
    """The order messages. Raises ``DecodeError`` for any other message: nothing else is offered here."""
    found = []
    for kind, value in transaction.messages:
        reader = _READERS.get(kind)
        if reader is None:
            raise DecodeError(f"unable to resolve type URL {kind}")
        found.append(reader(decode(value)))
    return tuple(found)
