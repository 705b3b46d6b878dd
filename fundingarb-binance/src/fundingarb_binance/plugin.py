"""Registration of the Binance components; everything heavy is imported when a hook or ``open`` is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundingarb.component import Component
from fundingarb.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from fundingarb.ports import ExchangeAdapter, OpenContext
    from fundingarb_binance.settings import BinanceSettings


def open_adapter(
    settings: BinanceSettings, context: OpenContext
) -> AbstractAsyncContextManager[ExchangeAdapter]:
    """Open the adapter for the account of ``context``."""
    from fundingarb_binance.adapter import open_adapter

    return open_adapter(settings, context)


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    """Binance USD-M perpetuals."""
    from fundingarb_binance.settings import BinanceSettings

    return (Component("binance", BinanceSettings, open_adapter, summary="Binance USD-M perpetuals"),)
