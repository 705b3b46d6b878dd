"""Where a master password comes from: a prompt that shows nothing, or a file descriptor. Nowhere else."""

from __future__ import annotations

import os

from fundingarb.vault.seal import VaultError

SHORTEST = 12
"""Characters a master password must have."""
LONGEST = 1024
"""Bytes that are read of a descriptor."""


def password_from_fd(descriptor: int) -> str:
    """The first line that can be read from ``descriptor``. Raises ``VaultError``."""
    parts = b""
    try:
        while len(parts) <= LONGEST and b"\n" not in parts:
            part = os.read(descriptor, LONGEST)
            if not part:
                break
            parts += part
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise VaultError(
            f"--password-fd {descriptor}: {reason}; open it for reading before the start"
        ) from None
    line = parts.split(b"\n", 1)[0].removesuffix(b"\r")
    if not line or len(line) > LONGEST:
        raise VaultError(
            f"--password-fd {descriptor}: there is no password to read; write it there on one line"
        )
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise VaultError(
            f"--password-fd {descriptor}: the password is not UTF-8 text; set another one"
        ) from None


def check_strength(password: str) -> str:
    """``password`` itself. Raises ``VaultError`` for one that is too short for a new vault."""
    if len(password) < SHORTEST:
        raise VaultError(f"a master password has {SHORTEST} characters or more; choose a longer one")
    if not password.isprintable():
        raise VaultError("a master password has no control characters; choose another one")
    if len(password.encode("utf-8", "surrogatepass")) > LONGEST:
        raise VaultError(f"a master password has {LONGEST} bytes at most; choose a shorter one")
    return password
