"""Bybit's signatures: HMAC-SHA256, hex, over timestamp + key + window + (query string or body)."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass

from fundingarb.localnet.truth.types import Credentials
from fundingarb.localnet.venue import Venue
from fundingarb_bybit.localnet.wire import ApiError

__all__ = ["Caller", "authenticate", "check_stream_login", "check_window", "new_credentials", "signature"]

DEFAULT_WINDOW = 5000
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request."""

    account: str
    api_key: str


def new_credentials(rng: random.Random) -> Credentials:
    """A key of 18 and a secret of 36 letters and digits, as Bybit hands them out."""
    return Credentials(
        api_key="".join(rng.choices(_LETTERS, k=18)), api_secret="".join(rng.choices(_LETTERS, k=36))
    )


def signature(secret: str, message: str) -> str:
    """What the header X-BAPI-SIGN must hold."""
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def check_window(venue: Venue, timestamp: int, window: int) -> None:
    """Refuse (10002) unless server time - window <= timestamp < server time + 1000, in real milliseconds."""
    age = venue.age_ms(timestamp)
    if age > window or age <= -1000:
        raise ApiError(
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{timestamp}],server_timestamp[{venue.server_ms()}],recv_window[{window}]",
        )


def authenticate(venue: Venue, headers: Mapping[str, str], signed: str) -> Caller:
    """The account behind a REST request. ``signed`` is the raw query string (GET) or the raw body (POST).

    Raises ``ApiError``: 10001 a header is missing, 10003 unknown key, 10002 outside the window, 10004 bad signature.
    """
    key = headers.get("X-BAPI-API-KEY", "")
    stamp = headers.get("X-BAPI-TIMESTAMP", "")
    sign = headers.get("X-BAPI-SIGN", "")
    if not (key and stamp and sign):
        raise ApiError(10001, f"empty value: apiTimestamp[{stamp}] apiKey[{key}] apiSignature[{sign}]")
    shown_window = headers.get("X-BAPI-RECV-WINDOW", "")
    try:
        timestamp, window = int(stamp), int(shown_window or DEFAULT_WINDOW)
    except ValueError:
        raise ApiError(10001, "Request parameter error: timestamp or recv_window invalid.") from None
    account = venue.truth.account_of_key(key)
    if account is None:
        raise ApiError(10003, "API key is invalid.")
    check_window(venue, timestamp, window)
    secret = venue.truth.credentials(account).api_secret
    origin = f"{stamp}{key}{shown_window}{signed}"
    if not hmac.compare_digest(signature(secret, origin).encode(), sign.encode()):
        raise ApiError(
            10004,
            f"error sign! origin_string[{origin}], please check your signature generation algorithm.",
        )
    return Caller(account, key)


def check_stream_login(venue: Venue, args: object) -> Caller:
    """The account of ``["api key", expires, "signature"]``, the signature being over ``GET/realtime{expires}``.

    Raises ``ApiError``: 10001 malformed or expired, 10003 unknown key, 10004 bad signature.
    """
    if not isinstance(args, list) or len(args) != 3:
        raise ApiError(10001, "Params Error")
    key, expires, sign = args
    try:
        deadline = int(expires)
    except (TypeError, ValueError):
        raise ApiError(10001, "Params Error") from None
    if not isinstance(key, str) or not isinstance(sign, str) or venue.age_ms(deadline) >= 0:
        raise ApiError(10001, "Params Error")
    account = venue.truth.account_of_key(key)
    if account is None:
        raise ApiError(10003, "API key is invalid.")
    secret = venue.truth.credentials(account).api_secret
    if not hmac.compare_digest(signature(secret, f"GET/realtime{expires}").encode(), sign.encode()):
        raise ApiError(10004, "Error sign, please check your signature generation algorithm.")
    return Caller(account, key)
