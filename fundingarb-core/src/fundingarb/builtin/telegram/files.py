"""JSON in private files, and a lock that ends with its process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fundingarb.errors import ConfigError
from fundingarb.folders import make_private
from fundingarb.privatefiles import read_private, write_private


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
    write_private(path, json.dumps(document), what)


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether this process has the lock, until the block is left; it never waits."""
    try:
        import fcntl
    except ImportError:  # no such locks here
        yield True
        return
    make_private(path.parent)
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
