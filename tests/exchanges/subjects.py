"""Our exchanges as the conformance suite takes them, and what they lack."""

from __future__ import annotations

from decimal import Decimal

from fundingarb.domain.order import NewOrder, OrderReport, OrderSide, TimeInForce
from fundingarb.testing.conformance import Capability, Subject
from fundingarb.testing.conformance.desk import BTC, Desk
from fundingarb.testing.conformance.words import until

BINANCE = Subject("binance")
BYBIT = Subject("bybit", offline={"disconnect_protection": True})


async def by_hand(desk: Desk, side: OrderSide, quantity: Decimal, price: Decimal | None) -> None:
    """On dYdX every order is a signed message: a person's is sent with the same key, and without a name of ours."""
    rests = price is not None
    tif = TimeInForce.GTC if rests else TimeInForce.IOC
    order = NewOrder(f"by hand {desk.account}", BTC, side, quantity, price, tif, False)

    async def arrived() -> OrderReport | None:
        report = await person.find_order(BTC, order.client_id)
        return report if report is not None and (rests or report.state.terminal) else None

    async with desk.another(desk.credentials) as person:
        await person.place_order(order)
        await until("the person's order arrives", arrived)


DYDX = Subject(
    "dydx",
    somebody=by_hand,
    offline={"rate_limits": False, "block_time": 0.25},
    lacks={
        Capability.BUNDLES: "dYdX lists tokens in base units",
        Capability.INTERVALS: "every market settles every hour",
        Capability.SIGNED_READS: "the indexer is public: accounts are read by address",
        Capability.REQUEST_CLOCK: "short-term orders carry a block height, reads carry nothing",
        Capability.LEVERAGE: "there is none to set: a market's initial margin fraction holds",
        Capability.MARGIN_MODE: "positions of a subaccount share its collateral",
        Capability.POSITION_MODE: "there is one position per market",
        Capability.KEY_PERMISSIONS: "the key of a chain account may do everything",
        Capability.ORDER_EXPIRY: "orders expire with a block; the package's own tests show it",
        Capability.CLIENT_ID_REUSE: "a name that was used names the same order",
    },
)
OKX = Subject(
    "okx",
    lacks={
        Capability.BUNDLES: "OKX has contracts of many base units instead, and every case is in base units"
    },
    # without snapshots, as OKX is since August 2026; nobody waits half a minute for a rate, or paces its cases
    offline={"book_snapshots": False, "rate_limits": False, "funding_seconds": 1.0},
)
