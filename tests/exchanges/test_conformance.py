"""Our exchanges pass the adapter conformance suite over real sockets, and their READMEs say what came of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.exchanges.subjects import BINANCE, BYBIT, DYDX, OKX

from fundingarb.testing.conformance import CASES, Bench, run_all
from fundingarb.testing.conformance.pytest import AdapterConformance
from fundingarb.testing.conformance.table import insert, table


class Committed(AdapterConformance):
    """The cases, and the table that was written from them."""

    @pytest.mark.anyio
    async def test_the_table_in_the_readme_is_what_came_of_it(self, bench: Bench, root: Path) -> None:
        readme = (root / f"fundingarb-{self.subject.exchange}" / "README.md").read_text()
        assert readme == insert(readme, table(await run_all(bench))), "run: tox -e conformance"


class TestBinance(Committed):
    subject = BINANCE


class TestBybit(Committed):
    subject = BYBIT


class TestOkx(Committed):
    subject = OKX


class TestDydx(Committed):
    subject = DYDX


def test_every_case_has_its_section(root: Path) -> None:
    page = (root / "fundingarb-core" / "docs" / "conformance.md").read_text()
    sections = re.findall(r"^### (C\d\d) (.*)\n\n(.*)", page, re.MULTILINE)
    assert [(number, title) for number, title, _ in sections] == [
        (case.number, case.title) for case in CASES.values()
    ]
    assert all(len(text) > 40 for _, _, text in sections)
