"""dYdX's official client trades on the dYdX localnet: the indexer's REST and websocket, the node's gRPC.

It runs in an environment of its own (``dydx_environment``), whose folder is in FUNDINGARB_DYDX_CLIENT.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.clients.conftest import Running
from tests.clients.dydx_environment import CLIENT, interpreter
from tests.needs import need

ENVIRONMENT = "FUNDINGARB_DYDX_CLIENT"
D = Decimal


@pytest.fixture(scope="module")
def exchange(localnets: Running) -> Any:
    return localnets.exchange("dydx")


@pytest.fixture(scope="module")
def found(exchange: Any) -> Any:
    """What the client found and did, in one go."""
    folder = Path(os.environ.get(ENVIRONMENT, "dydx-client"))
    python = interpreter(folder)
    how = f"python -m tests.clients.dydx_environment FOLDER, and set {ENVIRONMENT}=FOLDER"
    need(python.exists(), f"{CLIENT} in an environment of its own", how)
    script = Path(__file__).with_name("dydx_official.py")
    # nothing of this environment's packages may reach the other one
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), str(script)],
        input=json.dumps(exchange),
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_markets(found: Any) -> None:
    reading = found["reading"]
    markets = reading["markets"]["markets"]
    assert {"BTC-USD", "ETH-USD", "PEPE-USD"} <= set(markets)
    assert (markets["ETH-USD"]["atomicResolution"], markets["ETH-USD"]["clobPairId"]) == (-9, "1")
    book = reading["book"]
    bids, asks = ([D(row["price"]) for row in book[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    rows = reading["funding"]["historicalFunding"]
    assert [row["ticker"] for row in rows] == ["ETH-USD"] * 3
    assert len({row["effectiveAt"] for row in rows}) == 3
    assert len(reading["trades"]["trades"]) == len(reading["candles"]["candles"]) == 3


def test_time_and_blocks(found: Any) -> None:
    reading = found["reading"]
    assert reading["time"]["epoch"] == pytest.approx(time.time(), abs=120)
    assert 0 <= reading["block"] - int(reading["height"]["height"]) <= 10


def test_the_account_is_the_one_its_words_name(found: Any, exchange: Any) -> None:
    reading = found["reading"]
    assert reading["address"] == exchange["accounts"][0]["api_key"]
    assert reading["number"] > 0
    assert D(reading["subaccount"]["subaccount"]["equity"]) == 100_000


def test_an_order_fills(found: Any) -> None:
    filling = found["filling"]
    assert (filling["code"], filling["log"]) == (0, "[]")
    (fill,) = filling["fills"]["fills"]
    (position,) = filling["positions"]["positions"]
    (order,) = [row for row in filling["orders"] if row["clientId"] == "101"]
    assert (order["status"], order["id"]) == ("FILLED", fill["orderId"])
    assert (D(fill["size"]), D(position["size"])) == (D("0.02"), D("0.02"))
    (told,) = filling["told"]["fills"]
    assert (told["ticker"], told["id"], told["transactionHash"]) == ("ETH-USD", fill["id"], filling["hash"])


def test_a_long_term_order_is_cancelled(found: Any) -> None:
    resting = found["resting"]
    assert resting["codes"] == [0, 0]
    assert resting["order"]["removalReason"] == "ORDER_REMOVAL_REASON_USER_CANCELED"
    assert (resting["found"]["status"], resting["found"]["orderFlags"]) == ("CANCELED", "64")
    # short-term orders use none up, the long-term order and its cancellation one each
    assert resting["sequence"] == 2


def test_a_batch_of_short_term_orders_is_cancelled(found: Any) -> None:
    assert found["batch"]["code"] == 0


def test_refusals(found: Any) -> None:
    assert found["refused"] == {
        "window": [11, "clob"],
        "chain": [4, "sdk"],
        "missing": "UNIMPLEMENTED",
    }


def test_streams(found: Any) -> None:
    heard = [tuple(one) for one in found["channels"]]
    assert ("connected", "") in heard
    for channel in ("v4_subaccounts", "v4_orderbook", "v4_markets"):
        assert ("subscribed", channel) in heard
    # the client asks for books and markets in batches
    assert ("channel_batch_data", "v4_orderbook") in heard
    assert ("channel_data", "v4_subaccounts") in heard


def test_the_truth_agrees(found: Any, localnets: Running) -> None:
    held = localnets.inside(lambda net: net.truth("dydx").positions("dydx"))
    assert [(one.instrument, one.quantity) for one in held] == [("ETH-USD", D("0.02"))]
