"""What Hyperliquid's sentences mean. It has no codes: the documented beginning of a sentence serves as one."""

from __future__ import annotations

import msgspec

from fundingarb import RefusalReason
from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.rest import MISSING, REFUSED, ErrorCodes, Meaning

REDUCE_ONLY = "Reduce only order would increase position"

PLACE = {
    "Price must be divisible by tick size": REFUSED,
    "Order must have minimum value of $10": REFUSED,
    "Insufficient margin to place order": REFUSED,
    REDUCE_ONLY: REFUSED,
    "Post only order would have immediately matched": REFUSED,
    "Order could not immediately match against any resting orders": REFUSED,
    "No liquidity available for market order": REFUSED,
    "Order has invalid size": REFUSED,
    "Order has zero size": REFUSED,
    "Order price cannot be more than 80% away": REFUSED,
}
CANCEL = {"Order was never placed, already canceled, or filled": MISSING}
ANY = {
    "User or API Wallet": Meaning.AUTHENTICATION,
    "Too many cumulative requests sent": Meaning.RATE_LIMITED,
}


class _Statuses(msgspec.Struct):
    statuses: list[object] = []


class _Response(msgspec.Struct):
    data: _Statuses = msgspec.field(default_factory=_Statuses)


class _Error(msgspec.Struct):
    status: str = ""
    response: _Response | str = ""


_DECODER = msgspec.json.Decoder(_Error)


def extract(body: bytes) -> tuple[str, str]:
    """(code, sentence) of an answer: errors come with HTTP 200, for the request or in the status of its order."""
    try:
        error = _DECODER.decode(body)
    except ValueError:
        return "", excerpt(body)
    if error.status == "err":
        return _code(str(error.response)), str(error.response)
    if isinstance(error.response, _Response):
        for status in error.response.data.statuses:
            if isinstance(status, dict) and "error" in status:
                return _code(str(status["error"])), str(status["error"])
    return "", ""


def _code(sentence: str) -> str:
    return next((known for known in (*PLACE, *CANCEL, *ANY) if known in sentence), "undocumented")


CODES = ErrorCodes(
    codes=ANY,
    extract=extract,
    place=PLACE,
    cancel=CANCEL,
    reasons={REDUCE_ONLY: RefusalReason.REDUCE_ONLY},
    statuses={429: Meaning.RATE_LIMITED},
    in_success=True,
)
