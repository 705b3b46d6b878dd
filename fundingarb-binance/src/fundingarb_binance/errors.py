"""Binance USD-M error codes and what they say about the request, from the documented list of codes."""

from __future__ import annotations

import msgspec

from fundingarb.errors import RefusalReason
from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.rest import DUPLICATE, MISSING, REFUSED, ErrorCodes, Meaning


class _Error(msgspec.Struct):
    code: int | str = ""
    msg: str = ""


_DECODER = msgspec.json.Decoder(_Error)


def extract(body: bytes) -> tuple[str, str]:
    """(code, message) of an error body; the whole body as message when it is not Binance's JSON."""
    try:
        error = _DECODER.decode(body)
    except ValueError:
        return "", excerpt(body)
    return str(error.code), error.msg


# What follows is the documented list of error codes ("Error Codes" of the USD-M futures documentation) as far as it
# concerns the requests made here, and the page "General Info" for HTTP statuses and the texts of HTTP 503. A code that
# is not listed leaves the outcome of an order or a cancel unknown.

_ANY = {
    # documented as not carried out: key, signature, permission or address
    -1002: Meaning.AUTHENTICATION,  # unauthorised
    -1005: Meaning.AUTHENTICATION,  # address not on the key's list
    -1011: Meaning.AUTHENTICATION,  # address may not use this route
    -1022: Meaning.AUTHENTICATION,  # signature
    -1099: Meaning.AUTHENTICATION,  # not found, not authenticated or not authorised
    -1109: Meaning.AUTHENTICATION,  # account
    -2014: Meaning.AUTHENTICATION,  # form of the key
    -2015: Meaning.AUTHENTICATION,  # key, address or permission
    -2017: Meaning.AUTHENTICATION,  # keys of this account are locked
    # turned away before it was looked at
    -1003: Meaning.RATE_LIMITED,  # request weight, or the ban that follows
    -1008: Meaning.RATE_LIMITED,  # system-level throttle: a failure for certain; reductions and cancels are exempt
    -1015: Meaning.RATE_LIMITED,  # orders per interval
    -1021: Meaning.CLOCK,  # outside the receive window when it reached the gateway
    -5028: Meaning.CLOCK,  # outside it when it reached the matching engine
    # says nothing about what became of the request
    -1000: Meaning.UNAVAILABLE,  # unknown error
    -1001: Meaning.UNAVAILABLE,  # disconnected; its text is called a failure, its name is not: asking costs less
    -1006: Meaning.UNAVAILABLE,  # unexpected answer from within: execution unknown
    -1007: Meaning.UNAVAILABLE,  # time-out of the back end: sending and execution unknown
    -1016: Meaning.UNAVAILABLE,  # shutting down
    # it is so already
    -4046: Meaning.UNCHANGED,  # margin type
    -4059: Meaning.UNCHANGED,  # position mode
}

# The request itself is wrong, so that neither an order nor a cancel came of it.
_MALFORMED = (
    -1020,  # operation not supported
    -1100, -1101, -1102, -1103, -1104, -1105, -1106,  # parameters: characters, number, missing, unknown, unread, empty
    -1121,  # symbol
    -1128, -1130,  # combination or content of parameters
)  # fmt: skip

_PLACE = {
    **dict.fromkeys(_MALFORMED, REFUSED),
    -1013: REFUSED,  # message, filters included
    -1014: REFUSED,  # order combination
    -1111: REFUSED,  # precision
    -1112: REFUSED,  # no orders on the book
    -1114: REFUSED,  # time in force where none belongs
    -1115: REFUSED,  # time in force
    -1116: REFUSED,  # order type
    -1117: REFUSED,  # side
    -1118: REFUSED,  # empty client order id
    -1122: REFUSED,  # status of the symbol
    -1136: REFUSED,  # response type
    -2010: REFUSED,  # new order rejected
    -2018: REFUSED,  # balance
    -2019: REFUSED,  # margin
    -2020: REFUSED,  # cannot be filled
    -2021: REFUSED,  # would trigger at once
    -2022: REFUSED,  # reduce-only: nothing to reduce, or open orders reduce it already
    -2023: REFUSED,  # user is being liquidated
    -2024: REFUSED,  # position too small
    -2025: REFUSED,  # number of open orders
    -2026: REFUSED,  # order type does not go with reduce-only
    -2027: REFUSED,  # position too large at this leverage
    -2028: REFUSED,  # leverage too low for the margin balance
    -4001: REFUSED, -4002: REFUSED, -4013: REFUSED, -4014: REFUSED,  # price: sign, maximum, minimum, tick
    -4003: REFUSED, -4004: REFUSED, -4005: REFUSED, -4023: REFUSED,  # quantity: sign, minimum, maximum, step
    -4015: REFUSED,  # form of the client order id (not a duplicate, which is -4116)
    -4016: REFUSED, -4024: REFUSED,  # price too far above or below the mark
    -4045: REFUSED,  # number of conditional orders
    -4050: REFUSED, -4051: REFUSED,  # cross, isolated balance
    -4060: REFUSED,  # position side
    -4061: REFUSED,  # position side does not fit the position mode
    -4062: REFUSED,  # reduce-only where it may not be said
    -4087: REFUSED, -4088: REFUSED,  # account may only reduce, may not order
    -4109: REFUSED,  # inactive account
    -4116: DUPLICATE,  # client order id is taken (among open orders): the order is ours, adopt it
    -4118: REFUSED,  # reduce-only would turn the position, with the open orders there are
    -4120: REFUSED,  # order type belongs to another endpoint
    -4131: REFUSED,  # market order: best price beyond the percent-price filter
    -4140: REFUSED, -4141: REFUSED,  # contract takes no opening orders, is closed
    -4144: REFUSED,  # pair
    -4164: REFUSED,  # notional below the minimum
    -4192: REFUSED,  # cooling-off period
    -4400: REFUSED, -4401: REFUSED, -4402: REFUSED,  # trading rules, large position, compliance: may only reduce
    -4531: REFUSED,  # position mode out of step between USD-M and COIN-M
    -5021: REFUSED,  # fill-or-kill cannot be filled
    -5022: REFUSED,  # post-only would take
    -5025: REFUSED,  # limit orders only
    -5037: REFUSED, -5038: REFUSED, -5039: REFUSED, -5040: REFUSED, -5041: REFUSED,  # parameters not used here
}  # fmt: skip

_CANCEL = {
    **dict.fromkeys(_MALFORMED, REFUSED),
    -1119: REFUSED,  # empty client order id
    -2011: MISSING,  # not among the open orders: perhaps filled
    -2013: MISSING,  # no such order
}

REDUCE_ONLY, POSITION_MODE = RefusalReason.REDUCE_ONLY, RefusalReason.POSITION_MODE

CODES = ErrorCodes(
    codes={str(code): meaning for code, meaning in _ANY.items()},
    place={str(code): meaning for code, meaning in _PLACE.items()},
    cancel={str(code): meaning for code, meaning in _CANCEL.items()},
    reasons={
        "-2022": REDUCE_ONLY,
        "-2024": REDUCE_ONLY,
        "-4118": REDUCE_ONLY,
        "-4061": POSITION_MODE,
        "-4531": POSITION_MODE,
    },
    extract=extract,
    statuses={418: Meaning.RATE_LIMITED, 429: Meaning.RATE_LIMITED},
    messages={
        # Of the texts of HTTP 503 this one is documented as a failure; "Unknown error, ..." as unknown execution.
        "Service Unavailable.": Meaning.REFUSED,
        "Duplicate order sent.": Meaning.DUPLICATE,  # comes with -2010
    },
)
