"""The one plugin concept: a named thing with settings that can be opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fundingarb.ports import OpenContext

    SettingsT = TypeVar("SettingsT", bound=BaseModel)

OpenedT_co = TypeVar("OpenedT_co", covariant=True)

__all__ = ["Component"]


@dataclass(frozen=True, slots=True, init=False)
class Component(Generic[OpenedT_co]):
    """What a plugin hands to the program for each exchange, strategy, risk rule, sink, service or dialect.

    ``name`` is what the configuration calls it; lower case, unique among the components of its kind.
    ``settings`` is the pydantic model of its section of the configuration.
    ``open`` takes an instance of that model and the context it runs in, and returns an async context
    manager: entering it acquires (connections, tasks), leaving it releases.
    ``summary`` is one sentence for ``fundingarb plugins``.
    ``unavailable`` is None for a component that works. Otherwise it is a sentence that tells why this release
    cannot use it yet: the component is listed, but configuring or opening it is refused with that sentence.
    """

    name: str
    settings: type[BaseModel]
    open: Callable[[Any, OpenContext], AbstractAsyncContextManager[OpenedT_co]]
    summary: str
    unavailable: str | None

    # Written out, not generated, so that the type checker ties the argument of `open` to `settings`.
    def __init__(
        self,
        name: str,
        settings: type[SettingsT],
        open: Callable[[SettingsT, OpenContext], AbstractAsyncContextManager[OpenedT_co]],  # noqa: A002
        *,
        summary: str = "",
        unavailable: str | None = None,
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "settings", settings)
        object.__setattr__(self, "open", open)
        object.__setattr__(self, "summary", summary)
        object.__setattr__(self, "unavailable", unavailable)
