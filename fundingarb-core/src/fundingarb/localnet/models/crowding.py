"""Crowding episodes: stretches in which one exchange's funding is far above another's.

Everybody holds the same side on one exchange; for a few settlements its rate is rich, another exchange's is cheap.
Then the crowd leaves at once and the spread turns slightly the other way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from fundingarb.localnet.models.noise import key_of, uniform

__all__ = ["Crowding", "Episode"]

HOUR = 3600.0
AHEAD = 400 * 24
BEHIND = 90 * 24
AFTERMATH = 3
"""Settlements after the last rich one."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Hours count from the unix epoch; ``first`` is the first rich settlement, ``last`` the last."""

    first: int
    last: int
    rich: str
    cheap: str
    rich_rate: float
    """Per hour."""
    cheap_rate: float
    inversion: float
    """Per hour, at the settlements after ``last``: so much the spread is below zero."""
    over: int
    """The last hour in which the episode is still felt."""


class Crowding:
    """The episodes of one symbol, from 90 days before ``anchor`` (an hour) to 400 days after.

    ``step`` is the distance of the settlements an episode is counted in, in hours; ``first`` the first settlement of
    the first episode from the anchor on, in which the first of ``exchanges`` is rich; later ones are drawn.
    """

    def __init__(self, seed: int, symbol: str, exchanges: Sequence[str], *, first: int, step: int) -> None:
        self._key = key_of(seed, "crowding", symbol)
        self._exchanges = tuple(exchanges)
        self._step = step
        ahead = self._forward(first)
        behind = self._backward(first)
        self.episodes = [*reversed(behind), *ahead]
        self._starts = [episode.first - step for episode in self.episodes]

    def _forward(self, first: int) -> list[Episode]:
        rows: list[Episode] = []
        at, number = first, 0
        while at < first + AHEAD:
            rows.append(self._episode(at, number))
            gap = 7 + int(12 * uniform(self._key, number * 16 + 1))
            at = self._aligned(rows[-1].over + gap)
            number += 1
        return rows

    def _backward(self, first: int) -> list[Episode]:
        rows: list[Episode] = []
        at, number = first, -1
        while True:
            gap = 60 + int(90 * uniform(self._key, number * 16 + 1))
            at = self._aligned(at - gap)
            if at < first - BEHIND:
                return rows
            rows.append(self._episode(at, number))
            number -= 1

    def _aligned(self, hour: int) -> int:
        return -(-hour // self._step) * self._step

    def _episode(self, first: int, number: int) -> Episode:
        draw = [uniform(self._key, number * 16 + n) for n in range(2, 8)]
        count = len(self._exchanges)
        rich = int(draw[0] * count) if number else 0
        cheap = (rich + 1 + int(draw[1] * (count - 1))) % count if count > 1 else rich
        settlements = 2 + int(3 * draw[2])
        # 25 to 60 bp an hour where settlements are hourly; slower settlements pay as much per settlement or more
        total = (25 + 35 * draw[3]) * 1e-4 / self._step**0.6
        share = 0.55 + 0.3 * draw[4]
        last = first + (settlements - 1) * self._step
        return Episode(
            first=first,
            last=last,
            over=last + AFTERMATH * self._step,
            rich=self._exchanges[rich],
            cheap=self._exchanges[cheap],
            rich_rate=total * share,
            cheap_rate=-total * (1 - share),
            inversion=(0.4 + 0.6 * draw[5]) * 1e-4,
        )

    def at(self, hour: float) -> Episode | None:
        """The episode that a settlement at this hour belongs to, its aftermath included."""
        index = bisect_right(self._starts, hour - 1e-9) - 1
        if index < 0:
            return None
        episode = self.episodes[index]
        return episode if hour <= episode.over else None

    def rate(self, exchange: str, hour: float) -> float | None:
        """The hourly rate that crowding gives a settlement; None where it does not matter."""
        episode = self.at(hour)
        if episode is None or exchange not in (episode.rich, episode.cheap):
            return None
        if hour <= episode.last:
            return episode.rich_rate if exchange == episode.rich else episode.cheap_rate
        half = episode.inversion / 2
        return -half if exchange == episode.rich else half
