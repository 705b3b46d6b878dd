"""The dashboard's password: Argon2id, as the hash that a file keeps."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from fundingarb.errors import ConfigError

__all__ = ["SHORTEST", "check_hash", "hash_password", "verify_password"]

SHORTEST = 12
"""Characters a password must have."""

MEMORY_KIB = 64 * 1024
PASSES = 3
LANES = 4
#: What a hash in a file may ask of this machine, and must ask at least (KiB, passes, lanes).
LEAST = (19 * 1024, 2, 1)
MOST = (1024 * 1024, 10, 8)


def hash_password(password: str) -> str:
    """The PHC string (``$argon2id$...``) that stands for ``password``. Raises `ConfigError` when it is too short."""
    if len(password) < SHORTEST:
        raise ConfigError(f"a password has {SHORTEST} characters or more; choose a longer one")
    hasher = Argon2id(salt=os.urandom(16), length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
    return hasher.derive_phc_encoded(password.encode())


def verify_password(password: str, phc: str) -> bool:
    """Whether ``password`` is the one that ``phc`` stands for. Takes about 0.2 s and 64 MiB."""
    try:
        Argon2id.verify_phc_encoded(password.encode("utf-8", "surrogatepass"), phc)
    except (InvalidKey, UnsupportedAlgorithm, ValueError):
        return False
    return True


def check_hash(phc: str, where: object) -> str:
    """``phc`` itself. Raises `ConfigError` when it is no Argon2id hash, or one that is too weak or costs too much."""
    parts = phc.split("$")
    problem = f"{where} is not what `fundingarb dashboard password` writes; run it again"
    if len(parts) != 6 or parts[1:3] != ["argon2id", "v=19"]:
        raise ConfigError(problem)
    try:
        costs = dict(part.split("=") for part in parts[3].split(","))
        asked = (int(costs["m"]), int(costs["t"]), int(costs["p"]))
    except (ValueError, KeyError) as error:
        raise ConfigError(problem) from error
    if not all(low <= cost <= high for low, cost, high in zip(LEAST, asked, MOST, strict=True)):
        raise ConfigError(
            f"{where} asks for {parts[3]}, which is out of bounds; run `fundingarb dashboard password`"
        )
    return phc
