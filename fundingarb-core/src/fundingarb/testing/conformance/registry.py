"""The numbered cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fundingarb.testing.conformance.desk import Desk
from fundingarb.testing.conformance.subject import Capability

__all__ = ["Case", "case", "registered"]

Body = Callable[[Desk], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing an adapter has to do. ``number`` and ``title`` head its section in ``docs/conformance.md``.

    ``needs`` are the capabilities without which it means nothing. ``quick`` opens the adapter with the subject's
    settings for silent streams; ``settling`` starts two real seconds before a settlement; ``real_time`` runs at the
    exchange's own speed only.
    """

    number: str
    title: str
    area: str
    body: Body
    needs: tuple[Capability, ...] = ()
    quick: bool = False
    settling: bool = False
    real_time: bool = False


registered: dict[str, Case] = {}
"""By number, as the modules of cases are imported."""


def case(
    number: str,
    title: str,
    *needs: Capability,
    quick: bool = False,
    settling: bool = False,
    real_time: bool = False,
) -> Callable[[Body], Body]:
    """Register the decorated function as case ``number``; its area is the module it is in."""

    def register(body: Body) -> Body:
        area = body.__module__.rpartition(".")[2].replace("_", " ")
        if number in registered:
            raise ValueError(f"there are two cases {number}")
        registered[number] = Case(number, title, area, body, needs, quick, settling, real_time)
        return body

    return register
