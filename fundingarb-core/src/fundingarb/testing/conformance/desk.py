"""One adapter on an account nobody has used, beside the exchange's own books: what a case works with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any
from uuid import uuid4

import anyio

from fundingarb.domain.hedge import client_order_id
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import NewOrder, OrderReport, OrderSide, Purpose, TimeInForce
from fundingarb.engine.clock import ScaledClock
from fundingarb.localnet.faults import Fault, FaultKind
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb.localnet.truth import rules
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Fill as TrueFill
from fundingarb.localnet.truth.types import Order as TrueOrder
from fundingarb.localnet.truth.types import OrderRequest, OrderType
from fundingarb.localnet.truth.types import Side as TrueSide
from fundingarb.localnet.truth.types import TimeInForce as TrueTimeInForce
from fundingarb.ports import AccountCredentials, ExchangeAdapter, OpenContext, Secret
from fundingarb.testing.conformance.subject import Subject
from fundingarb.testing.conformance.words import until
from fundingarb.testing.market import StillModel

__all__ = ["BTC", "PEPE", "SETTLEMENT", "Contract", "Desk", "ours", "serve"]

BTC, PEPE = "BTC-USDT", "PEPE-USDT"
PRICES = {BTC: Decimal(1000), PEPE: Decimal("0.001")}
SYMBOLS = (
    ModelSymbol(BTC, "BTC", "USDT", 1000.0, major=True),
    ModelSymbol(PEPE, "PEPE", "USDT", 0.001, multiplier=1000),
)
RATE = Decimal("0.0004")
"""Fraction per eight hours."""
ACCOUNTS = 100
SETTLEMENT = datetime(2026, 3, 2, 8, tzinfo=timezone.utc)
INSTANCE = "test"
LONG_BEFORE = 4 * 3600.0 + 1800
"""Seconds between the start of the usual exchange and ``SETTLEMENT``."""


def ours(name: str | None) -> bool:
    """Whether a client order id is one that the engine gave."""
    return name is not None and name.startswith(f"fa{INSTANCE}")


@asynccontextmanager
async def serve(
    subject: Subject, speed: float, *, before: float = LONG_BEFORE, tls: bool = False
) -> AsyncIterator[Localnet]:
    """Serve the exchange in a market that stands still, ``before`` simulated seconds ahead of ``SETTLEMENT``."""
    start = SETTLEMENT.timestamp() - before
    prices = {symbol: float(price) for symbol, price in PRICES.items()}
    model = StillModel(rate=float(RATE), priced=prices, symbols=SYMBOLS, start=start)
    options = Options(speed=speed, start=start, accounts=ACCOUNTS, tls=tls)
    async with (
        subject.venue() as dialect,
        run_localnets({subject.exchange: lambda: dialect}, options, model=model) as net,
    ):
        yield net


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract as the exchange itself lists it, and its figures in base units."""

    listed: rules.Instrument

    @property
    def unit(self) -> Decimal:
        """Base units in one of the exchange's units of quantity."""
        return self.listed.contract_size * self.listed.multiplier

    @property
    def lot(self) -> Decimal:
        return self.listed.lot * self.unit

    @property
    def tick(self) -> Decimal:
        return self.listed.tick / self.listed.multiplier

    def quantity(self, native: Decimal) -> Decimal:
        """Base units of a quantity of the exchange's."""
        return native * self.unit

    def price(self, native: Decimal) -> Decimal:
        """Price per base unit of a price of the exchange's."""
        return native / self.listed.multiplier

    def native(self, price: Decimal, rounding: str = ROUND_FLOOR) -> Decimal:
        """The exchange's price on its grid of a price per base unit."""
        ticks = (price * self.listed.multiplier / self.listed.tick).to_integral_value(rounding)
        return ticks * self.listed.tick


@dataclass
class Desk:
    """See above. Figures are base units unless a name says ``native``; the truth is the exchange's own books."""

    subject: Subject
    net: Localnet
    account: str
    credentials: Mapping[str, str]
    others: Mapping[str, str]
    """Credentials of another account."""
    clock: ScaledClock
    started: datetime
    opened: ExchangeAdapter | None = None

    @property
    def adapter(self) -> ExchangeAdapter:
        """The adapter under test, open for as long as the case runs."""
        if self.opened is None:
            raise RuntimeError("this desk has no adapter yet")
        return self.opened

    @property
    def forged(self) -> Mapping[str, str]:
        """Credentials that say they are this account's and cannot prove it."""
        stolen = {name: self.others[name] for name in self.subject.secrets}
        return {**self.credentials, **stolen, **self.subject.forged}

    @property
    def exchange(self) -> str:
        return self.subject.exchange

    # what the exchange knows
    @property
    def truth(self) -> Exchange:
        return self.net.truth(self.exchange)

    def contract(self, symbol: str = BTC) -> Contract:
        return Contract(self.truth.instrument(symbol))

    def usual_rate(self, symbol: str = BTC) -> Decimal:
        """The rate per interval while nobody has set another."""
        return RATE * self.truth.funding(self.contract(symbol).listed.id).interval_hours / 8

    def held(self, symbol: str = BTC) -> Decimal:
        """Signed position."""
        contract = self.contract(symbol)
        positions = self.truth.positions(self.account, contract.listed.id)
        return contract.quantity(sum((one.quantity for one in positions), Decimal(0)))

    @property
    def taken(self) -> list[TrueOrder]:
        """Every order the exchange ever took."""
        return self.truth.orders(self.account)

    @property
    def fills(self) -> list[TrueFill]:
        return self.truth.fills(self.account)

    @property
    def change(self) -> Decimal:
        """By what the wallet changed since the account was opened."""
        return self.truth.state(self.account).wallet - self.truth.starting_balance(self.account)

    # orders
    def size(self, value: str | int = 500, symbol: str = BTC) -> Decimal:
        """Base units worth about ``value``, a multiple of the lot and not below the exchange's minimum."""
        contract = self.contract(symbol)
        lots = (Decimal(value) / PRICES[symbol] / contract.lot).to_integral_value(ROUND_CEILING)
        return max(lots * contract.lot, contract.quantity(contract.listed.min_quantity))

    def price(self, side: OrderSide, away: str = "0.01", symbol: str = BTC) -> Decimal:
        """A limit ``away`` from the mid on the far side: 0.01 takes what rests, -0.04 rests itself."""
        wanted = PRICES[symbol] * (1 + side.sign * Decimal(away))
        contract = self.contract(symbol)
        rounding = ROUND_FLOOR if side is OrderSide.BUY else ROUND_CEILING
        return contract.price(contract.native(wanted, rounding))

    def order(
        self,
        side: OrderSide = OrderSide.BUY,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        tif: TimeInForce = TimeInForce.IOC,
        symbol: str = BTC,
        *,
        reduce: bool = False,
        market: bool = False,
    ) -> NewOrder:
        """An order with a name as the engine gives them; by default it buys at once for about 500."""
        name = client_order_id(INSTANCE, uuid4(), Side.LONG, Purpose.ENTRY, 7)
        limit = None if market else price or self.price(side, symbol=symbol)
        return NewOrder(name, symbol, side, quantity or self.size(symbol=symbol), limit, tif, reduce)

    def resting(self, tif: TimeInForce = TimeInForce.GTC, quantity: Decimal | None = None) -> NewOrder:
        """An order to buy that stays in the book."""
        return self.order(OrderSide.BUY, quantity, self.price(OrderSide.BUY, "-0.04"), tif)

    async def seen(self, order: NewOrder) -> OrderReport:
        """``order`` as soon as the exchange knows it."""
        return await until(
            f"order {order.client_id} is found by its client order id",
            lambda: self.adapter.find_order(order.symbol, order.client_id),
        )

    async def over(self, order: NewOrder) -> OrderReport:
        """``order`` once it is over."""

        async def ended() -> OrderReport | None:
            report = await self.adapter.find_order(order.symbol, order.client_id)
            return report if report is not None and report.state.terminal else None

        return await until(f"order {order.client_id} is over", ended)

    async def done(self, order: NewOrder) -> OrderReport:
        """Place ``order`` and wait until it is over."""
        await self.adapter.place_order(order)
        return await self.over(order)

    async def by_somebody(self, side: OrderSide, quantity: Decimal, price: Decimal | None) -> None:
        """An order that a person gives the exchange on this account, without a client order id."""
        if self.subject.somebody is not None:
            await self.subject.somebody(self, side, quantity, price)
            return
        contract = self.contract()
        self.truth.place(
            self.account,
            OrderRequest(
                contract.listed.id,
                TrueSide(side.value),
                quantity / contract.unit,
                OrderType.MARKET if price is None else OrderType.LIMIT,
                None if price is None else contract.native(price),
                TrueTimeInForce.IOC if price is None else TrueTimeInForce.GTC,
            ),
        )

    # what goes wrong
    def fault(self, kind: FaultKind, *, everyone: bool = False, count: int | None = 1, **more: Any) -> None:
        """Let something go wrong, for this account or for everyone."""
        target: dict[str, Any] = {"exchange": self.exchange} if everyone else {"account": self.account}
        self.net.inject(Fault(kind, count=count, **target, **more))

    def heal(self) -> None:
        """Faults and whatever was done to the market end."""
        self.net.control.clear(exchange=self.exchange)

    def move(self, symbol: str = BTC, **change: Any) -> None:
        """``POST /market`` of the control interface."""
        self.net.control.market({"symbol": symbol, "exchange": self.exchange, **change})

    def funding(self, symbol: str = BTC, **change: Any) -> None:
        """``POST /funding`` of the control interface."""
        self.net.control.funding({"symbol": symbol, "exchange": self.exchange, **change})

    def calm(self) -> None:
        """No faults, and the market as it was."""
        self.heal()
        for symbol in PRICES:
            if any(symbol == one.symbol for one in self.truth.instruments.values()):
                self.move(symbol, clear=True)

    # other adapters on the same exchange
    def context(self, credentials: Mapping[str, str] | None, **changes: Any) -> OpenContext:
        account = None
        if credentials is not None:
            account = AccountCredentials(
                self.account, {name: Secret(value) for name, value in credentials.items()}
            )
        fields: dict[str, Any] = {
            "name": self.exchange,
            "clock": self.clock,
            "network": "localnet",
            "account": account,
            "symbols": tuple(PRICES),
            "endpoints": self.net.ready["exchanges"][self.exchange]["endpoints"],
        }
        return OpenContext(**{**fields, **changes})

    def another(
        self, credentials: Mapping[str, str] | None, *, quick: bool = False, **changes: Any
    ) -> AbstractAsyncContextManager[ExchangeAdapter]:
        """One more adapter, opened with these credentials (None: none)."""
        settings = self.subject.quick if quick else {}
        return self.subject.adapter(self.context(credentials, **changes), settings)

    async def real_seconds(self, seconds: float) -> None:
        await anyio.sleep(seconds)
