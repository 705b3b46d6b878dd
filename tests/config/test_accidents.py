"""A stretch of the campaign over broken configuration files, and that it sees what it looks for."""

from __future__ import annotations

import pytest
from tests.campaigns.configuration import CANARY, campaign, flaw


def test_broken_files_end_in_one_line_without_a_secret() -> None:
    figures, wrong = campaign(250, 3)
    assert wrong == []
    assert figures["programs"] == 4
    assert figures["loaded"] > 3
    assert figures["refused"] > 100


@pytest.mark.parametrize(
    ("status", "said", "found"),
    [
        (2, "error: a: correct it\n", None),
        (0, "", None),
        (1, "error: unexpected KeyError\n", "status 1"),
        (2, "error: a\nb\n", "not one line"),
        (2, "Traceback (most recent call last):\n", "not one line"),
        (2, f"error: '{CANARY[5:25]}' is not a number\n", "a secret"),
        (2, "error: \x1b[31m\n", "not a line to read"),
    ],
)
def test_what_counts_as_a_flaw(status: int, said: str, found: str | None) -> None:
    assert flaw(status, said) == found
