"""Cases about account events that arrive by themselves. They only wake the engine; the ledger has the last word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio

from fundingarb.domain.order import OrderSide, OrderState
from fundingarb.localnet.faults import FaultKind
from fundingarb.testing.conformance.desk import BTC, Desk
from fundingarb.testing.conformance.registry import case
from fundingarb.testing.conformance.subject import Capability
from fundingarb.testing.conformance.words import check, eventually, same
from fundingarb.testing.sinks import RecordingAccountSink

SELL = OrderSide.SELL


@asynccontextmanager
async def events(desk: Desk) -> AsyncIterator[RecordingAccountSink]:
    """A running account stream that is connected."""
    sink = RecordingAccountSink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.adapter.stream_account, sink)
        await eventually("the account stream connects", lambda: sink.ups)
        yield sink
        tasks.cancel_scope.cancel()


@case("C70", "Orders and fills arrive by themselves")
async def orders_and_fills(desk: Desk) -> None:
    async with events(desk) as sink:
        await desk.done(desk.order())
        await eventually("a fill arrives", lambda: sink.fills or sink.positions or sink.orders)
        before = len(sink.fills) + len(sink.positions) + len(sink.orders)
        await desk.done(desk.order(SELL, reduce=True))
        await eventually(
            "the next one too", lambda: len(sink.fills) + len(sink.positions) + len(sink.orders) > before
        )
    same("messages that could not be used", sink.bad, [])


@case("C71", "Streamed fills are the ledger's", Capability.ACCOUNT_STREAM)
async def same_as_ledger(desk: Desk) -> None:
    async with events(desk) as sink:
        await desk.done(desk.order())
        await desk.done(desk.order(SELL, reduce=True))
        await eventually(
            "both orders are over", lambda: sum(o.state is OrderState.FILLED for o in sink.orders) >= 2
        )
        if sink.fills:
            await eventually("both fills arrive", lambda: len(sink.fills) >= len(desk.fills))
    booked = {fill.trade_id: fill for fill in await desk.adapter.get_fills(desk.started)}
    names = ("client_id", "side", "quantity", "price", "fee", "realized_pnl", "exchange_order_id")
    for fill in sink.fills:
        row = booked.get(fill.trade_id)
        check(row is not None, f"the ledger has no trade {fill.trade_id}")
        for name in names:
            same(f"{name} of a streamed fill", getattr(fill, name), getattr(row, name))
    filled = {order.client_id: order.filled for order in sink.orders if order.state is OrderState.FILLED}
    check(
        all(quantity > Decimal(0) for quantity in filled.values()), f"filled orders without fills: {filled}"
    )


@case("C72", "What the exchange closes wakes the engine", Capability.ACCOUNT_STREAM)
async def forced(desk: Desk) -> None:
    async with events(desk) as sink:
        await desk.done(desk.order())
        sink.positions.clear()
        desk.fault(FaultKind.LIQUIDATION, symbol=BTC)
        await eventually("position is called", lambda: (desk.account, BTC) in sink.positions)


@case("C73", "A settlement wakes the engine", Capability.ACCOUNT_STREAM, settling=True)
async def settled(desk: Desk) -> None:
    async with events(desk) as sink:
        await desk.done(desk.order())
        await eventually("funding is called", lambda: desk.account in sink.payments, seconds=15)


@case("C74", "The account stream connects again", Capability.ACCOUNT_STREAM)
async def reconnects(desk: Desk) -> None:
    async with events(desk) as sink:
        connections = len(sink.ups)
        desk.fault(FaultKind.STREAM_DISCONNECT)
        await desk.done(desk.order())
        await eventually("the stream connects again", lambda: len(sink.ups) > connections, seconds=15)
        check(sink.downs, "a dropped connection was not told")
        desk.heal()
        before = len(sink.orders)
        await desk.done(desk.order(SELL, reduce=True))
        await eventually("events arrive again", lambda: len(sink.orders) > before)
