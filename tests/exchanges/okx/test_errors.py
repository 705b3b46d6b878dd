"""OKX's codes: what each says of a new order and of a cancel, on payloads in the documented form."""

from __future__ import annotations

import json

import pytest

from fundingarb.errors import ExchangeError, OrderRefused, OutcomeUnknown, RefusalReason
from fundingarb.exchanges.rest import CallFailed, Meaning, write_error
from fundingarb_okx.errors import CODES, extract


def failure(status: int, body: str) -> CallFailed:
    code, said = CODES.extract(body.encode())
    meaning = CODES.meaning(status, code, said)
    return CallFailed("x", status=status, code=code, said=said, meaning=meaning)


def placed(status: int, body: str) -> ExchangeError:
    """What such an answer makes of a new order."""
    failed = failure(status, body)
    return write_error("okx", failed, CODES.placed(failed), CODES.reason(failed))


def item(code: int, message: str = "said") -> str:
    """How an order or a cancel is refused: the envelope says that it failed, the item why."""
    row = {"clOrdId": "", "ordId": "", "sCode": str(code), "sMsg": message, "tag": "", "subCode": ""}
    return json.dumps(
        {"code": "1", "data": [row], "msg": "All operations failed", "inTime": "1", "outTime": "2"}
    )


def envelope(code: int, message: str = "said") -> str:
    return json.dumps({"code": str(code), "data": [], "msg": message})


def test_where_the_code_is() -> None:
    assert extract(item(51008, "Order failed. ").encode()) == ("51008", "Order failed.")
    assert extract(envelope(50011, "Rate limit reached.").encode()) == ("50011", "Rate limit reached.")
    assert extract(b'{"code":"0","msg":"","data":[{"sCode":"0","ordId":"1"}]}') == ("0", "")
    assert extract(b'{"code":"1","msg":"Operation failed","data":[]}') == ("1", "Operation failed")
    assert extract(b"<html>502 Bad Gateway</html>") == ("", "<html>502 Bad Gateway</html>")
    assert extract(b'{"code":1}')[0] == ""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (51000, "Parameter sz error"),
        (51004, "Order failed. For cross buy/sell mode of BTC-USDT-SWAP ..."),
        (51006, "Order price is not within the price limit"),
        (51008, "Order failed. Insufficient USDT margin in account"),
        (51010, "Request unsupported under current account mode"),
        (51020, "Your order should meet or exceed the minimum order amount."),
        (51022, "Contract suspended."),
        (51028, "Contract under delivery."),
        (51030, "Funding fee is being settled."),
        (51112, "Close order size exceeds available size for this position."),
        (51121, "Order quantity must be a multiple of the lot size."),
        (51155, "Trading of this pair or contract is restricted due to local compliance requirements."),
        (51169, "Order failed because you don't have any positions in this direction ..."),
        (51170, "A reduce-only order can't be the same trading direction as your existing positions."),
        (51202, "Market order amount exceeds the maximum amount."),
        (54031, "Order failed. The open position limit has been reached."),
        (50022, "The account is frozen due to liquidation."),
    ],
)
def test_an_order_that_is_certainly_refused(code: int, message: str) -> None:
    assert type(placed(200, item(code, message))) is OrderRefused


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (429, 50011, "Rate limit reached."),
        (200, 50061, "You've reached the maximum order rate limit for this account."),
        (401, 50102, "Timestamp request expired."),
        (400, 50036, "The expTime can't be earlier than the current system time."),
        (401, 50101, "APIKey does not match current environment."),
        (401, 50113, "Invalid signature."),
        (401, 50110, "Your IP is not included in your API key's IP whitelist."),
        (200, 50120, "This API key doesn't have permission to use this function"),
    ],
)
def test_an_order_that_was_turned_away_before(status: int, code: int, message: str) -> None:
    assert type(placed(status, envelope(code, message))) is OrderRefused


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, item(51149, "Order timed out. Please try again.")),
        (200, item(51149, "Order timed out. Please try again.")),
        (500, item(51054, "Request timed out. Please try again.")),
        (200, envelope(50004, "API endpoint request timeout (does not indicate success or failure)")),
        (503, envelope(50001, "Service temporarily unavailable.")),
        (200, envelope(50013, "Systems are busy.")),
        (500, envelope(50026, "System error.")),
        (200, envelope(1, "Operation failed.")),
        (200, item(51400, "Cancellation failed as the order has been filled, canceled or does not exist.")),
        (200, item(51603, "Order does not exist.")),
        (200, item(51410, "already under cancelling status")),
        (200, item(59999, "a code nobody has documented")),
        (200, item(51016, "Client order ID already exists.")),  # looked up first, see the adapter's tests
        (502, "<html>Bad Gateway</html>"),
        (404, ""),
    ],
)
def test_an_order_that_may_exist(status: int, body: str) -> None:
    assert type(placed(status, body)) is OutcomeUnknown


@pytest.mark.parametrize("code", [51016, 51011, 50071])
def test_an_id_that_is_taken(code: int) -> None:
    assert CODES.placed(failure(200, item(code))) is Meaning.DUPLICATE


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (51169, "no positions to reduce", RefusalReason.REDUCE_ONLY),
        (51170, "same direction", RefusalReason.REDUCE_ONLY),
        (51112, "exceeds", RefusalReason.REDUCE_ONLY),
        (51023, "Position doesn't exist.", RefusalReason.REDUCE_ONLY),
        (51000, "Parameter posSide error ", RefusalReason.POSITION_MODE),
        (51000, "Parameter posSide  error", RefusalReason.POSITION_MODE),
        (51000, "Parameter px error", None),
        (51008, "Insufficient margin", None),
    ],
)
def test_why_it_was_refused_where_that_matters(code: int, message: str, reason: RefusalReason | None) -> None:
    refused = placed(200, item(code, message))
    assert isinstance(refused, OrderRefused)
    assert refused.reason is reason


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (51400, Meaning.MISSING),
        (51401, Meaning.MISSING),
        (51402, Meaning.MISSING),
        (51405, Meaning.MISSING),
        (51603, Meaning.MISSING),
        (51403, Meaning.REFUSED),
        (51000, Meaning.REFUSED),
        (50011, Meaning.RATE_LIMITED),
        (51412, Meaning.UNAVAILABLE),
        (51149, Meaning.UNAVAILABLE),
        (51410, None),
        (51008, None),
        (59999, None),
    ],
)
def test_cancels(code: int, meaning: Meaning | None) -> None:
    assert CODES.cancelled(failure(200, item(code))) is meaning


def test_no_code_says_two_things() -> None:
    for table in (CODES.place, CODES.cancel):
        assert not set(CODES.codes) & set(table)
