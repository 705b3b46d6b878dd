"""Keys of the chain: BIP-39 words, BIP-32 derivation, secp256k1 signatures and dydx1... addresses."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Sequence

from bech32 import bech32_encode, convertbits
from Crypto.Hash import RIPEMD160
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mnemonic import Mnemonic

from fundingarb.localnet.truth.types import Credentials

__all__ = ["address_of", "new_credentials", "private_key_of", "public_key_of", "verify"]

PREFIX = "dydx"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of the secp256k1 group."""
PATH = (44 | 1 << 31, 118 | 1 << 31, 1 << 31, 0, 0)
"""m/44'/118'/0'/0/0, the path of Cosmos chains."""
_WORDS = Mnemonic("english")


def new_credentials(rng: random.Random) -> Credentials:
    """A fresh account: the address is its name, the private key (hex) its secret, ``mnemonic`` says the same key."""
    words = new_mnemonic(rng)
    private = private_key_of(words)
    address = address_of(public_key_of(private))
    secret = f"{private:064x}"
    return Credentials(
        api_key=address,
        api_secret=secret,
        extra={"address": address, "private_key": secret, "mnemonic": words, "subaccount": "0"},
    )


# -- words and derivation ----------------------------------------------------------------------------------------


def new_mnemonic(rng: random.Random) -> str:
    """Twelve words with a valid checksum."""
    return _WORDS.to_mnemonic(rng.randbytes(16))


def private_key_of(mnemonic: str, path: Sequence[int] = PATH) -> int:
    """The private key at a path of a mnemonic's tree (BIP-39 seed without passphrase, BIP-32)."""
    node = hmac.new(b"Bitcoin seed", Mnemonic.to_seed(mnemonic), hashlib.sha512).digest()
    key, chain = int.from_bytes(node[:32], "big"), node[32:]
    for step in path:
        hardened = step >> 31
        head = b"\0" + key.to_bytes(32, "big") if hardened else public_key_of(key)
        node = hmac.new(chain, head + step.to_bytes(4, "big"), hashlib.sha512).digest()
        key, chain = (int.from_bytes(node[:32], "big") + key) % ORDER, node[32:]
    return key


# -- keys and signatures -----------------------------------------------------------------------------------------


def public_key_of(private: int) -> bytes:
    """Compressed, 33 bytes."""
    public = ec.derive_private_key(private, ec.SECP256K1()).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether r and s (32 bytes each) sign the SHA-256 of the message; the upper half of s is refused."""
    if len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < ORDER and 0 < s <= ORDER // 2):
        return False
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public)
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


# -- addresses ---------------------------------------------------------------------------------------------------


def address_of(public: bytes) -> str:
    """The bech32 address of a public key: RIPEMD-160 of its SHA-256."""
    digest = RIPEMD160.new(hashlib.sha256(public).digest()).digest()
    return bech32_encode(PREFIX, convertbits(digest, 8, 5) or ())
