"""Every recorded message is understood, or quarantined with a reason; so is every mutation of a documented one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.exchanges import wire
from tests.exchanges.binance.parsers import SUBJECT as BINANCE
from tests.exchanges.bybit.parsers import SUBJECT as BYBIT
from tests.exchanges.dydx.parsers import SUBJECT as DYDX
from tests.exchanges.okx.parsers import SUBJECT as OKX
from tests.exchanges.wire import Subject

from fundingarb.errors import BadMessage

SUBJECTS = (BINANCE, BYBIT, DYDX, OKX)
RECORDED = [
    pytest.param(subject, path, id=f"{subject.exchange}-{path.stem}")
    for subject in SUBJECTS
    for path in wire.files(subject.exchange)
] or [pytest.param(None, None, marks=wire.ABSENT)]
NAMED = [
    pytest.param(subject, name, id=f"{subject.exchange}-{name}")
    for subject in SUBJECTS
    for name in (*subject.rest, *subject.streams)
]
LEAST = {"binance": 15, "bybit": 29, "dydx": 15, "okx": 11}
"""So many recorded answers are of endpoints read here, at least."""


@pytest.mark.parametrize(("subject", "path"), RECORDED)
def test_no_recorded_message_crashes_a_parser(subject: Subject, path: Path) -> None:
    """Everything in the file, whatever it is, through every parser."""
    for document in wire.documents(path):
        body = json.dumps(document).encode()
        for parse, _ in subject.rest.values():
            wire.outcome(parse, body)
        for parse, _ in subject.streams.values():
            wire.outcome(parse, body, subject.refusals)


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(each, id=each.exchange, marks=() if wire.files(each.exchange) else wire.ABSENT)
        for each in SUBJECTS
    ],
)
def test_recorded_answers_of_our_endpoints_are_understood(subject: Subject) -> None:
    understood = [subject.understood(path) for path in wire.files(subject.exchange)]
    assert sum(understood) >= LEAST[subject.exchange]


@pytest.mark.parametrize(("subject", "path"), RECORDED)
def test_recorded_frames_are_taken_or_refused_with_a_reason(subject: Subject, path: Path) -> None:
    for frame in subject.frames(path):
        for parse, _ in subject.streams.values():
            reason = wire.outcome(parse, frame, subject.refusals)
            assert reason is None or len(reason) > 10


@pytest.mark.parametrize(("subject", "name"), NAMED)
def test_the_documented_form_is_understood(subject: Subject, name: str) -> None:
    parse, sample = (subject.rest | subject.streams)[name]
    assert wire.outcome(parse, json.dumps(sample).encode()) is None


@pytest.mark.parametrize(("subject", "name"), NAMED)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutations_give_a_typed_value_or_a_reason(subject: Subject, name: str, data: st.DataObject) -> None:
    parse, sample = (subject.rest | subject.streams)[name]
    body: Any = data.draw(wire.mutations(sample))
    wire.outcome(parse, body, subject.refusals if name in subject.streams else (BadMessage,))
