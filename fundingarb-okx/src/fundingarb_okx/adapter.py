"""OKX linear swaps as an ``ExchangeAdapter``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import msgspec

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    FeeTier,
    Fill,
    NewOrder,
    OrderReport,
    TimeInForce,
)
from fundingarb.errors import BadMessage, ConfigError, ExchangeError
from fundingarb.exchanges import values
from fundingarb.exchanges.base import RestAdapter, endpoint, expiry
from fundingarb.exchanges.guard import Hosts
from fundingarb.exchanges.parse import moment, plain
from fundingarb.ports import (
    AccountModes,
    AccountSink,
    BookSink,
    KeyPermissions,
    OpenContext,
    RateSink,
)
from fundingarb_okx import feeds, messages, schema
from fundingarb_okx.contracts import Contracts
from fundingarb_okx.errors import CODES
from fundingarb_okx.ledger import bills_since, pages
from fundingarb_okx.limits import COSTS, LIMITS
from fundingarb_okx.schema import Answer
from fundingarb_okx.settings import OkxSettings

T = TypeVar("T")

_ORDER_TYPES = {TimeInForce.GTC: "limit", TimeInForce.IOC: "ioc", TimeInForce.POST_ONLY: "post_only"}
_SWAPS = {"instType": "SWAP"}
_NO_SUCH_ORDER = "51603"
_PORTFOLIO_MARGIN = "59111"
"""Said when leverage is asked for in portfolio margin, where there is none."""

FEES_SECONDS = 1.0
SHORTEST_TIMER, LONGEST_TIMER = 10, 120
"""Seconds that the timer which cancels everything may be set to."""


TAG = "fundingarb"
"""With every order of ours: the timer that cancels is about these, and leaves a person's orders alone."""
DEMO = ("x-simulated-trading", "1")
HOSTS = Hosts(live=("okx.com", "*.okx.com"), simulated=("ws*pap.okx.com",), marker=DEMO)


def roots(context: OpenContext, settings: OkxSettings) -> Mapping[str, str]:
    """Prefix of ccxt's address names -> scheme and host."""
    return {"rest": endpoint(context, "rest") if context.network == "localnet" else settings.rest_url}


def stream_urls(context: OpenContext, settings: OkxSettings) -> tuple[str, str]:
    """Addresses of the public and of the private stream."""
    if context.network == "localnet":
        return endpoint(context, "public"), endpoint(context, "private")
    root = settings.stream_url if context.network == "mainnet" else settings.testnet_stream_url
    return f"{root}/ws/v5/public", f"{root}/ws/v5/private"


def simulated(context: OpenContext, stream: str) -> dict[str, str]:
    """The header that makes a request one of demo trading: on `testnet` always, elsewhere never.

    Demo trading has the REST host of real trading, so that nothing but this header keeps them apart; its streams have
    hosts of their own (``wspap``). ``ConfigError`` when the two do not go together.
    """
    demo, host = context.network == "testnet", urlsplit(stream).hostname or ""
    if context.network != "localnet" and ("pap" in host.split(".")[0]) is not demo:
        wanted = "a host of demo trading (wspap...)" if demo else "a host of real trading"
        raise ConfigError(
            f"{context.name}: network {context.network} needs {wanted} for its streams, not {host}"
        )
    return dict([DEMO]) if demo else {}


class OkxAdapter(RestAdapter):
    """One OKX trading account; see ``fundingarb.ports.ExchangeAdapter`` for what the methods promise."""

    name = messages.EXCHANGE
    reads = "perpetual swaps"
    dead_man = True
    costs = COSTS
    limits = LIMITS

    def __init__(self, settings: OkxSettings, context: OpenContext) -> None:
        self.settings = settings
        self.public_stream, self.private_stream = stream_urls(context, settings)
        super().__init__(
            context,
            "okx",
            CODES,
            roots=roots(context, settings),
            options={"timeDifference": 0},
            timeout=settings.request_timeout_seconds,
            order_expiry=expiry(settings.order_window_ms),
            headers=simulated(context, self.public_stream),
            hosts=HOSTS,
            streams=(self.public_stream, self.private_stream),
        )
        self._instruments = self.contracts = Contracts()
        self._chosen_modes: dict[str, str] = {}
        self._held_modes: dict[str, str] = {}
        self._timed: set[str] = set()
        self._fees: tuple[float, schema.Fees] | None = None
        self._reading_fees = anyio.Lock()

    async def _rows(self, endpoint: str, kind: type[T], params: Mapping[str, Any] | None = None) -> list[T]:
        answer: Answer[T] = await self.read(endpoint, Answer[kind], params)  # type: ignore[valid-type]
        return answer.data

    async def _one(self, endpoint: str, kind: type[T], params: Mapping[str, Any] | None = None) -> T:
        rows = await self._rows(endpoint, kind, params)
        if not rows:
            raise BadMessage(f"okx {endpoint}: an answer without data")
        return rows[0]

    # public data
    async def read_time(self) -> datetime:
        return moment((await self._one("publicGetPublicTime", schema.ServerTime)).ts, "ts")

    async def get_instruments(self) -> Sequence[Instrument]:
        rows = await self._rows("publicGetPublicInstruments", msgspec.Raw, _SWAPS)
        rates = await self._rows("publicGetPublicFundingRate", msgspec.Raw, {"instId": "ANY"})
        intervals = messages.intervals(rates)
        self.contracts.take(messages.contracts(rows, intervals), messages.halted(rows, intervals))
        return list(self.contracts)

    async def get_funding_rate(self, symbol: str) -> FundingRate:
        instrument = await self.instrument(symbol)
        listed = self.contracts.listed(instrument)
        swap = {"instId": instrument.exchange_id}
        row = await self._one("publicGetPublicFundingRate", schema.Funding, swap)
        marks = await self._rows("publicGetPublicMarkPrice", schema.MarkPrice, {**_SWAPS, **swap})
        indexes = await self._rows("publicGetMarketIndexTickers", schema.IndexPrice, {"instId": listed.index})
        return messages.funding_rate(row, listed, *messages.prices(marks, indexes), self.clock.now())

    async def get_funding_rates(self, symbols: Collection[str]) -> Sequence[FundingRate]:
        wanted = set(await self.ids_of(symbols))
        rows = await self._rows("publicGetPublicFundingRate", msgspec.Raw, {"instId": "ANY"})
        marks = await self._rows("publicGetPublicMarkPrice", schema.MarkPrice, _SWAPS)
        indexes = await self._rows(
            "publicGetMarketIndexTickers", schema.IndexPrice, {"quoteCcy": messages.SETTLE}
        )
        known, at = messages.prices(marks, indexes), self.clock.now()

        def convert(row: schema.Funding, instrument: Instrument, at: datetime) -> FundingRate:
            return messages.funding_rate(row, self.contracts.listed(instrument), *known, at)

        rates = values.funding_rates(
            rows, schema.Funding, lambda row: row.instId, convert, self.known, wanted, at
        )
        if symbols and not rates:
            raise BadMessage("okx: no rate of the symbols asked for can be used")
        return rates

    async def get_funding_history(self, symbol: str, since: datetime) -> Sequence[SettledRate]:
        instrument = await self.instrument(symbol)
        rows = await pages(
            lambda params: self._rows("publicGetPublicFundingRateHistory", schema.SettledFunding, params),
            {"instId": instrument.exchange_id},
            lambda row: row.fundingTime,
            enough=lambda row: moment(row.fundingTime, "fundingTime") < since,
        )
        rates = messages.settled(rows, instrument.symbol)
        return [rate for rate in rates if rate.settled_at >= since]

    async def depth(self, exchange_id: str, levels: int) -> schema.Depth:
        """A book in OKX's own units, with the number that the stream's changes refer to."""
        return await self._one("publicGetMarketBooks", schema.Depth, {"instId": exchange_id, "sz": levels})

    async def get_orderbook(self, symbol: str, depth: int) -> OrderBook:
        instrument = await self.instrument(symbol)
        book = await self.depth(instrument.exchange_id, max(1, min(depth, 400)))
        bids, asks = ([(level[0], level[1]) for level in side] for side in (book.bids, book.asks))
        units = self.contracts.units(instrument)
        return values.order_book(instrument, bids, asks, self.clock.now(), depth=depth, units=units)

    # orders
    def margin_mode(self, instrument: Instrument, *, reduce: bool = False) -> str:
        """The margin mode of an order: OKX takes it with each. What reduces has that of the position."""
        chosen, held = (modes.get(instrument.exchange_id) for modes in (self._chosen_modes, self._held_modes))
        return ((held or chosen) if reduce else (chosen or held)) or "cross"

    async def send_order(self, order: NewOrder, instrument: Instrument) -> OrderReport:
        units = self.contracts.units(instrument)
        params: dict[str, Any] = {
            "instId": instrument.exchange_id,
            "tdMode": self.margin_mode(instrument, reduce=order.reduce_only),
            "side": order.side.value.lower(),
            "ordType": "market" if order.price is None else _ORDER_TYPES[order.time_in_force],
            "sz": plain(order.quantity / units.quantity),
            "clOrdId": order.client_id,
            "tag": TAG,
        }
        if order.price is not None:
            params["px"] = plain(order.price * units.price)
        if order.reduce_only:
            params["reduceOnly"] = True
        window = self.settings.order_window_ms * self.clock.speed
        expires = round(self.clock.time() * 1000 + self.skew.milliseconds + window)
        answer = await self.write(
            "privatePostTradeOrder", Answer[schema.Placed], params, {"expTime": str(expires)}
        )
        return messages.created(answer.data, order, self.account, self.clock.now())

    async def send_cancel(self, instrument: Instrument, client_id: str) -> None:
        params = {"instId": instrument.exchange_id, "clOrdId": client_id}
        await self.write("privatePostTradeCancelOrder", Answer[schema.Placed], params)

    async def send_cancel_by_number(self, instrument: Instrument, exchange_order_id: str) -> None:
        params = {"instId": instrument.exchange_id, "ordId": exchange_order_id}
        await self.write("privatePostTradeCancelOrder", Answer[schema.Placed], params)

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        instrument = await self.instrument(symbol)
        params = {"instId": instrument.exchange_id, "clOrdId": client_id}
        try:
            rows = await self._rows("privateGetTradeOrder", schema.Order, params)
        except ExchangeError as error:
            if error.code == _NO_SUCH_ORDER:
                return None
            raise
        for row in rows:
            if row.clOrdId == client_id:
                return messages.order_report(row, self.account, self.contracts)
        raise BadMessage("okx: asked for an order, got neither it nor that there is none")

    async def get_open_orders(self) -> Sequence[OrderReport]:
        await self.instruments()
        rows = await pages(
            lambda params: self._rows("privateGetTradeOrdersPending", schema.Order, params),
            _SWAPS,
            lambda row: row.ordId,
        )
        return self.told([messages.order_report(row, self.account, self.contracts) for row in rows])

    async def cancel_after(self, symbols: Collection[str], seconds: float | None) -> None:
        """One timer over every pending order with our tag, of any symbol: it comes off with the last of them."""
        if seconds is None:
            timed, timeout = self._timed - set(symbols), 0
        else:
            timed = self._timed | set(symbols)
            timeout = min(max(math.ceil(seconds), SHORTEST_TIMER), LONGEST_TIMER)
        if timeout or not timed:
            await self.change("privatePostTradeCancelAllAfter", {"timeOut": str(timeout), "tag": TAG})
        self._timed = timed

    # account
    async def get_positions(self) -> Sequence[ExchangePosition]:
        await self.instruments()
        rows = await self._rows("privateGetAccountPositions", schema.Position, _SWAPS)
        found = [(row, messages.position(row, self.account, self.contracts)) for row in rows]
        self._held_modes = {row.instId: row.mgnMode for row, position in found if position.quantity}
        return self.told([position for _, position in found if position.quantity])

    async def get_balance(self) -> Balance:
        rows = await self._rows("privateGetAccountBalance", schema.Wallet, {"ccy": messages.SETTLE})
        return messages.balance(rows, self.account)

    async def _bills(
        self, since: datetime, kind: str | None = None, exchange_id: str | None = None
    ) -> list[schema.Bill]:
        return await bills_since(
            lambda endpoint, params: self._rows(endpoint, schema.Bill, params),
            since,
            self.clock.now(),
            kind,
            exchange_id,
        )

    async def get_fills(self, since: datetime, symbol: str | None = None) -> Sequence[Fill]:
        known = await self.instruments()
        exchange_id = None if symbol is None else (await self.instrument(symbol)).exchange_id
        fills: list[Fill] = []
        for bill in await self._bills(since, exchange_id=exchange_id):
            instrument = known.by_id(bill.instId)
            if instrument is not None and symbol in (None, instrument.symbol) and messages.is_fill(bill):
                fills.append(messages.fill(bill, self.account, instrument, self.contracts))
        return fills

    async def get_funding_payments(self, since: datetime) -> Sequence[FundingPayment]:
        await self.instruments()
        bills = await self._bills(since, messages.FUNDING)
        return [messages.payment(bill, self.account, self.symbol_of(bill.instId)) for bill in bills]

    async def get_fee_tier(self, symbol: str) -> FeeTier:
        """One answer has the fees of every group: those who ask within a second share it."""
        listed = self.contracts.listed(await self.instrument(symbol))
        async with self._reading_fees:
            now = self.clock.monotonic()
            if self._fees is None or now - self._fees[0] > FEES_SECONDS:
                self._fees = now, await self._one("privateGetAccountTradeFee", schema.Fees, _SWAPS)
        return messages.fee_tier(self._fees[1], listed.fee_group)

    async def _config(self) -> schema.AccountConfig:
        return await self._one("privateGetAccountConfig", schema.AccountConfig)

    async def get_modes(self, symbol: str) -> AccountModes:
        """Position mode is the account's; the margin mode is that of the position, or what orders are sent with."""
        instrument = await self.instrument(symbol)
        config, swap = await self._config(), {"instId": instrument.exchange_id}
        messages.check_account_mode(config)
        rows = await self._rows("privateGetAccountPositions", schema.Position, {**_SWAPS, **swap})
        held = [row.mgnMode for row in rows if row.pos not in ("", "0")]
        mode = held[0] if held else self.margin_mode(instrument)
        try:
            levers = await self._rows(
                "privateGetAccountLeverageInfo", schema.Leverage, {**swap, "mgnMode": mode}
            )
        except ExchangeError as error:
            if error.code != _PORTFOLIO_MARGIN:
                raise
            levers = []
        leverages = [messages.leverage(row) for row in levers if row.mgnMode == mode]
        return AccountModes(
            position_mode=messages.POSITION_MODES.get(config.posMode),
            margin_mode=mode,
            leverage=leverages[0] if leverages else None,
        )

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        instrument = await self.instrument(symbol)
        params = {
            "instId": instrument.exchange_id,
            "lever": str(leverage),
            "mgnMode": self.margin_mode(instrument),
        }
        await self.change("privatePostAccountSetLeverage", params)

    async def set_margin_mode(self, symbol: str, mode: str) -> None:
        """From now on orders of ``symbol`` are sent in this mode; OKX keeps no mode of its own."""
        self._chosen_modes[(await self.instrument(symbol)).exchange_id] = mode

    async def set_one_way_mode(self) -> None:
        if messages.POSITION_MODES.get((await self._config()).posMode) != "one-way":
            await self.change("privatePostAccountSetPositionMode", {"posMode": "net_mode"})

    async def get_key_permissions(self) -> KeyPermissions:
        return messages.permissions(await self._config())

    # streams
    async def stream_rates(self, symbols: Sequence[str], sink: RateSink) -> None:
        await feeds.rates(self, symbols, sink)

    async def stream_books(self, symbols: Sequence[str], sink: BookSink) -> None:
        await feeds.books(self, symbols, sink)

    async def stream_account(self, sink: AccountSink) -> None:
        await feeds.account(self, sink)
