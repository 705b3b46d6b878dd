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
EACH = [pytest.param(subject, id=subject.exchange) for subject in SUBJECTS]


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
def test_what_was_recorded_of_our_endpoints_and_streams_is_understood(subject: Subject) -> None:
    """Each has a recorded message that is understood, or is listed as resting on documentation only.

    One that is listed and has messages now leaves ``documented`` and the README; a new one without messages goes there.
    """
    understood = set[str]().union(*(subject.understood(path) for path in wire.files(subject.exchange)))
    assert {*subject.rest, *subject.streams} - understood == subject.documented


@pytest.mark.parametrize("subject", EACH)
def test_the_readme_says_what_rests_on_documentation_only(subject: Subject, root: Path) -> None:
    readme = (root / f"fundingarb-{subject.exchange}" / "README.md").read_text()
    _, _, rest = readme.partition("\n## Checked against\n")
    section = rest.partition("\n## ")[0]
    shown = {name for name in (*subject.rest, *subject.streams) if f"`{name}`" in section}
    assert shown == subject.documented


@pytest.mark.parametrize("subject", EACH)
def test_no_answer_is_read_without_its_parser_being_here(subject: Subject, root: Path) -> None:
    """The adapter calls nothing whose answer it reads and whose parser is not checked by this module."""
    package = f"fundingarb_{subject.exchange}"
    sources = (root / f"fundingarb-{subject.exchange}" / "src" / package).glob("*.py")
    assert subject.unread_calls(sources) == subject.unread


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
