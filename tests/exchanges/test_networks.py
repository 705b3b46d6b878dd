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
    "okx": {"rest": "http://127.0.0.1:1", "public": "ws://127.0.0.1:2/p", "private": "ws://127.0.0.1:2/q"},
    "dydx": {
        "indexer": "http://127.0.0.1:1", "stream": "ws://127.0.0.1:2/v4/ws", "node_rpc": "http://127.0.0.1:1",
        "node_rest": "http://127.0.0.1:1", "chain_id": "dydx-localnet-1",
    },
}  # fmt: skip
REST = {
    ("dydx", "mainnet"): {"indexer.dydx.trade", "dydx-ops-rpc.kingnodes.com", "dydx-rest.publicnode.com"},
    ("dydx", "testnet"): {
        "indexer.v4testnet.dydx.exchange",
        "test-dydx-rpc.kingnodes.com",
        "test-dydx-rest.kingnodes.com",
    },
    ("dydx", "localnet"): {"127.0.0.1"},
    ("binance", "testnet"): {"demo-fapi.binance.com"},
    ("bybit", "testnet"): {"api-testnet.bybit.com"},
    ("binance", "localnet"): {"127.0.0.1"},
    ("bybit", "localnet"): {"127.0.0.1"},
    ("bybit", "mainnet"): {"api.bybit.com"},
    ("okx", "mainnet"): {"www.okx.com"},
    ("okx", "testnet"): {"www.okx.com"},
    ("okx", "localnet"): {"127.0.0.1"},
}
STREAMS = {
    ("dydx", "mainnet"): {"indexer.dydx.trade"},
    ("dydx", "testnet"): {"indexer.v4testnet.dydx.exchange"},
    ("dydx", "localnet"): {"127.0.0.1"},
    ("binance", "mainnet"): {"fstream.binance.com"},
    ("binance", "testnet"): {"fstream.binancefuture.com"},
    ("binance", "localnet"): {"127.0.0.1"},
    ("bybit", "mainnet"): {"stream.bybit.com"},
    ("bybit", "testnet"): {"stream-testnet.bybit.com"},
    ("bybit", "localnet"): {"127.0.0.1"},
    ("okx", "mainnet"): {"ws.okx.com"},
    ("okx", "testnet"): {"wspap.okx.com"},
    ("okx", "localnet"): {"127.0.0.1"},
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
        if exchange == "dydx":
            streams = {urlsplit(inside.network.stream).hostname}
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


async def requested(network: str, **settings: str) -> dict[str, str]:
    """The headers that go with every request to OKX."""
    component = load_plugins().exchanges["okx"].component
    context = OpenContext(
        "okx", FakeClock(), network, endpoints=LOCAL["okx"] if network == "localnet" else {}
    )
    async with component.open(component.settings(**settings), context) as adapter:
        inside: Any = adapter
        assert inside.trading._headers == inside.polling._headers
        return dict(inside.trading._headers)


async def test_demo_trading_of_okx_is_a_header() -> None:
    """Its REST host is that of real trading: the header goes with every request of `testnet`, and with no other."""
    assert await requested("testnet") == {"x-simulated-trading": "1"}
    assert await requested("mainnet") == {}
    assert await requested("localnet") == {}


async def test_streams_of_okx_that_are_of_the_other_kind_are_refused() -> None:
    with pytest.raises(ConfigError, match="network mainnet needs a host of real trading"):
        await requested("mainnet", stream_url="wss://wspap.okx.com:8443")
    with pytest.raises(ConfigError, match="network testnet needs a host of demo trading"):
        await requested("testnet", testnet_stream_url="wss://ws.okx.com:8443")
    assert (
        await requested("mainnet", stream_url="wss://wseea.okx.com:8443", rest_url="https://eea.okx.com")
        == {}
    )


@pytest.mark.parametrize("chain", ["dydx-mainnet-1", "dydx-testnet-4"])
async def test_a_localnet_with_the_name_of_a_real_chain_is_refused(chain: str) -> None:
    """What is signed for it would be worth something elsewhere."""
    with pytest.raises(ConfigError, match="chain id of a real chain"):
        await opened("dydx", "localnet", {**LOCAL["dydx"], "chain_id": chain})
