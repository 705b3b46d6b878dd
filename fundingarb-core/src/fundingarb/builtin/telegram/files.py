"""Small files that only their owner may read, replaced all at once; and a lock that ends with its process."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fundingarb.errors import ConfigError

MOST_BYTES = 256 * 1024


def read_private(path: Path, what: str) -> bytes | None:
    """What is in ``path``; None when there is no such file.

    Raises ``ConfigError`` for a link, for what is no file, and for a file that others could have read or written.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{what} {path}: {error.strerror}; it has to be a plain file of yours") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{what} {path} is not a plain file; remove it")
        if os.name == "posix" and (stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.geteuid()):
            raise ConfigError(f"{what} {path} can be reached by others; chown it to you and chmod 600 it")
        return os.read(descriptor, MOST_BYTES)
    finally:
        os.close(descriptor)


def read_document(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in ``path``, empty when there is no such file. Raises ``ConfigError``."""
    content = read_private(path, what)
    if content is None:
        return {}
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ConfigError(f"{what} {path} is not JSON; remove it") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{what} {path} is not what the program wrote; remove it")
    return document


def write_document(path: Path, document: dict[str, Any], what: str) -> None:
    """Replace ``path``, readable and writable for its owner only. Raises ``ConfigError``."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise ConfigError(
            f"{what} {path}: {error.strerror}; make room or choose another state_folder"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether this process has the lock, until the block is left; it never waits."""
    try:
        import fcntl
    except ImportError:  # no such locks here
        yield True
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
