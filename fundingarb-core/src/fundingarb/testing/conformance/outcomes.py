"""Cases about the three outcomes of an order: done, refused, unknown."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal

import anyio

from fundingarb.domain.order import NewOrder, OrderReport, OrderSide, TimeInForce
from fundingarb.errors import (
    AuthenticationFailed,
    ExchangeUnavailable,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
)
from fundingarb.localnet.faults import FaultKind
from fundingarb.testing.conformance.desk import BTC, Desk
from fundingarb.testing.conformance.registry import case
from fundingarb.testing.conformance.subject import Capability
from fundingarb.testing.conformance.words import check, eventually, fails, same

BUY, SELL, GTC = OrderSide.BUY, OrderSide.SELL, TimeInForce.GTC
PLACE = "order.place"


async def ready(desk: Desk) -> None:
    """Whatever an adapter reads before its first order has been read."""
    await desk.adapter.get_instruments()
    await desk.adapter.get_server_time()
    await desk.done(desk.order())


@case("C40", "A lost reply: unknown, and found")
async def lost_reply(desk: Desk) -> None:
    await ready(desk)
    desk.fault(FaultKind.LOST_REPLY, operation=PLACE)
    order = desk.order()
    with fails(OutcomeUnknown, "an order whose reply was lost"):
        await desk.adapter.place_order(order)
    same("filled", (await desk.over(order)).filled, order.quantity)
    same("orders at the exchange (it must not be sent again)", len(desk.taken), 2)


@case("C41", "A lost request: unknown, and not there")
async def lost_request(desk: Desk) -> None:
    await ready(desk)
    desk.fault(FaultKind.LOST_REQUEST, operation=PLACE)
    order = desk.order()
    with fails(OutcomeUnknown, "an order that was lost on its way"):
        await desk.adapter.place_order(order)
    same("the order", await desk.adapter.find_order(BTC, order.client_id), None)
    same("orders at the exchange (it must not be sent again)", len(desk.taken), 1)


@case("C42", "Server errors and maintenance: unknown")
async def server_errors(desk: Desk) -> None:
    await ready(desk)
    for kind in (FaultKind.HTTP_ERROR, FaultKind.UNKNOWN_ERROR, FaultKind.MAINTENANCE):
        desk.fault(kind, operation=PLACE)
        with fails(OutcomeUnknown, f"an order met with {kind.value}"):
            await desk.adapter.place_order(desk.order())
        desk.heal()


@case("C43", "An error that is not on the list: unknown")
async def undocumented(desk: Desk) -> None:
    await ready(desk)
    message = "a sentence that no documentation has"
    desk.fault(FaultKind.REJECT, operation=PLACE, code="987654", message=message)
    with fails(OutcomeUnknown, "an order met with an error that nobody documented"):
        await desk.adapter.place_order(desk.order())
    desk.fault(FaultKind.HTTP_ERROR, operation=PLACE, status=400, message="<html>a proxy's page</html>")
    with fails(OutcomeUnknown, "an order met with a page that is not the exchange's"):
        await desk.adapter.place_order(desk.order())


@case("C44", "Too many requests: refused, and reads slow down", Capability.RATE_LIMITS)
async def rate_limited(desk: Desk) -> None:
    await ready(desk)
    desk.fault(FaultKind.RATE_LIMITED, operation=PLACE)
    with fails(OrderRefused, "an order that met the rate limit") as refused:
        await desk.adapter.place_order(desk.order())
    check(
        isinstance(refused.cause, RateLimited),
        "the refusal is not raised from RateLimited: nobody slows down",
    )
    same("orders at the exchange", len(desk.taken), 1)
    desk.fault(FaultKind.RATE_LIMITED, count=None, everyone=True)
    with fails(RateLimited, "a read that met the rate limit"):
        await desk.adapter.get_positions()


@case("C45", "A wrong key: refused, and the account is told")
async def wrong_key(desk: Desk) -> None:
    async with AsyncExitStack() as stack:
        try:
            adapter = await stack.enter_async_context(desk.another(desk.forged))
        except AuthenticationFailed:  # the key itself shows that it is another account's
            adapter = None
        if adapter is not None:
            with fails(OrderRefused, "an order signed with another account's key") as refused:
                await adapter.place_order(desk.order())
            check(
                isinstance(refused.cause, AuthenticationFailed),
                "the refusal is not raised from AuthenticationFailed: the account is not halted",
            )
    same("orders at the exchange", desk.taken, [])


@case("C46", "A wrong key reads nothing", Capability.SIGNED_READS)
async def wrong_key_reads(desk: Desk) -> None:
    async with desk.another(desk.forged) as adapter:
        for what, read in (
            ("get_balance", adapter.get_balance),
            ("get_positions", adapter.get_positions),
            ("get_open_orders", adapter.get_open_orders),
        ):
            with fails(AuthenticationFailed, f"{what} with a wrong key"):
                await read()


@case("C47", "A wrong clock is measured and corrected", Capability.REQUEST_CLOCK)
async def wrong_clock(desk: Desk) -> None:
    await desk.adapter.get_server_time()
    for skew in (45.0, None):  # more than any exchange lets pass
        if skew is None:
            desk.heal()
        else:
            desk.fault(FaultKind.CLOCK_SKEW, seconds=skew, everyone=True, count=None)
        with fails(ExchangeUnavailable, "a read stamped with a wrong time"):
            await desk.adapter.get_balance()
        await desk.adapter.get_balance()


@case("C48", "What adds exposure carries the exchange's time", Capability.ORDER_EXPIRY, real_time=True)
async def stamped(desk: Desk) -> None:
    """An exchange that answers too slowly to tell its time gets reductions only."""
    await desk.adapter.get_instruments()
    desk.fault(FaultKind.LATENCY, operation="time.read", seconds=2.2, everyone=True)
    with fails(OrderRefused, "an order while the exchange's time is not known"):
        await desk.adapter.place_order(desk.resting())
    same("orders at the exchange", desk.taken, [])
    order = desk.resting()
    await desk.adapter.place_order(order)
    check(desk.adapter.clock_offset is not None, "the order went without the exchange's time")
    await desk.seen(order)


@case("C49", "A late order is not taken", Capability.ORDER_EXPIRY)
async def expiry(desk: Desk) -> None:
    """``order_expiry`` is what the engine relies on: nothing that was sent is taken later than that."""
    await desk.adapter.get_instruments()
    await desk.adapter.get_server_time()
    bound = desk.adapter.order_expiry
    if bound is None:
        return
    check(timedelta(0) < bound <= timedelta(seconds=70), f"order_expiry {bound} is no bound to wait for")
    soon, late = min(1.0, bound.total_seconds() / 4), bound.total_seconds() + 0.2
    for seconds, expected in ((late, 0), (soon, 1)):
        desk.fault(FaultKind.LATE_ACCEPT, operation=PLACE, seconds=seconds * desk.clock.speed)
        order = desk.resting()
        with fails(OutcomeUnknown, "an order that is late"):
            await desk.adapter.place_order(order)
        same("orders at the exchange before it arrived", len(desk.taken), 0)
        await desk.real_seconds(seconds + 0.3)
        if expected:
            await eventually("an order that is a little late is taken", lambda: len(desk.taken) == 1)
        same(f"orders at the exchange that came after {seconds:g} s", len(desk.taken), expected)


@case("C50", "A write outlives the task that asked for it")
async def shielded(desk: Desk) -> None:
    """Cancelling the caller must not leave a request half sent: it is finished, and the exchange has the order."""
    await ready(desk)
    order = desk.resting()
    desk.fault(FaultKind.LATENCY, operation=PLACE, seconds=0.5)
    reports: list[OrderReport] = []

    async def place(order: NewOrder) -> None:
        reports.append(await desk.adapter.place_order(order))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(place, order)
        await eventually("the order arrives", lambda: len(desk.taken) == 2)
        tasks.cancel_scope.cancel()
    found = await desk.seen(order)
    same("filled", found.filled, Decimal(0))
