"""A simulation's market data: rates of mainnet, the rest of testnet."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fundingarb.engine.mainnet_rates import MainnetRates

pytestmark = pytest.mark.anyio


class Said:
    """Answers every call with where it is."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.name = "x"

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: object) -> str:
            return self.where

        return answer


async def test_announced_rates_are_real_and_the_rest_is_the_testnets() -> None:
    adapter: Any = MainnetRates(cast(Any, Said("testnet")), cast(Any, Said("mainnet")))
    for call in (adapter.get_funding_rate, adapter.get_funding_rates):
        assert await call("BTC-USDT") == "mainnet"
    assert adapter.name == "x"
    own = ("get_instruments", "get_orderbook", "get_funding_history", "stream_books", "get_server_time")
    assert [await getattr(adapter, name)("BTC-USDT") for name in own] == ["testnet"] * len(own)
