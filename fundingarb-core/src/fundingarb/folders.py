"""Where things are when nothing else is said, and making folders that are nobody else's."""

from __future__ import annotations

from pathlib import Path

__all__ = ["USUAL_FOLDER", "make_private"]

USUAL_FOLDER = Path("~/.fundingarb")
"""Database, vault and what else a bot keeps, unless the configuration says otherwise; not yet expanded."""


def make_private(folder: Path) -> None:
    """Make ``folder`` where there is none, and whatever is missing above it, all with mode 0700. Raises ``OSError``.

    (``mkdir(parents=True)`` would make what is above it open to others.)
    """
    if not folder.parent.exists():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
