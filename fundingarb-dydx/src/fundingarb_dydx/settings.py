"""The dYdX v4 section of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from fundingarb.settings import PluginSettings


class DydxSettings(PluginSettings):
    """How to talk to dYdX; the defaults suit most people. Times are real seconds.

    The indexer is dYdX's own; the nodes are public ones, run by others. Whoever trades in earnest names a node of
    their own, which accepts orders sooner.
    """

    optional_credentials: ClassVar[Sequence[str]] = ("subaccount",)

    accept_key_that_can_withdraw: bool = Field(
        False,
        description="the key of a chain account can always withdraw; true says that you know and accept it",
    )
    request_timeout_seconds: float = Field(10.0, gt=0, le=60)
    stream_stale_seconds: float = Field(
        15.0, gt=0, description="reconnect a stream that is silent for so long"
    )
    resting_order_seconds: int = Field(
        3600,
        ge=60,
        le=30 * 86_400,
        description="how long an order may rest on the book when nobody cancels it",
    )
    indexer_url: str = Field("https://indexer.dydx.trade", description="indexer of `network: mainnet`")
    stream_url: str = Field("wss://indexer.dydx.trade/v4/ws", description="its stream")
    node_rpc_url: str = Field(
        "https://dydx-ops-rpc.kingnodes.com", description="node of mainnet, CometBFT RPC"
    )
    node_rest_url: str = Field("https://dydx-rest.publicnode.com", description="node of mainnet, REST")
    testnet_indexer_url: str = Field("https://indexer.v4testnet.dydx.exchange")
    testnet_stream_url: str = Field("wss://indexer.v4testnet.dydx.exchange/v4/ws")
    testnet_node_rpc_url: str = Field("https://test-dydx-rpc.kingnodes.com")
    testnet_node_rest_url: str = Field("https://test-dydx-rest.kingnodes.com")
