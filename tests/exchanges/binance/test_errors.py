"""Binance's codes: what each says of a new order and of a cancel, on payloads in the documented form."""

from __future__ import annotations

import json

import pytest

from fundingarb.errors import ExchangeError, OrderRefused, OutcomeUnknown, RateLimited, RefusalReason
from fundingarb.exchanges.rest import CallFailed, Meaning, write_error
from fundingarb_binance.errors import CODES

THROTTLED = "Request throttled by system-level protection. Reduce-only/close-position orders are exempt."
INTERNAL = "Internal error; unable to process your request. Please try again."


def failure(status: int, body: str) -> CallFailed:
    code, said = CODES.extract(body.encode())
    meaning = CODES.meaning(status, code, said)
    return CallFailed("x", status=status, code=code, said=said, meaning=meaning)


def placed(status: int, body: str) -> ExchangeError:
    """What such an answer makes of a new order."""
    failed = failure(status, body)
    return write_error("binance", failed, CODES.placed(failed), CODES.reason(failed))


def error(code: int, message: str = "said") -> str:
    return json.dumps({"code": code, "msg": message})


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, -1013, "Filter failure: PRICE_FILTER"),
        (400, -1102, "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed."),
        (400, -1111, "Precision is over the maximum defined for this asset."),
        (400, -1121, "Invalid symbol."),
        (400, -2010, "NEW_ORDER_REJECTED"),
        (400, -2018, "Balance is insufficient."),
        (400, -2019, "Margin is insufficient."),
        (400, -2020, "Unable to fill."),
        (400, -2021, "Order would immediately trigger."),
        (400, -2022, "ReduceOnly Order is rejected."),
        (400, -2025, "Reach max open order limit."),
        (400, -2027, "Exceeded the maximum allowable position at current leverage."),
        (400, -4003, "Quantity less than zero."),
        (400, -4014, "Price not increased by tick size."),
        (400, -4015, "Client order id length should not be more than 36 chars"),
        (400, -4023, "Qty not increased by step size."),
        (400, -4061, "Order's position side does not match user's setting."),
        (400, -4118, "ReduceOnly Order Failed. Please check your existing position and open orders"),
        (400, -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit"),
        (400, -4164, "Order's notional must be no smaller than 5.0 (unless you choose reduce only)"),
        (400, -5021, "Due to the order could not be filled immediately, the FOK order has been rejected."),
        (
            400,
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be rejected.",
        ),
        (503, -1008, THROTTLED),
        (429, -1003, "Too many requests; current limit is 2400 requests per minute."),
        (429, -1015, "Too many new orders; current limit is 300 orders per 10 SECOND."),
        (400, -1021, "Timestamp for this request is outside of the recvWindow."),
        (400, -5028, "Timestamp for this request is outside of the ME recvWindow."),
        (401, -2014, "API-key format invalid."),
        (401, -2015, "Invalid API-key, IP, or permissions for action."),
        (400, -1022, "Signature for this request is not valid."),
    ],
)
def test_an_order_that_is_certainly_refused(status: int, code: int, message: str) -> None:
    assert type(placed(status, error(code, message))) is OrderRefused


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, -1000, "An unknown error occurred while processing the request."),
        (503, -1000, "Unknown error, please check your request or try again later."),
        (503, -1001, INTERNAL),
        (400, -1006, "An unexpected response was received from the message bus. Execution status unknown."),
        (
            408,
            -1007,
            "Timeout waiting for response from backend server. Send status unknown.",
        ),
        (400, -1010, "ERROR_MSG_RECEIVED."),
        (503, -1016, "This service is no longer available."),
        (400, -2011, "Unknown order sent."),  # about a cancel; says nothing of a new order
        (400, -2013, "Order does not exist."),
        (400, -9999, "a code nobody has documented"),
        (400, -4116, "ClientOrderId is duplicated."),  # looked up first, see the adapter's tests
        (400, -2010, "Duplicate order sent."),
    ],
)
def test_an_order_that_may_exist(status: int, code: int, message: str) -> None:
    assert type(placed(status, error(code, message))) is OutcomeUnknown


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Unknown error, please check your request or try again later.", OutcomeUnknown),
        ("Request occur unknown error.", OutcomeUnknown),
        (INTERNAL, OutcomeUnknown),
        ("Service Unavailable.", OrderRefused),
        ("<html>nginx</html>", OutcomeUnknown),
    ],
)
def test_the_texts_of_http_503(text: str, kind: type) -> None:
    """Only "Service Unavailable." is taken at its word: "unknown" means that, and the rest is asked about."""
    assert type(placed(503, json.dumps({"code": 0, "msg": text}))) is kind
    assert type(placed(503, text)) is kind


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-2022, RefusalReason.REDUCE_ONLY),
        (-2024, RefusalReason.REDUCE_ONLY),
        (-4118, RefusalReason.REDUCE_ONLY),
        (-4061, RefusalReason.POSITION_MODE),
        (-2019, None),
    ],
)
def test_why_it_was_refused_where_that_matters(code: int, reason: RefusalReason | None) -> None:
    refused = placed(400, error(code))
    assert isinstance(refused, OrderRefused)
    assert refused.reason is reason


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (400, -2011, Meaning.MISSING),
        (400, -2013, Meaning.MISSING),
        (400, -1102, Meaning.REFUSED),
        (429, -1003, Meaning.RATE_LIMITED),
        (400, -1021, Meaning.CLOCK),
        (503, -1000, Meaning.UNAVAILABLE),
        (408, -1007, Meaning.UNAVAILABLE),
        (400, -2019, None),  # about an order; as the answer to a cancel it says nothing
        (400, -9999, None),
    ],
)
def test_cancels(status: int, code: int, meaning: Meaning | None) -> None:
    assert CODES.cancelled(failure(status, error(code))) is meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (-2014, Meaning.AUTHENTICATION),
        (-2015, Meaning.AUTHENTICATION),
        (-1022, Meaning.AUTHENTICATION),
        (-1109, Meaning.AUTHENTICATION),
        (-1003, Meaning.RATE_LIMITED),
        (-1008, Meaning.RATE_LIMITED),
        (-1015, Meaning.RATE_LIMITED),
        (-1021, Meaning.CLOCK),
        (-5028, Meaning.CLOCK),
        (-4046, Meaning.UNCHANGED),
        (-4059, Meaning.UNCHANGED),
    ],
)
def test_what_holds_for_every_request(code: int, meaning: Meaning) -> None:
    assert CODES.meaning(400, str(code), "") is meaning


def test_a_throttle_also_slows_down() -> None:
    assert isinstance(placed(503, error(-1008, THROTTLED)).__cause__, RateLimited)


def test_bans_and_limits_are_told_by_the_status() -> None:
    assert CODES.meaning(418, "", "") is Meaning.RATE_LIMITED
    assert CODES.meaning(429, "", "") is Meaning.RATE_LIMITED
    assert CODES.meaning(403, "", "") is None


def test_codes_may_come_as_text() -> None:
    assert CODES.extract(b'{"code": "-2019", "msg": "Margin"}') == ("-2019", "Margin")
    assert CODES.extract(b"\xff") == ("", "\ufffd")
