"""Files that hold secrets: read and written so that nobody else on the machine can."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from fundingarb.errors import ConfigError

__all__ = ["read_secret", "write_secret"]

LARGEST = 4096


def read_secret(path: Path, what: str) -> str | None:
    """The text in ``path`` without surrounding space; None when there is no such file.

    Raises `ConfigError` for a link, for a file of somebody else's, and for one that others may read or write.
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
            raise ConfigError(f"{what} {path} is not a plain file; remove it or name another")
        if os.name == "posix" and found.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"{what} {path} belongs to another user; take it over or name another file")
        if os.name == "posix" and found.st_mode & 0o077:
            raise ConfigError(f"{what} {path} may be read by others; run: chmod 600 {path}")
        return os.read(descriptor, LARGEST).decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path} is not text; write it anew") from error
    finally:
        os.close(descriptor)


def write_secret(path: Path, text: str) -> None:
    """Put ``text`` into ``path``, readable for its owner only, all at once. Raises `ConfigError`."""
    path = path.expanduser()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; choose another place for it") from error
