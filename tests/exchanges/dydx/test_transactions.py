"""Orders and cancels as transactions: exact integers, a last block, signatures that verify."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import ccxt.async_support as ccxt  # type: ignore[import-untyped]
import coincurve
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.exchanges.dydx import samples

from fundingarb.domain.order import NewOrder, OrderSide, TimeInForce
from fundingarb.errors import AuthenticationFailed, BadMessage, ExchangeError
from fundingarb.exchanges.parse import decode
from fundingarb_dydx import messages, schema, transactions
from fundingarb_dydx.ids import LONG_TERM, SHORT_TERM, number_of
from fundingarb_dydx.localnet import keys
from fundingarb_dydx.localnet.transactions import PlaceOrder, clob_messages, decode_transaction
from fundingarb_dydx.transactions import Expiry, Scale, Signer

KEY = "11" * 32
BTC = messages.scale(samples.listed()["BTC-USD"])
ETH = messages.scale(samples.listed()["ETH-USD"])


def order(**changes: Any) -> NewOrder:
    values: dict[str, Any] = {
        "client_id": samples.NAME,
        "symbol": "BTC-USDT",
        "side": OrderSide.BUY,
        "quantity": Decimal("0.0123"),
        "price": Decimal(43001),
        "time_in_force": TimeInForce.IOC,
        "reduce_only": False,
    }
    return NewOrder(**{**values, **changes})


def signer(chain: str = "dydx-testnet-4", key: str = KEY) -> Signer:
    exchange = ccxt.dydx()
    exchange.milliseconds = lambda: 1_700_000_000_000
    return Signer(exchange, samples.ADDRESS, key, chain)


def placed(new: NewOrder, expiry: Expiry, scale: Scale = BTC) -> dict[str, Any]:
    assert new.price is not None
    return transactions.place(samples.ADDRESS, 0, new, new.price, number_of(new.client_id), scale, expiry)


def sent(message: dict[str, Any], timeout: int = 105) -> tuple[Any, Any]:
    """(transaction, its order or cancel), as somebody reads it who knows nothing of this code."""
    text = signer().sign(message, 42, timeout)
    transaction = decode_transaction(bytes.fromhex(text.removeprefix("0x")))
    (body,) = clob_messages(transaction)
    return transaction, body


@given(st.integers(1, 2**255))
def test_the_address_of_a_key_is_the_localnets(number: int) -> None:
    """Two ways to the same address: the localnet's was written from the documentation, with another library's curve."""
    public = transactions.public_key_of(f"{number:064x}")
    assert public == keys.public_key_of(number)
    assert transactions.address_of(public) == keys.address_of(public)


def test_the_address_of_a_known_key() -> None:
    """The first key of Cosmos chains of the words "abandon ... about", as others publish it (with this prefix)."""
    known = transactions.public_key_of("c4a48e2fce1481cd3294b4490f6678090ea98d3d0e5cd984558ab0968741b104")
    assert transactions.address_of(known) == "dydx19rl4cm2hmr8afy4kldpxz3fka4jguq0a4erelz"


def test_sizes_and_prices_are_exact_integers() -> None:
    assert BTC.quantums(Decimal("0.0123")) == 123 * 10**6
    assert BTC.subticks(Decimal(43001)) == 43001 * 10**5
    assert ETH.quantums(Decimal("2.001")) == 2001 * 10**6
    assert ETH.subticks(Decimal("2300.5")) == 23005 * 10**5


@pytest.mark.parametrize("quantity", ["0", "0.00001", "0.00015", "-0.0001"])
def test_what_is_no_multiple_of_the_step_is_not_rounded(quantity: str) -> None:
    with pytest.raises(ExchangeError, match="no multiple"):
        BTC.quantums(Decimal(quantity))


def test_a_market_whose_steps_do_not_agree_with_its_resolutions_is_refused() -> None:
    broken = samples.market("BTC-USD", "0", stepBaseQuantums=100)
    with pytest.raises(BadMessage, match="not what the chain counts in"):
        messages.scale(decode(schema.Market, json.dumps(broken).encode(), "market"))


def test_what_cannot_rest_is_short_term() -> None:
    _, body = sent(placed(order(reduce_only=True), Expiry(block=105)))
    assert isinstance(body, PlaceOrder)
    assert (body.id.owner, body.id.subaccount, body.id.clob_pair) == (samples.ADDRESS, 0, 0)
    assert (body.id.client_id, body.metadata) == (samples.NUMBER.client_id, samples.NUMBER.metadata)
    assert (body.id.flags, body.time_in_force, body.good_til, body.reduce_only) == (SHORT_TERM, 1, 105, True)
    assert (body.side, body.quantums, body.subticks, body.router) == (1, 123 * 10**6, 43001 * 10**5, "")


@pytest.mark.parametrize(("tif", "sent_as"), [(TimeInForce.GTC, 0), (TimeInForce.POST_ONLY, 2)])
def test_what_may_rest_is_long_term(tif: TimeInForce, sent_as: int) -> None:
    new = order(time_in_force=tif, side=OrderSide.SELL)
    _, body = sent(placed(new, Expiry(time=1_700_003_600)))
    assert (body.id.flags, body.time_in_force, body.good_til, body.side) == (
        LONG_TERM,
        sent_as,
        1_700_003_600,
        2,
    )


def test_a_cancel_names_the_order() -> None:
    message = transactions.cancel(samples.ADDRESS, 3, 77, LONG_TERM, 1, Expiry(time=1_700_003_660))
    _, body = sent(message)
    assert (body.id.subaccount, body.id.client_id, body.id.flags, body.id.clob_pair) == (3, 77, LONG_TERM, 1)
    assert body.good_til == 1_700_003_660


def test_no_block_after_the_last_one_takes_it() -> None:
    from ccxt.static_dependencies.dydx_v4_client.cosmos.tx.v1beta1.tx_pb2 import (  # type: ignore[import-untyped]
        TxBody,
        TxRaw,
    )

    text = signer().sign(placed(order(), Expiry(block=105)), 42, 105)
    raw = TxRaw.FromString(bytes.fromhex(text[2:]))
    assert TxBody.FromString(raw.body_bytes).timeout_height == 105


@pytest.mark.parametrize("chain", ["dydx-mainnet-1", "dydx-testnet-4"])
def test_signatures_verify_on_their_chain_and_account_only(chain: str) -> None:
    from ccxt.static_dependencies.dydx_v4_client.cosmos.tx.v1beta1.tx_pb2 import SignDoc, TxRaw

    made = signer(chain)
    raw = TxRaw.FromString(bytes.fromhex(made.sign(placed(order(), Expiry(block=105)), 42, 105)[2:]))
    public = coincurve.PublicKey(base64.b64decode(made.public_key))
    compact = coincurve.ecdsa.cdata_to_der(coincurve.ecdsa.deserialize_compact(raw.signatures[0]))
    for signed_for, account, valid in ((chain, 42, True), ("dydx-localnet-1", 42, False), (chain, 43, False)):
        document = SignDoc(
            body_bytes=raw.body_bytes,
            auth_info_bytes=raw.auth_info_bytes,
            chain_id=signed_for,
            account_number=account,
        )
        assert public.verify(compact, document.SerializeToString()) is valid


def test_two_transactions_of_one_millisecond_have_two_sequences() -> None:
    made = signer()
    sequences = []
    for _ in range(3):
        text = made.sign(placed(order(), Expiry(block=105)), 42, 105)
        sequences.append(decode_transaction(bytes.fromhex(text[2:])).sequence)
    assert sequences == [1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_002]


@pytest.mark.parametrize(
    "key", ["", "xyz", "11", "11" * 31, "11" * 33, "00" * 32, "1 " * 64, "abandon ability able about"]
)
def test_what_is_no_key_is_told(key: str) -> None:
    with pytest.raises(AuthenticationFailed, match="no seed phrase"):
        Signer(ccxt.dydx(), samples.ADDRESS, key, "dydx-testnet-4")


def test_a_key_that_was_pasted_with_what_stands_around_it_signs_the_same() -> None:
    message = placed(order(), Expiry(block=105))
    pasted = signer(key=f"  0x{KEY.upper()}\n")
    assert pasted.sign(message, 42, 105) == signer().sign(message, 42, 105)
