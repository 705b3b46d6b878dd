"""Small files that only their owner may read: refused when others can reach them, replaced all at once."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from fundingarb.errors import ConfigError
from fundingarb.folders import make_private

__all__ = ["read_private", "read_private_text", "write_private"]

MOST_BYTES = 256 * 1024


def read_private(path: Path, what: str) -> bytes | None:
    """What is in ``path``; None when there is no such file. ``what`` begins the messages.

    Raises ``ConfigError`` for a link, for what is no file, and for a file that others could have read or written.
    """
    path = path.expanduser()
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{what} {path}: {error.strerror}; it has to be a plain file of yours") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{what} {path} is not a plain file; remove it or name another one")
        if os.name == "posix" and (stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.geteuid()):
            raise ConfigError(f"{what} {path} can be reached by others; chown it to you and chmod 600 it")
        return os.read(descriptor, MOST_BYTES)
    finally:
        os.close(descriptor)


def read_private_text(path: Path, what: str) -> str | None:
    """As ``read_private``: the text without surrounding space."""
    content = read_private(path, what)
    try:
        return None if content is None else content.decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path} is not text; write it anew") from error


def write_private(path: Path, text: str, what: str) -> None:
    """Replace ``path``, readable and writable for its owner only. Raises ``ConfigError``.

    Whoever is killed in the middle leaves the old file.
    """
    path = path.expanduser()
    try:
        make_private(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise ConfigError(f"{what} {path}: {error.strerror}; make room or choose another place") from error
