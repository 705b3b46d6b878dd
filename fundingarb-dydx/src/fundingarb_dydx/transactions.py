"""Orders and cancels as signed transactions of the chain.

ccxt brings dYdX's protobuf messages, encodes them and signs; what it gets wrong is done here: exact integers for size
and price, the client id we chose, our own router address (none), a time stamp that never repeats, and a height after
which nobody takes the transaction any more. ``tests/exchanges/dydx/test_workarounds.py`` says when which of it can go.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import coincurve
from bech32 import bech32_encode, convertbits
from ccxt.static_dependencies.dydx_v4_client.cosmos.tx.v1beta1.tx_pb2 import (  # type: ignore[import-untyped]
    SignDoc,
    TxBody,
)
from Crypto.Hash import RIPEMD160

from fundingarb.domain.order import NewOrder, OrderSide, TimeInForce
from fundingarb.errors import AuthenticationFailed, BadMessage, ExchangeError
from fundingarb_dydx.ids import LONG_TERM, SHORT_TERM, OrderNumber

PLACE, CANCEL = "/dydxprotocol.clob.MsgPlaceOrder", "/dydxprotocol.clob.MsgCancelOrder"
_SIDES = {OrderSide.BUY: 1, OrderSide.SELL: 2}
_TIME_IN_FORCE = {TimeInForce.GTC: 0, TimeInForce.IOC: 1, TimeInForce.POST_ONLY: 2}


@dataclass(frozen=True, slots=True)
class Scale:
    """How a market counts: integers on the chain for its steps of size and price, as the indexer lists them."""

    clob_pair_id: int
    step_size: Decimal
    step_quantums: int
    tick_size: Decimal
    tick_subticks: int

    def quantums(self, quantity: Decimal) -> int:
        """``quantity`` as the chain counts it. Raises ``ExchangeError`` when it is no multiple of the step."""
        return _whole(quantity / self.step_size, "size", quantity) * self.step_quantums

    def subticks(self, price: Decimal) -> int:
        """``price`` as the chain counts it. Raises ``ExchangeError`` when it is no multiple of the tick."""
        return _whole(price / self.tick_size, "price", price) * self.tick_subticks


def _whole(steps: Decimal, what: str, value: Decimal) -> int:
    if steps <= 0 or steps != steps.to_integral_value():
        raise ExchangeError(
            f"dydx: a {what} of {value} is no multiple of the market's step", code=f"{what}-step"
        )
    return int(steps)


@dataclass(frozen=True, slots=True)
class Expiry:
    """The last block an order may be in (short-term), or the second until which it may rest (long-term)."""

    block: int | None = None
    time: int | None = None

    @property
    def fields(self) -> Mapping[str, int]:
        return (
            {"goodTilBlock": self.block} if self.block is not None else {"goodTilBlockTime": self.time or 0}
        )


def flags_of(order: NewOrder) -> int:
    """What cannot rest is short-term, what may rest is long-term."""
    return SHORT_TERM if order.time_in_force is TimeInForce.IOC else LONG_TERM


def _order_id(owner: str, subaccount: int, client_id: int, flags: int, clob_pair_id: int) -> dict[str, Any]:
    return {
        "subaccountId": {"owner": owner, "number": subaccount},
        "clientId": client_id,
        "orderFlags": flags,
        "clobPairId": clob_pair_id,
    }


def place(
    owner: str,
    subaccount: int,
    order: NewOrder,
    price: Decimal,
    number: OrderNumber,
    scale: Scale,
    expiry: Expiry,
) -> dict[str, Any]:
    """The message that places ``order`` at ``price`` or better. Raises ``ExchangeError`` for what cannot be sent."""
    body = {
        "orderId": _order_id(owner, subaccount, number.client_id, flags_of(order), scale.clob_pair_id),
        "side": _SIDES[order.side],
        "quantums": scale.quantums(order.quantity),
        "subticks": scale.subticks(price),
        **expiry.fields,
        "timeInForce": _TIME_IN_FORCE[order.time_in_force],
        "reduceOnly": order.reduce_only,
        "clientMetadata": number.metadata,
    }
    return {"typeUrl": PLACE, "value": {"order": body}}


def cancel(
    owner: str, subaccount: int, client_id: int, flags: int, clob_pair_id: int, expiry: Expiry
) -> dict[str, Any]:
    """The message that cancels an order; it counts until ``expiry``, which must not be before the order's own."""
    body = {"orderId": _order_id(owner, subaccount, client_id, flags, clob_pair_id), **expiry.fields}
    return {"typeUrl": CANCEL, "value": body}


def private_key_of(text: str) -> str:
    """A private key as 64 hexadecimal digits, whatever is around them. ``AuthenticationFailed`` for what is none."""
    digits = text.strip().removeprefix("0x")
    if re.fullmatch("[0-9A-Fa-f]{64}", digits, re.ASCII):
        try:
            coincurve.PrivateKey(bytes.fromhex(digits))
        except ValueError:  # zero, or beyond the curve's order
            pass
        else:
            return digits.lower()
    raise AuthenticationFailed(
        "dydx: api_secret is not a secp256k1 key of 64 hexadecimal digits (the chain's key, no seed phrase)"
    )


def public_key_of(private_key: str) -> bytes:
    """The public key (compressed) of a private one in hexadecimal. ``AuthenticationFailed`` for what is none."""
    key = coincurve.PrivateKey(bytes.fromhex(private_key_of(private_key)))
    return key.public_key.format(compressed=True)


def address_of(public_key: bytes) -> str:
    """The chain's address of a public key: RIPEMD-160 of its SHA-256, in bech32. No other key ever signs for it, except
    those that its owner permitted on the chain (authenticators), which transactions made here do not name."""
    digest = RIPEMD160.new(hashlib.sha256(public_key).digest()).digest()
    return str(bech32_encode("dydx", convertbits(digest, 8, 5) or ()))


class Signer:
    """The key of one address on one chain; ``public_key`` as the chain writes it.

    ``exchange`` is ccxt's dydx, whose ``milliseconds`` show the chain's time. The sequence of a transaction is a time
    stamp, which the chain takes within half a minute of its own time and only once: two in one millisecond get
    different ones.
    """

    def __init__(self, exchange: Any, address: str, private_key: str, chain_id: str) -> None:
        self.address = address
        self._exchange = exchange
        self._chain_id = chain_id
        self._key = private_key_of(private_key)
        self.public_key = base64.b64encode(public_key_of(private_key)).decode()
        clock: Callable[[], int] = exchange.milliseconds
        last = 0

        def sequence() -> int:
            nonlocal last
            last = max(last + 1, clock())
            return last

        exchange.milliseconds = sequence

    def sign(self, message: Mapping[str, Any], account_number: int, timeout_height: int) -> str:
        """``message`` as a transaction in hexadecimal; no block above ``timeout_height`` takes it."""
        account = {"account_number": str(account_number), "pub_key": {"key": self.public_key}}
        try:
            _, document = self._exchange.encode_dydx_tx_for_signing(
                message, "", self._chain_id, account, None
            )
        except Exception as error:
            raise BadMessage(f"dydx: a transaction that cannot be encoded: {error}") from error
        body = TxBody.FromString(document.body_bytes)
        body.timeout_height = timeout_height
        document = SignDoc(
            body_bytes=body.SerializeToString(),
            auth_info_bytes=document.auth_info_bytes,
            chain_id=self._chain_id,
            account_number=account_number,
        )
        digest = hashlib.sha256(document.SerializeToString()).hexdigest()
        try:
            signature = self._exchange.sign_hash(digest, self._key)
            signed: str = self._exchange.encode_dydx_tx_raw(document, signature["r"] + signature["s"])
        except Exception as error:
            raise BadMessage("dydx: a transaction that cannot be signed") from error
        return signed
