"""Registration: an adapter and an offline exchange, both called ``hyperliquid``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from fundingarb import Component, hookimpl
from fundingarb.settings import PluginSettings

if TYPE_CHECKING:
    from fundingarb.localnet.dialect import LocalnetDialect
    from fundingarb.ports import ExchangeAdapter, OpenContext


class HyperliquidSettings(PluginSettings):
    """The section ``exchanges.hyperliquid`` of the configuration. Times are real."""

    order_window_ms: int = 3000
    request_timeout_seconds: float = 10.0
    testnet_url: str = "https://api.hyperliquid-testnet.xyz"


class HyperliquidLocalnetSettings(PluginSettings):
    """Nothing to set."""


def open_adapter(
    settings: HyperliquidSettings, context: OpenContext
) -> AbstractAsyncContextManager[ExchangeAdapter]:
    from fundingarb_hyperliquid.adapter import HyperliquidAdapter

    return HyperliquidAdapter(settings, context)


@asynccontextmanager
async def open_localnet(
    settings: HyperliquidLocalnetSettings, context: OpenContext
) -> AsyncIterator[LocalnetDialect]:
    from fundingarb_hyperliquid.localnet import HyperliquidDialect

    yield HyperliquidDialect()


@hookimpl
def register_exchanges() -> Iterable[Component[ExchangeAdapter]]:
    return (
        Component(
            "hyperliquid", HyperliquidSettings, open_adapter, summary="Hyperliquid perpetuals (example)"
        ),
    )


@hookimpl
def register_localnets() -> Iterable[Component[LocalnetDialect]]:
    summary = "Hyperliquid perpetuals on loopback (example)"
    return (Component("hyperliquid", HyperliquidLocalnetSettings, open_localnet, summary=summary),)
