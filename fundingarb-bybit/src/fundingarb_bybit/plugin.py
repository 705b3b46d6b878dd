"""Registration of the Bybit components; everything heavy is imported when a hook or ``open`` is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundingarb.component import Component
    from fundingarb.ports import ExchangeAdapter


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    return ()
