"""With every exchange's host names pointed at this machine: nothing that is signed reaches the other network.

A front under TLS answers for live and simulated hosts alike and notes what arrives. It is told from outside what may
arrive where, so that the adapters' own tables are not what they are measured by.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.exchanges.recording import Front, Heard, front, point_dns_at

from fundingarb.domain.order import NewOrder, OrderSide, TimeInForce
from fundingarb.engine.clock import SystemClock
from fundingarb.errors import AuthenticationFailed, ConfigError, ExchangeError
from fundingarb.exchanges.guard import Hosts, NetworkGuard
from fundingarb.localnet.installed import installed_dialects
from fundingarb.localnet.run import Options, run_localnets
from fundingarb.plugins import load_plugins
from fundingarb.ports import AccountCredentials, OpenContext, Secret
from fundingarb.testing.sinks import RecordingAccountSink

pytestmark = pytest.mark.anyio

EXCHANGES = ("binance", "bybit", "okx", "dydx")
DEMO = "x-simulated-trading"

REAL: Mapping[str, set[str]] = {
    "binance": {"fapi.binance.com", "api.binance.com", "fstream.binance.com"},
    "bybit": {"api.bybit.com", "stream.bybit.com"},
    "okx": {"www.okx.com", "ws.okx.com"},
    "dydx": {"indexer.dydx.trade", "dydx-ops-rpc.kingnodes.com", "dydx-rest.publicnode.com"},
}
PLAY: Mapping[str, set[str]] = {
    "binance": {"demo-fapi.binance.com", "fstream.binancefuture.com"},
    "bybit": {"api-testnet.bybit.com", "stream-testnet.bybit.com"},
    "okx": {"wspap.okx.com"},
    "dydx": {
        "indexer.v4testnet.dydx.exchange",
        "test-dydx-rpc.kingnodes.com",
        "test-dydx-rest.kingnodes.com",
    },
}
CHAINS = {"testnet": "dydx-testnet-4", "mainnet": "dydx-mainnet-1"}


def permitted(exchange: str, network: str, heard: Heard) -> bool:
    """Whether this may arrive there, by what the exchanges document."""
    if network == "mainnet":
        return heard.host in REAL[exchange] and DEMO not in heard.headers
    if exchange == "okx" and heard.host == "www.okx.com":
        return heard.headers.get(DEMO) == "1"
    return heard.host in PLAY[exchange]


@dataclass
class Stage:
    """An exchange behind its own host names, and somebody's keys."""

    exchange: str
    front: Front
    ca_file: str
    keys: Mapping[str, Secret]

    @asynccontextmanager
    async def adapter(self, network: str, **settings: Any) -> AsyncIterator[Any]:
        self.front.chain_id = CHAINS[network] if self.exchange == "dydx" else ""
        component = load_plugins().exchanges[self.exchange].component
        context = OpenContext(
            self.exchange, SystemClock(), network, AccountCredentials("mine", self.keys), ("BTC-USDT",),
            ca_file=self.ca_file,
        )  # fmt: skip
        async with component.open(component.settings(**settings), context) as adapter:
            yield adapter


@pytest.fixture(params=EXCHANGES)
async def stage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    exchange = str(request.param)
    async with installed_dialects([exchange]) as dialects, run_localnets(dialects, Options()) as localnet:
        ready = localnet.ready["exchanges"][exchange]
        hosts = sorted(REAL[exchange] | PLAY[exchange])
        async with front(ready["rest"], hosts, tmp_path) as (made, ca):
            point_dns_at(made.port, monkeypatch)
            account = ready["accounts"][0]
            keys = {
                "api_key": account["api_key"],
                "api_secret": account["api_secret"],
                **account["credentials"],
            }
            yield Stage(exchange, made, str(ca), {name: Secret(str(value)) for name, value in keys.items()})


async def use(adapter: Any) -> list[Exception]:
    """Everything that is signed, once; what was refused."""
    order = NewOrder(
        "faabcdx0000000000a0001",
        "BTC-USDT",
        OrderSide.BUY,
        Decimal("0.01"),
        Decimal(20000),
        TimeInForce.GTC,
        False,
    )
    failed: list[Exception] = []
    calls = (
        adapter.get_balance, adapter.get_positions, adapter.get_open_orders, adapter.get_key_permissions,
        lambda: adapter.place_order(order), lambda: adapter.cancel_order("BTC-USDT", order.client_id),
    )  # fmt: skip
    for call in calls:
        try:
            with anyio.fail_after(30):
                await call()
        except (ExchangeError, TimeoutError) as error:
            failed.append(error)
    with anyio.move_on_after(1.0):
        try:
            await adapter.stream_account(RecordingAccountSink())
        except ExchangeError as error:
            failed.append(error)
    return failed


@pytest.mark.parametrize("network", ["testnet", "mainnet"])
async def test_what_is_signed_stays_on_its_network(stage: Stage, network: str) -> None:
    async with stage.adapter(network) as adapter:
        await use(adapter)
    assert stage.front.signed, "something was signed, or this shows nothing"
    strays = [each for each in stage.front.heard if not permitted(stage.exchange, network, each)]
    assert strays == []


def misdirect(adapter: Any, exchange: str, other: Any) -> None:
    """Whatever may go wrong above the transport, at once: every address and header is the other network's."""
    for mine, theirs in ((adapter.trading, other.trading), (adapter.polling, other.polling)):
        mine.ccxt.urls["api"] = theirs.ccxt.urls["api"]
        mine._headers = theirs._headers
    for name in ("stream_root", "public_stream", "private_stream"):
        if hasattr(adapter, name):
            setattr(adapter, name, getattr(other, name))
    if exchange == "dydx":
        adapter.network = replace(other.network, chain_id=adapter.network.chain_id)
        for mine in (adapter.trading, adapter.polling):
            mine.signers["nodeStatus"] = adapter._get(f"{adapter.network.node_rpc}/status")


@pytest.mark.parametrize("network", ["testnet", "mainnet"])
async def test_misdirected_nothing_leaves(stage: Stage, network: str) -> None:
    wrong = "mainnet" if network == "testnet" else "testnet"
    async with stage.adapter(wrong) as other, stage.adapter(network) as adapter:
        await adapter.get_instruments()  # an order needs them; they are public
        stage.front.heard.clear()
        misdirect(adapter, stage.exchange, other)
        failed = await use(adapter)
    assert stage.front.heard == []
    assert len(failed) >= 4
    assert isinstance(failed[0], AuthenticationFailed)
    assert "nothing was sent" in str(failed[0])


@pytest.mark.parametrize("network", ["testnet", "mainnet"])
async def test_without_the_guard_it_would_have_left(
    stage: Stage, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above sees what it is there to see."""
    wrong = "mainnet" if network == "testnet" else "testnet"
    async with stage.adapter(wrong) as other, stage.adapter(network) as adapter:
        await adapter.get_instruments()
        monkeypatch.setattr(NetworkGuard, "flaw", lambda *_: None)
        misdirect(adapter, stage.exchange, other)
        await use(adapter)
    assert [each for each in stage.front.heard if not permitted(stage.exchange, network, each)]
    assert stage.exchange == "dydx" or any(
        not permitted(stage.exchange, network, each) for each in stage.front.signed
    )


@pytest.mark.parametrize("network", ["testnet", "mainnet"])
async def test_a_stream_that_is_redirected_does_not_follow(stage: Stage, network: str) -> None:
    """Not to the other network, where its login would be heard, and not to a host of its own either."""
    wrong, right = (REAL, PLAY) if network == "testnet" else (PLAY, REAL)
    sink = RecordingAccountSink()
    for hosts in (wrong, right):
        stage.front.elsewhere = min(hosts[stage.exchange])
        async with stage.adapter(network) as adapter:
            with anyio.move_on_after(2.0):
                await adapter.stream_account(sink)
    assert [each for each in stage.front.heard if each.what == "GET /moved"] == []
    assert [each for each in stage.front.heard if not permitted(stage.exchange, network, each)] == []
    told = [reason for _, reason in sink.downs]
    assert told
    assert all("redirects" in reason and "nothing was sent there" in reason for reason in told), told


SETTINGS = {
    "binance": [{"testnet_rest_url": "https://fapi.binance.com"}, {"testnet_stream_url": "wss://fstream.binance.com"}],
    "bybit": [{"testnet_rest_url": "https://api.bybit.com"}, {"testnet_stream_url": "wss://stream.bybit.com"}],
    "okx": [{"testnet_stream_url": "wss://ws.okx.com:8443"}, {"rest_url": "https://elsewhere.example"}],
    "dydx": [{"testnet_node_rpc_url": "https://dydx-ops-rpc.kingnodes.com"}, {"testnet_stream_url": "wss://indexer.dydx.trade/v4/ws"}],
}  # fmt: skip


async def test_addresses_of_the_other_network_are_refused_at_the_start(stage: Stage) -> None:
    for settings in SETTINGS[stage.exchange]:
        with pytest.raises(ConfigError, match=r"testnet (does not|needs)"):
            async with stage.adapter("testnet", **settings):
                pass
        name, value = next(iter(settings.items()))
        with pytest.raises(ConfigError):
            async with stage.adapter(
                "testnet", **{name: value.replace("https", "http").replace("wss", "ws")}
            ):
                pass
    assert stage.front.heard == []


TABLE = Hosts(("*.live.example",), ("test.live.example",), ("demo", "1"))


@pytest.mark.parametrize(
    ("network", "url", "headers", "may"),
    [
        ("localnet", "http://127.0.0.1:1/x", {}, True),
        ("localnet", "http://localhost:1/x", {}, True),
        ("localnet", "http://[::1]:1/x", {}, True),
        ("localnet", "https://api.live.example/x", {}, False),
        ("localnet", "http://127.0.0.1.live.example/x", {}, False),
        ("localnet", "http://10.0.0.1/x", {}, False),
        ("testnet", "https://test.live.example/x", {}, True),
        ("testnet", "https://TEST.live.example./x", {}, True),
        ("testnet", "https://api.live.example/x", {}, False),
        ("testnet", "https://api.live.example/x", {"Demo": "1"}, True),
        ("testnet", "https://api.live.example/x", {"demo": "0"}, False),
        ("testnet", "https://api.live.example/x", {"demo": ""}, False),
        ("testnet", "http://test.live.example/x", {}, False),
        ("testnet", "https://test.live.example.evil.example/x", {}, False),
        ("testnet", "https://test.live.example@api.live.example/x", {}, False),
        ("testnet", "http://127.0.0.1/x", {}, False),
        ("mainnet", "https://api.live.example/x", {}, True),
        ("mainnet", "https://api.live.example/x", {"demo": "1"}, False),
        ("mainnet", "https://api.live.example/x", {"demo": "0"}, False),
        ("mainnet", "https://test.live.example/x", {}, False),
        ("mainnet", "https://else.example/x", {}, False),
        ("mainnet", "https://", {}, False),
    ],
)
def test_what_may_be_reached(network: str, url: str, headers: dict[str, str], may: bool) -> None:
    assert (NetworkGuard("x", network, TABLE).flaw(url, headers) is None) is may
    assert (NetworkGuard("x", network, Hosts()).flaw(url, headers) is None) is (may and network == "localnet")
