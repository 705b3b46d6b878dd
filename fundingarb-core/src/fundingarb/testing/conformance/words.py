"""How a case says what it found: one sentence, with what was expected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from fundingarb.errors import ExchangeError

__all__ = ["Failed", "NotApplicable", "NotConformant", "check", "eventually", "fails", "same", "until"]

T = TypeVar("T")
E = TypeVar("E", bound=ExchangeError)

PATIENCE = 8.0
"""Real seconds that anything may take to become visible."""


class NotConformant(AssertionError):
    """An adapter does not do what the case asks for. ``str()`` is one sentence."""


class NotApplicable(Exception):
    """The exchange has nothing that the case could be about. ``str()`` is the reason."""


def check(holds: object, sentence: str) -> None:
    """``sentence`` says what is wrong when ``holds`` is not true."""
    if not holds:
        raise NotConformant(sentence)


def same(what: str, got: object, wanted: object) -> None:
    """Equal, and of one type where it is a number: ``1.0`` is no exact decimal."""
    if got != wanted:
        raise NotConformant(f"{what} is {got!r}, expected {wanted!r}")
    if isinstance(got, float) and not isinstance(wanted, float):
        raise NotConformant(f"{what} is a float ({got!r}), expected {wanted!r}")


@dataclass
class Failed(Generic[E]):
    """The exception that ``fails`` caught."""

    error: E | None = None

    @property
    def code(self) -> str | None:
        return None if self.error is None else self.error.code

    @property
    def cause(self) -> BaseException | None:
        return None if self.error is None else self.error.__cause__


@contextmanager
def fails(kind: type[E], what: str) -> Iterator[Failed[E]]:
    """The body has to raise ``kind``; another exception, or none, is not conformant."""
    caught: Failed[E] = Failed()
    try:
        yield caught
    except kind as error:
        caught.error = error
    except Exception as error:
        raise NotConformant(
            f"{what} raised {type(error).__name__} ({error}), expected {kind.__name__}"
        ) from error
    else:
        raise NotConformant(f"{what} raised nothing, expected {kind.__name__}")


async def eventually(what: str, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until ``condition`` holds (something that another task brings about)."""
    with anyio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in an adapter's task)
            await anyio.sleep(0.01)
        return
    raise NotConformant(f"{what}: not within {seconds:g} s")


async def until(what: str, ask: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE) -> T:
    """Ask again until the answer is not None, and return it."""
    with anyio.move_on_after(seconds):
        while True:
            found = await ask()
            if found is not None:
                return found
            await anyio.sleep(0.02)
    raise NotConformant(f"{what}: not within {seconds:g} s")
