"""Files that run the program: systemd units and a container file, filled in by ``fundingarb unit``."""

from __future__ import annotations

from importlib.resources import files
from string import Template

KINDS = {"run": "fundingarb.service", "watch": "fundingarb-watch.service", "container": "Containerfile"}
"""What ``fundingarb unit`` prints -> the file it is made of."""


def filled(kind: str, **values: str) -> str:
    """The file of ``kind`` with ``values`` in it. Raises ``KeyError`` for one that is missing."""
    return Template(files(__package__).joinpath(KINDS[kind]).read_text("utf-8")).substitute(values)
