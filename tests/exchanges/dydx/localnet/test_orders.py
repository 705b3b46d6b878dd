"""Orders through the node: what it takes, what blocks make of it, what the indexer then shows."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.exchanges.dydx.localnet.venue import BUY, IOC, POST_ONLY, SELL, Dydx

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio
D = Decimal

BOOK = ([("990", "5"), ("980", "50")], [("1010", "5"), ("1020", "50")])


@pytest.fixture(autouse=True)
def frozen(dydx: Dydx) -> None:
    dydx.book(*BOOK)


async def test_a_short_term_order_is_matched_by_the_next_block(dydx: Dydx) -> None:
    result = await dydx.order(7, BUY, "2", "1010", tif=IOC, metadata=3)
    assert (result["code"], result["log"], result["codespace"]) == (0, "[]", "")
    # matched by the node and gone from its memory, and not in a block yet
    assert await dydx.orders() == []
    assert dydx.truth.positions("main") == []
    dydx.block()
    (opened,) = await dydx.orders()
    found = await dydx.get(f"/v4/orders/{opened['id']}")
    assert (found["status"], found["totalFilled"]) == ("FILLED", "2")
    assert (found["clientId"], found["clientMetadata"], found["orderFlags"]) == ("7", "3", "0")
    (fill,) = (await dydx.mine("/v4/fills"))["fills"]
    assert (fill["orderId"], fill["size"], fill["price"]) == (opened["id"], "2", "1010")
    # taker: five basis points
    assert D(fill["fee"]) == D(2) * D(1010) * D("0.0005")
    (position,) = (await dydx.mine("/v4/perpetualPositions"))["positions"]
    assert (position["market"], position["side"], position["size"]) == ("BTC-USD", "LONG", "2")
    (kept,) = dydx.truth.orders("main")
    assert kept.extra == {"clientId": "7", "clientMetadata": "3"}, "the truth has no name, but the numbers"


async def test_an_order_that_never_filled_is_not_to_be_found(dydx: Dydx) -> None:
    await dydx.order(7, BUY, "2", "985")
    (opened,) = await dydx.orders()
    assert (opened["status"], opened["totalFilled"]) == ("BEST_EFFORT_OPENED", "0")
    dydx.block(11)
    assert await dydx.orders() == []
    refusal = await dydx.get(f"/v4/orders/{opened['id']}", answer=404)
    assert "errors" in refusal


async def test_what_an_immediate_order_leaves_is_cancelled_in_its_block(dydx: Dydx) -> None:
    await dydx.order(7, BUY, "8", "1010", tif=IOC)
    dydx.block()
    (found,) = await dydx.orders()
    assert (found["status"], found["totalFilled"]) == ("CANCELED", "5")


async def test_what_a_resting_order_leaves_is_cancelled_for_certain_with_its_last_block(dydx: Dydx) -> None:
    await dydx.order(7, BUY, "8", "1010")
    dydx.block()
    (found,) = await dydx.orders()
    assert (found["status"], found["totalFilled"]) == ("OPEN", "5")
    cancel = dydx.main.sign(dydx.main.cancel(7, block=await dydx.height() + 12))
    assert (await dydx.broadcast(cancel))["code"] == 0
    dydx.block()
    (found,) = await dydx.orders()
    assert (found["status"], found["totalFilled"]) == ("BEST_EFFORT_CANCELED", "5")
    dydx.block(10)
    (found,) = await dydx.orders()
    assert (found["status"], found["totalFilled"]) == ("CANCELED", "5")


async def test_a_short_term_order_rests_until_its_last_block(dydx: Dydx) -> None:
    last = await dydx.height() + 3
    await dydx.order(7, BUY, "1", "985", block=last)
    for _ in range(2):
        dydx.block()
        assert len(dydx.truth.open_orders("main")) == 1
    dydx.block()
    assert await dydx.height() == last
    assert dydx.truth.open_orders("main") == []


async def test_a_long_term_order_is_there_from_its_block_on(dydx: Dydx) -> None:
    await dydx.order(9, BUY, "1", "985", time=dydx.now + 3600, tif=POST_ONLY)
    assert await dydx.orders() == []
    dydx.block()
    (found,) = await dydx.orders()
    assert (found["status"], found["orderFlags"], found["timeInForce"]) == ("OPEN", "64", "GTT")
    assert found["postOnly"] is True
    signer = dydx.main
    cancel = signer.cancel(9, time=dydx.now + 4000)
    assert (await dydx.broadcast(signer.sign(cancel, sequence=1)))["code"] == 0
    (found,) = await dydx.orders(status="OPEN")
    dydx.block()
    (found,) = await dydx.orders()
    assert found["status"] == "CANCELED"


async def test_a_long_term_order_expires(dydx: Dydx) -> None:
    await dydx.order(9, BUY, "1", "985", time=dydx.now + 60)
    dydx.block()
    dydx.wait(60)
    (found,) = await dydx.orders()
    assert found["status"] == "CANCELED"
    assert dydx.truth.open_orders("main") == []


async def test_a_cancellation_works_with_the_next_block_and_fills_before_it_stand(dydx: Dydx) -> None:
    await dydx.order(7, BUY, "1", "985")
    dydx.block()
    cancel = dydx.main.sign(dydx.main.cancel(7, block=await dydx.height() + 12))
    assert (await dydx.broadcast(cancel))["code"] == 0
    # the indexer believes the nodes, and the order is hit all the same
    assert await dydx.orders() == []
    dydx.book([], [("985", "0.4"), ("1010", "5")])
    dydx.clock.advance(0.9)
    dydx.venue.sync()
    dydx.truth.advance(dydx.clock.now() + 1)
    dydx.block()
    (found,) = await dydx.orders()
    assert (found["status"], found["totalFilled"]) == ("BEST_EFFORT_CANCELED", "0.4")
    assert dydx.truth.open_orders("main") == []


async def test_a_batch_of_cancellations(dydx: Dydx) -> None:
    for number in (1, 2, 3):
        await dydx.order(number, BUY, "1", "985")
    dydx.block()
    batch = dydx.main.cancel_batch([1, 3], await dydx.height() + 12)
    assert (await dydx.broadcast(dydx.main.sign(batch)))["code"] == 0
    dydx.block()
    assert [row["clientId"] for row in await dydx.orders()] == ["2"]


async def test_a_reduce_only_order_is_cut_to_the_position(dydx: Dydx) -> None:
    await dydx.order(1, BUY, "2", "1010", tif=IOC)
    dydx.block()
    await dydx.order(2, SELL, "3", "990", tif=IOC, reduce_only=True)
    dydx.block()
    assert dydx.truth.positions("main") == []
    (found,) = [row for row in await dydx.orders() if row["clientId"] == "2"]
    assert (found["size"], found["totalFilled"], found["status"]) == ("3", "2", "CANCELED")


async def test_a_post_only_order_that_would_take(dydx: Dydx) -> None:
    await dydx.order(1, BUY, "1", "1010", tif=POST_ONLY, expect=2003)
    await dydx.order(2, BUY, "1", "1010", tif=POST_ONLY, time=dydx.now + 600)
    dydx.block()
    (found,) = await dydx.orders()
    assert (found["clientId"], found["status"]) == ("2", "CANCELED")


async def test_the_limit_of_an_immediate_order_reserves_no_margin(dydx: Dydx) -> None:
    # a million a piece would need more than the account has
    await dydx.order(1, BUY, "5", "1000000", tif=IOC)
    dydx.block()
    (found,) = await dydx.orders()
    assert (found["status"], found["price"]) == ("FILLED", "1000000")


async def test_undercollateralised_orders(dydx: Dydx) -> None:
    # short-term: taken, and then gone; long-term: refused
    await dydx.order(1, BUY, "60000", "1010", tif=IOC)
    dydx.block()
    assert await dydx.orders() == []
    await dydx.order(2, BUY, "60000", "900", time=dydx.now + 600, expect=3007)


async def test_a_partial_fill_fault_reaches_the_order(dydx: Dydx) -> None:
    dydx.venue.faults.install(Fault(FaultKind.PARTIAL_FILL, operation="order.place", fraction=0.5, count=1))
    await dydx.order(1, BUY, "2", "1010", tif=IOC)
    dydx.block()
    (found,) = await dydx.orders()
    assert (found["totalFilled"], found["status"]) == ("1", "CANCELED")
