"""How far the chain is, and what that proves: an order that names its last block cannot be taken after it."""

from __future__ import annotations

import math
from collections import deque
from datetime import timedelta

LEAST_BLOCKS, MOST_BLOCKS = 4, 20
"""Blocks after the last one seen in which an order may still be taken (the chain allows 40)."""
WINDOW_SECONDS = 3.0
"""Real seconds that the window is meant to last where blocks come faster than the chain's one a second. A longer window
loses fewer orders to delays, a shorter one proves sooner what became of an order."""
KEPT = 256
"""Heights that are remembered: about four minutes."""
BLOCK_SECONDS = 1.0
"""Of the chain's own time, from block to block, as long as it was not seen how fast they come."""
FRESH_SECONDS, FRESH_BLOCKS = 0.3, 1.5
"""A height may be so old (real seconds, or the time of so many blocks) when an order is sent with it."""


class Heights:
    """The indexer's block heights as this process saw them, with when (monotonic real seconds).

    All of a block is in the indexer before its height is, so what happened up to a height can be read then.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._assumed = BLOCK_SECONDS / speed
        self._seen: deque[tuple[float, int]] = deque(maxlen=KEPT)
        self._heard = float("-inf")
        self._widest = LEAST_BLOCKS

    def note(self, height: int, at: float) -> None:
        """The indexer is at ``height``; a lower one than before is an old message."""
        latest = self.latest
        if latest is None or height > latest:
            self._seen.append((at, height))
        if latest is None or height >= latest:
            self._heard = max(self._heard, at)

    @property
    def latest(self) -> int | None:
        return self._seen[-1][1] if self._seen else None

    def fresh(self, at: float) -> int | None:
        """The height; None when it was heard too long ago for a new order."""
        return self.latest if at - self._heard <= max(FRESH_SECONDS, FRESH_BLOCKS * self._pace()) else None

    def _pace(self) -> float:
        """Real seconds from block to block lately."""
        recent = list(self._seen)[-20:]
        blocks = recent[-1][1] - recent[0][1] if recent else 0
        return (recent[-1][0] - recent[0][0]) / blocks if blocks else self._assumed

    def window(self) -> int:
        """How many blocks a new order gets, by how fast they came lately."""
        blocks = math.ceil(WINDOW_SECONDS / max(self._pace(), 1e-3))
        window = min(max(blocks, LEAST_BLOCKS), MOST_BLOCKS)
        self._widest = max(self._widest, window)
        return window

    def expiry(self, at: float) -> timedelta | None:
        """How long before ``at`` an order must have been sent so that the chain is past its last block by now.

        None while too few blocks were seen, and so while the chain stands still: time alone proves nothing.
        """
        latest, replaced = self.latest, None
        for seen, height in reversed(self._seen):
            if latest is not None and replaced is not None and height + self._widest < latest:
                return timedelta(seconds=max(at - replaced, 0.0))
            replaced = seen
        return None
