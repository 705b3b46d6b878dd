"""A node's RPC (CometBFT) and REST (Cosmos) over HTTP: account, blocks, broadcasting."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from fundingarb_dydx.localnet.chain import ChainAccount
from fundingarb_dydx.localnet.checks import digest_of, owner_of
from fundingarb_dydx.localnet.codes import TxResult
from fundingarb_dydx.localnet.contracts import CHAIN_ID
from fundingarb_dydx.localnet.desk import Desk
from fundingarb_dydx.localnet.node import AlreadyInCache, Node
from fundingarb_dydx.localnet.protobuf import DecodeError
from fundingarb_dydx.localnet.transactions import (
    PUBLIC_KEY,
    BatchCancel,
    CancelOrder,
    ClobMessage,
    clob_messages,
    decode_transaction,
)
from fundingarb_dydx.localnet.wire import iso, respond

__all__ = ["Gateway", "RpcError", "Seen", "look_at"]

VERSION = "9.1.0"
GAS_WANTED, GAS_USED = 1_000_000, 64_000
_OPERATIONS = {"broadcast_tx_sync", "broadcast_tx_async", "broadcast_tx_commit"}


class RpcError(Exception):
    """An error of JSON-RPC."""

    def __init__(self, code: int, message: str, data: str) -> None:
        super().__init__(data)
        self.code = code
        self.message = message
        self.data = data


class Seen:
    """What can be told of a transaction without checking it: for faults."""

    __slots__ = ("operation", "owner", "pair")

    def __init__(self, operation: str, owner: str | None, pair: int | None) -> None:
        self.operation = operation
        self.owner = owner
        self.pair = pair


def look_at(data: bytes) -> Seen:
    """What a transaction is about; an order is what everything counts as that cannot be read."""
    try:
        message: ClobMessage = clob_messages(decode_transaction(data))[0]
    except DecodeError:
        return Seen("order.place", None, None)
    if isinstance(message, BatchCancel):
        return Seen("order.cancel", message.owner, message.ids[0].clob_pair if message.ids else None)
    operation = "order.cancel" if isinstance(message, CancelOrder) else "order.place"
    return Seen(operation, owner_of(message), message.id.clob_pair)


def transaction_bytes(shown: str) -> bytes:
    """A transaction from a query (0x and hexadecimal, or quoted) or from JSON (base64). Raises ``RpcError``."""
    try:
        if shown.startswith("0x"):
            return bytes.fromhex(shown[2:])
        if shown.startswith('"'):
            return shown.strip('"').encode()
        return base64.b64decode(shown, validate=True)
    except (ValueError, binascii.Error) as error:
        raise RpcError(
            -32602, "Invalid params", f"error converting http params to arguments: {error}"
        ) from None


async def _object(request: web.Request) -> dict[str, Any]:
    """The JSON object of a body; an empty one when it is anything else."""
    try:
        found = json.loads(await request.read())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Gateway:
    """RPC and REST of the chain's node."""

    def __init__(self, desk: Desk, node: Node) -> None:
        self._desk = desk
        self._node = node
        self._methods: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "abci_info": self._abci_info,
            "status": self._status,
            "health": lambda params: {},
            "block": self._block,
            "tx": self._tx,
            **dict.fromkeys(_OPERATIONS, self._broadcast),
        }

    # -- RPC -------------------------------------------------------------------------------------------------

    async def get(self, request: web.Request) -> web.StreamResponse:
        """``GET /METHOD?name=value``."""
        return self._call(request.path.strip("/"), request.query, -1)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """JSON-RPC."""
        body = await _object(request)
        if not isinstance(body.get("method"), str):
            return self._error(RpcError(-32600, "Invalid Request", "not a JSON-RPC request"), body.get("id"))
        params = body.get("params")
        return self._call(body["method"], params if isinstance(params, dict) else {}, body.get("id", -1))

    def _call(self, method: str, params: Mapping[str, Any], number: object) -> web.StreamResponse:
        work = self._methods.get(method)
        try:
            if work is None:
                raise RpcError(-32601, "Method not found", "")
            return respond({"jsonrpc": "2.0", "id": number, "result": work(params)})
        except RpcError as error:
            return self._error(error, number)

    @staticmethod
    def _error(error: RpcError, number: object) -> web.StreamResponse:
        shown = {"code": error.code, "message": error.message, "data": error.data}
        return respond({"jsonrpc": "2.0", "id": number, "error": shown}, status=500)

    def _abci_info(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "response": {
                "data": "dydxprotocol",
                "version": VERSION,
                "last_block_height": str(self._desk.chain.height),
                "last_block_app_hash": base64.b64encode(self.block_hash(self._desk.chain.height)).decode(),
            }
        }

    def _status(self, params: Mapping[str, Any]) -> dict[str, Any]:
        chain = self._desk.chain
        return {
            "node_info": {"network": CHAIN_ID, "version": VERSION, "moniker": "localnet"},
            "sync_info": {
                "latest_block_hash": self.block_hash(chain.height).hex().upper(),
                "latest_block_height": str(chain.height),
                "latest_block_time": iso(chain.time_ms),
                "catching_up": False,
            },
            "validator_info": {"address": "", "voting_power": "1"},
        }

    def _block(self, params: Mapping[str, Any]) -> dict[str, Any]:
        shown = str(params.get("height") or self._desk.chain.height).strip('"')
        height = int(shown) if shown.isdecimal() else -1
        if not 0 < height <= self._desk.chain.height:
            raise RpcError(-32603, "Internal error", f"height {shown} must be a height that has been reached")
        return self._block_of(height)

    def _block_of(self, height: int) -> dict[str, Any]:
        return {
            "block_id": {"hash": self.block_hash(height).hex().upper()},
            "block": {
                "header": {
                    "chain_id": CHAIN_ID,
                    "height": str(height),
                    "time": iso(self._desk.chain.time_of(height)),
                },
                "data": {"txs": []},
            },
        }

    @staticmethod
    def block_hash(height: int) -> bytes:
        return hashlib.sha256(f"{CHAIN_ID}/{height}".encode()).digest()

    def _broadcast(self, params: Mapping[str, Any]) -> dict[str, Any]:
        data = transaction_bytes(str(params.get("tx", "")))
        try:
            result = self._node.broadcast(data)
        except AlreadyInCache:
            raise RpcError(-32603, "Internal error", "tx already exists in cache") from None
        return rpc_result(result)

    def _tx(self, params: Mapping[str, Any]) -> dict[str, Any]:
        digest = str(params.get("hash", ""))
        found = self._node.transaction(digest)
        if found is None or found.height is None:
            raise RpcError(-32603, "Internal error", f"tx ({digest}) not found")
        return {
            "hash": found.result.hash,
            "height": str(found.height),
            "index": 0,
            "tx_result": {"code": 0, "data": "", "log": "", "codespace": ""},
            "tx": base64.b64encode(found.data).decode(),
        }

    # -- REST ------------------------------------------------------------------------------------------------

    def find(self, address: str) -> ChainAccount | None:
        return self._desk.chain.accounts.get(address)

    async def account_info(self, request: web.Request) -> web.StreamResponse:
        found = self.find(request.match_info["address"])
        if found is None:
            return self._no_account(request)
        return respond({"info": self._account(found)})

    async def account(self, request: web.Request) -> web.StreamResponse:
        found = self.find(request.match_info["address"])
        if found is None:
            return self._no_account(request)
        return respond({"account": {"@type": "/cosmos.auth.v1beta1.BaseAccount"} | self._account(found)})

    @staticmethod
    def _no_account(request: web.Request) -> web.StreamResponse:
        address = request.match_info["address"]
        message = f"rpc error: code = NotFound desc = account {address} not found: key not found"
        return respond({"code": 5, "message": message, "details": []}, status=404)

    @staticmethod
    def _account(account: ChainAccount) -> dict[str, Any]:
        return {
            "address": account.address,
            "pub_key": {"@type": PUBLIC_KEY, "key": base64.b64encode(account.public_key).decode()},
            "account_number": str(account.number),
            "sequence": str(account.sequence),
        }

    async def node_info(self, request: web.Request) -> web.StreamResponse:
        """Which chain this is."""
        node = {"network": CHAIN_ID, "version": VERSION, "moniker": "localnet", "channels": "", "other": {}}
        application = {"name": "dydxprotocol", "app_name": "dydxprotocold", "version": VERSION}
        return respond({"default_node_info": node, "application_version": application})

    async def fee_tier(self, request: web.Request) -> web.StreamResponse:
        """Fees of an address in parts per million; one nobody knows is in the first tier."""
        user = request.query.get("user", "")
        if not user:
            message = "empty address string is not allowed: invalid address"
            return respond({"code": 3, "message": message, "details": []}, status=400)
        found, truth = self.find(user), self._desk.truth
        fees = truth.fees(found.name) if found is not None else truth.rules.fees
        tier = {
            "name": "1",
            "absolute_volume_requirement": "0",
            "total_volume_share_requirement_ppm": 0,
            "maker_volume_share_requirement_ppm": 0,
            "maker_fee_ppm": int(fees.maker * 1_000_000),
            "taker_fee_ppm": int(fees.taker * 1_000_000),
        }
        return respond({"index": 0, "tier": tier})

    async def transaction(self, request: web.Request) -> web.StreamResponse:
        """``GET /cosmos/tx/v1beta1/txs/HASH``."""
        digest = request.match_info["hash"]
        found = self._node.transaction(digest)
        if found is None or found.height is None:
            return respond({"code": 5, "message": f"tx not found: {digest}", "details": []}, status=404)
        timestamp = iso(self._desk.chain.time_of(found.height))
        shown = rest_result(found.result) | {"height": str(found.height), "timestamp": timestamp}
        return respond({"tx": None, "tx_response": shown})

    async def latest_block(self, request: web.Request) -> web.StreamResponse:
        return respond(self._block_of(self._desk.chain.height))

    async def broadcast(self, request: web.Request) -> web.StreamResponse:
        """``POST /cosmos/tx/v1beta1/txs``."""
        try:
            data = transaction_bytes(str((await _object(request)).get("tx_bytes", "")))
        except RpcError as error:
            return respond({"code": 3, "message": error.data, "details": []}, status=400)
        try:
            result = self._node.broadcast(data)
        except AlreadyInCache:
            result = TxResult(digest_of(data), 19, "sdk", "tx already in mempool")
        return respond({"tx_response": rest_result(result)})

    async def simulate(self, request: web.Request) -> web.StreamResponse:
        return respond(
            {
                "gas_info": {"gas_wanted": str(GAS_WANTED), "gas_used": str(GAS_USED)},
                "result": {"data": "", "log": "", "events": [], "msg_responses": []},
            }
        )

    # -- faults ----------------------------------------------------------------------------------------------

    async def seen(self, request: web.Request) -> Seen | None:
        """What a request broadcasts; None when it broadcasts nothing."""
        name = request.path.strip("/")
        if name in _OPERATIONS:
            return look_at(transaction_bytes(request.query.get("tx", "")))
        if request.method != "POST":
            return None
        body = await _object(request)
        if name == "cosmos/tx/v1beta1/txs":
            return look_at(transaction_bytes(str(body.get("tx_bytes", ""))))
        params = body.get("params")
        if name == "" and body.get("method") in _OPERATIONS and isinstance(params, dict):
            return look_at(transaction_bytes(str(params.get("tx", ""))))
        return None

    def refusal(self, request: web.Request, result: TxResult) -> web.StreamResponse:
        """A refused transaction in the words of the interface it came by."""
        if request.path.startswith("/cosmos/"):
            return respond({"tx_response": rest_result(result)})
        return respond({"jsonrpc": "2.0", "id": -1, "result": rpc_result(result)})


def rpc_result(result: TxResult) -> dict[str, Any]:
    return {
        "code": result.code,
        "data": "",
        "log": result.log,
        "codespace": result.codespace,
        "hash": result.hash,
    }


def rest_result(result: TxResult) -> dict[str, Any]:
    return {
        "height": "0",
        "txhash": result.hash,
        "codespace": result.codespace,
        "code": result.code,
        "data": "",
        "raw_log": result.log,
        "logs": [],
        "info": "",
        "gas_wanted": "0",
        "gas_used": "0",
        "tx": None,
        "timestamp": "",
        "events": [],
    }
