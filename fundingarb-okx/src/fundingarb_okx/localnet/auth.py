"""OKX's signatures: HMAC-SHA256, base64, over timestamp + method + path with query + body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone

from fundingarb.localnet.truth.types import Credentials
from fundingarb.localnet.venue import Venue
from fundingarb_okx.localnet.wire import ApiError

__all__ = ["WINDOW", "authenticate", "login", "new_credentials", "signature", "simulated"]

WINDOW = 30_000
"""Real milliseconds that a request's timestamp may be away from the server's."""
LOGIN_PATH = "/users/self/verify"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def new_credentials(rng: random.Random) -> Credentials:
    """A UUID for key, 32 upper-case hexadecimal digits for secret, and the passphrase its owner chose."""
    key = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    secret = f"{rng.getrandbits(128):032X}"
    return Credentials(key, secret, {"passphrase": f"Localnet-{rng.getrandbits(32):08x}"})


def signature(secret: str, message: str) -> str:
    """What the header OK-ACCESS-SIGN must hold."""
    return base64.b64encode(hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()).decode()


def simulated(headers: Mapping[str, str]) -> bool:
    """Whether a request is for the demo environment."""
    return headers.get("x-simulated-trading") == "1"


def _milliseconds(stamp: str) -> float:
    """A timestamp as REST requests carry it (2020-12-08T09:08:57.715Z), or unix seconds."""
    try:
        if "T" in stamp:
            moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
            return (moment - _EPOCH).total_seconds() * 1000
        return float(stamp) * 1000
    except (ValueError, OverflowError, TypeError):
        raise ApiError(50112, "Invalid OK-ACCESS-TIMESTAMP.") from None


def authenticate(
    venue: Venue, headers: Mapping[str, str], method: str, path: str, body: str, *, demo: bool
) -> str:
    """The account behind a REST request. ``path`` comes with its query; ``demo``: the environment played.

    Raises ``ApiError`` with the codes 50101 to 50114.
    """
    names = ("OK-ACCESS-KEY", "OK-ACCESS-PASSPHRASE", "OK-ACCESS-SIGN", "OK-ACCESS-TIMESTAMP")
    codes = (50103, 50104, 50106, 50107)
    for code, name in zip(codes, names, strict=True):
        if not headers.get(name):
            raise ApiError(code, f'Request header "{name}" cannot be empty.')
    key, passphrase, sign, stamp = (headers[name] for name in names)
    if abs(venue.age_ms(_milliseconds(stamp))) > WINDOW:
        raise ApiError(50102, "Timestamp request expired.")
    account = venue.truth.account_of_key(key)
    if account is None:
        raise ApiError(50111, "Invalid OK-ACCESS-KEY.")
    if simulated(headers) is not demo:
        raise ApiError(50101, "APIKey does not match current environment.")
    credentials = venue.truth.credentials(account)
    if not hmac.compare_digest(passphrase.encode(), credentials.extra["passphrase"].encode()):
        raise ApiError(50105, 'Request header "OK-ACCESS-PASSPHRASE" incorrect.')
    expected = signature(credentials.api_secret, f"{stamp}{method}{path}{body}")
    if not hmac.compare_digest(expected.encode(), sign.encode()):
        raise ApiError(50113, "Invalid signature.")
    return account


def login(venue: Venue, args: object, *, demo: bool, environment: bool) -> str:
    """The account of a websocket login. ``environment``: whether the connection asked for the demo one.

    Raises ``ApiError`` with the codes 60004 to 60024.
    """
    one = args[0] if isinstance(args, list) and args else None
    if not isinstance(one, dict):
        raise ApiError(60012, "Invalid request")
    key, passphrase, stamp, sign = (
        str(one.get(name) or "") for name in ("apiKey", "passphrase", "timestamp", "sign")
    )
    try:
        moment = float(stamp) * 1000
    except ValueError:
        raise ApiError(60004, "Invalid timestamp") from None
    if not abs(venue.age_ms(moment)) <= WINDOW:
        raise ApiError(60006, "Timestamp request expired")
    account = venue.truth.account_of_key(key)
    if account is None:
        raise ApiError(60005, "Invalid apiKey")
    if environment is not demo:
        raise ApiError(50101, "APIKey does not match current environment.")
    credentials = venue.truth.credentials(account)
    if not hmac.compare_digest(passphrase.encode(), credentials.extra["passphrase"].encode()):
        raise ApiError(60024, "Wrong passphrase")
    expected = signature(credentials.api_secret, f"{stamp}GET{LOGIN_PATH}")
    if not hmac.compare_digest(expected.encode(), sign.encode()):
        raise ApiError(60007, "Invalid sign")
    return account
