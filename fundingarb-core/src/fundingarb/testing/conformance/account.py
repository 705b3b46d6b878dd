"""Cases about positions, money and what an account may do; figures equal the exchange's own books."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial

from fundingarb.domain.order import FeeTier, FillKind, NewOrder, OrderSide
from fundingarb.errors import AuthenticationFailed, OrderRefused, OutcomeUnknown
from fundingarb.localnet.faults import FaultKind
from fundingarb.ports import ExchangeAdapter, RemembersInstruments, RemembersOrders
from fundingarb.testing.conformance.desk import BTC, PEPE, PRICES, SETTLEMENT, Desk, ours
from fundingarb.testing.conformance.registry import case
from fundingarb.testing.conformance.subject import Capability
from fundingarb.testing.conformance.words import check, eventually, fails, same, until

BUY, SELL = OrderSide.BUY, OrderSide.SELL
ZERO = Decimal(0)


@case("C60", "Positions")
async def positions(desk: Desk) -> None:
    same("positions of a new account", list(await desk.adapter.get_positions()), [])
    for side in (BUY, SELL):
        await desk.done(desk.order(side, desk.size(20_000)))
        (held,) = await desk.adapter.get_positions()
        (truth,) = desk.truth.positions(desk.account)
        contract = desk.contract()
        same("symbol", held.symbol, BTC)
        same("account", held.account, desk.account)
        same("signed quantity", held.quantity, contract.quantity(truth.quantity))
        check((held.quantity > 0) == (side is BUY), f"a {side.value} left {held.quantity}")
        check(
            abs(held.entry_price - contract.price(truth.entry_price)) < contract.tick, "another entry price"
        )
        check(held.mark is None or abs(held.mark - PRICES[BTC]) < contract.tick, f"mark {held.mark}")
        check(
            held.adl_rank is None or held.adl_rank in range(1, 6),
            f"adl_rank is {held.adl_rank}, which is not on the scale from 1 (last) to 5 (first)",
        )
        margin = held.maintenance_margin
        check(margin is None or ZERO < margin < truth.value / 10, f"maintenance margin {margin}")
        await desk.done(desk.order(SELL if side is BUY else BUY, abs(held.quantity), reduce=True))
    same("positions once flat", list(await desk.adapter.get_positions()), [])


@case("C61", "The wallet")
async def wallet(desk: Desk) -> None:
    balance = await desk.adapter.get_balance()
    same("wallet of a new account", balance.wallet, desk.truth.starting_balance(desk.account))
    same("currency", balance.currency, desk.truth.rules.settle)
    same("account", balance.account, desk.account)
    await desk.done(desk.order(quantity=desk.size(20_000)))
    balance, state = await desk.adapter.get_balance(), desk.truth.state(desk.account)
    same("wallet", balance.wallet, state.wallet)
    cent = Decimal("0.01")
    check(abs(balance.equity - state.equity) < cent, f"equity {balance.equity}, expected {state.equity}")
    check(
        abs(balance.available - state.available) < cent,
        f"available {balance.available}, not {state.available}",
    )


@case("C62", "Fills add up to the wallet")
async def ledger(desk: Desk) -> None:
    orders = [
        desk.order(quantity=desk.size(2000)),
        desk.order(SELL, desk.size(500), reduce=True),
        desk.order(SELL, desk.size(3000)),
        desk.order(BUY, desk.size(1500), market=True, reduce=True),
    ]
    for order in orders:
        await desk.done(order)
    same("position", desk.held(), ZERO)
    fills = list(await desk.adapter.get_fills(desk.started))
    truth = desk.fills
    contract = desk.contract()
    same("number of fills", len(fills), len(truth))
    same("trade ids", len({fill.trade_id for fill in fills}), len(fills))
    check(fills == sorted(fills, key=lambda fill: fill.at), "fills are not oldest first")
    for fill, one in zip(fills, truth, strict=True):
        same("price of a fill", fill.price, contract.price(one.price))
        same("quantity of a fill", fill.quantity, contract.quantity(one.quantity))
        same("fee of a fill", fill.fee, one.fee)
        same("result of a fill", fill.realized_pnl, one.realized)
        same("side of a fill", fill.side.value, one.side.value)
        same("kind of a fill", fill.kind, FillKind.TRADE)
        same("maker", fill.maker, one.maker)
    names = list(dict.fromkeys(fill.client_id for fill in fills))
    same("client order ids of the fills", names, [order.client_id for order in orders])
    same("results less fees", sum((fill.realized_pnl - fill.fee for fill in fills), ZERO), desk.change)
    same("wallet", (await desk.adapter.get_balance()).wallet, desk.truth.state(desk.account).wallet)
    same("fills of the symbol", list(await desk.adapter.get_fills(desk.started, BTC)), fills)
    same("fills of another symbol", list(await desk.adapter.get_fills(desk.started, PEPE)), [])


@case("C63", "Fills of somebody else")
async def foreign_fills(desk: Desk) -> None:
    await desk.adapter.get_instruments()
    await desk.by_somebody(BUY, desk.size(), None)
    (held,) = await desk.adapter.get_positions()
    same("the position", (held.symbol, held.quantity), (BTC, desk.size()))
    fills = list(await desk.adapter.get_fills(desk.started))
    same("their quantity", sum((fill.quantity for fill in fills), ZERO), desk.size())
    check(not any(ours(fill.client_id) for fill in fills), "they have a name of ours")
    same("results less fees", sum((fill.realized_pnl - fill.fee for fill in fills), ZERO), desk.change)


@case("C64", "Funding is booked as the ledger has it", settling=True)
async def funding(desk: Desk) -> None:
    await desk.done(desk.order())
    await desk.done(desk.order(SELL, desk.size(symbol=PEPE), symbol=PEPE))
    same("payments before the settlement", list(await desk.adapter.get_funding_payments(desk.started)), [])
    await eventually(
        "both positions are settled", lambda: len(desk.truth.funding_payments(desk.account)) >= 2, seconds=15
    )
    rows = list(await desk.adapter.get_funding_payments(desk.started))
    truth = desk.truth.funding_payments(desk.account)
    first = {row.symbol: row for row in rows if row.settlement == SETTLEMENT}
    same("symbols that settled", set(first), {BTC, PEPE})
    names = {one.id: one.symbol for one in desk.truth.instruments.values()}
    for one in truth:
        if one.settlement_ms == SETTLEMENT.timestamp() * 1000:
            row = first[names[one.instrument]]
            same(f"what {row.symbol} changed the wallet by", row.amount, one.amount)
            same("currency", row.currency, desk.truth.rules.settle)
    check(first[BTC].amount < 0, "a long did not pay a positive rate")
    check(first[PEPE].amount > 0, "a short did not receive a positive rate")
    again = list(await desk.adapter.get_funding_payments(desk.started))
    ids = [row.ledger_id for row in rows]
    same("ledger ids when read again", [row.ledger_id for row in again][: len(ids)], ids)
    fills = await desk.adapter.get_fills(desk.started)
    booked = sum((fill.realized_pnl - fill.fee for fill in fills), ZERO) + sum(row.amount for row in rows)
    same("fills and funding", booked, desk.change)


@case("C65", "The fee tier", Capability.ACCOUNT_FEES)
async def fees(desk: Desk) -> None:
    """An answer may be kept for a moment, because every symbol is asked for."""
    listed = desk.contract().listed.id
    tier, truth = await desk.adapter.get_fee_tier(BTC), desk.truth.fees(desk.account, listed)
    same("maker and taker fee", (tier.maker, tier.taker), (truth.maker, truth.taker))
    desk.net.control.fees({"account": desk.account, "maker": "0.0001", "taker": "0.00035"})
    truth = desk.truth.fees(desk.account, listed)

    async def changed() -> FeeTier | None:
        found = await desk.adapter.get_fee_tier(BTC)
        return found if (found.maker, found.taker) == (truth.maker, truth.taker) else None

    await until("fees that were changed", changed)


@case("C66", "What the key may do", Capability.KEY_PERMISSIONS)
async def permissions(desk: Desk) -> None:
    """A key that may withdraw is told from one that may not, and one that may not trade gets no order in."""
    found = await desk.adapter.get_key_permissions()
    same("trade and withdraw of a usual key", (found.trade, found.withdraw), (True, False))
    extra = desk.truth.credentials(desk.account).extra
    extra |= {"wallet_permissions": "AccountTransfer,Withdraw", "ip_restricted": "false"}
    found = await desk.adapter.get_key_permissions()
    same("withdraw and address of a careless key", (found.withdraw, found.ip_restricted), (True, False))
    extra["read_only"] = "true"
    same("trade of a key that may only read", (await desk.adapter.get_key_permissions()).trade, False)
    with fails(OrderRefused, "an order with a key that may only read") as refused:
        await desk.adapter.place_order(desk.order())
    check(
        isinstance(refused.cause, AuthenticationFailed), "the refusal is not raised from AuthenticationFailed"
    )
    same("orders at the exchange", desk.taken, [])


@case("C67", "What the exchange closes by itself", Capability.FORCED_CLOSING)
async def forced(desk: Desk) -> None:
    for kind, expected in ((FaultKind.LIQUIDATION, FillKind.LIQUIDATION), (FaultKind.ADL, FillKind.ADL)):
        before = len(await desk.adapter.get_fills(desk.started))
        await desk.done(desk.order())
        desk.fault(kind, symbol=BTC, fraction=1.0)
        await eventually("the position is gone", lambda: desk.held() == ZERO)
        fills = list(await desk.adapter.get_fills(desk.started))
        closing = [fill for fill in fills[before + 1 :] if fill.quantity]
        same("kinds of the closing fills", {fill.kind for fill in closing}, {expected})
        check(
            not any(ours(fill.client_id) for fill in closing), "the exchange's own order has a name of ours"
        )
        booked = sum((fill.realized_pnl - fill.fee for fill in fills), ZERO)
        same("results less fees and charges", booked, desk.change)
        same("positions", list(await desk.adapter.get_positions()), [])


@case("C68", "Fills from a time on")
async def since(desk: Desk) -> None:
    """``since`` is a bound: what is older is left out, what is not is there."""
    await desk.done(desk.order())
    (old, *_) = await desk.adapter.get_fills(desk.started)
    await desk.clock.sleep(max(2.0, 0.1 * desk.clock.speed))
    between = desk.clock.now()
    await desk.clock.sleep(max(1.0, 0.05 * desk.clock.speed))
    order = desk.order(SELL, reduce=True)
    await desk.done(order)
    late = await desk.adapter.get_fills(between)
    check(old.trade_id not in {fill.trade_id for fill in late}, "a fill older than `since`")
    same("orders of the fills since then", {fill.client_id for fill in late}, {order.client_id})
    same(
        "fills when read twice", [replace(fill) for fill in await desk.adapter.get_fills(between)], list(late)
    )


async def nothing_open(adapter: ExchangeAdapter, order: NewOrder) -> bool | None:
    """True once the exchange knows no such order, or one that is over."""
    report = await adapter.find_order(order.symbol, order.client_id)
    return True if report is None or report.state.terminal else None


@case("C69", "A contract that is halted while it is held")
async def halted(desk: Desk) -> None:
    """It is not traded, and what is held in it is still read as what it is."""
    instrument = next(each for each in await desk.adapter.get_instruments() if each.symbol == BTC)
    opening = desk.order()
    await desk.done(opening)
    (held,), fills = await desk.adapter.get_positions(), list(await desk.adapter.get_fills(desk.started))
    desk.move(halted=True)
    listed = {each.symbol for each in await desk.adapter.get_instruments()}
    same("symbols that are traded", listed, {PEPE})
    async with desk.another(desk.credentials) as later:
        if isinstance(later, RemembersInstruments):
            later.remember_instruments([instrument])
        if isinstance(later, RemembersOrders):
            later.remember_orders({opening.client_id: BTC})
        for adapter, who in ((desk.adapter, "the adapter"), (later, "one opened later")):
            found = [(each.symbol, each.quantity) for each in await adapter.get_positions()]
            same(f"position as {who} reads it", found, [(BTC, held.quantity)])
            same(f"fills as {who} reads them", list(await adapter.get_fills(desk.started)), fills)
            for order in (desk.order(), desk.order(SELL, abs(held.quantity), reduce=True)):
                try:
                    await adapter.place_order(order)
                except (OrderRefused, OutcomeUnknown):
                    continue
                await until("an order in it is over, or never was", partial(nothing_open, adapter, order))
    same("what is held at the exchange", desk.held(), held.quantity)
    desk.move(halted=False)
    same(
        "symbols that are traded", {each.symbol for each in await desk.adapter.get_instruments()}, {BTC, PEPE}
    )
    await desk.done(desk.order(SELL, abs(held.quantity), reduce=True))
    same("what is left", desk.held(), ZERO)
