"""API keys, signatures and the time window of signed requests."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
import string
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fundingarb.localnet.dialect import Credentials, Venue
from fundingarb_binance.localnet.answers import BinanceError, missing
from fundingarb_binance.localnet.params import Params

__all__ = ["Key", "Keyring", "check_window", "new_credentials"]

_ALPHABET = string.ascii_letters + string.digits
_DEFAULT_WINDOW_MS = 5000
_LONGEST_WINDOW_MS = 60000
_AHEAD_MS = 1000


def _token(rng: random.Random) -> str:
    return "".join(rng.choice(_ALPHABET) for _ in range(64))


def new_credentials(rng: random.Random) -> Credentials:
    """An HMAC key pair and, in ``extra``, an Ed25519 key of the same account (for ``session.logon``)."""
    private = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Credentials(_token(rng), _token(rng), {"ed25519_api_key": _token(rng), "ed25519_private_key": pem})


@dataclass(frozen=True, slots=True)
class Key:
    """An API key and how its signatures are checked."""

    api_key: str
    account: str
    secret: str
    private: Ed25519PrivateKey | None = None

    @property
    def kind(self) -> str:
        return "HMAC_SHA256" if self.private is None else "ED25519"

    def signed(self, payload: str, signature: str) -> bool:
        """Whether ``signature`` is this key's for ``payload``."""
        if self.private is None:
            expected = hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
            return hmac.compare_digest(expected, signature.lower())
        try:
            self.private.public_key().verify(base64.b64decode(signature, validate=True), payload.encode())
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


class Keyring:
    """Finds the account of an API key."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._keys: dict[str, Key] = {}

    def find(self, api_key: str) -> Key | None:
        known = self._keys.get(api_key)
        if known is None:
            self._keys = {key.api_key: key for name in self._venue.truth.accounts for key in self._of(name)}
            known = self._keys.get(api_key)
        return known

    def _of(self, account: str) -> list[Key]:
        held = self._venue.truth.credentials(account)
        keys = [Key(held.api_key, account, held.api_secret)]
        if "ed25519_api_key" in held.extra:
            private = load_pem_private_key(held.extra["ed25519_private_key"].encode(), None)
            if isinstance(private, Ed25519PrivateKey):
                keys.append(Key(held.extra["ed25519_api_key"], account, "", private))
        return keys

    def require(self, api_key: str | None) -> Key:
        """The key, or Binance's refusal of it."""
        if not api_key:
            raise BinanceError(-2014, "API-key format invalid.", 401)
        if len(api_key) != 64 or not api_key.isalnum():
            raise BinanceError(-2014, "API-key format invalid.", 401)
        key = self.find(api_key)
        if key is None:
            raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return key


def check_window(venue: Venue, params: Params) -> None:
    """Refuse a request that was stamped too long ago, or ahead of the exchange's clock. The window is real time."""
    stamp = params.integer("timestamp")
    if stamp is None:
        raise missing("timestamp")
    window = params.integer("recvWindow", _DEFAULT_WINDOW_MS) or _DEFAULT_WINDOW_MS
    if window > _LONGEST_WINDOW_MS:
        raise BinanceError(-1131, "recvWindow must be less than 60000.")
    age = venue.age_ms(stamp)
    if age < -_AHEAD_MS:
        raise BinanceError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if age > window:
        raise BinanceError(-1021, "Timestamp for this request is outside of the recvWindow.")
