"""The table of capabilities in a README, between two markers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fundingarb.testing.conformance.bench import Result

__all__ = ["BEGIN", "END", "insert", "table"]

BEGIN = "<!-- conformance: begin (written by `tox -e conformance`) -->"
END = "<!-- conformance: end -->"


def table(results: Iterable[Result]) -> str:
    """One row per case: area, number and title, verdict (with the reason unless it is yes)."""
    rows = ["| | case | |", "|---|---|---|"]
    area = ""
    for result in results:
        case = result.case
        verdict = result.verdict + (f": {result.reason}" if result.reason else "")
        rows.append(f"| {'' if case.area == area else case.area} | {case.number} {case.title} | {verdict} |")
        area = case.area
    return "\n".join(rows)


def insert(readme: str, text: str) -> str:
    """``readme`` with ``text`` between its markers. Raises ``ValueError`` when it has none."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(readme)) != 1:
        raise ValueError(f"the README needs the two lines\n{BEGIN}\n{END}")
    return pattern.sub(lambda found: f"{BEGIN}\n{text}\n{END}", readme)
