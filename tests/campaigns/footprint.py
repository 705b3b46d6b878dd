"""What a program in a simulated world holds in memory, apart from what the world around it records of itself.

Sizes are sums over objects, each counted once: exact, and free of what an allocator keeps for later.
"""

from __future__ import annotations

import gc
import sys
from asyncio import AbstractEventLoop
from collections import Counter
from collections.abc import Iterable
from types import BuiltinFunctionType, CodeType, CoroutineType, FunctionType, ModuleType
from typing import Any

from fundingarb.simulation.world import World

WORLD = ("fundingarb.simulation", "fundingarb.localnet", "tests")
"""Modules of which nothing belongs to the program."""
PROGRAM = ("fundingarb.domain", "fundingarb.engine", "fundingarb.store", "fundingarb.builtin")
"""Modules whose own variables (caches) belong to it."""
CODE = (type, ModuleType, BuiltinFunctionType, CodeType, AbstractEventLoop)


def program(world: World) -> Counter[str]:
    """Bytes by type of everything that the running bot, its store and its modules' variables refer to."""
    caches = [vars(module) for name, module in sys.modules.items() if name.startswith(PROGRAM)]
    return weigh([world.bot, world.store._session, *(list(names.values()) for names in caches)], WORLD)


def surroundings(world: World) -> int:
    """Bytes of the world: the exchanges' ledgers, the monitor's notes, what the harness keeps of orders."""
    return sum(
        weigh([world.setup.truths, world.monitor, world.registry, world.exchanges, world.stages], ()).values()
    )


def weigh(roots: Iterable[Any], outside: tuple[str, ...]) -> Counter[str]:
    """Bytes by type of all that ``roots`` refer to, except code and what is defined in a module of ``outside``."""
    sizes: Counter[str] = Counter()
    seen = {id(getattr(module, "__dict__", None)) for module in list(sys.modules.values())}
    waiting = list(roots)
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, CODE):
            continue
        seen.add(id(found))
        if outside and _defined_in(found).startswith(outside):
            continue
        sizes[type(found).__name__] += sys.getsizeof(found)
        if isinstance(found, FunctionType):
            waiting += [found.__closure__, found.__defaults__]
        else:
            waiting += gc.get_referents(found)
    return sizes


def _defined_in(found: Any) -> str:
    """The module of the function a coroutine runs, or of an object's type."""
    if isinstance(found, CoroutineType):
        frame = found.cr_frame
        return "" if frame is None else str(frame.f_globals.get("__name__", ""))
    if isinstance(found, FunctionType):
        return found.__module__ or ""
    return type(found).__module__
