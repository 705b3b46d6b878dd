"""The node's gRPC: accounts, the newest block, broadcasting. Plain text, as nodes offer it to programs beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from fundingarb.localnet.dialect import Caller
from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.server import listen
from fundingarb.localnet.venue import ReplyLost
from fundingarb_dydx.localnet.chain import ChainAccount
from fundingarb_dydx.localnet.checks import digest_of
from fundingarb_dydx.localnet.codes import TxResult, failed_result
from fundingarb_dydx.localnet.contracts import CHAIN_ID
from fundingarb_dydx.localnet.desk import Desk
from fundingarb_dydx.localnet.gateway import GAS_USED, GAS_WANTED, Gateway, look_at
from fundingarb_dydx.localnet.node import AlreadyInCache, Node
from fundingarb_dydx.localnet.protobuf import DecodeError, blob, decode, number, text
from fundingarb_dydx.localnet.transactions import PUBLIC_KEY

__all__ = ["serve_grpc"]

BASE_ACCOUNT = "/cosmos.auth.v1beta1.BaseAccount"
Method = Callable[[bytes], Awaitable[bytes]]
About = Callable[[str | None, int | None, str], Caller]


class _Bytes(CodecBase):
    """Messages go in and out as bytes."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class Services:
    """The methods of a node that clients of an exchange call."""

    def __init__(self, desk: Desk, node: Node, gateway: Gateway, about: About) -> None:
        self._desk = desk
        self._node = node
        self._gateway = gateway
        self._about = about

    def __mapping__(self) -> Mapping[str, Handler]:
        """What grpclib asks a service for: handlers by path."""
        methods: Mapping[str, tuple[str, Method]] = {
            "/cosmos.auth.v1beta1.Query/Account": ("account.read", self._account),
            "/cosmos.auth.v1beta1.Query/AccountInfo": ("account.read", self._account_info),
            "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock": ("time.read", self._latest_block),
            "/cosmos.tx.v1beta1.Service/BroadcastTx": ("order.place", self._broadcast),
            "/cosmos.tx.v1beta1.Service/Simulate": ("account.read", self._simulate),
            "/cosmos.tx.v1beta1.Service/GetTx": ("order.query", self._get_tx),
        }
        return {
            path: Handler(partial(self._serve, operation, method), Cardinality.UNARY_UNARY, bytes, bytes)
            for path, (operation, method) in methods.items()
        }

    async def _serve(self, operation: str, method: Method, stream: Stream[bytes, bytes]) -> None:
        """One call, with injected faults. A lost reply looks to the client as a connection that broke."""
        request = await stream.recv_message()
        if request is None:
            raise GRPCError(Status.INTERNAL, "no request")
        try:
            caller = self._caller(operation, request)
            reply = await self._desk.venue.perform(
                caller.operation or operation,
                partial(method, request),
                partial(self._failed, operation, request),
                account=caller.account,
                symbol=caller.symbol,
            )
        except ReplyLost:
            raise GRPCError(Status.UNAVAILABLE, "Socket closed") from None
        except DecodeError as error:
            raise GRPCError(Status.INTERNAL, f"cannot parse the request: {error}") from None
        except GRPCError:
            raise
        except Exception as error:
            self._desk.venue.trouble(error)
            raise GRPCError(Status.INTERNAL, repr(error)) from error
        await stream.send_message(reply)

    def _caller(self, operation: str, request: bytes) -> Caller:
        if operation == "order.place":
            seen = look_at(decode(request).blob(1))
            return self._about(seen.owner, seen.pair, seen.operation)
        if operation == "account.read":
            return self._about(decode(request).text(1), None, operation)
        return Caller()

    @staticmethod
    def _failed(operation: str, request: bytes, failure: Failure) -> bytes:
        if failure.kind is FailureKind.REJECTED and operation == "order.place":
            return _tx_response(failed_result(failure, digest_of(decode(request).blob(1))))
        status = {
            FailureKind.RATE_LIMITED: Status.RESOURCE_EXHAUSTED,
            FailureKind.BANNED: Status.PERMISSION_DENIED,
            FailureKind.REJECTED: Status.INVALID_ARGUMENT,
        }.get(failure.kind, Status.UNAVAILABLE)
        raise GRPCError(status, failure.message or "unavailable")

    # -- methods ---------------------------------------------------------------------------------------------

    def _found(self, request: bytes) -> ChainAccount:
        address = decode(request).text(1)
        found = self._gateway.find(address)
        if found is None:
            raise GRPCError(Status.NOT_FOUND, f"account {address} not found: key not found")
        return found

    async def _account(self, request: bytes) -> bytes:
        packed = text(1, BASE_ACCOUNT) + blob(2, _base_account(self._found(request)))
        return blob(1, packed)

    async def _account_info(self, request: bytes) -> bytes:
        return blob(1, _base_account(self._found(request)))

    async def _latest_block(self, request: bytes) -> bytes:
        chain = self._desk.chain
        seconds, rest = divmod(chain.time_ms, 1000)
        header = (
            text(2, CHAIN_ID)
            + number(3, chain.height)
            + blob(4, number(1, seconds) + number(2, rest * 1_000_000))
        )
        block = blob(1, header) + blob(2, b"", keep=True)
        return blob(1, blob(1, self._gateway.block_hash(chain.height))) + blob(2, block) + blob(3, block)

    async def _broadcast(self, request: bytes) -> bytes:
        data = decode(request).blob(1)
        try:
            return _tx_response(self._node.broadcast(data))
        except AlreadyInCache:
            return _tx_response(TxResult(digest_of(data), 19, "sdk", "tx already in mempool"))

    async def _simulate(self, request: bytes) -> bytes:
        return blob(1, number(1, GAS_WANTED) + number(2, GAS_USED)) + blob(2, b"", keep=True)

    async def _get_tx(self, request: bytes) -> bytes:
        digest = decode(request).text(1)
        found = self._node.transaction(digest)
        if found is None or found.height is None:
            raise GRPCError(Status.NOT_FOUND, f"tx not found: {digest}")
        return blob(1, found.data) + blob(2, number(1, found.height) + text(2, found.result.hash))


def _base_account(account: ChainAccount) -> bytes:
    key = text(1, PUBLIC_KEY) + blob(2, blob(1, account.public_key))
    return text(1, account.address) + blob(2, key) + number(3, account.number) + number(4, account.sequence)


def _tx_response(result: TxResult) -> bytes:
    return blob(
        1,
        text(2, result.hash) + text(3, result.codespace) + number(4, result.code) + text(6, result.log),
    )


@asynccontextmanager
async def serve_grpc(
    desk: Desk, node: Node, gateway: Gateway, about: About
) -> AsyncIterator[Mapping[str, str]]:
    """Serve on a free port of loopback; yields the ready file's ``grpc``."""
    server = Server([Services(desk, node, gateway, about)], codec=_Bytes())
    sock = listen(0, "dYdX's gRPC")
    address = f"{sock.getsockname()[0]}:{sock.getsockname()[1]}"
    await server.start(sock=sock)
    try:
        yield {"grpc": address}
    finally:
        server.close()
        await server.wait_closed()
        sock.close()
