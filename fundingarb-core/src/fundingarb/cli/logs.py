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
    from fundingarb.app import log_folder
    from fundingarb.logs.setup import LogPlan, logging_to

    section = config.logging
    return logging_to(
        LogPlan(
            section.level,
            section.file,
            log_folder(config),
            section.debug,
            section.trade_days,
            section.error_days,
            section.debug_days,
        )
    )


def configure_logging(level: str = "INFO", file: Path | None = None) -> None:
    """Log what is at least ``level`` to ``file`` or, without one, to standard error.

    Raises ``ConfigError`` when the file cannot be written.
    """
    from fundingarb.logs.terminal import quieten, terminal_or

    logging.basicConfig(level=level, handlers=[terminal_or(file)], force=True)
    quieten()


def log_to_file_only(level: str, file: Path | None) -> None:
    """For commands that say everything themselves: the log goes to ``file``, or without one nowhere."""
    configure_logging(level, file)
    if file is None:
        logging.disable(logging.CRITICAL)
