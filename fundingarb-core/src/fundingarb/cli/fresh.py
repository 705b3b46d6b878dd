"""Writing a file that was not there before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fundingarb.errors import ConfigError
from fundingarb.folders import USUAL_FOLDER, make_private


def make_usual_folder() -> None:
    """Make the usual folder where there is none. Raises ``ConfigError``."""
    folder = USUAL_FOLDER.expanduser()
    with _told(folder, "make it yours and writable, it is where database and vault go"):
        make_private(folder)


def check_place(file: Path) -> None:
    """See to it that ``file`` can be written later, before anybody types a secret; its folder is made.

    Raises ``ConfigError`` when it cannot, or when there is one already.
    """
    with _told(file, REMEDY):
        if file.exists() or file.is_symlink():
            raise ConfigError(f"{file}: there is a file already; name another one with --config, or edit it")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass


def write_fresh(file: Path, text: str) -> None:
    """Write ``file``, which is not there yet: all of it or nothing. Raises ``ConfigError``."""
    with _told(file, REMEDY), file.open("x", encoding="utf-8") as opened:
        try:
            opened.write(text)
            opened.flush()
        except OSError:
            file.unlink()
            raise


REMEDY = "name a file that can be written with --config"


@contextmanager
def _told(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; {remedy}") from error
