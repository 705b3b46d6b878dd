"""Which hosts an adapter can reach on which network: another network never, whatever ccxt's own tables say."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from fundingarb.errors import ConfigError
from fundingarb.plugins import load_plugins
from fundingarb.ports import OpenContext
from fundingarb.testing import FakeClock

pytestmark = pytest.mark.anyio

LOCAL = {
    "binance": {"fapi": "http://127.0.0.1:1", "sapi": "http://127.0.0.1:1", "stream": "ws://127.0.0.1:2"},
    "bybit": {"rest": "http://127.0.0.1:1", "public": "ws://127.0.0.1:2/p", "private": "ws://127.0.0.1:2/q"},
}
REST = {
    ("binance", "testnet"): {"demo-fapi.binance.com"},
    ("bybit", "testnet"): {"api-testnet.bybit.com"},
    ("binance", "localnet"): {"127.0.0.1"},
    ("bybit", "localnet"): {"127.0.0.1"},
    ("bybit", "mainnet"): {"api.bybit.com"},
}
STREAMS = {
    ("binance", "mainnet"): {"fstream.binance.com"},
    ("binance", "testnet"): {"fstream.binancefuture.com"},
    ("binance", "localnet"): {"127.0.0.1"},
    ("bybit", "mainnet"): {"stream.bybit.com"},
    ("bybit", "testnet"): {"stream-testnet.bybit.com"},
    ("bybit", "localnet"): {"127.0.0.1"},
}


async def opened(exchange: str, network: str, endpoints: dict[str, str]) -> tuple[set[str], set[str]]:
    """(hosts that REST can reach, hosts of the streams)."""
    component = load_plugins().exchanges[exchange].component
    context = OpenContext(exchange, FakeClock(), network, endpoints=endpoints)
    async with component.open(component.settings(), context) as adapter:
        inside: Any = adapter
        clients = (inside.trading.ccxt, inside.polling.ccxt)
        rest = {
            urlsplit(client.implode_hostname(url)).hostname
            for client in clients
            for url in client.urls["api"].values()
        }
        names = ("stream_root", "public_stream", "private_stream")
        streams = {urlsplit(getattr(inside, name)).hostname for name in names if hasattr(inside, name)}
    return rest, streams


@pytest.mark.parametrize(("exchange", "network"), STREAMS)
async def test_hosts(exchange: str, network: str) -> None:
    rest, streams = await opened(exchange, network, LOCAL[exchange] if network == "localnet" else {})
    assert streams == STREAMS[exchange, network]
    if (exchange, network) in REST:
        assert rest == REST[exchange, network]
    else:
        assert "fapi.binance.com" in rest
        assert all(str(host).endswith(".binance.com") and "demo" not in str(host) for host in rest)


@pytest.mark.parametrize(
    ("exchange", "name"),
    [(exchange, name) for exchange, names in LOCAL.items() for name in names if name != "sapi"],
)
async def test_a_localnet_that_names_no_address_is_refused(exchange: str, name: str) -> None:
    endpoints = {key: url for key, url in LOCAL[exchange].items() if key != name}
    with pytest.raises(ConfigError, match=f"no `{name}` endpoint; start it again"):
        await opened(exchange, "localnet", endpoints)
