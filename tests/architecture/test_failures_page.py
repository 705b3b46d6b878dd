"""The page on failures names tests; each has to exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "fundingarb-core" / "docs" / "failures.md"
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


def test_every_case_of_the_contract_has_a_row() -> None:
    text = PAGE.read_text()
    for row in [*(f"I{n}" for n in range(1, 8)), *(str(n) for n in range(1, 29))]:
        assert re.search(rf"^\| {row}[ |]", text, re.MULTILINE), f"no row for {row}"
