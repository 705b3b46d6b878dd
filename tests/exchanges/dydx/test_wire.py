"""Frames that the indexer really sent: the channels that are read here are understood whole."""

from __future__ import annotations

import json

import pytest
from tests.exchanges import wire
from tests.exchanges.dydx.parsers import SUBJECT


@pytest.mark.skipif(not wire.files("dydx"), reason=wire.ABSENT.kwargs["reason"])
def test_captured_frames_are_understood() -> None:
    """Those of other files are made up and leave fields out."""
    understood = 0
    for path in wire.files("dydx"):
        for frame in SUBJECT.frames(path) if "nautilus-old" in path.stem else ():
            if json.loads(frame).get("channel") in ("v4_markets", "v4_subaccounts", "v4_block_height"):
                assert [wire.outcome(parse, frame) for parse, _ in SUBJECT.streams.values()] == [None] * len(
                    SUBJECT.streams
                )
                understood += 1
    assert understood >= 3
