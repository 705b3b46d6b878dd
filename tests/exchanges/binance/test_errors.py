"""Binance's codes: which of them certainly refused an order."""

from __future__ import annotations

import json

import pytest

from fundingarb.errors import OrderRefused, OutcomeUnknown
from fundingarb.exchanges.rest import CallFailed, Meaning, write_error
from fundingarb_binance.errors import CODES


def outcome(status: int, body: str) -> type:
    code, message = CODES.extract(body.encode())
    meaning = CODES.meaning(status, code, message)
    return type(write_error("binance", CallFailed("x", status=status, code=code, meaning=meaning)))


def error(code: int, message: str = "said") -> str:
    return json.dumps({"code": code, "msg": message})


@pytest.mark.parametrize(
    "code",
    [
        -1013,  # filter
        -1102, -1111, -1121,  # parameters, precision, symbol
        -2010, -2018, -2019, -2022, -2027,  # rejected, balance, margin, reduce-only, position limit
        -4003, -4014, -4015, -4023, -4061, -4131, -4164,  # filters, position side, percent price, notional
        -5021, -5022,  # fill-or-kill, post-only
        -1008,  # throttled: documented as not carried out
    ],
)  # fmt: skip
def test_refused(code: int) -> None:
    assert outcome(400, error(code)) is OrderRefused


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, -1000),  # unknown error
        (503, -1001),  # disconnected
        (400, -1006),  # unexpected response: execution status unknown
        (408, -1007),  # timeout: send status unknown
        (503, -1016),
        (400, -2012),
        (400, -9999),  # a code nobody has documented
        (400, -4116),  # duplicate client order id: looked up, not refused
    ],
)
def test_unknown(status: int, code: int) -> None:
    assert outcome(status, error(code)) is OutcomeUnknown


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Unknown error, please check your request or try again later.", OutcomeUnknown),
        ("Service Unavailable.", OrderRefused),
        ("Internal error; unable to process your request. Please try again.", OrderRefused),
        ("<html>nginx</html>", OutcomeUnknown),
    ],
)
def test_the_texts_of_http_503(text: str, kind: type) -> None:
    """Documented: the first is of unknown execution, the next two are failures."""
    assert outcome(503, json.dumps({"code": 0, "msg": text})) is kind
    assert outcome(503, text) is kind


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (-2014, Meaning.AUTHENTICATION),
        (-2015, Meaning.AUTHENTICATION),
        (-1022, Meaning.AUTHENTICATION),
        (-1109, Meaning.AUTHENTICATION),
        (-1003, Meaning.RATE_LIMITED),
        (-1015, Meaning.RATE_LIMITED),
        (-1021, Meaning.CLOCK),
        (-5028, Meaning.CLOCK),
        (-2011, Meaning.MISSING),
        (-2013, Meaning.MISSING),
        (-4046, Meaning.UNCHANGED),
        (-4059, Meaning.UNCHANGED),
        (-4116, Meaning.DUPLICATE),
    ],
)
def test_meanings(code: int, meaning: Meaning) -> None:
    assert CODES.meaning(400, str(code), "") is meaning


def test_bans_and_limits_are_told_by_the_status() -> None:
    assert CODES.meaning(418, "", "") is Meaning.RATE_LIMITED
    assert CODES.meaning(429, "", "") is Meaning.RATE_LIMITED
    assert CODES.meaning(403, "", "") is None


def test_codes_may_come_as_text() -> None:
    assert CODES.extract(b'{"code": "-2019", "msg": "Margin"}') == ("-2019", "Margin")
    assert CODES.extract(b"\xff") == ("", "\ufffd")
