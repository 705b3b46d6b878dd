"""The cases as pytest tests: subclass ``AdapterConformance`` and name the subject.

class TestHyperliquid(AdapterConformance):
    subject = Subject("hyperliquid")
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from fundingarb.testing.conformance.bench import Bench, open_bench
from fundingarb.testing.conformance.cases import CASES
from fundingarb.testing.conformance.registry import Case
from fundingarb.testing.conformance.subject import SPEEDS, Subject

__all__ = ["AdapterConformance"]

ROUNDS = [
    pytest.param(case, speed, id=number if speed == 1 else f"{number}-{speed:g}x")
    for number, case in CASES.items()
    for speed in SPEEDS
    if speed == 1 or not case.real_time
]


class AdapterConformance:
    """One test per case and speed. A case that does not apply is skipped with the reason, never left out."""

    subject: ClassVar[Subject]

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls) -> str:
        """The backend the program runs on."""
        return "asyncio"

    @pytest.fixture(scope="class")
    @classmethod
    async def bench(cls, anyio_backend: str) -> AsyncIterator[Bench]:
        async with open_bench(cls.subject) as bench:
            yield bench

    @pytest.mark.anyio
    @pytest.mark.parametrize(("case", "speed"), ROUNDS)
    async def test_case(self, bench: Bench, case: Case, speed: float) -> None:
        if speed not in bench.speeds(case):
            pytest.skip(f"{case.number}: this exchange does not run at {speed:g}x")
        result = await bench.run(case, speed)
        if result.verdict != "yes":
            pytest.skip(f"{case.number} {case.title}: not applicable: {result.reason}")
