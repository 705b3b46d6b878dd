"""Random numbers that are a function of what they are for, not of how often one has asked.

``random.Random`` depends on the order of calls and ``hash()`` on the process; these depend on neither.
"""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist

__all__ = ["Octaves", "key_of", "normal", "uniform"]

_MASK = (1 << 64) - 1
_INVERSE = NormalDist().inv_cdf
_SCALE = 1.0 / (1 << 53)


def key_of(*parts: object) -> int:
    """A 64-bit key for a purpose: ``key_of(seed, "price", "BTC-USDT")``."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def uniform(key: int, index: int) -> float:
    """Uniform in [0, 1) for a key and an index (splitmix64)."""
    z = (key + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) * _SCALE


def normal(key: int, index: int) -> float:
    """Standard normal for a key and an index."""
    return _INVERSE(min(max(uniform(key, index), 1e-12), 1 - 1e-12))


class Octaves:
    """A smooth random function of time with the variability of a random walk, at any time without history.

    A sum of interpolated noises, each ``ratio`` times slower than the one before and with an amplitude that grows
    with the square root of its period. ``amplitude`` is the standard deviation at the slowest period.
    """

    __slots__ = ("_cells", "_layers")

    def __init__(
        self, key: int, *, fastest: float, slowest: float, amplitude: float, ratio: float = 4.0
    ) -> None:
        count = max(1, round(math.log(slowest / fastest) / math.log(ratio)) + 1)
        periods = [slowest / ratio**n for n in range(count)]
        self._layers = [
            (period, amplitude * math.sqrt(period / slowest), key_of(key, number))
            for number, period in enumerate(periods)
        ]
        # the two ends of the cell asked for last, per layer: time mostly moves on by a little
        self._cells: list[tuple[int, float, float]] = [(-(1 << 62), 0.0, 0.0)] * count

    def __call__(self, time: float) -> float:
        total = 0.0
        for number, (period, amplitude, key) in enumerate(self._layers):
            position = time / period
            cell = math.floor(position)
            known, left, right = self._cells[number]
            if known != cell:
                left, right = normal(key, cell), normal(key, cell + 1)
                self._cells[number] = (cell, left, right)
            part = position - cell
            weight = part * part * (3.0 - 2.0 * part)
            total += amplitude * (left + (right - left) * weight)
        return total
