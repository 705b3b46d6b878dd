"""Every recorded message is understood, or quarantined with a reason; so is every mutation of a documented one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.exchanges import wire
from tests.exchanges.dydx.parsers import REST, STREAMS

from fundingarb.errors import BadMessage
from fundingarb.exchanges.stream import StreamEnded

PARSERS = {**REST, **STREAMS}
FRAME = (*wire.FRAME, StreamEnded)
"""A frame may also end its connection, with a reason: the next one starts with fresh snapshots."""

ANSWERS = {
    "http_get_time": "GET /v4/time",
    "http_get_block_height": "GET /v4/height",
    "http_get_perpetual_markets": "GET /v4/perpetualMarkets",
    "http_get_orderbook": "GET /v4/orderbooks",
    "http_get_fills": "GET /v4/fills",
    "old-http-fills": "GET /v4/fills",
    "old-http-v4_fills": "GET /v4/fills",
    "old-http-orders": "GET /v4/orders",
    "old-http-list_perpetual_positions": "GET /v4/perpetualPositions",
    "old-http-list_perpetual_markets_empty_oracle_price": "GET /v4/perpetualMarkets",
}
SAMPLES = {
    "fetch_time": "GET /v4/time",
    "fetch_markets": "GET /v4/perpetualMarkets",
    "fetch_funding_rate_history": "GET /v4/historicalFunding",
    "fetch_orders": "GET /v4/orders",
    "parse_order": "GET /v4/orders/{id}",
    "fetch_positions": "GET /v4/perpetualPositions",
    "fetch_balance": "GET /v4/addresses",
    "fetch_order_book": "GET /v4/orderbooks",
    "fetch_transactions_helper": "GET /v4/transfers",
    "create_order": "GET broadcast_tx_sync",
}
"""Of the samples in ccxt's comments, those of the endpoints read here."""


def parse_at(endpoint: str, answer: Any) -> str | None:
    return wire.outcome(REST[endpoint][0], json.dumps(answer).encode())


@pytest.mark.parametrize("path", wire.files("dydx"))
def test_no_recorded_message_crashes_a_parser(path: Path) -> None:
    """Everything in the file, whatever it is, through every parser."""
    for document in wire.documents(path):
        body = json.dumps(document).encode()
        for parse, _ in REST.values():
            wire.outcome(parse, body)
        for parse, _ in STREAMS.values():
            wire.outcome(parse, body, FRAME)


@pytest.mark.parametrize("path", wire.files("dydx"))
def test_recorded_answers_of_our_endpoints_are_understood(path: Path) -> None:
    content = json.loads(path.read_text())
    if path.stem == "ccxt-docsamples-rest":
        for entry in content:
            if entry["method"] in SAMPLES:
                assert parse_at(SAMPLES[entry["method"]], entry["sample"]) is None, entry["method"]
    named = path.stem.removeprefix("nautilus-")
    if named in ANSWERS:
        answer = content["result"] if isinstance(content, dict) and "result" in content else content
        assert parse_at(ANSWERS[named], answer) is None


@pytest.mark.parametrize("path", wire.files("dydx"))
def test_recorded_frames_are_taken_or_refused_with_a_reason(path: Path) -> None:
    content = json.loads(path.read_text())
    frames = [each["sample"] for each in content] if path.stem == "ccxt-docsamples-ws" else [content]
    for frame in frames:
        if isinstance(frame, dict) and "connection_id" in frame:
            reasons = [
                wire.outcome(parse, json.dumps(frame).encode(), FRAME) for parse, _ in STREAMS.values()
            ]
            assert all(reason is None or len(reason) > 10 for reason in reasons)
            captured = "nautilus-old" in path.stem  # the others are made up and leave fields out
            if captured and frame.get("channel") in ("v4_markets", "v4_subaccounts", "v4_block_height"):
                assert reasons == [None] * len(reasons)


@pytest.mark.parametrize("name", PARSERS)
def test_the_documented_form_is_understood(name: str) -> None:
    parse, sample = PARSERS[name]
    assert wire.outcome(parse, json.dumps(sample).encode()) is None


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutations_give_a_typed_value_or_a_reason(name: str, data: st.DataObject) -> None:
    parse, sample = PARSERS[name]
    body: Any = data.draw(wire.mutations(sample))
    wire.outcome(parse, body, FRAME if name in STREAMS else (BadMessage,))
