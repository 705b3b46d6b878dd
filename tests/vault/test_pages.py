"""The commands that the pages about accounts and going live name are commands, with these arguments."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from fundingarb.cli import build

PAGES = ("add-an-account.md", "move-to-live.md")


def commands(page: str) -> list[str]:
    """The command lines of a page: those that stand alone, and those in the text that are complete."""
    joined = page.replace("\\\n", " ")
    alone = re.findall(r"^    (fundingarb [^\n]*)", joined, flags=re.MULTILINE)
    return [re.sub(r"\s\d+< \S+", "", line) for line in alone]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_can_be_typed(root: Path, page: str) -> None:
    found = commands((root / "fundingarb-core" / "docs" / page).read_text())
    assert len(found) >= 3
    for line in found:
        group: click.Command = build()
        context = click.Context(group, info_name="fundingarb")
        words = shlex.split(line)[1:]
        while isinstance(group, click.Group):
            command = group.get_command(context, words[0])
            assert command is not None, line
            group, words = command, words[1:]
        group.make_context("x", words, parent=context)  # raises for what cannot be typed


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(root: Path, page: str) -> None:
    path = root / "fundingarb-core" / "docs" / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (path.parent / target).is_file(), target
