"""Registration of OKX. The adapter is not part of this release: the component is listed and refuses to open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from fundingarb.component import Component
    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import ExchangeAdapter, OpenContext
    from fundingarb_okx.localnet.settings import OkxLocalnetSettings
    from fundingarb_okx.settings import OkxSettings

NOT_YET = "the OKX adapter is not part of this release yet; take okx out of the configuration"


def open_adapter(settings: OkxSettings, context: OpenContext) -> AbstractAsyncContextManager[ExchangeAdapter]:
    """Refuse, with the sentence that ``fundingarb plugins`` shows."""
    from fundingarb.errors import PluginError

    raise PluginError(f"fundingarb-okx: {NOT_YET}")


def open_localnet(
    settings: OkxLocalnetSettings, context: OpenContext
) -> AbstractAsyncContextManager[LocalnetDialect]:
    """Make the dialect that speaks OKX's protocol."""
    from fundingarb_okx.localnet.dialect import open_localnet

    return open_localnet(settings, context)


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    """The OKX exchange, announced but not usable yet."""
    from fundingarb.component import Component
    from fundingarb_okx.settings import OkxSettings

    return (
        Component(
            "okx",
            OkxSettings,
            open_adapter,
            summary="OKX linear perpetual swaps",
            unavailable=NOT_YET,
        ),
    )


@hookimpl
def register_localnets() -> Iterable[Component[LocalnetDialect]]:
    """OKX swaps offline."""
    from fundingarb.component import Component
    from fundingarb_okx.localnet.settings import OkxLocalnetSettings

    return (
        Component(
            "okx",
            OkxLocalnetSettings,
            open_localnet,
            summary="OKX linear perpetual swaps on loopback, for demo, tests and simulation",
        ),
    )
