"""The tutorial shows the files as they are: every snippet is a stretch of its file, three files are shown entirely."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PLUGIN = Path("examples/fundingarb-hyperliquid")
SOURCES = PLUGIN / "src" / "fundingarb_hyperliquid"
WHOLE = ("plugin.py", "adapter.py", "localnet.py")


@pytest.fixture(scope="module")
def snippets(root: Path) -> list[tuple[str, str]]:
    """(file, code): a file is named by the last "In `file`" before the code."""
    page = (root / "fundingarb-core" / "docs" / "write-an-exchange-plugin.md").read_text()
    found, name = [], ""
    for named, code in re.findall(
        r"^In `([\w./]+)`|^```(?:python|toml)\n(.*?)^```", page, re.MULTILINE | re.DOTALL
    ):
        name = named or name
        if code:
            found.append((name, code))
    return found


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def path_of(root: Path, name: str) -> Path:
    candidates = (root / SOURCES / name, root / PLUGIN / name, root / name)
    return next(path for path in candidates if path.is_file())


def test_every_snippet_is_a_stretch_of_its_file(root: Path, snippets: list[tuple[str, str]]) -> None:
    assert len(snippets) > 20
    for name, code in snippets:
        wanted, file = lines(code), lines(path_of(root, name).read_text())
        starts = [at for at, line in enumerate(file) if line == wanted[0]]
        assert any(file[at : at + len(wanted)] == wanted for at in starts), (
            f"{name} has no such lines:\n{code}"
        )


@pytest.mark.parametrize("name", WHOLE)
def test_plugin_adapter_and_offline_exchange_are_shown_line_by_line(
    root: Path, snippets: list[tuple[str, str]], name: str
) -> None:
    shown = [line for file, code in snippets if file == name for line in lines(code)]
    assert shown == lines(path_of(root, name).read_text())


def test_the_adapter_is_one_a_stranger_would_write(root: Path) -> None:
    """About 150 lines of code: what is neither import nor comment nor empty."""
    text = (root / SOURCES / "adapter.py").read_text()
    code = text[text.index("class HyperliquidAdapter") :]
    assert len([line for line in lines(code) if not line.strip().startswith("#")]) <= 155
