"""Private files: read only when nobody else can have read or written them, replaced as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fundingarb.folders import make_private
from fundingarb.vault.seal import LARGEST, VaultError

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)


@contextmanager
def private_folder(path: Path, *, create: bool = False) -> Iterator[int]:
    """A descriptor of the folder that ``path`` is in. Raises ``VaultError`` when others can get at it."""
    folder = path.parent
    if create:
        with _told(folder):
            make_private(folder)
    with _told(folder):
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise VaultError(f"{folder} belongs to another user; keep the vault in a folder of yours")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise VaultError(f"{folder} is open to others; run: chmod 700 {folder}")
        yield descriptor
    finally:
        os.close(descriptor)


def read_private(path: Path) -> bytes:
    """The content of a file that is ours alone, mode 0600, no link. Raises ``VaultError`` otherwise."""
    with private_folder(path) as folder:
        try:
            descriptor = os.open(path.name, os.O_RDONLY | _NOFOLLOW | os.O_NONBLOCK | _CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            raise VaultError(f"{path}: there is no vault; make one with: fundingarb vault create") from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK):
                raise VaultError(f"{path} is a symbolic link; name the file itself") from None
            raise VaultError(f"{path}: {(error.strerror or 'cannot be read').lower()}; correct it") from None
        try:
            _check(os.fstat(descriptor), path)
            return _read(descriptor, path)
        finally:
            os.close(descriptor)


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise VaultError(f"{path} is not a plain file; name another one")
    if found.st_uid != os.geteuid():
        raise VaultError(f"{path} belongs to another user; run fundingarb as that user")
    if stat.S_IMODE(found.st_mode) & 0o177:
        raise VaultError(f"{path} is open to others; run: chmod 600 {path}")
    if found.st_size > LARGEST:
        raise VaultError(f"{path} is larger than {LARGEST:,} bytes, so it is no vault; name another file")


def _read(descriptor: int, path: Path) -> bytes:
    parts = []
    while part := os.read(descriptor, 65_536):
        parts.append(part)
        if sum(map(len, parts)) > LARGEST:
            raise VaultError(f"{path} is larger than {LARGEST:,} bytes, so it is no vault; name another file")
    return b"".join(parts)


def write_private(path: Path, content: bytes, *, expected: bytes | None) -> None:
    """Put ``content`` where ``expected`` is (None: where no file is), all at once, and see to it that it stays.

    Whoever is killed in the middle leaves the old file. Raises ``VaultError`` when it has changed meanwhile.
    """
    import fcntl

    with private_folder(path, create=expected is None) as folder:
        fcntl.flock(folder, fcntl.LOCK_EX)  # given back when the folder is closed
        if expected is None:
            with suppress(FileNotFoundError):
                os.stat(path.name, dir_fd=folder, follow_symlinks=False)
                raise VaultError(f"{path}: there is a file already; name another one, or remove it")
        elif read_private(path) != expected:
            raise VaultError(f"{path} was changed meanwhile; run the command again")
        fresh = f".{path.name}.new"
        with _told(path):
            with suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=folder)  # of somebody who was killed
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC
            descriptor = os.open(fresh, flags, 0o600, dir_fd=folder)
            try:
                os.fchmod(descriptor, 0o600)
                with os.fdopen(descriptor, "wb", closefd=False) as file:
                    file.write(content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """A failure of the operating system in one line."""
    try:
        yield
    except OSError as error:
        raise VaultError(f"{path}: {(error.strerror or type(error).__name__).lower()}; correct it") from None
