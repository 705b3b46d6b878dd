"""Every recorded message is understood, or quarantined with a reason; so is every mutation of a documented one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.exchanges import wire
from tests.exchanges.okx.parsers import REST, STREAMS

from fundingarb.errors import BadMessage

PARSERS = {**REST, **STREAMS}


@pytest.mark.parametrize("path", wire.files("okx"))
def test_no_recorded_message_crashes_a_parser(path: Path) -> None:
    """Everything in the file, whatever it is, through every parser."""
    tried = 0
    for document in wire.documents(path):
        body = json.dumps(document).encode()
        for parse, _ in REST.values():
            wire.outcome(parse, body)
            tried += 1
        for parse, _ in STREAMS.values():
            wire.outcome(parse, body, wire.FRAME)
    assert tried


def _swap(row: object) -> bool:
    """Whether a recorded row is of the kind this adapter asks for; others have fields of other forms."""
    return not isinstance(row, dict) or row.get("instType", "SWAP") == "SWAP"


@pytest.mark.parametrize("path", wire.files("okx"))
def test_recorded_answers_of_our_endpoints_are_understood(path: Path) -> None:
    for endpoint, answer in wire.answers(path):
        if endpoint in REST and all(map(_swap, answer["data"])):
            parse, _ = REST[endpoint]
            assert wire.outcome(parse, json.dumps(answer).encode()) is None


@pytest.mark.parametrize("path", wire.files("okx"))
def test_recorded_frames_are_taken_or_refused_with_a_reason(path: Path) -> None:
    for frame in wire.frames(path):
        for parse, _ in STREAMS.values():
            reason = wire.outcome(parse, frame, wire.FRAME)
            assert reason is None or len(reason) > 10


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
    wire.outcome(parse, body, wire.FRAME if name in STREAMS else (BadMessage,))
