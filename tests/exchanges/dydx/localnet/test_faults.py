"""Injected faults around the node and the indexer."""

from __future__ import annotations

import aiohttp
import anyio
import pytest
from tests.exchanges.dydx.localnet.venue import BUY, IOC, Dydx

from fundingarb.localnet.faults import Fault, FaultKind
from fundingarb_dydx.localnet.codes import TxResult

pytestmark = pytest.mark.anyio


def install(dydx: Dydx, kind: FaultKind, **fields: object) -> None:
    dydx.venue.faults.install(Fault.from_json({"kind": kind.value, "count": 1} | fields))


async def order(dydx: Dydx, client_id: int) -> bytes:
    block = await dydx.height() + 10
    placed = dydx.main.place(client_id, BUY, 10**10, 10**8 + 10**7, block=block, tif=IOC)
    return dydx.main.sign(placed)


async def lost(dydx: Dydx, data: bytes) -> None:
    with pytest.raises(aiohttp.ClientError):
        await dydx.broadcast(data)


async def filled(dydx: Dydx) -> list[str]:
    return [row["clientId"] for row in await dydx.orders(status="FILLED")]


async def test_a_lost_reply_and_a_lost_request(dydx: Dydx) -> None:
    data, other = await order(dydx, 1), await order(dydx, 2)
    install(dydx, FaultKind.LOST_REPLY, operation="order.place", account="main", symbol="BTC-USD")
    await lost(dydx, data)
    install(dydx, FaultKind.LOST_REQUEST, operation="order.place")
    await lost(dydx, other)
    dydx.block()
    assert await filled(dydx) == ["1"]


async def test_cancellations_are_an_operation_of_their_own(dydx: Dydx) -> None:
    install(dydx, FaultKind.LOST_REQUEST, operation="order.cancel")
    await dydx.order(1, BUY, "1", "900")
    cancel = dydx.main.sign(dydx.main.cancel(1, block=await dydx.height() + 12))
    await lost(dydx, cancel)
    dydx.block()
    assert [row["clientId"] for row in await dydx.orders()] == ["1"]


class Watch:
    """What the node answers from now on, whether anyone gets it or not."""

    def __init__(self, dydx: Dydx) -> None:
        node = dydx.dialect._node
        assert node is not None
        self._real, self._answered = node.broadcast, anyio.Event()
        self._answer: TxResult | None = None
        node.broadcast = self._broadcast  # type: ignore[method-assign]

    def _broadcast(self, data: bytes) -> TxResult:
        self._answer = self._real(data)
        self._answered.set()
        return self._answer

    async def answer(self) -> TxResult:
        """Waited for really: nobody drives the clock of a late request but the clock."""
        with anyio.fail_after(30):
            await self._answered.wait()
        assert self._answer is not None
        return self._answer


async def test_a_late_accept_may_come_too_late(dydx: Dydx) -> None:
    watch = Watch(dydx)
    data = await order(dydx, 1)
    install(dydx, FaultKind.LATE_ACCEPT, operation="order.place", seconds=1.0)
    await lost(dydx, data)
    dydx.block(12)
    assert (await watch.answer()).code == 10
    dydx.block()
    assert await filled(dydx) == []


async def test_a_late_accept_within_the_window(dydx: Dydx) -> None:
    watch = Watch(dydx)
    data = await order(dydx, 1)
    install(dydx, FaultKind.LATE_ACCEPT, operation="order.place", seconds=0.05)
    await lost(dydx, data)
    assert (await watch.answer()).code == 0
    dydx.block()
    assert await filled(dydx) == ["1"]


async def test_a_refusal_with_a_code(dydx: Dydx) -> None:
    install(dydx, FaultKind.REJECT, operation="order.place", code="5001", message="Block rate limit exceeded")
    result = await dydx.broadcast(await order(dydx, 1))
    assert (result["code"], result["codespace"], result["log"]) == (5001, "clob", "Block rate limit exceeded")
    dydx.block()
    assert await dydx.orders() == []


async def test_a_refusal_by_another_module(dydx: Dydx) -> None:
    """Both modules have a code 32."""
    for module, word in (("sdk", "sequence"), ("clob", "cancellation")):
        install(dydx, FaultKind.REJECT, operation="order.place", code=f"{module}:32")
        result = await dydx.broadcast(await order(dydx, 1))
        assert (result["code"], result["codespace"]) == (32, module)
        assert word in result["log"]


async def test_a_chain_that_stands_still_makes_no_blocks(dydx: Dydx) -> None:
    install(dydx, FaultKind.CHAIN_STALL)
    before = await dydx.height()
    dydx.dialect._produce()
    assert await dydx.height() == before
    dydx.venue.faults.clear()
    dydx.dialect._produce()
    assert await dydx.height() == before + 1


async def test_every_request_meets_a_copy_that_is_behind_by_its_own(dydx: Dydx) -> None:
    dydx.block(10)
    await dydx.broadcast(await order(dydx, 1))
    dydx.block()
    dydx.block(4)
    newest = await dydx.height()
    install(dydx, FaultKind.INDEXER_LAG, seconds=8.0)
    heights = [int((await dydx.get("/v4/height"))["height"]) for _ in range(20)]
    assert newest - 8 <= min(heights) < max(heights) <= newest
    seen = [len(await filled(dydx)) for _ in range(20)]
    assert set(seen) == {0, 1}, "one copy has the order, another one has not"


async def test_an_indexer_that_is_behind(dydx: Dydx) -> None:
    await dydx.order(1, BUY, "1", "900", time=dydx.now + 600)
    dydx.block()
    before = await dydx.get("/v4/height")
    dydx.block(3)
    await dydx.broadcast(await order(dydx, 2))
    dydx.block()
    assert await filled(dydx) == ["2"]
    install(dydx, FaultKind.INDEXER_LAG, seconds=3.5)
    dydx.venue.faults.lag = lambda: 3.5  # type: ignore[method-assign]
    assert await dydx.get("/v4/height") == before
    assert [row["clientId"] for row in await dydx.orders()] == ["1"]
    assert (await dydx.mine("/v4/fills"))["fills"] == []
    assert (await dydx.mine("/v4/perpetualPositions"))["positions"] == []
    dydx.venue.faults.lag = lambda: 0.0  # type: ignore[method-assign]
    assert len((await dydx.mine("/v4/fills"))["fills"]) > 0


async def test_an_indexer_that_denies_an_order(dydx: Dydx) -> None:
    await dydx.order(1, BUY, "1", "900", time=dydx.now + 600)
    dydx.block()
    (found,) = await dydx.orders()
    install(dydx, FaultKind.REJECT, operation="order.query", status=404, message="Unable to find order id")
    assert "errors" in await dydx.get(f"/v4/orders/{found['id']}", answer=404)
    assert (await dydx.get(f"/v4/orders/{found['id']}"))["status"] == "OPEN"


async def test_limits_bans_and_outages(dydx: Dydx) -> None:
    install(dydx, FaultKind.RATE_LIMITED, operation="positions.read")
    assert "errors" in await dydx.mine("/v4/perpetualPositions", answer=429)
    for kind, status in ((FaultKind.HTTP_ERROR, 502), (FaultKind.MAINTENANCE, 503)):
        install(dydx, kind, operation="positions.read", status=status)
        async with dydx.http.get(f"{dydx.rest}/v4/perpetualPositions") as response:
            assert response.status == status
            assert "html" in response.content_type
    assert (await dydx.mine("/v4/perpetualPositions"))["positions"] == []


async def test_an_unknown_outcome_was_executed(dydx: Dydx) -> None:
    install(dydx, FaultKind.UNKNOWN_ERROR, operation="order.place")
    data = await order(dydx, 1)
    async with dydx.http.get(f"{dydx.rest}/broadcast_tx_sync", params={"tx": "0x" + data.hex()}) as response:
        assert response.status == 500
    dydx.block()
    assert await filled(dydx) == ["1"]


async def test_too_many_requests(dydx: Dydx) -> None:
    for _ in range(100):
        async with dydx.http.get(f"{dydx.rest}/v4/time") as response:
            status = response.status
    async with dydx.http.get(f"{dydx.rest}/v4/time") as response:
        # a window may have ended meanwhile
        assert (status, response.status) in ((200, 429), (200, 200), (429, 429), (429, 200))
        if response.status == 429:
            assert int(response.headers["Retry-After"]) <= 10
    # the node counts for itself
    assert await dydx.height() > 0
