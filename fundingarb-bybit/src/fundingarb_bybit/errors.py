"""Bybit v5 codes and what they say about the request, from the documented list of codes."""

from __future__ import annotations

import msgspec

from fundingarb.errors import RefusalReason
from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.rest import DUPLICATE, MISSING, REFUSED, ErrorCodes, Meaning


class _Error(msgspec.Struct):
    retCode: int | str = ""  # noqa: N815
    retMsg: str = ""  # noqa: N815


_DECODER = msgspec.json.Decoder(_Error)


def extract(body: bytes) -> tuple[str, str]:
    """(code, message) of an answer; errors arrive with HTTP 200. No code when it is not Bybit's JSON."""
    try:
        error = _DECODER.decode(body)
    except ValueError:
        return "", excerpt(body)
    return str(error.retCode), error.retMsg


# What follows is the documented table of error codes (v5, "Error Codes": HTTP codes, UTA) as far as it concerns the
# requests made here. A code that is not listed leaves the outcome of an order or a cancel unknown.

_ANY = {
    # documented as not carried out: key, signature, permission or address
    10003: Meaning.AUTHENTICATION,  # key
    10004: Meaning.AUTHENTICATION,  # signature
    10005: Meaning.AUTHENTICATION,  # permission
    10007: Meaning.AUTHENTICATION,  # authentication
    10008: Meaning.AUTHENTICATION,  # banned
    10009: Meaning.AUTHENTICATION,  # address banned
    10010: Meaning.AUTHENTICATION,  # address not bound to the key
    33004: Meaning.AUTHENTICATION,  # key expired
    # turned away before it was looked at
    10006: Meaning.RATE_LIMITED,  # requests of this account
    10018: Meaning.RATE_LIMITED,  # requests of this address
    10002: Meaning.CLOCK,  # outside the receive window
    # says nothing about what became of the request
    429: Meaning.UNAVAILABLE,  # trading service under load
    10000: Meaning.UNAVAILABLE,  # "Server Timeout": it may have been carried out
    10016: Meaning.UNAVAILABLE,  # internal error, or the service restarts
    10019: Meaning.UNAVAILABLE,  # restarting; what is in process goes on
    # it is so already
    110025: Meaning.UNCHANGED,  # position mode
    110026: Meaning.UNCHANGED,  # margin mode
    110043: Meaning.UNCHANGED,  # leverage
}

# The request itself is wrong or the account may not make it, so that neither an order nor a cancel came of it.
_MALFORMED = (
    10001,  # parameter
    10017,  # path or method
    10024, 10027, 10028, 10029,  # compliance, trading banned, account type, symbols the key may trade
    10032, 100028,  # not in demo trading, account type
)  # fmt: skip

_PLACE = {
    **dict.fromkeys(_MALFORMED, REFUSED),
    10014: DUPLICATE,  # duplicate request: the first one may well be on its way
    110030: DUPLICATE,  # order id is taken
    110072: DUPLICATE,  # client order id is taken: the order is ours, adopt it
    110003: REFUSED,  # price out of range
    110004: REFUSED, 110006: REFUSED, 110007: REFUSED, 110012: REFUSED,  # balance
    110044: REFUSED, 110045: REFUSED,  # margin, wallet
    110051: REFUSED, 110052: REFUSED, 110053: REFUSED,  # balance for a market order's price band
    110005: REFUSED,  # status of the position
    110009: REFUSED, 110020: REFUSED,  # number of conditional, active orders
    110011: REFUSED, 110039: REFUSED, 110040: REFUSED, 110046: REFUSED,  # would be liquidated at once
    110013: REFUSED, 110016: REFUSED, 110031: REFUSED, 110085: REFUSED,  # risk limit
    110086: REFUSED, 110087: REFUSED, 110089: REFUSED, 110090: REFUSED,  # leverage, risk limit
    110017: REFUSED,  # reduce-only: no position, one of that side, or a quantity that rounds to nothing
    110018: REFUSED,  # user id
    110021: REFUSED, 110022: REFUSED,  # open interest, quantity restricted
    110023: REFUSED, 110042: REFUSED,  # contract may only be reduced (restricted, before delivery)
    110029: REFUSED,  # hedge mode where there is none
    110032: REFUSED,  # illegal order
    110034: REFUSED,  # no net position
    110037: REFUSED,  # symbol not among the user's settings
    110049: REFUSED, 110050: REFUSED, 110057: REFUSED, 110092: REFUSED, 110093: REFUSED,  # parameters not used here
    110063: REFUSED, 110066: REFUSED, 110074: REFUSED,  # settlement in progress, no trading now, contract not live
    110067: REFUSED, 110068: REFUSED, 110069: REFUSED, 110070: REFUSED, 110077: REFUSED,  # account may not trade this
    110080: REFUSED, 110088: REFUSED,  # lending limits, account type
    110094: REFUSED,  # notional below the minimum
    110095: REFUSED, 110098: REFUSED, 110103: REFUSED,  # call auction and post-only stage of a new contract
    110096: REFUSED, 110097: REFUSED, 110100: REFUSED,  # pre-market contract: margin mode, account type, demo
    110118: REFUSED,  # no price for a market order: too little liquidity
    110119: REFUSED,  # order type of market makers
    110120: REFUSED, 110121: REFUSED,  # price below, above the limit
    110123: REFUSED, 110125: REFUSED,  # trading terms not accepted
    110124: REFUSED,  # cooling-off period
    110131: REFUSED, 30256: REFUSED,  # maintenance margin over what risk control allows
    110132: REFUSED,  # not offered in this region
    30133: REFUSED, 30134: REFUSED, 30135: REFUSED, 30136: REFUSED,  # institutional lending: symbol, leverage
    30208: REFUSED, 30209: REFUSED,  # price above the highest, below the lowest
    30228: REFUSED,  # no new position while the contract is delisted
    3400071: REFUSED, 3400139: REFUSED,  # net assets, risk limit over all
}  # fmt: skip
# 110008 and 110010 (over already), 110035 (not cancelled before a liquidation) and 110079 (being processed) are about
# an order that exists; as answers to a new one they say nothing certain.

_CANCEL = {
    **dict.fromkeys(_MALFORMED, REFUSED),
    110001: MISSING,  # not among the open orders: perhaps filled
    110008: MISSING,  # filled or cancelled already
    110010: MISSING,  # cancelled already
    110019: REFUSED,  # form of the order id
    110079: REFUSED,  # being processed: try again
}

REDUCE_ONLY, POSITION_MODE = RefusalReason.REDUCE_ONLY, RefusalReason.POSITION_MODE

CODES = ErrorCodes(
    codes={str(code): meaning for code, meaning in _ANY.items()},
    place={str(code): meaning for code, meaning in _PLACE.items()},
    cancel={str(code): meaning for code, meaning in _CANCEL.items()},
    reasons={
        "110017": REDUCE_ONLY,
        "110034": REDUCE_ONLY,
        "position idx not match position mode": POSITION_MODE,  # comes with 10001
    },
    extract=extract,
    statuses={403: Meaning.RATE_LIMITED, 429: Meaning.RATE_LIMITED},
    in_success=True,
)
