"""What the chain's and the indexer's refusals say about a request, by codespace and code.

A transaction is refused in CheckTx, before a node takes it up or tells others: then it is on no book and in no block.
Code 0 says only that this node took it up. From the documented tables of errors (``x/*/types/errors.go`` of the
protocol, and those of the Cosmos SDK); a code that is not listed leaves the outcome unknown.
"""

from __future__ import annotations

import msgspec

from fundingarb.errors import RefusalReason
from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.rest import DUPLICATE, MISSING, REFUSED, ErrorCodes, Meaning


class _Result(msgspec.Struct):
    code: int = 0
    codespace: str = ""
    log: str = ""


class _RpcError(msgspec.Struct):
    code: int = 0
    message: str = ""
    data: str = ""


class _Complaint(msgspec.Struct):
    msg: str = ""


class _Error(msgspec.Struct):
    result: _Result | None = None
    error: _RpcError | str | None = None
    errors: list[_Complaint] = []
    code: int | str | None = None
    message: str = ""


_DECODER = msgspec.json.Decoder(_Error)


def extract(body: bytes) -> tuple[str, str]:
    """(code, message) of an answer of node or indexer; no code when it says nothing of an error.

    A refused transaction comes with HTTP 200, its code as ``codespace:code``.
    """
    try:
        error = _DECODER.decode(body)
    except ValueError:
        return "", excerpt(body)
    if error.result is not None and error.result.code:
        return f"{error.result.codespace}:{error.result.code}", error.result.log
    if isinstance(error.error, _RpcError):
        return f"rpc:{error.error.code}", f"{error.error.message} {error.error.data}".strip()
    if error.errors:
        return "indexer", "; ".join(each.msg for each in error.errors)
    if error.code not in (None, 0, "0", ""):
        return f"node:{error.code}", error.message
    return "", error.message


def _clob(meaning: Meaning, *codes: int) -> dict[str, Meaning]:
    return {f"clob:{code}": meaning for code in codes}


def _sdk(meaning: Meaning, *codes: int) -> dict[str, Meaning]:
    return {f"sdk:{code}": meaning for code in codes}


_ANY = {
    **_sdk(Meaning.AUTHENTICATION, 4, 8, 9),  # signature, public key, an address the chain does not know
    **_sdk(
        Meaning.CLOCK, 3, 32
    ),  # the sequence: a time stamp that is not within half a minute of the chain's time
    **_sdk(Meaning.RATE_LIMITED, 20),  # this node's mempool is full
    **_clob(Meaning.RATE_LIMITED, 5001),  # orders per block
}

# The transaction itself is wrong, or came too late for its last block: nothing comes of it.
_MALFORMED = {
    **_sdk(REFUSED, 2, 5, 6, 7, 10, 11, 12, 13, 14, 18, 21, 30),
    **_clob(
        REFUSED, 3, 4, 5, 6, 8, 10, 11, 12, 48
    ),  # fields of order or cancel, its last block passed or too far
    **_clob(REFUSED, 34, 36),  # the market's status does not allow it
    **_clob(REFUSED, 3000, 3001, 3003, 3004),  # flags, last second passed or too far
}

_PLACE = {
    **_MALFORMED,
    **_clob(REFUSED, 17, 10001),  # number of open orders
    **_clob(REFUSED, 42, 44, 50),  # time in force, builder code
    **_clob(REFUSED, 2000, 2001, 2002, 2003, 2005),  # FOK, reduce-only, post-only, isolated markets
    **_clob(REFUSED, 3002, 3007),  # long-term and immediate at once, collateral
    **_clob(REFUSED, 6000, 6001, 9003),  # condition, reduce-only of an order that may rest
    **_clob(REFUSED, 11000, 11001),  # router address
    # an order of this number was there before: it may well be ours
    **_clob(DUPLICATE, 7, 20, 24, 30, 2004, 3005, 3008, 3009),
    **_sdk(DUPLICATE, 19),  # this very transaction is in the mempool already
}

_CANCEL = {
    **_MALFORMED,
    **_clob(MISSING, 2, 3006, 3010),  # not on the book, not in state, removed already: perhaps filled
    **_clob(REFUSED, 29),  # its last second is before the order's
    **_clob(Meaning.UNCHANGED, 9, 32),  # it is being cancelled
    **_sdk(Meaning.UNCHANGED, 19),
}

CODES = ErrorCodes(
    codes=_ANY,
    place=_PLACE,
    cancel=_CANCEL,
    reasons={
        "clob:2001": RefusalReason.REDUCE_ONLY,
        "clob:2002": RefusalReason.REDUCE_ONLY,
    },
    extract=extract,
    statuses={404: MISSING, 403: Meaning.AUTHENTICATION, 429: Meaning.RATE_LIMITED},
    in_success=True,
)
