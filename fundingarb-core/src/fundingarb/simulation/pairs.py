"""Which fault can strike a hedge in which stage. Everything is feasible that is not excluded here, with the reason.

The simulation campaign meets the pairs of ``feasible``, the kill drill those of ``drilled``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fundingarb.localnet.faults import FRAME_KINDS, FaultKind
from fundingarb.simulation.schedule import FORCED, KINDS, ON_ORDERS
from fundingarb.simulation.stages import Stage

SENDING = (Stage.A_INTENT, Stage.B_INTENT, Stage.UNWIND, Stage.CLOSE_INTENT, Stage.CLOSE_ONE, Stage.KILLING)
"""Stages in which an order is on its way to an exchange."""
KILLS = ("kill", "kill_absent", "kill_loss")
FRAMES = tuple(
    kind.value
    for kind in FaultKind
    if kind in FRAME_KINDS and kind not in (FaultKind.STREAM_DISCONNECT, FaultKind.STREAM_STALL)
)


class Exclusion(NamedTuple):
    """Pairs that do not occur: every one of ``stages`` with every one of ``kinds``."""

    stages: tuple[Stage, ...]
    kinds: tuple[str, ...]
    reason: str


EXCLUDED = (
    Exclusion(
        (Stage.A_DONE, Stage.B_DONE, Stage.UNEVEN),
        KINDS,
        "passing: the round that learns of it decides and commits the next order, so it is the next stage at once",
    ),
    Exclusion(
        tuple(stage for stage in Stage if stage not in SENDING),
        ON_ORDERS,
        "it happens to an order on its way, and there is none",
    ),
    Exclusion(
        (Stage.A_INTENT, Stage.A_OPEN, Stage.CLOSE_DONE, Stage.FLAT),
        FORCED,
        "nothing is held that could be taken",
    ),
    Exclusion(
        (Stage.CLOSE_DONE, Stage.FLAT),
        FRAMES,
        "the last frame of the hedge left when its last order ended",
    ),
    Exclusion((Stage.FLAT, Stage.CLOSE_DONE), ("close",), "there is nothing to close"),
    Exclusion(tuple(Stage), ("beside",), "strikes by itself in every fifth seed, with what follows it"),
    Exclusion((Stage.FLAT,), KILLS, "nothing is open: every drill ends so"),
    Exclusion((Stage.KILLING,), ("kill_loss",), "a guard does not throw a switch that is latched"),
)
ELSEWHERE = "met in the kill drill"


def reason_against(stage: Stage, kind: str) -> str | None:
    """Why the simulation campaign does not meet a pair; None when it does."""
    impossible = _impossible(stage, kind)
    return impossible or (ELSEWHERE if stage is Stage.KILLING or kind in KILLS else None)


def _impossible(stage: Stage, kind: str) -> str | None:
    return next((one.reason for one in EXCLUDED if stage in one.stages and kind in one.kinds), None)


def _pairs() -> Iterator[tuple[Stage, str]]:
    for stage in Stage:
        for kind in KINDS:
            yield stage, kind


def feasible() -> Iterator[tuple[Stage, str]]:
    """Every pair the simulation campaign has to meet, in a fixed order."""
    return (pair for pair in _pairs() if reason_against(*pair) is None)


def drilled() -> Iterator[tuple[Stage, str]]:
    """Every pair the kill drill has to meet: the switch thrown in each stage, and each fault while it is latched."""
    return (pair for pair in _pairs() if reason_against(*pair) == ELSEWHERE)
