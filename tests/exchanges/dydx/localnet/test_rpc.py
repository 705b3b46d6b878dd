"""The node's gRPC, called with bytes that these tests write themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from tests.exchanges.dydx.localnet.venue import BUY, CHAIN, IOC, Dydx, message

from fundingarb.localnet.faults import Fault, FaultKind
from fundingarb_dydx.localnet.protobuf import Message, decode

pytestmark = pytest.mark.anyio

ACCOUNT = "/cosmos.auth.v1beta1.Query/Account"
BLOCK = "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock"
BROADCAST = "/cosmos.tx.v1beta1.Service/BroadcastTx"
SIMULATE = "/cosmos.tx.v1beta1.Service/Simulate"
GET_TX = "/cosmos.tx.v1beta1.Service/GetTx"


class Raw(CodecBase):
    """Messages as bytes."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


@pytest.fixture
async def channel(dydx: Dydx) -> AsyncIterator[Channel]:
    host, _, port = dydx.grpc.partition(":")
    async with Channel(host, int(port), codec=Raw()) as opened:
        yield opened


async def call(channel: Channel, path: str, request: bytes = b"") -> Message:
    return decode(await UnaryUnaryMethod[Any, Any](channel, path, bytes, bytes)(request))


async def order(dydx: Dydx) -> bytes:
    placed = dydx.main.place(1, BUY, 10**10, 11 * 10**7, block=await dydx.height() + 10, tif=IOC)
    return dydx.main.sign(placed)


async def test_an_account(dydx: Dydx, channel: Channel) -> None:
    answer = await call(channel, ACCOUNT, message(f1=dydx.main.address))
    packed = answer.message(1)
    assert packed.text(1) == "/cosmos.auth.v1beta1.BaseAccount"
    account = packed.message(2)
    assert (account.text(1), account.number(3), account.number(4)) == (dydx.main.address, dydx.main.number, 0)
    assert account.message(2).message(2).blob(1) == dydx.main.public
    with pytest.raises(GRPCError) as refused:
        await call(channel, ACCOUNT, message(f1="dydx1nobody"))
    assert refused.value.status is Status.NOT_FOUND


async def test_the_newest_block(dydx: Dydx, channel: Channel) -> None:
    dydx.block(3)
    header = (await call(channel, BLOCK)).message(2).message(1)
    assert (header.text(2), header.number(3)) == (CHAIN, await dydx.height())
    assert header.message(4).number(1) == dydx.now


async def test_broadcasting(dydx: Dydx, channel: Channel) -> None:
    data = await order(dydx)
    answer = (await call(channel, BROADCAST, message(f1=data, f2=2))).message(1)
    assert (answer.number(4), answer.text(6)) == (0, "[]")
    with pytest.raises(GRPCError):
        await call(channel, GET_TX, message(f1=answer.text(2)))
    dydx.block()
    assert [row["status"] for row in await dydx.orders()] == ["FILLED"]
    included = (await call(channel, GET_TX, message(f1=answer.text(2)))).message(2)
    assert included.number(1) == await dydx.height()
    again = (await call(channel, BROADCAST, message(f1=data, f2=2))).message(1)
    assert (again.number(4), again.text(3)) == (19, "sdk")


async def test_simulating(dydx: Dydx, channel: Channel) -> None:
    gas = (await call(channel, SIMULATE, message(f2=await order(dydx)))).message(1)
    assert gas.number(2) > 0


async def test_a_method_that_is_not_offered(channel: Channel) -> None:
    with pytest.raises(GRPCError):
        await call(channel, "/cosmos.bank.v1beta1.Query/AllBalances")


async def test_faults_reach_it(dydx: Dydx, channel: Channel) -> None:
    request = message(f1=await order(dydx), f2=2)
    faults = dydx.venue.faults
    faults.install(Fault(FaultKind.REJECT, operation="order.place", account="main", code="5001", count=1))
    refused = (await call(channel, BROADCAST, request)).message(1)
    assert (refused.number(4), refused.text(3)) == (5001, "clob")
    faults.install(Fault(FaultKind.LOST_REPLY, operation="order.place", symbol="BTC-USD", count=1))
    with pytest.raises(GRPCError) as lost:
        await call(channel, BROADCAST, request)
    assert lost.value.status is Status.UNAVAILABLE
    dydx.block()
    assert [row["status"] for row in await dydx.orders()] == ["FILLED"]
    faults.install(Fault(FaultKind.RATE_LIMITED, operation="account.read", count=1))
    with pytest.raises(GRPCError) as limited:
        await call(channel, ACCOUNT, message(f1=dydx.main.address))
    assert limited.value.status is Status.RESOURCE_EXHAUSTED
