"""Registration of the OKX components; everything heavy is imported when a hook or ``open`` is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.component import Component
from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import ExchangeAdapter, OpenContext
    from fundingarb_okx.localnet.settings import OkxLocalnetSettings
    from fundingarb_okx.settings import OkxSettings


def open_adapter(settings: OkxSettings, context: OpenContext) -> AbstractAsyncContextManager[ExchangeAdapter]:
    """Open the adapter for the account of ``context``."""
    from fundingarb_okx.adapter import OkxAdapter

    return OkxAdapter(settings, context)


def open_localnet(
    settings: OkxLocalnetSettings, context: OpenContext
) -> AbstractAsyncContextManager[LocalnetDialect]:
    """Make the dialect that speaks OKX's protocol."""
    from fundingarb_okx.localnet.dialect import open_localnet

    return open_localnet(settings, context)


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    """OKX linear swaps."""
    from fundingarb_okx.settings import OkxSettings

    return (Component("okx", OkxSettings, open_adapter, summary="OKX linear perpetual swaps"),)


@hookimpl
def register_localnets() -> Iterable[Component[LocalnetDialect]]:
    """OKX swaps offline."""
    from fundingarb_okx.localnet.settings import OkxLocalnetSettings

    return (
        Component(
            "okx",
            OkxLocalnetSettings,
            open_localnet,
            summary="OKX linear perpetual swaps on loopback, for demo, tests and simulation",
        ),
    )
