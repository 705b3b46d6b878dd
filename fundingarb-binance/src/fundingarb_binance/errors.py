"""Binance USD-M error codes and what they say about the request, from the documented list of codes."""

from __future__ import annotations

import msgspec

from fundingarb.exchanges.rest import ErrorCodes, Meaning


class _Error(msgspec.Struct):
    code: int | str = ""
    msg: str = ""


_DECODER = msgspec.json.Decoder(_Error)


def extract(body: str) -> tuple[str, str]:
    """(code, message) of an error body; the whole body as message when it is not Binance's JSON."""
    try:
        error = _DECODER.decode(body)
    except ValueError:
        return "", body.strip()
    return str(error.code), error.msg


# A request that was not well formed, or that the state of account or symbol forbids: nothing was carried out.
_REFUSED = (
    *range(-1136, -1099),  # parameters
    -1013,  # filter failure
    -1014, -1020, -1023,
    -1008,  # request throttled by system-level protection (documented as not carried out)
    -2010,  # new order rejected
    -2012, -2016,
    -2018, -2019,  # balance, margin not sufficient
    -2020,  # unable to fill
    -2021,  # would trigger at once
    -2022,  # reduce-only rejected
    -2023,  # user in liquidation
    -2024, -2025, -2026, -2027, -2028,
    *range(-4014, -3999),  # price, quantity, tick and step filters
    *range(-4032, -4014),  # client id, leverage, symbol settings
    -4037, -4044, -4045, -4047, -4048, -4055, -4060, -4061, -4062, -4063, -4064, -4067, -4068, -4069,
    -4082, -4083, -4084, -4086, -4087, -4088, -4109, -4118,
    -4131,  # the best price of the counterparty breaks the price filter
    -4136, -4137, -4138, -4139, -4140, -4141, -4142, -4144,
    -4161, -4162, -4164,  # notional below the minimum
    -4168, -4169, -4170, -4171, -4172,
    -4183, -4184, -4192, -4202, -4203, -4205, -4206, -4208,
    -5013, -5014, -5021, -5022, -5024, -5025, -5026, -5027, -5037, -5038, -5039, -5040, -5041,
)  # fmt: skip

CODES = ErrorCodes(
    codes={
        **{str(code): Meaning.REFUSED for code in _REFUSED},
        "-1002": Meaning.AUTHENTICATION,
        "-1022": Meaning.AUTHENTICATION,
        "-2014": Meaning.AUTHENTICATION,
        "-2015": Meaning.AUTHENTICATION,
        "-2017": Meaning.AUTHENTICATION,
        "-4056": Meaning.AUTHENTICATION,  # trading permission
        "-4057": Meaning.AUTHENTICATION,
        "-1003": Meaning.RATE_LIMITED,
        "-1015": Meaning.RATE_LIMITED,
        "-1021": Meaning.CLOCK,
        "-5028": Meaning.CLOCK,
        "-2011": Meaning.MISSING,
        "-2013": Meaning.MISSING,
        "-4111": Meaning.DUPLICATE,
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
