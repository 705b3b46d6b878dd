"""What dYdX's official client sees and does on the localnet; run by the client's own interpreter.

Standard input is an exchange's part of the ready file, standard output what was found: one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from functools import partial
from typing import Any

import grpc
from dydx_v4_client.indexer.rest.constants import OrderType
from dydx_v4_client.indexer.rest.indexer_client import IndexerClient
from dydx_v4_client.indexer.socket.websocket import IndexerSocket
from dydx_v4_client.network import NodeConfig, make_insecure
from dydx_v4_client.node.client import NodeClient
from dydx_v4_client.node.market import Market
from dydx_v4_client.wallet import Wallet
from v4_proto.dydxprotocol.clob.order_pb2 import Order
from v4_proto.dydxprotocol.clob.tx_pb2 import OrderBatch
from v4_proto.dydxprotocol.subaccounts.subaccount_pb2 import SubaccountId

TICKER = "ETH-USD"
SHORT_TERM, LONG_TERM = 0, 64
GTT = Order.TimeInForce.TIME_IN_FORCE_UNSPECIFIED
IOC = Order.TimeInForce.TIME_IN_FORCE_IOC
PATIENCE = 20.0


class Session:
    """Indexer, node and wallet of an account, and what its stream said."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.ready = ready
        self.account = ready["accounts"][0]
        self.address = self.account["api_key"]
        endpoints = ready["endpoints"]
        config = partial(NodeConfig, endpoints["chain_id"], chaintoken_denom="adv4tnt", usdc_denom="ibc/usdc")
        self.network = make_insecure(config, ready["rest"], ready["ws"], endpoints["grpc"])
        self.indexer = IndexerClient(self.network.rest_indexer)
        self.heard: list[dict[str, Any]] = []

    async def open(self) -> None:
        self.node = await NodeClient.connect(self.network.node)
        mnemonic = self.account["credentials"]["mnemonic"]
        self.wallet = await Wallet.from_mnemonic(self.node, mnemonic, self.address)
        markets = await self.indexer.markets.get_perpetual_markets(TICKER)
        self.market = Market(markets["markets"][TICKER])

    def listen(self) -> None:
        """Hear the account's stream, the book and the markets, from a thread."""

        def opened(socket: IndexerSocket) -> None:
            socket.subaccounts.subscribe(self.address, 0)
            socket.order_book.subscribe(TICKER)
            socket.markets.subscribe()

        def said(socket: IndexerSocket, message: dict[str, Any]) -> None:
            self.heard.append(message)

        self.socket = IndexerSocket(self.network.websocket_indexer, on_open=opened, on_message=said)
        threading.Thread(target=self.socket.run_forever, daemon=True).start()

    async def heard_order(self, client_id: int, status: str) -> dict[str, Any]:
        """The account's stream says that an order is in a state."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for message in list(self.heard):
                if message.get("channel") != "v4_subaccounts" or message["type"] != "channel_data":
                    continue
                for order in message["contents"].get("orders", []):
                    if (order["clientId"], order["status"]) == (str(client_id), status):
                        return message
            await asyncio.sleep(0.05)
        raise TimeoutError(f"order {client_id} did not become {status}")

    async def place(self, client_id: int, flags: int, **more: Any) -> Any:
        """Broadcast an order; the node's answer."""
        name = self.market.order_id(self.address, 0, client_id, flags)
        height = await self.node.latest_block_height()
        until = {"good_til_block": height + 10} if flags == SHORT_TERM else {}
        fields = {"time_in_force": GTT, "reduce_only": False, "order_type": OrderType.LIMIT} | until | more
        order = self.market.order(order_id=name, **fields)
        return (await self.node.place_order(self.wallet, order)).tx_response

    async def best(self) -> tuple[float, float]:
        book = await self.indexer.markets.get_perpetual_market_orderbook(TICKER)
        return float(book["bids"][0]["price"]), float(book["asks"][0]["price"])


async def reading(session: Session) -> dict[str, Any]:
    indexer, node = session.indexer, session.node
    return {
        "time": await indexer.utility.get_time(),
        "height": await indexer.utility.get_height(),
        "markets": await indexer.markets.get_perpetual_markets(),
        "book": await indexer.markets.get_perpetual_market_orderbook(TICKER),
        "funding": await indexer.markets.get_perpetual_market_historical_funding(TICKER, limit=3),
        "trades": await indexer.markets.get_perpetual_market_trades(TICKER, limit=3),
        "candles": await indexer.markets.get_perpetual_market_candles(TICKER, "1MIN", limit=3),
        "subaccount": await indexer.account.get_subaccount(session.address, 0),
        "block": await node.latest_block_height(),
        "address": session.wallet.address,
        "number": (await node.get_account(session.address)).account_number,
    }


async def filling(session: Session) -> dict[str, Any]:
    """An immediate order that the book fills."""
    _, ask = await session.best()
    answer = await session.place(
        101, SHORT_TERM, side=Order.Side.SIDE_BUY, size=0.02, price=ask * 1.01, time_in_force=IOC
    )
    told = await session.heard_order(101, "FILLED")
    account = session.indexer.account
    return {
        "code": answer.code,
        "log": answer.raw_log,
        "hash": answer.txhash,
        "told": told["contents"],
        "fills": await account.get_subaccount_fills(session.address, 0),
        "positions": await account.get_subaccount_perpetual_positions(session.address, 0),
        "orders": await account.get_subaccount_orders(session.address, 0),
    }


async def resting(session: Session) -> dict[str, Any]:
    """A long-term order that rests and is cancelled: both need the account's sequence."""
    bid, _ = await session.best()
    until = int(time.time()) + 600
    answer = await session.place(
        102, LONG_TERM, side=Order.Side.SIDE_BUY, size=0.02, price=bid * 0.9, good_til_block_time=until
    )
    await session.heard_order(102, "OPEN")
    name = session.market.order_id(session.address, 0, 102, LONG_TERM)
    cancel = await session.node.cancel_order(session.wallet, name, good_til_block_time=until + 60)
    told = await session.heard_order(102, "CANCELED")
    (order,) = [o for o in told["contents"]["orders"] if o["clientId"] == "102"]
    found = await session.indexer.account.get_order(order["id"])
    sequence = (await session.node.get_account(session.address)).sequence
    return {
        "codes": [answer.code, cancel.tx_response.code],
        "order": order,
        "found": found,
        "sequence": sequence,
    }


async def batch(session: Session) -> dict[str, Any]:
    """Short-term orders that rest, cancelled at a stroke."""
    bid, _ = await session.best()
    for client_id in (103, 104):
        await session.place(client_id, SHORT_TERM, side=Order.Side.SIDE_BUY, size=0.02, price=bid * 0.9)
    await asyncio.sleep(1.5)
    answer = await session.node.batch_cancel_orders(
        session.wallet,
        SubaccountId(owner=session.address, number=0),
        [OrderBatch(clob_pair_id=int(session.market.market["clobPairId"]), client_ids=[103, 104])],
        await session.node.latest_block_height() + 12,
    )
    told = [await session.heard_order(number, "BEST_EFFORT_CANCELED") for number in (103, 104)]
    return {"code": answer.tx_response.code, "told": [message["contents"] for message in told]}


async def refused(session: Session) -> dict[str, Any]:
    """Answers that are not 0, and a wrong key."""
    far = await session.node.latest_block_height() + 1000
    answer = await session.place(
        105, SHORT_TERM, side=Order.Side.SIDE_BUY, size=0.02, price=100, good_til_block=far
    )
    chain = session.node.builder.chain_id
    session.node.builder.chain_id = "dydx-mainnet-1"
    foreign = await session.place(106, SHORT_TERM, side=Order.Side.SIDE_BUY, size=0.02, price=100)
    session.node.builder.chain_id = chain
    try:
        await session.node.get_account_balances(session.address)
        missing = "answered"
    except grpc.RpcError as error:
        missing = error.code().name
    return {
        "window": [answer.code, answer.codespace],
        "chain": [foreign.code, foreign.codespace],
        "missing": missing,
    }


async def main() -> None:
    session = Session(json.load(sys.stdin))
    await session.open()
    session.listen()
    found: dict[str, Any] = {"reading": await reading(session)}
    for step in (filling, resting, batch, refused):
        found[step.__name__] = await step(session)
    session.socket.close()
    channels = {(m["type"], m.get("channel")) for m in list(session.heard)}
    found["channels"] = sorted([kind, channel or ""] for kind, channel in channels)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
