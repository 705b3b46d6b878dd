"""Where the program's log goes when it runs in a terminal."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fundingarb.config import Config


def logging_of(config: Config) -> AbstractContextManager[None]:
    """All the logs of a program that trades. Raises ``ConfigError`` when one of them cannot be written."""
    from fundingarb.app import log_plan
    from fundingarb.logs.setup import logging_to

    return logging_to(log_plan(config))


def configure_logging(level: str = "INFO", file: Path | None = None) -> None:
    """Log what is at least ``level`` to ``file`` or, without one, to standard error.

    Raises ``ConfigError`` when the file cannot be written.
    """
    from fundingarb.logs.terminal import quieten, terminal_or

    logging.basicConfig(level=level, handlers=[terminal_or(file)], force=True)
    quieten()


def log_to_file_only(level: str, file: Path | None) -> None:
    """For commands that say everything themselves: the log goes to ``file``, or without one nowhere."""
    if file is not None:
        configure_logging(level, file)
    else:
        logging.basicConfig(level=level, handlers=[logging.NullHandler()], force=True)
