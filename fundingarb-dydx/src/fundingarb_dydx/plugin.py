"""Registration of dYdX v4. The adapter is not part of this release: the component is listed and refuses to open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from fundingarb.component import Component
    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import ExchangeAdapter, OpenContext
    from fundingarb_dydx.localnet.settings import DydxLocalnetSettings
    from fundingarb_dydx.settings import DydxSettings

NOT_YET = "the dYdX v4 adapter is not part of this release yet; take dydx out of the configuration"


def open_adapter(
    settings: DydxSettings, context: OpenContext
) -> AbstractAsyncContextManager[ExchangeAdapter]:
    """Refuse, with the sentence that ``fundingarb plugins`` shows."""
    from fundingarb.errors import PluginError

    raise PluginError(f"fundingarb-dydx: {NOT_YET}")


def open_localnet(
    settings: DydxLocalnetSettings, context: OpenContext
) -> AbstractAsyncContextManager[LocalnetDialect]:
    """Make the dialect that speaks dYdX's protocol."""
    from fundingarb_dydx.localnet.dialect import open_localnet

    return open_localnet(settings, context)


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    """The dYdX v4 exchange, announced but not usable yet."""
    from fundingarb.component import Component
    from fundingarb_dydx.settings import DydxSettings

    return (
        Component(
            "dydx",
            DydxSettings,
            open_adapter,
            summary="dYdX v4 perpetuals",
            unavailable=NOT_YET,
        ),
    )


@hookimpl
def register_localnets() -> Iterable[Component[LocalnetDialect]]:
    """dYdX v4 offline."""
    from fundingarb.component import Component
    from fundingarb_dydx.localnet.settings import DydxLocalnetSettings

    return (
        Component(
            "dydx",
            DydxLocalnetSettings,
            open_localnet,
            summary="dYdX v4 perpetuals on loopback, for demo, tests and simulation",
        ),
    )
