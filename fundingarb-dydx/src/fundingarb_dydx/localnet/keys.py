"""Keys of the chain: BIP-39 words, BIP-32 derivation, secp256k1 signatures and dydx1... addresses."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Sequence

from Crypto.Hash import RIPEMD160
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fundingarb.localnet.truth.types import Credentials

__all__ = ["address_of", "new_credentials", "private_key_of", "public_key_of", "verify"]

PREFIX = "dydx"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of the secp256k1 group."""
WORDS = (
    "abandon",
    "ability",
    "able",
    "about",
    "above",
    "absent",
    "absorb",
    "abstract",
    "absurd",
    "abuse",
    "access",
    "accident",
    "account",
    "accuse",
    "achieve",
    "acid",
)
"""The first sixteen of the 2048 English words. Eleven of them say 121 bits of entropy, of which 44 are random; the
last word is then the four bits of the checksum. Enough for keys that are worth nothing."""
PATH = (44 | 1 << 31, 118 | 1 << 31, 1 << 31, 0, 0)
"""m/44'/118'/0'/0/0, the path of Cosmos chains."""
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


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
    chosen = [rng.randrange(len(WORDS)) for _ in range(11)]
    bits = 0
    for index in chosen:
        bits = bits << 11 | index
    # the last word has seven more bits of entropy, left at zero, and four of the checksum
    entropy = (bits << 7).to_bytes(16, "big")
    checksum = hashlib.sha256(entropy).digest()[0] >> 4
    return " ".join(WORDS[index] for index in [*chosen, checksum])


def private_key_of(mnemonic: str, path: Sequence[int] = PATH) -> int:
    """The private key at a path of a mnemonic's tree (BIP-39 seed without passphrase, BIP-32)."""
    seed = hashlib.pbkdf2_hmac("sha512", mnemonic.encode(), b"mnemonic", 2048)
    node = hmac.new(b"Bitcoin seed", seed, hashlib.sha512).digest()
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
    return _bech32(PREFIX, RIPEMD160.new(hashlib.sha256(public).digest()).digest())


def _bech32(prefix: str, data: bytes) -> str:
    bits = int.from_bytes(data, "big")
    length = len(data) * 8
    padding = -length % 5
    groups = [(bits << padding) >> shift & 31 for shift in range(length + padding - 5, -1, -5)]
    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    rest = _polymod([*spread, *groups, 0, 0, 0, 0, 0, 0]) ^ 1
    groups += [rest >> 5 * (5 - index) & 31 for index in range(6)]
    return f"{prefix}1{''.join(_BECH32[group] for group in groups)}"


def _polymod(values: Sequence[int]) -> int:
    """The checksum polynomial of BIP-173."""
    generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for index, generator in enumerate(generators):
            if top >> index & 1:
                checksum ^= generator
    return checksum
