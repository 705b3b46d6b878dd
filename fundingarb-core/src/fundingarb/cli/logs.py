"""Where the program's log goes when it runs in a terminal."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from fundingarb.errors import ConfigError


def configure_logging(level: str = "INFO", file: Path | None = None) -> None:
    """Log what is at least ``level`` to ``file`` or, without one, to standard error.

    Raises ``ConfigError`` when the file cannot be written.
    """
    try:
        handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    except OSError as error:
        raise ConfigError(
            f"logging.file: {file}: {error.strerror}; name a file that can be written"
        ) from error
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[handler], force=True
    )
    for noisy in ("httpx", "aiohttp.access", "hypercorn.access", "ccxt", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_to_file_only(level: str, file: Path | None) -> None:
    """For commands that say everything themselves: the log goes to ``file``, or without one nowhere."""
    configure_logging(level, file)
    if file is None:
        logging.disable(logging.CRITICAL)
