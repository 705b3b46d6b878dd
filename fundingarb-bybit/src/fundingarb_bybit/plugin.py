"""Registration of the Bybit components; everything heavy is imported when a hook or ``open`` is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.component import Component
from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import ExchangeAdapter, OpenContext
    from fundingarb_bybit.localnet.settings import BybitLocalnetSettings
    from fundingarb_bybit.settings import BybitSettings


def open_adapter(
    settings: BybitSettings, context: OpenContext
) -> AbstractAsyncContextManager[ExchangeAdapter]:
    """Open the adapter for the account of ``context``."""
    from fundingarb_bybit.adapter import BybitAdapter

    return BybitAdapter(settings, context)


def open_localnet(
    settings: BybitLocalnetSettings, context: OpenContext
) -> AbstractAsyncContextManager[LocalnetDialect]:
    """Make the dialect that speaks Bybit's protocol."""
    from fundingarb_bybit.localnet.dialect import open_localnet

    return open_localnet(settings, context)


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    """Bybit linear perpetuals."""
    from fundingarb_bybit.settings import BybitSettings

    return (Component("bybit", BybitSettings, open_adapter, summary="Bybit linear perpetuals"),)


@hookimpl
def register_localnets() -> Iterable[Component[LocalnetDialect]]:
    """Bybit linear perpetuals offline."""
    from fundingarb_bybit.localnet.settings import BybitLocalnetSettings

    return (
        Component(
            "bybit",
            BybitLocalnetSettings,
            open_localnet,
            summary="Bybit linear perpetuals on loopback, for demo, tests and simulation",
        ),
    )
