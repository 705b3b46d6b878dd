"""Skips that say what to install, and become failures where everything is expected to be there."""

from __future__ import annotations

import os

import pytest

REQUIRE_ALL = "FUNDINGARB_REQUIRE_ALL"
"""Set to 1 by `.ci/run`: a missing component then fails the test instead of skipping it."""


def need(present: object, component: str, install: str) -> None:
    """Skip the running test unless ``present`` is true; ``install`` is the command line that provides it.

    With ``FUNDINGARB_REQUIRE_ALL=1`` a missing component is a failure.
    """
    if present:
        return
    reason = f"needs {component}; install it with: {install}"
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
