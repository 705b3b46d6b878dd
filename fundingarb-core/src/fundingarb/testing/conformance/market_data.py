"""Cases about what everybody may read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from fundingarb.domain.market import OrderBook
from fundingarb.errors import AuthenticationFailed, ExchangeError, ExchangeUnavailable, OrderRefused
from fundingarb.localnet.faults import FaultKind
from fundingarb.ports import ExchangeAdapter
from fundingarb.testing.conformance.desk import BTC, PEPE, PRICES, Contract, Desk
from fundingarb.testing.conformance.registry import case
from fundingarb.testing.conformance.subject import Capability
from fundingarb.testing.conformance.words import check, fails, same


@case("C01", "Instruments in exact decimals")
async def instruments(desk: Desk) -> None:
    listed = {each.symbol: each for each in await desk.adapter.get_instruments()}
    for one in desk.truth.instruments.values():
        contract = Contract(one)
        check(one.symbol in listed, f"{one.symbol} ({one.id}) is not among the instruments")
        found = listed.pop(one.symbol)
        for what, got, wanted in (
            ("exchange", found.exchange, desk.exchange),
            ("id", found.exchange_id, one.id),
            ("settle currency", found.settle, desk.truth.rules.settle),
            ("tick", found.tick, contract.tick),
            ("lot", found.lot, contract.lot),
            ("smallest quantity", found.min_quantity, contract.quantity(one.min_quantity)),
            ("smallest notional", found.min_notional, one.min_notional),
        ):
            same(f"{what} of {one.symbol}", got, wanted)
    check(not listed, f"{', '.join(sorted(listed))}: listed by nobody")


@case("C02", "A thousand in one contract", Capability.BUNDLES)
async def bundles(desk: Desk) -> None:
    pepe = next(each for each in await desk.adapter.get_instruments() if each.symbol == PEPE)
    same("multiplier of PEPE-USDT", pepe.multiplier, desk.contract(PEPE).listed.multiplier)
    check(
        pepe.multiplier > 1,
        "the offline exchange lists PEPE by the unit; list it as a bundle, or exclude bundles",
    )
    same("mark of PEPE-USDT", (await desk.adapter.get_funding_rate(PEPE)).mark, PRICES[PEPE])
    same("mid of PEPE-USDT", (await desk.adapter.get_orderbook(PEPE, 5)).mid, PRICES[PEPE])


def expected_book(desk: Desk, symbol: str, depth: int) -> tuple[Any, Any]:
    """Bids and asks as the exchange has them, in base units."""
    contract = desk.contract(symbol)
    book = desk.truth.book(contract.listed.id, depth)
    bids, asks = (
        tuple((contract.price(price), contract.quantity(size)) for price, size in side)
        for side in (book.bids, book.asks)
    )
    return bids, asks


def same_book(what: str, got: OrderBook, wanted: tuple[Any, Any]) -> None:
    for side, levels, expected in (("bids", got.bids, wanted[0]), ("asks", got.asks, wanted[1])):
        same(f"{what}: {side}", levels, expected)
        check(
            all(isinstance(number, Decimal) for level in levels for number in level),
            f"{what}: {side} are not decimals",
        )


@case("C03", "Order books in base units")
async def books(desk: Desk) -> None:
    for symbol, price in PRICES.items():
        contract = desk.contract(symbol)
        tick, lot, mid = contract.listed.tick, contract.listed.lot, contract.native(price)
        sides = [
            [[str(mid + sign * (3 + 2 * level) * tick), str((2 * level + 1) * lot)] for level in range(6)]
            for sign in (-1, 1)
        ]
        desk.move(symbol, bids=sides[0], asks=sides[1])
        for depth in (1, 5, 20):
            book = await desk.adapter.get_orderbook(symbol, depth)
            same_book(f"{symbol}, {depth} levels", book, expected_book(desk, symbol, depth))


@case("C04", "An interval and a settlement time with every rate")
async def intervals(desk: Desk) -> None:
    for symbol in PRICES:
        truth = desk.truth.funding(desk.contract(symbol).listed.id)
        rate = await desk.adapter.get_funding_rate(symbol)
        same(f"interval of {symbol}", rate.interval, timedelta(hours=truth.interval_hours))
        wanted = datetime.fromtimestamp(truth.next_ms / 1000, timezone.utc)
        same(f"next settlement of {symbol}", rate.next_settlement, wanted)
        check(rate.next_settlement.tzinfo is not None, "the settlement time has no time zone")
        same(f"interval of the instrument {symbol}", rate.instrument.funding_interval, rate.interval)
        check(
            abs(rate.at - desk.clock.now()) < timedelta(seconds=5 * desk.clock.speed),
            f"the rate of {symbol} is stamped {rate.at}, now is {desk.clock.now()}",
        )


@case("C05", "The sign of funding rates")
async def sign(desk: Desk) -> None:
    for rate in (Decimal("0.0007"), Decimal("-0.0011"), Decimal(0)):
        desk.funding(rate=str(rate))
        found = await desk.adapter.get_funding_rate(BTC)
        same("the rate that longs pay to shorts", found.rate, rate)
        same("mark price", found.mark, PRICES[BTC])
        both = {each.instrument.symbol: each for each in await desk.adapter.get_funding_rates(list(PRICES))}
        same("symbols of get_funding_rates", set(both), set(PRICES))
        same("rate among several", both[BTC].rate, rate)
        same("rate of the other", both[PEPE].rate, desk.usual_rate(PEPE))


@case("C06", "Settled rates, oldest first, all of them")
async def history(desk: Desk) -> None:
    since = desk.clock.now() - timedelta(days=3)
    rows = await desk.adapter.get_funding_history(BTC, since)
    listed = desk.contract().listed.id
    truth = desk.truth.funding_history(listed, round(since.timestamp() * 1000), desk.truth.now_ms, 1000)
    same(
        "settled rates",
        [(row.settled_at.timestamp(), row.rate) for row in rows],
        [(one.time_ms / 1000, one.rate) for one in truth],
    )
    check(rows, "no settlement in three days")


@case("C07", "The exchange's clock")
async def server_time(desk: Desk) -> None:
    same("clock_offset before it was measured", desk.adapter.clock_offset, None)
    for skew in (0.7, -1.5):
        desk.fault(FaultKind.CLOCK_SKEW, seconds=skew, everyone=True, count=None)
        time = await desk.adapter.get_server_time()
        expected = desk.clock.now() + timedelta(seconds=skew * desk.clock.speed)
        measured = desk.adapter.clock_offset
        desk.heal()
        check(
            abs(time - expected) < timedelta(seconds=1.5 * desk.clock.speed),
            f"the server's time is {time}, expected about {expected}",
        )
        check(measured is not None, "clock_offset is None after get_server_time")
        if measured is not None:
            off = abs(measured.total_seconds() - skew)
            check(off < 1.2, f"clock_offset is {measured}, expected about {skew} real seconds")


@case("C08", "What is not listed")
async def not_listed(desk: Desk) -> None:
    for what, ask in (
        ("get_funding_rate", desk.adapter.get_funding_rate("NONE-USDT")),
        ("get_orderbook", desk.adapter.get_orderbook("NONE-USDT", 5)),
    ):
        with fails(ExchangeError, f"{what} of a symbol that is not listed"):
            await ask
    order = desk.order(quantity=Decimal(1), price=Decimal(1))
    with fails(OrderRefused, "an order for a symbol that is not listed"):
        await desk.adapter.place_order(type(order)(order.client_id, "NONE-USDT", *fields_after_symbol(order)))
    same("orders of the exchange", desk.taken, [])


def fields_after_symbol(order: Any) -> tuple[Any, ...]:
    return (order.side, order.quantity, order.price, order.time_in_force, order.reduce_only)


@case("C09", "Public data need no account")
async def public(desk: Desk) -> None:
    async with desk.another(None) as adapter:
        check(await adapter.get_instruments(), "no instruments without an account")
        same("rate without an account", (await adapter.get_funding_rate(BTC)).rate, desk.usual_rate())
        with fails(AuthenticationFailed, "get_balance without an account"):
            await adapter.get_balance()


@case("C10", "A read that fails raises and is never empty")
async def reads(desk: Desk) -> None:
    adapter: ExchangeAdapter = desk.adapter
    await adapter.get_instruments()
    since = desk.started
    each: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("get_positions", adapter.get_positions),
        ("get_open_orders", adapter.get_open_orders),
        ("get_balance", adapter.get_balance),
        ("get_fills", lambda: adapter.get_fills(since)),
        ("get_funding_payments", lambda: adapter.get_funding_payments(since)),
        ("get_funding_history", lambda: adapter.get_funding_history(BTC, since)),
        ("get_funding_rates", lambda: adapter.get_funding_rates([BTC])),
        ("get_orderbook", lambda: adapter.get_orderbook(BTC, 5)),
        ("find_order", lambda: adapter.find_order(BTC, desk.order().client_id)),
    ]
    for what, read in each:
        for kind in (FaultKind.HTTP_ERROR, FaultKind.LOST_REPLY, FaultKind.MAINTENANCE):
            # a client may repeat a read when its connection drops
            desk.fault(kind, everyone=True, count=None)
            with fails(ExchangeUnavailable, f"{what} with {kind.value}"):
                await read()
            desk.heal()
        await read()


@case("C11", "What requests cost is counted against limits")
async def costs(desk: Desk) -> None:
    scopes = {limit.scope for limit in desk.adapter.limits}
    check(scopes, "limits are empty: the engine would send as much as it likes")
    for limit in desk.adapter.limits:
        check(limit.capacity > 0 and limit.seconds > 0, f"{limit} allows nothing")
    prefixes = ("get_", "place", "cancel", "find", "set_")
    for operation in (name for name in dir(ExchangeAdapter) if name.startswith(prefixes)):
        cost = desk.adapter.cost(operation)
        check(
            set(cost) <= scopes, f"{operation} costs {dict(cost)}, which no limit counts ({sorted(scopes)})"
        )
    check(desk.adapter.cost("place_order"), "place_order costs nothing")
