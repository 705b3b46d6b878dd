"""Market data of a simulation: rates from where they are real, everything else from where its orders go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fundingarb.domain.funding import FundingRate
from fundingarb.ports import ExchangeAdapter, RateSink


class MainnetRates:
    """An ``ExchangeAdapter`` without an account: announced rates and marks of ``mainnet``, all else of ``testnet``.

    Instruments, books and rates that were charged stay the testnet's own: orders are rounded, priced and audited by
    them.
    """

    def __init__(self, testnet: ExchangeAdapter, mainnet: ExchangeAdapter) -> None:
        self._testnet = testnet
        self._mainnet = mainnet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._testnet, name)

    async def get_funding_rate(self, symbol: str) -> FundingRate:
        return await self._mainnet.get_funding_rate(symbol)

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]:
        return await self._mainnet.get_funding_rates(symbols)

    async def stream_rates(self, symbols: Sequence[str], sink: RateSink) -> None:
        await self._mainnet.stream_rates(symbols, sink)
