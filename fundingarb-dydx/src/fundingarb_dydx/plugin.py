"""Registration of the dYdX components; everything heavy is imported when a hook or ``open`` is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.component import Component
from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import ExchangeAdapter, OpenContext
    from fundingarb_dydx.localnet.settings import DydxLocalnetSettings
    from fundingarb_dydx.settings import DydxSettings


def open_adapter(
    settings: DydxSettings, context: OpenContext
) -> AbstractAsyncContextManager[ExchangeAdapter]:
    """Open the adapter for the account of ``context``."""
    from fundingarb_dydx.adapter import DydxAdapter

    return DydxAdapter(settings, context)


def open_localnet(
    settings: DydxLocalnetSettings, context: OpenContext
) -> AbstractAsyncContextManager[LocalnetDialect]:
    """Make the dialect that speaks dYdX's protocol."""
    from fundingarb_dydx.localnet.dialect import open_localnet

    return open_localnet(settings, context)


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    """dYdX v4 perpetuals."""
    from fundingarb_dydx.settings import DydxSettings

    return (Component("dydx", DydxSettings, open_adapter, summary="dYdX v4 perpetuals"),)


@hookimpl
def register_localnets() -> Iterable[Component[LocalnetDialect]]:
    """dYdX v4 offline."""
    from fundingarb_dydx.localnet.settings import DydxLocalnetSettings

    return (
        Component(
            "dydx",
            DydxLocalnetSettings,
            open_localnet,
            summary="dYdX v4 perpetuals on loopback, for demo, tests and simulation",
        ),
    )
