"""The page on failures names tests; each has to exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "fundingarb-core" / "docs" / "failures.md"
CRASHES = re.compile(r"killed\(|SIGKILL|(running\(\).*){2}", re.DOTALL)
"""What a test does that starts a bot again after it was killed."""
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > 50
    defined: dict[str, set[str]] = {}
    for file in {file for file, _ in named}:
        path = ROOT / "tests" / file
        assert path.is_file(), f"the page names {file}, which does not exist"
        nodes = ast.walk(ast.parse(path.read_text()))
        defined[file] = {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    missing = [f"{file}::{test}" for file, test in named if test not in defined[file]]
    assert not missing, missing


def test_every_case_of_the_contract_has_a_row_that_names_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    wanted = [f"I{n}" for n in range(1, 8)] + [str(n) for n in range(1, 29)] + [f"C{n}" for n in range(1, 15)]
    shown: dict[str, str] = {}
    for row in rows:
        for case in cases(row.split(" | ")[0].removeprefix("| ")):
            assert shown.setdefault(case, row) == row, f"two rows for {case}"
    assert [case for case in wanted if not NAMED.search(shown.get(case, ""))] == []


def cases(title: str) -> list[str]:
    """``C2 to C4 first leg ...`` is C2, C3 and C4; ``26 alert sink down`` is 26; anything else is none."""
    found = re.match(r"([IC]?)(\d+)(?: to [IC]?(\d+))?(?= |$)", title)
    if found is None:
        return []
    letter, first, last = found.groups()
    return [f"{letter}{n}" for n in range(int(first), int(last or first) + 1)]


def test_a_row_on_crash_points_names_a_test_that_kills_or_restarts_the_bot() -> None:
    for row in PAGE.read_text().splitlines():
        if row.startswith("| C") and cases(row.removeprefix("| ")):
            named = [name for _, name in NAMED.findall(row)]
            assert any(CRASHES.search(source(row, name)) for name in named), row


def source(row: str, test: str) -> str:
    """The text of a test that a row names."""
    (file,) = {file for file, name in NAMED.findall(row) if name == test}
    text = (ROOT / "tests" / file).read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == test:
            return ast.get_source_segment(text, node) or ""
    return ""
