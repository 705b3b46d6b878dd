"""Cases about orders that do what was asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import anyio
import anyio.lowlevel

from fundingarb.domain.order import NewOrder, OrderReport, OrderSide, OrderState, TimeInForce
from fundingarb.errors import ExchangeError, OrderRefused, RefusalReason
from fundingarb.localnet.faults import FaultKind
from fundingarb.testing.conformance.desk import BTC, PEPE, Desk, ours
from fundingarb.testing.conformance.registry import case
from fundingarb.testing.conformance.subject import Capability
from fundingarb.testing.conformance.words import check, eventually, fails, same, until

BUY, SELL = OrderSide.BUY, OrderSide.SELL
GTC, IOC, POST_ONLY = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.POST_ONLY
ZERO = Decimal(0)


async def listed(desk: Desk, number: int = 1) -> list[OrderReport]:
    """The open orders, once there are so many."""

    async def enough() -> list[OrderReport] | None:
        found = list(await desk.adapter.get_open_orders())
        return found if len(found) == number else None

    return await until(f"get_open_orders lists {number}", enough)


async def gone(desk: Desk, name: str) -> OrderReport:
    """The order of that name once it is cancelled."""

    async def cancelled() -> OrderReport | None:
        found = await desk.adapter.find_order(BTC, name)
        return found if found is not None and found.state is OrderState.CANCELLED else None

    return await until(f"order {name} is CANCELLED", cancelled)


@case("C20", "The client order id comes back")
async def client_id(desk: Desk) -> None:
    order = desk.resting(POST_ONLY)
    placed = await desk.adapter.place_order(order)
    same("state of the report", placed.state, OrderState.OPEN)
    found = await desk.seen(order)
    (one,) = await listed(desk)
    for what, report in (("place_order", placed), ("find_order", found), ("get_open_orders", one)):
        for field, got, wanted in (
            ("client id", report.client_id, order.client_id),
            ("symbol", report.symbol, BTC),
            ("side", report.side, BUY),
            ("quantity", report.quantity, order.quantity),
            ("filled", report.filled, ZERO),
            ("account", report.account, desk.account),
        ):
            same(f"{field} in the report of {what}", got, wanted)
    for what, report in (("find_order", found), ("get_open_orders", one)):
        same(f"state in the report of {what}", report.state, OrderState.OPEN)
        same(f"price in the report of {what}", report.price, order.price)
    (taken,) = desk.taken
    same("quantity at the exchange", desk.contract().quantity(taken.quantity), order.quantity)
    same("price at the exchange", taken.price and desk.contract().price(taken.price), order.price)


@case("C21", "The same order twice is one order", Capability.CLIENT_ID_REUSE)
async def adopted(desk: Desk) -> None:
    order = desk.resting()
    first = await desk.adapter.place_order(order)
    await desk.seen(order)
    second = await desk.adapter.place_order(order)
    same("exchange order id of the second", second.exchange_order_id, first.exchange_order_id)
    same("orders at the exchange", len(desk.taken), 1)


@case("C22", "Cancel, and cancel again")
async def cancels(desk: Desk) -> None:
    order = desk.resting()
    await desk.adapter.place_order(order)
    await desk.seen(order)
    same("cancel of an open order", await desk.adapter.cancel_order(BTC, order.client_id), True)
    after = await gone(desk, order.client_id)
    same("filled of a cancelled order", after.filled, ZERO)
    same("open orders", list(await desk.adapter.get_open_orders()), [])
    same("cancel of a cancelled order", await desk.adapter.cancel_order(BTC, order.client_id), False)
    stranger = desk.order().client_id
    same("an order that never was", await desk.adapter.find_order(BTC, stranger), None)
    same("cancel of an order that never was", await desk.adapter.cancel_order(BTC, stranger), False)


@case("C23", "Fills of an order that takes")
async def takes(desk: Desk) -> None:
    order = desk.order()
    report = await desk.done(order)
    same("state", report.state, OrderState.FILLED)
    same("filled", report.filled, order.quantity)
    price = desk.contract().price
    value = sum(price(fill.price) * desk.contract().quantity(fill.quantity) for fill in desk.fills)
    check(report.average_price is not None, "no average price of a filled order")
    if report.average_price is not None:
        off = abs(report.average_price - Decimal(value) / order.quantity)
        check(off < desk.contract().tick, f"average price {report.average_price}, fills say otherwise")
    same("position at the exchange", desk.held(), order.quantity)
    market = desk.order(SELL, market=True, reduce=True)
    same("filled of a market order", (await desk.done(market)).filled, market.quantity)
    same("position at the exchange", desk.held(), ZERO)


@case("C24", "Bundled contracts are traded in base units", Capability.BUNDLES)
async def bundled(desk: Desk) -> None:
    order = desk.order(quantity=desk.size(10_000, PEPE), symbol=PEPE)
    report = await desk.done(order)
    same("filled", report.filled, order.quantity)
    same("base units at the exchange", desk.held(PEPE), order.quantity)
    (held,) = await desk.adapter.get_positions()
    same("the position", (held.symbol, held.quantity), (PEPE, order.quantity))
    fills = await desk.adapter.get_fills(desk.started, PEPE)
    same("quantity of the fills", sum((fill.quantity for fill in fills), ZERO), order.quantity)
    check(
        all(abs(fill.price - Decimal("0.001")) < Decimal("0.00001") for fill in fills), "a price per bundle"
    )


@case("C25", "A partial fill is cumulative")
async def partial(desk: Desk) -> None:
    quantity = desk.size(1000)
    desk.fault(FaultKind.PARTIAL_FILL, operation="order.place", fraction=0.4)
    report = await desk.done(desk.order(quantity=quantity))
    same("state of an order that was filled in part and is over", report.state, OrderState.CANCELLED)
    same("quantity", report.quantity, quantity)
    same("filled", report.filled, desk.held())
    check(ZERO < report.filled < quantity, f"filled {report.filled} of {quantity} is no part")
    booked = sum((fill.quantity for fill in await desk.adapter.get_fills(desk.started)), ZERO)
    same("quantity of the fills", booked, report.filled)


@case("C26", "A part that rests can be cancelled")
async def partial_rest(desk: Desk) -> None:
    quantity = desk.size(1000)
    desk.fault(FaultKind.PARTIAL_FILL, operation="order.place", fraction=0.4)
    order = desk.order(quantity=quantity, tif=GTC)
    await desk.adapter.place_order(order)

    async def filled() -> OrderReport | None:
        found = await desk.adapter.find_order(BTC, order.client_id)
        return found if found is not None and found.filled else None

    report = await until("the part that was filled shows", filled)
    same("state of an order that was filled in part and rests", report.state, OrderState.OPEN)
    same("filled", report.filled, desk.held())
    same("cancel", await desk.adapter.cancel_order(BTC, order.client_id), True)
    same("filled after the cancel", (await gone(desk, order.client_id)).filled, report.filled)


@case("C27", "Nothing to take is no fill")
async def nothing_to_take(desk: Desk) -> None:
    order = desk.resting(IOC)
    try:
        await desk.adapter.place_order(order)
    except OrderRefused:
        same("orders open at the exchange", [one for one in desk.taken if one.status.open], [])
        return
    report = await desk.over(order)
    same("state", report.state, OrderState.CANCELLED)
    same("filled", report.filled, ZERO)
    same("fills", list(await desk.adapter.get_fills(desk.started)), [])


@case("C28", "Post-only never takes")
async def post_only(desk: Desk) -> None:
    order = desk.order(tif=POST_ONLY)
    try:
        await desk.adapter.place_order(order)
    except OrderRefused:
        pass
    else:
        report = await desk.over(order)
        same("state", report.state, OrderState.CANCELLED)
        same("filled", report.filled, ZERO)
    same("position", desk.held(), ZERO)
    same("fills", list(await desk.adapter.get_fills(desk.started)), [])


@case("C29", "Reduce-only reduces")
async def reduce_only(desk: Desk) -> None:
    with fails(OrderRefused, "a reduce-only order without a position") as refused:
        report = await desk.done(desk.order(SELL, reduce=True))
        if report.filled == 0 and desk.held() == 0:
            raise OrderRefused("taken and cancelled by the exchange", reason=RefusalReason.REDUCE_ONLY)
    error = refused.error
    same("reason of the refusal", error and error.reason, RefusalReason.REDUCE_ONLY)
    same("position", desk.held(), ZERO)
    bought = desk.order()
    await desk.done(bought)
    with fails(OrderRefused, "a reduce-only order that would add") as refused:
        report = await desk.done(desk.order(reduce=True))
        if report.filled == 0:
            raise OrderRefused("taken and cancelled by the exchange")
    same("position", desk.held(), bought.quantity)
    larger = desk.order(SELL, bought.quantity * 3, reduce=True)
    try:
        report = await desk.done(larger)
    except OrderRefused as error_:
        same("reason of the refusal of a larger one", error_.reason, RefusalReason.REDUCE_ONLY)
        same("position", desk.held(), bought.quantity)
    else:
        same("filled of a larger one", report.filled, bought.quantity)
        same("position", desk.held(), ZERO)


@case("C30", "A refused order does not exist")
async def refused(desk: Desk) -> None:
    contract = desk.contract()
    bad: list[tuple[str, NewOrder]] = [
        ("more than the margin allows", desk.order(quantity=desk.size(90_000_000), tif=GTC)),
        ("below the lot", desk.order(quantity=contract.lot / 10, tif=GTC)),
    ]
    if contract.listed.min_notional > contract.lot * 1000:
        bad.append(("below the smallest notional", desk.order(quantity=contract.lot, tif=GTC)))
    for what, order in bad:
        with fails(OrderRefused, f"an order {what}"):
            await desk.adapter.place_order(order)
            await anyio.lowlevel.checkpoint()
        same(f"an order {what}", await desk.adapter.find_order(BTC, order.client_id), None)
    same("orders open at the exchange", [one for one in desk.taken if one.status.open], [])
    same("position", desk.held(), ZERO)


@case("C31", "A cancel that comes too late")
async def cancel_races(desk: Desk) -> None:
    order = desk.order(tif=GTC)
    await desk.done(order)
    same("cancel of a filled order", await desk.adapter.cancel_order(BTC, order.client_id), False)
    report = await desk.over(order)
    same("state after the cancel", report.state, OrderState.FILLED)
    same("filled after the cancel", report.filled, order.quantity)


@case("C32", "A cancel without an answer")
async def cancel_unknown(desk: Desk) -> None:
    for kind, wanted in ((FaultKind.LOST_REPLY, False), (FaultKind.LOST_REQUEST, True)):
        order = desk.resting()
        await desk.adapter.place_order(order)
        await desk.seen(order)
        desk.fault(kind, operation="order.cancel", count=3)
        with fails(ExchangeError, f"a cancel with {kind.value}") as failed:
            await desk.adapter.cancel_order(BTC, order.client_id)
        check(
            not isinstance(failed.error, OrderRefused),
            f"a cancel with {kind.value} is refused, but nobody knows: {failed.error}",
        )
        desk.heal()
        if wanted:
            same("cancel again", await desk.adapter.cancel_order(BTC, order.client_id), True)
        await gone(desk, order.client_id)


@case("C33", "Orders of somebody else")
async def foreign(desk: Desk) -> None:
    """Seen, told apart from ours, and cancelled by the exchange's number: they may have no name."""
    await desk.by_somebody(BUY, desk.size(), desk.price(BUY, "-0.04"))
    (one,) = await listed(desk)
    check(not ours(one.client_id), f"it has a name of ours: {one.client_id}")
    same("quantity", one.quantity, desk.size())
    nameless = replace(one, client_id=None)
    same("cancel_foreign", await desk.adapter.cancel_foreign(nameless), True)
    await listed(desk, 0)
    same("cancel_foreign again", await desk.adapter.cancel_foreign(nameless), False)


@case("C34", "The dead-man timer", Capability.DEAD_MAN)
async def dead_man(desk: Desk) -> None:
    """Set and taken off without harm; what it does to orders is the exchange's own affair."""
    order = desk.resting()
    await desk.adapter.place_order(order)
    await desk.seen(order)
    await desk.adapter.cancel_after([BTC], 60)
    await desk.adapter.cancel_after([BTC], 60)
    await desk.adapter.cancel_after([BTC], None)
    await listed(desk)
    await eventually("the order rests", lambda: any(one.status.open for one in desk.taken))


@case("C35", "Leverage and modes", Capability.LEVERAGE)
async def leverage(desk: Desk) -> None:
    for wanted in (7, 7, 3):
        await desk.adapter.set_leverage(BTC, wanted)
        same(
            "leverage at the exchange",
            desk.truth.leverage(desk.account, desk.contract().listed.id),
            Decimal(wanted),
        )
    await desk.adapter.set_one_way_mode()
    await desk.adapter.set_one_way_mode()
    modes = await desk.adapter.get_modes(BTC)
    same("leverage and position mode", (modes.leverage, modes.position_mode), (Decimal(3), "one-way"))


@case("C36", "Margin mode", Capability.MARGIN_MODE)
async def margin_mode(desk: Desk) -> None:
    for wanted in ("cross", "isolated", "isolated", "cross"):
        await desk.adapter.set_margin_mode(BTC, wanted)
        same("margin mode", (await desk.adapter.get_modes(BTC)).margin_mode, wanted)


@case("C37", "An account in hedge mode", Capability.POSITION_MODE)
async def hedge_mode(desk: Desk) -> None:
    desk.truth.set_hedge_mode(desk.account, True)
    same(
        "position mode after a person changed it", (await desk.adapter.get_modes(BTC)).position_mode, "hedge"
    )
    await desk.adapter.set_one_way_mode()
    same("position mode", (await desk.adapter.get_modes(BTC)).position_mode, "one-way")
