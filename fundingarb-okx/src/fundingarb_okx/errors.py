"""OKX v5 codes and what they say about the request, from the documented list of codes."""

from __future__ import annotations

import msgspec

from fundingarb.errors import RefusalReason
from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.rest import DUPLICATE, MISSING, REFUSED, ErrorCodes, Meaning


class _Head(msgspec.Struct):
    code: str = ""
    msg: str = ""


class _Item(msgspec.Struct):
    sCode: str = ""  # noqa: N815
    sMsg: str = ""  # noqa: N815


class _Failed(msgspec.Struct):
    data: list[_Item] = []


_HEAD = msgspec.json.Decoder(_Head)
_FAILED = msgspec.json.Decoder(_Failed)
_SOME_FAILED = ("1", "2")
"""The envelope's codes that only say that an item of ``data`` failed; the item says why."""


def extract(body: bytes) -> tuple[str, str]:
    """(code, message) of an answer; errors arrive with HTTP 200 too. No code when it is not OKX's JSON."""
    try:
        head = _HEAD.decode(body)
        items = _FAILED.decode(body).data if head.code in _SOME_FAILED else []
    except ValueError:
        return "", excerpt(body)
    for item in items:
        if item.sCode not in ("", "0"):
            return item.sCode, " ".join(item.sMsg.split())
    return head.code, head.msg.strip()


# What follows is the documented table of error codes (v5, "Error Code") as far as it concerns the requests made here.
# A code that is not listed leaves the outcome of an order or a cancel unknown.

_ANY = {
    # documented as not carried out: key, signature, permission or address
    50007: Meaning.AUTHENTICATION, 50008: Meaning.AUTHENTICATION,  # account blocked, no such user
    50100: Meaning.AUTHENTICATION,  # key frozen
    50101: Meaning.AUTHENTICATION,  # key of demo trading used for real, or the other way round
    50103: Meaning.AUTHENTICATION, 50104: Meaning.AUTHENTICATION, 50105: Meaning.AUTHENTICATION,  # key, passphrase
    50106: Meaning.AUTHENTICATION, 50107: Meaning.AUTHENTICATION,  # signature, time stamp missing
    50110: Meaning.AUTHENTICATION,  # address not bound to the key
    50111: Meaning.AUTHENTICATION, 50112: Meaning.AUTHENTICATION,  # key, form of the time stamp
    50113: Meaning.AUTHENTICATION, 50114: Meaning.AUTHENTICATION,  # signature, authorization
    50119: Meaning.AUTHENTICATION, 50120: Meaning.AUTHENTICATION,  # no such key, permission
    50121: Meaning.AUTHENTICATION,  # address
    # turned away before it was looked at
    50011: Meaning.RATE_LIMITED, 50040: Meaning.RATE_LIMITED,  # too frequent
    50061: Meaning.RATE_LIMITED,  # orders of the sub-account
    50102: Meaning.CLOCK,  # time stamp more than 30 s old
    50036: Meaning.CLOCK,  # the order's `expTime` is over: too long on its way, or a clock that is wrong
    # says nothing about what became of the request
    50001: Meaning.UNAVAILABLE,  # service temporarily unavailable
    50004: Meaning.UNAVAILABLE,  # time-out: "does not mean that the request was successful or failed"
    50005: Meaning.UNAVAILABLE,  # API offline
    50013: Meaning.UNAVAILABLE, 50026: Meaning.UNAVAILABLE,  # busy, system error
    51054: Meaning.UNAVAILABLE,  # request timed out
    51149: Meaning.UNAVAILABLE,  # order timed out: it may have been carried out
    51412: Meaning.UNAVAILABLE,  # cancel timed out
    # it is so already, or cannot be set because nothing needs it
    51039: Meaning.UNCHANGED,  # leverage of a cross position in portfolio margin
}  # fmt: skip

# The request itself is wrong or the account may not make it, so that neither an order nor a cancel came of it.
_MALFORMED = (
    50000, 50002, 50006, 50014, 50015, 50016, 50024, 50025, 50115,  # body, content type, parameters, method
    50027, 50028, 50051, 50052, 50059, 50060, 50062, 50067,  # account restricted, compliance, feature
    51000, 51001, 51002, 51003, 51015, 51407, 51408,  # parameter, instrument
    51010, 51024,  # account mode, account blocked
)  # fmt: skip

_PLACE = {
    **dict.fromkeys(_MALFORMED, REFUSED),
    51011: DUPLICATE,  # order id is taken
    51016: DUPLICATE,  # client order id is taken: the order is ours, adopt it
    50071: DUPLICATE,  # "clOrdId already exists"
    50009: REFUSED, 50012: REFUSED, 50017: REFUSED, 50018: REFUSED, 50019: REFUSED,  # being liquidated, frozen by ADL
    50020: REFUSED, 50021: REFUSED, 50022: REFUSED, 50023: REFUSED,  # frozen by liquidation or funding
    50069: REFUSED,  # margin of the risk unit
    51004: REFUSED, 51005: REFUSED,  # position limit at this leverage, size
    51006: REFUSED, 51031: REFUSED, 51116: REFUSED, 51122: REFUSED,  # price limits
    51135: REFUSED, 51136: REFUSED, 51137: REFUSED, 51138: REFUSED,
    51007: REFUSED, 51020: REFUSED, 51120: REFUSED, 51121: REFUSED, 50122: REFUSED,  # below the minimum, not a lot
    51150: REFUSED,  # precision
    51008: REFUSED, 51119: REFUSED, 51127: REFUSED, 51131: REFUSED,  # margin, balance
    51009: REFUSED,  # orders blocked
    51012: REFUSED, 51014: REFUSED,  # token, index
    51021: REFUSED, 51022: REFUSED, 51027: REFUSED, 51028: REFUSED, 51087: REFUSED,  # not listed, suspended, expired
    51029: REFUSED, 51030: REFUSED,  # being settled, funding being charged
    51023: REFUSED, 51043: REFUSED,  # no such position
    51025: REFUSED, 51033: REFUSED,  # number of orders, amount per order
    51032: REFUSED,  # all positions are being closed
    51037: REFUSED, 51038: REFUSED, 51041: REFUSED, 51042: REFUSED,  # what portfolio margin allows
    51056: REFUSED,  # action not allowed
    **dict.fromkeys(range(51101, 51109), REFUSED),  # limits of pending orders and positions
    51109: REFUSED,  # nothing on offer
    51110: REFUSED, 51124: REFUSED, 51196: REFUSED, 51197: REFUSED,  # call auction of a new contract
    51112: REFUSED,  # more than there is to close
    51113: REFUSED, 51115: REFUSED, 51117: REFUSED,  # closing orders: frequency, number
    51129: REFUSED,  # position limit
    51130: REFUSED,  # margin currency
    51134: REFUSED,  # nothing to close
    51148: REFUSED,  # would turn round what reduce-only orders are to close
    51155: REFUSED, 51147: REFUSED,  # compliance
    51165: REFUSED, 51174: REFUSED,  # number of orders
    51166: REFUSED, 51159: REFUSED,  # lead traders
    51169: REFUSED, 51170: REFUSED,  # reduce-only: no position, one of that side
    51185: REFUSED, 51186: REFUSED, 51187: REFUSED,  # value, leverage, platform limit
    51201: REFUSED, 51202: REFUSED, 51203: REFUSED, 51207: REFUSED,  # size of a market order
    51204: REFUSED,  # price missing
    51205: REFUSED, 51206: REFUSED,  # reduce-only not available, in the way
    51341: REFUSED,  # closing not allowed
    **dict.fromkeys((54000, 54005, 54006, 54007, 54008, 54009, 54011, 54012), REFUSED),  # margin, pre-market, depth
    **dict.fromkeys((54018, 54019, 54024, 54025, 54026, 54030, 54031, 54035, 54036), REFUSED),  # collateral, caps
    **dict.fromkeys((54072, 54073, 54094), REFUSED),  # view only, depegging, cooling-off
    **dict.fromkeys((59102, 59113, 59114), REFUSED),  # leverage, region
}  # fmt: skip

_CANCEL = {
    **dict.fromkeys(_MALFORMED, REFUSED),
    51400: MISSING,  # filled, cancelled or never there
    51401: MISSING,  # cancelled already
    51402: MISSING,  # completed already: perhaps filled
    51405: MISSING,  # no pending orders
    51503: MISSING,  # filled or cancelled already
    51603: MISSING, 51063: MISSING,  # no such order
    51403: REFUSED, 51404: REFUSED, 51413: REFUSED, 51416: REFUSED,  # cannot be cancelled
}  # fmt: skip
# 51410 (being cancelled, or pending settlement) says that something is under way: unknown, ask again.

REDUCE_ONLY, POSITION_MODE = RefusalReason.REDUCE_ONLY, RefusalReason.POSITION_MODE

CODES = ErrorCodes(
    codes={str(code): meaning for code, meaning in _ANY.items()},
    place={str(code): meaning for code, meaning in _PLACE.items()},
    cancel={str(code): meaning for code, meaning in _CANCEL.items()},
    reasons={
        **dict.fromkeys(("51023", "51043", "51112", "51134", "51169", "51170"), REDUCE_ONLY),
        "Parameter posSide error": POSITION_MODE,  # comes with 51000
    },
    extract=extract,
    statuses={429: Meaning.RATE_LIMITED},
    in_success=True,
)
