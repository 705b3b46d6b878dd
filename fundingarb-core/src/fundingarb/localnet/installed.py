"""The dialects of the installed plugins, opened for ``run_localnets``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import anyio

from fundingarb.localnet.dialect import LocalnetDialect
from fundingarb.localnet.errors import LocalnetError
from fundingarb.ports import OpenContext

if TYPE_CHECKING:
    from fundingarb.localnet.run import DialectFactory
    from fundingarb.plugins import Plugins

__all__ = ["installed_dialects"]


class _WallClock:
    """The clock a dialect is opened with. What it serves runs on the venue's clock, which comes later."""

    speed = 1.0

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


@asynccontextmanager
async def installed_dialects(
    names: Sequence[str] = (), plugins: Plugins | None = None
) -> AsyncIterator[dict[str, DialectFactory]]:
    """Open the dialects of these exchanges (default: of all that are installed and work).

    Raises ``LocalnetError`` for one that is not there, and what the plugin host raises.
    """
    from fundingarb.plugins import load_plugins, validate_settings

    found = (plugins if plugins is not None else load_plugins()).localnets
    wanted = list(names) or [name for name, one in found.items() if one.component.unavailable is None]
    if not wanted:
        raise LocalnetError(
            "no installed plugin brings a localnet; install one with: pip install fundingarb-binance"
        )
    async with AsyncExitStack() as stack:
        dialects: dict[str, DialectFactory] = {}
        for name in wanted:
            registered = found.get(name)
            if registered is None:
                known = ", ".join(sorted(found)) or "none"
                raise LocalnetError(
                    f"no installed plugin brings a localnet of {name!r} (there are: {known}); "
                    f"install one with: pip install fundingarb-{name}"
                )
            context = OpenContext(name=name, clock=_WallClock(), network="localnet")
            opened = registered.component.open(validate_settings(registered), context)
            dialects[name] = _always(await stack.enter_async_context(opened))
        yield dialects


def _always(dialect: LocalnetDialect) -> DialectFactory:
    return lambda: dialect
