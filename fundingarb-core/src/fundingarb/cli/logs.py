"""Where the program's log goes when it runs in a terminal."""

from __future__ import annotations

import logging
import os
import sys


def configure_logging(*, quiet: bool = False) -> None:
    """Log to standard error: everything from INFO on, or (``quiet``) only what a person has to know.

    ``FUNDINGARB_LOG`` (a level name) overrides the level.
    """
    level = os.environ.get("FUNDINGARB_LOG", "ERROR" if quiet else "INFO").upper()
    logging.basicConfig(
        level=getattr(logging, level, logging.INFO),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    for noisy in ("httpx", "aiohttp.access", "hypercorn.access", "ccxt"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
