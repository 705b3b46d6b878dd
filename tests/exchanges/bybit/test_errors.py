"""Bybit's codes: which of them certainly refused an order."""

from __future__ import annotations

import json

import pytest

from fundingarb.errors import OrderRefused, OutcomeUnknown
from fundingarb.exchanges.rest import CallFailed, Meaning, write_error
from fundingarb_bybit.errors import CODES


def outcome(status: int, body: str) -> type:
    code, message = CODES.extract(body.encode())
    meaning = CODES.meaning(status, code, message)
    return type(write_error("bybit", CallFailed("x", status=status, code=code, meaning=meaning)))


def error(code: int, message: str = "said") -> str:
    return json.dumps({"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": 1})


@pytest.mark.parametrize(
    "code",
    [
        10001,  # parameter error
        110003, 110004, 110006, 110007, 110012, 110045,  # price, balance, margin
        110017,  # reduce-only without a position
        110020, 110023, 110094,  # too many orders, reduce-only contract, notional
        30208, 30209, 30228,  # price limits, delisting
        10006, 10018,  # too many requests: not carried out
        10002, 10003, 10004, 10005, 10010,  # clock, key, signature, permission, address
    ],
)  # fmt: skip
def test_refused(code: int) -> None:
    assert outcome(200, error(code)) is OrderRefused


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (200, 10000),  # "Server Timeout"
        (200, 10016),  # server error
        (200, 10019),  # the service restarts; "the request in the process is not affected"
        (200, 429),  # high load: documented without saying whether it was carried out
        (200, 999999),  # a code nobody has documented
        (200, 110072),  # duplicate client order id: looked up, not refused
        (200, 10014),
        (500, 0),
    ],
)
def test_unknown(status: int, code: int) -> None:
    assert outcome(status, error(code)) is OutcomeUnknown


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (110001, Meaning.MISSING),
        (110008, Meaning.MISSING),
        (110010, Meaning.MISSING),
        (110025, Meaning.UNCHANGED),
        (110043, Meaning.UNCHANGED),
        (110026, Meaning.UNCHANGED),
        (110072, Meaning.DUPLICATE),
        (10002, Meaning.CLOCK),
        (33004, Meaning.AUTHENTICATION),
        (10016, Meaning.UNAVAILABLE),
    ],
)
def test_meanings(code: int, meaning: Meaning) -> None:
    assert CODES.meaning(200, str(code), "") is meaning


def test_errors_come_with_http_200() -> None:
    assert CODES.in_success
    assert CODES.extract(error(0).encode())[0] == "0"


def test_the_address_limit_is_told_by_the_status() -> None:
    assert CODES.meaning(403, "", "access too frequent") is Meaning.RATE_LIMITED
    assert outcome(403, "access too frequent") is OrderRefused
