"""What ccxt gets wrong and ``transactions`` does instead. A test that fails here says which workaround can go."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import ccxt  # type: ignore[import-untyped]
import pytest
from tests.exchanges.dydx import samples
from tests.exchanges.dydx.test_transactions import BTC, order

from fundingarb_dydx import transactions
from fundingarb_dydx.ids import number_of
from fundingarb_dydx.transactions import Expiry

SYMBOL = "BTC/USDC:USDC"


def exchange(*, repaired: bool) -> Any:
    """ccxt with the market as the indexer sends it, or (``repaired``) with its resolutions as strings."""
    found = ccxt.dydx()
    found.walletAddress = samples.ADDRESS
    row = copy.deepcopy(samples.MARKETS["markets"]["BTC-USD"])
    if repaired:
        row |= {"atomicResolution": "-10", "quantumConversionExponent": "-9"}
    found.set_markets([found.parse_market(row)])
    return found


def request(**params: Any) -> dict[str, Any]:
    made = exchange(repaired=True)
    defaults = {"clientOrderId": 7, "timeInForce": "IOC", "latestBlockHeight": 100, "goodTillBlock": 105}
    price = params.pop("price", 43001)
    body: dict[str, Any] = made.create_order_request(
        SYMBOL, "limit", "buy", 0.0123, price, {**defaults, **params}
    )[1]
    found: dict[str, Any] = body["value"]["order"]
    return found


def test_the_resolutions_the_indexer_sends_are_not_understood() -> None:
    """Repaired: ``place`` may use ``create_order_request`` for what it can do."""
    with pytest.raises((TypeError, AttributeError)):
        exchange(repaired=False).create_order_request(
            SYMBOL, "limit", "buy", 0.01, 43001, {"timeInForce": "IOC", "latestBlockHeight": 1}
        )


def test_a_client_id_that_is_no_number_is_replaced_by_a_random_one() -> None:
    """Repaired (refused): ``ids`` stays, the check may go."""
    assert request(clientOrderId=samples.NAME)["orderId"]["clientId"] != samples.NAME
    assert isinstance(request(clientOrderId=samples.NAME)["orderId"]["clientId"], int)


def test_an_order_without_a_price_has_none() -> None:
    """Repaired (a worst price is found): ``orders`` need not do it."""
    made = exchange(repaired=True)
    parameters = {"latestBlockHeight": 100}
    with pytest.raises((ccxt.InvalidOrder, TypeError, AttributeError)):
        made.create_order_request(SYMBOL, "market", "buy", 0.0123, 0, parameters)
    body = made.create_order_request(SYMBOL, "market", "buy", 0.0123, None, parameters)[1]
    assert not float(body["value"]["order"]["subticks"] or 0)


def test_every_order_names_a_router_of_ccxt() -> None:
    """Repaired: nothing depends on it; the message may then be ccxt's."""
    assert request()["orderRouterAddress"].startswith("dydx1")


def test_client_metadata_cannot_be_given() -> None:
    """Repaired: the mark of the bot can go through ccxt."""
    assert request(clientMetadata=5)["clientMetadata"] == 0


@pytest.mark.parametrize("tif", ["PO", "FOK"])
def test_times_in_force_that_are_refused(tif: str) -> None:
    with pytest.raises(ccxt.InvalidOrder):
        request(timeInForce=tif)


def test_a_transaction_has_no_last_block() -> None:
    """Repaired: ``Signer.sign`` need not put ``timeout_height`` in."""
    made = exchange(repaired=True)
    account = {"account_number": "1", "pub_key": {"key": samples.ACCOUNT["info"]["pub_key"]["key"]}}
    message = transactions.cancel(samples.ADDRESS, 0, 7, 64, 0, Expiry(time=1_700_000_000))
    _, document = made.encode_dydx_tx_for_signing(message, "", "dydx-testnet-4", account, None)
    from ccxt.static_dependencies.dydx_v4_client.cosmos.tx.v1beta1.tx_pb2 import (  # type: ignore[import-untyped]
        TxBody,
    )

    assert TxBody.FromString(document.body_bytes).timeout_height == 0


def test_two_transactions_of_one_millisecond_have_one_sequence() -> None:
    """Repaired: ``Signer`` need not count itself."""
    from ccxt.static_dependencies.dydx_v4_client.cosmos.tx.v1beta1.tx_pb2 import AuthInfo

    made = exchange(repaired=True)
    made.milliseconds = lambda: 1_700_000_000_000
    account = {"account_number": "1", "pub_key": {"key": samples.ACCOUNT["info"]["pub_key"]["key"]}}
    message = transactions.cancel(samples.ADDRESS, 0, 7, 64, 0, Expiry(time=1_700_000_000))
    documents = [made.encode_dydx_tx_for_signing(message, "", "c", account, None)[1] for _ in range(2)]
    one, two = (AuthInfo.FromString(each.auth_info_bytes).signer_infos[0].sequence for each in documents)
    assert one == two


def test_a_transaction_is_broadcast_by_a_get() -> None:
    """Repaired (there is a POST): ``DydxAdapter`` need not make the request itself."""
    ways = ccxt.dydx().api["nodeRpc"]
    assert [way for way in ways if "broadcast_tx_sync" in ways[way]] == ["get"]


@pytest.mark.parametrize("body", [{"errors": [{"msg": "Order not found"}]}, {}])
def test_what_the_indexer_does_not_have_is_taken_for_an_outage(body: dict[str, Any]) -> None:
    """Repaired: ``DydxAdapter.read_known`` may ask for ccxt's error instead of HTTP 404."""
    made, text = ccxt.dydx(), json.dumps(body)
    url = "https://indexer.dydx.trade/v4/orders/1"
    assert made.handle_errors(404, "Not Found", url, "GET", {}, text, body, {}, "") is None
    with pytest.raises(ccxt.ExchangeNotAvailable):
        made.handle_http_status_code(404, "Not Found", url, "GET", text)


def test_an_account_that_never_sent_anything_cannot_sign() -> None:
    """Repaired: ``Signer.sign`` need not put the public key in, which the chain does not know yet."""
    message = transactions.cancel(samples.ADDRESS, 0, 7, 64, 0, Expiry(time=1_700_000_000))
    account = {**samples.ACCOUNT["info"], "pub_key": None}
    with pytest.raises((TypeError, AttributeError)):
        exchange(repaired=True).encode_dydx_tx_for_signing(message, "", "dydx-testnet-4", account, None)
    account["pub_key"] = {"key": samples.ACCOUNT["info"]["pub_key"]["key"]}
    assert exchange(repaired=True).encode_dydx_tx_for_signing(message, "", "dydx-testnet-4", account, None)


def test_leaving_the_sandbox_leads_to_the_testnet() -> None:
    """Repaired: nothing changes, ``set_sandbox_mode`` is not used."""
    made = ccxt.dydx()
    assert made.options["chainName"] == "dydx-mainnet-1"
    made.set_sandbox_mode(False)
    assert made.options["chainName"] == "dydx-testnet-4"


def test_what_ccxt_does_right_is_the_same_here() -> None:
    theirs, new = request(), order(client_id=samples.NAME)
    assert new.price is not None
    message = transactions.place(
        samples.ADDRESS, 0, new, new.price, number_of(new.client_id), BTC, Expiry(block=105)
    )
    ours = message["value"]["order"]
    for name in ("side", "goodTilBlock", "timeInForce", "reduceOnly"):
        assert ours[name] == theirs[name], name
    for name in ("quantums", "subticks"):
        assert ours[name] == int(Decimal(str(theirs[name]))), name
    for name in ("subaccountId", "orderFlags"):
        assert ours["orderId"][name] == theirs["orderId"][name], name
    assert str(ours["orderId"]["clobPairId"]) == str(theirs["orderId"]["clobPairId"])
    assert json.dumps(message)
