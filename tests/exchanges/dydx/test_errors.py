"""What refusals of node and indexer make of an order or a cancel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.exchanges.dydx import samples

from fundingarb.errors import (
    AuthenticationFailed,
    ExchangeError,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    RefusalReason,
)
from fundingarb.exchanges.rest import CallFailed, Meaning, read_error, write_error
from fundingarb_dydx.errors import CODES, extract


def failure(status: int, body: Any) -> CallFailed:
    code, said = extract(body if isinstance(body, bytes) else json.dumps(body).encode())
    meaning = CODES.meaning(status, code, said)
    return CallFailed("x", status=status, code=code, said=said, meaning=meaning)


def placed(status: int, body: Any) -> ExchangeError:
    failed = failure(status, body)
    return write_error("dydx", failed, CODES.placed(failed), CODES.reason(failed))


@pytest.mark.parametrize(
    ("codespace", "code"),
    [
        ("clob", 4), ("clob", 6), ("clob", 10), ("clob", 11), ("clob", 17), ("clob", 34), ("clob", 2001),
        ("clob", 2003), ("clob", 3001), ("clob", 3003), ("clob", 3007), ("clob", 9003), ("clob", 10001), ("clob", 5001),
        ("sdk", 2), ("sdk", 4), ("sdk", 5), ("sdk", 13), ("sdk", 18), ("sdk", 20), ("sdk", 30), ("sdk", 32),
    ],
)  # fmt: skip
def test_an_order_that_is_certainly_refused(codespace: str, code: int) -> None:
    refused = placed(200, samples.refused(codespace, code))
    assert type(refused) is OrderRefused
    assert refused.code == f"{codespace}:{code}"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, samples.refused("clob", 47)),  # the node is starting
        (200, samples.refused("clob", 999)),
        (200, samples.refused("", 1)),
        (200, samples.refused("sdk", 1)),
        (200, samples.refused("sdk", 19)),  # in the mempool already: looked up first
        (200, samples.refused("clob", 3005)),
        (500, {"jsonrpc": "2.0", "id": -1, "error": {"code": -32603, "message": "Internal error",
                                                     "data": "tx already exists in cache"}}),
        (200, {"jsonrpc": "2.0", "id": -1, "error": {"code": -32603, "message": "Internal error", "data": "timeout"}}),
        (502, b"<html>Bad Gateway</html>"),
        (500, b""),
    ],
)  # fmt: skip
def test_an_order_that_may_exist(status: int, body: Any) -> None:
    assert type(placed(status, body)) is OutcomeUnknown


def test_code_zero_and_other_answers_are_no_errors() -> None:
    assert CODES.in_success
    assert extract(json.dumps(samples.BROADCAST).encode())[0] == ""
    answers: tuple[Any, ...] = ([], samples.MARKETS, samples.ORDER, samples.TIME, samples.NODE)
    for answer in answers:
        assert extract(json.dumps(answer).encode())[0] == ""


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("clob:7", 7),
        ("clob:24", 24),
        ("clob:30", 30),
        ("clob:2004", 2004),
        ("clob:3005", 3005),
        ("clob:3009", 3009),
    ],
)
def test_an_order_that_was_there_before_is_looked_up(code: str, meaning: int) -> None:
    failed = failure(200, samples.refused("clob", meaning))
    assert failed.code == code
    assert CODES.placed(failed) is Meaning.DUPLICATE


@pytest.mark.parametrize("code", [2001, 2002])
def test_less_to_reduce_than_we_think(code: int) -> None:
    refused = placed(200, samples.refused("clob", code))
    assert isinstance(refused, OrderRefused)
    assert refused.reason is RefusalReason.REDUCE_ONLY


@pytest.mark.parametrize(
    ("codespace", "code", "meaning"),
    [
        ("clob", 2, Meaning.MISSING),
        ("clob", 3006, Meaning.MISSING),
        ("clob", 3010, Meaning.MISSING),
        ("clob", 9, Meaning.UNCHANGED),
        ("clob", 32, Meaning.UNCHANGED),
        ("clob", 29, Meaning.REFUSED),
        ("clob", 10, Meaning.REFUSED),
        ("clob", 2003, None),
        ("clob", 47, None),
    ],
)
def test_cancels(codespace: str, code: int, meaning: Meaning | None) -> None:
    assert CODES.cancelled(failure(200, samples.refused(codespace, code))) is meaning


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, samples.refused("sdk", 4), AuthenticationFailed),
        (429, {"errors": [{"msg": "Too many requests"}]}, RateLimited),
        (403, {"errors": [{"msg": "restricted"}]}, AuthenticationFailed),
    ],
)
def test_what_holds_for_every_request(status: int, body: Any, kind: type[ExchangeError]) -> None:
    assert isinstance(read_error("dydx", failure(status, body)), kind)
    assert isinstance(placed(status, body).__cause__, kind)


def test_not_found_is_an_answer() -> None:
    """ccxt makes a network error of it, which would be repeated."""
    failed = failure(404, {"errors": [{"msg": "Unable to find order id b1a3"}]})
    assert (failed.meaning, failed.said) == (Meaning.MISSING, "Unable to find order id b1a3")


def test_every_code_of_the_tables_is_a_documented_one(shared_codes: set[str]) -> None:
    ours = {*CODES.codes, *CODES.place, *CODES.cancel}
    assert {code for code in ours if code.startswith("clob:")} <= shared_codes


@pytest.fixture
def shared_codes() -> set[str]:
    from tests.exchanges import wire

    path = wire.FOLDER / "dydx" / "v4chain-tx-error-codes.json"
    if not path.exists():
        pytest.skip("needs the recorded messages; point FUNDINGARB_SHARED at the folder that holds wire/")
    return {f"{row['codespace']}:{row['code']}" for row in json.loads(path.read_text())}
