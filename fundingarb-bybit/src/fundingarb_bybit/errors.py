"""Bybit v5 codes and what they say about the request, from the documented list of codes."""

from __future__ import annotations

import msgspec

from fundingarb.exchanges.parse import excerpt
from fundingarb.exchanges.rest import ErrorCodes, Meaning


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


# A request that was not well formed, or that the state of account or symbol forbids: nothing was carried out.
_REFUSED = (
    10001,  # parameter error
    10017, 10024, 10027, 10028, 10029, 10032,
    30133, 30134, 30135, 30136, 30208, 30209, 30228,
    100028,
    110003, 110004, 110005, 110006, 110007, 110009, 110011, 110012, 110013, 110014, 110015,
    110017,  # reduce-only without a position, or a quantity that rounds to zero
    110018, 110020, 110021, 110022, 110023, 110024, 110028, 110029, 110031, 110032, 110033, 110034,
    110036, 110037, 110038, 110039, 110040, 110042, 110044, 110045, 110046, 110047, 110048, 110049, 110050,
    110051, 110052, 110053, 110057,
    110063, 110066, 110067, 110068, 110069, 110070, 110073, 110074, 110077,
    110080, 110085, 110086, 110087, 110088, 110089, 110090, 110092, 110093,
    110094,  # notional below the minimum
    110095, 110096, 110097, 110098, 110100, 110103, 110118, 110119, 110120, 110121, 110123, 110124, 110125,
    110131, 110132, 110135, 110136, 110137,
    3400045, 3400071, 3400139,
)  # fmt: skip
_AUTHENTICATION = (10003, 10004, 10005, 10007, 10008, 10009, 10010, 33004)

CODES = ErrorCodes(
    codes={
        **{str(code): Meaning.REFUSED for code in _REFUSED},
        **{str(code): Meaning.AUTHENTICATION for code in _AUTHENTICATION},
        "10002": Meaning.CLOCK,
        "10006": Meaning.RATE_LIMITED,
        "10018": Meaning.RATE_LIMITED,
        "110001": Meaning.MISSING,
        "110008": Meaning.MISSING,  # completed or cancelled already
        "110010": Meaning.MISSING,  # cancelled already
        "110019": Meaning.MISSING,
        "110072": Meaning.DUPLICATE,
        "10014": Meaning.DUPLICATE,
        "110025": Meaning.UNCHANGED,
        "110026": Meaning.UNCHANGED,
        "110043": Meaning.UNCHANGED,
        "10000": Meaning.UNAVAILABLE,  # "Server Timeout": a write may have been carried out
        "10016": Meaning.UNAVAILABLE,
        "10019": Meaning.UNAVAILABLE,
        "429": Meaning.UNAVAILABLE,
    },
    extract=extract,
    statuses={403: Meaning.RATE_LIMITED, 429: Meaning.RATE_LIMITED},
    in_success=True,
)
