"""Registration of the Binance components; everything heavy is imported when a hook or ``open`` is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.component import Component
from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import ExchangeAdapter, OpenContext
    from fundingarb_binance.localnet.settings import BinanceLocalnetSettings
    from fundingarb_binance.settings import BinanceSettings


def open_adapter(
    settings: BinanceSettings, context: OpenContext
) -> AbstractAsyncContextManager[ExchangeAdapter]:
    """Open the adapter for the account of ``context``."""
    from fundingarb_binance.adapter import BinanceAdapter

    return BinanceAdapter(settings, context)


def open_localnet(
    settings: BinanceLocalnetSettings, context: OpenContext
) -> AbstractAsyncContextManager[LocalnetDialect]:
    """Make the dialect that speaks Binance's protocol."""
    from fundingarb_binance.localnet.dialect import open_localnet

    return open_localnet(settings, context)


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    """Binance USD-M perpetuals."""
    from fundingarb_binance.settings import BinanceSettings

    return (Component("binance", BinanceSettings, open_adapter, summary="Binance USD-M perpetuals"),)


@hookimpl
def register_localnets() -> Iterable[Component[LocalnetDialect]]:
    """Binance USD-M futures offline."""
    from fundingarb_binance.localnet.settings import BinanceLocalnetSettings

    return (
        Component(
            "binance",
            BinanceLocalnetSettings,
            open_localnet,
            summary="Binance USD-M futures on loopback, for demo, tests and simulation",
        ),
    )
