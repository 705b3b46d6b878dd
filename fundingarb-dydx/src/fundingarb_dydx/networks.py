"""Where dYdX is on each network, and on which chain a signature counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fundingarb.errors import ConfigError
from fundingarb.exchanges.base import endpoint
from fundingarb.exchanges.guard import Hosts
from fundingarb.ports import OpenContext
from fundingarb_dydx.settings import DydxSettings

CHAIN_IDS = {"mainnet": "dydx-mainnet-1", "testnet": "dydx-testnet-4"}


HOSTS = Hosts(
    live=("*.dydx.trade", "dydx-*.kingnodes.com", "dydx-rest.publicnode.com", "dydx-rpc.publicnode.com"),
    simulated=("*.v4testnet.dydx.exchange", "test-dydx-*.kingnodes.com"),
    others=True,
)
"""Of those that are known. Anybody may run a node; what keeps the networks apart there is the chain's name in every
signature, which the node is asked for before the first one."""


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses of indexer and node (scheme and host), address of the stream, id of the chain."""

    chain_id: str
    indexer: str
    stream: str
    node_rpc: str
    node_rest: str

    @property
    def roots(self) -> Mapping[str, str]:
        """ccxt's name of an address -> scheme and host. All are given, so that ccxt's own are never used."""
        return {"indexer": self.indexer, "nodeRpc": self.node_rpc, "nodeRest": self.node_rest}


def network_of(context: OpenContext, settings: DydxSettings) -> Network:
    """The network of ``context``. A localnet says in its ready file what its chain is called.

    Raises ``ConfigError`` for a localnet that calls itself like a real chain: its signatures would count there.
    """
    if context.network == "localnet":
        named = {
            name: endpoint(context, name)
            for name in ("chain_id", "indexer", "stream", "node_rpc", "node_rest")
        }
        if named["chain_id"] in CHAIN_IDS.values():
            raise ConfigError(
                f"the localnet of {context.name} has the chain id of a real chain, {named['chain_id']}"
            )
        return Network(**named)
    prefix = "testnet_" if context.network == "testnet" else ""
    urls = {
        name: getattr(settings, f"{prefix}{name}_url")
        for name in ("indexer", "stream", "node_rpc", "node_rest")
    }
    return Network(chain_id=CHAIN_IDS[context.network], **urls)
