"""Binance USD-M error codes and what they say about the request, from the documented list of codes."""

from __future__ import annotations

import msgspec

from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.rest import ErrorCodes, Meaning


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


# A request that was not well formed, or that the state of account or symbol forbids: nothing was carried out.
_REFUSED = (
    -1008,  # throttled by system-level protection: documented as not carried out
    -1013,  # filter failure
    -1014, -1020, -1023,
    *range(-1136, -1099),  # parameters
    -2010,  # new order rejected
    -2018, -2019,  # balance, margin not sufficient
    -2020,  # unable to fill
    -2021,  # would trigger at once
    -2022,  # reduce-only rejected
    -2023,  # user in liquidation
    -2024, -2025, -2026, -2027, -2028,  # position, open orders, leverage
    *range(-4031, -3999),  # price, quantity, tick, step and client id filters; leverage
    -4044, -4045, -4047, -4048, -4050, -4051,
    -4060, -4061, -4062, -4067, -4068,  # position side and its change
    -4084, -4087, -4088, -4108, -4109,
    -4118,  # reduce-only margin check
    -4120, -4131, -4140, -4141, -4144,
    -4161, -4164,  # notional below the minimum
    -4168, -4183, -4184, -4192,
    -4202, -4203, -4205, -4206, -4208, -4209,
    -4400, -4401, -4402, -4403, -4531,
    -5021, -5022, -5024, -5025, -5026, -5027, -5037, -5038, -5039, -5040, -5041,
)  # fmt: skip
_AUTHENTICATION = (-1002, -1005, -1011, -1022, -1099, -1109, -2014, -2015, -2017, -4056, -4057)

CODES = ErrorCodes(
    codes={
        **{str(code): Meaning.REFUSED for code in _REFUSED},
        **{str(code): Meaning.AUTHENTICATION for code in _AUTHENTICATION},
        "-1003": Meaning.RATE_LIMITED,
        "-1015": Meaning.RATE_LIMITED,
        "-1021": Meaning.CLOCK,
        "-5028": Meaning.CLOCK,
        "-2011": Meaning.MISSING,
        "-2013": Meaning.MISSING,
        "-4116": Meaning.DUPLICATE,
        "-4046": Meaning.UNCHANGED,
        "-4059": Meaning.UNCHANGED,
        "-1001": Meaning.UNAVAILABLE,
        "-1016": Meaning.UNAVAILABLE,
    },
    extract=extract,
    statuses={418: Meaning.RATE_LIMITED, 429: Meaning.RATE_LIMITED},
    messages={
        # Of the three texts that come with HTTP 503 two are documented as failures; "Unknown error" is not among them.
        "Service Unavailable.": Meaning.REFUSED,
        "Internal error; unable to process your request. Please try again.": Meaning.REFUSED,
    },
)
