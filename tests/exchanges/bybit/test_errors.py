"""Bybit's codes: what each says of a new order and of a cancel, on payloads in the documented form."""

from __future__ import annotations

import json

import pytest

from fundingarb.errors import ExchangeError, OrderRefused, OutcomeUnknown, RefusalReason
from fundingarb.exchanges.rest import CallFailed, Meaning, write_error
from fundingarb_bybit.errors import CODES


def failure(status: int, body: str) -> CallFailed:
    code, said = CODES.extract(body.encode())
    meaning = CODES.meaning(status, code, said)
    return CallFailed("x", status=status, code=code, said=said, meaning=meaning)


def placed(status: int, body: str) -> ExchangeError:
    """What such an answer makes of a new order."""
    failed = failure(status, body)
    return write_error("bybit", failed, CODES.placed(failed), CODES.reason(failed))


def error(code: int, message: str = "said") -> str:
    return json.dumps({"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": 1})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (10001, "Request parameter error"),
        (110003, "Order price exceeds the allowable range."),
        (110004, "Wallet balance is insufficient"),
        (110007, "Available balance is insufficient"),
        (110012, "Insufficient available balance."),
        (110017, "current position is zero, cannot fix reduce-only order qty"),
        (110020, "Not allowed to have more than 500 active orders."),
        (110023, "Currently you can only reduce your position on this contract."),
        (110045, "Wallet balance is insufficient."),
        (110074, "This contract is not live"),
        (110094, "Order notional value below the lower limit"),
        (110121, "Order price cannot be higher than xxxx, the price limitation"),
        (30208, "Failed to submit order(s). The order price is higher than the maximum buying price"),
        (30228, "No new positions during delisting"),
        (10006, "Too many visits. Exceeded the API Rate Limit."),
        (10018, "Exceeded the IP Rate Limit."),
        (10002, "The request time exceeds the time window range."),
        (10003, "API key is invalid."),
        (10004, "Error sign, please check your signature generation algorithm."),
        (10005, "Permission denied, please check your API key permissions."),
        (10010, "Unmatched IP, please check your API key's bound IP addresses."),
    ],
)
def test_an_order_that_is_certainly_refused(code: int, message: str) -> None:
    assert type(placed(200, error(code, message))) is OrderRefused


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (200, 10000, "Server Timeout"),
        (200, 10016, "Internal server error."),
        (200, 10019, "the request in the process is not affected"),
        (200, 429, "The trading service is experiencing a high server load."),
        (200, 110001, "order not exists or too late to cancel"),  # about a cancel
        (200, 110008, "The order has been completed or cancelled."),
        (200, 110035, "Cancellation of orders was not completed before liquidation"),
        (200, 110079, "The order is processing and can not be operated, please try again later"),
        (200, 999999, "a code nobody has documented"),
        (200, 110072, "OrderLinkedID is duplicate"),  # looked up first, see the adapter's tests
        (200, 10014, "Invalid duplicate request."),
        (500, 0, ""),
    ],
)
def test_an_order_that_may_exist(status: int, code: int, message: str) -> None:
    assert type(placed(status, error(code, message))) is OutcomeUnknown


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (110017, "Reduce-only rule not satisfied", RefusalReason.REDUCE_ONLY),
        (110034, "There is no net position", RefusalReason.REDUCE_ONLY),
        (10001, "position idx not match position mode", RefusalReason.POSITION_MODE),
        (10001, "Request parameter error", None),
        (110007, "Available balance is insufficient", None),
    ],
)
def test_why_it_was_refused_where_that_matters(code: int, message: str, reason: RefusalReason | None) -> None:
    refused = placed(200, error(code, message))
    assert isinstance(refused, OrderRefused)
    assert refused.reason is reason


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (110001, Meaning.MISSING),
        (110008, Meaning.MISSING),
        (110010, Meaning.MISSING),
        (110079, Meaning.REFUSED),
        (10001, Meaning.REFUSED),
        (10006, Meaning.RATE_LIMITED),
        (10016, Meaning.UNAVAILABLE),
        (10000, Meaning.UNAVAILABLE),
        (110035, None),
        (110007, None),
        (999999, None),
    ],
)
def test_cancels(code: int, meaning: Meaning | None) -> None:
    assert CODES.cancelled(failure(200, error(code))) is meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (110025, Meaning.UNCHANGED),
        (110043, Meaning.UNCHANGED),
        (110026, Meaning.UNCHANGED),
        (10002, Meaning.CLOCK),
        (33004, Meaning.AUTHENTICATION),
        (10016, Meaning.UNAVAILABLE),
    ],
)
def test_what_holds_for_every_request(code: int, meaning: Meaning) -> None:
    assert CODES.meaning(200, str(code), "") is meaning


@pytest.mark.parametrize("code", [110072, 110030, 10014])
def test_a_taken_name_is_looked_up(code: int) -> None:
    assert CODES.placed(failure(200, error(code))) is Meaning.DUPLICATE


def test_errors_come_with_http_200() -> None:
    assert CODES.in_success
    assert CODES.extract(error(0).encode())[0] == "0"


def test_the_address_limit_is_told_by_the_status() -> None:
    assert CODES.meaning(403, "", "access too frequent") is Meaning.RATE_LIMITED
    assert type(placed(403, "access too frequent")) is OrderRefused
